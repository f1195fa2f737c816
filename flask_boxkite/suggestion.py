"""Phrases of messages: a number with its noun, and the known name that was probably meant by an unknown one."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

__all__ = ["counted", "suggestion"]

_SHOWN = 20
"""Most names that a message lists."""

_NEAR = 0.7
"""Least likeness of a name that was probably meant; ``wind`` and ``id`` have 0.67."""


def counted(number: int, noun: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "row"), counted(2000, "row")
    ('1 row', '2,000 rows')
    """
    return f"{number:,} {noun}{'s' * (number != 1)}"


def suggestion(name: str, known: Sequence[str]) -> str:
    """Return the known name that was probably meant by *name*, or all known names, as a sentence.

    >>> suggestion("Age", ["wage", "age"]), suggestion("wind", ["id"])
    ("Did you mean 'age'?", "There are: 'id'.")
    >>> suggestion("dya", ["month", "day"])
    "Did you mean 'day'?"
    """
    folded = {each.casefold(): each for each in reversed(known)}
    close = difflib.get_close_matches(name.casefold(), folded, 1, _NEAR)
    if close := close or [each for each in folded if sorted(each) == sorted(name.casefold())]:
        return f"Did you mean {folded[close[0]]!r}?"
    more = f" and {len(known) - _SHOWN:,} more" if len(known) > _SHOWN else ""
    return f"There are: {', '.join(map(repr, known[:_SHOWN])) or 'none'}{more}."
