"""``log_prediction`` of one row, without Flask and without a sink."""

from __future__ import annotations

from collections.abc import Iterator

from .bench import Bench
from .report import Row

__all__ = ["measure"]

MAX_RATIOS = {30: {"p50": 1 / 5, "p99": 1 / 5}, 100: {"p50": 1 / 10, "p99": 1 / 5}}
ROUNDS = 16
CALLS = 4_000


def measure(bench: Bench) -> Iterator[Row]:
    """Compare us with boxkite at 30 and 100 features, sent as a list by position."""
    for features, max_ratios in MAX_RATIOS.items():
        with bench.side("ours") as ours, bench.side("boxkite") as boxkite:
            sides = {"ours": ours, "boxkite": boxkite}
            figures = bench.alternate(sides, f"prediction {features}", rounds=ROUNDS, calls=CALLS)
        for key, max_ratio in max_ratios.items():
            yield Row(
                f"log_prediction, {features} features: {key}",
                figures["ours"].median(key),
                "µs",
                peer=figures["boxkite"].median(key),
                peer_name="boxkite",
                max_ratio=max_ratio,
            )
