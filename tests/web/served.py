"""The servers of the matrix: how each is started with one app, and what it can do.

Those that are not in the test group stand in an environment of their own, which `tests/run.py` installs.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

import flask_boxkite
from tests.integration.load import CLIENTS, SCORING_APP, NotSentError, UnansweredError, scrape
from tests.peers import PATIENCE_SECONDS, PEERS, Program, free_port, missing, wait_for

__all__ = ["KINDS", "Kind", "Served", "peer_server"]

SERVERS = PEERS / f"servers-{sys.implementation.cache_tag}"
"""Servers that are not in the test group: where pip has put them, and a note for each that has no wheel."""

ADAPTERS = """
from asgiref.wsgi import WsgiToAsgi

from scoring import app

by_asgiref = WsgiToAsgi(app)
try:
    from a2wsgi import WSGIMiddleware
except ImportError:
    pass
else:
    by_a2wsgi = WSGIMiddleware(app)
"""

VASSAL = """
[uwsgi]
http-socket = 127.0.0.1:{port}
module = scoring:app
master = true
processes = 2
need-app = true
disable-logging = true
forkbomb-delay = 0
"""

MOD_WSGI = """
ServerName 127.0.0.1
DefaultRuntimeDir {directory}
PidFile {directory}/apache.pid
ErrorLog {log}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule wsgi_module {modules}/{mod_wsgi}
Listen 127.0.0.1:{port}
WSGISocketPrefix {directory}/wsgi
WSGIDaemonProcess scoring home={directory} processes=2 threads=4 {recycling}
WSGIProcessGroup scoring
# NumPy runs in no other interpreter than the first.
WSGIApplicationGroup %{{GLOBAL}}
WSGIScriptAlias / {directory}/scoring.py
WSGICallableObject app
<Directory {directory}>
    Require all granted
</Directory>
"""

APACHE_MODULES = Path("/usr/lib/apache2/modules")
MOD_WSGI_FILE = f"mod_wsgi.so-{sys.version_info.major}.{sys.version_info.minor}"
NOBODY = "65534"


@dataclass(frozen=True)
class Kind:
    """A way to run the app.

    Attributes:
        command: Program and arguments, with places for the port and the directory.
        needs: Packages that the server is made of.
        processes: Number of processes that answer.
        kills: Number of workers that may be killed in a row; the server replaces each.
        recycling: Arguments with which it ends its workers now and then; none if it cannot.
        delivers: Whether at SIGTERM it delivers what waits, even if it is busy just then.
    """

    command: Sequence[str]
    needs: Sequence[str] = ()
    processes: int = 2
    kills: int = 2
    recycling: Sequence[str] = ()
    delivers: bool = True


PYTHON = sys.executable
UWSGI = str(Path(sys.executable).with_name("uwsgi"))
BIND = "127.0.0.1:{port}"

_GUNICORN = (PYTHON, "-m", "gunicorn", f"--bind={BIND}", "--workers=2")
_GUNICORN_RECYCLES = ("--max-requests=40", "--max-requests-jitter=40")
_GRANIAN = (PYTHON, "-m", "granian", "--port={port}", "--respawn-failed-workers", "--respawn-interval=0.1")
# It cancels requests that take longer once it ends, and asgiref's thread then waits for ever for a loop that is gone.
_HYPERCORN = (PYTHON, "-m", "hypercorn", f"--bind={BIND}", f"--graceful-timeout={PATIENCE_SECONDS:.0f}")
_UVICORN = (PYTHON, "-m", "uvicorn", "--port={port}")
_UWSGI = (UWSGI, f"--http-socket={BIND}", "--module=scoring:app", "--need-app", "--die-on-term", "--disable-logging")
_UWSGI_MASTER = (*_UWSGI, "--master", "--forkbomb-delay=0")
_UWSGI_RECYCLES = ("--max-requests=60", "--max-requests-delta=10", "--min-worker-lifetime=0")

KINDS = {
    "gunicorn sync": Kind((*_GUNICORN, "scoring:app"), recycling=_GUNICORN_RECYCLES),
    "gunicorn gthread": Kind((*_GUNICORN, "--threads=4", "scoring:app"), recycling=_GUNICORN_RECYCLES),
    "gunicorn gevent": Kind(
        (*_GUNICORN, "--worker-class=gevent", "scoring:app"), ("gevent",), recycling=_GUNICORN_RECYCLES
    ),
    "gunicorn asgi": Kind(
        (*_GUNICORN, "--worker-class=asgi", "adapters:by_asgiref"), ("asgiref",), recycling=_GUNICORN_RECYCLES
    ),
    # It takes a second one within seconds for a reason to end.
    "granian": Kind((*_GRANIAN, "--interface=wsgi", "--workers=2", "scoring:app"), ("granian",), kills=1),
    # As asgi, it may wait for ever for a worker that was busy at SIGTERM.
    "granian, asgiref": Kind(
        (*_GRANIAN, "--interface=asgi", "--workers=2", "--workers-kill-timeout=5", "adapters:by_asgiref"),
        ("granian", "asgiref"),
        kills=1,
    ),
    "hypercorn": Kind(
        (*_HYPERCORN, "--workers=2", "wsgi:scoring:app"),
        ("hypercorn",),
        kills=0,
        recycling=("--max-requests=40",),
    ),
    "hypercorn, one worker": Kind(
        (*_HYPERCORN, "--workers=1", "wsgi:scoring:app"), ("hypercorn",), processes=1, kills=0
    ),
    "hypercorn, asgiref": Kind((*_HYPERCORN, "--workers=2", "adapters:by_asgiref"), ("hypercorn", "asgiref"), kills=0),
    "hypercorn, no workers": Kind(
        (*_HYPERCORN, "--workers=0", "adapters:by_asgiref"), ("hypercorn", "asgiref"), processes=1, kills=0
    ),
    "uvicorn, asgiref": Kind(
        (*_UVICORN, "--workers=2", "adapters:by_asgiref"),
        ("uvicorn", "asgiref"),
        recycling=("--limit-max-requests=60",),
        delivers=False,
    ),
    "uvicorn, a2wsgi": Kind(
        (*_UVICORN, "--workers=2", "adapters:by_a2wsgi"),
        ("uvicorn", "a2wsgi"),
        recycling=("--limit-max-requests=60",),
        delivers=False,
    ),
    "uvicorn, asgiref, one process": Kind(
        (*_UVICORN, "adapters:by_asgiref"), ("uvicorn", "asgiref"), processes=1, kills=0, delivers=False
    ),
    "uvicorn, a2wsgi, one process": Kind(
        (*_UVICORN, "adapters:by_a2wsgi"), ("uvicorn", "a2wsgi"), processes=1, kills=0, delivers=False
    ),
    "uWSGI": Kind((*_UWSGI_MASTER, "--processes=2"), ("uwsgi",), recycling=_UWSGI_RECYCLES, delivers=False),
    "uWSGI, threads": Kind(
        (*_UWSGI_MASTER, "--processes=2", "--threads=4"), ("uwsgi",), recycling=_UWSGI_RECYCLES, delivers=False
    ),
    "uWSGI, cheaper": Kind(
        (*_UWSGI_MASTER, "--processes=4", "--cheaper=2", "--enable-threads"), ("uwsgi",), delivers=False
    ),
    "uWSGI, emperor": Kind((UWSGI, "--emperor=vassals", f"--emperor-wrapper={UWSGI}"), ("uwsgi",), delivers=False),
    "mod_wsgi": Kind(
        ("apache2", "-DFOREGROUND", "-f", "{directory}/apache.conf"),
        ("mod_wsgi",),
        recycling=("maximum-requests=60",),
    ),
    "cheroot": Kind(
        (PYTHON, "-m", "cheroot", f"--bind={BIND}", "scoring:app"),
        ("cheroot",),
        processes=1,
        kills=0,
        delivers=False,
    ),
    "waitress": Kind(
        (PYTHON, "-m", "waitress", f"--listen={BIND}", "scoring:app"), processes=1, kills=0, delivers=False
    ),
    "flask run": Kind(
        (PYTHON, "-m", "flask", "--app=scoring", "run", "--port={port}"), processes=1, kills=0, delivers=False
    ),
    "app.run, processes": Kind(
        (PYTHON, "-c", "from scoring import app; app.run(port={port}, threaded=False, processes=4)"), kills=0
    ),
}


def peer_server(package: str) -> None:
    """Skip the test where *package* has no wheel for this Python; skip it, or fail it in CI, where it is missing."""
    if package == "uwsgi":
        found = Path(UWSGI).is_file()
    elif package == "mod_wsgi":
        found = shutil.which("apache2") is not None and (APACHE_MODULES / MOD_WSGI_FILE).exists()
    else:
        sources = [SERVERS, *map(Path, sys.path)]
        found = any((source / package).is_dir() for source in sources)
    note = SERVERS / f"{package}.txt"
    if not found and note.is_file():
        pytest.skip(note.read_text().strip())
    if not found:
        missing(f"The server '{package}'")


class Served(Program):
    """A server of the matrix that runs the scoring app; on a port kept over restarts.

    Args:
        kind: Kind of server.
        directory: Where it runs and its log is.
        recycles: Whether it ends its workers now and then.
        more: Further source text of the app's module.
        settings: Settings of the app, as in its environment.
    """

    def __init__(
        self,
        kind: Kind,
        directory: Path,
        *,
        recycles: bool = False,
        more: str = "",
        settings: dict[str, str] | None = None,
    ) -> None:
        for package in kind.needs:
            peer_server(package)
        super().__init__(directory)
        self.kind = kind
        self.port = free_port()
        self.records = directory / "records"
        self._seen: set[int] = set()
        self._command = [word.format(port=self.port, directory=directory) for word in kind.command]
        paths = [str(directory), *filter(None, [os.environ.get("PYTHONPATH")]), str(SERVERS)]
        self._env = {
            "PYTHONPATH": os.pathsep.join(paths),
            # gunicorn's control socket is one per user unless told otherwise: servers that run at once would share it.
            "XDG_RUNTIME_DIR": str(directory),
            "APP_BOXKITE_LOG_DIR": str(self.records),
            **(settings or {}),
        }
        (directory / "scoring.py").write_text(SCORING_APP + more)
        (directory / "adapters.py").write_text(ADAPTERS)
        recycling = kind.recycling if recycles else ()
        if kind.needs == ("mod_wsgi",):
            self._prepare_apache(recycling)
        elif "--emperor=vassals" in kind.command:
            (directory / "vassals").mkdir()
            (directory / "vassals" / "scoring.ini").write_text(VASSAL.format(port=self.port))
        else:
            self._command += recycling

    def _prepare_apache(self, recycling: Sequence[str]) -> None:
        """Write its configuration; root must not run it, so an unprivileged user does, who may read and write here."""
        # It knows nothing of the environment in which this Python runs, nor of what is installed there as editable.
        package = str(Path(flask_boxkite.__file__).parents[1])
        site = [path for path in sys.path if path.endswith("site-packages")]
        self._env["PYTHONPATH"] = os.pathsep.join([str(self.directory), package, str(SERVERS), *site])
        text = MOD_WSGI.format(
            directory=self.directory,
            log=self._log,
            modules=APACHE_MODULES,
            mod_wsgi=MOD_WSGI_FILE,
            port=self.port,
            recycling=" ".join(recycling),
        )
        (self.directory / "apache.conf").write_text(text)
        self._log.touch()
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", self.directory], check=True)
            self._command = [
                *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
                *self._command,
            ]

    def stop(self, signum: int = signal.SIGTERM, *, timeout: float = PATIENCE_SECONDS) -> int:
        """Do as any program; processes that end by themselves, each after its connection, may do so."""
        if self.is_forking:
            os.kill(self.pid, signum)
            wait_for(self._is_gone, timeout=timeout, what="the end of all processes")
        return super().stop(signum, timeout=timeout)

    def _is_gone(self) -> bool:
        if self.is_running():
            return False
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return True
        return False

    def whole_log(self) -> str:
        """Return what it has written, before it was started again too."""
        return self._log.read_text(errors="replace")

    def _launch(self) -> None:
        self._spawn(self._command, env=self._env)
        self._wait_ready(self._has_all_processes, "all its processes answer")

    def _has_all_processes(self) -> bool:
        """Ask several times at once; say whether as many processes have answered as there are."""
        # One after the other, all requests might go to the same process.
        with ThreadPoolExecutor(2 * CLIENTS) as pool:
            answered = list(pool.map(lambda _: scrape(self.port)[0], range(2 * CLIENTS)))
        self._seen = {pid for pid in self._seen.union(answered) if runs(pid)}
        return len(self._seen) >= self.kind.processes or self.is_forking

    @property
    def is_forking(self) -> bool:
        """Whether each connection has a process of its own."""
        return "threaded=False" in self.kind.command[-1]

    def worker_pids(self) -> list[int]:
        """Return the ids of those processes that have answered and run; not all may have answered yet."""
        if self.is_forking:
            return []
        with contextlib.suppress(NotSentError, UnansweredError):
            self._has_all_processes()
        return sorted(pid for pid in self._seen if runs(pid))


def runs(pid: int) -> bool:
    """Say whether a process runs: one that has ended, and of which its parent has taken no notice, does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2][:1] not in b"ZX"
    except OSError:
        return False
