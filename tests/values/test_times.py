"""What a date or a moment means: one value in every spelling and type, in training and live."""

from __future__ import annotations

import math
import re
from datetime import date, datetime, timedelta, timezone
from enum import Enum
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pytest
from flask import Flask
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flask_boxkite import Baseline, Boxkite, ModelMonitoringService
from flask_boxkite.baseline import Continuous, Discrete
from flask_boxkite.baseline.file.reader import loads
from flask_boxkite.baseline.file.writer import render
from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.records import Records
from flask_boxkite.values.conversion import InvalidValue
from flask_boxkite.values.times import is_time_text, seconds_of_label, time_text, to_seconds, whole_microseconds

NOON = datetime(2024, 1, 31, 12, tzinfo=timezone.utc)
SAME = {
    "Z": "2024-01-31T12:00:00Z",
    "small": "2024-01-31t12:00:00z",
    "no zone": "2024-01-31T12:00:00",
    "blank": "2024-01-31 12:00:00",
    "minutes": "2024-01-31T12:00",
    "fraction": "2024-01-31T12:00:00.000000000Z",
    "comma": "2024-01-31T12:00:00,0Z",
    "ahead": "2024-01-31T14:00:00+02:00",
    "behind": "2024-01-31 06:30:00 -0530",
    "hours": "2024-01-31T11:00:00-01",
    "UTC": "2024-01-31 12:00:00 UTC",
    "blanks": " 2024-01-31T12:00:00Z ",
    "datetime": NOON,
    "naive": NOON.replace(tzinfo=None),
    "Berlin": NOON.astimezone(ZoneInfo("Europe/Berlin")),
    "pandas": pd.Timestamp(NOON),
    "NumPy": np.datetime64("2024-01-31T12:00:00.000000000"),
    "array": np.array("2024-01-31T12:00", dtype="M8[s]"),
    "isoformat": NOON.isoformat(),
    "str": str(NOON),
    "pandas' text": str(pd.Timestamp(NOON)),
}


@pytest.mark.parametrize("value", SAME.values(), ids=SAME)
def test_a_moment_is_one_value(value: Any) -> None:
    assert to_seconds(value) == NOON.timestamp()


def test_the_guide_says_which_spellings_are_read() -> None:
    """Each row of its table has a spelling with an example, and what of ISO 8601 is not read."""
    text = (Path(__file__).parents[2] / "docs/guides/dates.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"\| spelling \| read \| not read \|\n\|[-|]+\|\n((?:\|.*\n)+)", text)
    rows = [[re.findall(r"`([^`]+)`", cell) for cell in line.split("|")[2:4]] for line in table.splitlines()]

    read, others = ([spelling for row in rows for spelling in row[side]] for side in (0, 1))
    assert len(read) >= len(rows) > 4
    assert [spelling for spelling in read if not is_time_text(spelling) or math.isnan(to_seconds(spelling))] == []
    assert [spelling for spelling in others if is_time_text(spelling)] == []
    for spelling in others:
        with pytest.raises(InvalidValue):
            to_seconds(spelling)


class Day(Enum):
    """A date that is no `date`."""

    LAST = date(2024, 1, 31)


ISO = st.from_regex(
    r"\A ?[0-9]{4}-[01][0-9]-[0-3][0-9]"
    r"([Tt ][0-2][0-9]:[0-6][0-9](:[0-6][0-9]([.,][0-9]{1,10})?)?( ?(Z|z|UTC|[+-][0-2][0-9](:?[0-6][0-9])?))?)?\Z"
)


@given(ISO)
@settings(max_examples=500)
def test_the_pattern_that_engines_know_is_what_is_read(text: str) -> None:
    try:
        is_read = not math.isnan(to_seconds(text))
    except InvalidValue:
        is_read = False
    assert is_time_text(text) == is_read


@pytest.mark.parametrize(
    "value",
    [
        *("2024-01-31", date(2024, 1, 31), "2024-01-31T00:00:00Z", np.datetime64("2024-01-31")),
        *(b"2024-01-31", pd.Period("2024-01-31", "D"), Day.LAST),
    ],
    ids=str,
)
def test_a_date_is_its_midnight(value: Any) -> None:
    assert to_seconds(value) == NOON.timestamp() - 12 * 3600
    assert time_text(to_seconds(value)) == "2024-01-31"


@pytest.mark.parametrize(
    "value", [None, math.nan, pd.NaT, np.datetime64("NaT"), pd.NA, "", "NaT", "null", "-"], ids=repr
)
def test_missing_moments_are_missing(value: Any) -> None:
    assert math.isnan(to_seconds(value))


@pytest.mark.parametrize(
    "value",
    [
        *(1706702400, 1706702400000.0, True, [], timedelta(1), "1706702400", "soon"),
        *("31.01.2024", "01/31/2024", "2024-01", "2024-W05-3", "20240131", "2024-02-30"),
        *("2024-01-31T", "2024-01-31T25:00", "2024-01-31T12:00+24:00", "2024-01-31T12:00-99:00"),
    ],
    ids=repr,
)
def test_what_is_no_moment_is_invalid(value: Any) -> None:
    with pytest.raises(InvalidValue):
        to_seconds(value)
    assert not isinstance(value, str) or not is_time_text(value)


@given(st.datetimes())
@example(datetime(2110, 4, 24, 12, 8, 0, 183209))  # the product of its seconds and a million is no whole number
@example(datetime(1832, 1, 28, 5, 2, 2, 46285))
def test_labels_are_read_back(moment: datetime) -> None:
    seconds = to_seconds(moment)

    assert seconds_of_label(time_text(seconds)) == pytest.approx(seconds, abs=5e-7 if abs(seconds) < 2**33 else 1e-5)
    if abs(seconds) < 2**33:  # 2242: further away, a float has no microseconds
        assert seconds_of_label(time_text(seconds)) == seconds
        assert to_seconds(moment.isoformat()) == seconds


@pytest.mark.parametrize("seconds", [1e300, -1e300, math.inf, -math.inf])
def test_what_no_calendar_has_is_written_as_a_number(seconds: float) -> None:
    assert seconds_of_label(time_text(seconds)) == seconds


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=9))
def test_bounds_of_moments_are_never_later_than_they_were(bounds: list[float]) -> None:
    found = whole_microseconds(sorted(bounds))

    assert found == tuple(sorted(set(found)))
    assert found[-1] <= max(bounds) < found[-1] + 2e-6
    assert all(seconds_of_label(time_text(bound)) == bound for bound in found)


# --- variables -------------------------------------------------------------------------------------------------------


def births(rows: int) -> list[date]:
    """Return days of 50 years."""
    days = np.random.default_rng(3).integers(0, 50 * 365, rows).tolist()
    return [date(1950, 1, 1) + timedelta(day) for day in days]


@pytest.fixture(scope="module")
def trained() -> Baseline:
    days = births(2000)
    months = [date(2024, 1 + place % 3, 1) for place in range(2000)]
    return build_baseline({"birth": days, "month": months, "x": np.random.default_rng(4).normal(size=2000)})


def test_dates_are_ordered_and_have_bins(trained: Baseline) -> None:
    birth, month, x = trained.features

    assert isinstance(birth, Continuous)
    assert isinstance(month, Discrete)
    assert (birth.is_time, month.is_time, x.is_time, month.is_text) == (True, True, False, False)
    assert month.categories == ("2024-01-01", "2024-02-01", "2024-03-01")
    groups = [group.name for group in birth.groups]
    assert len(groups) == 14
    assert groups[1].startswith("(1950-01-")
    assert birth.upper_bounds[-1] >= to_seconds(max(births(2000)))


def test_a_file_keeps_what_is_a_moment(trained: Baseline) -> None:
    found = Baseline.of(loads(render(trained)))

    assert found == trained
    assert found.fingerprint == trained.fingerprint
    assert 'feature="birth",position="0",kind="continuous",type="time"' in render(trained)


SPELLINGS = {
    "date": lambda day: day,
    "text": lambda day: day.isoformat(),
    "datetime": lambda day: datetime(day.year, day.month, day.day),
    "zoned text": lambda day: f"{day - timedelta(1)}T23:00:00-01:00",
    "JSON of pandas": lambda day: pd.Timestamp(day).isoformat() + ".000Z",
    "NumPy": np.datetime64,
}


@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize("at_once", [True, False], ids=["a batch", "row by row"])
def test_live_rows_fall_where_training_put_them(trained: Baseline, spell: Any, at_once: bool) -> None:
    service = ModelMonitoringService(trained, sink="none")
    rows = [
        {"birth": spell(day), "month": spell(date(2024, 1 + place % 3, 1)), "x": 0.5}
        for place, day in enumerate(births(2000))
    ]
    for part in [rows] if at_once else [[row] for row in rows]:
        service.log_prediction(features=part if at_once else part[0])
    report = service.drift()

    assert report["birth"].now == report["birth"].before
    assert report["month"].now == report["month"].before


def test_numbers_are_no_moments_live(trained: Baseline) -> None:
    """Milliseconds, as pandas writes them in JSON unless it is told not to, could be seconds as well."""
    service = ModelMonitoringService(trained, sink="none")
    for _ in range(2):
        service.log_prediction(features=[{"birth": 1706702400000, "month": 1706659200, "x": 0.5}] * 20)
        service.log_prediction(features={"birth": 1706702400000, "month": None, "x": 0.5})
    service.log_prediction(features=np.array([[1706702400000, math.nan, 0.5]] * 30))
    report = service.drift()

    assert report["birth"].special["invalid"].now == 1
    assert report["month"].special["invalid"].now == pytest.approx(40 / 72)
    assert report["month"].special["missing"].now == pytest.approx(32 / 72)


def test_drift_of_dates_names_dates(trained: Baseline) -> None:
    service = ModelMonitoringService(trained, sink="none")
    for day in births(300):
        service.log_prediction(features={"birth": (day + timedelta(7000)).isoformat(), "month": "2024-01-01", "x": 0.5})
    report = service.drift()

    assert {item.name: item.verdict for item in report}["birth"] == "major"
    days = re.search(r"Wasserstein (?:at least )?([\d,]+) days", str(report))
    assert days is not None
    assert int(days[1].replace(",", "")) == round(report["birth"].distances.wasserstein / 86400)
    assert [item["type"] for item in report.to_rows()].count("time") == 2
    line = next(line for line in str(report).splitlines() if line.startswith("birth "))
    assert "above training 0% -> " in line or " to 19" in line


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(births(99)),
        pd.to_datetime(pd.Series(births(99))),
        pd.to_datetime(pd.Series(births(99))).dt.tz_localize("UTC").dt.tz_convert("Asia/Kolkata"),
        pl.Series(births(99)),
        pl.Series(births(99)).cast(pl.Datetime("ms")),
        pl.Series(births(99)).to_arrow(),
        np.array(births(99), dtype="M8[D]"),
        [np.datetime64(day) for day in births(99)],
    ],
    ids=["objects", "pandas", "zoned", "Polars", "milliseconds", "Arrow", "NumPy", "scalars"],
)
def test_a_column_of_dates_is_the_same_in_every_library(column: Any) -> None:
    assert build_baseline({"x": column}).features == build_baseline({"x": births(99)}).features


def test_the_page_writes_moments_and_spans_as_people_do(trained: Baseline) -> None:
    app = Flask("scoring")
    app.config.update(BOXKITE_BASELINE=trained, BOXKITE_SINK="none", BOXKITE_DASHBOARD_PATH="/boxkite")
    monitor = Boxkite(app)
    with app.app_context():
        for day in births(300):
            monitor.log_prediction(features={"birth": day + timedelta(1000), "month": "2024-01-01", "x": 0.5}, output=1)
    page = app.test_client().get("/boxkite/variable?model=default&side=feature&variable=birth").text

    assert re.search(r"On average, values would have to move by (?:at least )?1,\d{3} days to match training", page)
    assert re.search(r">\s*19\d\d-\d\d-\d\d to 19\d\d-\d\d-\d\d\s*</t[hd]>", page)
    assert re.search(r"K-S [\d.]+ at 19\d\d-\d\d-\d\d", page)


@pytest.mark.parametrize(
    "odd",
    [[math.nan], [None], [pd.NaT], [""], ["1970-01-01"], [np.datetime64("1970-01-01"), "n/a"]],
    ids=["a left join", "none", "pandas' none", "an empty text", "a text", "mixed"],
)
def test_dates_among_which_some_are_missing_or_texts_of_dates_are_dates(odd: list[Any]) -> None:
    (found,) = build_baseline({"x": [*births(200), *odd]}).features

    assert isinstance(found, Continuous)
    assert found.is_time
    assert found.missing == sum(math.isnan(to_seconds(value)) for value in odd)


def test_a_baseline_of_records_keeps_dates(trained: Baseline, tmp_path: Path) -> None:
    service = ModelMonitoringService(trained, sink="file", log_dir=str(tmp_path))
    for place, day in enumerate(births(300)):
        month = date(2024, 1 + place % 3, 1)
        service.log_prediction(features={"birth": day.isoformat(), "month": str(month), "x": place / 300})
    service.close()
    made = Records(tmp_path).to_baseline(None, trained)
    expected = build_baseline({"birth": births(300), "month": [date(2024, 1 + place % 3, 1) for place in range(300)]})

    assert made.features[:2] == expected.features


def test_a_baseline_of_records_keeps_microseconds_of_a_distant_year(tmp_path: Path) -> None:
    """The product of such seconds and a million is rounded."""
    moments = [f"{year}-04-24T12:08:00.183209Z" for year in (2110, 2111)] * 50
    trained = build_baseline({"end": moments})
    service = ModelMonitoringService(trained, sink="file", log_dir=str(tmp_path))
    for moment in moments:
        service.log_prediction(features={"end": moment})
    service.close()

    assert Records(tmp_path).to_baseline(None, trained).features == trained.features
