"""One fault after the other, with the books closed between them; some overlap."""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence

from tests.chaos.audit import Period, Promises
from tests.chaos.faults import FAULTS, Fault
from tests.chaos.world import World

__all__ = ["TOGETHER", "TOGETHER_DELETED", "Chaos", "deck"]

TOGETHER = "several at once"
TOGETHER_DELETED = f"{TOGETHER}, counts deleted"
SHARE_OF_MORE = 0.4
"""Probability that another fault joins a round."""


def deck(rng: random.Random, kinds: Sequence[str]) -> Iterator[list[str]]:
    """Yield the names of the faults of each round, without end: each as often as the others, one of a part."""
    cards: list[str] = []
    while True:
        names: list[str] = []
        while not names or rng.random() < SHARE_OF_MORE:
            cards = cards or rng.sample(kinds, len(kinds))
            parts = {FAULTS[name].part for name in names}
            fitting = next((name for name in cards if FAULTS[name].part not in parts), None)
            if fitting is None:
                break
            cards.remove(fitting)
            names.append(fitting)
        yield names


class Growth:
    """How much the memory of workers grew that lived through several rounds.

    Attributes:
        most: By how many MiB the one that grew most did, from the end of its first whole round on.
    """

    def __init__(self) -> None:
        self.most = 0.0
        self._rounds: dict[int, list[float]] = {}

    def note(self, memory: dict[int, float]) -> None:
        """Note the memory of each worker at the end of a round."""
        self._rounds = {pid: [*self._rounds.get(pid, []), mib] for pid, mib in memory.items()}
        self.most = max([self.most, *(mibs[-1] - mibs[1] for mibs in self._rounds.values() if len(mibs) > 1)])


class Chaos:
    """Lets faults happen to a world, and keeps what came of each.

    Args:
        world: What they happen to.
        rng: Chooses victims, times and the order in which faults are healed.
        say: Called with a line for each step.
        haste: Faults last this part of their time.

    Attributes:
        periods: By the name of the fault.
        times: How often each happened alone, and how often several did.
        along: How often each happened along with others.
        growth: Of the workers' memory.
    """

    def __init__(
        self, world: World, rng: random.Random, say: Callable[[str], None] = lambda line: None, *, haste: float = 1.0
    ) -> None:
        self.periods: dict[str, Period] = defaultdict(Period)
        self.times: Counter[str] = Counter()
        self.along: Counter[str] = Counter()
        self.growth = Growth()
        self._world = world
        self._rng = rng
        self._say = say
        self._haste = haste
        self._began = time.monotonic()

    def round(self, names: Sequence[str]) -> None:
        """Let faults happen, heal them, and close the books.

        Raises:
            AssertionError: Something is not as promised.
        """
        faults = [FAULTS[name](self._world, self._rng) for name in names]
        self._world.audit.begin(promises_of(faults))
        for fault in faults:
            self._tell(f"{fault.name}: begins")
            fault.hurt()
            self._tell(f"{fault.name}: is there")
            self._world.audit.go_on(self._rng.uniform(*fault.seconds) * self._haste)
        for fault in self._rng.sample(faults, len(faults)):
            fault.heal()
            self._tell(f"{fault.name}: is healed")
        self._world.audit.go_on(self._haste)
        period = self._world.audit.close()
        self._tell(f"{' + '.join(names)}: {period}")
        self.growth.note(self._world.server.memory())
        key = names[0] if len(names) == 1 else TOGETHER if period.counted is not None else TOGETHER_DELETED
        self.periods[key] += period
        self.times[key] += 1
        if len(names) > 1:
            self.along.update(names)

    def _tell(self, line: str) -> None:
        self._say(f"{time.monotonic() - self._began:8.1f} s  {line}")


def promises_of(faults: Sequence[Fault]) -> Promises:
    """Return what holds while these faults happen.

    A process that starts while the disk is full counts in its own memory until there is room.
    """
    is_full = any(fault.name == "disk filled" for fault in faults)
    return Promises(
        shows_all=not (is_full and any(fault.starts_processes for fault in faults)),
        keeps_counts=not any(fault.forgets_counts for fault in faults),
        keeps_records=not any(fault.may_lose_records for fault in faults),
    )
