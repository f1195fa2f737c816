"""A grid counts what a binary search for every single value counts, bit for bit."""

from __future__ import annotations

import math
import sys
import warnings
from bisect import bisect_left
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from flask_boxkite.baseline import Continuous, Discrete, Distribution
from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.baseline.training.options import BaselineOptions
from flask_boxkite.live.batches import BatchCounter, Batches, batches
from flask_boxkite.live.cells import Cells, cells_of
from flask_boxkite.live.grid import CHUNK_VALUES, MAX_CROWD, Grid, GridColumn
from flask_boxkite.values.conversion import to_number
from tests.baseline.strategies import FLOATS

TINY, LARGEST = sys.float_info.min, sys.float_info.max
DTYPES = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?", ">f2", ">f4", ">f8", ">i4", ">u8"]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def variable(bounds: Sequence[float], name: str = "x") -> Continuous:
    """Return a continuous variable with these bounds."""
    return Continuous(name, tuple(bounds), (0,) * (len(bounds) + 1), (-math.inf, bounds[-1]))


def searched(variables: Sequence[Distribution], array: NDArray[Any]) -> list[int]:
    """Count values one by one: a binary search for a number, a look into the dictionary for a category."""
    cells: list[int] = []
    for distribution, column in zip(variables, array.T, strict=True):
        block = [0] * len(distribution.cells)
        for number in map(to_number, column):
            if isinstance(distribution, Continuous):
                bounds = distribution.upper_bounds
                block[len(bounds) + 1 if math.isnan(number) else bisect_left(bounds, number)] += 1
            else:
                block[category_cell(distribution, number)] += 1
        cells += block
    return cells


def category_cell(distribution: Discrete, number: float) -> int:
    """Return the cell of a number among categories."""
    known = len(distribution.categories)
    if math.isnan(number):
        return known + 2
    if number in distribution.values:
        return distribution.values.index(number)
    return known if distribution.rare else known + 1


def counted(variables: Sequence[Distribution], array: NDArray[Any]) -> list[int]:
    """Count an array as a whole, also with the compiled twin."""
    counts = [counter.count(array)[0].tolist() for counter in batch_counters(variables)]
    assert counts.count(counts[0]) == len(counts)
    return list(counts[0])


def batch_counters(variables: Sequence[Distribution]) -> list[BatchCounter]:
    """Return a counter with NumPy, and the compiled one if there is one."""
    cells, size = laid_out(variables)
    return [Batches(cells, size, None), batches(cells, size, None)]


def laid_out(variables: Sequence[Distribution]) -> tuple[list[Cells], int]:
    """Return the cells of variables, one after the other, and the number of all cells."""
    cells, size = [], 0
    for distribution in variables:
        cells.append(cells_of(distribution, size))
        size += len(distribution.cells)
    return cells, size


def grid_of(bounds: Sequence[float]) -> Grid:
    """Return the grid of a single column."""
    return Grid([GridColumn(0, np.array(bounds), 0)], len(bounds) + 3)


def edge_values(bounds: Sequence[float]) -> list[float]:
    """Return the bounds, their neighbours, what lies between them, and every unusual number."""
    near = [math.nextafter(bound, end) for bound in bounds for end in (-math.inf, math.inf)]
    between = [low / 2 + high / 2 for low, high in pairwise(bounds)]
    unusual = [0.0, -0.0, 5e-324, -5e-324, TINY, -TINY, LARGEST, -LARGEST, math.inf, -math.inf, math.nan, -math.nan]
    return [*bounds, *near, *between, *unusual, 1.0, -1.0, 2.0**53, 2.0**63]


# --- bounds ----------------------------------------------------------------------------------------------------------

ULP = sys.float_info.epsilon
BOUNDS: dict[str, list[float]] = {
    "one": [0.5],
    "one, zero": [0.0],
    "one, the largest": [LARGEST],
    "two": [0.0, 1.0],
    "two, of all floats": [-LARGEST, LARGEST],
    "even": np.linspace(-3, 3, 50).tolist(),
    "even, far from zero": np.linspace(1.7e9, 1.7e9 + 1e-4, 40).tolist(),
    "even, huge": [index * 1e307 for index in range(-15, 16)],
    "even, denormal": [index * 5e-324 for index in range(-20, 20)],
    "outliers": [-1e300, *np.linspace(-3, 3, 40).tolist(), 1e300],
    "pairs": sorted(end for index in range(20) for end in (index, math.nextafter(index, math.inf))),
    "three within two ulp": [-1.0, 0.0, 1.0, 1 + ULP, 1 + 2 * ULP, 2.0, 3.0],
    "crowded within a few ulp": [-1.0, 0.0, *[1 + index * ULP for index in range(MAX_CROWD + 1)], 2.0, 3.0],
    "powers of two": [2.0**index for index in range(-20, 20)],
    "powers of ten, of all floats": [10.0**index for index in range(-300, 301, 12)],
    "squares": [float(index**2) for index in range(60)],
}


@pytest.mark.parametrize("bounds", BOUNDS.values(), ids=BOUNDS)
def test_values_at_and_beside_bounds_are_counted_as_searched(bounds: list[float]) -> None:
    rows = np.repeat(np.array([edge_values(bounds)]).T, 6, axis=1)
    variables = [variable(bounds)] * 6

    assert counted(variables, rows) == searched(variables, rows)


def test_columns_of_all_kinds_of_bounds_are_counted_side_by_side(rng: np.random.Generator) -> None:
    variables = [variable(bounds) for bounds in BOUNDS.values()]
    pool = np.array([value for bounds in BOUNDS.values() for value in edge_values(bounds)])
    rows = rng.choice(pool, size=(300, len(variables)))

    assert counted(variables, rows) == searched(variables, rows)


@pytest.mark.parametrize(
    ("name", "is_counted"),
    [
        ("one", True),
        ("even", True),
        ("even, far from zero", True),
        ("even, denormal", False),
        ("outliers", True),
        ("pairs", True),
        ("three within two ulp", True),
        ("crowded within a few ulp", False),
        ("two, of all floats", False),
        ("powers of two", False),
        ("powers of ten, of all floats", False),
    ],
)
def test_a_column_whose_bounds_are_crowded_is_left_out(name: str, is_counted: bool) -> None:
    assert (0 in grid_of(BOUNDS[name]).positions) == is_counted


def test_a_grid_of_nothing_counts_nothing() -> None:
    grid = Grid([], 4)

    assert grid.positions == frozenset()
    assert grid.count(np.ones((5, 2))).tolist() == [0, 0, 0, 0]


def test_no_rows_count_nothing() -> None:
    assert grid_of([0.0, 1.0]).count(np.ones((0, 1))).tolist() == [0] * 5


# --- data ------------------------------------------------------------------------------------------------------------


def samples(rng: np.random.Generator, size: int) -> dict[str, NDArray[np.float64]]:
    """Return a column of each shape that features have."""
    return {
        "normal": rng.standard_normal(size),
        "lognormal": rng.lognormal(size=size),
        "heavy lognormal": rng.lognormal(sigma=8.0, size=size),
        "exponential": rng.exponential(size=size),
        "uniform": rng.random(size) * 1e-12,
        "bimodal": np.concatenate([rng.normal(-1e3, 1, size // 2), rng.normal(1e3, 5, size - size // 2)]),
        "cauchy": rng.standard_cauchy(size),
        "rounded": rng.normal(50, 20, size).round(),
        "mostly zero": np.where(rng.random(size) < 0.9, 0.0, rng.exponential(size=size)),
        "times": 1.7e9 + rng.random(size) * 86_400,
        "constant": np.full(size, 3.25),
        "missing": np.where(rng.random(size) < 0.5, math.nan, rng.standard_normal(size)),
        "infinite": np.where(rng.random(size) < 0.2, -math.inf, rng.standard_normal(size)),
    }


def order_of(array: NDArray[Any], order: str) -> NDArray[Any]:
    """Return an equal array, otherwise laid out in memory."""
    if order == "Fortran":
        return np.asfortranarray(array)
    if order == "strided":
        wide = np.zeros((2 * len(array), 3 * array.shape[1]), dtype=array.dtype)
        wide[::2, ::3] = array
        return wide[::2, ::3]
    if order == "reversed":
        return np.ascontiguousarray(array[::-1, ::-1])[::-1, ::-1]
    array = array.copy()
    array.flags.writeable = order != "read-only"
    return array


@pytest.mark.parametrize("order", ["C", "Fortran", "strided", "reversed", "read-only"])
@pytest.mark.parametrize("dtype", ["f8", "f4", "f2"])
def test_all_distributions_are_counted_as_searched(dtype: str, order: str, rng: np.random.Generator) -> None:
    trained = build_baseline(samples(rng, 4000), options=BaselineOptions.of(discrete=[])).features
    with np.errstate(over="ignore"):
        rows = np.array(list(samples(rng, 700).values())).T.astype(dtype)

    assert counted(trained, order_of(rows, order)) == searched(trained, rows)


@pytest.mark.parametrize("dtype", DTYPES)
def test_all_types_of_numbers_are_counted_as_searched(dtype: str, rng: np.random.Generator) -> None:
    """Floats between 2**53 and 2**64 are scarcer than integers, which are rounded to them as `to_number` does."""
    bounds = [
        -(2.0**63),
        -(2.0**53),
        -100.0,
        -0.1,
        0.0,
        0.1,
        1.0,
        100.0,
        2.0**15,
        2.0**53,
        2.0**53 + 2,
        2.0**63,
        2.0**64,
    ]
    variables: list[Distribution] = [variable(bounds), variable(bounds[:-4]), variable(bounds[2:-5])] * 2
    variables += [Discrete("n", ("0.0", "1.0", "0.1", "9.007199254740992e+15", "100.0"), (5, 4, 3, 2, 1))]
    if np.dtype(dtype).kind in "iu":
        limits = np.iinfo(dtype)
        pool = {int(bound) + step for bound in bounds for step in range(-2, 3)} | {limits.min, limits.max}
        values = np.array([min(max(value, int(limits.min)), int(limits.max)) for value in sorted(pool)], dtype=dtype)
    else:
        with np.errstate(over="ignore"):
            values = np.array(edge_values(bounds)).astype(dtype)
    rows = rng.choice(values, size=(200, len(variables)))

    assert counted(variables, rows) == searched(variables, rows)


def test_batches_of_several_types_are_counted_by_one_counter(rng: np.random.Generator) -> None:
    """0.1 is in the lowest bin as a float of any width, although its float32 is above it and its float16 below."""
    variables: list[Distribution] = [*[variable([0.1, 0.7])] * 6, Discrete("n", ("0.1", "0.7"), (3, 2))]
    for counter in batch_counters(variables):
        for dtype in ("f4", "i8", "f8", "f2", "?", ">f4"):
            rows = rng.choice([0.0, 0.1, 0.7, 1.0], size=(200, 7)).astype(dtype)
            assert counter.count(rows)[0].tolist() == searched(variables, rows)


@pytest.mark.parametrize("size", [CHUNK_VALUES // 5 + delta for delta in (-1, 0, 1)] + [2 * (CHUNK_VALUES // 5) + 3])
def test_chunks_add_up(size: int, rng: np.random.Generator) -> None:
    variables = [variable(np.linspace(-2, 2, 20 + index).tolist()) for index in range(5)]
    rows = rng.standard_normal((size, 5))

    assert counted(variables, rows) == searched(variables, rows)


def test_more_columns_than_a_chunk_has_values() -> None:
    width = CHUNK_VALUES + 1
    grid = Grid([GridColumn(index, np.array([0.5]), 4 * index) for index in range(width)], 4 * width)

    assert grid.count(np.ones((2, width))).tolist() == [0, 2, 0, 0] * width


ENDS = st.sets(FLOATS | st.integers(-30, 30).map(float) | st.floats(-1, 1), min_size=1, max_size=30).map(sorted)


@given(ENDS, st.lists(st.floats(), max_size=20), st.sampled_from([np.float64, np.float32, np.float16]))
@example([-LARGEST, 0.0, LARGEST], [], np.float32)
@example([0.1, 0.7], [0.1, 0.7], np.float16)
def test_any_bounds_and_numbers_are_counted_as_searched(
    bounds: list[float], values: list[float], dtype: type[np.floating[Any]]
) -> None:
    with np.errstate(over="ignore", under="ignore"):
        rows = np.repeat(np.array([edge_values(bounds) + values]).T.astype(dtype), 6, axis=1)
    variables = [variable(bounds)] * 6

    assert counted(variables, rows) == searched(variables, rows)


# --- categories ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rare", [0, 3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_numeric_categories_are_counted_as_looked_up(dtype: str, rare: int, rng: np.random.Generator) -> None:
    labels = ("1.0", "0.1", "0.0", "-0.0001", "+Inf", "1e+300", "16777217.0", "1.6777217e+07", "5e-324", "-7.0")
    labels = tuple(label for label in labels if Discrete("n", (label,), (1,)).is_text is False)
    variables = [Discrete("n", labels, (1,) * len(labels), rare=rare)]
    pool = [
        1,
        0.1,
        0,
        -0.0,
        -0.0001,
        1e300,
        16777217,
        5e-324,
        -7,
        2,
        math.inf,
        -math.inf,
        math.nan,
        0.10000000149011612,
    ]
    if np.dtype(dtype).kind not in "fb":
        pool = [0, 1, 2, 7, 100]
    with np.errstate(over="ignore", under="ignore"):
        rows = rng.choice(np.array(pool).astype(dtype), size=(60, 1))

    assert counted(variables, rows) == searched(variables, rows)


@pytest.mark.parametrize("size", [12, 60, 500, 9000])
@pytest.mark.parametrize("known", [1, 4, 30, 99, 101])
def test_few_and_many_categories_are_counted_as_looked_up(known: int, size: int, rng: np.random.Generator) -> None:
    variables = [Discrete("n", tuple(f"{index}.0" for index in range(known)), (1,) * known)]
    rows = rng.choice([*range(-2, known + 3), 0.5, math.nan, math.inf], size=(size, 1))

    assert counted(variables, rows) == searched(variables, rows)


def test_a_model_of_both_kinds_is_counted_as_searched(rng: np.random.Generator) -> None:
    kinds: list[Distribution] = [
        variable(np.linspace(-2, 2, 30).tolist()),
        Discrete("n", ("1.0", "0.0"), (3, 2)),
        variable([10.0**index for index in range(-9, 9)]),
        variable(np.linspace(0, 1, 9).tolist()),
    ]
    rows = rng.standard_normal((500, 4)).round(1)

    assert counted(kinds, rows) == searched(kinds, rows)


# --- manners ---------------------------------------------------------------------------------------------------------


def test_numpy_neither_warns_nor_raises_nor_forgets_what_the_user_set() -> None:
    bounds = [-LARGEST, -1.0, 0.0, 1.0, 2.0, 1e300]
    rows = np.array([edge_values(bounds)] * 4).T
    signalling = np.full((200, 4), 0x7F800001, dtype=np.uint32).view(np.float32)
    variables: list[Distribution] = [*[variable(bounds)] * 3, Discrete("n", ("0.1", "1e+300"), (3, 2))]
    expected = searched(variables, rows)
    with np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("error")
        before = np.geterr()
        assert counted(variables, rows) == expected
        assert sum(counted(variables, signalling)) == signalling.size
        assert np.geterr() == before


def test_the_rows_are_left_as_they_were(rng: np.random.Generator) -> None:
    rows = rng.standard_normal((300, 8))
    before = rows.copy()
    counted([variable(BOUNDS["even"])] * 8, rows)

    assert np.array_equal(rows, before)


def test_a_grid_is_made_for_each_type_when_it_is_needed() -> None:
    counter = Batches(*laid_out([variable(BOUNDS["even"])] * 8), None)
    assert counter._grids == {}
    for dtype in ("f8", "i8", "u1", ">f8"):
        counter.count(np.ones((100, 8), dtype=dtype))
    assert len(counter._grids) == 1


def test_threads_may_meet_at_the_first_batch(rng: np.random.Generator) -> None:
    variables = [variable(BOUNDS["even"])] * 8
    rows = rng.standard_normal((500, 8))
    expected = searched(variables, rows)
    for _ in range(10):
        for counter in batch_counters(variables):
            with ThreadPoolExecutor(4) as pool:
                found = list(pool.map(lambda _: counter.count(rows)[0].tolist(), range(8)))  # noqa: B023
            assert found == [expected] * 8
