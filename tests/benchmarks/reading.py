"""1,000,000 logged predictions, read back and judged, beside engines; and how time and memory grow with records.

Lines and Parquet hold 10 features. 30 features are read from Parquet: a million records, the same with a duplicate of
each, and the same file under the dates of 10 and of 100 days. So a hundred million need the disk of one, and the disk's
speed is not measured.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from .bench import Bench
from .report import Row
from .side import SIDES, SideError

__all__ = ["measure"]

RECORDS = 1_000_000
FEATURES, MANY_FEATURES = 10, 30
DAYS = (1, 10, 100)
MANY_FILES = 4000
MAX_SECONDS = 10.0
MAX_MIB, MAX_MIB_OF_MANY = 1024.0, 2048.0
MAX_TO_POLARS = 1.5
"""Most time of a drift report from lines by all processors, as a multiple of Polars' time, which takes them too."""
MAX_TO_LINES = 0.1
"""Most time of a drift report from Parquet, as a share of the time from lines."""
MAX_TO_COUNTS = 1.5
"""Most time of a drift report from Parquet by all processors, as a multiple of DuckDB's for counts in the same bins."""


def measure(bench: Bench) -> Iterator[Row]:
    """Compare a whole drift report with the mean of each field, and with counts in the same bins."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as directory:
        yield from few_features(bench, directory)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as directory:
        yield from growth(bench, directory)


def few_features(bench: Bench, directory: str) -> Iterator[Row]:
    """Compare lines and Parquet of 10 features."""
    count = bench.calls(RECORDS)
    run(bench, "write", directory, count)
    compacted = run(bench, "compact", directory, count)
    sides = ("ours", "shared", "polars", "parquet", "shared-parquet", "polars-parquet", "counts-parquet")
    found = [{side: run(bench, side, directory, count) for side in sides} for _ in range(bench.rounds(3))]
    seconds = {side: min(figures[side]["seconds"] for figures in found) for side in sides}
    peaks = {side: max(figures[side]["mib"] for figures in found) for side in sides}

    def timed(what: str, side: str, peer: str, peer_name: str, **bars: float) -> Row:
        return Row(what, seconds[side], "s", peer=seconds[peer], peer_name=peer_name, **bars)

    what = f"drift of {count:,} records read back"
    yield timed(what, "ours", "polars", "Polars", max_figure=MAX_SECONDS)
    yield timed(f"{what}, by {os.cpu_count()} processes", "shared", "polars", "Polars", max_ratio=MAX_TO_POLARS)
    yield timed(f"{what}, by {os.cpu_count()} processes", "shared", "ours", "one process")
    yield Row(
        f"{what}: peak memory", peaks["ours"], "MiB", peer=peaks["polars"], peer_name="Polars", max_figure=MAX_MIB
    )
    what = f"drift of {count:,} records in Parquet"
    yield timed(what, "parquet", "ours", "lines", max_ratio=MAX_TO_LINES)
    yield timed(what, "parquet", "polars-parquet", "Polars' means")
    yield timed(f"{what}, by all", "shared-parquet", "counts-parquet", "DuckDB's counts", max_ratio=MAX_TO_COUNTS)
    yield Row(
        f"{what}: peak memory", peaks["parquet"], "MiB", peer=peaks["ours"], peer_name="lines", max_figure=MAX_MIB
    )
    what = f"compaction of {count:,} records"
    yield Row(what, compacted["seconds"], "s", peer=seconds["ours"], peer_name="drift of lines")
    yield Row(f"{what}: peak memory", compacted["mib"], "MiB", max_figure=MAX_MIB)
    yield Row(f"{what}: size", compacted["megabytes"], "MB", peer=compacted["lines"], peer_name="lines")

    run(bench, "scatter", directory, count, files=MANY_FILES)
    scattered = min(run(bench, "ours", directory, count)["seconds"] for _ in range(bench.rounds(3)))
    what = f"drift of {count:,} records in {MANY_FILES:,} files"
    yield Row(what, scattered, "s", peer=seconds["ours"], peer_name="in few files")


def growth(bench: Bench, directory: str) -> Iterator[Row]:
    """Compare Parquet of 30 features with engines, for more and more records."""
    count = bench.calls(RECORDS)
    run(bench, "write", directory, count, features=MANY_FEATURES)
    run(bench, "compact", directory, count, features=MANY_FEATURES)
    lines = min(run(bench, "ours", directory, count, features=MANY_FEATURES)["seconds"] for _ in range(3))
    run(bench, "spread", directory, count, days=0)
    twice = min(run(bench, "parquet", directory, count, features=MANY_FEATURES, days=0)["seconds"] for _ in range(3))
    for days in DAYS:
        run(bench, "spread", directory, count, days=days, features=MANY_FEATURES)
        rounds = range(3 if days == 1 else 1)
        sides = ("parquet", "shared-parquet", "polars-parquet", "counts-parquet")
        found = [
            {side: run(bench, side, directory, days * count, features=MANY_FEATURES, days=days) for side in sides}
            for _ in rounds
        ]
        seconds = {side: min(figures[side]["seconds"] for figures in found) for side in sides}
        what = f"drift of {days * count:,} records x {MANY_FEATURES} in Parquet"
        if days == 1:
            yield Row(what, seconds["parquet"], "s", peer=lines, peer_name="lines", max_ratio=MAX_TO_LINES)
            yield Row(f"{what}, each twice", twice, "s", peer=seconds["parquet"], peer_name="each once")
        yield Row(what, seconds["parquet"], "s", peer=seconds["polars-parquet"], peer_name="Polars' means")
        counts = seconds["counts-parquet"]
        shared = seconds["shared-parquet"]
        yield Row(f"{what}, by all", shared, "s", peer=seconds["parquet"], peer_name="one process")
        yield Row(f"{what}, by all", shared, "s", peer=counts, peer_name="DuckDB's counts", max_ratio=MAX_TO_COUNTS)
        peak = max(figures["parquet"]["mib"] for figures in found)
        yield Row(f"{what}: peak memory", peak, "MiB", max_figure=MAX_MIB_OF_MANY)


def run(
    bench: Bench, what: str, directory: str, count: int, *, features: int = FEATURES, **more: int
) -> dict[str, float]:
    """Run one side to its end and return its figures.

    Raises:
        SideError: It failed.
    """
    options = [f"--{name}={value}" for name, value in {"features": features, **more}.items()]
    command = [sys.executable, str(SIDES / "reading.py"), what, directory, str(count), *options]
    done = subprocess.run(command, capture_output=True, text=True, env=bench.environment("ours"), check=False)
    if done.returncode:
        raise SideError(done.stderr.rstrip())
    figures: dict[str, float] = json.loads(done.stdout)
    return figures
