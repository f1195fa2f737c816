"""Is it real, and is it big? Two questions, two numbers, one verdict.

The G-test on the groups says whether live rows can still come from the training population; the population stability
index, less what sampling alone gives it, says how far they have moved. A large window makes small shifts real but not
big; a small window makes big-looking shifts that are not real. Rows that repeat each other count for less: G is divided
by the `dispersion` of the window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from flask_boxkite.drift.statistics import (
    chi_squared_limit,
    g_statistic,
    population_stability_index,
    psi_sampling_noise,
)

__all__ = ["DRIFTED_SIZE", "MAJOR_SIZE", "MINIMUM_ROWS", "MOVED", "WORST_FIRST", "Judgement", "Verdict", "judge"]

Verdict: TypeAlias = Literal["not enough data", "stable", "shifted", "drifted", "major"]

WORST_FIRST: tuple[Verdict, ...] = ("major", "drifted", "shifted", "stable", "not enough data")
"""The order in which things are shown."""

MOVED = frozenset({"drifted", "major"})
"""Verdicts of what has drifted, and alerts are for."""

MINIMUM_ROWS = 30
"""Rows, of training and live each, below which nothing is judged."""

DRIFTED_SIZE = 0.1
MAJOR_SIZE = 0.25
"""From which size on a significant shift is ``drifted``, ``major``: the usual marks for PSI."""


@dataclass(frozen=True)
class Judgement:
    """What is known of one variable.

    Attributes:
        verdict: ``not enough data``, ``stable`` (not significant), ``shifted`` (significant, but small), ``drifted``
            (size >= 0.1) or ``major`` (size >= 0.25).
        g: The G statistic.
        dispersion: What it is divided by, φ, since rows may repeat each other.
        limit: What G/φ must exceed to be significant.
        psi: The population stability index.
        noise: What sampling alone gives it; infinite without rows.
        size: PSI less that, at least 0.
    """

    verdict: Verdict
    g: float
    dispersion: float
    limit: float
    psi: float
    noise: float
    size: float

    @property
    def psi_limit(self) -> float:
        """What PSI must reach to be called drift, if it is significant."""
        return self.noise + DRIFTED_SIZE


def judge(
    baseline: ArrayLike, live: ArrayLike, *, alpha: float, dispersion: float = 1.0, degrees: int | None = None
) -> Judgement:
    """Judge one variable.

    Args:
        baseline: Training counts per group, shape (groups,).
        live: Live counts of the same groups.
        alpha: Probability of calling a variable drifted that is not.
        dispersion: Of the window's time slots, at least 1; 1 where nothing is known of it.
        degrees: Degrees of freedom of G (`degrees_of_freedom`); None for one less than there are groups.

    Raises:
        BinMismatchError: The shapes differ.

    >>> judge([50, 50], [90, 10], alpha=1e-5).verdict
    'major'
    """
    psi = population_stability_index(baseline, live)
    noise = psi_sampling_noise(baseline, live)
    size = max(psi - noise, 0.0)
    g = g_statistic(baseline, live)
    limit = chi_squared_limit(alpha, np.size(baseline) - 1 if degrees is None else degrees)
    verdict = _verdict(np.sum(baseline), np.sum(live), g / dispersion > limit, size)
    return Judgement(verdict, g, dispersion, limit, psi, noise, size)


def _verdict(trained: float, served: float, is_significant: bool, size: float) -> Verdict:
    if min(trained, served) < MINIMUM_ROWS:
        return "not enough data"
    if not is_significant:
        return "stable"
    if size < DRIFTED_SIZE:
        return "shifted"
    return "drifted" if size < MAJOR_SIZE else "major"
