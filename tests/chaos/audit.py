"""What must be true whatever goes wrong: clients at a steady rate, scrapes, and what arrived, held against each other.

At every scrape: answered <= counted <= answered + in flight; accepted = delivered + waiting + dropped; nothing falls.
Between faults the clients pause, so that the books can be closed exactly: every worker shows the same, nothing waits,
every record of an answer has arrived or was counted as dropped, and nothing has arrived that was not sent.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.integration.ledger import Account, Clients, number_of
from tests.integration.load import (
    SCRAPE,
    NotSentError,
    Samples,
    Server,
    UnansweredError,
    check_histograms,
    exchange,
    row_totals,
    scrape_all,
)

__all__ = ["Audit", "Period", "Promises"]

SCRAPERS = 2
SCRAPE_SECONDS = 0.1
NEVER_FALLS = re.compile(r"boxkite_\w+?_(?:total|bucket|count|sum)(?:\{|$)")


@dataclass(frozen=True)
class Promises:
    """What holds in a period; by default all.

    Attributes:
        shows_all: Every scrape shows every answered request.
        keeps_counts: Counts of the period before are still there.
        keeps_records: No record of an answered request is lost; else all that are lost are counted as dropped.
    """

    shows_all: bool = True
    keeps_counts: bool = True
    keeps_records: bool = True

    @property
    def at_each_scrape(self) -> bool:
        """Whether each scrape shows every answered request, and no counter falls."""
        return self.shows_all and self.keeps_counts


@dataclass(frozen=True)
class Period:
    """What happened between two moments at which the books were closed.

    Attributes:
        answered: Requests that were answered.
        unanswered: Requests that were sent, and may have been seen or not.
        counted: Requests that were counted; None if counts were deleted.
        missing: Answered requests of which no record came.
        delivered: Different records that came.
        duplicates: Records that came again.
        dropped: Records that were counted as lost, by reason.
        scrapes: Scrapes that were answered.
        seconds: How long it took until the books could be closed.
    """

    answered: int = 0
    unanswered: int = 0
    counted: int | None = 0
    missing: int = 0
    delivered: int = 0
    duplicates: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    scrapes: int = 0
    seconds: float = 0.0

    def __add__(self, other: Period) -> Period:
        return Period(
            self.answered + other.answered,
            self.unanswered + other.unanswered,
            None if self.counted is None or other.counted is None else self.counted + other.counted,
            self.missing + other.missing,
            self.delivered + other.delivered,
            self.duplicates + other.duplicates,
            self.dropped + other.dropped,
            self.scrapes + other.scrapes,
            max(self.seconds, other.seconds),
        )


@dataclass(frozen=True)
class Closed:
    """The books as they were closed last: what counters show, and what clients and sink have."""

    counted: Counter[str] = field(default_factory=Counter)
    accepted: int = 0
    delivered: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    answered: int = 0
    unanswered: int = 0
    arrived: int = 0
    different: int = 0
    scrapes: int = 0

    @property
    def sent(self) -> int:
        """Requests that a server may have seen."""
        return self.answered + self.unanswered


class Arrivals:
    """The records that a sink has written to a file, read as it grows.

    Attributes:
        numbers: Number of the request by the entity id of its record.
        total: How many came, each as often as it came.
    """

    def __init__(self, path: Path) -> None:
        self.numbers: dict[str, int] = {}
        self.total = 0
        self._path = path
        self._position = 0

    def refresh(self) -> None:
        """Read what was added."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._position)
            for line in file:
                if not line.endswith(b"\n"):  # is just being written
                    break
                self._position += len(line)
                record = json.loads(line)["record"]
                self.numbers[record["entity_id"]] = number_of(record)
                self.total += 1


class Audit(Clients):
    """Clients at a steady rate, and scrapers that hold each answer against what must be true; a context.

    Args:
        server: Whose workers are asked.
        entries: Where the sink writes what it receives.
        rate: Requests a second.
    """

    def __init__(self, server: Server, entries: Path, rate: float) -> None:
        super().__init__(server.port, scrapers=SCRAPERS)
        self._server = server
        self._arrivals = Arrivals(entries)
        self._interval = 1 / rate
        self._next = time.monotonic()
        self._in_flight = 0
        self._is_paused = False
        self._promises = Promises()
        self._closed = Closed()
        self._floor: Samples = {}
        self._lock = threading.Lock()

    # --- the load ---

    def go_on(self, seconds: float) -> None:
        """Let the load go on for so long; fail at once with what fails in it."""
        self.may_end.wait(seconds)
        self._raise_failure()

    def _send(self) -> None:
        self.may_end.wait(self._pause())
        with self._lock:
            if self._is_paused:
                return
            self._in_flight += 1
        try:
            super()._send()
        finally:
            with self._lock:
                self._in_flight -= 1

    def _pause(self) -> float:
        """Return how long to wait before the next request, so that all clients together keep the rate."""
        with self._lock:
            now = time.monotonic()
            self._next = max(self._next + self._interval, now)
            return self._next - now

    @property
    def _sent(self) -> int:
        """How many requests a server may have seen; those in flight first, since they become one of the others."""
        in_flight = self._in_flight
        return in_flight + len(self.answered) + len(self.unanswered)

    # --- each scrape ---

    def _scrape(self) -> None:
        self.may_end.wait(SCRAPE_SECONDS)
        with self._lock:
            closed, promises, floor, answered = self._closed, self._promises, self._floor, len(self.answered)
        try:
            reply = exchange(self._port, SCRAPE)
        except (NotSentError, UnansweredError):
            return
        sent = self._sent
        assert reply.status == 200, reply
        samples = read(reply.body.decode())
        check_histograms(samples)
        Account.of(samples)
        with self._lock:
            self.scrapes += 1
            if not (promises.at_each_scrape and self._promises.at_each_scrape):
                return
            self._floor = {series: max(value, self._floor.get(series, 0)) for series, value in shown(samples)}
        fallen = [(series, value) for series, value in floor.items() if value > samples.get(series, 0)]
        assert not fallen, f"{len(fallen)} counters fell, such as {fallen[:5]}."
        least, most = answered - closed.answered, sent - closed.sent
        for name, count in row_totals(samples).items():
            count -= closed.counted[name]
            assert least <= count <= most, f"{name}: {least} were answered and {most} sent, but {count} are counted."

    # --- between faults ---

    def begin(self, promises: Promises) -> None:
        """Begin a period in which this is promised."""
        with self._lock:
            self._promises = promises

    def close(self) -> Period:
        """Pause the clients, wait until the books can be closed, check them, and let the clients go on.

        Raises:
            AssertionError: They cannot be closed, or something is wrong in them.
        """
        with self._lock:
            self._is_paused = True
        self.wait_for(lambda: self._in_flight == 0, "an end of all requests")
        began = time.monotonic()
        closed = self.wait_for(self._settled, "books that can be closed")
        period = replace(self._period(self._closed, closed), seconds=time.monotonic() - began)
        with self._lock:
            if not self._promises.keeps_counts:
                self._floor = {}
            self._closed, self._promises, self._is_paused = closed, Promises(), False
        return period

    def _settled(self) -> Closed:
        """Return the books.

        Raises:
            AssertionError: They cannot be closed yet.
        """
        before = self._closed
        first, *others = scrape_all(self._server).values()
        for other in others:
            assert shown(other) == shown(first), "Workers show different counts."
        account = Account.of(first)
        assert account.waiting == 0, account
        self._arrivals.refresh()
        closed = Closed(
            counted=Counter({name: int(count) for name, count in row_totals(first).items()}),
            accepted=account.accepted,
            delivered=account.delivered,
            dropped=Counter(account.dropped),
            answered=len(self.answered),
            unanswered=len(self.unanswered),
            arrived=self._arrivals.total,
            different=len(self._arrivals.numbers),
            scrapes=self.scrapes,
        )
        missing, dropped = self._missing(before), (closed.dropped - before.dropped).total()
        assert missing <= (0 if self._promises.keeps_records else dropped), f"{missing} records are missing."
        return closed

    def _missing(self, before: Closed) -> int:
        """Return how many requests were answered since the books were closed whose record has not arrived."""
        entities = islice(self.answered.values(), before.answered, None)
        return sum(entity not in self._arrivals.numbers for entity in entities)

    def _period(self, before: Closed, after: Closed) -> Period:
        """Check the books of a period; return it.

        Raises:
            AssertionError: Something is wrong in them.
        """
        answered, sent = after.answered - before.answered, after.sent - before.sent
        counted = {name: count - before.counted[name] for name, count in after.counted.items()}
        counted["accepted records"] = after.accepted - before.accepted
        dropped = after.dropped - before.dropped
        arrived = after.arrived - before.arrived
        assert max(*after.counted.values(), after.accepted) <= after.sent, f"More is counted than was sent: {after}"
        if self._promises.keeps_counts:
            for name, count in counted.items():
                assert answered <= count <= sent, f"{answered} answered, {sent} sent, but {count} {name}."
            delivered = after.delivered - before.delivered
            assert delivered <= arrived, f"{delivered} records are counted as delivered, but {arrived} came."
        if self._promises.keeps_records:
            assert dropped.keys() <= {"process_died"}, dropped
            assert dropped.total() <= sent - answered, f"{dropped} were dropped, but {sent - answered} not answered."
        self._check_arrivals(before)
        return Period(
            answered=answered,
            unanswered=sent - answered,
            counted=counted["predictions"] if self._promises.keeps_counts else None,
            missing=self._missing(before),
            delivered=after.different - before.different,
            duplicates=arrived - (after.different - before.different),
            dropped=dropped,
            scrapes=after.scrapes - before.scrapes,
        )

    def _check_arrivals(self, before: Closed) -> None:
        """Check that each record which arrived is of one request that was sent, under the id of its answer."""
        for entity, number in islice(self._arrivals.numbers.items(), before.different, None):
            is_known = self.answered[number] == entity if number in self.answered else number in self.unanswered
            assert is_known, f"The record {entity} of request {number} came, which was not sent or answered by another."


def read(text: str) -> Samples:
    """Return the samples of a scrape as `load.parse` does, by the parser of Prometheus' client."""
    samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sample.labels.items())
            samples[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return samples


def shown(samples: Samples) -> list[tuple[str, float]]:
    """Return the counters, which never fall."""
    return [(series, value) for series, value in samples.items() if NEVER_FALLS.match(series)]
