"""What was observed: one reading of the counts, and every number of it beside a computation of its own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.drift.statistics import population_stability_index, psi_sampling_noise
from flask_boxkite.errors import BoxkiteError, ConfigError
from flask_boxkite.live.layout import DURATION_BOUNDS, Layout
from flask_boxkite.live.shared import Counts, Store
from flask_boxkite.live.store import Increments, Section
from flask_boxkite.observation import Observation, course
from flask_boxkite.service import Tally


@pytest.fixture
def baseline(rng: np.random.Generator, tmp_path: Path) -> Baseline:
    """Return a baseline of two features."""
    features = {"age": rng.normal(40, 10, 2000), "city": rng.choice(["Bonn", "Ulm"], 2000)}
    return ModelMonitoringService.export_text(features, None, tmp_path / "histogram.prom")


def seen(cells: list[int], layout: Layout) -> Observation:
    """Return an observation of requests only."""
    return Observation("m", None, None, 1e-5, layout, np.array(cells), None)


def test_one_reading_has_everything(baseline: Baseline) -> None:
    service = ModelMonitoringService(baseline, sink="none")
    for age in range(100):
        service.log_prediction(features=[age, "Bonn"], output=None)
    observation = service.observe("1h")

    assert observation.rows == {"ok": 100, "client_error": 0, "error": 0}
    assert observation.capture_errors == {"features": 0, "output": 100, "internal": 0}
    assert observation.cells[len(baseline.features[0].cells) :][:2].tolist() == [100, 0]
    assert observation.report == service.drift("1h")


def test_without_a_baseline_requests_are_observed() -> None:
    service = ModelMonitoringService(sink="none")
    service.log_prediction(features=[1], output=2)
    observation = service.observe()

    assert (observation.report, observation.rows["ok"]) == (None, 1)
    with pytest.raises(BoxkiteError, match="Model 'default' has no baseline"):
        service.drift()


def test_an_unknown_window_is_refused(baseline: Baseline) -> None:
    with pytest.raises(ConfigError, match="'window' must be one of '5m', '1h', '24h' or None, got '2h'"):
        ModelMonitoringService(baseline, sink="none").observe("2h")


# --- latency ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quantile", [0.0, 0.5, 0.95, 0.99, 1.0])
def test_latency_is_what_histogram_quantile_gives(quantile: float, rng: np.random.Generator) -> None:
    """Computed as Prometheus documents it: find the bucket, go evenly through it, never beyond the last bound."""
    layout = Layout((), ())
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
    layout = Layout((), ())
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
    layout = Layout.of(baseline)
    counts = Counts(Store(None, clock), Section(json.dumps(["model", "m", "x"]), layout.size, layout.sums_size))
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
    points = course(layout, counts, age)

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
    layout = Layout.of(baseline)
    counts = Counts(Store(None, Clock()), Section(json.dumps(["model", "m", "x"]), layout.size, layout.sums_size))
    for _ in range(29):
        counts.add(Increments([3]))
    assert course(layout, counts, baseline.features[0]) == []
    counts.add(Increments([3]))
    assert [point.rows for point in course(layout, counts, baseline.features[0])] == [30]
