"""Records as a frame of the user's engine: one row per predicted row, made a chunk at a time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from flask_boxkite.errors import BoxkiteError
from flask_boxkite.naming import REDACTED
from flask_boxkite.quoting import printable
from flask_boxkite.records.alignment import Row
from flask_boxkite.records.columns import FIELDS, Columns
from flask_boxkite.records.decoding import Record
from flask_boxkite.values.conversion import InvalidValue, is_missing_text, to_number, to_text
from flask_boxkite.values.unread import Examples, listed_values

if TYPE_CHECKING:
    from flask_boxkite.records.parquet.part import Group

__all__ = ["ENGINES", "ON_TABLES", "Frame", "required", "warn_of"]

logger = logging.getLogger("flask_boxkite")

_PLAIN = frozenset({float, int, bool, type(None)})
_MOST_NAMED = 5
"""Most columns that a warning names."""

_TYPES = {"created_at": "timestamp", "duration_ms": "number"}
"""Types of the fields that are not texts."""

_OF_ROWS = frozenset({"prediction_id", "key"})
"""Fields by which the rows of a batch are told apart."""


class _FrameColumn(NamedTuple):
    """A column of features or outputs.

    Attributes:
        name: Name of the column.
        position: Index of its values in a row.
        is_text: Whether its values are texts; if not, they are numbers.
        missing_texts: Texts that stand for a missing number, beside the usual ones.
    """

    name: str
    position: int
    is_text: bool
    missing_texts: frozenset[str]


class Frame:
    """Makes Arrow record batches of records, from which engines make their frames; pyarrow is needed.

    Args:
        columns: Features and outputs.
        read: Function that starts a new reading, and yields records, or groups of a table of these columns.
        fields: Names of the columns behind these, of `FIELDS`.

    Raises:
        BoxkiteError: pyarrow is not installed.
    """

    def __init__(
        self,
        columns: Columns,
        read: Callable[[], Iterator[list[Record] | Group]] = lambda: iter(()),
        fields: Sequence[str] = FIELDS,
    ) -> None:
        self._arrow = required("pyarrow")
        self._read = read
        self._fields = fields
        self.aligner = columns.aligner()
        self._features = _columns("feature", columns.feature_columns, columns)
        self._outputs = _columns("output", columns.output_columns, columns)
        self._variables = (*self._features, *self._outputs)
        self.schema = self._schema()

    def _schema(self) -> Any:
        arrow = self._arrow
        types = {"timestamp": arrow.timestamp("us", tz="UTC"), "number": arrow.float64(), "text": arrow.string()}
        variables = [(item.name, "text" if item.is_text else "number") for item in self._variables]
        fields = [(name, _TYPES.get(name, "text")) for name in self._fields]
        return arrow.schema([(name, types[kind]) for name, kind in (*variables, *fields)])

    def batches(self) -> Iterator[Any]:
        """Start a new reading, and yield a record batch for each chunk that has rows.

        At its end, the log names the columns with values that do not fit, which are null.
        """
        unread = self.no_examples()
        try:
            for piece in self._read():
                if (batch := self.batch(piece, unread)) is not None:
                    yield batch
        finally:
            warn_of(unread)

    def no_examples(self) -> dict[str, Examples]:
        """Return examples of values that do not fit, by column, before the first record."""
        return {item.name: Examples() for item in self._variables}

    def reader(self) -> Any:
        """Return a `pyarrow.RecordBatchReader` of a new reading."""
        return self._arrow.RecordBatchReader.from_batches(self.schema, self.batches())

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Start a new reading for a library that uses Arrow's stream interface."""
        return self.reader().__arrow_c_stream__(requested_schema)

    def batch(self, piece: list[Record] | Group, unread: Mapping[str, Examples]) -> Any:
        """Return the record batch of some records, or of the selected rows of a group; None without records.

        Args:
            piece: Records, or a group of a table with the columns of the frame.
            unread: Examples of values that do not fit, by column, to which this adds.
        """
        if not isinstance(piece, list):
            self.note_odd(piece, unread)
            return self._of_group(piece)
        if not piece:
            return None
        features, outputs = self.aligner.single_rows(piece) or self._rows(piece)
        return self.batch_of(piece, features, outputs, unread)

    def note_odd(self, group: Group, unread: Mapping[str, Examples]) -> None:
        """Note the values in the selected rows of a group that do not fit, and so are null in its columns.

        Args:
            group: Group of a table with the columns of the frame.
            unread: Examples of values that do not fit, by column, to which this adds.
        """
        layout = group.part.layout
        columns = dict(zip([item.column for item in layout.variables], self._variables, strict=True))
        for odd in group.odd():
            for name, value in odd.items():
                _fitting(value, columns[name], unread)

    def _of_group(self, group: Group) -> Any:
        """Return the selected rows of a group of columns."""
        layout = group.part.layout
        columns = [*(item.column for item in layout.variables), *self._fields]
        group.load(columns)
        batch = self._arrow.RecordBatch.from_arrays([group.column(name) for name in columns], schema=self.schema)
        return batch if group.is_kept is None else batch.filter(self._arrow.array(group.is_kept))

    def batch_of(
        self, records: Sequence[Record], features: list[Row], outputs: list[Row], unread: Mapping[str, Examples]
    ) -> Any:
        """Return the record batch of records whose rows are laid out, one row for each predicted row.

        Args:
            records: The records.
            features: Rows of features.
            outputs: Rows of outputs.
            unread: Examples of values that do not fit, by column, to which this adds.
        """
        rows = np.array([record.rows for record in records])
        arrays = [*self._arrays(self._features, features, unread), *self._arrays(self._outputs, outputs, unread)]
        arrays += self._field_arrays(records, rows)
        return self._arrow.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _rows(self, records: Sequence[Record]) -> tuple[list[Row], list[Row]]:
        """Return one row of features, and one of outputs, for each predicted row."""
        features: list[Row] = []
        outputs: list[Row] = []
        for record in records:
            features += _filled(self.aligner.feature_rows(record), record.rows, len(self._features))
            outputs += _filled(self.aligner.output_rows(record), record.rows, len(self._outputs))
        return features, outputs

    def _arrays(
        self, columns: Sequence[_FrameColumn], rows: list[Row], unread: Mapping[str, Examples]
    ) -> Iterator[Any]:
        table = _numbers(rows) if columns and not any(column.is_text for column in columns) else None
        for column in columns:
            if table is not None:
                yield self._arrow.array(np.ascontiguousarray(table[:, column.position]), from_pandas=True)
                continue
            values = [row[column.position] for row in rows]
            fitting = [_fitting(value, column, unread) for value in values]
            if column.is_text:
                yield self._arrow.array(fitting, self._arrow.string())
            else:
                yield self._arrow.array(np.array(fitting, dtype=np.float64), from_pandas=True)

    def _field_arrays(self, records: Sequence[Record], rows: Any) -> Iterator[Any]:
        repeats = np.repeat(np.arange(len(records)), rows)
        is_one_each = len(repeats) == len(records)

        for name in self._fields:
            values: Any = [getattr(record, name) for record in records]
            if name in _OF_ROWS and not is_one_each:
                values = list(_row_ids(records, name))
                yield self._arrow.array(values, self._arrow.string())
                continue
            if name == "created_at":
                values = np.array(values, dtype="datetime64[s]").astype("datetime64[us]")
            array = self._arrow.array(values, self.schema.field(name).type)
            yield array if is_one_each else array.take(self._arrow.array(repeats))


def _columns(side: str, called: dict[str, str], columns: Columns) -> list[_FrameColumn]:
    missing_texts = {}
    if columns.baseline is not None:
        items = columns.baseline.features if side == "feature" else columns.baseline.outputs
        missing_texts = {item.name: item.missing_texts for item in items}
    return [
        _FrameColumn(called[name], index, (side, name) in columns.texts, missing_texts.get(name, frozenset()))
        for index, name in enumerate(called)
    ]


def _fitting(value: Any, column: _FrameColumn, unread: Mapping[str, Examples]) -> Any:
    """Return a value as a text or number; None if it is not one, and note it unless it is missing or redacted."""
    try:
        return to_text(value) if column.is_text else to_number(value)
    except InvalidValue:
        is_missing = isinstance(value, str) and is_missing_text(value, column.missing_texts)
        if not is_missing and value != REDACTED:
            unread[column.name].note(value)
        return None


def warn_of(unread: Mapping[str, Examples], where: str = "the frame") -> None:
    """Log the columns with values that do not fit."""
    columns = [f"{name!r} ({item.count:,}: {listed_values(item.found)})" for name, item in unread.items() if item.count]
    if columns:
        more = f" and {len(columns) - _MOST_NAMED} more columns" if len(columns) > _MOST_NAMED else ""
        logger.warning(
            "Values that do not fit their columns are null in %s: %s%s. Iterate over the records to see them.",
            where,
            printable(", ".join(columns[:_MOST_NAMED])),
            more,
        )


def _filled(rows: list[Row] | None, count: int, width: int) -> list[Row]:
    """Return *rows* if they are as many as the predictions; otherwise empty rows."""
    return rows if rows is not None and len(rows) == count else [[None] * width] * count


def _numbers(rows: list[Row]) -> Any:
    """Return rows of numbers and None as an array; None if there are other values."""
    values = list(chain.from_iterable(rows))
    if not _PLAIN.issuperset(map(type, values)):
        return None
    try:
        return np.array(values, dtype=np.float64).reshape(len(rows), -1)
    except OverflowError:  # an integer beyond all floats
        return None


def _row_ids(records: Sequence[Record], field: str) -> Iterator[str | None]:
    """Yield the id or key of each row; rows of a batch have their number behind it."""
    for record in records:
        text = getattr(record, field)
        if record.rows == 1 or text is None:
            yield from [text] * record.rows
        else:
            yield from (f"{text}/{row}" for row in range(record.rows))


# --- engines ---------------------------------------------------------------------------------------------------------


def _polars(frame: Frame) -> Any:
    """Return a LazyFrame, which starts a new reading each time it is collected."""
    polars = required("polars")
    from polars.io.plugins import register_io_source

    def source(with_columns: Any, predicate: Any, n_rows: int | None, batch_size: int | None) -> Iterator[Any]:
        for batch in frame.batches():
            rows = polars.from_arrow(batch)
            if n_rows is not None:
                rows = rows.head(n_rows)
                n_rows -= len(rows)
            if predicate is not None:
                rows = rows.filter(predicate)
            yield rows if with_columns is None else rows.select(with_columns)
            if n_rows == 0:
                return

    schema = polars.from_arrow(frame.schema.empty_table()).schema
    return register_io_source(source, schema=schema)


def _duckdb(frame: Frame) -> Any:
    """Return a relation, which starts a new reading each time it is executed."""
    return required("duckdb").from_arrow(frame)


def _pandas(frame: Frame) -> Any:
    """Return a DataFrame, in memory."""
    required("pandas")
    return frame.reader().read_pandas()


ON_TABLES = ("dask", "pyspark")
"""Engines that read only Parquet."""

ENGINES: dict[str, Callable[[Frame], Any]] = {
    "polars": _polars,
    "pandas": _pandas,
    "pyarrow": Frame.reader,
    "duckdb": _duckdb,
}
"""Engines of `Records.to_frame`."""


def required(package: str) -> Any:
    """Return a package that a frame needs.

    Raises:
        BoxkiteError: It is not installed.
    """
    import importlib

    try:
        return importlib.import_module(package)
    except ImportError as error:
        msg = f"This frame of records needs {package!r}. Run: pip install {package}"
        raise BoxkiteError(msg) from error
