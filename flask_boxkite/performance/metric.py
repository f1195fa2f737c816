"""Metrics of quality: their names by kind of validation, their ranges, and their values with an interval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["BAND", "METRICS", "NOTHING", "Estimate", "banded", "estimate", "ratio"]

METRICS: Mapping[str, tuple[str, ...]] = {
    "binary": ("accuracy", "precision", "recall", "f1", "auc", "brier", "log_loss"),
    "classes": ("accuracy", "precision", "recall", "f1"),
    "regression": ("mae", "rmse", "bias"),
}
"""Names of the metrics of each kind, in the order in which they are shown.

Precision, recall and F1 of classes are macro averages: plain means over the classes that are predicted or actual in the
window. The loss of classes would need the probability of the actual class, which counts do not hold.
"""

BAND = 1.96
"""Standard errors on either side of an estimate within which 95 % of normal values lie."""

_RANGES = {"bias": (-math.inf, math.inf), **dict.fromkeys(("log_loss", "mae", "rmse"), (0.0, math.inf))}
"""Lowest and highest value of the metrics that are not in [0, 1]."""


class Estimate(NamedTuple):
    """The value of a metric, with an interval of 95 %.

    Attributes:
        value: The metric; None where it is not defined, as in an empty window.
        low: Lower end of the interval; None where it is unknown.
        high: Upper end of the interval; None likewise.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None


NOTHING = Estimate()
"""The value of a metric that is not defined."""


def estimate(metric: str, value: float, low: float = math.nan, high: float = math.nan) -> Estimate:
    """Return a value and its interval, clipped to the metric's range.

    Args:
        metric: Name of the metric.
        value: The metric; NaN or infinite where it is not defined.
        low: Lower end of the interval; NaN or infinite if unknown.
        high: Upper end of the interval; NaN or infinite likewise.

    >>> estimate("accuracy", 0.9, 0.75, 1.05)
    Estimate(value=0.9, low=0.75, high=1.0)
    """
    if not math.isfinite(value):
        return NOTHING
    lowest, highest = _RANGES.get(metric, (0.0, 1.0))
    inside = [min(max(float(number), lowest), highest) for number in (value, low, high)]
    is_known = math.isfinite(low) and math.isfinite(high)
    return Estimate(*inside) if is_known else Estimate(inside[0])


def banded(metric: str, value: float, error: float) -> Estimate:
    """Return a value with a band of `BAND` standard errors on either side, clipped to the metric's range.

    >>> banded("mae", 1.0, 0.25)
    Estimate(value=1.0, low=0.51, high=1.49)
    """
    return estimate(metric, value, value - BAND * error, value + BAND * error)


def ratio(dividend: float, divisor: float) -> float:
    """Return a ratio of counts; NaN, which `estimate` takes for not defined, where there is nothing to divide by."""
    return float(dividend) / float(divisor) if divisor > 0 else math.nan
