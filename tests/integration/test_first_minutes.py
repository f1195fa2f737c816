"""The first minutes of a new user: good rows and then bad ones within two minutes, seen the same way everywhere."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flask_boxkite import ModelMonitoringService
from flask_boxkite.records import Records
from tests.peers import Gunicorn, fetch

GOOD, BAD = 300, 250
USERS, TIMES = 60, 10
TRAINED = 2000
DRIFTED = {"age", "income", "plan"}
WINDOWS = ("5m", "1h", "24h", "start")

SOURCE = """
from flask import Flask, request
from flask_boxkite import Boxkite

app = Flask(__name__)
app.config.from_prefixed_env("APP")
monitor = Boxkite(app)


@app.post("/score")
@monitor.predict
def score():
    return {"score": request.get_json()["weight"] / 100}
"""

Row = dict[str, Any]


def rows(rng: np.random.Generator, number: int) -> list[Row]:
    """Return rows as in training."""
    return [
        {
            "age": round(float(rng.normal(40, 10)), 2),
            "income": round(float(rng.lognormal(3, 0.5)), 2),
            "weight": round(float(rng.normal(70, 10)), 2),
            "visits": int(rng.poisson(2)),
            "plan": str(rng.choice(["free", "basic", "plus", "pro"], p=[0.4, 0.3, 0.2, 0.1])),
            "country": str(rng.choice(["DE", "SE", "NO"], p=[0.5, 0.3, 0.2])),
        }
        for _ in range(number)
    ]


def spoiled(row: Row, rng: np.random.Generator) -> Row:
    """Return a row without its age, with an income one standard deviation higher, and most often of one plan."""
    plan = "pro" if rng.random() < 0.5 else row["plan"]
    return {**row, "age": None, "income": round(row["income"] * float(np.exp(0.5)), 2), "plan": plan}


class Server:
    """A server with two processes, its baseline and its records."""

    def __init__(self, directory: Path) -> None:
        self.baseline = directory / "baseline.prom"
        self.records = directory / "records"
        trained = rows(np.random.default_rng(1), TRAINED)
        columns = {name: [row[name] for row in trained] for name in trained[0]}
        scores = [row["weight"] / 100 for row in trained]
        ModelMonitoringService.export_text(columns, {"score": scores}, self.baseline, model="credit")
        env = {
            "APP_BOXKITE_BASELINE": str(self.baseline),
            "APP_BOXKITE_LOG_DIR": str(self.records),
            "APP_BOXKITE_DASHBOARD_PATH": "/boxkite",
        }
        self.process = Gunicorn("scoring:app", directory / "app", source=SOURCE, workers=2, env=env)

    def send(self, several: list[Row]) -> None:
        """Ask for the score of each row by itself."""
        for row in several:
            assert fetch(f"{self.process.url}/score", json_body=row).status == 200

    def variables(self, window: str) -> list[dict[str, Any]]:
        """Return what the page tells programs of a window."""
        content = fetch(f"{self.process.url}/boxkite/drift.json?window={window}").json()
        found: list[dict[str, Any]] = content["models"][0]["drift"]["variables"]
        return found

    def command(self, *arguments: str) -> list[dict[str, Any]]:
        """Return what the command says."""
        command = [sys.executable, "-m", "flask_boxkite", "drift", "--format", "json", *arguments]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        found: list[dict[str, Any]] = json.loads(result.stdout)["models"][0]["drift"]["variables"]
        return found


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Start a server, and stop it so that its records are delivered."""
    found = Server(tmp_path)
    with found.process:
        yield found


def verdicts(variables: list[dict[str, Any]]) -> dict[str, str]:
    """Return the verdict of each variable."""
    return {item["name"]: item["verdict"] for item in variables}


def drifted(variables: list[dict[str, Any]]) -> set[str]:
    """Return the variables that have drifted."""
    return {item["name"] for item in variables if item["verdict"] in ("drifted", "major")}


def test_drift_that_begins_within_two_minutes_is_found_everywhere(server: Server) -> None:
    rng = np.random.default_rng(2)
    server.send(rows(rng, GOOD))
    assert all(not drifted(server.variables(window)) for window in WINDOWS)

    server.send([spoiled(row, rng) for row in rows(rng, BAD)])
    for window in WINDOWS:
        found = server.variables(window)
        assert drifted(found) == DRIFTED, window
        assert {verdict for name, verdict in verdicts(found).items() if name not in DRIFTED} == {"stable"}, window
    page = fetch(f"{server.process.url}/boxkite/").text
    assert "3 of 7 variables have drifted" in " ".join(page.split()).replace("<strong>", "").replace("</strong>", "")
    url = f"{server.process.url}/boxkite"
    assert drifted(server.command("--url", url)) == DRIFTED

    before = verdicts(server.variables("start"))
    assert server.process.stop() == 0  # which delivers what waits
    report = Records(server.records).drift(server.baseline)
    assert {item.name: item.verdict for item in report} == before
    assert drifted(server.command("--records", str(server.records), "--baseline", str(server.baseline))) == DRIFTED


def test_users_who_come_back_are_no_drift(server: Server) -> None:
    """60 of them send their own row ten times each: 600 rows, of which 60 are different."""
    rng = np.random.default_rng(3)
    own = rows(rng, USERS)
    order = rng.permutation(np.repeat(np.arange(USERS), TIMES))
    server.send([own[user] for user in order.tolist()])

    for window in WINDOWS:
        found = server.variables(window)
        assert not {"shifted", "drifted", "major"} & set(verdicts(found).values()), window
        assert all(item["recurrence"] == pytest.approx(TIMES, rel=0.3) for item in found), window
    assert server.process.stop() == 0
    report = Records(server.records).drift(server.baseline)
    assert not {"shifted", "drifted", "major"} & {item.verdict for item in report}
