"""The conditions of which people are told: the ones of the alerts in Prometheus, from the reports of a model.

Reports are taken as JSON values (`DriftReport.to_dict`, `PerformanceReport.to_dict`), so that counts of this server, a
page of another one, and logged predictions are judged alike. Names and thresholds are the alerts' own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple

from flask_boxkite.drift.variable import finite_or_none
from flask_boxkite.drift.verdict import MOVED
from flask_boxkite.drift.wording import (
    moved_group,
    pair_change,
    pair_numbers,
    percent,
    percents,
    size_cell,
    title,
    variable_line,
)
from flask_boxkite.naming import segment_text
from flask_boxkite.notify.message import Subject
from flask_boxkite.performance.wording import expectation_line, verdict_line
from flask_boxkite.provision.alerts import CAPTURE_ERROR_SHARE, STOPPED_SHARE, USUALLY_MISSING_SHARE
from flask_boxkite.provision.performance import LEAST_ROWS
from flask_boxkite.quoting import printable

__all__ = [
    "Condition",
    "Judged",
    "capture_conditions",
    "drift_conditions",
    "key_of",
    "performance_conditions",
    "segment_conditions",
]

_WORSE = ("worse", "much worse")


class Condition(NamedTuple):
    """A condition that holds now; `message.Change` explains the fields.

    Attributes:
        alert: Name of the alert.
        model: Name of the model.
        baseline: Fingerprint of its baseline.
        subject: Kind of the subject.
        names: Names of the subject.
        verdict: Verdict.
        text: Sentence for people.
        since: Beginning in Unix seconds; None if it is not known.
        numbers: Numbers behind the verdict.
    """

    alert: str
    model: str
    baseline: str
    subject: Subject
    names: tuple[str, ...]
    verdict: str
    text: str
    since: float | None
    numbers: Mapping[str, float | None]

    @property
    def key(self) -> str:
        """The text that names the condition, without its verdict and numbers."""
        return key_of(self.subject, self.model, self.baseline, *self.names)


class Judged(NamedTuple):
    """All that a check has found.

    Attributes:
        conditions: Conditions that hold, by key.
        clear: Keys of conditions that do not hold. Nothing is known of others, for want of rows: they stay as they are.
        models: Fingerprint of the baseline of each model, by its name.
    """

    conditions: dict[str, Condition]
    clear: set[str]
    models: dict[str, str]

    @classmethod
    def nothing(cls) -> Judged:
        """Return the findings before any model is judged."""
        return cls({}, set(), {})

    def add(self, found: Iterable[Condition | str]) -> None:
        """Add conditions that hold, and keys of others that do not."""
        for item in found:
            if isinstance(item, Condition):
                self.conditions[item.key] = item
            else:
                self.clear.add(item)

    def about(self, key: str) -> bool | None:
        """Say whether a condition holds; None if that is unknown."""
        if key in self.conditions:
            return True
        if key in self.clear:
            return False
        # Of another baseline than the one that is served now, nothing holds any more.
        _, model, baseline, *_ = json.loads(key)
        return None if self.models.get(model, baseline) == baseline else False


def key_of(subject: Subject, model: str, baseline: str, *names: str) -> str:
    """Return the key of a condition."""
    return json.dumps([subject, model, baseline, *names])


# --- drift -----------------------------------------------------------------------------------------------------------


def drift_conditions(report: Mapping[str, Any]) -> Iterator[Condition | str]:
    """Yield the conditions of variables and pairs that hold, and the keys of others that do not.

    Args:
        report: Report, in the form of `DriftReport.to_dict`. Of variables that have not moved, only name, side and
            verdict are read.
    """
    model, baseline = report["model"], report["baseline"]
    for item in report["variables"]:
        if item["verdict"] in MOVED:
            yield _of_variable(model, baseline, item)
        elif item["verdict"] != "not enough data":
            yield key_of(item["side"], model, baseline, item["name"])
    for item in report.get("pairs", ()):
        if item["verdict"] in MOVED:
            yield _of_pair(model, baseline, item)
        elif item["verdict"] != "not enough data":
            yield key_of("pair", model, baseline, *_names(item))


def _of_variable(model: str, baseline: str, item: Mapping[str, Any]) -> Condition:
    side: Subject = item["side"]
    since = _unix(item["since"])
    before, now = percents(item["share_before"], item["share_now"])
    alert = "BoxkiteFeatureDrift" if side == "feature" else "BoxkiteOutputDrift"
    moved = f"{moved_group(item)}: {before} → {now} of rows"
    text = f"{title(item)}: {item['verdict']}, size {size_cell(item)}; {moved}"
    if _has_stopped(item):
        alert = "BoxkiteFeatureStopped"
        before, now = percents(item["missing_before"], item["missing_now"])
        text = f"{title(item)} no longer arrives: missing in {now} of rows, in training in {before}"
    numbers = _numbers(item, "size", "psi", "g", "limit", "share_before", "share_now")
    numbers |= _numbers(item, "missing_before", "missing_now", "rows")
    return Condition(alert, model, baseline, side, (item["name"],), item["verdict"], text, since, numbers)


def _has_stopped(item: Mapping[str, Any]) -> bool:
    """Say whether a feature is missing now that was not missing in training."""
    is_missing = item["missing_now"] > STOPPED_SHARE and item["missing_before"] <= USUALLY_MISSING_SHARE
    return bool(item["side"] == "feature" and is_missing)


def _of_pair(model: str, baseline: str, item: Mapping[str, Any]) -> Condition:
    text = f"{pair_change(item)}: {item['verdict']} ({pair_numbers({**item, 'since': None}, '→')})"
    numbers = _numbers(item, "size", "g", "limit", "association_before", "association_now", "rows")
    since = _unix(item["since"])
    return Condition("BoxkitePairDrift", model, baseline, "pair", _names(item), item["verdict"], text, since, numbers)


def _names(item: Mapping[str, Any]) -> tuple[str, ...]:
    """Name both variables of a pair, an output as one: it may have the name of a feature."""
    return tuple(title({"name": item[which], "side": item[f"{which}_side"]}) for which in ("first", "second"))


def segment_conditions(report: Mapping[str, Any]) -> Iterator[Condition | str]:
    """Yield the segments in which a variable has moved that has not in all rows together, and the keys of others.

    Args:
        report: Report, in the form of `SegmentReport.to_dict`. Of variables that have not moved, only name, side and
            verdict are read.
    """
    model, baseline = report["model"], report["baseline"]
    everywhere = {(item["side"], item["name"]) for item in report["together"] if item["verdict"] in MOVED}
    for segment in report["segments"]:
        name = segment_text(report["by"], segment["text"], " = ")
        moved = [item for item in segment["variables"] if item["verdict"] in MOVED]
        own = [item for item in moved if (item["side"], item["name"]) not in everywhere]
        if own:
            worst, others = own[0], len(own) - 1
            more = f", and {others} more variable{'s' * (others != 1)}" if others else ""
            text = f"{printable(name)}: {variable_line(worst)}{more}, unlike all rows together"
            numbers = _numbers(worst, "size", "psi", "g", "limit", "share_before", "share_now", "rows")
            since = _unix(worst["since"])
            names = (name,)
            yield Condition(
                "BoxkiteSegmentDrift", model, baseline, "segment", names, worst["verdict"], text, since, numbers
            )
        elif any(item["verdict"] not in ("not enough data", "ignored") for item in segment["variables"]):
            yield key_of("segment", model, baseline, name)


def _numbers(item: Mapping[str, Any], *names: str) -> dict[str, float | None]:
    """Return some numbers; None for infinite ones, which JSON lacks."""
    return {name: None if item[name] is None else finite_or_none(item[name]) for name in names}


def _unix(text: str | None) -> float | None:
    """Return the Unix seconds of a time of a report."""
    if text is None:
        return None
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc).timestamp()


# --- performance -----------------------------------------------------------------------------------------------------


def performance_conditions(reports: Sequence[Mapping[str, Any]]) -> Iterator[Condition | str]:
    """Yield the conditions of a model's quality that hold, and the keys of others that do not.

    Args:
        reports: Reports of one model, in the form of `PerformanceReport.to_dict`, of the shortest window first.
    """
    if not reports:
        return
    model, baseline = reports[0]["model"], reports[0]["baseline"]
    aspects: tuple[tuple[Subject, str, str, str, Callable[[Mapping[str, Any]], str]], ...] = (
        ("performance", "BoxkiteModelWorse", "verdict", "outcomes", verdict_line),
        ("expectation", "BoxkiteExpectedWorse", "expectation", "predictions", expectation_line),
    )
    for subject, alert, key, number, line in aspects:
        judged = [report for report in reports if report["coverage"][number] >= LEAST_ROWS]
        worst = max((_WORSE.index(report[key]) for report in judged if report[key] in _WORSE), default=None)
        if worst is not None:
            verdict = _WORSE[worst]
            report = [each for each in judged if each[key] == verdict][-1]  # of the longest such window
            text, numbers = line(report).rstrip("."), _metrics(report)
            yield Condition(alert, model, baseline, subject, (), verdict, text, None, numbers)
        elif any(report[key] != "not enough data" for report in judged):
            yield key_of(subject, model, baseline)


def _metrics(report: Mapping[str, Any]) -> dict[str, float | None]:
    numbers: dict[str, float | None] = {"outcomes": report["coverage"]["outcomes"]}
    for metric in report["metrics"]:
        for of in ("validated", "estimated", "realised"):
            numbers |= {f"{metric['name']}_{of}": _numbers(metric, of)[of]}
    return numbers


# --- capture ---------------------------------------------------------------------------------------------------------


def capture_conditions(
    model: str, baseline: str, errors: Mapping[str, int], requests: int, window: str
) -> Iterator[Condition | str]:
    """Yield the conditions of requests that were not understood, and the keys of others that do not hold.

    Args:
        model: Name of the model.
        baseline: Fingerprint of its baseline.
        errors: Number of requests by reason.
        requests: Number of all requests in the same time.
        window: Name of that time.
    """
    for reason, number in errors.items():
        share = number / requests if requests else 0.0
        if share > CAPTURE_ERROR_SHARE:
            text = f"In {percent(share)} of requests in the last {window}, something was not captured: {reason}"
            numbers = {"share": share, "requests": requests}
            yield Condition("BoxkiteCaptureErrors", model, baseline, "capture", (reason,), "", text, None, numbers)
        elif requests:
            yield key_of("capture", model, baseline, reason)
