"""`drift --records` names the problem if records and baseline do not belong together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from flask_boxkite import ModelMonitoringService
from flask_boxkite.cli import boxkite


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> Path:
    """Go where there are records of a model, its baseline, and one of another model."""
    monkeypatch.chdir(tmp_path)
    export_text = ModelMonitoringService.export_text
    own = export_text({"age": rng.normal(size=500), "city": rng.choice(["a", "b"], 500)}, rng.random(500), "own.prom")
    export_text({"height": rng.normal(size=500)}, {"risk": rng.random(500), "cost": rng.random(500)}, "other.prom")
    export_text({"city": rng.choice(["a", "b"], 500)}, path="city.prom")
    log(ModelMonitoringService(own, log_dir="records", model="m"), {"age": 0.5, "city": "a"})
    return tmp_path


def log(service: ModelMonitoringService, features: dict[str, object]) -> None:
    for _ in range(40):
        service.log_prediction(features=features, output=0.5)
    service.close()


def drift(*words: str) -> Result:
    return CliRunner().invoke(boxkite, ["drift", "--records", "records", *words])


@pytest.mark.parametrize("words", [[], ["--by", "city"]], ids=["whole", "segments"])
def test_where_nothing_can_be_compared_nothing_has_passed(words: list[str]) -> None:
    message = (
        "No record at 'records' has a feature or output of 'other.prom', which has 'height', 'risk', 'cost'. Give the "
        "baseline of this model: --baseline"
    )
    result = drift("--baseline", "other.prom", "--fail-on", "major", *words)
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (1, f"Error: {message}")
    result = drift("--baseline", "other.prom", *words)
    if words:
        assert (result.exit_code, result.stderr.splitlines()[-1]) == (0, message)
        assert result.stdout.startswith("Nothing was counted ")
    else:
        note = message.replace("'other.prom'", "the baseline").replace(": --baseline", ".")
        assert (result.exit_code, result.stdout.splitlines()[1]) == (0, note)


def test_what_can_be_compared_is() -> None:
    assert drift("--baseline", "own.prom").stderr == ""
    result = drift("--baseline", "city.prom", "--by", "city", "--fail-on", "major")
    assert (result.exit_code, "No record" in result.stderr) == (0, False)


def test_what_was_left_out_is_told() -> None:
    (path,) = Path("records").rglob("*.txt")
    with path.open("a") as file:
        file.write("no record\n\n\n")
    assert drift("--baseline", "own.prom").stderr == (
        "Some data at 'records' is not a record and was left out: 2 empty, 1 no_record.\n"
    )


def test_records_of_one_baseline_can_be_chosen(caplog: pytest.LogCaptureFixture) -> None:
    result = drift("--baseline", "other.prom", "--fingerprint", "0123456789ab")
    assert "There are no records of this model and period at 'records'. Is it the right place?" in result.stdout
    assert not caplog.records
    drift("--baseline", "other.prom")
    assert "'--fingerprint' of the command" in caplog.text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(
            "--start noon",
            "'--start' must be a datetime or an ISO 8601 text such as '2026-01-31T08:00', got 'noon'.",
            id="no time",
        ),
        pytest.param(
            "--start 2026-02-01 --end 2026-01-01",
            "'--end' must be after '--start', got '2026-02-01' and '2026-01-01'. The end itself is not part of the "
            "period.",
            id="no period",
        ),
        pytest.param("", "The records are of several models: 'm', 'other'. Name one of them: --model", id="two models"),
    ],
)
def test_messages_name_the_options(words: str, message: str) -> None:
    log(ModelMonitoringService("city.prom", log_dir="records", model="other"), {"city": "a"})
    result = drift("--baseline", "own.prom", *words.split())
    assert (result.exit_code, result.stderr) == (1, f"Error: {message}\n")
