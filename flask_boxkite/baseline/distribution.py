"""The distribution of one variable: counts in bins or categories, and the groups on which drift is judged.

A distribution is an immutable value: its bins are chosen once, and mean the same in training, in live counts and in the
file. Its counts stand in one row of *cells*, in such an order that every exported number (a bucket, a category or a
group) is the sum of neighbouring cells:

- continuous: one cell per bin ``(lower, upper]``, the last for values above all bounds; missing; invalid.
- discrete: one cell per category, most frequent first; rare; unseen; missing; invalid.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple, TypeAlias

from flask_boxkite.baseline.bounds import extremes_within
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
"""Number of the most frequent categories with a group of their own; all others share `RARE`."""


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
        categories: Labels (see `naming.category_text`), most frequent first, ties by label.
        counts: Rows per category.
        rare: Rows whose category was not kept. If there are any, serving counts values outside *categories* as `RARE`,
            because they may be among the categories that training dropped. Otherwise they are `UNSEEN`.
        unseen: Rows in categories that training never saw; 0 in a baseline.
        missing: Rows that were None or NaN.
        invalid: Rows of a type that cannot be a category.
        width: Bits of the floats in training, as in `Continuous`.
        is_time: Whether categories are dates or moments, in the form of `times.time_text`.
        missing_texts: Texts, in lower case, that stand for a missing value, as in `Continuous`.
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

    @classmethod
    def ordered(cls, name: str, counts: dict[str, int], **others: Any) -> Discrete:
        """Build a distribution from counts by label, with the categories in their fixed order."""
        labels = sorted(counts, key=lambda label: (-counts[label], label))
        return cls(name, tuple(labels), tuple(counts[label] for label in labels), **others)

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
        return cls.ordered(name, labelled, rare=rows - sum(labelled.values()), **others)

    @property
    def rows(self) -> int:
        """All rows, missing and invalid ones included."""
        return sum(self.cells)

    @property
    def cells(self) -> tuple[int, ...]:
        """The counts, in the order in which live counts stand in memory."""
        return (*self.counts, self.rare, self.unseen, self.missing, self.invalid)

    @property
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
        own = min(len(self.categories), CATEGORY_GROUPS)
        rare = len(self.categories)
        return (
            *(Span(label, index, index + 1) for index, label in enumerate(self.categories[:own])),
            Span(RARE, own, rare + 1),
            Span(UNSEEN, rare + 1, rare + 2),
            Span(MISSING, rare + 2, rare + 3),
            Span(INVALID, rare + 3, rare + 4),
        )

    @property
    def shape(self) -> tuple[object, ...]:
        """The parts that must be equal for two distributions to be added or compared."""
        categories = frozenset(self.categories), frozenset(self.categories[:CATEGORY_GROUPS])
        return (self.kind, self.name, *categories, self.width, self.is_time, self.missing_texts)


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
