"""Under every server: it starts, it serves, and when it ends no record of an answered request is lost or doubled.

A record is kept by the fluentd server before it is acknowledged, so what a server has delivered when it ends is there
at once: nothing is waited for afterwards.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.peers import FluentServer, Gunicorn, Program, PythonServer, fetch, wait_for

CLIENTS = 4

SCORING = """
from flask import Flask, request

from flask_boxkite import Boxkite

app = Flask(__name__)
app.config.from_prefixed_env("APP")
monitor = Boxkite(app)


@app.post("/score")
@monitor.predict
def score():
    return {"score": sum(request.get_json())}
"""

# A preloading master that predicts, to warm its model up, has a running thread and a waiting record when it forks.
WARMED_UP = (
    SCORING
    + """

print("warmed up:", monitor.log_prediction("warm", [1.0, 2.0], 3.0), flush=True)
"""
)

SYNC: dict[str, Any] = {"worker_class": "sync"}
WORKERS = [
    pytest.param(SYNC, id="sync"),
    pytest.param({"worker_class": "gthread", "args": ["--threads=4"]}, id="gthread"),
    pytest.param({"worker_class": "gevent"}, id="gevent"),
]


@pytest.fixture
def fluentd(tmp_path: Path) -> Iterator[FluentServer]:
    """Return a fluentd server that runs."""
    with FluentServer(tmp_path / "fluentd") as server:
        yield server


@pytest.fixture
def can_be_interrupted() -> Iterator[None]:
    """Let programs started here see SIGINT, even if pytest runs in the background of a shell, where it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def predict(url: str) -> str:
    """Send one request; return the prediction id."""
    answer = fetch(f"{url}/score", json_body=[1.0, 2.5])
    assert (answer.status, answer.json()) == (200, {"score": 3.5})
    return answer.headers["Boxkite-Prediction-Id"]


def predict_many(url: str, number: int) -> list[str]:
    """Send requests from several clients at once; return the prediction ids."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(lambda _: predict(url), range(number)))


class Load:
    """Clients that send until the server goes away; *answered* are the prediction ids that they were given."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._threads = [threading.Thread(target=self._run) for _ in range(CLIENTS)]
        self._may_end = False
        self.answered: list[str] = []

    def _run(self) -> None:
        while not self._may_end:
            try:
                self.answered.append(predict(self._url))
            except (OSError, http.client.HTTPException, json.JSONDecodeError):  # refused, reset, or cut off
                return

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._may_end = True
        for thread in self._threads:
            thread.join()


def recorded_ids(fluentd: FluentServer) -> list[str]:
    """Return the ids of the predictions that have arrived."""
    return [entry["record"]["prediction_id"] for entry in fluentd.records()]


def check_all_recorded(fluentd: FluentServer, answered: list[str], *, unanswered: int = 0) -> None:
    """Check that every answered prediction has arrived once, and of others at most *unanswered*."""
    found = Counter(recorded_ids(fluentd))
    lost = set(answered) - found.keys()
    doubled = {prediction for prediction, number in found.items() if number > 1}
    others = found.keys() - set(answered)
    assert (len(lost), len(doubled)) == (0, 0), f"{len(answered)} were answered; lost {lost}, doubled {doubled}."
    assert len(others) <= unanswered


# --- gunicorn -------------------------------------------------------------------------------------------------------


@pytest.mark.peers
@pytest.mark.parametrize("preload", [pytest.param(False, id="after fork"), pytest.param(True, id="preload")])
@pytest.mark.parametrize("worker", WORKERS)
def test_sigterm_under_load_loses_and_doubles_nothing(
    tmp_path: Path, fluentd: FluentServer, worker: dict[str, Any], preload: bool
) -> None:
    check_end_under_load(gunicorn(tmp_path, fluentd, preload=preload, **worker), fluentd, signal.SIGTERM)


@pytest.mark.peers
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGQUIT], ids=lambda signum: signum.name)
def test_a_quick_shutdown_under_load_loses_and_doubles_nothing(
    tmp_path: Path, fluentd: FluentServer, signum: signal.Signals
) -> None:
    """These make a worker exit in the midst of a request, wherever it is; what was answered must be safe already.

    With threads, gunicorn's own handler of these signals may wait for a lock that the code it interrupts holds.
    """
    check_end_under_load(gunicorn(tmp_path, fluentd, **SYNC), fluentd, signum)


def gunicorn(tmp_path: Path, fluentd: FluentServer, *, source: str = SCORING, **options: Any) -> Gunicorn:
    """Return a server with two workers that sends to *fluentd*."""
    env = {"BEDROCK_FLUENTD_ADDR": fluentd.addr}
    return Gunicorn("scoring:app", tmp_path / "app", source=source, workers=2, env=env, **options)


def check_end_under_load(server: Gunicorn, fluentd: FluentServer, signum: signal.Signals) -> None:
    """End the server while clients send; what they saw answered must be with fluentd, once."""
    with server, Load(server.url) as load:
        wait_for(lambda: len(load.answered) >= 200, what="200 answers")
        assert server.stop(signum) == 0
    # Answers may have been cut off on their way, one a client.
    check_all_recorded(fluentd, load.answered, unanswered=CLIENTS)


@pytest.mark.peers
def test_recycled_workers_lose_nothing(tmp_path: Path, fluentd: FluentServer) -> None:
    # A worker that is just being started may miss the signal; it has nothing to lose, and is not waited for long.
    with gunicorn(tmp_path, fluentd, args=["--max-requests=20", "--graceful-timeout=10"]) as server:
        answered = predict_many(server.url, 200)
        assert len(set(re.findall(r"Booting worker with pid: (\d+)", server.log()))) >= 8
        server.stop()
        check_all_recorded(fluentd, answered)


@pytest.mark.peers
@pytest.mark.parametrize("worker", WORKERS)
def test_a_preloading_master_that_has_predicted_shares_nothing_with_its_workers(
    tmp_path: Path, fluentd: FluentServer, worker: dict[str, Any]
) -> None:
    with gunicorn(tmp_path, fluentd, source=WARMED_UP, preload=True, **worker) as server:
        (own,) = re.findall(r"^warmed up: (\S+)$", server.log(), re.M)
        answered = predict_many(server.url, 50)
        # Records set out by themselves, in the master and in every worker.
        wait_for(lambda: len(recorded_ids(fluentd)) == 51, what="all records")
        answered += predict_many(server.url, 50)
        assert server.stop() == 0
        check_all_recorded(fluentd, [own, *answered])


@dataclass
class LogMetrics:
    """What a server says of its records."""

    accepted: float
    delivered: float
    waiting: float
    dropped: dict[str, float]


def log_metrics(url: str) -> LogMetrics:
    """Scrape a server of one process."""
    samples = {}
    for family in text_string_to_metric_families(fetch(f"{url}/metrics").text):
        for sample in family.samples:
            labels = sample.labels.get("outcome") or sample.labels.get("reason")
            samples[sample.name, labels] = sample.value
    return LogMetrics(
        accepted=samples["boxkite_log_records_total", "accepted"],
        delivered=samples["boxkite_log_records_total", "delivered"],
        waiting=samples["boxkite_log_queue_records", None],
        dropped={
            reason: value for (name, reason), value in samples.items() if name == "boxkite_log_dropped_total" and value
        },
    )


@pytest.fixture(params=["accepts and is silent", "refuses"])
def dead_fluentd(request: pytest.FixtureRequest, free_tcp_port: int) -> Iterator[str]:
    """Return the address of a fluentd that takes nothing."""
    if request.param == "refuses":
        yield f"127.0.0.1:{free_tcp_port}"
        return
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        # The kernel accepts, and takes what fits into its buffers; no program ever reads.
        hole.listen()
        yield f"127.0.0.1:{hole.getsockname()[1]}"


@pytest.mark.parametrize("worker", WORKERS)
def test_a_dead_fluentd_holds_up_neither_requests_nor_the_exit(
    tmp_path: Path, dead_fluentd: str, worker: dict[str, Any]
) -> None:
    env = {
        "BEDROCK_FLUENTD_ADDR": dead_fluentd,
        "APP_BOXKITE_SHUTDOWN_TIMEOUT": "1",
        "APP_BOXKITE_QUEUE_BYTES": "20000",
    }
    # gunicorn itself would end a worker that hangs at exit; it must not come to that.
    options = {**worker, "args": [*worker.get("args", ()), "--graceful-timeout=300", "--timeout=300"]}
    with Gunicorn("scoring:app", tmp_path / "app", source=SCORING, env=env, **options) as server:
        predict_many(server.url, 200)
        found = log_metrics(server.url)
        assert (found.accepted, found.delivered) == (200, 0)
        assert found.dropped.keys() == {"queue_full"}
        assert 0 < found.waiting < 200
        assert found.waiting + found.dropped["queue_full"] == 200
        # Far below gunicorn's patience, far above ours even on a slow machine.
        assert server.stop(timeout=20) == 0
        (dropped,) = re.findall(r"Dropped (\d+) records", server.log())
        assert int(dropped) == found.waiting


# --- Other servers --------------------------------------------------------------------------------------------------

OTHERS = [
    pytest.param(["-m", "waitress", "--listen=127.0.0.1:0", "scoring:app"], id="waitress"),
    pytest.param(["-m", "flask", "--app=scoring", "run", "--port=0"], id="flask run"),
    pytest.param(["-m", "flask", "--app=scoring", "run", "--port=0", "--without-threads"], id="flask run, one thread"),
]


@pytest.mark.peers
@pytest.mark.usefixtures("can_be_interrupted")
@pytest.mark.parametrize("command", OTHERS)
def test_other_servers_deliver_by_themselves_and_at_their_end(
    tmp_path: Path, fluentd: FluentServer, command: list[str]
) -> None:
    with python_server(tmp_path, fluentd, command) as server:
        answered = predict_many(server.url, 50)
        wait_for(lambda: len(recorded_ids(fluentd)) == 50, what="all records")
        answered += predict_many(server.url, 50)
        server.stop(signal.SIGINT)
        check_all_recorded(fluentd, answered)


@pytest.mark.peers
def test_the_debugging_server_delivers_and_reloads(tmp_path: Path, fluentd: FluentServer) -> None:
    """It runs the app in a child, and starts it again whenever a file changes."""
    command = ["-m", "flask", "--app=scoring", "run", "--port=0", "--debug"]
    with python_server(tmp_path, fluentd, command) as server:
        answered = predict_many(server.url, 10)
        wait_for(lambda: len(recorded_ids(fluentd)) == len(answered), what="all records")
        (tmp_path / "app" / "scoring.py").write_text(SCORING + "\nprint('the second edition', flush=True)\n")
        wait_for(lambda: "the second edition" in server.log(), what="the reloaded app")
        answered += predict_many(server.url, 10)
        wait_for(lambda: len(recorded_ids(fluentd)) == len(answered), what="all records")
        check_all_recorded(fluentd, answered)


def python_server(tmp_path: Path, fluentd: FluentServer, command: list[str]) -> Program:
    """Return a server for the app that sends to *fluentd*."""
    directory = tmp_path / "app"
    directory.mkdir()
    (directory / "scoring.py").write_text(SCORING)
    return PythonServer(command, directory, env={"BEDROCK_FLUENTD_ADDR": fluentd.addr})


# --- Scripts --------------------------------------------------------------------------------------------------------

SCRIPT = r"""
import os
import sys

from flask_boxkite import ModelMonitoringService

monitor = ModelMonitoringService()
for number in range(3000):
    os.write(1, monitor.log_prediction("", [float(number), 1.0], number / 2).encode() + b"\n")
"""


@pytest.mark.peers
@pytest.mark.parametrize(
    ("end", "code"),
    [
        pytest.param("", 0, id="end of file"),
        pytest.param("sys.exit(3)", 3, id="exit"),
        pytest.param("raise SystemError('the batch is bad')", 1, id="exception"),
        pytest.param("monitor.close()", 0, id="close"),
    ],
)
def test_a_script_delivers_before_it_ends(tmp_path: Path, fluentd: FluentServer, end: str, code: int) -> None:
    result = run_script(tmp_path, SCRIPT + end, BEDROCK_FLUENTD_ADDR=fluentd.addr)
    assert result.returncode == code, result.stderr
    answered = result.stdout.split()
    assert len(answered) == 3000
    check_all_recorded(fluentd, answered)


FORKING_SCRIPT = r"""
import os

from flask_boxkite import ModelMonitoringService

monitor = ModelMonitoringService()


def predict():
    os.write(1, monitor.log_prediction("", [1.0], 0.5).encode() + b"\n")


for _ in range(100):
    predict()
child = os.fork()
for _ in range(100):
    predict()
if child:
    os.waitpid(child, 0)
"""


@pytest.mark.peers
def test_a_forking_script_delivers_from_both_processes(tmp_path: Path, fluentd: FluentServer) -> None:
    result = run_script(tmp_path, FORKING_SCRIPT, BEDROCK_FLUENTD_ADDR=fluentd.addr)
    assert result.returncode == 0, result.stderr
    answered = result.stdout.split()
    assert len(answered) == 300
    check_all_recorded(fluentd, answered)


POOL_SCRIPT = r"""
import multiprocessing
import os

from flask_boxkite import ModelMonitoringService

monitor = ModelMonitoringService()


def predict():
    os.write(1, monitor.log_prediction("", [1.0], 0.5).encode() + b"\n")


if __name__ == "__main__":
    predict()
    children = [multiprocessing.get_context("fork").Process(target=predict) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()
"""


@pytest.mark.peers
def test_children_of_multiprocessing_deliver_before_they_end(tmp_path: Path, fluentd: FluentServer) -> None:
    """They end without running what is registered with `atexit`."""
    result = run_script(tmp_path, POOL_SCRIPT, BEDROCK_FLUENTD_ADDR=fluentd.addr)
    assert result.returncode == 0, result.stderr
    answered = result.stdout.split()
    assert len(answered) == 4
    check_all_recorded(fluentd, answered)


def run_script(tmp_path: Path, source: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a script to its end."""
    script = tmp_path / "script.py"
    script.write_text(source)
    return subprocess.run(
        [sys.executable, script], cwd=tmp_path, env={**os.environ, **env}, capture_output=True, text=True, timeout=60
    )
