"""Reports in which nothing was counted, or nothing of one side: their verdicts say nothing about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["are_uncounted", "uncounted", "uncounted_sides"]


def uncounted(variables: Sequence[Mapping[str, Any]]) -> str:
    """Return ``nothing``, ``no feature`` or ``no output``, as before "was counted"; empty if both sides have rows.

    Args:
        variables: Variables of a report, in the form of `VariableDrift.to_row`.
    """
    # A server of an earlier release may send the rows of the verdict alone.
    return uncounted_sides((item["side"], item.get("live_rows", item["rows"])) for item in variables)


def uncounted_sides(rows: Iterable[tuple[str, int]]) -> str:
    """Return the same for the side and the live rows of each variable."""
    has_rows: dict[str, bool] = {}
    for side, number in rows:
        has_rows[side] = has_rows.get(side, False) or number > 0
    empty = [side for side, has in has_rows.items() if not has]
    if not empty:
        return ""
    return "nothing" if len(empty) == len(has_rows) else f"no {empty[0]}"


def are_uncounted(segments: Sequence[Mapping[str, Any]]) -> bool:
    """Say whether nothing was counted in any segment, or there is none.

    Args:
        segments: Segments of a report, in the form of `SegmentReport.to_dict`.
    """
    return not any(
        uncounted(item["variables"]) != "nothing" if item["variables"] else item["rows"] for item in segments
    )
