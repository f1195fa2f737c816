"""Drift of the last days, as verdicts of the same rules as of the last day, with days as parts."""

from __future__ import annotations

import numpy as np

from flask_boxkite.baseline import Baseline
from flask_boxkite.drift.report import DriftReport, drift_report
from flask_boxkite.history.past import Past
from flask_boxkite.history.timeline import parts_of_window, timeline_of
from flask_boxkite.values.times import DAY

__all__ = ["window_report"]


def window_report(baseline: Baseline, past: Past, days: int, now: float, alpha: float) -> DriftReport:
    """Return the report on the last days.

    Args:
        baseline: Baseline with one cell for each group (`coarse`).
        past: Totals of its predictions.
        days: Number of days.
        now: Present Unix time.
        alpha: False-alarm probability of one check of the whole model.
    """
    parts = parts_of_window(past, days, now)
    timeline = timeline_of(parts, past.groups, now)
    cells = timeline.groups[0] if len(timeline) else np.zeros(past.groups, np.int64)
    return drift_report(
        baseline.model, baseline, cells, alpha=alpha, timeline=timeline, reach=days * DAY, window=f"{days}d"
    )
