"""The interface between the recorder and the destination of records.

A sink packs a record to bytes in the request, which costs a few microseconds. It ships packed records in batches from
the recorder's thread, where waiting delays no request.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import uuid4

import msgpack

from flask_boxkite.values.conversion import plain

__all__ = ["Batch", "ObjectSink", "RefusedError", "Sink", "packed", "time_left"]


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
    """

    name: str
    tag: str

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
        """Close sockets and files. Called once, at the end."""

    def forked(self) -> Sink:
        """Return the sink of a forked child, without touching the parent's connections; called there, never raises."""


class ObjectSink:
    """The sink of a user's object: any object with ``emit_batch(records)``, which takes a list of records as dicts.

    Its attribute ``name``, if it has one, is the label ``sink`` of the metrics.

    A forked child uses the object as it is, so an object with connections must handle forks itself. Several apps may
    use one object: the last of them closes it.
    """

    tag = ""

    def __init__(self, target: Any) -> None:
        name = getattr(target, "name", None)
        # Half of a surrogate pair has no bytes in UTF-8, so no metric could have it.
        self.name = name.encode(errors="replace").decode() if isinstance(name, str) and name else "custom"
        self._target = target
        self._emit_batch: Callable[[list[dict[str, Any]]], object] = target.emit_batch
        self._close: object = getattr(target, "close", None)
        with _open_lock:
            _open_sinks.add(self)

    def pack(self, time_ns: int, record: dict[str, Any]) -> bytes:
        """Pack with MessagePack, so that later changes of the record's values do not show."""
        return packed(record)

    def ship(self, batch: Batch, timeout: float) -> None:
        """Hand the records over; an exception means that the object did not take them.

        Raises:
            RefusedError: The object raised an exception that is not an `OSError`.
        """
        try:
            self._emit_batch([msgpack.unpackb(record) for record in batch.records])
        except OSError:
            raise
        except Exception as error:
            msg = f"'emit_batch' raised {type(error).__name__}: {error}"
            raise RefusedError(msg) from error
        except KeyboardInterrupt:  # a user who waits in `flush` wants to end the process
            raise
        except BaseException as error:  # gevent's timeout or a cancelled task must not end the recorder's thread
            msg = f"'emit_batch' was interrupted by {type(error).__name__}: {error}"
            raise InterruptedError(msg) from error

    def close(self) -> None:
        """Close the object, if it has a ``close`` and no other app uses it."""
        with _open_lock:
            _open_sinks.discard(self)
            is_last = all(sink._target is not self._target for sink in _open_sinks)
        if is_last and callable(self._close):
            self._close()

    def forked(self) -> ObjectSink:
        """Return itself."""
        return self


_open_lock = threading.Lock()
_open_sinks: weakref.WeakSet[ObjectSink] = weakref.WeakSet()
"""Sinks that are not closed."""


def time_left(deadline: float, clock: Callable[[], float] = time.monotonic) -> float:
    """Return the seconds until *deadline*, a time of *clock*, for use as a timeout.

    Raises:
        TimeoutError: The deadline has passed.
    """
    seconds = deadline - clock()
    if seconds <= 0:
        msg = "the time for this batch is over"
        raise TimeoutError(msg)
    return seconds


def packed(value: Any) -> bytes:
    """Return a value of plain JSON types as MessagePack; lone surrogates, which UTF-8 lacks, become question marks."""
    try:
        return msgpack.Packer().pack(value)  # type: ignore[no-any-return]
    except OverflowError:  # integers beyond 64 bits, of both signs, in a row that was counted as all numbers
        return packed(plain(value))
    except UnicodeEncodeError:  # replacing from the start would take half as long again for every record
        return msgpack.packb(value, unicode_errors="replace")  # type: ignore[no-any-return]
