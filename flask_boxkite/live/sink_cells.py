"""The cells of a sink: its records, counted by outcome."""

from __future__ import annotations

import time
from collections.abc import MutableSequence, Sequence

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.naming import DROP_REASONS

__all__ = [
    "ACCEPTED",
    "BACKOFF_MS",
    "DELIVERED",
    "DROPPED",
    "LAST_DELIVERY_MS",
    "RETRIES",
    "SINK_CELLS",
    "TAKEN_OVER",
    "UNSPOOLED",
    "WAITING_BYTES",
    "count_lost_records",
    "sum_of_sinks",
    "waiting_of_process",
]

# Readers copy cells in this order, so a torn read never shows more records settled than accepted.
DELIVERED = 0
DROPPED = {reason: cell for cell, reason in enumerate(DROP_REASONS, 1)}
WAITING_BYTES, RETRIES, UNSPOOLED, LAST_DELIVERY_MS, BACKOFF_MS, TAKEN_OVER, ACCEPTED = range(
    len(DROP_REASONS) + 1, len(DROP_REASONS) + 8
)
SINK_CELLS = ACCEPTED + 1


def waiting_of_process(cells: Sequence[int]) -> int:
    """Return the number of records that wait in one process.

    Records that it delivered for a dead process are accepted in that one's cells, so a cell of their own counts them.
    """
    gone = cells[DELIVERED] + sum(cells[cell] for cell in DROPPED.values())
    return cells[ACCEPTED] + cells[TAKEN_OVER] - gone


def count_lost_records(cells: MutableSequence[int], spooled: int) -> int:
    """Count the records in the memory of a dead process as dropped, in the cells of its sink; return their number.

    Args:
        cells: Cells of the process.
        spooled: Number of its records on disk. A process that was killed may not have counted the last one.
    """
    waiting = waiting_of_process(cells)
    lost = max(waiting - spooled, 0)
    cells[DROPPED["process_died"]] += lost
    cells[ACCEPTED] += max(spooled - waiting, 0)
    cells[WAITING_BYTES] = cells[BACKOFF_MS] = 0
    return lost


def sum_of_sinks(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sum of two processes' cells; of a backoff and of times, the larger.

    Args:
        one: Cells of a process, shape (SINK_CELLS,).
        other: Cells of another process, of the same shape.
    """
    cells = one + other
    cells[BACKOFF_MS] = max(one[BACKOFF_MS], other[BACKOFF_MS])
    # The latest time that is not in the future: a time from a clock that was ahead would hide all later ones.
    now = time.time() * 1000
    cells[LAST_DELIVERY_MS] = max(one[LAST_DELIVERY_MS], other[LAST_DELIVERY_MS], key=lambda at: (at <= now, at))
    return cells
