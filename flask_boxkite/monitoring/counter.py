"""The counts of one model's predictions: rows of features, outputs, statuses and durations."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline import Baseline
from flask_boxkite.live.counting import VariableCounter
from flask_boxkite.live.counts import Counts
from flask_boxkite.live.deriving import RowDeriver
from flask_boxkite.live.failed import FailedCells
from flask_boxkite.live.increments import Increments
from flask_boxkite.live.model_cells import DURATION_BOUNDS, ModelCells
from flask_boxkite.live.name_order import UnmatchedError
from flask_boxkite.live.pair_cells import pair_cells
from flask_boxkite.live.segment_cells import segment_cells
from flask_boxkite.monitoring.tally import DerivedTally, Tally
from flask_boxkite.naming import CAPTURE_REASONS, FEATURE_GAP, GAPS, OUTPUT_GAP, STATUSES
from flask_boxkite.payloads import Table, output_table

__all__ = ["SCALARS", "PredictionCounter"]

SCALARS = frozenset({float, int, str, bool})
"""Types of single values, as JSON has them."""


class PredictionCounter:
    """Finds the cells of a prediction, and counts them when its status is known. Safe to use as `ModelMonitor` is.

    Attributes:
        layout: Meaning of each cell.
        counts: Live counts of all processes.
        features: Counter of the features.
        outputs: Counter of the outputs.
        inputs: Layout of a row's columns: the counter of the features, or the deriver.
        ok: Cell of the answered predictions.
        pairs: Finds the cells of pairs of variables; None if the model has none.
        segments: Finds the cells of segments; None if the model has none.

    Args:
        baseline: Baseline of the model; None if it has none.
        counts: Live counts of all processes.
        keeps_interpreter: Whether other threads wait for the interpreter, as the thread of a recorder does.
        class_of: Returns the number of a row's predicted class and the bin of its probability, None if it has none; for
            a model whose layout counts them.
        deriver: Extends rows by derived variables; None if the baseline has none.
    """

    def __init__(
        self,
        baseline: Baseline | None,
        counts: Counts,
        *,
        keeps_interpreter: bool,
        class_of: Callable[[Sequence[Any]], float | None] | None = None,
        deriver: RowDeriver | None = None,
    ) -> None:
        self.layout = layout = ModelCells.of(baseline)
        self.counts = counts
        self._status_cells = {status: cell for cell, status in enumerate(STATUSES, layout.statuses_start)}
        self._unhashed = "features" if layout.features else "output"
        self.ok, self._squares = self._status_cells["ok"], layout.squares
        self._durations_start, self._duration_sum = layout.durations_start, layout.duration_sum
        self._failed = FailedCells(layout)

        self.pairs, self.segments = pair_cells(layout), segment_cells(layout)
        self._relates = self.pairs is not None or self.segments is not None

        # Rows are known again by their features; by their outputs where nothing is known of features.
        of_features, of_outputs = (layout.buckets_start, None) if layout.features else (None, layout.buckets_start)
        self.features = VariableCounter(
            layout.features,
            0,
            layout.squares,
            buckets=of_features,
            keeps_interpreter=keeps_interpreter,
            gap=FEATURE_GAP,
            locates=self._relates,
            locates_buckets=bool(layout.segmentations),
        )
        self.outputs = VariableCounter(
            layout.outputs,
            layout.outputs_start,
            layout.squares,
            buckets=of_outputs if layout.outputs else None,
            sums=0,
            gap=OUTPUT_GAP,
            locates=self._relates,
            locates_buckets=bool(layout.segmentations),
        )
        self.inputs: VariableCounter | RowDeriver = deriver or self.features
        self._deriver = deriver
        self._waits = bool(deriver and deriver.observed)  # for values that the view observes
        self._output_names = self.outputs.names
        self._class_of = class_of

    def count_features(self, tally: Tally, table: Table | None) -> None:
        """Find the cells of all features."""
        if table is None:
            tally.errors.append("features")
            return

        tally.rows = rows = len(table)
        if rows and self.features.names:
            try:
                if self._deriver is None:
                    self._count_rows(tally, table)
                else:
                    self._extend(self._deriver, tally, table)
            except UnmatchedError:
                tally.errors.append("features")

    def _count_rows(self, tally: Tally, table: Table) -> None:
        """Find the cells of all features, and note their place among the prediction's."""
        place, tally.located = tally.listed_cells if self._relates else -1, None
        self.features.count(table, tally)
        tally.features_at, tally.located_features = place, tally.located

    def _extend(self, deriver: RowDeriver, tally: Tally, table: Table) -> None:
        """Find the cells of given and derived features, or wait for the observed ones."""
        assert isinstance(tally, DerivedTally)
        tally.extended = extended = deriver.extended(table, tally)
        tally.rows = len(extended.rows)
        if not self._waits:
            self._count_rows(tally, Table(None, extended.rows))

    def _observe(self, tally: Tally) -> None:
        """Find the cells of all features, now that the view has answered."""
        if isinstance(tally, DerivedTally) and tally.extended is not None:
            tally.extended.observe(tally.observed)
            self._count_rows(tally, Table(None, tally.extended.rows))

    def count_output(self, tally: Tally, output: Any) -> None:
        """Find the cells of the outputs, for as many rows as there are of features."""
        if not self._output_names:
            if tally.rows == 0 and not self.features.names and _holds_something(output):
                tally.rows = None  # of features nothing is known, so that an empty list need be no batch
            return
        if output is None:
            if tally.rows != 0:  # an empty batch has no output to miss
                tally.errors.append("output")
            return
        place, tally.located = tally.listed_cells if self._relates else -1, None
        if type(output) in SCALARS and tally.rows == 1 and len(self._output_names) == 1:
            self.outputs.count_value(output, tally)
            tally.outputs_at = place
            return

        table = output_table(output, self._output_names, tally.rows)
        if table is None:
            tally.errors.append("output")
            return
        try:
            if len(table):
                self.outputs.count(table, tally)
                tally.outputs_at, tally.located_outputs = place, tally.located
            if self._class_of is not None:
                self._count_classes(table, tally)
        except UnmatchedError:
            tally.errors.append("output")
            return
        if tally.rows is None and self._unhashed == "output":  # nothing is known of features
            tally.rows = len(table)

    def _count_classes(self, table: Table, tally: Tally) -> None:
        """Find the cells of the rows' predicted classes."""
        assert self._class_of is not None
        for row in self.outputs.in_order(table):
            number = self._class_of(row)
            if number is not None:
                tally.raise_cell(self.layout.classes_start + int(number))

    def rows_of_output(self, output: Any, rows: int | None) -> Any:
        """Return the outputs of each row, in the order of the baseline; none if they do not fit.

        Args:
            output: Output of the model.
            rows: Number of rows in the request; None if unknown.
        """
        if type(output) in SCALARS:
            return [(output,)] if len(self._output_names) == 1 else []
        table = output_table(output, self._output_names, rows)
        try:
            return [] if table is None or not len(table) else self.outputs.in_order(table)
        except UnmatchedError:
            return []

    def commit(self, tally: Tally, status: str, duration: float | None) -> int:
        """Add a prediction to the live counts, all at once; its values to the bins only if it was answered.

        Args:
            tally: Cells and errors of the prediction.
            status: ``ok``, ``client_error`` or ``error``.
            duration: Seconds from request to response; None if not known.

        Returns:
            Number of predictions: 0 for an empty batch, of which only the duration is counted.
        """
        if self._waits:
            self._observe(tally)
        if status == "ok" and self._relates:
            self._count_relations(tally)
        if status == "ok" and tally.rows == 1 and not tally.errors:  # the common case, without the questions of others
            tally.raise_cell(self.ok)
            tally.raise_cell(self._squares)
            self._add(tally, duration)
            return 1

        rows = tally.rows or _predictions_without_rows(tally, status)
        if status == "ok":
            increments: Increments = tally
            if rows == 1:
                increments.raise_cell(self.ok)
                increments.raise_cell(self._squares)
            else:
                increments.amounts.append((self.ok, rows))
                if self._unhashed not in tally.errors:  # else none of its rows is in a bucket
                    increments.amounts.append((self._squares, rows * rows))
        else:
            increments = self._failed.increments(tally) if status == "error" else Increments()
            increments.amounts.append((self._status_cells[status], rows))

        for reason in tally.errors:
            if reason in GAPS:
                continue
            increments.raise_cell(self.layout.captures_start + CAPTURE_REASONS.index(reason))
        self._add(increments, duration)
        return rows

    def _count_relations(self, tally: Tally) -> None:
        """Find the cells of the pairs of variables, and of the segments."""
        counters = (self.pairs, self.layout.pairs_start), (self.segments, self.layout.segments_start)
        features, outputs = tally.located_features, tally.located_outputs
        if features is None and outputs is None:
            if (tally.rows or _predictions_without_rows(tally, "ok")) != 1:
                return  # of several rows, nothing is known
            for counter, _ in counters:
                if counter is not None:
                    counter.note_row(tally)
            return
        if features is None and tally.features_at >= 0:
            features = self._one_row(tally, tally.features_at, len(self.features.names), is_hashed=True)
        if outputs is None and tally.outputs_at >= 0:
            is_hashed = not self.features.names
            outputs = self._one_row(tally, tally.outputs_at, len(self._output_names), is_hashed=is_hashed)
        for counter, start in counters:
            if counter is not None:
                tally.ranges.append((start, counter.of_rows(features, outputs)))

    def _one_row(self, tally: Tally, place: int, size: int, *, is_hashed: bool) -> NDArray[np.int32]:
        """Return the cells of a single row in the form for several."""
        cells = tally.cells[place : place + size]
        if is_hashed and self.segments is not None:
            cells.append(tally.cells[place + size] - self.layout.buckets_start)
        return np.array([cells], dtype=np.int32)

    def _add(self, increments: Increments, duration: float | None) -> None:
        if duration is not None:
            increments.raise_cell(self._durations_start + bisect_left(DURATION_BOUNDS, duration))
            increments.sums.append((self._duration_sum, duration))
        self.counts.add(increments)


def _predictions_without_rows(tally: Tally, status: str) -> int:
    """Return 0 for an empty batch; 1 where rows are not known, or something went wrong, so that it is seen."""
    return 0 if tally.rows == 0 and status == "ok" and not tally.errors else 1


def _holds_something(output: Any) -> bool:
    try:
        return len(output) > 0
    except TypeError:  # a single value, or an array without dimensions
        return output is not None
