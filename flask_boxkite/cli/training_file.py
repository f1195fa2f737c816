"""One file of training data: its columns and their types, before and after it is known which of them are texts.

In CSV, and in the names of a partitioned data set's folders, every value is plain text, so that one file does not tell
what a column is: `Part.plain` names these columns, and `deciding` looks at all files.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias
from urllib.parse import unquote

import polars as pl

from flask_boxkite.cli.jsonlines import scan_lines
from flask_boxkite.cli.training_files import first_line, is_url, readable
from flask_boxkite.errors import BaselineError

__all__ = ["FORMATS", "Part", "format_of", "part_of"]

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

_PARTITION = re.compile(r"([^=/\\]+)=([^/\\]*)")
_NO_VALUE = frozenset({"", "__HIVE_DEFAULT_PARTITION__"})

Schema: TypeAlias = Mapping[str, pl.DataType]


@dataclass(frozen=True)
class Part:
    """A file.

    Attributes:
        path: Path or URL of the file.
        schema: Types by column, as far as this file alone tells.
        plain: Columns that are plain text, so that other files may make texts of what are numbers in this one.
        read: Function that returns the rows, given columns that are to be texts if they are plain.
    """

    path: str
    schema: Schema
    plain: frozenset[str]
    read: Callable[[Collection[str]], pl.LazyFrame]


def format_of(name: str) -> str | None:
    """Return the format of a file by its suffix, None if it is no data."""
    plain = name.removesuffix(".gz")
    found = FORMATS.get(Path(plain).suffix.lower())
    return None if found == "parquet" and plain != name else found


def part_of(path: str) -> Part:
    """Look at a file.

    Raises:
        BaselineError: It is of no known kind, cannot be read, or holds what is no value.
    """
    kind = format_of(path)
    if kind is None:
        msg = f"'{path}' is of no known kind. It should end in {', '.join(FORMATS)}, or, of text, in '.gz' after that."
        raise BaselineError(msg)
    if kind != "parquet" and is_url(path) and set(path) & set("*?["):
        msg = f"'{path}' is a pattern. Name each file: of URLs, only those of Parquet may be patterns."
        raise BaselineError(msg)
    with readable(path):
        part = _table(path, _SEPARATORS[kind]) if kind in _SEPARATORS else _typed(path, kind)
    for name, type_ in part.schema.items():
        if type_.is_nested():
            msg = f"Column {name!r} of '{path}' holds lists or objects. Give each value in it a column of its own."
            raise BaselineError(msg)
    return _partitioned(part)


def _typed(path: str, kind: str) -> Part:
    """Look at a file whose values have types."""
    frame = scan_lines(path) if kind == "jsonl" else _parquet(path)
    return Part(path, dict(frame.collect_schema()), frozenset(), lambda texts: frame)


def _parquet(path: str) -> pl.LazyFrame:
    # Of a pattern in a URL, only Polars knows the files.
    frame = pl.scan_parquet(path, hive_partitioning=is_url(path) and "*" in path)
    return frame.drop([name for name in frame.collect_schema() if _INDEX.fullmatch(name)])


def _table(path: str, separator: str) -> Part:
    """Look at CSV, of which blanks around names do not count."""
    names = next(csv.reader([first_line(path) or ""], delimiter=separator), [])
    for name, number in Counter(name.strip() for name in names).items():
        if number > 1 and name:
            msg = f"'{path}' has the column {name!r} {number} times. Give each column a name of its own."
            raise BaselineError(msg)
    read = partial(pl.scan_csv, path, separator=separator)
    # Types are those that all rows have in common, not only the first ones.
    found = read(infer_schema_length=None).collect_schema()
    schema = {name.strip(): type_ for name, type_ in found.items()}
    _check_separator(path, list(schema), separator)

    def rows(texts: Collection[str]) -> pl.LazyFrame:
        types = {name: pl.String if name.strip() in texts else type_ for name, type_ in found.items()}
        return read(schema=types).rename({name: name.strip() for name in found})

    return Part(path, schema, frozenset(schema), rows)


def _check_separator(path: str, columns: list[str], own: str) -> None:
    """Refuse text that has another separator than it should: all of it would be one column."""
    if len(columns) == 1 and (others := sorted((_ALL_SEPARATORS - {own}) & set(columns[0]))):
        msg = f"'{path}' has only the column {columns[0]!r}. Write {own!r} between values, not {others[0]!r}."
        raise BaselineError(msg)


def _partitioned(part: Part) -> Part:
    """Add what the names of folders say, as in ``day=2026-01-01/part.parquet``, where the file itself does not."""
    folders = re.split(r"[/\\]", part.path)[:-1]
    matches = filter(None, map(_PARTITION.fullmatch, folders))
    values = {unquote(match[1]): None if match[2] in _NO_VALUE else unquote(match[2]) for match in matches}
    own = {name: value for name, value in values.items() if name not in part.schema}
    if not own:
        return part
    columns = [pl.lit(value, pl.String).alias(name) for name, value in own.items()]
    return Part(
        part.path,
        {**part.schema, **dict.fromkeys(own, pl.String())},
        part.plain | own.keys(),
        lambda texts: part.read(texts).with_columns(columns),
    )
