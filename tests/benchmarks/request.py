"""What monitoring adds to one call of a Flask application, in-process, records going to fluentd or to files."""

from __future__ import annotations

from collections.abc import Iterator
from operator import methodcaller

from .bench import Bench, Rounds, compared
from .report import Row

__all__ = ["measure"]

BARS: dict[str, dict[str, dict[str, float]]] = {
    "fluentd": {"boxkite": {"p50": 1 / 8}, "exporter": {"p50": 0.6, "p99": 1.3, "cpu": 0.65}},
    "gzip": {"exporter": {"p99": 2.0}},
    "files": {"exporter": {"p99": 1.3}},
}
"""Where our records go; the peers beside it, and the bars to their added cost. boxkite sends to fluentd alone."""

ROUNDS = 10
CALLS = 10_000
"""Calls of a round: long enough for the thread that ships records to work several times in it."""


def measure(bench: Bench) -> Iterator[Row]:
    """Compare what we, boxkite and prometheus_flask_exporter add; each beside the plain application in its process."""
    for payload in ("by name", "by position"):
        for to, peers in BARS.items():
            yield from _measure(bench, payload, to, peers)


def _measure(bench: Bench, payload: str, to: str, peers: dict[str, dict[str, float]]) -> Iterator[Row]:
    title = f"request {payload}, {to}"
    with bench.receiver() as receiver:
        address = f"127.0.0.1:{receiver.ask('port')['port']}"
        with bench.sides("ours", *peers, fluentd_address=address, public="our_requests.py") as sides:
            cases = {name: f"request {payload}" if name in peers else title for name in sides}
            figures = bench.alternate(sides, cases, rounds=ROUNDS, calls=CALLS)
            lines = sides["ours"].ask("lines")["lines"]
        counts = receiver.ask("counts")
    yield from _rows(title, figures, peers)
    yield _arrived(title, figures, counts, lines)


def _rows(title: str, figures: dict[str, Rounds], peers: dict[str, dict[str, float]]) -> Iterator[Row]:
    """Yield the whole call beside the plain one, then what we add beside what each peer adds."""
    for key in ("p50", "p99"):
        yield Row(
            f"{title}: {key} of the whole call",
            figures["ours"].median("monitored", key),
            "µs",
            peer=figures["ours"].median("plain", key),
            peer_name="plain",
        )
    for key, what in (("p50", "added p50"), ("p99", "added p99"), ("cpu", "added CPU time, threads too")):
        for name, bars in peers.items():
            added = methodcaller("median_added", key)
            yield compared(f"{title}: {what}", figures, added, "µs", name, max_ratio=bars.get(key))


def _arrived(title: str, figures: dict[str, Rounds], counts: dict[str, int], lines: int) -> Row:
    """Return which share of the calls' records reached the receiver, or the files."""
    arrived = {
        name: sum(count for tag, count in counts.items() if f".{name}." in tag)
        for name in ("ours", "boxkite")
        if name in figures
    }
    arrived["ours"] += lines
    shares = {name: 100 * count / figures[name].last("made") for name, count in arrived.items()}
    return Row(f"{title}: records that arrived", shares["ours"], "%", peer=shares.get("boxkite"), peer_name="boxkite")
