"""Each option that names a column, on each kind of column: it is heeded, or refused with what to do instead."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import polars as pl
import pytest

from flask_boxkite import Baseline, BaselineError
from flask_boxkite.baseline import Continuous, Discrete, Distribution
from flask_boxkite.values.times import to_seconds
from tests.baseline.training.building import built

ROWS = 400
PLACES = range(ROWS)
DAYS = [date(1990, 1, 1) + timedelta(7 * place) for place in PLACES]
KINDS: dict[str, list[Any]] = {
    "number": [place / 8 for place in PLACES],
    "few": [place % 4 for place in PLACES],
    "boolean": [place % 3 == 0 for place in PLACES],
    "text": [f"t{place % 5}" for place in PLACES],
    "digits": [f"{place % 5:05}" for place in PLACES],
    "truth": [("true", "False")[place % 2] for place in PLACES],
    "date": DAYS,
    "date text": [day.isoformat() for day in DAYS],
    "duration": [timedelta(hours=place) for place in PLACES],
    "nothing": [None] * ROWS,
    "infinite": [(-math.inf, math.inf)[place % 2] for place in PLACES],
}

Build = Callable[..., Distribution]


def of_chunks(values: list[Any], **options: Any) -> Baseline:
    chunks = ({"x": values[at : at + 90], "y": [1] * len(values[at : at + 90])} for at in range(0, ROWS, 90))
    return Baseline.from_chunks(chunks, **options)


@pytest.fixture(params=["memory", "engine", "chunks"])
def build(request: pytest.FixtureRequest) -> Build:
    """Return what makes the distribution of a column x, by each way of counting."""
    ways: dict[str, Callable[..., Baseline]] = {
        "memory": lambda values, **options: built({"x": values, "y": [1] * ROWS}, **options),
        "engine": lambda values, **options: built(pl.LazyFrame({"x": values, "y": [1] * ROWS}), **options),
        "chunks": of_chunks,
    }
    return lambda values, **options: ways[request.param](values, **options).features[0]


def refusal(build: Build, kind: str, **options: Any) -> str:
    with pytest.raises(BaselineError) as caught:
        build(KINDS[kind], **options)
    return str(caught.value)


OTHERS = ["number", "few", "boolean", "date", "duration", "infinite"]


@pytest.mark.parametrize("kind", KINDS)
def test_texts(build: Build, kind: str) -> None:
    if kind in OTHERS:
        holds = {"date": "dates", "boolean": "booleans"}.get(kind, "numbers")
        assert refusal(build, kind, texts=["x"]) == (
            f"Column 'x' holds {holds}, not texts. Leave it out of 'texts', or write texts; if each value is a "
            "category, name it in 'discrete', with all others."
        )
        return
    found = build(KINDS[kind], texts=["x"], min_category_rows=1, max_categories=ROWS)
    assert isinstance(found, Discrete)
    assert not found.is_time
    texts = {str(value) for value in KINDS[kind] if value is not None}
    assert {str(value) for value in found.values} == texts
    assert found.is_text


@pytest.mark.parametrize("kind", KINDS)
def test_discrete(build: Build, kind: str) -> None:
    found = build(KINDS[kind], discrete=["x"], min_category_rows=1, max_categories=ROWS)
    assert isinstance(found, Discrete)
    assert len(found.categories) == len(set(KINDS[kind]) - {None})
    assert found.is_time == kind.startswith("date")


@pytest.mark.parametrize("kind", KINDS)
def test_bins_of_numbers(build: Build, kind: str) -> None:
    if kind in ("text", "digits", "truth"):
        assert refusal(build, kind, bins={"x": [0.5, 2]}) == (
            "Column 'x' holds texts: only numbers and dates have bins. Leave it out of 'bins'."
        )
        return
    found = build(KINDS[kind], bins={"x": [0.5, 2]})
    assert isinstance(found, Continuous)
    assert found.upper_bounds == (0.5, 2.0)
    if kind == "infinite":
        assert found.counts == (ROWS // 2, 0, ROWS // 2)


EDGES: dict[str, list[Any]] = {
    "texts": ["1992-01-01", "1995-01-01T12:00Z"],
    "dates": [date(1992, 1, 1), datetime(1995, 1, 1, 12)],
    "zoned": ["1992-01-01 01:00+01:00", datetime(1995, 1, 1, 12, tzinfo=timezone.utc)],
    "NumPy": [np.datetime64("1992-01-01"), np.datetime64("1995-01-01T12:00")],
    "seconds": [to_seconds("1992-01-01"), to_seconds("1995-01-01T12:00")],
    "open": ["1992-01-01", "1995-01-01T12:00Z", float("inf")],
}


@pytest.mark.parametrize("edges", EDGES.values(), ids=EDGES)
@pytest.mark.parametrize("kind", ["date", "date text"])
def test_bins_of_dates(build: Build, edges: list[Any], kind: str) -> None:
    found = build(KINDS[kind], bins={"x": edges})
    assert isinstance(found, Continuous)
    assert found.is_time
    assert found.upper_bounds == (to_seconds("1992-01-01"), to_seconds("1995-01-01T12:00"))
    cuts = date(1992, 1, 1), date(1995, 1, 1)
    at_most = [sum(day <= cut for day in DAYS) for cut in cuts]
    assert found.counts == (at_most[0], at_most[1] - at_most[0], ROWS - at_most[1])


@pytest.mark.parametrize("kind", ["number", "few", "duration"])
def test_bins_of_dates_for_numbers(build: Build, kind: str) -> None:
    assert refusal(build, kind, bins={"x": EDGES["texts"]}) == (
        "Column 'x' holds numbers, but its bins are dates. Give numbers as bins, or dates as values."
    )


def test_bins_of_dates_make_a_column_without_values_one_of_dates(build: Build) -> None:
    found = build(KINDS["nothing"], bins={"x": EDGES["texts"]})
    assert (found.is_time, found.missing) == (True, ROWS)


@pytest.mark.parametrize("kind", KINDS)
def test_missing_texts(build: Build, kind: str) -> None:
    """The file keeps them for live values, whatever the column holds."""
    found = build(KINDS[kind], missing_texts=["?", "t1"])
    assert found.missing_texts == {"?", "t1"}
    assert found.missing == {"text": ROWS // 5, "nothing": ROWS}.get(kind, 0)
    if kind != "text":
        assert replace(found, missing_texts=frozenset()) == build(KINDS[kind])


@pytest.mark.parametrize("option", ["texts", "discrete", "bins"])
@pytest.mark.parametrize("kind", KINDS)
def test_exclude(build: Build, kind: str, option: str) -> None:
    """What is left out may be named elsewhere, as in a script for several data sets."""
    others: dict[str, Any] = {option: {"x": [1]} if option == "bins" else ["x"]}
    assert build(KINDS[kind], exclude=["x"], **others).name == "y"


def test_options_that_contradict_each_other_are_refused(build: Build) -> None:
    both = "name 'x'. A column has bins, or categories."
    assert refusal(build, "number", bins={"x": [1]}, discrete=["x"]) == f"'bins' and 'discrete' both {both}"
    both = "name 'x'. Take it out of one of them."
    assert refusal(build, "number", inference="x", exclude=["x"]) == f"'inference' and 'exclude' both {both}"


def test_all_names_that_the_data_does_not_have_are_told_at_once(build: Build) -> None:
    assert refusal(build, "number", texts=["a"], discrete=["b"], bins={"c": [1]}, exclude=["d"]) == (
        "'discrete' names 'b', which the data does not have. 'bins' names 'c', which the data does not have. "
        "'texts' names 'a', which the data does not have. 'exclude' names 'd', which the data does not have. "
        "Known: 'x', 'y'."
    )
