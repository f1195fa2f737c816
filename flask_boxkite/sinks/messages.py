"""Messages of the Forward protocol: sent and received by a deadline, and the error for forbidden answers.

Each system call of the thread may cost a busy request the interpreter, so there are few. A plain socket waits in the
system, which takes a message whole in one call. Any other (TLS, or the sockets of gevent) never blocks: a call is
tried, and only if it cannot go on yet, the thread waits.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import struct
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn, TypeVar

import msgpack

from flask_boxkite.sinks.deadline import time_left

__all__ = [
    "ForwardError",
    "as_bytes",
    "choose_waiting",
    "is_quiet",
    "receive",
    "receive_alone",
    "refuse",
    "send",
    "shortened",
]

MAX_ANSWER_BYTES = 64 * 1024
"""Longest answer of a server; a longer one ends the connection."""


_WAITS = hasattr(socket, "SO_SNDTIMEO") and hasattr(socket, "MSG_DONTWAIT")  # as Windows has not
_LIMIT = struct.Struct("ll")

_Answer = TypeVar("_Answer")


class ForwardError(OSError):
    """The server sent an answer that the protocol does not allow, or refused the client."""


def choose_waiting(stream: socket.socket) -> None:
    """Let a new socket wait in the system, if it can; otherwise let it never block."""
    stream.setblocking(True)
    if not _WAITS or isinstance(stream, ssl.SSLSocket) or not os.get_blocking(stream.fileno()):
        stream.setblocking(False)


def _waits(stream: socket.socket) -> bool:
    return stream.gettimeout() is None


def send(stream: socket.socket, message: bytes, deadline: float) -> None:
    """Send a message whole.

    Raises:
        OSError: The connection fails, or the deadline passes.
    """
    rest = memoryview(message)
    while rest:
        rest = rest[_called(partial(stream.send, rest), stream, deadline, reads=False) :]


def receive(stream: socket.socket, deadline: float) -> tuple[Any, bool]:
    """Return the server's next message, and whether it came alone, without bytes of another message.

    Raises:
        OSError: The connection fails, or the deadline passes; a `ForwardError` if no message can be read.
    """
    # Old versions of MessagePack send bytes, such as a nonce, as text.
    answers = msgpack.Unpacker(max_buffer_size=2 * MAX_ANSWER_BYTES, unicode_errors="surrogateescape")

    received = 0
    while True:
        data = _called(partial(stream.recv, 4096), stream, deadline, reads=True)
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


def _called(call: Callable[[], _Answer], stream: socket.socket, deadline: float, *, reads: bool) -> _Answer:
    """Call a function of a socket, again and again until the socket is ready for it.

    Raises:
        OSError: The connection fails, or the deadline passes.
    """
    while True:
        seconds = time_left(deadline)
        if _waits(stream):
            limit = _LIMIT.pack(int(seconds), max(int(seconds % 1 * 1_000_000), 1))  # zero would be no limit
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO if reads else socket.SO_SNDTIMEO, limit)
        try:
            return call()
        except BlockingIOError:
            if _waits(stream):
                msg = "timed out"
                raise TimeoutError(msg) from None
            _wait(stream, seconds, reads=reads)
        except ssl.SSLWantReadError:
            _wait(stream, seconds, reads=True)
        except ssl.SSLWantWriteError:
            _wait(stream, seconds, reads=False)


def _wait(stream: socket.socket, seconds: float, *, reads: bool) -> None:
    """Wait until a socket can be read from or written to, or has failed.

    Raises:
        TimeoutError: The time is over.
    """
    ready: Any
    if hasattr(select, "poll"):  # neither Windows nor eventlet has it
        poll = select.poll()
        poll.register(stream, select.POLLIN if reads else select.POLLOUT)
        ready = poll.poll(seconds * 1000)
    else:
        ready = any(select.select([stream] if reads else [], [] if reads else [stream], [], seconds))
    if not ready:
        msg = "timed out"
        raise TimeoutError(msg)


def is_quiet(stream: socket.socket) -> bool:
    """Say whether a connection can be used: the server has neither closed it nor sent a message unasked."""
    try:
        if _waits(stream):
            stream.recv(1, socket.MSG_DONTWAIT)
        else:
            stream.recv(1)
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    except OSError:
        pass
    return False


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
