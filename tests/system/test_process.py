"""Noticing forks, and which server a process belongs to."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flask_boxkite.system import process
from flask_boxkite.system.process import ServerName, fork_mark, name_of, parent_of, runs_several, server_process
from tests.faults import ended, fork
from tests.peers import wait_for


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


def test_a_server_knows_its_child() -> None:
    """As gunicorn's master starts its successor on USR2."""
    own, parent = (ServerName.of(name_of(pid)) for pid in (os.getpid(), os.getppid()))
    assert own.is_child_of(parent)
    assert not parent.is_child_of(own)
    assert not own.is_child_of(own)
    assert not own.is_child_of(parent._replace(namespace="other"))
    assert not own.is_child_of(parent._replace(boot="other"))
    assert parent_of(2**22 + 1) is None


# --- whether it has ended --------------------------------------------------------------------------------------------

Start = Callable[[Callable[[], object]], int]


@pytest.fixture
def start() -> Iterator[Start]:
    """Return what starts a forked process; its parent, which is this one, asks for its exit code with the test only."""
    children: list[int] = []

    def start(work: Callable[[], object]) -> int:
        children.append(fork(work))
        return children[-1]

    yield start
    for child in children:
        os.kill(child, signal.SIGKILL)
        ended(child)


def state_of(pid: int) -> str:
    """Return what the system says of a process: R or S, T if it is stopped, D if no signal wakes it, Z for ended."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


def sleeps_deeply(tmp_path: Path) -> None:
    """Wait for a child that opens a pipe to which no one writes: until it has, its parent cannot be woken."""
    os.mkfifo(tmp_path / "pipe")
    opens = (os.POSIX_SPAWN_OPEN, 0, str(tmp_path / "pipe"), os.O_RDONLY, 0)
    os.posix_spawn("/bin/true", ["true"], {}, file_actions=[opens])


def ends_its_first_thread(tmp_path: Path) -> None:
    """Leave the process to another thread, as a C program may."""
    threading.Thread(target=signal.pause).start()
    ctypes.CDLL(None).pthread_exit(None)


@pytest.mark.parametrize(
    ("work", "signum", "state", "has_ended"),
    [
        pytest.param(lambda _: signal.pause(), 0, "S", False, id="sleeps"),
        pytest.param(lambda _: signal.pause(), signal.SIGSTOP, "T", False, id="is stopped"),
        pytest.param(sleeps_deeply, 0, "D", False, id="sleeps deeply"),
        pytest.param(ends_its_first_thread, 0, "Z", False, id="has ended its first thread"),
        pytest.param(lambda _: None, 0, "Z", True, id="has ended, and was not reaped"),
        pytest.param(lambda _: signal.pause(), signal.SIGKILL, "Z", True, id="was killed, and was not reaped"),
    ],
)
def test_a_server_has_ended_when_its_process_has(
    tmp_path: Path, start: Start, work: Callable[[Path], object], signum: int, state: str, has_ended: bool
) -> None:
    """The first process of a container may reap no others: they stay in the table of processes for good."""
    server = ServerName.of(name_of(start(lambda: work(tmp_path))))
    os.kill(server.pid, signum)
    try:
        wait_for(lambda: state_of(server.pid) == state, what=f"the state {state}")
        assert server.has_ended() is has_ended
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.close(os.open(tmp_path / "pipe", os.O_RDWR))  # else what opens it would wait for good
