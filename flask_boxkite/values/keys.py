"""Callers' own keys of predictions, such as the number of an order, as one text however they are written.

A column of integers in which one is missing becomes floats in pandas, and then `7.0` in its CSV and JSON.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

__all__ = ["LONGEST_KEY", "key_of", "one_spelling"]

LONGEST_KEY = 512
"""Most characters of a key; an integer may have as many bits."""

_WHOLE_FLOAT = re.compile(r"(-?[1-9][0-9]*|0)\.0")


def key_of(value: Any) -> str | None:
    """Return the text of a key; None for a value that is no key.

    A key is an integer, or a text of at most `LONGEST_KEY` characters that is not empty. A whole float, also as text,
    is the integer.

    >>> key_of("A-7"), key_of(7), key_of(7.0), key_of("7.0"), key_of(7.5)
    ('A-7', '7', '7', '7', None)
    """
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        value = int(value)
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        number = int(value)
        return str(number) if number.bit_length() <= LONGEST_KEY else None
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_KEY:
        return None
    try:
        value.encode()
    except UnicodeEncodeError:  # halves of a character, which no sink can write
        return None
    return one_spelling(str(value))


def one_spelling(text: str) -> str:
    """Return the text of a key, of a whole float without its `.0`."""
    found = _WHOLE_FLOAT.fullmatch(text)
    return text if found is None else found[1]
