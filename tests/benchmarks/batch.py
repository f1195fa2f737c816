"""``log_prediction`` of a batch of 1,000 rows with 30 features, without a sink."""

from __future__ import annotations

from collections.abc import Iterator

from .bench import Bench
from .report import Row

__all__ = ["measure"]

MAX_MICROSECONDS_A_ROW = 2.0
ROUNDS = 16
CALLS = 40


def measure(bench: Bench) -> Iterator[Row]:
    """Measure the time a row; boxkite has no batches, so beside it stands its time for a single row."""
    with bench.side("ours") as ours, bench.side("boxkite") as boxkite:
        for kind, max_figure in (("arrays", MAX_MICROSECONDS_A_ROW), ("lists", None)):
            figures = bench.alternate({"ours": ours}, f"batch of {kind}", rounds=ROUNDS, calls=CALLS)
            single = bench.alternate({"boxkite": boxkite}, "prediction 30", rounds=ROUNDS, calls=CALLS * 20)
            yield Row(
                f"batch of 1,000 x 30 as {kind}, a row",
                figures["ours"].median("p50"),
                "µs",
                peer=single["boxkite"].median("p50"),
                peer_name="boxkite",
                max_figure=max_figure,
            )
