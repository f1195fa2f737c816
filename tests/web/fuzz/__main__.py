"""Fuzz the web layer for as long as you like: random requests to a monitored app and to its plain twin.

    python -m tests.web.fuzz [--seconds 3600 | --requests 100000] [--jobs 2] [--seed 1]

Prints what was sent, counted and recorded, how many series `/metrics` has, and the memory of the processes. Fails if an
answer differs, if a prediction is not counted once, if `/metrics` does not parse or grows, or if memory grows. Each
difference is printed with the command that shows it again. Needs what `python3 tests/run.py` installs.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import random
import sys
import time
from collections import Counter
from functools import partial

from tests.arguments import at_least, positive
from tests.web.fuzz.pairs import SETUPS
from tests.web.fuzz.requests import request_at
from tests.web.fuzz.run import Report, job, run

MOST_GROWTH_MIB = 32
"""Largest growth after the first blocks, when caches of libraries may still fill. 100 bytes a request are 150 MiB."""


def main() -> int:
    """Run; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=positive, help="how long to run")
    parser.add_argument("--requests", type=at_least(1), help="how many requests to send instead, of each job")
    parser.add_argument("--jobs", type=at_least(1), default=1, help="processes, each with the next seed")
    parser.add_argument("--seed", type=int, help="seed of the first job; a random one if left out")
    parser.add_argument("--setup", action="append", choices=SETUPS, help="settings to run under; all if left out")
    parser.add_argument("--start", type=at_least(0), default=0, help="number of the first request")
    parser.add_argument("--only", type=at_least(0), help="number of the only request, which is printed")
    options = parser.parse_args()
    logging.getLogger("flask_boxkite").addHandler(logging.NullHandler())
    seed = random.randrange(1_000_000) if options.seed is None else options.seed
    setups = options.setup or list(SETUPS)
    if options.only is not None:
        print(request_at(seed, options.only))
        # Each setup gets the same request.
        reports = [run(seed, [setup], goes_on=lambda done: done == 0, start=options.only, block=1) for setup in setups]
        return tell(reports, 0.0)
    limits = (options.seconds, options.requests or (None if options.seconds else 100_000))
    work = partial(job, setups=setups, start=options.start, limits=limits)
    started = time.monotonic()
    if options.jobs == 1:
        reports = [work(seed)]
    else:
        with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
            reports = pool.map(work, range(seed, seed + options.jobs))
    print(f"seed {seed}, {options.jobs} job(s), {len(setups)} setup(s)")
    return tell(reports, time.monotonic() - started)


def tell(reports: list[Report], seconds: float) -> int:
    """Print what came of it; return the exit code."""
    totals: Counter[str] = Counter()
    for report in reports:
        totals += report.totals
    differences = [difference for report in reports for difference in report.differences]
    rate = f", {totals['requests'] / seconds:,.0f} a second" if seconds else ""
    print(f"requests     {totals['requests']:>12,} in {seconds:,.0f} s{rate}")
    print(f"differences  {len(differences):>12,}")
    for name in ("predictions", "counted", "records", "dropped", "empty"):
        print(f"{name:<12} {totals[name]:>12,}")
    for reason in ("features", "output", "internal"):
        print(f"not captured {totals[reason]:>12,}  {reason}")
    for name in reports[0].series:
        print(f"series       {max(report.series[name] for report in reports):>12,}  {name}")
    has_grown = False
    for report in reports:
        first, last = (size / 2**20 for size in report.memory)
        has_grown |= seconds >= 600 and last - first > MOST_GROWTH_MIB
        print(f"memory       {first:>8,.0f} MiB after the first blocks, {last:,.0f} MiB at the end")
    for difference in differences:
        print(f"\n{difference}")
    if has_grown:
        print(f"\nMemory has grown by more than {MOST_GROWTH_MIB} MiB.")
    return 1 if differences or has_grown else 0


if __name__ == "__main__":
    sys.exit(main())
