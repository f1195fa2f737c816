"""``export_text`` of 1,000,000 rows of 10 normal features."""

from __future__ import annotations

from collections.abc import Iterator
from operator import methodcaller

from .bench import Bench, compared
from .report import Row

__all__ = ["measure"]

MAX_RATIO = 1 / 3
ROUNDS = 8


def measure(bench: Bench) -> Iterator[Row]:
    """Compare us, who count every row, with boxkite, which samples 100,000 of each column."""
    with bench.sides("ours", "boxkite") as sides:
        figures = bench.alternate(sides, "training", rounds=ROUNDS, calls=1)
    seconds = methodcaller("median", "seconds")
    yield compared("export_text of 1,000,000 x 10", figures, seconds, "s", "boxkite", max_ratio=MAX_RATIO)
