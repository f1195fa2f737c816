"""The real programs that other tests rely on do work, and their absence is said."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
from fluent.sender import EventTime, FluentSender

from tests import peers
from tests.peers import FluentServer, Gunicorn, Prometheus, boxkite_python, fetch, npm_modules, require, wait_for

HELLO_APP = """
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]
"""

# Counts what it sees, and answers only those who know the token.
METRICS_APP = """
    from prometheus_client import CollectorRegistry, Counter, make_wsgi_app

    registry = CollectorRegistry()
    counter = Counter("rides", "Rides so far.", ["city"], registry=registry)
    counter.labels("Berlin").inc(7)
    metrics = make_wsgi_app(registry)

    def app(environ, start_response):
        if environ["PATH_INFO"] == "/ride":
            counter.labels("Berlin").inc()
        if environ["PATH_INFO"] == "/metrics" and environ.get("HTTP_AUTHORIZATION") != "Bearer open-sesame":
            start_response("401 Unauthorized", [])
            return [b""]
        return metrics(environ, start_response)
"""


# --- When something is missing --------------------------------------------------------------------------------------


def test_a_missing_program_skips_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"^The program 'no-such-program' is missing\. 'python3 tests/run"):
        require("no-such-program")


def test_a_missing_program_fails_the_test_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=r"^The program 'no-such-program' is missing\. 'python3 tests/run"):
        require("no-such-program")


def test_missing_packages_skip_the_test(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"^boxkite 0\.0\.5 is missing\."):
        boxkite_python(tmp_path)
    with pytest.raises(pytest.skip.Exception, match=r"^The npm package '@fluent-org/logger' is missing\."):
        npm_modules("@fluent-org/logger", tmp_path)


# --- Waiting --------------------------------------------------------------------------------------------------------


def test_wait_for_returns_the_first_true_value_and_bears_exceptions() -> None:
    def answers() -> Iterator[object]:
        yield 0
        yield "ready"

    values = answers()
    calls = iter([ValueError("not yet"), None, None])

    def condition() -> object:
        error = next(calls)
        if error is not None:
            raise error
        return next(values)

    assert wait_for(condition) == "ready"


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        pytest.param(lambda: [], r"^Waited 0 s for a miracle, last value \[\]\.$", id="value"),
        pytest.param(lambda: {}["a"], r"^Waited 0 s for a miracle, last exception KeyError\('a'\)\.$", id="exception"),
    ],
)
def test_wait_for_says_what_it_waited_for(condition: object, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        wait_for(condition, timeout=0, what="a miracle")  # type: ignore[arg-type]


# --- gunicorn -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("worker_class", ["sync", "gthread"])
def test_gunicorn_serves_an_app(tmp_path: Path, worker_class: str) -> None:
    with Gunicorn("hello:app", tmp_path, source=HELLO_APP, worker_class=worker_class, preload=True) as server:
        assert fetch(f"{server.url}/").text == "hello"
        assert f"Using worker: {worker_class}" in server.log()
        assert server.stop() == 0
    assert "Shutting down: Master" in server.log()


def test_gunicorn_leaves_no_process_even_when_its_master_is_killed(tmp_path: Path) -> None:
    with Gunicorn("hello:app", tmp_path, source=HELLO_APP, workers=2) as server:
        workers = wait_for(lambda: len(server.worker_pids()) == 2 and server.worker_pids(), what="two workers")
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
        # Orphans are reaped by the system's first process, in its own time.
        wait_for(lambda: not any(map(peers.is_alive, workers)), what="the end of the workers")


def test_gunicorn_starts_again_on_the_same_port(tmp_path: Path) -> None:
    with Gunicorn("hello:app", tmp_path, source=HELLO_APP) as server:
        url = server.url
        server.stop()
        server.start()
        assert server.url == url
        assert fetch(f"{url}/").text == "hello"


def test_a_program_that_cannot_start_fails_at_once_with_its_log(tmp_path: Path) -> None:
    server = Gunicorn("hello:app", tmp_path, source=HELLO_APP, args=["--no-such-option"])
    with pytest.raises(pytest.fail.Exception, match=r"(?s)^Gunicorn ended before .*no-such-option"):
        server.start()


# --- Prometheus -----------------------------------------------------------------------------------------------------


@pytest.mark.peers
def test_prometheus_shows_what_was_there_before_the_scrape(tmp_path: Path) -> None:
    with (
        Gunicorn("rides:app", tmp_path / "app", source=METRICS_APP) as server,
        Prometheus(tmp_path / "prometheus", [server.address], token="open-sesame") as prometheus,
    ):
        prometheus.wait_scraped()
        series = prometheus.query("rides_total")
        assert series == [
            {
                "metric": {"__name__": "rides_total", "city": "Berlin", "instance": server.address, "job": "app"},
                "value": 7.0,
            }
        ]
        fetch(f"{server.url}/ride")
        prometheus.wait_scraped(after=time.time())
        assert prometheus.value("rides_total") == 8.0
        assert prometheus.query("vector(1) + 1") == [{"metric": {}, "value": 2.0}]
        assert prometheus.query("scalar(vector(3))") == [{"metric": {}, "value": 3.0}]
        assert [target["health"] for target in prometheus.targets()] == ["up"]


@pytest.mark.peers
def test_prometheus_names_a_target_that_refuses(tmp_path: Path) -> None:
    """A scrape without the token fails; waiting for it must tell why instead of taking it for a scrape."""
    with (
        Gunicorn("rides:app", tmp_path / "app", source=METRICS_APP) as server,
        Prometheus(tmp_path / "prometheus", [server.address]) as prometheus,
    ):
        wait_for(lambda: prometheus.query("up"), what="a first scrape")
        with pytest.raises(AssertionError, match="server returned HTTP status 401"):
            prometheus.wait_scraped(timeout=0)


@pytest.mark.peers
def test_prometheus_evaluates_rules(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text("groups: [{name: test, rules: [{record: 'answer', expr: 'vector(42)'}]}]")
    with Prometheus(tmp_path / "prometheus", [], rule_files=[rules]) as prometheus:
        assert wait_for(lambda: prometheus.query("answer"), what="a rule")[0]["value"] == 42.0


# --- Forward protocol -----------------------------------------------------------------------------------------------


def send(server: FluentServer, label: str, when: object, record: dict[str, object]) -> None:
    """Send one record with plain fluent-logger."""
    sender = FluentSender("app", host="127.0.0.1", port=server.port)
    try:
        assert sender.emit_with_time(label, when, record), sender.last_error
    finally:
        sender.close()


@pytest.mark.peers
def test_the_fluent_server_keeps_records_to_the_nanosecond(tmp_path: Path) -> None:
    record = {"text": "snö\u2028\n☃", "numbers": [1, 2.5, None, True], "deep": {"er": "x" * 100_000}}
    with FluentServer(tmp_path) as server:
        send(server, "fine", EventTime(1_700_000_000, 7), record)
        wait_for(lambda: len(server.records()) == 1, what="the first record")
        send(server, "coarse", 1_700_000_001, {})
        wait_for(lambda: len(server.records()) == 2, what="the second record")
        assert server.records() == [
            {"tag": "app.fine", "time": 1_700_000_000_000_000_007, "event_time": True, "record": record},
            {"tag": "app.coarse", "time": 1_700_000_001_000_000_000, "event_time": False, "record": {}},
        ]


@pytest.mark.peers
def test_the_fluent_server_comes_back_on_its_port_with_what_it_had(tmp_path: Path) -> None:
    with FluentServer(tmp_path) as server:
        addr = server.addr
        send(server, "before", EventTime(1, 0), {"n": 1})
        wait_for(server.records, what="the record before the stop")
        server.stop()
        with pytest.raises(AssertionError, match="refused"):
            send(server, "later", EventTime(2, 0), {"n": 2})
        server.start()
        assert server.addr == addr
        send(server, "after", EventTime(3, 0), {"n": 3})
        wait_for(lambda: len(server.records()) == 2, what="the record after the start")
        assert [entry["record"] for entry in server.records()] == [{"n": 1}, {"n": 3}]


@pytest.mark.peers
def test_the_fluent_server_acknowledges_only_what_it_has_kept(tmp_path: Path) -> None:
    with FluentServer(tmp_path) as server, ForwardClient(server) as client:
        entries = b"".join(msgpack.packb([EventTime(n, 0), {"n": n}]) for n in range(1000))
        client.send(["app.batch", entries, {"chunk": "first"}])
        assert client.receive() == {"ack": "first"}
        assert [entry["record"]["n"] for entry in server.records()] == list(range(1000))


@pytest.mark.peers
@pytest.mark.parametrize(
    ("key", "accepted", "reason"),
    [
        pytest.param("secret", True, "", id="right key"),
        pytest.param("guess", False, "shared key mismatch", id="wrong key"),
    ],
)
def test_the_fluent_server_checks_the_shared_key(tmp_path: Path, key: str, accepted: bool, reason: str) -> None:
    with FluentServer(tmp_path, shared_key="secret", hostname="server") as server, ForwardClient(server) as client:
        helo, options = client.receive()
        assert helo == "HELO"
        proof = hashlib.sha512(b"salt" + b"client" + options["nonce"] + key.encode()).hexdigest()
        client.send(["PING", "client", "salt", proof, "", ""])
        pong = client.receive()
        assert pong[:4] == ["PONG", accepted, reason, "server"]
        expected = hashlib.sha512(b"salt" + b"server" + options["nonce"] + b"secret").hexdigest()
        assert pong[4] == (expected if accepted else "")


class ForwardClient:
    """A connection on which a test speaks the Forward protocol word by word."""

    def __init__(self, server: FluentServer) -> None:
        self._connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        self._unpacker = msgpack.Unpacker()

    def send(self, message: object) -> None:
        """Send one message."""
        self._connection.sendall(msgpack.packb(message))

    def receive(self) -> Any:
        """Return the next message."""
        while True:
            for message in self._unpacker:
                return message
            data = self._connection.recv(65536)
            assert data, "The server closed the connection."
            self._unpacker.feed(data)

    def __enter__(self) -> ForwardClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()


# --- boxkite 0.0.5 --------------------------------------------------------------------------------------------------


@pytest.mark.peers
def test_boxkite_exports_text_in_its_own_environment(tmp_path: Path) -> None:
    program = """
from boxkite.monitoring.service import ModelMonitoringService

ModelMonitoringService.export_text(
    features=[("age", [float(n) for n in range(100)])], inference=[n / 100 for n in range(100)], path="histogram.prom"
)
"""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([boxkite_python(), "-c", program], cwd=tmp_path, env=environment, check=True)
    text = (tmp_path / "histogram.prom").read_text()
    assert "Baseline values for feature: age" in text
    assert 'feature_0_value_baseline_bucket{le="+Inf"} 100.0' in text
