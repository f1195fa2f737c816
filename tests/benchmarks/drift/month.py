"""A month of checks, every minute, of a model with 100 features and no drift."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from flask_boxkite.baseline.variables import variables_of
from flask_boxkite.drift.scan import ABOUT_AS_PLAIN, MINIMUM_ROWS, TESTS
from flask_boxkite.drift.statistics import chi_squared_limit, g_statistics
from flask_boxkite.drift.tables import GroupSums, degrees_of_freedom
from flask_boxkite.drift.timeline import DAY, HOUR, MINUTE, QUARTER

from .cells import trainings
from .changes import seasonal_shares
from .models import CONTINUOUS
from .populations import NO_SHIFT, Population
from .rules import have_drifted

__all__ = ["ALPHA", "FEATURES", "TRAFFIC", "Checks", "Month", "checks_of", "month_of"]

ALPHA = 1e-5
"""The default of `BOXKITE_DRIFT_ALPHA`."""

FEATURES = 100
TRAFFIC = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 240.0)
"""Rows a minute, on average."""

DAYS = 30
A_DAY, AN_HOUR, A_QUARTER = int(DAY / MINUTE), int(HOUR / MINUTE), int(QUARTER / MINUTE)


@dataclass(frozen=True)
class Month:
    """What happened in so many months of a feature.

    Attributes:
        trained: Training rows.
        traffic: Rows a minute, on average; they come at random.
        has_season: Whether the mean swings in the course of each day.
        features: How many features were simulated, for a month each.
        episodes: Runs of consecutive checks in which a feature was called ``drifted`` or ``major``.
        shifted: Runs in which one was called anything but ``stable`` or ``not enough data``.
    """

    trained: int
    traffic: float
    has_season: bool
    features: int
    episodes: int
    shifted: int

    @property
    def months(self) -> float:
        """How many months of a model that is."""
        return self.features / FEATURES

    @property
    def error(self) -> float:
        """Standard error of episodes a month; of none, as if there had been one."""
        return math.sqrt(max(self.episodes, 1)) / self.months

    @property
    def is_met(self) -> bool:
        """Whether there is at most one episode a month."""
        return self.episodes <= self.months


def month_of(
    everything: tuple[Population, ...], trained: int, traffic: float, features: int, seed: int, *, has_season: bool
) -> Month:
    """Simulate a month of so many features, which take turns among the populations.

    With a season they all are normal, and training is of all hours.
    """
    rng = np.random.default_rng([seed, trained, round(10 * traffic), has_season])
    episodes = shifted = 0
    for number in range(features):
        rows = rng.poisson(traffic, (DAYS + 1) * A_DAY)
        if has_season:
            before, degrees = rng.multinomial(trained, CONTINUOUS.shares), len(CONTINUOUS.shares) - 1
            shares = seasonal_shares(np.arange(A_DAY) + 0.5)
        else:
            population = everything[number % len(everything)]
            (item,) = trainings(population, 1, trained, rng)
            cells = population.cell_shares(item, NO_SHIFT)
            own = np.array([cells[group.start : group.stop].sum() for group in item.groups])
            before, degrees = GroupSums(variables_of([item])).of(item.cells), degrees_of_freedom(item)
            shares = np.tile(own / own.sum(), (A_DAY, 1))
        minutes = rng.multinomial(rows, np.tile(shares, (DAYS + 1, 1)))
        checks = checks_of(before, minutes, degrees, ALPHA / FEATURES)
        shifted += _runs(checks.is_called)
        episodes += _runs(checks.is_drifted)
    return Month(trained, traffic, has_season, features, episodes, shifted)


@dataclass(frozen=True)
class Checks:
    """Checks of a feature, one each minute after the first day.

    Attributes:
        stretch: How many minutes the stretch is long that decides.
        g: Its G.
        is_called: Whether that is above its limit.
        is_drifted: Whether the verdict is ``drifted`` or ``major``.
    """

    stretch: NDArray[np.int64]
    g: NDArray[np.float64]
    is_called: NDArray[np.bool_]
    is_drifted: NDArray[np.bool_]


def checks_of(trained: NDArray[np.int64], minutes: NDArray[np.int64], degrees: int, alpha: float) -> Checks:
    """Check a feature every minute, as `scan` and `judgements` would if its rows were known to be independent.

    Stretches begin with every minute of the last hour, every quarter of an hour of the last day, and at the start.

    Args:
        trained: Rows per group in training, shape (groups,).
        minutes: Rows per group of every minute from the start, shape (minutes, groups).
        degrees: Degrees of freedom of G.
        alpha: False-alarm probability of one variable.
    """
    held = (trained > 0) | minutes.any(axis=0)
    before = trained[held]
    running = np.zeros((len(before), len(minutes) + 1), dtype=np.int32)
    np.cumsum(minutes[:, held].T, axis=1, out=running[:, 1:])
    whole = running.sum(axis=0)
    ends = np.arange(A_DAY, len(whole))
    beginnings = list(_beginnings(ends))
    g = np.zeros((len(beginnings), len(ends)))
    g[0] = g_statistics(before, running[:, ends].T.astype(np.int64), np.zeros(1, dtype=np.intp))[:, 0]
    most = [int((group[A_DAY:] - group[:-A_DAY]).max()) for group in (*running, whole)]
    *tables, margin = (_terms(*pair) for pair in zip(most, [*before.tolist(), int(before.sum())], strict=True))
    for found, begins in zip(g[1:], beginnings[1:], strict=True):
        for table, group in zip(tables, running, strict=True):
            found += table[group[ends] - group[begins]]
        found -= margin[whole[ends] - whole[begins]]
        found *= 2
    for found, begins in zip(g, beginnings, strict=True):
        found[whole[ends] - whole[begins] < MINIMUM_ROWS] = 0.0
    # The longest that is about as plain as the plainest, and called if that is; limits are the same for all.
    limit, plainest = chi_squared_limit(alpha / TESTS, degrees), g.max(axis=0)
    is_called = plainest > limit
    decisive = np.argmax((g >= ABOUT_AS_PLAIN * plainest) & ((g > limit) | ~is_called), axis=0)
    begins = np.array(beginnings)[decisive, np.arange(len(ends))]
    best = g[decisive, np.arange(len(ends))]
    is_drifted = is_called.copy()
    live = np.ascontiguousarray((running[:, ends[is_called]] - running[:, begins[is_called]]).T, dtype=np.int64)
    is_long = (ends - begins)[is_called] > AN_HOUR
    is_drifted[is_called] = have_drifted(before, live, best[is_called], np.ones(len(live)), is_long)
    return Checks(ends - begins, best, is_called, is_drifted)


def _terms(most: int, trained: int) -> NDArray[np.float64]:
    """Return what a group adds to G by its live rows, from none to so many: x·ln x - (x + c)·ln(x + c) + c·ln c."""
    live = np.arange(most + 1.0)
    return special.xlogy(live, live) - special.xlogy(live + trained, live + trained) + special.xlogy(trained, trained)


def _beginnings(ends: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield where stretches begin, one for each end; the longest first."""
    yield np.zeros_like(ends)
    for quarters in range(A_DAY // A_QUARTER, AN_HOUR // A_QUARTER - 1, -1):
        begins = ends // A_QUARTER * A_QUARTER - quarters * A_QUARTER
        yield np.where(begins >= ends - A_DAY, begins, begins + A_QUARTER)
    for minutes in range(AN_HOUR, 0, -1):
        yield ends - minutes


def _runs(flags: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(np.diff(flags.astype(np.int8), prepend=0) == 1))
