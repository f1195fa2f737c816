"""Drift, the distance of production from training: statistics, verdicts, and the report over all variables.

The names below load at their first use: most workers count, and never judge.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flask_boxkite.drift.report import DriftReport, drift_report
    from flask_boxkite.drift.variable import VariableDrift

__all__ = ["DriftReport", "VariableDrift", "drift_report"]

_MODULES = {"DriftReport": "report", "VariableDrift": "variable", "drift_report": "report"}
"""Module of each name."""


def __getattr__(name: str) -> Any:
    """Return one of the names above."""
    if name not in _MODULES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
