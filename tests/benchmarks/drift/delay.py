"""How long after a change in full traffic a check of the last hour finds it, as its window holds what came before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from flask_boxkite.drift.dispersion import dispersion
from flask_boxkite.drift.verdict import judge

from .cells import TRAINED
from .month import ALPHA, FEATURES, WINDOW

__all__ = ["BEFORE", "RATES", "Delay", "delays"]

RATES = (8, 60, 600)
"""Rows a minute."""

BEFORE = (60, 10)
"""Minutes that the server has run."""

NEVER = WINDOW + 1

_TENTHS = stats.norm.ppf(np.arange(1, 10) / 10)


def _tenths(by: float, missing: float = 0.0) -> list[float]:
    """Return the shares of below, the ten parts that training had, above and missing after a shift."""
    inside = np.diff(stats.norm.cdf(_TENTHS - by), prepend=0.0, append=1.0)
    return [0.0, *(1 - missing) * inside, 0.0, missing]


CHANGES = {
    "normal +1 sd": (_tenths(0), _tenths(1)),
    "25 % missing": (_tenths(0), _tenths(0, 0.25)),
    "category 50 to 80 %": ([0.5, 0.5, 0.0, 0.0], [0.8, 0.2, 0.0, 0.0]),
    "constant all missing": ([1.0, 0.0, 0.0], [0.0, 0.0, 1.0]),
}


@dataclass(frozen=True)
class Delay:
    """How long it takes.

    Attributes:
        change: What happens.
        rate: Rows a minute.
        before: Minutes that the server has run.
        minutes: Until the variable is called, the median; `NEVER` where it is not within the hour.
        alone: The same without regard to dispersion, as if rows were known to be independent.
    """

    change: str
    rate: int
    before: int
    minutes: float
    alone: float


def delays(runs: int, seed: int) -> list[Delay]:
    """Simulate all changes, rates and ages, so many times each."""
    rng = np.random.default_rng(seed)
    found = []
    for change in CHANGES:
        for rate in RATES:
            for before in BEFORE:
                pairs = np.array([_delay(rng, change, rate, before) for _ in range(runs)])
                minutes, alone = np.median(pairs, axis=0).tolist()
                found.append(Delay(change, rate, before, minutes, alone))
    return found


def _delay(rng: np.random.Generator, change: str, rate: int, before: int) -> tuple[int, int]:
    """Return after how many minutes one run is called, and would be without dispersion."""
    first, then = CHANGES[change]
    trained = np.round(np.array(first) * TRAINED)
    rows = rng.poisson(rate, before + WINDOW)
    table = np.vstack([rng.multinomial(rows[:before], first), rng.multinomial(rows[before:], then)])
    alone = NEVER
    for minute in range(1, WINDOW + 1):
        slots = table[max(before + minute - WINDOW, 0) : before + minute]
        if not _is_called(trained, slots, 1.0):
            continue
        alone = min(alone, minute)
        if _is_called(trained, slots, dispersion(slots)):
            return minute, alone
    return NEVER, alone


def _is_called(trained: NDArray[np.float64], slots: NDArray[np.int64], phi: float) -> bool:
    judged = judge(trained, slots.sum(axis=0), alpha=ALPHA / FEATURES, dispersion=phi, degrees=len(trained) - 1)
    return judged.verdict not in ("stable", "not enough data")
