"""An outside load with known values, and a scraper that checks every answer: for servers whose processes come and go.

Clients send rows by name and keep what was answered and what was not. Beside them one scraper asks for the metrics all
the time, of whichever process answers, and holds each scrape against the ones before it and against what had been
answered when it set out. What the final counts must be is recounted from the baseline's bounds, value by value, with
nothing of the package's own counting.
"""

from __future__ import annotations

import json
import math
import os
import re
import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, TypeVar

import numpy as np

from flask_boxkite import Baseline, ModelMonitoringService
from tests.integration.traffic import OTHERS, recount_buckets, recount_groups
from tests.peers import wait_for

CLIENTS = 4
LEAST_SCRAPES = 5
CONTINUOUS, DISCRETE, OUTPUT = ("amount", "temperature"), ("visits", "city"), "output"
CITIES = ("Oslo", "Lyon", "Rome")
SOCKET_SECONDS = 60.0

Row = dict[str, Any]


def train(path: Path, rng: np.random.Generator, *, scale: float = 1.0) -> Baseline:
    """Write a baseline of two continuous and two discrete features and an output; *scale* moves its bounds."""
    size = 2000
    features = {
        "amount": rng.lognormal(3, 1, size) * scale,
        "temperature": rng.normal(-2, 8, size) * scale,
        "visits": rng.integers(0, 4, size),
        "city": rng.choice(CITIES, size).tolist(),
    }
    outputs = [score({"amount": amount}) for amount in features["amount"].tolist()]
    return ModelMonitoringService.export_text(features, outputs, path, model="credit")


def score(row: Row) -> float:
    """Return what the app's model says of a row: the same numbers as in `SCORING_APP`, digit for digit."""
    amount = row.get("amount")
    return 0.25 if amount is None else 3.0 - amount / 2


SCORING_APP = """
import os

from flask import Flask, request

from flask_boxkite import Baseline, Boxkite

app = Flask(__name__)
app.config.from_prefixed_env("APP")
monitor = Boxkite(app)
generation = Baseline.load(app.config["BOXKITE_BASELINE"]).fingerprint


def rate(row):
    amount = row.get("amount")
    return 0.25 if amount is None else 3.0 - amount / 2


@app.post("/score")
@monitor.predict
def score():
    document = request.get_json()
    if isinstance(document, list):
        return {"predictions": [rate(row) for row in document]}
    return {"prediction": rate(document)}


@app.after_request
def tell_who_answers(response):
    response.headers["X-Pid"] = str(os.getpid())
    response.headers["X-Baseline"] = generation
    return response
"""


# --- One request ----------------------------------------------------------------------------------------------------


class NotSentError(Exception):
    """No connection could be made, so the server has seen nothing."""


class UnansweredError(Exception):
    """The connection ended before the whole answer was there; the server may have seen the request or not."""


@dataclass(frozen=True)
class Reply:
    """A whole answer; the names of *headers* are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def exchange(port: int, request: bytes) -> Reply:
    """Send one request on a connection of its own, so that any process may get it; return the answer.

    Raises:
        NotSentError: No connection.
        UnansweredError: No answer, or a part of one.
    """
    try:
        connection = socket.create_connection(("127.0.0.1", port), timeout=SOCKET_SECONDS)
    except OSError as error:
        raise NotSentError from error
    received = bytearray()
    with connection:
        try:
            connection.sendall(request)
            while piece := connection.recv(1 << 18):
                received += piece
        except OSError as error:
            if isinstance(error, TimeoutError):
                raise
            if (reply := _whole_reply(received)) is not None:
                return reply
            raise UnansweredError(bytes(received)) from error
    reply = _whole_reply(received)
    # A front server answers by itself, with an error, in place of a process that was killed.
    if reply is None or (reply.status >= 500 and "x-pid" not in reply.headers):
        raise UnansweredError(bytes(received))
    return reply


def _whole_reply(received: bytes | bytearray) -> Reply | None:
    """Return the answer, or None if it was cut off."""
    head, separator, body = bytes(received).partition(b"\r\n\r\n")
    if not separator:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if len(body) != int(headers["content-length"]):
        return None
    return Reply(int(first.split()[1]), headers, body)


def post(path: str, document: Any) -> bytes:
    """Return the bytes of a request that sends *document*."""
    body = json.dumps(document).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


SCRAPE = b"GET /metrics HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"


# --- Clients --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sent:
    """One request: its rows, and the fingerprint of the baseline that the process which answered it had loaded."""

    rows: tuple[Row, ...]
    generation: str = ""


def all_rows(requests: Iterable[Sent]) -> list[Row]:
    """Return the rows of several requests."""
    return [row for request in requests for row in request.rows]


class RowMaker:
    """Makes up rows: usual values, values that are a bound of a bin, missing ones, and unknown cities."""

    def __init__(self, baseline: Baseline, seed: int) -> None:
        self._rng = np.random.default_rng([20240315, seed])
        self._bounds = {
            feature.name: feature.upper_bounds for feature in baseline.features if feature.kind == "continuous"
        }

    def request(self) -> tuple[Row, ...]:
        """Return the rows of one request: mostly one; several on both sides of the size that is counted in bulk."""
        return tuple(self.row() for _ in range(self._pick((1, 1, 1, 1, 1, 1, 2, 15))))

    def row(self) -> Row:
        """Return one row."""
        values: Row = {
            "amount": float(self._rng.lognormal(3, 1)),
            "temperature": float(self._rng.normal(-2, 8)),
            "visits": int(self._rng.integers(0, 5)),
            "city": self._pick((*CITIES, "Atlantis")),
        }
        for name, bounds in self._bounds.items():
            if self._rng.random() < 0.25:
                values[name] = self._pick((bounds[0], bounds[-1], *bounds))
        for name in values:
            if self._rng.random() < 0.05:
                values[name] = None
        return values

    def _pick(self, choices: Sequence[Any]) -> Any:
        return choices[int(self._rng.integers(len(choices)))]


T = TypeVar("T", bound="Traffic")


class Traffic:
    """Threads that work until told to end; a context, which fails with the first of their failures.

    Args:
        works: What each thread does over and over.

    Attributes:
        answered: The requests that were answered.
        may_end: Set when the threads are to end.
    """

    patience_seconds = 90.0
    answered: Sized

    def __init__(self, works: Iterable[Callable[[], object]]) -> None:
        self.may_end = threading.Event()
        self._failures: list[BaseException] = []
        self._threads = [threading.Thread(target=self._guard, args=(work,)) for work in works]

    def wait_for(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait until *condition* is true and return its value; fail at once if a thread has failed."""
        found = wait_for(lambda: self._failures or condition(), timeout=self.patience_seconds, what=what)
        self._raise_failure()
        return found

    def wait_until(self, requests: int) -> None:
        """Wait until so many requests have been answered in all."""
        self.wait_for(lambda: len(self.answered) >= requests, f"{requests} answers")

    def wait_answered(self, requests: int) -> None:
        """Wait until so many more requests have been answered."""
        self.wait_until(len(self.answered) + requests)

    def __enter__(self: T) -> T:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.may_end.set()
        for thread in self._threads:
            thread.join()
        if error is None:
            self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failures:
            raise self._failures[0]

    def _guard(self, work: Callable[[], object]) -> None:
        """Run something in a thread and keep its failure for the test; the others then need not go on."""
        try:
            while not self.may_end.is_set():
                work()
        except BaseException as error:
            self._failures.append(error)
            self.may_end.set()


class Load(Traffic):
    """Clients that send until told to end, and the scraper beside them; a context.

    Args:
        port: Of the server.
        baseline: Its bounds are among the values that are sent.
        already: What is known to be counted when the load begins; without durations.

    Attributes:
        already: As given.
        answered: Requests answered with 200, in the order in which their answers came.
        unanswered: Requests that were sent, and may or may not have been counted.
        scraper: Holds what its scrapes showed.
    """

    def __init__(self, port: int, baseline: Baseline, *, already: Sequence[Sent] = ()) -> None:
        self.already = list(already)
        self.answered: list[Sent] = []
        self.unanswered: list[Sent] = []
        self.scraper = Scraper(port, self)
        self._port = port
        self._lock = threading.Lock()
        self._answered_rows = len(all_rows(already))
        makers = [RowMaker(baseline, seed) for seed in range(CLIENTS)]
        super().__init__([*(partial(self._send, maker) for maker in makers), self.scraper.scrape])

    @property
    def answered_rows(self) -> int:
        """How many rows have been answered; no more than a scrape that begins now must show."""
        with self._lock:
            return self._answered_rows

    def wait_until(self, requests: int) -> None:
        """Wait until so many requests have been answered in all, and some scrapes beside them."""
        super().wait_until(requests)
        self.wait_for(lambda: self.scraper.scrapes >= LEAST_SCRAPES, f"{LEAST_SCRAPES} scrapes")

    def _send(self, maker: RowMaker) -> None:
        rows = maker.request()
        document: Any = rows[0] if len(rows) == 1 else list(rows)
        try:
            reply = exchange(self._port, post("/score", document))
        except NotSentError:
            return
        except UnansweredError:
            self.unanswered.append(Sent(rows))
            return
        assert reply.status == 200, reply
        with self._lock:
            self._answered_rows += len(rows)
        self.answered.append(Sent(rows, reply.headers["x-baseline"]))


# --- Scrapes --------------------------------------------------------------------------------------------------------

Samples = dict[str, float]

# What never falls; gauges, and what stands still, may.
_COUNTER = re.compile(r"boxkite_\w+?_(?:total|bucket|count|sum)(?:\{|$)")
_BUCKET = re.compile(r'(\w+)_bucket(\{.*),le="([^"]+)"\}')


def parse(text: str) -> Samples:
    """Return the samples of a scrape by their names and labels; the fastest that serves, to scrape often."""
    samples = {}
    for line in text.splitlines():
        if line.startswith("boxkite_"):
            name, _, value = line.rpartition(" ")
            samples[name] = float(value)
    return samples


def select(samples: Samples, name: str, label: str = "", **labels: str) -> dict[str, float]:
    """Return the values of one metric with these *labels*, by one *label*, added up over all labels that are left."""
    found: dict[str, float] = {}
    for series, value in samples.items():
        metric, _, rest = series.partition("{")
        if metric == name:
            own = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', rest))
            if labels.items() <= own.items():
                key = own.get(label, "")
                found[key] = found.get(key, 0.0) + value
    assert found, f"There is no series {name} {labels}."
    return found


def total(samples: Samples, name: str, **labels: str) -> float:
    """Return the sum of one metric over all series with these *labels*."""
    return select(samples, name, **labels)[""]


class Scraper:
    """Asks for the metrics again and again, one scrape after the other, and checks each against all before it.

    Attributes:
        pids: Processes that have answered.
        scrapes: How many were answered.
        lost: How many were cut off, which says nothing of the counts.
    """

    def __init__(self, port: int, load: Load) -> None:
        self.pids: set[int] = set()
        self.scrapes = 0
        self.lost = 0
        self._port = port
        self._load = load
        self._seen: Samples = {}

    def scrape(self) -> None:
        """Scrape once and check it."""
        answered_rows = self._load.answered_rows
        try:
            pid, samples = scrape(self._port)
        except (NotSentError, UnansweredError):
            self.lost += 1
            return
        self.scrapes += 1
        self.pids.add(pid)
        check_histograms(samples)
        self._check_nothing_fell(samples, pid)
        for name, row_counts in row_totals(samples).items():
            assert row_counts >= answered_rows, (
                f"Process {pid} shows {row_counts} of {name}; {answered_rows} rows had been answered."
            )
        check_records_add_up(samples)

    def _check_nothing_fell(self, samples: Samples, pid: int) -> None:
        seen = self._seen
        gone = seen.keys() - samples.keys()
        assert not gone, f"Process {pid} does not show {sorted(gone)[:3]}, which others have shown."
        counters = {series: value for series, value in samples.items() if _COUNTER.match(series)}
        fallen = [(series, seen[series], value) for series, value in counters.items() if value < seen.get(series, 0.0)]
        assert not fallen, f"In a scrape of process {pid} {len(fallen)} series fell, such as {fallen[:5]}."
        self._seen = counters


def scrape(port: int) -> tuple[int, Samples]:
    """Scrape once; return which process answered, and what."""
    reply = exchange(port, SCRAPE)
    assert reply.status == 200, reply
    return int(reply.headers["x-pid"]), parse(reply.body.decode())


def check_histograms(samples: Samples) -> None:
    """Check that no bucket is less than the one below it, and that each histogram's count is its last bucket."""
    buckets: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for series, value in samples.items():
        if found := _BUCKET.fullmatch(series):
            buckets.setdefault((found[1], found[2] + "}"), []).append((float(found[3]), value))
    assert buckets
    for (name, labels), values in buckets.items():
        values.sort()
        counts = [value for _, value in values]
        assert counts == sorted(counts), f"The buckets of {name}{labels} decrease: {values}"
        assert values[-1][0] == math.inf
        assert samples[f"{name}_count{labels}"] == counts[-1], f"{name}{labels}"


def row_totals(samples: Samples) -> dict[str, float]:
    """Return how many rows have been counted, over all baselines, in each place that counts them."""
    return {
        "predictions": total(samples, "boxkite_predictions_total", status="ok"),
        **select(samples, "boxkite_feature_group_total", "feature"),
        **select(samples, "boxkite_inference_group_total", "output"),
    }


def check_records_add_up(samples: Samples) -> None:
    """Check that all accepted records are delivered, waiting or dropped."""
    outcomes = select(samples, "boxkite_log_records_total", "outcome")
    waiting = total(samples, "boxkite_log_queue_records")
    dropped = total(samples, "boxkite_log_dropped_total")
    assert outcomes["accepted"] == outcomes["delivered"] + waiting + dropped, (outcomes, waiting, dropped)


# --- What the counts must be ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bounds:
    """What a count may be: as much as was answered, and what was sent in vain at most besides."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


def check_counts(
    samples: Samples,
    baseline: Baseline,
    answered: Sequence[Sent],
    unanswered: Sequence[Sent] = (),
    *,
    by_hand: Sequence[Sent] = (),
) -> None:
    """Check every live count of a baseline: exactly what was answered, if nothing was left unanswered.

    Args:
        samples: A scrape.
        baseline: Whose counts.
        answered: Requests that must be counted.
        unanswered: Requests that may be counted, whole or, if their process was killed before the end, in part.
        by_hand: Predictions that must be counted, and have no duration.
    """
    low = Expected.of(baseline, answered, by_hand)
    high = Expected.of(baseline, [*answered, *unanswered], by_hand)
    assert low.counts.keys() == high.counts.keys()
    found = {key: select_counts(samples, baseline, key) for key in low.counts}
    wrong = []
    for key, counts in low.counts.items():
        assert found[key].keys() == counts.keys(), key
        for label, count in counts.items():
            bounds = Bounds(count, high.counts[key][label])
            if found[key][label] not in bounds:
                wrong.append((*key, label, found[key][label], bounds))
    assert not wrong, f"{len(wrong)} counts are wrong, such as {wrong[:5]}."
    # Added in another order than here, so the last digits differ.
    for sign, value in select(samples, "boxkite_inference_sum_total", "sign", baseline=baseline.fingerprint).items():
        slack = 1e-9 * high.sums[sign]
        assert low.sums[sign] - slack <= value <= high.sums[sign] + slack, sign


def select_counts(samples: Samples, baseline: Baseline, key: tuple[str, str, str]) -> dict[str, float]:
    """Return the counts of one metric and variable by label, as `Expected` has them."""
    metric, label, variable = key
    side = {"feature": variable} if metric.startswith("boxkite_feature_") else {"output": variable}
    found = select(samples, metric, label, baseline=baseline.fingerprint, **(side if variable else {}))
    return {str(float(name)): value for name, value in found.items()} if label == "le" else found


@dataclass
class Expected:
    """A recount: by metric, label and variable, what each label's count is; and the sums of the output."""

    counts: dict[tuple[str, str, str], dict[str, int]] = field(default_factory=dict)
    sums: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, baseline: Baseline, requests: Sequence[Sent], by_hand: Sequence[Sent]) -> Expected:
        """Count the values of all rows, one by one."""
        expected = cls()
        counts = expected.counts
        rows = all_rows([*requests, *by_hand])
        for feature in baseline.features:
            expected._count("feature", feature, [row[feature.name] for row in rows])
        (output,) = baseline.outputs
        scores = [score(row) for row in rows]
        expected._count("inference", output, scores)
        expected.sums["positive"] = math.fsum(value for value in scores if value > 0)
        expected.sums["negative"] = -math.fsum(value for value in scores if value < 0)
        counts["boxkite_predictions_total", "status", ""] = {"ok": len(rows), "client_error": 0, "error": 0}
        counts["boxkite_prediction_duration_seconds_count", "", ""] = {"": len(requests)}
        counts["boxkite_capture_errors_total", "reason", ""] = {"features": 0, "output": 0, "internal": 0}
        return expected

    def _count(self, side: str, variable: Any, values: list[Any]) -> None:
        name = variable.name
        is_text = name == "city"
        if variable.kind == "continuous":
            # Each bin is (lower, upper], so a bucket holds the numbers up to its bound.
            labels = [str(bound) for bound in (*variable.upper_bounds, math.inf)]
            self.counts[f"boxkite_{side}_value_bucket", "le", name] = recount_buckets(values, labels)
            self.counts[f"boxkite_{side}_value_count", "", name] = {"": sum(value is not None for value in values)}
        else:
            labels = [*variable.categories, "__rare__", "__unseen__", "__missing__"]
            found = _with_unseen(recount_groups(values, labels, is_text=is_text))
            self.counts[f"boxkite_{side}_category_total", "category", name] = {
                label: found[label] for label in labels[:-1]
            }
        groups = [group.name for group in variable.groups]
        self.counts[f"boxkite_{side}_group_total", "group", name] = _with_unseen(
            recount_groups(values, groups, is_text=is_text)
        )


def _with_unseen(found: dict[str, int]) -> dict[str, int]:
    """Count the categories that training had not as what they are; it had dropped none."""
    counter = Counter(found)
    if others := counter.pop(OTHERS, 0):
        counter["__unseen__"] += others
    return dict(counter)


# --- The processes of a server --------------------------------------------------------------------------------------


class Server(Protocol):
    """A program whose worker processes can be told."""

    port: int

    def worker_pids(self) -> list[int]:
        """Return the ids of those that run."""


def scrape_all(server: Server, *, without: Iterable[int] = ()) -> dict[int, Samples]:
    """Scrape until every worker process that runs has answered; return what each has shown last.

    Several ask at once, so that no process can answer all. Scrapes are requests too, by which workers may go on being
    recycled: then three times as many processes as there are at a time are enough.

    Args:
        server: Whose processes.
        without: Processes that were killed, which may still be in the list.
    """
    gone = set(without)
    answers: dict[int, Samples] = {}
    lock = threading.Lock()
    may_end = threading.Event()
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            while not may_end.is_set():
                try:
                    pid, samples = scrape(server.port)
                except (NotSentError, UnansweredError):
                    continue
                with lock:
                    answers[pid] = samples
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(2 * CLIENTS)]
    for thread in threads:
        thread.start()
    try:

        def all_answered() -> bool:
            assert not failures
            running = set(server.worker_pids()) - gone
            with lock:
                return bool(running) and (running <= answers.keys() or len(answers) >= 3 * len(running))

        wait_for(all_answered, what="an answer of every process")
    finally:
        may_end.set()
        for thread in threads:
            thread.join()
    return answers


def kill_some(server: Server, load: Load, rng: np.random.Generator, *, times: int) -> list[int]:
    """Kill worker processes at random moments under load; return their ids."""
    killed: list[int] = []
    for _ in range(times):
        load.wait_answered(int(rng.integers(20, 80)))
        running = [pid for pid in server.worker_pids() if pid not in killed]
        killed.append(running[int(rng.integers(len(running)))])
        os.kill(killed[-1], signal.SIGKILL)
    return killed
