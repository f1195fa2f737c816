"""The counts of one group of rows: all that a statement on fairness rests on."""

from __future__ import annotations

from dataclasses import dataclass

from flask_boxkite.naming import INVALID, MISSING, RARE

__all__ = ["MIXED", "GroupCounts", "largest"]

MIXED = frozenset({RARE, MISSING, INVALID})
"""Names of groups whose rows have nothing in common but that their value is rare or unknown."""


@dataclass(frozen=True)
class GroupCounts:
    """The counts of one group.

    Attributes:
        name: Name of the group: a value, or one of `MIXED`.
        rows: Number of rows.
        selected: Number of these that the model selected.
        outcomes: Number of rows with an outcome.
        positives: Number of these that are actual positives.
        true_positives: Number of actual positives that the model selected.
        dispersion: Number of rows that count as one, since rows may recur or be alike; at least 1.
        positive_dispersion: Number of actual positives that count as one.
        text: Name for people; empty for *name*.
        unread: Number of further rows whose output cannot be read.
        unread_outcomes: Number of rows with an outcome whose output, or whose actual value, cannot be read.
        maybe_found: Number of these that may be actual positives which the model selected.
        maybe_missed: Number of these that may be actual positives which it did not select.
    """

    name: str
    rows: int
    selected: int
    outcomes: int = 0
    positives: int = 0
    true_positives: int = 0
    dispersion: float = 1.0
    positive_dispersion: float = 1.0
    text: str = ""
    unread: int = 0
    unread_outcomes: int = 0
    maybe_found: int = 0
    maybe_missed: int = 0


def largest(groups: list[GroupCounts]) -> GroupCounts | None:
    """Return the group with most rows, the first by name of several; None if there are only `MIXED` ones."""
    named = [group for group in groups if group.name not in MIXED]
    return min(named, key=lambda group: (-group.rows, group.name), default=None)
