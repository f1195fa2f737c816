"""Bounds are chosen from the data, and counting in them is exact."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from flask_boxkite.baseline.bounds import even_groups, narrow_bounds
from flask_boxkite.baseline.training.binning import (
    choose_bounds,
    count_bins,
    has_fewer_distinct,
)
from flask_boxkite.baseline.training.ranking import Ranking

DISTRIBUTIONS: dict[str, Any] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "uniform": lambda rng, n: rng.uniform(-1, 1, n),
    "exponential": lambda rng, n: rng.exponential(1e6, n),
    "cauchy": lambda rng, n: rng.standard_cauchy(n),
    "pareto": lambda rng, n: rng.pareto(0.3, n),
    "two peaks": lambda rng, n: np.where(rng.random(n) < 0.5, rng.normal(0, 1e-9, n), rng.normal(1, 1e-9, n)),
    "mostly zero": lambda rng, n: np.where(rng.random(n) < 0.95, 0.0, rng.normal(size=n)),
    "few integers": lambda rng, n: rng.integers(0, 7, n),
    "large offset": lambda rng, n: 1e15 + rng.normal(size=n),
    "huge": lambda rng, n: rng.uniform(-1, 1, n) * 1.7e308,
    "denormal": lambda rng, n: rng.integers(-9, 9, n) * 5e-324,
    "constant": lambda rng, n: np.full(n, -3.5),
    "constant zero": lambda rng, n: np.zeros(n),
    "int8": lambda rng, n: rng.integers(-128, 128, n).astype(np.int8),
    "uint8": lambda rng, n: rng.integers(0, 256, n).astype(np.uint8),
    "float32": lambda rng, n: rng.normal(size=n).astype(np.float32),
    "float16": lambda rng, n: rng.normal(size=n).astype(np.float16),
}
SIZES = [1, 2, 3, 10, 100, 3000]


def decimals(values: NDArray[Any]) -> list[float]:
    """Return values as the floats that their shortest decimals mean."""
    return [float(str(value)) for value in values]


def counted(values: Sequence[float], bounds: Sequence[float]) -> tuple[int, ...]:
    """Count values one by one in ``(lower, upper]``."""
    edges = [-math.inf, *bounds, math.inf]
    counts = [sum(lower < value <= upper for value in values) for lower, upper in pairwise(edges)]
    counts[0] += sum(value == -math.inf for value in values)
    return tuple(counts)


@pytest.fixture(params=DISTRIBUTIONS.values(), ids=DISTRIBUTIONS.keys())
def draw(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.parametrize("size", SIZES)
def test_bounds_suit_any_distribution_of_any_size(draw: Any, size: int, rng: np.random.Generator) -> None:
    column = draw(rng, size)
    values = decimals(np.sort(column))

    ranking = Ranking(column)
    bounds, groups = choose_bounds(ranking, 50)
    counts = count_bins(ranking, bounds)

    assert all(a < b for a, b in pairwise(bounds))
    assert len(bounds) <= 50
    assert bounds[0] < values[0]
    assert values[-1] < bounds[-1]
    assert counts[0] == counts[-1] == 0
    assert counts == counted(values, bounds)
    # The distinct deciles are bounds, by NumPy's own definition of a quantile that is a value of the data.
    deciles = set(np.quantile(values, np.arange(1, 10) / 10, method="inverted_cdf").tolist())
    assert deciles <= set(bounds)
    assert groups[0] == bounds[0]
    assert groups[-1] == bounds[-1]
    assert set(groups[1:-1]) == deciles - {values[-1]}
    # So every group is filled, by about a tenth where the values differ enough.
    assert all(np.diff(np.searchsorted(values, groups, side="right")) > 0)


@pytest.mark.parametrize("name", ["cauchy", "pareto", "normal"])
def test_heavy_tails_leave_the_groups_equal(name: str, rng: np.random.Generator) -> None:
    """With bins of equal width, the tail takes them all and nearly all rows are in one."""
    column = DISTRIBUTIONS[name](rng, 50_000)
    ranking = Ranking(column)
    bounds, groups = choose_bounds(ranking, 50)
    filled = [count for count in count_bins(ranking, bounds) if count]

    assert np.diff(np.searchsorted(np.sort(column), groups, side="right")).tolist() == [5000] * 10
    assert len(filled) > 25


def test_the_outer_bounds_lie_a_millionth_of_the_range_outside() -> None:
    bounds, _ = choose_bounds(Ranking(np.arange(101.0)), 50)

    assert bounds[0] == pytest.approx(-1e-4)
    assert bounds[-1] == pytest.approx(100.0001)


def test_a_constant_lies_a_millionth_of_itself_inside() -> None:
    assert choose_bounds(Ranking(np.full(9, 200.0)), 50) == ((199.9998, 200.0, 200.0002), (199.9998, 200.0002))


def test_the_largest_floats_keep_finite_bounds() -> None:
    """No float is below the smallest one, so nothing can be said to lie below what training saw."""
    largest = np.finfo(np.float64).max.item()
    bounds, groups = choose_bounds(Ranking(np.array([-largest, 0.0, largest])), 50)

    assert bounds == (-largest, 0.0, largest)
    assert groups == (-math.inf, -largest, 0.0, largest)


def test_zero_is_a_bound_without_a_sign() -> None:
    bounds, _ = choose_bounds(Ranking(np.array([-1.0, -0.0, -0.0, 1.0])), 3)

    assert 0.0 in bounds
    assert "-0.0" not in map(repr, bounds)


@pytest.mark.parametrize("max_bins", [1, 5, 11, 12, 20, 200])
def test_max_bins_limits_the_bounds_but_not_the_deciles(max_bins: int, rng: np.random.Generator) -> None:
    bounds, groups = choose_bounds(Ranking(rng.normal(size=100_000)), max_bins)

    assert len(groups) == 11
    assert len(bounds) <= max(max_bins, 11)
    assert len(bounds) >= min(max_bins, 60)


def test_bounds_of_a_float32_column_are_its_shortest_decimals() -> None:
    """A client sends 0.7, and 0.7 is less than float32(0.7) as a float64: it would fall into another bin."""
    ranking = Ranking(np.tile(np.arange(1, 11) / 10, 20).astype(np.float32))
    bounds, groups = choose_bounds(ranking, 11)

    assert np.float32(0.7).item() < 0.7 < np.float32(0.8).item()
    assert bounds[1:-1] == groups[1:-1] == (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    assert count_bins(ranking, bounds) == (0, *[20] * 10, 0)


@given(
    st.lists(st.floats(allow_nan=False), max_size=30),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=10, unique=True),
)
@example([0.0, -0.0, 5e-324], [0.0])
@example([math.inf, -math.inf, 1e308], [1e308])
def test_counting_agrees_with_comparing_one_by_one(values: list[float], bounds: list[float]) -> None:
    bounds.sort()

    assert count_bins(Ranking(np.array(values, dtype=np.float64)), bounds) == counted(values, bounds)


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=20), st.data())
def test_comparing_in_float32_agrees_with_comparing_shortest_decimals(values: list[float], data: st.DataObject) -> None:
    column = np.array(values, dtype=np.float32)
    meant = decimals(column)
    finite = [value for value in meant if math.isfinite(value)]
    near = st.sampled_from([*finite, 0.0]) | st.floats(allow_nan=False, allow_infinity=False)
    bounds = sorted(data.draw(st.sets(near, min_size=1, max_size=8)))

    assert count_bins(Ranking(column), bounds) == counted(meant, bounds)


@given(st.lists(st.integers(-128, 127), max_size=20), st.sets(st.floats(-300, 300), min_size=1, max_size=8))
def test_bounds_between_integers_are_not_rounded(values: list[int], bounds: set[float]) -> None:
    ordered = sorted(bounds)

    assert count_bins(Ranking(np.array(values, dtype=np.int8)), ordered) == counted(values, ordered)


def test_bounds_need_no_narrowing_for_integers_and_doubles() -> None:
    for dtype in ("i1", "u8", "f8"):
        assert narrow_bounds((0.5, 1e300), np.dtype(dtype)).tolist() == [0.5, 1e300]


@given(st.lists(st.integers(0, 5)), st.integers(1, 7))
def test_distinct_values_are_counted_up_to_a_limit(values: list[int], limit: int) -> None:
    assert has_fewer_distinct(Ranking(np.array(values, dtype=np.int64)), limit) == (len(set(values)) < limit)


@pytest.mark.parametrize("rare", [0, 1, 99])
def test_distinct_values_that_no_sample_has_count_too(rare: int) -> None:
    column = np.zeros(100_000)
    column[1 : 10 * rare : 10] = range(1, rare + 1)
    assert has_fewer_distinct(Ranking(column), 50) == (rare < 49)


@given(st.lists(st.integers(0, 50), min_size=2, max_size=60))
@example([0, 0])
@example([0, 10])
@example([10, 0])
def test_given_bins_merge_into_filled_groups(counts: list[int]) -> None:
    bounds = [float(index) for index in range(len(counts) - 1)]
    groups = even_groups(bounds, counts)
    sizes = np.diff([sum(counts[: bisect_left(bounds, end) + 1]) if end > -math.inf else 0 for end in groups])

    assert groups[-1] == bounds[-1]
    assert 2 <= len(groups) <= 11
    assert all(a < b for a, b in pairwise(groups))
    assert groups[0] == -math.inf or (groups[0] == bounds[0] and counts[0] == 0)
    if sum(counts[:-1]):
        assert all(sizes > 0)


def test_given_bins_merge_evenly() -> None:
    assert even_groups(list(range(101)), [0, *[1] * 100, 0]) == tuple(range(0, 101, 10))
