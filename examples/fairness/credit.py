"""A credit model that does not read the sex of applicants, and a change that harms women.

python3 examples/fairness/credit.py
"""

import tempfile

import numpy as np
import pandas as pd
from flask import Flask, request
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from flask_boxkite import Boxkite, ModelMonitoringService
from flask_boxkite.records import Records

READ = ["income", "debt", "years_employed"]


def applicants(number, random, *, counts_breaks=True):
    """Return the applications of some people, and whether they pay back.

    Half of the women, and few men, have had a break in their career. A payroll system counts all years of work, or
    only the ones since the last break.
    """
    sex = random.choice(["women", "men"], number)
    had_break = random.random(number) < np.where(sex == "women", 0.5, 0.05)
    income = random.lognormal(7.9, 0.3, number)
    debt = income * random.gamma(2, 0.25, number)
    years = random.gamma(3, 3, number)
    repays = random.random(number) < 1 / (1 + np.exp(2.5 * debt / income - 0.2 * years))
    known = years if counts_breaks else np.where(had_break, 0.25 * years, years)
    return pd.DataFrame({"income": income, "debt": debt, "years_employed": known, "sex": sex}), repays


def train(path):
    """Fit the model to half of the applications, and write the baseline of the others."""
    frame, repaid = applicants(8000, np.random.default_rng(1))
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(frame[READ][:4000], repaid[:4000])
    held_out = frame[READ][4000:]
    scores = model.predict_proba(held_out)[:, 1]
    ModelMonitoringService.export_text(held_out, scores, path, model="credit", actual=repaid[4000:])
    return model


def serve(model, folder, month):
    """Return the app and its monitor."""
    app = Flask(__name__)
    app.config.update(BOXKITE_BASELINE=f"{folder}/credit.prom", BOXKITE_LOG_DIR=f"{folder}/{month}")
    monitor = Boxkite(app)

    @app.post("/score")
    @monitor.predict
    def score():
        rows = pd.DataFrame(request.get_json())  # with the sex, which is recorded, and not read
        return {"predictions": model.predict_proba(rows[READ])[:, 1].tolist()}

    return app, monitor


def run(model, folder, month, seed, **applying):
    """Serve a month's applications, and return what becomes known weeks later: who has paid back."""
    app, monitor = serve(model, folder, month)
    client = app.test_client()
    frame, repays = applicants(3000, np.random.default_rng(seed), **applying)
    names = []
    for start in range(0, len(frame), 20):
        answer = client.post("/score", json=frame[start : start + 20].to_dict("records"))
        names += [f"{answer.headers['Boxkite-Prediction-Id']}/{row}" for row in range(20)]
    monitor.close()
    return pd.DataFrame({"prediction_id": names, "actual": repays})


def main():
    """Print what the reports on both months say."""
    with tempfile.TemporaryDirectory() as folder:
        model = train(f"{folder}/credit.prom")
        months = {"January": (2, {}), "February": (3, {"counts_breaks": False})}
        for month, (seed, applying) in months.items():
            outcomes = run(model, folder, month, seed, **applying)
            records = Records(f"{folder}/{month}")
            at_once = records.fairness(f"{folder}/credit.prom", by="sex", reference="men")
            print(f"{month}, at once: {at_once.verdict}\n")
            later = records.fairness(f"{folder}/credit.prom", by="sex", reference="men", outcomes=outcomes)
            print(f"{month}, with outcomes: {later.verdict}\n{later}\n")


if __name__ == "__main__":
    main()
