"""Names and files of readers of pages that begin in the middle: a model that is trained, records that were logged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tests.records.archives import record, write

__all__ = ["records", "trained"]

ROWS = 40
"""Number of records."""


def trained() -> dict[str, Any]:
    """Return features and a model that is fitted to them, and write training data in parts, records and outcomes."""
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame(
        {
            "age": rng.integers(18, 80, 500),
            "income": rng.lognormal(7.0, 0.5, 500),
            "country": rng.choice(["AT", "CH", "DE"], 500),
        }
    )
    encode = make_column_transformer((OneHotEncoder(), ["country"]), remainder=StandardScaler())
    model = make_pipeline(encode, LogisticRegression()).fit(frame, frame["income"] > 1000)

    Path("train").mkdir()
    for number, part in enumerate((frame[:200], frame[200:])):
        part.assign(score=0.01 * part["age"]).to_parquet(f"train/{number}.parquet")
    Path("outcomes.csv").write_text("prediction_id,actual\nscoring-1/2026-01-01T00:00:00/1,1\n", encoding="utf-8")
    came_true = np.random.default_rng(1).permutation(frame["income"] > 1000)
    names = {"frame": frame, "test_frame": frame, "model": model}
    return {**records(), **names, "held_out_frame": frame, "held_out_labels": came_true}


def records() -> dict[str, Any]:
    """Write records of one day."""
    rows = [record({"age": 30, "income": 1000.0, "country": "CH"}, output=0.3, model="default") for _ in range(ROWS)]
    write(Path("records"), *rows)
    return {}
