"""Suggestions for names: received names that differ from wanted ones by capitals, blanks, underscores or a typo."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

__all__ = ["nearest", "nearest_known"]

_MOST_NAMES = 50
_MOST_LETTERS = 64
"""Most names compared on each side: a client chooses names, so their cost needs a bound."""

_CUTOFF = 0.8
_DIGITS = re.compile(r"\d+")


def nearest(wanted: Iterable[str], received: Iterable[str]) -> dict[str, str]:
    """Return, for each wanted name, the received name that probably stands for it; each received name once.

    ``x1`` and ``x2`` differ by more than a typo: names with other digits are never near. Only the first 50 names of
    each side are compared.

    Args:
        wanted: Names that were expected and not found.
        received: Names that were found and not expected.

    >>> nearest(["age", "income"], ["Age ", "incme", "city"])
    {'age': 'Age ', 'income': 'incme'}
    """
    plain = {name: _plain(name) for name in list(received)[:_MOST_NAMES]}
    matches: dict[str, str] = {}
    for name in list(wanted)[:_MOST_NAMES]:
        match = _match(_plain(name), plain)
        if match is not None:
            matches[name] = match
            del plain[match]
    return matches


def nearest_known(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that *name* probably stands for; None for none. All known names are compared."""
    return _match(_plain(name), {item: _plain(item) for item in known})


def _match(wanted: str, received: dict[str, str]) -> str | None:
    for name, plain in received.items():
        if plain == wanted:
            return name
    digits = _DIGITS.findall(wanted)
    by_plain = {plain: name for name, plain in received.items() if _DIGITS.findall(plain) == digits}
    close = difflib.get_close_matches(wanted, by_plain, 1, _CUTOFF)
    return by_plain[close[0]] if close else None


def _plain(name: str) -> str:
    """Return the letters and digits of a name, without capitals."""
    letters = "".join(letter for letter in name[:_MOST_LETTERS].casefold() if letter.isalnum())
    return letters or name[:_MOST_LETTERS]
