"""`drift` of a real server with two workers, by its page and from its state directory, and of logged records."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.baseline import Discrete
from flask_boxkite.cli import boxkite
from flask_boxkite.cli.remote import fetch_json
from flask_boxkite.cli.reports import Models
from flask_boxkite.cli.state_dir import observations
from flask_boxkite.config import Settings
from flask_boxkite.drift.report import drift_report
from flask_boxkite.drift.variable import Distances
from flask_boxkite.errors import BoxkiteError
from flask_boxkite.live.clock import uptime
from flask_boxkite.live.folding import read_directory
from flask_boxkite.records import Records
from tests.cli.commands import PLACE, ROOT, people, run
from tests.drift.timelines import timeline_of
from tests.live.directories import fold, later
from tests.peers import Gunicorn, fetch, wait_for

TOKEN = "open-sesame"
SOURCE = f"""
import os
from functools import partial

from flask import Flask, request
from flask_boxkite import Boxkite
from flask_boxkite.monitoring import assembly
from flask_boxkite.values.ids import IdMaker

passed, wall = map(float, os.environ["TEST_CLOCK"].split())
assembly.Store = partial(assembly.Store, clock=lambda: passed, wall=lambda: wall)

app = Flask(__name__)
app.config.from_prefixed_env()
app.config.update(BOXKITE_METRICS_TOKEN={TOKEN!r}, BOXKITE_DASHBOARD_PATH="/boxkite")
monitor = Boxkite(app)
for model in app.extensions["boxkite"].monitor.models():
    model.new_id = IdMaker(model.settings.server_id, lambda: int(wall * 1_000_000_000))

@app.post("/score")
@monitor.predict
def score():
    return {{"predictions": [row.pop("score") for row in request.get_json()]}}
"""


class World:
    """A server that has answered two populations, of which the second has drifted.

    Its clock stands still, so that all counts and records are in one slot of time: there is no other stretch than all.
    """

    def __init__(self, directory: Path) -> None:
        rng = np.random.default_rng(0)
        frame = people(rng)
        self.directory = directory
        self.baseline = directory / "baseline.prom"
        self.state = directory / "state"
        self.records = directory / "records"
        ModelMonitoringService.export_text(
            frame.drop("score"), frame["score"], self.baseline, model="credit", version="7"
        )
        self.rows = people(rng, 400, older=8).to_dicts()
        config = {"BASELINE": self.baseline, "STATE_DIR": self.state, "LOG_DIR": self.records}
        self.server = Gunicorn(
            "scoring:app",
            directory,
            source=SOURCE,
            workers=2,
            env={f"FLASK_BOXKITE_{key}": str(path) for key, path in config.items()}
            | {"TEST_CLOCK": f"{uptime()!r} {time.time()!r}"},
        )
        self.url = ""

    def load(self) -> None:
        """Send all rows, each by itself, so that both workers answer some."""
        self.url = f"{self.server.url}/boxkite"
        for row in self.rows:
            answer = fetch(f"{self.server.url}/score", json_body=[row])
            assert answer.status == 200, answer.text
        wait_for(lambda: self.page()["sinks"][0]["waiting"] == 0, what="records in files")

    def page(self, window: str = "start") -> dict[str, Any]:
        """Return what the page tells programs."""
        answer = fetch(f"{self.url}/drift.json?window={window}", headers={"Authorization": f"Bearer {TOKEN}"})
        content: dict[str, Any] = answer.json()
        return content


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("drift"))
    with world.server:
        world.load()
        yield world


def drift(*words: str | Path, **env: str) -> Result:
    return CliRunner(env={"COLUMNS": "100", **env}).invoke(boxkite, ["drift", *map(str, words)])


def content(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def counted(world: World) -> list[dict[str, Any]]:
    """Return the verdicts on what one process counts that answers all rows, taken as one sample."""
    service = ModelMonitoringService(world.baseline, sink="none")
    service.log_prediction(
        features=[{key: row[key] for key in row if key != "score"} for row in world.rows],
        output=[row["score"] for row in world.rows],
    )
    baseline = Baseline.load(world.baseline)
    return drift_report("credit", baseline, service.monitor.observe().cells, alpha=Settings.drift_alpha).to_rows()


def distances(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Return of each variable what describes the whole window, whenever its rows came."""
    return {row["name"]: [row["live_rows"], *(row[item.name] for item in fields(Distances))] for row in rows}


def moved(rows: list[dict[str, Any]]) -> set[str]:
    """Return the variables that have drifted."""
    return {row["name"] for row in rows if row["verdict"] in ("drifted", "major")}


# --- a running server ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", ["1h", "24h", "start"])
def test_page_and_state_directory_say_the_same(world: World, window: str) -> None:
    """All of it: requests, latency and sinks too."""
    page = world.page(window)
    by_page = content(drift("--url", world.url, "--token", TOKEN, "--window", window, "--format", "json"))
    by_state = content(drift("--state-dir", world.state, "--window", window, "--format", "json"))

    assert {**by_page, "time": ""} == {**page, "time": ""}
    assert {**by_state, "time": "", "findings": []} == {**page, "time": "", "findings": []}
    variables = page["models"][0]["drift"]["variables"]
    assert distances(variables) == distances(counted(world))
    assert moved(variables) == moved(counted(world)) == {"age", "kids"}


def test_before_the_first_prediction_page_and_state_directory_say_the_same(tmp_path: Path) -> None:
    """Without any snapshot, which is taken with the first prediction; once the page was asked, there are counts."""
    world = World(tmp_path)
    with world.server:
        world.url = f"{world.server.url}/boxkite"
        for window in ("5m", "24h", "start"):
            page = world.page(window)
            by_state = content(drift("--state-dir", world.state, "--window", window, "--format", "json"))
            assert {**by_state, "time": "", "findings": []} == {**page, "time": "", "findings": []}
        result = drift("--state-dir", world.state)
    assert result.stdout.splitlines()[1:] == [
        "No prediction came in the last 24h.",
        "0 predictions, 0 client errors, 0 errors",
        "",
        "6 with not enough data: 0 rows; 30 are needed (--all lists them)",
    ]


def test_a_process_shows_what_drifted(world: World) -> None:
    done = run("drift", "--state-dir", world.state, "--fail-on", "drifted", cwd=world.directory)
    report = world.page("24h")["models"][0]["drift"]
    shown = report["variables"][:2]
    lines = done.stdout.splitlines()

    assert (done.returncode, done.stderr) == (3, "Drift found: 2 variables, drifted or worse.\n")
    assert lines[0] == f"credit: 2 of 6 variables drifted in the last 24 hours. Baseline {report['baseline']}."
    assert lines[1].startswith("400 predictions, 0 client errors, 0 errors; half within ")
    assert [line.split()[:3] for line in lines[5:7]] == [
        [item["name"], item["verdict"], f"{item['size']:.2f}"] for item in shown
    ]


def test_the_token_may_be_in_the_environment(world: World) -> None:
    assert drift("--url", world.url, BOXKITE_METRICS_TOKEN=TOKEN).exit_code == 0


def test_reading_leaves_no_trace(world: World) -> None:
    def state() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in world.state.rglob("*") if path.is_file()}

    before = state()
    assert drift("--state-dir", world.state, "--window", "5m").exit_code == 0
    assert state() == before


@pytest.mark.parametrize("source", ["page", "state"])
def test_html_stands_alone(world: World, source: str, tmp_path: Path) -> None:
    words = ["--url", world.url, "--token", TOKEN] if source == "page" else ["--state-dir", str(world.state)]
    assert drift(*words, "--format", "html", "--output", tmp_path / "drift.html").exit_code == 0
    text = (tmp_path / "drift.html").read_text("utf-8")
    assert "<strong>2 of 6 variables have drifted</strong>" in text
    assert "<style>" in text
    assert "<link" not in text


def test_markdown_lists_the_variables_that_a_table_lists(world: World) -> None:
    words = ("--state-dir", world.state, "--format", "markdown")
    lines, every = drift(*words).stdout.splitlines(), drift(*words, "--all").stdout.splitlines()
    assert {line.split(" | ")[0] for line in lines[4:6]} == {"| age", "| kids"}
    assert lines[6:] == ["", "4 stable (--all lists them)"]
    assert lines[:6] == every[:6]
    assert len(every) == 4 + 6


def test_markdown_says_what_a_table_says_besides(world: World) -> None:
    """Errors, problems, and notes on changes that cannot show, also where all variables are stable."""
    page = world.page()
    (model,) = page["models"]
    variables = model["drift"]["variables"]
    for item in variables:
        item |= {"verdict": "stable", "note": None}
    variables[-1]["note"] = "what it is_"
    odd = {"feature": "age", "state": "missing", "rows": 60, "share": 1.0, "share_answered": 0.01}
    model["failed"] = {"rows": 62, "unread": 2, "features": [odd]}
    page["findings"] = [{"level": "problem", "what": "Records are lost.", "remedy": "Do this."}]
    with answering(200, json.dumps(page).encode()) as (url, _):
        paragraphs = drift("--url", url, "--format", "markdown").stdout.split("\n\n")
    assert paragraphs[0].startswith("credit: 0 of 6 variables drifted")
    assert paragraphs[1].startswith("Errors: 'age' was missing in 60 of them")
    assert paragraphs[2] == "6 stable (--all lists them)"
    assert paragraphs[3].endswith(r": what it is\_")
    assert paragraphs[4] == "✗ Records are lost. Do this.\n"


def test_one_model_is_picked(world: World) -> None:
    assert drift("--state-dir", world.state, "--model", "credit").exit_code == 0
    result = drift("--state-dir", world.state, "--model", "fraud")
    assert result.stderr.startswith("Error: Nothing of a model 'fraud' was counted in '")
    result = drift("--url", world.url, "--token", TOKEN, "--model", "fraud")
    assert (result.exit_code, result.stderr) == (1, "Error: The server has no model 'fraud'. It has: 'credit'.\n")


def test_counts_outlive_the_server(world: World, tmp_path: Path) -> None:
    """Here in a copy, which has no live process; folded, it has none that was alive just now either, an hour later."""
    shutil.copytree(world.state, tmp_path / "state")
    words = ["--state-dir", str(tmp_path / "state"), "--window", "start", "--format", "json"]
    (directory,) = (tmp_path / "state").iterdir()
    expected = {"ok": 400, "client_error": 0, "error": 0}
    assert content(drift(*words))["models"][0]["rows"] == expected
    fold(directory)
    assert not list(directory.glob("live-*"))
    assert content(drift(*words))["models"][0]["rows"] == expected

    reading = read_directory(directory, clock=later(3600.0))
    (seen,) = observations(directory, reading, None, None, Settings.drift_alpha)
    assert seen.rows == expected


@pytest.mark.parametrize("is_there", [False, True], ids=["no file", "an empty one"])
def test_without_snapshots_there_is_all_since_the_start(world: World, tmp_path: Path, is_there: bool) -> None:
    shutil.copytree(world.state, tmp_path / "state")
    (windows,) = (tmp_path / "state").rglob("windows-*")
    windows.unlink()
    if is_there:
        windows.touch(mode=0o600)
    result = drift("--state-dir", tmp_path / "state")
    assert (result.exit_code, result.output) == (
        1,
        f"Error: The counts in '{tmp_path / 'state'}' cannot be read: it has no snapshots. "
        "Only '--window start' needs none.\n",
    )
    assert drift("--state-dir", tmp_path / "state", "--window", "start").exit_code == 0
    assert windows.exists() == is_there


# --- what goes wrong -------------------------------------------------------------------------------------------------


@contextmanager
def answering(status: int, body: bytes, **headers: str) -> Iterator[tuple[str, list[str | None]]]:
    """Serve one answer to everything; give the address, and the tokens that came."""
    tokens: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            tokens.append(self.headers["Authorization"])
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", tokens
        server.shutdown()
        thread.join()


GIVE_TOKEN = "Set 'BOXKITE_METRICS_TOKEN' to the server's token. (--token gives it too, but others can see that.)"


def test_a_page_that_cannot_be_had_is_one_line(world: World, free_tcp_port: int) -> None:
    asked, closed, other = "drift.json", f"http://127.0.0.1:{free_tcp_port}", f"{world.server.url}/metrics"
    for url, message in {
        world.url: f"'{world.url}/{asked}' answered 401 UNAUTHORIZED. {GIVE_TOKEN}",
        other: f"'{other}/{asked}' answered 404 NOT FOUND. "
        "Is the drift page on ('BOXKITE_DASHBOARD_PATH'), and is this its address?",
        closed: f"'{closed}/{asked}' cannot be reached: [Errno 111] Connection refused. "
        "Does the server run, and is this its address?",
        "file:///etc": "'--url' must begin with http:// or https:// and a host, got 'file:///etc'.",
        "http://[::1": "'--url' must begin with http:// or https:// and a host, got 'http://[::1'.",
        "http://me:secret@host/": "'--url' must not contain a user or password, which others can see. " + GIVE_TOKEN,
    }.items():
        result = drift("--url", url)
        assert (result.exit_code, result.output) == (1, f"Error: {message}\n")


NO_PAGES = (
    b"<html>Log in</html>",
    b"[]",
    b'{"format": 2}',
    b"\xff",
    b'{"format": 1, "window": null, "models": null}',
    b'{"format": 1, "window": null, "models": [{"model": "m"}]}',
    b'{"format": 1, "window": null, "models": [{"model": "m", "baseline": null, "version": null, "rows": {}, '
    b'"latency_seconds": {}, "drift": {"variables": [{"name": "of an earlier release", "verdict": "stable"}]}}]}',
)


def test_a_path_may_have_letters_of_any_kind() -> None:
    with answering(200, b"{}") as (url, _):
        result = drift("--url", f"{url}/bö x%20y")
    assert f"'{url}/bö x%20y' is not a drift page" in result.output


@pytest.mark.parametrize("body", NO_PAGES)
def test_what_is_no_page_is_said(body: bytes) -> None:
    with answering(200, body) as (url, _):
        result = drift("--url", url)
    assert result.exit_code == 1
    assert len(result.output.splitlines()) == 1
    assert url in result.output


def test_who_interrupts_it_is_asked_for_no_more() -> None:
    """While it waits for an answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        command = [sys.executable, "-m", "flask_boxkite", "drift", "--url", url]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            connection, _ = server.accept()
            with connection:
                process.send_signal(signal.SIGINT)
                assert process.communicate(timeout=60) == ("", "\nAborted!\n")
    assert process.returncode == 1


def test_what_speaks_another_language_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"

        def greet() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"220 mail.example ready\r\n" * 2)
                connection.recv(4096)

        thread = threading.Thread(target=greet)
        thread.start()
        result = drift("--url", url)
        thread.join()
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: '{url}/drift.json' cannot be reached: 220 mail.example ready")
    assert len(result.output.splitlines()) == 1


def test_a_token_is_not_taken_to_another_server() -> None:
    with answering(200, b"{}") as (other, tokens), answering(302, b"", Location=other) as (url, own):
        result = drift("--url", url, "--token", TOKEN)
    assert (tokens, own) == ([], [f"Bearer {TOKEN}"])
    assert result.output.endswith(f"answered 302 Found. Name that address, if it is the server's: {other}.\n")


@pytest.mark.parametrize("address", ["/?window=24h&name=age#main", "/boxkite//"])
def test_an_address_may_be_as_a_browser_has_it(world: World, address: str) -> None:
    result = drift("--url", f"{world.server.url}/boxkite{address.removeprefix('/boxkite')}", "--token", TOKEN)
    assert result.exit_code == 0, result.output


def test_a_token_is_sent_in_utf8_and_never_shown() -> None:
    with answering(200, b"{}") as (url, tokens):
        drift("--url", url, "--token", "schlüssel€")
        result = drift("--url", url, "--token", "secret\n")
    assert tokens == ["Bearer schlüssel€".encode().decode("latin-1")]
    assert (result.exit_code, result.output) == (
        1,
        "Error: '--token' contains a line break, or something else that cannot be sent. Is there one at its end?\n",
    )


def test_an_answer_without_an_end_is_left() -> None:
    with answering(200, bytes(2000)) as (url, _), pytest.raises(BoxkiteError) as caught:
        fetch_json(url, window=None, token=None, most_bytes=1000)
    assert str(caught.value).endswith("/drift.json' does not end. Is it the address of the page?")


def test_problems_that_the_page_knows_are_shown(world: World) -> None:
    page = world.page()
    page["findings"] = [{"level": "problem", "what": "Sink 'x\x1b' has lost 3 records.", "remedy": "Do this."}]
    with answering(200, json.dumps(page).encode()) as (url, _):
        lines = drift("--url", url).stdout.splitlines()
    assert lines[-2:] == ["✗ Sink 'x�' has lost 3 records.", "  Do this."]


def test_what_was_odd_about_failed_requests_is_shown(world: World) -> None:
    page = world.page()
    odd = {"feature": "age\x1b", "state": "missing", "rows": 60, "share": 1.0, "share_answered": 0.01}
    page["models"][0]["failed"] = {"rows": 62, "unread": 2, "features": [odd]}
    with answering(200, json.dumps(page).encode()) as (url, _):
        lines = drift("--url", url).stdout.splitlines()
    assert lines[2] == (
        r"Errors: 'age\x1b' was missing in 60 of them (1.0% of answered rows). "
        "Check how the model handles such values. In 2 of them no features were found."
    )
    del page["models"][0]["failed"]["features"][0]["share"]
    with answering(200, json.dumps(page).encode()) as (url, _):
        assert "is not a drift page that this release can read" in drift("--url", url).output


def test_a_model_without_a_baseline_has_no_drift() -> None:
    rows, latency = {"ok": 1, "client_error": 0, "error": 2}, {"p50": None, "p95": None, "p99": None}
    model = {"model": "m", "baseline": None, "version": None, "rows": rows, "latency_seconds": latency, "drift": None}
    page = {"format": 1, "window": "1h", "models": [model]}
    with answering(200, json.dumps(page).encode()) as (url, _):
        result = drift("--url", url, "--fail-on", "shifted")
        markdown = drift("--url", url, "--format", "markdown")
    lines = ["m: there is no baseline.", "1 prediction, 0 client errors, 2 errors"]
    assert (result.exit_code, result.stdout.splitlines()) == (1, lines)
    assert result.stderr == "Error: 'm': there is no baseline.\n"
    assert (markdown.exit_code, markdown.stdout) == (0, "m: there is no baseline.\n")


def test_a_directory_without_counts_is_one_line(tmp_path: Path) -> None:
    remedy = "Name the directory that 'BOXKITE_STATE_DIR' names."
    for path, message in {
        tmp_path: f"There are no counts in '{tmp_path}'. {remedy}",
        tmp_path / "none": f"The counts in '{tmp_path / 'none'}' cannot be read: No such file or directory.",
        Path(__file__): f"The counts in '{__file__}' cannot be read: Not a directory.",
    }.items():
        result = drift("--state-dir", path)
        assert (result.exit_code, result.output) == (1, f"Error: {message}\n")


def test_several_servers_in_one_place_are_named(world: World, tmp_path: Path) -> None:
    (directory,) = world.state.iterdir()
    for name in ("boxkite-a", "boxkite-b"):
        shutil.copytree(directory, tmp_path / name)
    result = drift("--state-dir", tmp_path)
    assert result.stderr == (
        f"Error: There are counts of several servers in '{tmp_path}'. "
        f"Name one of: {tmp_path / 'boxkite-a'}, {tmp_path / 'boxkite-b'}.\n"
    )
    assert drift("--state-dir", tmp_path / "boxkite-b").exit_code == 0


def test_damaged_counts_are_left_out(world: World, tmp_path: Path) -> None:
    shutil.copytree(world.state, tmp_path / "state")
    for path in (tmp_path / "state").rglob("live-*"):
        os.truncate(path, 100)
    result = drift("--state-dir", tmp_path / "state")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: Nothing was counted in '")


@pytest.mark.parametrize(
    "words",
    [
        "",
        "--url http://x --state-dir y",
        "--url http://x --by age --format html",
        "--records x",
        "--records x --baseline y --window 1h",
        "--records x --baseline y --by z --format html",
        "--url http://x --model m --format html",
        "--state-dir x --window 2h",
        "--state-dir x --workers 2",
        "--records x --baseline y --workers 0",
        "--state-dir x --alpha 0",
        "--state-dir x --alpha nan",
        "--url http://x --alpha 0.1",
    ],
)
def test_wrong_usage_has_a_code_of_its_own(words: str) -> None:
    assert drift(*words.split()).exit_code == 2


# --- records ---------------------------------------------------------------------------------------------------------


def test_records_give_what_the_api_gives(world: World) -> None:
    done = run(
        "drift", "--records", world.records, "--baseline", world.baseline, "--format", "json", cwd=world.directory
    )
    (model,) = json.loads(done.stdout)["models"]
    assert model["drift"] == Records(world.records).drift(world.baseline).to_dict()
    assert (model["model"], model["version"]) == ("credit", "7")
    assert distances(model["drift"]["variables"]) == distances(counted(world))
    assert moved(model["drift"]["variables"]) == {"age", "kids"}


def test_several_processes_count_the_same(world: World) -> None:
    words = ["drift", "--records", world.records, "--baseline", world.baseline]
    alone, shared = (run(*words, *more, cwd=world.directory).stdout for more in ([], ["--workers", "2"]))
    assert shared == alone != ""


def test_html_of_records_has_what_the_server_says(world: World) -> None:
    result = drift("--records", world.records, "--baseline", world.baseline, "--format", "html")
    assert result.exit_code == 0
    assert "<strong>2 of 6 variables have drifted</strong>\nfrom 20" in result.stdout
    assert f"Live rows are here the rows of {world.records}." in result.stdout

    server = drift("--state-dir", world.state, "--format", "html").stdout
    rows = re.compile(r'class="picture">.*?</tr>', re.DOTALL)
    assert len(rows.findall(server)) == 6
    assert sorted(rows.findall(result.stdout)) == sorted(rows.findall(server))


def test_records_are_of_a_period(world: World) -> None:
    words = ["--records", world.records, "--baseline", world.baseline]
    note = f"There are no records of this model and period at '{world.records}'. {PLACE}"
    for period in (["--end", "2020-01-01"], ["--model", "fraud"]):
        result = drift(*words, *period)
        assert (result.exit_code, result.stderr) == (0, "")
        assert note in result.stdout.splitlines()
        assert "6 with not enough data" in result.stdout


def test_where_no_record_was_found_nothing_has_passed(world: World, tmp_path: Path) -> None:
    result = drift("--records", tmp_path, "--baseline", world.baseline)
    assert result.stdout.startswith("credit: nothing was counted at any time. ")
    result = drift("--records", tmp_path, "--baseline", world.baseline, "--fail-on", "major")
    assert (result.exit_code, result.output) == (
        1,
        f"Error: There are no records of this model and period at '{tmp_path}'. {PLACE}\n",
    )


def test_each_segment_has_verdicts(world: World) -> None:
    words = ["--records", world.records, "--baseline", world.baseline, "--by", "city"]
    expected = Records(world.records).drift(world.baseline, by="city")
    assert content(drift(*words, "--format", "json")) == expected.to_dict()
    assert drift(*words).stdout == f"{expected}\n"
    assert drift(*words, "--format", "markdown").stdout == expected.to_markdown() + "\n"
    assert drift(*words, "--fail-on", "major").exit_code == 3


def test_a_segment_that_no_record_has_is_refused(world: World) -> None:
    result = drift("--records", world.records, "--baseline", world.baseline, "--by", "City")
    assert (result.exit_code, result.output) == (
        1,
        "Error: No record has a value of 'City'. Did you mean 'city'?\n",
    )


def test_a_picture_of_more_rows_than_the_verdict_says_so() -> None:
    """Of records, bins are counted over the whole period, and a change may be of its last minute."""
    baseline = Baseline((Discrete("city", ("Bonn", "Ulm"), (500, 500)),), (), 1000, "m")
    slots = [[45, 45, 0, 0, 0, 0]] * 10 + [[0, 0, 0, 0, 41, 0]]
    cells = np.sum(slots, axis=0)
    report = drift_report("m", baseline, cells, alpha=1e-5, timeline=timeline_of(slots))
    page = Models.of_report(report, baseline, cells, source="records", when="at any time").html()

    assert "(41 rows)</h3>" in page
    assert "<figcaption><p>The picture shows all 941 rows.</p></figcaption>" in page
    whole = drift_report("m", baseline, cells, alpha=1e-5)
    assert "The picture shows" not in Models.of_report(whole, baseline, cells, source="x", when="").html()
