"""A credit model: its applicants, its training, and the baseline with the values that came true in held-out rows."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from flask_boxkite import ModelMonitoringService

RUN = Path(__file__).parent / "run"


def applicants(number: int, random: np.random.Generator, *, are_younger: bool = False) -> pd.DataFrame:
    """Return the applications of some people; later ones may come from younger people."""
    age = random.normal(34 if are_younger else 46, 9, number).clip(18, 80).round()
    income = random.lognormal(7.9, 0.4, number).round()
    debt = (income * random.gamma(2, 0.25, number)).round()
    return pd.DataFrame({"age": age, "income": income, "debt": debt})


def defaults(frame: pd.DataFrame, random: np.random.Generator, *, in_recession: bool = False) -> np.ndarray:
    """Return whether each applicant fails to pay back; in a recession, more do, although they look the same."""
    risk = 2.6 * frame["debt"] / frame["income"] - (frame["age"] - 46) / 14 - 2.2 + 1.3 * in_recession
    return random.random(len(frame)) < 1 / (1 + np.exp(-risk))


def main() -> None:
    """Train the model, and write it and its baseline."""
    RUN.mkdir(exist_ok=True)
    random = np.random.default_rng(1)
    frame = applicants(8000, random)
    train, held_out, labels, came_true = train_test_split(frame, defaults(frame, random), random_state=1)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(train, labels)
    (RUN / "model.pickle").write_bytes(pickle.dumps(model))
    baseline = ModelMonitoringService.export_text(
        features=held_out,
        inference=model.predict_proba(held_out)[:, 1],
        actual=came_true,
        path=RUN / "baseline.prom",
        model="credit",
    )
    print(
        f"Trained on {len(train):,} applications; baseline {baseline.fingerprint} of {baseline.rows:,} held-out ones."
    )


if __name__ == "__main__":
    main()
