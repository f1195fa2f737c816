"""The times by which notifications go. They are no settings: only tests change them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PACE", "Pace"]


@dataclass(frozen=True)
class Pace:
    """The pace of a notifier; times are in seconds.

    Attributes:
        check: Time between two checks, and between two looks whether another process has stopped notifying.
        rest: Least time between two checks, as a multiple of the time that the last one took: hundreds of models are
            checked less often.
        hold: Time for which a condition must hold before it is told, and be gone before its end is told; the ``for`` of
            the alerts in Prometheus.
        gap: Least time between two messages, so that a burst that takes minutes to show is not a burst of messages.
        reminder: Time after which a condition that still holds is told again.
        expiry: Age at which the end of a condition that could not be told is given up.
        first_backoff: Pause after the first failure; pauses double from here.
        last_backoff: Longest pause after a failure.
        timeout: Time that one attempt may take.
    """

    check: float = 60.0
    rest: float = 20.0
    hold: float = 300.0
    gap: float = 300.0
    reminder: float = 86400.0
    expiry: float = 86400.0
    first_backoff: float = 5.0
    last_backoff: float = 600.0
    timeout: float = 10.0


PACE = Pace()
"""The pace of every notifier outside of tests."""
