"""Simulated windows of a model whose rows are segmented by country, counted and cut into stretches as a server does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flask_boxkite import Baseline
from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.drift.report import drift_report
from flask_boxkite.drift.segments import SegmentJudge, SegmentReport
from flask_boxkite.drift.tables import GroupSums
from flask_boxkite.drift.timeline import REACHES, Timeline
from flask_boxkite.drift.verdict import Verdict
from flask_boxkite.live.counting import VariableCounter
from flask_boxkite.live.model_cells import ModelCells
from flask_boxkite.live.segment_cells import segment_cells
from flask_boxkite.monitoring.tally import Tally
from flask_boxkite.payloads import Table
from flask_boxkite.values.rowhash import ROW_BUCKETS

__all__ = ["ALPHA", "CALLED", "MOVED", "NOW", "Change", "Model", "Population", "Said", "Traffic"]

ALPHA = 1e-3
CALLED: frozenset[Verdict] = frozenset({"shifted", "drifted", "major"})

MOVED = "NO"
"""The segment that changes: 5 % of all rows, like two others."""

NOW = 1_800_000_000.0
_SHARES = {"DE": 0.3, "FR": 0.2, "IT": 0.15, "ES": 0.12, "PL": 0.09, "SE": 0.05, MOVED: 0.05, "FI": 0.04}
_COUNTRIES, _MIX = list(_SHARES), np.array(list(_SHARES.values()))
_PLANS, _PLAN_SHARES = ("free", "basic", "pro", "team"), np.array([0.45, 0.3, 0.2, 0.05])
_SHOPS = [f"shop {number}" for number in range(80)]  # of which a baseline keeps fifty
_SHOP_SHARES = (1 / np.arange(1, 81)) / (1 / np.arange(1, 81)).sum()
Row = list[Any]


class Change(NamedTuple):
    """A change of live rows, of the countries of one segment alone.

    Attributes:
        name: Name of it.
        shift: Number of standard deviations by which the age moves.
        is_swapped: Whether the largest plan and the next but one change places.
        is_missing: Whether the age does not come.
    """

    name: str
    shift: float = 0.0
    is_swapped: bool = False
    is_missing: bool = False


class Population(NamedTuple):
    """The rows of training and the usual live rows.

    Attributes:
        differs: Whether one segment differs from the average, in training as live.
        mix: Share of that segment in live rows; None for its share in training.
    """

    differs: bool = False
    mix: float | None = None

    def draw(
        self, rng: np.random.Generator, rows: int, *, is_live: bool = True, batch: int = 1, alike: float = 0.0
    ) -> Rows:
        """Return rows, of which so many, one after the other, come in a batch and are alike; see `Traffic`."""
        mix = _MIX.copy()
        if is_live and self.mix is not None:
            mix *= np.where(np.array(_COUNTRIES) == MOVED, self.mix / mix, (1 - self.mix) / (1 - _SHARES[MOVED]))
        batches = -(-rows // batch)
        country = np.repeat(rng.choice(_COUNTRIES, batches, p=mix / mix.sum()), batch)[:rows]
        age = rng.normal(size=rows)
        plan = rng.choice(_PLANS, rows, p=_PLAN_SHARES)
        if batch > 1:
            own = np.repeat(rng.normal(size=batches), batch)[:rows]
            age = np.sqrt(alike) * own + np.sqrt(1 - alike) * age
            of_batch = np.repeat(rng.choice(_PLANS, batches, p=_PLAN_SHARES), batch)[:rows]
            plan = np.where(rng.random(rows) < alike, of_batch, plan)
        if self.differs:
            age = np.where(country == MOVED, age + 2.0, age)
            plan = np.where((country == MOVED) & (rng.random(rows) < 0.5), "team", plan)
        return Rows(
            country,
            age,
            rng.lognormal(8.0, 0.5, rows),
            plan,
            rng.poisson(2.0, rows).astype(np.float64),
            rng.choice(_SHOPS, rows, p=_SHOP_SHARES),
            rng.beta(2.0, 5.0, rows),
        )


@dataclass
class Rows:
    """Columns of rows; *score* is the output."""

    country: NDArray[Any]
    age: NDArray[np.float64]
    income: NDArray[np.float64]
    plan: NDArray[Any]
    visits: NDArray[np.float64]
    shop: NDArray[Any]
    score: NDArray[np.float64]

    def features(self) -> dict[str, list[Any]]:
        """Return the columns of the features."""
        names = ("country", "age", "income", "plan", "visits", "shop")
        return {name: getattr(self, name).tolist() for name in names}

    def change(self, change: Change, at: NDArray[np.bool_]) -> None:
        """Change the rows of one segment, as far as *at* says so."""
        at = at & (self.country == MOVED)
        self.age[at] += change.shift
        if change.is_swapped:
            swapped = {"free": "pro", "pro": "free"}
            self.plan[at] = [swapped.get(plan, plan) for plan in self.plan[at].tolist()]
        if change.is_missing:
            self.age[at] = np.nan


@dataclass(frozen=True)
class Traffic:
    """How the rows of a window come.

    Attributes:
        name: Name of it.
        rows: Number of rows.
        seconds: Number of seconds in which they come.
        repeats: Number of times that each row comes, within a minute, in requests of their own.
        batch: Number of rows in a request, all of one country.
        alike: Correlation of the ages of two rows in a batch, and share of its rows that have one plan.
        good: Share of the window in which rows are as usual before they change.
    """

    name: str
    rows: int
    seconds: float = 3600.0
    repeats: int = 1
    batch: int = 1
    alike: float = 0.0
    good: float = 0.0


class Said(NamedTuple):
    """Verdicts on one window.

    Attributes:
        segments: Report of all segments.
        whole: Verdicts on the variables of all rows together.
    """

    segments: SegmentReport
    whole: list[Verdict]

    @property
    def is_called(self) -> bool:
        """Whether any variable of any segment is called."""
        return any(item.verdict in CALLED for segment in self.segments for item in segment.report)

    @property
    def is_unclear(self) -> bool:
        """Whether none is called and one is unclear."""
        return not self.is_called and any(item.verdict == "unclear" for each in self.segments for item in each.report)

    def is_found(self, name: str) -> bool:
        """Return whether a variable of the segment of that name is called."""
        return any(item.verdict in CALLED for item in self.segments[name].report)

    @property
    def is_whole_called(self) -> bool:
        """Whether a variable of all rows together is called."""
        return bool(CALLED.intersection(self.whole))


@dataclass
class Model:
    """A model with a baseline of its own, and what counts and judges its rows.

    Args:
        population: Training rows.
        trained: Number of training rows.
        rng: Random numbers.
    """

    population: Population
    trained: int
    rng: np.random.Generator
    baseline: Baseline = field(init=False)

    def __post_init__(self) -> None:
        rows = self.population.draw(self.rng, self.trained, is_live=False)
        self.baseline = build_baseline(rows.features(), rows.score, segments=["country"], pairs=False, progress=False)
        self._layout = layout = ModelCells.of(self.baseline)
        (self._item,) = layout.segmentations
        self._features = VariableCounter(
            layout.features, 0, layout.squares, buckets=layout.buckets_start, locates=True, locates_buckets=True
        )
        self._outputs = VariableCounter(layout.outputs, layout.outputs_start, layout.squares)
        self._counter = segment_cells(layout)
        self._judge = SegmentJudge("model", self.baseline, self._item)
        self._sums = GroupSums(layout.variables)

    def judged(self, traffic: Traffic, change: Change | None = None) -> Said:
        """Draw a window, and return what is said of it."""
        rng, different = self.rng, traffic.rows // traffic.repeats
        rows = self.population.draw(rng, different, batch=traffic.batch, alike=traffic.alike)
        requests = -(-different // traffic.batch)
        times = np.sort(rng.random(requests)) * traffic.seconds + NOW - traffic.seconds
        of_rows = np.repeat(times, traffic.batch)[:different]
        if change is not None:
            rows.change(change, of_rows >= NOW - traffic.seconds * (1 - traffic.good))

        cells = self._located(rows)
        if traffic.repeats > 1:
            cells = [np.repeat(located, traffic.repeats, axis=0) for located in cells]
            later = rng.random(different * traffic.repeats) * 60.0
            of_rows = np.minimum(np.repeat(of_rows, traffic.repeats) + later, NOW - 0.5)
        return self._said(*self._slots(cells, of_rows, traffic.batch))

    def _located(self, rows: Rows) -> list[NDArray[np.int32]]:
        tally = Tally()
        self._features.count(Table(None, list(map(list, zip(*rows.features().values(), strict=True)))), tally)
        assert tally.located is not None
        return [tally.located, self._outputs.count_and_locate(rows.score[:, np.newaxis])[1]]

    def _slots(
        self, cells: list[NDArray[np.int32]], times: NDArray[np.float64], batch: int
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return the beginning of each slot, and its counts by segment, shape (slots, segments, counts)."""
        fine, minute = REACHES[0], REACHES[1]
        seconds = np.where(times >= NOW - fine[0], fine[1], minute[1])
        begins = times // seconds * seconds
        starts, number = np.unique(begins, return_inverse=True)
        slots = np.zeros((len(starts), len(self._item.names), self._layout.segment_size), dtype=np.int64)
        assert self._counter is not None
        for slot, of_slot in enumerate(_rows_by(number, len(starts))):
            features, outputs = (np.ascontiguousarray(located[of_slot]) for located in cells)
            counts = self._counter.of_rows(features, outputs).reshape(slots.shape[1:])
            counts[:, -1] = counts[:, -ROW_BUCKETS - 1 : -1].sum(axis=1)  # each row is a request
            slots[slot] = counts
            if batch > 1:  # all rows of a batch, which have one moment, are of one segment
                slots[slot, :, -1] *= batch
        return starts, slots

    def _said(self, starts: NDArray[np.float64], slots: NDArray[np.int64]) -> Said:
        groups = self._layout.segment_size - ROW_BUCKETS - 1

        def timeline(counts: NDArray[np.int64]) -> Timeline:
            return Timeline.of_slots(starts, counts[:, :groups], counts[:, groups:-1], counts[:, -1], NOW)

        counted = slots.sum(axis=0)[:, :groups]
        segments = self._judge.report(
            list(counted), [timeline(slots[:, number]).occupied() for number in range(slots.shape[1])], alpha=ALPHA
        )
        whole = drift_report(
            "model",
            self.baseline,
            self._sums.cells_of(counted.sum(axis=0)),
            alpha=ALPHA,
            timeline=timeline(slots.sum(axis=1)),
        )
        return Said(segments, [item.verdict for item in whole])


def _rows_by(number: NDArray[np.intp], slots: int) -> Iterator[NDArray[np.intp]]:
    """Yield the rows of each slot."""
    order = np.argsort(number, kind="stable")
    yield from np.split(order, np.cumsum(np.bincount(number, minlength=slots))[:-1])
