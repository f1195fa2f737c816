"""Print how often drift is called where there is none, and how often where there is.

    python -m tests.benchmarks.drift_quality            # everything, some ten minutes
    python -m tests.benchmarks.drift_quality --quick    # rough, a minute
    python -m tests.benchmarks.drift_quality --only cells --population normal

One variable at a significance of 0.001 beside fixed limits; a month of checks of a whole model at the default; how long
a change takes to be called.
Ends with status 1 if a bar is missed. Needs the dependency group ``tests``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from flask_boxkite.drift.verdict import DRIFTED_SIZE

from .drift.cells import ALPHA, FINE_PSI_LIMIT, KL_LIMIT, KS_LIMIT, PSI_LIMIT, SLOTS, TRAINED, Cell, Plan, cells_of
from .drift.delay import NEVER, Delay, delays
from .drift.month import ALPHA as MODEL_ALPHA
from .drift.month import FEATURES, TRAFFIC, Month, month_of
from .drift.populations import Population, populations

SEED = 5

FULL = Plan(trainings=2000, windows=100, shifted_trainings=1000, shifted_windows=20)
QUICK = Plan(trainings=200, windows=100, shifted_trainings=100, shifted_windows=20)
MONTHS, QUICK_MONTHS = 10, 1
RUNS, QUICK_RUNS = 21, 5
TRAINED_IN_MONTHS = (10_000, 1000)

HEAD = (
    f"{'population':<23}{'shift':<14}{'rows':>6}  {'called':>8} {'± s.e.':>7} {'bar':>8} {'':<5}{'drifted':>8}   "
    f"{'PSI':>7} {'PSI50':>7} {'KL':>7} {'K-S':>7}"
)


def about(plan: Plan, months: int) -> str:
    """Say what is simulated, and how."""
    return f"""\
Training samples of {TRAINED:,} rows, baselines as export_text builds them. Without a shift {plan.trainings:,} trainings
of {plan.windows} windows each, with one {plan.shifted_trainings} of {plan.shifted_windows}; seed {SEED}. Standard
errors are those between trainings; a bar is met if it is so by two of them
(with --quick, missed if it is so by two). Rows come at any time of {SLOTS} slots;
those that are repeated, at once.
  called   G/φ above its limit at a significance of {ALPHA}: all verdicts but stable
  drifted  called, and the size is at least {DRIFTED_SIZE}
Beside it, by fixed limits on the same rows, without regard to their number:
  PSI      on the same groups, limit {PSI_LIMIT}
  PSI50    on all bins or categories (up to 50), limit {FINE_PSI_LIMIT}
  KL, K-S  the ancestor's: symmetric KL with one added to each bin, limit {KL_LIMIT}; largest distance of cumulative
           shares, limit {KS_LIMIT}; both on the same bins, missing values in the last
Then {months} months of {FEATURES} features at the default significance, {MODEL_ALPHA:g} for the model, checked
every minute over sliding windows of 1 h. Last, how many minutes after a change in full traffic such a check calls it.
"""


def line(cell: Cell, *, quick: bool) -> str:
    """Return the line of a cell."""
    verdict = {True: "pass", False: "MISS", None: ""}[cell.is_met(quick=quick)]
    shift = cell.shift.name if cell.repeats == 1 else f"none, rows x{cell.repeats}"
    return (
        f"{cell.population:<23}{shift:<14}{cell.rows:>6}  {cell.called:>8.3%} {cell.error:>7.3%} {cell.bar:>8} "
        f"{verdict:<5}{cell.drifted:>8.2%}   " + " ".join(f"{share:>7.1%}" for share in cell.others)
    )


def month_line(month: Month) -> str:
    """Return the line of a simulated month."""
    return (
        f"{month.trained:>8,} trained  {month.traffic:>5g} a minute  {month.episodes / month.months:>6.2f} ± "
        f"{month.error:.2f} false episodes 'drifted' a month  ≤ 1 {'pass' if month.is_met else 'MISS'}   "
        f"({month.shifted / month.months:.2f} 'shifted' or more)"
    )


def show_cells(chosen: tuple[Population, ...], plan: Plan, jobs: int) -> Iterator[bool]:
    """Print the table; yield whether each bar was met."""
    print(HEAD, flush=True)
    names = [population.name for population in chosen]
    with ProcessPoolExecutor(jobs) as pool:
        for cells in pool.map(partial(_cells, plan=plan), names):
            for cell in cells:
                print(line(cell, quick=plan == QUICK), flush=True)
                if (met := cell.is_met(quick=plan == QUICK)) is not None:
                    yield met


def _cells(name: str, plan: Plan) -> list[Cell]:
    (population,) = (item for item in populations() if item.name == name)
    return cells_of(population, plan, SEED)


def show_months(months: int, jobs: int) -> Iterator[bool]:
    """Print the months; yield whether each bar was met."""
    print()
    cases = [(trained, traffic) for trained in TRAINED_IN_MONTHS for traffic in TRAFFIC]
    with ProcessPoolExecutor(jobs) as pool:
        for month in pool.map(partial(_month, months=months), cases):
            print(month_line(month), flush=True)
            yield month.is_met


def _month(case: tuple[int, float], months: int) -> Month:
    return month_of(populations(), *case, months, SEED)


def show_delays(runs: int) -> None:
    """Print how long changes take to be called; there is no bar."""
    print()
    for delay in delays(runs, SEED):
        print(delay_line(delay), flush=True)


def delay_line(delay: Delay) -> str:
    """Return the line of a change."""
    minutes = "not within the hour" if delay.minutes >= NEVER else f"after {delay.minutes:.0f} min"
    return (
        f"{delay.change:<22}{delay.rate:>4} a minute, server up {delay.before} min: called {minutes:<20}"
        f"(were rows known to be independent: {delay.alone:.0f} min)"
    )


def arguments() -> argparse.Namespace:
    """Return what was asked for on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.drift_quality", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="fewer repetitions; rougher figures, and wider errors")
    parser.add_argument("--only", choices=["cells", "months", "delays"], help="one of the parts")
    parser.add_argument("--population", action="append", help="only cells of this population; repeatable")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    return parser.parse_args()


def main() -> int:
    """Run what was asked for; return the exit status."""
    options = arguments()
    plan, months = (QUICK, QUICK_MONTHS) if options.quick else (FULL, MONTHS)
    known = {item.name: item for item in populations()}
    if unknown := set(options.population or ()) - known.keys():
        sys.exit(f"There is no population {', '.join(map(repr, unknown))}. Known: {', '.join(map(repr, known))}.")
    chosen = tuple(known[name] for name in options.population or known)
    print(about(plan, months))
    met: list[bool] = []
    if options.only in (None, "cells"):
        met += show_cells(chosen, plan, options.jobs)
    if options.only in (None, "months"):
        met += show_months(months, options.jobs)
    if options.only in (None, "delays"):
        show_delays(QUICK_RUNS if options.quick else RUNS)
    print(f"\n{sum(met)} of {len(met)} bars met.")
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
