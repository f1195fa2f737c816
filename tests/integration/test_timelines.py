"""Faults that begin while a server runs, minute by minute: when they are called, and that they stay so.

Real requests to an app, with a clock of the test's own; live in every window, and by the records of the same requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask

from flask_boxkite import Boxkite, ModelMonitoringService
from flask_boxkite.records import Records
from tests.clocked import monitored

TRAINED = 426
BEGIN = datetime(2026, 3, 1, 9, 0, 3, tzinfo=timezone.utc).timestamp()
STEP = 10.0
CALLED = frozenset({"shifted", "drifted", "major"})
REACHES = ("5m", "1h", "24h", None)

Row = dict[str, Any]
Fault = Callable[[Row], Row]


def missing(row: Row) -> Row:
    """Return the row without its first feature."""
    return {**row, "f0": None}


def shifted(row: Row) -> Row:
    """Return the row with its first feature one standard deviation higher."""
    return {**row, "f0": row["f0"] + 1.0}


@dataclass
class Clock:
    """The time, for all that asks for it."""

    now: float = BEGIN

    def __call__(self) -> float:
        return self.now


@dataclass
class World:
    """An app, its traffic, and what it says at each step after the fault began.

    Attributes:
        monitor: Its monitor.
        post: Sends one row.
        directory: Where its baseline and records are.
        clock: The time.
        rng: Makes rows.
        courses: For each reach, the verdict of the first feature at each step, and of all others.
    """

    monitor: Boxkite
    post: Callable[[Row], None]
    directory: Path
    clock: Clock
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(5))
    courses: dict[str | None, list[str]] = field(default_factory=lambda: {reach: [] for reach in REACHES})

    def traffic(self, a_minute: float, seconds: float, fault: Fault | None = None) -> None:
        """Send rows evenly; with a fault, note the verdicts every ten seconds."""
        every = 60.0 / a_minute
        end, at = self.clock.now + seconds, self.clock.now
        look = self.clock.now + STEP
        while at < end:
            self.clock.now = at
            row = make_row(self.rng)
            self.post(row if fault is None else fault(row))
            at += every
            while fault is not None and look <= min(at, end):
                self.clock.now = look
                self.note()
                look += STEP
        self.clock.now = end

    def idle(self, seconds: float) -> None:
        """Let time pass, and note the verdicts."""
        for _ in range(int(seconds / STEP)):
            self.clock.now += STEP
            self.note()

    def note(self) -> None:
        """Write down the verdicts; nothing but the fault may be called."""
        for reach in REACHES:
            report = self.monitor.drift(window=reach)
            self.courses[reach].append(report["f0"].verdict)
            assert {item.name for item in report if item.verdict in CALLED} <= {"f0"}

    def seconds_until_called(self, reach: str | None) -> float:
        """Return how long after the fault a reach called it."""
        return STEP * (1 + next(i for i, verdict in enumerate(self.courses[reach]) if verdict in CALLED))

    def falls(self, reach: str | None) -> int:
        """Return how many times a reach took back what it had called."""
        called = [verdict in CALLED for verdict in self.courses[reach]]
        return sum(before and not after for before, after in pairwise(called))

    def by_records(self) -> dict[str, tuple[str, float, float]]:
        """Return verdict, G and φ of each variable by the records of everything so far."""
        assert self.monitor.flush(30) == 0
        end = datetime.fromtimestamp(self.clock.now, timezone.utc)
        report = Records(self.directory / "records", end=end).drift(self.directory / "baseline.prom")
        return {item.name: (item.verdict, item.judgement.g, item.judgement.dispersion) for item in report}

    def live(self) -> dict[str, tuple[str, float, float]]:
        """Return the same as counted live, since the start."""
        return {item.name: (item.verdict, item.judgement.g, item.judgement.dispersion) for item in self.monitor.drift()}


def make_row(rng: np.random.Generator) -> Row:
    """Return a row as in training."""
    row: Row = {f"f{number}": float(rng.normal()) for number in range(6)}
    return {**row, "plan": str(rng.choice(["a", "b", "c"], p=[0.5, 0.3, 0.2]))}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Build an app whose counts, ids and records have a clock of their own."""
    clock = Clock()
    rng = np.random.default_rng(4)
    trained = [make_row(rng) for _ in range(TRAINED)]
    columns = {name: [row[name] for row in trained] for name in trained[0]}
    scores = rng.random(TRAINED)
    ModelMonitoringService.export_text(columns, {"score": scores}, tmp_path / "baseline.prom")

    app = Flask("timelines")
    app.config["BOXKITE_BASELINE"] = tmp_path / "baseline.prom"
    app.config["BOXKITE_LOG_DIR"] = tmp_path / "records"
    app.config["BOXKITE_LOG_TTL_DAYS"] = 36500
    monitor, ours = monitored(app, clock)
    outputs = np.random.default_rng(6)

    @app.post("/score")
    @monitor.predict
    def score() -> dict[str, float]:
        return {"score": float(outputs.random())}

    client = app.test_client()

    def post(row: Row) -> None:
        assert client.post("/score", json=row).status_code == 200

    with app.app_context():
        yield World(monitor, post, tmp_path, clock)
        ours.recorders.close()


@pytest.mark.parametrize(("fault", "within"), [(missing, 20), (shifted, 60)], ids=["missing", "one standard deviation"])
def test_a_fault_in_full_traffic_is_called_at_once_in_every_reach(world: World, fault: Fault, within: float) -> None:
    """200 rows a minute, five good minutes, then twelve with the fault."""
    world.traffic(200, 300)
    world.traffic(200, 720, fault)
    for reach in REACHES:
        assert world.seconds_until_called(reach) <= within
        assert world.falls(reach) == 0
        assert world.courses[reach] == world.courses[None]
    assert world.by_records() == world.live()


@pytest.mark.parametrize(
    ("fault", "within"), [(missing, 90), (shifted, 300)], ids=["missing", "one standard deviation"]
)
def test_a_fault_after_a_good_hour_is_called_in_every_reach(world: World, fault: Fault, within: float) -> None:
    """30 rows a minute."""
    world.traffic(30, 3600)
    world.traffic(30, 1800, fault)
    for reach in REACHES:
        assert world.seconds_until_called(reach) <= within
        assert world.falls(reach) == 0
    disagreeing = sum(len({course[i] in CALLED for course in world.courses.values()}) > 1 for i in range(180))
    assert disagreeing <= 0.05 * 180
    assert world.by_records() == world.live()


@pytest.mark.parametrize(("good", "bad"), [(200, 200), (300, 250)])
def test_a_burst_is_called_and_stays_called_when_nothing_follows(world: World, good: int, bad: int) -> None:
    """Good rows, then bad ones, all within two minutes; then silence."""
    world.traffic(good, 60)
    world.traffic(bad, 60, missing)
    world.idle(1200)
    for reach in ("1h", "24h", None):
        assert world.seconds_until_called(reach) <= 20
        assert world.falls(reach) == 0
    # The last five minutes hold no row in the end.
    assert world.courses["5m"][-1] == "not enough data"
    assert world.falls("5m") == 1
    assert world.by_records() == world.live()


def test_a_fault_after_a_quiet_day_is_called_in_every_longer_reach(world: World) -> None:
    """12 rows a minute for 20 hours, then an hour without the feature; what is called stays so."""
    world.traffic(12, 20 * 3600)
    world.traffic(12, 3600, missing)
    for reach in REACHES:
        assert world.seconds_until_called(reach) <= 360
        assert world.falls(reach) == 0
    assert world.by_records() == world.live()


def test_good_traffic_is_never_called(world: World) -> None:
    """The verdicts of every ten seconds of an hour, of a new server."""
    world.traffic(60, 3600, lambda row: row)
    assert not CALLED & {verdict for course in world.courses.values() for verdict in course}
    assert world.by_records() == world.live()
