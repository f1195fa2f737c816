"""Equal rows fall into the same bucket, whichever way they come, and every row into one."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from enum import IntEnum
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flask_boxkite.baseline import Baseline, Continuous, Discrete, Distribution
from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.live.batches import BULK_ROWS
from flask_boxkite.live.counting import VariableCounter
from flask_boxkite.live.increments import Increments
from flask_boxkite.live.model_cells import ModelCells
from flask_boxkite.live.row_cells import WIDE_ROW
from flask_boxkite.monitoring.tally import Tally
from flask_boxkite.payloads import Table, as_table
from flask_boxkite.service import ModelMonitoringService
from flask_boxkite.values.rowhash import ROW_BUCKETS
from tests.live.test_counting import ANY_VALUE, cells_of

X = Continuous("x", (0.0, 0.1, 0.7, 10.0), (0, 0, 0, 0, 0), (0.0, 10.0))
NUMBER = Discrete("n", ("1.0", "2.5", "0.0"), (3, 2, 1))
TEXT = Discrete("t", ("red", "1", "true", "1.0", '""'), (5, 4, 3, 2, 1))


def buckets(variables: Sequence[Distribution], table: Table | None, **options: Any) -> list[int]:
    """Return the rows in each bucket."""
    assert table is not None
    size = sum(len(variable.cells) for variable in variables)
    counter = VariableCounter(variables, 0, size + ROW_BUCKETS, buckets=size, **options)
    return cells_of(counter.count(table), size + ROW_BUCKETS)[size:]


def bucket(variables: Sequence[Distribution], row: Sequence[Any]) -> int:
    """Return the bucket of a row that comes alone."""
    found = buckets(variables, Table(None, [list(row)]))
    assert sum(found) == 1
    return found.index(1)


def several(index: int, number: int) -> list[int]:
    """Return so many rows in one bucket."""
    return [number if each == index else 0 for each in range(ROW_BUCKETS)]


def called(item: Distribution, name: str) -> Distribution:
    """Return a variable with another name."""
    if isinstance(item, Continuous):
        return Continuous(name, item.upper_bounds, item.counts, item.group_bounds)
    return Discrete(name, item.categories, item.counts)


BESIDE: dict[str, list[Distribution]] = {
    "alone": [],
    "beside a number": [called(X, "other")],
    "in a wide row": [called(X, f"other {index}") for index in range(WIDE_ROW)],
    "beside a category": [called(NUMBER, "other")],
    "beside a text": [called(TEXT, "other")],
}


# --- values that mean the same ---------------------------------------------------------------------------------------


class Grade(IntEnum):
    """A number with a name."""

    ONE = 1


NUMBERS_ALIKE = {
    "one": [
        *(1, 1.0, True, "1", "1.0", " 1e0 ", Decimal("1.0"), Grade.ONE, timedelta(seconds=1)),
        *(np.int8(1), np.uint64(1), np.float64(1), np.float32(1), np.float16(1), np.longdouble(1), np.bool_(True)),
        np.array(1),
    ],
    "a tenth": [0.1, "0.1", Decimal("0.1"), np.float64(0.1)],
    "a tenth of 32 bits": [np.float32(0.1), float(np.float32(0.1)), np.float64(np.float32(0.1)), np.array(0.1, "f4")],
    "a large integer": [2**53 + 1, 2.0**53, np.int64(2**53 + 1), str(2**53 + 1), Decimal(2**53 + 1)],
    "infinity": [math.inf, "inf", "Infinity", 10**400, np.float32("inf")],
    "minus infinity": [-math.inf, "-Infinity", -(10**400)],
    "nothing": [
        *(None, math.nan, -math.nan, "nan", np.float32("nan"), np.float64("nan"), pd.NA, pd.NaT, Decimal("nan")),
        *("", [], [1], {"a": 1}, np.array([1, 2]), object()),
    ],
}
TEXTS_ALIKE = {
    "red": ["red", np.str_("red"), b"red", bytearray(b"red")],
    "one": ["1", 1, np.int64(1), np.uint8(1), Decimal("1"), Grade.ONE],
    "one with a point": ["1.0", 1.0, np.float64(1), np.float32(1)],
    "true": ["true", True, np.bool_(True)],
    "nothing": [None, math.nan, np.float32("nan"), pd.NA, pd.NaT, [], ["red"], {}],
    "unknown": ["blue", np.str_("blue"), b"blue"],
    "odd characters": ["\ud800 Ærø\x00\U0001f600", np.str_("\ud800 Ærø\x00\U0001f600")],
}


@pytest.mark.parametrize("others", BESIDE.values(), ids=BESIDE)
@pytest.mark.parametrize("number", [1, 2, BULK_ROWS])
@pytest.mark.parametrize(
    ("variable", "values"),
    [
        *(pytest.param(X, values, id=f"number, {name}") for name, values in NUMBERS_ALIKE.items()),
        *(pytest.param(NUMBER, values, id=f"numeric category, {name}") for name, values in NUMBERS_ALIKE.items()),
        *(pytest.param(TEXT, values, id=f"text, {name}") for name, values in TEXTS_ALIKE.items()),
    ],
)
def test_values_that_mean_the_same_make_the_same_row(
    variable: Distribution, values: list[Any], number: int, others: list[Distribution]
) -> None:
    """First or last in a row that comes alone, among a few or among many."""
    for variables in ([variable, *others], [*others, variable]):
        own = variables.index(variable)
        rows = [[value if index == own else 0.5 for index in range(len(variables))] for value in values]
        expected = bucket(variables, rows[0])
        for row in rows:
            assert buckets(variables, Table(None, [row] * number)) == several(expected, number), row[own]
            assert buckets(variables, Table(None, [row] * number), keeps_interpreter=True)[expected] == number
        # All of them in one batch.
        assert buckets(variables, Table(None, rows * number)) == several(expected, number * len(values))


def test_values_that_mean_something_else_make_other_rows() -> None:
    """Of so few, hardly two share a bucket."""
    numbers = [values[0] for values in NUMBERS_ALIKE.values()]
    texts = [values[0] for values in TEXTS_ALIKE.values()]

    assert len({bucket([X], [value]) for value in numbers}) >= len(numbers) - 1
    assert len({bucket([NUMBER], [value]) for value in numbers}) >= len(numbers) - 1
    assert len({bucket([TEXT], [value]) for value in texts}) >= len(texts) - 1


def test_numbers_and_numeric_categories_are_told_apart_by_value_alone() -> None:
    """Not by bin or category: rows in the same cells are different rows."""
    cases: list[tuple[Distribution, list[Any]]]
    cases = [(X, [0.2, 0.3, 0.4, 0.5]), (NUMBER, [7, 8, 9, 10]), (TEXT, ["u", "v", "w", "x"])]
    for variable, values in cases:
        assert len({bucket([variable], [value]) for value in values}) == len(values)


def test_a_sign_of_zero_is_kept_everywhere() -> None:
    """Which is cheaper than to drop it. What matters is that no way in differs from another."""
    kinds: list[list[Distribution]] = [[X], [NUMBER], [X, NUMBER], [NUMBER, TEXT], [X] * WIDE_ROW]
    for variables in kinds:
        row = [-0.0] * len(variables)
        expected = bucket(variables, row)
        assert buckets(variables, Table(None, np.array([row] * 2))) == several(expected, 2)
        assert buckets(variables, Table(None, np.array([row] * 99))) == several(expected, 99)
        assert buckets(variables, Table(None, [row] * 99)) == several(expected, 99)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "g", "i1", "i8", "u1", "u8", "?", ">f8", ">f4", ">i4", "O"])
@pytest.mark.parametrize("variables", [[X], [NUMBER], [X, NUMBER], [X, TEXT], [X] * WIDE_ROW], ids=len)
def test_arrays_of_any_type_and_length_are_rows_of_their_values(dtype: str, variables: list[Distribution]) -> None:
    """A narrow float is itself, whether in an array or alone: not the number with its shortest decimals."""
    values = np.array([0, 1, 3, 0.1, 2.7, 117.3]).astype(dtype)
    for value in values:
        row = np.full(len(variables), value, dtype=dtype)
        expected = bucket(variables, list(row))
        for number in (1, 2, BULK_ROWS, 700):
            array = np.tile(row, (number, 1))
            assert buckets(variables, Table(None, array)) == several(expected, number)
            assert buckets(variables, Table(None, np.asfortranarray(array))) == several(expected, number)
            assert buckets(variables, Table(None, list(map(list, array)))) == several(expected, number)


def test_every_kind_of_nan_in_an_array_is_missing() -> None:
    array = np.array([[0x7FF8000000000000, 1], [0xFFF8000000000000, 1], [0x7FF8000000000123, 1]], "u8")
    rows = np.column_stack([np.tile(array[:, 0], 9).view("f8"), np.ones(27)])
    expected = bucket([X, NUMBER], [None, 1])

    assert buckets([X, NUMBER], Table(None, rows)) == several(expected, 27)
    for row in rows[:3]:
        assert bucket([X, NUMBER], list(row)) == expected
        assert buckets([X, NUMBER], Table(None, row[np.newaxis])) == several(expected, 1)


# --- ways in ---------------------------------------------------------------------------------------------------------

VARIABLES: list[Distribution] = [X, TEXT, NUMBER]
NAMES = [variable.name for variable in VARIABLES]
ROW_VALUES = (
    st.none() | st.floats(allow_nan=False) | st.integers(-(2**63), 2**64 - 1) | st.sampled_from([0.1, 7, 1e300]),
    st.none() | st.text(max_size=4) | st.sampled_from(["red", "1", "true", "ü", "\x00"]),
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([1.0, 2.5, -0.0]),
)


def ways(rows: list[list[Any]]) -> dict[str, list[Any]]:
    """Return rows in every form that a request may have, each of which `as_table` takes."""
    objects = [dict(zip(NAMES, row, strict=True)) for row in rows]
    shuffled = [dict(random.Random(3).sample(list(each.items()), len(each))) for each in objects]
    return {
        "lists": rows,
        "tuples": list(map(tuple, rows)),
        "objects": objects,
        "objects in another order": shuffled,
        "objects with more": [{"id": "a", **each, "z": [1]} for each in shuffled],
        "objects without what is missing": [
            {name: value for name, value in each.items() if value is not None} or {"x": None} for each in objects
        ],
        "lists in one": [rows],
        "tuples in one": [list(map(tuple, rows))],
        "objects in one": [objects],
        "objects in another order in one": [shuffled],
        "an array": [np.array([[*row, None] for row in rows], dtype=object)[:, :-1]],
        "a pandas frame": [pd.DataFrame({name: pd.Series(column, dtype=object) for name, column in columns(rows)})],
    }


def columns(rows: list[list[Any]]) -> list[tuple[str, list[Any]]]:
    """Return the columns with their names."""
    return [(name, [row[index] for row in rows]) for index, name in enumerate(NAMES)]


@given(st.lists(st.tuples(*ROW_VALUES).map(list), min_size=1, max_size=BULK_ROWS + 8))
@example([[0.5, "red", True]] * BULK_ROWS)
@example([[1, "1", 1]])
@example([[None, None, None]])
@example([[2**63, "", -0.0], [-(2**63), None, 0]])
def test_a_row_falls_into_one_bucket_whichever_way_it_comes(rows: list[list[Any]]) -> None:
    alone = [bucket(VARIABLES, row) for row in rows]
    expected = [alone.count(index) for index in range(ROW_BUCKETS)]
    for name, tables in ways(rows).items():
        found = [buckets(VARIABLES, as_table(table)) for table in tables]
        assert [sum(each) for each in zip(*found, strict=True)] == expected, name


@given(st.lists(st.tuples(st.integers(-5, 5), st.floats(-9, 9).map(lambda v: round(v, 1))), min_size=1, max_size=40))
def test_frames_of_every_library_have_the_rows_of_lists(rows: list[tuple[int, float]]) -> None:
    variables: list[Distribution] = [X, NUMBER]
    data = {"n": [float(row[1]) for row in rows], "x": [row[0] for row in rows]}
    alone = [bucket(variables, row) for row in rows]
    expected = [alone.count(index) for index in range(ROW_BUCKETS)]
    for frame in (pd.DataFrame(data), pl.DataFrame(data), pa.table(data), np.array(rows), np.array(rows, "f8")):
        assert buckets(variables, as_table(frame)) == expected, type(frame)
    structured = np.array([tuple(row) for row in rows], dtype=[("x", "i8"), ("n", "f8")])
    assert buckets(variables, as_table(structured)) == expected
    masked = np.ma.masked_array(np.array(rows, "f8"), mask=False)
    assert buckets(variables, as_table(masked)) == expected


@pytest.mark.parametrize("number", [2, BULK_ROWS, 100])
def test_narrow_floats_are_the_same_rows_in_arrays_and_frames(number: int, rng: np.random.Generator) -> None:
    """One by one and together, also beside columns of another type."""
    values = rng.normal(size=(number, 2)).astype("f4")
    alone = [bucket([X, NUMBER], list(row)) for row in values]
    expected = [alone.count(index) for index in range(ROW_BUCKETS)]
    assert buckets([X, NUMBER], Table(None, values)) == expected
    assert buckets([X, NUMBER], as_table(pd.DataFrame(values, columns=["x", "n"]))) == expected
    mixed = pd.DataFrame({"n": values[:, 1], "x": values[:, 0], "id": ["a"] * number})
    assert buckets([X, NUMBER], as_table(mixed)) == expected
    assert buckets([X, NUMBER], as_table(pl.DataFrame({"x": values[:, 0], "n": values[:, 1]}))) == expected


@given(st.lists(st.lists(ANY_VALUE, min_size=3, max_size=3), min_size=1, max_size=BULK_ROWS + 5))
def test_every_row_falls_into_one_bucket(rows: list[list[Any]]) -> None:
    """Whatever it holds, and the same one alone and among others."""
    alone = [bucket(VARIABLES, row) for row in rows]

    assert buckets(VARIABLES, Table(None, rows)) == [alone.count(index) for index in range(ROW_BUCKETS)]


# --- counted by services ---------------------------------------------------------------------------------------------


def counted(baseline: Baseline, *predictions: tuple[Any, Any]) -> tuple[np.ndarray[Any, Any], int]:
    """Return the buckets, and the sum of squares, of what a service counts."""
    service = ModelMonitoringService(baseline, sink="none")
    for features, output in predictions:
        service.log_prediction(features=features, output=output)
    layout, cells = ModelCells.of(baseline), service.monitor.observe().cells
    return cells[layout.buckets_start : layout.squares], int(cells[layout.squares])


BOTH = Baseline((X, TEXT), (called(X, "score"),), 0)


def test_rows_with_features_are_in_the_buckets() -> None:
    """Not those that could not be matched; with features, outputs do not matter."""
    found, squares = counted(
        BOTH,
        ([0.5, "red"], 0.25),
        ({"t": "red", "x": 0.5}, None),
        ([[0.5, "red"]] * 20, [0.5] * 20),
        ([1, 2, 3], 0.5),
        (None, 0.5),
        ({"unknown": 1}, 0.5),
        ([[1, 2, 3]] * 500, [0.5] * 500),
    )
    assert found.tolist() == several(bucket([X, TEXT], [0.5, "red"]), 22)
    assert squares == 1 + 1 + 400 + 1 + 1 + 1


@pytest.mark.parametrize(
    ("outputs", "rows"),
    [([X], [[0.25], [7]]), ([NUMBER], [[1], [None]]), ([TEXT], [["red"], ["blue"]]), ([X, NUMBER], [[0.1, 1], [3, 2]])],
    ids=["number", "category", "text", "two"],
)
def test_rows_of_a_model_without_features_are_told_apart_by_their_outputs(
    outputs: list[Distribution], rows: list[list[Any]]
) -> None:
    baseline = Baseline((), tuple(outputs), 0)
    first, second = (bucket(outputs, row) for row in rows)
    expected = [(index == first) * 2 + (index == second) * 20 for index in range(ROW_BUCKETS)]
    single = rows[0][0] if len(outputs) == 1 else dict(zip((item.name for item in outputs), rows[0], strict=True))
    several = [row[0] for row in rows[1:]] if len(outputs) == 1 else rows[1:]
    found, squares = counted(baseline, ([1.0], single), ({"a": 2}, single), ([[1]] * 20, several * 20))

    assert found.tolist() == expected
    assert squares == 1 + 1 + 400


@given(st.lists(st.integers(1, 30), max_size=8))
def test_buckets_add_up_to_rows_and_squares_to_those_of_requests(sizes: list[int]) -> None:
    requests = [([[float(number), "red"] for number in range(size)], [0.5] * size) for size in sizes]
    found, squares = counted(BOTH, *requests)

    assert found.sum() == sum(sizes)
    assert squares == sum(size**2 for size in sizes)


def test_what_was_refused_or_failed_is_in_no_bucket() -> None:
    service = ModelMonitoringService(BOTH, sink="none")
    for status in ("client_error", "error"):
        tally = Tally()
        service.monitor.count_features(tally, as_table([0.5, "red"]))
        service.monitor.commit(tally, status, None)
    cells, layout = service.monitor.observe().cells, ModelCells.of(BOTH)

    assert cells[: layout.squares + 1].sum() == 0


def test_without_buckets_only_cells_are_counted() -> None:
    counter = VariableCounter([X, TEXT], 0, 20)

    assert len(counter.count(Table(None, [[0.5, "red"]])).cells) == 2
    assert isinstance(counter.count(Table(None, [[0.5, "red"]] * 20)), Increments)


def test_different_values_that_are_no_numbers_are_different_rows() -> None:
    """A client that writes decimals with a comma sends no row twice."""
    baseline = build_baseline({"x": [number / 7 for number in range(200)], "kind": [0, 1] * 100})
    service = ModelMonitoringService(baseline, sink="none")
    for number in range(300):
        service.log_prediction(features={"x": f"{number},5", "kind": f"no {number}"})
    found = service.drift()

    assert {item.name: (item.verdict, item.moved_most) for item in found} == {
        "x": ("major", "__invalid__"),
        "kind": ("major", "__invalid__"),
    }
    assert found["x"].recurrence == pytest.approx(1.0, abs=0.3)
