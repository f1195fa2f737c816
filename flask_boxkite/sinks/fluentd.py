"""Records to fluentd by the Forward protocol, acknowledged batch by batch.

Built on fluent-logger's sender, of which the connection is replaced: IPv6, unix sockets, TLS, a shared key, and a wait
for the acknowledgement, without which a record that a dying server took from the socket is lost unseen. A batch that
was not acknowledged is sent again under the same id; a server that had stored it all the same then has it twice, and
``entity_id`` tells a reader so.

Protocol: Forward Protocol Specification v1, PackedForward mode with ``chunk`` and ``ack``.
"""

from __future__ import annotations

import copy
import hashlib
import hmac
import os
import socket
import ssl
import struct
import time
from typing import Any, NoReturn

import msgpack
from fluent.sender import FluentSender

from flask_boxkite.config import Address, Settings
from flask_boxkite.errors import ConfigError
from flask_boxkite.naming import tag_segment
from flask_boxkite.sinks.base import Batch, packed, time_left

__all__ = ["FluentdSink", "ForwardConnection", "ForwardError"]

MAX_ANSWER_BYTES = 64 * 1024
"""A server that answers more than this without making sense is dropped."""

# [EventTime, record]: an array of two, whose first is the extension type 0 of 8 bytes.
_ENTRY = struct.Struct(">3sII")
_ENTRY_MARK = b"\x92\xd7\x00"


class ForwardError(OSError):
    """The server answered something that the protocol does not allow, or refused us."""


class ForwardConnection(FluentSender):  # type: ignore[misc]  # fluent-logger has no types
    """One connection to a Forward server, made when needed and dropped at any doubt.

    Used by one thread at a time, of the process that made it.

    Args:
        tag: Of all records.
        address: Where the server listens.
        shared_key: What both sides must know; None if the server does not ask.
        ca_file: Certificates to trust, for an address with TLS; None for the system's.
        hostname: Our name, for the shared key. The server's must be another.
    """

    def __init__(
        self, tag: str, address: Address, *, shared_key: str | None, ca_file: str | None, hostname: str
    ) -> None:
        super().__init__(tag, host=address.host, port=address.port)
        self.socket: socket.socket | None = None
        self._address = address
        self._shared_key = shared_key
        self._ca_file = ca_file
        self._tls: ssl.SSLContext | None = None
        self._hostname = hostname.encode("utf-8", "replace").decode()
        self._answers = _new_unpacker()

    def forked(self) -> ForwardConnection:
        """Return one like this for a forked child; its copy of the parent's socket is closed, the connection stays."""
        if self.socket is not None:
            self.socket.close()  # not `_close`, which would shut down the connection that the parent uses
        # Nor is the TLS context passed on: a lock of OpenSSL's in it may be held by a thread that was not forked.
        return ForwardConnection(
            self.tag, self._address, shared_key=self._shared_key, ca_file=self._ca_file, hostname=self._hostname
        )

    def deliver(self, message: bytes, chunk: str, timeout: float) -> None:
        """Send one message and wait until the server acknowledges *chunk*.

        Raises:
            OSError: It did not, within *timeout* seconds. The connection is closed.
        """
        deadline = time.monotonic() + timeout
        with self.lock:
            try:
                stream = self._connected(deadline)
                _send(stream, message, deadline)
                answer = self._answer(stream, deadline)
                if not isinstance(answer, dict) or answer.get("ack") != chunk:
                    _refuse(f"fluentd acknowledged {_shortened(answer)}, expected chunk {chunk!r}")
            except BaseException:
                self._close()
                raise

    def _connected(self, deadline: float) -> socket.socket:
        """Return the connection that is open, or else a new one."""
        if self.socket is not None and _is_quiet(self.socket):
            return self.socket
        self._close()
        self._answers = _new_unpacker()
        self.socket = stream = self._open(deadline)
        if self._shared_key is not None:
            self._authenticate(stream, _as_bytes(self._shared_key), deadline)
        return stream

    def _open(self, deadline: float) -> socket.socket:
        host, port = self._address.host, self._address.port
        if port is None:
            return _connect(socket.AF_UNIX, host, time_left(deadline))
        stream = _connect_to_any(host, port, deadline)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self._address.tls:
            return stream
        try:
            if self._tls is None:
                self._tls = tls_context(self._ca_file)
            stream.settimeout(time_left(deadline))
            return self._tls.wrap_socket(stream, server_hostname=host)
        except BaseException:
            stream.close()
            raise

    def _answer(self, stream: socket.socket, deadline: float) -> Any:
        """Return the next message of the server."""
        received = 0
        while True:
            try:
                return self._answers.unpack()
            except msgpack.OutOfData:
                pass
            except Exception as error:  # msgpack raises its own kinds, ValueError and TypeError
                _refuse("fluentd answered what is no MessagePack", error)
            stream.settimeout(time_left(deadline))
            data = stream.recv(4096)
            if not data:
                _refuse("fluentd closed the connection")
            received += len(data)
            if received > MAX_ANSWER_BYTES:  # the limit of the unpacker's buffer does not count what it has parsed
                _refuse("fluentd answers without end")
            self._answers.feed(data)

    def _authenticate(self, stream: socket.socket, key: bytes, deadline: float) -> None:
        """Prove that we know the shared key, and let the server prove it too: HELO, PING, PONG."""
        helo = self._answer(stream, deadline)
        if not (isinstance(helo, list) and len(helo) == 2 and helo[0] == "HELO" and isinstance(helo[1], dict)):
            _refuse(f"fluentd greeted with {_shortened(helo)}, expected HELO")
        if helo[1].get("auth"):
            _refuse("fluentd asks for a user and password; only a shared key is supported")
        nonce, salt = _as_bytes(helo[1].get("nonce", b"")), os.urandom(16)

        def digest(hostname: str) -> str:
            return hashlib.sha512(salt + _as_bytes(hostname) + nonce + key).hexdigest()

        ping = ["PING", self._hostname, salt, digest(self._hostname), "", ""]
        _send(stream, msgpack.packb(ping), deadline)
        pong = self._answer(stream, deadline)
        if not (isinstance(pong, list) and len(pong) == 5 and pong[0] == "PONG"):
            _refuse(f"fluentd answered {_shortened(pong)}, expected PONG")
        if not pong[1]:
            _refuse(f"fluentd refused the shared key: {_shortened(pong[2])}")
        if not hmac.compare_digest(_as_bytes(pong[4]), digest(pong[3]).encode()):
            _refuse("the server does not know the shared key itself")


def _refuse(message: str, cause: Exception | None = None) -> NoReturn:
    raise ForwardError(message) from cause


def _shortened(answer: Any) -> str:
    return repr(answer)[:80]


def _new_unpacker() -> Any:
    # Fluentd's nonce is bytes, which old versions of MessagePack send as text.
    return msgpack.Unpacker(max_buffer_size=2 * MAX_ANSWER_BYTES, unicode_errors="surrogateescape")


def _as_bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, bytes):
        return value
    _refuse(f"fluentd sent {_shortened(value)}, expected a text")


def _is_quiet(stream: socket.socket) -> bool:
    """Say whether the server still listens: it has not hung up, nor sent what nobody asked for."""
    stream.setblocking(False)
    try:
        stream.recv(1)
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    except OSError:
        pass
    return False


def _connect_to_any(host: str, port: int, deadline: float) -> socket.socket:
    """Connect to the first address of a host that answers; a dead one may use only its share of the time."""
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for number_left, (family, _, _, _, address) in zip(range(len(addresses), 0, -1), addresses, strict=True):
        try:
            return _connect(family, address, time_left(deadline) / number_left)
        except OSError:
            if number_left == 1:
                raise
    _refuse(f"the host {host!r} has no address")


def _connect(family: int, address: Any, timeout: float) -> socket.socket:
    stream = socket.socket(family, socket.SOCK_STREAM)
    try:
        stream.settimeout(timeout)
        stream.connect(address)
    except BaseException:
        stream.close()
        raise
    return stream


def _send(stream: socket.socket, message: bytes, deadline: float) -> None:
    # Not `sendall`: with TLS, its timeout starts anew with every piece that a slow reader takes.
    rest = memoryview(message)
    while rest:
        stream.settimeout(time_left(deadline))
        rest = rest[stream.send(rest) :]


def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """Return how to check a server's certificate.

    Raises:
        ConfigError: The file cannot be read.
    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        msg = f"'BOXKITE_FLUENTD_CA_FILE': cannot read certificates from {ca_file!r}: {error}."
        raise ConfigError(msg, key="BOXKITE_FLUENTD_CA_FILE") from error


class FluentdSink:
    """Sends records under the tag ``{prefix}.{endpoint_id}.{pod_name}``.

    Raises:
        ConfigError: The certificates to trust cannot be read.
    """

    name = "fluentd"

    def __init__(self, settings: Settings) -> None:
        address = settings.fluentd_addr
        assert address is not None
        self.tag = ".".join(
            (settings.fluentd_prefix, tag_segment(settings.endpoint_id), tag_segment(settings.pod_name))
        )
        self._connection = ForwardConnection(
            self.tag,
            address,
            shared_key=settings.fluentd_shared_key,
            ca_file=settings.fluentd_ca_file,
            hostname=settings.pod_name,
        )
        if address.tls:
            tls_context(settings.fluentd_ca_file)  # says now what is wrong with it

    def pack(self, time_ns: int, record: dict[str, Any]) -> bytes:
        """Return one entry of a PackedForward message, with its time in nanoseconds."""
        seconds, nanoseconds = divmod(time_ns, 1_000_000_000)
        return _ENTRY.pack(_ENTRY_MARK, seconds, nanoseconds) + packed(record)

    def ship(self, batch: Batch, timeout: float) -> None:
        """Send a batch and wait for its acknowledgement."""
        option = {"chunk": batch.id, "size": len(batch.records)}
        entries = b"".join(batch.records)
        message = packed([batch.tag, entries, option])
        self._connection.deliver(message, batch.id, timeout)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def forked(self) -> FluentdSink:
        """Return one with a connection of its own."""
        child = copy.copy(self)
        child._connection = self._connection.forked()
        return child
