"""The user's decisions about bins and categories, and the decisions that follow for each column.

The decisions are the same for data in memory, in an engine, or in a stream of chunks.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import index
from typing import Any

from flask_boxkite.baseline.bounds import told_apart
from flask_boxkite.baseline.distribution import Discrete
from flask_boxkite.baseline.training.columns import Column
from flask_boxkite.baseline.training.given_bounds import GivenBounds, given_bounds
from flask_boxkite.baseline.training.personal import DURATIONS, NUMBERS, look_of
from flask_boxkite.baseline.training.problems import ColumnError, Problem
from flask_boxkite.baseline.training.row_labels import is_unnamed_label
from flask_boxkite.baseline.training.seen import Seen
from flask_boxkite.baseline.training.text_columns import (
    TextRows,
    amounts_in,
    as_missing,
    has_many_others,
    numbers_of,
    odd_texts,
    rows_of_texts,
    seconds_of,
    unclear,
)
from flask_boxkite.errors import BaselineError
from flask_boxkite.policies import Policy, check_weights, policies_of
from flask_boxkite.values.conversion import folded
from flask_boxkite.values.times import whole_microseconds

__all__ = ["BaselineOptions"]

FEWEST = 5
"""Least number of rows for the file to name a category, unless the user decides."""

SHARE = 1 / 20
"""Share of the values of a small column that is enough for a category to be named."""


@dataclass(frozen=True)
class BaselineOptions:
    """The user's decisions; all others are made for each column.

    Attributes:
        discrete: Names of features or outputs, and positions of features, that are discrete; then the other features
            are continuous. None to decide for each column.
        bins: Upper bounds of bins, by name.
        max_bins: Most upper bounds of a continuous column, unless its deciles alone are more.
        max_categories: Most categories of a discrete column.
        min_category_rows: Least number of rows for a category to be named; None for `FEWEST`, or fewer in few rows.
        texts: Names of text columns that stay texts, although they look like numbers, dates or booleans.
        missing_texts: Texts that stand for a missing value, in lower case.
        exclude: Names of columns that are left out.
        edges: Bounds that the bins of outputs must have, by name; these outputs are continuous.
        ordered: Names of derived variables that are continuous, even if few of their values differ.
        policies: Decisions on how variables are judged.
    """

    discrete: frozenset[str | int] | None
    bins: Mapping[str, GivenBounds]
    max_bins: int
    max_categories: int
    min_category_rows: int | None = None
    texts: frozenset[str] = frozenset()
    missing_texts: frozenset[str] = frozenset()
    exclude: frozenset[str] = frozenset()
    edges: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    ordered: frozenset[str] = frozenset()
    policies: tuple[Policy, ...] = ()

    @classmethod
    def of(
        cls,
        *,
        discrete: Iterable[str | int] | None = None,
        bins: Mapping[str, Sequence[Any]] | None = None,
        max_bins: int = 50,
        max_categories: int = 50,
        min_category_rows: int | None = None,
        texts: Iterable[str] = (),
        missing_texts: Iterable[str] = (),
        exclude: Iterable[str] = (),
        ignore: Iterable[str] = (),
        weights: Any = None,
        drift_sizes: Any = None,
    ) -> BaselineOptions:
        """Check the options of `ModelMonitoringService.export_text`.

        Raises:
            BaselineError: An option is wrong.
        """
        return cls(
            _names_and_positions(discrete),
            given_bounds({} if bins is None else bins),
            max_bins,
            max_categories,
            min_category_rows,
            _texts("texts", "names", texts),
            as_missing(_texts("missing_texts", "texts", missing_texts)),
            _texts("exclude", "names", exclude),
            policies=policies_of(ignore=ignore, weights=weights, drift_sizes=drift_sizes),
        )

    def __post_init__(self) -> None:
        for name in ("max_bins", "max_categories", "min_category_rows"):
            value = getattr(self, name)
            if name == "min_category_rows" and value is None:
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                msg = f"'{name}' must be an integer >= 1, got {value!r}."
                raise BaselineError(msg)
        if both := sorted(self.bins.keys() & (self.discrete or frozenset())):
            msg = f"'bins' and 'discrete' both name {both[0]!r}. A column has bins, or categories."
            raise BaselineError(msg)

    def with_validation(self, edges: Mapping[str, tuple[float, ...]], actual: Any) -> BaselineOptions:
        """Return options under which outputs get *edges*, and the column that holds the actual values is left out.

        Args:
            edges: Bounds that the bins of outputs must have, by name.
            actual: Name of that column, or the actual values themselves.
        """
        exclude = self.exclude | ({actual} if isinstance(actual, str) else set())
        return replace(self, edges=edges, exclude=exclude)

    def leaves_out(self, name: str, seen: Seen, labels: Collection[str] = (), *, is_output: bool = False) -> bool:
        """Say whether a column is left out; *seen* notes that it exists.

        Args:
            name: Name of the column.
            seen: Observations.
            labels: Names of columns that are known to hold row labels of pandas.
            is_output: Whether the user has named the column as an output.
        """
        if name in self.exclude:
            seen.excluded.add(name)
            return True
        is_label = name in labels or is_unnamed_label(name)
        if not is_label or is_output or self._names(name):
            return False
        seen.row_labels[name] = None
        return True

    def _names(self, name: str) -> bool:
        """Say whether an option names a column, which so is meant to be counted."""
        return name in self.bins or name in self.texts or name in (self.discrete or ())

    def check_outputs(self, inference: str | Collection[str] | None) -> None:
        """Refuse names of outputs that are left out.

        Raises:
            BaselineError: There is such a name.
        """
        for name in [inference] if isinstance(inference, str) else inference or ():
            if name in self.exclude:
                msg = f"'inference' and 'exclude' both name {name!r}. Take it out of one of them."
                raise BaselineError(msg)

    def is_discrete(self, name: str, position: int | None, *, is_category: bool) -> bool | None:
        """Decide the kind of a numeric column that has finite values; None if its values have to decide.

        Args:
            name: Name of the column.
            position: Position among the features; None for an output.
            is_category: Whether the column's type alone says that it is discrete.
        """
        if name in self.bins or (position is None and name in self.edges):
            return False
        if name in self.ordered:
            return name in (self.discrete or ())
        if is_category:
            return True
        if self.discrete is not None:
            if name in self.discrete or position in self.discrete:
                return True
            if position is not None:
                return False
        return None

    def is_time(self, name: str, *, is_time: bool, present: int) -> bool:
        """Say whether a numeric column holds moments; for a column without values, given bins may tell.

        Args:
            name: Name of the column.
            is_time: Whether its values are moments.
            present: Rows that have a value.
        """
        return is_time or (not present and name in self.bins and self.bins[name].are_dates)

    def given_bounds(self, name: str, *, is_time: bool) -> tuple[float, ...] | None:
        """Return the user's bounds for a numeric column, without ``+inf``; None if there are none.

        Raises:
            ColumnError: The bounds are dates, but the column does not hold moments.
        """
        if (bounds := self.bins.get(name)) is None:
            return None
        if bounds.are_dates and not is_time:
            fact = f"Column {name!r} holds numbers, but its bins are dates."
            raise ColumnError([Problem(fact, "Give numbers as bins, or dates as values.")])
        edges = self.edges.get(name, ())
        wanted = (*edges[:1], *bounds.values, *edges[1:])
        values = tuple(sorted({*told_apart({*wanted}, wanted).values()} if edges else {*wanted}))
        return whole_microseconds(values) if is_time else values

    def refuse_bins(self, name: str) -> None:
        """Refuse bins for a column that has turned out to hold texts.

        Raises:
            ColumnError: Bins were given.
        """
        if name in self.bins:
            fact = f"Column {name!r} holds texts: only numbers and dates have bins."
            raise ColumnError([Problem(fact, "Leave it out of 'bins'.", "Leave it out of --bins.")])

    def refuse_texts(self, name: str, what: str) -> None:
        """Refuse the option ``texts`` for a column that has turned out to hold other values.

        Args:
            name: Name of the column.
            what: Kind of its values.

        Raises:
            ColumnError: The option names the column.
        """
        if name in self.texts:
            remedy = "Leave it out of {}, or write texts; if each value is a category, name it in {}, with all others."
            words = remedy.format("'texts'", "'discrete'"), remedy.format("--text", "--discrete")
            raise ColumnError([Problem(f"Column {name!r} holds {what}, not texts.", *words)])

    def read(self, name: str, column: Column) -> Column:
        """Read the texts of a column: some may stand for missing values, and the others may all be numbers or dates.

        Args:
            name: Name of the column.
            column: Column from `as_column`.

        Raises:
            ColumnError: Nearly all texts are numbers, dates or durations, or an option does not apply.
        """
        if not column.texts:
            if column.numbers is not None and len(column.numbers):
                self.refuse_texts(name, "dates" if column.is_time else "booleans" if column.is_category else "numbers")
            present = 0 if column.numbers is None else len(column.numbers)
            return replace(column, is_time=self.is_time(name, is_time=column.is_time, present=present))

        texts, missing = self.without_missing(column.texts)
        column = replace(column, texts=texts, missing=column.missing + missing)

        if has_many_others(texts):
            return column
        counts = rows_of_texts(texts)
        if self.are_times(name, counts):
            return replace(column, numbers=seconds_of(texts), texts=Counter(), is_category=False, is_time=True)
        if self.are_numbers(name, counts, missing):
            return replace(column, numbers=numbers_of(texts), texts=Counter(), is_category=False)
        if self.are_unclear(name, counts, distinct=len(texts)):
            raise ColumnError([unclear(name, counts, odd_texts(texts, counts.usual), amounts_in(texts))])
        return column

    def without_missing(self, texts: Counter[str]) -> tuple[Counter[str], int]:
        """Return the texts that do not stand for a missing value, and the number of rows of the others."""
        if not self.missing_texts:
            return texts, 0
        present = Counter({text: rows for text, rows in texts.items() if folded(text) not in self.missing_texts})
        return present, texts.total() - present.total()

    def are_times(self, name: str, counts: TextRows) -> bool:
        """Say whether a text column holds dates or moments; no code looks like them."""
        return name not in self.texts and counts.are_times

    def are_numbers(self, name: str, counts: TextRows, missing: int) -> bool:
        """Say whether a text column holds numbers: some texts stand for missing values, and all others are numbers.

        Without missing values, texts stay texts, because postcodes are digits, too.
        """
        return missing > 0 and name not in self.texts and counts.are_numbers

    def are_unclear(self, name: str, counts: TextRows, *, distinct: int) -> bool:
        """Say whether a text column that was not read as numbers or dates has to be refused.

        Args:
            name: Name of the column.
            counts: Rows of the column by kind of text.
            distinct: Least number of different texts. Few numbers, amounts or durations may be categories.
        """
        may_be_codes = counts.are_numbers or counts.are_amounts or counts.are_durations
        return name not in self.texts and (counts.are_odd or (may_be_codes and distinct > self.max_categories))

    def discrete_of(
        self, name: str, counts: Mapping[str, int], rows: int, *, is_output: bool, **others: Any
    ) -> Discrete:
        """Build the distribution of a discrete column; categories of few rows are rare, so that the file names none.

        Booleans are always named, and so are the labels of an output, if there are no more than *max_categories*.

        Args:
            name: Name of the column.
            counts: Rows by value, in the form of `Discrete.most_frequent`.
            rows: Rows that have a value.
            is_output: Whether the column is an output.
            **others: Fields ``missing``, ``invalid`` and ``width``.
        """
        least = self.least_rows(rows)
        are_texts = name in self.texts
        return Discrete.most_frequent(
            name, counts, rows, self.max_categories, least=least, names_all=is_output, are_texts=are_texts, **others
        )

    def least_rows(self, rows: int) -> int:
        """Return the least number of rows for a category, or a word, to be named, of so many with a value."""
        return self.min_category_rows or min(FEWEST, max(math.ceil(rows * SHARE), 1))

    def look_at_texts(self, name: str, counts: Mapping[str, int], rows: int, seen: Seen) -> None:
        """Note, in *seen*, the look of a column's texts, judged by the most frequent ones."""
        look = look_of(counts, rows, self.max_categories)
        if look and not (look in (NUMBERS, DURATIONS) and name in self.texts):
            seen.looks[name] = look

    def check_names(self, names: Sequence[str], features: int, excluded: Collection[str]) -> None:
        """Refuse names and positions that the data does not have.

        Args:
            names: Names of features and outputs.
            features: Number of features.
            excluded: Names of the data's other columns, which are left out; options may name them.

        Raises:
            BaselineError: There are such names or positions.
        """
        unknown = []
        for option, mentioned in (
            ("discrete", self.discrete or ()),
            ("bins", self.bins),
            ("texts", sorted(self.texts)),
            ("exclude", sorted(self.exclude)),
            ("ignore", [policy.name for policy in self.policies if policy.ignore]),
            ("weights", [policy.name for policy in self.policies if policy.weight is not None]),
            ("drift_sizes", [policy.name for policy in self.policies if policy.has_sizes]),
        ):
            for mention in mentioned:
                known = 0 <= mention < features if isinstance(mention, int) else mention in {*names, *excluded}
                if not known:
                    unknown.append(f"'{option}' names {mention!r}, which the data does not have.")

        if unknown:
            msg = f"{' '.join(unknown)} Known: {', '.join(map(repr, names))}."
            raise BaselineError(msg)

    def policies_for(self, names: Sequence[str]) -> tuple[Policy, ...]:
        """Return the policies of the variables of these names, in their order.

        Raises:
            BaselineError: They ignore all of them.
        """
        by_name = {policy.name: policy for policy in self.policies}
        policies = tuple(by_name[name] for name in dict.fromkeys(names) if name in by_name)
        check_weights(policies, names)
        return policies


def _names_and_positions(discrete: Iterable[str | int] | None) -> frozenset[str | int] | None:
    if discrete is None:
        return None
    if isinstance(discrete, str):
        msg = f"'discrete' must be a list of names and positions, got {discrete!r}."
        raise BaselineError(msg)
    return frozenset(item if isinstance(item, str) else index(item) for item in discrete)


def _texts(option: str, what: str, value: Iterable[str]) -> frozenset[str]:
    texts = [value] if isinstance(value, str) else list(value)
    if isinstance(value, str) or not all(isinstance(item, str) for item in texts):
        msg = f"'{option}' must be a list of {what}, got {value!r}."
        raise BaselineError(msg)
    return frozenset(texts)
