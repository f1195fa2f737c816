"""1,000,000 logged predictions of 10 features, read back and judged, beside Polars that reads the same fields."""

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


def measure(bench: Bench) -> Iterator[Row]:
    """Compare a whole drift report with the mean of each field and the number of different records."""
    count = bench.calls(RECORDS)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as directory:
        run(bench, "write", directory, count)
        ours = [run(bench, "ours", directory, count) for _ in range(bench.rounds(3))]
        polars = [run(bench, "polars", directory, count) for _ in range(bench.rounds(3))]
    seconds, engine_seconds = (min(figures["seconds"] for figures in side) for side in (ours, polars))
    what = f"drift of {count:,} records read back"
    yield Row(what, seconds, "s", peer=engine_seconds, peer_name="Polars", max_figure=MAX_SECONDS)
    peak, engine_peak = (max(figures["mib"] for figures in side) for side in (ours, polars))
    yield Row(f"{what}: peak memory", peak, "MiB", peer=engine_peak, peer_name="Polars", max_figure=MAX_MIB)


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
