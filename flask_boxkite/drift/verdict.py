"""Verdicts: is a change real, and is it big? Two questions, two numbers, one verdict.

The G-test on the groups says whether live rows can still come from the training population (`scan`). The population
stability index, less its sampling noise, says how far they have moved. In a large sample, small shifts are real but not
big; in a small sample, shifts may look big but not be real.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flask_boxkite.drift.scan import MINIMUM_ROWS, State
from flask_boxkite.drift.statistics import (
    chi_squared_limit,
    g_statistic,
    population_stability_index,
    population_stability_indices,
    psi_error,
    psi_sampling_noise,
)
from flask_boxkite.drift.tables import counts_of, per_variable
from flask_boxkite.policies import DRIFTED_SIZE, MAJOR_SIZE

__all__ = [
    "DOUBT",
    "DRIFTED_SIZE",
    "IGNORED",
    "MAJOR_SIZE",
    "MINIMUM_ROWS",
    "MOVED",
    "WORST_FIRST",
    "Judgement",
    "Verdict",
    "judge",
    "judgement_of",
    "judgements",
    "uncertainty",
    "verdict_of",
]

Verdict: TypeAlias = Literal["ignored", "not enough data", "stable", "unclear", "shifted", "drifted", "major"]

IGNORED: Verdict = "ignored"
"""Verdict on a variable or pair that is not judged, by the user's policies."""

WORST_FIRST: tuple[Verdict, ...] = ("major", "drifted", "shifted", "unclear", "stable", "not enough data", IGNORED)
"""Order in which verdicts are shown."""

MOVED = frozenset({"drifted", "major"})
"""Verdicts that mean drift, and that raise alerts."""

DOUBT = 3.0
"""Number of standard errors taken off PSI, where samples are compared again and again (`uncertainty`).

A change that passes a limit by chance looks larger than it is. A feature that swings by 0.3 standard deviations in the
course of a day has a PSI of 0.09 at its worst hours: a real change, but a small one. Without this, a model of 100 such
features would be called ``drifted`` thousands of times a month."""


@dataclass(frozen=True)
class Judgement:
    """The verdict on one variable, and its numbers.

    Attributes:
        verdict: ``not enough data``, ``stable`` (not significant), ``unclear`` (significant only if rows are
            independent, which they may not be), ``shifted`` (significant, but small), ``drifted``, ``major``, or
            ``ignored`` (not judged; the numbers are as if its weight were 1).
        g: G statistic of the rows that count: live rows / dispersion.
        dispersion: Number of live rows that count as one, φ, since rows may recur or be alike.
        limit: Value that G must exceed to be significant.
        psi: Population stability index.
        noise: PSI that sampling alone gives; infinite without rows.
        error: Standard error of PSI.
        size: PSI less the noise, and less `DOUBT` standard errors as far as they come from *uncertain*; at least 0.
        groups: Number of groups that are not empty on both sides.
        uncertain: Part of 1/N + φ/n that is in doubt, see `uncertainty`.
        drifted_size: Size from which a significant change is ``drifted``.
        major_size: Size from which it is ``major``.
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
    drifted_size: float = DRIFTED_SIZE
    major_size: float = MAJOR_SIZE

    @property
    def psi_limit(self) -> float:
        """The PSI from which a significant change is called drift, with the size `drifted_size`."""
        if not math.isfinite(self.noise):
            return math.inf
        # x - sqrt(2·noise·u + 4·x·u) = drifted_size, solved for x = PSI - noise.
        u = DOUBT**2 * self.uncertain
        half = self.drifted_size + 2 * u
        return self.noise + half + math.sqrt(half**2 - self.drifted_size**2 + 2 * self.noise * u)


def uncertainty(
    trained: NDArray[np.int64], live: NDArray[np.int64], dispersion: NDArray[np.float64], is_long: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the part of 1/N + φ/n, the variance of a share, that is in doubt where variables are checked repeatedly.

    Training is the same sample in every check: an error in it lasts all month, so 1/N is always in doubt. Live rows are
    in doubt in stretches longer than an hour, because hours of the day differ. Within an hour, few rows show a change.

    Args:
        trained: Number N of training rows, shape (variables,), like the other arguments.
        live: Number n of live rows.
        dispersion: Number of live rows that count as one, φ.
        is_long: Whether the live rows span more than an hour.
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
    drifted: NDArray[np.float64] | float = DRIFTED_SIZE,
    major: NDArray[np.float64] | float = MAJOR_SIZE,
) -> list[Judgement]:
    """Return the judgement on each variable, given whether it has changed.

    Args:
        baseline: Training counts of all groups, one variable after the other, shape (groups,).
        live: Live counts of the same groups.
        firsts: Index of each variable's first group.
        verdicts: Verdict of each variable; None if its change is real, so that its size makes the verdict.
        g: G of the rows that count, shape (variables,), like the arguments that follow.
        dispersion: Number of live rows that count as one, φ.
        limit: Value that G must exceed.
        uncertain: Variance in doubt, see `uncertainty`; None for samples that are compared once.
        drifted: Size from which each variable is ``drifted``, or one for all.
        major: Size from which each is ``major``, or one for all.
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

    sizes = (np.broadcast_to(size, firsts.shape) for size in (drifted, major))
    tables = (g, dispersion, limit, psi, noise, groups, uncertain, *sizes)
    rows = zip(verdicts, *(table.tolist() for table in tables), strict=True)
    return [_judgement(verdict, *numbers) for verdict, *numbers in rows]


def _judgement(
    verdict: Verdict | None,
    g: float,
    dispersion: float,
    limit: float,
    psi: float,
    noise: float,
    groups: int,
    uncertain: float = 0.0,
    drifted: float = DRIFTED_SIZE,
    major: float = MAJOR_SIZE,
) -> Judgement:
    size, error = max(psi - noise, 0.0), math.inf
    if math.isfinite(noise):
        error = psi_error(size, noise, groups)
        size = max(size - DOUBT * math.sqrt(uncertain * (2 * noise + 4 * size)), 0.0)
    if verdict is None:
        verdict = "shifted" if size < drifted else "drifted" if size < major else "major"
    return Judgement(verdict, g, dispersion, limit, psi, noise, error, size, groups, uncertain, drifted, major)


def verdict_of(state: State) -> Verdict | None:
    """Return the verdict that follows from a state alone; None if it depends on the size."""
    if state == State.CALLED:
        return None
    return {State.FEW_ROWS: "not enough data", State.WITHIN_LIMIT: "stable"}.get(state, "unclear")  # type: ignore[return-value]


def judgement_of(
    verdict: Verdict | None,
    *,
    g: float,
    dispersion: float,
    limit: float,
    degrees: int,
    trained: int,
    live: int,
    uncertain: float = 0.0,
) -> Judgement:
    """Return the judgement by a likelihood-ratio statistic, whose value per row takes the place of PSI.

    Of a small change, G·(1/N + φ/n) is about as large as the PSI, and the degrees of freedom times the same are its
    noise.

    Args:
        verdict: Verdict; None if the change is real, so that its size makes the verdict.
        g: G of the rows that count.
        dispersion: Number of live rows that count as one, φ.
        limit: Value that G must exceed.
        degrees: Degrees of freedom of G.
        trained: Number N of training rows.
        live: Number n of live rows.
        uncertain: Variance in doubt, see `uncertainty`.

    References:
        Kullback, Information Theory and Statistics, 1959, 6.3 (divergence and χ²).
    """
    per_row = 1 / trained + dispersion / live if trained and live else math.inf
    return _judgement(
        verdict, g, dispersion, limit, g * per_row if g else 0.0, degrees * per_row, degrees + 1, uncertain
    )


def judge(
    baseline: ArrayLike, live: ArrayLike, *, alpha: float, dispersion: float = 1.0, degrees: int | None = None
) -> Judgement:
    """Judge one variable by one sample.

    Args:
        baseline: Training counts per group, shape (groups,).
        live: Live counts of the same groups.
        alpha: Probability of a false alarm.
        dispersion: Number of live rows that count as one, at least 1.
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
