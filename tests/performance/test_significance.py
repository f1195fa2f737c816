"""Tests of outcomes agree with SciPy, with exact distributions and with all pairs of rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from flask_boxkite.performance.ranking import ranking
from flask_boxkite.performance.significance import (
    LEAST_SLOTS,
    auc_fall,
    chance,
    dispersion_of,
    mantel_haenszel,
    rank_trend,
    ranking_fall,
    signed_root,
)

SMALL = arrays(np.int64, (4, 3), elements=st.integers(0, 12))


def exact(hits: int, rows: int, trained_hits: int, trained_rows: int) -> np.ndarray:
    """Return the probabilities of 0 to *rows* hits, given the hits of both samples."""
    if rows + trained_rows == 0:
        return np.ones(1)
    return stats.hypergeom(rows + trained_rows, hits + trained_hits, rows).pmf(np.arange(rows + 1))


def exact_sum(table: np.ndarray) -> np.ndarray:
    """Return the probabilities of the number of hits in all bins; columns are hits, rows, and both in training."""
    found = np.ones(1)
    for bin_ in table:
        found = np.convolve(found, exact(*bin_.tolist()))
    return found


def moments(probabilities: np.ndarray) -> tuple[float, float, float]:
    """Return mean, standard deviation and skewness."""
    values = np.arange(len(probabilities))
    mean = probabilities @ values
    deviation = math.sqrt(max(probabilities @ (values - mean) ** 2, 0.0))
    return mean, deviation, probabilities @ (values - mean) ** 3 / deviation**3 if deviation > 1e-9 else 0.0


def test_the_chance_is_scipys() -> None:
    for z in (-40.0, -3.0, 0.0, 1.0, 5.0, 37.0):
        assert chance(z) == pytest.approx(stats.norm.sf(z), rel=1e-9)


# --- signed root -----------------------------------------------------------------------------------------------------


@given(st.integers(0, 50), st.integers(1, 50), st.integers(0, 500), st.integers(1, 500))
def test_the_squared_root_is_scipys_g(wrong: int, right: int, trained_wrong: int, trained_right: int) -> None:
    found = float(signed_root(wrong, wrong + right, trained_wrong, trained_wrong + trained_right))
    if wrong + trained_wrong == 0:
        assert found == 0
        return
    table = [[wrong, right], [trained_wrong, trained_right]]
    g = stats.chi2_contingency(table, correction=False, lambda_="log-likelihood").statistic

    assert found**2 == pytest.approx(g, abs=1e-7)
    assert found >= 0 or wrong * trained_right < trained_wrong * right


def test_a_root_is_divided_by_that_of_the_dispersion() -> None:
    plain = signed_root(20, 100, 100, 1000)

    assert signed_root(20, 100, 100, 1000, 4.0) == pytest.approx(plain / 2)
    assert plain > 2
    assert signed_root(5, 100, 100, 1000) < 0
    assert signed_root(0, 0, 100, 1000) == signed_root(5, 10, 0, 0) == 0


# --- Mantel and Haenszel ---------------------------------------------------------------------------------------------


@given(SMALL.map(lambda table: np.column_stack([np.minimum(table[:, 0], table[:, 1]), *table[:, 1:].T, table[:, 0]])))
def test_z_has_the_moments_of_the_exact_distribution(table: np.ndarray) -> None:
    """Its deviation and skewness, put into the transformation of Wilson and Hilferty."""
    hits, rows, trained_hits, others = table.T
    trained = trained_hits + others
    probabilities = exact_sum(np.column_stack([hits, rows, trained_hits, trained]))
    mean, deviation, skewness = moments(probabilities)
    found = float(mantel_haenszel(hits, rows, trained_hits, trained))
    if deviation < 1e-9:
        assert found == 0
        return
    z = (hits.sum() - mean) / deviation
    if abs(skewness) > 1e-6:
        z = 6 / skewness * (np.cbrt(max(1 + skewness * z / 2, 0)) - 1 + skewness**2 / 36)
    assert found == pytest.approx(z, abs=1e-5)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.8])
@pytest.mark.parametrize("rows", [3, 20, 200])
def test_the_chance_of_z_is_about_the_exact_one(share: float, rows: int) -> None:
    """Of three bins, and any number of hits: not below 0.6 of the chance of more; in few rows up to 5 of as many."""
    trained = np.array([200, 500, 300])
    trained_hits = np.round(trained * share * np.array([0.8, 1.0, 1.2])).astype(int).clip(max=trained)
    size = np.full(3, rows)
    checked = 0
    for number in range(0, 3 * rows + 1, 7 if rows == 200 else 1):
        hits = np.array([number // 3 + (number % 3 > bin_) for bin_ in range(3)])
        probabilities = exact_sum(np.column_stack([hits, size, trained_hits, trained]))
        more, as_many = probabilities[number + 1 :].sum(), probabilities[number:].sum()
        if 1e-5 < as_many < 0.2:
            found = chance(float(mantel_haenszel(hits, size, trained_hits, trained)))
            assert 0.6 * more < found < (1.4 if rows == 200 else 5) * as_many
            checked += 1
    assert checked > 0


def test_what_bins_explain_is_no_change() -> None:
    """Only hard rows have outcomes: far more of them are wrong, and in each bin as many as before."""
    assert mantel_haenszel([1, 40], [10, 100], [90, 40], [900, 100]) == pytest.approx(0, abs=0.2)
    assert signed_root(41, 110, 130, 1000) > 5


def test_z_is_without_a_sign_of_its_own() -> None:
    """More hits are fewer misses, up to rounding; and dispersion divides what is not skewed."""
    table = np.array([[30, 60, 200, 500], [20, 50, 100, 300]]).T
    hits, rows, trained_hits, trained = table
    z = mantel_haenszel(hits, rows, trained_hits, trained)

    assert mantel_haenszel(rows - hits, rows, trained - trained_hits, trained) == pytest.approx(-z)
    halves = [10, 20], [20, 40], [100, 200], [200, 400]
    assert mantel_haenszel([14, 25], *halves[1:], dispersion=4.0) == pytest.approx(
        mantel_haenszel([14, 25], *halves[1:]) / 2, abs=0.01
    )
    assert mantel_haenszel([0, 0], [0, 0], trained_hits, trained) == mantel_haenszel(hits, rows, [0, 0], [0, 0]) == 0


# --- ranking ---------------------------------------------------------------------------------------------------------


def test_a_fall_of_the_auc_by_hand() -> None:
    trained, live = ranking([80, 40, 20], [10, 30, 60]), ranking([8, 6, 5], [5, 5, 7])
    a, before = float(live.auc), float(trained.auc)
    v10, v01 = float(trained.of_positives), float(trained.of_negatives)
    error = math.sqrt(v10 / 17 + v01 / 19 + v10 / 100 + v01 / 140)
    expected = (math.log(before / (1 - before)) - math.log(a / (1 - a))) * before * (1 - before) / error

    assert expected > 1
    assert auc_fall(live, trained) == pytest.approx(expected)


def test_rankings_without_a_fault_or_a_class_are_no_evidence() -> None:
    trained, perfect = ranking([80, 40, 20], [10, 30, 60]), ranking([5, 0], [0, 5])

    assert auc_fall(perfect, trained) < 0
    assert auc_fall(ranking([0, 5], [5, 0]), trained) > 3
    assert auc_fall(trained, perfect) == auc_fall(ranking([5, 5], [0, 0]), trained) == 0
    assert auc_fall(trained, ranking([5, 5], [0, 0])) == 0


def test_a_ranking_within_bins_is_what_positives_there_lead_to_expect(rng: np.random.Generator) -> None:
    """Outcomes of unsure rows have a low AUC, and no fall of it; shuffled outcomes have one. 300 windows."""
    shares = np.linspace(0.02, 0.98, 25)
    rows = np.round(100 * np.exp(-0.5 * ((shares - 0.5) / 0.1) ** 2)).astype(int)
    trained = rng.binomial(400, shares, (300, 25))
    found, flat = rng.binomial(rows, shares, (300, 25)), rng.binomial(rows, 0.5, (300, 25))
    plain = auc_fall(ranking(rows - found, found), ranking(400 - trained, trained))
    within = ranking_fall(rows - found, found, 400 - trained, trained)

    assert np.min(plain) > 5
    # The mean of 300 standard normal values, to 4 standard errors.
    assert np.mean(within) == pytest.approx(0, abs=4 / 300**0.5)
    assert np.std(within) == pytest.approx(1, abs=4 / 600**0.5)
    assert np.mean(ranking_fall(rows - flat, flat, 400 - trained, trained)) > 4


def test_a_ranking_without_a_class_is_no_evidence() -> None:
    rows, nothing = np.array([5, 20, 5]), np.zeros(3, dtype=int)

    assert ranking_fall(nothing, nothing, rows, rows) == 0
    assert ranking_fall(rows, nothing, rows, nothing) == 0


# --- errors ----------------------------------------------------------------------------------------------------------


@given(arrays(np.int64, (2, 6), elements=st.integers(0, 20)))
def test_a_trend_is_scipys_rank_sum_test(table: np.ndarray) -> None:
    live, trained = table
    found = float(rank_trend(live, trained))
    if not live.any() or not trained.any() or np.count_nonzero(live + trained) < 2:
        assert found == 0
        return
    values = [np.repeat(np.arange(6), counts) for counts in table]
    peer = stats.mannwhitneyu(*values, alternative="greater", use_continuity=False, method="asymptotic")

    assert chance(found) == pytest.approx(peer.pvalue, rel=1e-6)


# --- dispersion ------------------------------------------------------------------------------------------------------


def test_dispersion_by_hand() -> None:
    """One wrong row of four in turn with three: the share is one half, and each difference one half."""
    assert dispersion_of([1, 3] * 15, [4] * 30) == pytest.approx(0.25 * 2 / 0.25)
    assert dispersion_of([1] * 30, [4] * 30) == 1  # more alike than chance has them


@pytest.mark.parametrize("times", [1, 2, 5])
def test_rows_that_come_together_count_as_one(rng: np.random.Generator, times: int) -> None:
    """3,000 slots; tolerance: 4 standard errors of a mean of squares."""
    found = dispersion_of(rng.binomial(20, 0.1, 3000) * times, np.full(3000, 20 * times))

    assert found == pytest.approx(times, rel=4 * (3 / 3000) ** 0.5)


def test_a_change_is_no_dispersion(rng: np.random.Generator) -> None:
    """From the middle on, half of the rows are wrong; between neighbours that is one difference of many."""
    wrong = rng.binomial(20, np.repeat([0.1, 0.5], 500))

    assert dispersion_of(wrong, np.full(1000, 20)) < 1.1


def test_few_slots_say_nothing_and_empty_ones_do_not_count() -> None:
    wrong, rows = [0, 4] * 15, [4] * 30
    some = LEAST_SLOTS - 1

    assert dispersion_of(wrong, rows) == pytest.approx(8)
    assert dispersion_of(wrong[:some], rows[:some]) == 1
    assert dispersion_of([*wrong[:some], 0], [*rows[:some], 0]) == 1
    assert dispersion_of([*wrong[:7], 0, *wrong[7:]], [*rows[:7], 0, *rows[7:]]) == pytest.approx(8)
    assert dispersion_of([0] * 30, rows) == dispersion_of(rows, rows) == dispersion_of([], []) == 1


# --- all -------------------------------------------------------------------------------------------------------------

HUGE = arrays(np.int64, (4, 5), elements=st.one_of(st.integers(0, 3), st.integers(0, 10**15)))


@given(HUGE)
def test_every_z_is_finite_for_any_counts(table: np.ndarray) -> None:
    misses, hits, trained_misses, trained_hits = table
    rows, trained = misses + hits, trained_misses + trained_hits
    found = [
        signed_root(hits.sum(), rows.sum(), trained_hits.sum(), trained.sum()),
        mantel_haenszel(hits, rows, trained_hits, trained),
        ranking_fall(misses, hits, trained_misses, trained_hits),
        auc_fall(ranking(misses, hits), ranking(trained_misses, trained_hits)),
        rank_trend(hits, trained_hits),
    ]
    assert np.all(np.isfinite(found))
    assert math.isfinite(dispersion_of(hits, rows))


def test_windows_side_by_side_are_those_one_by_one(rng: np.random.Generator) -> None:
    misses, hits, trained_misses, trained_hits = rng.integers(0, 6, size=(4, 40, 7))
    rows, trained = misses + hits, trained_misses + trained_hits
    together = [
        mantel_haenszel(hits, rows, trained_hits, trained),
        ranking_fall(misses, hits, trained_misses, trained_hits),
        auc_fall(ranking(misses, hits), ranking(trained_misses, trained_hits)),
        rank_trend(hits, trained_hits),
    ]
    for window in range(40):
        of = [each[window] for each in (misses, hits, trained_misses, trained_hits)]
        alone = [
            mantel_haenszel(of[1], of[0] + of[1], of[3], of[2] + of[3]),
            ranking_fall(*of),
            auc_fall(ranking(*of[:2]), ranking(*of[2:])),
            rank_trend(of[1], of[3]),
        ]
        assert [float(each[window]) for each in together] == pytest.approx(list(map(float, alone)))
