"""The same rows give the same baseline in every format; options of columns are followed or refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from flask_boxkite.baseline import Continuous, Discrete
from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.cli import boxkite
from flask_boxkite.values.times import is_time_text
from tests.baseline.training.building import built
from tests.cli.commands import features, refused

pytestmark = pytest.mark.usefixtures("directory")

ROWS = 400
PLACES = range(ROWS)


def gapped(values: list[Any]) -> list[Any]:
    return [None if place % 7 == 0 else value for place, value in enumerate(values)]


DAYS = [date(1990, 1, 1) + timedelta(7 * place) for place in PLACES]
MOMENTS = [datetime(2024, 3, 31, 1, 30) + timedelta(seconds=place * 977, microseconds=place) for place in PLACES]
COLUMNS: dict[str, list[Any]] = {
    "day": DAYS,
    "gap": gapped(DAYS),
    "month": [date(2024, 1 + place % 3, 1) for place in PLACES],
    "moment": MOMENTS,
    "zoned": [moment.replace(tzinfo=timezone(timedelta(hours=2))) for moment in MOMENTS],
    "year and month": [f"20{place % 20:02}-{place % 12 + 1:02}" for place in PLACES],
    "word": [f"w{place % 5}" for place in PLACES],
    "number": [place / 8 for place in PLACES],
}
TEXTS = {
    name: [value.isoformat() if isinstance(value, date) else value for value in values]
    for name, values in COLUMNS.items()
}

FILES: dict[str, Callable[[], Any]] = {
    "t.csv": lambda: pl.DataFrame(TEXTS).write_csv("t.csv"),
    "t.tsv": lambda: pl.DataFrame(TEXTS).write_csv("t.tsv", separator="\t"),
    "t.jsonl": lambda: pl.DataFrame(TEXTS).write_ndjson("t.jsonl"),
    "t.parquet": lambda: pl.DataFrame(COLUMNS).write_parquet("t.parquet"),
    "texts.parquet": lambda: pl.DataFrame(TEXTS).write_parquet("texts.parquet"),
    "polars.csv": lambda: pl.DataFrame(COLUMNS).write_csv("polars.csv"),
    "pandas.csv": lambda: pl.DataFrame(COLUMNS).to_pandas().to_csv("pandas.csv", index=False),
    "pandas.jsonl": lambda: (
        pl.DataFrame(COLUMNS)
        .to_pandas()
        .to_json("pandas.jsonl", orient="records", lines=True, date_format="iso", date_unit="us")
    ),
}


@pytest.mark.parametrize("file", FILES)
def test_the_same_rows_give_the_same_baseline_in_every_format(file: str) -> None:
    FILES[file]()
    found, expected = features(file), build_baseline(COLUMNS)

    assert list(found) == list(COLUMNS)
    for item in expected.features:
        assert found[item.name] == item
    assert [item.name for item in expected.features if item.is_time] == ["day", "gap", "month", "moment", "zoned"]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_dates_with_odd_texts_are_refused_and_read_in_every_format(suffix: str) -> None:
    texts = pl.DataFrame({"day": [*TEXTS["day"], "?", "unknown"], "x": [0.5] * (ROWS + 2)})
    {"csv": texts.write_csv, "jsonl": texts.write_ndjson, "parquet": texts.write_parquet}[suffix](f"t.{suffix}")

    assert refused(f"t.{suffix}") == (
        "Error: Column 'day' holds 400 dates and 2 other texts, such as '?', 'unknown'. Say what these are: "
        "--missing-text '?' --missing-text 'unknown' for a missing value, or --text 'day' for a column of texts; or "
        "write dates, such as 2024-01-31."
    )
    read = features(f"t.{suffix}", "--missing-text", "?", "--missing-text", "UNKNOWN")["day"]
    expected = build_baseline({"day": [*DAYS, None, None]}).features[0]
    assert replace(read, missing_texts=frozenset()) == expected
    texts_of_days = features(f"t.{suffix}", "--text", "day", "--min-category-rows", "1")["day"]
    assert isinstance(texts_of_days, Discrete)
    assert texts_of_days.is_text


def test_an_option_on_a_column_that_it_does_not_fit_is_refused_in_the_words_of_the_command() -> None:
    FILES["t.parquet"]()
    assert refused("t.parquet", "--text", "day", "--bins", "word=1,2", "--text", "number") == (
        "Error: Column 'day' holds dates, not texts. Column 'number' holds numbers, not texts. Leave it out of --text, "
        "or write texts; if each value is a category, name it in --discrete, with all others. "
        "Column 'word' holds texts: only numbers and dates have bins. Leave it out of --bins."
    )


@pytest.mark.parametrize("file", ["t.csv", "t.parquet"])
def test_bins_are_given_as_numbers_and_dates(file: str) -> None:
    FILES[file]()
    found = features(file, "--bins", "day=1992-01-01,1995-06-30", "--bins", "number=10,20.5")
    expected = built(COLUMNS, bins={"day": ["1992-01-01", "1995-06-30"], "number": [10, 20.5]})
    assert tuple(found.values()) == expected.features


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--bins", "day"], "'--bins' must be a name and bounds, such as 'age=18,65', got 'day'."),
        (["--bins", "dya=1"], "'--bins' names 'dya', which the data does not have. Did you mean 'day'?"),
        (
            ["--bins", "day=2,1"],
            "'bins' for 'day' must be finite numbers or dates that increase strictly, got ['2', '1'].",
        ),
        (
            ["--bins", "number=2024-01-01"],
            "Column 'number' holds numbers, but its bins are dates. Give numbers as bins",
        ),
        (["--output-column", "day", "--exclude", "day"], "'--output-column' and '--exclude' both name 'day'."),
    ],
    ids=["no bounds", "unknown", "order", "dates", "both"],
)
def test_a_mistake_is_one_line(words: list[str], said: str) -> None:
    FILES["t.csv"]()
    assert refused("t.csv", *words).startswith(f"Error: {said}")


@pytest.mark.parametrize(
    "option", [["--discrete", "day"], ["--bins", "day=1992-01-01"], ["--text", "day"]], ids=" ".join
)
def test_a_column_that_is_left_out_may_be_named(option: list[str]) -> None:
    FILES["t.csv"]()
    assert "day" not in features("t.csv", "--exclude", "day", *option)


def test_durations_in_parquet_are_seconds() -> None:
    waited = gapped([timedelta(microseconds=place * 1_234_567) for place in PLACES])
    pl.DataFrame({"waited": waited}).write_parquet("t.parquet")
    seconds = [None if value is None else value.total_seconds() for value in waited]

    (expected,) = build_baseline({"waited": seconds}).features
    assert features("t.parquet") == {"waited": expected}
    assert build_baseline({"waited": waited}).features == (expected,)
    done = CliRunner().invoke(boxkite, ["compare", "b.prom", "t.parquet", "--all", "--fail-on", "shifted"])
    assert (done.exit_code, done.output.count("stable")) == (0, 1)


@pytest.mark.parametrize("name", ["folder", "set", "folder/*"])
def test_a_folder_or_pattern_is_data_to_compare(name: str) -> None:
    FILES["t.csv"]()
    features("t.csv")
    Path("folder").mkdir()
    Path("set/day=2026-01-01").mkdir(parents=True)
    Path("t.csv").rename("folder/t.csv")
    result = CliRunner().invoke(boxkite, ["compare", "b.prom", name, "--fail-on", "shifted"])
    said = {
        "folder": "Error: 'folder' is a folder. Name the files in it, for example 'folder/*.parquet'.\n",
        "set": "Error: 'set' is a folder. Name the files in it, for example 'set/**/*.parquet'.\n",
    }
    if name in said:
        assert (result.exit_code, result.output) == (1, said[name])
    else:
        assert result.exit_code == 0, result.output


# --- what people read ------------------------------------------------------------------------------------------------


def test_days_that_stand_for_none_are_readable_and_told(rng: np.random.Generator) -> None:
    days = [date(2015, 1, 1) + timedelta(int(day)) for day in rng.integers(0, 3000, ROWS)]
    columns = {
        "since": [date(1900, 1, 1) if place % 50 == 0 else day for place, day in enumerate(days)],
        "until": [date(9999, 12, 31) if place % 5 == 0 else day for place, day in enumerate(days)],
        "both": [(date(1, 1, 1), date(9999, 12, 31), *days)[place] for place in PLACES],
        "plain": days,
    }
    pl.DataFrame(columns).write_parquet("t.parquet")
    found = features("t.parquet")
    assert all(isinstance(item, Continuous) for item in found.values())
    names = [group.name for item in found.values() for group in item.groups if group.name.startswith("(")]
    bounds = {bound for name in names for bound in name[1:-1].split(",")}
    assert [bound for bound in bounds if not is_time_text(bound)] == ["-inf"]  # nothing is before the year 1

    shown = {name: CliRunner().invoke(boxkite, ["inspect", "b.prom", "--variable", name]).output for name in columns}
    told = "count as of that day: if it stands for a missing value, give none"
    assert f"Rows of 1900-01-01 {told}" in " ".join(shown["since"].split())
    assert f"Rows of 9999-12-31 {told}" in " ".join(shown["until"].split())
    assert f"Rows of 0001-01-01 and 9999-12-31 {told}" in " ".join(shown["both"].split())
    assert told not in " ".join(shown["plain"].split())
    assert " to 9999-12-31 " in shown["until"]
