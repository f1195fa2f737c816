"""A report on the performance of segments for people: as plain text of at most 100 columns, and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flask_boxkite.drift.wording import cut, escaped, markdown_row, when
from flask_boxkite.performance.wording import (
    METRIC_NAMES,
    decisive_line,
    not_counted,
    number_text,
    rows_not_judged,
    with_interval,
    wrapped,
)
from flask_boxkite.quoting import printable
from flask_boxkite.suggestion import counted
from flask_boxkite.text_table import text_table

__all__ = ["as_markdown", "as_text"]

_NAME = 22
_HEAD = ("segment", "rows", "outcomes", "expected", "realised", "verdict")


def as_text(report: Mapping[str, Any]) -> str:
    """Return the text of a report, in the order of its segments.

    Args:
        report: Report, in the form of `SegmentPerformanceReport.to_dict`.
    """
    rows = [[cut(name, _NAME), *cells] for name, *cells in _rows(report)]
    lines = [*wrapped(_summary(report))]
    if rows:
        lines += ["", *text_table([_HEAD, *rows], right=(1, 2))]
    for text in _details(report):
        lines += ["", *wrapped(text)]
    return "\n".join(lines)


def as_markdown(report: Mapping[str, Any]) -> str:
    """Return a report as a Markdown table below a line about the whole."""
    lines = [escaped(_summary(report)), "", markdown_row(_HEAD), markdown_row(["---"] * len(_HEAD))]
    lines += map(markdown_row, _rows(report))
    for text in _details(report):
        lines += ["", escaped(text)]
    return "\n".join(lines)


def _summary(report: Mapping[str, Any]) -> str:
    segments = report["segments"]
    verdicts = [segment["performance"]["verdict"] for segment in segments]
    worse = sum(verdict in ("worse", "much worse") for verdict in verdicts)
    few = verdicts.count("not enough data")
    rest = f"; {few} {'has' if few == 1 else 'have'} not enough data" if few else ""
    period, number = when(report["window"]), f"{counted(len(segments), 'segment')} by {printable(report['by'])!r}"
    text = f"By outcomes {period}, the model is worse than validated in {worse} of {number}{rest}."
    if few == len(segments):
        text = f"No verdict by outcomes {period}: none of {number} has enough data."
    about = f"Model {printable(report['model'])!r}, baseline {report['baseline']}, alpha {report['alpha']:g}."
    return " ".join(filter(None, (text, about, _metric_line(segments))))


def _metric_line(segments: Sequence[Mapping[str, Any]]) -> str:
    """Name the metric of the table, with its value in validation, which all segments share."""
    if not segments:
        return ""
    metric = segments[0]["performance"]["metrics"][0]
    return f"Of each segment, the {METRIC_NAMES[metric['name']]}: {number_text(metric['validated'])} in validation."


def _rows(report: Mapping[str, Any]) -> Iterator[list[str]]:
    for segment in report["segments"]:
        found = segment["performance"]
        metric, coverage = found["metrics"][0], found["coverage"]
        numbers = (f"{coverage['predictions']:,}", f"{coverage['outcomes']:,}")
        expected, realised = (with_interval(metric, of) for of in ("estimated", "realised"))
        yield [printable(segment["text"]), *numbers, expected, realised, found["verdict"]]


def _details(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield the change of each worse segment, doubts, and rows and outcomes that were not counted."""
    for segment in report["segments"]:
        if segment["performance"]["verdict"] in ("worse", "much worse"):
            yield f"{printable(segment['text'])}: {decisive_line(segment['performance'])}"
        elif segment["performance"]["coverage"]["rejected"]["invalid"] and segment["performance"]["reason"]:
            reason = printable(segment["performance"]["reason"])
            yield f"{printable(segment['text'])}: {reason}{'' if reason.endswith(('.', '?')) else '.'}"
    if unseen := sum(segment["performance"]["coverage"]["unseen"] for segment in report["segments"]):
        yield f"Outcomes of a class that validation never had, which count as wrong: {unseen:,}."
    yield from filter(None, (rows_not_judged(_coverage(report)), not_counted(report["rejected"])))


def _coverage(report: Mapping[str, Any]) -> dict[str, int]:
    """Return how many answered rows of all segments no outcome can judge, by reason."""
    parts = [segment["performance"]["coverage"] for segment in report["segments"]]
    counts = {reason: sum(part[reason] for part in parts) for reason in ("uncounted", "unread")}
    return {**counts, "keyless": report["keyless"]}
