"""Under every server that runs a Flask app: counts are exact, and records are delivered or said to be lost.

Each server gets real requests in all its processes, which are killed and recycled where it replaces them.
"""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest

from flask_boxkite import Baseline
from tests.integration.load import (
    SCORING_APP,
    Load,
    Samples,
    check_counts,
    check_histograms,
    check_records_add_up,
    kill_some,
    scrape,
    scrape_all,
    select,
    total,
    train,
)
from tests.peers import PythonServer, wait_for
from tests.web.served import KINDS, Kind, Served

ALL = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def those(**wanted: bool) -> pytest.MarkDecorator:
    """Parametrise a test with the kinds that can do, or cannot do, something."""
    ((name, value),) = wanted.items()
    found = {id: kind for id, kind in KINDS.items() if bool(getattr(kind, name)) is value}
    return pytest.mark.parametrize("kind", found.values(), ids=found)


class Start(Protocol):
    """Starts a server that ends with the test."""

    def __call__(self, kind: Kind, *, recycles: bool = False, more: str = "", **settings: str) -> Served: ...


@pytest.fixture
def directory() -> Iterator[Path]:
    """Return where the server runs: outside of pytest's own directory, which the user of Apache cannot enter."""
    with tempfile.TemporaryDirectory(prefix="boxkite-served-") as name:
        yield Path(name)


@pytest.fixture
def baseline(directory: Path, rng: np.random.Generator) -> Baseline:
    """Train."""
    return train(directory / "histogram.prom", rng)


@pytest.fixture
def start(directory: Path, baseline: Baseline) -> Iterator[Start]:
    """Return what starts a server of the app."""
    servers: list[Served] = []
    with ExitStack() as stack:

        def start(kind: Kind, *, recycles: bool = False, more: str = "", **settings: str) -> Served:
            settings["APP_BOXKITE_BASELINE"] = str(directory / "histogram.prom")
            servers.append(Served(kind, directory, recycles=recycles, more=more, settings=settings))
            return stack.enter_context(servers[-1])

        yield start
    for server in servers:
        print(server.log())


# --- Counts ---------------------------------------------------------------------------------------------------------


@ALL
def test_counts_are_exact_whichever_process_answers(
    kind: Kind, start: Start, baseline: Baseline, rng: np.random.Generator
) -> None:
    server = start(kind)
    killed: list[int] = []
    with Load(server.port, baseline) as load:
        load.wait_until(80)
        if kind.kills:
            killed = kill_some(server, load, rng, times=kind.kills)
            load.wait_answered(40)
    # How many a kill leaves without an answer is the server's: new connections may still reach a process that dies.
    assert kind.kills or not load.unanswered
    check_every_process(server, baseline, load, killed=killed)
    check_records(server, load)
    assert "several processes" not in server.log()


@those(recycling=True)
def test_recycled_workers_leave_their_counts_behind(kind: Kind, start: Start, baseline: Baseline) -> None:
    server = start(kind, recycles=True)
    with Load(server.port, baseline) as load:
        load.wait_until(120)
        load.wait_for(lambda: len(load.scraper.pids) >= 2 * kind.processes, "scrapes of recycled workers")
    check_every_process(server, baseline, load)
    check_records(server, load)


def check_every_process(server: Served, baseline: Baseline, load: Load, *, killed: list[int] | None = None) -> None:
    """Check what every process shows."""
    shown = [scrape(server.port)[1] for _ in range(3)]
    if not server.is_forking:
        shown += scrape_all(server, without=killed or ()).values()
    for samples in shown:
        check_histograms(samples)
        check_counts(samples, baseline, load.answered, load.unanswered)


def check_records(server: Served, load: Load) -> None:
    """Check that every record is delivered, or counted as lost and logged."""

    def settled() -> Samples | None:
        said = said_to_have_died(server)  # before: a scrape is a request, too, after which a worker may be recycled
        _, samples = scrape(server.port)
        check_records_add_up(samples)
        waiting = total(samples, "boxkite_log_queue_records")
        return samples if waiting == 0 and said >= lost(samples).get("process_died", 0) else None

    samples = wait_for(settled, what="delivery of what waits, and a line for what is lost")
    assert samples is not None
    outcomes = select(samples, "boxkite_log_records_total", "outcome")
    assert len(load.answered) <= outcomes["accepted"] <= len(load.answered) + len(load.unanswered)
    assert outcomes["delivered"] + sum(lost(samples).values()) == outcomes["accepted"]
    check_reasons(samples, server)
    # A process may be killed when it has written records, and not yet counted them as delivered.
    assert outcomes["delivered"] <= len(written(server)) <= outcomes["accepted"]


def lost(samples: Samples) -> dict[str, float]:
    """Return how many records are lost, by reason."""
    dropped = select(samples, "boxkite_log_dropped_total", "reason")
    return {reason: count for reason, count in dropped.items() if count}


def check_reasons(samples: Samples, server: Served) -> None:
    """Check that records are lost only with their process, or in its last moments, which the log says."""
    dropped = lost(samples)
    assert dropped.keys() <= {"process_died", "shutdown"}
    if "shutdown" in dropped:
        assert re.search(LATE, server.whole_log())


def said_to_have_died(server: Served) -> int:
    """Return how many records the log says to be lost with their process; other servers' losses are among them."""
    return sum(map(int, re.findall(r"Dropped (\d+) records .* \('process_died'\)", server.whole_log())))


def written(server: Served) -> list[str]:
    """Return the ids of the predictions whose records were written."""
    lines = [line for path in server.records.rglob("*.txt") for line in path.read_text().splitlines()]
    return [json.loads(line)["prediction_id"] for line in lines]


# --- The end --------------------------------------------------------------------------------------------------------

WARNING = (
    "SIGTERM may end this server before it has delivered the records of its last moments, which are then lost. Set "
    "'BOXKITE_SPOOL_DIR' to keep records on disk until they are delivered."
)


LATE = "after it was closed|did not take in time"
"""Log lines about records that a server loses when it ends; the log also has losses of other servers."""


ABANDONED = r"asgiref/current_thread_executor\.py\", line \d+ in run_until_future"
"""Place in the dump of a process in which a thread of asgiref waits for a loop that is gone."""


def end_under_load(server: Served, baseline: Baseline) -> Load:
    """End the server while clients send; return them."""
    with Load(server.port, baseline) as load:
        load.wait_until(60)
        try:
            server.stop(signal.SIGTERM)
        except subprocess.TimeoutExpired:
            if re.search(ABANDONED, server.log()):
                pytest.skip("The server has cancelled a request, whose thread waits for ever in asgiref.")
            raise
    return load


@those(delivers=True)
def test_sigterm_under_load_loses_nothing(kind: Kind, start: Start, baseline: Baseline) -> None:
    server = start(kind)
    load = end_under_load(server, baseline)
    assert len(load.answered) <= len(written(server)) <= len(load.answered) + len(load.unanswered)
    assert WARNING not in server.log()
    assert not re.search(LATE, server.log())


@those(delivers=False)
def test_what_sigterm_loses_is_counted_and_logged_by_the_next_start(
    kind: Kind, start: Start, baseline: Baseline, directory: Path
) -> None:
    """The server has said before what keeps records."""
    server = start(kind, APP_BOXKITE_STATE_DIR=str(directory / "state"))
    load = end_under_load(server, baseline)
    assert WARNING in server.log()
    server.start()
    _, samples = scrape(server.port)
    check_reasons(samples, server)
    assert said_to_have_died(server) == lost(samples).get("process_died", 0)
    assert len(load.answered) <= len(written(server)) + sum(lost(samples).values())
    check_counts(samples, baseline, load.answered, load.unanswered)


@those(delivers=False)
def test_the_spool_keeps_what_sigterm_would_lose(kind: Kind, start: Start, baseline: Baseline, directory: Path) -> None:
    server = start(kind, APP_BOXKITE_SPOOL_DIR=str(directory / "spool"))
    load = end_under_load(server, baseline)
    assert WARNING not in server.log()
    server.start()

    def are_delivered() -> Any:
        scrape(server.port)
        return len(set(written(server))) >= len(load.answered)

    wait_for(are_delivered, what="delivery of what the last server left")
    assert len(set(written(server))) <= len(load.answered) + len(load.unanswered)
    assert not re.search(LATE, server.log())


EXITING = """
import signal
import sys

signal.signal(signal.SIGTERM, lambda *_: sys.exit())
"""


@pytest.mark.parametrize("name", ["waitress", "cheroot", "flask run"])
def test_a_handler_that_exits_has_servers_deliver_that_have_none(name: str, start: Start, baseline: Baseline) -> None:
    server = start(KINDS[name], more=EXITING)
    load = end_under_load(server, baseline)
    assert len(load.answered) <= len(written(server)) <= len(load.answered) + len(load.unanswered)
    assert WARNING not in server.log()


# --- A process for each connection ----------------------------------------------------------------------------------

FORKING = {
    "app": """
from scoring import app

app.run(port=0, threaded=False, processes=4)
""",
    "middleware": """
from werkzeug.serving import run_simple

from flask_boxkite import ModelMonitoringService
from flask_boxkite.web.middleware import BoxkiteMiddleware
from scoring import app

monitored = ModelMonitoringService(app.config["BOXKITE_BASELINE"], log_dir=app.config["BOXKITE_LOG_DIR"])
run_simple("127.0.0.1", 0, BoxkiteMiddleware(bare, monitored, {"/score": None}), processes=4)
""",
    "wsgiref": """
from socketserver import ForkingMixIn
from wsgiref.simple_server import WSGIServer, make_server

from scoring import app


class Forking(ForkingMixIn, WSGIServer):
    pass


server = make_server("127.0.0.1", 0, app, Forking)
print(f"http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
""",
}

BARE = """
def bare(environ, start_response):
    environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", "15")])
    return [b'{"output": 0.5}']
"""


@pytest.mark.usefixtures("baseline")
@pytest.mark.parametrize("source", FORKING.values(), ids=FORKING)
def test_a_process_that_ends_with_its_connection_delivers_each_record(directory: Path, source: str) -> None:
    """After the answer; several come on one connection."""
    (directory / "scoring.py").write_text(SCORING_APP)
    (directory / "forking.py").write_text(BARE + source)
    env = {
        "APP_BOXKITE_BASELINE": str(directory / "histogram.prom"),
        "APP_BOXKITE_LOG_DIR": str(directory / "records"),
    }
    body = json.dumps({"amount": 12.5, "temperature": -1.0, "visits": 2, "city": "Oslo"})
    with PythonServer(["forking.py"], directory, env=env) as server:
        for _ in range(3):
            connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=60)
            for _ in range(4):
                connection.request("POST", "/score", body, {"Content-Type": "application/json"})
                assert connection.getresponse().read()
            connection.close()

        def number_of_records() -> int:
            return sum(len(path.read_bytes().splitlines()) for path in (directory / "records").rglob("*.txt"))

        wait_for(lambda: number_of_records() == 12, what="all records")
