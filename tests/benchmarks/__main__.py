"""Print this project beside boxkite 0.0.5, prometheus_flask_exporter and the plain Flask application, as ratios.

    python -m tests.benchmarks                  # everything
    python -m tests.benchmarks --only request   # one comparison (repeatable)
    python -m tests.benchmarks --profile        # where the microseconds of the Flask call go

Needs the dependency group ``benchmarks``. boxkite gets an environment of its own under ``.peers/boxkite``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator

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
from .bench import Bench
from .environments import boxkite_python, describe
from .report import HEADER, Row
from .side import SideError
from .stages import print_profile

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
        epilog="Ends with status 1 if a bar was missed or a comparison failed.",
    )
    parser.add_argument("--only", action="append", choices=list(COMPARISONS), help="one comparison; repeatable")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and calls; rougher figures")
    parser.add_argument("--profile", action="store_true", help="show where the microseconds of the Flask call go")
    return parser.parse_args()


def run(bench: Bench, names: list[str]) -> bool:
    """Print the rows of these comparisons as they come and return whether all bars were met."""
    print(HEADER)
    good = True
    for name in names:
        try:
            for row in COMPARISONS[name](bench):
                print(row, flush=True)
                good = good and row.is_met is not False
        except SideError as error:
            print(f"{name}: failed\n{error}", flush=True)
            good = False
    return good


def main() -> int:
    """Run what was asked for; return the exit status."""
    options = arguments()
    bench = Bench(boxkite_python=boxkite_python(), quick=options.quick)
    print(describe(bench.boxkite_python) + "\n", flush=True)
    good = True
    if options.only or not options.profile:
        good = run(bench, options.only or list(COMPARISONS))
    if options.profile:
        print_profile(bench)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
