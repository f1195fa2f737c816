"""Exactly one process adopts the records of a killed process, and none adopts the records of a living one."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pytest

from flask_boxkite.spool import OrphanLog, ServerCounts, adoption, find_orphan
from flask_boxkite.spool.owner import OWNER, Owner
from flask_boxkite.system import locks
from flask_boxkite.system.locks import OwnerLock
from flask_boxkite.system.process import ProcessName, ServerName, boot_id, name_of
from tests.faults import ended, fork, killed, mounted, run_in_child
from tests.peers import wait_for
from tests.spool.logs import OWN, adopted, dies, fill_up, made, take_all

StartChild = Callable[[Callable[[], object]], int]


def left_by_a_dead_process(root: Path, owner: Owner = OWN, count: int = 3) -> Path:
    """Have a process write records and be killed; return its directory."""
    log = made(root, owner=owner)
    killed(lambda: fill_up(log, 10, count))
    assert log.directory.exists()
    return log.directory


@pytest.fixture
def child() -> Iterator[StartChild]:
    """Return a function that runs something in a process that lives until the test ends, and waits until it is done."""
    children: list[int] = []
    ends = []

    def start(work: Callable[[], object]) -> int:
        ours, theirs = Pipe()

        def work_and_wait() -> None:
            work()
            theirs.send("done")
            theirs.recv()

        pid = fork(work_and_wait)
        children.append(pid)
        ends.append((ours, theirs))
        assert ours.poll(30), "The process did not do its work."
        ours.recv()
        return pid

    yield start
    for ours, theirs in ends:
        ours.send("end")
        theirs.close()
    for pid in children:
        assert ended(pid) == 0


# --- who lives -------------------------------------------------------------------------------------------------------


def test_the_records_of_a_live_process_are_its_own(tmp_path: Path, child: StartChild) -> None:
    log = made(tmp_path)
    child(lambda: fill_up(log, 10, 3))
    assert log.directory.exists()
    assert adopted(tmp_path) is None
    own = made(tmp_path)
    own.append(b"x")
    assert adopted(tmp_path) is None
    own.describe()
    assert adopted(tmp_path) is None


def test_the_records_of_a_killed_process_are_taken_over(tmp_path: Path) -> None:
    directory = left_by_a_dead_process(tmp_path)
    dead = adopted(tmp_path)
    assert dead is not None
    assert (dead.directory, dead.waiting, dead.owner, dead.is_counted) == (directory, 3, OWN, False)
    assert take_all(dead) == [b"%06d...." % number for number in range(3)]
    dead.close()
    assert not directory.exists()


def test_they_are_kept_until_they_are_settled(tmp_path: Path) -> None:
    left_by_a_dead_process(tmp_path)

    def deliver_some() -> None:
        dead = adopted(tmp_path)
        assert dead is not None
        taken = dead.take(40)
        assert taken is not None
        dead.settle(taken)
        assert dead.take(1) is not None

    killed(deliver_some)
    dead = adopted(tmp_path)
    assert dead is not None
    assert take_all(dead) == [b"000001....", b"000002...."]
    dead.close()


@pytest.mark.parametrize("way", ["fork", "grandchild", "program"])
def test_children_of_a_process_do_not_keep_its_records(tmp_path: Path, way: str, child: StartChild) -> None:
    """They inherit the descriptor, and would hold the lock for as long as they live."""
    log = made(tmp_path)
    read, write = os.pipe()

    def work() -> None:
        fill_up(log, 10, 3)
        if way == "program":
            subprocess.Popen([sys.executable, "-c", "input()"], stdin=read, close_fds=False)
        else:

            def live_on() -> None:
                if way == "grandchild":
                    fork(lambda: os.read(read, 1))
                os.read(read, 1)

            fork(live_on)

    killed(work)
    dead = wait_for(lambda: adopted(tmp_path), what="the children to close what they inherited")
    assert dead is not None
    assert len(take_all(dead)) == 3
    os.close(write)
    os.close(read)


def test_an_adopter_that_forks_and_dies_leaves_them_to_others(tmp_path: Path) -> None:
    left_by_a_dead_process(tmp_path)
    read, write = os.pipe()

    def adopt_and_fork() -> None:
        dead = adopted(tmp_path)
        assert dead is not None
        assert adopted(tmp_path) is None
        fork(lambda: os.read(read, 1))

    killed(adopt_and_fork)
    dead = wait_for(lambda: adopted(tmp_path), what="the child to close what it inherited")
    assert dead is not None
    assert len(take_all(dead)) == 3
    os.close(write)
    os.close(read)


def test_a_child_of_an_adopter_does_not_end_its_hold(tmp_path: Path) -> None:
    left_by_a_dead_process(tmp_path)
    dead = adopted(tmp_path)
    assert dead is not None

    def let_go() -> None:
        dead.forget()
        assert adopted(tmp_path) is None

    run_in_child(let_go)
    assert adopted(tmp_path) is None
    assert len(take_all(dead)) == 3
    dead.close()


# --- who is first ----------------------------------------------------------------------------------------------------


def test_many_that_compete_take_everything_once(tmp_path: Path) -> None:
    root, out = tmp_path / "spool", tmp_path / "out"
    out.mkdir()
    for number in range(12):
        log = made(root)
        killed(lambda log=log, number=number: fill_up(log, 10, 5, 5 * number))  # type: ignore[misc]
    read, write = os.pipe()

    def compete() -> None:
        os.close(write)
        os.read(read, 1)  # all at once
        with (out / str(os.getpid())).open("wb") as file:
            while list(root.iterdir()):
                dead = adopted(root)
                if dead is not None:
                    file.write(b"".join(take_all(dead)))
                    dead.close()

    children = [fork(compete) for _ in range(6)]
    os.close(write)
    assert [ended(child) for child in children] == [0] * 6
    os.close(read)
    delivered = b"".join(path.read_bytes() for path in out.iterdir())
    assert sorted(delivered.split(b"....")) == [b"", *(b"%06d" % number for number in range(60))]
    assert list(root.iterdir()) == []


def test_threads_that_compete_take_everything_once(tmp_path: Path) -> None:
    for number in range(10):
        log = made(tmp_path)
        fill_up(log, 10, 5, 5 * number)
        dies(log)
    barrier = threading.Barrier(2)
    delivered: list[bytes] = []

    def compete() -> None:
        barrier.wait(30)
        while list(tmp_path.iterdir()):
            dead = adopted(tmp_path)
            if dead is not None:
                delivered.extend(take_all(dead))
                dead.close()

    threads = [threading.Thread(target=compete) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(delivered) == [b"%06d...." % number for number in range(50)]


def test_a_directory_that_was_emptied_while_another_looked_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other has the lock of a file that is gone by now."""
    left_by_a_dead_process(tmp_path)
    first = adopted(tmp_path) or pytest.fail("It is gone.")

    class LockOfOneThatIsLate(OwnerLock):
        """Opens the file before it is removed, and gets the lock afterwards."""

        def __init__(self, path: Path, flags: int) -> None:
            keeps_it = os.open(path, flags)
            take_all(first)
            first.close()
            super().__init__(Path(f"/proc/self/fd/{keeps_it}"), flags)
            os.close(keeps_it)

    monkeypatch.setattr(adoption, "OwnerLock", LockOfOneThatIsLate)
    monkeypatch.setattr(locks, "open_private", lambda path, flags: os.open(path, flags))
    assert find_orphan(tmp_path, OWN, ServerCounts(None, lambda: None)) is None
    assert list(tmp_path.iterdir()) == []


# --- whose server ----------------------------------------------------------------------------------------------------


def server(pid: int, started: str | None = None, *, boot: str | None = None, namespace: str | None = None) -> Owner:
    """Return an owner of another server."""
    name = ServerName.of(name_of(pid) if started is None else ProcessName(pid, started))
    name = name._replace(boot=name.boot if boot is None else boot)
    return OWN._replace(server=name._replace(namespace=name.namespace if namespace is None else namespace))


def test_a_server_that_lives_delivers_what_its_dead_processes_left(tmp_path: Path, child: StartChild) -> None:
    other = server(child(lambda: None))
    left_by_a_dead_process(tmp_path, other)
    assert adopted(tmp_path) is None
    dead = adopted(tmp_path, other)
    assert dead is not None
    dead.close()


@pytest.mark.parametrize("pid", [os.getpid(), 2**22 + 1], ids=["its id came again", "gone"])
def test_a_server_that_has_ended_leaves_them_to_any(tmp_path: Path, pid: int) -> None:
    left_by_a_dead_process(tmp_path, server(pid, "1"))
    dead = adopted(tmp_path)
    assert dead is not None
    assert (len(take_all(dead)), dead.is_counted) == (3, False)
    dead.close()


@pytest.mark.skipif(not boot_id(), reason="the system does not name its boots")
@pytest.mark.parametrize("unknown", ["boot", "namespace"])
def test_a_server_of_which_nothing_is_known_gets_time(tmp_path: Path, unknown: str) -> None:
    directory = left_by_a_dead_process(tmp_path, server(os.getpid(), **{unknown: "other"}))
    assert adopted(tmp_path) is None
    for path in directory.iterdir():
        os.utime(path, (0, time.time() - 31))
    dead = adopted(tmp_path)
    assert dead is not None
    dead.close()


@pytest.mark.skipif(not boot_id(), reason="the system does not name its boots")
def test_a_clock_that_was_ahead_does_not_hold_up_what_was_written_by_it(tmp_path: Path) -> None:
    directory = left_by_a_dead_process(tmp_path, server(os.getpid(), namespace="other"))
    for path in directory.iterdir():
        os.utime(path, (0, time.time() + 365 * 86400))
    dead = adopted(tmp_path)
    assert dead is not None
    dead.close()


def test_records_of_another_sink_or_user_are_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left_by_a_dead_process(tmp_path)
    assert adopted(tmp_path, OWN._replace(sink="other")) is None
    directory = left_by_a_dead_process(tmp_path, OWN._replace(sink="a b"))  # looks like a directory of 'a_b'
    assert directory.name.startswith("a_b-")
    assert adopted(tmp_path, OWN._replace(sink="a_b")) is None
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert adopted(tmp_path) is None


def test_nothing_is_taken_from_a_disk_that_became_read_only(tmp_path: Path) -> None:
    """What was delivered could not be settled there: it would come again for ever."""
    with mounted(tmp_path / "disk", "1m"):
        left_by_a_dead_process(tmp_path / "disk")
        for mode, is_taken in (("ro", False), ("rw", True)):
            subprocess.run(["mount", "-o", f"remount,{mode}", str(tmp_path / "disk")], check=True)
            dead = adopted(tmp_path / "disk")
            assert (dead is not None) == is_taken
        assert dead is not None
        dead.close()


# --- whether they were counted ---------------------------------------------------------------------------------------


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Return a directory of counts."""
    (tmp_path / "state").mkdir()
    return tmp_path / "state"


def find(root: Path, state: Path | None, fold: Callable[[], object], **counts: Any) -> OrphanLog | None:
    """Look for dead processes as one that counts in *state*."""
    return find_orphan(root, OWN, ServerCounts(state, fold, **counts))


def counting(state: Path) -> Owner:
    """Return an owner that counts in a file there."""
    (state / "live-1").touch()
    return OWN._replace(counts=str(state / "live-1"))


def test_records_are_counted_once_their_process_is_folded(tmp_path: Path, state: Path) -> None:
    owner = counting(state)
    left_by_a_dead_process(tmp_path / "spool", owner)
    dead = find(tmp_path / "spool", state, (state / "live-1").unlink)
    assert dead is not None
    assert dead.is_counted
    dead.close()


def test_until_then_they_wait(tmp_path: Path, state: Path) -> None:
    directory = left_by_a_dead_process(tmp_path / "spool", counting(state))
    folds: list[int] = []
    assert find(tmp_path / "spool", state, lambda: folds.append(1), fold_patience_seconds=0.02) is None
    assert folds
    for path in directory.iterdir():
        os.utime(path, (0, time.time() - 61))
    dead = find(tmp_path / "spool", state, lambda: folds.append(1), fold_patience_seconds=0.02)
    assert dead is not None
    assert not dead.is_counted
    dead.close()


def test_those_whose_counts_someone_deleted_are_not_counted_here(tmp_path: Path, state: Path) -> None:
    """Their file is gone as if it had been folded, but they are in no numbers."""
    directory = left_by_a_dead_process(tmp_path / "spool", counting(state))
    (state / "live-1").unlink()
    counted: set[Path] = set()
    dead = find(tmp_path / "spool", state, lambda: None, has_counted=counted.__contains__)
    assert dead is not None
    assert not dead.is_counted
    dead.close()
    counted.add(directory)
    dead = find(tmp_path / "spool", state, lambda: None, has_counted=counted.__contains__)
    assert dead is not None
    assert dead.is_counted
    counted.clear()  # someone deletes them while the records are on their way

    assert not dead.is_counted
    dead.close()


def test_another_process_may_be_folding_just_now(tmp_path: Path, state: Path) -> None:
    folds: list[int] = []
    left_by_a_dead_process(tmp_path / "spool", counting(state))

    def fold() -> None:
        folds.append(1)
        if len(folds) == 3:  # the other has done it
            (state / "live-1").unlink()

    dead = find(tmp_path / "spool", state, fold)
    assert dead is not None
    assert dead.is_counted
    dead.close()


def test_those_of_another_app_wait_for_it_unless_it_is_gone_for_good(tmp_path: Path, state: Path) -> None:
    """Apps of one name count in one directory, and may deliver to one sink."""
    owner = counting(state)._replace(section="of another app")
    directory = left_by_a_dead_process(tmp_path / "spool", owner)

    asked: list[str] = []
    assert find(tmp_path / "spool", state, lambda: None, is_apart=lambda key: not asked.append(key)) is None
    assert asked == ["of another app"]
    for path in directory.iterdir():
        os.utime(path, (0, time.time() - 601))
    dead = find(tmp_path / "spool", state, lambda: pytest.fail("folded"), is_apart=lambda key: True)
    assert dead is not None
    assert not dead.is_counted
    dead.close()


def test_an_owner_file_of_an_earlier_release_is_read(tmp_path: Path) -> None:
    owner = OWN._replace(counts="/counts", section="s")
    text = owner.dump()
    (tmp_path / "now").write_bytes(text)
    (tmp_path / "then").write_bytes(text.replace(b', "section": "s"', b""))
    assert Owner.load(tmp_path / "now") == owner
    assert Owner.load(tmp_path / "then") == owner._replace(section="")


@pytest.mark.parametrize("elsewhere", ["memory", "other"])
def test_those_that_were_counted_elsewhere_are_not_counted_here(tmp_path: Path, state: Path, elsewhere: str) -> None:
    left_by_a_dead_process(tmp_path / "spool", counting(state))
    dead = find(tmp_path / "spool", None if elsewhere == "memory" else tmp_path, lambda: pytest.fail("folded"))
    assert dead is not None
    assert not dead.is_counted
    dead.close()


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 100, b"[]", b"{}", b"\xff\xfe", b'{"sink": "memory"}', b'"memory"', b"null", b"1" * 5000],
    ids=lambda content: repr(content[:8]),
)
def test_an_owner_that_says_nothing_is_left_alone(tmp_path: Path, content: bytes) -> None:
    directory = left_by_a_dead_process(tmp_path)
    (directory / OWNER).write_bytes(content)
    assert adopted(tmp_path) is None
    assert len(list(directory.iterdir())) == 2
