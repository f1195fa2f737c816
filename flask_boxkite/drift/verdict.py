"""Is it real, and is it big? Two questions, two numbers, one verdict.

The G-test on the groups says whether live rows can still come from the training population (`scan`); the population
stability index, less what sampling alone gives it, says how far they have moved. A large sample makes small shifts real
but not big; a small one makes big-looking shifts that are not real.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flask_boxkite.drift.scan import MINIMUM_ROWS
from flask_boxkite.drift.statistics import (
    chi_squared_limit,
    g_statistic,
    population_stability_index,
    population_stability_indices,
    psi_error,
    psi_sampling_noise,
)
from flask_boxkite.drift.tables import counts_of, per_variable

__all__ = [
    "DOUBT",
    "DRIFTED_SIZE",
    "MAJOR_SIZE",
    "MINIMUM_ROWS",
    "MOVED",
    "WORST_FIRST",
    "Judgement",
    "Verdict",
    "judge",
    "judgements",
]

Verdict: TypeAlias = Literal["not enough data", "stable", "unclear", "shifted", "drifted", "major"]

WORST_FIRST: tuple[Verdict, ...] = ("major", "drifted", "shifted", "unclear", "stable", "not enough data")
"""The order in which things are shown."""

MOVED = frozenset({"drifted", "major"})
"""Verdicts of what has drifted, and alerts are for."""

DRIFTED_SIZE = 0.1
MAJOR_SIZE = 0.25
"""From which size on a significant shift is ``drifted``, ``major``: the usual marks for PSI."""

DOUBT = 4.0
"""How many standard errors are taken off the PSI of a stretch that is longer than an hour.

Hours of the day differ: a feature that swings by 0.3 standard deviations (PSI 0.09 at its worst hours) is really, but
not far from training then. What passes a limit by chance looks larger than it is, so without this such a model of 100
features would be called ``drifted`` thousands of times a month. Within an hour there is no such swing, and what has
changed by then is plain in few rows."""


@dataclass(frozen=True)
class Judgement:
    """What is known of one variable.

    Attributes:
        verdict: ``not enough data``, ``stable`` (not significant), ``unclear`` (significant only if rows are
            independent, which they may not be), ``shifted`` (significant, but small), ``drifted`` (size >= 0.1) or
            ``major`` (size >= 0.25).
        g: The G statistic.
        dispersion: What it is divided by, φ, since rows may recur or be alike.
        limit: What G/φ must exceed to be significant.
        psi: The population stability index.
        noise: What sampling alone gives it; infinite without rows.
        error: Its standard error.
        size: PSI less the noise, and less *doubt* standard errors; at least 0.
        groups: Groups that are not empty on both sides.
        doubt: 0, or `DOUBT`.
    """

    verdict: Verdict
    g: float
    dispersion: float
    limit: float
    psi: float
    noise: float
    error: float
    size: float
    groups: int
    doubt: float = 0.0

    @property
    def psi_limit(self) -> float:
        """What PSI must reach to be called drift, if it is significant; where its size is `DRIFTED_SIZE`."""
        if not math.isfinite(self.noise):
            return math.inf
        # x - doubt·sqrt(2·noise·u + 4·x·u) = DRIFTED_SIZE, solved for x = PSI - noise.
        u = self.doubt**2 * self.noise / max(self.groups - 1, 1)
        half = DRIFTED_SIZE + 2 * u
        return self.noise + half + math.sqrt(half**2 - DRIFTED_SIZE**2 + 2 * self.noise * u)


def judgements(
    baseline: NDArray[np.int64],
    live: NDArray[np.int64],
    firsts: NDArray[np.intp],
    verdicts: Sequence[Verdict | None],
    *,
    g: NDArray[np.float64],
    dispersion: NDArray[np.float64],
    limit: NDArray[np.float64],
    doubt: NDArray[np.float64],
) -> list[Judgement]:
    """Return what is known of each variable, given whether it has changed.

    Args:
        baseline: Training counts of all groups, one variable after the other, shape (groups,).
        live: Live counts of the same groups.
        firsts: For each variable, which of the groups is its first.
        verdicts: The verdict of each variable; None if its change is real, so that its size makes the verdict.
        g: G of these counts, shape (variables,), like what follows.
        dispersion: What it is divided by.
        limit: What G/φ must exceed.
        doubt: How many standard errors are taken off PSI.
    """
    groups = per_variable((baseline + live > 0).astype(np.int64), firsts)
    psi = population_stability_indices(baseline, live, firsts)
    with np.errstate(divide="ignore", invalid="ignore"):
        noise = np.maximum(groups - 1, 0) * (
            1 / per_variable(baseline, firsts) + dispersion / per_variable(live, firsts)
        )
        noise = np.where(np.isnan(noise), np.inf, noise)
    found = []
    for verdict, *numbers in zip(
        verdicts, *(table.tolist() for table in (g, dispersion, limit, psi, noise, groups, doubt)), strict=True
    ):
        found.append(_judgement(verdict, *numbers))
    return found


def _judgement(
    verdict: Verdict | None,
    g: float,
    dispersion: float,
    limit: float,
    psi: float,
    noise: float,
    groups: int,
    doubt: float = 0.0,
) -> Judgement:
    error = psi_error(max(psi - noise, 0.0), noise, groups) if math.isfinite(noise) else math.inf
    size = max(psi - noise - doubt * error, 0.0) if doubt else max(psi - noise, 0.0)
    if verdict is None:
        verdict = "shifted" if size < DRIFTED_SIZE else "drifted" if size < MAJOR_SIZE else "major"
    return Judgement(verdict, g, dispersion, limit, psi, noise, error, size, groups, doubt)


def judge(
    baseline: ArrayLike, live: ArrayLike, *, alpha: float, dispersion: float = 1.0, degrees: int | None = None
) -> Judgement:
    """Judge one variable by one sample.

    Args:
        baseline: Training counts per group, shape (groups,).
        live: Live counts of the same groups.
        alpha: Probability of calling a variable drifted that is not.
        dispersion: How many live rows count as one, at least 1.
        degrees: Degrees of freedom of G (`degrees_of_freedom`); None for one less than there are groups.

    Raises:
        BinMismatchError: The shapes differ.

    >>> judge([500, 500], [900, 100], alpha=1e-5).verdict
    'major'
    """
    g = g_statistic(baseline, live)
    limit = chi_squared_limit(alpha, np.size(baseline) - 1 if degrees is None else degrees)
    verdict: Verdict | None = None
    if min(np.sum(baseline), np.sum(live)) < MINIMUM_ROWS:
        verdict = "not enough data"
    elif g / dispersion <= limit:
        verdict = "stable"
    c, d = counts_of(baseline, live)
    noise = psi_sampling_noise(c, d, dispersion=dispersion)
    psi = population_stability_index(c, d)
    return _judgement(verdict, g, dispersion, limit, psi, noise, int(np.count_nonzero(c + d)))
