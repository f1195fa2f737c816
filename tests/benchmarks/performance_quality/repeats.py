"""False alarms where rows come in clumps: each row several times, in one slot of time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.performance.significance import dispersion_of, mantel_haenszel, signed_root

from .scores import Population
from .windows import ALPHA, Sample, limit

__all__ = ["SLOTS", "TIMES", "VISITS", "Repeats", "repeats_of"]

SLOTS = 60
TIMES = (1, 2, 4)
VISITS = (1, 5, 50)
"""Different rows per slot."""


@dataclass(frozen=True)
class Repeats:
    """How often windows without a change were called worse.

    Attributes:
        population: Its name.
        visits: Different rows per slot.
        times: How many times each row came.
        called: Share of windows by G and by Mantel and Haenszel's test, with dispersion.
        independent: The same shares if rows are taken for independent.
    """

    population: str
    visits: int
    times: int
    called: tuple[float, float]
    independent: tuple[float, float]


def repeats_of(population: Population, trained: int, windows: int, seed: int) -> Iterator[Repeats]:
    """Yield how often windows are called, for each number of rows and repeats."""
    rng = np.random.default_rng([seed, 3, *population.name.encode()])
    shares = population.cells()
    shape, first = shares.shape, population.first_positive
    before = Sample.of(rng.multinomial(trained, shares.ravel() / shares.sum(), windows).reshape(-1, *shape), first)
    for visits in VISITS:
        drawn = rng.multinomial(visits * SLOTS, shares.ravel() / shares.sum(), windows).reshape(-1, *shape)
        wrong = Sample.of(drawn, first).wrong.sum(axis=1)
        for times in TIMES:
            phi = np.array([_dispersion(rng, int(number), visits, times) for number in wrong])
            live = Sample.of(drawn * times, first)
            yield Repeats(
                population.name, visits, times, _called(live, before, phi), _called(live, before, np.ones(windows))
            )


def _dispersion(rng: np.random.Generator, wrong: int, visits: int, times: int) -> float:
    """Return the dispersion of a window of which so many visits are wrong, in any of its slots."""
    in_slots = rng.multivariate_hypergeometric(np.full(SLOTS, visits), wrong)
    return dispersion_of(in_slots * times, np.full(SLOTS, visits * times))


def _called(live: Sample, before: Sample, phi: NDArray[np.float64]) -> tuple[float, float]:
    totals = [counts.sum(axis=1) for counts in (live.wrong, live.rows, before.wrong, before.rows)]
    by_root = signed_root(*totals, phi)
    within = mantel_haenszel(live.wrong, live.rows, before.wrong, before.rows, dispersion=phi)
    return float(np.mean(by_root > limit(ALPHA))), float(np.mean(within > limit(ALPHA)))
