"""The server that a process belongs to."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from typing import Any

import pytest

from flask_boxkite.system import server
from flask_boxkite.system.process import name_of
from flask_boxkite.system.server import runs_several, server_process


def in_child(say: Callable[[], bool]) -> bool:
    """Return what *say* says in a forked process."""
    child = os.fork()
    if not child:
        os._exit(10 + bool(say()))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 11


GUNICORN = {"SERVER_SOFTWARE": "gunicorn/23.0.0"}


def with_ancestors(monkeypatch: pytest.MonkeyPatch, *commands: bytes | None) -> list[int]:
    """Have this process and its ancestors run these commands; return their ids. None is a command that is hidden."""
    ids = [os.getpid(), os.getppid(), *range(10_000_001, 9_999_999 + len(commands))][: len(commands)]
    monkeypatch.setattr(server, "_command", dict(zip(ids, commands, strict=True)).__getitem__)
    monkeypatch.setattr(server, "parent_of", dict(zip(ids, [*ids[1:], 0], strict=True)).__getitem__)
    return ids


RUN = b"gunicorn\0app:app"
TITLES = (b"gunicorn: dirty-worker [app]", b"gunicorn: dirty-arbiter", b"gunicorn: master [app]")


@pytest.mark.parametrize(
    ("environ", "commands", "steps"),
    [
        ({}, [b"python\0app.py", b"python\0app.py", b"bash"], 1),
        ({}, [b"python\0app.py"] * 3 + [b"bash"], 2),
        ({}, [b"python\0app.py", b"bash", b"python\0app.py"], 0),
        ({}, [b"python\0app.py", None], 0),
        (GUNICORN, [RUN, RUN, b"bash"], 1),
        (GUNICORN, [b"gunicorn: worker [app]", b"gunicorn: master [app]", b"bash"], 1),
        (GUNICORN, [RUN, RUN, RUN, b"bash"], 2),
        (GUNICORN, [*TITLES, b"bash"], 2),
        (GUNICORN, [RUN, b"bash"], 0),
        (GUNICORN, [RUN, None, None], 1),
        (GUNICORN, [None, None, None], 1),
        ({**GUNICORN, "GUNICORN_PID": "10000001"}, [RUN, RUN, RUN, b"bash"], 1),
        ({**GUNICORN, "GUNICORN_PID": "10000001"}, [b"gunicorn: worker [app]", TITLES[2], TITLES[2], b"bash"], 1),
    ],
    ids=[
        "fork",
        "fork of a fork",
        "script",
        "hidden parent",
        "worker",
        "worker with a title",
        "dirty worker",
        "dirty worker with a title",
        "master",
        "hidden master",
        "all hidden",
        "worker after an upgrade",
        "worker with a title after an upgrade",
    ],
)
def test_a_server_is_the_first_that_runs_the_same(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], commands: list[bytes | None], steps: int
) -> None:
    ids = with_ancestors(monkeypatch, *commands)
    assert server_process(environ) == name_of(ids[steps])


def test_a_fork_of_a_fork_belongs_to_the_same_server() -> None:
    own = server_process({})
    assert in_child(lambda: server_process({}) == own and in_child(lambda: server_process({}) == own))


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_a_child_of_multiprocessing_belongs_to_the_server_of_its_parent(method: str) -> None:
    """The child may run another program, and a fork server may have started it."""
    context = multiprocessing.get_context(method)
    with context.Pool(1) as pool:
        assert pool.apply(server_process, ({},)) == server_process({})


@pytest.mark.parametrize(
    ("environ", "are_several"),
    [
        ({"SERVER_SOFTWARE": "Unit/1.34", "wsgi.multiprocess": True}, True),
        ({"SERVER_SOFTWARE": "Unit/1.34", "wsgi.multiprocess": False}, False),
        ({"wsgi.multiprocess": True}, False),
        ({}, False),
    ],
    ids=["several", "one", "adapter", "nothing said"],
)
def test_what_a_server_says_of_its_processes(environ: dict[str, Any], are_several: bool) -> None:
    assert runs_several(environ) is are_several


def test_a_parent_outside_of_the_container_is_no_master(monkeypatch: pytest.MonkeyPatch) -> None:
    """The master is the first process of a container, or came in by 'docker exec': its parent is 0 to it.

    Were that taken for its master, all servers of the container would be one.
    """
    monkeypatch.setattr(os, "getppid", lambda: 0)
    assert server_process(GUNICORN) == name_of(os.getpid())
