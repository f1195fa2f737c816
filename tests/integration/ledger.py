"""Books of an outside auditor: what was sent and answered, what arrived, and what the metrics say became of it.

Clients number their requests, so that a record which arrives can be told, also one whose answer was cut off. Beside
them a scraper reads all the time and holds each scrape against the equation that must hold in every one of them.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flask_boxkite import ModelMonitoringService
from tests.integration.load import (
    NotSentError,
    Samples,
    Traffic,
    UnansweredError,
    exchange,
    parse,
    post,
    scrape,
    select,
    total,
)
from tests.peers import FluentServer, wait_for
from tests.sinks.scripted_server import Behaviour, Peer, ScriptedServer, entries_of

CLIENTS = 4
SHARE_OF_DUPLICATES = 0.01

NUMBERED_APP = """
import os

from flask import Flask, request

from flask_boxkite import Boxkite

app = Flask(__name__)
app.config.from_prefixed_env("APP")
monitor = Boxkite(app)


@app.post("/score")
@monitor.predict
def score():
    return {"score": request.get_json()["number"]}


@app.after_request
def tell_who_answers(response):
    response.headers["X-Pid"] = str(os.getpid())
    return response
"""


def write_baseline(path: Path) -> Path:
    """Write the baseline of the app's only feature."""
    ModelMonitoringService.export_text({"number": [float(number) for number in range(1000)]}, path=path)
    return path


# --- What was sent --------------------------------------------------------------------------------------------------


class Clients(Traffic):
    """Clients that send numbered requests until told to end, and a scraper beside them; a context.

    Attributes:
        answered: The entity id of each request that was answered, by its number.
        unanswered: Numbers of requests that may have been seen or not.
        scrapes: How many scrapes were answered, and checked.
    """

    patience_seconds = 60.0

    def __init__(self, port: int, *, scrapers: int = 1) -> None:
        self.answered: dict[int, str] = {}
        self.unanswered: set[int] = set()
        self.scrapes = 0
        self._port = port
        self._numbers = itertools.count()
        super().__init__([self._send] * CLIENTS + [self._scrape] * scrapers)

    def _send(self) -> None:
        number = next(self._numbers)
        try:
            reply = exchange(self._port, post("/score", {"number": number}))
        except NotSentError:
            self.may_end.wait(0.01)  # a server that is not there is not to be asked all the time
            return
        except UnansweredError:
            self.unanswered.add(number)
            return
        assert reply.status == 200, reply
        self.answered[number] = reply.headers["boxkite-prediction-id"].rpartition("/")[2]

    def _scrape(self) -> None:
        try:
            _, samples = scrape(self._port)
        except (NotSentError, UnansweredError):
            self.may_end.wait(0.01)
            return
        Account.of(samples)
        self.scrapes += 1


def send(port: int, requests: int) -> Clients:
    """Send at least so many requests."""
    with Clients(port) as clients:
        clients.wait_answered(requests)
    return clients


# --- What the metrics say -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Account:
    """What became of the records of a sink, of which everything was accounted for."""

    accepted: int
    delivered: int
    waiting: int
    dropped: dict[str, int]

    @classmethod
    def of(cls, samples: Samples, sink: str = "fluentd") -> Account:
        """Read a scrape, and check that nothing is missing in it."""
        outcomes = select(samples, "boxkite_log_records_total", "outcome", sink=sink)
        dropped = select(samples, "boxkite_log_dropped_total", "reason", sink=sink)
        account = cls(
            accepted=int(outcomes["accepted"]),
            delivered=int(outcomes["delivered"]),
            waiting=int(total(samples, "boxkite_log_queue_records", sink=sink)),
            dropped={reason: int(count) for reason, count in dropped.items() if count},
        )
        assert account.accepted == account.delivered + account.waiting + sum(account.dropped.values()), account
        return account


def settled(port: int, sink: str = "fluentd", *, timeout: float = 60) -> Account:
    """Scrape, and do nothing else, until nothing waits; return what became of all records."""

    def account() -> Account | None:
        _, samples = scrape(port)
        found = Account.of(samples, sink)
        return found if found.waiting == 0 else None

    found = wait_for(account, timeout=timeout, what="delivery of what waits")
    assert found is not None
    return found


def account_of(service: ModelMonitoringService, sink: str = "fluentd") -> Account:
    """Return what a service shows."""
    return Account.of(samples_of(service), sink)


def samples_of(service: ModelMonitoringService) -> Samples:
    """Scrape a service of this process."""
    return parse(service.export_http({}, {})[0].decode())


# --- What arrived ---------------------------------------------------------------------------------------------------


def arrived(*servers: FluentServer) -> list[dict[str, Any]]:
    """Return the records that servers have, in the order in which they came to each."""
    return [entry["record"] for server in servers for entry in server.records()]


def number_of(record: Mapping[str, Any]) -> int:
    """Return the number of the request of which a record tells."""
    number: int = json.loads(record["request_body"])["number"]
    return number


@dataclass
class Books:
    """What was sent, held against what arrived.

    Attributes:
        missing: Numbers of requests that were answered, and of which nothing came.
        duplicates: How many records came once more.
        received: How many different ones came.
    """

    missing: set[int] = field(default_factory=set)
    duplicates: int = 0
    received: int = 0


def compare(clients: Clients | Sequence[Clients], records: Iterable[Mapping[str, Any]]) -> Books:
    """Hold what several clients sent, to one server after the other, against what arrived; each number is sent once.

    Fails for a record that no client sent, or that has another entity id than its answer.
    """
    several = [clients] if isinstance(clients, Clients) else clients
    answered = {entity_id: number for one in several for number, entity_id in one.answered.items()}
    unanswered = Counter(number for one in several for number in one.unanswered)
    times: Counter[str] = Counter()
    numbers: dict[str, int] = {}
    for record in records:
        times[record["entity_id"]] += 1
        numbers[record["entity_id"]] = number_of(record)
    unknown = Counter(numbers[entity_id] for entity_id in times.keys() - answered.keys())
    assert not unknown - unanswered, f"Records came that no client sent: {unknown - unanswered}"
    wrong = {entity_id for entity_id in times.keys() & answered.keys() if numbers[entity_id] != answered[entity_id]}
    assert not wrong
    missing = {number for entity_id, number in answered.items() if entity_id not in times}
    return Books(missing, times.total() - len(times), len(times))


def check_all_arrived(
    clients: Clients | Sequence[Clients], records: Sequence[Mapping[str, Any]], *, most_duplicates: float = 0.0
) -> Books:
    """Check that every answered request's record arrived.

    Args:
        clients: Who sent.
        records: What arrived.
        most_duplicates: The share of records that may have come once more.
    """
    books = compare(clients, records)
    assert not books.missing, f"{len(books.missing)} records are lost, such as {sorted(books.missing)[:10]}."
    assert books.duplicates <= most_duplicates * books.received, books.duplicates
    return books


# --- A server that says what it has kept ----------------------------------------------------------------------------


class Keeper(ScriptedServer):
    """A scripted server that knows which batches it has acknowledged: only those may the client take for delivered.

    Attributes:
        kept: The records of those batches.
    """

    def __init__(self, *script: Behaviour, **options: Any) -> None:
        self.kept: list[dict[str, Any]] = []
        super().__init__(*script, **options)


def keep_one(peer: Peer, is_welcome: Callable[[list[Any]], bool] = lambda records: True) -> None:
    """Take a batch and acknowledge it, unless it is not welcome: then say nothing and hang up."""
    _, entries, option = peer.receive_batch()
    records = [record for _, record in entries_of(entries)]
    if not is_welcome(records):
        raise EOFError
    assert isinstance(peer.server, Keeper)
    peer.server.kept += records
    peer.send({"ack": option["chunk"]})


def keep(peer: Peer) -> None:
    """Acknowledge every batch."""
    while True:
        keep_one(peer)


def dropped_in(log: str) -> int:
    """Return how many records a process that ended said it had dropped."""
    return sum(int(count) for count in re.findall(r"Dropped (\d+) records that the sink", log))
