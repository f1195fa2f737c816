"""A report of segments for people: as plain text of at most 100 columns, and as Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from flask_boxkite.drift.verdict import IGNORED, MOVED
from flask_boxkite.drift.wording import (
    COLUMNS,
    cut,
    escaped,
    markdown_row,
    moved_most,
    title,
    unclear_too,
    when,
    without_ignored,
)
from flask_boxkite.quoting import printable

__all__ = ["as_markdown", "as_text"]

_NAME = 24


def as_text(report: Mapping[str, Any], failed: str = "") -> str:
    """Return the text of a report, in the order of its segments.

    Args:
        report: Report, in the form of `SegmentReport.to_dict`.
        failed: Text about odd features of failed requests; empty for none.
    """
    segments: Sequence[Mapping[str, Any]] = report["segments"]
    names = [cut(_name(item), _NAME) for item in segments]
    width = max(map(len, ["segment", *names]))
    lines = [
        *textwrap.wrap(_summary(report), COLUMNS),
        *textwrap.wrap(printable(failed), COLUMNS),
        "",
        f"{'segment':<{width}} {'rows':>9} {'verdict':<15} {'drifted':>7}  moved most",
    ]

    for item, name in zip(segments, names, strict=True):
        line = f"{name:<{width}} {item['rows']:>9} {item['verdict']:<15} {_drifted(item):>7}  "
        lines.append(line + _moved(item, COLUMNS - len(line)))
    for item in segments:
        if reason := _reason(item):
            lines += ["", *textwrap.wrap(f"{_name(item)} is unclear: {reason}", COLUMNS, subsequent_indent="  ")]

    return "\n".join(lines)


def as_markdown(report: Mapping[str, Any]) -> str:
    """Return a report as a Markdown table below a line about the whole."""
    head = ("segment", "rows", "verdict", "drifted", "moved most")
    lines = [escaped(_summary(report)), "", markdown_row(head), markdown_row(["---"] * len(head))]
    for item in report["segments"]:
        reason = _reason(item)
        verdict = f"{item['verdict']}: {reason}" if reason else item["verdict"]
        lines.append(markdown_row([_name(item), str(item["rows"]), verdict, _drifted(item), _moved(item, COLUMNS)]))
    return "\n".join(lines)


def _summary(report: Mapping[str, Any]) -> str:
    segments = report["segments"]
    drifted = sum(item["verdict"] in MOVED for item in segments)
    against = f", against the same {when(report['against'])}" if report["against"] else ""
    return (
        f"{drifted} of {len(segments)} segments by {printable(report['by'])!r} drifted {when(report['window'])}"
        f"{against}{unclear_too(segments)}. "
        f"Model {report['model']!r}, baseline {report['baseline']}, alpha {report['alpha']:g}."
    )


def _name(segment: Mapping[str, Any]) -> str:
    return printable(segment["text"])


def _reason(segment: Mapping[str, Any]) -> str:
    """Return the reason for which a segment is unclear: its first variable's, with the variable's name."""
    if segment["verdict"] != "unclear":
        return ""
    worst = segment["variables"][0]
    return f"{title(worst)} ({worst['reason']})"


def _drifted(segment: Mapping[str, Any]) -> str:
    variables = without_ignored(segment["variables"])
    return f"{sum(item['verdict'] in MOVED for item in variables)}/{len(variables)}"


def _moved(segment: Mapping[str, Any], room: int) -> str:
    """Name the variable that moved most, and its change; a dash if there are too few rows."""
    if not segment["variables"] or segment["verdict"] in ("not enough data", IGNORED):
        return "-"
    worst = segment["variables"][0]
    name = cut(title(worst), _NAME)
    return f"{name} {moved_most(worst, room - len(name) - 1)}"
