"""Strangers: what clients send and operators name is data in every log, file, page and file for Prometheus."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from flask_boxkite import ModelMonitoringService
from flask_boxkite.config import Settings
from flask_boxkite.provision import scrape_config_text
from tests.integration.ledger import settled
from tests.peers import Gunicorn, fetch, wait_for

FORGED = "FORGED"
HOSTILE = (
    f"\n{FORGED} [2026-01-01 00:00:00] [CRITICAL] {FORGED}\r\n{FORGED} \x1b[2J\x1b]0;x\x07\x85{FORGED}\u2028{FORGED}"
    "\x00{}\"'`<script>alert(1)</script>&amp;{{ $labels.x }}{% if x %}${x}%s%(x)s\\"
)

APP = """
import os

from flask import Flask, request

from flask_boxkite import Boxkite

app = Flask(__name__)
app.config.from_prefixed_env("APP")
monitor = Boxkite(app)


@app.post("/score")
@monitor.predict
def score():
    return {"score": 0.5, **request.get_json(silent=True)}


def find(request):
    raise ValueError(request.get_json()["x"])


@app.post("/raise")
@monitor.predict(features=find)
def fail():
    return {"score": 0.5}


@app.post("/error")
@monitor.predict
def error():
    raise ValueError(request.get_json()["x"])


@app.after_request
def tell_who_answers(response):
    response.headers["X-Pid"] = str(os.getpid())
    return response
"""


def send(port: int, path: str, body: bytes, **headers: str) -> int:
    """Send a request, whatever is in it; return the status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def start(tmp_path: Path, **settings: Any) -> Gunicorn:
    """Return a server that is not started yet."""
    baseline = tmp_path / "baseline.prom"
    if not baseline.exists():
        ModelMonitoringService.export_text({"a": range(100)}, range(100), baseline, model="m")
    settings = {"baseline": baseline, "log_dir": tmp_path / "records", "dashboard_path": "/boxkite", **settings}
    env = {f"APP_BOXKITE_{name.upper()}": str(value) for name, value in settings.items()}
    return Gunicorn("strangers:app", tmp_path / "app", source=APP, workers=2, env=env)


def test_what_clients_send_forges_no_line_and_breaks_no_file(tmp_path: Path) -> None:
    documents: list[Any] = [
        {"x": HOSTILE},
        {HOSTILE: HOSTILE},
        {"a": HOSTILE},
        [HOSTILE],
        {"features": {HOSTILE: 1}},
        {"columns": [HOSTILE], "data": [[HOSTILE]]},
        {"instances": [{HOSTILE: HOSTILE}]},
        {"inputs": [{"name": HOSTILE, "shape": [1], "datatype": HOSTILE, "data": [HOSTILE]}]},
    ]
    with start(tmp_path, pod_name="pod") as server:
        sent = 0
        for path in ("/score", "/raise"):
            for document in documents:
                send(server.port, path, json.dumps(document).encode())
                sent += 1
        for body, kind in ((HOSTILE, "text/csv"), (HOSTILE, "text/plain"), (HOSTILE, "x/{}'`<script>")):
            send(server.port, "/score", body.encode(), **{"Content-Type": kind})
            sent += 1
        for window in ("5m", HOSTILE):
            fetch(f"{server.url}/boxkite/?window={quote(window)}&name={quote(HOSTILE)}")
        text = fetch(f"{server.url}/metrics").text
        settled(server.port, "file")
        page = fetch(f"{server.url}/boxkite/").text
        log = server.log()
    assert f"ValueError: \N{REPLACEMENT CHARACTER}{FORGED}" in log, "nothing was quoted, so nothing was tested"
    for line in re.split("[\n\r\x85\u2028]", log):
        assert not line.startswith((FORGED, f"[2026-01-01 00:00:00] [CRITICAL] {FORGED}"))
    assert "\x1b" not in log
    assert list(text_string_to_metric_families(text))
    assert FORGED not in text
    assert "<script>alert" not in page
    records = [line for path in (tmp_path / "records").rglob("*.txt") for line in path.read_bytes().split(b"\n")[:-1]]
    assert len(records) == sent
    assert all(isinstance(json.loads(line), dict) for line in records)
    assert not any(re.search(rb"[\x00-\x1f]", line) for line in records)


def test_errors_of_views_are_the_apps_to_log(tmp_path: Path) -> None:
    """Flask logs what a view raises, as without us; ours says nothing beside it."""
    with start(tmp_path) as server:
        assert send(server.port, "/error", json.dumps({"x": "quoted"}).encode()) == 500
        assert not re.search("flask_boxkite.*quoted", server.log())


def test_names_of_operators_stay_in_their_place(tmp_path: Path) -> None:
    names = {"endpoint_id": "../../e\nFORGED", "pod_name": "p/../\x1b[2J", "logger_id": "../l\n", "server_id": "s\n"}
    with start(tmp_path, **names) as server:
        assert send(server.port, "/score", b"{}") == 200
        settled(server.port, "file")
        log = server.log()
    assert not any(line.startswith(FORGED) for line in log.splitlines())
    assert "\x1b" not in log
    (path,) = (tmp_path / "records").rglob("*.txt")
    assert path.resolve().is_relative_to(tmp_path / "records")
    assert str(path).isprintable()


def test_a_baseline_with_hostile_names_is_data_everywhere(tmp_path: Path) -> None:
    hostile = HOSTILE.replace("\x00", "")
    values = [hostile] * 50 + ["b"] * 50
    ModelMonitoringService.export_text(
        {hostile: values}, {f"o{hostile}": values}, tmp_path / "baseline.prom", model=hostile, version=hostile
    )
    with start(tmp_path) as server:
        assert send(server.port, "/score", json.dumps({hostile: hostile}).encode()) == 200
        text = fetch(f"{server.url}/metrics").text
        pages = [fetch(f"{server.url}/boxkite/{name}").text for name in ("", "report.html")]
        program = json.loads(fetch(f"{server.url}/boxkite/drift.json").body)
        log = server.log()
    families = list(text_string_to_metric_families(text))
    assert {sample.labels["model"] for family in families for sample in family.samples if "model" in sample.labels} == {
        hostile
    }
    assert not any(line.startswith(FORGED) for line in text.split("\n"))
    assert all("<script>alert" not in page for page in pages)
    assert program["models"][0]["model"] == hostile
    assert not any(line.startswith(FORGED) for line in re.split("[\n\r\x85\u2028]", log))
    assert "\x1b" not in log


@pytest.mark.parametrize("job", [HOSTILE, "a: b", "# c", "\n- job_name: forged", "{{x}}"])
def test_a_scrape_job_holds_names_as_texts(job: str) -> None:
    settings = Settings.from_mapping({"BOXKITE_METRICS_TOKEN": "S3CRET", "BOXKITE_METRICS_PATH": "/m'\"{}:&*!|"}, {})
    text = scrape_config_text(settings, job=job, targets=["a:1"], scrape_interval="15s", credentials_file=job)
    (found,) = yaml.safe_load(text)["scrape_configs"]
    assert (found["job_name"], found["metrics_path"]) == (job, "/m'\"{}:&*!|")
    assert found["authorization"]["credentials_file"] == job
    assert "S3CRET" not in text


# --- who can read ----------------------------------------------------------------------------------------------------

OPEN = "Everyone who can reach this server can read "


def test_the_log_says_once_who_can_read_metrics_and_page(tmp_path: Path) -> None:
    with start(tmp_path, sink="none") as server:
        for _ in range(20):
            fetch(f"{server.url}/metrics")
        for pid in server.worker_pids():
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda pid=pid: pid not in server.worker_pids(), what="the end of a worker")  # type: ignore[misc]
        for _ in range(20):
            fetch(f"{server.url}/metrics")
        found = [line for line in server.log().splitlines() if OPEN in line]
    assert found == [
        f"{OPEN}the metrics at '/metrics' and the drift page at '/boxkite/'. Set 'BOXKITE_METRICS_TOKEN' to a token "
        "that readers must have, unless only those reach it who may."
    ]


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        pytest.param({"metrics_token": "t"}, None, id="token"),
        pytest.param({"metrics_path": "", "dashboard_path": ""}, None, id="no routes"),
        pytest.param({"dashboard_path": ""}, "the metrics at '/metrics'.", id="metrics"),
        pytest.param({"metrics_path": ""}, "the drift page at '/boxkite/'.", id="page"),
    ],
)
def test_it_names_only_what_is_open(tmp_path: Path, settings: dict[str, str], what: str | None) -> None:
    with start(tmp_path, sink="none", **settings) as server:
        send(server.port, "/score", b"{}")
        log = server.log()
    assert (OPEN in log) is (what is not None)
    assert what is None or f"{OPEN}{what}" in log
