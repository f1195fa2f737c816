"""The interface between the recorder and the destination of records.

A sink packs a record to bytes in the request, which costs a few microseconds. It ships packed records in batches from
the recorder's thread, where waiting delays no request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import uuid4

__all__ = ["Batch", "RefusedError", "Sink"]


@dataclass(frozen=True)
class Batch:
    """Packed records that are shipped together; resent as they are, under the same id, until the sink has them.

    Attributes:
        records: Packed records, oldest first.
        tag: Tag of the sink that packed them; it may differ from this process's for records of a dead process.
        id: Id by which a receiver recognises a batch that is sent again.
    """

    records: Sequence[bytes]
    tag: str
    id: str = field(default_factory=lambda: uuid4().hex)


class RefusedError(OSError):
    """The sink seems to work, but did not take this batch: it may refuse a record in it."""


class Sink(Protocol):
    """A destination of records. One object per process; `pack` from any thread, `ship` and `close` from one at a time.

    Attributes:
        name: Value of the label ``sink`` in its metrics.
        tag: Heading of its records: fluentd's tag, or the folder of the files.
        is_of_lines: Whether `pack` writes a record as a line of JSON; otherwise as MessagePack.
    """

    is_of_lines: bool
    name: str
    tag: str

    def entry_head(self, time_ns: int) -> bytes:
        """Return the bytes that stand before a record of this time, in Unix nanoseconds."""

    def pack(self, time_ns: int, record: dict[str, Any]) -> bytes:
        """Return a record of plain JSON values in the form that `ship` takes, never empty.

        Args:
            time_ns: Time of the prediction, in Unix nanoseconds.
            record: Fields of the record.
        """

    def ship(self, batch: Batch, timeout: float) -> None:
        """Deliver a batch within about *timeout* seconds, or raise: then the recorder tries again later.

        Raises:
            RefusedError: A record in the batch may be impossible to deliver. Any other exception means that no batch
                can be delivered for now.
        """

    def close(self) -> None:
        """Close sockets and files; the recorder calls this once, at the end."""

    def forked(self) -> Sink:
        """Return the sink of a forked child, without touching the parent's connections; called there, never raises."""
