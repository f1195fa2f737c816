"""Print how often segments are called where none has changed, and how often where one of 5 % of the rows has.

    python -m tests.benchmarks.segments_quality              # everything, some half an hour
    python -m tests.benchmarks.segments_quality --only power
    python -m tests.benchmarks.segments_quality --windows 2000 --jobs 8

A model of six features, a score, and eight countries that segment its rows; rows are counted, cut into stretches of
time and judged as by a server. `alarms`: windows in which each segment is as in training; a report with any variable of
any segment called is a false alarm. `power`: one country changes; beside it the verdict on all rows together. Ends with
status 1 if false alarms of all cells with a bar together, or beyond doubt of one of them, are more than twice as likely
as they should be.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import numpy as np
from scipy import stats

from tests.arguments import at_least

from .windows import ALPHA, MOVED, Change, Model, Population, Traffic

SEED = 11
MOST = 2.0
"""Most false alarms, as a multiple of the nominal probability."""

DOUBT = 1e-3
"""Probability of so many false alarms in a cell of twice the nominal probability, below which its bar is missed."""

OF_ONE = 10
"""Windows that are compared with the same training rows."""

HOUR = Traffic("2,000 rows in an hour", 2000)
POPULATIONS = {
    "independent rows": (Population(), HOUR),
    "independent rows, in two minutes": (Population(), Traffic("", 500, seconds=120.0)),
    "each row four times": (Population(), Traffic("", 2000, repeats=4)),
    "batches of 20 rows, a little alike": (Population(), Traffic("", 2000, batch=20, alike=0.3)),
    "such batches, in two minutes": (Population(), Traffic("", 500, seconds=120.0, batch=20, alike=0.3)),
    "one segment of 30 % instead of 5 %": (Population(mix=0.3), HOUR),
    "one segment that always differed": (Population(differs=True), HOUR),
}
LIMIT = {"batches of 20 rows, much alike": (Population(), Traffic("", 2000, batch=20, alike=0.7))}
"""Traffic that is beyond the verdicts' limits (docs/limits.md), for all rows as for segments: it has no bar."""

TRAINED = (1000, 10_000)

CHANGES = (
    Change("age 0.5 deviations larger", shift=0.5),
    Change("age 1 deviation larger", shift=1.0),
    Change("two plans swapped", is_swapped=True),
    Change("age missing", is_missing=True),
)
WINDOWS = (
    Traffic("500 rows in an hour", 500),
    HOUR,
    Traffic("10,000 rows in an hour", 10_000),
    Traffic("2,000 good rows, 2,000 bad in 2 minutes", 4000, seconds=120.0, good=0.5),
)


class Cell(NamedTuple):
    """Windows that are alike; seeds are numbers of theirs."""

    population: Population
    traffic: Traffic
    trained: int
    change: Change | None
    windows: int
    seed: int


class Shares(NamedTuple):
    """Numbers of windows.

    Attributes:
        called: Windows with a segment that is called; of a cell with a change, the segment that changes.
        unclear: Windows with nothing but an unclear segment.
        whole: Windows in which all rows together are called.
        windows: All windows.
    """

    called: int
    unclear: int
    whole: int
    windows: int


def shares_of(cell: Cell) -> Shares:
    """Simulate a cell."""
    rng = np.random.default_rng([SEED, cell.seed])
    called = unclear = whole = 0
    for number in range(cell.windows):
        if number % OF_ONE == 0:
            model = Model(cell.population, cell.trained, rng)
        said = model.judged(cell.traffic, cell.change)
        called += said.is_called if cell.change is None else said.is_found(MOVED)
        unclear += said.is_unclear
        whole += said.is_whole_called
    return Shares(called, unclear, whole, cell.windows)


def alarms(windows: int, jobs: int) -> bool:
    """Print the false alarms; return whether the bar is met."""
    all_kinds = POPULATIONS | LIMIT
    names = [(name, trained) for name in all_kinds for trained in TRAINED]
    cells = [Cell(*all_kinds[name], trained, None, windows, seed) for seed, (name, trained) in enumerate(names)]
    print(f"FALSE ALARMS of whole reports at {ALPHA}, as multiples of that: {windows:,} windows a cell")
    print(f"{'windows without a change':<42}{'trained':>8}{'called':>9}{'unclear':>10}{'all rows':>10}")
    nominal, total, is_met = windows * ALPHA, 0, True
    for (name, trained), found in zip(names, simulated(cells, jobs), strict=True):
        is_missed = name not in LIMIT and stats.poisson.sf(found.called - 1, MOST * nominal) < DOUBT
        print(
            f"{name:<42}{trained:>8,}{found.called / nominal:>9.1f}{found.unclear / windows:>10.1%}"
            f"{found.whole / nominal:>10.1f}{'  MISS' if is_missed else '  no bar' if name in LIMIT else ''}",
            flush=True,
        )
        total += 0 if name in LIMIT else found.called
        is_met &= not is_missed
    mean = total / nominal / (len(POPULATIONS) * len(TRAINED))
    is_met &= mean <= MOST
    print(f"all cells with a bar: {mean:.2f} times nominal, bar {MOST:g}: {'pass' if is_met else 'MISS'}")
    return is_met


def power(windows: int, jobs: int) -> None:
    """Print how often the segment that has changed is found, and how often all rows together say something."""
    pairs = [(change, traffic) for change in CHANGES for traffic in WINDOWS]
    cells = [
        Cell(Population(), traffic, 10_000, change, windows, 100 + seed) for seed, (change, traffic) in enumerate(pairs)
    ]
    print(f"\nPOWER at {ALPHA}: share of {windows} windows in which a segment of 5 % that has changed is called")
    print(f"{'change in the segment':<28}{'window':<42}{'segment':>8}{'all rows':>10}")
    for (change, traffic), found in zip(pairs, simulated(cells, jobs), strict=True):
        print(
            f"{change.name:<28}{traffic.name:<42}{found.called / windows:>8.0%}{found.whole / windows:>10.0%}",
            flush=True,
        )


def simulated(cells: list[Cell], jobs: int) -> Iterator[Shares]:
    """Yield the shares of each cell."""
    if jobs == 1:
        yield from map(shares_of, cells)
        return
    with ProcessPoolExecutor(jobs) as executor:
        yield from executor.map(shares_of, cells)


def main() -> int:
    """Run the parts; return 1 if there are too many false alarms."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.segments_quality",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", choices=["alarms", "power"])
    parser.add_argument("--windows", type=at_least(1), default=1000, help="windows of a cell without a change")
    parser.add_argument("--jobs", type=at_least(1), default=1, help="processes")
    options = parser.parse_args()
    is_met = options.only == "power" or alarms(options.windows, options.jobs)
    if options.only != "alarms":
        power(min(options.windows, 100), options.jobs)
    return int(not is_met)


if __name__ == "__main__":
    sys.exit(main())
