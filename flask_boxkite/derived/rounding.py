"""Rounding of derived numbers, because sums of floats differ in their last bits from one to many rows at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["rounded", "rounded_number"]

DIGITS = 7


def rounded_number(value: float) -> float:
    """Return a number rounded to `DIGITS` significant digits."""
    return float(f"{value:.{DIGITS - 1}e}")


def rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return numbers rounded to `DIGITS` significant digits."""
    with np.errstate(all="ignore"):
        places = DIGITS - 1 - np.floor(np.log10(np.abs(values)))
        powers = 10.0 ** np.abs(places)
        result = np.where(places >= 0, np.round(values * powers) / powers, np.round(values / powers) * powers)
    return np.where(np.isfinite(result), result, values)
