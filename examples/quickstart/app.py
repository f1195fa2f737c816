"""Serve the model. Monitoring takes three lines: the import, `Boxkite(app)` and `@monitor.predict`."""

import pickle
from pathlib import Path

import pandas as pd
from flask import Flask, request

from flask_boxkite import Boxkite

RUN = Path(__file__).parent / "run"

app = Flask(__name__)
app.config["BOXKITE_BASELINE"] = RUN / "baseline.prom"
app.config["BOXKITE_LOG_DIR"] = RUN / "records"
app.config["BOXKITE_DASHBOARD_PATH"] = "/boxkite"
app.config.from_prefixed_env()  # FLASK_BOXKITE_... in the environment comes before all this
monitor = Boxkite(app)

model = pickle.loads((RUN / "model.pickle").read_bytes())


@app.post("/score")
@monitor.predict
def score():
    row = pd.DataFrame([request.get_json()], columns=model.feature_names_in_)
    return {"score": float(model.predict_proba(row.fillna(0))[0, 1])}
