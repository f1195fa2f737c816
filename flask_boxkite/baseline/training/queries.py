"""Queries to an engine, through narwhals: aggregations of several columns in one query, with a bounded answer.

The expressions are the same for Polars, DuckDB, Dask and PySpark, so they use only functions that give the same results
in all of them. They never order NaN, which some engines put above infinity. They do not look for NaN either: the
statistics of a Parquet file leave NaN out, so DuckDB finds no NaN between a finite minimum and maximum, not even by
``isnan``. Only ``isfinite`` in a CASE always works.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from itertools import islice
from typing import Any

import narwhals as nw

from flask_boxkite.baseline.training.engine_column import EngineColumn, Kind, kind_of
from flask_boxkite.baseline.training.moments import with_seconds, with_seconds_of_texts
from flask_boxkite.baseline.training.range_keys import RangeKey, keyed_in_one_scan
from flask_boxkite.baseline.training.ranges import Ranges
from flask_boxkite.baseline.training.sources import refuse_types_of_some_rows
from flask_boxkite.baseline.training.tables import ONCE
from flask_boxkite.baseline.training.text_columns import AMOUNT, MISSING, NUMBER, SHOWN, TextRows
from flask_boxkite.errors import BaselineError
from flask_boxkite.values.durations import DURATION
from flask_boxkite.values.times import TIME

__all__ = ["Engine"]


ENGINES: Mapping[str, tuple[str, Callable[[Any], Iterable[tuple[Any, ...]]]]] = {
    # Streaming, so that no column has to be in memory.
    "polars": ("Polars", lambda query: query.collect(engine="streaming").rows()),
    "duckdb": ("DuckDB", lambda query: query.fetchall()),
    "dask": ("Dask", lambda query: query.compute().itertuples(index=False, name=None)),
    "pyspark": ("PySpark", lambda query: map(tuple, query.collect())),
    "pyspark[connect]": ("PySpark", lambda query: map(tuple, query.collect())),
}
"""Name of each engine, and function that returns the rows of an answer as Python values, by narwhals' name."""

NUMBER_TEXT = r"^(?:-?[0-9]+\.[0-9]+|-?[0-9](?:\.[0-9]+)?e[+-][0-9]{2,3}|[+-]Inf)$"


class Engine:
    """A lazy frame and the engine behind it.

    Args:
        frame: A narwhals `LazyFrame`.

    Raises:
        BaselineError: The engine is not one of `ENGINES`.
    """

    def __init__(self, frame: Any) -> None:
        implementation = str(frame.implementation)
        if implementation not in ENGINES:
            msg = (
                f"Lazy frames of {implementation} are not supported. Give one of Polars, DuckDB, Dask or PySpark, or "
                "a frame in memory."
            )
            raise BaselineError(msg)
        self.name, self._fetch = ENGINES[implementation]
        self._frame = frame
        self._is_spark = implementation.startswith("pyspark")
        self._has_fast_rows = self._is_spark or implementation == "polars"

    def variables(self) -> list[EngineColumn]:
        """Return the columns.

        Raises:
            BaselineError: Two columns have one name, the frame has the types of only some rows, or it cannot be read.
        """
        try:
            # A frame of Polars cannot have two columns of one name, and would warn here.
            names = [] if self.name == "Polars" else list(map(str, self._frame.to_native().columns))
            _refuse_doubles(names)
            if self.name == "DuckDB":
                refuse_types_of_some_rows(self._frame.to_native())
            schema = self._frame.collect_schema()
        except BaselineError:
            raise
        except Exception as error:
            raise self._failed(error) from error

        seconds = frozenset(name for name, type_ in schema.items() if type_ in (nw.Date, nw.Datetime, nw.Duration))
        if seconds:
            self._frame = with_seconds(self._frame, seconds)
        return [
            EngineColumn(
                name, type_, Kind.NUMBER if name in seconds else kind_of(type_), type_ in (nw.Date, nw.Datetime)
            )
            for name, type_ in schema.items()
        ]

    def as_times(self, variables: Iterable[EngineColumn]) -> dict[EngineColumn, EngineColumn]:
        """Read text columns of dates or moments as numbers; return the new variables."""
        texts = {item.name: item.value for item in variables}
        if texts:
            self._frame = with_seconds_of_texts(self._frame, texts)
        return {item: EngineColumn(item.name, nw.Float64(), Kind.NUMBER, is_time=True) for item in variables}

    def extremes(self, variables: Sequence[EngineColumn]) -> tuple[int, dict[EngineColumn, tuple[Any, ...]]]:
        """Return the number of rows, and a tuple of numbers by column.

        For a numeric column: finite rows, the smallest and largest value (None if there is none), and rows of ``-inf``
        and ``+inf``. For other columns: rows that are not missing.
        """
        aggregations = [nw.len().alias("rows")]
        widths: list[int] = []
        for item in variables:
            own = self._extremes(item.value) if item.kind.is_numeric else [item.value.count()]
            aggregations += [expression.alias(f"{len(widths)}_{number}") for number, expression in enumerate(own)]
            widths.append(len(own))

        ((rows, *answer),) = self._answer(lambda: self._frame.select(*aggregations))
        parts = iter(answer)
        return int(rows), {
            item: (_count(next(parts)), *(_extremes_of(tuple(islice(parts, width - 1))) if width > 1 else ()))
            for item, width in zip(variables, widths, strict=True)
        }

    def _extremes(self, value: Any) -> list[Any]:
        finite = _finite(value)
        infinite = [self._rows_of(value == limit) for limit in (-math.inf, math.inf)]
        return [finite.count(), finite.min(), finite.max(), *infinite]

    def most_frequent(
        self, variables: Sequence[EngineColumn], number: int
    ) -> dict[EngineColumn, list[tuple[Any, int]]]:
        """Return the most frequent values of each column and their rows, ties by value."""
        values: dict[EngineColumn, list[tuple[Any, int]]] = {item: [] for item in variables}
        # All values of one answer must have one type.
        kinds = {item: "number" if item.kind.is_numeric else "text" if item.is_string else item.type for item in values}
        for kind in dict.fromkeys(kinds.values()):
            same = [item for item in variables if kinds[item] == kind]
            parts = [self._categories(item).head(number) for item in same]
            for index, value, rows in self._answer(partial(_stacked, parts)):
                values[same[int(index)]].append((value, int(rows)))
        return values

    def rows_of_texts(self, variables: Sequence[EngineColumn]) -> dict[EngineColumn, tuple[TextRows, int]]:
        """Return rows by kind of text for each column of strings, and rows of texts that stand for a missing value."""
        if not variables:
            return {}
        aggregations = []
        for index, item in enumerate(variables):
            for number, expression in enumerate(self._rows_of_texts(item)):
                aggregations.append(expression.alias(f"{index}_{number}"))
        (answer,) = self._answer(lambda: self._frame.select(*aggregations))
        parts = map(_count, answer)
        kinds = len(fields(TextRows))
        counted = {item: list(islice(parts, kinds + bool(item.missing_texts))) for item in variables}
        return {item: (TextRows(*rows[:kinds]), sum(rows[kinds:])) for item, rows in counted.items()}

    def _rows_of_texts(self, item: EngineColumn) -> list[Any]:
        text = item.value
        patterns = (NUMBER, AMOUNT, MISSING, TIME, DURATION)
        number, amount, gap, time, duration = (text.str.contains(pattern) for pattern in patterns)
        missing = [self._rows_of(item.is_missing_text)] if item.missing_texts else []

        return [
            text.count(),
            self._rows_of(number),
            self._rows_of(amount & ~number),
            self._rows_of(gap & ~number & ~amount),
            self._rows_of(time),
            self._rows_of(duration),
            *missing,
        ]

    def odd_texts(self, variable: EngineColumn, counts: TextRows) -> list[str]:
        """Return the most frequent texts of a column that are of another kind; see `text_columns.odd_texts`."""
        return self._most_frequent(variable, ~nw.col("value").str.contains(counts.usual.pattern))

    def amounts_in(self, variable: EngineColumn, counts: TextRows) -> list[str]:
        """Return the most frequent amounts among the texts of a column; see `text_columns.amounts_in`."""
        text = nw.col("value").str
        return self._most_frequent(variable, text.contains(AMOUNT) & ~text.contains(NUMBER)) if counts.amounts else []

    def _most_frequent(self, variable: EngineColumn, condition: Any) -> list[str]:
        texts = self._categories(variable).filter(condition).head(SHOWN + 1)
        return [value for value, _ in self._answer(lambda: texts)]

    def one_that_is_no_number(self, variable: EngineColumn) -> list[tuple[str, int]]:
        """Return the most frequent text that does not read like a number, and its rows; empty if there is none."""
        reads_so = nw.col("value").str.contains(NUMBER_TEXT)
        answer = self._answer(lambda: self._categories(variable).filter(~reads_so).head(1))
        return [(value, int(rows)) for value, rows in answer]

    def _categories(self, variable: EngineColumn) -> Any:
        value = variable.value
        if variable.kind.is_numeric:
            value = nw.when(value.is_finite() | (value == -math.inf) | (value == math.inf)).then(value)
        values = self._frame.select(value.alias("value")).filter(~nw.col("value").is_null())
        counted = values.group_by("value").agg(nw.len().alias("rows"))
        return counted.sort("rows", "value", descending=[True, False])

    def finer(
        self, wide: Mapping[EngineColumn, Ranges], number: int, *, by_magnitude: bool
    ) -> dict[EngineColumn, Ranges]:
        """Return finer ranges inside of the given ones, by column: one for each value, or about *number* spans.

        Args:
            wide: Ranges to divide.
            number: Most ranges to return.
            by_magnitude: Whether spans grow with the distance from zero, see `Ranges.spans`.
        """
        keys = []
        for index, ranges in enumerate(wide.values()):
            spans = ranges.spans(by_magnitude=by_magnitude and ranges.size > number)
            keys.append(RangeKey(index, spans, 0 if ranges.size <= number else max(number // len(spans), 1)))

        if self._has_fast_rows:
            rows = keyed_in_one_scan(self._numbers(wide), keys)
        else:
            # DuckDB takes half the time of one scan for all so; Dask shares its reads.
            numbers = [self._finite_only(item, str(index)) for index, item in enumerate(wide)]
            inside = [values.filter(key.is_inside) for values, key in zip(numbers, keys, strict=True)]
            rows = _stacked([key.keyed(values) for values, key in zip(inside, keys, strict=True)])

        extremes = (nw.col("value").min().alias("low"), nw.col("value").max().alias("high"))
        parts_of: dict[int, list[tuple[Any, ...]]] = {}
        query = partial(rows.group_by("part", "key").agg, *extremes, nw.len().alias("rows"))
        for index, _, *parts in self._answer(query):
            parts_of.setdefault(int(index), []).append(tuple(parts))
        return {
            item: Ranges.sorted(*list(zip(*parts_of.get(index, ()), strict=True)) or ([], [], []), dtype=item.dtype)
            for index, item in enumerate(wide)
        }

    def _numbers(self, variables: Iterable[EngineColumn]) -> Any:
        """Return the frame of the variables' finite values, others null, each column named by its index."""
        return self._frame.select(*(_finite(item.value).alias(str(index)) for index, item in enumerate(variables)))

    def _finite_only(self, variable: EngineColumn, name: str) -> Any:
        """Return the frame of a variable's finite values."""
        return self._frame.select(variable.value.alias(name)).filter(~_finite(nw.col(name)).is_null())

    def at_most(self, limits: Mapping[EngineColumn, Sequence[float]]) -> dict[EngineColumn, list[int]]:
        """Return the number of finite values at or below each limit, by column."""
        if not limits:
            return {}
        aggregations = [
            self._rows_of(nw.col(str(index)) <= limit).alias(f"{index}_{number}")
            for index, own in enumerate(limits.values())
            for number, limit in enumerate(own)
        ]
        (answer,) = self._answer(lambda: self._numbers(limits).select(*aggregations))
        parts = map(_count, answer)
        return {item: list(islice(parts, len(own))) for item, own in limits.items()}

    def _rows_of(self, condition: Any) -> Any:
        """Return the expression that counts the rows in which a condition is true."""
        # Spark cannot add up booleans; for other engines this conversion would take most of the time.
        return (condition.cast(nw.Int64) if self._is_spark else condition).sum()

    def _answer(self, query: Callable[[], Any]) -> list[tuple[Any, ...]]:
        try:
            return list(self._fetch(query().to_native()))
        except Exception as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> BaselineError:
        reason = next((line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()), repr(error))
        return BaselineError(f"{self.name} cannot count the frame: {reason}. Does it read the frame by itself?")


def _finite(value: Any) -> Any:
    """Return the expression of the finite values, null for others."""
    return nw.when(value.is_finite()).then(value)


def _refuse_doubles(names: Sequence[str]) -> None:
    for name, number in Counter(names).items():
        if number > 1:
            msg = f"Two columns are named {name!r}. {ONCE}"
            raise BaselineError(msg)


def _stacked(parts: Sequence[Any]) -> Any:
    """Return the rows of all parts, each after the number of its part."""
    return nw.concat([part.select(nw.lit(index).alias("part"), nw.all()) for index, part in enumerate(parts)])


def _count(number: Any) -> int:
    # A sum over nothing is null, or NaN.
    return int(number) if number == number and number is not None else 0


def _extremes_of(answer: tuple[Any, ...]) -> tuple[Any, ...]:
    smallest, largest, below, above = answer
    return smallest, largest, _count(below), _count(above)
