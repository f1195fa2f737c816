"""Values that cannot be read: the page tells their form, `check` and the log quote them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from flask import Flask
from flask.cli import ScriptInfo

from flask_boxkite import Boxkite, ModelMonitoringService
from flask_boxkite.cli import boxkite
from tests.page.test_verdicts import lines, plain, sentence

FORM = "invalid are texts like '99,9' (9: any digit, a: any letter)"


def app_of(path: Path, tmp_path: Path, redact: Any) -> Flask:
    app = Flask("scoring")
    app.config |= {"BOXKITE_BASELINE": str(path), "BOXKITE_DASHBOARD_PATH": "/boxkite", "BOXKITE_SINK": "none"}
    app.config |= {"BOXKITE_STATE_DIR": str(tmp_path / "state"), "BOXKITE_REDACT": redact}
    monitor = Boxkite(app)

    @app.post("/score")
    @monitor.predict
    def score() -> dict[str, Any]:
        return {"score": 0.5}

    @app.post("/refuse")
    @monitor.predict
    def refuse() -> tuple[dict[str, Any], int]:
        return {"score": 0.5}, 422

    return app


@pytest.fixture(params=[(), ("age",)], ids=["shown", "redacted"])
def app(tmp_path: Path, request: pytest.FixtureRequest) -> Flask:
    """Return an app that got ages with a comma, and other ages in refused requests."""
    path = tmp_path / "b.prom"
    columns = {"age": [float(number) for number in range(200)], "size": list(range(200))}
    ModelMonitoringService.export_text(columns, [0.5] * 200, path, model="m")
    app = app_of(path, tmp_path, request.param)
    client = app.test_client()
    assert client.post("/refuse", json={"age": "refused", "size": 3}).status_code == 422
    for number in range(100):
        row = {"age": "12,5" if number % 5 == 0 else number, "size": number}
        assert client.post("/score", json=row).status_code == 200
    return app


def page(app: Flask, path: str) -> str:
    answer = app.test_client().get(f"/boxkite/{path}")
    assert answer.status_code == 200
    return answer.text


def note_of(app: Flask) -> str:
    return FORM if not app.config["BOXKITE_REDACT"] else "invalid are texts"


def test_the_page_tells_the_form_and_no_value(app: Flask) -> None:
    overview = page(app, "?window=start")
    variable = page(app, "variable?window=start&model=m&side=feature&variable=age")
    document = json.loads(page(app, "drift.json?window=start"))

    note = note_of(app)
    assert lines(overview)["age"]["Verdict"].endswith(note)
    assert sentence(variable).endswith(f"{note[0].upper()}{note[1:]}.")
    notes = {item["name"]: item["note"] for item in document["models"][0]["drift"]["variables"]}
    assert notes["age"].endswith(note)
    assert not (notes["size"] or "").endswith(note)
    assert "Model 'm': 20% of the values of 'age' cannot be read, and count as invalid." in plain(overview)
    for text in (overview, variable, json.dumps(document)):
        assert "12,5" not in text
        assert "refused" not in text


def test_check_quotes_the_value_unless_it_is_redacted(app: Flask) -> None:
    info = ScriptInfo(create_app=lambda: app)
    done = CliRunner().invoke(boxkite, ["check", "--offline"], obj=info, env={"COLUMNS": "200"})
    such = "texts" if app.config["BOXKITE_REDACT"] else "texts such as '12,5'"

    assert "! Model 'm': 20% of the values of 'age' cannot be read, and count as invalid." in done.output
    assert f"They are: {such}, not numbers. Send values as in training; name texts" in " ".join(done.output.split())
    assert "refused" not in done.output


def test_a_variable_without_any_readable_value_is_named_with_its_form(tmp_path: Path) -> None:
    path = tmp_path / "b.prom"
    ModelMonitoringService.export_text({"age": [float(number) for number in range(200)]}, path=path, model="m")
    app = app_of(path, tmp_path, ())
    for _ in range(40):
        app.test_client().post("/score", json={"age": "12,5"})
    found = plain(page(app, "?window=start"))
    assert (
        "Model 'm': no live value of 'age' can be read: texts like '99,9' (9: any digit, a: any letter), not "
        "numbers." in found
    )
    assert "count as invalid" not in found
