"""The clock that every side of the benchmark shares, and the loop that takes orders from the driver.

Only the standard library is used, so that the same code times each tool in that tool's own environment. Each call is
timed alone with ``perf_counter_ns``; what a call consumes is made outside the clock. The garbage collector stays on:
what a tool leaves for it to collect is part of the tool's cost.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["Case", "Figures", "percentile", "serve", "summary", "time_calls"]

Figures = dict[str, Any]
"""What one round of one case found; goes to the driver as a line of JSON."""

Case = Callable[[int], Figures]
"""Runs one round of so many calls."""


def time_calls(call: Callable[[Any], object], prepare: Callable[[int], Any], calls: int) -> list[int]:
    """Call *call* so many times and return the nanoseconds that each call took.

    Args:
        call: What is measured; takes what *prepare* made.
        prepare: Makes the argument of the call with this number, outside the clock.
        calls: How many calls.
    """
    clock = time.perf_counter_ns
    durations = []
    for number in range(calls):
        argument = prepare(number)
        start = clock()
        call(argument)
        durations.append(clock() - start)
    return durations


def percentile(durations: Sequence[int], percent: float) -> float:
    """Return the smallest duration that *percent* of all durations do not exceed (nearest rank)."""
    ordered = sorted(durations)
    rank = -(-len(ordered) * percent // 100)
    return float(ordered[max(int(rank), 1) - 1])


def summary(durations: Sequence[int]) -> Figures:
    """Return p50 and p99 of durations in nanoseconds, as microseconds."""
    return {"p50": percentile(durations, 50) / 1e3, "p99": percentile(durations, 99) / 1e3}


def serve(cases: Mapping[str, Callable[[], Case]]) -> None:
    """Answer the driver's orders until it closes our standard input.

    An order is a line of JSON, ``{"case": name, "calls": number}``; the answer is one line of JSON. A case is set up at
    its first order, so that a process holds nothing but what it is asked for.

    Args:
        cases: Name of a case -> what sets it up and returns the function that runs one round of it.
    """
    ready: dict[str, Case] = {}
    for line in sys.stdin:
        order = json.loads(line)
        name = order["case"]
        if name not in ready:
            ready[name] = cases[name]()
        print(json.dumps(ready[name](order["calls"])), flush=True)
