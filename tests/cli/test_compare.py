"""`compare` counts new training data as a server does, with independent rows."""

from __future__ import annotations

import json
import re
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner, Result

from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.baseline.distribution import Continuous, Discrete
from flask_boxkite.cli import boxkite
from flask_boxkite.cli.rebinning import ColumnCounter, count_columns, recount
from flask_boxkite.config import Settings
from flask_boxkite.derived import Text
from flask_boxkite.drift.report import drift_report
from flask_boxkite.drift.wording import size_cell
from flask_boxkite.errors import BinMismatchError
from tests.cli.commands import people, run


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> Path:
    """Go where there are a baseline, data like it, data of older people, and baselines of both."""
    monkeypatch.chdir(tmp_path)
    for name, frame in {"a": people(rng), "same": people(rng), "older": people(rng, older=8)}.items():
        frame.write_parquet(f"{name}.parquet")
        ModelMonitoringService.export_text(
            frame.drop("score"),
            frame.select("score"),
            f"{name}.prom",
            model="m",
            segments=["kids"],
            actual=(frame["score"] > 0.5).to_list(),
        )
    return tmp_path


def compare(*words: str) -> Result:
    return CliRunner(env={"COLUMNS": "100"}).invoke(boxkite, ["compare", *words])


def variables(*words: str) -> list[dict[str, Any]]:
    """Return the variables of the only model of the JSON."""
    result = compare(*words, "--format", "json")
    assert result.exit_code == 0, result.output
    (model,) = json.loads(result.stdout)["models"]
    found: list[dict[str, Any]] = model["drift"]["variables"]
    return found


def counted(frame: pl.DataFrame, alpha: float = Settings.drift_alpha) -> list[dict[str, Any]]:
    """Return the verdicts on what a server counts of all rows, taken as one sample of independent rows."""
    service = ModelMonitoringService("a.prom", sink="none")
    service.log_prediction(
        features=[list(row) for row in frame.drop("score").iter_rows()], output=frame["score"].to_list()
    )
    return drift_report("m", Baseline.load("a.prom"), service.monitor.observe().cells, alpha=alpha).to_rows()


# --- data ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_data_is_judged_by_what_a_server_counts(kind: str) -> None:
    frame = pl.read_parquet("older.parquet")
    frame.write_csv("older.csv")
    frame.write_ndjson("older.jsonl")
    found = variables("a.prom", f"older.{kind}")
    assert found == counted(frame)
    assert [item["name"] for item in found if item["verdict"] == "major"] == ["age", "kids"]


def test_pieces_of_data_add_up() -> None:
    """The 600 rows are counted in ten pieces, and in one."""
    baseline = Baseline.load("a.prom")
    pieces, whole = ([(item.name, ColumnCounter(item)) for item in baseline.features] for _ in range(2))
    count_columns(pl.scan_parquet("older.parquet"), pieces, piece_rows=64)
    count_columns(pl.scan_parquet("older.parquet"), whole)
    assert [counter.cells.tolist() for _, counter in pieces] == [counter.cells.tolist() for _, counter in whole]
    assert all(counter.cells.sum() == 600 for _, counter in pieces)


def test_a_process_shows_what_moved_and_how_far(directory: Path) -> None:
    done = run("compare", "a.prom", "older.parquet", cwd=directory)
    (age, kids, *_) = counted(pl.read_parquet("older.parquet"))
    fingerprint = Baseline.load("a.prom").fingerprint
    lines = done.stdout.splitlines()

    assert (done.returncode, done.stderr) == (0, "")
    assert lines[0] == f"m: 2 of 6 variables drifted in older.parquet. Baseline {fingerprint}."
    assert lines[4].split()[:3] == ["age", "major", f"{age['size']:.2f}"]
    assert lines[5].split()[:3] == ["kids", "major", f"{kids['size']:.2f}"]
    assert lines[-1] == "4 stable (--all lists them)"


def test_all_variables_are_listed_if_asked_for() -> None:
    lines = compare("a.prom", "same.parquet", "--all").output.splitlines()
    assert [line.split()[0] for line in lines[4:]] == [
        item["name"] for item in counted(pl.read_parquet("same.parquet"))
    ]


def test_values_that_training_had_not_are_counted_as_a_server_counts_them() -> None:
    frame = pl.DataFrame(
        {
            "age": [1e9, -1e9, float("nan"), float("inf"), None, 40.0],
            "income": [1.0, 2.0, 3.0, 4.0, 5.0, None],
            "city": ["Paris", "", None, "Rome", "rome", "Oslo"],
            "kids": [99, 0, 1, None, 2, 3],
            "member": [True, False, None, True, True, True],
            "score": [0.5, 0.1, 0.2, None, 0.3, 2.0],
        }
    )
    frame.write_parquet("odd.parquet")
    assert variables("a.prom", "odd.parquet") == counted(frame)


@pytest.mark.parametrize(
    "column",
    [
        pytest.param(pl.Series([0.1, 0.7, 0.3, None, 0.1], dtype=pl.Float32), id="narrow floats"),
        pytest.param(pl.Series([1, 2, None, 2**40]), id="integers"),
        pytest.param(pl.Series([1, None, 2**70], dtype=pl.Int128), id="integers of 128 bits"),
        pytest.param(pl.Series(["0.1", "x", None, "0.7"]), id="texts"),
        pytest.param(pl.Series(["", "1", None, " "]), id="empty texts"),
        pytest.param(pl.Series([True, None, False]), id="booleans"),
        pytest.param(pl.Series(["0.1", "0.7", None]).cast(pl.Decimal(10, 2)), id="decimals"),
        pytest.param(pl.Series([], dtype=pl.Float64), id="none"),
        pytest.param(pl.Series([None, None]), id="nulls"),
    ],
)
@pytest.mark.parametrize(
    "item",
    [
        Continuous("x", (0.1, 0.7, 3.0), (1, 1, 1, 0), (0.1, 0.7, 3.0)),
        Discrete("x", ("0.1", "1.0"), (2, 1)),
        Discrete("x", ("x", "0.7"), (2, 1), rare=1),
        Discrete("x", ("x", "1", ""), (2, 1, 1)),
    ],
    ids=["continuous", "numbers", "texts with rare ones", "texts"],
)
def test_a_column_is_counted_value_by_value_as_a_server_does(item: Continuous | Discrete, column: pl.Series) -> None:
    service = ModelMonitoringService(Baseline((item,), (), 3), sink="none")
    values = column.to_numpy() if column.dtype == pl.Float32 else column.to_list()
    for value in values:
        service.log_prediction(features={"x": None if value != value else value})
    counter = ColumnCounter(item)
    for piece in (column[:2], column[2:]):
        counter.add(piece)
    assert counter.cells.tolist() == service.monitor.observe().cells[: len(item.cells)].tolist()


@pytest.fixture
def typed(rng: np.random.Generator) -> list[str]:
    """Write the same rows in every format, and a baseline of those that have types; return the names."""
    rows = 600
    frame = pl.DataFrame(
        {
            "zip": rng.choice(["02134", "10001"], rows),
            "country": rng.choice(["NA", "DE", "null", "-"], rows),
            "version": rng.choice(["1.5", "1.10", "2.0"], rows),
            "float32": pl.Series(rng.integers(0, 9, rows) / 10, dtype=pl.Float32),
            "flag": rng.random(rows) > 0.5,
            "word": rng.choice(["true", "false"], rows),
            "x": rng.normal(size=rows),
            "gaps": [None if place % 5 == 0 else float(place % 70) for place in range(rows)],
            "texts with gaps": [None if place % 4 == 0 else f"t{place % 3}" for place in range(rows)],
        }
    )
    frame.write_parquet("t.parquet")
    frame.write_csv("t.csv")
    frame.write_ndjson("t.jsonl")
    frame.to_pandas().to_csv("pandas.csv", index=False)
    frame.to_pandas().to_json("pandas.jsonl", orient="records", lines=True)
    Path("python.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in frame.to_dicts()))
    ModelMonitoringService.export_text(frame, path="typed.prom", model="m")
    return ["t.parquet", "t.csv", "t.jsonl", "pandas.csv", "pandas.jsonl", "python.jsonl"]


def test_the_same_rows_are_stable_in_every_format(typed: list[str]) -> None:
    for name in typed:
        assert {item["name"]: item["verdict"] for item in variables("typed.prom", name)} == dict.fromkeys(
            ["zip", "country", "version", "float32", "flag", "word", "x", "gaps", "texts with gaps"], "stable"
        ), name


def test_texts_among_the_numbers_of_new_data_are_invalid_as_they_are_live(typed: list[str]) -> None:
    """Data for a baseline is refused for less, but here it is the baseline that knows what the column is."""
    texts = pl.read_csv("t.csv", infer_schema=False)
    odd = texts.with_columns(gaps=pl.when(pl.int_range(pl.len()) % 9 == 0).then(pl.lit("?")).otherwise("gaps"))
    odd.write_csv("odd.csv")

    (gaps,) = (item for item in variables("typed.prom", "odd.csv") if item["name"] == "gaps")
    assert gaps["invalid_now"] == pytest.approx(67 / 600, abs=1e-3)
    (gaps,) = (item for item in variables("typed.prom", "odd.csv", "--missing-text", "?") if item["name"] == "gaps")
    assert gaps["invalid_now"] == 0


def test_a_feature_that_is_not_there_is_named() -> None:
    pl.read_parquet("same.parquet").rename({"age": "Age"}).write_csv("new.csv")
    result = compare("a.prom", "new.csv")
    assert (result.exit_code, result.output) == (
        1,
        "Error: The data has no column 'age', but the baseline has. Did you mean 'Age'? (--exclude leaves it out.)\n",
    )
    result = compare("a.prom", "new.csv", "--exclude", "age")
    assert (result.exit_code, result.stderr) == (0, "Not in the baseline, so left out: 'Age'.\n")
    assert "0 of 5 variables" in result.stdout


def test_what_is_left_out_is_not_told_as_unknown() -> None:
    words = [word for item in variables("a.prom", "same.parquet")[1:] for word in ("--exclude", item["name"])]
    result = compare("a.prom", "same.parquet", *words)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "0 of 1 variables" in result.stdout
    result = compare("a.prom", "same.parquet", *words, "--exclude", variables("a.prom", "same.parquet")[0]["name"])
    assert (result.exit_code, result.output) == (
        1,
        "Error: Nothing in 'same.parquet' can be compared with 'a.prom'. Exclude fewer variables (--exclude).\n",
    )


def test_outputs_need_not_be_in_the_data() -> None:
    pl.read_parquet("same.parquet").drop("score").write_csv("new.csv")
    result = compare("a.prom", "new.csv", "--fail-on", "shifted")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "0 of 5 variables" in result.stdout


# --- another baseline ------------------------------------------------------------------------------------------------


def test_a_baseline_is_as_itself() -> None:
    result = compare("a.prom", "a.prom", "--fail-on", "shifted")
    assert (result.exit_code, result.stderr) == (0, "")
    assert all(item["psi"] == 0 for item in variables("a.prom", "a.prom"))


def test_finer_bins_give_the_numbers_of_the_data_itself() -> None:
    frame = pl.read_parquet("older.parquet").drop("score", "income")
    bounds = Baseline.load("a.prom").features[0].upper_bounds  # type: ignore[union-attr]
    finer = sorted({*bounds, *np.linspace(bounds[0], bounds[-1], 30).tolist()})
    ModelMonitoringService.export_text(frame, path="finer.prom", bins={"age": finer})
    words = "--exclude", "score", "--exclude", "income"
    assert variables("a.prom", "finer.prom", *words) == variables("a.prom", "older.parquet", *words)


def test_other_bins_cannot_be_compared() -> None:
    result = compare("a.prom", "same.prom")
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        "Not compared: 'age', 'income', 'score', since each has other bins.",
        "Give the data from which 'same.prom' was made to compare all variables: flask boxkite compare a.prom DATA",
    ]
    assert "0 of 3 variables" in result.stdout


def test_what_cannot_be_compared_has_not_passed() -> None:
    result = compare("a.prom", "same.prom", "--fail-on", "major")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == (
        "Error: 3 variables could not be compared. Give the data instead, or leave them out: --exclude"
    )


def test_where_nothing_can_be_compared_the_data_is_asked_for() -> None:
    ModelMonitoringService.export_text({"other": [1.0, 2.0, 3.0]}, path="other.prom")
    result = compare("a.prom", "other.prom")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[:-1] == [
        "Not compared: 'age', 'income', 'city', 'kids', 'member', since the other baseline has no such feature.",
        "Not compared: 'score', since the other baseline has no such output.",
    ]
    assert result.stderr.splitlines()[-1] == (
        "Error: Nothing in 'other.prom' can be compared with 'a.prom'. Give the data from which it was made instead."
    )


def test_bins_are_added_up_where_they_tell() -> None:
    coarse = Continuous("x", (1.0, 3.0), (1, 1, 1), (1.0, 3.0))
    fine = Continuous("x", (0.0, 1.0, 2.0, 3.0, 4.0), (1, 2, 4, 8, 16, 32), (0.0, 4.0), missing=5, invalid=7)
    assert recount(coarse, fine).tolist() == [3, 12, 48, 5, 7]
    with pytest.raises(BinMismatchError, match=r"^it has other bins$"):
        recount(fine, coarse)


def test_categories_are_matched_by_name_where_they_tell() -> None:
    ours = Discrete("x", ("a", "b"), (5, 3))
    assert recount(ours, Discrete("x", ("b", "c"), (7, 2), missing=1)).tolist() == [0, 7, 0, 2, 1, 0]
    with_rare = Discrete("x", ("a", "b"), (5, 3), rare=1)
    assert recount(with_rare, Discrete("x", ("b", "a", "c"), (7, 4, 2), rare=6)).tolist() == [4, 7, 8, 0, 0, 0]
    with pytest.raises(BinMismatchError, match=r"^values that are a category in one are rare in the other$"):
        recount(ours, Discrete("x", ("b",), (7,), rare=1))
    # A few rows of what is not named in a file do not matter.
    assert recount(ours, Discrete("x", ("b",), (700,), rare=4)).tolist() == [0, 700, 4, 0, 0, 0]
    assert recount(ours, Discrete("x", ("b", "c"), (700, 9), rare=4)).tolist() == [0, 700, 4, 9, 0, 0]
    with pytest.raises(BinMismatchError, match=r"^it is discrete in one, continuous in the other$"):
        recount(ours, Continuous("x", (1.0, 3.0), (1, 1, 1), (1.0, 3.0)))


# --- how it is written, and what it means ----------------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "code"), [("shifted", 3), ("drifted", 3), ("major", 3)])
def test_drift_at_or_above_a_verdict_has_an_exit_code(limit: str, code: int) -> None:
    result = compare("a.prom", "older.parquet", "--fail-on", limit)
    assert result.exit_code == code
    assert result.stderr == f"Drift found: 2 variables, {limit} or worse.\n"
    assert compare("a.prom", "same.parquet", "--fail-on", limit).exit_code == 0
    assert compare("a.prom", "older.parquet").exit_code == 0


def test_a_verdict_below_the_limit_passes() -> None:
    """A shift that is real, but small: 0.25 standard deviations of age."""
    rng = np.random.default_rng(1)
    small = pl.concat([people(rng, 6000), people(rng, 6000, older=4)])
    for name, frame in (("big", people(rng, 12000)), ("small", small)):
        frame.select("age").write_parquet(f"{name}.parquet")
    ModelMonitoringService.export_text(pl.read_parquet("big.parquet"), path="big.prom")
    assert [item["verdict"] for item in variables("big.prom", "small.parquet")] == ["shifted"]
    assert compare("big.prom", "small.parquet", "--fail-on", "drifted").exit_code == 0
    assert compare("big.prom", "small.parquet", "--fail-on", "shifted").exit_code == 3


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_a_table_fits_and_has_names_verdicts_and_sizes_first(columns: int) -> None:
    words = ["compare", "a.prom", "older.parquet", "--all"]
    result = CliRunner(env={"COLUMNS": str(columns)}).invoke(boxkite, words)
    lines = result.stdout.splitlines()[4:]
    assert max(map(len, lines)) <= columns
    assert [line.replace(" (output)", "").split()[:3] for line in lines] == [
        [item["name"], item["verdict"], size_cell(item)] for item in variables("a.prom", "older.parquet")
    ]


def test_markdown_is_a_table_of_all_on_request() -> None:
    assert compare("a.prom", "older.parquet", "--format", "markdown").stdout.endswith(
        "\n\n4 stable (--all lists them)\n"
    )
    lines = compare("a.prom", "older.parquet", "--all", "--format", "markdown", "--output", "drift.md").output
    assert lines == ""
    text = Path("drift.md").read_text("utf-8").splitlines()
    assert text[0].startswith("m: 2 of 6 variables drifted in older.parquet.")
    assert [line.split(" | ")[0] for line in text[4:]] == [
        f"| {item['name']}" + (" (output)" if item["side"] == "output" else "")
        for item in counted(pl.read_parquet("older.parquet"))
    ]


def test_html_stands_alone_and_has_the_numbers_of_the_others() -> None:
    pl.read_parquet("older.parquet").rename({"city": "c<i>ty"}).write_parquet("new.parquet")
    ModelMonitoringService.export_text(
        pl.read_parquet("a.parquet").drop("score").rename({"city": "c<i>ty"}), path="b.prom", version="<7>"
    )
    words = ["b.prom", "new.parquet", "--exclude", "member"]
    assert compare(*words, "--format", "html", "--output", "drift.html").output.startswith("Not in the baseline")
    text = Path("drift.html").read_text("utf-8")

    assert "<strong>2 of 4 variables have drifted</strong>\nin new.parquet:" in text
    fingerprint = Baseline.load("b.prom").fingerprint
    assert f"version &lt;7&gt;, baseline {fingerprint}, 600 training rows" in " ".join(text.split())
    assert "Live rows are here the rows of new.parquet." in text
    assert re.findall(r'<th role="rowheader" scope="row">(.+?)</th>', text) == [
        escape(item["name"]) for item in variables(*words)
    ]
    assert [
        re.sub("<.+?>", "", cell) for cell in re.findall(r'data-label="Size" class="number[^"]*">(.+?)</td>', text)
    ] == [size_cell(item).replace("-", "\N{EN DASH}") for item in variables(*words)]
    assert "Predictions" not in text
    assert "<link" not in text
    ids = re.findall(r' id="(.+?)"', text)
    assert len(ids) == len(set(ids))


def test_html_of_another_baseline_has_what_can_be_compared() -> None:
    result = compare("a.prom", "same.prom", "--format", "html")
    assert result.exit_code == 0
    assert "<strong>No variable has drifted</strong> in same.prom." in result.stdout
    assert f"baseline {Baseline.load('a.prom').fingerprint}, " in result.stdout


def test_alpha_decides_what_is_more_than_chance() -> None:
    expected = counted(pl.read_parquet("older.parquet"), alpha=0.01)
    assert variables("a.prom", "older.parquet", "--alpha", "0.01") == expected


@pytest.mark.parametrize("alpha", ["0", "1", "nan"])
def test_alpha_is_a_probability(alpha: str) -> None:
    assert compare("a.prom", "older.parquet", "--alpha", alpha).exit_code == 2


def test_data_in_the_place_of_a_baseline_is_told_what_to_do() -> None:
    result = compare("a.parquet", "same.parquet")
    assert (result.exit_code, result.output) == (
        1,
        "Error: 'a.parquet' is data. Make a baseline from it: flask boxkite baseline a.parquet --out baseline.prom\n",
    )


@pytest.mark.parametrize("name", ["new.feather", "new.json"])
def test_data_of_another_format_is_told_the_suffixes(name: str) -> None:
    """As `baseline` does; a baseline may have any name."""
    frame = pl.read_parquet("same.parquet")
    frame.write_ipc(name) if name.endswith("feather") else frame.write_json(name)
    result = compare("a.prom", name)
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: Baseline file '{name}', line 1: it is not ")
    assert result.output.endswith(
        " If it is data, it has an unknown suffix. Use .csv, .tsv, .parquet, .pq, .jsonl, .ndjson, or for a text "
        "format, '.gz' after that.\n"
    )
    assert "suffix" not in compare("a.prom", "nothing").output


# --- derived variables ----------------------------------------------------------------------------------------------


def test_derived_variables_are_compared_by_their_recipes(rng: np.random.Generator) -> None:
    """Other words of training measure unknown words otherwise; a length is a length."""
    texts = [" ".join(rng.choice(["a", "bc", "def"], rng.integers(1, 9))) for _ in range(400)]
    for name, words in (("first", "{}"), ("second", "no {}")):
        data = {"age": rng.normal(40, 9, 400), "comment": [words.format(text) for text in texts]}
        ModelMonitoringService.export_text(
            data, path=f"{name}.prom", bins={"age": [20, 40, 60]}, derive={"comment": Text("comment")}
        )
        pl.DataFrame(data).write_parquet(f"{name}.parquet")

    result = compare("first.prom", "second.prom")
    assert "it is measured by other words, vectors or rows of training in the other baseline" in result.stderr
    assert "'comment.unknown_words'" in result.stderr
    assert [row["name"] for row in variables("first.prom", "first.prom")] != []
    of_data = compare("first.prom", "second.parquet")
    assert of_data.exit_code == 0
    assert "Derived from rows, so not compared with data: 'comment.length', 'comment.words'," in of_data.stderr
    assert [row["name"] for row in variables("first.prom", "second.parquet")] == ["age"]
    assert compare("first.prom", "second.parquet", "--exclude", "comment.words").exit_code == 0
