"""Further features of gunicorn: dirty workers, its control socket, HTTP/2 and the uwsgi protocol. Counts are exact."""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flask_boxkite import Baseline
from tests.integration.load import CLIENTS, SCORING_APP, Load, check_counts, parse, scrape, scrape_all, total, train
from tests.peers import Gunicorn, fetch, is_alive, library, wait_for
from tests.web.served import SERVERS, peer_server

ROW = {"amount": 12.5, "temperature": -1.0, "visits": 2, "city": "Oslo"}

Start = Callable[..., Gunicorn]


@pytest.fixture
def baseline(tmp_path: Path, rng: np.random.Generator) -> Baseline:
    """Train."""
    return train(tmp_path / "histogram.prom", rng)


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """Return where records are written."""
    return tmp_path / "records"


@pytest.fixture
def start(tmp_path: Path, baseline: Baseline, records: Path) -> Iterator[Start]:
    """Return what starts a server with two workers; it ends with the test."""
    servers: list[Gunicorn] = []

    def start(source: str = SCORING_APP, **options: Any) -> Gunicorn:
        library("gunicorn.ctl")  # older ones have none of this
        env = {
            "PYTHONPATH": os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(SERVERS)])),
            "APP_BOXKITE_BASELINE": str(tmp_path / "histogram.prom"),
            "APP_BOXKITE_LOG_DIR": str(records),
        }
        server = Gunicorn("scoring:app", tmp_path / "app", source=source, workers=2, env=env, **options)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.kill()


def number_of(records: Path) -> int:
    """Return how many records were written."""
    return sum(len(path.read_bytes().splitlines()) for path in records.rglob("*.txt"))


# --- Dirty workers --------------------------------------------------------------------------------------------------

ASKING = (
    SCORING_APP
    + """

@app.post("/dirty")
def ask():
    from gunicorn.dirty import get_dirty_client

    return get_dirty_client().execute("model:Model", "rate", request.get_json())
"""
)

MODEL = """
import os

from gunicorn.dirty import DirtyApp


class Model(DirtyApp):
    def init(self):
        from scoring import monitor, rate

        self.monitor, self.of = monitor, rate

    def rate(self, row):
        output = self.of(row)
        return {"pid": os.getpid(), "id": self.monitor.log_prediction("", row, output)}

    def close(self):
        CLOSE
"""


def start_dirty(start: Start, tmp_path: Path, app: str, *, close: str = "pass") -> Gunicorn:
    """Start a server with two dirty workers."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "model.py").write_text(MODEL.replace("CLOSE", close))
    # A server kills the dirty workers of another one that has its name.
    name = f"--name={tmp_path.name}-{os.getpid()}"
    return start(ASKING, args=[name, f"--dirty-app={app}", "--dirty-workers=2", f"--pythonpath={tmp_path / 'app'}"])


def ask(server: Gunicorn, number: int) -> set[int]:
    """Have dirty workers predict; return which did."""

    def once(_: int) -> int:
        answer = fetch(f"{server.url}/dirty", json_body=ROW)
        assert answer.status == 200, answer.text
        return int(answer.json()["pid"])

    with ThreadPoolExecutor(CLIENTS) as pool:
        return set(pool.map(once, range(number)))


@pytest.mark.parametrize("app", ["model:Model", "model:Model:2"], ids=["read by the master", "read by dirty workers"])
def test_dirty_workers_count_with_the_others(start: Start, tmp_path: Path, app: str) -> None:
    """They are children of a process between them and the master."""
    server = start_dirty(start, tmp_path, app)
    wait_for(lambda: len(ask(server, 1)) == 1, what="a dirty worker")
    before = total(scrape(server.port)[1], "boxkite_predictions_total")
    first, *_ = ask(server, 20)
    for _ in range(20):
        assert fetch(f"{server.url}/score", json_body=ROW).status == 200
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: not is_alive(first), what="the end of a dirty worker")
    for samples in scrape_all(server).values():
        assert total(samples, "boxkite_predictions_total") == before + 40


@pytest.mark.parametrize(
    ("close", "is_closed"), [("self.monitor.close()", True), ("pass", False)], ids=["closed", "not closed"]
)
def test_a_dirty_worker_delivers_what_waits_if_its_app_closes_the_monitor(
    start: Start, tmp_path: Path, records: Path, close: str, is_closed: bool
) -> None:
    """It ends without exit hooks; what is lost then is counted, and logged by the next process that looks."""
    server = start_dirty(start, tmp_path, "model:Model:2", close=close)
    wait_for(lambda: len(ask(server, 1)) == 1, what="a dirty worker")
    wait_for(lambda: number_of(records) > 0, what="delivery")
    before = total(scrape(server.port)[1], "boxkite_log_records_total", outcome="accepted")
    ask(server, 20)
    arbiter = parent_of(ask(server, 1).pop())
    os.kill(arbiter, signal.SIGTERM)

    def lost() -> float:
        return total(scrape(server.port)[1], "boxkite_log_dropped_total", reason="process_died")

    def logged() -> int:
        return sum(map(int, re.findall(r"Dropped (\d+) records for the sink .* \('process_died'\)", server.log())))

    wait_for(lambda: number_of(records) + lost() == before + 21, what="what became of all records")
    # A process that starts also logs losses of other servers, including servers of other tests.
    wait_for(lambda: logged() >= lost(), what="the log of those that are lost")
    assert lost() == 0 or not is_closed


def parent_of(pid: int) -> int:
    """Return the parent of a process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1])


# --- The control socket ---------------------------------------------------------------------------------------------


def test_workers_that_are_added_and_removed_count_together(start: Start, tmp_path: Path, baseline: Baseline) -> None:
    server = start(args=[f"--control-socket={tmp_path / 'control'}"])

    def control(command: str) -> None:
        with library("gunicorn.ctl.client").ControlClient(str(tmp_path / "control")) as client:
            client.send_command(command)

    with Load(server.port, baseline) as load:
        load.wait_answered(50)
        control("worker add 2")
        load.wait_for(lambda: len(load.scraper.pids) == 4, "scrapes of four workers")
        control("worker remove 3")
        load.wait_for(lambda: len(server.worker_pids()) == 1, "the end of three workers")
        load.wait_answered(50)
    for samples in scrape_all(server).values():
        check_counts(samples, baseline, load.answered, load.unanswered)
    assert load.unanswered == []


# --- Other protocols ------------------------------------------------------------------------------------------------

Ask = Callable[[int, str, bytes], bytes]


def by_uwsgi(port: int, path: str, body: bytes) -> bytes:
    """Send a request as nginx does with `uwsgi_pass`; return the body of the answer."""
    names = {
        "REQUEST_METHOD": "POST" if body else "GET",
        "PATH_INFO": path,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_CONNECTION": "close",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
    }
    packet = b"".join(struct.pack("<H", len(text)) + text.encode() for item in names.items() for text in item)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(struct.pack("<BHB", 0, len(packet), 0) + packet + body)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, content = answer.partition(b"\r\n\r\n")
    assert head.split()[1] == b"200", head
    return content


def by_http2(port: int, path: str, body: bytes) -> bytes:
    """Send a request by HTTP/2; return the body of the answer."""
    library_of_servers("h2")
    connections, events = importlib.import_module("h2.connection"), importlib.import_module("h2.events")
    http2 = connections.H2Connection()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        http2.initiate_connection()
        method = "POST" if body else "GET"
        headers = [(":method", method), (":path", path), (":scheme", "http"), (":authority", "test")]
        http2.send_headers(1, [*headers, ("content-type", "application/json")], end_stream=not body)
        if body:
            http2.send_data(1, body, end_stream=True)
        content, status, is_ended = b"", "", False
        while not is_ended:
            connection.sendall(http2.data_to_send())
            for event in http2.receive_data(connection.recv(65536)):
                if isinstance(event, events.ResponseReceived):
                    status = str(dict(event.headers)[b":status"], "ascii")
                elif isinstance(event, events.DataReceived):
                    content += event.data
                    http2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                is_ended = is_ended or isinstance(event, events.StreamEnded)
        connection.sendall(http2.data_to_send())
    assert status == "200"
    return content


def library_of_servers(name: str) -> None:
    """Make a library importable that stands among the servers."""
    peer_server(name)
    if str(SERVERS) not in sys.path:
        sys.path.append(str(SERVERS))


HTTP2 = ["--http-protocols=h2,h1", "--http2-cleartext=prior-knowledge", "--threads=2"]


@pytest.mark.parametrize(
    ("ask", "args"), [(by_uwsgi, ["--protocol=uwsgi"]), (by_http2, HTTP2)], ids=["uwsgi", "HTTP/2"]
)
def test_requests_of_another_protocol_are_counted(
    start: Start, records: Path, baseline: Baseline, ask: Ask, args: list[str]
) -> None:
    if ask is by_http2:
        library_of_servers("h2")
    server = start(worker_class="gthread", args=args)
    body = json.dumps(ROW).encode()
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(lambda _: json.loads(ask(server.port, "/score", body)), range(100)))
    assert answers == [{"prediction": 3.0 - 12.5 / 2}] * 100
    for _ in range(10):
        samples = parse(ask(server.port, "/metrics", b"").decode())
        assert total(samples, "boxkite_predictions_total", status="ok") == 100
        assert total(samples, "boxkite_feature_category_total", feature="city", category="Oslo") == 100
    assert server.stop() == 0
    assert number_of(records) == 100
