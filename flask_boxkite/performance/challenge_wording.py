"""A report on a challenger for people: as plain text of at most 100 columns, and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flask_boxkite.drift.wording import cut, escaped, markdown_row, percent, when
from flask_boxkite.performance.wording import METRIC_NAMES, NONE, REASONS, number_text, with_interval, wrapped
from flask_boxkite.quoting import printable
from flask_boxkite.text_table import text_table

__all__ = ["as_markdown", "as_text"]

_VERDICTS = {
    "better": "the challenger is better than the champion",
    "worse": "the challenger is worse than the champion",
    "mixed": "the challenger is better than the champion in some metrics, and worse in others",
    "no difference shown": "no difference between challenger and champion is shown",
}
_REASONS = {"alone": "of rows that only one model answered", **REASONS}
_UNPAIRED = {
    "repeated": "rows whose key came again",
    "keyless": "rows without a key",
    "unread": "rows whose output cannot be read",
}
_PAIRING = (
    "Log the challenger in the champion's view, with log_prediction(model=...), or give both predictions the same key, "
    "and its name as 'key'."
)


def as_text(report: Mapping[str, Any]) -> str:
    """Return the text of a report, with a table if there are outcomes.

    Args:
        report: Report, in the form of `ChallengeReport.to_dict`.
    """
    lines = [
        *wrapped(f"{_verdict_line(report)} {_about(report)}"),
        *(line for text in _row_lines(report) for line in wrapped(text)),
    ]
    if report["outcomes"]:
        rows = [(METRIC_NAMES[metric["name"]], *_cells(metric)) for metric in _metrics(report)]
        head = ("metric", "champion", "challenger", "difference", "verdict")
        lines += ["", *text_table([head, *rows], (23, 9, 10, 29), right=(1, 2))]
    return "\n".join(lines)


def as_markdown(report: Mapping[str, Any]) -> str:
    """Return a report as lines about the whole and, if there are outcomes, a Markdown table."""
    head = ("metric", "champion", "challenger", "difference", "verdict")
    lines = [
        escaped(f"{_verdict_line(report)} {_about(report)}"),
        "",
        escaped(" ".join(_row_lines(report))),
    ]
    if report["outcomes"]:
        lines += ["", markdown_row(head), markdown_row(["---"] * len(head))]
    for metric in _metrics(report):
        own = [with_interval(metric, of) for of in ("champion", "challenger")]
        lines.append(markdown_row([METRIC_NAMES[metric["name"]], *own, _difference(metric), metric["verdict"] or NONE]))
    return "\n".join(lines)


def _metrics(report: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the metrics to show; without outcomes, none has a value."""
    metrics: Sequence[Mapping[str, Any]] = report["metrics"] if report["outcomes"] else ()
    return metrics


def _verdict_line(report: Mapping[str, Any]) -> str:
    period = when(report["window"])
    if report["verdict"] == "not enough data":
        reason = report["reason"] or "no metric rests on enough rows"
        return f"No verdict {period}: {reason}{'' if reason.endswith(('.', '?')) else '.'}"
    return f"By {report['outcomes']:,} outcomes {period}, {_VERDICTS[report['verdict']]}."


def _about(report: Mapping[str, Any]) -> str:
    sides = ", ".join(f"{side} {_named(report[side])}" for side in ("champion", "challenger"))
    return f"{sides[0].upper()}{sides[1:]}; {report['kind']}, alpha {report['alpha']:g}."


def _named(side: Mapping[str, Any]) -> str:
    version = "" if side["version"] is None else f" version {cut(printable(side['version']), 30)}"
    return f"{printable(side['model'])!r}{version} (baseline {side['baseline']})"


def _row_lines(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield lines on the rows: how many are paired, how far apart the outputs are, and which outcomes do not count."""
    yield _paired_line(report)
    if report["rows"]:
        yield _disagreement_line(report)
    if unseen := report["unseen"]:
        yield f"Outcomes of a class that neither validation had, for which both models are wrong: {unseen:,}."
    counts = {reason: number for reason, number in report["rejected"].items() if number}
    if counts:
        listed = ", ".join(f"{number:,} {_REASONS[reason]}" for reason, number in counts.items())
        yield f"Outcomes that were not counted: {listed}."
    if report["note"]:
        yield printable(report["note"])


def _paired_line(report: Mapping[str, Any]) -> str:
    sides = {name: report[name] for name in ("champion", "challenger")}
    others = [f"{side['alone']:,} only the {name}" for name, side in sides.items() if side["alone"]]
    for reason, text in _UNPAIRED.items():
        number = sum(side[reason] for side in sides.values())
        others += [f"{number:,} {text}"] if number else []
    rest = f"; besides, {', '.join(others)}" if others else ""
    line = f"Both models answered {report['rows']:,} rows by {printable(report['key'])}{rest}."
    has_rows = all(side["rows"] for side in sides.values())
    return f"{line} {_PAIRING}" if has_rows and not report["rows"] else line


def _disagreement_line(report: Mapping[str, Any]) -> str:
    found = report["disagreement"]
    if not report["labels"]:
        ends = "" if found["low"] is None else f" ({number_text(found['low'])} to {number_text(found['high'])})"
        text = f"Their outputs are {number_text(found['value'])}{ends} apart on average"
        return f"{text}, the challenger's {_signed(found['shift'])} from the champion's."
    ends = f" ({percent(found['low'])} to {percent(found['high'])})"
    text = f"They predict another class in {percent(found['value'])}{ends} of rows"
    right = report["right"]
    if report["outcomes"]:
        text += f"; of these with an outcome, the champion is right in {right['champion']:,}"
        text += f", the challenger in {right['challenger']:,}"
    return f"{text}."


def _cells(metric: Mapping[str, Any]) -> tuple[str, str, str, str]:
    champion, challenger = number_text(metric["champion"]), number_text(metric["challenger"])
    return champion, challenger, _difference(metric), metric["verdict"] or ""


def _difference(metric: Mapping[str, Any]) -> str:
    value, low, high = (metric[key] for key in ("difference", "difference_low", "difference_high"))
    ends = "" if low is None or high is None else f" ({_signed(low)} to {_signed(high)})"
    return f"{_signed(value)}{ends}"


def _signed(value: float | None) -> str:
    if value is None:
        return NONE
    if abs(value) < 100:
        return f"{value:+.4f}"
    return f"{'+' if value > 0 else ''}{number_text(value)}"
