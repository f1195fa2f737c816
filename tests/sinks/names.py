"""Host names for tests, which must not depend on any name server."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest


class Names:
    """Stands for the system's lookup of host names, until the end of the test.

    Attributes:
        hosts: What each host name stands for: addresses and ports, or how its lookup fails.
        lookups: The host names asked for, in order.
        answering: Cleared, lookups hang until it is set.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hosts: dict[str, list[tuple[str, int]] | Exception] = {}
        self.lookups: list[str] = []
        self.answering = threading.Event()
        self.answering.set()
        self._system = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._look_up)

    def _look_up(self, host: str, port: int, *arguments: Any, flags: int = 0, **options: Any) -> Any:
        if flags & socket.AI_NUMERICHOST:  # which asks no name server
            return self._system(host, port, *arguments, flags=flags, **options)
        self.lookups.append(host)
        self.answering.wait()
        found = self.hosts[host]
        if isinstance(found, Exception):
            raise found
        families = {True: socket.AF_INET6, False: socket.AF_INET}
        return [(families[":" in address], socket.SOCK_STREAM, 6, "", (address, at)) for address, at in found]


def lookups_under_way() -> list[threading.Thread]:
    """Return the threads in which host names are being looked up."""
    return [thread for thread in threading.enumerate() if thread.name == "boxkite-lookup"]
