"""Data sets of several files: order, types and columns suit all files and lines, in every run."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

from flask_boxkite.baseline import Discrete, Distribution
from flask_boxkite.cli import boxkite
from flask_boxkite.cli.training_data import scan
from tests.cli.commands import features, refused

pytestmark = pytest.mark.usefixtures("directory")


def categories(item: Distribution) -> dict[str, int]:
    assert isinstance(item, Discrete)
    return dict(zip(item.categories, item.counts, strict=True)) | ({"missing": item.missing} if item.missing else {})


# --- types -----------------------------------------------------------------------------------------------------------


def parquet(*values: Any, dtype: Any = None) -> Callable[[str], None]:
    """Return what writes a file with the column ``x``, every value ten times."""
    return lambda name: pl.DataFrame({"x": pl.Series(list(values) * 10, dtype=dtype)}).write_parquet(f"{name}.parquet")


def text(kind: str, content: str) -> Callable[[str], None]:
    """Return what writes a file of text, every line but the head of CSV ten times."""
    return lambda name: Path(f"{name}.{kind}").write_text(("x\n" if kind == "csv" else "") + content * 10) and None


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        pytest.param(parquet(1), parquet(1.5), {"1.0": 10, "1.5": 10}, id="integers and floats"),
        pytest.param(parquet(1, 2), parquet(True, None), {"1.0": 20, "2.0": 10, "missing": 10}, id="numbers, booleans"),
        pytest.param(parquet(None, dtype=pl.Null), parquet(2), {"2.0": 10, "missing": 10}, id="nothing and numbers"),
        pytest.param(parquet(None, dtype=pl.Null), parquet("a"), {"a": 10, "missing": 10}, id="nothing and texts"),
        pytest.param(
            parquet(0.1, dtype=pl.Float32), parquet(0.1, dtype=pl.Float64), {"0.1": 20}, id="floats of two widths"
        ),
        pytest.param(
            parquet("a", dtype=pl.Enum(["a"])), parquet("b", dtype=pl.Enum(["b"])), {"a": 10, "b": 10}, id="enums"
        ),
        pytest.param(text("csv", "01\n"), text("csv", "a\n"), {"01": 10, "a": 10}, id="CSV: numbers and texts"),
        pytest.param(text("csv", "1.5\n"), text("csv", '""\n'), {"1.5": 10, "missing": 10}, id="CSV: numbers and gaps"),
        pytest.param(text("csv", "1\n"), text("csv", "NA\n2\n"), {"1.0": 10, "2.0": 10, "missing": 10}, id="CSV: NA"),
        pytest.param(text("csv", "01\n"), parquet("01"), {"01": 20}, id="CSV as Parquet has it: texts"),
        pytest.param(text("csv", "-\n2\n"), parquet(2.5), {"2.0": 10, "2.5": 10, "missing": 10}, id="numbers"),
        pytest.param(text("jsonl", '{"x": 1}\n'), text("jsonl", '{"x": 1.5}\n'), {"1.0": 10, "1.5": 10}, id="JSON"),
    ],
)
@pytest.mark.parametrize("is_first", [True, False], ids=["one first", "other first"])
def test_a_column_is_in_all_files_what_all_of_them_say(
    one: Callable[[str], None], other: Callable[[str], None], found: dict[str, int], is_first: bool
) -> None:
    one("a" if is_first else "b")
    other("b" if is_first else "a")
    assert categories(features("[ab].*")["x"]) == found


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        pytest.param(parquet(1), parquet("1"), "numbers in 'a.parquet', texts in 'b.parquet'", id="Parquet"),
        pytest.param(text("csv", "a\n"), parquet(1), "texts in 'a.csv', numbers in 'b.parquet'", id="CSV and Parquet"),
        pytest.param(
            text("jsonl", '{"x": 1}\n'),
            text("jsonl", '{"x": "1"}\n'),
            "numbers in 'a.jsonl', texts in 'b.jsonl'",
            id="JSON",
        ),
        pytest.param(
            parquet(date(2026, 1, 1)),
            parquet(datetime(2026, 1, 1, tzinfo=timezone.utc)),
            "times in 'a.parquet', times of the zone UTC in 'b.parquet'",
            id="times",
        ),
    ],
)
def test_types_that_cannot_stand_in_one_column_are_refused(
    one: Callable[[str], None], other: Callable[[str], None], message: str
) -> None:
    one("a")
    other("b")
    assert refused("[ab].*") == f"Error: Column 'x' holds {message}. Write it with one type in all files."


def test_a_few_texts_in_one_file_are_not_all_that_counts() -> None:
    """By itself, the second file holds as many texts as numbers."""
    text("csv", "1\n2\n3\n")("a")
    Path("b.csv").write_text("x\n?\n4\n")
    assert refused("a.csv", "b.csv").startswith(
        "Error: Column 'x' holds 31 numbers and 1 other text, such as '?'. Say what these are: "
    )
    assert features("a.csv", "b.csv", "--missing-text", "?")["x"].missing == 1


# --- columns of JSON lines -------------------------------------------------------------------------------------------


def test_a_key_that_first_comes_late_is_a_column() -> None:
    """Polars looks at a hundred lines unless it is told otherwise."""
    Path("late.jsonl").write_text('{"a": 1}\n' * 300 + '{"a": 1, "b": 2}\n' * 100)
    found = features("late.jsonl")
    assert list(found) == ["a", "b"]
    assert categories(found["b"]) == {"2.0": 100, "missing": 300}


def test_a_type_that_first_comes_late_is_that_of_the_column() -> None:
    Path("late.jsonl").write_text('{"a": 1}\n' * 30_000 + '{"a": 1.5}\n' * 5)
    assert categories(features("late.jsonl")["a"]) == {"1.0": 30_000, "1.5": 5}


WIDE = [f"c{number * 7 % 50}" for number in range(50)]


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        pytest.param([["c7"], []], WIDE, id="not in the first line"),
        pytest.param([["c7"], ["c0"]], sorted(WIDE), id="in no line all of them"),
    ],
)
def test_columns_stand_in_the_order_of_a_line_that_has_all(missing: list[list[str]], expected: list[str]) -> None:
    lines = [json.dumps({name: 1.5 for name in WIDE if name not in gone}) for gone in missing]
    Path("wide.jsonl").write_text("".join(f"{line}\n" for line in lines * 20))
    assert list(features("wide.jsonl")) == expected


# --- partitions ------------------------------------------------------------------------------------------------------


@pytest.fixture
def partitioned(directory: Path) -> None:
    """Write the same data set as Parquet and as CSV, in folders that are called what their rows have in common."""
    for folder, x in {
        "code=007/day=2026-01-01": 1.5,
        "code=007/day=__HIVE_DEFAULT_PARTITION__": 2.5,
        "code=010/day=a%20b": 3.5,
    }.items():
        path = Path("set") / folder
        path.mkdir(parents=True)
        for kind in ("parquet", "csv"):
            getattr(pl.DataFrame({"x": [x] * 20}), f"write_{kind}")(path / f"part.{kind}")


@pytest.mark.usefixtures("partitioned")
@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_folders_of_a_partitioned_data_set_are_columns(kind: str) -> None:
    found = features(f"set/**/*.{kind}", "--discrete", "code")
    assert list(found) == ["x", "code", "day"]
    assert categories(found["code"]) == {"7.0": 40, "10.0": 20}
    assert categories(found["day"]) == {"2026-01-01": 20, "a b": 20, "missing": 20}

    texts = features(f"set/**/*.{kind}", "--text", "code", "--exclude", "day")
    assert categories(texts["code"]) == {"007": 40, "010": 20}
    assert "day" not in texts


@pytest.mark.usefixtures("partitioned")
def test_a_partition_may_be_named_alone_and_compared() -> None:
    features("set/**/*.parquet", "--discrete", "code")
    assert list(features("set/code=010/*/part.parquet")) == ["x", "code", "day"]
    features("set/**/*.parquet", "--discrete", "code", "--discrete", "x")
    result = CliRunner().invoke(boxkite, ["compare", "b.prom", "set/**/*.csv", "--fail-on", "shifted", "--all"])
    assert (result.exit_code, result.output.count("stable")) == (0, 3)


def test_a_column_that_file_and_folder_have_is_that_of_the_file() -> None:
    """Polars writes both; in the file, the value has its type."""
    Path("code=7").mkdir()
    pl.DataFrame({"x": [1, 2] * 20, "code": ["007"] * 40}).write_parquet("code=7/part.parquet")
    assert categories(features("code=7/*.parquet")["code"]) == {"007": 40}


@pytest.mark.usefixtures("partitioned")
def test_the_folder_of_a_partitioned_data_set_is_refused_with_the_pattern() -> None:
    pattern = Path("set", "**", "*.parquet")
    assert refused("set") == f"Error: 'set' is a folder. Name the files in it, for example '{pattern}'."


# --- URLs ------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("partitioned")
def test_a_pattern_in_a_url_is_for_parquet_only(directory: Path) -> None:
    """Only Polars knows its files, and takes columns and types of text from the first."""
    url = f"{directory.as_uri()}/set/**/*"
    assert scan([f"{url}.parquet"]).collect_schema().names() == ["x", "code", "day"]
    assert refused(f"{url}.csv") == (
        f"Error: '{url}.csv' is a pattern. Name each file: among URLs, only patterns of Parquet files are supported."
    )
