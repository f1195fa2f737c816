"""A variable whose drift cannot show is never a plain ``stable``: on the page, in reports and in commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from flask import Flask, request

from flask_boxkite import Boxkite, ModelMonitoringService
from flask_boxkite.cli import boxkite
from tests.page.test_verdicts import lines, plain, sentence

SPOT = "nearly all training rows are of rare values: a change among these cannot show"
STREETS = [f"street {number}" for number in range(400)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a baseline of two features of which one is blind."""
    path = tmp_path / "b.prom"
    ModelMonitoringService.export_text({"street": STREETS, "city": ["Rome", "Oslo"] * 200}, path=path, model="m")
    return path


@pytest.fixture
def app(path: Path, tmp_path: Path) -> Flask:
    """Return an app that has seen other streets than training."""
    app = Flask("scoring")
    app.config |= {"BOXKITE_BASELINE": str(path), "BOXKITE_DASHBOARD_PATH": "/boxkite", "BOXKITE_SINK": "none"}
    app.config["BOXKITE_STATE_DIR"] = str(tmp_path / "state")
    monitor = Boxkite(app)

    @app.post("/score")
    @monitor.predict
    def score() -> dict[str, Any]:
        return {"rows": len(request.get_json())}

    rows = [{"street": f"avenue {number}", "city": ("Rome", "Oslo")[number % 2]} for number in range(200)]
    assert app.test_client().post("/score", json=rows).status_code == 200
    return app


def page(app: Flask, path: str = "") -> str:
    answer = app.test_client().get(f"/boxkite/{path}")
    assert answer.status_code == 200
    return answer.text


def test_the_page_says_so_beside_the_verdict(app: Flask) -> None:
    found = lines(page(app, "?window=start"))

    assert found["street"]["Verdict"] == f"● stable {SPOT}"
    assert found["city"]["Verdict"] == "● stable"
    assert lines(page(app, "report.html?window=start"))["street"]["Verdict"] == f"● stable {SPOT}"


def test_the_page_of_the_variable_says_so(app: Flask) -> None:
    query = "variable?window=start&model=m&side=feature&variable="

    assert f"live. {SPOT[0].upper()}{SPOT[1:]}." in sentence(page(app, f"{query}street"))
    assert "cannot show" not in plain(page(app, f"{query}city"))


def test_the_report_says_so_in_every_form(app: Flask) -> None:
    report = app.extensions["boxkite"].monitor.models()[0].drift()
    notes = {row["name"]: row["note"] for row in report.to_rows()}

    assert report["street"].verdict == "stable"
    assert notes == {"street": SPOT, "city": None}
    assert f"\n\nstreet: {SPOT}" in str(report)
    assert f"| street | stable: {SPOT} |" in report.to_markdown()


@pytest.mark.parametrize("words", [[], ["--all"]], ids=["moved", "all"])
def test_the_command_says_so(app: Flask, words: list[str], tmp_path: Path) -> None:
    other = tmp_path / "new.prom"
    ModelMonitoringService.export_text({"street": STREETS[::-1], "city": ["Rome", "Oslo"] * 200}, path=other, model="m")
    result = CliRunner(env={"COLUMNS": "120"}).invoke(
        boxkite, ["compare", str(tmp_path / "b.prom"), str(other), *words]
    )

    assert result.exit_code == 0, result.output
    assert f"\nstreet: {SPOT}\n" in result.stdout


def test_inspect_says_so(path: Path) -> None:
    def shown(*words: str) -> str:
        result = CliRunner(env={"COLUMNS": "120"}).invoke(boxkite, ["inspect", str(path), *words])
        assert result.exit_code == 0, result.output
        return result.stdout

    assert shown().endswith(f"\nstreet: {SPOT}\n")
    assert f"\n{SPOT[0].upper()}{SPOT[1:]}.\n" in shown("--variable", "street")
    assert "cannot show" not in shown("--variable", "city")
    notes = {item["name"]: item["note"] for item in json.loads(shown("--format", "json"))["features"]}
    assert notes == {"street": SPOT, "city": None}


def test_check_says_so(path: Path) -> None:
    result = CliRunner(env={"COLUMNS": "200", "FLASK_BOXKITE_BASELINE": str(path)}).invoke(boxkite, ["check"])

    assert result.exit_code == 0, result.output
    found = [line.rstrip() for line in result.stdout.splitlines()]
    place = found.index(f"! Model 'm', 'street': {SPOT}.")
    assert found[place + 1] == "  Does the model need it? If not, leave it out (exclude); or train with coarser values."
    assert "'city'" not in result.stdout
