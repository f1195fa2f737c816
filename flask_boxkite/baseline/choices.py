"""What the user decided about bins and categories, and what follows from it for each column.

The same decisions whoever counts: memory, an engine, or a stream of chunks.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from operator import index
from typing import Any

from flask_boxkite.baseline.distribution import Discrete, Distribution
from flask_boxkite.baseline.frames import Column
from flask_boxkite.baseline.number_texts import (
    OddTextsError,
    TextRows,
    as_missing,
    has_many_others,
    numbers_of,
    odd_texts,
    rows_of_texts,
)
from flask_boxkite.baseline.personal import look_of
from flask_boxkite.errors import BaselineError
from flask_boxkite.values import folded

__all__ = ["Choices", "Seen"]

FEWEST = 5
"""Rows of a category below which the file does not name it, unless the user decides."""

SHARE = 1 / 20
"""Of a column with few values, this part of them is enough for a category to be named."""


@dataclass
class Seen:
    """What was noticed while columns were counted; a few threads write to it.

    Attributes:
        looks: What a column's texts look like, by name: ``"e-mail addresses"``.
        excluded: Names of columns that were left out.
    """

    looks: dict[str, str] = field(default_factory=dict)
    excluded: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Choices:
    """What the user decided about bins; everything else is decided per column.

    Attributes:
        discrete: Names of features or outputs, and positions of features, that are discrete; the other features are
            continuous then. None: decided per column.
        bins: Upper bounds of bins, by name.
        max_bins: Most upper bounds of a continuous column, unless its deciles alone are more.
        max_categories: Most categories of a discrete column.
        min_category_rows: Rows that a category needs to be named; None: `FEWEST`, or fewer in few rows.
        texts: Names of columns of texts that stay texts, although nearly all of them are numbers.
        missing_texts: Texts that stand for a missing value, in lower case.
        exclude: Names of columns that are left out.
        seen: What is noticed on the way.
    """

    discrete: frozenset[str | int] | None
    bins: Mapping[str, Sequence[float]]
    max_bins: int
    max_categories: int
    min_category_rows: int | None = None
    texts: frozenset[str] = frozenset()
    missing_texts: frozenset[str] = frozenset()
    exclude: frozenset[str] = frozenset()
    seen: Seen = field(default_factory=Seen)

    @classmethod
    def of(
        cls,
        discrete: Iterable[str | int] | None = None,
        bins: Mapping[str, Sequence[float]] | None = None,
        max_bins: int = 50,
        max_categories: int = 50,
        min_category_rows: int | None = None,
        texts: Iterable[str] = (),
        missing_texts: Iterable[str] = (),
        exclude: Iterable[str] = (),
    ) -> Choices:
        """Check the options of `ModelMonitoringService.export_text`.

        Raises:
            BaselineError: One of them is wrong.
        """
        return cls(
            _names_and_positions(discrete),
            bins or {},
            max_bins,
            max_categories,
            min_category_rows,
            _texts("texts", "names", texts),
            as_missing(_texts("missing_texts", "texts", missing_texts)),
            _texts("exclude", "names", exclude),
        )

    def __post_init__(self) -> None:
        for name in ("max_bins", "max_categories", "min_category_rows"):
            value = getattr(self, name)
            if name == "min_category_rows" and value is None:
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                msg = f"'{name}' must be an integer >= 1, got {value!r}."
                raise BaselineError(msg)

    def leaves_out(self, name: str) -> bool:
        """Say whether a column is left out, and remember that it is there."""
        if name not in self.exclude:
            return False
        self.seen.excluded.add(name)
        return True

    def is_discrete(self, name: str, position: int | None, *, is_category: bool) -> bool | None:
        """Decide the kind of a numeric column that has finite values; None if its values have to decide.

        Args:
            name: Of the column.
            position: Among the features; None if it is an output.
            is_category: Whether the column's type alone says that it is discrete.
        """
        if name in self.bins:
            return False
        if is_category:
            return True
        if self.discrete is not None:
            if name in self.discrete or position in self.discrete:
                return True
            if position is not None:
                return False
        return None

    def given_bounds(self, name: str) -> tuple[float, ...] | None:
        """Return the bounds that were given for a numeric column, without ``+inf``; None if none were.

        Raises:
            BaselineError: They are not finite, or do not increase.
        """
        return _checked_bounds(name, self.bins[name]) if name in self.bins else None

    def refuse_bins(self, name: str) -> None:
        """Refuse bins for a column that has turned out to hold texts.

        Raises:
            BaselineError: Some were given.
        """
        if name in self.bins:
            msg = f"'bins' names {name!r}, which holds texts. Only numbers have bins."
            raise BaselineError(msg)

    def read_texts(self, name: str, column: Column) -> Column:
        """Read the texts of a column: some stand for missing values, and without these, all may be numbers.

        Args:
            name: Name of the column.
            column: The column as `as_column` returns it.

        Raises:
            OddTextsError: Nearly all texts are numbers.
        """
        if not column.texts:
            return column
        texts, missing = self.without_missing(column.texts)
        column = replace(column, texts=texts, missing=column.missing + missing)
        if has_many_others(texts):
            return column
        counts = rows_of_texts(texts)
        if self.are_numbers(name, counts, missing):
            return replace(column, numbers=numbers_of(texts), texts=Counter(), is_category=False)
        if self.are_odd(name, counts):
            raise OddTextsError(name, counts, odd_texts(texts))
        return column

    def without_missing(self, texts: Counter[str]) -> tuple[Counter[str], int]:
        """Return texts without those that stand for a missing value, and the rows of these."""
        if not self.missing_texts:
            return texts, 0
        held = Counter({text: rows for text, rows in texts.items() if folded(text) not in self.missing_texts})
        return held, texts.total() - held.total()

    def are_numbers(self, name: str, counts: TextRows, missing: int) -> bool:
        """Say whether a column of texts is one of numbers: some stood for a missing value, and only numbers are left.

        Without missing ones, texts stay texts: postcodes are digits, too.
        """
        return missing > 0 and name not in self.texts and counts.are_numbers

    def are_odd(self, name: str, counts: TextRows) -> bool:
        """Say whether a column of texts has to be refused."""
        return name not in self.texts and counts.are_odd

    def discrete_of(
        self, name: str, counts: Mapping[str, int], rows: int, *, is_output: bool, **others: Any
    ) -> Discrete:
        """Build the distribution of a discrete column; categories of few rows are rare, so that the file names none.

        Booleans are named always, and so are the labels of an output, if there are no more than *max_categories*.

        Args:
            name: Name of the column.
            counts: Rows by value, as `Discrete.most_frequent` takes them.
            rows: Rows that have a value.
            is_output: Whether the column is an output.
            **others: ``missing``, ``invalid`` and ``width``.
        """
        least = self.min_category_rows or min(FEWEST, max(math.ceil(rows * SHARE), 1))
        return Discrete.most_frequent(
            name, counts, rows, self.max_categories, least=least, names_all=is_output, **others
        )

    def look_at_texts(self, name: str, counts: Mapping[str, int], rows: int) -> None:
        """Note what the texts of a column look like, by the most frequent of them."""
        if look := look_of(counts, rows, self.max_categories):
            self.seen.looks[name] = look

    def check_names(self, features: Sequence[Distribution], outputs: Sequence[Distribution]) -> None:
        """Refuse names and positions that the data does not have.

        Raises:
            BaselineError: There is one.
        """
        names = [distribution.name for distribution in (*features, *outputs)]
        for option, given in (
            ("discrete", self.discrete or ()),
            ("bins", self.bins),
            ("texts", sorted(self.texts - self.exclude)),
            ("exclude", sorted(self.exclude - self.seen.excluded)),
        ):
            for named in given:
                known = 0 <= named < len(features) if isinstance(named, int) else named in names
                if not known:
                    known_names = ", ".join(map(repr, names))
                    msg = f"'{option}' names {named!r}, which the data does not have. Known: {known_names}."
                    raise BaselineError(msg)


def _names_and_positions(discrete: Iterable[str | int] | None) -> frozenset[str | int] | None:
    if discrete is None:
        return None
    if isinstance(discrete, str):
        msg = f"'discrete' must be a list of names and positions, got {discrete!r}."
        raise BaselineError(msg)
    return frozenset(item if isinstance(item, str) else index(item) for item in discrete)


def _texts(option: str, what: str, given: Iterable[str]) -> frozenset[str]:
    found = [given] if isinstance(given, str) else list(given)
    if isinstance(given, str) or not all(isinstance(item, str) for item in found):
        msg = f"'{option}' must be a list of {what}, got {given!r}."
        raise BaselineError(msg)
    return frozenset(found)


def _checked_bounds(name: str, given: Sequence[float]) -> tuple[float, ...]:
    try:
        bounds = [float(bound) + 0.0 for bound in given]
    except (TypeError, ValueError):
        bounds = []
    if bounds and bounds[-1] == math.inf:
        del bounds[-1]
    if not bounds or not all(map(math.isfinite, bounds)) or any(a >= b for a, b in pairwise(bounds)):
        shown = list(given) if isinstance(given, Sequence) else given
        msg = f"'bins' for {name!r} must be finite upper bounds that increase strictly, got {shown!r}."
        raise BaselineError(msg)
    return tuple(bounds)
