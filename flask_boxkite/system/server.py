"""The server that a process belongs to, judged by the commands of its ancestors and by the environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask_boxkite.system.process import ProcessName, name_of, parent_of

__all__ = ["is_gunicorn", "runs_several", "server_process"]


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
