"""A real server with two workers that takes outcomes and has a drift page, for the tests of two commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from flask_boxkite import ModelMonitoringService
from tests.peers import Gunicorn, fetch

__all__ = ["TOKEN", "World"]

TOKEN = "open-sesame"
SOURCE = f"""
from flask import Flask, request
from flask_boxkite import Boxkite

app = Flask(__name__)
app.config.from_prefixed_env()
app.config.update(
    BOXKITE_METRICS_TOKEN={TOKEN!r}, BOXKITE_DASHBOARD_PATH="/boxkite", BOXKITE_OUTCOMES_PATH="/outcomes"
)
monitor = Boxkite(app)

@app.post("/score")
@monitor.predict
def score():
    return {{"score": request.get_json()["age"] / 100}}
"""


class World:
    """A server of a model that is right less often than in validation.

    Attributes:
        baseline: Path of its baseline.
        state: Its state directory.
        records: Its records.
        ids: Ids of the predictions that `load` has asked for.
        actual: Values that came true for them.
    """

    def __init__(self, directory: Path) -> None:
        rng = np.random.default_rng(0)
        self.directory = directory
        self.baseline = directory / "baseline.prom"
        self.state = directory / "state"
        self.records = directory / "records"
        age = rng.uniform(0, 100, 3000).round(1)
        actual = (rng.random(3000) * 100 < age).astype(int)
        ModelMonitoringService.export_text(
            {"age": age}, age / 100, self.baseline, model="credit", version="7", actual=actual
        )
        config = {"BASELINE": self.baseline, "STATE_DIR": self.state, "LOG_DIR": self.records}
        self.server = Gunicorn(
            "scoring:app",
            directory,
            source=SOURCE,
            workers=2,
            env={f"FLASK_BOXKITE_{key}": str(path) for key, path in config.items()},
        )
        self.age = rng.uniform(0, 100, 300).round(1)
        self.actual = (rng.random(300) < 0.5).astype(int)
        self.ids: list[str] = []

    @property
    def url(self) -> str:
        """The address of its drift page."""
        return f"{self.server.url}/boxkite"

    @property
    def route(self) -> str:
        """The address of its route for outcomes."""
        return f"{self.server.url}/outcomes"

    def load(self) -> None:
        """Ask for all predictions, one by one."""
        for age in self.age.tolist():
            answer = fetch(f"{self.server.url}/score", json_body={"age": age})
            assert answer.status == 200, answer.text
            self.ids.append(answer.headers["Boxkite-Prediction-Id"])

    def page(self, window: str = "start") -> dict[str, Any]:
        """Return what the page tells programs."""
        answer = fetch(f"{self.url}/drift.json?window={window}", headers={"Authorization": f"Bearer {TOKEN}"})
        content: dict[str, Any] = answer.json()
        return content
