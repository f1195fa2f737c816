"""What can go wrong at set-up. Requests never raise any of these: monitoring is counted there, not thrown."""

from __future__ import annotations

__all__ = ["BaselineError", "BinMismatchError", "BoxkiteError", "ConfigError"]


class BoxkiteError(Exception):
    """Base class of every error this package raises on purpose."""


class ConfigError(BoxkiteError, ValueError):
    """A setting is unknown, malformed or contradicts another one.

    Attributes:
        key: The configuration key at fault, for example ``"BOXKITE_QUEUE_BYTES"``; None if no single key is.
    """

    def __init__(self, message: str, *, key: str | None = None) -> None:
        super().__init__(message)
        self.key = key


class BaselineError(BoxkiteError, ValueError):
    """Training data or a baseline file cannot be used.

    Attributes:
        path: The file at fault, or None.
        line: Its 1-based line, or None if the fault is not in one line.
    """

    def __init__(self, message: str, *, path: str | None = None, line: int | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.line = line


class BinMismatchError(BoxkiteError, ValueError):
    """Two distributions that should have equal bins do not."""
