"""Errors of set-up. Requests never raise them: monitoring counts its own failures there."""

from __future__ import annotations

__all__ = ["BaselineError", "BinMismatchError", "BoxkiteError", "ConfigError"]


class BoxkiteError(Exception):
    """Base class of all errors that this package raises on purpose."""


class ConfigError(BoxkiteError, ValueError):
    """A setting is unknown, malformed or contradicts another one.

    Attributes:
        key: Configuration key at fault, for example ``"BOXKITE_QUEUE_BYTES"``; None if no single key is.
    """

    def __init__(self, message: str, *, key: str | None = None) -> None:
        super().__init__(message)
        self.key = key


class BaselineError(BoxkiteError, ValueError):
    """Training data or a baseline file cannot be used.

    Attributes:
        path: Path of the file at fault; None if no file is.
        line: Number of the line at fault, from 1 on; None if no single line is.
    """

    def __init__(self, message: str, *, path: str | None = None, line: int | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.line = line


class BinMismatchError(BoxkiteError, ValueError):
    """Two distributions that should have equal bins do not."""
