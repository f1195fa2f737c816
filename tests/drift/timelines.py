"""Timelines for tests: rows of one variable or more, minute by minute until now."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flask_boxkite.drift.timeline import MINUTE, Timeline
from flask_boxkite.values.rowhash import ROW_BUCKETS

__all__ = ["NOW", "buckets_of_rows", "timeline_of"]

NOW = 1_800_000_000.0
"""The beginning of a minute, and of a quarter of an hour."""


def buckets_of_rows(rows: ArrayLike, repeats: int = 1, seed: int = 0) -> NDArray[np.int64]:
    """Return the buckets of rows of which each comes so many times in its slot, the others being different.

    Args:
        rows: Rows in each slot, shape (slots,); multiples of *repeats*.
        repeats: How many times each comes.
        seed: Of random numbers.
    """
    rng = np.random.default_rng(seed)
    return rng.multinomial(np.asarray(rows) // repeats, np.full(ROW_BUCKETS, 1 / ROW_BUCKETS)) * repeats


def timeline_of(
    slots: ArrayLike,
    *,
    seconds: float = MINUTE,
    buckets: ArrayLike | None = None,
    in_requests: int = 1,
    rows: ArrayLike | None = None,
    before: ArrayLike | None = None,
) -> Timeline:
    """Return the timeline of slots that end now.

    Args:
        slots: Rows per group, shape (slots, groups).
        seconds: How long each lasts.
        buckets: Rows per bucket, shape (slots, ROW_BUCKETS); None: all rows differ.
        in_requests: How many rows each request has.
        rows: Rows in each slot; None for the sum of all groups, which belong to one variable.
        before: Rows per group of a slot that has no beginning, before the others, if there is one.
    """
    table = np.asarray(slots, dtype=np.int64)
    counted = table.sum(axis=1) if rows is None else np.asarray(rows)
    starts = NOW - seconds * np.arange(len(table), 0, -1)
    if before is not None:
        table = np.vstack([np.asarray(before), table])
        counted, starts = np.append(table[0].sum(), counted), np.append(-np.inf, starts)
    return Timeline.of_slots(
        starts, table, buckets_of_rows(counted) if buckets is None else buckets, counted * in_requests, NOW
    )
