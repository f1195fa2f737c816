"""Runs: blocks of requests, each to one pair of apps, with the accounts checked at its end."""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.web.fuzz.accounts import Accounts
from tests.web.fuzz.pairs import SETUPS, Pair, new_pair
from tests.web.fuzz.requests import request_at

__all__ = ["BLOCK", "Difference", "Report", "job", "run"]

BLOCK = 1000
"""Requests between two checks of the accounts."""


@dataclass(frozen=True)
class Difference:
    """A difference, and the request that shows it.

    Attributes:
        seed: Seed of the run.
        setup: Name of the settings.
        start: Number of the first request that is needed to see it.
        stop: Number after the last one.
        text: Description of the difference.
    """

    seed: int
    setup: str
    start: int
    stop: int
    text: str

    def __str__(self) -> str:
        """Say it, and how to see it again."""
        one = (
            f"--only {self.start}"
            if self.stop == self.start + 1
            else f"--start {self.start} --requests {self.stop - self.start}"
        )
        again = f"python -m tests.web.fuzz --seed {self.seed} --setup '{self.setup}' {one}"
        return f"{self.text[:2000]}\n  again: {again}"


@dataclass
class Report:
    """The results of a run.

    Attributes:
        totals: Requests, predictions and what became of them, added up.
        series: Number of series of each setup at the end.
        differences: Differences that were found.
        memory: Bytes of the process's memory: after the first block of each setup, and at the end.
    """

    totals: Counter[str] = field(default_factory=Counter)
    series: dict[str, int] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    memory: tuple[int, int] = (0, 0)


def run(
    seed: int,
    setups: list[str],
    *,
    goes_on: Callable[[int], bool],
    start: int = 0,
    block: int = BLOCK,
    most_differences: int = 10,
) -> Report:
    """Send block after block, each to the next setup.

    Args:
        seed: Seed of the requests.
        setups: Names of settings.
        goes_on: Is given the number of requests so far; says whether there is another block.
        start: Number of the first request.
        block: Requests of a block.
        most_differences: After so many the run ends.
    """
    report = Report()
    with ExitStack() as stack:
        pairs = {name: stack.enter_context(new_pair(SETUPS[name])) for name in setups}
        accounts = {name: Accounts(pair) for name, pair in pairs.items() if pair.setup.is_enabled}
        done = 0
        while goes_on(done) and len(report.differences) < most_differences:
            name = setups[done // block % len(setups)]
            report.differences += _run_block(
                seed, name, pairs[name], accounts.get(name), range(start + done, start + done + block)
            )
            done += block
            if done == 2 * block * len(setups):
                report.memory = (_memory(), 0)
        report.totals["requests"] = done
        for name, account in accounts.items():
            report.series[name] = account.series
            report.totals += account.totals
    report.memory = (report.memory[0], _memory())
    return report


def job(seed: int, setups: list[str], *, start: int, limits: tuple[float | None, int | None]) -> Report:
    """Run so many seconds or requests, in a process of its own, which cannot import ``__main__``."""
    logging.getLogger("flask_boxkite").addHandler(logging.NullHandler())
    seconds, number = limits
    end = None if seconds is None else time.monotonic() + seconds

    def goes_on(done: int) -> bool:
        return (end is None or time.monotonic() < end) and (number is None or done < number)

    return run(seed, setups, goes_on=goes_on, start=start, block=BLOCK if number is None else min(BLOCK, number))


def _run_block(seed: int, name: str, pair: Pair, accounts: Accounts | None, indexes: range) -> Iterator[Difference]:
    """Send a block; yield differences of single requests, and of the accounts."""
    for index in indexes:
        request = request_at(seed, index)
        ours, theirs, found = pair.send(request)
        for text in found:
            yield Difference(seed, name, index, index + 1, text)
        if accounts is not None:
            accounts.add(request, ours, theirs)
    if accounts is None:
        return
    wrong = list(accounts.check())
    if wrong:
        yield _narrowed(seed, name, indexes) or Difference(seed, name, indexes.start, indexes.stop, "; ".join(wrong))


def _narrowed(seed: int, name: str, indexes: range) -> Difference | None:
    """Find the request that makes the accounts wrong: in one half, then in half of that, each with apps of its own."""
    found = _wrong_after(seed, name, indexes)
    while found and len(indexes) > 1:
        half = len(indexes) // 2
        first, second = indexes[:half], indexes[half:]
        if wrong := _wrong_after(seed, name, first):
            found, indexes = wrong, first
        elif wrong := _wrong_after(seed, name, second):
            found, indexes = wrong, second
        else:
            break
    return Difference(seed, name, indexes.start, indexes.stop, "; ".join(found)) if found else None


def _wrong_after(seed: int, name: str, indexes: range) -> list[str]:
    with new_pair(SETUPS[name]) as pair:
        accounts = Accounts(pair)
        for index in indexes:
            request = request_at(seed, index)
            ours, theirs, _ = pair.send(request)
            accounts.add(request, ours, theirs)
        return list(accounts.check())


def _memory() -> int:
    """Return the resident memory of this process; 0 where it cannot be told."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
