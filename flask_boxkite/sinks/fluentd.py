"""Records to fluentd by the Forward protocol, acknowledged batch by batch.

A batch that was not acknowledged is sent again under the same id, to the next server where there are several; one that
had stored it all the same then has it twice, and ``entity_id`` tells a reader so.

Protocol: Forward Protocol Specification v1, modes PackedForward and CompressedPackedForward.
"""

from __future__ import annotations

import copy
import struct
import time
import zlib
from collections import deque
from collections.abc import Sequence
from typing import Any, NoReturn

from flask_boxkite.config import Settings
from flask_boxkite.naming import tag_segment
from flask_boxkite.sinks.base import Batch, RefusedError, packed, time_left
from flask_boxkite.sinks.forward import Credentials, ForwardConnection, ForwardError, UnacknowledgedError, tls_context

__all__ = ["FluentdSink", "ForwardError"]

# [EventTime, record]: an array of two, whose first is the extension type 0 of 8 bytes.
_ENTRY = struct.Struct(">3sII")
_ENTRY_MARK = b"\x92\xd7\x00"

# [tag, entries, option]: an array of three, whose second is binary, with its length in four bytes.
_MESSAGE_MARK = b"\x93"
_ENTRIES = struct.Struct(">cI")
_ENTRIES_MARK = b"\xc6"

GZIP_LEVEL = 3
"""For records of predictions, two thirds of the time of the usual level 6, and 6 % more bytes (35 % of the plain)."""

GZIP_FORMAT = 31
"""What zlib calls the format of gzip."""


class FluentdSink:
    """Sends records under the tag ``{prefix}.{endpoint_id}.{pod_name}``, to the first server that takes them.

    There is one connection at a time: it stays with the server that works, and moves on to the next when that fails.

    Raises:
        ConfigError: The certificates to trust cannot be read.
    """

    name = "fluentd"

    def __init__(self, settings: Settings) -> None:
        assert settings.fluentd_addr
        self.tag = ".".join(
            (settings.fluentd_prefix, tag_segment(settings.endpoint_id), tag_segment(settings.pod_name))
        )
        self._is_compressed = settings.fluentd_gzip
        credentials, ca_file = _credentials(settings), settings.fluentd_ca_file
        # The one in use comes first.
        self._connections = deque(
            ForwardConnection(address, credentials=credentials, ca_file=ca_file) for address in settings.fluentd_addr
        )
        if any(address.tls for address in settings.fluentd_addr):
            tls_context(ca_file)  # says now what is wrong with it

    def pack(self, time_ns: int, record: dict[str, Any]) -> bytes:
        """Return one entry of a PackedForward message, with its time in nanoseconds."""
        seconds, nanoseconds = divmod(time_ns, 1_000_000_000)
        return _ENTRY.pack(_ENTRY_MARK, seconds, nanoseconds) + packed(record)

    def ship(self, batch: Batch, timeout: float) -> None:
        """Send a batch and wait for its acknowledgement; a server that gives none may use only its share of the time.

        Raises:
            RefusedError: A server took the connection, and none acknowledged it.
            OSError: There is no server.
            ValueError: The only server's address or certificates cannot be used.
        """
        deadline = time.monotonic() + timeout
        message = _message(batch, is_compressed=self._is_compressed)
        failures: list[tuple[ForwardConnection, Exception]] = []
        for number_left in range(len(self._connections), 0, -1):
            connection = self._connections[0]
            try:
                connection.deliver(message, batch.id, time_left(deadline) / number_left)
            except (OSError, ValueError) as error:  # a ValueError is a host name or path that can be none
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
        """Return one with a connection of its own."""
        child = copy.copy(self)
        child._connections = deque(connection.forked() for connection in self._connections)
        return child


def _credentials(settings: Settings) -> Credentials | None:
    if settings.fluentd_shared_key is None:
        return None
    # A server must not have our name, and one on the same machine might have the pod's.
    hostname = f"boxkite-{settings.pod_name}"
    return Credentials(hostname, settings.fluentd_shared_key, settings.fluentd_user, settings.fluentd_password)


def _message(batch: Batch, *, is_compressed: bool) -> bytes:
    option: dict[str, Any] = {"chunk": batch.id, "size": len(batch.records)}
    entries = batch.records
    if is_compressed:
        option["compressed"] = "gzip"
        entries = _compressed(entries)
    size = sum(map(len, entries))
    # Joined rather than packed: that would copy the megabytes several times.
    return b"".join((_MESSAGE_MARK, packed(batch.tag), _ENTRIES.pack(_ENTRIES_MARK, size), *entries, packed(option)))


def _compressed(entries: Sequence[bytes]) -> tuple[bytes, bytes]:
    # At once, not one by one: every call lets go of the interpreter, and gets it back from busy requests only slowly.
    compressor = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, GZIP_FORMAT)
    return compressor.compress(b"".join(entries)), compressor.flush()


def _fail(failures: list[tuple[ForwardConnection, Exception]]) -> NoReturn:
    """Raise what the only server said, or what all of them did."""
    _, last = failures[-1]
    if len(failures) == 1:
        raise last
    said = "; ".join(f"{connection.address}: {error}" for connection, error in failures)
    is_refused = any(isinstance(error, RefusedError) for _, error in failures)
    kind = UnacknowledgedError if is_refused else ForwardError
    msg = f"no fluentd took the batch: {said}"
    raise kind(msg) from last
