"""What monitoring adds to one call of a Flask application, in-process, records going to fluentd."""

from __future__ import annotations

from collections.abc import Iterator
from operator import methodcaller

from .bench import Bench, Rounds, compared
from .report import Row

__all__ = ["measure"]

NAMES = ("ours", "boxkite", "exporter")
MAX_RATIOS = {"boxkite": {"p50": 1 / 5}, "exporter": {"p50": 1.3}}
ROUNDS = 16
CALLS = 2_000


def measure(bench: Bench) -> Iterator[Row]:
    """Compare what we, boxkite and prometheus_flask_exporter add; each beside the plain application in its process."""
    for case in ("request by name", "request by position"):
        with bench.receiver() as receiver:
            address = f"127.0.0.1:{receiver.ask('port')['port']}"
            with bench.sides(*NAMES, fluentd_address=address) as sides:
                figures = bench.alternate(sides, case, rounds=ROUNDS, calls=CALLS)
            counts = receiver.ask("counts")
        yield from _rows(case, figures)
        yield _arrived(case, figures, counts)


def _rows(case: str, figures: dict[str, Rounds]) -> Iterator[Row]:
    """Yield the whole call beside the plain one, then what we add beside what each peer adds."""
    for key in ("p50", "p99"):
        yield Row(
            f"{case}: {key} of the whole call",
            figures["ours"].median("monitored", key),
            "µs",
            peer=figures["ours"].median("plain", key),
            peer_name="plain",
        )
    for key, title in (("p50", "added p50"), ("p99", "added p99"), ("cpu", "added CPU time, threads too")):
        for name, bars in MAX_RATIOS.items():
            added = methodcaller("median_added", key)
            yield compared(f"{case}: {title}", figures, added, "µs", name, max_ratio=bars.get(key))


def _arrived(case: str, figures: dict[str, Rounds], counts: dict[str, int]) -> Row:
    """Return which share of the calls' records reached the receiver."""
    shares = {
        name: 100 * sum(count for tag, count in counts.items() if f".{name}." in tag) / figures[name].last("made")
        for name in ("ours", "boxkite")
    }
    return Row(f"{case}: records that arrived", shares["ours"], "%", peer=shares["boxkite"], peer_name="boxkite")
