"""The features and outputs of answered rows as a table, of which a baseline is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

from flask_boxkite.records.columns import Columns
from flask_boxkite.records.counting import is_answered
from flask_boxkite.records.decoding import Record
from flask_boxkite.records.frames import Frame, warn_of
from flask_boxkite.values.unread import Examples

if TYPE_CHECKING:  # pyarrow is not there where only lines are read
    from flask_boxkite.records.parquet.layout import Layout
    from flask_boxkite.records.parquet.part import Group

__all__ = ["TableJob", "Tabling"]


@dataclass(frozen=True)
class TableJob:
    """A description of the table.

    Attributes:
        columns: Its features and outputs.
    """

    columns: Columns

    def begin(self) -> Tabling:
        """Return the collection before the first record; see `Job.begin`."""
        return Tabling(self.columns)


@dataclass(frozen=True)
class Tabled:
    """The rows of one process.

    Attributes:
        batches: Arrow record batches, in the order of the rows.
        unread: Examples of values that do not fit, by column.
        records: Number of answered records in lines.
    """

    batches: Sequence[Any]
    unread: Mapping[str, Examples]
    records: int


class Tabling:
    """Collects answered rows; a `Counting`.

    Attributes:
        records: Number of answered records in lines, which may be without features and outputs.

    Args:
        columns: Features and outputs of the table.

    Raises:
        BoxkiteError: pyarrow is not installed.
    """

    def __init__(self, columns: Columns) -> None:
        self.names = columns.by_name
        self._baseline = columns.baseline
        self._frame = Frame(columns, fields=())
        self._batches: list[Any] = []
        self._unread = self._frame.no_examples()
        self.records = 0

    def takes(self, layout: Layout) -> bool:
        """Say whether the groups of a table have these columns."""
        return layout == self._layout

    @cached_property
    def _layout(self) -> Layout | None:
        from flask_boxkite.records.parquet.layout import Layout

        return None if self._baseline is None else Layout.of(self._baseline)

    def add(self, piece: list[Record] | Group) -> None:
        """Collect the answered rows of some records, or of a group of rows."""
        if isinstance(piece, list):
            piece = list(filter(is_answered, piece))
            self.records += len(piece)
        else:
            piece.keep(piece.is_answered())
        if (batch := self._frame.batch(piece, self._unread)) is not None:
            self._batches.append(batch)

    @property
    def counted(self) -> Tabled:
        """The rows so far."""
        return Tabled(self._batches, self._unread, self.records)

    def join(self, counted: Tabled) -> None:
        """Add the rows of another process, of records behind these."""
        self._batches += counted.batches
        self.records += counted.records
        for name, examples in counted.unread.items():
            self._unread[name].join(examples)

    def table(self) -> Any:
        """Return the rows as a `pyarrow.Table`; the log names the columns with values that do not fit."""
        warn_of(self._unread)
        return import_module("pyarrow").Table.from_batches(self._batches, self._frame.schema)
