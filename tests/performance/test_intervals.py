"""Intervals agree with SciPy, and with intervals by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from flask_boxkite.performance import intervals
from flask_boxkite.performance.metric import NOTHING, Estimate
from flask_boxkite.performance.ranking import ranking


@pytest.mark.parametrize(("hits", "rows"), [(0, 1), (1, 1), (3, 10), (0, 50), (50, 50), (999, 1000), (10**8, 10**9)])
def test_the_interval_of_a_share_is_scipys(hits: int, rows: int) -> None:
    peer = stats.binomtest(hits, rows).proportion_ci(method="wilson")
    found = intervals.of_share("accuracy", hits, rows)

    # 1.96 in place of 1.95996.
    assert found == pytest.approx((hits / rows, peer.low, peer.high), abs=1e-4)


def test_f1_is_a_share_of_rows_that_are_predicted_or_actual_positives() -> None:
    """The interval of 30 of 50, transformed by 2x/(1 + x)."""
    peer = stats.binomtest(30, 50).proportion_ci(method="wilson")
    found = intervals.of_f1(30, 20)

    assert found == pytest.approx((0.75, 2 * peer.low / (1 + peer.low), 2 * peer.high / (1 + peer.high)), abs=1e-4)
    assert intervals.of_f1(0, 0) == NOTHING


def test_the_interval_of_an_auc_is_delongs_on_the_logit_scale() -> None:
    ranked = ranking([30, 20, 10], [5, 10, 30])
    auc, error = float(ranked.auc), math.sqrt(ranked.of_positives / 45 + ranked.of_negatives / 60)
    middle, half = math.log(auc / (1 - auc)), stats.t.isf(0.025, 44) * error / (auc * (1 - auc))
    ends = [1 / (1 + math.exp(-end)) for end in (middle - half, middle + half)]

    assert intervals.of_auc(ranked) == pytest.approx((auc, *ends))


@pytest.mark.parametrize(
    ("negatives", "positives", "value", "rows"),
    [([30, 0], [0, 40], 1.0, 30), ([0, 9], [5000, 0], 0.0, 9), ([7, 0], [8, 0], 0.5, 7), ([3, 5], [0, 1], 0.6875, 1)],
    ids=["without a fault", "upside down", "all tied", "one positive row"],
)
def test_an_auc_without_an_error_has_the_interval_of_a_share(
    negatives: list[int], positives: list[int], value: float, rows: int
) -> None:
    assert intervals.of_auc(ranking(negatives, positives)) == intervals.of_share("auc", value * rows, rows)


def test_intervals_of_an_auc_hold_the_truth_in_95_of_100_windows(rng: np.random.Generator) -> None:
    """2,000 windows each, of a score with ties; Student's limit makes up for the few ranks of few positive rows."""
    bins = np.arange(1, 21) / 21
    for shares in (np.stack([(1 - bins) ** 2, 0.05 * bins]), np.stack([(1 - bins) ** 6, bins**6])):
        truth = float(ranking(*(shares * 1e9)).auc)
        for rows in (30, 100, 1000):
            windows = rng.multinomial(rows, shares.ravel() / shares.sum(), 2000).reshape(-1, 2, 20)
            found = [intervals.of_auc(ranking(*window)) for window in windows]
            inside = [low <= truth <= high for _, low, high in found if low is not None and high is not None]

            assert 0.91 <= np.mean(inside) < 1


def test_the_interval_of_a_mean_is_students(rng: np.random.Generator) -> None:
    for rows in (2, 5, 30, 800, 5000):
        values = rng.exponential(size=rows)
        peer = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
        found = intervals.of_mean("mae", values.sum(), values.var(), rows)

        assert found == pytest.approx((values.mean(), max(peer.low, 0), peer.high), rel=1e-3)


def test_one_row_has_no_interval_and_no_rows_have_no_mean() -> None:
    assert intervals.of_mean("bias", -3.0, 0.0, 1) == Estimate(-3.0)
    assert intervals.of_mean("bias", 0.0, 0.0, 0) == NOTHING


@pytest.mark.parametrize("degrees", [1, 2, 10, 100, 999, 1000, 10**6])
def test_students_limit_is_scipys(degrees: int) -> None:
    assert intervals.student_limit(degrees) == pytest.approx(
        stats.t.isf(0.025, degrees), rel=2e-3 if degrees > 999 else 1e-9
    )


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_share_is_within_its_interval(hits: int, others: int) -> None:
    found = intervals.of_share("recall", hits, hits + others)
    if hits + others:
        assert found.value is not None
        assert found.low is not None
        assert found.high is not None
        assert 0 <= found.low <= found.value <= found.high <= 1
        assert found.low < found.high
    else:
        assert found == NOTHING
