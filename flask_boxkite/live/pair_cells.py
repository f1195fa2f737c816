"""The cells of pairs: rows by the parts of both variables, from the cells in which the rows themselves are counted.

Where the package was installed with a compiler, a compiled twin does the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.pairs import CELLS, NO_PART, PARTS, parts_of_cells
from flask_boxkite.compiled import native
from flask_boxkite.live.model_cells import ModelCells

__all__ = ["CountsPairs", "PairCells", "pair_cells"]

Located = NDArray[np.int32]
"""Cell of each value, shape (rows, variables of one side); each row may have its bucket behind them."""


class RowTally(Protocol):
    """The cells of one prediction; see `monitoring.tally.Tally`."""

    cells: list[int]
    features_at: int
    outputs_at: int


class CountsPairs(Protocol):
    """Finds the cells of pairs."""

    def note_row(self, tally: RowTally) -> None:
        """Add the cells of the pairs of a single row.

        Args:
            tally: Cells of the row, and the places of its features and outputs among them, -1 where they are unknown.
        """

    def of_rows(self, features: Located | None, outputs: Located | None) -> NDArray[np.int64]:
        """Return the rows in each cell of the pairs, shape (pairs · CELLS,).

        Args:
            features: Cells of the features; None if they are unknown.
            outputs: Cells of the outputs of the same rows; None if they are unknown.
        """


def pair_cells(layout: ModelCells) -> CountsPairs | None:
    """Return a counter of a model's pairs; None if it has no pairs."""
    if not layout.pairs:
        return None
    kind: type[CountsPairs] = PairCells if native is None else native.PairCells
    parts = bytes(part for item in layout.variables for part in parts_of_cells(item.distribution))
    pairs = [(pair.first, pair.second) for pair in layout.pairs]
    return kind(parts, pairs, len(layout.features), len(layout.variables), layout.pairs_start)  # type: ignore[call-arg]


class PairCells:
    """Finds the cells of pairs, in Python; `pair_cells` makes the faster one.

    Args:
        parts: Part of each cell of all variables, one byte for each.
        pairs: Positions of the variables of each pair, features before outputs.
        features: Number of features.
        variables: Number of features and outputs.
        start: First cell of the first pair.
    """

    def __init__(
        self, parts: bytes, pairs: Sequence[tuple[int, int]], features: int, variables: int, start: int
    ) -> None:
        self._parts = parts
        self._pairs = [(first, second, start + CELLS * number) for number, (first, second) in enumerate(pairs)]
        self._features = features
        self._variables = variables

    def note_row(self, tally: RowTally) -> None:
        """Add the cells of the pairs of a single row; see `CountsPairs.note_row`."""
        cells, part_of = tally.cells, self._parts
        parts = [NO_PART] * self._variables
        for place, start, stop in (
            (tally.features_at, 0, self._features),
            (tally.outputs_at, self._features, self._variables),
        ):
            if place >= 0:
                parts[start:stop] = [part_of[cell] for cell in cells[place : place + stop - start]]
        for first, second, start in self._pairs:
            one, other = parts[first], parts[second]
            if one != NO_PART and other != NO_PART:
                cells.append(start + PARTS * one + other)

    def of_rows(self, features: Located | None, outputs: Located | None) -> NDArray[np.int64]:
        """Return the rows in each cell of the pairs; see `CountsPairs.of_rows`."""
        part_of = np.frombuffer(self._parts, dtype=np.uint8)
        columns: dict[int, NDArray[np.uint8]] = {}
        for start, stop, located in ((0, self._features, features), (self._features, self._variables, outputs)):
            if located is not None:
                columns |= dict(enumerate(part_of[located[:, : stop - start]].T, start))
        counts = np.zeros((len(self._pairs), CELLS), dtype=np.int64)
        for number, (first, second, _) in enumerate(self._pairs):
            if first in columns and second in columns:
                one, other = columns[first], columns[second]
                is_known = (one != NO_PART) & (other != NO_PART)
                counts[number] = np.bincount(one[is_known] * PARTS + other[is_known], minlength=CELLS)
        return counts.ravel()
