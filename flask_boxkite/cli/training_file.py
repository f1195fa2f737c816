"""One file of training data: its columns and their types, before and after other files decide which are texts.

Values in CSV, and in the folder names of a partitioned data set, are plain texts. One file alone does not determine the
types of such columns: `Part.plain` names them, and `column_types` looks at all files.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias
from urllib.parse import unquote

import polars as pl

from flask_boxkite.baseline.training.row_labels import is_unnamed_label, labels_in
from flask_boxkite.cli.csv_blanks import without_blanks
from flask_boxkite.cli.jsonlines import scan_lines
from flask_boxkite.cli.nested_columns import unnested
from flask_boxkite.cli.training_files import first_line, is_url, readable
from flask_boxkite.errors import BaselineError

__all__ = ["FORMATS", "SUFFIX_ADVICE", "Part", "format_of", "part_of"]

FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
"""Formats by suffix; ``.gz`` may follow the suffix of a text format."""

SUFFIX_ADVICE = f"Use {', '.join(FORMATS)}, or for a text format, '.gz' after that."

_SEPARATORS = {"csv": ",", "tsv": "\t"}
_ALL_SEPARATORS = frozenset(",;|\t")

_PARTITION = re.compile(r"([^=/\\]+)=([^/\\]*)")
_NO_VALUE = frozenset({"", "__HIVE_DEFAULT_PARTITION__"})

Schema: TypeAlias = Mapping[str, pl.DataType]


@dataclass(frozen=True)
class Part:
    """One file of training data.

    Attributes:
        path: Path or URL of the file.
        schema: Types by column, as far as this file alone determines them.
        plain: Names of columns of plain text: numbers in this file, they may be texts in others.
        read: Function that returns the rows, given the plain columns that are to be texts.
        labels: Names of columns that hold row labels of pandas.
    """

    path: str
    schema: Schema
    plain: frozenset[str]
    read: Callable[[Collection[str]], pl.LazyFrame]
    labels: frozenset[str] = frozenset()

    def without(self, names: Collection[str]) -> Part:
        """Return the file without some columns."""
        return replace(
            self,
            schema={name: type_ for name, type_ in self.schema.items() if name not in names},
            plain=self.plain - set(names),
            read=lambda texts: self.read(texts).drop(names, strict=False),
        )


def format_of(name: str) -> str | None:
    """Return the format of a file, judged by its suffix; None if it is not data."""
    plain = name.removesuffix(".gz")
    format_name = FORMATS.get(Path(plain).suffix.lower())
    return None if format_name == "parquet" and plain != name else format_name


def part_of(path: str) -> Part:
    """Inspect a file.

    Raises:
        BaselineError: The file has an unknown type, cannot be read, or contains lists that are too long.
    """
    kind = format_of(path)
    if kind is None:
        msg = f"'{path}' has an unknown suffix. {SUFFIX_ADVICE}"
        raise BaselineError(msg)
    if kind != "parquet" and is_url(path) and set(path) & set("*?["):
        msg = f"'{path}' is a pattern. Name each file: among URLs, only patterns of Parquet files are supported."
        raise BaselineError(msg)

    with readable(path):
        part = _table(path, _SEPARATORS[kind]) if kind in _SEPARATORS else _typed(path, kind)
    return _partitioned(part)


def _typed(path: str, kind: str) -> Part:
    """Inspect a file whose values have types."""
    if kind == "jsonl":
        frame, known = scan_lines(path), frozenset[str]()
    else:
        # Only Polars knows the files of a pattern in a URL.
        frame, known = pl.scan_parquet(path, hive_partitioning=is_url(path) and "*" in path), _labels(path)
    frame = unnested(frame, path)
    schema = dict(frame.collect_schema())
    labels = frozenset(name for name in schema if name in known or is_unnamed_label(name))
    return Part(path, schema, frozenset(), lambda texts: frame, labels)


def _labels(path: str) -> frozenset[str]:
    """Return the row labels that pandas names in a Parquet file; none for a pattern in a URL."""
    if is_url(path):
        return frozenset() if "*" in path else frozenset(labels_in(pl.read_parquet_metadata(path)))
    with open(path, "rb") as file:
        return frozenset(labels_in(pl.read_parquet_metadata(file)))


def _table(path: str, separator: str) -> Part:
    """Inspect a CSV file; blanks around column names and quotes are ignored."""
    names = next(csv.reader([first_line(path) or ""], delimiter=separator, skipinitialspace=True), [])
    for name, number in Counter(name.strip() for name in names).items():
        if number > 1 and name:
            msg = f"'{path}' has the column {name!r} {number} times. Give each column a name of its own."
            raise BaselineError(msg)

    read = partial(pl.scan_csv, without_blanks(path, separator), separator=separator)
    # All rows determine the types, not only the first ones.
    file_schema = read(infer_schema_length=None).collect_schema()
    schema = {name.strip(): type_ for name, type_ in file_schema.items()}
    _check_separator(path, list(schema), separator)
    if is_url(path):
        _refuse_blanks(path, read(schema=file_schema))

    def rows(texts: Collection[str]) -> pl.LazyFrame:
        types = {name: pl.String if name.strip() in texts else type_ for name, type_ in file_schema.items()}
        return read(schema=types).rename({name: name.strip() for name in file_schema})

    return Part(path, schema, frozenset(schema), rows)


def _refuse_blanks(path: str, frame: pl.LazyFrame) -> None:
    """Refuse a file of a URL in which blanks stand before quotes, which only Python's reader ignores."""
    texts = [name for name, type_ in frame.collect_schema().items() if type_ == pl.String]
    has_blanks = frame.select(pl.any_horizontal(pl.col(texts).str.contains('^ +"').any())) if texts else None
    if has_blanks is not None and has_blanks.collect().item():
        msg = f"'{path}' has blanks between a separator and a quote. Download it and name the file."
        raise BaselineError(msg)


def _check_separator(path: str, columns: list[str], own: str) -> None:
    """Refuse a text file with an unexpected separator: all of it would be one column."""
    if len(columns) == 1 and (others := sorted((_ALL_SEPARATORS - {own}) & set(columns[0]))):
        msg = f"'{path}' has only the column {columns[0]!r}. Write {own!r} between values, not {others[0]!r}."
        raise BaselineError(msg)


def _partitioned(part: Part) -> Part:
    """Add columns from folder names, as in ``day=2026-01-01/part.parquet``, that the file itself lacks."""
    folders = re.split(r"[/\\]", part.path)[:-1]
    matches = filter(None, map(_PARTITION.fullmatch, folders))
    values = {unquote(match[1]): None if match[2] in _NO_VALUE else unquote(match[2]) for match in matches}
    own = {name: value for name, value in values.items() if name not in part.schema}
    if not own:
        return part

    columns = [pl.lit(value, pl.String).alias(name) for name, value in own.items()]
    return replace(
        part,
        schema={**part.schema, **dict.fromkeys(own, pl.String())},
        plain=part.plain | own.keys(),
        read=lambda texts: part.read(texts).with_columns(columns),
    )
