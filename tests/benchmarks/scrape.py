"""``export_http`` with 100 features and live counts."""

from __future__ import annotations

from collections.abc import Iterator

from .bench import Bench
from .report import Row

__all__ = ["measure"]

MAX_RATIO = 1 / 5
ROUNDS = 10
CALLS = 12


def measure(bench: Bench) -> Iterator[Row]:
    """Compare us with boxkite; a prediction is logged before each scrape, outside the clock."""
    with bench.side("ours") as ours, bench.side("boxkite") as boxkite:
        figures = bench.alternate({"ours": ours, "boxkite": boxkite}, "scrape", rounds=ROUNDS, calls=CALLS)
    yield Row(
        "/metrics with 100 features: p50",
        figures["ours"].median("p50") / 1e3,
        "ms",
        peer=figures["boxkite"].median("p50") / 1e3,
        peer_name="boxkite",
        max_ratio=MAX_RATIO,
    )
    yield Row(
        "/metrics with 100 features: size",
        figures["ours"].median("bytes") / 1e3,
        "kB",
        peer=figures["boxkite"].median("bytes") / 1e3,
        peer_name="boxkite",
    )
