"""A column of every kind of values; imports no more than the environment of pandas 2 has."""

from __future__ import annotations

import math
from datetime import date, timedelta

import numpy as np
import pandas as pd

ROWS = 240


def made() -> pd.DataFrame:
    """Return a column of every kind of values, of which some are missing where the kind allows for it."""
    rng = np.random.default_rng(8)
    places = np.arange(ROWS)
    gaps = places % 7 == 0
    normal = rng.normal(size=ROWS).round(9)  # as many digits as pandas writes in JSON
    days = [date(1970, 1, 1) + timedelta(int(day)) for day in rng.integers(-9000, 9000, ROWS)]
    return pd.DataFrame(
        {
            "float64": normal,
            "missing": np.where(gaps, math.nan, normal * 100),
            "float32": normal.astype(np.float32),
            "float32 few": (places % 9 / np.float32(10)).astype(np.float32),
            "float16": (places % 300 / 7).astype(np.float16),
            "integer": rng.integers(-1000, 1000, ROWS),
            "few": places % 4,
            "large": places * 10**15,
            "boolean": places % 3 == 0,
            "text": pd.Series(np.array(["Oslo", "Röme", "a,b", 'say "x"', "NANCY"])[places % 5], dtype=object),
            "digits": pd.Series(np.array(["02134", "10001", "1e3"])[places % 3], dtype=object),
            "gaps": pd.Series(
                [None if gap else f"t{place % 3}" for place, gap in enumerate(gaps.tolist())], dtype=object
            ),
            "empty": pd.Series(np.array(["", "a"])[places % 2], dtype=object),
            "category": pd.Categorical(np.array(["low", "high"])[places % 2]),
            "date": pd.to_datetime(pd.Series(days)),
            "moment": pd.Timestamp("2024-03-31 01:30") + pd.to_timedelta(rng.integers(0, 10**12, ROWS), unit="us"),
            "duration": pd.to_timedelta(np.where(gaps, -1, 1) * rng.integers(0, 10**12, ROWS), unit="us"),
            "date text": pd.Series([f"{day}T00:00:00Z" if day.day % 2 else str(day) for day in days], dtype=object),
            "month": pd.to_datetime(pd.Series([date(2024, 1 + place % 3, 1) for place in places.tolist()])),
        }
    )
