"""Days and hours in ISO 8601, in UTC."""

from __future__ import annotations

import math
from datetime import date, timedelta

from flask_boxkite.values.times import DAY

__all__ = ["date_of", "day_of", "hour_text"]

_FIRST = date(1970, 1, 1)


def day_of(seconds: float) -> int:
    """Return the number of the day of a Unix time."""
    return math.floor(seconds / DAY)


def date_of(day: int) -> str:
    """Return the date of a day that is given by its number since 1970.

    >>> date_of(20_000)
    '2024-10-04'
    """
    return (_FIRST + timedelta(days=day)).isoformat()


def hour_text(hour: int) -> str:
    """Return the beginning of an hour that is given by its number since 1970.

    >>> hour_text(480_014)
    '2024-10-04T14:00Z'
    """
    day, of_day = divmod(hour, 24)
    return f"{date_of(day)}T{of_day:02d}:00Z"
