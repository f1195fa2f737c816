"""One connection to one Forward server: opened, authenticated, used and closed, each step with a deadline.

It is built on fluent-logger's sender, and uses its lock, its socket and its end (`close` and `_close`). This module
connects and delivers in its place: by IPv6, unix sockets and TLS, with a shared key and users. It waits for
acknowledgements: without them, a record that a dying server took from the socket would be lost unseen.

Protocol: Forward Protocol Specification v1, with ``chunk`` and ``ack``. The server sends one message for each of the
client's, and HELO before them where there is a key. After any other message the client closes the connection, because
it could not tell a late answer from the next one.
"""

from __future__ import annotations

import socket
import ssl
import time
from typing import Any

from fluent.sender import FluentSender

from flask_boxkite.config import Address
from flask_boxkite.errors import ConfigError
from flask_boxkite.sinks.base import RefusedError
from flask_boxkite.sinks.deadline import time_left
from flask_boxkite.sinks.handshake import Credentials, authenticate
from flask_boxkite.sinks.messages import ForwardError, choose_waiting, is_quiet, receive, refuse, send, shortened
from flask_boxkite.sinks.resolver import Resolver

__all__ = ["ForwardConnection", "UnacknowledgedError", "tls_context"]


class UnacknowledgedError(ForwardError, RefusedError):
    """The server took the connection, but does not acknowledge a batch."""


class ForwardConnection(FluentSender):  # type: ignore[misc]  # fluent-logger has no types
    """The connection to one address, opened when needed and closed at any doubt.

    One thread uses it at a time, of the process that made it.

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
            send(stream, message, deadline)
            answer, is_all = receive(stream, deadline)
            _check_acknowledged(answer, chunk)
        except OSError as error:
            raise UnacknowledgedError(str(error)) from error
        return is_all

    def _connected(self, deadline: float) -> socket.socket:
        """Return the open connection, or a new one."""
        if self.socket is not None and is_quiet(self.socket):
            return self.socket
        self._close()
        self.socket = stream = self._open(deadline)
        choose_waiting(stream)
        if self._credentials is not None:
            authenticate(stream, self._credentials, deadline)
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


def _check_acknowledged(answer: Any, chunk: str) -> None:
    if isinstance(answer, dict) and answer.get("ack") == chunk:
        return
    if isinstance(answer, list) and answer[:1] == ["HELO"]:
        refuse("fluentd asks for a shared key, but 'BOXKITE_FLUENTD_SHARED_KEY' is not set")
    refuse(f"fluentd acknowledged {shortened(answer)}, expected chunk {chunk!r}")


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
    refuse("the host has no address")


def _connect(family: int, address: Any, timeout: float) -> socket.socket:
    stream = socket.socket(family, socket.SOCK_STREAM)
    try:
        stream.settimeout(timeout)
        stream.connect(address)
    except BaseException:
        stream.close()
        raise
    return stream
