"""The counts of one segment of records: in the cells of a baseline, and by slots of time."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline import Baseline, Continuous, Distribution
from flask_boxkite.baseline.pairs import Pair
from flask_boxkite.baseline.variables import SIDES
from flask_boxkite.drift.timeline import Timeline
from flask_boxkite.drift.uncounted import Uncounted

__all__ = ["SegmentCounts", "Slot", "first_times", "whole_of", "with_counts"]


@dataclass
class Slot:
    """The counts of one slot.

    Attributes:
        first: Time of its first row, in Unix seconds.
        groups: Rows per group, shape (groups,).
        buckets: Rows per bucket of their hash, shape (ROW_BUCKETS,).
        squares: Sum of the squares of the requests' numbers of rows, for rows that are in buckets.
        pairs: Rows by the parts of both variables of all pairs, shape (counts,); empty without pairs.
    """

    first: float
    groups: NDArray[np.int64]
    buckets: NDArray[np.int64]
    squares: int
    pairs: NDArray[np.int64]

    def plus(self, other: Slot) -> Slot:
        """Return the sum of both."""
        return Slot(
            min(self.first, other.first),
            self.groups + other.groups,
            self.buckets + other.buckets,
            self.squares + other.squares,
            self.pairs + other.pairs,
        )


@dataclass
class SegmentCounts:
    """The counts of one segment.

    Attributes:
        cells: Counts of features and outputs, in the baseline's order, shape (cells,).
        slots: Slots by their beginning.
        rows: Number of predicted rows.
        last: Time of the last row, in Unix seconds.
    """

    cells: NDArray[np.int64]
    slots: dict[float, Slot] = field(default_factory=dict)
    rows: int = 0
    last: float = -math.inf

    @classmethod
    def none(cls, cells: int) -> SegmentCounts:
        """Return counts of zero."""
        return cls(np.zeros(cells, dtype=np.int64))

    def add(self, other: SegmentCounts) -> None:
        """Add the counts of another segment."""
        self.cells = self.cells + other.cells
        self.rows += other.rows
        self.last = max(self.last, other.last)
        for begins, slot in other.slots.items():
            self.slots[begins] = self.slots[begins].plus(slot) if begins in self.slots else slot

    def uncounted(self, baseline: Baseline) -> Uncounted:
        """Return how many of the rows are not in the counts of features or outputs.

        Args:
            baseline: Baseline in whose cells they are counted.
        """
        return Uncounted.of(self.rows, ((item.side, int(self.cells[item.cells].sum())) for item in baseline.variables))

    def timeline(self, end: float) -> Timeline | None:
        """Return the counts by stretch of time; None if there are none.

        Args:
            end: End of the period, in Unix seconds; infinite for the time of the last row.
        """
        if not self.slots:
            return None
        times = sorted(self.slots)
        slots = [self.slots[time] for time in times]
        return Timeline.of_slots(
            [-math.inf if math.isinf(time) else slot.first for time, slot in zip(times, slots, strict=True)],
            [slot.groups for slot in slots],
            [slot.buckets for slot in slots],
            [slot.squares for slot in slots],
            end if math.isfinite(end) else self.last + 1.0,
            [slot.pairs for slot in slots] if len(slots[0].pairs) else None,
        )

    def timeline_among(self, firsts: Mapping[float, float], end: float) -> Timeline | None:
        """Return the same in the stretches that a server has, which begin with the first row of any segment.

        Args:
            firsts: Time of the first row in each slot, of all segments (`first_times`).
            end: End of the period, in Unix seconds.
        """
        if not self.slots:
            return None
        like = next(iter(self.slots.values()))
        none = Slot(math.inf, np.zeros_like(like.groups), np.zeros_like(like.buckets), 0, np.zeros_like(like.pairs))
        slots = {begins: replace(self.slots.get(begins, none), first=first) for begins, first in firsts.items()}
        found = replace(self, slots=slots).timeline(end)
        return None if found is None else found.occupied()

    @property
    def pairs(self) -> NDArray[np.int64]:
        """The rows by the parts of both variables of all pairs, shape (counts,)."""
        found: NDArray[np.int64] = np.sum([slot.pairs for slot in self.slots.values()], axis=0, dtype=np.int64)
        return found


def whole_of(counts: Collection[SegmentCounts], cells: int = 0) -> SegmentCounts:
    """Return the counts of segments together; of several, without slots.

    Args:
        counts: Counts of each segment.
        cells: Number of cells if there is none.
    """
    if len(counts) == 1:
        return next(iter(counts))
    whole = SegmentCounts.none(cells)
    for item in counts:
        whole.cells = item.cells + (whole.cells if whole.rows else 0)
        whole.rows += item.rows
        whole.last = max(whole.last, item.last)
    return whole


def first_times(counts: Iterable[SegmentCounts]) -> dict[float, float]:
    """Return the time of the first row in each slot, of all segments."""
    firsts: dict[float, float] = {}
    for item in counts:
        for begins, slot in item.slots.items():
            firsts[begins] = min(slot.first, firsts.get(begins, math.inf))
    return firsts


def with_counts(baseline: Baseline, counts: SegmentCounts) -> Baseline:
    """Return a baseline with the same bins and other counts."""
    features, outputs = (
        tuple(_with_cells(item.distribution, counts.cells[item.cells].tolist()) for item in baseline.on(side))
        for side in SIDES
    )
    pairs: tuple[Pair, ...] = ()
    if baseline.pairs and counts.slots and len(counts.pairs):  # segments count none
        tables = counts.pairs.reshape(len(baseline.pairs), -1).tolist()
        pairs = tuple(replace(pair, counts=tuple(own)) for pair, own in zip(baseline.pairs, tables, strict=True))
    return replace(baseline, features=features, outputs=outputs, rows=counts.rows, pairs=pairs)


def _with_cells(item: Distribution, cells: list[int]) -> Distribution:
    if isinstance(item, Continuous):
        *bins, missing, invalid = cells
        return replace(item, counts=tuple(bins), missing=missing, invalid=invalid)
    *categories, rare, unseen, missing, invalid = cells
    return replace(item, counts=tuple(categories), rare=rare, unseen=unseen, missing=missing, invalid=invalid)
