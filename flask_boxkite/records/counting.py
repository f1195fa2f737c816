"""The cells of a baseline, counted from records by the very code that counts live, and the slots they came in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline import Baseline, Continuous, Distribution
from flask_boxkite.drift.tables import GroupSums
from flask_boxkite.live.counting import VariableCounter
from flask_boxkite.live.layout import Layout
from flask_boxkite.live.store import Increments
from flask_boxkite.payloads import Table
from flask_boxkite.records.alignment import Aligner, Row
from flask_boxkite.records.reading import Record

__all__ = ["Counter", "Counts", "is_answered", "with_counts"]

SegmentOf = Callable[[Record, "Row | None", "Row | None"], str]
"""Names the segment of a row: from its record, its features and its outputs; None for those that it has not."""

_ANSWERED = frozenset({"ok", None})
_status, _created_at = map(attrgetter, ("status", "created_at"))


@dataclass
class Counts:
    """What was counted of one segment.

    Attributes:
        cells: Of features and outputs, in the baseline's order, shape (cells,).
        slots: The counts of all groups by slot, shape (groups,) each.
        rows: Predicted rows.
    """

    cells: NDArray[np.int64]
    slots: dict[int, NDArray[np.int64]] = field(default_factory=dict)
    rows: int = 0

    @classmethod
    def none(cls, cells: int) -> Counts:
        """Return those of nothing."""
        return cls(np.zeros(cells, dtype=np.int64))

    def add(self, other: Counts) -> None:
        """Add what was counted of another segment."""
        self.cells = self.cells + other.cells
        self.rows += other.rows
        for slot, groups in other.slots.items():
            self.slots[slot] = self.slots.get(slot, 0) + groups

    def in_order(self) -> list[NDArray[np.int64]]:
        """Return the slots that have any rows, in the order of time."""
        return [self.slots[slot] for slot in sorted(self.slots)]


@dataclass
class _Rows:
    """Rows that are counted together."""

    features: list[Row] = field(default_factory=list)
    outputs: list[Row] = field(default_factory=list)
    rows: int = 0


class Counter:
    """Counts what was answered.

    Args:
        baseline: Whose cells are counted.
        slot_seconds: Length of a slot.
        others: Names of features that the baseline has not, but segments need.
        segment_of: Names the segment of a row; None for one that holds all.
    """

    def __init__(
        self,
        baseline: Baseline,
        slot_seconds: float,
        others: Sequence[str] = (),
        segment_of: SegmentOf | None = None,
    ) -> None:
        layout = Layout.of(baseline)
        self._size = layout.statuses_start
        self._features = VariableCounter(layout.features, 0, self._size)
        self._outputs = VariableCounter(layout.outputs, layout.outputs_start, self._size)
        self._groups = GroupSums((*layout.features, *layout.outputs))
        self._slot_seconds = slot_seconds
        self._width = len(layout.features)
        self._segment_of = segment_of
        self.aligner = Aligner(self._features.names, self._outputs.names, others)
        self.segments: dict[str, Counts] = {}

    def add(self, records: Sequence[Record]) -> None:
        """Count some records."""
        if not _ANSWERED.issuperset(map(_status, records)):
            records = [record for record in records if is_answered(record)]
        by_slot: defaultdict[int, list[Record]] = defaultdict(list)
        for record, seconds in zip(records, map(_created_at, records), strict=True):
            by_slot[int(seconds // self._slot_seconds)].append(record)
        for slot, group in by_slot.items():
            parts: defaultdict[str, _Rows] = defaultdict(_Rows)
            if self._segment_of is None:
                parts[""] = self._whole(group)
            else:
                for record in group:
                    self._split(record, parts)
            for segment, part in parts.items():
                self._count(segment, slot, part)

    def _whole(self, records: Sequence[Record]) -> _Rows:
        """Return the rows of all records."""
        if (single := self.aligner.single_rows(records)) is not None:
            features, outputs = single
            return _Rows(list(filter(self.aligner.has_known, features)), outputs, len(records))
        part = _Rows()
        for record in records:
            part.features += self.aligner.feature_rows(record) or ()
            part.outputs += self.aligner.output_rows(record) or ()
            part.rows += record.rows
        return part

    def _split(self, record: Record, parts: defaultdict[str, _Rows]) -> None:
        """Share out the rows of a record among segments."""
        assert self._segment_of is not None
        features, outputs = self.aligner.feature_rows(record) or (), self.aligner.output_rows(record) or ()
        for row, output in zip_longest(features, outputs):
            part = parts[self._segment_of(record, row, output)]
            part.rows += 1
            if row is not None:
                part.features.append(row[: self._width])
            if output is not None:
                part.outputs.append(output)
        if (unknown := record.rows - max(len(features), len(outputs))) > 0:
            parts[self._segment_of(record, None, None)].rows += unknown

    def _count(self, segment: str, slot: int, part: _Rows) -> None:
        cells = np.zeros(self._size, dtype=np.int64)
        for counter, rows in ((self._features, part.features), (self._outputs, part.outputs)):
            if rows and counter.names:
                _add(cells, counter.count(Table(None, rows)))
        found = Counts(cells, {slot: self._groups.of(cells)}, part.rows)
        if segment in self.segments:
            self.segments[segment].add(found)
        else:
            self.segments[segment] = found


def is_answered(record: Record) -> bool:
    """Say whether the values of a record count; records of boxkite 0.0.5 have no status."""
    return record.status in _ANSWERED


def with_counts(baseline: Baseline, counts: Counts) -> Baseline:
    """Return a baseline with the same bins and other counts."""
    start = 0
    found: list[Distribution] = []
    for item in (*baseline.features, *baseline.outputs):
        cells = counts.cells[start : start + len(item.cells)].tolist()
        start += len(cells)
        found.append(_with_cells(item, cells))
    split = len(baseline.features)
    return replace(baseline, features=tuple(found[:split]), outputs=tuple(found[split:]), rows=counts.rows)


def _with_cells(item: Distribution, cells: list[int]) -> Distribution:
    if isinstance(item, Continuous):
        *bins, missing, invalid = cells
        return replace(item, counts=tuple(bins), missing=missing, invalid=invalid)
    *categories, rare, unseen, missing, invalid = cells
    return replace(item, counts=tuple(categories), rare=rare, unseen=unseen, missing=missing, invalid=invalid)


def _add(cells: NDArray[Any], increments: Increments) -> None:
    """Add what a few rows or many have found."""
    cells += np.bincount(np.array(increments.cells, dtype=np.intp), minlength=len(cells))
    if increments.wide is not None:
        cells[increments.wide] += 1
    if increments.block is not None:
        cells += increments.block
