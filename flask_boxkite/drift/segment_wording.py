"""A report of segments for people: as plain text of at most 100 columns, and as Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from flask_boxkite.drift.uncounted import are_uncounted, uncounted_segments
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
from flask_boxkite.naming import RARE
from flask_boxkite.quoting import printable
from flask_boxkite.suggestion import suggestion

__all__ = ["as_markdown", "as_text", "moved_variables", "sentence_name", "uncounted_lines", "unknown_segments"]

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
        *textwrap.wrap(printable(report.get("note") or ""), COLUMNS),
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
    for text in uncounted_lines(segments):
        lines += ["", *textwrap.wrap(text, COLUMNS, subsequent_indent="  ")]

    return "\n".join(lines)


def as_markdown(report: Mapping[str, Any]) -> str:
    """Return a report as a Markdown table below a line about the whole."""
    head = ("segment", "rows", "verdict", "drifted", "moved most")
    note = [escaped(printable(report["note"])), ""] if report.get("note") else []
    lines = [escaped(_summary(report)), "", *note, markdown_row(head), markdown_row(["---"] * len(head))]
    for item in report["segments"]:
        reason = _reason(item)
        verdict = f"{item['verdict']}: {reason}" if reason else item["verdict"]
        lines.append(markdown_row([_name(item), str(item["rows"]), verdict, _drifted(item), _moved(item, COLUMNS)]))
    for text in uncounted_lines(report["segments"]):
        lines += ["", escaped(text)]
    return "\n".join(lines)


def _summary(report: Mapping[str, Any]) -> str:
    segments = report["segments"]
    about = f"Model {report['model']!r}, baseline {report['baseline']}, alpha {report['alpha']:g}."
    if are_uncounted(segments):
        return f"Nothing was counted {when(report['window'])}, by {printable(report['by'])!r}. {about}"
    drifted = sum(item["verdict"] in MOVED for item in segments)
    against = f", against the same {when(report['against'])}" if report["against"] else ""
    if report.get("reference") == "all rows":  # of earlier releases' servers, there is none
        against = ", against all rows of training"
    return (
        f"{drifted} of {len(segments)} segments by {printable(report['by'])!r} drifted {when(report['window'])}"
        f"{against}{unclear_too(segments)}. {_moved_most(report)}{about}"
    )


def uncounted_lines(segments: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a sentence on each segment of which so many rows were not counted that no gate passes.

    Args:
        segments: Segments of a report, in the form of `SegmentReport.to_dict`.
    """
    return [f"{_name(item)}: {str(found)[0].lower()}{str(found)[1:]}" for item, found in uncounted_segments(segments)]


def unknown_segments(by: str, model: str | None, known: Sequence[str]) -> str:
    """Say that rows are not segmented by a variable, and the remedy.

    Args:
        by: Name of the variable.
        model: Name of the model; None for all.
        known: Names of the variables that segment rows.
    """
    of = "any model" if model is None else f"a model {model!r}"
    remedy = suggestion(by, known) if known else "Name variables for that in training: segments=['country']."
    return f"There are no segments by {by!r} of {of}. {remedy}"


def _moved_most(report: Mapping[str, Any]) -> str:
    """Say which segment moved most, as a sentence and a blank; empty if none has drifted."""
    segment = next(iter(report["segments"]), None)
    if segment is None or segment["verdict"] not in MOVED:
        return ""
    name = cut(sentence_name(segment["name"], printable(segment["text"])), _NAME)
    return f"{name} moved most: {moved_variables(segment, report.get('together'))} "


def sentence_name(name: str, text: str) -> str:
    """Return the name of a segment for people, as a sentence begins with it: values keep their spelling."""
    return f"{text[0].upper()}{text[1:]}" if name == RARE else text


def moved_variables(segment: Mapping[str, Any], together: Sequence[Mapping[str, Any]] | None) -> str:
    """Say which variables of a segment have drifted, and whether all rows together have, as a sentence.

    Args:
        segment: Segment in which at least one variable has.
        together: Verdicts on all rows together, in the form of `SegmentReport.to_dict`; None if they are unknown.
    """
    moved = [item for item in segment["variables"] if item["verdict"] in MOVED]
    more = f" and {len(moved) - 1} more" if len(moved) > 1 else ""
    text = f"{cut(title(moved[0]), _NAME)}{more} {'have' if more else 'has'} drifted"
    if together is None:
        return f"{text}."
    everywhere = {(item["side"], item["name"]) for item in together if item["verdict"] in MOVED}
    both = sum((item["side"], item["name"]) in everywhere for item in moved)
    if not both:
        return f"{text}; all rows together have not."
    if both == len(moved):
        return f"{text}, as in all rows together."
    return f"{text}, of which {both} {'has' if both == 1 else 'have'} in all rows together."


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
