"""Outcomes joined with records: each finds the recorded prediction of its key, and is counted as live ones are.

The rules are the same as while serving. Only answered rows are predictions. A key stands for its last prediction, which
counts once: with the first outcome of the key that can be read.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline import Baseline
from flask_boxkite.live.model_cells import ModelCells
from flask_boxkite.live.outcome_cells import OutcomeCells
from flask_boxkite.naming import REDACTED, REJECTIONS
from flask_boxkite.outcomes.reader import OutcomeReader
from flask_boxkite.records.alignment import Aligner
from flask_boxkite.records.counting import is_answered
from flask_boxkite.records.decoding import Record
from flask_boxkite.records.hidden import Hidden, hides
from flask_boxkite.records.keys import IDS, given_key, keys_of
from flask_boxkite.records.outcome_rows import OutcomeRow

__all__ = ["Joining"]

_UNKNOWN, _REPEATED, _INVALID = map(REJECTIONS.index, ("unknown", "repeated", "invalid"))
_NEVER = (-math.inf, 0.0)


class Joining:
    """Counts the outcomes of the records that it is given, and these records by predicted class.

    Attributes:
        key: Field of the record, or name of a feature, that is the key.
        others: Names of features that the key needs and the baseline lacks.
        layout: Meaning of the counts of outcomes.
        hidden: Rows whose key or output is hidden.
        models: Number of outcomes by the model that they name.
        classes: Answered rows by predicted class and bin of its probability, as the last cells of `ModelCells` hold
            them; empty unless probabilities are several outputs.

    Args:
        baseline: Baseline of the model, with a validation.
        reader: Reader of its outputs and actual values.
        outcomes: Outcomes, perhaps of other models too.
        key: Field of the record in `IDS`, or name of a feature.

    Raises:
        BoxkiteError: Records cannot be joined by this key.
    """

    def __init__(self, baseline: Baseline, reader: OutcomeReader, outcomes: Iterable[OutcomeRow], key: str) -> None:
        assert baseline.validation is not None
        features = [item.name for item in baseline.features]
        self.others = () if key in (*IDS, *features) else (key,)
        self.layout = OutcomeCells(baseline.validation)
        cells = ModelCells.of(baseline)
        self.classes = np.zeros(cells.pairs_start - cells.classes_start, dtype=np.int64)
        self._reader = reader
        self.hidden = Hidden(key)
        self._names = keys_of(key, [*features, *self.others])
        self.key = key
        self._id = key if key in ("prediction_id", "entity_id") else None
        self._nameless: Counter[str | None] = Counter()
        self._outcomes: dict[str, list[OutcomeRow]] = {}
        self.models: Counter[str] = Counter()
        self._found: dict[str, tuple[float, float]] = {}

        for outcome in outcomes:
            text = given_key(outcome.key, key)
            if text is None:
                self._nameless[outcome.model] += 1
            else:
                self._outcomes.setdefault(text, []).append(outcome)
            if outcome.model is not None:
                self.models[outcome.model] += 1

    @property
    def names(self) -> list[str]:
        """The keys of outcomes."""
        return list(self._outcomes)

    def add(self, records: Sequence[Record], aligner: Aligner) -> None:
        """Join some records.

        Args:
            records: Records.
            aligner: Aligner of the baseline's features, then of *others*, and of its outputs.
        """
        for record in filter(is_answered, records):
            if self._id is not None and record.rows == 1:
                self._join_row_zero(getattr(record, self._id))
            names = list(self._names(record, aligner)) if self._outcomes else []
            found = [(place, name) for place, name in enumerate(names) if name in self._outcomes and name != REDACTED]
            values: list[float | None] = []
            if found or self.classes.size or hides(record.output):
                values = [self._reader.value_of(row) for row in aligner.output_rows(record) or ()]
            self.hidden.see(record.rows, names, record.output, values)
            for place, name in found:
                self._find(name, record.created_at, values[place] if place < len(values) else None)
            if self.classes.size:
                for value in values:
                    if value is not None:
                        self.classes[int(value)] += 1

    def _join_row_zero(self, id_: str | None) -> None:
        """Take outcomes of row 0 of a prediction of one row for outcomes of the prediction."""
        if (outcomes := self._outcomes.pop(f"{id_}/0", None)) is not None and id_ is not None:
            self._outcomes.setdefault(id_, []).extend(outcomes)

    def _find(self, name: str, seconds: float, value: float | None) -> None:
        """Note the number that stands for a prediction's outputs; with None, outcomes do not find it."""
        if value is not None and seconds >= self._found.get(name, _NEVER)[0]:
            self._found[name] = (seconds, value)

    def cells(self, model: str) -> NDArray[np.int64]:
        """Return the counts of the outcomes; those that have found no record so far are ``unknown``.

        Args:
            model: Name of the model. Outcomes of others are left aside.
        """
        wanted = (None, model)
        cells = np.zeros(self.layout.size, dtype=np.int64)
        rejections = cells[self.layout.rejections_start :]
        rejections[_UNKNOWN] = sum(self._nameless[each] for each in wanted)
        for name, outcomes in self._outcomes.items():
            actuals = [outcome.actual for outcome in outcomes if outcome.model in wanted]
            found = self._found.get(name)
            if found is None:
                rejections[_UNKNOWN] += len(actuals)
                continue
            readable = [counted for actual in actuals if (counted := self._reader.count(found[1], actual)) is not None]
            rejections[_INVALID] += len(actuals) - len(readable)
            rejections[_REPEATED] += max(len(readable) - 1, 0)
            for cell, losses in readable[:1]:
                for each, amount in ((cell, 1), *self.layout.amounts(losses)):
                    cells[each] += amount
        return cells
