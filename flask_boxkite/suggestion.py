"""Phrases of messages: a number with its noun, and the known name that was probably meant by an unknown one.

Reports look up their items by name here, so that all refuse an unknown name in the same way.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Protocol, TypeVar

__all__ = ["counted", "item_named", "suggestion"]

_SHOWN = 20
"""Most names that a message lists."""

_NEAR = 0.7
"""Least likeness of a name that was probably meant; ``wind`` and ``id`` have 0.67."""


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_Item = TypeVar("_Item", bound=_Named)


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


def item_named(name: str, items: Sequence[_Item], noun: str) -> _Item:
    """Return the first item of that name.

    Args:
        name: Name of the item.
        items: Items with a ``name``.
        noun: Noun for an item in the message.

    Raises:
        KeyError: There is none.
    """
    for item in items:
        if item.name == name:
            return item
    msg = f"No {noun} {name!r}. {suggestion(name, [item.name for item in items])}"
    raise KeyError(msg)
