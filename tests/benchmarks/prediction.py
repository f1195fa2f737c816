"""``log_prediction`` of one row, without Flask and without a sink."""

from __future__ import annotations

from collections.abc import Iterator
from operator import methodcaller

from .bench import Bench, compared
from .report import Row

__all__ = ["measure"]

MAX_RATIOS = {30: {"p50": 1 / 5, "p99": 1 / 5}, 100: {"p50": 1 / 10, "p99": 1 / 5}}
MAX_RATIOS_TO_BEFORE = {"p50": 0.6}
ROUNDS = 16
CALLS = 4_000


def measure(bench: Bench) -> Iterator[Row]:
    """Compare us with boxkite at 30 and 100 features, sent as a list by position."""
    for features, max_ratios in MAX_RATIOS.items():
        with bench.sides("ours", "boxkite") as sides:
            figures = bench.alternate(sides, f"prediction {features}", rounds=ROUNDS, calls=CALLS)
        for key, max_ratio in max_ratios.items():
            what = f"log_prediction, {features} features: {key}"
            yield compared(
                what,
                figures,
                methodcaller("median", key),
                "µs",
                "boxkite",
                max_ratio=max_ratio,
                max_ratio_to_before=MAX_RATIOS_TO_BEFORE.get(key),
            )
