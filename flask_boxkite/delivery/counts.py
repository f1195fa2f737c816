"""Counts of a sink's records. At all times, accepted = delivered + waiting + dropped."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from flask_boxkite.live.section import Section, SectionKey
from flask_boxkite.live.sink_cells import (
    ACCEPTED,
    BACKOFF_MS,
    DELIVERED,
    DROPPED,
    LAST_DELIVERY_MS,
    RETRIES,
    SINK_CELLS,
    TAKEN_OVER,
    UNSPOOLED,
    WAITING_BYTES,
)

__all__ = ["RecorderCounts", "records_section"]


class RecorderCounts(NamedTuple):
    """Counts of the records of one sink.

    Attributes:
        accepted: Number of records taken from requests, or from the spool of a server that has ended.
        delivered: Number of records that the sink acknowledged.
        dropped: Number of lost records by reason (`naming.DROP_REASONS`).
        waiting: Number of records in memory or on disk.
        waiting_bytes: Bytes of the records in memory.
        retries: Number of batches that were shipped again.
        unspooled: Number of records that waited in memory because they could not be spooled.
        last_delivery: Time of the sink's last acknowledgement, in Unix seconds; 0 if there was none, or if it is
            unknown because the clock was ahead then.
        backoff: Pause before the next attempt, in seconds; 0 while the sink takes batches.
    """

    accepted: int
    delivered: int
    dropped: dict[str, int]
    waiting: int
    waiting_bytes: int
    retries: int
    unspooled: int
    last_delivery: float
    backoff: float

    @classmethod
    def of(cls, cells: Sequence[int]) -> RecorderCounts:
        """Read the cells of a sink."""
        dropped = {reason: cells[cell] for reason, cell in DROPPED.items()}
        gone = cells[DELIVERED] + sum(dropped.values())
        # Records of dead processes are accepted in those processes' counts, which a user may have deleted just now.
        accepted = max(cells[ACCEPTED], min(gone, cells[ACCEPTED] + cells[TAKEN_OVER]))

        return cls(
            accepted=accepted,
            delivered=cells[DELIVERED],
            dropped=dropped,
            # Cells of other processes may have changed while they were read.
            waiting=max(accepted - gone, 0),
            waiting_bytes=cells[WAITING_BYTES],
            retries=cells[RETRIES],
            unspooled=cells[UNSPOOLED],
            last_delivery=cells[LAST_DELIVERY_MS] / 1000 if cells[LAST_DELIVERY_MS] <= time.time() * 1000 else 0.0,
            backoff=cells[BACKOFF_MS] / 1000,
        )


def records_section(sink_name: str, spool: bytes = b"", *, owner: str = "") -> Section:
    """Return the section of the counts in which the records of a sink are counted.

    Args:
        sink_name: Name of the sink.
        spool: Path of this process's records on disk; empty if there are none.
        owner: Hash of the models that the app monitors, which distinguishes apps of the same name; empty if unknown.
    """
    return Section(SectionKey("sink", sink_name, owner), SINK_CELLS, 0, spool)
