"""The layout of a block of live counts: the index of each cell.

A model's bins are known before the first request, so its layout is fixed for the life of a baseline: the cells of
every feature, then of every output (`baseline.distribution`), whole rows by their hash, then request counts. A second,
small block holds sums, which are floats. A sink's block counts its records by what happened to them.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import MutableSequence, Sequence

from flask_boxkite.baseline import Baseline, Distribution
from flask_boxkite.baseline.variables import variables_of
from flask_boxkite.live.store import Section, section_key
from flask_boxkite.naming import CAPTURE_REASONS, DROP_REASONS, FAILED_STATES, STATE_FILES, STATUSES
from flask_boxkite.values.rowhash import ROW_BUCKETS

__all__ = [
    "ACCEPTED",
    "BACKOFF_MS",
    "DELIVERED",
    "DROPPED",
    "DURATION_BOUNDS",
    "FILES",
    "FORMAT",
    "LAST_DELIVERY_MS",
    "RETRIES",
    "SINK_CELLS",
    "TAKEN_OVER",
    "UNSPOOLED",
    "WAITING_BYTES",
    "Layout",
    "count_lost_records",
    "is_sink",
    "sink_name",
    "waiting_of_process",
]

DURATION_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the duration histogram, in seconds."""

# Cells of a sink. Readers copy cells in this order, so a torn read never shows more records settled than accepted.
DELIVERED = 0
DROPPED = {reason: cell for cell, reason in enumerate(DROP_REASONS, 1)}
WAITING_BYTES, RETRIES, UNSPOOLED, LAST_DELIVERY_MS, BACKOFF_MS, TAKEN_OVER, ACCEPTED = range(
    len(DROP_REASONS) + 1, len(DROP_REASONS) + 8
)
SINK_CELLS = ACCEPTED + 1

FILES = Section(section_key("files"), len(STATE_FILES), 0)
"""Number of state files by what happened to them (`naming.STATE_FILES`)."""

_NAMES = (STATUSES, DURATION_BOUNDS, CAPTURE_REASONS, FAILED_STATES, DROP_REASONS, STATE_FILES)
FORMAT = zlib.crc32(repr((5, *_NAMES)).encode())
"""Hash of all names that a layout depends on besides the baseline; numbers of another format are not read."""


class Layout:
    """The cells of one model.

    Attributes:
        features: Distributions of the features, for their bins.
        outputs: Distributions of the outputs.
        variables: Both, each with its slice of cells.
        outputs_start: First cell of the outputs.
        buckets_start: First of the `ROW_BUCKETS` cells in which rows are counted; without variables they stay empty.
        squares: Cell of the sum of squares of the requests' numbers of rows.
        statuses_start: First cell of the predictions by status.
        durations_start: First cell of the duration bins.
        captures_start: First cell of the capture errors by reason.
        failed_start: First cell of the features of failed requests: `FAILED_STATES` of one feature after the other.
        size: Number of cells.
        duration_sum: Index of the sum of durations; it stands behind two sums per output, of positive and of negative
            values.
        sums_size: Number of sums.
    """

    def __init__(self, features: Sequence[Distribution], outputs: Sequence[Distribution]) -> None:
        self.features = tuple(features)
        self.outputs = tuple(outputs)
        self.variables = variables_of(self.features, self.outputs)
        ends = [item.cells.stop for item in self.variables]
        self.outputs_start = ends[len(self.features) - 1] if self.features else 0
        self.buckets_start = ends[-1] if ends else 0
        self.squares = self.buckets_start + ROW_BUCKETS
        self.statuses_start = self.squares + 1
        self.durations_start = self.statuses_start + len(STATUSES)
        self.captures_start = self.durations_start + len(DURATION_BOUNDS) + 1
        self.failed_start = self.captures_start + len(CAPTURE_REASONS)
        self.size = self.failed_start + len(FAILED_STATES) * len(self.features)
        self.duration_sum = 2 * len(self.outputs)
        self.sums_size = self.duration_sum + 1

    @classmethod
    def of(cls, baseline: Baseline | None) -> Layout:
        """Return the layout for a baseline; without a baseline, only requests are counted."""
        return cls(baseline.features, baseline.outputs) if baseline else cls((), ())


def is_sink(key: str) -> bool:
    """Say whether a section belongs to a sink."""
    return key.startswith('["sink"')


def sink_name(key: str) -> str:
    """Return the name of the sink whose section this is."""
    return str(json.loads(key)[1])


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
