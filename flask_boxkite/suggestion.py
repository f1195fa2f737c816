"""The known name that was probably meant by an unknown one, for messages."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

__all__ = ["suggestion"]

_SHOWN = 20
"""Most names that a message lists."""


def suggestion(name: str, known: Sequence[str]) -> str:
    """Return the known name that was probably meant by *name*, or all known names, as a sentence."""
    if close := difflib.get_close_matches(name, known, 1):
        return f"Did you mean {close[0]!r}?"
    more = f" and {len(known) - _SHOWN:,} more" if len(known) > _SHOWN else ""
    return f"There are: {', '.join(map(repr, known[:_SHOWN])) or 'none'}{more}."
