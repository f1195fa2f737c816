"""The period of time whose records are read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import TypeAlias

from flask_boxkite.errors import BoxkiteError

__all__ = ["Moment", "Period", "parse_moment"]

Moment: TypeAlias = "datetime | date | str | None"
"""A date or time, in UTC without a time zone, at midnight without a time of day; None for no bound."""


@dataclass(frozen=True)
class Period:
    """Times from *start* on and before *end*, in Unix seconds."""

    start: float = -math.inf
    end: float = math.inf

    @classmethod
    def of(cls, start: Moment, end: Moment) -> Period:
        """Read the bounds as users give them.

        Raises:
            BoxkiteError: A bound is not a time, or the end is not after the start.
        """
        period = cls(parse_moment("start", start, -math.inf), parse_moment("end", end, math.inf))
        if period.start >= period.end:
            msg = f"'end' must be after 'start', got {start!r} and {end!r}. The end itself is not part of the period."
            raise BoxkiteError(msg)
        return period

    def within(self, other: Period) -> Period:
        """Return the common part of both periods; this period if they have none."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return Period(start, end) if start < end else self

    def widened(self, slack_seconds: float) -> Period:
        """Return the times between which the minutes of files begin whose records may be of this period.

        Args:
            slack_seconds: Greatest distance of a record's time from its file's minute.
        """
        return Period(self.start - slack_seconds - 60.0, self.end + slack_seconds)

    def bounded_by(self, other: Period) -> Period:
        """Return this period, with the bounds of the other where it has none."""
        start = self.start if math.isfinite(self.start) else other.start
        return Period(start, self.end if math.isfinite(self.end) else other.end)

    def __str__(self) -> str:
        """Return the interval in ISO 8601, with ``..`` for no bound."""
        return f"{_iso(self.start)}/{_iso(self.end)}"


def parse_moment(name: str, value: Moment, default: float) -> float:
    """Return a time in Unix seconds; *default* for None.

    Raises:
        BoxkiteError: The value is not a time; the message names the parameter *name*.
    """
    if value is None:
        return default
    try:
        # Before 3.11, Python does not know the Z.
        moment = datetime.fromisoformat(value.strip().replace("Z", "+00:00")) if isinstance(value, str) else value
        if not isinstance(moment, datetime):
            moment = datetime(moment.year, moment.month, moment.day)
        return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
    except (AttributeError, ValueError) as error:
        msg = f"{name!r} must be a datetime or an ISO 8601 text such as '2026-01-31T08:00', got {value!r}."
        raise BoxkiteError(msg) from error


def _iso(seconds: float) -> str:
    try:
        # Not by fromtimestamp(), which refuses times before 1970 on Windows.
        moment = datetime(1970, 1, 1) + timedelta(seconds=seconds)
    except OverflowError:  # no bound, or one beyond the calendar, such as `datetime.max` when rounded
        return ".."
    return moment.isoformat(timespec="seconds") + "Z"
