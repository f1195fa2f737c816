"""The simulation of drift quality: its fast rules are the package's, and its shortcut draws what rows would give."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from flask_boxkite.drift.dispersion import dispersion
from flask_boxkite.drift.statistics import (
    chi_squared_limit,
    g_statistic,
    population_stability_index,
    psi_sampling_noise,
)
from flask_boxkite.drift.tables import GroupSums
from flask_boxkite.drift.verdict import judge
from flask_boxkite.live.counting import VariableCounter
from flask_boxkite.payloads import Table
from tests.benchmarks.drift.cells import Plan, cells_of, trainings
from tests.benchmarks.drift.delay import delays
from tests.benchmarks.drift.month import _runs
from tests.benchmarks.drift.populations import NO_SHIFT, SHIFTS, Population, populations
from tests.benchmarks.drift.rules import (
    cumulative_distances,
    dispersions,
    g_statistics,
    psis,
    sizes,
    smoothed_divergences,
)

POPULATIONS = {population.name: population for population in populations()}


def test_fast_rules_are_those_of_the_package(rng: np.random.Generator) -> None:
    for groups in (2, 6, 14, 53):
        before = rng.poisson(rng.exponential(50, size=groups)) + np.eye(groups, dtype=np.int64)[0]
        now = rng.poisson(rng.exponential(5, size=(200, groups)))
        now[:, -1] += 1
        noise = np.array([psi_sampling_noise(before, row) for row in now])
        psi = np.array([population_stability_index(before, row) for row in now])

        np.testing.assert_allclose(g_statistics(before, now), [g_statistic(before, row) for row in now], rtol=1e-9)
        np.testing.assert_allclose(psis(before, now), psi, rtol=1e-9)
        np.testing.assert_allclose(sizes(before, now), np.maximum(psi - noise, 0), rtol=1e-9, atol=1e-12)
        # The month uses only significance and size; here they are a verdict.
        limit = chi_squared_limit(1e-3, groups - 1)
        is_called = (g_statistics(before, now) > limit) & (now.sum(axis=1) >= 30) & (before.sum() >= 30)
        verdicts = [judge(before, row, alpha=1e-3).verdict for row in now]
        assert is_called.tolist() == [verdict not in ("stable", "not enough data") for verdict in verdicts]


def test_dispersions_of_many_windows_are_those_of_each(rng: np.random.Generator) -> None:
    visits = rng.multinomial(40, [0.5, 0.3, 0.2], size=20)
    found = dispersions(np.random.default_rng(7), visits, 3, 60)
    table = np.random.default_rng(7).multinomial(visits, np.full(60, 1 / 60)) * 3

    assert found.tolist() == pytest.approx([dispersion(window.T) for window in table])
    # 40 visits of 3 rows: 3, and what few visits add.
    assert found.mean() == pytest.approx(3 * 40 / 39, rel=0.05)


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
    cells = cells_of(POPULATIONS["exponential"], Plan(20, 50, 5, 50), seed=1)

    assert len(cells) == 4 * (3 + 5)
    assert all(cell.called < 0.01 for cell in cells if cell.shift == NO_SHIFT)
    assert {(cell.shift.name, cell.rows): cell.called for cell in cells}["0.25 sd", 1000] == 1
    assert all(cell.drifted <= cell.called for cell in cells)


def test_groups_of_trainings_are_not_many(rng: np.random.Generator) -> None:
    for population in POPULATIONS.values():
        for item in trainings(population, 2, 2000, rng):
            assert len(item.groups) <= 14
            assert GroupSums([item]).of(item.cells).sum() == item.rows


def test_episodes_are_runs() -> None:
    assert _runs(np.array([0, 1, 1, 0, 1, 0, 0, 1], dtype=bool)) == 3
    assert _runs(np.array([1, 1], dtype=bool)) == 1
    assert _runs(np.zeros(3, dtype=bool)) == 0


def test_a_failure_is_called_within_minutes() -> None:
    """Though most of the window is as it was."""
    for delay in delays(1, seed=1):
        assert delay.alone <= delay.minutes
        if "missing" in delay.change:
            assert delay.minutes <= 10, delay
