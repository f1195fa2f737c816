"""Limits of names, bins and counts, which every distribution keeps."""

from __future__ import annotations

from collections.abc import Sequence

from flask_boxkite.errors import BaselineError

__all__ = ["LONGEST_NAME", "MAX_COUNT", "MOST_BINS", "check_bins", "check_counts", "check_text"]

MAX_COUNT = 2**53
"""Largest count: Prometheus' numbers are floats, which are exact up to here."""

MOST_BINS = 10_000
"""Most upper bounds, or categories, of a variable: each is a series of its own."""

LONGEST_NAME = 10_000
"""Most characters of a name or a category."""


def check_text(what: str, text: str) -> None:
    """Refuse a text that files and metrics cannot hold.

    Raises:
        BaselineError: The text holds half of a surrogate pair, which UTF-8 lacks; or it is longer than `LONGEST_NAME`.
    """
    if len(text) > LONGEST_NAME:
        msg = f"The {what} {text[:40]!r}… has {len(text):,} letters; it may have {LONGEST_NAME:,}."
        raise BaselineError(msg)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        msg = f"The {what} {text!r} cannot be written in UTF-8."
        raise BaselineError(msg) from error


def check_bins(name: str, number: int, what: str, option: str) -> None:
    """Refuse more bounds or categories than `MOST_BINS`.

    Args:
        name: Name of the variable.
        number: Number of them.
        what: Word for them.
        option: Name of the option that lowers their number.

    Raises:
        BaselineError: There are more.
    """
    if number > MOST_BINS:
        msg = f"{name!r} has {number:,} {what}; a variable may have {MOST_BINS:,}. Lower {option!r}."
        raise BaselineError(msg)


def check_counts(name: str, counts: Sequence[int]) -> None:
    """Refuse counts of a variable that are negative, or that no float holds exactly.

    Raises:
        BaselineError: There is such a count.
    """
    if bad := [count for count in counts if not 0 <= count <= MAX_COUNT]:
        msg = f"{name!r} has a count that is negative or more than 2**53: {bad[0]!r}."
        raise BaselineError(msg)
