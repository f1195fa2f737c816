"""Segments: the rows of training in the groups of all variables, apart for each value of one variable.

All rows together may look as in training while the rows of one country have moved. So the rows of each segment are
counted apart, and compared with the same segment in training: a segment that always differed has not moved. At most ten
values have a segment each, and all other rows share one more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from flask_boxkite.baseline.distribution import Continuous, Discrete, Distribution
from flask_boxkite.baseline.variables import Side, Variable
from flask_boxkite.errors import BaselineError
from flask_boxkite.naming import ABOVE, BELOW, INVALID, MISSING, RARE, UNSEEN

if TYPE_CHECKING:
    from flask_boxkite.baseline.contents import BaselineContents

__all__ = ["MOST_SEGMENTS", "Segmentation", "possible_segments", "segment_of_cells", "with_group_counts"]

MOST_SEGMENTS = 10
"""Most values with a segment each."""

_OTHERS = frozenset({BELOW, ABOVE, RARE, UNSEEN, MISSING, INVALID})


@dataclass(frozen=True)
class Segmentation:
    """The segments by one variable, and their rows of training.

    Attributes:
        variable: Position of the variable among all, features before outputs.
        segments: Values of the variable, or names of its groups, that have a segment each.
        counts: Rows of training by the groups of all variables, one variable after the other; a tuple for each segment,
            and the last one for all other rows. A variable whose rows are not known by segment has no rows.
        collisions: Probability that two rows of training are equal, for each of *counts*; None if it is unknown.
    """

    variable: int
    segments: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    collisions: tuple[float | None, ...]

    def __post_init__(self) -> None:
        number = len(self.segments) + 1
        if not 1 < number <= MOST_SEGMENTS + 1 or len(set(self.segments)) + 1 != number:
            msg = f"A variable has 1 to {MOST_SEGMENTS} different segments, got {self.segments!r}."
            raise BaselineError(msg)
        if len(self.counts) != number or len(self.collisions) != number or len(set(map(len, self.counts))) != 1:
            msg = f"{number} segments need as many counts and probabilities, got {self.counts!r}."
            raise BaselineError(msg)
        if any(count < 0 for own in self.counts for count in own):
            msg = f"Counts of segments must not be negative, got {self.counts!r}."
            raise BaselineError(msg)

    @property
    def names(self) -> tuple[str, ...]:
        """The segments, and `RARE` for all other rows."""
        return (*self.segments, RARE)

    @property
    def groups(self) -> int:
        """The number of groups of all variables."""
        return len(self.counts[0])

    def side_and_name(self, variables: Sequence[Variable]) -> tuple[Side, str]:
        """Return the side and the name of the variable."""
        return variables[self.variable].side, variables[self.variable].name

    def baselines(self, whole: BaselineContents) -> tuple[BaselineContents, ...]:
        """Return a baseline for each of *counts*, whose bins are the groups.

        Args:
            whole: Baseline that has this segmentation.
        """
        return tuple(
            replace(
                with_group_counts(whole, own),
                rows=_rows(whole, own),
                row_collisions=collisions,
                validation=None,
                pairs=(),
                segmentations=(),
            )
            for own, collisions in zip(self.counts, self.collisions, strict=True)
        )


def _rows(whole: BaselineContents, counts: Sequence[int]) -> int:
    """Return the rows of a segment: the most that any variable has."""
    ends = accumulate((len(item.groups) for item in whole.distributions), initial=0)
    return max(sum(counts[start:stop]) for start, stop in pairwise(ends))


def possible_segments(item: Distribution) -> tuple[str, ...]:
    """Return the segments by a variable: groups of numbers and moments, or its most frequent categories.

    Args:
        item: Distribution in training.
    """
    if isinstance(item, Discrete) and (item.is_text or not item.group_sizes):
        order = sorted(range(len(item.categories)), key=lambda place: -item.counts[place])
        return tuple(item.categories[place] for place in order[:MOST_SEGMENTS])
    names = [group.name for group in item.groups if group.name not in _OTHERS]
    filled = {group.name for group in item.groups if sum(item.cells[group.start : group.stop])}
    return tuple(name for name in names if name in filled)[:MOST_SEGMENTS]


def segment_of_cells(item: Distribution, segments: Sequence[str]) -> bytes:
    """Return the number of the segment of each cell of a variable; the number of segments for all other rows.

    Args:
        item: Distribution of the variable.
        segments: Its segments.
    """
    places = {name: number for number, name in enumerate(segments)}
    others = len(segments)
    numbers = bytearray([others]) * len(item.cells)
    if isinstance(item, Discrete) and (item.is_text or not item.group_sizes):
        for cell, label in enumerate(item.categories):
            numbers[cell] = places.get(label, others)
        return bytes(numbers)
    for group in item.groups:
        if group.name not in _OTHERS:
            for cell in range(group.start, group.stop):
                numbers[cell] = places.get(group.name, others)
    return bytes(numbers)


def with_group_counts(baseline: BaselineContents, counts: Sequence[int]) -> BaselineContents:
    """Return a baseline with the same groups, whose bins are the groups, with other counts.

    Args:
        baseline: Baseline of the groups.
        counts: Rows by the groups of all variables, one variable after the other.
    """
    items: list[Distribution] = []
    start = 0
    for item in baseline.distributions:
        items.append(_with_groups(item, counts[start : start + len(item.groups)]))
        start += len(item.groups)
    features = len(baseline.features)
    return replace(baseline, features=tuple(items[:features]), outputs=tuple(items[features:]))


def _with_groups(item: Distribution, counts: Sequence[int]) -> Distribution:
    if isinstance(item, Continuous):
        *bins, missing, invalid = counts
        bounds = tuple(bound for bound in item.group_bounds if math.isfinite(bound))
        return replace(item, upper_bounds=bounds, counts=tuple(bins), missing=missing, invalid=invalid)
    *named, rare, unseen, missing, invalid = counts
    item = replace(item, rare=rare, unseen=unseen, missing=missing, invalid=invalid)
    if not item.group_sizes:
        return replace(item, categories=item.categories[: len(named)], counts=tuple(named))
    # A group of several categories has no name as one category: its first one takes all of its rows.
    own: list[int] = []
    for count, size in zip(named, item.group_sizes, strict=True):
        own += [count, *[0] * (size - 1)]
    return replace(item, counts=tuple(own))
