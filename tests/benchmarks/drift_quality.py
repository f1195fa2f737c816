"""Print how often drift is called where there is none, and how often and how soon where there is.

    python -m tests.benchmarks.drift_quality --jobs 2   # everything, some 40 minutes on two cores
    python -m tests.benchmarks.drift_quality --quick    # rough, some minutes
    python -m tests.benchmarks.drift_quality --only cells --population normal

Parts: `cells`, one variable at a significance of 0.001 beside fixed limits; `repeats`, rows that come again; `changes`,
what happens while the server runs; `months` of checks of a whole model at the default; `delays` in full traffic.
Ends with status 1 if a bar is missed. Needs the dependency group ``tests``.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from flask_boxkite.drift.scan import TESTS
from flask_boxkite.drift.verdict import DRIFTED_SIZE
from tests.arguments import at_least

from .drift.cells import ALPHA, FINE_PSI_LIMIT, KL_LIMIT, KS_LIMIT, PSI_LIMIT, SLOTS, TRAINED, Cell, Plan, cells_of
from .drift.changes import ALPHA as CHANGE_ALPHA
from .drift.changes import FALLS_BACK, FIRST, OVERLOOKS, SWING, Delays, cases, delays_of
from .drift.delay import Delay, delays
from .drift.models import models
from .drift.month import ALPHA as MODEL_ALPHA
from .drift.month import FEATURES, TRAFFIC, Month, month_of
from .drift.populations import Population, populations
from .drift.repeats import ALPHA as REPEATS_ALPHA
from .drift.repeats import FALSE_ALARMS, FALSE_ALARMS_WITH_REPEATS, MINUTES, ROWS
from .drift.repeats import Cell as Repeats
from .drift.repeats import cells_of as repeats_of

SEED = 5


@dataclass(frozen=True)
class Effort:
    """How much to simulate.

    Attributes:
        plan: Of the cells.
        variables: Variables in all windows of a cell of repeats; of an hour, a third of them.
        runs: Of each change.
        months: Months of single features for each traffic.
        delays: Runs of each delay.
    """

    plan: Plan
    variables: int
    runs: int
    months: int
    delays: int


FULL = Effort(Plan(2000, 100, 1000, 20, (500, 20), (100, 4)), variables=3000, runs=30, months=50, delays=21)
QUICK = Effort(Plan(100, 100, 50, 20, (50, 10), (10, 4)), variables=300, runs=2, months=2, delays=3)
TRAINED_IN_MONTHS = (10_000, 1000)

Line = tuple[str, bool | None]
"""What is printed, and whether its bar was met; None without a bar."""

ABOUT_CELLS = """\
CELLS. Training samples of {trained:,} rows, baselines as export_text builds them. Without a shift {plan.trainings:,}
trainings of {plan.windows} windows each, with one {plan.shifted_trainings} of {plan.shifted_windows}; seed {seed}.
Standard errors are those between trainings; a bar is met if it is so by two of them (with --quick, missed if it is so
by two). Limits at a significance of {alpha}.
  called   one sample of independent rows: all verdicts but stable
  in time  the same rows in the course of an hour, at any of {slots} minutes; every stretch until now is compared. Those
           that are repeated come at once, and rows of different visits differ by other features. Of {plan.scanned[0]}
           trainings {plan.scanned[1]} windows, with a shift {plan.shifted_scanned[1]} of {plan.shifted_scanned[0]}
  drifted  the size is at least {drifted} besides: of samples, or in time if rows are repeated
Beside it, by fixed limits on the same rows, without regard to their number:
  PSI      on the same groups, limit {psi}
  PSI50    on all bins or categories (up to 50), limit {fine}
  KL, K-S  the ancestor's: symmetric KL with one added to each bin, limit {kl}; largest distance of cumulative
           shares, limit {ks}; both on the same bins, missing values in the last
"""

CELLS_HEAD = (
    f"{'population':<23}{'shift':<14}{'rows':>6}  {'called':>8} {'± s.e.':>7} {'in time':>8} {'± s.e.':>7} {'bar':>8} "
    f"{'':<5}{'drifted':>8}   {'PSI':>7} {'PSI50':>7} {'KL':>7} {'K-S':>7}"
)

ABOUT_REPEATS = """\
REPEATS. Nothing has changed, but rows come again. Some minutes of {rows} rows each ({few} in the hour), in slots of a
minute, and of 10 s in the last five; significance {alpha} for a variable; {trained:,} training rows, drawn again for
each window. Models have so many variables, of high entropy (continuous features among them, whose values are hashed) or
low (categories and flags: rows are equal by chance, which is measured in training). At least {variables:,} variables in
all windows of a cell, {hour:,} of the hour.
  called   share of variables called; bar {bar:.2%}, with repeats {more:.2%}, by two standard errors between windows
  unclear  share that is said to be unclear, which raises no alert
  φ = 1    share that would be called if rows were taken for independent, by the same limits
CANNOT BE TOLD: in a model of few different rows, equal rows that come at any of several minutes leave the same counts
as a change: every minute says the same. Where that is called more often than the bar, it is neither met nor missed.
"""

REPEATS_HEAD = (
    f"{'model':<10}{'minutes':>7}  {'each row':<24}{'called':>8} {'± s.e.':>7} {'bar':>8} {'':<15}{'unclear':>8} "
    f"{'φ = 1':>8}"
)

ABOUT_CHANGES = """\
CHANGES. A change begins while the server runs, after so many good minutes; one check each minute. Significance
{alpha:g} for the model; {runs} runs, with --quick too few for bars. Slots are minutes, and quarters of an hour beyond
the hour. Delays are minutes from the beginning of the change, median and 90 %; "-" is not within the hour (of the
season, not within six).
  known    a test that knows when the change began, and that rows are independent (φ = 1)
  split    the same at the alpha of one stretch of {tests}
  called   the rule; for models of high entropy its median may be one minute later than that
  unclear  until it says unclear or calls
  falls    share of later checks that do not call though the test at the same alpha does; bar {falls:.0%}
  stable   share of the first {first} checks that say stable though the test at the same alpha calls; bar {stable:.0%}
"+1 sd in an hour" grows evenly, "missing on and off" is every other five minutes, and the season swings by
±{swing} sd around the mean of training, which is of all hours; it begins where it rises above it.
"""

CHANGES_HEAD = (
    f"{'model':<9}{'change':<21}{'trained':>7} {'a min.':>6} {'after':>5}   {'known':>8} {'split':>8} {'called':>8} "
    f"{'unclear':>8}   {'falls':>6} {'stable':>6}"
)

ABOUT_MONTHS = """\
MONTHS. {months} months of single features for each line, of which {features} are a month of a model; {alpha:g} for the
model; a check every minute. Slots are minutes, quarters of an hour beyond the hour, and the start; the 10 s of a server
are left out. Rows are known to differ (φ = 1), so this is what is called at most. With the season they are normal and
swing by ±{swing} sd each day, which training has all hours of; without it, features take turns among the populations.
"""

ABOUT_DELAYS = """\
DELAYS in full traffic: how many minutes after a change a check of a model of {features} features calls it, the median.
"""


def cell_lines(chosen: tuple[Population, ...], effort: Effort, jobs: int) -> Iterator[Line]:
    """Yield the table of cells."""
    yield ABOUT_CELLS.format(
        trained=TRAINED, plan=effort.plan, seed=SEED, alpha=ALPHA, slots=SLOTS, drifted=DRIFTED_SIZE, psi=PSI_LIMIT,
        fine=FINE_PSI_LIMIT, kl=KL_LIMIT, ks=KS_LIMIT,
    ), None  # fmt: skip
    yield CELLS_HEAD, None
    for cells in _in_processes(jobs, partial(_cells, plan=effort.plan), [population.name for population in chosen]):
        for cell in cells:
            met = cell.is_met(quick=effort is QUICK)
            yield line(cell, met), met


def _cells(name: str, plan: Plan) -> list[Cell]:
    (population,) = (item for item in populations() if item.name == name)
    return cells_of(population, plan, SEED)


def line(cell: Cell, met: bool | None) -> str:
    """Return the line of a cell."""
    shift = cell.shift.name if cell.repeats == 1 else f"none, rows x{cell.repeats}"
    called = f"{'-':>8} {'':>7}" if cell.sample is None else f"{cell.sample.of:>8.3%} {cell.sample.error:>7.3%}"
    return (
        f"{cell.population:<23}{shift:<14}{cell.rows:>6}  {called} {cell.scanned.of:>8.3%} {cell.scanned.error:>7.3%} "
        f"{cell.bar:>8} {_word(met):<5}{cell.drifted:>8.2%}   " + " ".join(f"{share:>7.1%}" for share in cell.others)
    )


def repeats_lines(effort: Effort, jobs: int) -> Iterator[Line]:
    """Yield the table of rows that come again."""
    yield ABOUT_REPEATS.format(
        rows=200, few=ROWS[60], alpha=REPEATS_ALPHA, trained=TRAINED, variables=effort.variables,
        hour=effort.variables // 3, bar=FALSE_ALARMS, more=FALSE_ALARMS_WITH_REPEATS,
    ), None  # fmt: skip
    yield REPEATS_HEAD, None
    asked = [(number, minutes) for number in range(len(models())) for minutes in MINUTES]
    for cells in _in_processes(jobs, partial(_repeats, variables=effort.variables), asked):
        for cell in cells:
            met = cell.is_met(quick=effort is QUICK)
            word = _word(met) if met is not None else "cannot be told"
            row = f"{cell.repeats} times, {cell.manner}" if cell.repeats > 1 else "once"
            yield (
                (
                    f"{cell.model:<10}{cell.minutes:>7}  {row:<24}{cell.called:>8.3%} {cell.error:>7.3%} "
                    f"{f'≤ {cell.bar:.2%}':>8} {word:<15}{cell.unclear:>8.1%} {cell.independent:>8.1%}"
                ),
                met,
            )


def _repeats(asked: tuple[int, int], variables: int) -> list[Repeats]:
    number, minutes = asked
    return list(repeats_of(models()[number], minutes, variables // 3 if minutes == 60 else variables, SEED))


def changes_lines(effort: Effort, jobs: int) -> Iterator[Line]:
    """Yield the table of changes."""
    yield (
        ABOUT_CHANGES.format(
            alpha=CHANGE_ALPHA,
            runs=effort.runs,
            tests=TESTS,
            falls=FALLS_BACK,
            first=FIRST,
            stable=OVERLOOKS,
            swing=SWING,
        ),
        None,
    )
    yield CHANGES_HEAD, None
    for delay in _in_processes(jobs, partial(_change, runs=effort.runs), range(len(list(cases())))):
        yield change_line(delay, effort), None if effort is QUICK else not delay.missed


def _change(number: int, runs: int) -> Delays:
    return delays_of(list(cases())[number], runs, SEED)


def change_line(delay: Delays, effort: Effort) -> str:
    """Return the line of a change."""
    case = delay.case
    times = [
        "/".join("-" if math.isinf(minutes) else f"{minutes:.0f}" for minutes in pair)
        for pair in (delay.known, delay.split, delay.called, delay.unclear)
    ]
    word = f"MISS: {', '.join(delay.missed)}" if delay.missed else "pass"
    if effort is QUICK:
        word = ""
    return (
        f"{case.model.name:<9}{case.kind.name:<21}{case.trained:>7,} {case.rate:>6} {case.before:>5}   "
        + " ".join(f"{time:>8}" for time in times)
        + f"   {delay.falls_back:>6.1%} {delay.overlooks:>6.1%}  {word}"
    )


def months_lines(effort: Effort, jobs: int) -> Iterator[Line]:
    """Yield the months."""
    yield ABOUT_MONTHS.format(months=effort.months, features=FEATURES, alpha=MODEL_ALPHA, swing=SWING), None
    asked = [
        (has_season, trained, traffic)
        for has_season in (False, True)
        for trained in TRAINED_IN_MONTHS
        for traffic in TRAFFIC
    ]
    for month in _in_processes(jobs, partial(_month, months=effort.months), asked):
        yield month_line(month), month.is_met


def _month(asked: tuple[bool, int, float], months: int) -> Month:
    has_season, trained, traffic = asked
    return month_of(populations(), trained, traffic, months, SEED, has_season=has_season)


def month_line(month: Month) -> str:
    """Return the line of simulated months."""
    return (
        f"{month.trained:>8,} trained  {month.traffic:>5g} a minute  {'season' if month.has_season else '':<7}"
        f"{month.episodes / month.months:>9.2f} ± {month.error:.2f} false episodes 'drifted' a month of a model  ≤ 1 "
        f"{_word(month.is_met)}   ({month.shifted / month.months:.2f} 'shifted' or more)"
    )


def delays_lines(effort: Effort) -> Iterator[Line]:
    """Yield how long changes take to be called; there is no bar."""
    yield ABOUT_DELAYS.format(features=FEATURES), None
    for delay in delays(effort.delays, SEED):
        yield delay_line(delay), None


def delay_line(delay: Delay) -> str:
    """Return the line of a change."""
    minutes = "not within the hour" if math.isinf(delay.minutes) else f"after {delay.minutes:.0f} min"
    known = "not within the hour" if math.isinf(delay.known) else f"{delay.known:.0f} min"
    return (
        f"{delay.change:<22}{delay.rate:>4} a minute, server up {delay.before} min: called {minutes:<20}"
        f"(were it known when it began, and that rows are independent: {known})"
    )


def _word(met: bool | None) -> str:
    return {True: "pass", False: "MISS", None: ""}[met]


Asked = TypeVar("Asked")
Found = TypeVar("Found")


def _in_processes(jobs: int, work: Callable[[Asked], Found], asked: Iterable[Asked]) -> Iterator[Found]:
    """Yield what comes of each piece of work, in order, as soon as it is there."""
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(work, asked)


PARTS = ("cells", "repeats", "changes", "months", "delays")


def arguments() -> argparse.Namespace:
    """Return what was asked for on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.drift_quality", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="fewer repetitions; rougher figures, and wider errors")
    parser.add_argument("--only", action="append", choices=PARTS, help="one of the parts; repeatable")
    parser.add_argument("--population", action="append", help="only cells of this population; repeatable")
    parser.add_argument("--jobs", type=at_least(1), default=1, help="processes")
    return parser.parse_args()


def main() -> int:
    """Run what was asked for; return the exit status."""
    options = arguments()
    effort = QUICK if options.quick else FULL
    known = {item.name: item for item in populations()}
    if unknown := set(options.population or ()) - known.keys():
        sys.exit(f"There is no population {', '.join(map(repr, unknown))}. Known: {', '.join(map(repr, known))}.")
    chosen = tuple(known[name] for name in options.population or known)
    parts: dict[str, Iterator[Line]] = {
        "cells": cell_lines(chosen, effort, options.jobs),
        "repeats": repeats_lines(effort, options.jobs),
        "changes": changes_lines(effort, options.jobs),
        "months": months_lines(effort, options.jobs),
        "delays": delays_lines(effort),
    }
    met: list[bool] = []
    for part in options.only or PARTS:
        for text, is_met in parts[part]:
            print(text, flush=True)
            met += [] if is_met is None else [is_met]
        print()
    print(f"{sum(met)} of {len(met)} bars met.")
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
