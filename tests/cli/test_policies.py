"""Options of commands that say how variables are judged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.cli import boxkite
from flask_boxkite.policies import Policy
from tests.cli.commands import people, refused


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> Path:
    """Go where there are training data, data of older people, and records of them."""
    monkeypatch.chdir(tmp_path)
    people(rng).write_parquet("train.parquet")
    older = people(rng, 400, older=12).with_columns(score=people(rng, 400)["score"])
    older.write_parquet("older.parquet")
    assert command("baseline", "train.parquet", "--out", "b.prom", "--output-column", "score").exit_code == 0
    service = ModelMonitoringService("b.prom", log_dir="records")
    for row in older.to_dicts():
        service.log_prediction(output=row.pop("score"), features=row)
    service.close()
    return tmp_path


def command(*words: str) -> Result:
    return CliRunner(env={"COLUMNS": "100"}).invoke(boxkite, list(words))


def verdicts(*words: str) -> dict[str, str]:
    """Return the verdicts in the JSON of a command."""
    result = command(*words, "--format", "json")
    assert result.exit_code == 0, result.output
    (model,) = json.loads(result.stdout)["models"]
    found: list[dict[str, Any]] = model["drift"]["variables"]
    return {item["name"]: item["verdict"] for item in found}


DECISIONS = ["--ignore", "kids", "--weight", "age=3", "--weight", "city=0", "--drift-size", "age=0.2,9"]


def test_baseline_writes_them_and_says_so() -> None:
    result = command("baseline", "train.parquet", "--out", "own.prom", *DECISIONS, "--drift-size", "income=0.2")

    assert result.exit_code == 0, result.output
    assert Baseline.load("own.prom").policies == (
        Policy("age", None, 3.0, 0.2, 9.0),
        Policy("income", None, None, 0.2),
        Policy("city", None, 0.0),
        Policy("kids", True),
    )
    assert (
        "  ignored: city, kids\n  weights: age 3\n  drifted and major from: age 0.2 and 9, income 0.2 and 0.25\n"
        in (result.stdout)
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--weight age", "'--weight' must be a name and a number, such as 'income=3', got 'age'."),
        ("--weight age=much", "'--weight' must be a name and a number, such as 'income=3', got 'age=much'."),
        (
            "--drift-size age=1,2,3",
            "'--drift-size' must be a name and one or two numbers, such as 'age=0.2' or 'age=0.2,0.5', got "
            "'age=1,2,3'.",
        ),
        ("--ignore agee", "'--ignore' names 'agee', which the data does not have. Did you mean 'age'?"),
        ("--weight agee=3", "'--weight' names 'agee', which the data does not have. Did you mean 'age'?"),
    ],
)
def test_baseline_refuses_others(words: str, message: str) -> None:
    assert refused("train.parquet", *words.split()).startswith(f"Error: {message}".partition(", which")[0])


@pytest.mark.parametrize(
    "words",
    [["compare", "b.prom", "older.parquet"], ["drift", "--records", "records", "--baseline", "b.prom"]],
    ids=["compare", "records"],
)
def test_they_change_verdicts_and_exit_codes(words: list[str]) -> None:
    before = verdicts(*words)
    assert (before["age"], before["kids"]) == ("major", "major")
    assert command(*words, "--fail-on", "drifted").exit_code == 3

    own = verdicts(*words, "--ignore", "kids", "--drift-size", "age=8,9")
    assert (own["age"], own["kids"]) == ("shifted", "ignored")
    assert {name: own[name] for name in own.keys() - {"age", "kids"}} == {
        name: before[name] for name in before.keys() - {"age", "kids"}
    }
    result = command(*words, "--ignore", "kids", "--drift-size", "age=8,9", "--fail-on", "drifted")
    assert result.exit_code == 0, result.output
    assert "1 is ignored" in result.stdout


def test_they_win_over_the_baseline() -> None:
    assert (
        command("baseline", "train.parquet", "--out", "own.prom", "--output-column", "score", *DECISIONS).exit_code == 0
    )
    words = ["compare", "own.prom", "older.parquet"]
    assert {name: verdict for name, verdict in verdicts(*words).items() if name in ("age", "city", "kids")} == {
        "age": "drifted",
        "city": "ignored",
        "kids": "ignored",
    }
    own = verdicts(*words, "--judge", "kids", "--weight", "city=1", "--drift-size", "age=0.1,0.25")
    assert (own["age"], own["kids"]) == ("major", "major")
    assert "ignored" not in own.values()
    both = command(*words, "--judge", "kids", "--ignore", "kids")
    assert both.stderr.strip() == "Error: '--ignore' and '--judge' both name 'kids'. Remove it from one of them."
    zero = command(*words, "--judge", "city")
    assert "'city' is not to be ignored, but its weight is 0" in zero.stderr


def test_segments_leave_ignored_variables_out_of_their_counts() -> None:
    words = ["drift", "--records", "records", "--baseline", "b.prom", "--by", "member"]
    assert "2/5" in command(*words).stdout
    assert "1/4" in command(*words, "--ignore", "kids").stdout
    assert "major" not in command(*words, "--ignore", "kids", "--ignore", "age").stdout


def test_a_server_has_its_own() -> None:
    result = command("drift", "--url", "http://localhost:1/boxkite", "--drift-size", "age=0.2")
    assert result.exit_code == 2
    assert "'--drift-size' does not apply to this source." in result.stderr


def test_a_variable_that_cannot_be_compared_is_no_failure_where_it_is_ignored() -> None:
    """The income of other people has other bins."""
    assert command("baseline", "older.parquet", "--out", "older.prom", "--output-column", "score").exit_code == 0
    result = command("compare", "b.prom", "older.prom", "--fail-on", "major", "--ignore", "kids")
    assert result.exit_code == 1
    left_out = [name for name in ("age", "income", "score") if f"'{name}'" in result.stderr]
    ignored = [word for name in {*left_out, "kids"} for word in ("--ignore", name)]
    assert command("compare", "b.prom", "older.prom", "--fail-on", "major", *ignored).exit_code == 0


def test_inspect_shows_them() -> None:
    assert command("baseline", "train.parquet", "--out", "own.prom", *DECISIONS).exit_code == 0
    shown = command("inspect", "own.prom").stdout
    assert "Ignored: city, kids." in shown
    assert "Weights: age 3." in shown
    content = json.loads(command("inspect", "own.prom", "--format", "json").stdout)
    assert {item["name"]: item["policy"] for item in content["features"] if item["policy"]} == {
        "age": {"weight": 3.0, "drifted": 0.2, "major": 9.0},
        "city": {"weight": 0.0},
        "kids": {"ignore": True},
    }
