"""Segments: the rows of training in the groups of all variables, apart for each value of one variable.

All rows together may look as in training while the rows of one country have moved. So the rows of each segment are
counted apart, and compared with the same segment in training: a segment that always differed has not moved. At most ten
values have a segment each, and all other rows share one more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask_boxkite.baseline.distribution import Discrete, Distribution
from flask_boxkite.baseline.variables import Side, Variable
from flask_boxkite.errors import BaselineError
from flask_boxkite.naming import ABOVE, BELOW, INVALID, MISSING, RARE, UNSEEN

__all__ = ["MOST_SEGMENTS", "Segmentation", "possible_segments", "segment_of_cells"]

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
