"""Columns of texts that are numbers or dates, or nearly all of them, are refused or read, never blind categories."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from flask_boxkite import Baseline, BaselineError, ModelMonitoringService
from flask_boxkite.baseline import Discrete, Distribution
from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.baseline.training.text_columns import TextRows, Usual, amounts_in, odd_texts, rows_of_texts
from flask_boxkite.errors import BinMismatchError
from flask_boxkite.values.conversion import MISSING_TEXTS
from tests.baseline.training.building import built

NUMBERS = [f"{number}.5" for number in range(300)]

WAYS_IN: dict[str, Callable[[list[Any]], Any]] = {
    "list": lambda values: {"x": values},
    "pandas": lambda values: pd.DataFrame({"x": values}),
    "pandas object": lambda values: pd.DataFrame({"x": pd.Series(values, dtype=object)}),
    "polars": lambda values: pl.DataFrame({"x": values}),
    "arrow": lambda values: pa.table({"x": values}),
    "polars lazy": lambda values: pl.LazyFrame({"x": values}),
}


@pytest.fixture(params=[*WAYS_IN, "chunks"])
def build(request: pytest.FixtureRequest) -> Callable[..., Baseline]:
    """Return what makes a baseline of a column named x, by one way in."""
    if request.param == "chunks":
        return lambda values, **options: Baseline.from_chunks(
            ({"x": values[at : at + 70]} for at in range(0, len(values), 70)), **options
        )
    return lambda values, **options: built(WAYS_IN[request.param](values), **options)


@pytest.fixture(params=["lists", "polars lazy", "chunks"])
def build_table(request: pytest.FixtureRequest) -> Callable[..., Baseline]:
    """Return what makes a baseline of several columns, by each way of counting."""
    if request.param == "chunks":
        return lambda columns, **options: Baseline.from_chunks(
            ({name: values[at : at + 70] for name, values in columns.items()} for at in range(0, 310, 70)), **options
        )
    return lambda columns, **options: built(columns if request.param == "lists" else pl.LazyFrame(columns), **options)


@pytest.mark.parametrize("odd", ["?", "", "N/A", "unknown"])
def test_a_column_of_numbers_with_an_odd_text_is_refused(build: Callable[..., Baseline], odd: str) -> None:
    with pytest.raises(BaselineError) as caught:
        build([*NUMBERS, odd, odd, None])

    assert str(caught.value) == (
        f"Column 'x' holds 300 numbers and 2 other texts, such as {odd!r}. Say what these are: "
        f"missing_texts=({odd!r},) for a missing value, or texts=('x',) for a column of texts; or give plain numbers, "
        "such as 1234.5."
    )


@pytest.mark.parametrize("amount", ["1,234", "0,37", "5%", "$3", "€ 3"])
def test_an_amount_among_numbers_is_refused_and_never_a_missing_value(
    build: Callable[..., Baseline], amount: str
) -> None:
    """As missing values, amounts would be lost one by one: each error would name the next."""
    with pytest.raises(BaselineError) as caught:
        build([*NUMBERS, amount, amount, *["?"] * 3, None])

    assert str(caught.value) == (
        f"Column 'x' holds 300 numbers, 2 amounts, such as {amount!r}, and 3 other texts, such as '?'. Say what these "
        "are: texts=('x',) for a column of texts; or give plain numbers, such as 1234.5."
    )


def test_missing_texts_are_named_only_if_the_rest_can_be_read(build: Callable[..., Baseline]) -> None:
    for odd, is_named in ([*"abcde"], True), ([*"abcdef"], False), (["a", "v2"], False):
        with pytest.raises(BaselineError) as caught:
            build([*NUMBERS, *odd])
        assert ("missing_texts=" in str(caught.value)) is is_named
        if is_named:
            assert build([*NUMBERS, *odd], missing_texts=odd).features[0].missing == len(odd)


def test_the_most_frequent_odd_texts_are_named(build: Callable[..., Baseline]) -> None:
    with pytest.raises(BaselineError, match=r"and 29 other texts, such as 'g', 'f', 'e', 'd', 'c'\. Say"):
        build([*NUMBERS, *(letter for rows, letter in enumerate("abcdefg", 1) for _ in range(rows)), "a"])


def test_thousands_in_another_spelling_are_odd_however_many_they_are(build: Callable[..., Baseline]) -> None:
    with pytest.raises(BaselineError, match=r"holds 300 numbers and 600 amounts, such as '1,000'\."):
        build([*NUMBERS, *(f"{number},{index:03}" for number in (1, 2) for index in range(300))])


def test_more_amounts_than_there_can_be_categories_are_refused(build: Callable[..., Baseline]) -> None:
    amounts = [*(f"{number / 10}%" for number in range(298)), "32.7%", "32.7%"]
    said = "Say what these are: texts=('x',) for a column of texts; or give plain numbers, such as 1234.5."
    for odd, more in (([], ", written as texts"), (["?"], ", and 1 other text, such as '?'")):
        with pytest.raises(BaselineError) as caught:
            build([*amounts, *odd])
        assert str(caught.value) == f"Column 'x' holds 300 amounts, such as '32.7%'{more}. {said}"

    (found,) = build(amounts, texts=["x"]).features
    assert (found.kind, found.rows) == ("discrete", 300)


def test_gaps_are_odd_however_many_they_are(build: Callable[..., Baseline]) -> None:
    with pytest.raises(BaselineError, match=r"holds 300 numbers and 900 other texts, such as '-', ''"):
        build([*NUMBERS, *["-"] * 500, *[""] * 400])


def counts_of(baseline: Baseline) -> list[Distribution]:
    """Return the features without the texts that stand for missing values live."""
    return [replace(item, missing_texts=frozenset()) for item in baseline.features]


def test_texts_that_stand_for_missing_values_leave_numbers(build: Callable[..., Baseline]) -> None:
    found = build([*NUMBERS, " ? ", "?", None], missing_texts=["?"])
    numbers = build_baseline({"x": [*map(float, NUMBERS), None, None, None]})

    assert counts_of(found) == counts_of(numbers)
    assert found.features[0].kind == "continuous"


def test_what_is_odd_beside_missing_texts_is_still_refused(build: Callable[..., Baseline]) -> None:
    with pytest.raises(BaselineError, match=r"300 numbers and 1 amount, such as '5%'"):
        build([*NUMBERS, "?", "5%"], missing_texts=["?"])


def test_a_column_that_is_said_to_be_of_texts_stays_one(build: Callable[..., Baseline]) -> None:
    (found,) = build([*["12345"] * 300, "K1A 0B1", "?"], texts=["x"], missing_texts=["?"]).features

    assert isinstance(found, Discrete)
    assert (found.categories, found.rare, found.missing) == (("12345",), 1, 1)
    assert found.is_text


@pytest.mark.parametrize(
    "values",
    [
        ["12345", "54321"] * 100,  # postcodes
        ["5%", "10%"] * 100,
        ["1.0", "2.0", "beta", "gamma"] * 50,
        ["", *["see page 7"] * 50, "7"] * 5,
        ["2024", "2025"] * 100,
        [f"20{year}-{month:02}" for year in range(10, 40) for month in range(1, 13)],
        ["2024-01-01", "soon"] * 50,
        ["true", "false", "?"] * 50,
        [*["S", "M", "L"] * 50, "42"],
    ],
    ids=["digits", "all percent", "versions", "remarks", "years", "months", "some dates", "booleans", "sizes"],
)
def test_other_columns_stay_texts_also_where_missing_texts_are_given(
    build: Callable[..., Baseline], values: list[str]
) -> None:
    (found,) = build(values).features
    (with_gaps,) = build(values, missing_texts=["not there"]).features

    assert isinstance(found, Discrete)
    assert found.rows == len(values)
    assert found == replace(with_gaps, missing_texts=frozenset())


def test_texts_that_stand_for_missing_values_are_missing_among_categories(build: Callable[..., Baseline]) -> None:
    (found,) = build(["red", "blue", "?", "UNKNOWN"] * 50, missing_texts=["?", "unknown"]).features

    assert isinstance(found, Discrete)
    assert (found.categories, found.missing) == (("blue", "red"), 100)


def test_few_numbers_as_texts_are_categories_and_told(
    build: Callable[..., Baseline], caplog: pytest.LogCaptureFixture
) -> None:
    told = [
        "Column 'x' looks like numbers, written as texts. "
        "If that is meant: texts=('x',), or --text. If not, give numbers."
    ]
    for options, messages in (({}, told), ({"texts": ["x"]}, [])):
        caplog.clear()
        assert build(["02134", "10001"] * 50, **options).features[0].categories == ("02134", "10001")  # type: ignore[union-attr]
        assert caplog.messages == messages


DAYS = [str(date(1990, 1, 1) + timedelta(place * 9)) for place in range(300)]


def test_texts_that_are_all_dates_are_dates(build: Callable[..., Baseline]) -> None:
    spelled = [f" {day}T00:00:00Z" if place % 3 else day for place, day in enumerate(DAYS)]
    assert build(spelled).features == build_baseline({"x": [date.fromisoformat(day) for day in DAYS]}).features


def test_dates_with_odd_texts_are_refused_and_read(build: Callable[..., Baseline]) -> None:
    with pytest.raises(BaselineError) as caught:
        build([*DAYS, "?", "?", "unknown", "31.01.2024"])
    assert str(caught.value) == (
        "Column 'x' holds 300 dates and 4 other texts, such as '?', '31.01.2024', 'unknown'. Say what these are: "
        "texts=('x',) for a column of texts; or give dates, such as 2024-01-31."
    )
    with pytest.raises(BaselineError, match=r"missing_texts=\('\?', 'unknown'\) for a missing value, or texts="):
        build([*DAYS, "?", "?", "unknown"])

    gaps = build([*DAYS, "?", "Unknown "], missing_texts=["?", "unknown"])
    assert counts_of(gaps) == counts_of(build_baseline({"x": [*map(date.fromisoformat, DAYS), None, None]}))


WAITS = [f"PT{place}.5S" if place % 2 else f"{place % 9} days 00:00:{place % 60:02}" for place in range(300)]


@pytest.mark.parametrize(
    ("texts", "kind", "plain"),
    [
        (NUMBERS, "numbers", "plain numbers, such as 1234.5"),
        (WAITS, "durations", "durations in seconds, such as 93600"),
    ],
    ids=["numbers", "durations"],
)
def test_more_than_there_can_be_categories_are_refused(
    build: Callable[..., Baseline], texts: list[str], kind: str, plain: str
) -> None:
    """Live, durations are read where training had some: as seconds. Of texts alone, it is not known that they are."""
    with pytest.raises(BaselineError) as caught:
        build(texts)
    assert str(caught.value) == (
        f"Column 'x' holds 300 {kind}, written as texts. Say what these are: texts=('x',) for a column of texts; or "
        f"give {plain}."
    )

    (found,) = build(texts, texts=["x"]).features
    assert isinstance(found, Discrete)
    assert (found.is_text, found.rows) == (True, 300)


def test_durations_with_odd_texts_are_refused(build: Callable[..., Baseline]) -> None:
    for options in ({}, {"missing_texts": ["-"]}):
        with pytest.raises(BaselineError) as caught:
            build([*WAITS, "?", "02:00:00"], **options)
        assert str(caught.value) == (
            "Column 'x' holds 300 durations and 2 other texts, such as '02:00:00', '?'. Say what these are: "
            "texts=('x',) for a column of texts; or give durations in seconds, such as 93600."
        )


def test_few_durations_as_texts_are_categories_and_told(
    build: Callable[..., Baseline], caplog: pytest.LogCaptureFixture
) -> None:
    assert build(["PT30S", "P1D"] * 50).features[0].categories == ("P1D", "PT30S")  # type: ignore[union-attr]
    assert caplog.messages == [
        "Column 'x' looks like durations, written as texts. "
        "If that is meant: texts=('x',), or --text. If not, give seconds."
    ]


@pytest.mark.parametrize("values", [DAYS, DAYS[:2] * 50, ["true", "FALSE"] * 50], ids=["many", "few", "booleans"])
def test_what_looks_like_something_else_stays_text_where_that_is_said(
    build: Callable[..., Baseline], values: list[str]
) -> None:
    (found,) = build(values, texts=["x"], min_category_rows=1).features
    assert isinstance(found, Discrete)
    assert (found.is_text, found.is_time) == (True, False)
    assert set(found.categories) <= set(values)


def test_all_that_is_unclear_is_named_at_once_with_what_to_say(build_table: Callable[..., Baseline]) -> None:
    columns = {
        "a": [*NUMBERS, "", "NaN", "NaN"],
        "b": [*NUMBERS, "5%", "$3", "?"],
        "c": [*NUMBERS, "1", "2", "3"],
        "d": [*DAYS, "?", "?", "?"],
        "e": ["red"] * 303,
    }
    with pytest.raises(BaselineError) as caught:
        build_table(columns, bins={"e": [1]})
    assert str(caught.value) == (
        "Column 'a' holds 300 numbers and 3 other texts, such as 'NaN', ''. "
        "Column 'b' holds 300 numbers, 2 amounts, such as '$3', and 1 other text, such as '?'. "
        "Column 'c' holds 303 numbers, written as texts. "
        "Column 'd' holds 300 dates and 3 other texts, such as '?'. "
        "Say what these are: missing_texts=('NaN', '', '?') for a missing value, or texts=('a', 'b', 'c', 'd') for "
        "columns of texts; or give plain numbers, such as 1234.5, and dates, such as 2024-01-31. "
        "Column 'e' holds texts: only numbers and dates have bins. Leave it out of 'bins'."
    )


def test_numbers_and_an_odd_text_in_one_list_are_refused_and_read() -> None:
    values = [*(number / 2 for number in range(300)), "?"]

    with pytest.raises(BaselineError, match=r"300 numbers and 1 other text, such as '\?'"):
        build_baseline({"x": values})
    assert built({"x": values}, missing_texts=["?"]).features[0].kind == "continuous"


def test_outputs_are_read_alike() -> None:
    with pytest.raises(BaselineError, match="Column 'output' holds 300 numbers and 1 other text"):
        build_baseline({"x": [1] * 301}, [*NUMBERS, "?"])
    assert built({"x": [1] * 301}, [*NUMBERS, "?"], missing_texts=["?"]).outputs[0].kind == "continuous"


def test_chunks_of_numbers_and_of_texts_are_one_column_if_texts_are_numbers() -> None:
    chunks = [{"x": [0.5, 1.5]}, {"x": ["2.5", "?"]}, {"x": ["3.5"]}]
    whole = build_baseline({"x": [0.5, 1.5, 2.5, None, 3.5]})

    for given in (chunks, reversed(chunks)):
        assert counts_of(Baseline.from_chunks(given, missing_texts=["?"])) == counts_of(whole)
    with pytest.raises(BaselineError, match=r"texts in another, such as '\?'\. Give it one type\."):
        Baseline.from_chunks(chunks)


def test_given_bins_hold_for_texts_that_are_read_as_numbers(build: Callable[..., Baseline]) -> None:
    found = build([*NUMBERS, "?"], missing_texts=["?"], bins={"x": [99.5, 199.5]}).features[0]

    assert found.cells == (100, 100, 100, 1, 0)


def test_every_text_is_of_one_kind() -> None:
    kinds = {text: rows_of_texts({text: 1}) for text in ("1", "+1.5e3", "inf", "1,000.5", "$ 3", "5 %", *MISSING_TEXTS)}
    waits = {text: rows_of_texts({text: 1}) for text in ("PT1S", "-P1D", "1 days 02:00:00")}
    others = rows_of_texts(
        dict.fromkeys(["P", "PT", "P1M", "1_000", "1.2.3", "12:30", "2024-01", "0x10", "a1", "1-2", "3+"], 1)
    )

    assert [text for text, rows in kinds.items() if rows.numbers] == ["1", "+1.5e3", "inf"]
    assert [text for text, rows in kinds.items() if rows.amounts] == ["1,000.5", "$ 3", "5 %"]
    assert {text for text, rows in kinds.items() if rows.missing} == MISSING_TEXTS
    assert others == TextRows(rows=11)
    assert set(waits.values()) == {TextRows(rows=1, durations=1)}
    assert [text for text, rows in {**kinds, "2024-01-01": rows_of_texts({"2024-01-01": 1})}.items() if rows.times] == [
        "2024-01-01"
    ]
    assert odd_texts({"b": 2, "a": 2, "c": 3, "1": 9, "5%": 9}, Usual.NUMBER) == ["c", "a", "b"]
    assert amounts_in({"b": 2, "1": 9, "5%": 1, "$3": 2}) == ["$3", "5%"]
    assert odd_texts({"b": 2, "1": 9, "2024-01-01": 1}, Usual.DATE) == ["1", "b"]


@pytest.mark.parametrize("value", [[1, 2], [0.5], {"a": 1}], ids=str)
def test_a_column_of_lists_or_objects_is_refused(build: Callable[..., Baseline], value: Any) -> None:
    """Live, a list may be a column, or a value in a list of its own: rows would be other ones than in training."""
    with pytest.raises(BaselineError) as caught:
        build([value, None, value])
    assert str(caught.value) == (
        "Column 'x' holds lists or objects. Give each value in them a column of its own, such as 'x.0' or 'x.key' "
        "(a list of rows by name, as from frame.to_dict('records'), needs no change), watch it as a vector "
        "(derive={'x': Vector('x')}, of flask_boxkite.derived), or exclude=('x',)."
    )


# --- in the file -----------------------------------------------------------------------------------------------------


def test_texts_that_stand_for_a_missing_value_do_so_live(tmp_path: Path) -> None:
    """In columns that had them in training, and in others; read back from the file, row by row and at once."""
    columns: dict[str, list[Any]] = {
        "number": [str(place) if place % 5 else " ? " for place in range(200)],
        "plain": [float(place) for place in range(200)],
        "text": [("red", "blue", "Unknown")[place % 3] for place in range(200)],
        "day": [date(1990, 1, 1) + timedelta(place * 9) for place in range(200)],
    }
    path = tmp_path / "b.prom"
    made = ModelMonitoringService.export_text(columns, None, path, missing_texts=("?", "unknown"))
    assert Baseline.load(path) == made
    assert made.fingerprint != built(columns, missing_texts=("?", "unknown", "x")).fingerprint
    with pytest.raises(BinMismatchError):
        made.merge(built(columns, missing_texts=("?", "unknown", "x")))

    rows = [{"number": "?", "plain": "Unknown ", "text": "?", "day": "UNKNOWN"}] * 20
    for sent in ([rows], rows):
        service = ModelMonitoringService(path, sink="none")
        for features in sent:
            service.log_prediction(features=features)
        assert {item.name: item.special["missing"].now for item in service.drift()} == dict.fromkeys(columns, 1.0)


def test_a_file_whose_missing_texts_are_no_texts_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "b.prom"
    ModelMonitoringService.export_text({"x": ["1", "?"] * 9}, None, path, missing_texts=("?",))
    path.write_text(path.read_text().replace(r'missing_texts="[\"?\"]"', 'missing_texts="?"'))
    with pytest.raises(BaselineError, match=r"'missing_texts' of 'x' must be a list of texts, as JSON has it"):
        Baseline.load(path)
