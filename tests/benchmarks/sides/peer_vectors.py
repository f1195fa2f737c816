"""The methods of evidently and alibi-detect for vectors, run in their own environment: shares of windows called.

Arguments: the file of the cases, the number of changes, of windows, and the significance. The MMD is evidently's,
because alibi-detect's needs PyTorch.
"""

from __future__ import annotations

import json
import logging
import sys
import warnings

import numpy as np
import pandas as pd

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)

from alibi_detect.cd import ClassifierDrift, KSDrift  # noqa: E402
from evidently.legacy.metrics.data_drift.embedding_drift_methods import mmd, model, ratio  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402

CASES, CHANGES, WINDOWS, ALPHA = np.load(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])


def evidently(method):
    return lambda trained, window: bool(method(pd.DataFrame(window), pd.DataFrame(trained))[1])


def ks(trained, window):
    """Kolmogorov-Smirnov of each component, with Bonferroni's correction."""
    return bool(KSDrift(trained, p_val=ALPHA).predict(window)["data"]["is_drift"])


def classifier(trained, window):
    """A domain classifier by cross-validation, judged by a binomial test."""
    found = ClassifierDrift(trained, LogisticRegression(max_iter=200), backend="sklearn", p_val=ALPHA, n_folds=5)
    return bool(found.predict(window)["data"]["is_drift"])


METHODS = {
    "alibi KS": ks,
    "alibi classifier": classifier,
    "evidently MMD": evidently(mmd(bootstrap=True, quantile_probability=1 - ALPHA)),
    "evidently model": evidently(model()),
    "evidently ratio": evidently(ratio()),
}

print(
    json.dumps(
        {
            name: [
                float(np.mean([method(CASES[f"{c}/{w}/trained"], CASES[f"{c}/{w}/window"]) for w in range(WINDOWS)]))
                for c in range(CHANGES)
            ]
            for name, method in METHODS.items()
        }
    )
)
