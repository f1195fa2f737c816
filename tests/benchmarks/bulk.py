"""``log_prediction`` of (n, 30) arrays, without a sink, beside NumPy's ``searchsorted`` and ``bincount``."""

from __future__ import annotations

from collections.abc import Iterator

from .bench import Bench
from .report import Row

__all__ = ["measure"]

MAX_RATIO = 1.0
ROUNDS = 12
CALLS = {1_000: 60, 100_000: 4}


def measure(bench: Bench) -> Iterator[Row]:
    """Compare all of a prediction, from the array to the live counts, with counting each column and no more."""
    for size, calls in CALLS.items():
        with bench.side("ours") as ours:
            figures = bench.alternate({"ours": ours}, f"bulk {size}", rounds=ROUNDS, calls=calls)["ours"]
        what = f"bulk counting of {size:,} x 30"
        yield Row(
            what,
            figures.median("ours"),
            "µs",
            peer=figures.median("numpy"),
            peer_name="NumPy",
            max_ratio=MAX_RATIO,
        )
        yield Row(f"{what}, millions of rows a second", size / figures.median("ours"), "M/s")
