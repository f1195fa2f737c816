"""Ranks and counts equal the sorted column's, although most of it is not sorted."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from flask_boxkite.baseline.training.ranking import SMALL, Ranking
from tests.baseline.training.test_binning import DISTRIBUTIONS

COLUMNS: dict[str, Any] = {
    **DISTRIBUTIONS,
    "infinities": lambda rng, n: rng.choice([-np.inf, np.inf, 0.0, 1.0, 2.5], n),
    "mostly infinite": lambda rng, n: np.where(rng.random(n) < 0.99, np.inf, rng.normal(size=n)),
    "few far away": lambda rng, n: np.where(rng.random(n) < 0.001, 1e300, rng.normal(size=n)),
    "sorted": lambda rng, n: np.sort(rng.normal(size=n)),
    "strided": lambda rng, n: np.repeat(rng.normal(size=2 * n), 2)[::4],
    "large integers": lambda rng, n: rng.integers(2**62, 2**63 - 1, n),
    "unsigned": lambda rng, n: rng.integers(0, 2**64 - 1, n, dtype=np.uint64),
    "booleans": lambda rng, n: rng.random(n) < 0.3,
}


def asked_for(values: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """Return bounds among and between the values, in their type or as float64."""
    bounds = rng.choice(values, 40)
    if values.dtype.kind != "f":
        return bounds.astype(np.float64)
    between = np.nextafter(bounds[:20], values.dtype.type(np.inf))
    return np.concatenate([bounds, between, np.array([-np.inf, np.inf, 0.0], dtype=values.dtype)])


@pytest.fixture(params=COLUMNS, ids=str)
def column(request: pytest.FixtureRequest, rng: np.random.Generator) -> NDArray[Any]:
    found: NDArray[Any] = COLUMNS[request.param](rng, SMALL + 1000)
    return found


def test_numbers_at_ranks_are_those_of_the_sorted_column(column: NDArray[Any], rng: np.random.Generator) -> None:
    ranks = [0, len(column) - 1, *rng.integers(0, len(column), 40).tolist()]
    assert Ranking(column).at(ranks).tolist() == np.sort(column)[ranks].tolist()


def test_counts_are_those_of_the_sorted_column(column: NDArray[Any], rng: np.random.Generator) -> None:
    bounds = asked_for(column, rng)
    expected = np.searchsorted(np.sort(column), bounds, side="right")
    assert Ranking(column).at_most(bounds).tolist() == expected.tolist()


@given(
    st.lists(st.floats(allow_nan=False), min_size=2, max_size=40),
    st.lists(st.floats(allow_nan=False), min_size=1, max_size=8),
)
@example([1.0, 1.0 + 2**-52, 2.0, 3.0], [1.0])
@example([-1.7e308, 1.7e308, 0.0, 1.0], [0.0])
@example([0.0, 5e-324, 1e-323, 1.5e-323], [5e-324])
@example([-0.0, 0.0, 1.0, 2.0], [-0.0])
def test_any_numbers_can_be_ranked(values: list[float], bounds: list[float]) -> None:
    column, asked = np.array(values), np.array(bounds + values)
    ranking, ordered = Ranking(column, smallest=2, sample_size=4), np.sort(column)
    assert ranking.at(range(len(values))).tolist() == ordered.tolist()
    assert ranking.at_most(asked).tolist() == np.searchsorted(ordered, asked, side="right").tolist()


def test_only_a_part_is_sorted(rng: np.random.Generator) -> None:
    """Or all of this would be in vain."""
    column = rng.normal(size=200_000)
    ranking = Ranking(column)
    sorted_parts = []
    sort = np.sort
    with mock.patch.object(np, "sort", lambda part: sorted_parts.append(len(part)) or sort(part)):
        ranking.at([20_000, 100_000, 180_000])
        ranking.at_most(np.linspace(-1.5, 1.5, 40))
    assert len(sorted_parts) == 2
    assert max(sorted_parts) < len(column) / 10
