"""Outcomes of two replicas whose workers are killed and recycled: each is counted once, wherever it is sent.

Clients keep books of their own: scores as the app answered them, actual values as they were sent. All counts, the page
and a real Prometheus are held against these books, the metrics as scikit-learn computes them.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    f1_score,
    log_loss,
    precision_score,
    recall_score,
)

from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.baseline.validation import BinaryValidation
from flask_boxkite.provision import RuleOptions, rules_text
from tests.integration.load import Reply, Samples, UnansweredError, exchange, parse, post, select, total
from tests.peers import Gunicorn, Prometheus, fetch, require

TOKEN = "secret"
KEY = "the same key for all replicas"
WORKERS = 3
CLIENTS = 8
RECYCLES = ["--max-requests=100", "--max-requests-jitter=100", "--timeout=120"]

PREDICTIONS = 700  # of each replica
SENT_TWICE, FORGED, SENT_ELSEWHERE = 0.05, 0.01, 0.75  # shares of all outcomes
SIZES = (1, 1, 1, 1, 1, 1, 4, 30)
"""Numbers of outcomes in a request: one object, or a list; an answer gives reasons of up to 100."""

KILLS_PER_PREDICTION, KILLS_PER_REQUEST = 0.005, 0.05
MOST_TRIES = 100

APP = """
import math
import os

from flask import Flask, request

from flask_boxkite import Boxkite

app = Flask(__name__)
app.config.from_prefixed_env("APP")
monitor = Boxkite(app)


@app.post("/score")
@monitor.predict
def score():
    return {"score": 1 / (1 + math.exp((45 - request.get_json()["age"]) / 6))}


@app.after_request
def tell_who_answers(response):
    response.headers["X-Pid"] = str(os.getpid())
    return response
"""

# Long enough for every outcome on any machine; its rules would be evaluated only every few minutes.
WINDOW = "20m"
RULES = re.sub(r"(?m)^( +interval:) \w+$", r"\1 1s", rules_text(RuleOptions(windows=(WINDOW,), scrape_interval="1s")))


# --- what clients send ------------------------------------------------------------------------------------------------


class Prediction(NamedTuple):
    """A prediction that was answered, and the replica that gets its outcome."""

    name: str
    replica: int
    pid: str
    score: float
    actual: int
    destination: int


class Outcome(NamedTuple):
    """An outcome to send, perhaps of an id that was never given."""

    name: str
    actual: int
    destination: int


class Sent(NamedTuple):
    """Outcomes that one request has sent, until it was answered.

    Attributes:
        outcomes: The outcomes, in the order of the request.
        pid: Process that answered.
        reasons: Reason for each that was not counted, else None.
        lost: Number of tries before, which got no answer.
    """

    outcomes: Sequence[Outcome]
    pid: str
    reasons: list[str | None]
    lost: int


def people(rng: np.random.Generator, rows: int, noise: float) -> tuple[NDArray[np.float64], Any, Any]:
    """Return ages, scores and actual values; for a share of *noise* the score means nothing."""
    age = rng.normal(45, 10, rows)
    age[::10] = 45.0  # the score is the threshold
    score = 1 / (1 + np.exp((45 - age) / 6))
    return age, score, (rng.random(rows) < np.where(rng.random(rows) < noise, 0.5, score)).astype(int)


class Clients:
    """Clients that send each request until it is answered, and kill workers at random.

    Args:
        replicas: Servers.

    Attributes:
        lost: Paths of the requests that got no answer.
    """

    def __init__(self, replicas: Sequence[Gunicorn]) -> None:
        self.lost: list[str] = []
        self._replicas = replicas
        self._random = random.Random(0)

    def ask(self, replica: int, path: str, document: Any, kills: float) -> tuple[Reply, int]:
        """Send a request until there is an answer; return it, and the number of tries before.

        Args:
            replica: Number of the server.
            path: Path of the request.
            document: JSON value to send.
            kills: Probability that one worker of that server, or all, are killed at the same time.
        """
        server = self._replicas[replica]
        for tries in range(MOST_TRIES):
            killing = self._killing(server) if self._random.random() < kills else contextlib.nullcontext()
            try:
                with killing:
                    reply = exchange(server.port, with_token(post(path, document)))
            except UnansweredError as error:
                received = error.args[0]
            else:
                assert reply.status == 200, reply
                return reply, tries
            assert not received.startswith(b"HTTP/1.1 5"), received  # an answer of the server's own
            self.lost.append(path)
        pytest.fail(f"No answer in {MOST_TRIES} tries.")

    @contextlib.contextmanager
    def _killing(self, server: Gunicorn) -> Iterator[None]:
        thread = threading.Thread(target=self._kill_workers, args=(server,))
        thread.start()
        try:
            yield
        finally:
            thread.join()

    def _kill_workers(self, server: Gunicorn) -> None:
        pids = server.worker_pids()
        self._random.shuffle(pids)
        for pid in pids[: self._random.choice((1, WORKERS))]:
            with contextlib.suppress(ProcessLookupError):  # it was recycled just now
                os.kill(pid, signal.SIGKILL)

    def predict(self, replica: int, destination: int, age: float, actual: int) -> Prediction:
        """Have a row predicted; a request without an answer is sent again, as a new prediction."""
        reply, _ = self.ask(replica, "/score", {"age": age}, KILLS_PER_PREDICTION)
        name, score = reply.headers["boxkite-prediction-id"], json.loads(reply.body)["score"]
        return Prediction(name, replica, reply.headers["x-pid"], score, actual, destination)

    def send(self, outcomes: Sequence[Outcome]) -> Sent:
        """Send outcomes to their destination."""
        document = [{"prediction_id": outcome.name, "actual": outcome.actual} for outcome in outcomes]
        reply, lost = self.ask(
            outcomes[0].destination,
            "/outcomes",
            document if len(document) > 1 else document[0],
            KILLS_PER_REQUEST,
        )
        answer = json.loads(reply.body)
        reasons: list[str | None] = [None] * len(outcomes)
        for item in answer["reasons"]:
            reasons[item["index"]] = item["reason"]
        assert answer["counted"] == reasons.count(None)
        assert answer["rejected"] == Counter(filter(None, reasons))
        return Sent(outcomes, reply.headers["x-pid"], reasons, lost)


def with_token(request: bytes) -> bytes:
    """Return a request that has the token."""
    return request.replace(b"\r\n", f"\r\nAuthorization: Bearer {TOKEN}\r\n".encode(), 1)


def outcomes_to_send(predictions: Sequence[Prediction], chance: random.Random) -> list[list[Outcome]]:
    """Return requests with the outcomes of all predictions, some of them twice, and forged ones; in random order."""
    genuine = [Outcome(one.name, one.actual, one.destination) for one in predictions]
    twice = chance.sample(genuine, round(SENT_TWICE * len(genuine)))
    forged = [
        outcome._replace(name=forged_name(outcome.name, chance))
        for outcome in chance.sample(genuine, round(FORGED * len(genuine)))
    ]
    requests = []
    for destination in (0, 1):
        left = [outcome for outcome in (*genuine, *twice, *forged) if outcome.destination == destination]
        chance.shuffle(left)
        while left:
            size = chance.choice(SIZES)
            requests.append(left[:size])
            del left[:size]
    chance.shuffle(requests)
    return requests


def forged_name(name: str, chance: random.Random) -> str:
    """Return an id with another digit somewhere in its uuid."""
    place = chance.choice([place for place in range(len(name) - 36, len(name)) if name[place] != "-"])
    digit = chance.choice([digit for digit in "0123456789abcdef" if digit != name[place]])
    return name[:place] + digit + name[place + 1 :]


# --- the run ----------------------------------------------------------------------------------------------------------


@dataclass
class Run:
    """All that was sent, and all that the replicas and Prometheus said of it in the end.

    Attributes:
        baseline: Baseline of the model.
        predictions: Predictions that were answered.
        sent: Requests with outcomes.
        lost: Paths of the requests that got no answer.
        scrapes: Some scrapes of each replica.
        pages: JSON of each replica's page, of its only model.
        logs: Log of each replica.
        recorded: Metrics by outcomes that Prometheus has recorded, by name; empty without a Prometheus.
        rows: Outcomes that Prometheus has recorded, by bin and result.
    """

    baseline: Baseline
    predictions: list[Prediction]
    sent: list[Sent]
    lost: list[str]
    scrapes: list[list[Samples]] = field(default_factory=list)
    pages: list[dict[str, Any]] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)
    recorded: dict[str, float] = field(default_factory=dict)
    rows: dict[tuple[float, str], float] = field(default_factory=dict)

    def books(self, replica: int) -> Books:
        """Return the books of the outcomes that a replica got."""
        mine = [one for one in self.predictions if one.destination == replica]
        return Books(self.baseline, mine, [1.0] * len(mine))

    def answers(self, replica: int) -> Iterator[tuple[Outcome, str | None, int]]:
        """Yield the outcomes that a replica got, the reason in the answer, and the number of tries before."""
        for sent in self.sent:
            for outcome, reason in zip(sent.outcomes, sent.reasons, strict=True):
                if outcome.destination == replica:
                    yield outcome, reason, sent.lost

    @cached_property
    def names(self) -> set[str]:
        """Ids that were given."""
        return {one.name for one in self.predictions}


class Books:
    """The clients' books of some predictions that have an outcome.

    Args:
        baseline: Baseline of the model, whose bins count.
        predictions: The predictions.
        weights: Weight of each.
    """

    def __init__(self, baseline: Baseline, predictions: Sequence[Prediction], weights: Sequence[float]) -> None:
        assert isinstance(baseline.validation, BinaryValidation)
        assert baseline.validation.areas is not None
        self._bounds = baseline.validation.upper_bounds
        self._areas = np.nan_to_num(baseline.validation.areas, nan=0.5)
        self._scores = [one.score for one in predictions]
        self._actual = [one.actual for one in predictions]
        self._predicted = [int(score >= 0.5) for score in self._scores]
        self._weights = weights

    def __len__(self) -> int:
        return len(self._scores)

    def cells(self) -> Counter[tuple[float, str]]:
        """Return the number of predictions by upper bound of the score's bin, and result."""
        bounds = (*self._bounds, float("inf"))
        results = {
            (0, 0): "true_negative",
            (0, 1): "false_negative",
            (1, 0): "false_positive",
            (1, 1): "true_positive",
        }
        cells = zip(self._scores, self._predicted, self._actual, strict=True)
        return Counter((bounds[self._bin(s)], results[predicted, actual]) for s, predicted, actual in cells)

    def confusion(self) -> list[list[int]]:
        """Return the number of predictions by predicted and actual value."""
        pairs = Counter(zip(self._predicted, self._actual, strict=True))
        return [[pairs[predicted, actual] for actual in (0, 1)] for predicted in (0, 1)]

    def metrics(self) -> dict[str, float]:
        """Return the metrics of scikit-learn, and the AUC by all pairs of predictions."""
        of_labels: dict[str, Callable[..., float]] = {
            "accuracy": accuracy_score,
            "precision": precision_score,
            "recall": recall_score,
            "f1": f1_score,
        }
        found = {
            name: metric(self._actual, self._predicted, sample_weight=self._weights)
            for name, metric in of_labels.items()
        }
        found["auc"] = self._auc()
        found["brier"] = brier_score_loss(self._actual, self._scores, sample_weight=self._weights)
        found["log_loss"] = log_loss(self._actual, self._scores, sample_weight=self._weights)
        return found

    def _auc(self) -> float:
        """Return the share of pairs in the right order; in one bin, it is the one of the validation rows."""
        bins, weights = np.array(list(map(self._bin, self._scores))), np.array(self._weights)
        is_positive = np.array(self._actual) == 1
        high, low = bins[is_positive, None], bins[~is_positive]
        in_order = np.where(high == low, self._areas[low], high > low)
        pairs = np.outer(weights[is_positive], weights[~is_positive])
        return float(np.sum(in_order * pairs) / np.sum(pairs))

    def _bin(self, score: float) -> int:
        return bisect_left(self._bounds, score)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Serve, predict and send outcomes, while workers are killed; return all that was said."""
    directory = tmp_path_factory.mktemp("outcomes")
    age, score, actual = people(np.random.default_rng(1), 3000, noise=0.0)
    path = directory / "baseline.prom"
    baseline = ModelMonitoringService.export_text({"age": age}, score, path, actual=actual)
    with ExitStack() as stack:
        replicas = [stack.enter_context(server(directory, path, number)) for number in (0, 1)]
        prometheus = stack.enter_context(watcher(directory, replicas)) if has_prometheus() else None
        if prometheus is not None:
            prometheus.wait_scraped()  # what comes before the first scrape is in no window
        clients, chance = Clients(replicas), random.Random(1)
        predictions = spread(clients.predict, rows_to_predict(chance))
        sent = spread(clients.send, ((outcomes,) for outcomes in outcomes_to_send(predictions, chance)))
        run = Run(baseline, predictions, sent, clients.lost)
        for one in replicas:
            run.scrapes.append([scrape(one) for _ in range(2 * WORKERS)])
            run.pages.append(model_of_page(one))
            run.logs.append(one.log())
        if prometheus is not None:
            run.recorded, run.rows = recorded(prometheus)
    return run


def server(directory: Path, baseline: Path, number: int) -> Gunicorn:
    """Return a server; the second one loads the app before it forks."""
    env = {
        "BASELINE": str(baseline),
        "SINK": "none",
        "STATE_DIR": str(directory / f"state{number}"),
        "ID_KEY": KEY,
        "OUTCOMES_PATH": "/outcomes",
        "DASHBOARD_PATH": "/boxkite",
        "METRICS_TOKEN": TOKEN,
    }
    return Gunicorn(
        "scoring:app",
        directory / f"app{number}",
        source=APP,
        workers=WORKERS,
        preload=number == 1,
        args=RECYCLES,
        env={f"APP_BOXKITE_{key}": value for key, value in env.items()},
    )


def has_prometheus() -> bool:
    """Say whether there is a Prometheus; fail in CI, where it is missing."""
    try:
        require("prometheus")
    except pytest.skip.Exception:
        return False
    return True


def watcher(directory: Path, replicas: Sequence[Gunicorn]) -> Prometheus:
    """Return a Prometheus that scrapes all replicas and has our rules."""
    rules = directory / "rules.yml"
    rules.write_text(RULES, encoding="utf-8")
    targets = [one.address for one in replicas]
    return Prometheus(directory / "prometheus", targets, interval=1.0, token=TOKEN, rule_files=[rules])


def rows_to_predict(chance: random.Random) -> list[tuple[int, int, float, int]]:
    """Return the replica, the destination of the outcome, the age and the actual value of each row."""
    rows = []
    for number, noise in enumerate((0.0, 0.5)):
        age, _, actual = people(np.random.default_rng(2 + number), PREDICTIONS, noise)
        for years, value in zip(age.tolist(), actual.tolist(), strict=True):
            destination = 1 - number if chance.random() < SENT_ELSEWHERE else number
            rows.append((number, destination, years, value))
    chance.shuffle(rows)
    return rows


def spread(work: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]) -> list[Any]:
    """Have several clients work; return the results in order."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        futures = [pool.submit(work, *some) for some in arguments]
        try:
            return [future.result() for future in futures]
        finally:
            pool.shutdown(cancel_futures=True)


def scrape(server: Gunicorn) -> Samples:
    """Scrape once."""
    return parse(fetch(f"{server.url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text)


def model_of_page(server: Gunicorn) -> dict[str, Any]:
    """Return the performance of the only model, as the page's JSON has it."""
    address = f"{server.url}/boxkite/drift.json?window=start"
    (model,) = fetch(address, headers={"Authorization": f"Bearer {TOKEN}"}).json()["models"]
    performance: dict[str, Any] = model["performance"]
    return performance


def recorded(prometheus: Prometheus) -> tuple[dict[str, float], dict[tuple[float, str], float]]:
    """Return metrics by name, and outcomes by bin and result, of one evaluation after the last outcome."""
    prometheus.wait_scraped()
    prometheus.wait_evaluated(f"boxkite-{WINDOW}-performance")
    at = prometheus.value("timestamp(boxkite:model:wrong_z)")  # the last rule of the group
    query = partial(prometheus.query, at=at)
    metrics = query('{__name__=~"boxkite:model:.+",source="outcomes"}')
    rows = query('boxkite:model_outcomes:rows{source="outcomes"}')
    return (
        {one["metric"]["__name__"].removeprefix("boxkite:model:"): one["value"] for one in metrics},
        {(float(one["metric"]["bin"]), one["metric"]["result"]): one["value"] for one in rows},
    )


# --- counts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("replica", [0, 1])
def test_each_outcome_is_counted_once(run: Run, replica: int) -> None:
    """Each was sent until there was an answer, some twice, and in tries of which no answer came."""
    books = run.books(replica)
    for samples in run.scrapes[replica]:
        assert total(samples, "boxkite_outcomes_total") == len(books)
        found = {
            (float(name), result): number
            for result in select(samples, "boxkite_outcomes_total", "result")
            for name, number in select(samples, "boxkite_outcomes_total", "bin", result=result).items()
            if number
        }
        assert found == books.cells()
        assert total(samples, "boxkite_outcome_lag_seconds_bucket", le="+Inf") == len(books)


@pytest.mark.parametrize("replica", [0, 1])
def test_each_outcome_is_said_to_be_counted_once(run: Run, replica: int) -> None:
    """Only where a try got no answer, the answer to a later one may be that it was counted before."""
    counted, doubtful = Counter[str](), set()
    for outcome, reason, lost in run.answers(replica):
        if outcome.name in run.names:
            assert reason in (None, "repeated"), reason
            counted[outcome.name] += reason is None
            doubtful |= {outcome.name} if lost else set()
        else:
            assert reason == "unknown"
    assert set(counted.values()) <= {0, 1}
    assert {name for name, times in counted.items() if times == 0} <= doubtful
    assert counted.keys() == {one.name for one in run.predictions if one.destination == replica}


@pytest.mark.parametrize("replica", [0, 1])
def test_others_are_counted_by_reason(run: Run, replica: int) -> None:
    """A try without an answer has counted all that it sent, or nothing."""
    answered, unanswered = Counter[str](), Counter[str]()
    for outcome, _, lost in run.answers(replica):
        kind = "genuine" if outcome.name in run.names else "unknown"
        answered[kind] += 1
        unanswered[kind] += lost
    found = select(run.scrapes[replica][0], "boxkite_outcomes_rejected_total", "reason")
    assert 0 <= found["unknown"] - answered["unknown"] <= unanswered["unknown"]
    # All that were counted or repeated were sent.
    assert 0 <= len(run.books(replica)) + found["repeated"] - answered["genuine"] <= unanswered["genuine"]
    assert found["late"] == found["invalid"] == found["failed"] == 0


def test_outcomes_went_elsewhere_while_workers_came_and_went(run: Run) -> None:
    """Otherwise the run would show nothing."""
    pids = {one.name: (one.replica, one.pid) for one in run.predictions}
    ways = Counter(
        "replica" if pids[outcome.name][0] != outcome.destination else "worker"
        for sent in run.sent
        for outcome in sent.outcomes
        if outcome.name in pids and pids[outcome.name] != (outcome.destination, sent.pid)
    )
    assert ways["replica"] > PREDICTIONS
    assert ways["worker"] > PREDICTIONS / 4
    assert "/outcomes" in run.lost
    for log in run.logs:
        assert log.count("Booting worker") > 4 * WORKERS
        assert "Traceback" not in log


# --- metrics ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("replica", [0, 1])
def test_the_page_shows_the_metrics_of_the_books(run: Run, replica: int) -> None:
    """Ids carry scores as float32."""
    books, page = run.books(replica), run.pages[replica]
    rejected = select(run.scrapes[replica][0], "boxkite_outcomes_rejected_total", "reason")
    metrics = {metric["name"]: metric["realised"] for metric in page["metrics"]}
    assert page["coverage"]["outcomes"] == len(books)
    assert page["coverage"]["rejected"] == rejected
    assert page["confusion"] == books.confusion()
    assert metrics["accuracy"] == books.metrics()["accuracy"]
    assert metrics == pytest.approx(books.metrics(), abs=1e-7)


@pytest.mark.peers
def test_prometheus_records_the_metrics_of_all_replicas(run: Run) -> None:
    """`increase` extrapolates, all counts of a replica by one factor, which the recorded counts show."""
    require("prometheus")
    cells = [run.books(replica).cells() for replica in (0, 1)]
    table = np.array([[of_replica[cell] for of_replica in cells] for cell in run.rows])
    factors, *_ = np.linalg.lstsq(table, np.array([*run.rows.values()]), rcond=None)
    assert run.rows.keys() >= cells[0].keys() | cells[1].keys()
    assert run.rows == pytest.approx(dict(zip(run.rows, (table @ factors).tolist(), strict=True)), rel=1e-9, abs=1e-9)
    assert (factors >= 1 - 1e-9).all()

    weights = [float(factors[one.destination]) for one in run.predictions]
    weighted = Books(run.baseline, run.predictions, weights).metrics()
    plain = Books(run.baseline, run.predictions, [1.0] * len(weights)).metrics()
    found = {name: run.recorded[name] for name in weighted}
    assert run.recorded["outcomes"] == pytest.approx(sum(weights), rel=1e-9)
    assert found == pytest.approx(weighted, abs=1e-6)
    # One factor for all would change no metric.
    assert found == pytest.approx(plain, abs=float(np.ptp(factors)) + 1e-6)
