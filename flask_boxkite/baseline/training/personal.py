"""The look of texts that a baseline should not name: e-mail addresses, identifiers, free text; or that it cannot read.

Text columns are judged by their most frequent texts, which every engine returns, and numeric columns by their names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from heapq import nlargest

from flask_boxkite.baseline.distribution import Continuous, Distribution
from flask_boxkite.baseline.training.date_looks import date_look
from flask_boxkite.baseline.training.text_columns import rows_of_texts

__all__ = ["DURATIONS", "NUMBERS", "look_of", "looks_like_id"]

NUMBERS, DURATIONS = "numbers, written as texts", "durations, written as texts"
"""Looks of texts that are not personal, but may be of another type."""

MOST = 0.8
"""Share of the examined texts that must have a look."""

FEWEST_TEXTS = 10
"""Least number of different texts: a small sample of categories would look like identifiers, too."""

WORDS = 4
"""Least number of words of free text."""

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_ID_NAME = re.compile(r"(?:^|[^a-zA-Z])(?:id|uuid|guid)$|[a-z](?:Id|ID|Uuid|UUID|Guid)$", re.ASCII)


def look_of(counts: Mapping[str, int], rows: int, most: int) -> str:
    """Return the look of a column's texts; empty if they look like categories.

    Args:
        counts: Rows by text; at least the most frequent ones.
        rows: Rows that have a text.
        most: Number of texts to look at.
    """
    texts = nlargest(most, counts, key=counts.__getitem__)
    if not texts:
        return ""
    if _share(texts, lambda text: _EMAIL.fullmatch(text.strip()) is not None) >= MOST:
        return "e-mail addresses"

    shown = rows_of_texts({text: counts[text] for text in texts})
    if shown.are_numbers or shown.are_durations:
        return NUMBERS if shown.are_numbers else DURATIONS
    if len(texts) < FEWEST_TEXTS:
        return ""

    # Fewer dates, such as the months of a year, are categories.
    is_rest_rare = counts[texts[0]] == 1 or shown.rows < rows
    if is_rest_rare and not shown.times and (dates := date_look(texts)):
        return dates
    if _share(texts, lambda text: len(text.split()) >= WORDS) >= MOST:
        return "free text"
    # The most frequent text comes once, so all texts do.
    return "an identifier, as no value comes twice" if counts[texts[0]] == 1 < rows else ""


def looks_like_id(item: Distribution) -> bool:
    """Say whether a numeric column of many values looks like an identifier, judged by its name."""
    return isinstance(item, Continuous) and _ID_NAME.search(item.name) is not None


def _share(texts: Sequence[str], looks_so: Callable[[str], bool]) -> float:
    return sum(map(looks_so, texts)) / len(texts)
