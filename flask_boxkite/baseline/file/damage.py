"""The refusal of files that are not baselines; callers add the name of the file."""

from __future__ import annotations

from typing import NoReturn

from flask_boxkite.errors import BaselineError

__all__ = ["HINT", "fail"]

HINT = "Write one with ModelMonitoringService.export_text()."
"""Remedy for a file that is not a baseline."""


def fail(fact: str, line: int | None = None) -> NoReturn:
    """Refuse the file.

    Args:
        fact: Problem, in words that follow the name of the file.
        line: 1-based number of the line at fault; None for the whole file.

    Raises:
        BaselineError: Always.
    """
    raise BaselineError(fact, line=line)
