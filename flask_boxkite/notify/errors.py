"""The error of a receiver that did not take a message."""

from __future__ import annotations

__all__ = ["ReceiverError"]


class ReceiverError(Exception):
    """A receiver did not take a message; the text may be logged.

    Attributes:
        retry_after: Seconds after which it asks to be tried again; None if it does not say.
    """

    def __init__(self, text: str, *, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after
