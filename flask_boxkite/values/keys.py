"""Callers' own keys of predictions, such as the number of an order."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["LONGEST_KEY", "key_of"]

LONGEST_KEY = 512
"""Most characters of a key; an integer may have as many bits."""


def key_of(value: Any) -> str | None:
    """Return the text of a key; None for a value that is no key.

    A key is an integer, or a text of at most `LONGEST_KEY` characters that is not empty.

    >>> key_of("A-7"), key_of(7), key_of(7.0)
    ('A-7', '7', None)
    """
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        number = int(value)
        return str(number) if number.bit_length() <= LONGEST_KEY else None
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_KEY:
        return None
    try:
        value.encode()
    except UnicodeEncodeError:  # halves of a character, which no sink can write
        return None
    return str(value)
