"""The drift page of one model with 5,000 features."""

from __future__ import annotations

from collections.abc import Iterator

from .bench import Bench, compared
from .report import Row

__all__ = ["measure"]

BARS = {"overview": 500.0, "variable": 200.0}
"""Milliseconds that each view may take."""

ROUNDS = 3
CALLS = 5


def measure(bench: Bench) -> Iterator[Row]:
    """Time each view; a prediction is logged before each, outside the clock, so that nothing is answered twice."""
    with bench.sides("ours") as sides:
        for view, bar in BARS.items():
            figures = bench.alternate(sides, f"page: {view}", rounds=ROUNDS, calls=CALLS)
            what = f"page with 5,000 features, {view}"
            yield compared(f"{what}: p50", figures, lambda side: side.median("p50") / 1e3, "ms", max_figure=bar)
            yield compared(f"{what}: size", figures, lambda side: side.median("bytes") / 1e3, "kB")
