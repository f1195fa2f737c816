"""Noticing forks, and which server a process belongs to."""

from __future__ import annotations

import mmap
import multiprocessing
import os
from collections.abc import Callable
from typing import Any

import pytest

from flask_boxkite.system import process
from flask_boxkite.system.process import ServerName, fork_mark, name_of, parent_of, runs_several, server_process


def without_wiping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand for a system that has no pages that are wiped on fork: a mapping that refuses the advice."""

    class Page(mmap.mmap):
        def madvise(self, option: int, *args: int) -> None:
            raise OSError(22, "Invalid argument")

    monkeypatch.setattr("flask_boxkite.system.process.mmap.mmap", Page)


def in_child(say: Callable[[], bool]) -> bool:
    """Return what *say* says in a forked process."""
    child = os.fork()
    if not child:
        os._exit(10 + bool(say()))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 11


@pytest.mark.parametrize("prepare", [lambda patch: None, without_wiping], ids=["page", "process id"])
def test_a_mark_holds_here_and_in_no_child(
    prepare: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(monkeypatch)
    mark = fork_mark()
    assert mark[0]
    assert not in_child(lambda: bool(mark[0]))
    assert mark[0]


@pytest.mark.parametrize("prepare", [lambda patch: None, without_wiping], ids=["page", "process id"])
def test_a_child_makes_a_mark_of_its_own(
    prepare: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(monkeypatch)

    def own_mark_holds_and_not_in_a_grandchild() -> bool:
        mark = fork_mark()
        return bool(mark[0]) and not in_child(lambda: bool(mark[0]))

    assert in_child(own_mark_holds_and_not_in_a_grandchild)


def test_a_page_is_used_where_there_is_one() -> None:
    """It is what makes asking cheap."""
    assert isinstance(fork_mark(), mmap.mmap)


# --- which server it belongs to --------------------------------------------------------------------------------------

GUNICORN = {"SERVER_SOFTWARE": "gunicorn/23.0.0"}


def with_ancestors(monkeypatch: pytest.MonkeyPatch, *commands: bytes | None) -> list[int]:
    """Have this process and its ancestors run these commands; return their ids. None is a command that is hidden."""
    ids = [os.getpid(), os.getppid(), *range(10_000_001, 9_999_999 + len(commands))][: len(commands)]
    monkeypatch.setattr(process, "_command", dict(zip(ids, commands, strict=True)).__getitem__)
    monkeypatch.setattr(process, "parent_of", dict(zip(ids, [*ids[1:], 0], strict=True)).__getitem__)
    return ids


def test_a_name_holds_for_the_life_of_a_process() -> None:
    assert name_of(os.getpid()) == name_of(os.getpid())
    assert name_of(os.getpid()).started.isdigit()
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    assert name_of(child).started == ""


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
    server = server_process({})
    assert in_child(lambda: server_process({}) == server and in_child(lambda: server_process({}) == server))


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_a_child_of_multiprocessing_belongs_to_the_server_of_its_parent(method: str) -> None:
    """Whatever program it executes, and whoever started it, such as a fork server."""
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


def test_a_server_knows_its_child() -> None:
    """As gunicorn's master starts its successor on USR2."""
    own, parent = (ServerName.of(name_of(pid)) for pid in (os.getpid(), os.getppid()))
    assert own.is_child_of(parent)
    assert not parent.is_child_of(own)
    assert not own.is_child_of(own)
    assert not own.is_child_of(parent._replace(namespace="other"))
    assert not own.is_child_of(parent._replace(boot="other"))
    assert parent_of(2**22 + 1) is None
