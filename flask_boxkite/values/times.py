"""The meaning of a date or a moment, from any client: seconds since 1970 in UTC.

One moment is one value in every type of Python, NumPy and pandas, and in every spelling of ISO 8601 that is in use, as
``2024-01-31``, ``2024-01-31T12:00:00Z`` or ``2024-01-31 14:00:00.000+02:00``. A date is its midnight. A time without a
zone is in UTC, even if the process is in another zone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import date, datetime, timedelta, timezone
from typing import Any

import numpy as np

from flask_boxkite.values.conversion import InvalidValue, is_missing_text, is_null, to_text
from flask_boxkite.values.objects import array_of

__all__ = [
    "DAY",
    "FIRST",
    "LAST",
    "TIME",
    "is_time_text",
    "nearest_microsecond",
    "seconds_of_label",
    "start_of_day",
    "time_text",
    "to_seconds",
    "whole_microseconds",
]

DAY = 86400.0
"""Seconds."""

FIRST, LAST = -62_135_596_800.0, 253_402_300_799.0
"""First and last second that `time_text` writes as a date, in the years 1 to 9999."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_NAIVE_EPOCH = _EPOCH.replace(tzinfo=None)
_MICROSECOND = timedelta(microseconds=1)

_ISO_8601 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?(?: ?(?:[Zz]|UTC|([+-])(\d\d):?(\d\d)?))?)?",
    re.ASCII,
)

_FOURTH = "(?:0[48]|[2468][048]|[13579][26])"  # years of leap years, and centuries
_YEAR = "(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"
_MONTH_AND_DAY = (
    "(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    "|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
_DATE = f"(?:{_YEAR}-{_MONTH_AND_DAY}|(?:[0-9]{{2}}{_FOURTH}|{_FOURTH}00)-02-29)"
_HOUR = "(?:[01][0-9]|2[0-3])"
_CLOCK = f"{_HOUR}:[0-5][0-9](?::[0-5][0-9](?:[.,][0-9]{{1,9}})?)?"
_ZONE = f" ?(?:[Zz]|UTC|[+-]{_HOUR}(?::?[0-5][0-9])?)"
TIME = rf"^\s*{_DATE}(?:[Tt ]{_CLOCK}(?:{_ZONE})?)?\s*$"
"""Pattern, for Python, Rust, RE2 and Java alike, of the texts that `to_seconds` reads."""

_is_time = re.compile(TIME).match


def to_seconds(value: Any) -> float:
    """Return a moment as seconds since 1970-01-01T00:00:00Z, to the microsecond; NaN where it is missing.

    Raises:
        InvalidValue: The value is neither a date nor the text of one. A number is refused too: seconds or milliseconds?
    """
    if isinstance(value, str):
        return _seconds_of_text(value)
    if value is None or is_null(value):
        return math.nan
    if isinstance(value, datetime):  # pandas' too
        return _seconds_of(value)
    if isinstance(value, date):
        return (value.toordinal() - _EPOCH.toordinal()) * DAY
    if isinstance(value, np.datetime64):
        return int(value.astype("datetime64[us]").astype(np.int64)) / 1_000_000
    if (array := array_of(value)) is not None and array.ndim == 0 and array.dtype.kind == "M":
        return to_seconds(array[()])

    # Bytes, pandas' periods of a day and the like, which training reads as texts.
    return math.nan if (text := to_text(value)) is None else _seconds_of_text(text)


def is_time_text(text: str) -> bool:
    """Say whether a text is a date, or a date and a time."""
    return _is_time(text) is not None


def start_of_day(name: str) -> float | None:
    """Return the first second of a day, written as ``YYYY-MM-DD``, since 1970; None if the text is not a day."""
    return to_seconds(name) if len(name) == len("YYYY-MM-DD") and is_time_text(name) else None


def time_text(seconds: float) -> str:
    """Write a moment in the one form that labels use.

    >>> time_text(1706659200), time_text(1706702400), time_text(1706702400.25)
    ('2024-01-31', '2024-01-31T12:00:00Z', '2024-01-31T12:00:00.250000Z')
    """
    try:
        moment = _EPOCH + nearest_microsecond(seconds) * _MICROSECOND
    except (OverflowError, ValueError):  # beyond the years 1 to 9999, or infinite
        return repr(float(seconds))
    text = moment.replace(tzinfo=None).isoformat()
    return text[:10] if text.endswith("T00:00:00") else f"{text}Z"


def seconds_of_label(label: str) -> float:
    """Read a text that `time_text` wrote.

    Raises:
        ValueError: The text has another form.
    """
    return to_seconds(label) if is_time_text(label) else float(label)


def whole_microseconds(bounds: Iterable[float]) -> tuple[float, ...]:
    """Round ascending bounds of bins down to whole microseconds, so that they can be written as moments."""
    rounded = set()
    for bound in bounds:
        microseconds = nearest_microsecond(bound) if math.isfinite(bound) else bound
        rounded.add(microseconds / 1_000_000 if microseconds / 1_000_000 <= bound else (microseconds - 1) / 1_000_000)
    return tuple(sorted(rounded))


def nearest_microsecond(seconds: float) -> int:
    """Return the nearest whole microsecond to a number of seconds."""
    whole = math.floor(seconds)  # the product of all seconds would be rounded too
    return whole * 1_000_000 + round((seconds - whole) * 1e6)


def _seconds_of_text(text: str) -> float:
    match = _ISO_8601.fullmatch(text.strip())
    if match is None:
        if is_missing_text(text):
            return math.nan
        raise InvalidValue(text)
    year, month, day, hour, minute, second, fraction, sign, hours, minutes = match.groups()

    try:
        moment = datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0))
    except ValueError as error:  # the 30th of February, the 25th hour
        raise InvalidValue(text) from error
    microseconds = (moment - _NAIVE_EPOCH) // _MICROSECOND + int((fraction or "")[:6].ljust(6, "0"))
    if sign is None:
        return microseconds / 1_000_000
    hours_ahead, minutes_ahead = int(hours), int(minutes or 0)
    if hours_ahead > 23 or minutes_ahead > 59:
        raise InvalidValue(text)
    ahead = (hours_ahead * 60 + minutes_ahead) * 60_000_000
    return (microseconds - ahead if sign == "+" else microseconds + ahead) / 1_000_000


def _seconds_of(moment: datetime) -> float:
    aware = moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment
    return (aware - _EPOCH) // _MICROSECOND / 1_000_000
