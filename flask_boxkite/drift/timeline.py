"""Timelines: counts from each of several moments until now, the stretches of time in which drift is sought.

A change that began five minutes ago is plain in the rows of those five minutes and drowns in the rows of a day. Its
beginning is unknown, so every stretch that ends now is compared with training, from a few seconds to all time.
Stretches begin with slots: every 10 seconds of the last five minutes, every minute of the last hour, every quarter of
an hour of the last day, and the start. Slots follow the wall clock, so that records are cut at the same moments as
live counts. A longer reach has all stretches of a shorter one, so it can only see more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flask_boxkite.values.times import DAY

__all__ = ["DAY", "HOUR", "MINUTE", "QUARTER", "REACHES", "RowCounts", "Timeline", "begins_stretch"]

MINUTE, QUARTER, HOUR = 60.0, 900.0, 3600.0
"""Seconds."""

REACHES = ((300.0, 10.0), (HOUR, MINUTE), (DAY, QUARTER))
"""Pairs of a reach and the length of its slots, in seconds."""

Counts = NDArray[np.int64]


class RowCounts(NamedTuple):
    """Counts of whole rows, which tell whether the rows of each stretch are independent of each other.

    Attributes:
        buckets: Rows per bucket of their hash, shape (stretches, ROW_BUCKETS).
        squares: Sum of the squares of the requests' numbers of rows, shape (stretches,).
    """

    buckets: Counts
    squares: Counts


@dataclass(frozen=True)
class Timeline:
    """Counts by stretch; each stretch ends now and holds all later ones.

    Attributes:
        starts: Beginning of each stretch, in Unix seconds, ascending, shape (stretches,); ``-inf`` for the start of
            counting.
        groups: Rows per group of all variables, one variable after the other, shape (stretches, groups).
        rows: Counts of whole rows; None for a sample of independent rows, such as a data set.
        now: End of all stretches, in Unix seconds.
        pairs: Rows by the parts of both variables of all pairs, one pair after the other, shape (stretches, counts);
            None if they are unknown.
    """

    starts: NDArray[np.float64]
    groups: Counts
    rows: RowCounts | None
    now: float
    pairs: Counts | None = None

    @classmethod
    def of_sample(cls, groups: ArrayLike) -> Timeline:
        """Return the timeline of one sample of independent rows.

        Args:
            groups: Rows per group, shape (groups,).
        """
        return cls(np.array([-math.inf]), np.asarray(groups, dtype=np.int64)[np.newaxis], None, math.inf)

    @classmethod
    def of_slots(
        cls,
        starts: ArrayLike,
        groups: ArrayLike,
        buckets: ArrayLike,
        squares: ArrayLike,
        now: float,
        pairs: ArrayLike | None = None,
    ) -> Timeline:
        """Add up slots, from the last to the first.

        Args:
            starts: Time of the first row of each slot, ascending; the first may be ``-inf``.
            groups: Rows per group in each slot, shape (slots, groups).
            buckets: Rows per bucket, shape (slots, ROW_BUCKETS).
            squares: Squared rows of requests, shape (slots,).
            now: End of the last slot.
            pairs: Rows by the parts of both variables of all pairs in each slot, shape (slots, counts).
        """
        times = np.asarray(starts, dtype=np.float64)
        begins = begins_stretch(times, now)
        tables = (np.asarray(table, dtype=np.int64) for table in (groups, buckets))
        summed = (np.cumsum(table[::-1], axis=0)[::-1][begins] for table in tables)
        return cls(
            times[begins],
            next(summed),
            RowCounts(next(summed), np.cumsum(np.asarray(squares, dtype=np.int64)[::-1])[::-1][begins]),
            now,
            None if pairs is None else np.cumsum(np.asarray(pairs, dtype=np.int64)[::-1], axis=0)[::-1][begins],
        )

    def of_pairs(self) -> Timeline:
        """Return the timeline of the pairs in place of the variables.

        Raises:
            ValueError: Their counts are unknown.
        """
        if self.pairs is None:
            msg = "The counts of the pairs are unknown."
            raise ValueError(msg)
        return replace(self, groups=self.pairs, pairs=None)

    def occupied(self) -> Timeline:
        """Return the stretches in which something was counted before the next one begins.

        Stretches of all rows begin with slots in which any row came. A segment's rows come in some of these slots; its
        neighbouring slots are the ones that have rows of it, as if no other rows had come.
        """
        if self.rows is None:
            return self
        counts = np.column_stack([self.groups, self.rows.squares])
        has = np.diff(counts, axis=0, append=0).any(axis=1)
        rows = RowCounts(*(table[has] for table in self.rows))
        pairs = None if self.pairs is None else self.pairs[has]
        return replace(self, starts=self.starts[has], groups=self.groups[has], rows=rows, pairs=pairs)

    def __len__(self) -> int:
        return len(self.starts)

    def first_within(self, seconds: float | None) -> int:
        """Return the index of the longest stretch that begins at most so many seconds ago; None stands for all time.

        If there is no such stretch, return the number of stretches.
        """
        return 0 if seconds is None else int(np.searchsorted(self.starts, self.now - seconds, side="left"))

    @property
    def is_long(self) -> NDArray[np.bool_]:
        """Whether each stretch is longer than an hour; False for a sample."""
        if self.rows is None:
            return np.zeros(len(self), dtype=bool)
        return self.starts < self.now - HOUR

    @cached_property
    def minutes(self) -> NDArray[np.intp]:
        """The stretches of the last hour that begin with a minute."""
        return self._beginning(MINUTE, HOUR)

    @cached_property
    def quarters(self) -> NDArray[np.intp]:
        """The stretches of the last day that begin with a quarter of an hour."""
        return self._beginning(QUARTER, DAY)

    @cached_property
    def finest(self) -> NDArray[np.intp]:
        """The stretches of the last five minutes that begin with ten seconds."""
        (reach, slot), *_ = REACHES
        return self._beginning(slot, reach)

    def _beginning(self, slot: float, reach: float) -> NDArray[np.intp]:
        is_first = is_first_of(self.starts, slot) & (self.starts >= self.now - reach)
        return np.flatnonzero(is_first)

    def marks_of(self, stretch: int) -> NDArray[np.intp]:
        """Return the stretches that begin with minutes; with quarters if the stretch is longer than an hour."""
        return self.minutes if self.starts[stretch] >= self.now - HOUR else self.quarters

    def slots_of(self, stretch: int, *, finest: bool = False) -> NDArray[np.intp]:
        """Return the stretches that begin with the slots of a stretch: the stretch itself, and its later slots.

        Slots are minutes, or quarters of an hour where the stretch is longer than an hour.

        Args:
            stretch: Index of the stretch.
            finest: Whether slots are ten seconds where the stretch lies in the last five minutes.
        """
        marks = self.finest if finest and self.starts[stretch] >= self.now - REACHES[0][0] else self.marks_of(stretch)
        return np.append(stretch, marks[marks > stretch])


def is_first_of(times: NDArray[np.float64], slot: float) -> NDArray[np.bool_]:
    """Return whether each of ascending times is the first in its slot of so many seconds."""
    numbers = np.floor(times / slot)
    return np.not_equal(np.diff(numbers, prepend=np.nan), 0)


def begins_stretch(times: NDArray[np.float64], now: float) -> NDArray[np.bool_]:
    """Return whether a stretch begins at each of ascending times: at the first, and with the slots of `REACHES`.

    Args:
        times: Time of the first row of each of the finest slots.
        now: End of the last slot.
    """
    is_start = np.zeros(len(times), dtype=bool)
    is_start[:1] = True
    for reach, slot in REACHES:
        is_start |= is_first_of(times, slot) & (times >= now - reach)
    return is_start
