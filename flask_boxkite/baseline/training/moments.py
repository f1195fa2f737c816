"""Dates, moments and durations of a lazy frame as seconds: the same in every engine and time zone.

Engines convert moments to texts, and texts to moments, in the zone of their session, and each knows other spellings. So
typed moments are read as whole microseconds since 1970, which are the same in all engines, and texts digit by digit.
Moments without a time zone are in UTC.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import narwhals as nw

from flask_boxkite.values.times import DAY

__all__ = ["with_seconds", "with_seconds_of_texts"]


def with_seconds(frame: Any, names: Collection[str]) -> Any:
    """Return a narwhals `LazyFrame` with some columns as float64 seconds: of moments, since 1970.

    Args:
        frame: Frame of a supported engine.
        names: Names of the columns, each of narwhals' type `Date`, `Datetime` or `Duration`.
    """
    implementation = str(frame.implementation)
    if implementation == "duckdb":
        return nw.from_native(_projected(frame.to_native(), dict.fromkeys(names, "epoch_us({}) / 1e6")))
    schema = frame.collect_schema()
    if implementation.startswith("pyspark"):
        return nw.from_native(_of_spark(frame.to_native(), names))
    return frame.with_columns(*(_seconds(name, schema[name]) for name in names))


def with_seconds_of_texts(frame: Any, texts: Mapping[str, Any]) -> Any:
    """Return a narwhals `LazyFrame` with columns of texts as float64 seconds since 1970.

    Args:
        frame: The frame.
        texts: Expressions of texts that match `times.TIME`, or are null, by name.
    """
    implementation = str(frame.implementation)
    if implementation == "duckdb":
        return nw.from_native(_projected(frame.with_columns(**texts).to_native(), dict.fromkeys(texts, _DUCKDB_TEXT)))
    if implementation.startswith("pyspark"):
        return nw.from_native(_of_spark_texts(frame.with_columns(**texts).to_native(), texts))
    # In two steps, so that the first is computed once.
    frame = frame.with_columns(**{name: _microseconds_of(text) for name, text in texts.items()})
    return frame.with_columns(*(_divided(nw.col(name)).alias(name) for name in texts))


def _seconds(name: str, type_: Any) -> Any:
    if type_ == nw.Duration:
        return _divided(nw.col(name).dt.total_microseconds()).alias(name)
    column = nw.col(name).cast(nw.Datetime) if type_ == nw.Date else nw.col(name)
    return _divided(column.dt.timestamp("us")).alias(name)


def _divided(microseconds: Any) -> Any:
    # Polars multiplies by the reciprocal of a number, which changes the last bit; it divides by a column.
    return microseconds / (microseconds * 0 + 1e6)


def _projected(relation: Any, expressions: Mapping[str, str]) -> Any:
    """Return a relation of DuckDB with some columns replaced by SQL, in which ``{}`` is the column."""
    quoted = {name: '"' + name.replace('"', '""') + '"' for name in map(str, relation.columns)}
    columns = (
        f"{expressions[name].replace('{}', own)} AS {own}" if name in expressions else own
        for name, own in quoted.items()
    )
    return relation.project(", ".join(columns))


def _of_spark(frame: Any, names: Collection[str]) -> Any:
    from pyspark.sql import functions as F

    def seconds(name: str, type_: str) -> Any:
        column = F.col(_quoted(name))
        if type_ == "date":
            return F.unix_date(column) * DAY
        if type_ == "timestamp_ntz":  # a cast would read it in the zone of the session
            column = F.concat(column.cast("string"), F.lit("Z")).cast("timestamp")
        return F.unix_micros(column) / 1e6

    types = dict(frame.dtypes)
    return frame.withColumns({name: seconds(name, types[name]) for name in names})


def _of_spark_texts(frame: Any, names: Iterable[str]) -> Any:
    from pyspark.sql import functions as F

    return frame.withColumns({name: F.expr(_SPARK_TEXT.replace("{}", _quoted(name))) for name in names})


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


# --- texts -----------------------------------------------------------------------------------------------------------


def _part(pattern: str, default: str) -> str:
    return f"coalesce(nullif(regexp_extract({{}}, '{pattern}', 1), ''), '{default}')"


def _text_sql(microseconds: str) -> str:
    """Return SQL for the seconds of a text, which DuckDB and Spark compute far faster than narwhals' expressions.

    Args:
        microseconds: Name of the function that returns the microseconds since 1970 of a timestamp.
    """
    moment = " || ".join(
        (
            _part("([0-9-]{10})", ""),
            "' '",
            _part("[Tt ]([0-9]{2}:[0-9]{2})", "00:00"),
            _part(":[0-9]{2}(:[0-9]{2})", ":00"),
            "'.'",
            _part("[.,]([0-9]{1,6})", "0"),
            "'Z'",
        )
    )

    sign = f"CASE {_part(':[0-9]{2}.*([+-])[0-9]{2}', '+')} WHEN '-' THEN -1 ELSE 1 END"
    hours = f"CAST({_part(':[0-9]{2}.*[+-]([0-9]{2})', '0')} AS BIGINT)"
    minutes = f"CAST({_part(':[0-9]{2}.*[+-][0-9]{2}:?([0-9]{2})', '0')} AS BIGINT)"
    ahead = f"({sign}) * ({hours} * 60 + {minutes}) * 60000000"
    seconds = f"CAST({microseconds}(CAST({moment} AS TIMESTAMP)) - {ahead} AS DOUBLE) / 1e6"
    return f"CASE WHEN {{}} IS NOT NULL THEN {seconds} END"


_SPARK_TEXT = _text_sql("unix_micros")

# DuckDB computes an expression each time a filter has it. Its own cast is cheap, and right without an offset.
_HAS_OFFSET = "contains(substr({}, 12), '+') OR contains(substr({}, 12), '-')"
_DUCKDB_TEXT = (
    f"CASE WHEN {_HAS_OFFSET} THEN {_text_sql('epoch_us')} "
    f"ELSE coalesce(epoch_us(TRY_CAST({{}} AS TIMESTAMP)) / 1e6, {_text_sql('epoch_us')}) END"
)


def _microseconds_of(text: Any) -> Any:
    """Return the expression of the microseconds since 1970 of a text of ISO 8601."""
    is_held = ~text.is_null()
    text = text.fill_null("1970-01-01").str.strip_chars()  # Dask cannot make integers of null
    year, month, day = _integer(text, 0, 4), _integer(text, 5, 2), _integer(text, 8, 2)
    rest = text.str.slice(16)  # ":59.25 +02:00"
    second = _integer(rest.str.replace_all("^[^:].*$", "").str.slice(1), 0, 2)
    fraction = rest.str.replace_all("^(?::[0-9]{2})?(?: ?(?:[Zz]|UTC|[+-].*))?$", "").str.slice(4)
    microsecond = _integer(fraction.str.replace_all("[^0-9].*$", ""), 0, 6)
    minutes = _days(year, month, day) * 1440 + _integer(text, 11, 2) * 60 + _integer(text, 14, 2) - _ahead(rest)
    return nw.when(is_held).then((minutes * 60 + second) * 1_000_000 + microsecond)


def _integer(text: Any, start: int, length: int) -> Any:
    """Return the expression of digits at a position of a text, with zeros for missing ones."""
    padded = nw.concat_str(text.str.slice(start, length), nw.lit("0" * length))
    return padded.str.slice(0, length).cast(nw.Int64)


def _days(year: Any, month: Any, day: Any) -> Any:
    """Return the expression of the days since 1970, counted in years that begin in March: their last day is a leap day.

    References:
        Hinnant, chrono-Compatible Low-Level Date Algorithms, 2013.
    """
    is_early = (month <= 2).cast(nw.Int64)
    year, month = year - is_early, month - 3 + is_early * 12
    return year * 365 + year // 4 - year // 100 + year // 400 + (month * 153 + 2) // 5 + day - 719_469


def _ahead(rest: Any) -> Any:
    """Return the expression of a zone's minutes ahead of UTC, given the rest of a text behind its minutes."""
    zone = rest.str.replace_all("^(?::[0-9]{2}(?:[.,][0-9]+)?)? ?", "").str.replace_all("^(?:[Zz]|UTC)$", "")
    digits = zone.str.replace_all(":", "")
    ahead = _integer(digits, 1, 2) * 60 + _integer(digits, 3, 2)
    return nw.when(zone.str.starts_with("-")).then(ahead * -1).otherwise(ahead)
