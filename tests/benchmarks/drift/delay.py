"""How long after a change in full traffic a check calls it, of a model with many features."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.drift.scan import MINIMUM_ROWS, State, scan
from flask_boxkite.drift.statistics import chi_squared_limit
from flask_boxkite.drift.timeline import MINUTE, Timeline
from flask_boxkite.values.rowhash import ROW_BUCKETS

from .cells import ONE, TRAINED
from .models import moved_deciles
from .month import ALPHA, FEATURES
from .repeats import NOW
from .rules import g_of_windows

__all__ = ["BEFORE", "RATES", "Delay", "delays"]

RATES = (8, 60, 600)
"""Rows a minute."""

BEFORE = (60, 10)
"""Minutes that the server has run."""

LONGEST = 60
"""Minutes that are looked at."""


def _with_missing(shares: NDArray[np.float64], missing: float) -> NDArray[np.float64]:
    return np.append((1 - missing) * shares[:-1], missing)


CHANGES = {
    "normal +1 sd": (moved_deciles(0.0), moved_deciles(1.0)),
    "25 % missing": (moved_deciles(0.0), _with_missing(moved_deciles(0.0), 0.25)),
    "category 50 to 80 %": (np.array([0.5, 0.5, 0.0, 0.0]), np.array([0.8, 0.2, 0.0, 0.0])),
    "constant all missing": (np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0])),
}


@dataclass(frozen=True)
class Delay:
    """How long it takes.

    Attributes:
        change: What happens.
        rate: Rows a minute.
        before: Minutes that the server has run.
        minutes: Until the variable is called, the median; infinite where it is not within the hour.
        known: The same of a test that knows when the change began, and that rows are independent.
    """

    change: str
    rate: int
    before: int
    minutes: float
    known: float


def delays(runs: int, seed: int) -> list[Delay]:
    """Simulate all changes, rates and ages, so many times each."""
    rng = np.random.default_rng(seed)
    found = []
    for change in CHANGES:
        for rate in RATES:
            for before in BEFORE:
                pairs = np.array([_delay(rng, change, rate, before) for _ in range(runs)])
                minutes, known = (float(np.sort(column)[runs // 2]) for column in pairs.T)
                found.append(Delay(change, rate, before, minutes, known))
    return found


def _delay(rng: np.random.Generator, change: str, rate: int, before: int) -> tuple[float, float]:
    """Return after how many minutes one run is called, and would be if it were known when the change began."""
    first, then = CHANGES[change]
    trained, degrees = np.round(first * TRAINED).astype(np.int64), len(first) - 1
    rows = rng.poisson(rate, before + LONGEST)
    table = np.vstack([rng.multinomial(rows[:before], first), rng.multinomial(rows[before:], then)])
    buckets = rng.multinomial(rows, np.full(ROW_BUCKETS, 1 / ROW_BUCKETS))
    since = np.cumsum(table[before:], axis=0)
    is_above = g_of_windows(trained, since) > chi_squared_limit(ALPHA / FEATURES, degrees)
    is_known = np.append(is_above & (since.sum(axis=1) >= MINIMUM_ROWS), True)
    known = float(np.argmax(is_known)) + 1
    for minute in range(1, LONGEST + 1):
        end = before + minute
        starts = NOW + MINUTE * np.arange(-end, 0)
        timeline = Timeline.of_slots(starts, table[:end], buckets[:end], rows[:end], NOW)
        found = scan(trained, timeline, ONE, np.array([degrees]), alpha=ALPHA / FEATURES, collisions=0.0).decide()
        if found.state[0] == State.CALLED:
            return minute, known if known <= LONGEST else math.inf
    return math.inf, known if known <= LONGEST else math.inf
