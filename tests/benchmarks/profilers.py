"""Profiles and drift reports of data frames, beside the libraries that make nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from operator import methodcaller

from .bench import Bench, compared
from .environments import profiler_python
from .report import Row
from .side import SIDES, clean_environment, run_side

__all__ = ["measure"]

MAX_RATIO = 1 / 25
ROUNDS = 5

COMPARISONS = {
    "whylogs": ("training of a frame", "profile of 1,000,000 x 10", MAX_RATIO),
    "evidently": ("drift report", "drift report of 2 frames of 100,000 x 10", None),
}


def measure(bench: Bench) -> Iterator[Row]:
    """Compare a baseline with whylogs' profile, and a baseline, counts and report with evidently's report."""
    for peer, (case, what, max_ratio) in COMPARISONS.items():
        python = profiler_python(peer)
        with (
            bench.sides("ours") as sides,
            run_side(SIDES / f"peer_{peer}.py", python=python, environment=clean_environment()) as theirs,
        ):
            figures = bench.alternate({**sides, peer: theirs}, case, rounds=ROUNDS, calls=1)
        yield compared(what, figures, methodcaller("median", "seconds"), "s", peer, max_ratio=max_ratio)
