"""Outcomes as users keep them: a frame of any library, columns or rows by name, or a file."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import PurePosixPath
from sys import intern
from typing import IO, Any, NamedTuple

import fsspec
import msgspec

from flask_boxkite.errors import BoxkiteError
from flask_boxkite.outcomes.table import table_of
from flask_boxkite.records.keys import IDS
from flask_boxkite.suggestion import suggestion
from flask_boxkite.values.objects import array_of, values_of

__all__ = ["OutcomeRow", "has_column", "outcome_rows"]

_MODEL = "model"
"""Name of the column that names the model of an outcome, as in files for a server."""

_FORMS = "a data frame, a mapping of columns, rows by name, or the path of a CSV, TSV, JSON lines or Parquet file"


class OutcomeRow(NamedTuple):
    """An outcome as it is kept.

    Attributes:
        key: Key of its prediction.
        actual: Value that came true.
        model: Name of the model of which it is; None if it may be of any.
        group: Value in the column of groups; None if there is none.
    """

    key: Any
    actual: Any
    model: str | None
    group: Any = None


def outcome_rows(outcomes: Any, key: str, actual: str, group: str | None = None) -> Iterator[OutcomeRow]:
    """Return the outcomes, with the model of each if there is a column ``model`` that is neither key nor actual value.

    Args:
        outcomes: Data frame of any library that narwhals knows, mapping of columns, rows by name, or path or URL of a
            file.
        key: Name of the column of keys.
        actual: Name of the column of actual values.
        group: Name of the column of groups; None for no groups.

    Raises:
        BoxkiteError: The outcomes have another form, or no such columns, or the file cannot be read.
    """
    names = (key, actual) if group is None else (key, actual, group)
    if isinstance(outcomes, (str, os.PathLike)):
        outcomes = _of_file(os.fspath(outcomes))
    columns = _columns(outcomes, names)
    found = _of_rows(outcomes, names) if columns is None else _of_columns(columns, names)
    is_model = _MODEL in names[:2]
    return (OutcomeRow(row[0], row[1], None if is_model else _named(row[-1]), *row[2:-1]) for row in found)


def has_column(outcomes: Any, name: str) -> tuple[bool, Any]:
    """Say whether outcomes have a column, and return them in a form that can be read once more.

    Args:
        outcomes: Outcomes, as for `outcome_rows`.
        name: Name of the column.

    Raises:
        BoxkiteError: The file cannot be read.
    """
    if isinstance(outcomes, (str, os.PathLike)):
        outcomes = _of_file(os.fspath(outcomes))
    if isinstance(outcomes, Mapping):
        return name in outcomes, outcomes
    if (frame := _frame(outcomes)) is not None:
        return name in frame.collect_schema().names(), outcomes
    if isinstance(outcomes, Iterable) and not isinstance(outcomes, bytes):
        outcomes = list(outcomes)
        return any(isinstance(row, Mapping) and name in row for row in outcomes), outcomes
    return False, outcomes


def _named(model: Any) -> str | None:
    """Return the name of a model; None for an empty field or a missing value."""
    return intern(str(model)) if isinstance(model, str) and model.strip() else None


# --- tables ----------------------------------------------------------------------------------------------------------


def _frame(outcomes: Any) -> Any:
    """Return outcomes as a frame of narwhals; None for something else."""
    import narwhals as nw

    if hasattr(outcomes, "__arrow_c_stream__") and hasattr(outcomes, "num_columns"):  # a batch is an array to narwhals
        outcomes = nw.from_arrow(outcomes, backend="pyarrow")
    frame = nw.from_native(outcomes, pass_through=True)
    return frame if isinstance(frame, (nw.DataFrame, nw.LazyFrame)) else None


def _columns(outcomes: Any, names: tuple[str, ...]) -> Mapping[str, Any] | None:
    """Return the columns of a frame or mapping; None for something else."""
    if isinstance(outcomes, Mapping):
        _check_names(names, list(outcomes))
        return outcomes
    if (frame := _frame(outcomes)) is None:
        return None
    known = frame.collect_schema().names()
    _check_names(names, known, getattr(getattr(outcomes, "index", None), "names", ()))
    chosen = frame.lazy().select(name for name in known if name in (*names, _MODEL)).collect()
    return {name: chosen.get_column(name).to_native() for name in chosen.columns}


def _of_columns(columns: Mapping[str, Any], names: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    """Yield the values of the named columns, and of the one of models."""
    found = [_values(columns[name]) for name in names]
    found.append(_values(columns[_MODEL]) if _MODEL in columns else [None] * len(found[0]))
    for name, values in zip((*names, _MODEL), found, strict=True):
        if len(values) != len(found[0]):
            msg = (
                f"The outcomes have {len(found[0]):,} values of {names[0]!r} and {len(values):,} of {name!r}. "
                "Each needs both."
            )
            raise BoxkiteError(msg)
    return zip(*found, strict=True)


def _values(column: Any) -> list[Any]:
    """Return the values of a column; narrow floats stay scalars of NumPy, which are read by their decimals."""
    if (values := values_of(column)) is not None:
        return values
    array = array_of(column)
    return list(column if array is None else array)


def _of_rows(rows: Any, names: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    if not isinstance(rows, Iterable) or isinstance(rows, bytes):
        msg = f"'outcomes' must be {_FORMS}, got {type(rows).__name__}."
        raise BoxkiteError(msg)
    known: dict[str, None] = {}
    found = []
    for index, row in enumerate(rows):
        if not isinstance(row, Mapping):
            msg = f"'outcomes' must be {_FORMS}, but item {index} is of type {type(row).__name__}."
            raise BoxkiteError(msg)
        known.update(dict.fromkeys(row))
        found.append((*map(row.get, names), row.get(_MODEL)))
    if found:
        _check_names(names, list(known))
    return iter(found)


def _check_names(names: Iterable[str], known: list[str], index: Sequence[Any] = ()) -> None:
    """Refuse outcomes without one of the columns.

    Args:
        names: Names of the columns.
        known: Names of all columns.
        index: Names of the levels of a frame's index.
    """
    for name in names:
        if name not in known:
            remedy = suggestion(name, list(map(str, known)))
            if name in IDS and (others := [each for each in IDS if each in known]):
                remedy = f"They have {others[0]!r}: give key={others[0]!r} ('--key {others[0]}' of the command)."
            if name in index:
                remedy = "It is the index of the frame: give frame.reset_index()."
            msg = f"The outcomes have no column {name!r}. {remedy}"
            raise BoxkiteError(msg)


# --- files -----------------------------------------------------------------------------------------------------------


def _of_file(path: str) -> Any:
    """Return the rows or the table in a file.

    Raises:
        BoxkiteError: Its suffix is unknown, or it cannot be read.
    """
    suffix = PurePosixPath(path.removesuffix(".gz")).suffix.lower()
    if suffix not in _READERS:
        msg = f"'{path}' has an unknown suffix. Use {', '.join(_READERS)}, or for a text format, '.gz' after that."
        raise BoxkiteError(msg)
    try:
        with fsspec.open(path, "rb", compression="gzip" if path.endswith(".gz") else None) as file:
            return _READERS[suffix](file)
    except (OSError, EOFError, ImportError, ValueError, csv.Error) as error:
        msg = f"'{path}' cannot be read: {str(error).rstrip('.')}. Is it there, complete, and in UTF-8 if it is text?"
        raise BoxkiteError(msg) from error


def _of_table(separator: str) -> Callable[[IO[bytes]], list[dict[str, str | None]]]:
    def read(file: IO[bytes]) -> list[dict[str, str | None]]:
        with io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
            return list(table_of(text, separator)[1])

    return read


def _of_lines(file: IO[bytes]) -> list[Any]:
    return [msgspec.json.decode(line) for line in file if line.strip()]


def _of_parquet(file: IO[bytes]) -> Any:
    return import_module("pyarrow.parquet").read_table(file)


_READERS: Mapping[str, Callable[[IO[bytes]], Any]] = {
    ".csv": _of_table(","),
    ".tsv": _of_table("\t"),
    ".jsonl": _of_lines,
    ".ndjson": _of_lines,
    ".parquet": _of_parquet,
    ".pq": _of_parquet,
}
"""Readers by suffix; ``.gz`` may follow the suffix of a text format."""
