"""Text columns whose texts are numbers, durations or dates, apart from odd ones: ``?``, ``1,234``, ``5%``.

As categories, such a column would be blind: nearly all rows would be rare. Texts that are all dates are read as dates,
because no code looks like one. Texts that are numbers, amounts or durations may be codes, such as postcodes. So a
column with more of them than the most categories is refused, and so is a column with odd texts; the error names these,
with remedies. Memory, engines, streams and commands count texts by the same patterns, and decide here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from enum import Enum
from operator import add

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.training.problems import UnclearTexts
from flask_boxkite.suggestion import counted
from flask_boxkite.values.conversion import MISSING_TEXTS, folded
from flask_boxkite.values.durations import DURATION
from flask_boxkite.values.times import TIME, to_seconds

__all__ = [
    "AMOUNT",
    "MISSING",
    "NUMBER",
    "SHOWN",
    "TextRows",
    "Usual",
    "amounts_in",
    "as_missing",
    "has_many_others",
    "may_be_read",
    "numbers_of",
    "odd_texts",
    "rows_of_texts",
    "seconds_of",
    "unclear",
]

MOSTLY = 0.6
"""Share of numbers, or of dates, from which the other texts of a column are odd."""

SHOWN = 5
"""Most odd texts that an error names; one more tells that there are others."""

# Patterns for Python, Rust, RE2 and Java alike.
NUMBER = r"^\s*[+-]?(?:[0-9]+\.?[0-9]*(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?|(?i:inf|infinity))\s*$"
"""Texts that every reader reads as a number."""

_GROUPED = r"[0-9]{1,3}(?:[,.' ][0-9]{3})+(?:[.,][0-9]+)?"
_AMOUNT = rf"[+-]?[$€£¥]?\s?(?:{_GROUPED}|[0-9]+(?:[.,][0-9]+)?)\s?[%$€£¥]?"
AMOUNT = rf"^\s*{_AMOUNT}\s*$"
"""Texts that people read as a number; some plain numbers are among them."""

MISSING = rf"^\s*(?i:{'|'.join(map(re.escape, sorted(MISSING_TEXTS)))})\s*$"
"""Texts that stand for a missing value of a numeric variable."""

_is_number, _is_amount = re.compile(NUMBER).match, re.compile(AMOUNT).match
_has_digit = re.compile("[0-9]").search
_kind = re.compile(rf"({NUMBER})|({AMOUNT})|({MISSING})|({TIME})|({DURATION})").match
"""Matches by one of its five groups, so that one search is enough for each of perhaps millions of texts."""


class Usual(Enum):
    """The kind of most texts of a column, beside which others are odd; the value is its name for people.

    Attributes:
        pattern: Pattern of such texts; amounts are numbers here.
        plain: Phrase for the values that the column could hold instead.
    """

    pattern: str
    plain: str

    def __new__(cls, name: str, pattern: str, plain: str) -> Usual:
        member = object.__new__(cls)
        member._value_, member.pattern, member.plain = name, pattern, plain
        return member

    NUMBER = "number", rf"(?:{NUMBER})|(?:{AMOUNT})", "plain numbers, such as 1234.5"
    DATE = "date", TIME, "dates, such as 2024-01-31"
    DURATION = "duration", DURATION, "durations in seconds, such as 93600"


@dataclass(frozen=True)
class TextRows:
    """Rows of a column of texts, without missing ones.

    Attributes:
        rows: Rows of all texts.
        numbers: Rows whose text matches `NUMBER`.
        amounts: Rows whose text matches `AMOUNT` only.
        missing: Rows whose text matches `MISSING`.
        times: Rows whose text matches `TIME`.
        durations: Rows whose text matches `DURATION`.
    """

    rows: int = 0
    numbers: int = 0
    amounts: int = 0
    missing: int = 0
    times: int = 0
    durations: int = 0

    def __add__(self, other: TextRows) -> TextRows:
        return TextRows(*map(add, astuple(self), astuple(other)))

    @property
    def are_numbers(self) -> bool:
        """Whether all texts are numbers."""
        return self.numbers == self.rows > 0

    @property
    def are_times(self) -> bool:
        """Whether all texts are dates or moments."""
        return self.times == self.rows > 0

    @property
    def are_durations(self) -> bool:
        """Whether all texts are durations."""
        return self.durations == self.rows > 0

    @property
    def are_amounts(self) -> bool:
        """Whether nearly all texts are amounts, and none is a plain number."""
        return not self.numbers and self.amounts >= self._most > 0

    @property
    def usual(self) -> Usual:
        """The kind of the most texts."""
        return max(self.by_usual, key=self.by_usual.__getitem__)

    @property
    def by_usual(self) -> Mapping[Usual, int]:
        """Rows of each kind that a column can have."""
        return {
            Usual.NUMBER: self.numbers + self.amounts,
            Usual.DATE: self.times,
            Usual.DURATION: self.durations,
        }

    @property
    def are_odd(self) -> bool:
        """Whether nearly all texts are numbers (or amounts), dates or durations, and some are not."""
        kinds = ((self.numbers, self.amounts), (self.times, 0), (self.durations, 0))
        return any(0 < rows < self.rows and rows + others >= self._most for rows, others in kinds)

    @property
    def _most(self) -> float:
        return MOSTLY * (self.rows - self.missing)


def unclear(name: str, counts: TextRows, odd: Sequence[str], amounts: Sequence[str]) -> UnclearTexts:
    """Describe a text column of numbers, dates or durations, so that its user can decide.

    Args:
        name: Name of the column.
        counts: Rows of the column by kind of text.
        odd: Result of `odd_texts`; empty if all texts are of one kind.
        amounts: Result of `amounts_in`.
    """
    usual = counts.usual
    kinds: list[tuple[int, str, Sequence[str]]] = [(counts.by_usual[usual], usual.value, ())]
    if usual is Usual.NUMBER:
        kinds = [(counts.numbers, usual.value, ()), (counts.amounts, "amount", amounts[:1])]
    kinds.append((counts.rows - counts.by_usual[usual], "other text", odd[:SHOWN]))

    phrases = [_phrase(*kind) for kind in kinds if kind[0]]
    how = ", written as texts" if len(phrases) == 1 else ""
    return UnclearTexts(f"Column {name!r} holds {_series(phrases)}{how}.", name, _gaps(counts, odd), usual.plain)


def _gaps(counts: TextRows, odd: Sequence[str]) -> tuple[str, ...]:
    """Return the odd texts as missing values, if all texts besides them can then be read; else nothing.

    A text with a digit is a value in another spelling, and as long as there is one, the column stays texts.
    """
    can_be_read = counts.usual in (Usual.NUMBER, Usual.DATE) and not counts.amounts and len(odd) <= SHOWN
    return tuple(odd) if can_be_read and not any(map(_has_digit, odd)) else ()


def _phrase(rows: int, word: str, examples: Sequence[str]) -> str:
    such = f", such as {', '.join(map(repr, examples))}" if examples else ""
    return f"{counted(rows, word)}{such}"


def _series(phrases: Sequence[str]) -> str:
    """Return phrases as a series, with a comma after examples."""
    if len(phrases) < 2:
        return "".join(phrases)
    *others, last = phrases
    comma = "," if any(", such as " in phrase for phrase in others) else ""
    return f"{', '.join(others)}{comma} and {last}"


def rows_of_texts(texts: Mapping[str, int]) -> TextRows:
    """Count rows by the kind of their text.

    Args:
        texts: Rows by text.
    """
    by_kind = [0] * 6
    for text, count in texts.items():
        if match := _kind(text):
            by_kind[match.lastindex or 0] += count
    return TextRows(sum(texts.values()), *by_kind[1:])


def has_many_others(texts: Mapping[str, int]) -> bool:
    """Say whether so many texts are of no kind in `TextRows` that a column holds categories.

    A fifth of the texts is enough to tell for most columns.
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


def seconds_of(texts: Mapping[str, int]) -> NDArray[np.float64]:
    """Return the seconds since 1970 of each row, given the rows of each date or moment."""
    seconds: NDArray[np.float64] = np.repeat([to_seconds(text) for text in texts], list(texts.values()))
    return seconds


def may_be_read(top: Mapping[str, int], rows: int) -> bool:
    """Say whether nearly all texts of a column can be numbers, dates or durations, given the most frequent ones.

    Args:
        top: Rows by text, of some texts.
        rows: Rows of all texts.
    """
    known = rows_of_texts(top)
    others = known.rows - known.numbers - known.amounts - known.missing - known.times - known.durations
    return others <= rows - MOSTLY * rows


def odd_texts(texts: Mapping[str, int], usual: Usual) -> list[str]:
    """Return the most frequent texts of a column that are not of the usual kind; one more than `SHOWN` at most.

    Args:
        texts: Rows by text.
        usual: Kind of most texts.
    """
    is_usual = re.compile(usual.pattern).match
    return _most_frequent((count, text) for text, count in texts.items() if not is_usual(text))


def amounts_in(texts: Mapping[str, int]) -> list[str]:
    """Return the most frequent amounts among the texts of a column; one more than `SHOWN` at most.

    Args:
        texts: Rows by text.
    """
    return _most_frequent((count, text) for text, count in texts.items() if _is_amount(text) and not _is_number(text))


def _most_frequent(counted: Iterable[tuple[int, str]]) -> list[str]:
    return [text for _, text in sorted((-count, text) for count, text in counted)[: SHOWN + 1]]


def as_missing(texts: Iterable[str]) -> frozenset[str]:
    """Return texts that stand for a missing value in the form of comparisons: in lower case, without blanks around."""
    return frozenset(map(folded, texts))
