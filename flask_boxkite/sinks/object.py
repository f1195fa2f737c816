"""The sink of a user's object."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

import msgpack

from flask_boxkite.sinks.base import Batch, RefusedError
from flask_boxkite.sinks.packing import packed

__all__ = ["ObjectSink"]


class ObjectSink:
    """Hands records to any object with ``emit_batch(records)``, which takes a list of records as dicts.

    Its attribute ``name``, if it has one, is the label ``sink`` of the metrics.

    A forked child uses the object as it is, so an object with connections must handle forks itself. Several apps may
    use one object: the last of them closes it.
    """

    tag = ""
    is_of_lines = False

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

    @staticmethod
    def entry_head(time_ns: int) -> bytes:
        """Return nothing: the record itself has its time."""
        return b""

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
