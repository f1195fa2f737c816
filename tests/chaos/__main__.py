"""A chaos run: a server, its disk, its clock and its sink fail at random moments for as long as you like, under load.

    python -m tests.chaos [--minutes 30] [--seed N] [--workers 3] [--rate 200] [--only "fluentd killed"] [--verbose]

Holds every scrape against what was sent and answered, and after each fault what arrived. Prints a table; ends with 1,
and says where the files of the run are, at the first thing that is not as promised. Needs Linux, and what
`python3 tests/run.py` installs; without root, the disk is not filled.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.arguments import at_least, positive
from tests.chaos.audit import Period
from tests.chaos.faults import FAULTS
from tests.chaos.run import TOGETHER, TOGETHER_DELETED, Chaos, deck
from tests.chaos.world import World

MOST_GROWTH_MIB = 16.0
"""Beyond what may wait in memory while the disk is full."""

HEADER = (
    *("fault", "alone", "with others", "answered", "unanswered", "counted", "missing", "delivered", "dropped"),
    *("duplicates", "scrapes", "settled after"),
)


def main() -> int:
    """Run; return the exit code."""
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what runs ends too
    directory = Path(tempfile.mkdtemp(prefix="boxkite-chaos-"))
    print(f"seed {options.seed}, {options.workers} workers, {options.rate:g} requests a second", flush=True)
    with (directory / "chaos.log").open("w") as log:

        def say(line: str) -> None:
            print(line, file=log, flush=True)
            if options.verbose:
                print(line, flush=True)

        try:
            run(options, directory, say)
        except pytest.skip.Exception as error:
            print(error)
            return 1
        except AssertionError:
            traceback.print_exc()
            print(f"FAIL: what the run left is in {directory}")
            return 1
    shutil.rmtree(directory)
    print("PASS")
    return 0


def arguments() -> argparse.Namespace:
    """Return what was asked for on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=positive, default=30.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of the faults, to have them again")
    parser.add_argument("--workers", type=at_least(1), default=3)
    parser.add_argument("--rate", type=positive, default=200.0, help="requests a second")
    parser.add_argument("--only", action="append", choices=FAULTS, help="this fault (repeatable)")
    parser.add_argument("--verbose", action="store_true", help="print a line for each step of each fault")
    return parser.parse_args()


def run(options: argparse.Namespace, directory: Path, say: Callable[[str], None]) -> None:
    """Let faults happen until the time is over; print the table.

    Raises:
        AssertionError: Something is not as promised.
    """
    rng = random.Random(options.seed)
    with World.running(directory, workers=options.workers, rate=options.rate) as world:
        kinds = [name for name in options.only or FAULTS if world.has_disk or name != "disk filled"]
        chaos = Chaos(world, rng, say)
        ends = time.monotonic() + 60 * options.minutes
        try:
            for names in deck(rng, kinds):
                if time.monotonic() > ends:
                    break
                chaos.round(names)
            assert chaos.growth.most <= MOST_GROWTH_MIB, f"A worker's memory grew by {chaos.growth.most:.1f} MiB."
        finally:
            print_table(chaos, world)


def print_table(chaos: Chaos, world: World) -> None:
    """Print what came of each kind of fault, and of all."""
    names = [name for name in (*FAULTS, TOGETHER, TOGETHER_DELETED) if chaos.times[name] or chaos.along[name]]
    lines = [HEADER, *(row(name, chaos.times[name], chaos.along[name], chaos.periods[name]) for name in names)]
    for title, is_kept in (("all", True), ("all whose counts were deleted", False)):
        those = [name for name in names if (chaos.periods[name].counted is not None) == is_kept]
        periods = (chaos.periods[name] for name in those)
        if those:
            lines.append(row(title, sum(chaos.times[name] for name in those), 0, sum(periods, Period())))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        numbers = (cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))
        print("  ".join([line[0].ljust(widths[0]), *numbers]))
    print(f"The worker whose memory grew most grew by {chaos.growth.most:.1f} MiB.")
    if not world.has_disk:
        print("The disk was not filled: only root can mount one.")


def row(name: str, times: int, along: int, period: Period) -> tuple[str, ...]:
    """Return the cells of a line."""
    dropped = " ".join(f"{reason} {count}" for reason, count in sorted(period.dropped.items())) or "0"
    return (
        name,
        f"{times:,}",
        f"{along:,}" if along else "",
        f"{period.answered:,}",
        f"{period.unanswered:,}",
        "-" if period.counted is None else f"{period.counted:,}",
        f"{period.missing:,}",
        f"{period.delivered:,}",
        dropped,
        f"{period.duplicates:,}",
        f"{period.scrapes:,}",
        f"{period.seconds:.1f} s",
    )


if __name__ == "__main__":
    sys.exit(main())
