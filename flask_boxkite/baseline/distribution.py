"""The distribution of one variable: counts in bins or categories, and the groups on which drift is judged.

A distribution is an immutable value: its bins are chosen once, and mean the same in training, in live counts and in the
file. Its counts stand in one row of *cells*, in such an order that every exported number (a bucket, a category or a
group) is the sum of neighbouring cells:

- continuous: one cell per bin ``(lower, upper]``, the last for values above all bounds; missing; invalid.
- discrete: one cell per category; rare; unseen; missing; invalid. Texts stand most frequent first. So do up to eight
  numbers or moments; more of them ascend, so that a group holds neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any, ClassVar, NamedTuple, TypeAlias

from flask_boxkite.baseline.bounds import even_runs, extremes_within
from flask_boxkite.baseline.limits import check_bins, check_counts, check_text
from flask_boxkite.errors import BaselineError
from flask_boxkite.naming import (
    ABOVE,
    BELOW,
    INVALID,
    MISSING,
    RARE,
    UNSEEN,
    canonical_number,
    category_text,
    category_value,
    interval,
    is_canonical_number,
    short_text,
)
from flask_boxkite.values.conversion import BOOLEAN_TEXTS, is_missing_text
from flask_boxkite.values.times import seconds_of_label, time_text

__all__ = ["Continuous", "Discrete", "Distribution", "Span", "added", "category_labels", "group_counts"]


CATEGORY_GROUPS = 8
"""Most categories without *group_sizes*; in files of earlier releases, further ones share `RARE`."""


class Span(NamedTuple):
    """A named run of cells, ``start`` to ``stop`` (exclusive), whose sum is one exported number."""

    name: str
    start: int
    stop: int


@dataclass(frozen=True)
class Continuous:
    """Counts of a numeric variable in fixed bins.

    Attributes:
        name: The feature's or output's name.
        upper_bounds: Finite bounds, strictly increasing; bin *i* is ``(upper_bounds[i - 1], upper_bounds[i]]``.
        counts: Rows per bin, one more than bounds: the last bin lies above them all.
        missing: Rows that were None or NaN.
        invalid: Rows that were not numbers.
        group_bounds: Bounds at which groups end. Values at or below the first are `BELOW`, values above the last
            `ABOVE`, and may have several bins. A first bound of ``-inf`` means that there is no `BELOW`.
        width: Bits of the floats in training: 64, 32 or 16. Live values are rounded to it before they are compared,
            because clients write one float32 in several ways (0.1 and 0.10000000149011612).
        is_time: Whether values are dates or moments (`times`); bounds are seconds since 1970 then.
        missing_texts: Texts, in lower case, that stand for a missing value, besides `MISSING_TEXTS`.
    """

    kind: ClassVar[str] = "continuous"
    is_text: ClassVar[bool] = False

    name: str
    upper_bounds: tuple[float, ...]
    counts: tuple[int, ...]
    group_bounds: tuple[float, ...]
    missing: int = 0
    invalid: int = 0
    width: int = 64
    is_time: bool = False
    missing_texts: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        check_text("name", self.name)
        check_bins(self.name, len(self.upper_bounds), "bounds", "max_bins")
        check_counts(self.name, (*self.counts, self.missing, self.invalid))
        if not self.upper_bounds or not all(map(math.isfinite, self.upper_bounds)):
            msg = f"{self.name!r} needs at least one bound, all of them finite, got {list(self.upper_bounds)!r}."
            raise BaselineError(msg)
        if any(a >= b for a, b in pairwise(self.upper_bounds)):
            msg = f"The bounds of {self.name!r} must increase strictly, got {list(self.upper_bounds)!r}."
            raise BaselineError(msg)
        if len(self.counts) != len(self.upper_bounds) + 1:
            msg = f"{self.name!r} has {len(self.upper_bounds)} bounds and {len(self.counts)} counts, expected one more."
            raise BaselineError(msg)

        self._check_groups()

    def _check_groups(self) -> None:
        known = {-math.inf, *self.upper_bounds}
        ordered = all(a < b for a, b in pairwise(self.group_bounds))
        if not (ordered and len(self.group_bounds) >= 2 and known.issuperset(self.group_bounds)):
            msg = f"The groups of {self.name!r} must increase and end at its bounds, got {self.group_bounds!r}."
            raise BaselineError(msg)

    @property
    def rows(self) -> int:
        """All rows, missing and invalid ones included."""
        return sum(self.counts) + self.missing + self.invalid

    @property
    def cells(self) -> tuple[int, ...]:
        """The counts, in the order in which live counts stand in memory."""
        return (*self.counts, self.missing, self.invalid)

    @cached_property
    def extremes(self) -> tuple[float, float]:
        """The smallest and the largest training value, as far as the bounds tell; ``-inf`` if there is no `BELOW`."""
        lowest, *_, highest = self.group_bounds
        is_closed = math.isfinite(lowest)
        write = time_text if self.is_time else repr
        smallest, largest = extremes_within(lowest if is_closed else self.upper_bounds[0], highest, write)
        return (smallest if is_closed else -math.inf), largest

    @cached_property
    def groups(self) -> tuple[Span, ...]:
        """The groups, each a run of cells; together they hold every cell once."""
        ends = {bound: index + 1 for index, bound in enumerate(self.upper_bounds)}
        ends[-math.inf] = 0
        named = interval_of_times if self.is_time else interval
        spans = [Span(named(lower, upper), ends[lower], ends[upper]) for lower, upper in pairwise(self.group_bounds)]
        if spans[0].start > 0:
            spans.insert(0, Span(BELOW, 0, spans[0].start))
        top = len(self.upper_bounds)
        return (
            *spans,
            Span(ABOVE, spans[-1].stop, top + 1),
            Span(MISSING, top + 1, top + 2),
            Span(INVALID, top + 2, top + 3),
        )

    @property
    def shape(self) -> tuple[object, ...]:
        """The parts that must be equal for two distributions to be added or compared."""
        return (
            self.kind,
            self.name,
            self.upper_bounds,
            self.group_bounds,
            self.width,
            self.is_time,
            self.missing_texts,
        )


@dataclass(frozen=True)
class Discrete:
    """Counts of a variable in categories.

    Attributes:
        name: The feature's or output's name.
        categories: Labels (see `naming.category_text`), most frequent first, ties by label; ascending numbers or
            moments if there are *group_sizes*.
        counts: Rows per category.
        rare: Rows whose category was not kept. If there are any, serving counts values outside *categories* as `RARE`,
            because they may be among the categories that training dropped. Otherwise they are `UNSEEN`.
        unseen: Rows in categories that training never saw; 0 in a baseline.
        missing: Rows that were None or NaN.
        invalid: Rows of a type that cannot be a category.
        width: Bits of the floats in training, as in `Continuous`.
        is_time: Whether categories are dates or moments, in the form of `times.time_text`.
        missing_texts: Texts, in lower case, that stand for a missing value, as in `Continuous`.
        group_sizes: Number of categories in each group. If there are none, each of the first eight categories has its
            own group, and the others are in `RARE`.
    """

    kind: ClassVar[str] = "discrete"

    name: str
    categories: tuple[str, ...]
    counts: tuple[int, ...]
    rare: int = 0
    unseen: int = 0
    missing: int = 0
    invalid: int = 0
    width: int = 64
    is_time: bool = False
    missing_texts: frozenset[str] = frozenset()
    group_sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_text("name", self.name)
        check_bins(self.name, len(self.categories), "categories", "max_categories")
        for category in self.categories:
            check_text(f"category of {self.name!r}", category)
        check_counts(self.name, self.cells)
        if len(self.categories) != len(self.counts):
            msg = f"{self.name!r} has {len(self.categories)} categories and {len(self.counts)} counts."
            raise BaselineError(msg)
        if len(set(self.categories)) != len(self.categories):
            msg = f"{self.name!r} has a category twice."
            raise BaselineError(msg)
        if self.group_sizes and (min(self.group_sizes) < 1 or sum(self.group_sizes) != len(self.categories)):
            msg = f"The groups of {self.name!r} must hold each category once, got sizes {self.group_sizes!r}."
            raise BaselineError(msg)

    @classmethod
    def ordered(cls, name: str, counts: Mapping[str, int], **others: Any) -> Discrete:
        """Build a distribution from counts by label, most frequent first, without *group_sizes*."""
        labels = sorted(counts, key=lambda label: (-counts[label], label))
        return cls(name, tuple(labels), tuple(counts[label] for label in labels), **others)

    @classmethod
    def grouped(cls, name: str, counts: Mapping[str, int], **others: Any) -> Discrete:
        """Build a distribution from counts by label, whose groups hold about equally many rows."""
        item = cls.ordered(name, counts, **others)
        if len(counts) <= CATEGORY_GROUPS:
            return item
        joined = item.in_order()
        sizes = even_runs(joined.counts)
        names = [joined._name_of(start, stop) for start, stop in pairwise(accumulate(sizes, initial=0))]
        # A category may be called like a group of others.
        is_plain = len(set(names)) == len(names) and joined.sizes_named(names) == sizes
        return replace(joined, group_sizes=sizes) if is_plain else item

    def in_order(self) -> Discrete:
        """Return the categories in the order in which neighbours share groups: numbers and moments ascending."""
        if self.is_text:
            return self
        counts = dict(zip(self.categories, self.counts, strict=True))
        places = dict(zip(self.categories, self.values, strict=True))
        labels = sorted(counts, key=places.__getitem__)
        return replace(self, categories=tuple(labels), counts=tuple(counts[label] for label in labels))

    def sizes_named(self, names: Collection[str]) -> tuple[int, ...]:
        """Return the *group_sizes* with which the groups of categories have these names; empty if there are none."""
        sizes: list[int] = []
        start, known = 0, frozenset(names)
        while start < len(self.categories):
            stops = range(start + 1, len(self.categories) + 1)
            named = (stop for stop in stops if self._name_of(start, stop) in known)
            if (stop := next(named, None)) is None:
                return ()
            sizes.append(stop - start)
            start = stop
        return tuple(sizes)

    def _name_of(self, start: int, stop: int) -> str:
        """Return the name of the group of the categories from one index to another."""
        first, last, others = self.categories[start], self.categories[stop - 1], stop - start - 1
        if not others:
            return first
        return f"{first} and {others} more" if self.is_text else f"[{first},{last}]"

    @classmethod
    def most_frequent(
        cls,
        name: str,
        counts: Mapping[str, int],
        rows: int,
        number: int,
        *,
        least: int = 1,
        names_all: bool = False,
        are_texts: bool = False,
        **others: Any,
    ) -> Discrete:
        """Build a distribution of the *number* most frequent categories, ties in the order given; the rest is rare.

        Args:
            name: The feature's or output's name.
            counts: Rows by value, ascending: texts, or canonical texts of numbers (of the seconds of moments). If not
                all values are known, at least the most frequent.
            rows: Number of rows of all values.
            number: Most categories to keep.
            least: Least number of rows for a category to be named, unless all are booleans.
            names_all: Whether *least* does not apply to at most *number* categories.
            are_texts: Whether texts that are all true or false stay texts.
            **others: Fields ``missing``, ``invalid``, ``width`` and ``is_time``.
        """
        counts = counts if are_texts else _booleans(counts, rows)
        named = sorted(counts, key=lambda value: -counts[value])[:number]
        is_whole = sum(counts[value] for value in named) == rows
        if not (is_whole and (names_all or _BOOLEANS.issuperset(named))):
            # Such a text counts as missing live, unless it is a category.
            gone = sum(counts[value] for value in named if counts[value] < least and is_missing_text(value))
            others["missing"], rows = others.get("missing", 0) + gone, rows - gone
            named = [value for value in named if counts[value] >= least]

        is_numeric = bool(counts) and all(map(is_canonical_number, counts))
        labels = named if is_numeric else category_labels(named)
        if others.get("is_time"):
            labels = [time_text(float(value)) for value in named]
        labelled = {label: counts[value] for label, value in zip(labels, named, strict=True)}
        return cls.grouped(name, labelled, rare=rows - sum(labelled.values()), **others)

    @property
    def rows(self) -> int:
        """All rows, missing and invalid ones included."""
        return sum(self.cells)

    @property
    def cells(self) -> tuple[int, ...]:
        """The counts, in the order in which live counts stand in memory."""
        return (*self.counts, self.rare, self.unseen, self.missing, self.invalid)

    @cached_property
    def is_text(self) -> bool:
        """Whether values are texts, not numbers or moments; only labels of numbers read like numbers."""
        is_numeric = self.categories and all(map(is_canonical_number, self.categories))
        return not self.is_time and not is_numeric

    @cached_property
    def values(self) -> tuple[str | float, ...]:
        """The categories as values instead of labels: texts, numbers, or the seconds of moments."""
        if self.is_time:
            return tuple(map(seconds_of_label, self.categories))
        if self.is_text:
            return tuple(map(category_value, self.categories))
        return tuple(map(float, self.categories))

    @cached_property
    def groups(self) -> tuple[Span, ...]:
        """The groups, each a run of cells; together they hold every cell once."""
        rare = len(self.categories)
        ends = list(accumulate(self.group_sizes or (1,) * min(rare, CATEGORY_GROUPS), initial=0))
        return (
            *(Span(self._name_of(start, stop), start, stop) for start, stop in pairwise(ends)),
            Span(RARE, ends[-1], rare + 1),
            Span(UNSEEN, rare + 1, rare + 2),
            Span(MISSING, rare + 2, rare + 3),
            Span(INVALID, rare + 3, rare + 4),
        )

    @property
    def shape(self) -> tuple[object, ...]:
        """The parts that must be equal for two distributions to be added or compared."""
        groups = () if self.group_sizes else frozenset(self.categories[:CATEGORY_GROUPS])
        return (
            self.kind,
            self.name,
            frozenset(self.categories),
            groups,
            self.width,
            self.is_time,
            self.missing_texts,
        )


Distribution: TypeAlias = Continuous | Discrete

_BOOLEANS = frozenset(map(canonical_number, BOOLEAN_TEXTS.values()))


def _booleans(counts: Mapping[str, int], rows: int) -> Mapping[str, int]:
    """Return texts that are all true or false as the numbers of booleans; others unchanged."""
    numbers = {text: BOOLEAN_TEXTS.get(text.strip().lower()) for text in counts}
    if None in numbers.values() or not counts or sum(counts.values()) < rows:
        return counts
    in_order = sorted(numbers.items(), key=lambda item: item[1] or 0)
    return added((canonical_number(number or 0.0), counts[text]) for text, number in in_order)


def added(counts: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Add up the counts of equal labels."""
    sums: dict[str, int] = {}
    for label, count in counts:
        sums[label] = sums.get(label, 0) + count
    return sums


def interval_of_times(lower: float, upper: float) -> str:
    """Name the group of moments in ``(lower, upper]``."""
    return f"({time_text(lower)},{time_text(upper)}]"


def category_labels(values: Sequence[str]) -> list[str]:
    """Return the labels of textual categories.

    If all of them read like numbers (``"1.5"``, as versions do), they are put in double quotes. Otherwise the file
    would look like a numeric variable's.
    """
    labels = [category_text(short_text(value)) for value in values]
    if labels and all(map(is_canonical_number, labels)):
        return [f'"{label}"' for label in labels]
    return labels


def group_counts(variable: Distribution, cells: Sequence[int]) -> list[int]:
    """Return the counts of a variable's groups, given the counts of its cells."""
    return [sum(cells[group.start : group.stop]) for group in variable.groups]
