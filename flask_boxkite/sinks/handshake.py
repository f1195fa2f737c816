"""The handshake of the Forward protocol, in which client and server prove that they know the shared key."""

from __future__ import annotations

import hashlib
import hmac
import os
import socket
from dataclasses import dataclass, field
from typing import Any

import msgpack

from flask_boxkite.sinks.messages import as_bytes, receive_alone, refuse, send, shortened

__all__ = ["Credentials", "authenticate"]


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


def authenticate(stream: socket.socket, own: Credentials, deadline: float) -> None:
    """Prove that this client knows the shared key and password, and check that the server does: HELO, PING, PONG.

    Raises:
        OSError: The connection fails, or the deadline passes; a `ForwardError` if one does not accept the other.
    """
    nonce, auth_salt = _greeting(receive_alone(stream, deadline))
    salt = os.urandom(16).hex()  # a text, because Fluent Bit takes no bytes

    def key_digest(hostname: bytes) -> str:
        return _digest(salt, hostname, nonce, own.shared_key)

    hostname = own.hostname.encode("utf-8", "replace")
    user, password_digest = "", ""
    # Some servers send a salt without asking for a user; only the PONG tells whether they do.
    if auth_salt and own.user is not None:
        user, password_digest = own.user, _digest(auth_salt, own.user, own.password)

    ping = ["PING", hostname.decode(), salt, key_digest(hostname), user, password_digest]
    send(stream, msgpack.packb(ping, unicode_errors="surrogateescape"), deadline)
    pong = receive_alone(stream, deadline)
    if not (isinstance(pong, list) and len(pong) == 5 and pong[0] == "PONG"):
        refuse(f"fluentd answered {shortened(pong)}, expected PONG")
    _, is_welcome, reason, server_name, proof = pong
    if not is_welcome:
        is_of_user = own.user is None and b"key" not in as_bytes(reason)
        hint = " (does it ask for a user? Set 'BOXKITE_FLUENTD_USER')" if is_of_user else ""
        refuse(f"fluentd refused us: {shortened(reason)}{hint}")

    server_name = as_bytes(server_name)
    if server_name == hostname:  # otherwise any server could send the client's own proof back
        refuse(f"fluentd calls itself {own.hostname!r}, which is our name")
    if not hmac.compare_digest(as_bytes(proof), key_digest(server_name).encode()):
        refuse("the server does not know the shared key itself")


def _greeting(helo: Any) -> tuple[bytes, bytes]:
    """Return the nonce for the key, and the salt for the password, empty if the server asks for no user."""
    if not (isinstance(helo, list) and len(helo) == 2 and helo[0] == "HELO" and isinstance(helo[1], dict)):
        refuse(f"fluentd greeted with {shortened(helo)}, expected HELO")
    return as_bytes(helo[1].get("nonce", b"")), as_bytes(helo[1].get("auth") or b"")


def _digest(*parts: Any) -> str:
    return hashlib.sha512(b"".join(map(as_bytes, parts))).hexdigest()
