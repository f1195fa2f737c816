"""The note on records in which nothing was counted, or nothing of one side: the probable reason, and the remedy."""

from __future__ import annotations

from flask_boxkite.baseline import Baseline
from flask_boxkite.quoting import printable
from flask_boxkite.records.outcome_models import listed
from flask_boxkite.records.read_counts import ReadCounts
from flask_boxkite.suggestion import counted

__all__ = ["uncounted_note"]

_PLACES = {
    "feature": "@monitor.predict(features='…')",
    "output": "@monitor.predict(output='…')",
    "": "@monitor.predict(features='…', output='…')",
}
"""The remedy for requests that were not understood, by side."""


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
        return f"There are no records of this model and period at '{location}'. Is it the right place?"
    if not is_answered:
        return f"All {records} at '{location}' are of requests that ended in an error: only answered ones are judged."
    what = f"an {side}" if side == "output" else f"a {side}" if side else "a feature or output"
    if baseline.fingerprint in counts.rows_by_baseline:
        return (
            f"None of the {records} at '{location}' has {what} that fits: their requests were not understood. Say "
            f"where these stand: {_PLACES[side]}. The log and the drift page of the server say what was received."
        )
    names = listed([printable(repr(item.name)) for item in baseline.variables if side in ("", item.side)])
    return f"No record at '{location}' has {what} of {file}, which has {names}. {remedy}"
