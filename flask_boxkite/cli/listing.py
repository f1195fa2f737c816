"""The parts of a report that a command lists, and a line about the rest: the same in a table and in Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from flask_boxkite.drift.failures import failed_line, failed_text
from flask_boxkite.drift.verdict import IGNORED
from flask_boxkite.drift.wording import by_reason
from flask_boxkite.live.failed import Failures, OddFeature
from flask_boxkite.quoting import printable

__all__ = ["failed", "listed", "not_listed"]

_QUIET = {"stable": "stable", "not enough data": "with not enough data", IGNORED: IGNORED}
"""Verdicts of variables that are listed only on request, as the end of "3 …"."""

Variables = Sequence[Mapping[str, Any]]


def listed(variables: Variables, *, shows_all: bool) -> Variables:
    """Return the variables that have moved, or may have; all on request."""
    return [item for item in variables if shows_all or item["verdict"] not in _QUIET]


def not_listed(variables: Variables) -> str:
    """Return a line about the variables that are listed only on request."""
    quiet = Counter(item["verdict"] for item in variables)
    parts = [f"{quiet[verdict]} {words}" for verdict, words in _QUIET.items() if quiet[verdict]]
    reasons = by_reason(variables, "not enough data")
    why = f": {reasons[0][1]}" if len(reasons) == 1 else ""
    return f"{', '.join(parts)}{why} (--all lists them)"


def failed(model: Mapping[str, Any]) -> str:
    """Return a sentence about odd features in requests that ended in 5xx; empty if there are none, or unknown."""
    content = model.get("failed")
    if not content or not content["features"]:
        return ""
    odd = tuple(OddFeature(*(item[name] for name in OddFeature._fields)) for item in content["features"])
    failures = Failures(content["rows"], content["unread"], odd)
    if "rows" not in model:  # of records, whose numbers by status are not above
        return printable(failed_line(failures, model["drift"]["window"]))
    return printable(f"Errors: {failed_text(failures)}")
