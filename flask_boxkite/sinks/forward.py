"""One connection to one Forward server: opened, authenticated, used and closed, each step with a deadline.

Built on fluent-logger's sender, which provides the lock and closes the socket. This module connects and delivers: by
IPv6, unix sockets and TLS, with a shared key and users. It waits for acknowledgements: without them, a record that a
dying server took from the socket would be lost unseen.

Protocol: Forward Protocol Specification v1, with ``chunk`` and ``ack``. The server sends one message for each of the
client's, and HELO before them where there is a key. After any other message the client closes the connection, because
it could not tell a late answer from the next one.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import socket
import ssl
import time
from dataclasses import dataclass, field
from typing import Any, NoReturn

import msgpack
from fluent.sender import FluentSender

from flask_boxkite.config import Address
from flask_boxkite.errors import ConfigError
from flask_boxkite.sinks.base import RefusedError, time_left
from flask_boxkite.sinks.resolver import Resolver

__all__ = ["Credentials", "ForwardConnection", "ForwardError", "UnacknowledgedError", "tls_context"]

MAX_ANSWER_BYTES = 64 * 1024
"""Longest answer of a server; a longer one ends the connection."""


class ForwardError(OSError):
    """The server sent an answer that the protocol does not allow, or refused the client."""


class UnacknowledgedError(ForwardError, RefusedError):
    """The server took the connection, but does not acknowledge a batch."""


@dataclass(frozen=True)
class Credentials:
    """The names and secrets by which client and server authenticate each other.

    Attributes:
        hostname: Name of the client. The server must have another.
        shared_key: Secret that both must know.
        user: Name of the user, for a server that asks for one; None if there is none.
        password: Password of the user.
    """

    hostname: str
    shared_key: str = field(repr=False)
    user: str | None = None
    password: str | None = field(default=None, repr=False)


class ForwardConnection(FluentSender):  # type: ignore[misc]  # fluent-logger has no types
    """The connection to one address, opened when needed and closed at any doubt.

    Used by one thread at a time, of the process that made it.

    Args:
        address: Address of the server.
        credentials: Names and secrets for the handshake before the first batch; None if the server asks for none.
        ca_file: Path of the certificates to trust, for an address with TLS; None for the system's.
    """

    def __init__(self, address: Address, *, credentials: Credentials | None, ca_file: str | None) -> None:
        super().__init__("", host=address.host, port=address.port)
        self.address = address
        self.socket: socket.socket | None = None
        self._credentials = credentials
        self._ca_file = ca_file
        self._tls: ssl.SSLContext | None = None
        self._resolver = None if address.port is None else Resolver(address.host, address.port)

    def forked(self) -> ForwardConnection:
        """Return a new connection for a forked child, and close the child's copy of the parent's socket."""
        if self.socket is not None:
            self.socket.close()  # not `_close`, which would shut down the connection that the parent uses
        # The TLS context is not passed on: a thread that does not exist in the child may hold a lock in it.
        return ForwardConnection(self.address, credentials=self._credentials, ca_file=self._ca_file)

    def deliver(self, message: bytes, chunk: str, timeout: float) -> None:
        """Send one message and wait until the server acknowledges *chunk*.

        Raises:
            UnacknowledgedError: The server took the connection, but did not acknowledge within *timeout* seconds.
            OSError: There is no connection.
            ValueError: The address or the certificates cannot be used.
        """
        deadline = time.monotonic() + timeout
        with self.lock:
            is_all = False
            try:
                is_all = self._exchange(self._connected(deadline), message, chunk, deadline)
            finally:
                if not is_all:
                    self._close()

    @staticmethod
    def _exchange(stream: socket.socket, message: bytes, chunk: str, deadline: float) -> bool:
        """Send a message and read its acknowledgement; return whether the server sent nothing else."""
        try:
            _send(stream, message, deadline)
            answer, is_all = _receive(stream, deadline)
            _check_acknowledged(answer, chunk)
        except OSError as error:
            raise UnacknowledgedError(str(error)) from error
        return is_all

    def _connected(self, deadline: float) -> socket.socket:
        """Return the open connection, or a new one."""
        if self.socket is not None and _is_quiet(self.socket):
            return self.socket
        self._close()
        self.socket = stream = self._open(deadline)
        if self._credentials is not None:
            _authenticate(stream, self._credentials, deadline)
        return stream

    def _open(self, deadline: float) -> socket.socket:
        if self._resolver is None:
            return _connect(socket.AF_UNIX, self.address.host, time_left(deadline))
        stream = _connect_to_any(self._resolver.addresses(deadline), deadline)
        try:
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if not self.address.tls:
                return stream
            if self._tls is None:
                self._tls = tls_context(self._ca_file)
            stream.settimeout(time_left(deadline))
            return self._tls.wrap_socket(stream, server_hostname=self.address.host)
        except BaseException:
            stream.close()
            raise


# --- connecting -----------------------------------------------------------------------------------------------------


def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """Return the TLS context that checks a server's certificate.

    Raises:
        ConfigError: The file cannot be read.
    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        msg = f"'BOXKITE_FLUENTD_CA_FILE': cannot read certificates from {ca_file!r}: {error}."
        raise ConfigError(msg, key="BOXKITE_FLUENTD_CA_FILE") from error


def _connect_to_any(addresses: list[tuple[int, Any]], deadline: float) -> socket.socket:
    """Connect to the first address that answers; a dead address gets only its share of the time."""
    for number_left, (family, address) in zip(range(len(addresses), 0, -1), addresses, strict=True):
        try:
            return _connect(family, address, time_left(deadline) / number_left)
        except OSError:
            if number_left == 1:
                raise
    _refuse("the host has no address")


def _connect(family: int, address: Any, timeout: float) -> socket.socket:
    stream = socket.socket(family, socket.SOCK_STREAM)
    try:
        stream.settimeout(timeout)
        stream.connect(address)
    except BaseException:
        stream.close()
        raise
    return stream


def _is_quiet(stream: socket.socket) -> bool:
    """Say whether the connection can be used: the server has neither closed it nor sent a message unasked."""
    stream.setblocking(False)
    try:
        stream.recv(1)
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    except OSError:
        pass
    return False


# --- the handshake --------------------------------------------------------------------------------------------------


def _authenticate(stream: socket.socket, own: Credentials, deadline: float) -> None:
    """Prove that this client knows the shared key and password, and check that the server does: HELO, PING, PONG."""
    nonce, auth_salt = _greeting(_receive_alone(stream, deadline))
    salt = os.urandom(16).hex()  # a text, because Fluent Bit takes no bytes

    def key_digest(hostname: bytes) -> str:
        return _digest(salt, hostname, nonce, own.shared_key)

    hostname = own.hostname.encode("utf-8", "replace")
    user, password_digest = "", ""
    # Some servers send a salt without asking for a user; only the PONG tells whether they do.
    if auth_salt and own.user is not None:
        user, password_digest = own.user, _digest(auth_salt, own.user, own.password)
    ping = ["PING", hostname.decode(), salt, key_digest(hostname), user, password_digest]
    _send(stream, msgpack.packb(ping, unicode_errors="surrogateescape"), deadline)
    pong = _receive_alone(stream, deadline)
    if not (isinstance(pong, list) and len(pong) == 5 and pong[0] == "PONG"):
        _refuse(f"fluentd answered {_shortened(pong)}, expected PONG")
    _, is_welcome, reason, server_name, proof = pong
    if not is_welcome:
        is_of_user = own.user is None and b"key" not in _as_bytes(reason)
        hint = " (does it ask for a user? Set 'BOXKITE_FLUENTD_USER')" if is_of_user else ""
        _refuse(f"fluentd refused us: {_shortened(reason)}{hint}")
    server_name = _as_bytes(server_name)
    if server_name == hostname:  # otherwise any server could send the client's own proof back
        _refuse(f"fluentd calls itself {own.hostname!r}, which is our name")
    if not hmac.compare_digest(_as_bytes(proof), key_digest(server_name).encode()):
        _refuse("the server does not know the shared key itself")


def _greeting(helo: Any) -> tuple[bytes, bytes]:
    """Return the nonce for the key, and the salt for the password, empty if the server asks for no user."""
    if not (isinstance(helo, list) and len(helo) == 2 and helo[0] == "HELO" and isinstance(helo[1], dict)):
        _refuse(f"fluentd greeted with {_shortened(helo)}, expected HELO")
    return _as_bytes(helo[1].get("nonce", b"")), _as_bytes(helo[1].get("auth") or b"")


def _digest(*parts: Any) -> str:
    return hashlib.sha512(b"".join(map(_as_bytes, parts))).hexdigest()


# --- messages -------------------------------------------------------------------------------------------------------


def _send(stream: socket.socket, message: bytes, deadline: float) -> None:
    # Not `sendall`: with TLS, its timeout starts again with every piece that a slow reader takes.
    rest = memoryview(message)
    while rest:
        stream.settimeout(time_left(deadline))
        rest = rest[stream.send(rest) :]


def _receive(stream: socket.socket, deadline: float) -> tuple[Any, bool]:
    """Return the server's next message, and whether it came alone, without bytes of another message."""
    # Old versions of MessagePack send bytes, such as a nonce, as text.
    answers = msgpack.Unpacker(max_buffer_size=2 * MAX_ANSWER_BYTES, unicode_errors="surrogateescape")
    received = 0
    while True:
        stream.settimeout(time_left(deadline))
        data = stream.recv(4096)
        if not data:
            _refuse("fluentd closed the connection")
        received += len(data)
        if received > MAX_ANSWER_BYTES:  # the limit of the unpacker's buffer does not count what it has parsed
            _refuse("fluentd answers without end")
        answers.feed(data)
        try:
            return answers.unpack(), answers.tell() == received
        except msgpack.OutOfData:
            pass
        except Exception as error:  # msgpack raises its own kinds, ValueError and TypeError
            _refuse("fluentd sent an answer that is not MessagePack", error)


def _receive_alone(stream: socket.socket, deadline: float) -> Any:
    answer, is_all = _receive(stream, deadline)
    if not is_all:
        _refuse(f"fluentd said more than {_shortened(answer)}")
    return answer


def _check_acknowledged(answer: Any, chunk: str) -> None:
    if isinstance(answer, dict) and answer.get("ack") == chunk:
        return
    if isinstance(answer, list) and answer[:1] == ["HELO"]:
        _refuse("fluentd asks for a shared key, but 'BOXKITE_FLUENTD_SHARED_KEY' is not set")
    _refuse(f"fluentd acknowledged {_shortened(answer)}, expected chunk {chunk!r}")


def _refuse(message: str, cause: Exception | None = None) -> NoReturn:
    raise ForwardError(message) from cause


def _shortened(answer: Any) -> str:
    return repr(answer)[:80]


def _as_bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, bytes):
        return value
    _refuse(f"fluentd sent {_shortened(value)}, expected a text")
