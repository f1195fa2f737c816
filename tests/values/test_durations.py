"""A duration is one number of seconds in every type and spelling; texts of other lengths of time are none."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_boxkite import ModelMonitoringService
from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.values.conversion import InvalidValue, plain, to_number
from flask_boxkite.values.durations import seconds_of_duration_text
from tests import peers


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT30S", 30.0),
        (" P1DT2H ", 93600.0),
        ("P1DT2H3M4.5S", 93784.5),
        ("PT0,5S", 0.5),
        ("P2W", 1209600.0),
        ("P1W1D", 691200.0),
        ("PT1.5H", 5400.0),
        ("PT90M", 5400.0),
        ("+PT30S", 30.0),
        ("-PT30S", -30.0),
        ("-P1DT1S", -86401.0),
        ("P-1DT23H59M30S", -30.0),
        ("PT-6H+3M", -21420.0),
        ("P0DT0H0M0S", 0.0),
        ("PT0.000000999S", 0.0),
        ("PT-0.000001999S", -1e-6),
        ("0 days 00:00:30.500000", 30.5),
        ("1 day 02:00:00", 93600.0),
        ("-1 days +23:59:30.000000", -30.0),
        ("-1 days -00:00:30", -86430.0),
        ("-0 days +00:00:01", 1.0),
    ],
)
def test_texts_of_durations_are_seconds(text: str, seconds: float) -> None:
    assert seconds_of_duration_text(text) == seconds
    assert to_number(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        *("P", "PT", "P1DT", "1D", "PTS", "P1M", "P1Y", "P1Y2M", "P1DT2H3", "PT1S2M", "pt30s", "P 1D", "PT1e3S"),
        *("02:00:00", "1 day", "1 day, 2:00:00", "1 days", "3 months", "1 month 3 days", "1 days 02:60:00", "P1D\n2"),
    ],
)
def test_other_texts_are_none(text: str) -> None:
    with pytest.raises(InvalidValue):
        to_number(text)


DURATIONS = st.timedeltas(timedelta(days=-(10**5)), timedelta(days=10**5))


@given(value=DURATIONS)
def test_one_duration_is_one_number_in_every_library(value: timedelta) -> None:
    seconds = value // timedelta(microseconds=1) / 1e6
    own = pd.Timedelta(value)
    spellings: list[Any] = [
        *(value, own, own.isoformat(), str(own), np.timedelta64(value, "us"), np.timedelta64(value, "ns")),
        *(
            pa.scalar(value).as_py(),
            pa.MonthDayNano([0, value.days, (value.seconds * 10**6 + value.microseconds) * 1000]),
        ),
        *pl.Series([value]).dt.to_string("iso").to_list(),
        *pl.DataFrame({"x": [value]}).write_ndjson().split('"')[3:4],
    ]
    assert {to_number(each) for each in spellings} == {seconds}
    assert {to_number(plain(each)) for each in spellings} == {seconds}


@pytest.mark.parametrize("nanoseconds", [1_999, -1_999, -999, 10**17 + 1_001])
def test_what_is_smaller_than_a_microsecond_is_cut_off_in_every_library(nanoseconds: int) -> None:
    seconds = math.trunc(nanoseconds / 1000) / 1e6
    values = pd.Series(pd.to_timedelta([nanoseconds] * 3, unit="ns"))
    frame = pd.DataFrame({"x": values})
    ways: list[Any] = [
        *(frame, {"x": values.to_numpy()}, pl.from_pandas(frame), pl.from_pandas(frame).lazy(), pa.table(frame)),
    ]
    for way in ways:
        (found,) = build_baseline(way).features
        assert [*map(float, found.categories)] == [seconds]  # type: ignore[union-attr]
    assert to_number(values[0].isoformat()) == seconds


def test_intervals_are_durations_wherever_duckdb_hands_them() -> None:
    """Arrow has a type of its own for them; a month has 30 days."""
    query = "SELECT to_seconds(i * 7.5) + to_months((i % 30)::INT) AS x FROM range(300) t(i)"
    connection = peers.library("duckdb").connect()
    relation = connection.sql(query)
    trained = build_baseline(relation, None, clock=lambda: 0)
    table = connection.sql(query).to_arrow_table()

    assert trained.features[0].kind == "continuous"
    assert build_baseline(table, None, clock=lambda: 0).features == trained.features
    for features in (table, table.to_pylist(), {"x": table["x"]}):
        service = ModelMonitoringService(trained, sink="none")
        service.log_prediction(features=features)
        (item,) = service.drift()
        assert item.now == item.before
