"""Identity of processes: whether this one was forked, which process is its parent, and when a process started.

A forked process must not use its parent's locks, random numbers or connections. So every request checks for a fork,
for the price of a memory access instead of a system call. Python's fork hooks would not do: uWSGI does not run them.
"""

from __future__ import annotations

import functools
import mmap
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

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
    "runs_several",
    "server_process",
]

_WIPE_ON_FORK = 18
"""Linux's MADV_WIPEONFORK (since 4.14), for which Python has no name: a child finds the page filled with zeros."""


class ForkMark(Protocol):
    """An object whose item 0 is true in the process that made it, and false in its children."""

    def __getitem__(self, index: int, /) -> int: ...


def fork_mark() -> ForkMark:
    """Return a mark of this process: a page of memory that a fork clears, or the process id where there are none."""
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
    """The name of a process, which stays unique although the system uses process ids again.

    Attributes:
        pid: Process id.
        started: Time of its start, in clock ticks since the boot; empty if unknown. A process that executes another
            program keeps it, as uWSGI does when it reloads.
    """

    pid: int
    started: str


def name_of(pid: int) -> ProcessName:
    """Return the name of a running process."""
    stat = _stat(pid)
    return ProcessName(pid, stat[_STARTED] if stat else "")


def parent_of(pid: int) -> int | None:
    """Return the process id of a process's parent; 0 if the parent is outside the container, None if it is hidden."""
    if pid == os.getpid():
        return os.getppid()
    stat = _stat(pid)
    return int(stat[_PARENT]) if stat else None


_STATE, _PARENT, _THREADS, _STARTED = 0, 1, 17, 19
"""Fields of ``/proc/<pid>/stat``, counted from the one after the name."""


def _is_unreaped(stat: list[str]) -> bool:
    """Say whether a process has ended, although its parent has not collected its exit code."""
    return stat[_STATE] in ("Z", "X") and int(stat[_THREADS]) <= 1  # with more, only its first thread has ended


def _stat(pid: int) -> list[str]:
    """Return the fields after the name; none if ``/proc`` is missing or hides the process, or the process is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return []
    # The process name stands in parentheses and may hold any character.
    return stat.rpartition(b")")[2].decode().split()


def server_process(environ: Mapping[str, str]) -> ProcessName:
    """Return the process whose children serve together: this one, or its server's master.

    A worker runs the same command as its master, because it is a fork of it, or a fork of a fork; or `multiprocessing`
    started it and knows its parent. Where the master imports the app, its workers inherit its answer.

    Args:
        environ: Environment variables; gunicorn sets some of them.
    """
    uwsgi = sys.modules.get("uwsgi")
    if uwsgi is not None and (master := uwsgi.masterpid()):
        return name_of(master)
    pid = _parent_by_multiprocessing() or os.getpid()
    while (parent := parent_of(pid)) and _is_fork(pid, parent, environ):
        pid = parent
    return name_of(pid)


def _parent_by_multiprocessing() -> int | None:
    """Return the process that started this one by `multiprocessing`; the two may run different commands."""
    module = sys.modules.get("multiprocessing.process")
    parent = module.parent_process() if module is not None else None
    return parent.pid if parent is not None and parent.is_alive() else None


def _is_fork(pid: int, parent: int, environ: Mapping[str, str]) -> bool:
    """Say whether a process is a fork of its parent, judged by their commands."""
    own, other = _command(pid), _command(parent)
    if not is_gunicorn(environ):
        return other is not None and other == own
    # An upgrade forks the new master from the old one, which stays a server of its own.
    if environ.get("GUNICORN_PID") == str(parent):
        return False
    if other is None:  # the processes of other users are hidden: the parent is most likely the master
        return pid == os.getpid()
    # With setproctitle, gunicorn's processes have titles instead of commands.
    return other == own or other.startswith(_GUNICORN_PARENTS)


_GUNICORN_PARENTS = (b"gunicorn: master", b"gunicorn: dirty-arbiter")


class ServerName(NamedTuple):
    """The name of a server, unique over all machines and boots.

    Attributes:
        boot: Name of the machine's boot; empty where the system has none.
        namespace: Name of the container; empty where the system has none.
        pid: Process id of the master, or of the only process.
        started: Time of that process's start; empty if unknown.
    """

    boot: str
    namespace: str
    pid: int
    started: str

    @classmethod
    def of(cls, process: ProcessName) -> ServerName:
        """Name the server of a process that runs on this machine."""
        return cls(_boot(), pid_namespace(), process.pid, process.started)

    def is_of_another_boot(self) -> bool:
        """Say whether the server ran before this machine was started, or on another machine."""
        return bool(self.boot and _boot()) and self.boot != _boot()

    def is_child_of(self, other: ServerName) -> bool:
        """Say whether the other server started this one, as gunicorn's master starts its successor on USR2."""
        is_here = self.boot == other.boot == _boot() and self.namespace == other.namespace == pid_namespace()
        return is_here and parent_of(self.pid) == other.pid

    def has_ended(self) -> bool | None:
        """Say whether the server is gone, even if its parent did not notice; None if this process cannot tell."""
        if self.boot == _boot() and self.started and self.namespace == pid_namespace():
            if stat := _stat(self.pid):
                return stat[_STARTED] != self.started or _is_unreaped(stat)
            if _is_gone(self.pid):
                return True
        return None


def _is_gone(pid: int) -> bool:
    """Say whether no such process exists; a process that ``/proc`` hides may still run."""
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


def runs_several(environ: Mapping[str, Any]) -> bool:
    """Say whether a WSGI server states that it runs several processes, and can be believed.

    A server that can be believed names itself. Adapters that run WSGI apps under ASGI servers do not, and always
    state several processes.

    Args:
        environ: Environment of a WSGI request.
    """
    return bool(environ.get("wsgi.multiprocess") and environ.get("SERVER_SOFTWARE"))


def _command(pid: int) -> bytes | None:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() or None
    except OSError:
        return None


@functools.cache
def boot_id() -> str:
    """Return the id of this boot of the machine; empty where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _boot() -> str:
    return boot_id().partition("-")[0]


def pid_namespace() -> str:
    """Return the id of the container, within which process ids are unique; empty where the system has none."""
    try:
        return os.readlink("/proc/self/ns/pid").strip("pid:[]")
    except OSError:
        return ""
