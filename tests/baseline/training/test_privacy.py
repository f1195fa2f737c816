"""What a baseline tells of single rows, and what training warns of."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from flask_boxkite import Baseline, BaselineError, ModelMonitoringService
from flask_boxkite.baseline import Discrete
from flask_boxkite.baseline.training.build import build_baseline
from tests.baseline.training.building import built


def only(column: Any, **options: Any) -> Discrete:
    """Return the distribution of a single feature named x."""
    (found,) = built({"x": column}, **options).features
    assert isinstance(found, Discrete)
    return found


# --- rare categories -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "least"),
    [(20, 1), (21, 2), (40, 2), (60, 3), (100, 5), (10_000, 5)],
)
def test_a_category_needs_five_rows_to_be_named_or_fewer_in_few_rows(rows: int, least: int) -> None:
    named = only(["often"] * (rows - least) + ["seldom"] * least)
    assert (named.categories[-1], named.rare) == ("seldom", 0)
    if least > 1:
        hidden = only(["often"] * (rows - least + 1) + ["seldom"] * (least - 1))
        assert (hidden.categories, hidden.rare) == (("often",), least - 1)


def test_the_rows_that_a_category_needs_can_be_given() -> None:
    values = ["a"] * 14 + ["b"] * 4 + ["c"] * 2

    assert only(values, min_category_rows=3).categories == ("a", "b")
    assert only(values, min_category_rows=1).categories == ("a", "b", "c")
    assert only([*values, *["a"] * 1000], min_category_rows=1).categories == ("a", "b", "c")


def test_numbers_are_no_exception_but_booleans_are() -> None:
    assert only([0] * 500 + [1] * 490 + [7] * 2, discrete=["x"]).categories == ("0.0", "1.0")
    assert only([False] * 999 + [True]).categories == ("0.0", "1.0")
    assert only(["no"] * 999 + ["yes"]).categories == ("no",)
    assert only(["false"] * 999 + ["true"]).categories == ("0.0", "1.0")


def test_labels_of_an_output_are_named_unless_they_are_many() -> None:
    labels = build_baseline({"x": [1] * 1000}, ["legal"] * 998 + ["fraud"] * 2).outputs[0]
    answers = build_baseline({"x": [1] * 1000}, [f"answer {number}" for number in range(1000)]).outputs[0]

    assert isinstance(labels, Discrete)
    assert isinstance(answers, Discrete)
    assert labels.categories == ("legal", "fraud")
    assert (answers.categories, answers.rare) == ((), 1000)


def test_no_name_of_a_single_row_is_in_the_file(tmp_path: Path) -> None:
    mails = [f"someone{number}@example.com" for number in range(1000)]
    ModelMonitoringService.export_text({"mail": mails, "x": range(1000)}, path=tmp_path / "b.prom")

    assert "someone" not in (tmp_path / "b.prom").read_text()
    assert Baseline.load(tmp_path / "b.prom").features[0].rows == 1000


def test_new_values_of_a_column_with_hidden_categories_are_rare() -> None:
    baseline = build_baseline({"x": ["a"] * 500 + ["b"] * 498 + ["c"] * 2})
    service = ModelMonitoringService(baseline, sink="none")
    service.log_prediction(features=["c"])
    service.log_prediction(features=["never seen"])

    assert service.drift()["x"].window_cells == (0, 0, 2, 0, 0, 0)


# --- columns left out ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lazy", [False, True])
def test_excluded_columns_leave_no_trace(lazy: bool) -> None:
    frame = pl.DataFrame({"id": [str(number) for number in range(50)], "x": range(50), "y": [0, 1] * 25})
    given = frame.lazy() if lazy else frame
    found = built(given, "y", exclude=("id",), discrete=[0], clock=lambda: 0)

    assert found == built(frame.drop("id"), "y", discrete=[0], clock=lambda: 0)
    assert [item.name for item in found.features] == ["x"]
    assert (
        Baseline.from_chunks([frame], "y", exclude=["id"]).fingerprint
        == build_baseline(frame.drop("id"), "y").fingerprint
    )


def test_an_excluded_column_need_not_be_readable() -> None:
    assert built({"x": [1], "picture": [np.zeros((2, 2))], "z": 5}, exclude=["picture", "z"]).rows == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"exclude": ["y"]}, "'exclude' names 'y', which the data does not have. Known: 'x'."),
        ({"texts": ["y"]}, "'texts' names 'y', which the data does not have. Known: 'x'."),
        ({"exclude": "x"}, "'exclude' must be a list of names, got 'x'."),
        ({"texts": [1]}, "'texts' must be a list of names, got [1]."),
        ({"missing_texts": "?"}, "'missing_texts' must be a list of texts, got '?'."),
        ({"min_category_rows": 0}, "'min_category_rows' must be an integer >= 1, got 0."),
        ({"exclude": ["x"]}, "The training data has no columns: give at least one feature or an inference."),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value[:40],
)
def test_options_that_cannot_be_used_are_refused(options: dict[str, Any], message: str) -> None:
    for features in ({"x": ["a"]}, pl.LazyFrame({"x": ["a"]})):
        with pytest.raises(BaselineError) as caught:
            built(features, **options)
        assert str(caught.value) == message


# --- warnings --------------------------------------------------------------------------------------------------------

PEOPLE = 400
COLUMNS: dict[str, list[Any]] = {
    "mail": [f"p{number}@example.com" for number in range(PEOPLE)],
    "key": [f"{number:08x}-k" for number in range(PEOPLE)],
    "customer_id": list(range(PEOPLE)),
    "remark": [f"the customer has called {number // 2} times" for number in range(PEOPLE)],
    "street": [f"street {number // 2}" for number in range(PEOPLE)],
    "constant": [1] * PEOPLE,
    "gone": [None] * PEOPLE,
    "city": ["Rome", "Oslo"] * (PEOPLE // 2),
    "shop_id": [number % 3 for number in range(PEOPLE)],
    "paid": [number / 7 for number in range(PEOPLE)],
}
REMEDY = "If the model does not need it: exclude=('{}',), or --exclude."
WARNINGS = [
    f"Column 'mail' looks like e-mail addresses. {REMEDY.format('mail')}",
    f"Column 'key' looks like an identifier, as no value comes twice. {REMEDY.format('key')}",
    f"Column 'customer_id' looks like an identifier, by its name. {REMEDY.format('customer_id')}",
    f"Column 'remark' looks like free text. {REMEDY.format('remark')}",
    "Column 'street': nearly all training rows are of rare values: a change among these cannot show.",
    "Column 'constant': all training rows have one value: only other values can show.",
    "Column 'gone': all training rows are missing: only their share can show.",
]


@pytest.mark.parametrize("way", ["memory", "lazy", "chunks"])
def test_training_warns_of_columns_that_are_personal_or_blind(way: str, caplog: pytest.LogCaptureFixture) -> None:
    frame = pl.DataFrame(COLUMNS)
    with caplog.at_level(logging.WARNING, "flask_boxkite"):
        if way == "chunks":
            Baseline.from_chunks([frame[:150], frame[150:]])
        else:
            build_baseline(frame.lazy() if way == "lazy" else frame)

    assert [record.getMessage() for record in caplog.records] == WARNINGS


def test_columns_of_one_kind_share_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    build_baseline({f"c{number}": [1, 1] for number in range(7)})

    assert [record.getMessage() for record in caplog.records] == [
        "Columns 'c0', 'c1', 'c2', 'c3', 'c4' and 2 more: all training rows have one value: only other values can show."
    ]


def test_training_warns_of_names_that_labels_cannot_cut(caplog: pytest.LogCaptureFixture) -> None:
    build_baseline({"a" * 128: range(100), "b" * 129: range(100)})

    (record,) = caplog.records
    start, text = record.getMessage().split("…")
    assert start == "Column '" + "b" * 111
    assert text[16:] == (
        "': names of more than 128 characters stand whole in metrics; some receivers refuse these. Shorten them."
    )


def test_an_excluded_column_may_be_said_to_be_of_texts() -> None:
    assert len(built({"zip": ["1", "x"], "x": [1, 2]}, texts=["zip"], exclude=["zip"]).features) == 1


def test_an_excluded_column_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    built(COLUMNS, exclude=[name for name in COLUMNS if name not in ("city", "shop_id", "paid")])

    assert caplog.records == []


# --- summary ---------------------------------------------------------------------------------------------------------


def test_a_baseline_is_shown_as_a_summary() -> None:
    found = build_baseline(
        {"age": range(100), "city": ["a", "b"] * 50}, ["no", "yes"] * 50, model="credit", version="7"
    )

    assert (
        str(found)
        == repr(found)
        == (
            f"Baseline of model 'credit', version '7': 100 rows, fingerprint {found.fingerprint}\n"
            "  features: age (continuous), city (discrete, 2 categories)\n"
            "  outputs: output (discrete, 2 categories)"
        )
    )


def test_a_summary_of_many_variables_is_short() -> None:
    assert repr(build_baseline(np.zeros((1, 500)))).endswith("feature_19 (discrete, 1 category) and 480 more")


DAYS = pd.date_range("2020-01-01", periods=300, freq="D")
DATES = {
    "31.01.2024": DAYS.strftime("%d.%m.%Y"),
    "31/01/2024": DAYS.strftime("%m/%d/%y %H:%M"),
    "31-01-2024": DAYS.strftime("%d-%m-%Y"),
    "2024/01/31": DAYS.strftime("%Y/%m/%d"),
    "31 Jan 2024": DAYS.strftime("%a, %d %b %Y %H:%M:%S GMT"),
    "2024-01": pd.period_range("1990-01", periods=300, freq="M"),
    "2024Q1": pd.period_range("1950Q1", periods=300, freq="Q"),
    "2024-W05": [f"{year}-W{week:02}" for year in range(2010, 2020) for week in range(1, 31)],
    "20240131T120000": DAYS.strftime("%Y%m%dT%H%M%SZ"),
    "2024-01-29/2024-02-04": pd.period_range("2010-01-01", periods=300, freq="W"),
    "2024-01-31T12:00 GMT": DAYS.strftime("%Y-%m-%dT%H:%M[Europe/Berlin]"),
}


@pytest.mark.parametrize("example", DATES)
@pytest.mark.parametrize("times", [1, 2], ids=["once each", "twice each"])
def test_dates_that_are_not_read_are_told(example: str, times: int, caplog: pytest.LogCaptureFixture) -> None:
    """They would be taken for identifiers, or for rare categories."""
    built({"day": [*DATES[example]] * times})
    assert [record.getMessage() for record in caplog.records] == [
        f"Column 'day' looks like dates such as {example}, a form that is not read. "
        "Give it as 2024-01-31, or as a type of dates (pandas.to_datetime), in requests too."
    ]


@pytest.mark.parametrize(
    "column",
    [
        pytest.param([f"{month:02}.2024" for month in range(1, 13)] * 25, id="no date"),
        pytest.param([f"2024-{month:02}" for month in range(1, 13)] * 25, id="months that are categories"),
        pytest.param([f"{number:03}-{number % 90 + 10}-{number:04}" for number in range(300)], id="numbers of people"),
        pytest.param([f"{number % 60 + 40}.{number % 60 + 40}.{number}" for number in range(300)], id="versions"),
        pytest.param(DAYS, id="dates"),
        pytest.param(DAYS.strftime("%Y-%m-%d"), id="texts that are read"),
    ],
)
def test_other_texts_are_not_told_as_dates(column: Any, caplog: pytest.LogCaptureFixture) -> None:
    built({"day": [*column]})
    assert not any("dates" in record.getMessage() for record in caplog.records)
