"""Counting of a lazy or distributed frame: its engine counts, and only summaries come to this process.

A few passes of plain aggregations, which every engine has, count any number of rows, for several columns at once:

1. Rows, missing and infinite ones, the smallest and the largest value of each column.
2. The most frequent categories of discrete columns.
3. Rows, smallest and largest value in each of some thousand ranges of equal width; then the same inside of ranges that
   hold a quantile, until the quantiles are known: usually once more, and a few times at most (`EngineLimits`).
4. Rows at or below each bound.

So bins and counts are the same as for data in memory, with every engine and any number of rows. If these
are not enough, for values of hundreds of magnitudes or some 10**30 rows, bounds lie at values beside the quantiles;
counts are exact even then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from flask_boxkite.baseline.distribution import Discrete, Distribution, added
from flask_boxkite.baseline.progress import Steps
from flask_boxkite.baseline.training.binning import float_width
from flask_boxkite.baseline.training.engine_column import EngineColumn, Kind
from flask_boxkite.baseline.training.options import BaselineOptions
from flask_boxkite.baseline.training.problems import ColumnError
from flask_boxkite.baseline.training.queries import Engine
from flask_boxkite.baseline.training.ranges import Mask, NumericColumn, Ranges
from flask_boxkite.baseline.training.seen import Seen
from flask_boxkite.baseline.training.text_columns import may_be_read, unclear
from flask_boxkite.errors import BaselineError
from flask_boxkite.naming import canonical_number, is_canonical_number
from flask_boxkite.values.conversion import InvalidValue, to_text

__all__ = ["EngineLimits", "count_lazily"]

PASSES = 5
"""Usual number of passes for a batch of columns, for the progress."""


@dataclass(frozen=True)
class EngineLimits:
    """Limits of the passes over a frame.

    Attributes:
        columns: Columns that one pass counts, few, to bound the length of the query and of its answer.
        ranges: Ranges per column in one pass.
        refinements: Most passes that make ranges finer.
    """

    columns: int = 16
    ranges: int = 2**14
    refinements: int = 8


def count_lazily(
    frame: Any,
    is_feature: Callable[[str], bool],
    options: BaselineOptions,
    seen: Seen,
    steps: Steps,
    limits: EngineLimits = EngineLimits(),
    *,
    output: str | None = None,
) -> tuple[Distribution, ...]:
    """Count the columns of a narwhals `LazyFrame`, in their order, except those that *seen* notes.

    Args:
        frame: Frame to count.
        is_feature: Whether the column of this name is a feature; the others are outputs.
        options: Decisions of the user.
        seen: Observations, to which this counting adds.
        steps: Progress, one step for each pass.
        limits: Limits of the passes.
        output: Column that the user has named as the output.

    Raises:
        BaselineError: The engine is not supported or fails, a column's type is not supported, the frame has no rows, or
            its rows change between passes.
    """
    engine = Engine(frame)
    variables = [
        item.without(options.missing_texts)
        for item in engine.variables()
        if not options.leaves_out(item.name, seen, is_output=item.name == output)
    ]
    features = [item.name for item in variables if is_feature(item.name)]
    positions = {name: position for position, name in enumerate(features)}
    batches = [variables[at : at + limits.columns] for at in range(0, len(variables), limits.columns)]

    counted: list[Distribution] = []
    for number, batch in enumerate(batches):
        tell = _Telling(steps, number * PASSES, len(batches) * PASSES)
        counted += _Batch(engine, batch, positions, options, seen, limits, tell).distributions()
    return tuple(counted)


@dataclass
class _Telling:
    """The progress of the passes of one batch."""

    steps: Steps
    before: int
    total: int
    done: int = 0

    def __call__(self, what: str) -> None:
        self.steps.tell(self.before + min(self.done, PASSES - 1), self.total, what)
        self.done += 1


class _Batch:
    """Columns that are counted together; lives until they are counted."""

    def __init__(
        self,
        engine: Engine,
        variables: Sequence[EngineColumn],
        positions: Mapping[str, int],
        options: BaselineOptions,
        seen: Seen,
        limits: EngineLimits,
        tell: _Telling,
    ) -> None:
        self._engine, self._variables = engine, list(variables)
        self._positions, self._options = positions, options
        self._seen, self._limits, self._tell = seen, limits, tell
        self._numbers: dict[EngineColumn, NumericColumn] = {}
        self._present: dict[EngineColumn, int] = {}
        self._top: dict[EngineColumn, list[tuple[Any, int]]] = {}
        self._rows = 0

    def distributions(self) -> list[Distribution]:
        """Count, and return the distributions in the columns' order."""
        self._tell("extremes")
        self._take_extremes(self._variables)
        self._tell("categories")
        self._read_texts()
        self._leave_out(self._heeds_options)
        counted: dict[EngineColumn, Distribution] = dict(self._categories())

        for number in range(self._limits.refinements):
            unclear = {item: mask for item in self._numbers if item not in counted and (mask := self._open(item)).any()}
            if not unclear:
                break
            self._tell("quantiles" if number else "ranges")
            self._refine(unclear, is_first=not number)

        self._tell("bins")
        counted |= self._rest([item for item in self._variables if item not in counted])
        return [counted[item] for item in self._variables]

    # --- 1 -----------------------------------------------------------------------------------------------------------

    def _take_extremes(self, variables: Sequence[EngineColumn]) -> None:
        self._rows, extremes = self._engine.extremes(variables)
        if not self._rows:
            msg = "The frame of training data has no rows. Does a filter leave none, or is the file empty?"
            raise BaselineError(msg)

        for item, (present, *others) in extremes.items():
            self._present[item] = present
            if item.kind.is_numeric:
                self._take_numbers(item, present, *others)
            elif not present and item.name in self._options.bins:
                # A column without values may have any type: given bins make it numeric, or one of dates.
                numeric = replace(item, kind=Kind.NUMBER)
                self._variables[self._variables.index(item)] = numeric
                self._take_numbers(numeric, 0, None, None, 0, 0)

    def _take_numbers(
        self, item: EngineColumn, finite: int, smallest: Any, largest: Any, below: int, above: int
    ) -> None:
        self._present[item] = present = finite + below + above
        ranges = Ranges.sorted(*(([smallest], [largest], [finite]) if finite else ([], [], [])), dtype=item.dtype)
        is_time = self._options.is_time(item.name, is_time=item.is_time, present=present)
        self._numbers[item] = NumericColumn(ranges, below, above, missing=self._rows - present, is_time=is_time)

    # --- 2 -----------------------------------------------------------------------------------------------------------

    def _read_texts(self) -> None:
        """Find text columns that are dates, or numbers besides missing values, and leave out unclear ones."""
        texts = [item for item in self._variables if item.kind is Kind.TEXT]
        self._top = self._engine.most_frequent(texts, self._options.max_categories)
        perhaps = [
            item
            for item in texts
            if item.is_string
            and item.name not in self._options.texts
            and may_be_read(dict(self._top[item]), self._present[item])
        ]
        times: list[EngineColumn] = []
        numeric: dict[EngineColumn, EngineColumn] = {}
        is_unclear = {}
        for item, (counts, missing) in self._engine.rows_of_texts(perhaps).items():
            top = self._top[item]
            distinct = len(top) + (sum(rows for _, rows in top) < counts.rows)
            if self._options.are_times(item.name, counts):
                times.append(item)
            elif self._options.are_numbers(item.name, counts, missing):
                numeric[item] = item.as_numbers()
            elif self._options.are_unclear(item.name, counts, distinct=distinct):
                is_unclear[item] = counts
        numeric |= self._engine.as_times(times)
        if numeric:
            self._top = {item: values for item, values in self._top.items() if item not in numeric}
            self._variables = [numeric.get(item, item) for item in self._variables]
            self._take_extremes(list(numeric.values()))

        def check(item: EngineColumn) -> None:
            if item in is_unclear:
                counts = is_unclear[item]
                odd = self._engine.odd_texts(item, counts)
                raise ColumnError([unclear(item.name, counts, odd, self._engine.amounts_in(item, counts))])

        self._leave_out(check)

    def _heeds_options(self, item: EngineColumn) -> None:
        """Refuse options that do not apply to a column.

        Raises:
            ColumnError: There is such an option.
        """
        if item.kind is Kind.TEXT:
            self._options.refuse_bins(item.name)
        elif item in self._numbers and self._present[item]:
            self._options.refuse_texts(item.name, "dates" if item.is_time else f"{item.kind.value}s")
            self._options.given_bounds(item.name, is_time=item.is_time)

    def _leave_out(self, check: Callable[[EngineColumn], None]) -> None:
        """Leave out columns that a check refuses, and remember the reasons."""
        for item in list(self._variables):
            try:
                check(item)
            except ColumnError as error:
                self._seen.problems += error.problems
                self._variables.remove(item)
                self._numbers.pop(item, None)
                self._top.pop(item, None)

    def _categories(self) -> Iterator[tuple[EngineColumn, Distribution]]:
        numbers = [item for item, column in self._numbers.items() if column.ranges.size and self._is_discrete(item)]
        number = self._options.max_categories
        top = self._top | self._engine.most_frequent(numbers, number)

        for item, values in top.items():
            if item in self._numbers:
                ranges = self._numbers[item].ranges
                counts = added((canonical_number(ranges.number(value)), rows) for value, rows in values)
            else:
                counts = self._texts(item, values)
                self._options.look_at_texts(item.name, counts, self._present[item], self._seen)
            others = {
                "missing": self._rows - self._present[item],
                "width": float_width(item.dtype),
                "is_time": item in self._numbers and self._numbers[item].is_time,
            }
            is_output = item.name not in self._positions
            yield item, self._options.discrete_of(item.name, counts, self._present[item], is_output=is_output, **others)
        for item in self._variables:
            if item.kind is Kind.OTHER and self._present[item]:
                raise item.refused()
            if item.kind in (Kind.NESTED, Kind.OTHER):
                invalid = self._present[item]
                yield item, Discrete(item.name, (), (), missing=self._rows - invalid, invalid=invalid)

    def _texts(self, item: EngineColumn, values: Sequence[tuple[Any, int]]) -> dict[str, int]:
        try:
            counts = added((to_text(value) or "", rows) for value, rows in values)
        except InvalidValue as error:
            raise item.refused() from error
        if item.is_string and all(map(is_canonical_number, counts)) and sum(counts.values()) < self._present[item]:
            # A single text that does not read like a number makes the variable textual.
            counts |= dict(self._engine.one_that_is_no_number(item))
        return counts

    # --- 3 -----------------------------------------------------------------------------------------------------------

    def _is_discrete(self, item: EngineColumn) -> bool | None:
        column = self._numbers[item]
        position = self._positions.get(item.name)
        return column.is_discrete(item.name, position, self._options, is_category=item.kind is Kind.BOOLEAN)

    def _open(self, item: EngineColumn) -> Mask:
        """Return whether each range has to be finer."""
        ranges = self._numbers[item].ranges
        is_discrete = self._is_discrete(item)
        if is_discrete is None:
            return ranges.is_mixed
        if is_discrete or item.name in self._options.bins:
            return np.zeros(len(ranges.counts), dtype=bool)
        return ranges.is_mixed & ranges.holding_quantiles()

    def _refine(self, unclear: Mapping[EngineColumn, Mask], *, is_first: bool) -> None:
        wide = {item: self._numbers[item].ranges.chosen(mask) for item, mask in unclear.items()}
        for item, finer in self._engine.finer(wide, self._limits.ranges, by_magnitude=not is_first).items():
            if finer.size != wide[item].size:
                msg = (
                    f"Column {item.name!r} has other rows each time that {self._engine.name} reads it. Store the frame "
                    "first, for example as Parquet, and give what is read from that."
                )
                raise BaselineError(msg)
            column = self._numbers[item]
            self._numbers[item] = replace(column, ranges=column.ranges.replaced(unclear[item], finer))

    # --- 4 -----------------------------------------------------------------------------------------------------------

    def _rest(self, items: Sequence[EngineColumn]) -> dict[EngineColumn, Distribution]:
        """Return the distributions of numeric columns whose ranges are fine enough."""
        by_column: dict[EngineColumn, Distribution] = {
            item: self._numbers[item].discrete(item.name, self._options, is_output=item.name not in self._positions)
            for item in items
            if self._is_discrete(item)
        }
        bounds = {
            item: self._numbers[item].chosen_bounds(
                item.name, self._options, is_output=item.name not in self._positions
            )
            for item in items
            if item not in by_column
        }
        for item, at_most in self._at_most({item: upper for item, (upper, _) in bounds.items()}).items():
            by_column[item] = self._numbers[item].continuous(item.name, *bounds[item], at_most)
        return by_column

    def _at_most(self, bounds: Mapping[EngineColumn, Sequence[float]]) -> dict[EngineColumn, Any]:
        """Return the number of finite values at or below each bound; queries only where the ranges do not tell."""
        counts, unknown = {}, {}
        for item, upper in bounds.items():
            ranges = self._numbers[item].ranges
            counts[item], unknown[item] = ranges.at_most(upper)

        limits = {
            item: self._numbers[item].ranges.limits(bounds[item])[mask].tolist()
            for item, mask in unknown.items()
            if mask.any()
        }
        for item, rows in self._engine.at_most(limits).items():
            counts[item][unknown[item]] = rows
        return counts
