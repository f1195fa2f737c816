"""``export_text`` of 1,000,000 normal numbers per column in 10 columns, and of as many in 1,000 columns."""

from __future__ import annotations

from collections.abc import Iterator

from .bench import Bench
from .report import Row

__all__ = ["measure"]

MAX_RATIO = 1 / 3
ROUNDS = 8


def measure(bench: Bench) -> Iterator[Row]:
    """Compare us, who count every row, with boxkite, which samples 100,000 of each column."""
    with bench.side("ours") as ours, bench.side("boxkite") as boxkite:
        for case, shape in (("training", "1,000,000 x 10"), ("training, wide", "1,000 x 1,000")):
            figures = bench.alternate({"ours": ours, "boxkite": boxkite}, case, rounds=ROUNDS, calls=1)
            yield Row(
                f"export_text of {shape}",
                figures["ours"].median("seconds"),
                "s",
                peer=figures["boxkite"].median("seconds"),
                peer_name="boxkite",
                max_ratio=MAX_RATIO,
            )
