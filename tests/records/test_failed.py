"""Requests that failed, read back from records: the same odd features as the drift page of the server names."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from flask import Flask, request

from flask_boxkite import Boxkite, ModelMonitoringService
from flask_boxkite.cli import boxkite
from flask_boxkite.records import Records
from tests.records.archives import record, write


@pytest.fixture
def page(tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what a server's page says of the requests whose records are in the folder."""
    monkeypatch.chdir(tmp_path)
    columns = {"age": rng.uniform(18, 90, 500), "city": rng.choice(["a", "b"], 500)}
    ModelMonitoringService.export_text(columns, rng.random(500), "baseline.prom")
    app = Flask("failing")
    app.config.update(BOXKITE_BASELINE="baseline.prom", BOXKITE_LOG_DIR="records", BOXKITE_DASHBOARD_PATH="/boxkite")
    monitor = Boxkite(app)

    @app.post("/score")
    @monitor.predict
    def score() -> Any:
        rows = request.get_json()
        row = rows[0] if isinstance(rows, list) and isinstance(rows[0], dict) else rows
        if isinstance(row, dict) and (row.get("age") is None or row.get("city") == "z"):
            return {"error": "broken"}, 500
        return {"predictions": [0.5] * len(rows)} if isinstance(rows, list) and row is not rows else {"score": 0.5}

    client = app.test_client()
    for number in range(40):
        client.post("/score", json={"age": 20 + number, "city": "a"})
        client.post("/score", json=[30 + number, "b"])
    for body in (
        *[{"age": None, "city": "a"}] * 7,
        *[[{"age": None, "city": "a"}, {"age": 1e6, "city": "b"}]] * 3,
        *[{"age": 30, "city": "z"}] * 4,
        {"unknown": 1},
    ):
        assert client.post("/score", json=body).status_code == 500
    assert client.post("/score", json={"age": "?" * 9, "city": "a"}).status_code == 200

    answer = client.get("/boxkite/drift.json?window=start").get_json()["models"][0]
    assert monitor.flush(10) == 0
    return {"failed": answer["failed"], "text": monitor.drift().failed}


def test_records_name_the_features_that_the_page_names(page: dict[str, Any]) -> None:
    report, _, failures = Records("records").observed("baseline.prom")
    assert failures.to_dict() == page["failed"]
    assert (failures.rows, failures.unread) == (18, 1)
    assert failures.odd[0][:3] == ("age", "missing", 10)

    at = report.failed.index(" failed from ")
    assert report.failed.startswith("18 predictions failed from ")
    assert report.failed[at:].partition(". ")[2] == page["text"].partition(". ")[2]
    assert report.failed.split()[:6] == " ".join(str(report).split()).split("alpha 1e-05. ")[1].split()[:6]
    assert Records("records").drift("baseline.prom", by="city").failed == report.failed


@pytest.mark.parametrize("form", ["table", "html", "json"])
def test_the_command_says_so_in_every_form(page: dict[str, Any], form: str) -> None:
    words = "--records", "records", "--baseline", "baseline.prom", "--format", form
    said = CliRunner().invoke(boxkite, ["drift", *words]).stdout
    if form == "json":
        assert json.loads(said)["models"][0]["failed"] == page["failed"]
    else:
        plain = said.replace("<strong>", "").replace("</strong>", "").replace("&#39;", "'").replace("\n", " ")
        assert "18 predictions failed from 20" in plain
        assert "'age' was missing in 10 of them" in plain


def test_mixed_rows_of_a_frame_are_told_with_the_remedy(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, record({"age": 40.0}), record([41.0]))
    with caplog.at_level(logging.WARNING, "flask_boxkite"):
        mixed = Records(tmp_path).to_frame().collect()
    assert {"age", "feature_0"} <= set(mixed.columns)
    assert caplog.messages == [
        "Some records have features without names, which are in the columns 'feature_0', … of the frame. Give the "
        "model's baseline, as in to_frame(baseline='baseline.prom'), for their names."
    ]

    caplog.clear()
    write(tmp_path / "alike", record([41.0]), record([42.0]))
    assert Records(tmp_path / "alike").to_frame().collect()["feature_0"].to_list() == [41.0, 42.0]
    assert caplog.messages == []
