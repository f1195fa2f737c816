"""The number of a value's range, as an expression: values of one range have one key."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

import narwhals as nw

__all__ = ["RangeKey", "keyed_in_one_scan"]

LARGEST, SMALLEST = sys.float_info.max, sys.float_info.min


@dataclass(frozen=True)
class RangeKey:
    """The number of a value's range in some spans; null for values outside of them.

    All three operations are monotone in floats, too, so that rounding does not change the order of ranges.

    Attributes:
        index: Index of the column in the frame, which is its name there.
        spans: Spans, ascending.
        parts: Number of ranges of equal width in each span; 0 for a range of each value.
    """

    index: int
    spans: Sequence[tuple[float, float]]
    parts: int

    @property
    def value(self) -> Any:
        """The expression of the values."""
        return nw.col(str(self.index))

    @property
    def number(self) -> Any:
        """The expression of the ranges' numbers."""
        key: Any = None
        for number, (low, high) in reversed(list(enumerate(self.spans))):
            inside = nw.when((self.value >= low) & (self.value <= high)).then(self._number(number, low, high))
            key = inside if key is None else inside.otherwise(key)
        return key

    def _number(self, span: int, low: float, high: float) -> Any:
        if not self.parts:
            return self.value
        # Halves, because the width itself may exceed all floats.
        width = max(high / 2 - low / 2, SMALLEST)
        scale = min(self.parts / 2 / width, LARGEST / self.parts)
        # In a span hardly wider than the distance of its floats, rounding makes more numbers than parts.
        return (self.value * scale - low * scale).floor() + float(span * 4 * self.parts)

    def keyed(self, values: Any) -> Any:
        """Return the keys and values of the column in a frame."""
        return values.select(self.number.alias("key"), self.value.alias("value"))

    @property
    def is_inside(self) -> Any:
        """The expression that says whether a value is in a range."""
        return reduce(or_, [(self.value >= low) & (self.value <= high) for low, high in self.spans])


def keyed_in_one_scan(numbers: Any, keys: Sequence[RangeKey]) -> Any:
    """Return the column's index, key and value of each value in a range, for all columns at once.

    Polars needs this because it would keep the whole table in memory to share one scan among columns; Spark would make
    a scan for each column.
    """
    fields = [f"key{key.index}" for key in keys], [f"value{key.index}" for key in keys]
    wide = numbers.select(
        *(key.number.alias(name) for key, name in zip(keys, fields[0], strict=True)),
        *(key.value.alias(name) for key, name in zip(keys, fields[1], strict=True)),
    )

    # Few rows lie in ranges that become finer; the others need not be stacked.
    wide = wide.filter(nw.any_horizontal(*(~nw.col(name).is_null() for name in fields[0]), ignore_nulls=True))
    entries = [
        nw.struct(nw.lit(key.index).alias("part"), nw.col(name).alias("key"), nw.col(value).alias("value"))
        for key, name, value in zip(keys, *fields, strict=True)
    ]

    stacked = wide.select(*(entry.alias(str(index)) for index, entry in enumerate(entries)))
    rows = stacked.unpivot(variable_name="column", value_name="entry")
    part, key, value = (nw.col("entry").struct.field(name).alias(name) for name in ("part", "key", "value"))
    return rows.select(part, key, value).filter(~nw.col("key").is_null())
