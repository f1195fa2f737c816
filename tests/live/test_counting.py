"""Every value lands in the cell that holds it, whichever way it comes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flask_boxkite.baseline import Continuous, Discrete, Distribution
from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.baseline.training.options import BaselineOptions
from flask_boxkite.live.batches import BULK_ROWS
from flask_boxkite.live.counting import VariableCounter
from flask_boxkite.live.counts import Counts
from flask_boxkite.live.increments import Increments
from flask_boxkite.live.name_order import UnmatchedError
from flask_boxkite.live.row_cells import WIDE_ROW
from flask_boxkite.live.section import Section, SectionKey
from flask_boxkite.live.store import Store
from flask_boxkite.payloads import Table
from tests.baseline.strategies import FLOATS, continuous, discrete

X = Continuous("x", (0.0, 0.1, 0.7, 10.0), (0, 0, 0, 0, 0), (0.0, 10.0))
NUMBER = Discrete("n", ("1.0", "2.5", "0.0"), (3, 2, 1))
TEXT = Discrete("t", ("red", "1", "true", "1.0", '""'), (5, 4, 3, 2, 1))
KINDS: list[Distribution] = [X, NUMBER, TEXT]


def cells_of(increments: Increments, size: int) -> list[int]:
    """Return what increments add to each cell, by the store that serves one process."""
    counts = Counts(Store(None), Section(SectionKey("test"), size, 20))
    counts.add(increments)
    return list(counts.totals().cells.tolist())


def counted(
    distributions: Sequence[Distribution],
    rows: Any,
    names: tuple[str, ...] | None = None,
    *,
    keeps_interpreter: bool = False,
) -> list[int]:
    """Count rows, and return the cells."""
    size = sum(len(distribution.cells) for distribution in distributions)
    counter = VariableCounter(distributions, 0, size, keeps_interpreter=keeps_interpreter)
    return cells_of(counter.count(Table(names, rows)), size)


def cell(distribution: Distribution, value: Any) -> int:
    """Return the cell that one value raises."""
    found = counted([distribution], [[value]])
    assert sum(found) == 1
    return found.index(1)


def brute_force_cell(bounds: Sequence[float], value: float) -> int:
    """Return the bin ``(lower, upper]`` that holds a value, by looking at each; the cell of missing values for NaN."""
    if math.isnan(value):
        return len(bounds) + 1
    for index, (lower, upper) in enumerate(pairwise([-math.inf, *bounds, math.inf])):
        if lower < value <= upper or (index == 0 and value == -math.inf):
            return index
    raise AssertionError(value)


MIXED = Discrete("m", ("yes", "true", "False", "1.5"), (4, 3, 2, 1))
"""A column of texts and booleans, as Python's values or as texts of a CSV file."""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *[(value, 1) for value in (True, "true", "True", "TRUE", " True ", np.bool_(True))],
        *[(value, 2) for value in (False, "false", "False", "FALSE")],
        *[(1.5, 3), ("1.5", 3), (1, 5), ("truth", 5)],
    ],
    ids=repr,
)
def test_a_boolean_among_texts_is_one_category_however_it_is_written(value: Any, expected: int) -> None:
    assert cell(MIXED, value) == expected


# --- continuous ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (-1, 0),
        (0, 0),
        (-0.0, 0),
        (False, 0),
        (5e-324, 1),
        (0.1, 1),
        ("0.1", 1),
        (np.float32(0.1), 1),
        (np.float16(0.1), 1),
        (Decimal("0.1"), 1),
        (np.float32(0.7), 2),
        (0.7000000000000001, 3),
        (True, 3),
        (10, 3),
        (np.int8(10), 3),
        (10.000001, 4),
        (10**400, 4),
        (-(10**400), 0),
        (2**63, 4),
        (math.inf, 4),
        ("inf", 4),
        (-math.inf, 0),
        (None, 5),
        (math.nan, 5),
        (np.float32("nan"), 5),
        (pd.NA, 5),
        ("nan", 5),
        ("", 5),
        (" n/a ", 5),
        ("<NA>", 5),
        ("ten", 6),
        ([1], 6),
        ({"a": 1}, 6),
        pytest.param(object(), 6, id="object"),
    ],
    ids=str,
)
def test_the_cell_of_a_number(value: Any, expected: int) -> None:
    assert cell(X, value) == expected


BIG = [Continuous(str(index), (2.0**53,), (0, 0), (-math.inf, 2.0**53)) for index in range(WIDE_ROW)]
ANY_NUMBER = st.one_of(st.floats(), FLOATS, st.integers(-(2**70), 2**70), st.integers(-5, 5), st.just(10**400))


@st.composite
def bounds_and_rows(draw: st.DrawFn, values: st.SearchStrategy[Any]) -> tuple[list[Continuous], list[list[Any]]]:
    """Draw variables and rows whose values are often bounds, or next to one."""
    width = draw(st.sampled_from([1, 2, WIDE_ROW]))
    sets = [sorted(draw(st.sets(FLOATS | st.integers(-5, 5).map(float), min_size=1, max_size=5))) for _ in range(2)]
    variables = [
        Continuous(str(index), tuple(bounds), (0,) * (len(bounds) + 1), (-math.inf, bounds[-1]))
        for index in range(width)
        for bounds in [sets[index % 2]]
    ]
    ends = [end for bounds in sets for end in bounds]
    near = st.sampled_from([*ends, *[math.nextafter(end, math.inf) for end in ends]])
    pool = draw(st.lists(values | near, min_size=1, max_size=6))
    number = draw(st.sampled_from([1, 2, BULK_ROWS, BULK_ROWS + 1]))
    rows = [[pool[(row * 7 + column) % len(pool)] for column in range(width)] for row in range(number)]
    return variables, rows


def expected_cells(variables: Sequence[Continuous], rows: Sequence[Sequence[Any]]) -> list[int]:
    """Count one by one."""
    blocks = [[0] * len(variable.cells) for variable in variables]
    for row in rows:
        for variable, block, value in zip(variables, blocks, row, strict=True):
            try:
                number = math.nan if value is None else float(value)
            except OverflowError:
                number = math.inf if value > 0 else -math.inf
            block[brute_force_cell(variable.upper_bounds, number)] += 1
    return [count for block in blocks for count in block]


@given(bounds_and_rows(ANY_NUMBER | st.none() | st.booleans()))
@example((BIG[:1], [[2**53 + 1]]))
@example((BIG[:1], [[2**53 + 1]] * BULK_ROWS))
@example((BIG[:2], [[2**53 + 1, 0.5]]))
@example((BIG[:2], [[2**53 + 1, -(2**53) - 1]]))
@example((BIG[:2], [[10**400, -(10**400)]]))
@example((BIG, [[2**53 + 1, 0.5] * (WIDE_ROW // 2)]))
@example((BIG, [[10**400, -(10**400)] * (WIDE_ROW // 2)]))
def test_rows_and_lists_of_rows_agree_with_comparing_one_by_one(
    case: tuple[list[Continuous], list[list[Any]]],
) -> None:
    variables, rows = case

    assert counted(variables, rows) == expected_cells(variables, rows)
    assert counted(variables, rows, keeps_interpreter=True) == expected_cells(variables, rows)


@given(bounds_and_rows(st.floats()))
def test_arrays_of_doubles_agree_with_comparing_one_by_one(case: tuple[list[Continuous], list[list[Any]]]) -> None:
    variables, rows = case

    assert counted(variables, np.array(rows, dtype=np.float64)) == expected_cells(variables, rows)


@given(bounds_and_rows(st.floats(width=32)))
def test_arrays_of_singles_agree_with_comparing_their_shortest_decimals(
    case: tuple[list[Continuous], list[list[Any]]],
) -> None:
    variables, rows = case
    with np.errstate(over="ignore"):
        array = np.array(rows, dtype=np.float64).astype(np.float32)
    meant = [[float(str(value)) for value in row] for row in array]

    assert counted(variables, array) == expected_cells(variables, meant)


@given(bounds_and_rows(st.integers(-(2**63), 2**63 - 1)), st.sampled_from([np.int8, np.int64, np.uint64]))
def test_arrays_of_integers_agree_with_comparing_one_by_one(
    case: tuple[list[Continuous], list[list[Any]]], dtype: type[Any]
) -> None:
    variables, rows = case
    limits = np.iinfo(dtype)
    integers = [[int(min(max(value, limits.min), limits.max)) for value in row] for row in rows]

    assert counted(variables, np.array(integers, dtype=dtype)) == expected_cells(variables, integers)


@given(st.lists(st.floats(width=32), min_size=3, max_size=60), st.booleans())
def test_live_counts_of_the_training_data_are_the_training_counts(values: list[float], is_single: bool) -> None:
    """Each row in its group, as in training: serving what was trained on is never drift."""
    column = np.array(values, dtype=np.float32 if is_single else np.float64)
    (trained,) = build_baseline({"x": column}, options=BaselineOptions.of(discrete=[])).features
    batch = counted([trained], column[:, np.newaxis])

    assert batch == list(trained.cells)
    assert counted([trained], [[value] for value in column]) == batch
    one_by_one = [counted([trained], [[float(str(value))]]) for value in column]
    assert [sum(cells) for cells in zip(*one_by_one, strict=True)] == batch


@given(st.lists(st.integers(-(2**70), 2**70) | st.floats(allow_nan=False), min_size=3, max_size=40))
@example([2**53, 2**53 + 1, 0.5] * 4)
@example([2**64 + 1, 2**64 + 3, 5] * 4)
def test_integers_beyond_2_to_the_53_are_the_same_number_in_training_and_live(values: list[Any]) -> None:
    (trained,) = build_baseline({"x": values}, options=BaselineOptions.of(discrete=[])).features

    assert counted([trained], [[value] for value in values]) == list(trained.cells)


# --- discrete --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 0),
        (1.0, 0),
        (True, 0),
        ("1", 0),
        ("1.0", 0),
        (np.int8(1), 0),
        (np.bool_(True), 0),
        (np.float32(2.5), 1),
        (-0.0, 2),
        (False, 2),
        (3, 4),
        (math.inf, 4),
        (None, 5),
        (math.nan, 5),
        ("red", 6),
        ([], 6),
    ],
    ids=str,
)
def test_the_cell_of_a_numeric_category(value: Any, expected: int) -> None:
    assert cell(NUMBER, value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("red", 0),
        (np.str_("red"), 0),
        (b"red", 0),
        ("1", 1),
        (1, 1),
        (np.int64(1), 1),
        (True, 2),
        (np.bool_(True), 2),
        (1.0, 3),
        (np.float32(1), 3),
        ("", 4),
        ('""', 6),
        ("blue", 6),
        ("__missing__", 6),
        ("__rare__", 6),
        (None, 7),
        (math.nan, 7),
        (pd.NA, 7),
        (["red"], 8),
        ({}, 8),
    ],
    ids=str,
)
def test_the_cell_of_a_textual_category(value: Any, expected: int) -> None:
    assert cell(TEXT, value) == expected


def test_unknown_values_are_rare_where_training_dropped_rare_ones() -> None:
    """Which ones it dropped is not known any more, so an unknown value is no sign of something new."""
    (trained,) = build_baseline({"x": ["a"] * 3 + ["b", "c"]}, options=BaselineOptions.of(max_categories=1)).features

    assert trained.cells == (3, 2, 0, 0, 0)
    assert counted([trained], [["a"], ["b"], ["c"], ["new"]]) == [1, 3, 0, 0, 0]


def test_a_million_new_categories_need_no_memory() -> None:
    counter = VariableCounter([TEXT], 0, len(TEXT.cells))
    for index in range(1000):
        assert counter.count(Table(None, [[f"client-{index}"]])).cells == [6]


def test_a_variable_that_was_always_missing_has_only_unseen_values() -> None:
    (trained,) = build_baseline({"x": [None, None]}).features

    assert counted([trained], [[1], ["a"], [None], [[]]]) == [0, 2, 1, 1]


ANY_VALUE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.floats(),
    st.text(max_size=3),
    st.lists(st.integers(), max_size=2),
    st.sampled_from(["1.0", "1", "true", 1.0, -0.0, 2**70, np.float32(0.1)]),
)


@given(st.lists(discrete() | continuous(), min_size=1, max_size=3, unique_by=lambda item: item.name), st.data())
def test_batches_count_what_their_rows_count(variables: list[Distribution], data: st.DataObject) -> None:
    row = st.lists(ANY_VALUE, min_size=len(variables), max_size=len(variables))
    rows = data.draw(st.lists(row, min_size=BULK_ROWS, max_size=BULK_ROWS + 3))
    one_by_one = [counted(variables, [row]) for row in rows]
    expected = [sum(cells) for cells in zip(*one_by_one, strict=True)]
    array = np.empty((len(rows), len(variables)), dtype=object)
    for index, values in enumerate(rows):
        for column, value in enumerate(values):
            array[index, column] = value

    assert sum(expected) == len(rows) * len(variables)
    assert counted(variables, rows) == expected
    assert counted(variables, array) == expected


@pytest.mark.parametrize(
    "values",
    [
        [1.0, 0.0],
        [1, 0.25],
        [True, None],
        [None, math.nan],
        [10**400, 1],
        [2**53 + 1, -0.0],
        ["1", 1],
        [np.float32(0.1), 0],
    ],
    ids=str,
)
def test_lists_of_numbers_and_none_count_what_their_rows_count(values: list[Any]) -> None:
    for kinds in ([X], [X, NUMBER], [X, X, NUMBER, X, X, X], [X, TEXT]):
        rows = [[values[(row + column) % 2] for column in range(len(kinds))] for row in range(2 * BULK_ROWS)]
        one_by_one = [counted(kinds, [row]) for row in rows]

        assert counted(kinds, rows) == [sum(cells) for cells in zip(*one_by_one, strict=True)]


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "u1", "?"])
@pytest.mark.parametrize("rows", [1, BULK_ROWS, 200])
def test_arrays_count_what_their_values_count_in_every_kind_of_variable(dtype: str, rows: int) -> None:
    array = np.array([[1, 0, 1]] * rows, dtype=dtype)
    expected = counted(KINDS, [list(array[0])])

    assert counted(KINDS, array) == [rows * count for count in expected]


@pytest.mark.parametrize("rows", [1, 2, BULK_ROWS])
def test_a_narrow_variable_leaves_the_decimals_of_another_variable(rows: int) -> None:
    """A float32 of 0.1 is above 0.1, and yet counted as 0.1 beside a variable of float16 too."""
    half = replace(X, name="half", width=16)
    variables: list[Distribution] = [half, X]
    array = np.full((rows, 2), 0.1, dtype=np.float32)

    assert counted(variables, array) == [rows * count for count in counted(variables, [list(array[0])])]


@pytest.mark.parametrize("rows", [1, 2, BULK_ROWS])
def test_a_narrow_variable_leaves_the_integers_of_a_text(rows: int) -> None:
    """The text of 1 is "1", not "1.0", beside a variable of float32 too."""
    variables: list[Distribution] = [replace(X, name="single", width=32), TEXT]
    array = np.ones((rows, 2), dtype=np.int64)

    assert counted(variables, array) == [rows * count for count in counted(variables, [[1, 1]])]


# --- names -----------------------------------------------------------------------------------------------------------

TWO: list[Distribution] = [X, Discrete("n", ("1.0", "2.5"), (3, 2))]


@pytest.mark.parametrize("rows", [1, BULK_ROWS])
@pytest.mark.parametrize("is_array", [False, True], ids=["list", "array"])
@pytest.mark.parametrize(
    ("names", "values", "cells"),
    [
        (("x", "n"), [0.5, 1.0], (2, 7)),
        (("n", "x"), [1.0, 0.5], (2, 7)),
        (("id", "n", "x"), [9.0, 1.0, 0.5], (2, 7)),
        (("n",), [1.0], (5, 7)),
        (("x", "id"), [0.5, 1.0], (2, 11)),
    ],
    ids=["same", "reordered", "more", "first missing", "last missing"],
)
def test_features_are_matched_by_name(
    names: tuple[str, ...], values: list[float], cells: tuple[int, int], is_array: bool, rows: int
) -> None:
    expected = [0] * 13
    for index in cells:
        expected[index] = rows

    assert counted(TWO, np.array([values] * rows) if is_array else [values] * rows, names) == expected


def test_a_single_feature_is_matched_by_name() -> None:
    assert counted([X], [[9, 0.5]], ("id", "x")) == [0, 0, 1, 0, 0, 0, 0]


def test_names_that_are_no_texts_are_matched_by_their_text() -> None:
    baseline = build_baseline(pd.DataFrame(np.arange(100.0).reshape(50, 2)))
    row: Any = (0, 1)

    assert sum(counted(baseline.features, [[0.0, 1.0]], row)[:1]) == 0
    assert counted(baseline.features, [[0.0, 1.0]], row) == counted(baseline.features, [[0.0, 1.0]])


@pytest.mark.parametrize(
    ("rows", "names", "message"),
    [
        ([[1.0]], None, "1 values for 2 variables"),
        ([[1.0, 2.0, 3.0]], None, "3 values for 2 variables"),
        (np.ones((5, 3)), None, "3 values for 2 variables"),
        ([[1.0, 2.0]], ("a", "b"), "none of the names ('a', 'b') is known"),
        ([[1.0] * 9], tuple("abcdefghi"), "none of the names ('a', 'b', 'c', 'd', 'e') is known"),
    ],
    ids=["few", "many", "array", "names", "many names"],
)
def test_rows_that_do_not_match_are_not_counted(rows: Any, names: tuple[str, ...] | None, message: str) -> None:
    with pytest.raises(UnmatchedError) as caught:
        counted(TWO, rows, names)

    assert str(caught.value) == message


def test_names_from_clients_take_bounded_memory() -> None:
    counter = VariableCounter([X], 0, 7)
    for index in range(1000):
        counter.count(Table(("x", f"client-{index}"), [[1.0, 2.0]]))

    assert len(counter._order._plans) <= 256


@pytest.mark.parametrize("rows", [1, 2, BULK_ROWS])
@pytest.mark.parametrize(
    ("names", "is_plain"),
    [(("x", "n"), True), (("n", "x"), True), (("x", "other"), False), (("x", "n", "other"), False), (("x",), False)],
    ids=["same", "reordered", "unknown", "more", "fewer"],
)
def test_a_table_is_plain_only_if_all_its_columns_are_counted(
    names: tuple[str, ...], is_plain: bool, rows: int
) -> None:
    table = Table(names, [[1.0] * len(names) for _ in range(rows)])
    VariableCounter([X, replace(X, name="n")], 0, 14).count(table)
    assert table.is_plain == is_plain if rows == 1 else table.is_plain <= is_plain


# --- sums ------------------------------------------------------------------------------------------------------------


def sums_of(increments: Increments) -> dict[int, float]:
    """Return what increments add to each sum."""
    found: dict[int, float] = {}
    for index, amount in increments.sums:
        assert amount > 0
        found[index] = found.get(index, 0.0) + amount
    return found


VALUES = [1.5, -2.0, 0.0, math.nan, math.inf, -math.inf, 3, True, None, "4", "x", [1], 10**400, -0.25]


@pytest.mark.parametrize("times", [1, 5], ids=["rows", "batch"])
def test_outputs_are_summed_apart_by_sign(times: int) -> None:
    """So neither sum ever falls, as Prometheus wants of a counter."""
    counter = VariableCounter(KINDS, 0, 30, sums=4)
    found = counter.count(Table(None, [[value, value, value] for value in VALUES] * times))

    positive, negative = times * (1.5 + 3 + 1 + 4), times * 2.25
    assert sums_of(found) == {4: positive, 5: negative, 6: positive, 7: negative}


@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_sums_of_an_array_leave_out_what_is_not_finite(dtype: str) -> None:
    counter = VariableCounter([X], 0, 7, sums=0)
    column = np.array([1.5, -2.0, math.nan, math.inf, -math.inf, -0.25] * 4, dtype=dtype)

    assert sums_of(counter.count(Table(None, column[:, np.newaxis]))) == {0: 6.0, 1: 9.0}


@pytest.mark.parametrize(
    ("value", "sums"),
    [(0.5, {0: 0.5}), (-2, {1: 2.0}), (0, {}), (None, {}), (math.nan, {}), ("1", {0: 1.0}), ([], {})],
    ids=str,
)
def test_a_single_value_is_counted_and_summed_like_a_row(value: Any, sums: dict[int, float]) -> None:
    counter = VariableCounter([X], 0, 7, sums=0)
    single, row = Increments(), counter.count(Table(None, [[value]]))
    counter.count_value(value, single)

    assert sums_of(single) == sums_of(row) == sums
    assert cells_of(single, 7) == cells_of(row, 7)


MODERATE = st.floats(-1e300, 1e300) | st.sampled_from([math.nan, math.inf, -math.inf])


@given(st.lists(MODERATE | st.floats(0, 1) | st.integers(-5, 5), min_size=1, max_size=30))
def test_sums_are_added_up_in_one_way_for_lists_and_arrays(values: list[float]) -> None:
    finite = [float(value) for value in values if math.isfinite(value)]
    expected = [math.fsum(sign * value for value in finite if sign * value > 0) for sign in (1, -1)]
    for rows in ([[value] for value in values], np.array(values, dtype=float)[:, np.newaxis]):
        found = sums_of(VariableCounter([X], 0, 7, sums=0).count(Table(None, rows)))
        assert [found.get(0, 0.0), found.get(1, 0.0)] == pytest.approx(expected, rel=1e-14)


def test_rows_that_do_not_match_add_nothing() -> None:
    increments = Increments([3])
    with pytest.raises(UnmatchedError):
        VariableCounter(TWO, 0, 13).count(Table(None, [[1.0]]), increments)

    assert cells_of(increments, 13) == cells_of(Increments([3]), 13)


def test_features_and_outputs_add_to_the_same_increments() -> None:
    increments = Increments()
    assert VariableCounter(TWO, 0, 20).count(Table(None, [[0.5, 1.0]]), increments) is increments
    VariableCounter([X], 13, 20, sums=0).count(Table(None, [[0.5]]), increments)

    assert [index for index, count in enumerate(cells_of(increments, 20)) if count] == [2, 7, 15]
    assert sums_of(increments) == {0: 0.5}


def test_huge_sums_do_not_disturb() -> None:
    counter = VariableCounter([X], 0, 7, sums=0)

    assert sums_of(counter.count(Table(None, np.full((20, 1), 1e308)))) == {0: math.inf}


def test_rows_that_lack_a_variable_and_have_an_unknown_name_are_noted() -> None:
    """The unknown one may be meant; a row that only lacks something, or has more, needs no look."""
    counter = VariableCounter([X, NUMBER], 0, 20, gap="names")
    for names in (("n",), ("x", "n", "id"), ("n", "X")):
        counter.count(Table(names, [[1.0] * len(names)]))
    assert counter.gaps == {("n", "X")}
