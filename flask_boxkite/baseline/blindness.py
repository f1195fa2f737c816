"""Variables whose drift cannot show, or only in part: found from a baseline's counts alone, so in old files, too."""

from __future__ import annotations

from collections.abc import Iterable

from flask_boxkite.baseline.distribution import Continuous, Discrete, Distribution, group_counts
from flask_boxkite.naming import RARE

__all__ = ["blind_spot", "blind_spots"]

NEARLY_ALL = 0.9
"""Share of rows that are of rare values from which on the others say little."""

FEWEST_VALUES = 10
"""With fewer values, each seen once, it is a small sample rather than an identifier."""


def blind_spot(item: Distribution) -> str:
    """Return which change of a variable cannot show, as a phrase; nothing if all can."""
    held = item.rows - item.missing - item.invalid
    if not item.rows:
        return ""
    if not held:
        what = "missing" if item.missing >= item.invalid else "invalid"
        return f"all training rows are {what}: only their share can show"
    return _of_bins(item) if isinstance(item, Continuous) else _of_categories(item, held)


def blind_spots(items: Iterable[Distribution]) -> dict[str, list[str]]:
    """Return the names of variables by what cannot show of them."""
    found: dict[str, list[str]] = {}
    for item in items:
        if spot := blind_spot(item):
            found.setdefault(spot, []).append(item.name)
    return found


def _of_bins(item: Continuous) -> str:
    if max(item.counts) == item.rows:
        return "all training rows are in one bin: a change within it cannot show"
    return ""


def _of_categories(item: Discrete, held: int) -> str:
    names = [group.name for group in item.groups]
    rare = group_counts(item, item.cells)[names.index(RARE)]
    if max(item.counts, default=0) == 1 and len(item.categories) >= FEWEST_VALUES and item.is_text:
        return "no training value comes twice: every new value is unseen"
    if rare >= NEARLY_ALL * held:
        return "nearly all training rows are of rare values: a change among these cannot show"
    if max(item.counts, default=0) == item.rows:
        return "all training rows have one value: only other values can show"
    return ""
