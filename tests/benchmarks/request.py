"""What monitoring adds to one call of a Flask application, in-process, records going to fluentd."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from .bench import Bench, Rounds
from .report import Row

__all__ = ["measure"]

NAMES = ("ours", "boxkite", "exporter")
MAX_RATIOS = {"boxkite": 1 / 5, "exporter": 1.3}
ROUNDS = 16
CALLS = 2_000


def measure(bench: Bench) -> Iterator[Row]:
    """Compare what we, boxkite and prometheus_flask_exporter add; each beside the plain application in its process."""
    for case in ("request by name", "request by position"):
        with bench.receiver() as receiver:
            address = f"127.0.0.1:{receiver.ask('port')['port']}"
            with ExitStack() as stack:
                sides = {name: stack.enter_context(bench.side(name, address)) for name in NAMES}
                figures = bench.alternate(sides, case, rounds=ROUNDS, calls=CALLS)
            counts = receiver.ask("counts")
        yield from _rows(case, figures)
        yield _arrived(case, figures, counts)


def _rows(case: str, figures: dict[str, Rounds]) -> Iterator[Row]:
    """Yield the added p50, p99 and CPU time, ours beside each peer's; only p50 has a bar."""
    for key in ("p50", "p99"):
        yield Row(
            f"{case}: {key} of the whole call",
            figures["ours"].median("monitored", key),
            "µs",
            peer=figures["ours"].median("plain", key),
            peer_name="plain",
        )
    for key, title in (("p50", "added p50"), ("p99", "added p99"), ("cpu", "added CPU time, threads too")):
        for name, max_ratio in MAX_RATIOS.items():
            yield Row(
                f"{case}: {title}",
                figures["ours"].median_added(key),
                "µs",
                peer=figures[name].median_added(key),
                peer_name=name,
                max_ratio=max_ratio if key == "p50" else None,
            )


def _arrived(case: str, figures: dict[str, Rounds], counts: dict[str, int]) -> Row:
    """Return which share of the calls' records reached the receiver."""
    shares = {
        name: 100 * sum(count for tag, count in counts.items() if f".{name}." in tag) / figures[name].last("made")
        for name in ("ours", "boxkite")
    }
    return Row(f"{case}: records that arrived", shares["ours"], "%", peer=shares["boxkite"], peer_name="boxkite")
