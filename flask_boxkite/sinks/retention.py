"""The days of records that are past their lifetime, judged by later records instead of the clock.

A clock may be a year ahead for a minute, and a file that is deleted then is gone. So a day is deleted once records
were made on three days after its lifetime: a clock must be wrong on three days before it costs a file.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from time import gmtime, strftime

from flask_boxkite.values.times import DAY, to_seconds

__all__ = ["WITNESSES", "Due", "day_of", "due"]

WITNESSES = 3
"""Number of days with records that must confirm a day's age."""


@dataclass(frozen=True)
class Due:
    """Days of records to be deleted, now or once other records confirm their age.

    Attributes:
        days: Days past their lifetime, as ``YYYY-MM-DD``.
        held_back: Days that are long past their lifetime by the clock, but not by other records.
    """

    days: list[str]
    held_back: list[str]


def due(days: Iterable[str], now: float, lifetime_seconds: float) -> Due:
    """Return the days that are to be deleted.

    Args:
        days: Days with records, as ``YYYY-MM-DD``.
        now: Unix time by the clock. Records of later days prove nothing: the clock was ahead when they were made.
        lifetime_seconds: Age at which records are deleted.
    """
    known = sorted(day for day in days if day <= day_of(now))
    by_clock = _past(known, now - lifetime_seconds - WITNESSES * DAY)
    by_records = _past(known, to_seconds(known[-WITNESSES]) - lifetime_seconds) if len(known) >= WITNESSES else []
    return Due(by_records, by_clock[len(by_records) :])


def _past(known: list[str], oldest_second: float) -> list[str]:
    if oldest_second < 0:
        return []
    oldest = day_of(oldest_second)
    return [day for day in known if day < oldest]


def day_of(seconds: float) -> str:
    """Return the day of a Unix time in UTC, as ``YYYY-MM-DD``."""
    return strftime("%Y-%m-%d", gmtime(seconds))
