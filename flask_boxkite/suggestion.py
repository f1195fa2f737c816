"""Phrases of messages: a number with its noun, and the known name that was probably meant by an unknown one."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

__all__ = ["counted", "suggestion"]

_SHOWN = 20
"""Most names that a message lists."""


def counted(number: int, noun: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "row"), counted(2000, "row")
    ('1 row', '2,000 rows')
    """
    return f"{number:,} {noun}{'s' * (number != 1)}"


def suggestion(name: str, known: Sequence[str]) -> str:
    """Return the known name that was probably meant by *name*, or all known names, as a sentence."""
    if close := difflib.get_close_matches(name, known, 1):
        return f"Did you mean {close[0]!r}?"
    more = f" and {len(known) - _SHOWN:,} more" if len(known) > _SHOWN else ""
    return f"There are: {', '.join(map(repr, known[:_SHOWN])) or 'none'}{more}."
