"""Nested JSON is counted and recorded by the names of training, which are paths, and redacted at any depth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, request
from flask.testing import FlaskClient

from flask_boxkite import Baseline, Boxkite
from flask_boxkite.records import Records
from flask_boxkite.testing import RecordingSink
from tests.baseline.training.building import built

KINDS = ("city", "firm", "private")


def house(number: int) -> dict[str, Any]:
    """Return a row as clients send it."""
    temps = [float(number % 30), number / 7]
    owner = {"kind": KINDS[number % 3]}
    return {
        "id": f"h{number}",
        "home": {"area": 50 + number % 90, "heated": number % 4 > 0, "owner": owner},
        "temps": temps,
    }


def flat(number: int) -> dict[str, Any]:
    """Return the row by the names of training."""
    row = house(number)
    home, temps = row["home"], row["temps"]
    return {
        "home.area": home["area"],
        "home.heated": home["heated"],
        "home.owner.kind": home["owner"]["kind"],
        "temps.0": temps[0],
        "temps.1": temps[1],
    }


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return built([house(number) for number in range(500)], exclude=("id",))


def app_of(baseline: Baseline, *sinks: Any, **config: Any) -> tuple[FlaskClient, Boxkite]:
    app = Flask(__name__)
    app.config.update({"BOXKITE_BASELINE": baseline, "BOXKITE_SINK": list(sinks), **config})
    monitor = Boxkite(app)

    @app.post("/score")
    @monitor.predict
    def score() -> dict[str, bool]:
        body = request.get_json()
        if isinstance(body, dict):  # what is recorded stays as it came
            body.clear()
        return {"done": True}

    return app.test_client(), monitor


def features_of(sink: RecordingSink, monitor: Boxkite) -> list[Any]:
    assert monitor.flush(10) == 0
    return [record["features"] for record in sink.records]


def test_nested_rows_are_counted_as_flat_rows_are(baseline: Baseline) -> None:
    """One by one and in batches of both kinds, below a mark too; the groups of the reports agree."""
    numbers = range(40)
    sent: dict[str, list[Any]] = {
        "flat": [flat(number) for number in numbers],
        "one by one": [house(number) for number in numbers],
        "small batches": [[house(number), house(number + 1)] for number in numbers[::2]],
        "a batch below a mark": [{"rows": [house(number) for number in numbers]}],
    }
    groups = {}
    for name, bodies in sent.items():
        client, _ = app_of(baseline, RecordingSink(), BOXKITE_NAME=name)
        for body in bodies:
            assert client.post("/score", json=body).json == {"done": True}
        lines = client.get("/metrics").text.splitlines()
        groups[name] = sorted(line for line in lines if line.startswith("boxkite_feature_group_total{"))
        (unread,) = (line for line in lines if line.startswith("boxkite_capture_") and 'reason="features"' in line)
        assert unread.endswith(" 0")

    assert sum(float(line.split()[-1]) for line in groups["flat"]) == len(numbers) * len(baseline.features)
    assert all(found == groups["flat"] for found in groups.values())


def test_records_hold_values_by_their_paths_beside_fields_of_no_variable(baseline: Baseline, tmp_path: Path) -> None:
    sink = RecordingSink()
    client, monitor = app_of(baseline, sink, "file", BOXKITE_LOG_DIR=str(tmp_path))

    client.post("/score", json=house(3))
    client.post("/score", json=[house(4), house(5)])

    rows = [{"id": f"h{number}", **flat(number)} for number in (3, 4, 5)]
    assert features_of(sink, monitor) == [rows[0], rows[1:]]
    frame = Records(tmp_path).to_frame("pyarrow").read_all()
    assert frame.column("home.owner.kind").to_pylist() == [row["home.owner.kind"] for row in rows]
    report = Records(tmp_path).drift(baseline)
    assert {item.name: item.rows for item in report if item.side == "feature"} == dict.fromkeys(flat(0), 3)


@pytest.mark.parametrize(
    ("redact", "hidden"),
    [
        ("home.owner.kind", {"home.owner.kind"}),
        ("home.owner", {"home.owner.kind"}),
        ("Owner", {"home.owner.kind"}),
        ("rows.home.owner", {"home.owner.kind"}),
        ("home", {"home.area", "home.heated", "home.owner.kind"}),
        ("temps.1", {"temps.0", "temps.1"}),
        ("temps", {"temps.0", "temps.1"}),
        ("id", {"id"}),
    ],
)
@pytest.mark.parametrize("is_by_hand", [False, True], ids=["a request", "by hand"])
def test_a_field_on_the_way_hides_all_below(
    baseline: Baseline, redact: str, hidden: set[str], is_by_hand: bool
) -> None:
    """By hand, rows come by the names of training too: as `features=` functions give them."""
    sink = RecordingSink()
    client, monitor = app_of(baseline, sink, BOXKITE_REDACT=redact)
    rows = [{"id": f"h{number}", **flat(number)} for number in (3, 4)]

    if is_by_hand:
        with client.application.app_context():
            monitor.log_prediction(features=rows[0])
            monitor.log_prediction(features=[house(3), house(4)])
    else:
        client.post("/score", json=house(3))
        client.post("/score", json={"rows": [house(3), house(4)]})

    shown = [{name: "[redacted]" if name in hidden else value for name, value in row.items()} for row in rows]
    assert features_of(sink, monitor) == [shown[0], shown]
    assert all(json.dumps(KINDS[0]) not in json.dumps(sink.records) for name in hidden if name.endswith("kind"))


def test_a_value_that_is_missing_beside_a_hidden_one_stays_missing(baseline: Baseline) -> None:
    sink = RecordingSink()
    client, monitor = app_of(baseline, sink, BOXKITE_REDACT="home.owner")

    client.post("/score", json={"home": {"area": 60}, "temps": [1.5]})

    assert features_of(sink, monitor) == [
        {"home.area": 60, "home.heated": None, "home.owner.kind": "[redacted]", "temps.0": 1.5, "temps.1": None}
    ]


def test_rows_of_which_all_nested_values_are_hidden_are_hidden_whole(baseline: Baseline) -> None:
    sink = RecordingSink()
    client, monitor = app_of(baseline, sink, BOXKITE_REDACT="home")

    client.post("/score", json={"home": house(3)["home"]})

    assert features_of(sink, monitor) == ["[redacted]"]
