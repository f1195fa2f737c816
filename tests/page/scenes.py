"""Apps with prepared traffic, on a clock of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from flask import Flask, request

from flask_boxkite import Boxkite, ModelMonitoringService
from tests.clocked import monitored

__all__ = ["BATCH", "REPEATS", "SCENES", "USERS", "Clock", "Scene", "scene_of"]

BEGIN = datetime(2026, 3, 1, 12, 0, 3, tzinfo=timezone.utc).timestamp()
TRAINED = 2000
BATCH = 600
USERS, TIMES = 20, 10
REPEATS = 8

Row = dict[str, Any]
Fault = Callable[[Row], Row]


@dataclass
class Clock:
    """The time, for all that asks for it."""

    now: float = BEGIN

    def __call__(self) -> float:
        return self.now


@dataclass
class Scene:
    """An app, and what has come to it.

    Attributes:
        app: The app.
        monitor: Its monitor.
        clock: Its time.
        directory: Where its baseline and records are.
    """

    app: Flask
    monitor: Boxkite
    clock: Clock
    directory: Path

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(1)
        self.client = self.app.test_client()

    def post(self, *rows: Row) -> None:
        """Have rows predicted in one request."""
        assert self.client.post("/score", json=list(rows)).status_code == 200

    def traffic(self, a_minute: int, minutes: int, fault: Fault = dict) -> None:
        """Have rows predicted one by one, evenly."""
        for _ in range(a_minute * minutes):
            self.clock.now += 60 / a_minute
            self.post(fault(make_row(self.rng)))

    def page(self, path: str = "/boxkite/", **query: str) -> str:
        """Return what a page says."""
        answer = self.client.get(path, query_string=query)
        assert answer.status_code == 200
        return answer.text

    def variable(self, name: str, **query: str) -> str:
        """Return the page of a feature."""
        return self.page("/boxkite/variable", model="credit", side="feature", variable=name, **query)

    def rows(self, window: str = "24h") -> dict[str, dict[str, Any]]:
        """Return what programs are told of each variable."""
        (model,) = self.client.get(f"/boxkite/drift.json?window={window}").get_json()["models"]
        return {row["name"]: row for row in model["drift"]["variables"]}


def make_row(rng: np.random.Generator) -> Row:
    """Return a row as in training."""
    return {
        "age": round(float(rng.normal(40, 10)), 2),
        "income": round(float(rng.lognormal(10, 0.5)), 2),
        "plan": str(rng.choice(["free", "basic", "pro"], p=[0.5, 0.3, 0.2])),
    }


def older(row: Row) -> Row:
    """Return a row of a person who is ten years older."""
    return {**row, "age": row["age"] + 10}


def _batch(scene: Scene) -> None:
    scene.post(*(older(make_row(scene.rng)) for _ in range(BATCH)))


def _fault(scene: Scene) -> None:
    scene.traffic(30, 40)
    scene.traffic(30, 7, lambda row: {**row, "age": None})


def _users(scene: Scene) -> None:
    rows = [make_row(scene.rng) for _ in range(USERS)]
    for user in scene.rng.permutation(np.repeat(np.arange(USERS), TIMES)).tolist():
        scene.clock.now += 0.25
        scene.post(rows[user])


def _repeats(scene: Scene) -> None:
    for _ in range(20):
        for row in [older(make_row(scene.rng)) for _ in range(20)]:
            for _ in range(REPEATS):
                scene.clock.now += 0.25
                scene.post(row)


def _stable(scene: Scene) -> None:
    scene.traffic(30, 20)


SCENES: dict[str, Callable[[Scene], None]] = {
    "batch": _batch,
    "fault": _fault,
    "users": _users,
    "repeats": _repeats,
    "stable": _stable,
}
"""One batch of older people in one request; an age that is missing for seven minutes after forty good ones; users who
send their own row ten times within a minute; older people, of whom each comes eight times; rows as in training."""


@contextmanager
def scene_of(name: str, directory: Path, **config: Any) -> Iterator[Scene]:
    """Give an app to which the rows of a scene have come; *config* has further settings."""
    clock, rng, outputs = Clock(), np.random.default_rng(0), np.random.default_rng(2)
    trained = [make_row(rng) for _ in range(TRAINED)]
    columns = {key: [row[key] for row in trained] for key in trained[0]}
    ModelMonitoringService.export_text(columns, rng.random(TRAINED), directory / "baseline.prom", model="credit")
    app = Flask("scoring")
    app.config["BOXKITE_BASELINE"] = directory / "baseline.prom"
    app.config["BOXKITE_LOG_DIR"] = directory / "records"
    app.config["BOXKITE_LOG_TTL_DAYS"] = 36500
    app.config["BOXKITE_DASHBOARD_PATH"] = "/boxkite"
    app.config.update(config)

    monitor, ours = monitored(app, clock)

    @app.post("/score")
    @monitor.predict
    def score() -> dict[str, list[float]]:
        return {"predictions": outputs.random(len(request.get_json())).tolist()}

    with app.app_context():
        scene = Scene(app, monitor, clock, directory)
        SCENES[name](scene)
        yield scene
        ours.recorders.close()
