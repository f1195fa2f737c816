"""Simulated windows of pairs: normal variables, of which one depends on the other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.pairs import CELLS, PARTS
from flask_boxkite.drift.association import association_degrees, association_statistics
from flask_boxkite.drift.scan import State, scan
from flask_boxkite.drift.statistics import chi_squared_limit
from flask_boxkite.drift.timeline import MINUTE, Timeline
from flask_boxkite.values.rowhash import ROW_BUCKETS

__all__ = ["ALPHA", "CHANGES", "Traffic", "share_called"]

ALPHA = 1e-3
PAIRS = 10
"""Pairs that are judged at once."""

START = 1_800_000_000.0
QUARTERS = np.array([-0.67449, 0.0, 0.67449])

CHANGES = {
    "none": "nothing has changed",
    "one moved": "the first variable is half a standard deviation larger, the relation is the same",
    "both moved": "the first variable is as much larger, and the second follows it",
    "shuffled": "the second variable is of another row",
    "20 % misjoined": "so it is in 20 % of the rows",
}

Pair = NDArray[np.float64]


@dataclass(frozen=True)
class Traffic:
    """The rows of a window.

    Attributes:
        minutes: Number of minutes.
        rows: Rows in each of them.
        repeats: How often each row comes.
        in_batches: Whether a row comes with its repeats in one request, instead of one for each.
    """

    minutes: int
    rows: int
    repeats: int = 1
    in_batches: bool = False


def share_called(
    rng: np.random.Generator, correlation: float, trained: int, traffic: Traffic, change: str, windows: int
) -> float:
    """Return the share of windows of pairs that are called.

    Args:
        rng: Source of chance.
        correlation: Correlation of both variables of a pair.
        trained: Training rows.
        traffic: Live rows.
        change: One of `CHANGES`.
        windows: Number of windows, each of `PAIRS` pairs with a training set of their own.
    """
    called = 0
    for _ in range(windows):
        counts = _table(*_drawn(rng, correlation, trained))
        degrees = association_degrees(counts)
        limits = np.array([chi_squared_limit(ALPHA, int(k)) for k in degrees])
        scanned = scan(
            counts,
            _timeline(rng, correlation, traffic, change),
            np.arange(PAIRS) * CELLS,
            degrees,
            alpha=ALPHA,
            collisions=0.0,
            statistic=partial(association_statistics, least=limits),
        )
        called += int(np.count_nonzero(scanned.decide().state == State.CALLED))
    return called / (windows * PAIRS)


def _timeline(rng: np.random.Generator, correlation: float, traffic: Traffic, change: str) -> Timeline:
    slots, buckets, squares = [], [], []
    for _ in range(traffic.minutes):
        different = traffic.rows // traffic.repeats
        first, second = _changed(rng, *_drawn(rng, correlation, different), correlation, change)
        slots.append(_table(*(np.repeat(values, traffic.repeats, axis=0) for values in (first, second))))
        hashes = np.repeat(rng.integers(0, ROW_BUCKETS, different), traffic.repeats)
        buckets.append(np.bincount(hashes, minlength=ROW_BUCKETS))
        squares.append(len(hashes) * (traffic.repeats if traffic.in_batches else 1))
    starts = START + MINUTE * np.arange(traffic.minutes)
    return Timeline.of_slots(starts, np.array(slots), np.array(buckets), squares, starts[-1] + MINUTE)


def _drawn(rng: np.random.Generator, correlation: float, rows: int) -> tuple[Pair, Pair]:
    first, error = rng.normal(size=(2, rows, PAIRS))
    return first, correlation * first + np.sqrt(1 - correlation**2) * error


def _changed(rng: np.random.Generator, first: Pair, second: Pair, correlation: float, change: str) -> tuple[Pair, Pair]:
    if change in ("one moved", "both moved"):
        return first + 0.5, second + 0.5 * correlation * (change == "both moved")
    rows = {"shuffled": len(second), "20 % misjoined": len(second) // 5}.get(change, 0)
    second[:rows] = rng.permuted(second[:rows], axis=0)
    return first, second


def _table(first: Pair, second: Pair) -> NDArray[np.int64]:
    """Return the rows by the parts of both variables, one pair after the other."""
    places = np.searchsorted(QUARTERS, first) * PARTS + np.searchsorted(QUARTERS, second)
    return np.stack([np.bincount(column, minlength=CELLS) for column in places.T]).ravel()
