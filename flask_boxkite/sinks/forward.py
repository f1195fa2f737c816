"""One connection to one Forward server: made, proved, used and dropped, each with a deadline.

Built on fluent-logger's sender, of which it keeps the lock and how a socket is closed. How it connects and delivers is
replaced: IPv6, unix sockets, TLS, a shared key and users, and a wait for the acknowledgement, without which a record
that a dying server took from the socket is lost unseen.

Protocol: Forward Protocol Specification v1, with ``chunk`` and ``ack``. The server speaks only when it is asked: one
message for each of ours, and HELO before them where there is a key. Whatever else it says costs it the connection, as
no later answer could be told from a late one.
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
"""A server that answers more than this without making sense is dropped."""


class ForwardError(OSError):
    """The server answered something that the protocol does not allow, or refused us."""


class UnacknowledgedError(ForwardError, RefusedError):
    """The server, with which there is a connection, does not acknowledge a batch."""


@dataclass(frozen=True)
class Credentials:
    """How client and server prove themselves to each other.

    Attributes:
        hostname: Our name. The server's must be another.
        shared_key: What both must know.
        user: Whom we say we are, to a server that asks; None if that is not known.
        password: The user's.
    """

    hostname: str
    shared_key: str = field(repr=False)
    user: str | None = None
    password: str | None = field(default=None, repr=False)


class ForwardConnection(FluentSender):  # type: ignore[misc]  # fluent-logger has no types
    """The connection to one address, made when needed and dropped at any doubt.

    Used by one thread at a time, of the process that made it.

    Args:
        address: Where the server listens.
        credentials: What to prove, and have proved, before anything is sent; None if the server does not ask.
        ca_file: Certificates to trust, for an address with TLS; None for the system's.
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
        """Return one like this for a forked child; its copy of the parent's socket is closed, the connection stays."""
        if self.socket is not None:
            self.socket.close()  # not `_close`, which would shut down the connection that the parent uses
        # Nor is the TLS context passed on: a lock of OpenSSL's in it may be held by a thread that was not forked.
        return ForwardConnection(self.address, credentials=self._credentials, ca_file=self._ca_file)

    def deliver(self, message: bytes, chunk: str, timeout: float) -> None:
        """Send one message and wait until the server acknowledges *chunk*.

        Raises:
            UnacknowledgedError: It took the connection, and did not, within *timeout* seconds.
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
        """Send a message and take its acknowledgement; return whether the server said nothing else."""
        try:
            _send(stream, message, deadline)
            answer, is_all = _receive(stream, deadline)
            _check_acknowledged(answer, chunk)
        except OSError as error:
            raise UnacknowledgedError(str(error)) from error
        return is_all

    def _connected(self, deadline: float) -> socket.socket:
        """Return the connection that is open, or else a new one."""
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
    """Return how to check a server's certificate.

    Raises:
        ConfigError: The file cannot be read.
    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        msg = f"'BOXKITE_FLUENTD_CA_FILE': cannot read certificates from {ca_file!r}: {error}."
        raise ConfigError(msg, key="BOXKITE_FLUENTD_CA_FILE") from error


def _connect_to_any(addresses: list[tuple[int, Any]], deadline: float) -> socket.socket:
    """Connect to the first address that answers; a dead one may use only its share of the time."""
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
    """Say whether the server still listens: it has not hung up, nor sent what nobody asked for."""
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
    """Prove that we know the shared key and the password, and let the server prove the key too: HELO, PING, PONG."""
    nonce, auth_salt = _greeting(_receive_alone(stream, deadline))
    salt = os.urandom(16).hex()  # a text: Fluent Bit takes no bytes, fluentd takes both

    def key_digest(hostname: bytes) -> str:
        return _digest(salt, hostname, nonce, own.shared_key)

    hostname = own.hostname.encode("utf-8", "replace")
    user, password_digest = "", ""
    # Servers send a salt also if they ask for no user; whether they do, the PONG tells.
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
    if server_name == hostname:  # or else anyone could send us back our own proof
        _refuse(f"fluentd calls itself {own.hostname!r}, which is our name")
    if not hmac.compare_digest(_as_bytes(proof), key_digest(server_name).encode()):
        _refuse("the server does not know the shared key itself")


def _greeting(helo: Any) -> tuple[bytes, bytes]:
    """Return the nonce for the key, and the salt for the password; that is empty if no user is asked for."""
    if not (isinstance(helo, list) and len(helo) == 2 and helo[0] == "HELO" and isinstance(helo[1], dict)):
        _refuse(f"fluentd greeted with {_shortened(helo)}, expected HELO")
    return _as_bytes(helo[1].get("nonce", b"")), _as_bytes(helo[1].get("auth") or b"")


def _digest(*parts: Any) -> str:
    return hashlib.sha512(b"".join(map(_as_bytes, parts))).hexdigest()


# --- messages -------------------------------------------------------------------------------------------------------


def _send(stream: socket.socket, message: bytes, deadline: float) -> None:
    # Not `sendall`: with TLS, its timeout starts anew with every piece that a slow reader takes.
    rest = memoryview(message)
    while rest:
        stream.settimeout(time_left(deadline))
        rest = rest[stream.send(rest) :]


def _receive(stream: socket.socket, deadline: float) -> tuple[Any, bool]:
    """Return the server's next message, and whether nothing came with it that belongs to another one."""
    # A nonce is bytes, which old versions of MessagePack send as text.
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
            _refuse("fluentd answered what is no MessagePack", error)


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
