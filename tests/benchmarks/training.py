"""``export_text`` of 1,000,000 rows of 10 normal features, and of as many values in 1,000 features."""

from __future__ import annotations

from collections.abc import Iterator
from operator import methodcaller

from .bench import Bench, compared
from .report import Row

__all__ = ["measure"]

MAX_RATIO = 1 / 3
MAX_RATIO_OF_WIDE = 3.0
"""Small columns cost more than boxkite's: each is also looked at for texts, dates, identifiers and equal rows."""

ROUNDS = 8


def measure(bench: Bench) -> Iterator[Row]:
    """Compare us, who count every row, with boxkite, which samples 100,000 of each column."""
    for case, shape, max_ratio in (
        ("training", "1,000,000 x 10", MAX_RATIO),
        ("training, wide", "1,000 x 1,000", MAX_RATIO_OF_WIDE),
    ):
        with bench.sides("ours", "boxkite") as sides:
            figures = bench.alternate(sides, case, rounds=ROUNDS, calls=1)
        seconds = methodcaller("median", "seconds")
        yield compared(f"export_text of {shape}", figures, seconds, "s", "boxkite", max_ratio=max_ratio)
