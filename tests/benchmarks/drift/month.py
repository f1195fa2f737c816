"""A month of checks, every minute, of a model with 100 features and no drift."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline import Distribution
from flask_boxkite.drift.dispersion import Spread
from flask_boxkite.drift.statistics import chi_squared_limit
from flask_boxkite.drift.tables import GroupSums, degrees_of_freedom
from flask_boxkite.drift.verdict import DRIFTED_SIZE, MINIMUM_ROWS

from .cells import trainings
from .populations import NO_SHIFT, Population
from .rules import g_statistics, sizes

__all__ = ["ALPHA", "FEATURES", "TRAFFIC", "Month", "month_of"]

ALPHA = 1e-5
"""The default of `BOXKITE_DRIFT_ALPHA`."""

FEATURES = 100
TRAFFIC = (0.5, 1.0, 2.0, 8.0, 60.0)
MINUTES = 30 * 24 * 60
WINDOW = 60


@dataclass(frozen=True)
class Month:
    """What happened in so many simulated months.

    Attributes:
        trained: Training rows.
        traffic: Rows a minute, on average; they come at random.
        months: How many.
        episodes: Runs of consecutive checks in which a feature was called ``drifted`` or ``major``.
        shifted: Runs in which one was called anything but ``stable`` or ``not enough data``.
    """

    trained: int
    traffic: float
    months: int
    episodes: int
    shifted: int

    @property
    def error(self) -> float:
        """Standard error of episodes a month; of none, as if there had been one."""
        return max(self.episodes, 1) ** 0.5 / self.months

    @property
    def is_met(self) -> bool:
        """Whether there is at most one episode a month."""
        return self.episodes <= self.months


def month_of(everything: tuple[Population, ...], trained: int, traffic: float, months: int, seed: int) -> Month:
    """Simulate months; features take turns among the populations."""
    rng = np.random.default_rng([seed, trained, round(10 * traffic)])
    episodes = shifted = 0
    for _ in range(months):
        rows = rng.poisson(traffic, MINUTES + WINDOW)
        for number, population in enumerate(everything):
            share = len(range(number, FEATURES, len(everything)))
            for item in trainings(population, share, trained, rng):
                called, drifted = _checks(item, population, rows, rng)
                shifted += _runs(called)
                episodes += _runs(drifted)
    return Month(trained, traffic, months, episodes, shifted)


def _checks(
    item: Distribution, population: Population, rows: NDArray[np.int64], rng: np.random.Generator
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Check a feature every minute; return when it was called, and when drifted."""
    sums = GroupSums([item])
    trained = sums.of(item.cells).astype(float)
    cells = population.cell_shares(item, NO_SHIFT)
    shares = np.array([cells[group.start : group.stop].sum() for group in item.groups])
    minutes = rng.multinomial(rows, shares / shares.sum())
    running = np.cumsum(np.vstack([np.zeros((1, minutes.shape[1]), np.int64), minutes]), axis=0)
    live = running[WINDOW:] - running[:-WINDOW]
    limit = chi_squared_limit(ALPHA / FEATURES, degrees_of_freedom(item))
    g = g_statistics(trained, live)
    called = (g > limit) & (live.sum(axis=1) >= MINIMUM_ROWS)
    for at in np.flatnonzero(called):
        phi = Spread.of(minutes[at : at + WINDOW], np.zeros(1, np.intp)).dispersions()[0]
        called[at] = g[at] / phi > limit
    drifted = called.copy()
    drifted[called] = sizes(trained, live[called]) >= DRIFTED_SIZE
    return called, drifted


def _runs(flags: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(np.diff(flags.astype(np.int8), prepend=0) == 1))
