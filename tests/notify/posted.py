"""A receiver of webhooks that does what a test tells it: it takes a message, refuses, hangs, resets, or lies."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tests.peers import wait_for

__all__ = ["Behaviour", "Posted", "WebhookServer", "answer", "dribbling", "reset", "silent", "webhook_server"]


class Posted(NamedTuple):
    """One request, as the server has read it.

    Attributes:
        line: First line of it.
        headers: Headers by their names in lower case.
        body: Body.
    """

    line: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


Behaviour = Callable[["WebhookServer", socket.socket], None]


def answer(status: str = "200 OK", body: bytes = b"ok", *headers: str) -> Behaviour:
    """Return what answers with a status line, headers and a body."""
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "Connection: close", "", ""]
    data = "\r\n".join(lines).encode() + body
    return lambda server, connection: connection.sendall(data)


def silent(server: WebhookServer, connection: socket.socket) -> None:
    """Answer nothing until the client or the test has gone."""
    while not server.is_over.is_set():
        connection.settimeout(0.1)
        with contextlib.suppress(TimeoutError):
            if not connection.recv(1):
                return


def dribbling(server: WebhookServer, connection: socket.socket) -> None:
    """Answer a first line without an end, a letter at a time."""
    with contextlib.suppress(OSError):
        while not server.is_over.wait(0.02):
            connection.sendall(b"H")


def reset(server: WebhookServer, connection: socket.socket) -> None:
    """Break the connection off."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class WebhookServer:
    """A server on a port of 127.0.0.1, whose behaviour may change at any time.

    Attributes:
        posted: Requests so far.
        behaviour: Answer to the requests that come from now on.
        is_over: Set at the end of the test.
        speaks_first: Bytes that it sends before it has read anything.

    Args:
        port: Port; 0 for any.
        tls: Certificate with which it speaks TLS; None for none.
    """

    def __init__(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.speaks_first = b""
        self.posted: list[Posted] = []
        self.behaviour: Behaviour = answer()
        self.is_over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._spawn(self._accept)

    @property
    def url(self) -> str:
        """An address with a secret."""
        return f"http://127.0.0.1:{self.port}/services/T0SECRET/B0SECRET"

    def wait_for(self, number: int) -> list[Posted]:
        """Return the requests, once there are so many of them."""
        wait_for(lambda: len(self.posted) >= number, what=f"{number} messages")
        return self.posted

    def _spawn(self, target: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        self._listener.settimeout(0.05)
        while not self.is_over.is_set():
            with contextlib.suppress(TimeoutError):
                self._spawn(self._serve, self._listener.accept()[0])
        self._listener.close()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), self._secured(connection) as connection:
            connection.settimeout(10)
            connection.sendall(self.speaks_first)
            reader = connection.makefile("rb")
            line = reader.readline().decode("latin-1").strip()
            headers = {}
            while text := reader.readline().decode("latin-1").strip():
                name, _, value = text.partition(":")
                headers[name.lower()] = value.strip()
            body = reader.read(int(headers.get("content-length", 0)))
            if line:
                behaviour = self.behaviour
                self.posted.append(Posted(line, headers, body))
                behaviour(self, connection)
            reader.close()

    def _secured(self, connection: socket.socket) -> socket.socket:
        try:
            return connection if self._tls is None else self._tls.wrap_socket(connection, server_side=True)
        except OSError:
            connection.close()
            raise

    def close(self) -> None:
        """Hang up."""
        self.is_over.set()
        for thread in self._threads:
            thread.join(10)


@contextlib.contextmanager
def webhook_server(port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[WebhookServer]:
    """Run a server for a while."""
    server = WebhookServer(port, tls)
    try:
        yield server
    finally:
        server.close()
