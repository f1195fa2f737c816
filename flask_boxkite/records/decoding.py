"""Decoding of lines: each line is a record, of which the needed fields are read and checked.

msgspec reads only the requested fields, and checks their types at the same time. Values with few levels have types of
their own, so that their depth is known. So most blocks of lines are read at once, in half the time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from typing import Annotated, Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from flask_boxkite.records.garbage import no_collection

__all__ = ["FEW_ROWS", "NOT_THERE", "UNREADABLE", "Decoder", "Record", "decoder"]

Record: TypeAlias = Any
"""A line, as `decoder` reads it."""

FEW_ROWS = 30
"""Number of rows that every record can hold, because its ids alone have twice as many bytes."""

NOT_THERE = float("nan")
"""Value of an absent feature: missing to all variables, like JSON's null, but this very object."""

UNREADABLE = (ValueError, RecursionError, msgspec.MsgspecError)
"""Errors of lines that are not JSON, not a record or not UTF-8, or nested too deeply."""


# Bounds, so that foreign values in a file cannot exhaust the reader's memory or the calendar.
_Seconds = Annotated[int, msgspec.Meta(ge=0, lt=253_402_300_800)]
_RowCount = Annotated[int, msgspec.Meta(ge=1, le=10_000_000)]

_SCALAR: Any = str | int | float | bool | None

_SHALLOW_LEVELS = 5
"""Levels of most values: a batch of pictures in colour has four."""

# Over a million records, a function of Python's for each of them would take a second.
_rows = attrgetter("rows")

_NEWLINE, _OPEN, _CLOSE = b"\n{}"


@dataclass(frozen=True)
class Decoder:
    """Reads lines.

    Attributes:
        one: Function that reads a line; it raises one of `UNREADABLE` if the line is not a record.
        shallow: Function that reads many lines, but neither as lines nor deep ones; it raises the same.
    """

    one: Callable[[bytes], Record]
    shallow: Callable[[bytes], list[Record]]

    def block(self, block: bytes, most_rows: int) -> list[Record] | None:
        """Return the records of a block of lines, at once.

        Args:
            block: Lines, each of which ends.
            most_rows: Most rows of a record.

        Returns:
            None if a line is not one record, has many levels, or more rows than allowed or than it has bytes for.
        """
        try:
            with no_collection():
                records = self.shallow(block)
        except UNREADABLE:
            return None
        if not records:
            return None
        ends = _ends_of_objects(block)
        if len(ends) != len(records):
            return None
        rows = list(map(_rows, records))
        if (most := max(rows)) > most_rows:
            return None
        if most > FEW_ROWS and (np.array(rows) > np.maximum((np.diff(ends, prepend=-1) - 1) // 2, FEW_ROWS)).any():
            return None
        return records


def _ends_of_objects(block: bytes) -> NDArray[np.int64]:
    """Return the ends of the lines of a block; none if a line is not of whole objects.

    Behind an object within another stands a comma or a bracket. So if each line begins and ends like an object, each
    has whole objects: one, if there are as many as lines.
    """
    letters = np.frombuffer(block, dtype=np.uint8)
    ends = np.flatnonzero(letters == _NEWLINE)
    is_whole = letters[0] == _OPEN and (letters[ends - 1] == _CLOSE).all() and (letters[ends[:-1] + 1] == _OPEN).all()
    return ends if is_whole else ends[:0]


@cache
def _shallow() -> Any:
    """Return the type of values with few levels."""
    values: Any = _SCALAR
    for _ in range(_SHALLOW_LEVELS):
        values = _SCALAR | list[values] | dict[str, values]
    return values


def decoder(names: Sequence[str] | None, *, is_whole: bool = False) -> Decoder:
    """Return the reader of lines.

    Args:
        names: Names of the features to read where they come by name: ``record.features`` then is a struct of them, in
            their order, with `NOT_THERE` for an absent one. None, or names that JSON must escape, for the object as it
            is.
        is_whole: Whether to read the request body too.
    """
    return _decoder(None if names is None else tuple(names), is_whole)


@cache
def _decoder(names: tuple[str, ...] | None, is_whole: bool) -> Decoder:
    return Decoder(
        msgspec.json.Decoder(_record_type(names, is_whole, Any)).decode,
        msgspec.json.Decoder(_record_type(names, is_whole, _shallow())).decode_lines,
    )


def _record_type(names: tuple[str, ...] | None, is_whole: bool, values: Any) -> Any:
    optional: Any = str | None
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = [
        ("entity_id", str),
        ("created_at", _Seconds),
        ("features", values if names is None else _features_type(names, values), None),
        ("output", values, None),
        ("derived", Any, None),
        ("status", optional, None),
        ("rows", _RowCount, 1),
        ("model", optional, None),
        ("baseline", optional, None),
        ("version", optional, None),
        ("server_id", optional, None),
        ("prediction_id", optional, None),
        ("key", optional, None),
        ("duration_ms", float | None, None),
    ]

    if is_whole:
        fields += [("request_body", optional, None), ("body_truncated", bool, False), ("body_encoding", optional, None)]
    return msgspec.defstruct("Record", fields, gc=False)


def _features_type(names: tuple[str, ...], values: Any) -> Any:
    keys = [f"f{position}" for position in range(len(names))]
    fields: list[tuple[str, Any, Any]] = [(key, values, NOT_THERE) for key in keys]
    try:
        by_name = msgspec.defstruct("Features", fields, rename=dict(zip(keys, names, strict=True)), gc=False)
    except ValueError:  # a name that JSON must escape
        return values
    return by_name | (list if values is Any else list[values]) | str | int | float | bool | None
