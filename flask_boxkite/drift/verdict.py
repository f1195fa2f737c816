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
    "uncertainty",
]

Verdict: TypeAlias = Literal["not enough data", "stable", "unclear", "shifted", "drifted", "major"]

WORST_FIRST: tuple[Verdict, ...] = ("major", "drifted", "shifted", "unclear", "stable", "not enough data")
"""The order in which things are shown."""

MOVED = frozenset({"drifted", "major"})
"""Verdicts of what has drifted, and alerts are for."""

DRIFTED_SIZE = 0.1
MAJOR_SIZE = 0.25
"""From which size on a significant shift is ``drifted``, ``major``: the usual marks for PSI."""

DOUBT = 3.0
"""How many standard errors are taken off PSI, where samples are compared again and again (`uncertainty`).

What passes a limit by chance looks larger than it is. A feature that swings by 0.3 standard deviations in the course of
a day has a PSI of 0.09 at its worst hours: really, but not far from training. Without this, a model of 100 such
features would be called ``drifted`` thousands of times a month."""


@dataclass(frozen=True)
class Judgement:
    """What is known of one variable.

    Attributes:
        verdict: ``not enough data``, ``stable`` (not significant), ``unclear`` (significant only if rows are
            independent, which they may not be), ``shifted`` (significant, but small), ``drifted`` (size >= 0.1) or
            ``major`` (size >= 0.25).
        g: The G statistic, of the rows that count: live rows / dispersion.
        dispersion: How many live rows count as one, φ, since rows may recur or be alike.
        limit: What G must exceed to be significant.
        psi: The population stability index.
        noise: What sampling alone gives it; infinite without rows.
        error: Its standard error.
        size: PSI less the noise, and less `DOUBT` standard errors as far as they are due to *uncertain*; at least 0.
        groups: Groups that are not empty on both sides.
        uncertain: The part of 1/N + φ/n for which that is done, see `uncertainty`.
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
    uncertain: float = 0.0

    @property
    def psi_limit(self) -> float:
        """What PSI must reach to be called drift, if it is significant; where its size is `DRIFTED_SIZE`."""
        if not math.isfinite(self.noise):
            return math.inf
        # x - sqrt(2·noise·u + 4·x·u) = DRIFTED_SIZE, solved for x = PSI - noise.
        u = DOUBT**2 * self.uncertain
        half = DRIFTED_SIZE + 2 * u
        return self.noise + half + math.sqrt(half**2 - DRIFTED_SIZE**2 + 2 * self.noise * u)


def uncertainty(
    trained: NDArray[np.int64], live: NDArray[np.int64], dispersion: NDArray[np.float64], is_long: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the part of 1/N + φ/n, the variance of a share, that is in doubt where variables are watched.

    Training is the same sample in every check: where it happens to be off, it is so all month. So 1/N is in doubt
    always. Live rows are so in stretches longer than an hour, within which hours of the day differ; within an hour, a
    change is plain in few rows.

    Args:
        trained: N training rows, shape (variables,), like what follows.
        live: n live rows.
        dispersion: How many of these count as one, φ.
        is_long: Whether they came in more than an hour.
    """
    return 1 / np.maximum(trained, 1.0) + np.where(is_long, dispersion / np.maximum(live, 1.0), 0.0)


def judgements(
    baseline: NDArray[np.int64],
    live: NDArray[np.int64],
    firsts: NDArray[np.intp],
    verdicts: Sequence[Verdict | None],
    *,
    g: NDArray[np.float64],
    dispersion: NDArray[np.float64],
    limit: NDArray[np.float64],
    uncertain: NDArray[np.float64] | None = None,
) -> list[Judgement]:
    """Return what is known of each variable, given whether it has changed.

    Args:
        baseline: Training counts of all groups, one variable after the other, shape (groups,).
        live: Live counts of the same groups.
        firsts: For each variable, which of the groups is its first.
        verdicts: The verdict of each variable; None if its change is real, so that its size makes the verdict.
        g: G of the rows that count, shape (variables,), like what follows.
        dispersion: How many live rows count as one, φ.
        limit: What G must exceed.
        uncertain: See `uncertainty`; None for samples that are compared once.
    """
    if uncertain is None:
        uncertain = np.zeros(len(firsts))
    groups = per_variable((baseline + live > 0).astype(np.int64), firsts)
    psi = population_stability_indices(baseline, live, firsts)
    with np.errstate(divide="ignore", invalid="ignore"):
        noise = np.maximum(groups - 1, 0) * (
            1 / per_variable(baseline, firsts) + dispersion / per_variable(live, firsts)
        )
        noise = np.where(np.isnan(noise), np.inf, noise)
    found = []
    for verdict, *numbers in zip(
        verdicts, *(table.tolist() for table in (g, dispersion, limit, psi, noise, groups, uncertain)), strict=True
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
    uncertain: float = 0.0,
) -> Judgement:
    size, error = max(psi - noise, 0.0), math.inf
    if math.isfinite(noise):
        error = psi_error(size, noise, groups)
        size = max(size - DOUBT * math.sqrt(uncertain * (2 * noise + 4 * size)), 0.0)
    if verdict is None:
        verdict = "shifted" if size < DRIFTED_SIZE else "drifted" if size < MAJOR_SIZE else "major"
    return Judgement(verdict, g, dispersion, limit, psi, noise, error, size, groups, uncertain)


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
    g = g_statistic(baseline, np.asarray(live) / dispersion)
    limit = chi_squared_limit(alpha, np.size(baseline) - 1 if degrees is None else degrees)
    verdict: Verdict | None = None
    if min(np.sum(baseline), np.sum(live)) < MINIMUM_ROWS:
        verdict = "not enough data"
    elif g <= limit:
        verdict = "stable"
    c, d = counts_of(baseline, live)
    noise = psi_sampling_noise(c, d, dispersion=dispersion)
    psi = population_stability_index(c, d)
    return _judgement(verdict, g, dispersion, limit, psi, noise, int(np.count_nonzero(c + d)))
