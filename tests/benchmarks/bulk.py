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
        with bench.sides("ours") as sides:
            figures = bench.alternate(sides, f"bulk {size}", rounds=ROUNDS, calls=calls)
        ours, earlier = figures["ours"], figures.get("before")
        what = f"bulk counting of {size:,} x 30"
        yield Row(
            what,
            ours.median("ours"),
            "µs",
            peer=ours.median("numpy"),
            peer_name="NumPy",
            max_ratio=MAX_RATIO,
            before=earlier.median("ours") if earlier else None,
        )
        yield Row(f"{what}, millions of rows a second", size / ours.median("ours"), "M/s")
