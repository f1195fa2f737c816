"""Counts of records in the cells of a baseline, by slots of time, with the same code that counts live.

Slots are the same as for live counts: 10 seconds in the last five minutes before the end, a minute in the last hour, a
quarter of an hour in the last day; all time before that is one slot.

A live row counts when its response is ready, a record by the whole second in which its request came (`created_at`). So
a request that is under way when a slot begins is in the slot before: a stretch may differ from live by such rows.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import compress, zip_longest
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline import Baseline
from flask_boxkite.drift.tables import GroupSums
from flask_boxkite.drift.timeline import REACHES
from flask_boxkite.live.counting import VariableCounter
from flask_boxkite.live.failed import Failures
from flask_boxkite.live.model_cells import ModelCells
from flask_boxkite.live.pair_cells import pair_cells
from flask_boxkite.records.alignment import Row, aligner_of
from flask_boxkite.records.decoding import Record
from flask_boxkite.records.failed import FAILED, FailedRows
from flask_boxkite.records.parquet.counting import ColumnRows
from flask_boxkite.records.segment_counts import SegmentCounts, Slot, whole_of
from flask_boxkite.values.unread import Examples, UnreadValue

__all__ = ["CountedRows", "RecordCounter", "SegmentOf", "Tallies", "is_answered", "slot_begin"]

SegmentOf = Callable[[Record, "Row | None", "Row | None"], str]
"""Names the segment of a row from its record, its features and its outputs, either of which may be None."""

_MARGIN_SECONDS = 60.0
"""Added to each reach, because the last file may be named after a minute without records."""

_NO_PAIRS = np.zeros(0, dtype=np.int64)

_ANSWERED = frozenset({"ok", None})
_status, _created_at = map(attrgetter, ("status", "created_at"))


@dataclass
class CountedRows:
    """Rows that are counted together.

    Attributes:
        features: Rows of features: a list, or `ColumnRows`.
        outputs: Rows of outputs, likewise.
        joined: Number of the first rows of both that belong together.
        rows: Number of predicted rows.
        squares: Sum of the squares of the requests' numbers of rows.
        first: Time of the first row.
        last: Time of the last row.
    """

    features: Any = field(default_factory=list)
    outputs: Any = field(default_factory=list)
    joined: int = 0
    rows: int = 0
    squares: int = 0
    first: float = math.inf
    last: float = -math.inf

    def at(self, first: float, last: float) -> None:
        """Note the times of some rows."""
        self.first, self.last = min(self.first, first), max(self.last, last)


@dataclass
class Tallies:
    """The counts of one counter.

    Attributes:
        segments: Counts of answered rows, by segment.
        failed: Counts of failed rows, in the order of the model's cells.
        unread: Examples of values that count as invalid, by side and name of the variable.
        surplus: Number of rows of segments beyond the ones of their records, which had more outputs than rows.
    """

    segments: dict[str, SegmentCounts]
    failed: NDArray[np.int64]
    unread: dict[tuple[str, str], Examples]
    surplus: int


class RecordCounter:
    """Counts the answered rows of records, and apart from them the rows of failed ones.

    Args:
        baseline: Baseline in whose cells rows are counted.
        end: Latest end of the period, in Unix seconds.
        others: Names of features that segments need and the baseline lacks.
        segment_of: Function that names the segment of a row; None for one segment of all rows.
        slot_of: Function that returns the beginning of the slot of a time; None for the slots of live counts.

    Attributes:
        segments: Counts of answered rows, by segment.
        aligner: Aligner of the records.
        end: Latest end of the period.
        segment_of: Function that names the segment of a row, or None.
    """

    def __init__(
        self,
        baseline: Baseline,
        end: float,
        others: Sequence[str] = (),
        segment_of: SegmentOf | None = None,
        slot_of: Callable[[float], float] | None = None,
    ) -> None:
        layout = ModelCells.of(baseline)
        self._size = layout.squares
        self._cells = layout.buckets_start
        of_features, of_outputs = (layout.buckets_start, None) if layout.features else (None, layout.buckets_start)
        self._features = VariableCounter(layout.features, 0, self._size, buckets=of_features)
        self._outputs = VariableCounter(
            layout.outputs, layout.outputs_start, self._size, buckets=of_outputs if layout.outputs else None
        )

        self._groups = GroupSums(layout.variables)
        self._pairs = None if segment_of is not None else pair_cells(layout)
        self._pairs_size = layout.segments_start - layout.pairs_start
        self.end = end
        self.slot_of = partial(slot_begin, end=end) if slot_of is None else slot_of
        self._width = len(layout.features)
        self.segment_of = segment_of
        self.aligner = aligner_of(baseline, others)
        self.segments: dict[str, SegmentCounts] = {}
        self._failed = FailedRows(layout, self._features)
        self._unread = self._watched(baseline)
        self._surplus = 0

    def _watched(self, baseline: Baseline) -> dict[tuple[str, str], Examples]:
        """Return the examples of each variable, which counting fills."""
        derived = frozenset(name for recipe in baseline.derived for name in recipe.names)
        features = {name: Examples() for name in self._features.names}
        outputs = {name: Examples() for name in self._outputs.names}
        self._features.watch_unread(lambda name: partial(features[name].note, is_derived=name in derived))
        self._outputs.watch_unread(lambda name: outputs[name].note)
        return {("feature", name): item for name, item in features.items()} | {
            ("output", name): item for name, item in outputs.items()
        }

    @property
    def unread(self) -> dict[tuple[str, str], list[UnreadValue]]:
        """Examples of values that count as invalid, by side and name of the variable."""
        return {key: item.found for key, item in self._unread.items() if item.found}

    @property
    def tallies(self) -> Tallies:
        """The counts so far, for a counter in another process."""
        return Tallies(self.segments, self._failed.cells, self._unread, self._surplus)

    def join(self, tallies: Tallies, named: Callable[[str], str]) -> None:
        """Add the counts of another counter of the same kind.

        Args:
            tallies: Its counts.
            named: Returns the name of a segment here.
        """
        for segment, counts in tallies.segments.items():
            self._add_to(named(segment), counts)
        self._failed.join(tallies.failed)
        for key, examples in tallies.unread.items():
            self._unread[key].join(examples)
        self._surplus += tallies.surplus

    def _add_to(self, segment: str, counts: SegmentCounts) -> None:
        if segment in self.segments:
            self.segments[segment].add(counts)
        else:
            self.segments[segment] = counts

    def add(self, records: Sequence[Record]) -> None:
        """Count some records."""
        if not _ANSWERED.issuperset(map(_status, records)):
            self._add_failed([record for record in records if record.status == FAILED])
            records = [record for record in records if is_answered(record)]

        for begins, group in self._by_slot(records).items():
            parts: defaultdict[str, CountedRows] = defaultdict(CountedRows)
            if self.segment_of is None:
                times = list(map(_created_at, group))
                parts[""] = self._whole(group)
                parts[""].at(min(times), max(times))
            else:
                for record in group:
                    self._split(record, parts)
            for segment, part in parts.items():
                self.count(segment, begins, part)

    def _by_slot(self, records: Sequence[Record]) -> Mapping[float, Sequence[Record]]:
        """Return the records of each slot, by its beginning."""
        times = list(map(_created_at, records))
        slots = {seconds: self.slot_of(seconds) for seconds in set(times)}
        if len(set(slots.values())) == 1:  # as of all records of a minute that is over for a day
            return {slots[times[0]]: records}
        found: defaultdict[float, list[Record]] = defaultdict(list)
        for record, seconds in zip(records, times, strict=True):
            found[slots[seconds]].append(record)
        return found

    @property
    def whole(self) -> SegmentCounts:
        """The counts of all segments together."""
        whole = whole_of(self.segments.values(), self._cells)
        return replace(whole, rows=whole.rows - self._surplus)

    @property
    def failures(self) -> Failures:
        """The failed rows, and the features that were odd in them."""
        return self._failed.beside(self.whole.cells)

    def _add_failed(self, records: Sequence[Record]) -> None:
        for record in records:
            rows = self.aligner.feature_rows(record) if self.aligner.has_own(record) else None
            self._failed.add(record.rows, [row[: self._width] for row in rows or ()])

    def _whole(self, records: Sequence[Record]) -> CountedRows:
        """Return the rows of all records."""
        if (single := self.aligner.single_rows(records)) is not None:
            features, outputs = single
            if self.aligner.are_known(features):
                return CountedRows(features, outputs, len(features), len(records), len(records))
            known = list(map(self.aligner.has_known, features))
            alone = [output for output, is_known in zip(outputs, known, strict=True) if not is_known]
            joined = list(compress(outputs, known))
            return CountedRows(list(compress(features, known)), joined + alone, len(joined), len(records), len(records))
        part, features_alone, outputs_alone = CountedRows(), CountedRows(), CountedRows()
        for record in records:
            features, outputs = self.aligner.feature_rows(record) or [], self.aligner.output_rows(record) or []
            is_joined = len(features) == len(outputs)
            (part if is_joined else features_alone).features += features
            (part if is_joined else outputs_alone).outputs += outputs
            part.rows += record.rows
            if record.rows == 1 or (features if self._width else outputs):  # otherwise no row of it is in a bucket
                part.squares += record.rows**2

        part.joined = len(part.features)
        part.features += features_alone.features
        part.outputs += outputs_alone.outputs
        return part

    def _split(self, record: Record, parts: defaultdict[str, CountedRows]) -> None:
        """Distribute the rows of a record among segments."""
        assert self.segment_of is not None
        features, outputs = self.aligner.feature_rows(record) or (), self.aligner.output_rows(record) or ()
        own: defaultdict[str, int] = defaultdict(int)
        has_own = self.aligner.has_own(record)

        for row, output in zip_longest(features, outputs):
            segment = self.segment_of(record, row, output)
            own[segment] += 1
            if row is not None and has_own:
                parts[segment].features.append(row[: self._width])
            if output is not None:
                parts[segment].outputs.append(output)
        if (unknown := record.rows - max(len(features), len(outputs))) > 0:
            own[self.segment_of(record, None, None)] += unknown
        self._surplus += max(-unknown, 0)
        is_hashed = record.rows == 1 or bool(features if self._width else outputs)
        for segment, rows in own.items():
            parts[segment].rows += rows
            parts[segment].squares += rows**2 if is_hashed else 0
            parts[segment].at(record.created_at, record.created_at)

    def count(self, segment: str, begins: float, part: CountedRows) -> None:
        """Count rows of one segment and one slot."""
        cells = np.zeros(self._size, dtype=np.int64)
        features = _count(self._features, part.features, cells)
        outputs = _count(self._outputs, part.outputs, cells)
        pairs = self._count_pairs(features, outputs, part.joined)
        slot = Slot(part.first, self._groups.of(cells), cells[self._cells :], part.squares, pairs)
        counts = SegmentCounts(cells[: self._cells], {begins: slot}, part.rows, part.last)
        self._add_to(segment, counts)

    def _count_pairs(
        self, features: NDArray[np.int32] | None, outputs: NDArray[np.int32] | None, joined: int
    ) -> NDArray[np.int64]:
        """Return the counts of the pairs, from the cell of each value."""
        if self._pairs is None:
            return _NO_PAIRS
        if features is None and outputs is None:
            return np.zeros(self._pairs_size, dtype=np.int64)
        if features is None or outputs is None:
            return self._pairs.of_rows(features, outputs)
        counts = self._pairs.of_rows(features[:joined], outputs[:joined])
        # Live, outputs of another number than rows of features are counted alone, and so are those without features.
        counts += self._pairs.of_rows(features[joined:], None)
        if joined < len(outputs):
            counts += self._pairs.of_rows(None, outputs[joined:])
        return counts


def _count(counter: VariableCounter, rows: Any, cells: NDArray[np.int64]) -> NDArray[np.int32] | None:
    """Add rows to the counts of all cells; return the cell of each value, None without rows."""
    is_counted = isinstance(rows, ColumnRows)
    if not len(rows.located if is_counted else rows) or not counter.names:
        return None
    block, located = rows if is_counted else counter.count_and_locate(rows)
    cells += block
    return located


def slot_begin(seconds: float, end: float) -> float:
    """Return the beginning of a time's slot; ``-inf`` for times more than a day before the end."""
    for reach, slot in REACHES:
        if seconds >= end - reach - slot - _MARGIN_SECONDS:
            return seconds // slot * slot
    return -math.inf


def is_answered(record: Record) -> bool:
    """Say whether the values of a record count; records of boxkite 0.0.5 have no status."""
    return record.status in _ANSWERED
