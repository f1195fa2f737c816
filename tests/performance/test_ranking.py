"""AUC and its DeLong parts agree with all pairs of rows; slopes with differences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from flask_boxkite.performance.ranking import auc_slopes, ranking

BINS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=12)


@given(BINS)
def test_ranking_is_that_of_all_pairs(bins: list[tuple[int, int]]) -> None:
    misses, hits = np.array(bins).T
    low, high = np.repeat(np.arange(len(bins)), misses), np.repeat(np.arange(len(bins)), hits)
    found = ranking(misses, hits)

    assert (found.positives, found.negatives) == (len(high), len(low))
    if not len(low) or not len(high):
        assert np.isnan(found.auc)
        return
    pairs = (high[:, None] > low) + 0.5 * (high[:, None] == low)
    assert found.auc == pytest.approx(pairs.mean())
    # DeLong's structural components: means over the rows of the other class.
    of_positives, of_negatives = pairs.mean(axis=1), pairs.mean(axis=0)
    assert found.of_positives == pytest.approx(of_positives.var(ddof=1) if len(high) > 1 else 0.0, abs=1e-12)
    assert found.of_negatives == pytest.approx(of_negatives.var(ddof=1) if len(low) > 1 else 0.0, abs=1e-12)
    assert found.variance() == pytest.approx(found.of_positives / len(high) + found.of_negatives / len(low))
    assert found.variance(100, 50) == pytest.approx(found.of_positives / 100 + found.of_negatives / 50)


def test_the_auc_is_scikit_learns(rng: np.random.Generator) -> None:
    scores = rng.integers(0, 30, size=2000)
    actual = rng.random(2000) < scores / 40
    counts = [np.bincount(scores[actual == value], minlength=30) for value in (False, True)]

    assert ranking(*counts).auc == pytest.approx(roc_auc_score(actual, scores), abs=1e-12)
    assert auc_slopes(*counts)[0] == pytest.approx(roc_auc_score(actual, scores), abs=1e-12)


def test_pairs_of_one_bin_have_the_order_that_is_given(rng: np.random.Generator) -> None:
    """Scores of 300 values in 10 bins; the shares of the bins themselves give the AUC of the rows."""
    scores = rng.integers(0, 300, size=3000)
    actual = rng.random(3000) < scores / 400
    bins = scores // 30
    inside = [roc_auc_score(actual[bins == bin_], scores[bins == bin_]) for bin_ in range(10)]
    counts = [np.bincount(bins[actual == value], minlength=10) for value in (False, True)]

    assert ranking(*counts, inside).auc == pytest.approx(roc_auc_score(actual, scores), abs=1e-12)
    assert auc_slopes(*counts, inside)[0] == pytest.approx(roc_auc_score(actual, scores), abs=1e-12)


@pytest.mark.parametrize("of_bins", [0.5, 0.7])
def test_slopes_are_differences(rng: np.random.Generator, of_bins: float) -> None:
    misses, hits = rng.uniform(1, 50, size=(2, 20))
    auc, slopes = auc_slopes(misses, hits, of_bins)
    step = 1e-6

    for bin_ in range(20):
        one = np.eye(20)[bin_] * step
        moved, _ = auc_slopes(misses - one, hits + one, of_bins)
        assert (moved - auc) / step == pytest.approx(slopes[bin_], abs=1e-6)


def test_windows_side_by_side_are_those_one_by_one(rng: np.random.Generator) -> None:
    misses, hits = rng.integers(0, 5, size=(2, 50, 8))
    together = ranking(misses, hits)

    for window in range(50):
        alone = ranking(misses[window], hits[window])
        assert [float(part[window]) for part in together] == pytest.approx(list(map(float, alone)), nan_ok=True)
        assert auc_slopes(misses, hits)[1][window] == pytest.approx(
            auc_slopes(misses[window], hits[window])[1], nan_ok=True
        )
