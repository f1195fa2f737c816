"""Columns of texts that are numbers, but for some odd ones: ``?``, ``1,234``, ``5%``.

As categories, such a column would be blind: nearly all rows would be rare. So it is refused, with the odd texts and the
remedies. Memory, engines, streams and commands count texts by the same patterns, and decide here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.errors import BaselineError
from flask_boxkite.values import MISSING_TEXTS, folded

__all__ = [
    "AMOUNT",
    "MISSING",
    "NUMBER",
    "SHOWN",
    "OddTextsError",
    "TextRows",
    "as_missing",
    "has_many_others",
    "may_be_numbers",
    "numbers_of",
    "odd_texts",
    "rows_of_texts",
]

MOSTLY = 0.6
"""From which share of numbers on a column of texts is one of numbers with some odd values."""

SHOWN = 5
"""Odd texts that an error names at most."""

# Patterns for Python, Rust, RE2 and Java alike.
NUMBER = r"^\s*[+-]?(?:[0-9]+\.?[0-9]*(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?|(?i:inf|infinity))\s*$"
"""Texts that every reader takes for a number."""

_GROUPED = r"[0-9]{1,3}(?:[,.' ][0-9]{3})+(?:[.,][0-9]+)?"
_AMOUNT = rf"[+-]?[$€£¥]?\s?(?:{_GROUPED}|[0-9]+(?:[.,][0-9]+)?)\s?[%$€£¥]?"
AMOUNT = rf"^\s*{_AMOUNT}\s*$"
"""Texts that people take for a number; some plain numbers are among them."""

MISSING = rf"^\s*(?i:{'|'.join(map(re.escape, sorted(MISSING_TEXTS)))})\s*$"
"""Texts that stand for a missing value of a numeric variable."""

_is_number = re.compile(NUMBER).match
_kind = re.compile(rf"({NUMBER})|({AMOUNT})|({MISSING})").match
"""Matches by its first, second or third group: one search for each of perhaps millions of texts."""


@dataclass(frozen=True)
class TextRows:
    """Rows of a column of texts, without missing ones.

    Attributes:
        rows: Rows of all texts.
        numbers: Rows whose text matches `NUMBER`.
        amounts: Rows whose text matches `AMOUNT` only.
        missing: Rows whose text matches `MISSING`.
    """

    rows: int = 0
    numbers: int = 0
    amounts: int = 0
    missing: int = 0

    def __add__(self, other: TextRows) -> TextRows:
        return TextRows(
            self.rows + other.rows,
            self.numbers + other.numbers,
            self.amounts + other.amounts,
            self.missing + other.missing,
        )

    @property
    def are_numbers(self) -> bool:
        """Whether all texts are numbers."""
        return self.numbers == self.rows > 0

    @property
    def are_odd(self) -> bool:
        """Whether nearly all texts are numbers, and some are not."""
        held = self.rows - self.missing
        return 0 < self.numbers < self.rows and self.numbers + self.amounts >= MOSTLY * held


class OddTextsError(BaselineError):
    """A column of texts holds numbers and a few other texts, of which nothing can be made without being told.

    Attributes:
        fact: What was found, as a sentence.
        name: Name of the column.
        odd: Some of the other texts, most frequent first.
    """

    def __init__(self, name: str, counts: TextRows, odd: Sequence[str], *, where: str = "") -> None:
        others = counts.rows - counts.numbers
        numbers = f"{counts.numbers:,} number{'s' * (counts.numbers != 1)}"
        texts = f"{others:,} other text{'s' * (others != 1)}, such as {', '.join(map(repr, odd))}"
        self.fact = f"Column {name!r}{where} holds {numbers} and {texts}."
        self.name, self.odd = name, tuple(odd)
        super().__init__(
            f"{self.fact} Say what these are: missing_texts=({odd[0]!r},) for a missing value, or texts=({name!r},) "
            "for a column of texts; or give plain numbers, such as 1234.5."
        )

    def for_command(self) -> BaselineError:
        """Return the same with the remedies that a command has."""
        return BaselineError(
            f"{self.fact} Say what these are: --missing-text {self.odd[0]!r} for a missing value, or --text "
            f"{self.name!r} for a column of texts; or write plain numbers, such as 1234.5."
        )


def rows_of_texts(texts: Mapping[str, int]) -> TextRows:
    """Count rows by what their texts are.

    Args:
        texts: Rows by text.
    """
    by_kind = [0, 0, 0, 0]
    for text, count in texts.items():
        if match := _kind(text):
            by_kind[match.lastindex or 0] += count
    return TextRows(sum(texts.values()), *by_kind[1:])


def has_many_others(texts: Mapping[str, int]) -> bool:
    """Say whether so many texts are of no kind that `TextRows` names, that a column is neither odd nor of numbers.

    Most columns of texts are known by a fifth of their texts.
    """
    room = sum(texts.values()) - MOSTLY * sum(texts.values())
    for text, count in texts.items():
        if _kind(text) is None:
            room -= count
            if room < 0:
                return True
    return False


def numbers_of(texts: Mapping[str, int]) -> NDArray[np.float64]:
    """Return the number of each row, given the rows of each text."""
    numbers: NDArray[np.float64] = np.repeat([float(text) for text in texts], list(texts.values()))
    return numbers


def may_be_numbers(top: Mapping[str, int], rows: int) -> bool:
    """Say whether nearly all texts of a column can be numbers, given the most frequent ones.

    Args:
        top: Rows by text, of some texts.
        rows: Rows of all texts.
    """
    known = rows_of_texts(top)
    return known.rows - known.numbers - known.amounts - known.missing <= rows - MOSTLY * rows


def odd_texts(texts: Mapping[str, int]) -> list[str]:
    """Return the most frequent texts that are not numbers, `SHOWN` at most."""
    odd = sorted((-count, text) for text, count in texts.items() if not _is_number(text))
    return [text for _, text in odd[:SHOWN]]


def as_missing(texts: Iterable[str]) -> frozenset[str]:
    """Return texts that stand for a missing value as they are compared: in lower case, without blanks around."""
    return frozenset(map(folded, texts))
