"""Answered rows that were not counted: all of them, all of one side, or some, about which verdicts say nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from flask_boxkite.naming import MISSING, RARE

__all__ = [
    "MOST_UNCOUNTED",
    "Uncounted",
    "are_uncounted",
    "too_many",
    "uncounted",
    "uncounted_segments",
    "uncounted_sides",
]

MOST_UNCOUNTED = 0.1
"""Largest share of rows that may be uncounted where a gate passes. If a group has a tenth of the training rows, its
variable is ``drifted`` (a PSI of 0.1) once 12.6 % of all rows have moved into it, so that a tenth cannot hide that."""

LEAST_UNCOUNTED = 30
"""Least number of them for which a gate fails: fewer rows have no verdict on their own."""


class Uncounted(NamedTuple):
    """Answered rows whose features or outputs were not found, or did not fit.

    Attributes:
        rows: Number of all answered rows.
        features: Number of these whose features were not counted.
        outputs: Number of these whose outputs were not counted.
    """

    rows: int
    features: int
    outputs: int

    @classmethod
    def of(cls, answered: int, counts: Iterable[tuple[str, int]]) -> Uncounted:
        """Return the rows that the counts lack. A request without features counts as one row; its outputs may be more.

        Args:
            answered: Number of answered rows.
            counts: Side and counted rows of each variable.
        """
        most: dict[str, int] = {}
        for side, rows in counts:
            most[side] = max(rows, most.get(side, 0))
        every = max([answered, *most.values()])
        return cls(every, *(every - most.get(side, every) for side in ("feature", "output")))

    def without(self, side: str) -> Uncounted:
        """Return the same without the rows of a side, ``feature`` or ``output``; of both with an empty text."""
        return self._replace(**dict.fromkeys([f"{side}s"] if side else ["features", "outputs"], 0))

    @property
    def most(self) -> int:
        """The larger number of both sides."""
        return max(self.features, self.outputs)

    @property
    def are_too_many(self) -> bool:
        """Whether verdicts on the other rows tell too little for a gate."""
        return self.most >= LEAST_UNCOUNTED and self.most > MOST_UNCOUNTED * self.rows

    def __str__(self) -> str:
        """Return "Of 100 answered rows, the features of 30 were not counted: …"; empty if all were."""
        sides = (("features", self.features), ("outputs", self.outputs))
        found = " and ".join(f"the {side} of {rows:,}" for side, rows in sides if rows)
        if not found:
            return ""
        return f"Of {self.rows:,} answered rows, {found} were not counted: they were not found, or do not fit."


def outputs_note(model: str, coverage: Mapping[str, Any]) -> str:
    """Say of how many rows a report on performance lacks the output, if no gate passes so many; else empty.

    Args:
        model: Name of the model, or of a segment.
        coverage: Coverage of the report, in the form of `performance.report.Coverage`; an older server's lacks it.
    """
    lost = coverage.get("uncounted", 0)
    rows = lost + coverage.get("unread", 0) + coverage.get("predictions", 0)
    if not Uncounted(rows, 0, lost).are_too_many:
        return ""
    return f"{model!r}: the output of {lost:,} of {rows:,} answered rows was not found, too many for a verdict."


def too_many(report: Mapping[str, Any]) -> bool:
    """Say whether so many rows of a report were not counted that no gate passes it.

    Args:
        report: Report, in the form of `to_dict`; an older server's does not say how many.
    """
    found = report.get("uncounted")
    return found is not None and Uncounted(found["rows"], found["features"], found["outputs"]).are_too_many


def uncounted_segments(segments: Sequence[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], Uncounted]]:
    """Return the segments of which too many rows were not counted.

    Args:
        segments: Segments of a report, in the form of `SegmentReport.to_dict`. The ones of rows without a known value
            are left out: most rows without features are there.
    """
    named = (item for item in segments if item["name"] not in (MISSING, RARE) and too_many(item))
    return [(item, Uncounted(**item["uncounted"])) for item in named]


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
