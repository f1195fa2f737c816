"""Print this project beside boxkite 0.0.5, prometheus_flask_exporter and the plain Flask application, as ratios.

    python -m tests.benchmarks                  # everything
    python -m tests.benchmarks --only request   # one comparison (repeatable)
    python -m tests.benchmarks --against v1.0   # beside an earlier commit of this project, in turn with it
    python -m tests.benchmarks --repeat 3       # three runs, and the median of each ratio, by which bars are judged
    python -m tests.benchmarks --stages         # what each stage adds to a request, by leaving stages out
    python -m tests.benchmarks --profile        # where the microseconds of the Flask call go, by function

Needs the dependency group ``benchmarks``, and ``wrk`` for the comparison ``load``. boxkite gets an environment of its
own under ``.peers/boxkite``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext

from tests.arguments import at_least

from . import (
    batch,
    bulk,
    delivery,
    engines,
    imports,
    load,
    page,
    prediction,
    profilers,
    reading,
    request,
    scrape,
    shared,
    training,
)
from .against import checkout
from .bench import Bench
from .environments import boxkite_python, describe, is_compiled
from .profile import print_profile
from .report import HEADER, Row, are_met, medians
from .side import SideError
from .stages import print_stages

COMPARISONS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "request": request.measure,
    "prediction": prediction.measure,
    "batch": batch.measure,
    "bulk": bulk.measure,
    "training": training.measure,
    "profilers": profilers.measure,
    "engines": engines.measure,
    "scrape": scrape.measure,
    "shared": shared.measure,
    "page": page.measure,
    "delivery": delivery.measure,
    "reading": reading.measure,
    "import": imports.measure,
    "load": load.measure,
}


def arguments() -> argparse.Namespace:
    """Return what was asked for on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=__doc__.partition("\n")[0],
        epilog="Ends with status 1 if a bar was missed, in at least half of the runs, or a comparison failed.",
    )
    parser.add_argument("--only", action="append", choices=list(COMPARISONS), help="one comparison; repeatable")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and calls; rougher figures")
    parser.add_argument("--against", metavar="REV", help="a commit to measure beside, where a comparison can")
    parser.add_argument("--repeat", type=at_least(1), default=1, metavar="N", help="how many runs to make")
    parser.add_argument("--stages", action="store_true", help="show what each stage adds to a request, by ablation")
    parser.add_argument("--profile", action="store_true", help="show where a request's time goes, by a profiler")
    return parser.parse_args()


def run(bench: Bench, names: list[str]) -> tuple[list[Row], bool]:
    """Print the rows of these comparisons as they come; return them, and whether every comparison came to its end."""
    print(HEADER)
    rows = []
    is_complete = True
    for name in names:
        try:
            for row in COMPARISONS[name](bench):
                print(row, flush=True)
                rows.append(row)
        except SideError as error:
            print(f"{name}: failed\n{error}", flush=True)
            is_complete = False
    return rows, is_complete


def main() -> int:
    """Run what was asked for; return the exit status."""
    options = arguments()
    names = options.only or ([] if options.stages or options.profile else list(COMPARISONS))
    with checkout(options.against) if options.against else nullcontext() as before:
        bench = Bench(boxkite_python=boxkite_python(), quick=options.quick, before=before)
        print(describe(bench.boxkite_python))
        for name in bench.names("ours"):
            print(f"{name}: {'compiled' if is_compiled(bench.environment(name)) else 'pure Python'}")
        print(flush=True)

        runs = [run(bench, names) for _ in range(options.repeat if names else 0)]
        if len(runs) > 1:
            print("\n" + "\n".join(medians(rows for rows, _ in runs)))
        if options.stages:
            print_stages(bench)
        if options.profile:
            print_profile(bench)
    return 0 if all(is_complete for _, is_complete in runs) and are_met(rows for rows, _ in runs) else 1


if __name__ == "__main__":
    sys.exit(main())
