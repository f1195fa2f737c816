"""One value means one thing, from every client."""

from __future__ import annotations

import json
import math
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_boxkite.values.conversion import InvalidValue, is_too_deep, plain, to_number, to_text


class Colour(str, Enum):
    """An Enum whose str() is not its value."""

    RED = "red"


class Size(float, Enum):
    """An Enum that is a number."""

    SMALL = 0.5


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


# --- numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        *(1, 1.0, True, "1", " 1.0 ", "1e0", Decimal("1.00"), Fraction(3, 3), b"1.0", timedelta(seconds=1)),
        *(np.int8(1), np.uint64(1), np.float16(1), np.bool_(True), np.array(1), np.timedelta64(1000, "ms")),
    ],
    ids=repr,
)
def test_every_spelling_of_one_is_the_number_one(value: object) -> None:
    number = to_number(value)

    assert number == 1.0
    assert type(number) is float


@pytest.mark.parametrize(
    "value",
    [
        *(None, math.nan, "nan", Decimal("NaN"), Decimal("sNaN"), pd.NA, pd.NaT),
        *(np.float32("nan"), np.array(math.nan), np.datetime64("NaT", "s"), np.timedelta64("NaT", "s")),
    ],
    ids=repr,
)
def test_missing_values_of_all_kinds_are_nan(value: object) -> None:
    assert math.isnan(to_number(value))


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (np.float32(0.1), 0.1),
        (np.float16(0.1), 0.1),
        (np.float32(16777217), 16777216.0),
        (2**53 + 1, float(2**53)),
        (np.uint64(2**64 - 1), 2.0**64),
        (10**400, math.inf),
        (-(10**400), -math.inf),
        (Decimal("1e400"), math.inf),
        (Fraction(1, 3), 1 / 3),
        (Fraction(-(10**400), 3), -math.inf),
        ("-inf", -math.inf),
        (Size.SMALL, 0.5),
        (timedelta(minutes=1, milliseconds=500), 60.5),
    ],
    ids=str,
)
def test_numbers_are_what_a_float64_holds_of_their_shortest_decimals(value: object, number: float) -> None:
    assert to_number(value) == number


@pytest.mark.parametrize(
    "value",
    [
        *("one", "1_000", "1,5", [1], {"a": 1}, (1,), b"one", b"\xff", 1j, date(2024, 1, 1)),
        pytest.param(object(), id="object"),
        *(np.array([1]), np.datetime64("2024-01-01"), np.timedelta64(1, "M")),
    ],
    ids=str,
)
def test_what_is_no_number_is_invalid(value: object) -> None:
    with pytest.raises(InvalidValue):
        to_number(value)


# --- texts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("red", "red"),
        (Colour.RED, "red"),
        (np.str_("red"), "red"),
        (1, "1"),
        (1.0, "1.0"),
        (np.float32(0.1), "0.1"),
        (True, "true"),
        (np.bool_(False), "false"),
        (math.inf, "Infinity"),
        (2**70, "1180591620717411303424"),
        (date(2024, 1, 31), "2024-01-31"),
        (np.datetime64("2024-01-31"), "2024-01-31"),
        (np.datetime64("2024-01-31T12:00:00.000000000"), "2024-01-31T12:00:00"),
        (UUID(int=0), "00000000-0000-0000-0000-000000000000"),
        (b"caf\xc3\xa9", "café"),
        ({"b64": "Y2Fmw6k="}, "café"),
        ({"b64": ""}, ""),
    ],
    ids=str,
)
def test_a_category_is_the_values_json_text(value: object, text: str) -> None:
    found = to_text(value)

    assert found == text
    assert type(found) is str


@pytest.mark.parametrize("value", [None, math.nan, pd.NA, pd.NaT, np.datetime64("NaT", "s"), Decimal("NaN")], ids=repr)
def test_missing_values_are_no_category(value: object) -> None:
    assert to_text(value) is None


@pytest.mark.parametrize(
    "value",
    [
        *([], ["a"], {"a": 1}, np.array(["a"])),
        *({"b64": "iVBORw0KGgo="}, {"b64": "café"}, {"b64": "a"}, {"b64": 1}, {"b64": "YQ==", "a": 1}),
    ],
    ids=repr,
)
def test_a_container_is_no_category(value: object) -> None:
    with pytest.raises(InvalidValue):
        to_text(value)


# --- plain JSON ------------------------------------------------------------------------------------------------------


@given(ANY_JSON)
def test_plain_values_are_strict_json_and_stay_the_same_when_made_plain_again(value: Any) -> None:
    once = plain(value)

    assert json.loads(json.dumps(once, allow_nan=False)) == once
    assert plain(once) is once


@pytest.mark.parametrize("value", [[1, "a", None, [2.5]], {"a": [1, {"b": True}]}, [], {}, "text", 2**64 - 1], ids=repr)
def test_what_is_plain_already_is_not_copied(value: object) -> None:
    assert plain(value) is value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.nan, None),
        ([1.0, -math.inf], [1.0, "-Infinity"]),
        ([1e308, 1e308], [1e308, 1e308]),
        ([math.inf, -math.inf], ["Infinity", "-Infinity"]),
        (2**64, "18446744073709551616"),
        ([2**64, 1], ["18446744073709551616", 1]),
        ([10**400, 1.0], ["1" + "0" * 400, 1.0]),
        (np.float32(0.1), 0.1),
        (np.array([[0.1, 0.2]], dtype=np.float32), [[0.1, 0.2]]),
        (np.array(0.1, dtype=np.float32), 0.1),
        (np.array([1, 2]), [1, 2]),
        (np.array(["2024-01-31"], dtype="M8[ns]"), ["2024-01-31T00:00:00"]),
        (np.int64(3), 3),
        (np.datetime64("2024-01-31"), "2024-01-31"),
        (datetime(2024, 1, 31, tzinfo=timezone.utc), "2024-01-31T00:00:00+00:00"),
        (timedelta(hours=1), 3600.0),
        (Fraction(1, 4), 0.25),
        (np.timedelta64(1, "M"), "1 months"),
        (Decimal("3"), 3),
        (Decimal("0.1"), 0.1),
        (Decimal("NaN"), None),
        (Decimal("-Infinity"), "-Infinity"),
        (Decimal("1E+1000000"), "1E+1000000"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Colour.RED, "red"),
        (b"text", "text"),
        (b"\xff\xfe", "//4="),
        ((1, (2,)), [1, [2]]),
        ({1: {"a"}}, {"1": ["a"]}),
        (pd.Series([1, 2]), [1, 2]),
        (pd.DataFrame({"a": [1], "b": ["x"]}), [{"a": 1, "b": "x"}]),
        (pl.DataFrame({"a": [1]}), [{"a": 1}]),
        (pl.Series([1.5]), [1.5]),
        (pa.table({"a": [1]}), [{"a": 1}]),
        (pd.Timestamp("2024-01-31"), "2024-01-31T00:00:00"),
        (pd.NA, None),
        (1 + 2j, "(1+2j)"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_nothing_is_refused(value: object, expected: object) -> None:
    found = plain(value)

    assert found == expected
    assert type(found) is type(expected)


def test_integers_of_any_length_become_their_digits() -> None:
    """Python's own str() refuses more than 4300 of them."""
    assert plain(10**5000) == "1" + "0" * 5000


@pytest.mark.parametrize(
    ("value", "levels", "is_deep"),
    [
        pytest.param(1, 0, False, id="no container"),
        pytest.param([], 0, True, id="a container where none may be"),
        pytest.param([1, "x"], 1, False, id="a row"),
        pytest.param([[1], [2]], 1, True, id="rows where one row may be"),
        pytest.param([[1], [2]], 2, False, id="rows"),
        pytest.param([1, {"a": {"b": 1}}], 2, True, id="deep at the end"),
        pytest.param([1, {"a": {"b": 1}}], 3, False, id="just deep enough"),
    ],
)
def test_the_depth_of_a_value_is_bounded(value: Any, levels: int, is_deep: bool) -> None:
    assert is_too_deep(value, levels) is is_deep
