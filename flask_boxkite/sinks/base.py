"""The seam between the recorder and where records go.

A sink packs a record to bytes in the request, which costs a few microseconds, and ships packed records in batches from
the recorder's thread, where waiting hurts nobody.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import uuid4

import msgpack

__all__ = ["Batch", "ObjectSink", "Sink"]


@dataclass(frozen=True)
class Batch:
    """Packed records that are shipped together; resent as they are, under the same id, until the sink has them.

    Attributes:
        records: What the sink's `pack` returned, oldest first.
        id: Tells a receiver that it has this batch already.
    """

    records: Sequence[bytes]
    id: str = field(default_factory=lambda: uuid4().hex)


class Sink(Protocol):
    """A destination of records. One object per process; `pack` from any thread, the rest from one at a time."""

    name: str
    """The label ``sink`` of its metrics."""

    def pack(self, time_ns: int, record: dict[str, Any]) -> bytes:
        """Return a record of plain JSON values in the form that `ship` takes; *time_ns* is in Unix nanoseconds."""

    def ship(self, batch: Batch, timeout: float) -> None:
        """Deliver a batch, or raise, upon which it is tried again later. Must not take much longer than *timeout*."""

    def close(self) -> None:
        """Let go of sockets and files."""


class ObjectSink:
    """Wraps a user's object: anything with ``emit_batch(records)``, which takes a list of records as dicts."""

    name = "custom"

    def __init__(self, target: Any) -> None:
        self._target = target

    def pack(self, time_ns: int, record: dict[str, Any]) -> bytes:
        """Pack with MessagePack."""
        packed: bytes = msgpack.packb(record, unicode_errors="replace")
        return packed

    def ship(self, batch: Batch, timeout: float) -> None:
        """Hand the records over; an exception means that they were not taken."""
        self._target.emit_batch([msgpack.unpackb(record) for record in batch.records])

    def close(self) -> None:
        """Close the object, if it can be closed."""
        if callable(close := getattr(self._target, "close", None)):
            close()


def remaining(deadline: float) -> float:
    """Return the seconds until a time of `time.monotonic`, at least a millisecond, for socket timeouts."""
    return max(deadline - time.monotonic(), 0.001)
