"""Lazy frames of tables, which each engine reads from Parquet with its own reader.

An engine reads on its own where all selected records are in tables with the columns of the frame. Then the files are
listed here, and the engine selects rows by time and name. Where two units have records of the same minutes, it also
leaves out copies.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from math import isfinite
from typing import Any, NamedTuple

from flask_boxkite.errors import BoxkiteError
from flask_boxkite.records.columns import FIELDS, Columns
from flask_boxkite.records.folders import Folders, RecordFile
from flask_boxkite.records.frames import Frame, warn_of
from flask_boxkite.records.parquet.layout import ROW, UNNAMED, Layout
from flask_boxkite.records.parquet.part import DAMAGED, open_part
from flask_boxkite.records.parquet.stream import select
from flask_boxkite.records.selection import Filter
from flask_boxkite.values.unread import Examples

__all__ = ["READERS", "TableScan", "only_tables", "scan_of", "warn_of_nulls"]

_LOOKED_AT = 100
"""Most files that are looked into for values that do not fit: the rest may be far away, and of years ago."""

_KEY = ("entity_id", ROW)
"""Columns that identify a row."""


class TableScan(NamedTuple):
    """The selected rows of parts that an engine reads.

    Attributes:
        parts: Parts, in the order of time in each table.
        paths: Their paths or URLs.
        columns: Names of the columns in the files, and in the frame.
        conditions: Conditions that all must hold: a column, ``>=``, ``<`` or ``==``, and a value.
        has_copies: Whether a row may be in two parts.
    """

    parts: list[RecordFile]
    paths: list[str]
    columns: dict[str, str]
    conditions: list[tuple[str, str, Any]]
    has_copies: bool


def scan_of(folders: Folders, files: Sequence[RecordFile], wanted: Filter, columns: Columns | None) -> TableScan | None:
    """Return a scan of the selected records; None if an engine alone cannot read them.

    Args:
        folders: Folders of the files.
        files: Files that may hold selected records, in the order of time.
        wanted: Selection of records.
        columns: Features and outputs of a baseline; None for the ones of the only table.
    """
    parts = [file for file in files if file.unit]
    if not parts or len(parts) < len(files):
        return None
    layout = None if columns is None or columns.baseline is None else Layout.of(columns.baseline)
    chosen: list[RecordFile] = []
    for own in _tables(parts):
        found = _layout_of(folders, own, wanted)
        if found is None:  # of another model
            continue
        layout = found if layout is None and columns is None else layout
        if found != layout or not found.variables:
            return None
        chosen += own
    if layout is None or not chosen:
        return None
    return TableScan(
        chosen,
        [folders.of(file).url(file) for file in chosen],
        {**_called(layout, columns), **{name: name for name in FIELDS}},
        list(_conditions(wanted)),
        _have_copies(chosen),
    )


def warn_of_nulls(scan: TableScan, frame: Frame, folders: Folders, wanted: Filter) -> None:
    """Log values of the latest parts that are null in a scan, which other frames log as they are read.

    Args:
        scan: Scan of an engine.
        frame: Frame of the same columns.
        folders: Folders of the files.
        wanted: Selection of records.
    """
    unread: defaultdict[str, Examples] = defaultdict(Examples)
    latest = sorted(scan.parts)[-_LOOKED_AT:]
    for file in latest:
        with suppress(*DAMAGED):
            part = open_part(folders, file)
            try:
                for group in part.groups():
                    if select(group, wanted):
                        frame.note_odd(group, unread)
            finally:
                part.close()
    warn_of(unread, "the frame" if len(latest) == len(scan.parts) else f"the frame's latest {len(latest)} files")


def _tables(parts: Sequence[RecordFile]) -> list[list[RecordFile]]:
    """Return the parts of each table."""
    tables: dict[str, list[RecordFile]] = {}
    for part in parts:
        tables.setdefault(part.path.rsplit("/", 2)[0], []).append(part)
    return list(tables.values())


def _layout_of(folders: Folders, parts: Sequence[RecordFile], wanted: Filter) -> Layout | None:
    """Return the layout of a table; None if it holds records of another model alone, or nothing that can be read."""
    for file in parts:
        try:
            part = open_part(folders, file)
        except DAMAGED:
            continue
        try:
            for group in part.groups():
                is_other = wanted.model is not None and group.constant("model") not in (None, (wanted.model,))
                return None if is_other and not _is_mixed(file) else part.layout
        finally:
            part.close()
    return None


def _is_mixed(part: RecordFile) -> bool:
    """Say whether a part is of the table that may hold records of several models."""
    return part.path.split("/")[-3].startswith(f"{UNNAMED}.")


def _called(layout: Layout, columns: Columns | None) -> dict[str, str]:
    """Return the name of each variable's column in the frame."""
    if columns is None:
        return {item.column: item.column for item in layout.variables}
    sides = ((layout.features, columns.feature_columns), (layout.outputs, columns.output_columns))
    return {item.column: called[item.name] for variables, called in sides for item in variables}


def _conditions(wanted: Filter) -> Iterator[tuple[str, str, Any]]:
    for bound, operator in ((wanted.period.start, ">="), (wanted.period.end, "<")):
        if isfinite(bound):
            yield "created_at", operator, datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=bound)
    for name, value in (("model", wanted.model), ("version", wanted.version), ("baseline", wanted.fingerprint)):
        if value is not None:
            yield name, "==", value


def _have_copies(parts: Sequence[RecordFile]) -> bool:
    """Say whether parts of two units have records of the same minute."""
    by_unit: dict[str, tuple[float, float]] = {}
    for part in parts:
        first, end = by_unit.get(part.unit, (part.minute, part.end))
        by_unit[part.unit] = min(first, part.minute), max(end, part.end)
    return any(end > first for (_, end), (first, _) in pairwise(sorted(by_unit.values())))


# --- engines ---------------------------------------------------------------------------------------------------------


def _polars(scan: TableScan) -> Any:
    import polars as pl

    frame = pl.scan_parquet(scan.paths, hive_partitioning=False)
    operators: dict[str, Callable[[Any, Any], Any]] = {
        ">=": pl.Expr.__ge__,
        "<": pl.Expr.__lt__,
        "==": pl.Expr.__eq__,
    }
    for name, operator, value in scan.conditions:
        frame = frame.filter(operators[operator](pl.col(name), value))
    if scan.has_copies:
        frame = frame.unique(subset=list(_KEY))
    return frame.select(pl.col(name).alias(called) for name, called in scan.columns.items())


def _duckdb(scan: TableScan) -> Any:
    import duckdb

    frame: Any = duckdb.read_parquet(scan.paths, hive_partitioning=False)
    for name, operator, value in scan.conditions:
        moment = f"TIMESTAMPTZ '{value.isoformat()}'" if isinstance(value, datetime) else _quoted(value, "'")
        frame = frame.filter(f"{_quoted(name)} {operator.replace('==', '=')} {moment}")
    if scan.has_copies:
        frame = frame.query("rows_of_records", f"SELECT DISTINCT ON ({', '.join(_KEY)}) * FROM rows_of_records")
    return frame.project(", ".join(f"{_quoted(name)} AS {_quoted(called)}" for name, called in scan.columns.items()))


def _quoted(text: str, mark: str = '"') -> str:
    return f"{mark}{text.replace(mark, 2 * mark)}{mark}"


def _dask(scan: TableScan) -> Any:
    import dask.dataframe as dd

    frame = dd.read_parquet(scan.paths, columns=[*scan.columns, ROW])
    for name, operator, value in scan.conditions:
        column = frame[name]
        frame = frame[column >= value if operator == ">=" else column < value if operator == "<" else column == value]
    if scan.has_copies:
        frame = frame.drop_duplicates(subset=list(_KEY))
    return frame[list(scan.columns)].rename(columns=scan.columns)


def _pyspark(scan: TableScan) -> Any:
    from pyspark.sql import SparkSession
    from pyspark.sql import functions as sql

    frame = SparkSession.builder.getOrCreate().read.parquet(*scan.paths)
    for name, operator, value in scan.conditions:
        column = frame[name]
        literal = sql.lit(value)
        frame = frame.filter(
            column >= literal if operator == ">=" else column < literal if operator == "<" else column == literal
        )
    if scan.has_copies:
        frame = frame.dropDuplicates(list(_KEY))
    return frame.select([sql.col(_quoted(name, "`")).alias(called) for name, called in scan.columns.items()])


READERS: dict[str, Callable[[TableScan], Any]] = {
    "polars": _polars,
    "duckdb": _duckdb,
    "dask": _dask,
    "pyspark": _pyspark,
}
"""Engines that read tables on their own."""


def only_tables(engine: str) -> BoxkiteError:
    """Return the error for records that this engine cannot read."""
    msg = (
        f"{engine!r} reads Parquet of one baseline. Compact the records with it (flask boxkite compact --baseline), "
        "and name the folder of the tables, the baseline and, if there are several, the model."
    )
    return BoxkiteError(msg)
