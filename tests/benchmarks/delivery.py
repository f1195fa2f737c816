"""What delivery costs: records a second, requests while fluentd is not there, and records on disk."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import ExitStack

from .bench import Bench
from .report import Row

__all__ = ["measure"]

LEAST_RECORDS_A_SECOND = 20_000
MAX_STALLED_RATIO = 1.1
MAX_SPOOL_MICROSECONDS = 20.0
SCRIPT = "our_requests.py"
ROUNDS = 16
CALLS = 2_000
RECORDS = 40_000
STATES = {"black-holed": "black hole port", "accepts, never reads": "silent port"}


def measure(bench: Bench) -> Iterator[Row]:
    """Compare with plain fluent-logger, a healthy fluentd, and memory."""
    yield _throughput(bench)
    yield from _stalled(bench)
    yield _spooled(bench)


def _throughput(bench: Bench) -> Row:
    with bench.receiver() as receiver:
        address = f"127.0.0.1:{receiver.ask('port')['port']}"
        with bench.side("ours", address) as ours, bench.side("ours", address) as logger:
            rates: dict[str, list[float]] = {"ours": [], "logger": []}
            records = bench.calls(RECORDS)
            for _ in range(bench.rounds(5)):
                rates["ours"].append(records / ours.ask("records", records)["seconds"])
                rates["logger"].append(records / logger.ask("records, fluent-logger", records)["seconds"])
    return Row(
        "records a second, 30 features, one processor",
        statistics.median(rates["ours"]),
        "/s",
        peer=statistics.median(rates["logger"]),
        peer_name="fluent-logger",
        min_figure=LEAST_RECORDS_A_SECOND,
    )


def _stalled(bench: Bench) -> Iterator[Row]:
    with ExitStack() as stack:
        receiver = stack.enter_context(bench.receiver())
        ports = {"healthy": receiver.ask("port")["port"]}
        ports |= {state: receiver.ask(order)["port"] for state, order in STATES.items()}
        sides = {
            state: stack.enter_context(bench.side("ours", f"127.0.0.1:{port}", public=SCRIPT))
            for state, port in ports.items()
        }
        figures = bench.alternate(sides, "request by name, fluentd", rounds=ROUNDS, calls=CALLS)
    for state in STATES:
        yield Row(
            f"p99 of a request, fluentd {state}",
            figures[state].median("monitored", "p99"),
            "µs",
            peer=figures["healthy"].median("monitored", "p99"),
            peer_name="healthy",
            max_ratio=MAX_STALLED_RATIO,
        )


def _spooled(bench: Bench) -> Row:
    with ExitStack() as stack:
        receiver = stack.enter_context(bench.receiver())
        address = f"127.0.0.1:{receiver.ask('port')['port']}"
        memory, disk = (stack.enter_context(bench.side("ours", address, public=SCRIPT)) for _ in range(2))
        added: dict[str, list[float]] = {"memory": [], "disk": []}
        for _ in range(bench.rounds(ROUNDS)):
            for name, side, to in (("memory", memory, "fluentd"), ("disk", disk, "spool")):
                figures = side.ask(f"request by name, {to}", bench.calls(CALLS))
                added[name].append(figures["monitored"]["p50"] - figures["plain"]["p50"])
    difference = statistics.median(added["disk"]) - statistics.median(added["memory"])
    return Row(
        "p50 of a request: what the spool adds to memory",
        difference,
        "µs",
        peer=statistics.median(added["memory"]),
        peer_name="all of it in memory",
        max_figure=MAX_SPOOL_MICROSECONDS,
    )
