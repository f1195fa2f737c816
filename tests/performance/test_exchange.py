"""Differences between two models on the same rows agree with SciPy, with brute force, and with all exchanges."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from flask_boxkite.performance.exchange import (
    difference,
    mid_p,
    ranking_difference,
    ranking_parts,
    share_difference,
    sum_chance,
)
from flask_boxkite.performance.metric import NOTHING, Estimate


@pytest.mark.parametrize(
    ("first", "second"), [(0, 0), (7, 7), (0, 1), (0, 12), (3, 12), (12, 3), (40, 60), (900, 1100), (4700, 5200)]
)
def test_the_mid_p_is_the_binomial_one_less_half_of_the_observed(first: int, second: int) -> None:
    n = first + second
    exact = stats.binomtest(first, n).pvalue if n else 1.0
    expected = exact - stats.binom.pmf(first, n, 0.5) if first != second else 1.0

    assert mid_p(first, second) == pytest.approx(expected, rel=1e-9, abs=1e-15)


def test_of_many_rows_the_normal_chance_is_the_binomial_one() -> None:
    for second in (5000, 5100, 5300):
        exact = stats.binomtest(second, 10_001).pvalue - stats.binom.pmf(second, 10_001, 0.5)
        assert mid_p(10_001 - second, second) == pytest.approx(exact, rel=0.01)


def test_the_interval_of_shares_is_walds_after_one_more_row_of_either_kind() -> None:
    rows = np.repeat([0, 1, -1], [85 + 0, 12 + 1, 3 + 1])
    middle, error = rows.mean(), rows.std() / math.sqrt(len(rows))

    assert share_difference(3, 12, 100) == pytest.approx((0.09, middle - 1.96 * error, middle + 1.96 * error))


@pytest.mark.parametrize(("first", "second", "rows"), [(0, 0, 50), (0, 3, 3), (3, 0, 3), (0, 10**6, 10**6)])
def test_the_interval_of_shares_holds_the_difference_and_has_a_width(first: int, second: int, rows: int) -> None:
    value, low, high = share_difference(first, second, rows)

    assert value == (second - first) / rows
    assert low is not None
    assert high is not None
    assert -1 <= low <= value <= high <= 1
    assert low < high


def test_a_difference_of_means_is_students(rng: np.random.Generator) -> None:
    parts = rng.normal(0.3, 1, 40) / 40
    peer = stats.ttest_1samp(parts * 40, 0).confidence_interval()

    assert difference(float(parts.sum()), parts) == pytest.approx((parts.sum(), peer.low, peer.high))


def test_there_is_no_interval_without_rows() -> None:
    assert share_difference(0, 0, 0) == NOTHING
    assert difference(math.nan, np.zeros(9)) == NOTHING
    assert difference(0.5, np.ones(1)) == Estimate(0.5)


# --- exchange --------------------------------------------------------------------------------------------------------


def by_all_exchanges(parts: list[float]) -> float:
    """Return the share of all signs with which the sum is at least so large."""
    signs = np.array(list(itertools.product([1, -1], repeat=len(parts))))
    return float(np.mean(np.abs(signs @ parts) >= abs(sum(parts)) - 1e-12))


def test_the_chance_is_near_the_one_of_all_exchanges(rng: np.random.Generator) -> None:
    for _ in range(10):
        parts = (rng.normal(0.4, 1, 14)).tolist()
        assert sum_chance(parts) == pytest.approx(by_all_exchanges(parts), rel=0.25, abs=0.05)


def test_a_few_large_parts_do_not_decide(rng: np.random.Generator) -> None:
    """All signs of three rows say no more than a chance of 1/4; many small rows do not change that."""
    parts = np.append(rng.normal(0, 0.001, 1000), [100.0, 80.0, 90.0])
    assert sum_chance(parts) > 0.05
    assert stats.ttest_1samp(np.append(np.full(1000, 0.1), [1e6]), 0).pvalue > 0.05


def test_a_skewed_distribution_with_the_mean_zero_does_not_decide() -> None:
    """Of log-normal parts, the mean of a sample is mostly below theirs, and so is its spread."""
    rng = np.random.default_rng(2)
    windows = rng.lognormal(0, 1, (2000, 200)) - math.exp(0.5)
    ours = sum(sum_chance(window) <= 0.001 for window in windows)
    students = int(np.count_nonzero(stats.ttest_1samp(windows, 0, axis=1).pvalue <= 0.001))

    assert ours <= 10 < students


def test_hall_s_transformation_is_by_hand() -> None:
    d = np.array([0.5, 0.1, 0.9, 2.5, 0.2, -0.4, 0.3, 0.8])
    n, skewness, t = len(d), stats.skew(d), d.mean() / d.std()
    halls = math.sqrt(n) * (t + skewness * t**2 / 3 + skewness**2 * t**3 / 27 + skewness / (6 * n))
    exchange = 2 * stats.norm.sf(d.sum() / math.sqrt((d**2).sum()))

    assert sum_chance(d) == pytest.approx(max(exchange, 2 * stats.t.sf(abs(halls), n - 1)))


@pytest.mark.parametrize("parts", [[], [3.0], [0.0] * 50, [1e-300] * 50, [1e300, -1e300] * 25])
def test_a_chance_is_a_probability_for_any_parts(parts: list[float]) -> None:
    assert 0 <= sum_chance(parts) <= 1
    assert sum_chance([-part for part in parts]) == sum_chance(parts)


# --- ranking ---------------------------------------------------------------------------------------------------------


def ranked(rng: np.random.Generator, rows: int, positives: float) -> tuple[np.ndarray, np.ndarray]:
    actual = rng.random(rows) < positives
    return np.round(rng.normal(actual.astype(float), 1.0, (2, rows)), 1), actual


def test_the_parts_of_a_ranking_have_the_auc_for_mean(rng: np.random.Generator) -> None:
    (scores, _), actual = ranked(rng, 200, 0.3)
    parts, auc = ranking_parts(scores, actual), roc_auc_score(actual, scores)

    assert parts[actual].mean() == pytest.approx(auc)
    assert parts[~actual].mean() == pytest.approx(auc)


def test_the_difference_of_aucs_is_delongs_by_brute_force(rng: np.random.Generator) -> None:
    """Covariances of the two placement values, row by row, as DeLong has them."""
    scores, actual = ranked(rng, 150, 0.4)
    positives, negatives = scores[:, actual], scores[:, ~actual]
    psi = (positives[:, :, None] > negatives[:, None, :]) + 0.5 * (positives[:, :, None] == negatives[:, None, :])
    covariance = np.cov(psi.mean(axis=2)) / positives.shape[1] + np.cov(psi.mean(axis=1)) / negatives.shape[1]
    error = math.sqrt(np.array([-1, 1]) @ covariance @ [-1, 1])
    value = roc_auc_score(actual, scores[1]) - roc_auc_score(actual, scores[0])

    parts = np.diff([ranking_parts(each, actual) for each in scores], axis=0)[0]
    chance, found = ranking_difference(parts[actual], parts[~actual])
    assert found.value == pytest.approx(value)
    assert found.low == pytest.approx(value - 1.98 * error, abs=0.05 * error)
    assert found.high == pytest.approx(value + 1.98 * error, abs=0.05 * error)
    welch = stats.ttest_ind(parts[actual] - value, -parts[~actual], equal_var=False)
    assert chance == pytest.approx(welch.pvalue)


def test_the_error_of_a_difference_of_aucs_is_the_spread_over_samples() -> None:
    rng = np.random.default_rng(4)
    values, errors = [], []
    for _ in range(400):
        scores, actual = ranked(rng, 200, 0.3)
        parts = np.diff([ranking_parts(each, actual) for each in scores], axis=0)[0]
        _, found = ranking_difference(parts[actual], parts[~actual])
        assert found.value is not None
        assert found.high is not None
        values.append(found.value)
        errors.append((found.high - found.value) / 1.98)
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.12)


def test_aucs_of_one_ranking_do_not_differ() -> None:
    assert ranking_difference(np.zeros(40), np.zeros(50)) == (1.0, Estimate(0.0, 0.0, 0.0))
    assert ranking_difference(np.array([0.5]), np.array([0.5, 0.5])) == (1.0, Estimate(0.5))
