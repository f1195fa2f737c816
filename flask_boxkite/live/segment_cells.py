"""The cells of segments: rows by the groups of all variables, their buckets and the squares of requests, per segment.

They follow from the cells in which the rows themselves are counted. Where the package was installed with a compiler, a
compiled twin does the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.distribution import Distribution
from flask_boxkite.baseline.segmentation import segment_of_cells
from flask_boxkite.compiled import native
from flask_boxkite.live.model_cells import ModelCells
from flask_boxkite.live.pair_cells import Located, RowTally
from flask_boxkite.values.rowhash import ROW_BUCKETS

__all__ = ["CountsSegments", "SegmentCells", "segment_cells"]


class CountsSegments(Protocol):
    """Finds the cells of segments."""

    def note_row(self, tally: RowTally) -> None:
        """Add the cells of a single row in its segments.

        Args:
            tally: Cells of the row, and the places of its features and outputs among them, -1 where they are unknown.
        """

    def of_rows(self, features: Located | None, outputs: Located | None) -> NDArray[np.int64]:
        """Return the counts of several rows in the cells of all segments.

        Args:
            features: Cells of the features; None if they are unknown. Behind the cells of the side by which rows are
                known again, each row has its bucket.
            outputs: Cells of the outputs of the same rows; None if they are unknown.
        """


def segment_cells(layout: ModelCells) -> CountsSegments | None:
    """Return a counter of a model's segments; None if it has none."""
    if not layout.segmentations:
        return None
    kind: type[CountsSegments] = SegmentCells if native is None else native.SegmentCells
    groups = _group_of_cells([item.distribution for item in layout.variables])
    segments = []
    for item in layout.segmentations:
        variable = layout.variables[item.variable]
        of_cells = segment_of_cells(variable.distribution, item.segments)
        segments.append((item.variable, variable.cells.start, of_cells, len(item.names)))
    return kind(groups, segments, len(layout.features), len(layout.variables), layout.segments_start)  # type: ignore[call-arg]


def _group_of_cells(items: Sequence[Distribution]) -> NDArray[np.int32]:
    """Return the group of each cell of all variables, numbered from 0 over all groups, shape (cells,)."""
    sizes = [group.stop - group.start for item in items for group in item.groups]
    return np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)


class SegmentCells:
    """Finds the cells of segments, in Python; `segment_cells` makes the faster one.

    Args:
        groups: Group of each cell of all variables, numbered over all groups.
        segmentations: Position of each variable that segments rows, its first cell, the number of the segment of each
            of its cells, and the number of segments.
        features: Number of features.
        variables: Number of features and outputs.
        start: First cell of the first segment.
    """

    def __init__(
        self,
        groups: NDArray[np.int32],
        segmentations: Sequence[tuple[int, int, bytes, int]],
        features: int,
        variables: int,
        start: int,
    ) -> None:
        self._group_of, self._listed = groups, groups.tolist()  # a list is faster for single cells
        self._groups = int(groups[-1]) + 1
        self._stride = self._groups + ROW_BUCKETS + 1
        self._features, self._variables = features, variables
        self._cells, self._start = len(groups), start
        self._segmentations = []
        first = 0
        for variable, first_cell, of_cells, number in segmentations:
            # The last one is of rows whose value is unknown.
            numbers = np.full(self._cells + 1, number - 1, dtype=np.int64)
            numbers[first_cell : first_cell + len(of_cells)] = np.frombuffer(of_cells, dtype=np.uint8)
            self._segmentations.append((variable, numbers, numbers.tolist(), first))
            first += number * self._stride
        self._size = first

    def note_row(self, tally: RowTally) -> None:
        """Add the cells of a single row in its segments; see `CountsSegments.note_row`."""
        cells, features, at_features, at_outputs = tally.cells, self._features, tally.features_at, tally.outputs_at
        own = [] if at_features < 0 else cells[at_features : at_features + features]
        if at_outputs >= 0:
            own += cells[at_outputs : at_outputs + self._variables - features]
        places = [self._listed[cell] for cell in own]
        hashed = at_features if features else at_outputs
        if hashed >= 0:
            places.append(self._groups + cells[hashed + (features or self._variables)] - self._cells)
        places.append(self._stride - 1)
        for variable, _, numbers, first in self._segmentations:
            place = at_features if variable < features else at_outputs - features
            is_known = (at_features if variable < features else at_outputs) >= 0
            base = self._start + first + (numbers[cells[place + variable]] if is_known else numbers[-1]) * self._stride
            cells += [base + place for place in places]

    def of_rows(self, features: Located | None, outputs: Located | None) -> NDArray[np.int64]:
        """Return the counts of several rows in the cells of all segments; see `CountsSegments.of_rows`."""
        counts = np.zeros(self._size, dtype=np.int64)
        sides = {start: side for start, side in ((0, features), (self._features, outputs)) if side is not None}
        if self._features == 0:
            sides.pop(0, None)
            if outputs is not None:
                sides[0] = outputs
        for variable, numbers, _, first in self._segmentations:
            others = int(numbers[-1])
            start = 0 if variable < self._features else self._features
            length = len(next(iter(sides.values())))
            rows = numbers[sides[start][:, variable - start]] if start in sides else np.full(length, others)
            number = others + 1
            table = counts[first : first + number * self._stride].reshape(number, self._stride)
            for begins, side in sides.items():
                width = (self._features or self._variables) if begins == 0 else self._variables - self._features
                groups = rows[:, np.newaxis] * self._groups + self._group_of[side[:, :width]]
                of_groups = np.bincount(groups.ravel(), minlength=number * self._groups)
                table[:, : self._groups] += of_groups.reshape(number, -1)
            if 0 in sides:  # by which rows are known again
                buckets = rows * ROW_BUCKETS + sides[0][:, -1]
                of_rows = np.bincount(buckets, minlength=number * ROW_BUCKETS).reshape(number, -1)
                table[:, self._groups : -1] += of_rows
                table[:, -1] += of_rows.sum(axis=1) ** 2
        return counts
