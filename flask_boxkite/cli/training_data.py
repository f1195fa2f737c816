"""Training data in files, read lazily by Polars, so that only the needed part is in memory."""

from __future__ import annotations

import glob
import os
from collections.abc import Collection, Sequence
from pathlib import Path

import polars as pl

from flask_boxkite.baseline.training.advice import warn_of_row_labels
from flask_boxkite.cli.column_types import one_table
from flask_boxkite.cli.group import listed
from flask_boxkite.cli.training_file import Part, format_of, part_of
from flask_boxkite.cli.training_files import is_url, readable
from flask_boxkite.errors import BaselineError
from flask_boxkite.suggestion import suggestion

__all__ = ["check_columns", "is_data", "is_data_set", "parts_of", "scan", "table_of"]


def is_data(name: str) -> bool:
    """Return whether a file is data, judged by its suffix."""
    return format_of(name) is not None


def is_data_set(name: str) -> bool:
    """Return whether a name stands for files of data: one by its suffix, several by a folder or a pattern."""
    return is_data(name) or os.path.isdir(name) or (glob.has_magic(name) and not os.path.exists(name))


def scan(
    names: Sequence[str],
    missing: Collection[str] = (),
    texts: Collection[str] = (),
    *,
    is_decided: bool = True,
    named: Collection[str] = (),
) -> pl.LazyFrame:
    """Return the rows of all files, one after the other; types and columns fit all files and lines.

    Columns of row labels that pandas has written are left out, with a warning.

    Args:
        names: Files, patterns such as ``data/*.parquet``, or URLs that Polars knows.
        missing: Texts that stand for a missing value in CSV, besides `values.conversion.MISSING_TEXTS`.
        texts: Names of columns that are read as texts in CSV, even if they contain only numbers.
        is_decided: Whether other columns of CSV are read as numbers or as texts, depending on their values. Otherwise a
            column with any value other than a number stays text, for the caller to read.
        named: Names of columns that are kept even if they hold row labels.

    Raises:
        BaselineError: A file is missing, of an unknown type, unreadable, without rows, or has other columns.
    """
    return table_of(parts_of(names, named), names, missing, texts, is_decided=is_decided)


def parts_of(names: Sequence[str], named: Collection[str] = ()) -> list[Part]:
    """Inspect all files; see `scan` for arguments and errors."""
    parts = _without_labels([part_of(path) for name in names for path in _expanded(name)], named)
    _check_same_columns(parts)
    return parts


def table_of(
    parts: Sequence[Part],
    names: Sequence[str],
    missing: Collection[str] = (),
    texts: Collection[str] = (),
    *,
    is_decided: bool = True,
) -> pl.LazyFrame:
    """Return the rows of files that `parts_of` has inspected; see `scan` for other arguments and errors."""
    with readable(listed(names)):
        whole = one_table(parts, missing, texts, is_decided=is_decided)
        if not whole.head(1).collect().height:
            msg = f"There are no rows in {listed(list(map(repr, names)))}."
            raise BaselineError(msg)
    return whole


def _without_labels(parts: Sequence[Part], named: Collection[str]) -> list[Part]:
    """Return files without row labels of pandas; files of one data set may differ in them."""
    labels = list(dict.fromkeys(name for part in parts for name in part.schema if name in part.labels - set(named)))
    warn_of_row_labels(labels)
    return [part.without(labels) for part in parts] if labels else list(parts)


def check_columns(option: str, names: Collection[str], columns: Sequence[str]) -> None:
    """Refuse names that are not columns of the data.

    Raises:
        BaselineError: A name is not a column; the message names the one that was probably meant.
    """
    for name in names:
        if name not in columns:
            msg = f"'{option}' names {name!r}, which the data does not have. {suggestion(name, columns)}"
            raise BaselineError(msg)


def _expanded(name: str) -> list[str]:
    if is_url(name) or os.path.isfile(name):
        return [name]
    if os.path.isdir(name):
        # The folders of a partitioned data set are nested.
        pattern = "**/*.parquet" if glob.glob(f"{glob.escape(name)}/*=*/") else "*.parquet"
        msg = f"'{name}' is a folder. Name the files in it, for example '{Path(name) / pattern}'."
        raise BaselineError(msg)
    if paths := sorted(filter(os.path.isfile, glob.glob(name, recursive=True))):
        return paths
    msg = f"There is no file '{name}', or its folder cannot be read."
    raise BaselineError(msg)


def _check_same_columns(parts: Sequence[Part]) -> None:
    first = parts[0]
    for part in parts[1:]:
        if lacking := first.schema.keys() ^ part.schema.keys():
            (name, *_) = sorted(lacking)
            having, without = (first, part) if name in first.schema else (part, first)
            msg = (
                f"'{without.path}' has no column {name!r}, which '{having.path}' has. "
                "All files must have the same columns."
            )
            raise BaselineError(msg)
