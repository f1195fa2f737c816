"""Training data in files, read by Polars: lazily, so that nothing is in memory that need not be."""

from __future__ import annotations

import atexit
import csv
import glob
import gzip
import io
import json
import math
import os
import re
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO

import polars as pl

from flask_boxkite.baseline.number_texts import AMOUNT, SHOWN, OddTextsError, TextRows
from flask_boxkite.cli.group import listed, meant
from flask_boxkite.errors import BaselineError
from flask_boxkite.values import MISSING_TEXTS

__all__ = ["FORMATS", "check_columns", "is_data", "readable", "scan"]

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

_INDEX = re.compile(r"__index_level_\d+__")
"""Columns that pandas makes of row labels in Parquet: no variables."""


def is_data(name: str) -> bool:
    """Say whether a file is data, by its suffix."""
    return _format(name) is not None


def _format(name: str) -> str | None:
    plain = name.removesuffix(".gz")
    found = FORMATS.get(Path(plain).suffix.lower())
    return None if found == "parquet" and plain != name else found


def scan(names: Sequence[str], missing: Collection[str] = (), texts: Collection[str] = ()) -> pl.LazyFrame:
    """Return the rows of all files, one after the other.

    Args:
        names: Files, patterns such as ``data/*.parquet``, or URLs that Polars knows.
        missing: Texts that stand for a missing value in CSV, besides `values.MISSING_TEXTS`.
        texts: Columns that are read as texts in CSV, whatever they hold.

    Raises:
        BaselineError: There is no such file, one is of no known kind, cannot be read, has no rows or other columns, or
            a column holds numbers and a few texts.
    """
    paths = [path for name in names for path in _expanded(name)]
    frames = [_scan_file(path, missing, texts) for path in paths]
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
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
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


def _scan_file(path: str, missing: Collection[str], texts: Collection[str]) -> pl.LazyFrame:
    kind = _format(path)
    if kind is None:
        msg = f"'{path}' is of no known kind. It should end in {', '.join(FORMATS)}, or, of text, in '.gz' after that."
        raise BaselineError(msg)
    if kind == "parquet":
        frame = pl.scan_parquet(path)
        with readable(path):
            return frame.drop([name for name in frame.collect_schema() if _INDEX.fullmatch(name)])
    return _scan_lines(path) if kind == "jsonl" else _scan_table(path, _SEPARATORS[kind], missing, texts)


def _scan_lines(path: str) -> pl.LazyFrame:
    """Read JSON lines, with columns in the order of the first line: Polars shuffles them from 33 on."""
    infinite: set[str] = set()
    read = partial(pl.scan_ndjson, path)
    with readable(path):
        # Types are those that all rows have in common, not only the first ones; looked for once, not by every reader.
        try:
            schema = read(infer_schema_length=None).collect_schema()
        except pl.exceptions.ComputeError:
            if "://" in path:
                raise
            cleaned, infinite = _cleaned_lines(path)
            read = partial(pl.scan_ndjson, cleaned)
            schema = read(infer_schema_length=None).collect_schema()
        first = json.loads(_first_line(path) or "{}")
        known = [name for name in first if name in schema] if isinstance(first, dict) else []
        frame = read(schema=schema).select([*known, *sorted(schema.keys() - set(known))])
        return frame.with_columns(pl.col(sorted(infinite)).cast(pl.Float64)) if infinite else frame


def _cleaned_lines(path: str) -> tuple[str, set[str]]:
    """Write JSON lines without what only Python's reader takes, a byte order mark and NaN, to a file of this process.

    Returns:
        Its path, and the columns in which an infinity stands, as a text.
    """
    infinite: set[str] = set()
    descriptor, cleaned = tempfile.mkstemp(prefix="boxkite-", suffix=".jsonl")
    atexit.register(Path(cleaned).unlink, missing_ok=True)
    with (
        open(descriptor, "w", encoding="utf-8") as target,
        _opened(path) as source,
        io.TextIOWrapper(source, "utf-8-sig") as lines,
    ):
        for line in lines:
            if not line.strip():
                continue
            row = json.loads(line)
            if isinstance(row, dict):
                for name, value in row.items():
                    if isinstance(value, float) and not math.isfinite(value):
                        row[name] = None if value != value else "inf" if value > 0 else "-inf"
                        infinite |= {name} if value == value else set()
            target.write(json.dumps(row) + "\n")
    return cleaned, infinite


def _opened(path: str) -> IO[bytes]:
    return gzip.open(path) if path.endswith(".gz") else open(path, "rb")  # type: ignore[return-value]


def _scan_table(path: str, separator: str, missing: Collection[str], texts: Collection[str]) -> pl.LazyFrame:
    """Read CSV as a server reads it: blanks around values do not count, and texts that stand for missing values."""
    names = next(csv.reader([_first_line(path) or ""], delimiter=separator), [])
    for name, number in Counter(name.strip() for name in names).items():
        if number > 1 and name:
            msg = f"'{path}' has the column {name!r} {number} times. Give each column a name of its own."
            raise BaselineError(msg)
    read = partial(pl.scan_csv, path, separator=separator)
    with readable(path):
        schema = read(infer_schema_length=None).collect_schema()
        is_text = {name: kind == pl.String or name.strip() in texts for name, kind in schema.items()}
        frame = read(schema={name: pl.String if is_text[name] else kind for name, kind in schema.items()})
        gone = [*MISSING_TEXTS, *(text.strip().lower() for text in missing)]
        value = {name: pl.col(name).str.strip_chars() for name in schema if is_text[name]}
        cleaned = {
            name: pl.when(column.str.to_lowercase().is_in(gone)).then(None).otherwise(column)
            for name, column in value.items()
        }
        frame = frame.with_columns(**cleaned)
        numbers = _columns_of_numbers(frame, path, [name for name in cleaned if name.strip() not in texts])
        frame = frame.with_columns(pl.col(numbers).cast(pl.Float64))
        return frame.rename({name: name.strip() for name in schema})


def _columns_of_numbers(frame: pl.LazyFrame, path: str, names: Sequence[str]) -> list[str]:
    """Return those columns of texts that hold nothing but numbers.

    Raises:
        BaselineError: One holds numbers and some other texts, of which nothing can be made without being told.
    """
    if not names:
        return []
    held = {name: pl.col(name).count().alias(f"held {name}") for name in names}
    number = {name: pl.col(name).cast(pl.Float64, strict=False) for name in names}
    numbers = [value.count().alias(f"numbers {name}") for name, value in number.items()]
    amounts = [
        (value.is_null() & pl.col(name).str.contains(AMOUNT)).sum().alias(f"amounts {name}")
        for name, value in number.items()
    ]
    counts = frame.select(*held.values(), *numbers, *amounts).collect().row(0)
    found = []
    for place, name in enumerate(names):
        texts_found = TextRows(*counts[place :: len(names)])
        if texts_found.are_numbers:
            found.append(name)
        elif texts_found.are_odd:
            odd = frame.select(pl.col(name)).filter(pl.col(name).cast(pl.Float64, strict=False).is_null())
            texts = odd.drop_nulls().unique(maintain_order=True).head(SHOWN).collect().to_series().to_list()
            raise OddTextsError(name, texts_found, texts, where=f" of '{path}'").for_command()
    return found


def _first_line(path: str) -> str | None:
    """Return the first line that is not blank; None where only Polars can read the file.

    Raises:
        BaselineError: It is in UTF-16.
    """
    if "://" in path:
        return None
    try:
        with _opened(path) as opened:
            line = next((line for line in opened if line.strip()), b"")
    except OSError:
        return None
    if line.startswith((b"\xff\xfe", b"\xfe\xff")):
        msg = f"'{path}' is in UTF-16. Save it in UTF-8."
        raise BaselineError(msg)
    return line.decode("utf-8-sig", "replace").rstrip("\r\n")


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
