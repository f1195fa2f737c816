"""A performance report for people: as plain text of at most 100 columns, and as Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from flask_boxkite.drift.wording import COLUMNS, cut, escaped, markdown_row, number, percent, rounded, when
from flask_boxkite.live.outcome_cells import LAG_BOUNDS
from flask_boxkite.performance.outside import MOST_OUTSIDE
from flask_boxkite.performance.verdict import MARKS
from flask_boxkite.quoting import printable
from flask_boxkite.suggestion import counted, suggestion
from flask_boxkite.text_table import text_table

__all__ = [
    "BLIND",
    "METRIC_NAMES",
    "NONE",
    "REASONS",
    "as_markdown",
    "as_text",
    "coverage_line",
    "decisive_line",
    "duration",
    "effect_lines",
    "expectation_line",
    "metric_named",
    "metric_texts",
    "not_counted",
    "number_text",
    "rows_not_judged",
    "uncounted_lines",
    "verdict_line",
    "with_interval",
    "wrapped",
]

_Metric = TypeVar("_Metric", bound="_Named")

METRIC_NAMES = {
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "auc": "AUC",
    "brier": "Brier score",
    "log_loss": "log loss",
    "mae": "mean absolute error",
    "rmse": "root mean squared error",
    "bias": "bias",
}
"""Names of metrics in all texts for people."""

BLIND = (
    "Expected values follow from the outputs alone. They hold while an output means the same as in validation; only "
    "outcomes show whether they still do."
)
"""Limit of every expectation, which each view of it states."""

_SUBJECTS = {
    "wrong rows": "Of rows with such outputs, {before} were wrong in validation, {now} are wrong now.",
    "wrong order": "Of pairs of rows with such outputs, {before} were in the wrong order in validation, {now} are now.",
    "positives": "Of rows with such scores, {before} were positive in validation, {now} are positive now.",
    "absolute error": "The mean absolute error was {before} in validation, and is {now} now.",
    "large errors": "The mean absolute error was {before} in validation, and is {now} now.",
}
REASONS = {
    "unknown": "of unknown predictions",
    "repeated": "sent again",
    "late": "too late to be matched",
    "invalid": "with a value that cannot be read",
    "failed": "that could not be written",
    "unread": "of rows whose output cannot be read",
}
"""Reasons for which outcomes are not counted (`naming.REJECTIONS`), as the end of "3 outcomes …"."""

_RECEIVED = "The drift report says what came instead."
_NOT_JUDGED = {
    "uncounted": ("whose output was not found, or does not fit", _RECEIVED),
    "unread": ("whose output cannot be read", _RECEIVED),
    "keyless": ("without a key", "Give it in the view: @monitor.predict(key=…)."),
}
"""Reasons for which no outcome can judge an answered row (`report.Coverage`), and the remedies."""

NONE = "\N{EN DASH}"
"""Text for a number that does not exist."""

_LEAST_UNREAD = 0.1
"""Share of outcomes with a value that cannot be read from which no verdict stands without it."""

_SHOWN_CLASSES = 10
_EFFECTS = 5
_LEAST_EFFECT = 0.001
_UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


class _Named(Protocol):
    @property
    def name(self) -> str: ...


def metric_named(metrics: Sequence[_Metric], name: str) -> _Metric:
    """Return the metric of a name: the one in code, such as ``auc``, or the one in texts, such as ``AUC``.

    Raises:
        KeyError: There is no such metric.
    """
    for metric in metrics:
        if name in (metric.name, METRIC_NAMES[metric.name]):
            return metric
    msg = f"No metric {name!r}. {suggestion(name, [metric.name for metric in metrics])}"
    raise KeyError(msg)


def as_text(report: Mapping[str, Any]) -> str:
    """Return the text of a report.

    Args:
        report: Report, in the form of `PerformanceReport.to_dict`.
    """
    rows = [texts[:4] for texts in metric_texts(report)]
    lines = [
        *wrapped(f"{verdict_line(report)} {_about(report)}"),
        *wrapped(coverage_line(report)),
        "",
        *text_table([("metric", "validated", "expected", "realised"), *rows], (23, 9, 27), right=(1,)),
    ]
    for text in (expectation_line(report), *effect_lines(report), *uncounted_lines(report), BLIND):
        if text:
            lines += ["", *wrapped(text)]
    return "\n".join(lines)


def as_markdown(report: Mapping[str, Any], heading: str | None = None) -> str:
    """Return a report as a Markdown table below a line about the whole, or below another heading."""
    head = ("metric", "validated", "expected", "realised", "of all rows")
    lines = [
        escaped(heading or f"{verdict_line(report)} {_about(report)}"),
        "",
        markdown_row(head),
        markdown_row(["---"] * len(head)),
    ]
    lines += [markdown_row(list(texts)) for texts in metric_texts(report)]
    for text in (coverage_line(report), *uncounted_lines(report)):
        lines += ["", escaped(text)]
    return "\n".join(lines)


def metric_texts(report: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield the name of each metric, then its validated, expected and realised value, and the value of all rows."""
    for metric in report["metrics"]:
        expected, realised, represented = (with_interval(metric, of) for of in ("estimated", "realised", "represented"))
        yield METRIC_NAMES[metric["name"]], number_text(metric["validated"]), expected, realised, represented


def verdict_line(report: Mapping[str, Any]) -> str:
    """Say whether outputs are as right as in validation, by outcomes, and whether they have moved to worse ones."""
    verdict, period, unread = report["verdict"], when(report["window"]), _unread(report)
    end = f" {unread}." if unread else ""
    if verdict == "as validated":
        is_number = report["kind"] == "regression"
        if is_number and (larger := _larger(report["metrics"][0])):
            return f"By outcomes {period}, {larger}.{end}"
        line = "errors are no larger than" if is_number else "outputs are as right as such outputs were"
        moved = "worse ones have become more frequent" if _expects_worse(report) and not is_number else ""
        limits = " and ".join(filter(None, (moved, unread)))
        return f"By outcomes {period}, {line} in validation{f', but {limits}' if limits else ''}."
    if verdict == "not enough data":
        reason = report["reason"]
        stop = "" if reason.endswith((".", "?")) else "."
        return f"No verdict by outcomes {period}: {reason}{stop}{'' if unread and unread in reason else end}"
    detail = decisive_line(report)
    return f"By outcomes {period}, the model is {verdict} than validated.{f' {detail}' if detail else ''}{end}"


def decisive_line(report: Mapping[str, Any]) -> str:
    """Return the surest change since validation as a sentence; empty without comparisons."""
    decisive = min(report["comparisons"], key=lambda item: item["chance"], default=None)
    return "" if decisive is None else _compared(decisive)


def _larger(metric: Mapping[str, Any]) -> str:
    """Say by how much the mean absolute error is larger than in validation; empty if it may be as large."""
    before, now, low = metric["validated"], metric["realised"], metric["realised_low"]
    if before is None or now is None or low is None or low <= before:
        return ""
    mark = MARKS["absolute error"][0].part
    limit = f"by less than {mark:.0%}" if now < (1 + mark) * before else "with too few large errors for a verdict"
    return (
        f"the mean absolute error was {number_text(before)} in validation, and is {with_interval(metric, 'realised')} "
        f"now: larger, but {limit}"
    )


def _unread(report: Mapping[str, Any]) -> str:
    """Say how many outcomes could not be read; empty if they are few."""
    unread = report["coverage"]["rejected"]["invalid"]
    every = report["coverage"]["outcomes"] + unread
    return f"{unread:,} of {every:,} outcomes could not be read" if unread and unread >= _LEAST_UNREAD * every else ""


def _compared(item: Mapping[str, Any]) -> str:
    write = number_text if item["subject"] in ("absolute error", "large errors") else _share
    return _SUBJECTS[item["subject"]].format(before=write(item["before"]), now=write(item["now"]))


def expectation_line(report: Mapping[str, Any]) -> str:
    """Say how much worse live outputs lead to expect the model to be, or why they do not tell; empty if it is not."""
    if report["outside"] > MOST_OUTSIDE and report["metrics"][0]["estimated"] is None:
        share = percent(report["outside"])
        return f"Expected quality cannot be said: {share} of the outputs are where validation had hardly any."
    if not _expects_worse(report):
        return ""
    metric = report["metrics"][0]
    return (
        f"By its outputs, the model is expected to be {report['expectation']} than validated: "
        f"{METRIC_NAMES[metric['name']]} {number_text(metric['validated'])} → {number_text(metric['estimated'])}."
    )


def _expects_worse(report: Mapping[str, Any]) -> bool:
    return report["expectation"] in ("worse", "much worse")


def uncounted_lines(report: Mapping[str, Any]) -> list[str]:
    """Return sentences on the rows that no outcome can judge, and on the outcomes that were not counted."""
    coverage = report["coverage"]
    return list(filter(None, (rows_not_judged(coverage), not_counted(coverage["rejected"]))))


def rows_not_judged(coverage: Mapping[str, Any]) -> str:
    """Say how many answered rows no outcome can judge, why, and the remedy; empty if there are none.

    Args:
        coverage: Coverage, in the form of `Coverage`; an older server's does not say it.
    """
    counts = [(coverage.get(reason, 0), text, remedy) for reason, (text, remedy) in _NOT_JUDGED.items()]
    found = [(f"{rows:,} {text}", remedy) for rows, text, remedy in counts if rows]
    if not found:
        return ""
    remedies = " ".join(dict.fromkeys(remedy for _, remedy in found))
    return f"Rows that no outcome can judge: {', '.join(text for text, _ in found)}. {remedies}"


def not_counted(rejected: Mapping[str, int]) -> str:
    """Say how many outcomes were not counted, by reason; empty if all were."""
    counts = {reason: number for reason, number in rejected.items() if number}
    if not counts:
        return ""
    listed = ", ".join(f"{number:,} {REASONS[reason]}" for reason, number in counts.items())
    return f"Outcomes that were not counted: {listed}."


def _about(report: Mapping[str, Any]) -> str:
    return f"Model {printable(report['model'])!r}, baseline {report['baseline']}, alpha {report['alpha']:g}."


def coverage_line(report: Mapping[str, Any]) -> str:
    """Say how many outcomes came, how long they took, and how many are of a class that validation never had."""
    coverage = report["coverage"]
    predictions, outcomes = coverage["predictions"], coverage["outcomes"]
    share = "" if coverage["share"] is None else f" ({percent(min(coverage['share'], 1.0))})"
    text = f"{counted(predictions, 'prediction')}, {counted(outcomes, 'outcome')}{share}"
    if coverage["lag_median"] is not None:
        half, most = (_within(coverage[key]) for key in ("lag_median", "lag_95"))
        text += f", half of them within {half}, 95 % within {most}"
    return f"{text}.{_unseen(report)}"


def _unseen(report: Mapping[str, Any]) -> str:
    """Say how many outcomes are of other classes, and which to look for: their values are not kept."""
    unseen, outcomes = report["coverage"]["unseen"], report["coverage"]["outcomes"]
    if not unseen:
        return ""
    labels = report["labels"]
    listed = ", ".join(cut(printable(label), 30) for label in labels[:_SHOWN_CLASSES])
    others = f"none of its {len(labels)} classes" if len(labels) > _SHOWN_CLASSES else f"none of {listed}"
    text = (
        f"{unseen:,} of the {outcomes:,} outcomes {'is' if unseen == 1 else 'are'} of a class that validation never had"
    )
    return f" {text}, and count as wrong: look for actual values that are {others}."


def _within(seconds: float) -> str:
    """Return a time to an outcome; times below a minute are not told apart."""
    return "a minute" if seconds <= LAG_BOUNDS[0] else duration(seconds)


def effect_lines(report: Mapping[str, Any]) -> Iterator[str]:
    """Say which features' shifts change the expected quality most; nothing if none does."""
    name = METRIC_NAMES[report["metrics"][0]["name"]]
    shown = [item for item in report["effects"] if abs(item["effect"]) >= _LEAST_EFFECT][:_EFFECTS]
    if shown:
        listed = ", ".join(f"{cut(printable(item['feature']), 30)} {item['effect']:+.3f}" for item in shown)
        yield f"Effect of the features' shifts on the expected {name}: {listed}."


def duration(seconds: float) -> str:
    """Return a time for people, in its largest unit: ``3.2 d``.

    >>> duration(276480.0), duration(90.0)
    ('3.2 d', '1.5 min')
    """
    size, unit = next((pair for pair in _UNITS if seconds >= pair[0]), _UNITS[-1])
    return f"{seconds / size:.2g} {unit}"


def with_interval(metric: Mapping[str, Any], of: str) -> str:
    """Return a number of a metric with the ends of its interval, if it has one."""
    value, low, high = metric[of], metric[f"{of}_low"], metric[f"{of}_high"]
    if low is None or high is None:
        return number_text(value)
    return f"{number_text(value)} ({number_text(low)} to {number_text(high)})"


def number_text(value: float | None) -> str:
    """Return a metric for people: with three decimals; one that is large or tiny with as many digits as say enough."""
    if value is None:
        return NONE
    if 0 < abs(value) < 0.001:
        return number(value)
    return f"{value:.3f}" if abs(value) < 100 else number(rounded(value, 4), 4)


def _share(value: float | None) -> str:
    return NONE if value is None else percent(value)


def wrapped(text: str) -> list[str]:
    """Return the lines of a text."""
    return textwrap.wrap(text, COLUMNS)
