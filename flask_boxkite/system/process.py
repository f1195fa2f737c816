"""Names of processes and servers, which stay unique over restarts, and whether the named ones still run."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["ProcessName", "ServerName", "boot_id", "name_of", "parent_of", "pid_namespace"]


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

    @classmethod
    def parse(cls, values: Any) -> ServerName:
        """Return the name from its parts, as a JSON file has them.

        Raises:
            TypeError, ValueError: They are no such name.
        """
        boot, namespace, pid, started = values
        return cls(str(boot), str(namespace), int(pid), str(started))

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
