"""Pooled shares agree with scikit-learn's isotonic regression; empty bins lie between their neighbours."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from flask_boxkite.baseline.calibration import pooled_shares

BINS = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=30)


@given(BINS)
def test_shares_are_scikit_learns(bins: list[tuple[int, int]]) -> None:
    negatives, positives = np.array(bins).T
    rows = negatives + positives
    found = pooled_shares(positives, rows)

    if not rows.any():
        assert found.tolist() == [0.5] * len(bins)
        return
    filled = np.flatnonzero(rows)
    peer = IsotonicRegression(out_of_bounds="clip")
    peer.fit(filled, positives[filled] / rows[filled], sample_weight=rows[filled])
    assert found == pytest.approx(peer.predict(np.arange(len(bins))), abs=1e-12)
    assert found @ rows == pytest.approx(positives.sum())
    assert np.all(np.diff(found) >= 0)


def test_shares_by_hand() -> None:
    assert pooled_shares([1, 0, 2, 3], [2, 2, 4, 3]).tolist() == [0.25, 0.25, 0.5, 1.0]
    assert pooled_shares([3, 2, 1], [3, 3, 3]).tolist() == pytest.approx([2 / 3] * 3)


def test_an_empty_bin_lies_between_its_neighbours_and_outside_the_nearest_holds() -> None:
    assert pooled_shares([0, 1, 0, 3, 0], [0, 4, 0, 4, 0]).tolist() == [0.25, 0.25, 0.5, 0.75, 0.75]


def test_huge_counts_do_not_overflow() -> None:
    """The product of two of them has more than 64 bits."""
    assert pooled_shares(np.array([3, 1]) * 10**15, np.array([4, 4]) * 10**15).tolist() == [0.5, 0.5]
