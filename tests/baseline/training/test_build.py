"""Training data of any form becomes the same distributions."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from flask_boxkite import Baseline, BaselineError, ModelMonitoringService
from flask_boxkite.baseline import Continuous, Discrete, Distribution
from flask_boxkite.baseline.training.build import build_baseline
from tests.baseline.strategies import NUMBERS
from tests.baseline.training.building import built

NUMBERS_WITH_GAPS: list[float | None] = [0.5 * index if index % 7 else None for index in range(70)]
TEXTS_WITH_GAPS = ["red", None, "blue", "red"]


def only(column: Any, **options: Any) -> Distribution:
    """Return the distribution of a single feature named x."""
    (found,) = built({"x": column}, **options).features
    return found


def discrete(counts: Mapping[str, int], **others: int) -> Discrete:
    """Return what a column named x with these categories should become."""
    return Discrete.ordered("x", dict(counts), **others)


def times(counts: dict[str, int], **others: int) -> Discrete:
    """Return the same of dates."""
    return replace(discrete(counts, **others), is_time=True)


# --- what holds a column ---------------------------------------------------------------------------------------------

NUMERIC_HOLDERS: dict[str, Callable[[list[float | None]], Any]] = {
    "list": list,
    "tuple": tuple,
    "generator": iter,
    "object array": lambda values: np.array(values, dtype=object),
    "float64 array": lambda values: np.array(values, dtype=np.float64),
    "float32 array": lambda values: np.array(values, dtype=np.float32),
    "float16 array": lambda values: np.array(values, dtype=np.float16),
    "column array": lambda values: np.array(values, dtype=np.float64)[:, np.newaxis],
    "strided array": lambda values: np.array([values, values], dtype=np.float64).T[:, 0],
    "masked array": lambda values: np.ma.masked_invalid(np.array(values, dtype=np.float64)),
    "Decimals": lambda values: [None if value is None else Decimal(str(value)) for value in values],
    "NumPy scalars": lambda values: [None if value is None else np.float32(value) for value in values],
    "pandas": pd.Series,
    "pandas nullable": lambda values: pd.Series(values, dtype="Float64"),
    "pandas object": lambda values: pd.Series(values, dtype=object),
    "pandas arrow": lambda values: pd.Series(values, dtype="double[pyarrow]"),
    "pandas index": pd.Index,
    "polars": pl.Series,
    "polars float32 with NaN": lambda values: pl.Series(values, dtype=pl.Float32).fill_null(math.nan),
    "polars decimal": lambda values: pl.Series(values).cast(pl.Decimal(20, 4)),
    "pyarrow": pa.array,
    "pyarrow chunked": lambda values: pa.chunked_array([values[:20], values[20:]]),
}


WIDTHS = {"float32 array": 32, "float16 array": 16, "NumPy scalars": 32, "polars float32 with NaN": 32}


@pytest.mark.parametrize("holder", NUMERIC_HOLDERS)
def test_a_numeric_column_is_the_same_whatever_holds_it(holder: str) -> None:
    found = only(NUMERIC_HOLDERS[holder](NUMBERS_WITH_GAPS))

    assert isinstance(found, Continuous)
    assert found.width == WIDTHS.get(holder, 64)
    assert replace(found, width=64) == only(NUMBERS_WITH_GAPS)
    assert (found.rows, found.missing, found.invalid) == (70, 10, 0)


INTEGER_HOLDERS: dict[str, Callable[[list[int]], Any]] = {
    "list": list,
    "range": lambda values: range(len(values)),
    "int8": lambda values: np.array(values, dtype=np.int8),
    "uint64": lambda values: np.array(values, dtype=np.uint64),
    "big endian": lambda values: np.array(values, dtype=">i4"),
    "float": lambda values: np.array(values, dtype=np.float64),
    "pandas nullable": lambda values: pd.Series(values, dtype="Int64"),
    "polars": lambda values: pl.Series(values, dtype=pl.UInt16),
    "mixed with floats": lambda values: [float(values[0]), *values[1:]],
    "Decimals": lambda values: list(map(Decimal, values)),
}


@pytest.mark.parametrize("hold", INTEGER_HOLDERS.values(), ids=INTEGER_HOLDERS.keys())
def test_a_column_of_integers_is_the_same_whatever_holds_it(hold: Callable[[Any], Any]) -> None:
    found = only(hold(list(range(100))))

    assert found == only([float(value) for value in range(100)])
    assert isinstance(found, Continuous)


TEXT_HOLDERS: dict[str, Callable[[list[str | None]], Any]] = {
    "list": list,
    "generator": iter,
    "object array": lambda values: np.array(values, dtype=object),
    "pandas": pd.Series,
    "pandas object": lambda values: pd.Series(values, dtype=object),
    "pandas categorical": lambda values: pd.Series(values, dtype="category"),
    "bare categorical": pd.Categorical,
    "polars": pl.Series,
    "polars categorical": lambda values: pl.Series(values, dtype=pl.Categorical),
    "polars enum": lambda values: pl.Series(values, dtype=pl.Enum(["blue", "red", "green"])),
    "pyarrow": pa.array,
    "pyarrow dictionary": lambda values: pa.chunked_array([pa.array(values).dictionary_encode()]),
}


@pytest.mark.parametrize("hold", TEXT_HOLDERS.values(), ids=TEXT_HOLDERS.keys())
def test_a_text_column_is_the_same_whatever_holds_it(hold: Callable[[Any], Any]) -> None:
    assert only(hold(TEXTS_WITH_GAPS)) == discrete({"red": 2, "blue": 1}, missing=1)


BOOLEAN_HOLDERS: dict[str, Callable[[list[bool]], Any]] = {
    "list": list,
    "array": np.array,
    "NumPy scalars": lambda values: list(map(np.bool_, values)),
    "pandas": pd.Series,
    "pandas nullable": lambda values: pd.Series(values, dtype="boolean"),
    "polars": pl.Series,
    "pyarrow": pa.array,
}


@pytest.mark.parametrize("hold", BOOLEAN_HOLDERS.values(), ids=BOOLEAN_HOLDERS.keys())
def test_booleans_are_discrete_numbers(hold: Callable[[Any], Any]) -> None:
    assert only(hold([True, False, True]), discrete=[]) == discrete({"1.0": 2, "0.0": 1})


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ([True, None, False, True], discrete({"1.0": 2, "0.0": 1}, missing=1)),
        (pd.Categorical([1, 2, 1]), discrete({"1.0": 2, "2.0": 1})),
        ([date(2024, 1, 31), None], times({"2024-01-31": 1}, missing=1)),
        (pl.Series([date(2024, 1, 31)]), times({"2024-01-31": 1})),
        (pd.to_datetime(pd.Series(["2024-01-31", None])), times({"2024-01-31": 1}, missing=1)),
        (np.array(["2024-01-31", "NaT"], dtype="M8[ns]"), times({"2024-01-31": 1}, missing=1)),
        (["2024-01-31T00:00:00Z", "2024-01-31", "2024-01-30"], times({"2024-01-31": 2, "2024-01-30": 1})),
        (["2024-01-31", "tomorrow"], discrete({"2024-01-31": 1, "tomorrow": 1})),
        ([date(2024, 1, 31), "tomorrow"], discrete({"2024-01-31": 1, "tomorrow": 1})),
        (np.array(["a", "b", "a"]), discrete({"a": 2, "b": 1})),
        (np.array([b"a", b"b"]), discrete({"a": 1, "b": 1})),
        (["1", "2", "2"], discrete({"2": 2, "1": 1})),
        (["a", 1, 1.0, True, None], discrete({"a": 1, "1": 1, "1.0": 1, "true": 1}, missing=1)),
        (["", "__rare__", '"x"'], discrete({'""': 1, '"__rare__"': 1, '""x""': 1})),
        ([None, None], discrete({}, missing=2)),
        ([math.nan] * 3, discrete({}, missing=3)),
        ([math.inf, -math.inf, math.inf], discrete({"+Inf": 2, "-Inf": 1})),
        ([7], discrete({"7.0": 1})),
        ([7] * 9, discrete({"7.0": 9})),
        ([-0.0, 0.0], discrete({"0.0": 2})),
        (np.array([0.1, 0.1], dtype=np.float32), replace(discrete({"0.1": 2}), width=32)),
        (["True", "false", "TRUE"], discrete({"0.0": 1, "1.0": 2})),
        (["True", "no"], discrete({"True": 1, "no": 1})),
        (np.array([2**53, 2**53 + 1]), discrete({"9.007199254740992e+15": 2})),
        (np.array([2**63, 2**63 + 1], dtype=np.uint64), discrete({"9.223372036854776e+18": 2})),
        ([[1], {"a": 1}, 7], discrete({"7.0": 1}, invalid=2)),
        (["a", ["b"], None], discrete({"a": 1}, missing=1, invalid=1)),
        ([1, {"a": 1}, None], discrete({"1.0": 1}, missing=1, invalid=1)),
        ([2**70] * 3, discrete({"1.1805916207174113e+21": 3})),
        (pl.Series([2**70] * 3, dtype=pl.Int128), discrete({"1.1805916207174113e+21": 3})),
        ([timedelta(seconds=2)] * 3, discrete({"2.0": 3})),
        (pl.Series([timedelta(seconds=2)]), discrete({"2.0": 1})),
        (np.array([2000], dtype="m8[ms]"), discrete({"2.0": 1})),
    ],
    ids=lambda value: str(value)[:30].replace("\n", " ") if not isinstance(value, Discrete) else "",
)
def test_columns_of_few_values(column: Any, expected: Discrete) -> None:
    assert only(column) == expected


def test_texts_that_all_read_as_numbers_are_numbers() -> None:
    """No label could tell them apart; a live 1, 1.0 or "1.0" is then the same category."""
    assert only(["1.0", "2.5", "1.0"]) == only([1.0, 2.5, 1.0])


def test_texts_stay_texts_where_only_those_that_are_kept_read_as_numbers() -> None:
    found = only(["1.0"] * 3 + ["beta"] * 3, max_categories=1)

    assert found == discrete({'"1.0"': 3}, rare=3)
    assert isinstance(found, Discrete)
    assert found.is_text


# --- what holds the columns ------------------------------------------------------------------------------------------

TABLE = {"a": [1.0, 2.0, 3.0], "b": [4.0, 5.0, 6.0]}
ROWS = np.array(list(TABLE.values())).T


@pytest.mark.parametrize(
    "features",
    [
        TABLE,
        list(TABLE.items()),
        tuple(TABLE.items()),
        iter(TABLE.items()),
        zip("ab", ROWS.T, strict=True),
        pd.DataFrame(TABLE),
        pd.DataFrame(TABLE).items(),
        pl.DataFrame(TABLE),
        pl.LazyFrame(TABLE),
        pa.table(TABLE),
    ],
    ids=["dict", "pairs", "tuple", "iterator", "zip", "pandas", "items", "polars", "lazy", "pyarrow"],
)
def test_named_columns_are_the_same_whatever_holds_them(features: Any) -> None:
    assert build_baseline(features, clock=lambda: 0) == build_baseline(TABLE, clock=lambda: 0)


@pytest.mark.parametrize(
    "features", [ROWS, ROWS.tolist(), list(ROWS), [tuple(row) for row in ROWS], np.ma.array(ROWS)], ids=repr
)
def test_columns_of_an_array_are_named_by_position(features: Any) -> None:
    expected = build_baseline({"feature_0": TABLE["a"], "feature_1": TABLE["b"]})

    assert build_baseline(features).features == expected.features


def test_masked_values_of_an_array_are_missing() -> None:
    masked = np.ma.array(ROWS, mask=[[True, False], [False, False], [False, True]])

    assert [item.missing for item in build_baseline(masked).features] == [1, 1]


def test_names_need_not_be_texts() -> None:
    assert [item.name for item in build_baseline(pd.DataFrame(ROWS)).features] == ["0", "1"]
    assert [item.name for item in build_baseline([(0, [1, 2]), (1, [3, 4])]).features] == ["0", "1"]


def test_rows_of_texts_are_rows() -> None:
    found = build_baseline([["x", "y"], ["x", "z"]]).features

    assert found == (Discrete("feature_0", ("x",), (2,)), Discrete("feature_1", ("y", "z"), (1, 1)))


@pytest.mark.parametrize(
    ("inference", "names"),
    [
        ([0.1, 0.2, 0.3], ["output"]),
        (["yes", "no", "yes"], ["output"]),
        (iter([0.1, 0.2, 0.3]), ["output"]),
        (np.array([0.1, 0.2, 0.3]), ["output"]),
        (np.array([[0.1], [0.2], [0.3]]), ["output"]),
        ([[0.1], [0.2], [0.3]], ["output"]),
        (pd.Series([0.1, 0.2, 0.3], name="p"), ["output"]),
        (pl.Series([0.1, 0.2, 0.3]), ["output"]),
        (ROWS, ["output_0", "output_1"]),
        (ROWS.tolist(), ["output_0", "output_1"]),
        ([("no", [0.1]), ("yes", [0.9])], ["no", "yes"]),
        ({"no": [0.1], "yes": [0.9]}, ["no", "yes"]),
        ({"p": [0.1]}, ["p"]),
        (pd.DataFrame({"p": [0.1]}), ["p"]),
        (pl.DataFrame(TABLE), ["a", "b"]),
        (None, []),
    ],
    ids=lambda value: "" if isinstance(value, list) and value and value[0] in ("output", "no", "p") else None,
)
def test_names_of_outputs(inference: Any, names: list[str]) -> None:
    assert [item.name for item in build_baseline(TABLE, inference).outputs] == names


def test_outputs_may_be_of_other_rows_and_stand_alone() -> None:
    assert build_baseline(TABLE, [1, 2]).rows == 3
    assert build_baseline([], [1, 2]).rows == 2


# --- decisions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("distinct", "rows", "kind"),
    [
        (2, 2, "discrete"),
        (2, 5000, "discrete"),
        (3, 3, "continuous"),
        (3, 60, "continuous"),
        (3, 61, "discrete"),
        (49, 1000, "discrete"),
        (50, 1000, "continuous"),
        (49, 50_000, "discrete"),
        (50, 50_000, "continuous"),
    ],
)
def test_numbers_are_discrete_if_few_are_distinct(distinct: int, rows: int, kind: str) -> None:
    assert only(np.arange(rows) % distinct).kind == kind


def test_discrete_names_and_positions_rule_the_features_and_leave_outputs_alone() -> None:
    columns = {"a": range(100), "b": [0, 1] * 50, "c": range(100)}
    baseline = built(columns, [0, 1] * 50, discrete=["c", 0])

    assert [item.kind for item in baseline.features] == ["discrete", "continuous", "discrete"]
    assert [item.kind for item in baseline.outputs] == ["discrete"]
    assert built(columns, range(100), discrete=["output"]).outputs[0].kind == "discrete"
    assert built(columns, range(100), discrete=np.array([2])).outputs[0].kind == "continuous"


def test_given_bins_are_used_as_they_are() -> None:
    found = only(range(-5, 15), bins={"x": (0, 5, 10, math.inf)})

    assert found == Continuous("x", (0.0, 5.0, 10.0), (6, 5, 5, 4), (-math.inf, 0.0, 5.0, 10.0))


def test_bins_make_even_booleans_continuous() -> None:
    assert only([True, False, True], bins={"x": np.array([0.5])}) == Continuous("x", (0.5,), (1, 2), (-math.inf, 0.5))


def test_given_bins_need_no_data() -> None:
    assert only([None, None], bins={"x": [0, 1]}) == Continuous("x", (0.0, 1.0), (0, 0, 0), (0.0, 1.0), missing=2)


def test_infinities_fall_in_the_outer_bins() -> None:
    found = only([-math.inf, *range(100), math.inf, math.inf])

    assert isinstance(found, Continuous)
    assert (found.counts[0], found.counts[-1]) == (1, 2)
    assert sum(found.counts) == 103


def test_only_the_most_frequent_categories_are_kept() -> None:
    found = only(["a"] * 3 + ["c"] * 2 + ["b"] * 2 + ["d", "e"], max_categories=2)

    assert found == discrete({"a": 3, "b": 2}, rare=4)


def test_every_value_of_a_thousand_columns_is_counted(rng: np.random.Generator) -> None:
    baseline = build_baseline(rng.normal(size=(1000, 1000)))

    assert len(baseline.features) == 1000
    assert all(sum(item.cells) == 1000 for item in baseline.features)


@given(st.lists(NUMBERS, min_size=1, max_size=60), st.sampled_from([None, [], ["x"]]))
def test_every_row_is_counted_once(values: list[Any], choice: list[str] | None) -> None:
    found = only(values, discrete=choice)
    missing = sum(value is None or value != value for value in values)

    assert found.rows == len(values)
    assert (found.missing, found.invalid) == (missing, 0)
    if isinstance(found, Continuous):
        # No float is below the smallest one, so it shares the first bin.
        assert found.counts[0] == sum(as_float(value) <= -sys.float_info.max for value in values)
        assert found.counts[-1] == sum(value == math.inf for value in map(as_float, values))


def as_float(value: Any) -> float:
    """Return a number as a float64, if it is one."""
    return math.nan if value is None else float(value)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=3) | st.none(), min_size=1, max_size=40))
def test_every_text_is_counted_once(values: list[str | None]) -> None:
    found = only(values, max_categories=3, texts=["x"])

    assert isinstance(found, Discrete)
    assert found.rows == len(values)
    assert found.missing == values.count(None)
    assert len(found.categories) <= 3
    if found.is_text:
        assert found.counts == tuple(values.count(str(value)) for value in found.values)


@pytest.mark.parametrize(
    "features",
    [
        {"x": []},
        {"x": np.empty(0), "y": []},
        pd.DataFrame({"x": pd.Series([], dtype="float64")}),
        pl.DataFrame({"x": []}),
        [("x", [])],
    ],
    ids=["a list", "several columns", "pandas", "Polars", "pairs"],
)
def test_data_without_rows_is_refused(features: Any) -> None:
    message = "Column 'x' of the training data has no rows. Does a filter leave none, or is the file empty?"
    with pytest.raises(BaselineError) as caught:
        build_baseline(features)
    assert str(caught.value) == message


def test_outputs_without_rows_are_refused() -> None:
    with pytest.raises(BaselineError, match=r"^Column 'output' of the training data has no rows\."):
        build_baseline({"x": [1, 2]}, [])


def test_rows_by_name_become_columns_and_nested_values_columns_named_by_their_paths() -> None:
    rows = [{"age": age, "home": {"zip": age % 3}, "temps": [age / 2, -age]} for age in range(60)]
    rows[7] = {"age": 7, "home": None}
    columns = {
        "age": list(range(60)),
        "home.zip": [age % 3 if age != 7 else None for age in range(60)],
        "temps.0": [age / 2 if age != 7 else None for age in range(60)],
        "temps.1": [-age if age != 7 else None for age in range(60)],
    }

    assert built(rows, clock=lambda: 0) == built(columns, clock=lambda: 0)


def test_outputs_may_be_rows_by_name() -> None:
    rows = [{"heat": {"kwh": number}} for number in range(60)]

    table = {"x": range(60)}
    one, other = (built(table, outputs, clock=lambda: 0) for outputs in (rows, {"heat.kwh": range(60)}))
    assert one == other


@pytest.mark.parametrize(
    "inference",
    [np.linspace(0, 1, 60), [number / 60 for number in range(60)], pd.Series(range(60)), (0.5,) * 60],
    ids=["array", "list", "series", "tuple"],
)
def test_classes_beside_one_value_per_row_are_refused(inference: Any) -> None:
    message = "'inference' has one value per row, not a probability for each class: leave 'classes' out."
    with pytest.raises(BaselineError) as caught:
        built({"x": range(60)}, inference, classes=["no", "yes"])
    assert str(caught.value) == message


def test_outputs_in_three_dimensions_are_told_as_outputs() -> None:
    with pytest.raises(BaselineError, match=r"^An array of outputs must have 2 dimensions"):
        built({"x": range(60)}, np.zeros((60, 2, 2)), classes=["no", "yes"])


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("features", "options", "message"),
    [
        ({}, {}, "The training data has no columns: give at least one feature or an inference."),
        (5, {}, "Expected a mapping, (name, column) pairs, rows, a 2-D array or a data frame, got int."),
        ("ab", {}, "Expected a mapping, (name, column) pairs, rows, a 2-D array or a data frame, got str."),
        ([1, 2], {}, "Item 0 of the training data must be a pair (name, column), got int."),
        ([{"x": 1}, [1]], {}, "Item 1 of the training data must be a row by name, as the first is, got list."),
        (
            np.zeros(3),
            {},
            "An array of features must have 2 dimensions (rows, columns), got shape (3,).",
        ),
        ({"x": 5}, {}, "Column 'x' must be a list, array or series of values, got int."),
        ({"x": "abc"}, {}, "Column 'x' must be a list, array or series of values, got str."),
        ({"x": {"a": 1}}, {}, "Column 'x' must be a list, array or series of values, got dict."),
        (
            {"x": np.zeros((2, 2))},
            {},
            "Column 'x' must have one dimension, got shape (2, 2). Give each of its columns a name.",
        ),
        (
            {"x": np.ma.zeros((2, 2))},
            {},
            "Column 'x' must have one dimension, got shape (2, 2). Give each of its columns a name.",
        ),
        ({"x": [1], "y": []}, {}, "Column 'y' has 0 rows, 'x' has 1. All columns must have the same length."),
        (
            {"x": [1], "y": [1, 2]},
            {},
            "Column 'y' has 2 rows, 'x' has 1. All columns must have the same length.",
        ),
        (
            [("x", [1]), ("x", [2])],
            {},
            "Two columns are named 'x'. Names tell the variables apart, so each must be used once.",
        ),
        (
            pd.DataFrame([[1, 2]], columns=["x", "x"]),
            {},
            "Two columns of the data frame have one name. Names tell the variables apart, so each must be used once.",
        ),
        ({"x": [1]}, {"max_bins": 0}, "'max_bins' must be an integer >= 1, got 0."),
        ({"x": [1]}, {"max_categories": True}, "'max_categories' must be an integer >= 1, got True."),
        ({"x": [1]}, {"discrete": "x"}, "'discrete' must be a list of names and positions, got 'x'."),
        ({"x": [1]}, {"discrete": ["y"]}, "'discrete' names 'y', which the data does not have. Known: 'x'."),
        ({"x": [1]}, {"discrete": [1]}, "'discrete' names 1, which the data does not have. Known: 'x'."),
        ({"x": [1]}, {"bins": {"y": [1]}}, "'bins' names 'y', which the data does not have. Known: 'x'."),
        (
            {"x": ["a"]},
            {"bins": {"x": [1]}},
            "Column 'x' holds texts: only numbers and dates have bins. Leave it out of 'bins'.",
        ),
        (
            {"x": [1]},
            {"bins": {"x": [2, 1]}},
            "'bins' for 'x' must be finite numbers or dates that increase strictly, got [2, 1].",
        ),
        (
            {"x": [1]},
            {"bins": {"x": []}},
            "'bins' for 'x' must be finite numbers or dates that increase strictly, got [].",
        ),
        (
            {"x": [1]},
            {"bins": {"x": ["low"]}},
            "'bins' for 'x' must be finite numbers or dates that increase strictly, got ['low'].",
        ),
        (
            {"x": [1]},
            {"bins": {"x": 3}},
            "'bins' for 'x' must be finite numbers or dates that increase strictly, got 3.",
        ),
        *(
            (
                {"x": [1]},
                {"bins": bins},
                "'bins' must hold upper bounds by the name of a column, such as {'age': [18, 35, 65]}, "
                f"got {bins!r}. For another number of bins, set 'max_bins'.",
            )
            for bins in (3, 0, [1, 2])
        ),
        ({"\ud800": [1]}, {}, "The name '\\ud800' cannot be written in UTF-8."),
    ],
    ids=lambda value: value[:50] if isinstance(value, str) else "",
)
def test_data_and_options_that_cannot_be_used_are_refused(features: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(BaselineError) as caught:
        built(features, **options)

    assert str(caught.value) == message


@pytest.mark.parametrize("make", [scipy.sparse.csr_matrix, scipy.sparse.csc_array, scipy.sparse.dok_array])
def test_a_sparse_matrix_is_refused_with_a_remedy(make: Callable[[Any], Any]) -> None:
    """Its rows would be read as texts."""
    matrix, column = make(np.eye(3)), make(np.eye(3)[:, :1])
    assert refusal(matrix) == "The features are a sparse matrix of shape (3, 3). Give its values: matrix.toarray()"
    assert refusal({"x": [1, 2, 3]}, matrix) == (
        "The outputs are a sparse matrix of shape (3, 3). Give its values: matrix.toarray()"
    )
    of_a_column = "Column 'a' is a sparse matrix of shape (3, 1). Give its values: matrix.toarray()"
    assert refusal({"a": column}) == of_a_column
    assert refusal([("x", [1, 2, 3]), ("a", column)]) == of_a_column
    assert refusal({"x": [1, 2, 3]}, {"a": column}) == of_a_column


def test_a_list_of_tables_is_refused_with_a_remedy() -> None:
    tables, columns = [np.zeros((5, 2))] * 2, [np.zeros((5, 1))] * 2
    assert refusal({"x": range(5)}, tables) == (
        "The outputs are a list of 2 tables of shape (5, 2) and (5, 2), as a model of several outputs gives. "
        "Name the column that you want of each: {'first': tables[0][:, 1], 'second': tables[1][:, 1]}"
    )
    assert refusal({"x": range(5)}, columns) == (
        "The outputs are a list of 2 tables of shape (5, 1) and (5, 1), as a model of several outputs gives. "
        "Name the column that you want of each: {'first': tables[0][:, 0], 'second': tables[1][:, 0]}"
    )
    assert refusal(tables) == (
        "The features are a list of 2 tables of shape (5, 2) and (5, 2), as a model of several inputs takes. "
        "Name the column that you want of each: {'first': tables[0][:, 1], 'second': tables[1][:, 1]}"
    )


@pytest.mark.parametrize("hold", [np.array, pd.Series], ids=["numpy", "pandas"])
def test_a_list_of_long_arrays_is_refused_since_rows_are_many_and_short(hold: Callable[[Any], Any]) -> None:
    """As rows, the two outputs of a model would be a hundred outputs of two rows."""
    arrays = [hold([0.5] * 100), hold([0.25] * 100)]
    remedy = (
        "Name each variable: {'first': arrays[0], 'second': arrays[1]}. If each is a row, write numpy.stack(arrays)"
    )
    assert refusal({"x": range(100)}, arrays) == f"The outputs are a list of 2 arrays of 100 values. {remedy}"
    assert refusal(arrays) == f"The features are a list of 2 arrays of 100 values. {remedy}"
    assert len(build_baseline(np.stack([np.zeros(3), np.ones(3)])).features) == 3


def refusal(features: Any, inference: Any = None) -> str:
    with pytest.raises(BaselineError) as caught:
        build_baseline(features, inference)
    return str(caught.value)


# --- export_text -----------------------------------------------------------------------------------------------------


def test_export_text_writes_the_baseline_that_it_returns(tmp_path: Any) -> None:
    path = tmp_path / "histogram.prom"
    before = int(time.time())
    baseline = ModelMonitoringService.export_text(
        TABLE.items(), [0, 1, 1], path, model="churn", version="2024-01", max_bins=12
    )

    assert Baseline.load(path) == baseline
    assert (baseline.model, baseline.version, baseline.rows) == ("churn", "2024-01", 3)
    assert before <= baseline.created <= time.time()


def test_export_text_passes_every_option_on(tmp_path: Any) -> None:
    columns: dict[str, Iterable[Any]] = {"a": range(100), "b": range(100), "c": ["x", "y"] * 50}
    options: dict[str, Any] = {"discrete": ["b"], "bins": {"a": [50]}, "max_bins": 9, "max_categories": 1}
    exported = ModelMonitoringService.export_text(columns, range(100), tmp_path / "x.prom", **options)
    expected = built(columns, range(100), **options)

    assert (exported.features, exported.outputs) == (expected.features, expected.outputs)
    assert [item.kind for item in exported.features] == ["continuous", "discrete", "discrete"]
