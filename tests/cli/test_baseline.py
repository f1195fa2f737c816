"""`baseline` writes the same as the API, and says in one line what is wrong with a file."""

from __future__ import annotations

import gzip
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from click.testing import CliRunner

from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.baseline import Discrete
from flask_boxkite.cli import boxkite
from flask_boxkite.cli.csv_blanks import without_blanks
from flask_boxkite.cli.training_data import scan
from flask_boxkite.errors import BaselineError
from flask_boxkite.payloads import csv_table
from tests import peers
from tests.cli.commands import ROOT, people, run

pytestmark = pytest.mark.usefixtures("directory")

Write = Callable[[pl.DataFrame, Path], None]


def write_gz(content: bytes, path: Path) -> None:
    with gzip.open(path, "wb") as file:
        file.write(content)


FORMATS: dict[str, Write] = {
    "csv": lambda frame, path: frame.write_csv(path),
    "tsv": lambda frame, path: frame.write_csv(path, separator="\t"),
    "csv.gz": lambda frame, path: write_gz(frame.write_csv().encode(), path),
    "jsonl": lambda frame, path: frame.write_ndjson(path),
    "ndjson.gz": lambda frame, path: write_gz(frame.write_ndjson().encode(), path),
    "parquet": lambda frame, path: frame.write_parquet(path),
}


def made(*words: str | Path) -> Baseline:
    """Run the command in this process; return what it wrote."""
    result = CliRunner().invoke(boxkite, ["baseline", *map(str, words)])
    assert result.exit_code == 0, result.output
    return Baseline.load(words[words.index("--out") + 1])


def refused(*words: str | Path) -> str:
    """Run the command, which must fail and leave no file; return the line that it prints."""
    result = CliRunner().invoke(boxkite, ["baseline", *map(str, words), "--out", "never.prom"])
    assert result.exit_code == 1, result.output
    assert not Path("never.prom").exists()
    (line,) = result.output.splitlines()
    return line


# --- what is written -------------------------------------------------------------------------------------------------


def test_a_process_writes_the_file_and_says_what_is_in_it(directory: Path, rng: np.random.Generator) -> None:
    frame = people(rng)
    frame.write_csv("train.csv")
    done = run("baseline", "train.csv", "--output-column", "score", "--model", "m", "--out", "b.prom", cwd=directory)

    baseline = Baseline.load("b.prom")
    missing = frame["income"].null_count() / len(frame)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"b.prom: 600 rows, model 'm', baseline {baseline.fingerprint}",
        "  features: 2 continuous, 3 discrete (city, kids, member)",
        "  outputs: 1 continuous, 0 discrete",
        f"  with missing values: 1 (income {missing:.1%})",
    ]


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_what_the_api_gives(kind: str, directory: Path, rng: np.random.Generator) -> None:
    frame = people(rng)
    FORMATS[kind](frame, directory / f"train.{kind}")
    expected = ModelMonitoringService.export_text(frame.drop("score"), frame["score"].rename("score").to_frame(), "a")

    assert made(f"train.{kind}", "--output-column", "score", "--out", "b").fingerprint == expected.fingerprint


def test_every_option_is_passed_on(rng: np.random.Generator) -> None:
    frame = people(rng).with_columns(grade=pl.col("kids") // 2)
    frame.write_parquet("train.parquet")
    expected = ModelMonitoringService.export_text(
        frame.drop("age", "score"), discrete=["kids"], max_bins=20, max_categories=2, path="a"
    )
    assert [item.kind for item in expected.features] == [  # only the last --discrete decides
        "continuous",
        "discrete",
        "discrete",
        "discrete",
        "continuous",
    ]
    options = "--exclude age --exclude score --discrete kids --max-bins 20 --max-categories 2 --version 7 --model m"
    baseline = made("train.parquet", *options.split(), "--out", "b")

    assert baseline.fingerprint == expected.fingerprint
    assert (baseline.model, baseline.version) == ("m", "7")


def test_several_files_and_patterns_are_one_table(directory: Path, rng: np.random.Generator) -> None:
    """Columns may stand in another order, and be whole numbers in one file only."""
    first, second = people(rng), people(rng)
    first.write_csv("one.csv")
    second.select(reversed(second.columns)).with_columns(pl.col("age").round().cast(pl.Int64)).write_csv("two.csv")
    both = pl.concat([first, second.with_columns(pl.col("age").round())])

    assert made("*.csv", "--out", "b").fingerprint == ModelMonitoringService.export_text(both, path="a").fingerprint


def test_types_are_those_of_all_rows() -> None:
    """Judged by the first hundred rows, the last would be an error, and the text a number."""
    Path("late.csv").write_text("x,y\n" + "1,1\n" * 300 + "2.5,a\n")
    options = ("--discrete", "x", "--text", "y", "--min-category-rows", "1")
    x, y = made("late.csv", "--out", "b", *options).features
    assert (x.categories, y.categories) == (("1.0", "2.5"), ("1", "a"))  # type: ignore[union-attr]


def test_texts_that_mean_missing_can_be_chosen() -> None:
    Path("gaps.csv").write_text("x,y\n" + "1,1\n2,1\n3,1\n" * 20 + "NA,1\n,1\n-,1\n#n/a,1\n none ,1\n?,1\n")
    (chosen,) = made("gaps.csv", "--exclude", "y", "--out", "b", "--missing-text", "?").features
    assert (chosen.missing, chosen.kind) == (6, "continuous")


def test_a_few_texts_among_numbers_are_named_with_the_remedies() -> None:
    Path("odd.csv").write_text("x,y\n" + "".join(f"{number / 10},1\n" for number in range(100)) + '?,1\n"1,234",1\n')
    result = CliRunner().invoke(boxkite, ["baseline", "odd.csv", "--out", "b"])
    assert result.exit_code == 1
    assert "Column 'x' holds 100 numbers, 1 amount, such as '1,234', and 1 other text, such as '?'." in result.output
    assert "--missing-text" not in result.output
    assert "--text 'x'" in result.output

    texts = made("odd.csv", "--out", "b", "--text", "x").features[0]
    assert (texts.kind, texts.rows) == ("discrete", 102)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_odd_texts_are_refused_and_read_in_every_format(suffix: str) -> None:
    values = [*(f"{number / 10}" for number in range(1000)), "?", "?"]
    FORMATS[suffix](pl.DataFrame({"x": values, "y": ["a", "?"] * 501}), Path(f"odd.{suffix}"))
    said = refused(f"odd.{suffix}")
    assert "holds 1,000 numbers and 2 other texts, such as '?'. Say what these are: --missing-text '?' for" in said
    assert "--text 'x' for a column of texts; or write plain numbers, such as 1234.5." in said

    x, y = made(f"odd.{suffix}", "--out", "b", "--missing-text", "?").features
    assert (x.kind, x.missing, y.missing) == ("continuous", 2, 501)
    x, y = made(f"odd.{suffix}", "--out", "b", "--text", "x").features
    assert (x.kind, x.missing, y.missing) == ("discrete", 0, 0)


def test_amounts_among_numbers_are_odd_however_many_they_are() -> None:
    Path("paid.csv").write_text("paid\n" + "".join(f'"{at},250"\n{at}.5\n' for at in range(1, 100)))
    assert "holds 99 numbers and 99 amounts, such as '1,250'." in refused("paid.csv")


def test_leading_zeros_that_are_lost_are_told_with_the_remedy() -> None:
    Path("shop.csv").write_text(
        "zip,day,x,share,id\n" + "".join(f"{at:05},0{at % 9},{at},00.{at},{at:03}\n" for at in range(900))
    )
    Path("month=02").mkdir()
    Path("month=02", "part.csv").write_text("x\n1\n2\n")

    def told(*words: str) -> str:
        result = CliRunner().invoke(boxkite, ["baseline", *words, "--out", "b.prom"])
        assert result.exit_code == 0, result.output
        return result.stderr

    assert told("shop.csv", "--exclude", "id") == (
        "Columns 'zip', 'day' are read as numbers, so '00000' becomes 0. If they are codes, keep the texts: "
        "--text 'zip' --text 'day'\n"
    )
    assert told("shop.csv", "--exclude", "id", "--text", "zip", "--text", "day") == ""
    names = [f"c{number}" for number in range(7)]
    Path("codes.csv").write_text("".join(f"{','.join(row)}\n" for row in [names, ["007"] * 7, ["8"] * 7]))
    assert told("codes.csv").startswith(
        "Columns 'c0', 'c1', 'c2', 'c3', 'c4' and 2 more are read as numbers, so '007' "
    )
    assert told("codes.csv").endswith(" --text 'c4' …\n")
    assert told("month=02/part.csv") == (
        "Column 'month' is read as numbers, so '02' becomes 2. If they are codes, keep the texts: --text 'month'\n"
    )


def test_categories_of_few_rows_are_named_if_that_is_asked_for() -> None:
    pl.DataFrame({"x": ["a"] * 300 + ["b"] * 3}).write_csv("few.csv")
    assert made("few.csv", "--out", "b").features[0].categories == ("a",)  # type: ignore[union-attr]
    named = made("few.csv", "--out", "b", "--min-category-rows", "3").features[0]
    assert named.categories == ("a", "b")  # type: ignore[union-attr]


def test_an_excluded_column_of_texts_may_be_named_as_one() -> None:
    pl.DataFrame({"zip": ["12345", "1234X"], "x": [1, 2]}).write_csv("zip.csv")
    assert len(made("zip.csv", "--out", "b", "--text", "zip", "--exclude", "zip").features) == 1


def test_blanks_around_values_and_names_do_not_count() -> None:
    Path("adult.csv").write_text(
        "age, work\n" + "".join(f" {20 + at / 7}, {'Private' if at % 2 else 'State'}\n" for at in range(80))
    )
    age, work = made("adult.csv", "--out", "b").features
    assert (age.name, age.kind, work.name, work.categories) == ("age", "continuous", "work", ("Private", "State"))  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"x,x\n1,2\n3,4\n", "'bad.csv' has the column 'x' 2 times. Give each column a name of its own."),
        ("x,y\n1,2\n".encode("utf-16"), "'bad.csv' is in UTF-16. Save it in UTF-8."),
    ],
)
def test_a_csv_that_would_be_read_as_something_else_is_refused(content: bytes, said: str) -> None:
    Path("bad.csv").write_bytes(content)
    result = CliRunner().invoke(boxkite, ["baseline", "bad.csv", "--out", "b"])
    assert result.exit_code == 1
    assert said in result.output


def test_json_lines_keep_the_order_of_their_columns() -> None:
    """Polars shuffles them from 33 columns on."""
    names = [f"c{number * 7 % 50}" for number in range(50)]
    line = json.dumps({name: 1.5 for name in names})
    Path("wide.jsonl").write_text(f"{line}\n" * 40)
    assert [item.name for item in made("wide.jsonl", "--out", "b").features] == names


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_nested_rows_have_the_columns_that_they_have_in_requests(suffix: str) -> None:
    rows: list[dict[str, Any]] = [
        {"home": {"zip": 8000 + n % 5, "geo": {"lat": n / 7}}, "readings": [n + 0.25, n + 0.5], "age": n}
        for n in range(60)
    ]
    rows[3] |= {"home": {"zip": 8001, "geo": None}, "readings": [1.25]}
    rows[4] |= {"home": None, "readings": []}
    rows[5] |= {"home": {"zip": None, "geo": {"lat": 1.5}}, "items": [{"price": 2.5}, {"price": 3.5}]}
    if suffix == "jsonl":
        Path("x.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    else:
        pl.DataFrame(rows, infer_schema_length=None).write_parquet("x.parquet")

    found = made(f"x.{suffix}", "--out", "found.prom")
    expected = ModelMonitoringService.export_text(rows, path="expected.prom")
    names = [item.name for item in expected.features]
    assert names[:5] == ["home.zip", "home.geo.lat", "readings.0", "readings.1", "age"]
    assert names[5:] == ["items.0.price", "items.1.price"]
    assert {item.name: item for item in found.features} == {item.name: item for item in expected.features}


def test_json_lines_as_python_writes_them_are_read() -> None:
    lines = [{"a": float("nan"), "b": 1.0}, {"a": 1.5, "b": float("-inf")}, {"a": 2.5, "b": float("inf")}] * 20
    Path("python.jsonl").write_text("\ufeff" + "".join(f"{json.dumps(line)}\n" for line in lines), "utf-8")
    a, b = made("python.jsonl", "--out", "b", "--discrete", "a", "--discrete", "b").features
    assert (a.missing, a.categories) == (20, ("1.5", "2.5"))  # type: ignore[union-attr]
    assert b.categories == ("+Inf", "-Inf", "1.0")  # type: ignore[union-attr]


def test_row_labels_that_pandas_stores_are_no_feature() -> None:
    frame = pd.DataFrame({"x": [float(at) for at in range(50)]}).sample(frac=1, random_state=0)
    frame.to_parquet("labels.parquet")
    assert [item.name for item in made("labels.parquet", "--out", "b").features] == ["x"]


def test_what_would_move_the_cursor_is_not_printed(directory: Path) -> None:
    pl.DataFrame({"x\x1b[2J": ["a", "b"]}).write_csv("x.csv")
    done = run("baseline", "x.csv", "--version", "7\x1b[2J", "--out", "b\n.prom", cwd=directory)
    fingerprint = Baseline.load("b\n.prom").fingerprint
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        f"b�.prom: 2 rows, model 'default', version 7�[2J, baseline {fingerprint}",
        "  features: 0 continuous, 1 discrete (x�[2J)",
    ]


def test_names_of_boxkite_are_written() -> None:
    Path("x.csv").write_text("x\n" + "1\n2\n" * 20)
    made("x.csv", "--names", "boxkite", "--out", "b")
    assert "feature_0_value_baseline" in Path("b").read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals.")
def test_a_terminal_sees_that_work_goes_on(directory: Path, rng: np.random.Generator) -> None:
    import pty
    import subprocess

    people(rng).write_csv("train.csv")
    main, side = pty.openpty()
    command = [sys.executable, "-m", "flask_boxkite", "baseline", "train.csv", "--out", "b"]
    env = {**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH") or str(ROOT), "TERM": "xterm"}
    with subprocess.Popen(command, cwd=directory, env=env, stderr=side, stdout=subprocess.PIPE) as process:
        os.close(side)
        seen = b""
        try:
            while data := os.read(main, 4096):
                seen += data
        except OSError:  # how Linux says that the other side is closed
            pass
        os.close(main)
    assert process.returncode == 0
    assert b"Counting 6 columns: extremes" in seen


# --- what is refused -------------------------------------------------------------------------------------------------

BAD_FILES = {
    "empty.csv": b"",
    "latin.csv": "stra\xdfe\n\xfc\n".encode("latin-1"),
    "ragged.csv": b"x,y\n1,2\n3,4,5\n",
    "cut.csv.gz": gzip.compress(b"x\n" + b"1\n" * 1000)[:20],
    "broken.parquet": b"PAR1 and no more",
    "broken.jsonl": b'{"x": 1}\n{"x":\n',
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_cannot_be_read_is_one_line(name: str) -> None:
    Path(name).write_bytes(BAD_FILES[name])
    line = refused(name)
    assert line.startswith(f"Error: '{name}' cannot be read: ")
    assert line.endswith("Is it complete, and in UTF-8 if it is text?")


@pytest.mark.parametrize("values", [("true", "1"), ("1.5", "false"), ("true", "[1]")], ids=str)
def test_values_of_several_types_are_told_as_such(values: tuple[str, str]) -> None:
    Path("mixed.jsonl").write_text("".join(f'{{"a": {value}, "b": 1}}\n' for value in values))
    line = refused("mixed.jsonl")
    assert line.startswith("Error: 'mixed.jsonl' cannot be read: ")
    assert line.endswith(". Give the values of each column one type: true or 1, not both.")


def test_a_file_of_types_that_polars_lacks_is_one_line() -> None:
    """DuckDB's intervals in Parquet make Polars panic, which is no `Exception`."""
    query = "SELECT INTERVAL '1 day' AS waited, 1 AS x"
    peers.library("duckdb").connect().execute(f"COPY ({query}) TO 'waited.parquet'")
    line = refused("waited.parquet")
    assert line.startswith("Error: 'waited.parquet' cannot be read: ")
    assert line.endswith("a type that Polars lacks, such as DuckDB's intervals: write these as seconds.")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param("none.csv", "There is no file 'none.csv', or its folder cannot be read.", id="no file"),
        pytest.param(
            "none*.csv", "There is no file 'none*.csv', or its folder cannot be read.", id="no file of a pattern"
        ),
        pytest.param(".", f"'.' is a folder. Name the files in it, for example '{Path('*.parquet')}'.", id="folder"),
        pytest.param(
            "notes.txt",
            "'notes.txt' has an unknown suffix. Use .csv, .tsv, .parquet, .pq, .jsonl, .ndjson, or for a text format, "
            "'.gz' after that.",
            id="unknown kind",
        ),
        pytest.param("head.csv", "There are no rows in 'head.csv'.", id="no rows"),
        pytest.param(
            "semicolons.csv",
            "'semicolons.csv' has only the column 'x;y'. Write ',' between values, not ';'.",
            id="other separator",
        ),
        pytest.param(
            "nested.jsonl",
            "Column 'x' of 'nested.jsonl' has a list of 1,001 items; 1,000 can become columns. Leave it out of the "
            "file, or derive numbers from it: ModelMonitoringService.export_text(..., derive=...).",
            id="a long list",
        ),
        pytest.param(
            "twice.jsonl",
            "'twice.jsonl' has two columns 'x.y': one of that name, and one in an object or list. Rename one.",
            id="one path twice",
        ),
        pytest.param(
            "index.csv",
            "A column has no name, like the index that pandas writes. Name it, or leave it out: --exclude ''",
            id="index",
        ),
        pytest.param(
            "x.csv y.csv",
            "'x.csv' has no column 'age', which 'y.csv' has. All files must have the same columns.",
            id="other columns",
        ),
        pytest.param(
            "x.csv --output-column incom",
            "'--output-column' names 'incom', which the data does not have. Did you mean 'income'?",
            id="misspelt",
        ),
        pytest.param(
            "x.csv --exclude q",
            "'--exclude' names 'q', which the data does not have. There are: 'income'.",
            id="unknown",
        ),
        pytest.param("x.csv --max-bins 0", "'max_bins' must be an integer >= 1, got 0.", id="the API's own"),
    ],
)
def test_a_mistake_is_one_line(words: str, message: str) -> None:
    for name, text in {
        "notes.txt": "x\n1\n",
        "head.csv": "x,y\n",
        "semicolons.csv": "x;y\n1;2\n",
        "nested.jsonl": json.dumps({"x": [1] * 1001}),
        "twice.jsonl": '{"x": {"y": 1}, "x.y": 2}\n',
        "index.csv": ",income\n0,1\n1,2\n",
        "x.csv": "income\n1\n2\n",
        "y.csv": "age\n1\n2\n",
    }.items():
        Path(name).write_text(text)
    assert refused(*words.split()) == f"Error: {message}"


def test_a_file_that_cannot_be_written_is_one_line(directory: Path) -> None:
    Path("x.csv").write_text("x\n1\n2\n")
    done = run("baseline", "x.csv", "--out", "nowhere/b.prom", cwd=directory)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "Error: Baseline file 'nowhere/b.prom' cannot be written: No such file or directory. "
        "Is its folder there and writable?\n"
    )


BLANKS = {
    "before": '39, "Private", 40\n40, "State gov", 41\n',
    "after": '39,"Private" ,40\n40,"State gov" ,41\n',
    "around": ' "39" , "Private" , "40" \r\n "40" , "State gov" , "41" \r\n',
    "some": '39,Private,40\n40, "State gov", 41\n',
}


@pytest.mark.parametrize("suffix", ["csv", "csv.gz"])
@pytest.mark.parametrize("rows", BLANKS.values(), ids=BLANKS.keys())
def test_blanks_between_separators_and_quotes_do_not_count(rows: str, suffix: str) -> None:
    """In training as in requests, as CSV and as JSON."""
    Path("plain.csv").write_text("age,work,hours\n" + "39,Private,40\n40,State gov,41\n" * 50)
    text = 'age, "work", hours\n' + rows * 50
    write = {"csv": Path("t.csv").write_bytes, "csv.gz": lambda content: write_gz(content, Path("t.csv.gz"))}[suffix]
    write(text.encode())
    baseline = made(f"t.{suffix}", "--out", "b.prom")
    assert baseline.fingerprint == made("plain.csv", "--out", "plain.prom").fingerprint

    table = csv_table(text, frozenset({"age", "work", "hours"}))
    service = ModelMonitoringService(baseline, sink="none")
    service.log_prediction(features=table)
    service.log_prediction(features=[{"age": 39, "work": "Private", "hours": 40}] * 100)
    counted = service.export_http()[0].decode()
    assert 'feature="work",group="Private"} 150' in counted
    assert 'feature="work",group="State gov"} 50' in counted


def test_separators_and_line_breaks_in_quotes_after_a_blank_belong_to_the_value(directory: Path) -> None:
    Path("t.csv").write_text('n, "name"\n' + '1, "Smith, J"\n2, "two\nlines"\n' * 50)
    (name,) = (item for item in made("t.csv", "--out", "b.prom").features if item.name == "name")
    assert isinstance(name, Discrete)
    assert set(name.categories) == {"Smith, J", "two\nlines"}

    url = f"{directory.as_uri()}/t.csv"
    Path("t.csv").write_text('n, "name"\n' + '1, "J"\n2, "K"\n' * 50)
    assert refused(url) == (
        f"Error: '{url}' has blanks between a separator and a quote. Download it and name the file."
    )


def test_a_blank_where_two_pieces_of_a_long_file_meet_is_found() -> None:
    rows = '1234567,"a"\n' * (2**20 // 12 + 1)
    rows = "n,name\n" + rows[: 2**20 - len("n,name\n") - 1].rpartition("\n")[0]
    filler = "x" * (2**20 - len(rows) - len("\n1,,"))
    Path("t.csv").write_text(f'{rows}\n1,{filler}, "b"\n')
    assert Path("t.csv").read_text()[2**20 - 1 :].startswith(', "b"')
    assert without_blanks("t.csv", ",") != "t.csv"
    Path("t.csv").write_text(f'{rows}\n1,{filler},"b"\n')
    assert without_blanks("t.csv", ",") == "t.csv"


def test_row_labels_of_pandas_are_left_out_with_a_warning(
    rng: np.random.Generator, caplog: pytest.LogCaptureFixture
) -> None:
    """Files of one data set may differ in them: pandas writes no column for labels that are a range."""
    frame = people(rng).to_pandas().drop(columns="score")
    frame.set_index(pd.Index(rng.permutation(len(frame)), name="customer_id")).to_parquet("a.parquet")
    frame.set_index(pd.Index(rng.permutation(len(frame)))).to_parquet("b.parquet")
    frame.to_parquet("c.parquet")
    result = CliRunner().invoke(boxkite, ["baseline", "a.parquet", "b.parquet", "c.parquet", "--out", "b.prom"])
    assert result.exit_code == 0
    assert [item.name for item in Baseline.load("b.prom").features] == list(frame.columns)
    assert caplog.messages == [
        "Row labels of pandas (its index) are left out: 'customer_id', '__index_level_0__'. If the model gets them, "
        "write df.reset_index()."
    ]

    caplog.clear()
    kept = made("a.parquet", "--output-column", "customer_id", "--out", "b.prom")
    assert [item.name for item in kept.outputs] == ["customer_id"]
    assert CliRunner().invoke(boxkite, ["compare", "b.prom", "a.parquet"]).exit_code == 0
    made("a.parquet", "--exclude", "customer_id", "--out", "b.prom")
    assert [message for message in caplog.messages if message.startswith("Row labels")] == []
    url = Path("a.parquet").absolute().as_uri()
    assert "customer_id" not in [item.name for item in made(url, "--out", "b.prom").features]


def test_training_data_is_not_overwritten(directory: Path) -> None:
    Path("x.csv").write_text("x\n1\n2\n")
    result = CliRunner().invoke(boxkite, ["baseline", "x.csv", "--out", "x.csv"])
    assert (result.exit_code, result.output) == (
        1,
        "Error: 'x.csv' is a name for data. Choose another name for the baseline, such as 'baseline.prom'.\n",
    )
    assert Path("x.csv").read_text() == "x\n1\n2\n"


def test_of_many_columns_only_some_are_named() -> None:
    pl.DataFrame({f"c{number}": [1, 2] for number in range(1000)}).write_csv("wide.csv")
    line = refused("wide.csv", "--exclude", "zzz")
    assert line.endswith("There are: 'c0', 'c1', " + ", ".join(f"'c{n}'" for n in range(2, 20)) + " and 980 more.")


def test_an_error_is_one_line_whatever_the_names() -> None:
    assert refused("a\nb.csv") == "Error: There is no file 'a�b.csv', or its folder cannot be read."


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions.")
def test_a_folder_that_cannot_be_read_is_one_line(directory: Path) -> None:
    (directory / "locked").mkdir(mode=0)
    for name in ("locked/x.csv", "locked/*.csv"):
        reason = re.escape(f"There is no file '{name}', or its folder cannot be read.")
        with unprivileged(), pytest.raises(BaselineError, match=f"^{reason}$"):
            scan([name])


@contextmanager
def unprivileged() -> Iterator[None]:
    """Act as a user who may not read everything."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
