"""Timelines of days: stretches that begin with the days of a window, for the same verdicts as of minutes and hours.

The parts by which dispersion is measured are days: rows of one day are alike in ways in which rows of another are not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.drift.timeline import RowCounts, Timeline
from flask_boxkite.history.past import Past
from flask_boxkite.live.history_file import HOURS_A_DAY, MOST_HOURS, Numbers
from flask_boxkite.live.history_keeper import HOUR_SECONDS, hour_of
from flask_boxkite.values.rowhash import ROW_BUCKETS
from flask_boxkite.values.times import DAY

__all__ = ["DayTimeline", "Part", "parts_of_window", "timeline_of"]


class Part(NamedTuple):
    """The rows of one day, or of the hours of it that are within a window.

    Attributes:
        start: Beginning in Unix seconds.
        numbers: Totals, shape (width,).
    """

    start: float
    numbers: Numbers


class DayTimeline(Timeline):
    """A timeline whose slots are days, in UTC."""

    slot = "day"

    @cached_property
    def minutes(self) -> NDArray[np.intp]:
        """All stretches: each begins with a day."""
        return np.arange(len(self))

    @cached_property
    def quarters(self) -> NDArray[np.intp]:
        """All stretches."""
        return self.minutes

    @cached_property
    def finest(self) -> NDArray[np.intp]:
        """None: nothing is known about shorter slots."""
        return self.minutes[:0]

    @property
    def is_long(self) -> NDArray[np.bool_]:
        """True: all stretches may hold different hours of the day."""
        return np.ones(len(self), dtype=bool)

    def marks_of(self, stretch: int) -> NDArray[np.intp]:
        """Return all stretches."""
        return self.minutes


def parts_of_window(past: Past, days: int, now: float) -> list[Part]:
    """Return the rows of the last *days* days, oldest first; the first part begins with an hour if hours are known.

    Days without rows are left out, and so are days later than *now*, to which a clock may have been set.

    Args:
        past: Totals by day and hour.
        days: Number of days, of 24 hours each.
        now: End of the window, in Unix seconds.
    """
    first = hour_of(now) - days * HOURS_A_DAY + 1
    return list(_parts(past, first, now))


def _parts(past: Past, first: int, now: float) -> Iterator[Part]:
    today = math.floor(now / DAY)
    for day, numbers in past.days.items():
        begins = day * HOURS_A_DAY
        if first <= begins and day <= today:
            if numbers.any():
                yield Part(day * DAY, numbers)
        elif begins < first < begins + HOURS_A_DAY and hour_of(now) - first < MOST_HOURS and past.has_all_hours_of(day):
            hours = list(past.hours(first, begins + HOURS_A_DAY - 1))
            if hours:
                total: Numbers = np.sum([rows for _, rows in hours], axis=0)
                yield Part(hours[0][0] * HOUR_SECONDS, total)


def timeline_of(parts: list[Part], groups: int, now: float) -> DayTimeline:
    """Return the counts from each part on.

    Args:
        parts: Rows by day, as of `parts_of_window`.
        groups: Number of groups of all variables, the first of the numbers.
        now: End of the last part.
    """
    if not parts:
        empty = np.zeros((0, groups), np.int64)
        rows = RowCounts(np.zeros((0, ROW_BUCKETS), np.int64), np.zeros(0, np.int64))
        return DayTimeline(np.zeros(0), empty, rows, now)
    summed = np.cumsum([part.numbers for part in reversed(parts)], axis=0)[::-1]
    squares = groups + ROW_BUCKETS
    rows = RowCounts(summed[:, groups:squares], summed[:, squares])
    return DayTimeline(np.array([part.start for part in parts]), summed[:, :groups], rows, now)
