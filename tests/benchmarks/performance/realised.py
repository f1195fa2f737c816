"""The realised metrics of windows, by scikit-learn: what both sides estimate."""

from __future__ import annotations

import numpy as np
from sklearn import metrics

from .cases import Rows
from .data import Data

__all__ = ["realised"]


def realised(data: Data, rows: Rows) -> dict[str, float]:
    """Return the metrics of some rows; NaN for the AUC of one class."""
    actual, predicted, score = data.actual[rows], data.predicted[rows], data.score[rows]
    if data.kind == "regression":
        return {
            "mae": metrics.mean_absolute_error(actual, predicted),
            "rmse": metrics.root_mean_squared_error(actual, predicted),
        }
    found = {"accuracy": metrics.accuracy_score(actual, predicted)}
    if data.kind == "classes":
        return found
    return found | {
        "f1": metrics.f1_score(actual, predicted, zero_division=np.nan),
        "auc": metrics.roc_auc_score(actual, score) if len(set(actual.tolist())) == 2 else np.nan,
        "brier": metrics.brier_score_loss(actual, score),
        "log_loss": metrics.log_loss(actual, score, labels=[0, 1]),
    }
