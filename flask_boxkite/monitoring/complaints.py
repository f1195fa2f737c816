"""Log lines about our own failures, which must not reach a response."""

from __future__ import annotations

import logging
import sys

from flask_boxkite.quoting import loggable
from flask_boxkite.system.throttle import Throttle

__all__ = ["Complaints"]

logger = logging.getLogger("flask_boxkite")


class Complaints:
    """Logs the failures of one model, at most once in a minute.

    Args:
        has_text: Whether the log may have the text of an exception, which may quote a value.
    """

    def __init__(self, *, has_text: bool) -> None:
        self._has_text = has_text
        self._throttle = Throttle()

    def complain(self, message: str) -> bool:
        """Log the current exception; return whether it was logged."""
        error = sys.exc_info()[1]
        is_due = self._throttle.allows()
        if is_due and error is not None:
            logger.warning(message, exc_info=loggable(error, has_text=self._has_text))
        return is_due
