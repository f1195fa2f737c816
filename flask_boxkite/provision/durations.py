"""Durations in Prometheus' notation: ``15s``, ``90m``, ``1h30m``."""

from __future__ import annotations

import re

from flask_boxkite.errors import ConfigError

__all__ = ["duration_seconds", "duration_text"]

_UNITS = {"y": 31536000.0, "w": 604800.0, "d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_LONGEST = 2**63 / 1e9
"""Upper limit of a duration in seconds: Prometheus counts nanoseconds in 64 bits."""

_DURATION = re.compile("".join(rf"(?:([0-9]{{1,18}}){unit})?" for unit in _UNITS))


def duration_seconds(text: str, *, what: str) -> float:
    """Return the seconds that *text* stands for.

    Args:
        text: Whole numbers with units, largest unit first.
        what: Name of the duration in the error.

    Raises:
        ConfigError: The text is not a duration, or the duration is zero or too long.

    >>> duration_seconds("1h30m", what="The window")
    5400.0
    """
    match = _DURATION.fullmatch(text)
    counts = match.groups("0") if match else ()
    seconds = sum(int(count) * size for count, size in zip(counts, _UNITS.values(), strict=False))
    if seconds <= 0:
        msg = f"{what} must be a duration as Prometheus writes it, such as '15s' or '1h', got {text!r}."
        raise ConfigError(msg)
    if seconds >= _LONGEST:
        msg = f"{what} must be shorter than 292 years, which is all that Prometheus can count, got {text!r}."
        raise ConfigError(msg)
    return seconds


def duration_text(seconds: float) -> str:
    """Write seconds, to the millisecond, in the largest unit that leaves no remainder.

    >>> duration_text(82800), duration_text(90), duration_text(0.5)
    ('23h', '90s', '500ms')
    """
    thousandths = round(seconds * 1000)
    for unit in ("h", "m", "s"):
        count, rest = divmod(thousandths, round(_UNITS[unit] * 1000))
        if rest == 0:
            return f"{count}{unit}"
    return f"{thousandths}ms"
