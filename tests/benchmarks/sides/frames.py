"""The data frames that profilers and we are given; needs pandas."""

from __future__ import annotations

import pandas as pd
from workload import feature_names, large_columns, shaped_rows

__all__ = ["compared_frames", "large_frame"]

COMPARED_ROWS = 100_000
COLUMNS = 10


def large_frame() -> pd.DataFrame:
    """Return 1,000,000 rows of 10 normal columns."""
    return pd.DataFrame(dict(large_columns()))


def compared_frames() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return rows of training and as many of production, in which one of 10 columns has moved."""
    before, now = (
        pd.DataFrame(shaped_rows(COLUMNS, COMPARED_ROWS, seed=seed), columns=feature_names(COLUMNS)) for seed in (0, 1)
    )
    now.iloc[:, 0] += 0.5
    return before, now
