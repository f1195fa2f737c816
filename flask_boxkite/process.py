"""Which process this is: whether it was forked, whose child it is, and since when a process lives.

Forked processes must not use their parent's locks, random numbers or connections, so every request asks, for the price
of a memory access instead of a system call. Hooks of Python's own would miss the forks of uWSGI, which runs none.
"""

from __future__ import annotations

import functools
import mmap
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

__all__ = [
    "ForkMark",
    "ProcessName",
    "ServerName",
    "boot_id",
    "fork_mark",
    "is_gunicorn",
    "name_of",
    "parent_of",
    "pid_namespace",
    "server_process",
]

_WIPE_ON_FORK = 18
"""Linux's MADV_WIPEONFORK (since 4.14), for which Python has no name: a child finds the page filled with zeros."""


class ForkMark(Protocol):
    """Something whose item 0 is true in the process that made it, and false in its children."""

    def __getitem__(self, index: int, /) -> int: ...


def fork_mark() -> ForkMark:
    """Return a mark of this process: a page of memory, or where the system has no such pages, its id."""
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        page.madvise(_WIPE_ON_FORK)
    except (AttributeError, OSError, ValueError):
        return _ProcessId()
    page[0] = 1
    return page


class _ProcessId:
    """Compares process ids."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    def __getitem__(self, index: int, /) -> int:
        return self._pid == os.getpid()


# --- which server it belongs to --------------------------------------------------------------------------------------


class ProcessName(NamedTuple):
    """Names a process for good, although its id will come again.

    Attributes:
        pid: Its id.
        started: When it started, in clock ticks since the boot; empty if that cannot be known. A process that executes
            another program keeps it, as uWSGI does when it reloads.
    """

    pid: int
    started: str


def name_of(pid: int) -> ProcessName:
    """Return the name of a process that runs."""
    fields = _stat(pid)
    return ProcessName(pid, fields[19].decode() if fields else "")


def parent_of(pid: int) -> int | None:
    """Return the process id of the parent of a process that runs; None where that cannot be known."""
    fields = _stat(pid)
    return int(fields[1]) if fields else None


def _stat(pid: int) -> list[bytes]:
    """Return what the system says of a process from its third field on; nothing where that cannot be known."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:  # there is no /proc, it hides the processes of others, or the process is gone
        return []
    # Its own name stands there in parentheses, and may hold anything.
    return stat.rpartition(b")")[2].split()


def server_process(environ: Mapping[str, str]) -> ProcessName:
    """Return the process whose children serve together: this one, or its parent if that is a server's master.

    A worker that imports the app by itself is a child of the master, of which it is a fork: it runs the same command.
    Where the master imports the app, it is asked itself, and its workers inherit the answer.

    Args:
        environ: The environment variables, of which gunicorn sets one.
    """
    uwsgi = sys.modules.get("uwsgi")
    if uwsgi is not None and (master := uwsgi.masterpid()):
        return name_of(master)
    parent = os.getppid()
    own, other = _command(os.getpid()), _command(parent)
    if is_gunicorn(environ):
        # With setproctitle, its processes have titles instead of commands. If they are hidden, it is most likely so.
        is_master = other is None or other == own or other.startswith(b"gunicorn: master")
    else:
        is_master = other is not None and other == own
    # Parent 0 is one outside of the container, to its first process or one that came in by 'docker exec'.
    return name_of(parent if is_master and parent else os.getpid())


class ServerName(NamedTuple):
    """Names a server, on this machine or another, for good.

    Attributes:
        boot: Which boot of which machine; empty where the system does not say.
        namespace: Which container, likewise.
        pid: Process id of the master, or of the only process.
        started: When that started; empty if that cannot be known.
    """

    boot: str
    namespace: str
    pid: int
    started: str

    @classmethod
    def of(cls, process: ProcessName) -> ServerName:
        """Name the server of a process that runs here."""
        return cls(_boot(), pid_namespace(), process.pid, process.started)

    def is_of_another_boot(self) -> bool:
        """Say whether it ran before this machine was started, or on another machine."""
        return bool(self.boot and _boot()) and self.boot != _boot()

    def is_child_of(self, other: ServerName) -> bool:
        """Say whether the other server started it, as gunicorn's master does on USR2, its successor."""
        is_here = self.boot == other.boot == _boot() and self.namespace == other.namespace == pid_namespace()
        return is_here and parent_of(self.pid) == other.pid

    def has_ended(self) -> bool | None:
        """Say whether the server is gone; None if that cannot be known from here."""
        if self.boot == _boot() and self.started and self.namespace == pid_namespace():
            started = name_of(self.pid).started
            if started or _is_gone(self.pid):
                return started != self.started
        return None


def _is_gone(pid: int) -> bool:
    """Say whether there is no such process; what is hidden in ``/proc`` may live."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:
        pass
    return False


def is_gunicorn(environ: Mapping[str, str]) -> bool:
    """Say whether gunicorn started this process."""
    return environ.get("SERVER_SOFTWARE", "").startswith("gunicorn/")


def _command(pid: int) -> bytes | None:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() or None
    except OSError:
        return None


@functools.cache
def boot_id() -> str:
    """Return what names this boot of the machine; empty where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _boot() -> str:
    return boot_id().partition("-")[0]


def pid_namespace() -> str:
    """Return what tells the process ids of this container from those of others; empty where the system does not say."""
    try:
        return os.readlink("/proc/self/ns/pid").strip("pid:[]")
    except OSError:
        return ""
