"""What sharing the counts between processes costs: in a row, in a Flask call, in a scrape, and in memory."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from operator import methodcaller

from .bench import Bench, Rounds, compared
from .report import Row
from .side import SIDES, SideError, clean_environment

__all__ = ["measure"]

MAX_ROW_RATIO = 1 / 8
MAX_SCRAPE_RATIO = 1 / 5
MAX_RECYCLED_RATIO = 1.5
MAX_ADDED_RATIO = 1.15
MAX_RESIDENT_MIB = 25.0
ROUNDS = 12


def measure(bench: Bench) -> Iterator[Row]:
    """Compare with prometheus_client's multi-process mode, with boxkite, and with what does not share."""
    yield _row(bench)
    yield _call(bench)
    yield _scrape(bench)
    yield _recycled(bench)
    yield _resident(bench)


def _row(bench: Bench) -> Row:
    with bench.sides("ours", "prometheus") as sides:
        figures = bench.alternate(sides, "row", rounds=ROUNDS, calls=4_000)
    what = "a row of 30 features, counted for all processes"
    return compared(what, figures, methodcaller("median", "p50"), "µs", "prometheus", max_ratio=MAX_ROW_RATIO)


def _call(bench: Bench) -> Row:
    with ExitStack() as stack:
        receiver = stack.enter_context(bench.receiver())
        ours = stack.enter_context(bench.side("ours", f"127.0.0.1:{receiver.ask('port')['port']}"))
        figures = bench.alternate({"ours": ours}, "in memory", rounds=ROUNDS, calls=2_000)["ours"]
    return Row(
        "added to a Flask call, counts shared: p50",
        _added(figures, "shared"),
        "µs",
        peer=_added(figures, "memory"),
        peer_name="in memory",
        max_ratio=MAX_ADDED_RATIO,
    )


def _added(figures: Rounds, store: str) -> float:
    return figures.median(store, "monitored", "p50") - figures.median(store, "plain", "p50")


def _scrape(bench: Bench) -> Row:
    with bench.side("ours") as ours, bench.side("boxkite") as boxkite:
        ours_figures, boxkite_figures = Rounds(), Rounds()
        for _ in range(bench.rounds(ROUNDS)):
            ours_figures.add(ours.ask("scrape of 8", 12))
            boxkite_figures.add(boxkite.ask("scrape", 12))
    return Row(
        "/metrics with 100 features, 8 workers: p50",
        ours_figures.median("p50") / 1e3,
        "ms",
        peer=boxkite_figures.median("p50") / 1e3,
        peer_name="boxkite",
        max_ratio=MAX_SCRAPE_RATIO,
    )


def _recycled(bench: Bench) -> Row:
    with bench.side("ours") as ours:
        figures = bench.alternate({"ours": ours}, "scrape recycled", rounds=ROUNDS, calls=20)["ours"]
    return Row(
        "/metrics after 1,000 recycled workers: p50",
        figures.median("recycled", "p50") / 1e3,
        "ms",
        peer=figures.median("fresh", "p50") / 1e3,
        peer_name="fresh",
        max_ratio=MAX_RECYCLED_RATIO,
    )


def _resident(bench: Bench) -> Row:
    """Return what a worker holds more than the plain application that has imported NumPy and prometheus_client too."""
    with bench.side("ours") as ours:
        baseline = ours.ask("baseline of 100")["path"]  # made elsewhere: training takes memory too
        resident = {
            name: statistics.median(_resident_mib(bench, name, baseline) for _ in range(bench.rounds(5)))
            for name in ("plain", "ours")
        }
    return Row(
        "resident memory added to a worker, 100 features",
        resident["ours"] - resident["plain"],
        "MiB",
        peer=resident["plain"],
        peer_name="plain",
        max_figure=MAX_RESIDENT_MIB,
    )


def _resident_mib(bench: Bench, name: str, baseline: str) -> float:
    environment = {**bench.environment("ours"), "PYTHONPATH": f"{SIDES}:{bench.environment('ours')['PYTHONPATH']}"}
    command = [sys.executable, str(SIDES / "resident.py"), name, baseline]
    done = subprocess.run(command, capture_output=True, text=True, env=clean_environment(**environment), check=False)
    if done.returncode:
        raise SideError(done.stderr.rstrip())
    return float(done.stdout)
