"""A site for tests: a server on a clock of the test's own, and a plain list of what it was asked when."""

from __future__ import annotations

import gc
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.baseline.distribution import Continuous
from flask_boxkite.config import Settings
from flask_boxkite.live.clock import Moment
from flask_boxkite.live.store import Store
from flask_boxkite.monitoring.app import AppMonitor
from flask_boxkite.monitoring.assembly import load_baselines
from flask_boxkite.values.ids import IdMaker
from tests.live.directories import directory_of, same_directory

__all__ = ["BEGIN", "DAY", "HOUR", "Asked", "Clock", "Site", "baseline_of_numbers"]

HOUR, DAY = 3600.0, 86400.0
BEGIN = 20_000 * DAY + 5 * HOUR + 1.0
"""2024-10-04, in the morning."""


def baseline_of_numbers(path: Path, *, shift: float = 0.0, version: str = "1", actual: bool = False) -> Baseline:
    """Write a baseline of one normal feature and one output."""
    rng = np.random.default_rng(7)
    scores = np.round(rng.random(2000), 3)
    options: dict[str, Any] = {"actual": (rng.random(2000) < scores).astype(int)} if actual else {}
    columns = {"x": np.round(rng.normal(shift, 1.0, 2000), 3)}
    options["segments"] = ["x"]  # of which history keeps nothing
    return ModelMonitoringService.export_text(columns, scores, path, model="m", version=version, **options)


@dataclass
class Clock:
    """A monotonic time that moves when told to, and a wall clock that can be set.

    Attributes:
        up: The monotonic time.
        ahead: Seconds by which the wall clock leads it.
    """

    up: float = 50_000.0
    ahead: float = BEGIN - 50_000.0

    def __call__(self) -> float:
        return self.up + self.ahead

    def uptime(self) -> float:
        """Return the monotonic time."""
        return self.up

    def moment(self) -> Moment:
        """Return the present moment."""
        return Moment("boot", self.up, self())


@dataclass
class Asked:
    """What was asked of one baseline, by hour.

    Attributes:
        rows: Rows by hour.
        groups: Values of the feature by hour and index of the group.
    """

    rows: Counter[int] = field(default_factory=Counter)
    groups: Counter[tuple[int, int]] = field(default_factory=Counter)

    def days(self) -> Counter[int]:
        """Return the rows by day."""
        found: Counter[int] = Counter()
        for hour, rows in self.rows.items():
            found[hour // 24] += rows
        return found

    def groups_of(self, day: int, number: int) -> list[int]:
        """Return the rows of a day by group."""
        return [sum(self.groups[hour, group] for hour in range(day * 24, day * 24 + 24)) for group in range(number)]


class Site:
    """One server whose processes are started one after the other.

    Args:
        base: Directory of its state.
        baseline: Path of its baseline.
        options: Settings.
    """

    def __init__(self, base: Path, baseline: Path, **options: Any) -> None:
        self.base = base
        base.mkdir(exist_ok=True)
        self.clock = Clock()
        self.options = {f"BOXKITE_{name.upper()}": value for name, value in options.items()}
        self.asked: dict[str, Asked] = {}
        self.start(baseline)

    def start(self, baseline: Path) -> None:
        """Start a process, in place of the one before, which is gone."""
        self.app = self.model = None  # type: ignore[assignment]
        gc.collect()
        settings = Settings.from_mapping({"BOXKITE_SINK": "none", **self.options, "BOXKITE_BASELINE": str(baseline)})
        directory = same_directory(self.base, clock=self.clock.moment)
        store = Store(directory, self.clock.uptime, self.clock, boot=lambda: "boot")
        self.app = AppMonitor(settings, "app", load_baselines(settings.baseline), store=store, clock=self.clock)
        (self.model,) = self.app.models()
        self.model.new_id = IdMaker("server", lambda: int(self.clock() * 1_000_000_000))
        self._feature = self._known.features[0]
        assert isinstance(self._feature, Continuous)

    @property
    def _known(self) -> Baseline:
        assert self.model.baseline is not None
        return self.model.baseline

    @property
    def directory(self) -> Path:
        """The directory of its files."""
        return directory_of(self.base)

    def predict(self, value: float, score: float = 0.5) -> str:
        """Have one row predicted, and note it."""
        hour = int(self.clock() // HOUR)
        asked = self.asked.setdefault(self._known.fingerprint, Asked())
        asked.rows[hour] += 1
        assert isinstance(self._feature, Continuous)
        asked.groups[hour, bisect_left(self._feature.group_bounds, value)] += 1
        return self.model.log_prediction(None, [value], score)

    def go(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.up += seconds
