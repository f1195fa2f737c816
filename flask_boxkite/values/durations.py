"""The meaning of a duration, from any client: seconds, to the microsecond; smaller parts are cut off.

One duration is one value in every type of Python, NumPy, pandas and Arrow. Texts of ISO 8601 (``PT30S``, ``P1DT2H``,
``-PT0.5S``) and texts of pandas or DuckDB with days (``1 days 02:00:00``) are read too. Two kinds of text are not: a
clock alone, as ``02:00:00``, may be a time of day, and years or months have no fixed length. A month of an Arrow
interval, which DuckDB makes, has 30 days, as in DuckDB.
"""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np

__all__ = ["BELOW_MICROSECONDS", "DURATION", "is_interval", "seconds_of_duration", "seconds_of_duration_text"]

_SECOND = np.timedelta64(1, "s")
BELOW_MICROSECONDS = frozenset({"ns", "ps", "fs", "as"})
"""Units of NumPy that Python's types do not reach."""

_NUMBER = r"[+-]?[0-9]{1,12}(?:[.,][0-9]{1,9})?"
_DAYS = f"(?:{_NUMBER}W(?:{_NUMBER}D)?|{_NUMBER}D)"
_TIME = f"T(?:{_NUMBER}H(?:{_NUMBER}M)?(?:{_NUMBER}S)?|{_NUMBER}M(?:{_NUMBER}S)?|{_NUMBER}S)"
_CLOCK = r"[+-]?[0-9]{2}:[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?"
DURATION = rf"^\s*(?:[+-]?P(?:{_DAYS}(?:{_TIME})?|{_TIME})|-?[0-9]{{1,12}} days? {_CLOCK})\s*$"
"""Pattern, for Python, Rust, RE2 and Java alike, of the texts that `seconds_of_duration_text` reads."""

_is_duration = re.compile(DURATION).match
_parts = re.compile(rf"({_NUMBER})([WDHMS])").findall
_days_and_clock = re.compile(r"(-?[0-9]+) days? ([+-]?)([0-9]+):([0-9]+):([0-9.]+)").match
_UNITS = {"W": 604_800, "D": 86_400, "H": 3600, "M": 60, "S": 1}


def seconds_of_duration(value: Any) -> float:
    """Return a `timedelta`, a duration of NumPy or pandas, or an interval of Arrow in seconds.

    Raises:
        TypeError: The duration has no fixed length: NumPy's months and unitless durations.
    """
    if is_interval(value):
        days = value.months * 30 + value.days
        return _whole_microseconds(days * 86_400 + Decimal(value.nanoseconds) / 10**9)
    if isinstance(value, timedelta):
        if not getattr(value, "nanoseconds", 0):
            return value.total_seconds()
        value = value.to_timedelta64()  # type: ignore[attr-defined]  # pandas' own
    if np.datetime_data(value)[0] in BELOW_MICROSECONDS:
        size = abs(value).astype("timedelta64[us]")  # a negative duration would be rounded down
        value = -size if value < np.timedelta64(0) else size
    return float(value / _SECOND)


def is_interval(value: Any) -> bool:
    """Recognise an interval of Arrow, a named tuple, without importing pyarrow."""
    return type(value).__name__ == "MonthDayNano"


def seconds_of_duration_text(text: str) -> float | None:
    """Return the seconds of a text that matches `DURATION`; None if it does not."""
    if not _is_duration(text):
        return None
    if match := _days_and_clock(text.strip()):
        days, sign, hours, minutes, seconds = match.groups()
        clock = int(hours) * 3600 + int(minutes) * 60 + Decimal(seconds)
        return _whole_microseconds(int(days) * 86_400 + (-clock if sign == "-" else clock))
    size = sum(Decimal(number.replace(",", ".")) * _UNITS[unit] for number, unit in _parts(text))
    return _whole_microseconds(Decimal(-size if text.lstrip().startswith("-") else size))


def _whole_microseconds(seconds: Decimal) -> float:
    return int(seconds * 1_000_000) / 1e6
