"""`performance` of a real server with two workers, by its page and from its state directory, and of logged records."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from sklearn.metrics import accuracy_score

from flask_boxkite import ModelMonitoringService
from flask_boxkite.cli import boxkite
from flask_boxkite.performance.wording import as_markdown, as_text
from flask_boxkite.records import Records
from tests.cli.commands import PLACE, run
from tests.cli.served_outcomes import TOKEN, World
from tests.cli.test_drift import answering
from tests.peers import fetch, wait_for


class Judged(World):
    """A server that has taken outcomes of all predictions but the last ten.

    Attributes:
        outcomes: File of the outcomes.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.outcomes = directory / "outcomes.csv"

    def load(self) -> None:
        super().load()
        pairs = list(zip(self.ids, self.actual.tolist(), strict=True))[:-10]
        with self.outcomes.open("w", newline="") as file:
            csv.writer(file).writerows([("prediction_id", "actual"), *pairs, ("nonsense", 1), pairs[0]])
        answer = fetch(
            self.route,
            data=self.outcomes.read_bytes(),
            headers={"Content-Type": "text/csv", "Authorization": f"Bearer {TOKEN}"},
        )
        assert answer.json()["counted"] == 290
        wait_for(lambda: self.page()["sinks"][0]["waiting"] == 0, what="records in files")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judged]:
    world = Judged(tmp_path_factory.mktemp("performance"))
    with world.server:
        world.load()
        yield world


def performance(*words: str | Path, **env: str) -> Result:
    return CliRunner(env={"COLUMNS": "100", **env}).invoke(boxkite, ["performance", *map(str, words)])


def content(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def of_records(world: Judged, *words: str | Path) -> list[str | Path]:
    return ["--records", world.records, "--baseline", world.baseline, *words]


def rate(world: Judged) -> float:
    """Return the share of right predictions among those with an outcome."""
    share: float = accuracy_score(world.actual[:-10], world.age[:-10] / 100 >= 0.5)
    return share


# --- a running server ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", ["1h", "24h", "start"])
def test_page_and_state_directory_say_the_same(world: Judged, window: str) -> None:
    page = world.page(window)
    by_page = content(performance("--url", world.url, "--token", TOKEN, "--window", window, "--format", "json"))
    by_state = content(performance("--state-dir", world.state, "--window", window, "--format", "json"))
    assert by_page == by_state
    assert list(by_page) == ["format", "window", "models"]
    assert by_page["window"] == page["window"]

    (model,) = by_page["models"]
    assert (model["model"], model["version"]) == ("credit", "7")
    assert model["performance"] == page["models"][0]["performance"]
    report = model["performance"]
    assert report["metrics"][0]["realised"] == pytest.approx(rate(world), abs=1e-15)
    assert report["coverage"]["rejected"] == {"unknown": 1, "repeated": 1, "late": 0, "invalid": 0, "failed": 0}


def test_drift_from_a_state_directory_has_it_too(world: Judged) -> None:
    """As the page has it."""
    result = CliRunner().invoke(boxkite, ["drift", "--state-dir", str(world.state), "--format", "json"])
    assert content(result)["models"][0]["performance"] == world.page("24h")["models"][0]["performance"]


def test_a_process_says_that_the_model_is_worse(world: Judged) -> None:
    report = world.page("24h")["models"][0]["performance"]
    assert report["verdict"] == "much worse"
    for level in ("worse", "much-worse"):
        done = run("performance", "--state-dir", world.state, "--fail-on", level, cwd=world.directory)
        assert (done.returncode, done.stderr) == (3, "1 model worse than validated: 'credit'.\n")
        assert done.stdout == f"{as_text(report)}\n"


def test_without_a_file_of_outcomes_there_are_none(world: Judged, tmp_path: Path) -> None:
    """Here in a copy of the directory, whose server has ended."""
    shutil.copytree(world.state, tmp_path / "state")
    (outcomes,) = (tmp_path / "state").rglob("outcomes-*")
    outcomes.unlink()
    (model,) = content(performance("--state-dir", tmp_path / "state", "--format", "json"))["models"]
    assert model["performance"]["coverage"]["outcomes"] == 0
    assert model["performance"]["coverage"]["predictions"] == 300


def test_reading_leaves_no_trace(world: Judged) -> None:
    def state() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in world.state.rglob("*") if path.is_file()}

    before = state()
    assert performance("--state-dir", world.state, "--window", "5m").exit_code == 0
    assert state() == before


def test_markdown_has_a_table(world: Judged) -> None:
    report = world.page("24h")["models"][0]["performance"]
    assert performance("--state-dir", world.state, "--format", "markdown").stdout == f"{as_markdown(report)}\n"


def test_a_file_gets_all_of_it(world: Judged, tmp_path: Path) -> None:
    shown = performance("--state-dir", world.state).stdout
    assert performance("--state-dir", world.state, "--output", tmp_path / "p.txt").output == ""
    assert (tmp_path / "p.txt").read_text("utf-8") == shown
    assert any(line.startswith("accuracy ") for line in shown.splitlines())


def test_one_model_is_picked(world: Judged) -> None:
    result = performance("--url", world.url, "--token", TOKEN, "--model", "fraud")
    assert (result.exit_code, result.stderr) == (1, "Error: The server has no model 'fraud'. It has: 'credit'.\n")
    result = performance("--state-dir", world.state, "--model", "fraud")
    assert result.stderr.startswith("Error: Nothing of a model 'fraud' was counted in '")


# --- other servers ---------------------------------------------------------------------------------------------------


def page_of(world: Judged, **changes: Any) -> dict[str, Any]:
    """Return the page with changes to the performance of its model."""
    page = world.page()
    page["models"][0]["performance"] |= changes
    return page


def test_models_without_actual_values_stand_beside_the_others(world: Judged) -> None:
    page = page_of(world, verdict="as validated")
    for name, value in (("plain", None), ("\x1bold", 0)):
        other = {**page["models"][0], "model": name, "performance": value}
        if value is not None:  # as servers of earlier releases have it
            del other["performance"]
        page["models"].append(other)
    with answering(200, json.dumps(page).encode()) as (url, _):
        result = performance("--url", url, "--fail-on", "worse")
        page["models"] = page["models"][1:]
    assert result.exit_code == 0
    assert result.stdout.split("\n\n")[-2].startswith("plain: there are no actual values in its baseline. Write one")
    assert "�old: there are" in result.stdout

    with answering(200, json.dumps(page).encode()) as (url, _):
        result = performance("--url", url, "--fail-on", "worse")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: 'plain', '\\x1bold': there are no actual values in its baseline. Write one")


def test_a_report_of_another_release_is_one_line(world: Judged) -> None:
    metric = {**world.page()["models"][0]["performance"]["metrics"][0], "name": "of a later release"}
    with answering(200, json.dumps(page_of(world, metrics=[metric])).encode()) as (url, _):
        result, as_it_is = performance("--url", url), performance("--url", url, "--format", "json")
    assert (result.exit_code, result.output) == (
        1,
        "Error: The report is of a server of another release. '--format json' writes it as it is.\n",
    )
    assert content(as_it_is)["models"][0]["performance"]["metrics"] == [metric]


@pytest.mark.parametrize(
    ("verdict", "fail_on", "code"),
    [
        ("worse", "worse", 3),
        ("worse", "much-worse", 0),
        ("as validated", "worse", 0),
        ("not enough data", "worse", 0),
        ("much worse", None, 0),
    ],
)
def test_the_verdict_by_outcomes_decides(world: Judged, verdict: str, fail_on: str | None, code: int) -> None:
    page = page_of(world, verdict=verdict, reason="29 outcomes, where 30 are needed")
    with answering(200, json.dumps(page).encode()) as (url, _):
        result = performance("--url", url, *(["--fail-on", fail_on] if fail_on else []))
    assert result.exit_code == code, result.output


# --- records ---------------------------------------------------------------------------------------------------------


def test_records_give_what_the_api_gives(world: Judged) -> None:
    words = of_records(world, "--outcomes", world.outcomes, "--format", "json")
    (model,) = content(performance(*words))["models"]
    assert (model["model"], model["version"]) == ("credit", "7")
    report = Records(world.records).performance(world.baseline, outcomes=world.outcomes)
    assert model["performance"] == report.to_dict()
    assert report["accuracy"].realised == pytest.approx(rate(world), abs=1e-15)

    live = world.page()["models"][0]["performance"]
    assert (report.coverage.rejected, report.outcomes) == (live["coverage"]["rejected"], 290)
    assert [list(row) for row in report.confusion] == live["confusion"]
    assert performance(*of_records(world, "--outcomes", world.outcomes, "--fail-on", "much-worse")).exit_code == 3


def test_columns_of_outcomes_have_any_name(world: Judged) -> None:
    lines = [
        json.dumps({"entity_id": name.rpartition("/")[2], "came true": int(actual)})
        for name, actual in zip(world.ids, world.actual, strict=True)
    ]
    path = world.directory / "other.jsonl"
    path.write_text("\n".join(lines))
    words = of_records(world, "--outcomes", path, "--key", "entity_id", "--format", "json")
    assert content(performance(*words, "--actual-column", "came true"))["models"][0]["performance"]["coverage"][
        "outcomes"
    ] == len(lines)
    result = performance(*words)
    assert result.output == "Error: The outcomes have no column 'actual'. There are: 'entity_id', 'came true'.\n"


def test_without_outcomes_there_is_the_expectation(world: Judged) -> None:
    result = performance(*of_records(world))
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0].startswith("No verdict by outcomes from 20")
    report = Records(world.records).performance(world.baseline)
    assert result.stdout == f"{report}\n"


def test_where_no_record_was_found_nothing_has_passed(world: Judged, tmp_path: Path) -> None:
    words = ["--records", tmp_path, "--baseline", world.baseline, "--outcomes", world.outcomes]
    message = f"There are no records of this model and period at '{tmp_path}'. {PLACE}\n"
    assert performance(*words).stderr == message
    result = performance(*words, "--fail-on", "worse")
    assert (result.exit_code, result.output) == (1, f"Error: {message}")


def test_where_no_output_is_the_baselines_nothing_has_passed(world: Judged, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    score = {"risk": rng.random(200), "cost": rng.random(200)}
    path = tmp_path / "other.prom"
    rows = {"age": rng.random(200)}
    ModelMonitoringService.export_text(rows, {"risk": score["risk"]}, path, actual=rng.integers(0, 2, 200))
    log = ModelMonitoringService(
        ModelMonitoringService.export_text(rows, score, tmp_path / "two.prom"), log_dir=tmp_path / "records"
    )
    log.log_prediction(features={"age": 0.5}, output={"cost": 0.5, "other": 1.0})
    log.close()
    result = performance("--records", tmp_path / "records", "--baseline", path)
    assert result.exit_code == 0
    assert f"No record at '{tmp_path / 'records'}' has an output of '{path}', which has 'risk'. Give" in result.stderr


def test_records_are_of_a_period(world: Judged) -> None:
    result = performance(*of_records(world, "--outcomes", world.outcomes, "--end", "2020-01-01", "--format", "json"))
    coverage = json.loads(result.stdout)["models"][0]["performance"]["coverage"]
    assert (coverage["predictions"], coverage["rejected"]["unknown"]) == (0, 292)


# --- wrong usage -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "No source is given. Name one of --url, --state-dir and --records."),
        ("--url x --records y", "No source is given. Name one of --url, --state-dir and --records."),
        ("--url x --outcomes o.csv", "'--outcomes' does not apply to this source."),
        ("--state-dir x --actual-column y", "'--actual-column' does not apply to this source."),
        ("--url x --alpha 0.1", "'--alpha' does not apply to this source."),
        ("--records x --baseline b --window 1h", "'--window' does not apply to this source."),
        ("--records x --outcomes o.csv", "'--records' needs '--baseline' to compare with."),
        ("--records x --baseline b --fail-on worse", "'--fail-on' needs the outcomes: --outcomes"),
        ("--records x --baseline b --key k", "'--key' needs the outcomes: --outcomes"),
    ],
)
def test_options_that_do_not_fit_are_refused(words: str, message: str) -> None:
    result = performance(*words.split())
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (2, f"Error: {message}")
