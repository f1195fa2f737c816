"""Noticing forks, and which server a process belongs to."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable

import pytest

from flask_boxkite import process
from flask_boxkite.process import ServerName, fork_mark, name_of, parent_of, server_process


def without_wiping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand for a system that has no pages that are wiped on fork: a mapping that refuses the advice."""

    class Page(mmap.mmap):
        def madvise(self, option: int, *args: int) -> None:
            raise OSError(22, "Invalid argument")

    monkeypatch.setattr("flask_boxkite.process.mmap.mmap", Page)


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


def with_commands(monkeypatch: pytest.MonkeyPatch, own: bytes | None, parent: bytes | None) -> None:
    """Have this process and its parent run these commands; None is one that is hidden."""
    monkeypatch.setattr(process, "_command", {os.getpid(): own, os.getppid(): parent}.__getitem__)


def test_a_name_holds_for_the_life_of_a_process() -> None:
    assert name_of(os.getpid()) == name_of(os.getpid())
    assert name_of(os.getpid()).started.isdigit()
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    assert name_of(child).started == ""


@pytest.mark.parametrize(
    ("environ", "own", "parent", "is_parent"),
    [
        ({}, b"python\0app.py", b"python\0app.py", True),
        ({}, b"python\0app.py", b"bash", False),
        ({}, b"python\0app.py", None, False),
        (GUNICORN, b"gunicorn\0app:app", b"gunicorn\0app:app", True),
        (GUNICORN, b"gunicorn: worker [app]", b"gunicorn: master [app]", True),
        (GUNICORN, b"gunicorn\0app:app", b"bash", False),
        (GUNICORN, b"gunicorn\0app:app", None, True),
        (GUNICORN, None, None, True),
    ],
    ids=["fork", "script", "hidden parent", "worker", "titles", "master", "hidden master", "all hidden"],
)
def test_a_server_is_the_parent_that_runs_the_same(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], own: bytes | None, parent: bytes | None, is_parent: bool
) -> None:
    with_commands(monkeypatch, own, parent)
    assert server_process(environ) == name_of(os.getppid() if is_parent else os.getpid())


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
