"""Whatever has the shape of rows becomes a table of them."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flask_boxkite.payloads import Table, as_table
from flask_boxkite.payloads.table import flat, from_records
from tests.payloads.test_requests import laid_out

Point = namedtuple("Point", ["x", "y"])
FRAME = {"a": [1.5, 2.5], "b": ["x", "y"]}
FRAME_ROWS = (("a", "b"), [[1.5, "x"], [2.5, "y"]])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": 1}, (("a",), [[1]])),
        (OrderedDict(a=1), (("a",), [[1]])),
        (MappingProxyType({"a": 1}), (("a",), [[1]])),
        ((1, 2), (None, [[1, 2]])),
        (Point(1, 2), (("x", "y"), [[1, 2]])),
        ([Point(1, 2), Point(3, 4)], (("x", "y"), [[1, 2], [3, 4]])),
        ([(1, 2), [3, 4]], (None, [[1, 2], [3, 4]])),
        ([np.array([1, 2])], (None, [[1, 2]])),
        (np.array([1, 2]), (None, [[1, 2]])),
        (np.array([[1, 2], [3, 4]]), (None, [[1, 2], [3, 4]])),
        (np.array([("x", 1)], dtype=[("a", "U1"), ("b", "i4")]), (("a", "b"), [["x", 1]])),
        (np.ma.array([[1, 2]], mask=[[True, False]]), (None, [[None, 2]])),
        (pd.DataFrame(FRAME), FRAME_ROWS),
        (pl.DataFrame(FRAME), FRAME_ROWS),
        (pa.table(FRAME), FRAME_ROWS),
        (pd.DataFrame([[1, 2]]), (("0", "1"), [[1, 2]])),
        (pd.DataFrame(FRAME).iloc[0], (("a", "b"), [[1.5, "x"]])),
        (pd.Series([1, 2]), (None, [[1, 2]])),
        (pl.Series([1, 2]), (None, [[1, 2]])),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, tuple) else "",
)
def test_shapes_of_rows(value: Any, expected: Any) -> None:
    assert laid_out(as_table(value)) == expected


@pytest.mark.parametrize(
    "value",
    [
        *(None, 1, 1.5, "ab", b"ab", {}, [[]], [[], []], {1}),
        pytest.param(object(), id="object"),
        *(np.array(1), np.zeros((2, 0)), np.zeros((1, 1, 1)), np.zeros((0, 1, 1)), pl.DataFrame()),
    ],
    ids=repr,
)
def test_what_has_no_rows_is_no_table(value: Any) -> None:
    assert as_table(value) is None


@pytest.mark.parametrize(
    ("value", "names"),
    [
        *[(value, None) for value in ([], (), np.array([]), np.zeros((0, 3)), np.ma.zeros((0, 3)))],
        (pd.DataFrame(), ()),
        (pd.Series([], dtype=float), None),
        *[(value, ("a",)) for value in (pd.DataFrame({"a": []}), pl.DataFrame({"a": []}), {"a": []})],
        *[(value, ("a",)) for value in (pa.table({"a": []}), pl.DataFrame({"a": [1]}).clear())],
    ],
    ids=repr,
)
def test_what_has_no_rows_is_an_empty_batch(value: Any, names: tuple[str, ...] | None) -> None:
    assert laid_out(as_table(value)) == (names, [])


def test_columns_that_cannot_be_read_are_no_empty_batch() -> None:
    assert laid_out(as_table(pa.table({"a": pa.array([{"x": 1}])}))) == (("a",), [[{"x": 1}]])


def test_a_frame_of_one_type_stays_an_array() -> None:
    table = as_table(pd.DataFrame({"a": [1.5, 2.5], "b": [3.5, 4.5]}))

    assert table is not None
    assert isinstance(table.rows, np.ndarray)
    assert table.rows.dtype == np.float64


def test_single_precision_keeps_its_decimals_beside_other_types() -> None:
    """In one array for all columns, 0.7 would become 0.699999988079071."""
    frame = pd.DataFrame({"a": np.array([0.7], dtype=np.float32), "b": [1.0], "c": ["x"]})
    table = as_table(frame)

    assert table is not None
    assert str(table.rows[0][0]) == "0.7"


@pytest.mark.parametrize("value", [[[1.0, 2.0]], np.array([[1.0, 2.0]]), pd.DataFrame([[1.0, 2.0]])], ids=type)
def test_a_table_is_a_copy(value: Any) -> None:
    table = as_table(value)
    if isinstance(value, list):
        value[0][0] = 9.0
    else:
        value[:] = 9.0

    assert laid_out(table)[1] == [[1.0, 2.0]]


@pytest.mark.parametrize(
    ("table", "content"),
    [
        (Table(None, [[1, 2]]), [1, 2]),
        (Table(None, [[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (Table(("a", "b"), [[1, 2]]), {"a": 1, "b": 2}),
        (Table(("a",), [[1], [2]]), [{"a": 1}, {"a": 2}]),
        (Table(("a",), np.array([[1], [2]])), [{"a": 1}, {"a": 2}]),
        (Table(("a",), np.array([[0.1], [0.2]], dtype=np.float32)), [{"a": 0.1}, {"a": 0.2}]),
    ],
    ids=["row", "rows", "named row", "named rows", "named array", "named narrow array"],
)
def test_records_keep_rows_as_they_came(table: Table, content: Any) -> None:
    assert table.content() == content


@given(
    st.lists(st.dictionaries(st.sampled_from("abc") | st.sampled_from([1, "1"]), st.integers(), min_size=1), min_size=1)
)
@example([{"a": 1, "b": 2}, {"b": 3, "a": 4}])
@example([{"a": 1, "b": 2}, {"a": 3, "c": 4}])
@example([{"a": 1, "b": 2}, {"a": 3}])
def test_objects_are_laid_out_by_their_names(records: list[dict[Any, int]]) -> None:
    """Objects with the same names take a short way."""
    names = tuple(dict.fromkeys(name for record in records for name in record))
    expected = tuple(map(str, names)), [[record.get(name) for name in names] for record in records]
    for rows in (records, [MappingProxyType(record) for record in records]):
        table = from_records(rows)
        assert table is not None
        assert (table.names, table.rows) == expected


def test_rows_that_have_nothing_in_common_are_not_laid_out() -> None:
    """Of 5,000 names in as many rows, a table would have 25,000,000 values."""
    rows: list[dict[str, int]] = [{f"x{i}": i} for i in range(5000)]
    assert as_table(rows) is None
    sparse = as_table([{"all": 1, f"x{i % 20}": i} for i in range(100_000)])
    assert sparse is not None
    assert (len(sparse), len(sparse.names or ())) == (100_000, 21)


def test_a_list_that_holds_itself_has_an_end() -> None:
    """A view may make one of its input, and features given by hand may be one."""
    endless: list[Any] = []
    endless.append(endless)
    as_table([endless])
    assert flat([[[7]]]) == 7
