"""Dates and moments of a lazy frame as seconds since 1970 in UTC: the same in every engine, in any time zone.

Engines write moments as texts, and read texts as moments, in the zone of their session; only whole microseconds since
1970 are the same in all. What has no time zone is taken to be in UTC.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import narwhals as nw

__all__ = ["with_seconds"]


def with_seconds(frame: Any, names: Collection[str]) -> Any:
    """Return a narwhals `LazyFrame` with some columns of dates and moments as float64 seconds.

    Args:
        frame: The frame, of an engine that can be counted.
        names: The columns, each of narwhals' type `Date` or `Datetime`.
    """
    implementation = str(frame.implementation)
    if implementation == "duckdb":
        return nw.from_native(_of_duckdb(frame.to_native(), names))
    if implementation.startswith("pyspark"):
        return nw.from_native(_of_spark(frame.to_native(), names))
    schema = frame.collect_schema()
    return frame.with_columns(*(_seconds(name, is_date=schema[name] == nw.Date) for name in names))


def _seconds(name: str, *, is_date: bool) -> Any:
    column = nw.col(name).cast(nw.Datetime) if is_date else nw.col(name)
    microseconds = column.dt.timestamp("us")
    # Polars multiplies by the reciprocal of a number, so that the last bit is another one; by a column it divides.
    return (microseconds / (microseconds * 0 + 1e6)).alias(name)


def _of_duckdb(relation: Any, names: Collection[str]) -> Any:
    quoted = {name: '"' + name.replace('"', '""') + '"' for name in map(str, relation.columns)}
    columns = (f"epoch_us({own}) / 1e6 AS {own}" if name in names else own for name, own in quoted.items())
    return relation.project(", ".join(columns))


def _of_spark(frame: Any, names: Collection[str]) -> Any:
    from pyspark.sql import functions as F

    def seconds(name: str, type_: str) -> Any:
        column = F.col("`" + name.replace("`", "``") + "`")
        if type_ == "date":
            return F.unix_date(column) * 86400.0
        if type_ == "timestamp_ntz":  # a cast would take it to be in the zone of the session
            column = F.concat(column.cast("string"), F.lit("Z")).cast("timestamp")
        return F.unix_micros(column) / 1e6

    types = dict(frame.dtypes)
    return frame.withColumns({name: seconds(name, types[name]) for name in names})
