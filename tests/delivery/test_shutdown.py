"""What is known of how a server ends its processes."""

from __future__ import annotations

import signal
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


@pytest.mark.parametrize(
    ("environ", "is_last"),
    [
        ({"werkzeug.socket": object(), "wsgi.multiprocess": True}, True),
        ({"werkzeug.socket": object(), "wsgi.multiprocess": False}, False),
        ({"wsgi.multiprocess": True}, False),
    ],
    ids=["processes", "threads", "another server"],
)
def test_only_werkzeugs_processes_end_after_an_answer(environ: dict[str, Any], is_last: bool) -> None:
    assert ends_after_answer(environ) is is_last
