"""Observations: every number of one reading of the counts, compared with a computation of the test's own."""

from __future__ import annotations

import math
import tempfile
import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.baseline import Continuous, Discrete
from flask_boxkite.drift.statistics import population_stability_index, psi_sampling_noise
from flask_boxkite.drift.tables import GroupSums
from flask_boxkite.drift.timeline import REACHES, Timeline
from flask_boxkite.drift.timelines import Timelines
from flask_boxkite.errors import BoxkiteError, ConfigError
from flask_boxkite.live.counting import VariableCounter
from flask_boxkite.live.counts import Counts
from flask_boxkite.live.folding import windows_path
from flask_boxkite.live.increments import Increments
from flask_boxkite.live.model_cells import DURATION_BOUNDS, ModelCells
from flask_boxkite.live.section import Section, SectionKey
from flask_boxkite.live.store import Store
from flask_boxkite.live.windows import Windows
from flask_boxkite.monitoring.observation import Observation, course, observe
from flask_boxkite.monitoring.tally import Tally
from flask_boxkite.naming import CAPTURE_REASONS
from flask_boxkite.payloads import Table
from tests.live.directories import directory_of, same_directory


@pytest.fixture
def baseline(rng: np.random.Generator, tmp_path: Path) -> Baseline:
    """Return a baseline of two features."""
    features = {"age": rng.normal(40, 10, 2000), "city": rng.choice(["Bonn", "Ulm"], 2000)}
    return ModelMonitoringService.export_text(features, None, tmp_path / "histogram.prom")


def seen(cells: list[int], layout: ModelCells) -> Observation:
    """Return an observation of requests only."""
    counts = np.array(cells)
    return Observation("m", None, None, 1e-5, layout, counts, None, counts, {})


def test_one_reading_has_everything(baseline: Baseline) -> None:
    service = ModelMonitoringService(baseline, sink="none")
    for age in range(100):
        service.log_prediction(features=[age, "Bonn"], output=None)
    observation = service.monitor.observe("1h")

    assert observation.rows == {"ok": 100, "client_error": 0, "error": 0}
    assert observation.capture_errors == {"features": 0, "output": 0, "internal": 0}
    assert observation.cells[len(baseline.features[0].cells) :][:2].tolist() == [100, 0]
    assert observation.report == service.drift("1h")


def test_a_row_that_is_just_being_counted_is_not_called_uncounted(baseline: Baseline) -> None:
    """Another process may have counted its status, and not yet its features."""
    layout = ModelCells.of(baseline)
    cells = np.zeros(layout.size, dtype=np.int64)
    cells[layout.statuses_start] = 100
    for item in layout.variables:
        cells[item.cells.start] = 99
    observation = seen(cells.tolist(), layout)
    assert observation.uncounted == (100, 0, 0)
    cells[layout.captures_start + CAPTURE_REASONS.index("features")] = 1
    assert seen(cells.tolist(), layout).uncounted == (100, 1, 0)


def test_without_a_baseline_requests_are_observed() -> None:
    service = ModelMonitoringService(sink="none")
    service.log_prediction(features=[1], output=2)
    observation = service.monitor.observe()

    assert (observation.report, observation.rows["ok"]) == (None, 1)
    with pytest.raises(BoxkiteError, match="Model 'default' has no baseline"):
        service.drift()


def test_an_unknown_window_is_refused(baseline: Baseline) -> None:
    with pytest.raises(
        ConfigError, match="'window' must be one of '5m', '1h', '24h' or days from '2d' to '400d' or None, got '2h'"
    ):
        ModelMonitoringService(baseline, sink="none").monitor.observe("2h")


# --- latency ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quantile", [0.0, 0.5, 0.95, 0.99, 1.0])
def test_latency_is_what_histogram_quantile_gives(quantile: float, rng: np.random.Generator) -> None:
    """Computed as Prometheus documents it: find the bucket, go evenly through it, never beyond the last bound."""
    layout = ModelCells((), ())
    cells = np.zeros(layout.size, int)
    counts = rng.integers(0, 50, len(DURATION_BOUNDS) + 1)
    cells[layout.durations_start : layout.durations_start + len(counts)] = counts
    rank, below, lower = quantile * counts.sum(), 0, 0.0
    expected = DURATION_BOUNDS[-1]
    for count, upper in zip(counts.tolist(), DURATION_BOUNDS, strict=False):
        if below + count >= rank and count:
            expected = lower + (upper - lower) * (rank - below) / count
            break
        below, lower = below + count, upper

    assert seen(cells.tolist(), layout).latency(quantile) == pytest.approx(expected)


def test_nothing_timed_is_no_latency() -> None:
    layout = ModelCells((), ())
    assert seen([0] * layout.size, layout).latency(0.5) is None


# --- the day ---------------------------------------------------------------------------------------------------------


class Clock:
    """A clock that is set by hand."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_the_day_is_told_hour_by_hour(baseline: Baseline, rng: np.random.Generator) -> None:
    """Each point beside the indices of the rows of that hour, counted by hand."""
    clock = Clock()
    layout = ModelCells.of(baseline)
    counts = Counts(Store(None, clock, clock), Section(SectionKey("model", "m", "x"), layout.size, layout.sums_size))
    age = baseline.features[0]
    history: list[tuple[float, int]] = []
    for slot in range(40):
        for _ in range(0 if 10 <= slot < 16 else 25):
            cell = int(rng.choice(len(age.cells), p=np.array(age.cells) / sum(age.cells)))
            tally = Tally()
            tally.cells.append(min(cell + slot // 20 * 5, len(age.cells) - 1))
            counts.add(tally)
            history.append((clock.now, tally.cells[0]))
        clock.now += 900.0
    known, points = course(Timelines(layout).trained, counts, age)

    assert known == 40 * 900.0
    assert points
    assert points[-1].age == 0.0 or points[-1].age < 1800.0
    before = [sum(age.cells[group.start : group.stop]) for group in age.groups]
    for point in points:
        end = clock.now - point.age
        cells = [cell for at, cell in history if end - 3600 <= at < end]
        now = [sum(group.start <= cell < group.stop for cell in cells) for group in age.groups]
        assert point.rows == len(cells) >= 30
        assert point.psi == pytest.approx(population_stability_index(before, now))
        assert point.limit == pytest.approx(psi_sampling_noise(before, now) + 0.1)
    assert max(point.psi for point in points if clock.now - point.age < 1_000_000.0 + 18 * 900) < points[-1].psi


def test_hours_with_few_rows_are_left_out(baseline: Baseline) -> None:
    layout = ModelCells.of(baseline)
    counts = Counts(
        Store(None, Clock(), Clock()), Section(SectionKey("model", "m", "x"), layout.size, layout.sums_size)
    )
    for _ in range(29):
        counts.add(Increments([3]))
    assert course(Timelines(layout).trained, counts, baseline.features[0]).points == []
    counts.add(Increments([3]))
    assert [point.rows for point in course(Timelines(layout).trained, counts, baseline.features[0]).points] == [30]


@pytest.mark.parametrize(("minutes", "step"), [(2, 10), (40, 60), (90, 900)])
def test_a_fresh_server_tells_the_time_that_it_knows_in_finer_steps(
    baseline: Baseline, minutes: int, step: int
) -> None:
    """Ten rows come every ten seconds; each point beside the number of rows of its hour, counted by hand."""
    clock = Clock()
    clock.now = 999_900.0  # at which a slot of every length begins
    layout = ModelCells.of(baseline)
    counts = Counts(Store(None, clock, clock), Section(SectionKey("model", "m", "x"), layout.size, layout.sums_size))
    for _ in range(6 * minutes):
        counts.add(Increments([3] * 10))
        clock.now += 10.0

    known, points = course(Timelines(layout).trained, counts, baseline.features[0])

    assert known == 60.0 * minutes
    assert {before.age - after.age for before, after in pairwise(points)} == {step}
    assert [point.rows for point in points] == [min(known - point.age, 3600) for point in points]
    assert (points[0].age, points[-1].age) == (known - max(step, 30), 0.0)


# --- stretches of time -----------------------------------------------------------------------------------------------

SIDES = Baseline(
    (Continuous("x", (0.0, 1.0), (10, 10, 10), (0.0, 1.0)), Discrete("t", ("a", "b"), (10, 20))),
    (Discrete("y", ("1.0", "0.0"), (10, 20)),),
    30,
    row_collisions=0.0,
)
LAYOUT = ModelCells.of(SIDES)
GAPS = st.sampled_from([0.0, 1.0, 3.0, 9.0, 10.0, 45.0, 60.0, 299.0, 600.0, 900.0, 3600.0, 30_000.0, 90_000.0])


class Served:
    """Processes of one server that serve a model, and what they were sent when.

    Attributes:
        clock: Their time.
        events: When each request came, and the cells that it added to.
        kept: Makes timelines, and remembers.
    """

    def __init__(self, directory: Path | None) -> None:
        self.clock = Clock()
        self.clock.now = 1_790_000_000.0
        self.events: list[tuple[float, NDArray[np.int64]]] = []
        self.kept = Timelines(LAYOUT)
        self._directory = directory
        self._processes: dict[int, Counts] = {}
        self._features = VariableCounter(LAYOUT.features, 0, LAYOUT.size, buckets=LAYOUT.buckets_start)

    def process(self, number: int) -> Counts:
        """Return a process, started if need be."""
        if number not in self._processes:
            store = Store(None if self._directory is None else same_directory(self._directory), self.clock, self.clock)
            section = Section(SectionKey("model", "m", "x"), LAYOUT.size, LAYOUT.sums_size)
            self._processes[0 if self._directory is None else number] = Counts(store, section)
        return self._processes[number]

    def send(self, number: int, rows: int) -> None:
        """Send a request of some rows, two of which are different, to a process."""
        table = Table(None, [[0.5 if row % 3 else 7.0, "ab"[row % 2]] for row in range(rows)])
        increments = self._features.count(table)
        increments.amounts.append((LAYOUT.squares, rows * rows))
        cells = np.bincount(increments.cells, minlength=LAYOUT.size) + (
            0 if increments.block is None else increments.block
        )
        cells[LAYOUT.squares] += rows * rows
        self.events.append((self.clock.now, cells))
        self.process(number).add(increments)

    def timeline(self, number: int, timelines: Timelines | None = None) -> Timeline:
        """Return what a process says, by sums that it remembers, or by others."""
        return (timelines or self.kept).of(*self.process(number).history())

    def expected(self) -> dict[float, NDArray[np.int64]]:
        """Return what was counted from the first request of each slot on, and from the start, by when that was."""
        now = self.clock.now
        first: dict[tuple[float, float], float] = {}
        for _, slot in REACHES:
            for at, _ in self.events:
                first.setdefault((slot, at // slot), at)
        starts = {at for (slot, _), at in first.items() for reach, own in REACHES if own == slot and at >= now - reach}
        if not self.events or self.events[0][0] < now - 86_400:
            starts.add(-math.inf)
        none = np.zeros(LAYOUT.size, np.int64)
        return {start: sum((cells for at, cells in self.events if at >= start), none) for start in sorted(starts)}

    def check(self, found: Timeline) -> None:
        """Compare a timeline with the list."""
        expected = self.expected()
        groups, rows = GroupSums(LAYOUT.variables), found.rows
        assert rows is not None
        assert found.now == self.clock.now
        assert found.starts.tolist() == list(expected)
        for index, cells in enumerate(expected.values()):
            assert found.groups[index].tolist() == groups.of(cells).tolist()
            assert rows.buckets[index].tolist() == cells[LAYOUT.buckets_start : LAYOUT.squares].tolist()
            assert rows.squares[index] == cells[LAYOUT.squares]


@settings(max_examples=40)
@given(
    steps=st.lists(st.tuples(GAPS, st.integers(0, 2), st.integers(1, 20), st.booleans()), min_size=1, max_size=40),
    is_shared=st.booleans(),
)
def test_stretches_hold_what_was_counted_since(steps: list[tuple[float, int, int, bool]], is_shared: bool) -> None:
    """Also by sums that are remembered, by whichever process asks."""
    with tempfile.TemporaryDirectory() as directory:
        served = Served(Path(directory) if is_shared else None)
        for gap, number, rows, is_request in steps:
            served.clock.now += gap
            if not is_shared:
                number = 0
            if is_request:
                served.send(number, rows)
            served.check(served.timeline(number))
            served.check(served.timeline(number, Timelines(LAYOUT)))


def test_sums_of_snapshots_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = Served(tmp_path)
    read: list[float] = []
    real = Windows._snapshot

    def reading(self: Windows, index: int, taken: float) -> NDArray[np.int64] | None:
        read.append(taken)
        return real(self, index, taken)

    monkeypatch.setattr(Windows, "_snapshot", reading)
    for _ in range(100):
        served.send(0, 1)
        served.clock.now += 60.0
    served.check(served.timeline(0))
    assert len(read) == len(set(read)) == 60 + 4
    read.clear()
    served.check(served.timeline(1))
    served.clock.now += 20.0
    served.timeline(0)
    assert read == []
    served.send(0, 1)
    served.check(served.timeline(0))
    assert read == [served.clock.now]


def test_a_snapshot_that_is_gone_is_no_stretch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is it remembered as one that is not there."""
    served = Served(None)
    for _ in range(5):
        served.send(0, 2)
        served.clock.now += 60.0
    history, totals = served.process(0).history()
    gone = list(history.snapshots)[2]
    real = history.snapshots._read
    history.snapshots._read = lambda index, taken: None if taken == gone else real(index, taken)
    without = served.kept.of(history, totals)
    assert without.starts.tolist() == [start for start in served.expected() if start != gone]
    served.check(served.timeline(0))


@pytest.mark.parametrize("when", ["at once", "after some more rows"])
def test_counts_that_were_lost_are_never_negative(tmp_path: Path, when: str) -> None:
    """The files of a server are deleted after an hour of counting. Each stretch still holds all later ones."""
    served = Served(tmp_path)
    for _ in range(60):
        served.send(0, 5)
        served.send(1, 5)
        served.clock.now += 60.0
    served._processes.pop(1)
    for path in directory_of(tmp_path).glob("*"):
        if path != windows_path(directory_of(tmp_path), served.process(0).section.key):
            path.unlink()
    served._processes.clear()
    if when == "after some more rows":
        for _ in range(30):
            served.send(2, 50)
            served.clock.now += 11.0
    for timelines in (served.kept, Timelines(LAYOUT)):
        found = served.timeline(2, timelines)
        assert found.rows is not None
        for counts in (found.groups, found.rows.buckets, found.rows.squares):
            assert (counts >= 0).all()
            assert (np.diff(counts, axis=0) <= 0).all()
        assert (found.groups[0].sum() > 0) == (when != "at once")
    report = observe("m", SIDES, LAYOUT, served.process(2), window="1h", alpha=1e-5, timelines=served.kept).report
    assert report is not None
    assert {item.verdict for item in report}


def test_a_baseline_without_variables_has_a_timeline_all_the_same() -> None:
    service = ModelMonitoringService(Baseline((), (), 10), sink="none")
    service.log_prediction(features=[1], output=2)

    assert service.drift().variables == ()
    assert service.monitor.observe().rows["ok"] == 1


def test_timelines_of_several_threads_are_right() -> None:
    served = Served(None)
    for _ in range(40):
        served.send(0, 3)
        served.clock.now += 15.0
    expected = served.timeline(0, Timelines(LAYOUT))
    found: list[Timeline] = []

    def read() -> None:
        for _ in range(30):
            found.append(served.timeline(0))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 120
    for timeline in found:
        assert timeline.groups.tolist() == expected.groups.tolist()
        assert timeline.starts.tolist() == expected.starts.tolist()


def test_cells_are_counted_since_any_snapshot(baseline: Baseline) -> None:
    service = ModelMonitoringService(baseline, sink="none")
    service.log_prediction(features=[20, "Bonn"], output=None)
    observation = service.monitor.observe("1h")
    (taken,) = observation.snapshots
    assert observation.cells_since(None).tolist() == observation.cells.tolist()
    assert observation.cells_since(taken).tolist() == observation.totals.tolist()
    assert observation.cells_since(taken + 1).tolist() == observation.cells.tolist()
