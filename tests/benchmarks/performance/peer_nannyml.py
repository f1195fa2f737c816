"""NannyML's side; runs in its own environment.

    python peer_nannyml.py export FOLDER     # writes its bundled data sets as FOLDER/*.npz
    python peer_nannyml.py estimate FOLDER   # reads FOLDER/case.npz, writes FOLDER/nannyml.json

Only arrays and JSON are exchanged, since the two sides have different releases of libraries.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"
warnings.simplefilter("ignore")

import nannyml as nml  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from nannyml.chunk import SizeBasedChunker  # noqa: E402

CHUNK = 1000
"""Rows of the reference's chunks, which only set NannyML's limits of alerts."""

ALONE = 3
"""Windows of each size that are estimated alone, for the time that it takes."""

METRICS = {
    "binary": {"accuracy": "accuracy", "f1": "f1", "auc": "roc_auc"},
    "classes": {"accuracy": "accuracy"},
    "regression": {"mae": "mae", "rmse": "rmse"},
}
"""NannyML's names of the metrics that both sides estimate."""

LOADERS: dict[str, tuple[Callable[[], Any], str, str]] = {
    "employment": (nml.load_us_census_ma_employment_data, "predicted_probability", "employed"),
    "california": (nml.load_modified_california_housing_dataset, "y_pred_proba", "clf_target"),
    "car loan": (nml.load_synthetic_car_loan_dataset, "y_pred_proba", "repaid"),
    "cards": (nml.load_synthetic_multiclass_classification_dataset, "y_pred_proba_", "y_true"),
    "car price": (nml.load_synthetic_car_price_dataset, "y_pred", "y_true"),
}
"""Bundled data sets: function that loads one, column of the score (or its prefix), column of the outcome."""

NO_FEATURES = {"id", "timestamp", "year", "prediction", "y_pred"}


def export(folder: Path) -> None:
    """Write the bundled data sets."""
    for name, (load, score, actual) in LOADERS.items():
        reference, analysis, outcomes = load()
        table = pd.concat([reference, analysis.merge(outcomes, on="id")], ignore_index=True)
        scores = [column for column in table if column == score or (score[-1] == "_" and column.startswith(score))]
        labels = table[actual].map({column.removeprefix(score): number for number, column in enumerate(scores)})
        features = [column for column in table if column not in {actual, *scores, *NO_FEATURES}]
        np.savez(
            folder / f"{name}.npz",
            score=table[scores].to_numpy(dtype=np.float64).squeeze(),
            actual=(labels if len(scores) > 1 else table[actual]).to_numpy(),
            reference=len(reference),
            **{f"feature:{column}": _array(table[column]) for column in features},
        )


def _array(column: Any) -> Any:
    """Return a column as an array of numbers, or of texts."""
    return column.to_numpy() if column.dtype.kind in "biuf" else column.astype(object).to_numpy(dtype=str)


def estimate(folder: Path) -> None:
    """Fit an estimator to the validation rows of a case, estimate its windows, and take the CPU time of both."""
    with np.load(folder / "case.npz") as arrays:
        kind = str(arrays["kind"])
        table = _frame(arrays)
        validation = table.iloc[arrays["validation"]].reset_index(drop=True)
        estimator = _estimator(kind, table)
        begin = time.process_time()
        estimator.fit(validation)
        found: dict[str, Any] = {"fit": time.process_time() - begin, "windows": {}}
        for key in arrays.files:
            if key.startswith("window:"):
                found["windows"][key.partition(":")[2]] = _windows(kind, estimator, table, arrays[key])
    (folder / "nannyml.json").write_text(json.dumps(found))


def _frame(arrays: Any) -> Any:
    # LightGBM refuses colons in names.
    columns = {f"x {key.partition(':')[2]}": arrays[key] for key in arrays.files if key.startswith("feature:")}
    score = arrays["score"]
    scores = {"score": score} if score.ndim == 1 else {f"score {place}": each for place, each in enumerate(score.T)}
    table = pd.DataFrame({**columns, **scores, "predicted": arrays["predicted"], "actual": arrays["actual"]})
    texts = [name for name, column in columns.items() if column.dtype.kind == "U"]
    return table.astype(dict.fromkeys(texts, "category"))


def _estimator(kind: str, table: Any) -> Any:
    metrics = list(METRICS[kind].values())
    if kind == "regression":
        features = [column for column in table if column.startswith("x ")]
        return nml.DLE(features, y_pred="predicted", y_true="actual", metrics=metrics, chunk_size=CHUNK)
    scores = {place: f"score {place}" for place in range(sum(column.startswith("score ") for column in table))}
    return nml.CBPE(
        metrics=metrics,
        y_pred="predicted",
        y_pred_proba=scores or "score",
        y_true="actual",
        problem_type="classification_multiclass" if scores else "classification_binary",
        chunk_size=CHUNK,
    )


def _windows(kind: str, estimator: Any, table: Any, rows: Any) -> dict[str, Any]:
    """Return the estimates and standard errors of windows of one size by metric, and the CPU seconds of a window.

    One is the time of a window alone, as it comes in service, the other the mean of many at once.
    """
    estimator.chunker = SizeBasedChunker(rows.shape[1], incomplete="drop")
    result, at_once = _estimated(estimator, table, rows)
    alone = [_estimated(estimator, table, rows[number : number + 1])[1] for number in range(min(len(rows), ALONE))]

    estimates = result.filter(period="analysis").to_df()
    columns = {
        ours: [estimates[theirs, column].astype(float).tolist() for column in ("value", "sampling_error")]
        for ours, theirs in METRICS[kind].items()
    }
    return {"alone": sum(alone) / len(alone), "at once": at_once / len(rows), **columns}


def _estimated(estimator: Any, table: Any, rows: Any) -> tuple[Any, float]:
    """Return the result for windows, and its CPU seconds."""
    windows = table.drop(columns="actual").iloc[rows.ravel()].reset_index(drop=True)
    begin = time.process_time()
    result = estimator.estimate(windows)
    return result, time.process_time() - begin


if __name__ == "__main__":
    {"export": export, "estimate": estimate}[sys.argv[1]](Path(sys.argv[2]))
