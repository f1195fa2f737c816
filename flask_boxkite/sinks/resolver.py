"""Lookup of host names with a deadline, which the system's lookup lacks.

A lookup cannot be stopped, and may take half a minute where a name server does not answer. So it runs in a daemon
thread: a caller stops waiting in time, and the next caller waits for the same lookup, never for one more thread.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

from flask_boxkite.sinks.deadline import time_left

__all__ = ["Resolver"]

LATE_ANSWER_SECONDS = 30.0
"""In a minute, a restarted server may have another address."""


class Resolver:
    """Looks up one host for every new connection: in a cluster, a restarted server comes back under another address.

    One thread uses it at a time, of the process that made it: a lookup under way has no thread in a forked child.

    Args:
        host: Name of the host.
        port: Port of the server.
        late_answer_seconds: Age up to which an answer that came too late for its caller serves the next caller.
    """

    def __init__(self, host: str, port: int, *, late_answer_seconds: float = LATE_ANSWER_SECONDS) -> None:
        self._host = host
        self._port = port
        self._late_answer_seconds = late_answer_seconds
        self._unfinished: _Lookup | None = None

    def addresses(self, deadline: float) -> list[tuple[int, Any]]:
        """Return family and address of each way to the host, best first, as `socket.connect` takes them.

        Args:
            deadline: Latest time to wait for, of `time.monotonic`.

        Raises:
            OSError: There is no such host; a TimeoutError if the lookup takes too long.
            UnicodeError: The name is not a valid host name.
        """
        try:
            return _look_up(self._host, self._port, socket.AI_NUMERICHOST)  # asks no server, so it needs no thread
        except socket.gaierror:
            pass

        lookup = self._unfinished
        if lookup is None or lookup.is_useless(self._late_answer_seconds):
            lookup = self._unfinished = _Lookup(self._host, self._port)
            lookup.start()

        if not lookup.is_done.wait(time_left(deadline)):
            msg = f"the lookup of the host {self._host!r} takes too long"
            raise TimeoutError(msg)
        self._unfinished = None
        if lookup.error is not None:
            raise lookup.error
        return lookup.addresses


class _Lookup:
    """One lookup and its result."""

    def __init__(self, host: str, port: int) -> None:
        self.is_done = threading.Event()
        self.addresses: list[tuple[int, Any]] = []
        self.error: Exception | None = None
        self._host = host
        self._port = port
        self._ended = 0.0

    def start(self) -> None:
        thread = threading.Thread(target=self._run, name="boxkite-lookup", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # Python is shutting down and starts no more threads: waiting too long is better than not delivering.
            self._run()

    def _run(self) -> None:
        try:
            self.addresses = _look_up(self._host, self._port)
        except Exception as error:  # raised in the thread that waits for the answer
            self.error = error
        finally:
            self._ended = time.monotonic()
            self.is_done.set()

    def is_useless(self, late_answer_seconds: float) -> bool:
        """Say whether it has failed, or ended longer ago than so many seconds."""
        is_old = time.monotonic() - self._ended > late_answer_seconds
        return self.is_done.is_set() and (self.error is not None or is_old)


def _look_up(host: str, port: int, flags: int = 0) -> list[tuple[int, Any]]:
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return [(family, address) for family, _, _, _, address in answers]
