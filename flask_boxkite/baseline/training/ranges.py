"""The values of a numeric column as disjoint ranges, ascending, each with its rows and outermost values.

An engine or a stream of chunks can describe a column of any size so in bounded memory. A range in which all rows are
equal is an exact value. For other ranges, answers use the largest value, whose rank is exact. So a quantile is always a
value of the data, and its rank is off by at most the range's rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.bounds import even_groups, narrow_bounds
from flask_boxkite.baseline.distribution import Continuous, Discrete
from flask_boxkite.baseline.training.binning import (
    SHARES,
    bounds_of_quantiles,
    distinct_limit,
    float_width,
    rank_of,
)
from flask_boxkite.baseline.training.options import BaselineOptions
from flask_boxkite.naming import canonical_number
from flask_boxkite.values.conversion import to_number

__all__ = ["NumericColumn", "Ranges"]

MANY_MAGNITUDES = 2.0**20

POWERS = 16
"""Number of spans on either side of zero into which a range of many magnitudes is cut."""

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Ranges:
    """Finite values in ranges.

    Attributes:
        lows: Smallest value of each range, ascending.
        highs: Largest value of each range, below the next one's smallest.
        counts: Rows of each range, at least one.
        dtype: Original type of the values; float32 values stand for the numbers with their shortest decimals.
    """

    lows: Floats
    highs: Floats
    counts: Counts
    dtype: np.dtype[Any]

    @classmethod
    def sorted(cls, lows: Any, highs: Any, counts: Any, *, dtype: np.dtype[Any]) -> Ranges:
        """Build from ranges in any order; ranges with the same smallest value, such as -0.0 and 0.0, become one."""
        lows, highs = np.asarray(lows, dtype=np.float64) + 0.0, np.asarray(highs, dtype=np.float64) + 0.0
        counts = np.asarray(counts, dtype=np.int64)
        order = np.argsort(lows, kind="stable")
        lows, highs, counts = lows[order], highs[order], counts[order]
        starts = np.flatnonzero(np.diff(lows, prepend=np.nan) != 0)
        if len(starts) < len(lows):
            lows, highs, counts = lows[starts], np.maximum.reduceat(highs, starts), np.add.reduceat(counts, starts)
        return cls(lows, highs, counts, dtype)

    @cached_property
    def size(self) -> int:
        """The number of rows in all ranges."""
        return int(self.counts.sum())

    @cached_property
    def is_mixed(self) -> Mask:
        """Whether each range holds more than one value."""
        return self.lows < self.highs

    @cached_property
    def least_distinct(self) -> int:
        """The least number of distinct values; exact if no range is mixed."""
        return len(self.counts) + int(self.is_mixed.sum())

    @cached_property
    def _ranks(self) -> Counts:
        return self.counts.cumsum()

    def number(self, value: float) -> float:
        """Return the float of a value's shortest decimals."""
        return to_number(self.dtype.type(value)) if self.dtype.kind == "f" else float(value)

    def quantile(self, share: float) -> float:
        """Return the smallest value with at least *share* of all at or below it, or the largest value of its range."""
        return self.number(self.highs[self._at(share)] if share > 0 else self.lows[0])

    def holding_quantiles(self) -> Mask:
        """Return whether each range holds one of the quantiles for bounds, apart from the extremes."""
        is_holding = np.zeros(len(self.counts), dtype=bool)
        is_holding[[self._at(share) for share in SHARES if 0 < share < 1]] = True
        return is_holding

    def _at(self, share: float) -> int:
        return int(np.searchsorted(self._ranks, rank_of(share, self.size), side="right"))

    def at_most(self, bounds: Sequence[float]) -> tuple[Counts, Mask]:
        """Return the number of values at or below each bound, and whether it is only a lower limit.

        It is a lower limit if the bound lies inside of a mixed range, whose rows are then left out.
        """
        limits = self.limits(bounds)
        whole = np.searchsorted(self.highs, limits, side="right")
        begun = np.searchsorted(self.lows, limits, side="right")
        return np.concatenate(([0], self._ranks))[whole], begun > whole

    def limits(self, bounds: Sequence[float]) -> Floats:
        """Return the largest values of the column's type that count as at or below each bound."""
        return np.asarray(narrow_bounds(bounds, self.dtype), dtype=np.float64)

    def reached(self, bounds: Sequence[float]) -> tuple[float, ...]:
        """Return the bounds; one inside of a mixed range moves up to its largest value, where counts are known."""
        _, is_inside = self.at_most(bounds)
        own = np.searchsorted(self.highs, self.limits(bounds)[is_inside], side="right")
        return tuple(sorted({*np.asarray(bounds)[~is_inside].tolist(), *map(self.number, self.highs[own])}))

    def replaced(self, which: Mask, finer: Ranges) -> Ranges:
        """Return these ranges, some of which are replaced by *finer* ones."""
        parts = ((old[~which], new) for old, new in zip(self._arrays(), finer._arrays(), strict=True))
        return Ranges.sorted(*map(np.concatenate, parts), dtype=self.dtype)

    def chosen(self, which: Mask) -> Ranges:
        """Return some of the ranges."""
        lows, highs, counts = (array[which] for array in self._arrays())
        return Ranges(lows, highs, counts, self.dtype)

    def spans(self, *, by_magnitude: bool) -> list[tuple[float, float]]:
        """Return spans that cover the ranges, ascending; a common end belongs to the first span.

        Args:
            by_magnitude: Whether a range of very small and very large values becomes several spans, which grow with the
                distance from zero. In one span of equal parts, nearly all values would lie in the first part.
        """
        ends = zip(self.lows.tolist(), self.highs.tolist(), strict=True)
        if not by_magnitude:
            return list(ends)
        return [part for low, high in ends for part in pairwise([low, *_powers_between(low, high), high])]

    def _arrays(self) -> tuple[Any, ...]:
        return self.lows, self.highs, self.counts


def _powers_between(low: float, high: float) -> list[float]:
    """Return zero and some powers of two, of either sign, in a span of many magnitudes; empty for other spans."""
    if low * high > 0 and max(abs(low), abs(high)) / min(abs(low), abs(high)) < MANY_MAGNITUDES:
        return []
    powers = {0.0}
    for sign, least, most in ((1.0, max(low, 0.0), high), (-1.0, max(-high, 0.0), -low)):
        if most > 0:
            first, last = max(math.frexp(least)[1], -1021) if least else -1021, min(math.frexp(most)[1], 1023)
            powers |= {
                sign * math.ldexp(1.0, exponent) for exponent in np.linspace(first, last, POWERS, dtype=int).tolist()
            }
    return sorted(power for power in powers if low < power < high)


@dataclass(frozen=True)
class NumericColumn:
    """All rows of a numeric column.

    Attributes:
        ranges: Ranges of the finite values.
        below: Rows of ``-inf``.
        above: Rows of ``+inf``.
        missing: Rows of None or NaN.
        invalid: Rows that are not numbers.
        is_time: Whether the numbers are moments, in seconds.
    """

    ranges: Ranges
    below: int = 0
    above: int = 0
    missing: int = 0
    invalid: int = 0
    is_time: bool = False

    @property
    def present(self) -> int:
        """The number of rows that are numbers."""
        return self.ranges.size + self.below + self.above

    def is_discrete(
        self, name: str, position: int | None, options: BaselineOptions, *, is_category: bool
    ) -> bool | None:
        """Decide the kind of the column, as the options do; None if its ranges would have to be finer."""
        if not self.ranges.size:
            return name not in options.bins
        decided = options.is_discrete(name, position, is_category=is_category)
        if decided is not None:
            return decided
        if self.ranges.least_distinct + bool(self.below) + bool(self.above) >= distinct_limit(self.present):
            return False
        return None if self.ranges.is_mixed.any() else True

    def chosen_bounds(
        self, name: str, options: BaselineOptions, *, is_output: bool
    ) -> tuple[tuple[float, ...], tuple[float, ...] | None]:
        """Return the upper bounds of the column's bins, and of its groups unless these follow from the counts.

        Raises:
            ColumnError: The user's bounds do not apply.
        """
        user_bounds = options.given_bounds(name, is_time=self.is_time)
        if user_bounds:
            return user_bounds, None
        edges = options.edges.get(name, ()) if is_output else ()
        return bounds_of_quantiles(
            self.ranges.quantile, self.ranges.size, options.max_bins, is_time=self.is_time, edges=edges
        )

    def continuous(
        self, name: str, bounds: tuple[float, ...], groups: tuple[float, ...] | None, at_most: Counts
    ) -> Continuous:
        """Build the distribution, given the numbers of finite values at or below each bound."""
        cumulative = [0, *(at_most + self.below).tolist(), self.present]
        counts = tuple(b - a for a, b in pairwise(cumulative))
        groups = groups or even_groups(bounds, counts)
        return Continuous(name, bounds, counts, groups, **self._others)

    def discrete(self, name: str, options: BaselineOptions, *, is_output: bool) -> Discrete:
        """Build the distribution of the exact values; values in mixed ranges are rare."""
        exact = self.ranges.chosen(~self.ranges.is_mixed)
        labels = (canonical_number(self.ranges.number(value)) for value in exact.lows.tolist())
        finite = zip(labels, exact.counts.tolist(), strict=True)
        counts = {label: n for label, n in (("-Inf", self.below), *finite, ("+Inf", self.above)) if n}
        return options.discrete_of(name, counts, self.present, is_output=is_output, **self._others)

    @property
    def _others(self) -> dict[str, Any]:
        width = float_width(self.ranges.dtype)
        return {"missing": self.missing, "invalid": self.invalid, "width": width, "is_time": self.is_time}
