"""Rows of a table from records: the values of frames, and beside them the lines of which they were read.

A value that its column cannot hold, such as a text among numbers, is null there, and stands in the column of odd
values as it came, because it counts as invalid and not as missing. A record whose rows have no place in columns, such
as one of three rows with two outputs, is counted from its line.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from flask_boxkite.records.alignment import Row
from flask_boxkite.records.columns import Columns
from flask_boxkite.records.decoding import Record
from flask_boxkite.records.frames import Frame
from flask_boxkite.records.parquet.layout import Layout, Variable
from flask_boxkite.values.conversion import InvalidValue, to_number
from flask_boxkite.values.unread import Examples

__all__ = ["Encoder", "Line"]


class Line(NamedTuple):
    """A line and its record."""

    data: bytes
    record: Record


class Encoder:
    """Makes the rows of one table.

    Args:
        columns: Columns of the baseline; None for records that no baseline describes.
        layout: Layout of the table.
    """

    def __init__(self, columns: Columns | None, layout: Layout) -> None:
        self.layout = layout
        self._frame = Frame(columns or Columns((), (), frozenset()))
        self._is_typed = columns is not None

    def batch(self, lines: Sequence[Line]) -> Any:
        """Return the rows of some records, in their order, as an Arrow record batch."""
        records = [line.record for line in lines]
        repeats = np.array([record.rows for record in records])
        features, outputs, fits = self._laid_out(records)
        unread: defaultdict[str, Examples] = defaultdict(Examples)  # which the column of odd values keeps, all of them
        known = self._frame.batch_of(records, *self._filled(features, outputs), unread)
        sides = ((self.layout.features, features, 0), (self.layout.outputs, outputs, len(self.layout.features)))
        odd: dict[int, dict[str, Any]] = {}
        for variables, rows, start in sides:
            for position, variable in enumerate(variables):
                for place, value in _odd(variable, known.column(start + position), rows, position):
                    odd.setdefault(place, {})[variable.column] = value

        return pa.record_batch([*known.columns, *_own_columns(lines, repeats, fits, odd)], schema=self.layout.schema)

    def _laid_out(
        self, records: Sequence[Record]
    ) -> tuple[list[Row | None], list[Row | None], tuple[list[bool | None], list[bool | None]]]:
        """Return one row of features, and of outputs, for each predicted row, and whether each fits."""
        aligner = self._frame.aligner
        if not self._is_typed:
            count = sum(record.rows for record in records)
            return [None] * count, [None] * count, ([None] * count, [None] * count)
        if (single := aligner.single_rows(records)) is not None:
            known = list(map(aligner.has_known, single[0]))
            kept: list[Row | None] = [row if is_known else None for row, is_known in zip(single[0], known, strict=True)]
            return kept, list(single[1]), (list(known), [bool(aligner.outputs)] * len(known))
        features: list[Row | None] = []
        outputs: list[Row | None] = []
        fits: tuple[list[bool | None], list[bool | None]] = ([], [])

        for record in records:
            found = aligner.feature_rows(record), aligner.output_rows(record)
            is_regular = all(rows is None or len(rows) == record.rows for rows in found)
            for side, rows, own in zip((features, outputs), found, fits, strict=True):
                side += rows if rows is not None and len(rows) == record.rows else [None] * record.rows
                own += [rows is not None if is_regular else None] * record.rows
        return features, outputs, fits

    def _filled(self, features: list[Row | None], outputs: list[Row | None]) -> tuple[list[Row], list[Row]]:
        """Return rows of nothing in place of rows that do not fit."""
        return tuple(  # type: ignore[return-value]
            [nothing if row is None else row for row in rows]
            for rows, nothing in (
                (features, [None] * len(self.layout.features)),
                (outputs, [None] * len(self.layout.outputs)),
            )
        )


def _odd(variable: Variable, array: Any, rows: Sequence[Row | None], position: int) -> Iterator[tuple[int, Any]]:
    """Yield the place of each value of a variable that its column does not hold, and the value."""
    if variable.kind == "time":
        places: Any = range(len(rows))
    elif array.null_count:
        places = np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False)).tolist()
    else:
        return
    for place in places:
        row = rows[place]
        value = None if row is None else row[position]
        if value is None or value != value:
            continue
        if not isinstance(value, str) if variable.kind == "time" else _is_invalid(variable, value):
            yield place, value


def _is_invalid(variable: Variable, value: Any) -> bool:
    """Say whether a value that is null in its column is no missing one."""
    if variable.kind == "text":
        return True
    try:
        to_number(value)
    except InvalidValue:
        return True
    return False


def _own_columns(lines: Sequence[Line], repeats: Any, fits: Any, odd: dict[int, dict[str, Any]]) -> Iterator[Any]:
    """Yield the columns of the layout itself, in their order."""
    count = int(repeats.sum())
    starts = np.cumsum(repeats) - repeats
    row_of = (np.arange(count) - np.repeat(starts, repeats)).astype(np.int32)
    yield from map(pa.array, (row_of, np.repeat(repeats, repeats).astype(np.int32)))
    yield from (pa.array(own, pa.bool_()) for own in fits)
    yield pa.array([json.dumps(odd[place]) if place in odd else None for place in range(count)], pa.string())
    texts: list[str | None] = [None] * count
    for start, line in zip(starts.tolist(), lines, strict=True):
        # Fields that are not read here, such as the body of the request, may hold bytes that are no text.
        texts[start] = line.data.decode("utf-8", "replace")
    yield pa.array(texts, pa.string())
