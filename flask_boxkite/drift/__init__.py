"""Has production moved away from training? Statistics, the decision, and the report over all variables."""

from flask_boxkite.drift.report import DriftReport, VariableDrift, drift_report

__all__ = ["DriftReport", "VariableDrift", "drift_report"]
