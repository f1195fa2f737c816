"""Windows of days, such as ``"30d"``, beside the windows of the last day."""

from __future__ import annotations

import re

from flask_boxkite.errors import ConfigError
from flask_boxkite.live.history_file import MOST_DAYS
from flask_boxkite.live.windows import WINDOWS
from flask_boxkite.values.times import DAY

__all__ = ["HISTORY_DAYS", "WINDOW_NAMES", "check_days", "days_of", "is_window", "seconds_of"]

HISTORY_DAYS = 35
"""Days of a history, unless another number is wanted."""

WINDOW_NAMES = f"{', '.join(map(repr, WINDOWS))} or days from '2d' to '{MOST_DAYS}d'"
"""Names of all windows, for messages."""

_DAYS = re.compile(r"([1-9][0-9]{0,2})d")


def days_of(window: object) -> int | None:
    """Return the number of days of a window that history holds; None for anything else.

    >>> days_of("30d"), days_of("1d"), days_of("401d"), days_of("1h")
    (30, None, None, None)
    """
    found = _DAYS.fullmatch(window) if isinstance(window, str) else None
    return int(found[1]) if found is not None and 2 <= int(found[1]) <= MOST_DAYS else None


def is_window(window: object) -> bool:
    """Say whether there is a window of that name."""
    return isinstance(window, str) and (window in WINDOWS or days_of(window) is not None)


def seconds_of(window: str) -> float:
    """Return the length of a window.

    Raises:
        KeyError: There is no window of that name.
    """
    days = days_of(window)
    return WINDOWS[window] if days is None else days * DAY


def check_days(days: int) -> None:
    """Refuse a number of days that no history has.

    Raises:
        ConfigError: It is not a whole number from 1 to `MOST_DAYS`.
    """
    if type(days) is not int or not 1 <= days <= MOST_DAYS:
        msg = f"'days' must be a whole number from 1 to {MOST_DAYS}, got {days!r}."
        raise ConfigError(msg)
