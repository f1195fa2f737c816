"""Records to fluentd by the Forward protocol, acknowledged batch by batch.

Built on fluent-logger's sender, of which the connection is replaced: IPv6, unix sockets, TLS, a shared key, and a wait
for the acknowledgement, without which a record that a dying server took from the socket is lost unseen. A batch that
was not acknowledged is sent again under the same id; a server that had stored it all the same then has it twice, and
``entity_id`` tells a reader so.

Protocol: Forward Protocol Specification v1, PackedForward mode with ``chunk`` and ``ack``.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import socket
import ssl
import struct
import time
from collections.abc import Callable
from typing import Any

import msgpack
from fluent.sender import FluentSender

from flask_boxkite.config import Address, Settings
from flask_boxkite.errors import ConfigError
from flask_boxkite.naming import tag_segment
from flask_boxkite.sinks.base import Batch, remaining

__all__ = ["FluentdSink", "ForwardConnection", "ForwardError"]

MAX_ANSWER_BYTES = 64 * 1024
"""A server that answers more than this without making sense is dropped."""

# [EventTime, record]: an array of two, whose first is the extension type 0 of 8 bytes.
_ENTRY = struct.Struct(">3sII")
_ENTRY_MARK = b"\x92\xd7\x00"


class ForwardError(OSError):
    """The server answered something that the protocol does not allow, or refused us."""


class ForwardConnection(FluentSender):  # type: ignore[misc]
    """One connection to a Forward server, made when needed and dropped at any doubt.

    Used by one thread at a time.
    """

    def __init__(
        self, tag: str, address: Address, *, shared_key: str | None, ca_file: str | None, hostname: str
    ) -> None:
        super().__init__(tag, host=address.host, port=address.port or 0)
        self._address = address
        self._shared_key = shared_key
        self._hostname = hostname
        self._tls = _tls_context(ca_file) if address.tls else None
        self._answers = msgpack.Unpacker(max_buffer_size=MAX_ANSWER_BYTES)

    def deliver(self, message: bytes, chunk: str, timeout: float) -> None:
        """Send one message and wait until the server acknowledges *chunk*.

        Raises:
            OSError: It did not, within *timeout* seconds. The connection is closed.
        """
        deadline = time.monotonic() + timeout
        with self.lock:
            try:
                self._connect(deadline)
                self._send_all(message, deadline)
                answer = self._answer(deadline)
                if not isinstance(answer, dict) or answer.get("ack") != chunk:
                    msg = f"fluentd acknowledged {str(answer)[:80]!r}, expected chunk {chunk!r}"
                    raise ForwardError(msg)
            except BaseException:
                self._close()
                raise

    def _connect(self, deadline: float) -> None:
        if self.socket is not None:
            self.socket.settimeout(remaining(deadline))
            self._drop_if_closed()
        if self.socket is None:
            self._answers = msgpack.Unpacker(max_buffer_size=MAX_ANSWER_BYTES)
            self.socket = self._open(deadline)
            if self._shared_key is not None:
                self._authenticate(deadline)

    def _drop_if_closed(self) -> None:
        """Notice before sending that the server has gone, or sends what nobody asked for."""
        self.socket.setblocking(False)
        try:
            if self.socket.recv(1) is not None:
                self._close()
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        except OSError:
            self._close()

    def _open(self, deadline: float) -> socket.socket:
        if self._address.port is None:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.settimeout(remaining(deadline))
            try:
                connection.connect(self._address.host)
            except OSError:
                connection.close()
                raise
            return connection
        connection = socket.create_connection((self._address.host, self._address.port), remaining(deadline))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is None:
            return connection
        try:
            return self._tls.wrap_socket(connection, server_hostname=self._address.host)
        except BaseException:
            connection.close()
            raise

    def _send_all(self, message: bytes, deadline: float) -> None:
        self.socket.settimeout(remaining(deadline))
        self.socket.sendall(message)

    def _answer(self, deadline: float) -> Any:
        """Return the next message of the server."""
        while True:
            try:
                return self._answers.unpack()
            except msgpack.OutOfData:
                pass
            except Exception as error:  # msgpack raises its own kinds and ValueError
                msg = "fluentd answered what is no MessagePack"
                raise ForwardError(msg) from error
            self.socket.settimeout(remaining(deadline))
            data = self.socket.recv(4096)
            if not data:
                msg = "fluentd closed the connection"
                raise ForwardError(msg)
            try:
                self._answers.feed(data)
            except msgpack.BufferFull as error:
                msg = "fluentd answers without end"
                raise ForwardError(msg) from error

    def _authenticate(self, deadline: float) -> None:
        """Prove that we know the shared key, and let the server prove it too: HELO, PING, PONG."""
        helo = self._answer(deadline)
        if not (isinstance(helo, list) and len(helo) == 2 and helo[0] == "HELO" and isinstance(helo[1], dict)):
            msg = f"fluentd greeted with {str(helo)[:80]!r}, expected HELO. Does it ask for a shared key?"
            raise ForwardError(msg)
        nonce, salt = _as_bytes(helo[1].get("nonce", b"")), os.urandom(16)
        if helo[1].get("auth"):
            msg = "fluentd asks for a user and password; only a shared key is supported"
            raise ForwardError(msg)
        digest = self._digest(salt, self._hostname, nonce)
        self._send_all(msgpack.packb(["PING", self._hostname, salt, digest, "", ""]), deadline)
        pong = self._answer(deadline)
        if not (isinstance(pong, list) and len(pong) == 5 and pong[0] == "PONG" and pong[1]):
            reason = pong[2] if isinstance(pong, list) and len(pong) > 2 else pong
            msg = f"fluentd refused the shared key: {str(reason)[:80]!r}"
            raise ForwardError(msg)
        if not hmac.compare_digest(str(pong[4]), self._digest(salt, str(pong[3]), nonce)):
            msg = "the server does not know the shared key itself"
            raise ForwardError(msg)

    def _digest(self, salt: bytes, hostname: str, nonce: bytes) -> str:
        assert self._shared_key is not None
        return hashlib.sha512(salt + hostname.encode() + nonce + self._shared_key.encode()).hexdigest()


def _as_bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


def _tls_context(ca_file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        msg = f"'BOXKITE_FLUENTD_CA_FILE': cannot read certificates from {ca_file!r}: {error}."
        raise ConfigError(msg, key="BOXKITE_FLUENTD_CA_FILE") from error


class FluentdSink:
    """Sends records under the tag ``{prefix}.{endpoint_id}.{pod_name}``."""

    name = "fluentd"

    def __init__(
        self, settings: Settings, connect: Callable[..., ForwardConnection] = ForwardConnection
    ) -> None:
        assert settings.fluentd_addr is not None
        tag = ".".join((settings.fluentd_prefix, tag_segment(settings.endpoint_id), tag_segment(settings.pod_name)))
        self._connection = connect(
            tag,
            settings.fluentd_addr,
            shared_key=settings.fluentd_shared_key,
            ca_file=settings.fluentd_ca_file,
            hostname=settings.pod_name,
        )

    def pack(self, time_ns: int, record: dict[str, Any]) -> bytes:
        """Return one entry of a PackedForward message, with its time in nanoseconds."""
        seconds, nanoseconds = divmod(time_ns, 1_000_000_000)
        packed: bytes = msgpack.packb(record, unicode_errors="replace")
        return _ENTRY.pack(_ENTRY_MARK, seconds, nanoseconds) + packed

    def ship(self, batch: Batch, timeout: float) -> None:
        """Send a batch and wait for its acknowledgement."""
        option = {"chunk": batch.id, "size": len(batch.records)}
        message = msgpack.packb([self._connection.tag, b"".join(batch.records), option])
        self._connection.deliver(message, batch.id, timeout)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
