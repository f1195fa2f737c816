"""Print how often outcomes are called worse where nothing has changed, and how often where something has.

    python -m tests.benchmarks.performance_quality            # everything, some two minutes on two cores
    python -m tests.benchmarks.performance_quality --only power
    python -m tests.benchmarks.performance_quality --windows 400000 --jobs 8

Parts: `alarms`, windows without a change, whose outcomes come at random or by the score; `repeats`, rows that come
again; `errors` of regression; `power` after a change. Ends with status 1 if a false alarm of one of the package's tests
is more than twice as likely as it should be. Needs the dependency group ``tests``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import chain
from typing import Any, TypeVar

from tests.arguments import at_least

from .errors import DISTRIBUTIONS, Errors, errors_of
from .repeats import SLOTS, Repeats, repeats_of
from .scores import POPULATIONS, SELECTIONS
from .windows import ALPHA, OURS, TESTS, Called, false_alarms, power

SEED = 7
TRAINED = (1000, 10_000)
"""Validation rows."""

MOST, MOST_OF_LARGE_SELECTIONS = 2.0, 3.0
"""Most false alarms, as multiples of the nominal probability."""

LARGE = 10_000
"""Outcomes from which a selection within bins of the score shows: a row's score in its bin is not known."""

Line = tuple[str, bool | None]
"""The line that is printed, and whether its bar was met; None without a bar."""

ABOUT_ALARMS = """\
FALSE ALARMS, as multiples of the nominal {alpha}, of {windows:,} windows each; each has validation rows of its own.
Nothing has changed: scores are the probability of a positive row. The bar of the package's tests is {most:g}, and for
{large:,} outcomes that are a selection {of_large:g}, since rows of one bin are not alike. Outcomes come at random, or
by the score: {selections}. Figures of tests that do not allow for a selection stand in brackets then.
  G, MH      wrong rows: signed root of G; within bins of the score (Mantel and Haenszel)
  positives  positive rows within bins, more or fewer
  AUC        with the validation rows' DeLong parts; "AUC bins": within bins
  verdict    worse or much worse by the three tests within bins: significant, and large
Beside them, without a bar: Wald's and the score test of wrong rows, DeLong's of the AUC with each sample's own parts.
"""

ABOUT_REPEATS = """\
REPEATS: windows of {slots} slots of time in which each row comes several times; figures as above, and in brackets those
without dispersion. {windows:,} windows.
"""

ABOUT_ERRORS = """\
ERRORS of regression: larger absolute errors by ranks in the deciles of the validation rows (bar {most:g}), and by
Welch's test of means; with factor 1 multiples of {alpha}, with larger errors the share that is called. {windows:,}
windows, a quarter for means.
"""

ABOUT_POWER = """\
POWER: share of windows called at {alpha} after a change, outcomes at random.
"""


def alarms_lines(windows: int, jobs: int) -> Iterator[Line]:
    """Yield the table of false alarms."""
    yield (
        ABOUT_ALARMS.format(
            alpha=ALPHA,
            windows=windows,
            most=MOST,
            of_large=MOST_OF_LARGE_SELECTIONS,
            large=LARGE,
            selections=", ".join(selection.name for selection in SELECTIONS[1:]),
        ),
        None,
    )
    yield _head("outcomes"), None
    for called in _in_processes(jobs, partial(_alarms, windows=windows), _asked()):
        for each in called:
            met = is_met(each)
            yield _line(each, each.selection, 1 / ALPHA, {*OURS} - {*each.judged}) + f"  {_word(met)}", met


def is_met(called: Called) -> bool:
    """Say whether no test that holds for the windows is too loud."""
    most = MOST_OF_LARGE_SELECTIONS if called.is_selection and called.rows >= LARGE else MOST
    return all(called.shares[test] <= most * ALPHA for test in called.judged)


def power_lines(windows: int, jobs: int) -> Iterator[Line]:
    """Yield the table of power."""
    yield ABOUT_POWER.format(alpha=ALPHA), None
    yield _head("change"), None
    for called in _in_processes(jobs, partial(_power, windows=windows // 4), _asked()):
        for each in called:
            yield _line(each, each.change, 100, set()), None


def repeats_lines(windows: int, jobs: int) -> Iterator[Line]:
    """Yield the table of rows that come again."""
    yield ABOUT_REPEATS.format(slots=SLOTS, windows=windows), None
    yield f"{'population':<20}{'rows':>7} {'times':>6} {'G':>7} {'':>7} {'MH':>7}", None
    for repeats in _in_processes(jobs, partial(_repeats, windows=windows), range(len(POPULATIONS))):
        for each in repeats:
            met = all(share <= MOST * ALPHA for share in each.called)
            yield _repeats_line(each) + f"  {_word(met)}", met


def _repeats_line(each: Repeats) -> str:
    figures = " ".join(
        f"{share / ALPHA:>7.2f} {f'({plain / ALPHA:.2f})':>9}"
        for share, plain in zip(each.called, each.independent, strict=True)
    )
    return f"{each.population:<20}{each.visits * SLOTS * each.times:>7,} {each.times:>6} {figures}"


def errors_lines(windows: int, jobs: int) -> Iterator[Line]:
    """Yield the table of errors."""
    yield ABOUT_ERRORS.format(alpha=ALPHA, windows=windows, most=MOST), None
    yield f"{'errors':<20}{'trained':>8} {'factor':>7} {'rows':>7} {'ranks':>8} {'Welch':>8}", None
    asked = [(name, trained) for name in DISTRIBUTIONS for trained in TRAINED]
    for errors in _in_processes(jobs, partial(_errors, windows=windows), asked):
        for each in errors:
            met = each.ranks <= MOST * ALPHA if each.factor == 1 else None
            yield _errors_line(each) + f"  {_word(met)}", met


def _errors_line(each: Errors) -> str:
    shares = each.ranks, each.means
    figures = [f"{share / ALPHA:>8.2f}" if each.factor == 1 else f"{share:>8.1%}" for share in shares]
    return f"{each.distribution:<20}{each.trained:>8,} {each.factor:>7g} {each.rows:>7,} {' '.join(figures)}"


def _head(what: str) -> str:
    names = " ".join(f"{name:>9}" for name in (*TESTS, "verdict"))
    return f"{'population':<20}{'trained':>8} {what:<15}{'rows':>7} {names}"


def _line(each: Called, what: str, factor: float, bracketed: set[str]) -> str:
    figures = [
        f"({share * factor:.2f})" if name in bracketed else f"{share * factor:.2f}"
        for name, share in each.shares.items()
    ]
    words = " ".join(f"{figure:>9}" for figure in figures)
    return f"{each.population:<20}{each.trained:>8,} {what:<15}{each.rows:>7,} {words}"


def _word(met: bool | None) -> str:
    return {True: "pass", False: "MISS", None: ""}[met]


def _asked() -> list[tuple[int, int]]:
    return [(number, trained) for number in range(len(POPULATIONS)) for trained in TRAINED]


def _alarms(asked: tuple[int, int], windows: int) -> list[Called]:
    return list(false_alarms(POPULATIONS[asked[0]], asked[1], windows, SEED))


def _power(asked: tuple[int, int], windows: int) -> list[Called]:
    return list(power(POPULATIONS[asked[0]], asked[1], windows, SEED))


def _repeats(number: int, windows: int) -> list[Repeats]:
    return list(repeats_of(POPULATIONS[number], TRAINED[-1], windows, SEED))


def _errors(asked: tuple[str, int], windows: int) -> list[Errors]:
    return list(errors_of(*asked, windows, SEED))


Asked = TypeVar("Asked")
Found = TypeVar("Found")


def _in_processes(jobs: int, work: Callable[[Asked], Found], asked: Iterable[Asked]) -> Iterator[Found]:
    """Yield the results of each piece of work, in order, as soon as they are there."""
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(work, asked)


PARTS: dict[str, Callable[[int, int], Iterator[Line]]] = {
    "alarms": alarms_lines,
    "repeats": repeats_lines,
    "errors": errors_lines,
    "power": power_lines,
}


def arguments(words: list[str] | None = None) -> Any:
    """Return the options on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.performance_quality", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--only", action="append", choices=PARTS, help="one of the parts; repeatable")
    parser.add_argument("--windows", type=at_least(100), default=40_000, help="windows of each line")
    parser.add_argument("--jobs", type=at_least(1), default=2, help="processes")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> int:
    """Run the parts; return the exit status."""
    options = arguments(words)
    chosen = [lines for name, lines in PARTS.items() if name in (options.only or PARTS)]
    return printed(line for lines in chosen for line in chain(lines(options.windows, options.jobs), [("", None)]))


def printed(lines: Iterable[Line]) -> int:
    """Print lines as they come; return the exit status, 1 if a bar is missed."""
    missed = 0
    for text, met in lines:
        print(text, flush=True)
        missed += met is False
    print(f"{missed} bars missed." if missed else "All bars met.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
