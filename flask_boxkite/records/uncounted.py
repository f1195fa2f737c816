"""The note on records of which nothing was counted, nothing of one side, or not all: the reason, and the remedy."""

from __future__ import annotations

from flask_boxkite.baseline import Baseline
from flask_boxkite.drift.uncounted import Uncounted, uncounted_sides
from flask_boxkite.quoting import printable
from flask_boxkite.records.outcome_models import listed
from flask_boxkite.records.read_counts import ReadCounts
from flask_boxkite.records.segment_counts import SegmentCounts
from flask_boxkite.suggestion import counted

__all__ = ["rows_note", "uncounted_note"]

_PLACES = {
    "feature": "@monitor.predict(features='…')",
    "output": "@monitor.predict(output='…')",
    "": "@monitor.predict(features='…', output='…')",
}
"""The remedy for requests that were not understood, by side."""

_RECEIVED = "The log and the drift page of the server say what was received."


def rows_note(counts: SegmentCounts, baseline: Baseline, read: ReadCounts, location: str, *, is_answered: bool) -> str:
    """Say how many rows were not counted, and why; empty if all were.

    Args:
        counts: Counts of the rows.
        baseline: Baseline of the comparison.
        read: Counts of the reading.
        location: Location of the records.
        is_answered: Whether any record is of an answered request.
    """
    found, note = counts.uncounted(baseline), ""
    sides = ((item.side, int(counts.cells[item.cells].sum())) for item in baseline.variables)
    if what := uncounted_sides(sides):
        side = what.removeprefix("no ") if what != "nothing" else ""
        note = uncounted_note(read, baseline, location, side=side, is_answered=is_answered)
        found = found.without(side)
    return " ".join(filter(None, (note, str(found), _remedy(found, baseline, read) if found.most else "")))


def _remedy(found: Uncounted, baseline: Baseline, read: ReadCounts) -> str:
    """Return the remedy for rows that were not counted; a short one for few."""
    others = sum(rows for name, rows in read.rows_by_baseline.items() if name != baseline.fingerprint)
    if found.most <= others < read.rows:
        return f"{counted(others, 'row')} came with another baseline: 'fingerprint' leaves them out."
    if not found.are_too_many:
        return _RECEIVED
    side = "" if found.features and found.outputs else "feature" if found.features else "output"
    return f"Say where these stand: {_PLACES[side]}. {_RECEIVED}"


def uncounted_note(
    counts: ReadCounts,
    baseline: Baseline,
    location: str,
    *,
    side: str = "",
    is_answered: bool = True,
    file: str = "the baseline",
    remedy: str = "Give the baseline of this model.",
) -> str:
    """Say why nothing was counted.

    Args:
        counts: Counts of the reading.
        baseline: Baseline of the comparison.
        location: Location of the records.
        side: Side of the variables that were not counted; empty for both.
        is_answered: Whether any record is of an answered request.
        file: Name of the baseline's file for people.
        remedy: Sentence on how to give another baseline.
    """
    records = counted(counts.records, "record")
    if not counts.records:
        return (
            f"There are no records of this model and period at '{location}'. Is it the right place? Files of records "
            "stand in folders of their dates: 2026-01-31/0800_….txt."
        )
    if not is_answered:
        return f"All {records} at '{location}' are of requests that ended in an error: only answered ones are judged."
    what = f"an {side}" if side == "output" else f"a {side}" if side else "a feature or output"
    if baseline.fingerprint in counts.rows_by_baseline:
        return (
            f"None of the {records} at '{location}' has {what} that fits: their requests were not understood. Say "
            f"where these stand: {_PLACES[side]}. {_RECEIVED}"
        )
    names = listed([printable(repr(item.name)) for item in baseline.variables if side in ("", item.side)])
    return f"No record at '{location}' has {what} of {file}, which has {names}. {remedy}"
