"""Counts of messages, of all processes of a server, by channel and result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flask_boxkite.live.section import Section, SectionKey
from flask_boxkite.naming import CHANNELS, NOTIFICATION_RESULTS

__all__ = ["NOTIFICATIONS", "cell_of", "results_of"]

NOTIFICATIONS = Section(SectionKey("notifications"), len(CHANNELS) * len(NOTIFICATION_RESULTS), 0)
"""Section of the number of messages. Apps that count in one directory share it."""


def cell_of(channel: str, result: str) -> int:
    """Return the cell that counts a result of a channel."""
    return CHANNELS.index(channel) * len(NOTIFICATION_RESULTS) + NOTIFICATION_RESULTS.index(result)


def results_of(cells: Sequence[int]) -> Iterator[tuple[str, str, int]]:
    """Yield each channel and result with its number."""
    for channel in CHANNELS:
        for result in NOTIFICATION_RESULTS:
            yield channel, result, cells[cell_of(channel, result)]
