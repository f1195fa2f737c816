"""Shares of training and live rows of a variable, divided into the columns of a chart.

Bins have unequal widths, so a chart of bins would show their widths. Here the rows of a bin are spread evenly over it
and collected in columns of equal width. A bin narrower than a column, such as one with all zeros of a feature, still
stands out. Shares are of all rows, so that missing rows can be drawn to the same scale.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flask_boxkite.baseline import Distribution
from flask_boxkite.baseline.distribution import Continuous, Discrete
from flask_boxkite.drift.wording import SPECIAL_WORDS, category_label, group_name
from flask_boxkite.naming import ABOVE, BELOW, INVALID, MISSING, RARE, UNSEEN
from flask_boxkite.page.wording import bound_texts

__all__ = ["Bar", "Categories", "ChartData", "Histogram", "chart_data_of", "group_data_of", "plain_ends"]

FLOAT_MAX = sys.float_info.max

CELLS = 48
"""Number of columns of a histogram."""

CATEGORIES = 20
"""Number of categories drawn by name; all others share one more bar."""

NEGLIGIBLE = 1e-3
"""Part of the upper end below which the lower end is as good as 0."""

WIDE = 0.25
"""Share of the chart's width above which an outermost bin becomes a bar of its own, since its shape is unknown."""

LEAST_BINS = 5
"""Number of bins that always stay in the chart."""


@dataclass(frozen=True)
class Bar:
    """Two shares of rows under one name.

    Attributes:
        label: Name of the group or category.
        before: Share of training rows, in [0, 1].
        now: Share of live rows, in [0, 1].
    """

    label: str
    before: float
    now: float


@dataclass(frozen=True)
class Histogram:
    """Chart data of a continuous variable.

    Attributes:
        lower: Left end of the chart, in the variable's unit.
        upper: Right end of the chart.
        before: Share of training rows per column, shape (columns,), columns of equal width.
        now: Share of live rows per column.
        specials: Bars of the groups outside the columns, where they have rows.
        is_time: Whether the unit is seconds since 1970.
        extremes: Smallest and largest training value; the outer bins reach a margin beyond them.
    """

    lower: float
    upper: float
    before: NDArray[np.float64]
    now: NDArray[np.float64]
    specials: tuple[Bar, ...]
    is_time: bool = False
    extremes: tuple[float, float] = (-math.inf, math.inf)

    @property
    def ends(self) -> tuple[float, float]:
        """The ends of the chart for people: within the training values."""
        lower, upper = max(self.lower, self.extremes[0]), min(self.upper, self.extremes[1])
        return plain_ends(lower, upper, is_time=self.is_time)

    def texts(self, values: Sequence[float]) -> list[str]:
        """Write values of the variable, some of which may be close to each other."""
        smallest, largest = self.extremes
        return bound_texts([min(max(value, smallest), largest) for value in values], is_time=self.is_time)


@dataclass(frozen=True)
class Categories:
    """Chart data of a discrete variable.

    Attributes:
        bars: Bars of its categories: numbers ascending, texts by their frequency in training.
        specials: Bars of the other groups, where they have rows.
    """

    bars: tuple[Bar, ...]
    specials: tuple[Bar, ...]


ChartData = Histogram | Categories


def plain_ends(lower: float, upper: float, *, is_time: bool) -> tuple[float, float]:
    """Return two ends for people: 0 where the lower end is as good as 0."""
    return (0.0 if 0 < lower < NEGLIGIBLE * upper and not is_time else lower), upper


def chart_data_of(variable: Distribution, live: ArrayLike) -> ChartData:
    """Return the chart data of a variable.

    Args:
        variable: Its training counts.
        live: Live counts, in the order of its cells.
    """
    before, now = _shares(variable.cells), _shares(live)
    if isinstance(variable, Discrete):
        return _categories(variable, before, now)
    return _histogram(variable, before, now)


def _shares(counts: ArrayLike) -> NDArray[np.float64]:
    cells: NDArray[np.float64] = np.asarray(counts, dtype=np.float64)
    cells = cells / max(float(cells.sum()), 1.0)
    return cells


def _specials(
    variable: Distribution, before: NDArray[np.float64], now: NDArray[np.float64], names: Sequence[str]
) -> tuple[Bar, ...]:
    groups = {group.name: group for group in variable.groups}
    bars = [
        Bar(SPECIAL_WORDS[name], *(_share(cells, groups[name].start, groups[name].stop) for cells in (before, now)))
        for name in names
        if name in groups
    ]
    return tuple(bar for bar in bars if bar.before or bar.now)


def _share(cells: NDArray[np.float64], start: int, stop: int) -> float:
    """Return the share of some cells; nearly all special groups have one, which needs no sum."""
    return float(cells[start]) if stop - start == 1 else float(cells[start:stop].sum())


def group_data_of(variable: Distribution, live: ArrayLike) -> Categories:
    """Return the chart data of a variable whose bins are its groups: a bar for each, in the order of the values.

    Args:
        variable: Its training counts.
        live: Live counts, in the order of its cells.
    """
    before, now = _shares(variable.cells), _shares(live)
    bars = [
        Bar(group_name(variable, group.name), *(_share(cells, group.start, group.stop) for cells in (before, now)))
        for group in variable.groups
        if group.name not in SPECIAL_WORDS
    ]
    rare = _specials(variable, before, now, (RARE,))
    return Categories((*bars, *rare), _specials(variable, before, now, (BELOW, ABOVE, UNSEEN, MISSING, INVALID)))


# --- discrete --------------------------------------------------------------------------------------------------------


def _categories(variable: Discrete, before: NDArray[np.float64], now: NDArray[np.float64]) -> Categories:
    indexes = sorted(range(len(variable.categories)), key=lambda index: -variable.counts[index])
    shown, rest = indexes[:CATEGORIES], indexes[CATEGORIES:]
    if not variable.is_text:
        shown.sort(key=lambda index: variable.values[index])
    bars = [Bar(category_label(variable.categories[index]), float(before[index]), float(now[index])) for index in shown]
    if rest:
        bars.append(Bar(f"{len(rest)} others", float(before[rest].sum()), float(now[rest].sum())))
    rare = len(variable.categories)
    if before[rare] or now[rare]:
        bars.append(Bar(SPECIAL_WORDS[RARE], float(before[rare]), float(now[rare])))
    return Categories(tuple(bars), _specials(variable, before, now, (UNSEEN, MISSING, INVALID)))


# --- continuous ------------------------------------------------------------------------------------------------------


def _histogram(variable: Continuous, before: NDArray[np.float64], now: NDArray[np.float64]) -> Histogram:
    first = next((group.stop for group in variable.groups if group.name == BELOW), 0)
    last = next(group.start for group in variable.groups if group.name == ABOVE)
    bounds = np.array(variable.upper_bounds[:last])
    # Scaling before subtracting keeps the difference of two huge bounds finite.
    unit = float(np.abs(bounds).max()) or 1.0
    scaled = bounds / unit
    scaled = scaled[first - 1 :] if first else np.concatenate([[_lower_edge(scaled)], scaled])
    begin, end = _view(scaled)
    lower, upper = (max(-FLOAT_MAX, min(float(edge) * unit, FLOAT_MAX)) for edge in scaled[[begin, end]])
    inside = slice(first + begin, first + end)
    grid = np.linspace(scaled[begin], scaled[end], CELLS + 1)
    tails = (first, inside.start), (inside.stop, last)
    shares = [(_share(before, *tail), _share(now, *tail)) if tail[1] > tail[0] else (0.0, 0.0) for tail in tails]
    bars: list[Bar] = []
    if any(map(any, shares)):
        below, above = bound_texts((lower, upper), is_time=variable.is_time)
        named = zip((f"up to {below}", f"over {above}"), shares, strict=True)
        bars = [Bar(label, *both) for label, both in named if any(both)]

    return Histogram(
        lower,
        upper,
        _collected(scaled[begin : end + 1], before[inside], grid),
        _collected(scaled[begin : end + 1], now[inside], grid),
        (
            *bars,
            *_specials(variable, before, now, (BELOW, ABOVE, MISSING, INVALID)),
        ),
        variable.is_time,
        variable.extremes,
    )


def _lower_edge(bounds: NDArray[np.float64]) -> float:
    """Return a lower edge for the lowest bin of a file without one: the bin gets the width of the next."""
    return float(bounds[0] - (bounds[1] - bounds[0] if len(bounds) > 1 else 1.0))


def _view(edges: NDArray[np.float64]) -> tuple[int, int]:
    """Return the first and last edge in the chart: without tails of a single bin, and with most of the width."""
    begin, end = 0, len(edges) - 1
    while end - begin > LEAST_BINS:
        width = (edges[end] - edges[begin]) * WIDE
        left, right = edges[begin + 1] - edges[begin], edges[end] - edges[end - 1]
        if max(left, right) <= width:
            break
        if left > right:
            begin += 1
        else:
            end -= 1
    return begin, end


def _collected(
    edges: NDArray[np.float64], shares: NDArray[np.float64], grid: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Spread shares evenly over their bins and collect them in columns."""
    cumulative = np.concatenate([[0.0], np.cumsum(shares)])
    running = np.interp(grid, edges, cumulative)
    is_steep = ~np.isfinite(running)  # beside an edge so near to the next that no float is the slope between them
    running[is_steep] = cumulative[np.searchsorted(edges, grid[is_steep], side="right") - 1]
    # A bin too narrow for floats at this scale would otherwise be lost at either end.
    running[0], running[-1] = 0.0, shares.sum()
    return np.diff(running)
