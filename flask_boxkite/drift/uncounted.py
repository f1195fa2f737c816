"""Reports in which nothing was counted, or nothing of one side: their verdicts say nothing about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["are_uncounted", "uncounted"]


def uncounted(variables: Sequence[Mapping[str, Any]]) -> str:
    """Return ``nothing``, ``no feature`` or ``no output``, as before "was counted"; empty if both sides have rows.

    Args:
        variables: Variables of a report, in the form of `VariableDrift.to_row`.
    """
    has_rows: dict[str, bool] = {}
    for item in variables:
        rows = item.get("live_rows", item["rows"])  # a server of an earlier release may send the verdict's alone
        has_rows[item["side"]] = has_rows.get(item["side"], False) or rows > 0
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
