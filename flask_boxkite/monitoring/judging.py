"""The models of an app, judged for people who want to be told: by the windows and thresholds of the alerts.

A check costs some milliseconds for each model: for the scan of the last day, and, where there are outcomes, for the
quality in each window.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from flask_boxkite.drift.pairs import PairDrift
from flask_boxkite.drift.report import DriftReport
from flask_boxkite.drift.segments import SegmentReport, verdict_dict
from flask_boxkite.drift.variable import VariableDrift
from flask_boxkite.drift.verdict import MOVED
from flask_boxkite.errors import BoxkiteError
from flask_boxkite.live.windows import LONGEST, WINDOWS
from flask_boxkite.notify.conditions import (
    Condition,
    Judged,
    capture_conditions,
    drift_conditions,
    performance_conditions,
    segment_conditions,
)
from flask_boxkite.notify.gaps import OutcomeGaps

if TYPE_CHECKING:
    from flask_boxkite.monitoring.model import ModelMonitor

__all__ = ["judged", "moved_only", "moved_segments"]

_CAPTURE_WINDOW = "1h"
"""Window of requests that are not understood; the alerts' shortest of an hour or more."""


def judged(models: Sequence[ModelMonitor], gaps: OutcomeGaps, now: float) -> Judged:
    """Judge all models that have a baseline.

    Args:
        models: Models of an app.
        gaps: Memory of when outcomes came, which is continued.
        now: Present Unix time.
    """
    findings = Judged.nothing()
    for model in models:
        if model.baseline is None:
            continue
        findings.models[model.model] = model.baseline.fingerprint
        try:
            findings.add(list(_of_model(model, gaps, now)))
        except (BoxkiteError, OSError):  # too many files are open, say: its conditions stay as they are
            continue
    return findings


def _of_model(model: ModelMonitor, gaps: OutcomeGaps, now: float) -> Iterator[Condition | str]:
    assert model.baseline is not None
    fingerprint = model.baseline.fingerprint
    needed = WINDOWS if model.outcomes is not None else (_CAPTURE_WINDOW, LONGEST)
    seen = {window: model.observe(window) for window in needed}

    report = seen[LONGEST].report
    assert report is not None
    yield from drift_conditions(moved_only(report))
    for by in model.baseline.segmented_by:
        yield from segment_conditions(moved_segments(model.observe_segments(by, LONGEST).report))
    hour = seen[_CAPTURE_WINDOW]
    yield from capture_conditions(model.model, fingerprint, hour.capture_errors, hour.requests, _CAPTURE_WINDOW)
    if model.outcomes is not None:
        reports = [item.performance.to_dict() for item in seen.values() if item.performance is not None]
        yield from performance_conditions(reports)
        number = int(model.outcomes.layout.counts(model.outcomes.totals().cells).sum())
        yield from gaps.see(model.model, fingerprint, number, now)


def moved_only(report: DriftReport) -> dict[str, Any]:
    """Return a report as JSON values, with numbers only where something has moved: all others would take a while."""
    return {
        "model": report.model,
        "baseline": report.baseline,
        "variables": [_row(item, {"name": item.name, "side": item.side}) for item in report.variables],
        "pairs": [_row(item, _names(item)) for item in report.pairs],
    }


def moved_segments(report: SegmentReport) -> dict[str, Any]:
    """Return a report by segment as JSON values, with numbers only where something has moved."""
    return {
        "by": report.by,
        "model": report.model,
        "baseline": report.baseline,
        "segments": [
            {"text": segment.text, "variables": [_row(item, verdict_dict(item)) for item in segment.report]}
            for segment in report
        ],
        "together": [verdict_dict(item) for item in report.together or ()],
    }


def _row(item: VariableDrift | PairDrift, names: dict[str, Any]) -> dict[str, Any]:
    return item.to_row() if item.verdict in MOVED else {**names, "verdict": item.verdict}


def _names(item: PairDrift) -> dict[str, Any]:
    names = {"first": item.first.name, "first_side": item.first.side}
    return names | {"second": item.second.name, "second_side": item.second.side}
