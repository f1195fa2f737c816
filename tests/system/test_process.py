"""Names of processes and servers, and whether they have ended."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flask_boxkite.system.process import ServerName, name_of, parent_of
from tests.faults import ended, fork
from tests.peers import wait_for


def test_a_name_holds_for_the_life_of_a_process() -> None:
    assert name_of(os.getpid()) == name_of(os.getpid())
    assert name_of(os.getpid()).started.isdigit()
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    assert name_of(child).started == ""


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
        if (tmp_path / "pipe").exists():
            # Its child may open the pipe only now, and would wait for good if the other end were closed again.
            end = os.open(tmp_path / "pipe", os.O_RDWR)
            wait_for(lambda: state_of(server.pid) != "D", what="the end of the deep sleep")
            os.close(end)
