"""What is known of how a server ends its processes."""

from __future__ import annotations

import signal
import socket
import socketserver
from collections.abc import Iterator
from typing import Any

import pytest

from flask_boxkite.delivery.shutdown import ends_after_answer, skips_exit_hooks

WAITRESS = {"SERVER_SOFTWARE": "waitress", "wsgi.multiprocess": False}


@pytest.fixture(params=[signal.SIG_DFL, lambda *_: None], ids=["default", "handled"])
def handler(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Have this process treat SIGTERM so."""
    before = signal.signal(signal.SIGTERM, request.param)
    yield request.param
    signal.signal(signal.SIGTERM, before)


def test_a_server_without_a_handler_of_sigterm_skips_exit_hooks(handler: Any) -> None:
    assert skips_exit_hooks(WAITRESS) is (handler is signal.SIG_DFL)


@pytest.mark.parametrize(
    "environ", [{}, {"SERVER_SOFTWARE": "Apache", "mod_wsgi.version": (4, 9, 4)}], ids=["test client", "mod_wsgi"]
)
def test_what_ends_otherwise_is_told_nothing(handler: Any, environ: dict[str, Any]) -> None:
    """Of mod_wsgi's own handler Python knows nothing."""
    assert not skips_exit_hooks(environ)


class AnswersWhetherItEnds(socketserver.BaseRequestHandler):
    """Tells its client whether its process ends with the connection."""

    def handle(self) -> None:
        self.request.sendall(str(ends_after_answer()).encode())


class ForkingServer(socketserver.ForkingMixIn, socketserver.TCPServer):
    pass


class ThreadingServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    pass


@pytest.mark.parametrize(
    ("kind", "is_last"),
    [(ForkingServer, True), (ThreadingServer, False), (socketserver.TCPServer, False)],
    ids=["a process each", "a thread each", "one thread"],
)
def test_a_process_that_is_forked_for_a_connection_ends_after_the_answer(
    kind: type[socketserver.TCPServer], is_last: bool
) -> None:
    with kind(("127.0.0.1", 0), AnswersWhetherItEnds) as server, socket.socket() as client:
        client.connect(server.server_address)
        server.handle_request()
        assert client.recv(16) == str(is_last).encode()
