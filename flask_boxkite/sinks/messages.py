"""Messages of the Forward protocol: sent and received by a deadline, and the error for forbidden answers."""

from __future__ import annotations

import socket
from typing import Any, NoReturn

import msgpack

from flask_boxkite.sinks.deadline import time_left

__all__ = ["ForwardError", "as_bytes", "receive", "receive_alone", "refuse", "send", "shortened"]

MAX_ANSWER_BYTES = 64 * 1024
"""Longest answer of a server; a longer one ends the connection."""


class ForwardError(OSError):
    """The server sent an answer that the protocol does not allow, or refused the client."""


def send(stream: socket.socket, message: bytes, deadline: float) -> None:
    """Send a message whole.

    Raises:
        OSError: The connection fails, or the deadline passes.
    """
    # Not `sendall`: with TLS, its timeout starts again with every piece that a slow reader takes.
    rest = memoryview(message)
    while rest:
        stream.settimeout(time_left(deadline))
        rest = rest[stream.send(rest) :]


def receive(stream: socket.socket, deadline: float) -> tuple[Any, bool]:
    """Return the server's next message, and whether it came alone, without bytes of another message.

    Raises:
        OSError: The connection fails, or the deadline passes; a `ForwardError` if no message can be read.
    """
    # Old versions of MessagePack send bytes, such as a nonce, as text.
    answers = msgpack.Unpacker(max_buffer_size=2 * MAX_ANSWER_BYTES, unicode_errors="surrogateescape")

    received = 0
    while True:
        stream.settimeout(time_left(deadline))
        data = stream.recv(4096)
        if not data:
            refuse("fluentd closed the connection")
        received += len(data)
        if received > MAX_ANSWER_BYTES:  # the limit of the unpacker's buffer leaves out the bytes that it has parsed
            refuse("fluentd answers without end")

        answers.feed(data)
        try:
            return answers.unpack(), answers.tell() == received
        except msgpack.OutOfData:
            pass
        except Exception as error:  # msgpack raises its own kinds, ValueError and TypeError
            refuse("fluentd sent an answer that is not MessagePack", error)


def receive_alone(stream: socket.socket, deadline: float) -> Any:
    """Return the server's next message, which must come alone.

    Raises:
        OSError: The connection fails, or the deadline passes; a `ForwardError` if there is more than one message.
    """
    answer, is_all = receive(stream, deadline)
    if not is_all:
        refuse(f"fluentd said more than {shortened(answer)}")
    return answer


def refuse(message: str, cause: Exception | None = None) -> NoReturn:
    """Raise a `ForwardError`."""
    raise ForwardError(message) from cause


def shortened(answer: Any) -> str:
    """Return an answer as it can stand in a message."""
    return repr(answer)[:80]


def as_bytes(value: Any) -> bytes:
    """Return a text or bytes of an answer as bytes.

    Raises:
        ForwardError: The value is neither.
    """
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, bytes):
        return value
    refuse(f"fluentd sent {shortened(value)}, expected a text")
