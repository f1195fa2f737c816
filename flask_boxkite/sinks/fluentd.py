"""Records to fluentd by the Forward protocol, acknowledged batch by batch.

A batch that was not acknowledged is sent again under the same id, to the next server where there are several. If the
first one had stored it, the records are there twice, and readers recognise them by ``entity_id``.

Protocol: Forward Protocol Specification v1, modes PackedForward and CompressedPackedForward.
"""

from __future__ import annotations

import copy
import struct
import time
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from flask_boxkite.compiled import native
from flask_boxkite.config import Settings
from flask_boxkite.naming import tag_segment
from flask_boxkite.sinks.base import Batch, RefusedError
from flask_boxkite.sinks.deadline import time_left
from flask_boxkite.sinks.forward import ForwardConnection, UnacknowledgedError, tls_context
from flask_boxkite.sinks.handshake import Credentials
from flask_boxkite.sinks.messages import ForwardError
from flask_boxkite.sinks.packing import packed

__all__ = ["FluentdSink", "ForwardError"]

# [EventTime, record]: an array of two, whose first is the extension type 0 of 8 bytes.
_ENTRY = struct.Struct(">3sII")
_ENTRY_MARK = b"\x92\xd7\x00"
_LATEST = 2**32 * 1_000_000_000 - 1
"""Unix nanoseconds of fluentd's last time, in the year 2106; its first is the start of 1970."""

# [tag, entries, option]: an array of three, whose second is binary, with its length in four bytes.
_MESSAGE_MARK = b"\x93"
_ENTRIES = struct.Struct(">cI")
_ENTRIES_MARK = b"\xc6"

GZIP_LEVEL = 1
"""Takes two fifths of the time of the usual level 6, for 9 % more bytes (37 % of the plain records)."""

GZIP_FORMAT = 31
"""Window bits by which zlib knows the format of gzip."""


def entry_head(time_ns: int) -> bytes:
    """Return the start of an entry, with its time in Unix nanoseconds, or the nearest that fluentd knows."""
    time_ns = min(max(time_ns, 0), _LATEST)
    return _ENTRY.pack(_ENTRY_MARK, time_ns // 1_000_000_000, time_ns % 1_000_000_000)


_entry_head: Callable[[int], bytes] = entry_head if native is None else native.entry_head


class FluentdSink:
    """Sends records under the tag ``{prefix}.{endpoint_id}.{pod_name}``, to the first server that takes them.

    It uses one connection at a time: it stays with a server while that works, and moves on to the next when it fails.

    Args:
        settings: Settings of the app; used are ``fluentd_...`` and the parts of the tag.
        clock: Returns the monotonic time, by which servers share the time for a batch.

    Raises:
        ConfigError: The certificates to trust cannot be read.
    """

    name = "fluentd"
    is_of_lines = False

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        assert settings.fluentd_addr
        self._clock = clock
        self.tag = ".".join(
            (settings.fluentd_prefix, tag_segment(settings.endpoint_id), tag_segment(settings.pod_name))
        )
        self._is_compressed = settings.fluentd_gzip

        credentials, ca_file = _credentials(settings), settings.fluentd_ca_file
        # The connection in use comes first.
        self._connections = deque(
            ForwardConnection(address, credentials=credentials, ca_file=ca_file) for address in settings.fluentd_addr
        )
        if any(address.tls for address in settings.fluentd_addr):
            tls_context(ca_file)  # raises now if the file is wrong

    def pack(self, time_ns: int, record: dict[str, Any]) -> bytes:
        """Return one entry of a PackedForward message, with its time in nanoseconds."""
        return self.entry_head(time_ns) + packed(record)

    entry_head = staticmethod(_entry_head)

    def ship(self, batch: Batch, timeout: float) -> None:
        """Send a batch and wait for its acknowledgement; a server that gives none gets only its share of the time.

        Raises:
            RefusedError: A server took the connection, but none acknowledged the batch.
            OSError: No server took the connection.
            ValueError: The only server's address or certificates cannot be used.
        """
        deadline = self._clock() + timeout
        message = _message(batch, is_compressed=self._is_compressed)
        failures: list[tuple[ForwardConnection, Exception]] = []

        for number_left in range(len(self._connections), 0, -1):
            connection = self._connections[0]
            try:
                connection.deliver(message, batch.id, time_left(deadline, self._clock) / number_left)
            except (OSError, ValueError) as error:  # a ValueError means an impossible host name or path
                failures.append((connection, error))
                self._connections.rotate(-1)
            else:
                return

        _fail(failures)

    def close(self) -> None:
        """Close the connection."""
        for connection in self._connections:
            connection.close()

    def forked(self) -> FluentdSink:
        """Return a copy with connections of its own."""
        child = copy.copy(self)
        child._connections = deque(connection.forked() for connection in self._connections)
        return child


def _credentials(settings: Settings) -> Credentials | None:
    if settings.fluentd_shared_key is None:
        return None
    # A server must not have the client's name, and a server on the same machine might have the pod's.
    hostname = f"boxkite-{settings.pod_name}"
    return Credentials(hostname, settings.fluentd_shared_key, settings.fluentd_user, settings.fluentd_password)


def _message(batch: Batch, *, is_compressed: bool) -> bytes:
    option: dict[str, Any] = {"chunk": batch.id, "size": len(batch.records)}
    entries = batch.records
    if is_compressed:
        option["compressed"] = "gzip"
        entries = _compressed(entries)
    size = sum(map(len, entries))
    # Joined rather than packed: packing would copy the megabytes several times.
    return b"".join((_MESSAGE_MARK, packed(batch.tag), _ENTRIES.pack(_ENTRIES_MARK, size), *entries, packed(option)))


def _compressed(entries: Sequence[bytes]) -> tuple[bytes, bytes]:
    # All at once: every call gives up the interpreter, and gets it back from busy requests only slowly.
    compressor = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, GZIP_FORMAT)
    return compressor.compress(b"".join(entries)), compressor.flush()


def _fail(failures: list[tuple[ForwardConnection, Exception]]) -> NoReturn:
    """Raise the error of the only server, or one that joins the errors of all."""
    _, last = failures[-1]
    if len(failures) == 1:
        raise last
    errors = "; ".join(f"{connection.address}: {error}" for connection, error in failures)
    is_refused = any(isinstance(error, RefusedError) for _, error in failures)
    kind = UnacknowledgedError if is_refused else ForwardError
    msg = f"no fluentd took the batch: {errors}"
    raise kind(msg) from last
