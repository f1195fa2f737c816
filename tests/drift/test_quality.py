"""The simulation of drift quality: its fast rules are the package's, and its shortcut draws what rows would give."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from flask_boxkite.baseline.variables import variables_of
from flask_boxkite.drift.scan import State, scan
from flask_boxkite.drift.statistics import g_statistic, population_stability_index
from flask_boxkite.drift.tables import GroupSums
from flask_boxkite.drift.timeline import MINUTE, Timeline
from flask_boxkite.drift.verdict import judge
from flask_boxkite.live.counting import VariableCounter
from flask_boxkite.payloads import Table
from flask_boxkite.values.rowhash import ROW_BUCKETS, bucket_of
from tests.benchmarks.drift import changes, month, repeats
from tests.benchmarks.drift.cells import Plan, cells_of, trainings
from tests.benchmarks.drift.delay import delays
from tests.benchmarks.drift.models import Model, all_missing, models, moved_deciles, row_buckets
from tests.benchmarks.drift.populations import NO_SHIFT, SHIFTS, Population, populations
from tests.benchmarks.drift.rules import (
    are_above,
    cumulative_distances,
    g_of_windows,
    have_drifted,
    psis,
    smoothed_divergences,
)

POPULATIONS = {population.name: population for population in populations()}
MODELS = {model.name: model for model in models()}
ONE = np.zeros(1, dtype=np.intp)


# --- rules -----------------------------------------------------------------------------------------------------------


def test_fast_rules_are_those_of_the_package(rng: np.random.Generator) -> None:
    for groups in (2, 6, 14, 53):
        before = rng.poisson(rng.exponential(50, size=groups)) + np.eye(groups, dtype=np.int64)[0]
        now = rng.poisson(rng.exponential(5, size=(200, groups)))
        now[:, -1] += 1
        g = g_of_windows(before, now)
        judged = [judge(before, row, alpha=0.999999, dispersion=1.0) for row in now]
        drifted = have_drifted(before, now, g, np.ones(200), None)

        assert g == pytest.approx(np.array([g_statistic(before, row) for row in now]), abs=1e-6)
        assert psis(before, now) == pytest.approx([population_stability_index(before, row) for row in now])
        assert drifted.tolist() == [item.size >= 0.1 for item in judged]


@pytest.mark.parametrize("name", ["high 3", "low 3"])
def test_windows_side_by_side_are_above_where_a_scan_says_something(name: str, rng: np.random.Generator) -> None:
    """Of windows that are not above, nothing is said; of those that are, in most something is."""
    model = MODELS[name]
    windows = repeats.windows_of(model, rng, 40, 5, 200, 4, "at once")
    trained = model.trained(rng, 10_000, 40)
    above = are_above(trained, windows.groups, model.firsts, model.degrees, 1e-3)
    said = np.zeros_like(above)
    alone = np.zeros_like(above)
    for window in range(40):
        timeline = windows.timeline(window)
        found = scan(trained[window], timeline, model.firsts, model.degrees, alpha=1e-3, collisions=0.3)
        said[window] = found.decide().state > State.WITHIN_LIMIT
        alone[window] = ((found.g > found.limit) & (found.rows >= 30)).any(axis=0)

    assert above.any()
    assert not above.all()
    assert not (said & ~above).any()
    if name == "high 3":  # of which each stretch is judged by parts, so that limits differ; of a few rows, they do not
        assert (alone & ~above).sum() == 0
    assert (said & above).sum() >= 0.9 * above.sum()


def test_the_ancestors_rules_by_hand() -> None:
    before, now = np.array([3.0, 0.0]), np.array([[0, 1], [3, 0]])
    p, q = np.array([4 / 5, 1 / 5]), np.array([1 / 3, 2 / 3])

    assert smoothed_divergences(before, now).tolist() == pytest.approx([np.sum((q - p) * np.log(q / p)), 0])
    assert cumulative_distances(before, now).tolist() == [1, 0]


@pytest.mark.parametrize("name", POPULATIONS)
def test_probabilities_of_cells_are_those_of_rows(name: str, rng: np.random.Generator) -> None:
    """20,000 rows, drawn and counted as the server does, against the probabilities that counts are drawn from."""
    population = POPULATIONS[name]
    (item,) = trainings(population, 1, 2000, rng)
    rows = population.draw(rng, 20_000).tolist()
    counter = VariableCounter([item], 0, len(item.cells))
    increments = counter.count(Table(None, [[value] for value in rows]))
    counts = np.zeros(len(item.cells)) if increments.block is None else increments.block.astype(float)
    np.add.at(counts, increments.cells, 1)
    for cell, amount in increments.amounts:
        counts[cell] += amount
    expected = population.cell_shares(item, NO_SHIFT) * counts.sum()

    assert counts.sum() == 20_000
    assert (counts[expected < 1e-6] == 0).all()
    held = expected >= 5
    chi_squared = np.sum((counts[held] - expected[held]) ** 2 / expected[held])
    assert chi_squared < stats.chi2.isf(1e-6, held.sum())


@pytest.mark.parametrize("shift", SHIFTS, ids=lambda shift: shift.name)
@pytest.mark.parametrize("name", POPULATIONS)
def test_shifts_keep_probabilities(name: str, shift: object, rng: np.random.Generator) -> None:
    population = POPULATIONS[name]
    (item,) = trainings(population, 1, 2000, rng)
    if shift.suits(population.kind):  # type: ignore[attr-defined]
        shares = population.cell_shares(item, shift)  # type: ignore[arg-type]
        assert shares.sum() == pytest.approx(1)
        assert (shares >= 0).all()
        assert np.abs(shares - population.cell_shares(item, NO_SHIFT)).max() > 0.005


def test_a_shift_by_half_a_deviation_is_one(rng: np.random.Generator) -> None:
    normal: Population = POPULATIONS["normal"]
    (item,) = trainings(normal, 1, 2000, rng)
    (half,) = (shift for shift in SHIFTS if shift.by == 0.5)
    bounds = np.array(item.upper_bounds)  # type: ignore[union-attr]

    assert np.cumsum(normal.cell_shares(item, half))[: len(bounds)] == pytest.approx(stats.norm.cdf(bounds, loc=0.5))


def test_a_small_simulation_meets_its_bars() -> None:
    cells = cells_of(POPULATIONS["exponential"], Plan(20, 50, 5, 50, (5, 20), (5, 20)), seed=1)

    assert len(cells) == 4 * (3 + 5)
    assert all(cell.scanned.of < 0.02 for cell in cells if cell.shift == NO_SHIFT)
    assert all(cell.sample.of < 0.01 for cell in cells if cell.shift == NO_SHIFT and cell.sample)
    by_name = {(cell.shift.name, cell.rows): cell for cell in cells}
    found = by_name["0.25 sd", 1000]
    assert found.sample is not None
    assert found.sample.of == 1
    assert 0.5 < found.scanned.of <= 1
    assert all(cell.drifted <= cell.sample.of for cell in cells if cell.sample)
    assert [cell.sample is None for cell in cells] == [cell.repeats > 1 for cell in cells]


def test_groups_of_trainings_are_not_many(rng: np.random.Generator) -> None:
    for population in POPULATIONS.values():
        for item in trainings(population, 2, 2000, rng):
            assert len(item.groups) <= 14
            assert GroupSums(variables_of([item])).of(item.cells).sum() == item.rows


# --- models ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_rows_of_models_are_those_that_a_baseline_would_count(name: str, rng: np.random.Generator) -> None:
    """Their shares are as stated, and their buckets and collisions equal the package's."""
    model = MODELS[name]
    groups, buckets = model.draw(rng, 3000)
    for own, first, variable in zip(groups, model.firsts, model.variables, strict=True):
        counts = np.bincount(own - first, minlength=len(variable.shares))
        expected = 3000 * np.array(variable.shares)
        held = expected > 0
        assert not counts[~held].any()
        assert np.sum((counts - expected)[held] ** 2 / expected[held]) < stats.chi2.isf(1e-7, max(held.sum() - 1, 1))
    assert buckets.shape == (3000,)
    collisions = model.collisions(rng, 3000)
    assert collisions is not None
    if model.entropy == "high":
        assert collisions == 0
        assert np.bincount(buckets, minlength=ROW_BUCKETS).max() < 40  # 12 are expected
    else:
        exact = math.prod(float(np.sum(np.square(variable.shares))) for variable in model.variables)
        assert collisions == pytest.approx(exact, rel=0.25)


def test_buckets_of_rows_are_those_of_the_package(rng: np.random.Generator) -> None:
    words = rng.integers(0, 2**63, size=(7, 200), dtype=np.uint64) * np.uint64(2)

    assert row_buckets(words).tolist() == [bucket_of(row.tobytes()) for row in np.ascontiguousarray(words.T)]


def test_rows_without_any_value_are_one_row(rng: np.random.Generator) -> None:
    model = MODELS["high 3"]
    groups, buckets = model.draw(rng, 50, all_missing(model))

    assert len(set(buckets.tolist())) == 1
    assert (groups == (model.firsts + model.sizes - 1)[:, np.newaxis]).all()


def test_shares_of_a_shift_are_those_of_a_normal() -> None:
    by_hand = np.diff(stats.norm.cdf(stats.norm.ppf(np.arange(1, 10) / 10) - 0.5), prepend=0.0, append=1.0)

    assert moved_deciles(0.5) == pytest.approx([0.0, *by_hand, 0.0, 0.0])
    assert moved_deciles(np.array([0.0, 0.5]))[1] == pytest.approx(moved_deciles(0.5))
    day = changes.seasonal_shares(np.arange(1440) + 0.5)
    assert day.mean(axis=0) == pytest.approx([0.0, *[0.1] * 10, 0.0, 0.0], abs=1e-4)  # training is of all hours
    assert day[359:361].mean(axis=0)[10] > 0.14  # at a quarter of the day, the mean is highest


# --- repeats ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("manner", repeats.MANNERS)
@pytest.mark.parametrize("minutes", [1, 3, 60])
def test_windows_hold_rows_that_come_again(minutes: int, manner: str, rng: np.random.Generator) -> None:
    model = MODELS["high 3"]
    windows = repeats.windows_of(model, rng, 20, minutes, 200, 4, manner)
    rows = windows.buckets.sum(axis=2)

    assert windows.groups.shape == (20, len(windows.starts), model.sizes.sum())
    assert (windows.groups.sum(axis=2) == 3 * rows).all()
    assert rows.sum(axis=1).mean() == pytest.approx(200 * minutes, rel=0.1)
    assert windows.squares.sum() == rows.sum() * (4 if manner == "in one batch" else 1)
    h = (ROW_BUCKETS * (windows.buckets.sum(axis=1) ** 2).sum(axis=1) / rows.sum(axis=1) - rows.sum(axis=1)) / 255
    # Some of the rows of a minute are before it or after it.
    assert h.mean() == pytest.approx(4, rel=0.1) or (manner == "within a minute" and 2 < h.mean() < 4.1)
    # Of rows that come at once, all are in the same slot; of those that come at any time, hardly any.
    shared = np.mean(windows.buckets % 4 == 0)
    if manner in ("at once", "in one batch"):
        assert shared == 1
    else:
        assert shared < 0.99
    assert windows.timeline(3).starts[0] == repeats.NOW - 60 * minutes


def test_rows_that_come_once_are_not_called() -> None:
    cells = list(repeats.cells_of(MODELS["high 1"], 2, 300, seed=1))

    assert [(cell.repeats, cell.manner) for cell in cells] == [
        (1, ""),
        *((number, manner) for number in (2, 4, 10) for manner in repeats.MANNERS),
    ]
    assert max(cell.called for cell in cells) <= 0.01
    assert cells[0].independent <= 0.01
    assert cells[-4].independent > 0.9  # ten times at once
    assert all(cell.independent >= cell.called + cell.unclear for cell in cells)


# --- changes ---------------------------------------------------------------------------------------------------------


def a_case(name: str, model: Model, before: int = 5) -> changes.Case:
    """Return the case of a change to the first variable of a model."""
    (kind,) = (item for item in changes.KINDS if item.name == name)
    return changes.Case(model, 0, kind, 10_000, 200, before)


def test_each_case_is_of_a_variable_that_may_change_so() -> None:
    cases = list(changes.cases())

    assert len(cases) == len({(c.model.name, c.kind.name, c.trained, c.rate, c.before) for c in cases})
    assert {case.kind.name for case in cases} == {kind.name for kind in changes.KINDS}
    for case in cases:
        variable = case.model.variables[case.variable]
        assert variable.is_continuous or case.kind.needs != "continuous"
        assert len(case.kind.now(variable, 0.0)) == len(variable.shares)
        assert sum(case.kind.now(variable, 3.0)) == pytest.approx(1)


def test_a_course_changes_when_it_is_said_to(rng: np.random.Generator) -> None:
    course = changes.Course(a_case("missing", MODELS["high 20"]), 2, rng)

    assert course.state(0, 0) == State.WITHIN_LIMIT
    assert [course.state(1, check) for check in (1, 2, 60)] == [State.CALLED] * 3
    assert course.known.shape == (60, 2)
    assert course.known[0] == pytest.approx(
        [g_statistic(trained, np.eye(13, dtype=np.int64)[12] * 200) for trained in course.trained], rel=0.2
    )


def test_a_missing_feature_is_called_at_once() -> None:
    found = changes.delays_of(a_case("missing", MODELS["high 20"]), 3, seed=1)

    assert found.known == found.split == found.called == found.unclear == (1.0, 1.0)
    assert (found.falls_back, found.overlooks, found.missed) == (0.0, 0.0, [])


def test_what_falls_back_is_said_to() -> None:
    """In a model of one category, five minutes as before are unlike the five without values."""
    found = changes.delays_of(a_case("missing on and off", MODELS["low 1"]), 2, seed=1)

    assert found.known == (1.0, 1.0)
    assert found.called[0] > found.known[0]
    assert found.unclear == (1.0, 1.0)
    assert "falls back" in found.missed
    assert "late" not in found.missed  # of which only models of high entropy have a bar


@pytest.mark.parametrize(
    ("delays", "median_and_most"), [([1, 2, 3, 4], (2, 4)), ([5, math.inf, 1], (5, math.inf)), ([7], (7, 7))]
)
def test_medians_are_those_of_runs(delays: list[float], median_and_most: tuple[float, float]) -> None:
    assert changes._median_and_most(np.array(delays)) == median_and_most


# --- months ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moved", [0.0, 0.1, 0.4])
def test_fast_checks_are_those_of_a_scan(moved: float, rng: np.random.Generator) -> None:
    """Two days of minutes, of which some hours are moved; checks here and there beside the package's own."""
    trained = rng.multinomial(2000, moved_deciles(0.0))
    by = np.where((np.arange(2 * 1440) // 200) % 3 == 1, moved, 0.0)
    minutes = rng.multinomial(rng.poisson(3, 2 * 1440), moved_deciles(by))
    found = month.checks_of(trained, minutes, 12, 1e-3)
    for check in (0, 1, 7, 500, 1439):
        end = month.A_DAY + check
        starts = repeats.NOW + MINUTE * np.arange(end)
        none = np.zeros((end, ROW_BUCKETS), dtype=np.int64)  # so that φ is 1
        timeline = Timeline.of_slots(starts, minutes[:end], none, none[:, 0], repeats.NOW + MINUTE * end)
        scanned = scan(trained, timeline, ONE, np.array([12]), alpha=1e-3, collisions=0.0)
        scanned.g[:] = scanned.plain  # whatever neighbouring slots are like
        scanned.state[scanned.state == State.UNSTEADY] = State.CALLED
        decided = scanned.decide()
        best = int(decided.stretch[0])
        assert found.is_called[check] == (decided.state[0] == State.CALLED)
        if not found.is_called[check]:
            continue
        g = scanned.g[:, 0]
        assert found.g[check] == pytest.approx(g[best])
        assert found.stretch[check] == (timeline.now - timeline.starts[best]) / MINUTE
        live = timeline.groups[best : best + 1]
        drifted = have_drifted(trained, live, g[best : best + 1], np.ones(1), timeline.is_long[best : best + 1])[0]
        assert found.is_drifted[check] == drifted
    assert found.is_called.any() == (moved > 0.1)
    assert not found.is_drifted[~found.is_called].any()


def test_a_month_without_a_change_has_no_episodes() -> None:
    found = month.month_of(populations(), 10_000, 1.0, 2, seed=1, has_season=False)

    assert (found.episodes, found.months, found.is_met) == (0, 0.02, True)


def test_episodes_are_runs() -> None:
    assert month._runs(np.array([0, 1, 1, 0, 1, 0, 0, 1], dtype=bool)) == 3
    assert month._runs(np.array([1, 1], dtype=bool)) == 1
    assert month._runs(np.zeros(3, dtype=bool)) == 0


def test_a_failure_is_called_within_minutes() -> None:
    """Though most of the window is as it was."""
    for delay in delays(1, seed=1):
        assert delay.known < math.inf
        if "missing" in delay.change:
            assert delay.minutes <= 10, delay
