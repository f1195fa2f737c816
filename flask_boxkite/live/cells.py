"""The cell of a value: the bin of a number, a category, or one of the special cells.

Each value also has a word, by which equal rows are known (`values.rowhash`).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.bounds import narrow_bounds
from flask_boxkite.baseline.distribution import Continuous, Discrete, Distribution
from flask_boxkite.live.width import Width
from flask_boxkite.naming import MOST_LETTERS, short_text
from flask_boxkite.values.conversion import BOOLEAN_TEXTS, InvalidValue, folded, is_missing_text, to_number, to_text
from flask_boxkite.values.rowhash import MISSING_TEXT, MISSING_WORD, text_word
from flask_boxkite.values.times import to_seconds

__all__ = [
    "PLAIN_NUMBERS",
    "Cells",
    "ContinuousCells",
    "DiscreteCells",
    "NoteUnread",
    "TimeCells",
    "cells_of",
    "fill_words",
]

FEW_CATEGORIES, CATEGORY_VALUES, MANY_CATEGORIES = 5, 64, 100
"""A column is compared with categories one by one if they are few: the first number, and one more for so many values
as the second, up to the third.

A comparison takes 2 µs and 0.2 ns a value. A search takes 10 µs and 15 to 40 ns a value, because the processor cannot
predict it.
"""

PLAIN_NUMBERS = frozenset({float, int, bool})
"""Types of numbers that need no reading."""

NoteUnread: TypeAlias = Callable[[Any], object]
"""Takes a value that counts as invalid; may be called for a row whose request fails later."""

_EXACT = 2**53
_EXACT_SCALARS = (np.float64, np.integer, np.bool_)
"""Scalars of NumPy that are the same number in Python."""


def _is_one_of(value: Any, missing_texts: frozenset[str]) -> bool:
    """Say whether a value is a text that stands for a missing value."""
    return isinstance(value, str) and is_missing_text(value, missing_texts)


def _word_of_invalid(value: Any) -> float:
    """Return the word of an invalid value, such that different invalid values do not make equal rows."""
    if isinstance(value, str):
        return float(text_word(value))
    if isinstance(value, _EXACT_SCALARS):
        value = value.item()
    return float(value) if type(value) in PLAIN_NUMBERS and abs(value) < _EXACT else MISSING_WORD


class ContinuousCells:
    """Finds the cell of a number."""

    is_text = False
    is_numeric = True  # whether a number is counted by its value
    note_unread: NoteUnread | None = None

    def __init__(self, distribution: Continuous, offset: int) -> None:
        self.width = Width(distribution.width)
        self._exact = distribution.upper_bounds
        self.bounds = tuple(narrow_bounds(self._exact, self.width.dtype).tolist())
        self.offset = offset
        self.missing = offset + len(self.bounds) + 1
        self.invalid = self.missing + 1
        self.missing_texts = distribution.missing_texts
        self._narrow: dict[str, NDArray[Any]] = {}

    def locate(self, value: Any) -> tuple[int, float]:
        """Return the cell of a value, and its word in the hash of the row."""
        word = value
        if type(value) is not float:
            if value is None:
                return self.missing, MISSING_WORD
            try:
                number = to_number(value)
            except InvalidValue:
                if _is_one_of(value, self.missing_texts):
                    return self.missing, MISSING_WORD
                if self.note_unread is not None:
                    self.note_unread(value)
                return self.invalid, _word_of_invalid(value)
            word = number if type(value) in PLAIN_NUMBERS else _word_of_number(value, number)
            value = number

        if value != value:
            return self.missing, MISSING_WORD
        if self.width.is_narrow:
            value = word = self.width.rounded(value)
        return self.offset + bisect_left(self.bounds, value), word

    def count(self, column: NDArray[Any], block: NDArray[np.int64]) -> None:
        """Count an array of numbers."""
        counts = np.bincount(self.bins_of(column), minlength=len(self.bounds) + 1)
        missing = int(np.count_nonzero(column != column))
        counts[-1] -= missing  # the search puts NaN above all bounds
        block[self.offset : self.missing] += counts
        block[self.missing] += missing

    def cells_of(self, column: NDArray[Any]) -> NDArray[np.intp]:
        """Return the cell of each number in an array."""
        return np.where(column == column, self.offset + self.bins_of(column), self.missing)

    def bins_of(self, column: NDArray[Any]) -> NDArray[np.intp]:
        """Return the bin of each number in an array; the last one for NaN."""
        column = self.width.rounded_column(column)
        return np.searchsorted(self.bounds_for(column.dtype), column, side="left")

    def bounds_for(self, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return the bounds with which numbers of this type are compared."""
        bounds = self._narrow.get(dtype.char)
        if bounds is None:
            is_narrower = dtype.kind == "f" and dtype.itemsize < self.width.dtype.itemsize
            bounds = narrow_bounds(self._exact, dtype) if is_narrower else np.array(self.bounds)
            bounds = self._narrow[dtype.char] = bounds.astype(dtype) if dtype == self.width.dtype else bounds
        return bounds


class DiscreteCells:
    """Finds the cell of a category."""

    note_unread: NoteUnread | None = None

    def __init__(self, distribution: Discrete, offset: int) -> None:
        self.is_text = distribution.is_text
        self.is_numeric = not distribution.is_text
        self.width = Width(distribution.width)
        self._read: Callable[[Any], Any] = to_text if self.is_text else self._number
        values = distribution.values if self.is_text else map(self._number, distribution.values)
        self.categories: dict[Any, int] = {value: offset + i for i, value in enumerate(values)}
        self._stripped = {value.strip(): cell for value, cell in self.categories.items()} if self.is_text else {}

        # Where training dropped rare categories, "TRUE" may be one of them.
        booleans = {} if distribution.rare else {folded(text): cell for text, cell in self._stripped.items()}
        self._booleans = {text: booleans[text] for text in BOOLEAN_TEXTS.keys() & booleans}
        self.words: dict[Any, int] = {text: text_word(text) for text in self.categories} if self.is_text else {}

        rare = offset + len(distribution.categories)
        # If training dropped rare categories, an unknown category may be one of them.
        self.other = rare if distribution.rare else rare + 1
        self.missing = rare + 2
        self.invalid = rare + 3
        self.missing_texts = distribution.missing_texts
        self._missing_word = MISSING_TEXT if self.is_text else MISSING_WORD
        self._sorted: dict[str, tuple[NDArray[np.float64], NDArray[np.intp]]] = {}

    def _number(self, value: Any) -> float:
        number = to_number(value)
        return self.width.rounded(number) if self.width.is_narrow else number

    def locate(self, value: Any) -> tuple[int, float]:
        """Return the cell of a value, and its word in the hash of the row."""
        try:
            key = self._read(value)
        except InvalidValue:
            if _is_one_of(value, self.missing_texts):
                return self.missing, self._missing_word
            if self.note_unread is not None:
                self.note_unread(value)
            return self.invalid, self._missing_word if self.is_text else _word_of_invalid(value)
        if key is None or key != key:
            return self.missing, self._missing_word
        cell = self.categories.get(key)
        if self.is_text:
            if cell is None and is_missing_text(key, self.missing_texts):
                return self.missing, self._missing_word
            if cell is None:  # CSV is read without blanks around values, data frames with them
                cell = self._stripped.get(key.strip())
            if cell is None and self._booleans:  # a column of texts and booleans has True in CSV and true in JSON
                cell = self._booleans.get(folded(key))
            if cell is None and len(key) > MOST_LETTERS:
                cell = self.categories.get(short_text(key))
            return self.other if cell is None else cell, self.words.get(key) or text_word(key)

        is_plain = type(value) in PLAIN_NUMBERS or self.width.is_narrow
        return self.other if cell is None else cell, key if is_plain else _word_of_number(value, key)

    def count(self, column: NDArray[Any], block: NDArray[np.int64]) -> None:
        """Count an array of numbers."""
        if self.is_text:
            for value in column:
                block[self.locate(value)[0]] += 1
            return

        column = self.width.rounded_column(column)
        categories, cells = self.categories_for(column.dtype)
        column = column.astype(np.float64)
        if len(categories) <= min(FEW_CATEGORIES + len(column) // CATEGORY_VALUES, MANY_CATEGORIES):
            counts = np.array([np.count_nonzero(column == category) for category in categories.tolist()])
        else:
            nearest = categories.searchsorted(column)
            counts = np.bincount(nearest[categories.take(nearest) == column], minlength=len(categories))

        missing = int(np.count_nonzero(column != column))
        block[cells] += counts[:-1]
        block[self.missing] += missing
        block[self.other] += len(column) - int(counts.sum()) - missing

    def cells_of(self, column: NDArray[Any]) -> NDArray[np.intp]:
        """Return the cell of each number in an array."""
        if self.is_text:
            return np.array([self.locate(value)[0] for value in column], dtype=np.intp)
        column = self.width.rounded_column(column)
        categories, cells = self.categories_for(column.dtype)
        column = column.astype(np.float64)
        nearest = categories.searchsorted(column)
        found = np.append(cells, self.missing)[nearest]
        is_other = (categories.take(nearest) != column) & (column == column)
        return np.where(is_other, self.other, found)

    def categories_for(self, dtype: np.dtype[Any]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """Return the categories as numbers of this type, ascending, with a NaN behind them, and the categories' cells.

        A narrow float stands for the number with its shortest decimals, so a category without such a float is left out.
        """
        known = self._sorted.get(dtype.char)
        if known is None:
            exact = np.array(sorted(self.categories))
            numbers = exact
            if dtype.kind == "f" and dtype.itemsize < self.width.dtype.itemsize:
                narrow = exact.astype(dtype)
                is_exact = narrow.astype(str).astype(np.float64) == exact
                exact, numbers = exact[is_exact], narrow[is_exact].astype(np.float64)
            cells = np.array([self.categories[value] for value in exact.tolist()], dtype=np.intp)
            known = self._sorted[dtype.char] = np.append(numbers, math.nan), cells
        return known


class TimeCells:
    """Finds the cell of a date or a moment by its seconds."""

    is_text = False
    is_numeric = False
    note_unread: NoteUnread | None = None

    def __init__(self, cells: ContinuousCells | DiscreteCells) -> None:
        self.width = cells.width
        self._cells = cells

    def locate(self, value: Any) -> tuple[int, float]:
        """Return the cell of a value, and its word in the hash of the row."""
        try:
            return self._cells.locate(to_seconds(value))
        except InvalidValue:
            if _is_one_of(value, self._cells.missing_texts):
                return self._cells.missing, MISSING_WORD
            if self.note_unread is not None:
                self.note_unread(value)
            return self._cells.invalid, _word_of_invalid(value)

    def count(self, column: NDArray[Any], block: NDArray[np.int64]) -> None:
        """Count an array of numbers, which are all invalid: a number is not a date."""
        for value in column.tolist():
            block[self.locate(value)[0]] += 1

    def cells_of(self, column: NDArray[Any]) -> NDArray[np.intp]:
        """Return the cell of each number in an array: invalid, or missing."""
        return np.array([self.locate(value)[0] for value in column.tolist()], dtype=np.intp)


Cells: TypeAlias = "ContinuousCells | DiscreteCells | TimeCells"


def cells_of(distribution: Distribution, offset: int) -> Cells:
    """Return the cells of a variable, the first of which is *offset*."""
    if distribution.is_time:
        return TimeCells(_numeric_cells_of(distribution, offset))
    return _numeric_cells_of(distribution, offset)


def _numeric_cells_of(distribution: Distribution, offset: int) -> ContinuousCells | DiscreteCells:
    if isinstance(distribution, Continuous):
        return ContinuousCells(distribution, offset)
    return DiscreteCells(distribution, offset)


def _word_of_number(value: Any, number: float) -> float:
    """Return the word of a value that means *number*; a narrow float is its own word, as in an array."""
    if isinstance(value, np.ndarray):
        value = value[()]
    return float(value) if isinstance(value, np.floating) else number


def fill_words(cells: Cells, values: Iterable[Any], words: NDArray[np.float64]) -> list[int]:
    """Write the words of a column's values to *words*; return the cells of the values."""
    located = [cells.locate(value) for value in values]
    own = np.array([word for _, word in located], dtype="<u8" if cells.is_text else "<f8")
    words[:] = own.view("<f8")
    return [cell for cell, _ in located]
