"""Drift, the distance of production from training: statistics, verdicts, and the report over all variables."""

from flask_boxkite.drift.report import DriftReport, drift_report
from flask_boxkite.drift.variable import VariableDrift

__all__ = ["DriftReport", "VariableDrift", "drift_report"]
