"""Variables whose drift cannot show, or only in part, found by the counts of a baseline, so in old files, too."""

from __future__ import annotations

from collections.abc import Iterable

from flask_boxkite.baseline.bounds import MARGIN
from flask_boxkite.baseline.distribution import Continuous, Discrete, Distribution, group_counts
from flask_boxkite.naming import RARE
from flask_boxkite.values.times import DAY, to_seconds

__all__ = ["blind_spot", "blind_spots"]

NEARLY_ALL = 0.9
"""Share of rows with rare values from which the other rows say little."""

A_THIRD = 1 / 3
"""Share of rows with rare values from which a change among them, which cannot show, may be large."""

SENTINELS = ("0001-01-01", "1753-01-01", "1899-12-30", "1899-12-31", "1900-01-01", "2999-12-31", "9999-12-31")
"""Days that databases and spreadsheets write for no day."""

FEWEST_VALUES = 10
"""Least number of values, each seen once, for an identifier; fewer are a small sample."""


def blind_spot(item: Distribution) -> str:
    """Return the change of a variable that cannot show, or the reason, as a phrase; empty if all changes can."""
    present = item.rows - item.missing - item.invalid
    if not item.rows:
        return ""
    if not present:
        what = "missing" if item.missing >= item.invalid else "invalid"
        return f"all training rows are {what}: only their share can show"
    return _of_bins(item) if isinstance(item, Continuous) else _of_categories(item, present)


def blind_spots(items: Iterable[Distribution]) -> dict[str, list[str]]:
    """Return the names of variables by their blind spots."""
    names: dict[str, list[str]] = {}
    for item in items:
        if spot := blind_spot(item):
            names.setdefault(spot, []).append(item.name)
    return names


def _of_bins(item: Continuous) -> str:
    if max(item.counts) == item.rows:
        return "all training rows are in one bin: a change within it cannot show"
    ends = item.upper_bounds[0], item.upper_bounds[-1]
    return _of_sentinels(day for day in SENTINELS if _is_extreme(day, *ends)) if item.is_time else ""


def _is_extreme(day: str, lowest: float, highest: float) -> bool:
    """Say whether the earliest or the latest moment falls on a day, given the bounds, which lie a margin outside."""
    start, margin = to_seconds(day), (highest - lowest) * MARGIN * 1.1
    return lowest <= start <= lowest + margin or highest - margin - DAY < start <= highest


def _of_sentinels(days: Iterable[str]) -> str:
    names = " and ".join(days)
    return f"rows of {names} count as of that day: if it stands for a missing value, give none" if names else ""


def _of_categories(item: Discrete, present: int) -> str:
    names = [group.name for group in item.groups]
    rare = group_counts(item, item.cells)[names.index(RARE)]
    if max(item.counts, default=0) == 1 and len(item.categories) >= FEWEST_VALUES and item.is_text:
        return "no training value comes twice: every new value is unseen"
    if item.is_time and (spot := _of_sentinels(day for day in SENTINELS if day in item.categories)):
        return spot
    if rare >= NEARLY_ALL * present:
        return "nearly all training rows are of rare values: a change among these cannot show"
    if rare > A_THIRD * present:
        remedy = "give fewer values (the region, not the town), or raise 'max_categories'"
        if item.rare <= A_THIRD * present:  # a file of an earlier release
            remedy = "export the baseline again, which makes groups of them"
        return f"more than a third of training rows are of rare values, among which no change can show: {remedy}"
    if max(item.counts, default=0) == item.rows:
        return "all training rows have one value: only other values can show"
    return ""
