"""What a chaos run happens to: gunicorn, fluentd, clients, and a small disk for spool and counts."""

from __future__ import annotations

import os
import re
import signal
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from flask_boxkite import ModelMonitoringService
from tests.chaos.audit import Audit
from tests.faults import mounted
from tests.integration.clocks import IMPORT, SetClock
from tests.integration.ledger import NUMBERED_APP
from tests.peers import FluentServer, Gunicorn, wait_for

__all__ = ["Server", "World", "has_ended"]

DISK = "64m"
SPOOL_BYTES = 8 * 1024 * 1024
QUEUE_BYTES = 4 * 1024 * 1024
THREADS = 2


def has_ended(pid: int) -> bool:
    """Say whether a process has ended, also one that its parent has not yet noticed."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in "ZX"


class Server(Gunicorn):
    """A gunicorn server of the numbered app, whose master may be another process than the one that was started."""

    # Not as a module: its successor on USR2 would find gunicorn's own `http` in place of Python's.
    program = (sys.executable, f"{sysconfig.get_path('scripts')}/gunicorn")

    def __init__(self, directory: Path, *, workers: int, env: dict[str, str]) -> None:
        self.workers = workers
        self._pidfile = directory.resolve() / "master.pid"
        args = [f"--pid={self._pidfile}", f"--threads={THREADS}", "--graceful-timeout=10"]
        source = IMPORT + NUMBERED_APP
        super().__init__(
            "numbered:app", directory, source=source, workers=workers, worker_class="gthread", args=args, env=env
        )

    @property
    def master(self) -> int:
        """Id of the master; of the old one while there are two."""
        return int(self._pidfile.read_text())

    @property
    def successor(self) -> int:
        """Id of the new master while there are two."""
        return int(self._pidfile.with_name("master.pid.2").read_text())

    def worker_pids(self) -> list[int]:
        """Return the ids of the workers of the master that are ready for requests and signals."""
        return self.ready(self.master)

    def ready(self, master: int) -> list[int]:
        """Return the ids of the workers of one master that are ready."""
        children = set(map(int, Path(f"/proc/{master}/task/{master}/children").read_text().split()))
        # Once: the system gives ids again, after half an hour of kills.
        ready = dict.fromkeys(map(int, re.findall(r"\[(\d+)\] \[INFO\] Worker is ready", self.log())))
        return [pid for pid in ready if pid in children and not has_ended(pid)]

    def wait_ready(self, workers: int, *, without: frozenset[int] = frozenset()) -> None:
        """Wait until the master has so many workers that are ready, none of them *without*."""

        def is_ready() -> bool:
            pids = self.worker_pids()
            return len(pids) == workers and not without.intersection(pids)

        wait_for(is_ready, what=f"{workers} workers")

    def wait_ended(self, pids: list[int]) -> None:
        """Wait for the end of processes."""
        wait_for(lambda: all(map(has_ended, pids)), what=f"the end of {pids}")

    def memory(self) -> dict[int, float]:
        """Return the resident memory of each worker, in MiB."""
        pages = {pid: int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.worker_pids()}
        return {pid: number * os.sysconf("SC_PAGE_SIZE") / 2**20 for pid, number in pages.items()}

    def start_again(self) -> None:
        """Start it, once nothing of it is left."""
        self.kill()
        self._pidfile.unlink(missing_ok=True)
        self.start()

    def end(self, signum: signal.Signals) -> None:
        """Send the master a signal by which it ends, and wait until its workers have ended too."""
        master = self.master
        pids = [master, *self.ready(master)]
        os.kill(master, signum)
        self.wait_ended(pids)


class World:
    """Everything that runs.

    Args:
        directory: For all files of the run.
        server: The server.
        fluentd: The sink.
        clock: The server's clock.
        audit: The clients, and their books.
        has_disk: Whether spool and counts are on a disk of their own, which can be filled.
    """

    def __init__(
        self, directory: Path, server: Server, fluentd: FluentServer, clock: SetClock, audit: Audit, *, has_disk: bool
    ) -> None:
        self.disk = directory / "disk"
        self.state = self.disk / "state"
        self.spool = self.disk / "spool"
        self.server = server
        self.fluentd = fluentd
        self.clock = clock
        self.audit = audit
        self.has_disk = has_disk

    @classmethod
    @contextmanager
    def running(cls, directory: Path, *, workers: int, rate: float) -> Iterator[World]:
        """Start everything; it ends with the context."""
        with ExitStack() as stack:
            has_disk = _enter_disk(stack, directory / "disk")
            baseline = directory / "baseline.prom"
            numbers = [float(number) for number in range(1000)]
            ModelMonitoringService.export_text({"number": numbers}, numbers, baseline)
            fluentd = stack.enter_context(FluentServer(directory / "fluentd"))
            clock = SetClock(directory / "app")
            settings = {
                "baseline": baseline,
                "fluentd_addr": fluentd.addr,
                "state_dir": directory / "disk" / "state",
                "spool_dir": directory / "disk" / "spool",
                "spool_bytes": SPOOL_BYTES,
                "queue_bytes": QUEUE_BYTES,
            }
            env = {f"APP_BOXKITE_{name.upper()}": str(value) for name, value in settings.items()} | clock.env
            server = stack.enter_context(Server(directory / "app", workers=workers, env=env))
            audit = stack.enter_context(Audit(server, directory / "fluentd" / "entries.jsonl", rate))
            yield cls(directory, server, fluentd, clock, audit, has_disk=has_disk)


def _enter_disk(stack: ExitStack, directory: Path) -> bool:
    """Mount a disk, if that is allowed; say whether it was."""
    try:
        stack.enter_context(mounted(directory, DISK))
    except pytest.skip.Exception:
        return False
    return True
