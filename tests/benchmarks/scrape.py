"""``export_http`` with 100 features and live counts."""

from __future__ import annotations

from collections.abc import Iterator

from .bench import Bench, compared
from .report import Row

__all__ = ["measure"]

MAX_RATIO = 1 / 5
ROUNDS = 10
CALLS = 12


def measure(bench: Bench) -> Iterator[Row]:
    """Compare us with boxkite; a prediction is logged before each scrape, outside the clock."""
    with bench.sides("ours", "boxkite") as sides:
        figures = bench.alternate(sides, "scrape", rounds=ROUNDS, calls=CALLS)
    what = "/metrics with 100 features"
    yield compared(f"{what}: p50", figures, lambda side: side.median("p50") / 1e3, "ms", "boxkite", max_ratio=MAX_RATIO)
    yield compared(f"{what}: size", figures, lambda side: side.median("bytes") / 1e3, "kB", "boxkite")
