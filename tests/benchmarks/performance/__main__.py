"""Print how far estimated quality is from realised quality, beside NannyML's estimates of the same windows.

    python -m tests.benchmarks.performance                      # everything, half an hour on two cores
    python -m tests.benchmarks.performance --quick              # rough, a few minutes
    python -m tests.benchmarks.performance --only rare          # one data set (repeatable)
    python -m tests.benchmarks.performance --metric log_loss    # one metric (repeatable)
    python -m tests.benchmarks.performance --shift none         # one kind of windows (repeatable)
    python -m tests.benchmarks.performance --alone              # without NannyML's side

Data sets are NannyML's own and two that are made up. Of each, a random half of the reference period is validation rows
for both sides. Windows are of the other half, of the later period, or mostly of one group of a feature. Ends with
status 1 if a bar is missed. Needs the dependency group ``tests``; NannyML gets an environment of its own under
``.peers/nannyml``.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from tests.benchmarks.report import HEADER, Row, are_met

from .cases import SHIFTS, SIZES, Case, case_of
from .data import BUNDLED, MADE, Data, bundled, made
from .judging import COVERAGE, LEAST_WINDOWS, MOST_RATIO, MOST_ROWS, Cell, Key, mean_errors
from .ours import METRICS, Ours
from .realised import realised
from .theirs import bundled_folder, estimates, key_of

MEAN_RATIO = 1.0
"""Bar of our mean errors over all cells, in parts of NannyML's."""

CPU_RATIO = 1 / 50
"""Bar of our CPU time for a baseline, and for the estimates of a window, in parts of NannyML's."""


@dataclass(frozen=True)
class Effort:
    """How much to measure.

    Attributes:
        halves: Number of random halves of each data set's reference period.
        windows: Number of windows for each of them, by size.
    """

    halves: int
    windows: dict[int, int]


FULL = Effort(8, dict(zip(SIZES, (30, 20, 6), strict=True)))
QUICK = Effort(2, dict(zip(SIZES, (30, 20, 4), strict=True)))

ABOUT = f"""\
Errors are roots of the mean squared distance from the realised metric, over all windows of a cell.
  unchanged  the metric of the validation rows
  expected   from the counts of the output's bins
  corrected  with the counts of the features' groups besides
  ratio      error of the last of ours in parts of NannyML's; bar {MOST_RATIO}
  coverage   share of windows within 1.96 standard errors of ours, and of NannyML's; bar {COVERAGE[0]} to {COVERAGE[1]}
             for ours without a shift, of at least {LEAST_WINDOWS} windows of at most {MOST_ROWS:,} rows
"""

HEAD = (
    f"{'data':<11}{'metric':<10}{'shift':<11}{'rows':>6} {'windows':>7}  {'unchanged':>9} {'expected':>9} "
    f"{'corrected':>9} {'NannyML':>9} {'ratio':>6}  {'coverage':>8} {'NannyML':>8}"
)


@dataclass(frozen=True)
class Part:
    """The part of all cells that is measured.

    Attributes:
        metrics: Names of the metrics.
        shifts: Shifts of the windows.
        is_alone: Whether NannyML's side is left out.
    """

    metrics: frozenset[str]
    shifts: frozenset[str]
    is_alone: bool


class Times:
    """CPU seconds of both sides.

    Attributes:
        fits: Ours and NannyML's, for each baseline.
        windows: Our counting and estimate, and NannyML's estimate of a window alone and of one of many, by kind and
            size.
    """

    def __init__(self) -> None:
        self.fits: list[tuple[float, float]] = []
        self.windows: defaultdict[tuple[str, int], list[tuple[float, float, float, float]]] = defaultdict(list)


def measure(data: Data, effort: Effort, part: Part, cells: dict[Key, Cell], times: Times) -> None:
    """Let both sides learn from validation rows of a data set and estimate windows."""
    for seed in range(effort.halves):
        whole = case_of(data, effort.windows, seed)
        case = replace(whole, windows=tuple(window for window in whole.windows if window.shift in part.shifts))
        ours = Ours(case)
        theirs = None if part.is_alone else estimates(case)
        if theirs is not None:
            times.fits.append((ours.fit, theirs["fit"]))
        _add(case, ours, theirs, part, cells, times)


def _add(
    case: Case, ours: Ours, theirs: dict[str, Any] | None, part: Part, cells: dict[Key, Cell], times: Times
) -> None:
    data = case.data
    for window in case.windows:
        found = ours.estimate(window)
        peer = {} if theirs is None else theirs["windows"][key_of(window.shift, window.size)]
        outcomes = [realised(data, rows) for rows in window.rows]
        number = len(outcomes)
        if peer:
            times.windows[data.kind, window.size].append(
                (found.counting / number, found.estimating / number, peer["alone"], peer["at once"])
            )
        for metric in part.metrics.intersection(METRICS[data.kind]):
            cell = cells.setdefault(Key(data.name, metric, window.shift, window.size), Cell())
            value, low, high = found.estimated[metric].T
            nothing = [[np.nan] * number] * 2
            columns = (
                [outcome[metric] for outcome in outcomes],
                [ours.validated[metric]] * number,
                *(value, low, high, found.corrected[metric]),
                *peer.get(metric, nothing),
            )
            for column, values in zip(vars(cell).values(), columns, strict=True):
                column.extend(map(float, values))


def cell_line(key: Key, cell: Cell) -> str:
    """Return the line of a cell."""
    errors = [_number(cell.error(column)) for column in ("validated", "estimated", "corrected", "theirs")]
    missed = cell.missed(key)
    ratio, coverages = cell.ratio(cell.best), (cell.coverage, cell.their_coverage)
    return (
        f"{key.data:<11}{key.metric:<10}{key.shift:<11}{key.size:>6,} {len(cell.realised):>7}  "
        + " ".join(f"{error:>9}" for error in errors)
        + f" {'' if np.isnan(ratio) else f'{ratio:.2f}':>6}  "
        + " ".join(f"{'' if np.isnan(share) else f'{share:.2f}':>8}" for share in coverages)
        + (f"  MISS: {', '.join(missed)}" if missed else "")
    )


def _number(error: float) -> str:
    if np.isnan(error):
        return ""
    return f"{error:.1f}" if error > 10 else f"{error:.4f}"


def summary(cells: dict[Key, Cell], times: Times) -> Iterator[Row]:
    """Yield the means over all cells of a metric, and the CPU times."""
    by_metric: defaultdict[str, list[Cell]] = defaultdict(list)
    for key, cell in cells.items():
        if np.isfinite(cell.theirs).any():
            by_metric[key.metric].append(cell)
    for metric, own in by_metric.items():
        # Errors of numbers are in their unit, the others in percent.
        factor, unit = (1, "") if metric in METRICS["regression"] else (100, "%")
        for column, word in (("estimated", "expected"), ("corrected", "corrected")):
            if column in ("estimated", own[0].best):
                ours, theirs = (factor * mean_errors(own, each) for each in (column, "theirs"))
                what = f"{metric}: mean error of {len(own)} cells, {word}"
                yield Row(what, ours, unit, peer=theirs, peer_name="NannyML", max_ratio=MEAN_RATIO)
    if times.fits:
        ours, theirs = np.array(times.fits).mean(axis=0)
        yield Row(
            "CPU of a baseline, and of a fit",
            1000 * ours,
            "ms",
            peer=1000 * theirs,
            peer_name="NannyML",
            max_ratio=CPU_RATIO,
        )
    for (kind, size), seconds in sorted(times.windows.items()):
        counting, estimating, alone, at_once = 1000 * np.array(seconds).mean(axis=0)
        title = f"CPU of a window of {size:,} rows, {kind}"
        yield Row(title, estimating, "ms", peer=alone, peer_name="NannyML", max_ratio=CPU_RATIO)
        yield Row(f"{title}: beside many at once", estimating, "ms", peer=at_once, peer_name="NannyML")
        yield Row(f"{title}: with the counting", counting + estimating, "ms", peer=alone, peer_name="NannyML")


def arguments() -> argparse.Namespace:
    """Return what was asked for on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.performance", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--only", action="append", choices=[*BUNDLED, *MADE], help="one data set; repeatable")
    metrics = sorted(set(chain.from_iterable(METRICS.values())))
    parser.add_argument("--metric", action="append", choices=metrics, help="one metric; repeatable")
    parser.add_argument("--shift", action="append", choices=SHIFTS, help="one kind of windows; repeatable")
    parser.add_argument("--alone", action="store_true", help="without NannyML's side")
    parser.add_argument("--quick", action="store_true", help="fewer windows; rougher figures")
    return parser.parse_args()


def main() -> int:
    """Run what was asked for; return the exit status."""
    options = arguments()
    folder = bundled_folder()
    all_metrics = chain.from_iterable(METRICS.values())
    part = Part(frozenset(options.metric or all_metrics), frozenset(options.shift or SHIFTS), options.alone)
    cells: dict[Key, Cell] = {}
    times = Times()
    print(ABOUT)
    print(HEAD)
    for name in options.only or [*BUNDLED, *MADE]:
        data = bundled(name, folder) if name in BUNDLED else made(name)
        measure(data, QUICK if options.quick else FULL, part, cells, times)
        own = [(key, cell) for key, cell in cells.items() if key.data == name]
        order = METRICS[data.kind].index
        for key, cell in sorted(own, key=lambda item: order(item[0].metric)):
            print(cell_line(key, cell), flush=True)

    rows = list(summary(cells, times))
    if rows:
        print("\n" + HEADER)
        print("\n".join(map(str, rows)))
    is_met = are_met([rows]) and not any(cell.missed(key) for key, cell in cells.items())
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
