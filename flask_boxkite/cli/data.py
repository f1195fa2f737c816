"""Training data in files, read by Polars: lazily, so that nothing is in memory that need not be."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import polars as pl

from flask_boxkite.cli.group import listed, meant
from flask_boxkite.errors import BaselineError

__all__ = ["FORMATS", "MISSING_TEXTS", "check_columns", "is_data", "readable", "scan"]

FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
"""Formats by suffix; ``.gz`` may follow those that are text."""

_SEPARATORS = {"csv": ",", "tsv": "\t"}
_ALL_SEPARATORS = frozenset(",;|\t")

MISSING_TEXTS = ("NA", "N/A", "NaN", "nan", "null", "NULL", "None")
"""What a missing value is often written as in CSV, besides an empty field."""


def is_data(name: str) -> bool:
    """Say whether a file is data, by its suffix."""
    return _format(name) is not None


def _format(name: str) -> str | None:
    plain = name.removesuffix(".gz")
    found = FORMATS.get(Path(plain).suffix.lower())
    return None if found == "parquet" and plain != name else found


def scan(names: Sequence[str], missing: Collection[str] = MISSING_TEXTS) -> pl.LazyFrame:
    """Return the rows of all files, one after the other.

    Args:
        names: Files, patterns such as ``data/*.parquet``, or URLs that Polars knows.
        missing: Texts that stand for a missing value in CSV.

    Raises:
        BaselineError: There is no such file, one is of no known kind, cannot be read, has no rows or other columns.
    """
    paths = [path for name in names for path in _expanded(name)]
    frames = [_scan_file(path, missing) for path in paths]
    columns = _columns(frames[0], paths[0])
    for path, frame in zip(paths[1:], frames[1:], strict=True):
        other = _columns(frame, path)
        if lacking := set(columns) ^ set(other):
            (name, *_) = sorted(lacking)
            having, without = (paths[0], path) if name in columns else (path, paths[0])
            msg = f"'{without}' has no column {name!r}, which '{having}' has. All files must have the same columns."
            raise BaselineError(msg)
    with readable(listed(names)):
        whole = pl.concat([frame.select(columns) for frame in frames], how="vertical_relaxed")
        if not whole.head(1).collect().height:
            msg = f"There are no rows in {listed(list(map(repr, names)))}."
            raise BaselineError(msg)
    return whole


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Turn what Polars says of a file into one line.

    Raises:
        BaselineError: It cannot be read.
    """
    try:
        yield
    except (OSError, pl.exceptions.PolarsError, BaselineError) as error:
        cause = error.__cause__ if isinstance(error, BaselineError) else error
        if cause is not error and not isinstance(cause, pl.exceptions.PolarsError):
            raise
        reason = str(cause).partition("\n")[0].strip().rstrip(".")
        msg = f"'{name}' cannot be read: {reason}. Is it whole, and in UTF-8 if it is text?"
        raise BaselineError(msg) from error


def check_columns(option: str, given: Collection[str], columns: Sequence[str]) -> None:
    """Refuse names that the data does not have.

    Raises:
        BaselineError: There is one; says which was probably meant.
    """
    for name in given:
        if name not in columns:
            msg = f"'{option}' names {name!r}, which the data does not have. {meant(name, columns)}"
            raise BaselineError(msg)


def _expanded(name: str) -> list[str]:
    if "://" in name or os.path.isfile(name):
        return [name]
    if os.path.isdir(name):
        msg = f"'{name}' is a folder. Name the files in it, for example '{Path(name) / '*.parquet'}'."
        raise BaselineError(msg)
    if found := sorted(glob.glob(name, recursive=True)):
        return found
    msg = f"There is no file '{name}', or its folder cannot be read."
    raise BaselineError(msg)


def _scan_file(path: str, missing: Collection[str]) -> pl.LazyFrame:
    kind = _format(path)
    if kind is None:
        msg = f"'{path}' is of no known kind. It should end in {', '.join(FORMATS)}, or, of text, in '.gz' after that."
        raise BaselineError(msg)
    if kind == "parquet":
        return pl.scan_parquet(path)
    read: Callable[..., pl.LazyFrame]
    if kind == "jsonl":
        read = partial(pl.scan_ndjson, path)
    else:
        read = partial(pl.scan_csv, path, separator=_SEPARATORS[kind], null_values=list(missing))
    # Types are those that all rows have in common, not only the first ones; looked for once, not by every reader.
    with readable(path):
        return read(schema=read(infer_schema_length=None).collect_schema())


def _columns(frame: pl.LazyFrame, path: str) -> list[str]:
    with readable(path):
        schema = frame.collect_schema()
    for name, kind in schema.items():
        if kind.is_nested():
            msg = f"Column {name!r} of '{path}' holds lists or objects. Give each value in it a column of its own."
            raise BaselineError(msg)
    _check_separator(path, list(schema))
    return list(schema)


def _check_separator(path: str, columns: Sequence[str]) -> None:
    """Refuse text that has another separator than it should: all of it would be one column."""
    own = _SEPARATORS.get(_format(path) or "")
    if own is not None and len(columns) == 1 and (others := sorted((_ALL_SEPARATORS - {own}) & set(columns[0]))):
        msg = f"'{path}' has only the column {columns[0]!r}. Write {own!r} between values, not {others[0]!r}."
        raise BaselineError(msg)
