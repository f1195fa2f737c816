"""Notifications of a real server: one message of four workers, also if their notifier is killed or all restart."""

from __future__ import annotations

import os
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from flask_boxkite import ModelMonitoringService
from tests.notify.posted import silent, webhook_server
from tests.peers import Gunicorn, fetch, wait_for

ROWS = 150

APP = """
from flask import Flask

from flask_boxkite import Boxkite
from flask_boxkite.config import Settings
from flask_boxkite.monitoring.app import AppMonitor
from flask_boxkite.monitoring.assembly import load_baselines
from flask_boxkite.notify.pace import Pace
from flask_boxkite.web.access import PageAccess
from flask_boxkite.web.monitored_app import MonitoredApp

app = Flask("scoring")
app.config.from_prefixed_env("APP")
settings = Settings.from_mapping(app.config)
pace = Pace(check=0.1, rest=0, hold=0.5, gap=0.1, first_backoff=0.1, last_backoff=0.5)
core = AppMonitor(settings, app.name, load_baselines(settings.baseline), pace=pace)
MonitoredApp(core, PageAccess.of(app.config, settings), lambda: ()).install(app)
monitor = Boxkite()


@app.post("/score")
@monitor.predict
def score():
    return {"score": 0.5}
"""


class Served:
    """A server with four workers, and the rows that it gets."""

    def __init__(self, directory: Path, url: str, *, preload: bool) -> None:
        rng = np.random.default_rng(0)
        self.features = {name: rng.normal(0, 1, 1000) for name in ("age", "income", "tenure")}
        path = directory / "baseline.prom"
        ModelMonitoringService.export_text(self.features, np.full(1000, 0.5), path, model="credit", progress=False)
        self.state = directory / "state"
        env = {
            "APP_BOXKITE_BASELINE": str(path),
            "APP_BOXKITE_WEBHOOK_URL": url,
            "APP_BOXKITE_WEBHOOK_FORMAT": "json",
            "APP_BOXKITE_STATE_DIR": str(self.state),
            "APP_BOXKITE_POD_NAME": "pod-1",
            "NO_PROXY": "*",
        }
        self.server = Gunicorn("app:app", directory / "app", source=APP, workers=4, preload=preload, env=env)

    def predict(self, *moved: str) -> None:
        """Predict for many rows, of which some features have moved."""
        rng = np.random.default_rng(1)
        rows = [{name: float(rng.normal(0, 1)) + 3 * (name in moved) for name in self.features} for _ in range(ROWS)]
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda row: fetch(f"{self.server.url}/score", json_body=row), rows))
        assert {answer.status for answer in answers} == {200}

    def notifiers(self) -> list[int]:
        """Return the workers that hold the lock of the notifier."""
        (lock,) = self.state.rglob("note-notifier-lock-*")
        identity = os.stat(lock)
        held = re.findall(r"FLOCK +ADVISORY +WRITE (\d+) \w+:\w+:(\d+)", Path("/proc/locks").read_text())
        return [int(pid) for pid, inode in held if int(inode) == identity.st_ino]

    def metric(self, name: str) -> int:
        """Return a number of messages, from any worker."""
        text = fetch(f"{self.server.url}/metrics").text
        return int(re.findall(rf'^{name}{{channel="webhook"}} (\d+)$', text, re.M)[0])


def names(document: dict[str, Any]) -> list[list[str]]:
    return [change["names"] for change in document["changes"]]


def test_a_server_tells_once_through_kills_and_restarts(tmp_path: Path, free_tcp_port: int) -> None:
    """Its workers are forked from a master that has loaded the app."""
    served = Served(tmp_path, f"http://127.0.0.1:{free_tcp_port}/SECRET", preload=True)
    served.server.start()
    try:
        # The receiver is down, and the notifier is killed while it tries.
        served.predict("age", "income")
        wait_for(lambda: served.metric("boxkite_notifications_failed_total") > 0)
        (first,) = wait_for(served.notifiers)
        os.kill(first, signal.SIGKILL)
        (second,) = wait_for(lambda: [pid for pid in served.notifiers() if pid != first])
        assert second in served.server.worker_pids()

        # It comes back, and gets one message about all.
        with webhook_server(free_tcp_port) as receiver:
            document = receiver.wait_for(1)[0].json()
            assert sorted(names(document)) == [["age"], ["income"]]
            assert document["service"] == "scoring"
            assert document["server"] == "pod-1"
            wait_for(lambda: served.metric("boxkite_notifications_total") == 1)

            # A restart repeats nothing, and goes on.
            served.server.stop()
            served.server.start()
            served.predict("age", "income", "tenure")
            documents = [posted.json() for posted in receiver.wait_for(2)]
            assert names(documents[1]) == [["tenure"]]
            wait_for(lambda: served.metric("boxkite_notifications_total") == 2)
            assert len(receiver.posted) == 2
        assert "SECRET" not in served.server.log()
    finally:
        served.server.kill()


def test_a_receiver_that_hangs_delays_no_request_and_no_end(tmp_path: Path) -> None:
    with webhook_server() as receiver:
        receiver.behaviour = silent
        served = Served(tmp_path, receiver.url, preload=False)
        served.server.start()
        try:
            served.predict("age")
            receiver.wait_for(1)
            served.predict("age")
            served.server.stop()
            assert "SIGKILL" not in served.server.log()
            assert "SECRET" not in served.server.log()
        finally:
            served.server.kill()
