"""Columns of objects and lists as columns of their values, named by paths: ``address.zip``, ``readings.0``.

So the features of a file have the names that nested rows have in requests, in records and in memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import polars as pl

from flask_boxkite.errors import BaselineError

__all__ = ["MOST_ITEMS", "unnested"]

MOST_ITEMS = 1000
"""Most items of a list that become columns."""

_DEEPEST = 32


def unnested(frame: pl.LazyFrame, path: str) -> pl.LazyFrame:
    """Return a frame without columns of objects and lists; their values have columns in their place.

    An item that a shorter list lacks is missing. Lists are read once more, for their lengths.

    Args:
        frame: Rows of a file.
        path: Name of the file, for errors.

    Raises:
        BaselineError: A list is too long, values are nested too deeply, or two columns get the same name.
        PolarsError: The file cannot be read.
    """
    for _ in range(_DEEPEST):
        schema = dict(frame.collect_schema())
        if not any(type_.is_nested() for type_ in schema.values()):
            return frame
        columns = [column for name, type_ in schema.items() for column in _columns(frame, name, type_, path)]
        for name, number in Counter(column.meta.output_name() for column in columns).items():
            if number > 1:
                msg = f"'{path}' has two columns {name!r}: one of that name, and one in an object or list. Rename one."
                raise BaselineError(msg)
        frame = frame.select(columns)
    msg = (
        f"Values in '{path}' are nested more than {_DEEPEST} levels deep. Give each value in them a column of its own."
    )
    raise BaselineError(msg)


def _columns(frame: pl.LazyFrame, name: str, type_: pl.DataType, path: str) -> Iterator[pl.Expr]:
    """Yield the column, or the columns of the values in it."""
    column = pl.col(name)
    if isinstance(type_, pl.Struct):
        for field in type_.fields:
            yield column.struct.field(field.name).alias(f"{name}.{field.name}")
    elif isinstance(type_, pl.Array):
        yield from (column.arr.get(item).alias(f"{name}.{item}") for item in range(_length(type_.size, name, path)))
    elif isinstance(type_, pl.List):
        longest = frame.select(column.list.len().max()).collect().item() or 0
        items = range(_length(longest, name, path))
        yield from (column.list.get(item, null_on_oob=True).alias(f"{name}.{item}") for item in items)
    else:
        yield column


def _length(items: int, name: str, path: str) -> int:
    if items > MOST_ITEMS:
        msg = (
            f"Column {name!r} of '{path}' has a list of {items:,} items; {MOST_ITEMS:,} can become columns. Leave it "
            "out of the file, or derive numbers from it: ModelMonitoringService.export_text(..., derive=...)."
        )
        raise BaselineError(msg)
    return items
