"""The note on a live report in which not all rows were counted: how many were not understood, and the remedy."""

from __future__ import annotations

from collections.abc import Mapping

from flask_boxkite.drift.report import DriftReport
from flask_boxkite.drift.uncounted import Uncounted, uncounted_sides
from flask_boxkite.drift.wording import when
from flask_boxkite.suggestion import counted

__all__ = ["rows_note", "uncounted_note"]

_REASONS = {
    "features": "features were not found in {}",
    "output": "the output was not found in {}",
    "internal": "capturing failed in {}",
}
"""Text about capture errors, by reason of the error."""

_OTHER_SIDE = {"no feature": "output", "no output": "features"}
"""Reason that has to do with the other side alone."""

_RECEIVED = "The log says what was received."


def rows_note(
    report: DriftReport, capture_errors: Mapping[str, int], rows: Mapping[str, int], notes: Mapping[str, str]
) -> str:
    """Say how many rows were not counted, and why; empty if all were. See `uncounted_note`."""
    whole = uncounted_note(report, capture_errors, rows, notes)
    found = report.uncounted
    if found is None:
        return whole
    if what := uncounted_sides((item.side, item.live_rows) for item in report):
        found = found.without(what.removeprefix("no ") if what != "nothing" else "")
    return " ".join(filter(None, (whole, str(found), _remedy(found, notes) if found.most else "")))


def _remedy(found: Uncounted, notes: Mapping[str, str]) -> str:
    """Return the latest hints on requests that were not understood; of few, the place of these."""
    if not found.are_too_many:
        return _RECEIVED
    reasons = [reason for reason, rows in (("features", found.features), ("output", found.outputs)) if rows]
    return " ".join(dict.fromkeys(notes.get(reason) or notes.get("internal") or _RECEIVED for reason in reasons))


def uncounted_note(
    report: DriftReport, capture_errors: Mapping[str, int], rows: Mapping[str, int], notes: Mapping[str, str]
) -> str:
    """Say why nothing was counted, or nothing of one side; empty if both sides have rows, or it is not known.

    Args:
        report: The report.
        capture_errors: Requests of its window whose features or output were not found, by reason.
        rows: Predicted rows of its window, by status.
        notes: Latest hint on each kind of capture error.
    """
    what = uncounted_sides((item.side, item.live_rows) for item in report)
    if not what:
        return ""
    found = [reason for reason in _REASONS if capture_errors.get(reason) and reason != _OTHER_SIDE.get(what)]
    if found:
        errors = " and ".join(_REASONS[reason].format(counted(capture_errors[reason], "request")) for reason in found)
        hints = [notes.get(reason, _RECEIVED) for reason in found]
        return " ".join([f"{errors[0].upper()}{errors[1:]}, so {what} was counted.", *dict.fromkeys(hints)])
    if what != "nothing" or rows.get("ok"):
        return ""
    if failed := sum(rows.values()):
        return f"{counted(failed, 'prediction')} ended in an error (4xx or 5xx), and only answered ones are judged."
    return f"No prediction came {when(report.window)}."
