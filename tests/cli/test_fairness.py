"""`fairness`, and `performance --by`, of records whose groups stand beside the features or in a file of outcomes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas
import pytest
from click.testing import CliRunner, Result

from flask_boxkite import Baseline
from flask_boxkite.cli import boxkite
from flask_boxkite.records import Records
from tests.baseline.training.building import built
from tests.cli.commands import run
from tests.records.archives import record, write


@dataclass
class World:
    """Records of a model that selects women less often, and outcomes of its predictions.

    Attributes:
        directory: Directory of the records and files.
    """

    directory: Path

    def path(self, name: str) -> str:
        return str(self.directory / name)

    @property
    def words(self) -> list[str]:
        """The words that name records and baseline."""
        return ["--records", self.path("records"), "--baseline", self.path("credit.prom")]

    @property
    def outcomes(self) -> list[str]:
        """The words that name the outcomes."""
        return ["--outcomes", self.path("outcomes.csv"), "--key", "entity_id", "--actual-column", "repaid"]

    @property
    def baseline(self) -> Baseline:
        return Baseline.load(self.path("credit.prom"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World(tmp_path_factory.mktemp("fairness"))
    rng = np.random.default_rng(0)
    score = rng.random(1000)
    baseline = built({"x": rng.random(1000)}, score, actual=(rng.random(1000) < score).astype(int))
    baseline.dump(world.path("credit.prom"))
    sexes, regions = rng.choice(["F", "M"], 900), rng.choice(["east", "west"], 900)
    scores = np.where(sexes == "F", 0.8, 1.0) * rng.random(900)
    lines = [
        record({"x": 0.5, "sex": str(sex)}, output=score, entity_id=f"e-{row}", baseline=baseline.fingerprint)
        for row, (sex, score) in enumerate(zip(sexes, scores.tolist(), strict=True))
    ]
    write(world.directory / "records", *lines)
    ids = [f"e-{row}" for row in range(900)]
    repaid = (rng.random(900) < scores).astype(int)
    frame = pandas.DataFrame({"entity_id": ids, "repaid": repaid, "region": regions})
    frame.to_csv(world.path("outcomes.csv"), index=False)
    frame.drop(columns="repaid").to_csv(world.path("regions.csv"), index=False)
    return world


def command(*words: str) -> Result:
    return CliRunner(env={"COLUMNS": "100"}).invoke(boxkite, [*words])


# --- fairness --------------------------------------------------------------------------------------------------------


def test_the_command_says_what_the_api_says(world: World) -> None:
    words = ["fairness", *world.words, "--by", "sex", *world.outcomes]
    report = Records(world.path("records")).fairness(
        world.baseline, by="sex", outcomes=world.path("outcomes.csv"), key="entity_id", actual="repaid"
    )
    for more in ([], ["--workers", "2"]):
        assert command(*words, *more).output == f"{report}\n"
    assert command(*words, "--format", "markdown").output == f"{report.to_markdown()}\n"
    assert json.loads(command(*words, "--format", "json").stdout) == {"format": 1, "fairness": report.to_dict()}


def test_options_are_the_ones_of_the_api(world: World, tmp_path: Path) -> None:
    given = ["--reference", "F", "--positive", "0", "--threshold", "0.4", "--alpha", "0.01", "--least-ratio", "0.9"]
    words = ["fairness", *world.words, "--by", "sex", *given, "--most-difference", "0.05"]
    report = Records(world.path("records")).fairness(
        world.baseline,
        by="sex",
        reference="F",
        positive=0,
        threshold=0.4,
        alpha=0.01,
        least_ratio=0.9,
        most_difference=0.05,
    )
    assert command(*words, "--output", str(tmp_path / "f.txt")).output == ""
    assert (tmp_path / "f.txt").read_text("utf-8") == f"{report}\n"


def test_groups_may_be_all_that_outcomes_bring(world: World) -> None:
    words = ["fairness", *world.words, "--by", "region", "--key", "entity_id", "--groups-only"]
    shown = command(*words, "--outcomes", world.path("regions.csv"))
    assert shown.exit_code == 0
    assert "east" in shown.output
    assert "positives" not in shown.output
    assert command(*words).exit_code == 2


@pytest.mark.parametrize(
    ("by", "fail_on", "verdict"),
    [
        ("sex", "unequal", "unequal"),
        ("sex", "not-within-limits", "unequal"),
        ("region", "unequal", None),
        ("region", "not-within-limits", "not enough data"),
    ],
)
def test_the_verdict_decides(world: World, by: str, fail_on: str, verdict: str | None) -> None:
    result = command("fairness", *world.words, "--by", by, *world.outcomes, "--fail-on", fail_on)
    assert result.exit_code == (3 if verdict else 0), result.output
    assert result.stderr == (f"The verdict on groups by '{by}' is: {verdict}.\n" if verdict else "")


def test_outcomes_that_cannot_be_read_leave_no_verdict(world: World, tmp_path: Path) -> None:
    known = pandas.read_csv(world.path("outcomes.csv"), dtype=str)
    known.loc[known.index < 400, "repaid"] = "Paid"
    known.to_csv(tmp_path / "odd.csv", index=False)
    words = ["fairness", *world.words, "--by", "region", "--outcomes", str(tmp_path / "odd.csv")]
    result = command(*words, "--key", "entity_id", "--actual-column", "repaid", "--fail-on", "not-within-limits")
    assert result.exit_code == 3, result.output
    text = " ".join(result.stdout.split())
    assert "400 of 900 outcomes could not be read: texts like 'aaaa'" in text
    assert "where the model has '0.0' and '1.0'." in text


def test_a_process_ends_with_three(world: World) -> None:
    done = run("fairness", *world.words, "--by", "sex", "--fail-on", "unequal", cwd=world.directory)
    assert (done.returncode, done.stderr) == (3, "The verdict on groups by 'sex' is: unequal.\n")


def test_a_column_without_values_is_an_error(world: World) -> None:
    for name in ("fairness", "performance"):
        result = command(name, *world.words, "--by", "gender")
        assert result.exit_code == 1
        assert "No record has a value of 'gender'. There are: 'x', 'output', 'model', 'baseline', " in result.stderr
        assert "Did you mean 'version'?" in command(name, *world.words, "--by", "versoin").stderr


def test_no_records_are_said(world: World) -> None:
    for name, strict in (("fairness", ["--fail-on", "unequal"]), ("performance", [])):
        result = command(name, *world.words, "--by", "sex", "--end", "2020-01-01", *strict)
        assert "There are no records of this model and period" in result.stderr
        assert result.exit_code == len(strict) // 2


# --- performance by segment ------------------------------------------------------------------------------------------


def test_performance_by_segment_is_the_one_of_the_api(world: World) -> None:
    words = ["performance", *world.words, *world.outcomes, "--by", "sex"]
    report = Records(world.path("records")).performance(
        world.baseline, outcomes=world.path("outcomes.csv"), key="entity_id", actual="repaid", by="sex"
    )
    assert command(*words).output == f"{report}\n"
    assert command(*words, "--format", "markdown").output == f"{report.to_markdown()}\n"
    assert json.loads(command(*words, "--format", "json").stdout) == {"format": 1, "performance": report.to_dict()}
    assert command(*words, "--fail-on", "worse").exit_code == 0


def test_a_worse_segment_ends_with_three(world: World, tmp_path: Path) -> None:
    frame = pandas.read_csv(world.path("outcomes.csv"))
    sexes = [line["features"]["sex"] for line in map(json.loads, lines_of(world))]
    frame["repaid"] = np.where(np.array(sexes) == "F", 1 - frame["repaid"], frame["repaid"])
    frame.to_csv(tmp_path / "turned.csv", index=False)
    words = [*world.words, *world.outcomes[2:], "--outcomes", str(tmp_path / "turned.csv")]
    result = command("performance", *words, "--by", "sex", "--fail-on", "worse")
    assert (result.exit_code, result.stderr) == (3, "Worse than validated: 1 segment.\n")


def lines_of(world: World) -> list[str]:
    (path,) = (world.directory / "records").rglob("*.txt")
    return path.read_text("utf-8").splitlines()


def test_segments_are_of_records(tmp_path: Path) -> None:
    result = command("performance", "--state-dir", str(tmp_path), "--by", "sex")
    assert result.exit_code == 2
    assert "'--by' needs '--records'." in result.stderr
