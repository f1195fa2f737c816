"""1,000,000 logged predictions of 10 features, read back and judged: lines beside Polars, Parquet beside the lines."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from .bench import Bench
from .report import Row
from .side import SIDES, SideError

__all__ = ["measure"]

RECORDS = 1_000_000
MAX_SECONDS = 10.0
MAX_MIB = 1024.0
MAX_TO_POLARS = 1.5
"""Most time of a drift report from lines by all processors, as a multiple of Polars' time, which takes them too."""
MAX_TO_LINES = 0.1
"""Most time of a drift report from Parquet, as a share of the time from lines."""


def measure(bench: Bench) -> Iterator[Row]:
    """Compare a whole drift report with the mean of each field and the number of different records."""
    count = bench.calls(RECORDS)
    rounds = range(bench.rounds(3))
    with tempfile.TemporaryDirectory(prefix="benchmark-") as directory:
        run(bench, "write", directory, count)
        compacted = run(bench, "compact", directory, count)
        sides = ("ours", "shared", "polars", "parquet", "shared-parquet", "polars-parquet")
        found = [{side: run(bench, side, directory, count) for side in sides} for _ in rounds]
    seconds = {side: min(figures[side]["seconds"] for figures in found) for side in sides}
    peaks = {side: max(figures[side]["mib"] for figures in found) for side in sides}

    def timed(what: str, side: str, peer: str, peer_name: str, **bars: float) -> Row:
        return Row(what, seconds[side], "s", peer=seconds[peer], peer_name=peer_name, **bars)

    what = f"drift of {count:,} records read back"
    yield timed(what, "ours", "polars", "Polars", max_figure=MAX_SECONDS)
    yield timed(f"{what}, by all processors", "shared", "polars", "Polars", max_ratio=MAX_TO_POLARS)
    yield Row(
        f"{what}: peak memory", peaks["ours"], "MiB", peer=peaks["polars"], peer_name="Polars", max_figure=MAX_MIB
    )
    what = f"drift of {count:,} records in Parquet"
    yield timed(what, "parquet", "ours", "lines", max_ratio=MAX_TO_LINES)
    yield timed(what, "parquet", "polars-parquet", "Polars")
    yield timed(f"{what}, by all processors", "shared-parquet", "polars-parquet", "Polars")
    yield Row(
        f"{what}: peak memory", peaks["parquet"], "MiB", peer=peaks["ours"], peer_name="lines", max_figure=MAX_MIB
    )
    what = f"compaction of {count:,} records"
    yield Row(what, compacted["seconds"], "s", peer=seconds["ours"], peer_name="drift of lines")
    yield Row(f"{what}: peak memory", compacted["mib"], "MiB", max_figure=MAX_MIB)
    yield Row(f"{what}: size", compacted["megabytes"], "MB", peer=compacted["lines"], peer_name="lines")


def run(bench: Bench, what: str, directory: str, count: int) -> dict[str, float]:
    """Run one side to its end and return its figures.

    Raises:
        SideError: It failed.
    """
    command = [sys.executable, str(SIDES / "reading.py"), what, directory, str(count)]
    done = subprocess.run(command, capture_output=True, text=True, env=bench.environment("ours"), check=False)
    if done.returncode:
        raise SideError(done.stderr.rstrip())
    figures: dict[str, float] = json.loads(done.stdout)
    return figures
