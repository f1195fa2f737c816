"""`challenge`, of records that two services logged by the same keys."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from flask_boxkite import ModelMonitoringService
from flask_boxkite.cli import boxkite
from flask_boxkite.records import Records
from tests.baseline.training.building import built
from tests.cli.commands import run


@dataclass
class World:
    """Records of two versions of one model, the second of which errs less.

    Attributes:
        directory: Directory of the records and files.
    """

    directory: Path

    def path(self, name: str) -> str:
        return str(self.directory / name)

    @property
    def words(self) -> list[str]:
        """The words that name records and baselines."""
        return ["--records", self.path("records"), "--champion", self.path("v1.prom"), *self.challenger]

    @property
    def challenger(self) -> list[str]:
        """The words that name the challenger."""
        return ["--challenger", self.path("v2.prom")]

    @property
    def outcomes(self) -> list[str]:
        """The words that name the outcomes."""
        return ["--outcomes", self.path("outcomes.csv"), "--key", "key", "--actual-column", "came true"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World(tmp_path_factory.mktemp("challenge"))
    rng = np.random.default_rng(0)
    x = rng.random(300)
    for version, noise in (("v1", 9.0), ("v2", 3.0)):
        baseline = built({"x": x}, 100 * x + noise * rng.normal(size=300), actual=100 * x, version=version)
        baseline.dump(world.path(f"{version}.prom"))
        service = ModelMonitoringService(baseline, model=version, log_dir=world.directory / "records")
        for row, value in enumerate(x.tolist()):
            service.log_prediction(features=[value], output=100 * value + noise * rng.normal(), key=row)
        service.close()
    with (world.directory / "outcomes.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("key", "came true"), *enumerate((100 * x).tolist()), ("nonsense", 1)])
    return world


def challenge(*words: str) -> Result:
    return CliRunner(env={"COLUMNS": "100"}).invoke(boxkite, ["challenge", *words])


def report_of(world: World) -> Any:
    return Records(world.path("records")).challenge(
        world.path("v1.prom"),
        world.path("v2.prom"),
        outcomes=world.path("outcomes.csv"),
        key="key",
        actual="came true",
    )


def test_the_command_says_what_the_api_says(world: World) -> None:
    report = report_of(world)
    assert (report.verdict, report.outcomes, report.rejected["unknown"]) == ("better", 300, 1)
    assert challenge(*world.words, *world.outcomes).stdout == f"{report}\n"
    assert challenge(*world.words, *world.outcomes, "--format", "markdown").stdout == f"{report.to_markdown()}\n"
    told = json.loads(challenge(*world.words, *world.outcomes, "--format", "json").stdout)
    assert told == {"format": 1, "challenge": report.to_dict()}
    shown = challenge(*world.words, "--key", "key").stdout
    assert "Both models answered 300 rows by key." in shown


def test_outcomes_that_cannot_be_read_leave_no_verdict(world: World, tmp_path: Path) -> None:
    head, *lines = Path(world.path("outcomes.csv")).read_text().splitlines()
    odd = [f"{line.split(',')[0]},n/a" if number < 150 else line for number, line in enumerate(lines)]
    (tmp_path / "odd.csv").write_text("\n".join([head, *odd]) + "\n")
    words = ["--outcomes", str(tmp_path / "odd.csv"), "--key", "key", "--actual-column", "came true"]
    result = challenge(*world.words, *words, "--fail-on", "not-better")
    assert result.exit_code == 3, result.output
    assert "150 of 300 outcomes could not be read, too many for a verdict: " in " ".join(result.stdout.split())


def test_several_processes_count_the_same(world: World) -> None:
    alone, shared = (challenge(*world.words, *world.outcomes, *more).output for more in ([], ["--workers", "2"]))
    assert shared == alone == f"{report_of(world)}\n"


def test_a_file_gets_all_of_it(world: World, tmp_path: Path) -> None:
    assert challenge(*world.words, *world.outcomes, "--output", str(tmp_path / "c.txt")).output == ""
    assert (tmp_path / "c.txt").read_text("utf-8") == f"{report_of(world)}\n"


@pytest.mark.parametrize(
    ("champion", "challenger", "fail_on", "verdict", "code"),
    [
        ("v1", "v2", "worse", "better", 0),
        ("v1", "v2", "not-better", "better", 0),
        ("v2", "v1", "worse", "worse", 3),
        ("v2", "v1", "not-better", "worse", 3),
    ],
)
def test_the_verdict_decides(
    world: World, champion: str, challenger: str, fail_on: str, verdict: str, code: int
) -> None:
    words = ["--champion", world.path(f"{champion}.prom"), "--challenger", world.path(f"{challenger}.prom")]
    result = challenge("--records", world.path("records"), *words, *world.outcomes, "--fail-on", fail_on)
    assert result.exit_code == code, result.output
    assert result.stderr == (f"The verdict on the challenger is: {verdict}.\n" if code else "")


def test_a_process_fails_where_too_little_is_known(world: World) -> None:
    words = [*world.words, *world.outcomes, "--alpha", "1e-300", "--fail-on", "not-better"]
    done = run("challenge", *words, cwd=world.directory)
    assert (done.returncode, done.stderr) == (3, "The verdict on the challenger is: no difference shown.\n")


def test_models_may_be_told_apart_by_names_and_places(world: World) -> None:
    by_name = challenge(*world.words, *world.outcomes, "--model", "v1", "--challenger-model", "v2")
    assert by_name.stdout == f"{report_of(world)}\n"
    elsewhere = challenge(*world.words, *world.outcomes, "--model", "v1", "--challenger-records", world.path("records"))
    assert elsewhere.exit_code == 1
    assert "The records are of several models: 'v1', 'v2'" in elsewhere.stderr


def test_a_model_without_records_is_named(world: World) -> None:
    words = [*world.words, *world.outcomes, "--end", "2020-01-01"]
    quiet, strict = challenge(*words), challenge(*words, "--fail-on", "worse")
    assert quiet.exit_code == 0
    assert "There are no records of the champion in this period, baseline " in quiet.stderr
    assert "found by the name of their model: --challenger-model" in quiet.stderr
    assert (strict.exit_code, strict.stdout) == (1, "")
    assert strict.stderr.startswith("Error: There are no records of the champion in this period")


def test_damaged_records_are_told(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "records" / "m" / "2026-01-01"
    folder.mkdir(parents=True)
    (folder / "0800_boxkite-pod-1.txt").write_text("{}\n")
    result = challenge("--records", str(tmp_path / "records"), *world.words[2:], "--key", "key")
    assert f"Some data at '{tmp_path / 'records'}' is not a record and was left out: 1 no_record." in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--fail-on", "worse"], "'--fail-on' needs the outcomes: --outcomes"),
        (["--alpha", "nan"], "Invalid value for '--alpha': 'nan' is not a number."),
    ],
)
def test_options_that_do_not_fit_are_refused(world: World, words: list[str], message: str) -> None:
    result = challenge(*world.words, *words)
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (2, f"Error: {message}")
