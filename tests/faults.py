"""Faults that tests provoke: in their own process, in forked ones, and on disks of their own."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import resource
import shutil
import signal
import subprocess
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

__all__ = [
    "die_at",
    "ended",
    "file_size_limit",
    "fill",
    "fork",
    "go_on",
    "has_stopped",
    "killed",
    "mounted",
    "mounted_until_it_fails",
    "no_more_files",
    "no_more_threads",
    "read_only",
    "run_in_child",
    "stop_at",
]

CHILD_SECONDS = 120


@contextlib.contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond *size* bytes: writes come back short, then fail, as on a full disk.

    A context and no fixture: pytest's own output may be a file too, and is written between a test and its teardown.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def no_more_threads() -> Iterator[None]:
    """Let no thread start, as while Python 3.12 ends, or where a system has too many."""

    def refuse(_: threading.Thread) -> None:
        msg = "can't create new thread at interpreter shutdown"
        raise RuntimeError(msg)

    with mock.patch.object(threading.Thread, "start", refuse):
        yield


@contextlib.contextmanager
def no_more_files(spare: int = 0) -> Iterator[None]:
    """Let this process open only *spare* files more, as when clients hold all the connections that it may have.

    Gaps among the descriptors in use are filled, since only the highest number is limited.
    """
    gc.collect()  # else what earlier tests left is closed just when no file is to be opened
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))
    fillers = [os.open(os.devnull, os.O_RDONLY)]
    while fillers[-1] < highest:
        fillers.append(os.open(os.devnull, os.O_RDONLY))
    resource.setrlimit(resource.RLIMIT_NOFILE, (fillers[-1] + 1 + spare, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for filler in fillers:
            os.close(filler)


@contextlib.contextmanager
def mounted(directory: Path, size: str) -> Iterator[None]:
    """Mount a disk of this size, in memory; skip the test where that is not allowed."""
    directory.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "boxkite-test", str(directory)]
    if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("Only root can mount a disk.")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


@contextlib.contextmanager
def mounted_until_it_fails(directory: Path) -> Iterator[Callable[[], object]]:
    """Mount a disk that becomes read-only in the midst of all, as for a bad sector; give what makes it fail.

    By an error and not by ``mount``, which refuses while files are open to be written. Skip the test where that is not
    allowed.
    """
    directory.mkdir(exist_ok=True)
    image = directory.with_suffix(".ext4")
    image.write_bytes(b"")
    os.truncate(image, 16 << 20)
    commands = [
        ["mkfs.ext4", "-q", str(image)],
        ["mount", "-o", "loop,errors=remount-ro", str(image), str(directory)],
    ]
    for command in commands:
        if os.geteuid() or not shutil.which(command[0]) or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("Only root can mount a disk.")
    try:
        device = subprocess.run(["findmnt", "-no", "SOURCE", directory], check=True, capture_output=True, text=True)
        trigger = Path(f"/sys/fs/ext4/{Path(device.stdout.strip()).name}/trigger_fs_error")
        if not trigger.exists():
            pytest.skip("This system provokes no errors of a disk.")
        yield lambda: trigger.write_text("test\n")
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


@contextlib.contextmanager
def read_only(directory: Path) -> Iterator[None]:
    """Make a directory read-only by a mount of itself; open files stay as they were. Skip where not allowed."""
    mount = ["mount", "--bind", str(directory), str(directory)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("Only root can mount a disk.")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(directory)], check=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def fill(filler: Path) -> None:
    """Fill a disk with a file of this name, to the last page."""
    descriptor = os.open(filler, os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(descriptor, bytes(4096))
    except OSError:
        pass
    finally:
        os.close(descriptor)


# --- forked processes ------------------------------------------------------------------------------------------------


def fork(work: Callable[[], object], seconds: int = CHILD_SECONDS) -> int:
    """Run *work* in a forked process, which ends with it and without Python's exit; return its id."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(seconds)
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return child


def ended(child: int) -> int:
    """Wait for a forked process; return its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run_in_child(work: Callable[[], object], seconds: int = CHILD_SECONDS) -> None:
    """Run *work* in a forked process, and fail if it fails or hangs there."""
    assert ended(fork(work, seconds)) == 0


def killed(work: Callable[[], object]) -> None:
    """Run *work* in a forked process that is killed when it has done it."""

    def work_and_die() -> None:
        work()
        os.kill(os.getpid(), signal.SIGKILL)

    assert ended(fork(work_and_die)) == -signal.SIGKILL


# --- at every step ---------------------------------------------------------------------------------------------------

# fmt: off
CHANGES = (
    "chmod", "ftruncate", "mkdir", "open", "posix_fallocate", "pwrite", "rename", "replace", "rmdir", "unlink", "write",
)
LOOKS = ("fstat", "listdir", "lstat", "pread", "read", "scandir", "stat")
# fmt: on


def die_at(step: int) -> None:
    """Kill this process, a forked one, before one of its next steps that others can see: changes of files and locks."""
    _act_before(step, CHANGES, lambda: os.kill(os.getpid(), signal.SIGKILL))


def stop_at(step: int, then: Callable[[], object] = lambda: None) -> None:
    """Stop this process, a forked one, before one of its next steps with files, until another one lets it go on.

    Steps by which it only looks count too: when it goes on, what it has seen may not be so any more.

    Args:
        step: Number of the step, from 1 on.
        then: Function to call before it continues.
    """

    def stop() -> None:
        os.kill(os.getpid(), signal.SIGSTOP)
        then()

    _act_before(step, (*CHANGES, *LOOKS), stop)


def _act_before(step: int, names: tuple[str, ...], act: Callable[[], object]) -> None:
    steps = 0

    def stand_in_for(real: Callable[..., Any]) -> Callable[..., Any]:
        def stand_in(*arguments: Any, **options: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == step:
                act()
            return real(*arguments, **options)

        return stand_in

    for name in names:
        setattr(os, name, stand_in_for(getattr(os, name)))
    fcntl.flock = stand_in_for(fcntl.flock)


def has_stopped(child: int) -> bool:
    """Wait until a forked process has stopped, and say yes; say no if it has ended instead."""
    found = os.waitid(os.P_PID, child, os.WEXITED | os.WSTOPPED | os.WNOWAIT)
    assert found is not None
    return found.si_code == os.CLD_STOPPED


def go_on(child: int) -> int:
    """Let a process go on, if it has stopped, and wait until it has ended; return its exit code."""
    os.kill(child, signal.SIGCONT)
    return ended(child)
