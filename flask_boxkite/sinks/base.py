"""The seam between the recorder and where records go.

A sink packs a record to bytes in the request, which costs a few microseconds, and ships packed records in batches from
the recorder's thread, where waiting hurts nobody.
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
        records: What the sink's `pack` returned, oldest first.
        tag: The `tag` of the sink that packed them: another process's, where that has died and left them on disk.
        id: Tells a receiver that it has this batch already.
    """

    records: Sequence[bytes]
    tag: str
    id: str = field(default_factory=lambda: uuid4().hex)


class RefusedError(OSError):
    """The sink seems to work, but did not take this batch: it may be refusing a record in it."""


class Sink(Protocol):
    """A destination of records. One object per process; `pack` from any thread, `ship` and `close` from one at a time.

    Attributes:
        name: The label ``sink`` of its metrics.
        tag: Under which heading its records are filed: the tag of fluentd, the folder of the files.
    """

    name: str
    tag: str

    def pack(self, time_ns: int, record: dict[str, Any]) -> bytes:
        """Return a record of plain JSON values in the form that `ship` takes, never empty.

        Args:
            time_ns: When the prediction was made, in Unix nanoseconds.
            record: Its fields.
        """

    def ship(self, batch: Batch, timeout: float) -> None:
        """Deliver a batch, or raise, upon which it is tried again later. Must not take much longer than *timeout*.

        Raises:
            RefusedError: It may be that a record in it cannot be delivered at all. Any other exception means that
                nothing can be, for now.
        """

    def close(self) -> None:
        """Let go of sockets and files. Called once, at the end."""

    def forked(self) -> Sink:
        """Return the sink of a forked child, called there. Leaves alone what the parent has open; never raises."""


class ObjectSink:
    """Wraps a user's object: anything with ``emit_batch(records)``, which takes a list of records as dicts.

    Its attribute ``name``, if it has one, is the label ``sink`` of the metrics.

    A forked child uses the object as it is: one that holds connections must look after forks itself. Several apps may
    use one object: it is closed with the last of them.
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
        """Pack with MessagePack: later changes of the record's values do not show."""
        return packed(record)

    def ship(self, batch: Batch, timeout: float) -> None:
        """Hand the records over; an exception means that they were not taken.

        Raises:
            RefusedError: It was one of another kind than those of connections and files.
        """
        try:
            self._emit_batch([msgpack.unpackb(record) for record in batch.records])
        except OSError:
            raise
        except Exception as error:
            msg = f"'emit_batch' raised {type(error).__name__}: {error}"
            raise RefusedError(msg) from error
        except KeyboardInterrupt:  # somebody who waits in `flush` wants to end the process
            raise
        except BaseException as error:  # a timeout of gevent, a task that was cancelled: no reason to end the thread
            msg = f"'emit_batch' was interrupted by {type(error).__name__}: {error}"
            raise InterruptedError(msg) from error

    def close(self) -> None:
        """Close the object, if it can be closed and no other app uses it."""
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
"""Those that are not closed."""


def time_left(deadline: float) -> float:
    """Return the seconds until *deadline*, a time of `time.monotonic`, for use as a timeout.

    Raises:
        TimeoutError: There are none.
    """
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        msg = "the time for this batch is over"
        raise TimeoutError(msg)
    return seconds


def packed(value: Any) -> bytes:
    """Return a value of plain JSON types as MessagePack; lone surrogates, which UTF-8 has not, as question marks."""
    try:
        return msgpack.Packer().pack(value)  # type: ignore[no-any-return]
    except OverflowError:  # integers beyond 64 bits, of both signs, in a row that was counted as all numbers
        return packed(plain(value))
    except UnicodeEncodeError:  # asked for only now, since it takes half as long again for every record
        return msgpack.packb(value, unicode_errors="replace")  # type: ignore[no-any-return]
