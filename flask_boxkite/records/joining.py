"""Outcomes joined with records: each finds the recorded prediction of its key, and is counted as live ones are.

The rules of `finding` hold. A prediction counts once: with the first outcome of its key that can be read.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline import Baseline
from flask_boxkite.live.model_cells import ModelCells
from flask_boxkite.live.outcome_cells import OutcomeCells
from flask_boxkite.naming import REJECTIONS
from flask_boxkite.outcomes.reader import OutcomeReader
from flask_boxkite.records.alignment import Aligner
from flask_boxkite.records.counting import SegmentOf, is_answered
from flask_boxkite.records.decoding import Record
from flask_boxkite.records.finding import Notes, OutcomeFinder
from flask_boxkite.records.hidden import Hidden, hides
from flask_boxkite.records.outcome_rows import OutcomeRow
from flask_boxkite.values.unread import Examples

__all__ = ["Joined", "Joining"]

_UNKNOWN, _REPEATED, _INVALID = map(REJECTIONS.index, ("unknown", "repeated", "invalid"))


@dataclass(frozen=True)
class Joined:
    """Predictions of one reading.

    Attributes:
        notes: Number that stands for the output, and segment, of each prediction that an outcome names.
        by_class: Answered rows by predicted class, of each segment.
        hidden: Rows whose key or output is hidden.
    """

    notes: Notes[tuple[float, str]]
    by_class: dict[str, NDArray[np.int64]]
    hidden: Hidden


class Joining:
    """Counts the outcomes of the records that it is given, and these records by predicted class.

    Attributes:
        key: Field of the record, or name of a feature, that is the key.
        others: Names of features that the key or the segments need and the baseline lacks.
        layout: Meaning of the counts of outcomes.
        hidden: Rows whose key or output is hidden.
        unread: Examples of actual values that cannot be read, once they are counted.

    Args:
        baseline: Baseline of the model, with a validation.
        reader: Reader of its outputs and actual values.
        outcomes: Outcomes, perhaps of other models too.
        key: Field of the record in `IDS`, or name of a feature.
        segment_of: Names the segment of a row; None for one segment, whose name is empty.
        others: Names of features that *segment_of* needs and the baseline lacks.

    Raises:
        BoxkiteError: Records cannot be joined by this key.
    """

    def __init__(
        self,
        baseline: Baseline,
        reader: OutcomeReader,
        outcomes: Iterable[OutcomeRow],
        key: str,
        segment_of: SegmentOf | None = None,
        others: Sequence[str] = (),
    ) -> None:
        assert baseline.validation is not None
        features = [item.name for item in baseline.features]
        self._finder: OutcomeFinder[tuple[float, str]] = OutcomeFinder(outcomes, key, features, others)
        self.key = key
        self.others = self._finder.others
        self.layout = OutcomeCells(baseline.validation)
        cells = ModelCells.of(baseline)
        self._classes = cells.pairs_start - cells.classes_start
        self._by_class: dict[str, NDArray[np.int64]] = defaultdict(self._no_classes)
        self._reader = reader
        self._segment_of = segment_of
        self.hidden = Hidden(key)
        self.unread = Examples()

    def _no_classes(self) -> NDArray[np.int64]:
        return np.zeros(self._classes, dtype=np.int64)

    @property
    def models(self) -> Counter[str]:
        """The number of outcomes by the model that they name."""
        return self._finder.models

    @property
    def names(self) -> list[str]:
        """The keys of outcomes."""
        return self._finder.keys

    @property
    def classes(self) -> NDArray[np.int64]:
        """The answered rows by predicted class and bin of its probability, as the last cells of `ModelCells` hold them.

        Empty unless probabilities are several outputs.
        """
        return sum(self._by_class.values(), self._no_classes())

    def classes_of(self, segment: str) -> NDArray[np.int64]:
        """Return the same of one segment."""
        return self._by_class.get(segment, self._no_classes())

    def add(self, records: Sequence[Record], aligner: Aligner) -> None:
        """Join some records.

        Args:
            records: Records.
            aligner: Aligner of the baseline's features, then of *others*, and of its outputs.
        """
        for record in filter(is_answered, records):
            names = self._finder.names(record, aligner)
            found = self._finder.named(names)
            values: list[float | None] = []
            if found or self._classes or hides(record.output):
                values = [self._reader.value_of(row) for row in aligner.output_rows(record) or ()]
            self.hidden.see(record.rows, names, record.output, values)
            segments = self._segments(record, aligner) if values else []
            for place, name in found:
                value = values[place] if place < len(values) else None
                if value is not None:  # outcomes of other rows find nothing
                    self._finder.note(name, record.created_at, (value, segments[place]))
            if self._classes:
                for value, segment in zip(values, segments, strict=False):
                    if value is not None:
                        self._by_class[segment][int(value)] += 1

    def _segments(self, record: Record, aligner: Aligner) -> list[str]:
        """Return the segment of each row of outputs, and of further rows of features."""
        features, outputs = aligner.feature_rows(record) or (), aligner.output_rows(record) or ()
        if self._segment_of is None:
            return [""] * len(outputs)
        return [self._segment_of(record, row, output) for row, output in zip_longest(features, outputs)]

    @property
    def found(self) -> Joined:
        """The predictions so far, for a joining in another process."""
        return Joined(self._finder.notes, dict(self._by_class), self.hidden)

    def join(self, found: Joined, named: Callable[[str], str]) -> None:
        """Add the predictions of records behind these.

        Args:
            found: Predictions that another joining of the same outcomes has found.
            named: Returns the name of a segment here.
        """
        notes = found.notes.found.items()
        here = {name: (seconds, (value, named(segment))) for name, (seconds, (value, segment)) in notes}
        self._finder.join(replace(found.notes, found=here))
        for segment, cells in found.by_class.items():
            self._by_class[named(segment)] += cells
        self.hidden.join(found.hidden)

    def cells(self, model: str) -> NDArray[np.int64]:
        """Return the counts of the outcomes; those that have found no record so far are ``unknown``.

        Args:
            model: Name of the model. Outcomes of others are left aside.
        """
        segments, unknown = self.by_segment(model)
        cells = sum(segments.values(), np.zeros(self.layout.size, dtype=np.int64))
        cells[self.layout.rejections_start + _UNKNOWN] += unknown
        return cells

    def by_segment(self, model: str) -> tuple[Mapping[str, NDArray[np.int64]], int]:
        """Return the counts of the outcomes by segment, and the number of outcomes that are ``unknown``."""
        cells: dict[str, NDArray[np.int64]] = {}
        unknown = self._finder.nameless(model)
        for found, outcomes in self._finder.by_key(model):
            if found is None:
                unknown += len(outcomes)
                continue
            value, segment = found
            if segment not in cells:
                cells[segment] = np.zeros(self.layout.size, dtype=np.int64)
            self._count(value, [outcome.actual for outcome in outcomes], cells[segment])
        return cells, unknown

    def _count(self, value: float, actuals: Sequence[object], cells: NDArray[np.int64]) -> None:
        """Count the first readable outcome of a prediction, and the others by reason."""
        readable = []
        for actual in actuals:
            if (counted := self._reader.count(value, actual)) is None:
                self.unread.note(actual)
            else:
                readable.append(counted)
        cells[self.layout.rejections_start + _INVALID] += len(actuals) - len(readable)
        cells[self.layout.rejections_start + _REPEATED] += max(len(readable) - 1, 0)
        for cell, losses in readable[:1]:
            for each, amount in ((cell, 1), *self.layout.amounts(losses)):
                cells[each] += amount
