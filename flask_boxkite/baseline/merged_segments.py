"""The segments of a sum of two baselines: rows of both by segment and group, as far as groups of both lie in one.

Rows of a segment are counted by group alone, and groups follow from the rows of each baseline. So the sum gets groups
that end where groups of both end, and a variable without such groups has no rows by segment.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.contents import BaselineContents
from flask_boxkite.baseline.distribution import Continuous, Discrete, Distribution
from flask_boxkite.baseline.merging import merge
from flask_boxkite.baseline.segmentation import MOST_SEGMENTS, Segmentation, possible_segments, segment_of_cells

__all__ = ["added_segments", "merge_for_segments"]

logger = logging.getLogger("flask_boxkite")

_NOWHERE = -1
_TOGETHER = "Count the rows of both in one baseline, as Baseline.from_chunks() does."


def merge_for_segments(left: Distribution, right: Distribution) -> Distribution:
    """Add the counts of two distributions, in groups that end where groups of both end, if these are fine enough.

    Args:
        left: Distribution.
        right: Distribution.

    Raises:
        BinMismatchError: Names, kinds, bins or categories differ.
    """
    merged = merge(left, right)
    if isinstance(left, Continuous) and isinstance(right, Continuous) and isinstance(merged, Continuous):
        first, last = (
            min(left.group_bounds[0], right.group_bounds[0]),
            max(left.group_bounds[-1], right.group_bounds[-1]),
        )
        inner = {bound for bound in left.group_bounds if bound in right.group_bounds and first < bound < last}
        bounds = (first, *sorted(inner), last)
        return replace(merged, group_bounds=bounds) if 2 * len(bounds) > len(merged.group_bounds) else merged
    if isinstance(left, Discrete) and isinstance(right, Discrete) and isinstance(merged, Discrete):
        return _in_common_runs(merged, left, right)
    return merged


def _in_common_runs(merged: Discrete, left: Discrete, right: Discrete) -> Discrete:
    """Return a sum of categories that ascend, in groups that end where groups of both end."""
    if merged.is_text or not (merged.group_sizes and left.group_sizes and right.group_sizes):
        return merged
    ends = sorted({*accumulate(left.group_sizes)} & {*accumulate(right.group_sizes)})
    sizes = tuple(stop - start for start, stop in pairwise([0, *ends]))
    joined = replace(merged, group_sizes=sizes)
    is_plain = joined.sizes_named([group.name for group in joined.groups[: len(sizes)]]) == sizes
    return joined if is_plain and 2 * len(sizes) >= len(merged.group_sizes) else merged


def added_segments(
    merged: BaselineContents, left: BaselineContents, right: BaselineContents
) -> tuple[Segmentation, ...]:
    """Return the segments that both baselines have, added up; a warning names all that are left out.

    Args:
        merged: Sum of both, without segments.
        left: Baseline.
        right: Baseline with equal variables.
    """
    names = [item.name for item in merged.distributions]
    mine, theirs = ({item.variable: item for item in side.segmentations} for side in (left, right))
    if alone := [names[place] for place in sorted(mine.keys() ^ theirs.keys())]:
        text = "The sum of two baselines has no segments by %s, which one of them lacks. Make both with segments=%r."
        logger.warning(text, ", ".join(map(repr, alone)), alone)
    wanted = sorted(mine.keys() & theirs.keys())
    if not wanted:
        return ()

    groups = _Groups.of(merged, left, right)
    found = [_added(merged, (left, right), (mine[place], theirs[place]), groups) for place in wanted]
    if lost := [names[place] for place, item in zip(wanted, found, strict=True) if item is None]:
        text = "The sum of two baselines has no segments by %s, since groups differ in both. %s"
        logger.warning(text, ", ".join(map(repr, lost)), _TOGETHER)
    kept = tuple(item for item in found if item is not None)
    if uncounted := [names[place] for place in groups.lost if any(item.variable != place for item in kept)]:
        text = "The sum of two baselines has no rows by segment of %s, since groups differ in both. %s"
        logger.warning(text, ", ".join(map(repr, uncounted)), _TOGETHER)
    return kept


class _Groups(NamedTuple):
    """The groups of two baselines in their sum.

    Attributes:
        places: Places of the groups of each baseline among the groups of the sum, or `_NOWHERE`.
        number: Number of groups of the sum.
        lost: Places of variables of which a group lies in several ones of the sum.
    """

    places: tuple[list[int], list[int]]
    number: int
    lost: list[int]

    @classmethod
    def of(cls, merged: BaselineContents, left: BaselineContents, right: BaselineContents) -> _Groups:
        """Find the groups of the sum."""
        places: tuple[list[int], list[int]] = [], []
        start, lost = 0, []
        variables = zip(merged.distributions, left.distributions, right.distributions, strict=True)
        for place, (item, *sides) in enumerate(variables):
            found = [_places_of_groups(item, side) for side in sides]
            if None in found:
                lost.append(place)
            for own, side, known in zip(places, sides, found, strict=True):
                is_known = known is not None and None not in found
                own += [start + group for group in known or ()] if is_known else [_NOWHERE] * len(side.groups)
            start += len(item.groups)
        return cls(places, start, lost)


def _places_of_groups(merged: Distribution, side: Distribution) -> list[int] | None:
    """Return the group of the sum that holds the rows of each group; None if several hold the rows of one."""
    of_cells = [place for place, group in enumerate(merged.groups) for _ in range(group.start, group.stop)]
    cells = _places_of_cells(merged, side)
    places: list[int] = []
    for group in side.groups:
        own = range(group.start, group.stop)
        filled = [cell for cell in own if side.cells[cell]] or own[:1]
        found = {of_cells[cells[cell]] for cell in filled}
        if len(found) > 1:
            return None
        places += found
    return places


def _places_of_cells(merged: Distribution, side: Distribution) -> list[int]:
    """Return the cell of the sum for each cell: samples may have categories in another order."""
    cells = list(range(len(side.cells)))
    if isinstance(merged, Discrete) and isinstance(side, Discrete):
        known = {label: cell for cell, label in enumerate(merged.categories)}
        cells[: len(side.categories)] = [known[label] for label in side.categories]
    return cells


def _added(
    merged: BaselineContents,
    sides: tuple[BaselineContents, BaselineContents],
    items: tuple[Segmentation, Segmentation],
    groups: _Groups,
) -> Segmentation | None:
    """Add the segments by one variable; None if there are none of both."""
    variable = items[0].variable
    whole = merged.distributions[variable]
    own = [side.distributions[variable] for side in sides]
    segments = _common_segments(whole, own, items)
    if not segments:
        return None

    counts: NDArray[np.int64] = np.zeros((len(segments) + 1, groups.number + 1), dtype=np.int64)  # the last: nowhere
    chances: list[list[float | None]] = [[] for _ in counts]
    moved = 0
    for side, item, places in zip(own, items, groups.places, strict=True):
        targets = _places_of_segments(whole, side, item, segments)
        moved += sum(place == len(segments) and any(item.counts[number]) for number, place in enumerate(targets))
        for number, target in enumerate([*targets, len(segments)]):
            np.add.at(counts[target], places, item.counts[number])
            chances[target].append(item.collisions[number])
    if moved:
        text = "The sum of two baselines counts %d of their segments by %r among all others, as they differ in both. %s"
        logger.warning(text, moved, whole.name, _TOGETHER)
    collisions = tuple(None if None in each else max(filter(None, each), default=0.0) for each in chances)
    return Segmentation(variable, segments, tuple(map(tuple, counts[:, :-1].tolist())), collisions)


def _common_segments(
    whole: Distribution, sides: Sequence[Distribution], items: Sequence[Segmentation]
) -> tuple[str, ...]:
    """Return the segments of the sum that hold whole segments of both, the most frequent categories first."""
    possible = possible_segments(whole)
    categories = whole.categories if isinstance(whole, Discrete) and (whole.is_text or not whole.group_sizes) else ()
    both = set(items[0].segments).intersection(items[1].segments, categories)
    candidates = (*possible, *sorted(both.difference(possible)))
    unfit = {place for side, item in zip(sides, items, strict=True) for place in _unfit(whole, side, item, candidates)}
    return tuple(name for place, name in enumerate(candidates) if place not in unfit)[:MOST_SEGMENTS]


def _unfit(whole: Distribution, side: Distribution, item: Segmentation, candidates: Sequence[str]) -> Iterator[int]:
    """Yield the numbers of candidates that hold rows which share a segment with other rows, or have none."""
    pairs = set(_segments_of_cells(whole, side, item, candidates))
    for own, place in pairs:
        is_shared = any(other == own and elsewhere != place for other, elsewhere in pairs)
        if own == len(item.segments) or is_shared:
            yield place


def _places_of_segments(
    whole: Distribution, side: Distribution, item: Segmentation, segments: Sequence[str]
) -> list[int]:
    """Return the number of the segment of the sum that holds each segment; the number of segments for all others."""
    found = dict(_segments_of_cells(whole, side, item, segments))
    known = {name: place for place, name in enumerate(segments)}
    return [found.get(own, known.get(name, len(segments))) for own, name in enumerate(item.segments)]


def _segments_of_cells(
    whole: Distribution, side: Distribution, item: Segmentation, segments: Sequence[str]
) -> Iterator[tuple[int, int]]:
    """Yield the number of the segment of a baseline, and of the sum, of each cell that has rows."""
    own, wanted = segment_of_cells(side, item.segments), segment_of_cells(whole, segments)
    for cell, place in enumerate(_places_of_cells(whole, side)):
        if side.cells[cell]:
            yield own[cell], wanted[place]
