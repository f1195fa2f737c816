"""``log_prediction`` of a batch of 1,000 rows with 30 features, without a sink."""

from __future__ import annotations

from collections.abc import Iterator
from operator import methodcaller

from .bench import Bench, compared
from .report import Row

__all__ = ["measure"]

MAX_MICROSECONDS_A_ROW = 2.0
MAX_RATIO_TO_BEFORE = 0.7
ROUNDS = 16
CALLS = 40


def measure(bench: Bench) -> Iterator[Row]:
    """Measure the time a row; boxkite has no batches, so beside it stands its time for a single row."""
    with bench.sides("ours") as sides, bench.side("boxkite") as boxkite:
        for kind, max_figure in (("arrays", MAX_MICROSECONDS_A_ROW), ("lists", None)):
            figures = bench.alternate(sides, f"batch of {kind}", rounds=ROUNDS, calls=CALLS)
            figures |= bench.alternate({"boxkite": boxkite}, "prediction 30", rounds=ROUNDS, calls=CALLS * 20)
            what = f"batch of 1,000 x 30 as {kind}, a row"
            yield compared(
                what,
                figures,
                methodcaller("median", "p50"),
                "µs",
                "boxkite",
                max_figure=max_figure,
                max_ratio_to_before=MAX_RATIO_TO_BEFORE,
            )
