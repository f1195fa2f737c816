"""Records on their way from real processes to a real server: what stops, dies, forks or hangs loses none uncounted."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from flask_boxkite import ModelMonitoringService
from tests.peers import FluentServer, Gunicorn, fetch, free_port, wait_for
from tests.sinks import scripted_server as script
from tests.sinks.scripted_server import ScriptedServer

APP = """
    import os

    from flask_boxkite import ModelMonitoringService

    service = ModelMonitoringService(sink=os.environ["SINK"], fluentd_addr=os.environ.get("ADDR"),
                                     log_dir=os.environ.get("DIR"), shutdown_timeout=os.environ.get("TIMEOUT", "5"))
    service.log_prediction(features=["set-up"], output=os.getpid())


    def app(environ, start_response):
        prediction = service.log_prediction(features=[environ["PATH_INFO"]], output=os.getpid())
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [prediction.encode()]
"""

SILENT = [
    pytest.param(script.never_read, id="never reads"),
    pytest.param(script.swallow, id="never acknowledges"),
]


def run(source: str, *arguments: Any, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run a script to its end, which must be a good one."""
    command = [sys.executable, "-c", textwrap.dedent(source), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stderr
    return done


def service_for(server: FluentServer, **settings: Any) -> ModelMonitoringService:
    """Make a service whose records go to a server."""
    return ModelMonitoringService(sink="fluentd", fluentd_addr=server.addr, **settings)


def outputs(server: FluentServer) -> list[Any]:
    """Return the outputs of all records that a server has."""
    return [entry["record"]["output"] for entry in server.records()]


# --- the end of a script --------------------------------------------------------------------------------------------


@pytest.mark.peers
def test_a_script_that_just_ends_loses_nothing(tmp_path: Path) -> None:
    with FluentServer(tmp_path) as server:
        run(
            """
            import sys
            from flask_boxkite import ModelMonitoringService

            service = ModelMonitoringService(sink="fluentd", fluentd_addr=sys.argv[1])
            for number in range(5000):
                service.log_prediction(features=[1.5] * 30, output=number)
            """,
            server.addr,
        )
        assert outputs(server) == list(range(5000))


@pytest.mark.peers
def test_records_of_exit_hooks_are_delivered_too(tmp_path: Path) -> None:
    """By then, Python 3.12 starts no thread and newer hooks are not called any more."""
    with FluentServer(tmp_path) as server:
        run(
            """
            import atexit, sys
            from flask_boxkite import ModelMonitoringService

            service = ModelMonitoringService(sink="fluentd", fluentd_addr=sys.argv[1])
            atexit.register(lambda: service.log_prediction(features=[1], output="at exit"))
            """,
            server.addr,
        )
        assert outputs(server) == ["at exit"]


@pytest.mark.peers
def test_a_script_that_raises_or_exits_loses_nothing(tmp_path: Path) -> None:
    with FluentServer(tmp_path) as server:
        for end in ("raise ValueError", "sys.exit(1)"):
            source = f"""
            import sys
            from flask_boxkite import ModelMonitoringService

            service = ModelMonitoringService(sink="fluentd", fluentd_addr=sys.argv[1])
            service.log_prediction(features=[1], output={end!r})
            {end}
            """
            command = [sys.executable, "-c", textwrap.dedent(source), server.addr]
            assert subprocess.run(command, capture_output=True, timeout=60).returncode == 1
        assert outputs(server) == ["raise ValueError", "sys.exit(1)"]


SCRIPT_OF_THREE = """
    import sys
    from flask_boxkite import ModelMonitoringService

    service = ModelMonitoringService(sink="fluentd", fluentd_addr=sys.argv[1], shutdown_timeout=0.5)
    for number in range(3):
        service.log_prediction("x" * 60_000 * number, features=[1], output=number)
"""
DROPPED_THREE = "Dropped 3 records that the sink 'fluentd' did not take in time."


def test_a_script_ends_although_nobody_listens() -> None:
    assert DROPPED_THREE in run(SCRIPT_OF_THREE, f"127.0.0.1:{free_port()}").stderr


@pytest.mark.parametrize("behaviour", SILENT)
def test_a_script_ends_although_the_server_is_silent(behaviour: script.Behaviour) -> None:
    with ScriptedServer(behaviour) as server:
        assert DROPPED_THREE in run(SCRIPT_OF_THREE, server.addr).stderr


# --- servers that come and go ---------------------------------------------------------------------------------------


@pytest.mark.peers
def test_what_waits_for_a_server_is_delivered_once_it_is_up(tmp_path: Path) -> None:
    port = free_port()
    service = ModelMonitoringService(sink="fluentd", fluentd_addr=f"127.0.0.1:{port}")
    for number in range(100):
        service.log_prediction(features=[1], output=number)
    assert service.flush(0.3) == 100
    with FluentServer(tmp_path, port=port) as server:
        wait_for(lambda: len(outputs(server)) == 100, what="the records, with no new traffic")
        assert outputs(server) == list(range(100))
        service.close()


@pytest.mark.peers
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_restarts_of_the_server_lose_nothing(tmp_path: Path, signum: int) -> None:
    with FluentServer(tmp_path) as server:
        service = service_for(server)
        for restart in range(3):
            for number in range(200):
                service.log_prediction(features=[1], output=restart * 200 + number)
                if number == 100:
                    server.stop(signum)
            server.start()
        assert service.flush(60) == 0
        service.close()
        received = Counter(entry["record"]["entity_id"] for entry in server.records())
        assert len(received) == 600
        assert sorted(set(outputs(server))) == list(range(600))


def test_a_batch_whose_acknowledgement_was_lost_can_be_told_by_its_entity_ids() -> None:
    with ScriptedServer(script.take_and_reset, script.acknowledge) as server:
        service = ModelMonitoringService(sink="fluentd", fluentd_addr=server.addr)
        service.log_prediction(features=[1], output=1)
        assert service.flush(30) == 0
        service.close()
        first, second = server.records()
        assert first == second
        assert server.chunks()[0] == server.chunks()[1]


# --- forks ----------------------------------------------------------------------------------------------------------


@pytest.mark.peers
def test_children_of_a_process_with_waiting_records_send_only_their_own(tmp_path: Path) -> None:
    with FluentServer(tmp_path) as server:
        done = run(
            """
            import os, sys
            from flask_boxkite import ModelMonitoringService

            service = ModelMonitoringService(sink="fluentd", fluentd_addr=sys.argv[1])
            service.log_prediction(features=[1], output="before")
            service.flush(30)
            for number in range(200):
                service.log_prediction(features=[1], output=f"parent {number}")
                if number % 20 == 0 and os.fork() == 0:
                    if number != 100:  # one that logs nothing must not even wait for its parent's records
                        service.log_prediction(features=[1], output=f"child {number}")
                    sys.exit()
            service.log_prediction(features=[1], output="after")
            for _ in range(10):
                os.wait()
            """,
            server.addr,
        )
        assert "Dropped" not in done.stderr
        expected = {
            "before",
            "after",
            *(f"parent {n}" for n in range(200)),
            *(f"child {n}" for n in range(0, 200, 20) if n != 100),
        }
        assert Counter(outputs(server)) == Counter(expected)


# --- gunicorn -------------------------------------------------------------------------------------------------------


@pytest.mark.peers
@pytest.mark.parametrize("preload", [False, True], ids=["each loads", "preload"])
def test_gunicorn_delivers_everything_before_it_stops(tmp_path: Path, preload: bool) -> None:
    """With preload, the app has logged a record before the workers are forked: it must arrive once."""
    with FluentServer(tmp_path / "fluentd") as server:
        env = {"SINK": "fluentd", "ADDR": server.addr}
        with Gunicorn("app:app", tmp_path / "app", source=APP, workers=2, preload=preload, env=env) as gunicorn:
            answered = [fetch(f"{gunicorn.url}/{number}").text for number in range(100)]
            assert gunicorn.stop(signal.SIGTERM) == 0
        records = [entry["record"] for entry in server.records()]
        at_set_up = [record for record in records if record["features"] == ["set-up"]]
        assert len(at_set_up) == (1 if preload else 2)
        requested = Counter(record["prediction_id"] for record in records if record["features"] != ["set-up"])
        assert requested == Counter(answered)


@pytest.mark.parametrize("behaviour", SILENT)
def test_gunicorn_stops_although_the_server_is_silent(tmp_path: Path, behaviour: script.Behaviour) -> None:
    with ScriptedServer(behaviour) as server:
        env = {"SINK": "fluentd", "ADDR": server.addr, "TIMEOUT": "0.5"}
        with Gunicorn("app:app", tmp_path, source=APP, env=env) as gunicorn:
            for number in range(10):
                assert fetch(f"{gunicorn.url}/{number}").status == 200
            assert gunicorn.stop(signal.SIGTERM) == 0
            assert "Dropped 11 records that the sink 'fluentd' did not take in time." in gunicorn.log()


def test_gunicorn_writes_a_file_per_process_and_minute(tmp_path: Path) -> None:
    env = {"SINK": "file", "DIR": str(tmp_path / "logs"), "BEDROCK_POD_NAME": "pod"}
    with Gunicorn("app:app", tmp_path, source=APP, workers=2, preload=True, env=env) as gunicorn:
        answered = [fetch(f"{gunicorn.url}/{number}").text for number in range(50)]
        assert gunicorn.stop(signal.SIGTERM) == 0
    found: list[str] = []
    for path in (tmp_path / "logs").rglob("*.txt"):
        layout = r"models/predictions/unknown-endpoint/\d{4}-\d\d-\d\d/\d{4}_boxkite-pod-(\d+)\.txt"
        match = re.fullmatch(layout, str(path.relative_to(tmp_path / "logs")))
        assert match is not None, path
        records = [json.loads(line) for line in path.read_text().splitlines()]
        assert {record["output"] for record in records} == {int(match[1])}
        found += [record["prediction_id"] for record in records if record["features"] != ["set-up"]]
    assert sorted(found) == sorted(answered)
