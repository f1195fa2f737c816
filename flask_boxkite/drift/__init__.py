"""Drift, the distance of production from training: statistics, verdicts, and the report over all variables."""

from flask_boxkite.drift.report import DriftReport, VariableDrift, drift_report

__all__ = ["DriftReport", "VariableDrift", "drift_report"]
