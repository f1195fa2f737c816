"""What goes wrong, and how it ends.

A fault is hurt once and healed once. In between the load goes on; two faults of different parts may overlap. Each says
which promises do not hold for it: all others do.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
from abc import ABC, abstractmethod

from tests.chaos.world import World, has_ended
from tests.faults import fill
from tests.integration.clocks import DAY
from tests.peers import wait_for

__all__ = ["FAULTS", "Fault"]


class Fault(ABC):
    """Something that goes wrong in a world.

    Attributes:
        name: What it is called in the table.
        part: What it happens to: faults of one part do not overlap.
        seconds: Shortest and longest time between hurt and heal.
        starts_processes: Whether workers start, which on a full disk cannot show others what they count.
        may_lose_records: Whether records may be lost, if each is counted as dropped.
        forgets_counts: Whether counts may be less afterwards.
    """

    name: str
    part: str
    seconds = (1.0, 3.0)
    starts_processes = False
    may_lose_records = False
    forgets_counts = False

    def __init__(self, world: World, rng: random.Random) -> None:
        self.world = world
        self.rng = rng

    @abstractmethod
    def hurt(self) -> None:
        """Let it go wrong."""

    def heal(self) -> None:  # noqa: B027, as much ends by itself
        """Let it be right again."""


# --- the server ------------------------------------------------------------------------------------------------------


class ServerFault(Fault):
    """A fault of the server's processes."""

    part = "server"
    starts_processes = True

    @property
    def any_worker(self) -> int:
        """A worker, chosen at random."""
        return self.rng.choice(self.world.server.worker_pids())


class WorkerKilled(ServerFault):
    name = "worker killed"

    def hurt(self) -> None:
        victim = self.any_worker
        os.kill(victim, signal.SIGKILL)
        self.world.server.wait_ended([victim])

    def heal(self) -> None:
        self.world.server.wait_ready(self.world.server.workers)


class MasterKilled(ServerFault):
    """Its workers go on until they notice."""

    name = "master killed"

    def hurt(self) -> None:
        self.world.server.end(signal.SIGKILL)

    def heal(self) -> None:
        self.world.server.start_again()


class AllKilled(ServerFault):
    name = "all processes killed"

    def hurt(self) -> None:
        server = self.world.server
        pids = [server.master, *server.worker_pids()]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        server.wait_ended(pids)

    def heal(self) -> None:
        self.world.server.start_again()


class Stopped(ServerFault):
    name = "server stopped (TERM)"

    def hurt(self) -> None:
        self.world.server.end(signal.SIGTERM)

    def heal(self) -> None:
        self.world.server.start_again()


class Reloaded(ServerFault):
    name = "server reloaded (HUP)"

    def hurt(self) -> None:
        self.old = frozenset(self.world.server.worker_pids())
        os.kill(self.world.server.master, signal.SIGHUP)

    def heal(self) -> None:
        server = self.world.server
        server.wait_ready(server.workers, without=self.old)
        server.wait_ended(list(self.old))


class Upgraded(ServerFault):
    """Two masters serve side by side until the old one is told to end."""

    name = "server upgraded (USR2)"

    def hurt(self) -> None:
        server = self.world.server
        os.kill(server.master, signal.SIGUSR2)
        wait_for(lambda: len(server.ready(server.successor)) == server.workers, what="the new master's workers")

    def heal(self) -> None:
        server = self.world.server
        old, new = server.master, server.successor
        os.kill(old, signal.SIGTERM)
        wait_for(lambda: has_ended(old) and server.master == new, what="the end of the old master")
        server.wait_ready(server.workers)


class WorkerStopped(ServerFault):
    """For less than gunicorn's timeout of 30 s, after which it would be killed."""

    name = "worker stopped (SIGSTOP)"
    seconds = (3.0, 20.0)
    starts_processes = False

    def hurt(self) -> None:
        self.victim = self.any_worker
        os.kill(self.victim, signal.SIGSTOP)

    def heal(self) -> None:
        os.kill(self.victim, signal.SIGCONT)


class Scaled(ServerFault):
    name = "workers added and removed"

    def hurt(self) -> None:
        server = self.world.server
        os.kill(server.master, signal.SIGTTIN)
        server.wait_ready(server.workers + 1)

    def heal(self) -> None:
        server = self.world.server
        os.kill(server.master, signal.SIGTTOU)
        server.wait_ready(server.workers)


# --- fluentd ---------------------------------------------------------------------------------------------------------


class FluentdKilled(Fault):
    name = "fluentd killed"
    part = "fluentd"
    seconds = (1.0, 10.0)

    def hurt(self) -> None:
        self.world.fluentd.kill()

    def heal(self) -> None:
        self.world.fluentd.start()


class FluentdStopped(Fault):
    name = "fluentd stopped (SIGSTOP)"
    part = "fluentd"
    seconds = (3.0, 15.0)

    def hurt(self) -> None:
        os.kill(self.world.fluentd.pid, signal.SIGSTOP)

    def heal(self) -> None:
        os.kill(self.world.fluentd.pid, signal.SIGCONT)


# --- the disk --------------------------------------------------------------------------------------------------------


class DiskFilled(Fault):
    """Records wait in memory, where they are lost with their process."""

    name = "disk filled"
    part = "disk"
    seconds = (3.0, 12.0)
    may_lose_records = True

    def hurt(self) -> None:
        fill(self.world.disk / "filler")

    def heal(self) -> None:
        (self.world.disk / "filler").unlink()


class StateDeleted(Fault):
    """What ended processes had counted is gone; living ones keep theirs, once they have noticed."""

    name = "counts deleted"
    part = "disk"
    forgets_counts = True

    def hurt(self) -> None:
        shutil.rmtree(self.world.state, ignore_errors=True)  # a worker may be the faster, and make a new file


class SpoolDeleted(Fault):
    """What waited there in sealed segments is gone, and counted."""

    name = "spool deleted"
    # Not beside faults of processes: what an ended one left, and no other had taken over yet, would wait for good.
    part = "server"
    may_lose_records = True

    def hurt(self) -> None:
        shutil.rmtree(self.world.spool, ignore_errors=True)


# --- the clock -------------------------------------------------------------------------------------------------------


class ClockMoved(Fault):
    name = "clock moved"
    part = "clock"
    seconds = (3.0, 10.0)

    def hurt(self) -> None:
        self.world.clock.set(jump=self.rng.choice([-DAY, DAY]))

    def heal(self) -> None:
        self.world.clock.set()


FAULTS: dict[str, type[Fault]] = {
    fault.name: fault
    for fault in (
        *(WorkerKilled, MasterKilled, AllKilled, Stopped, Reloaded, Upgraded, WorkerStopped, Scaled),
        *(FluentdKilled, FluentdStopped),
        *(DiskFilled, StateDeleted, SpoolDeleted),
        ClockMoved,
    )
}
"""All faults by name."""
