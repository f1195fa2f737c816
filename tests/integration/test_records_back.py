"""From requests to a server with several processes, to files, and back: what records say is what was seen live."""

from __future__ import annotations

import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from flask_boxkite.records import Records
from tests.integration.traffic import AMOUNT, APP, Client, Sent, train
from tests.peers import Gunicorn, fetch

CLIENTS = 3
REQUESTS = 80

# Alone, NaN is null in a record, as an output that was not found; in a list it is known to be the output of a row.
SOURCE = (
    APP.replace("rate(document) or 0.0", "[rate(document)]")
    + """
@app.get("/drift")
def drift():
    return monitor.drift().to_dict()
"""
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Sent], dict[str, Any]]:
    """Let clients load a server; return the directory of baseline and records, what they sent, and the drift live."""
    directory = tmp_path_factory.mktemp("records_back")
    trained = train(directory / "baseline.prom", np.random.default_rng(0))
    env = {
        "APP_BOXKITE_BASELINE": str(directory / "baseline.prom"),
        "APP_BOXKITE_LOG_DIR": str(directory / "records"),
        "APP_AMOUNT": AMOUNT,
    }
    bounds = {item.name: item.upper_bounds for item in trained.features if item.kind == "continuous"}
    with Gunicorn("scoring:app", directory / "app", source=SOURCE, workers=2, env=env) as server:
        may_end = threading.Event()
        may_end.set()
        clients = [Client(server.url, seed, bounds) for seed in range(CLIENTS)]
        with ThreadPoolExecutor(CLIENTS) as pool:
            sent = [one for found in pool.map(lambda client: client.run(REQUESTS, may_end), clients) for one in found]
        live = fetch(f"{server.url}/drift").json()
        assert server.stop() == 0  # which delivers what waits
    return directory, sent, live


def by_variable(report: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return all that follows from counts; dispersion, verdicts and notes depend on when rows came."""
    others = ("dispersion", "verdict", "note")
    return {
        (item["side"], item["name"]): {key: item[key] for key in item if key not in others}
        for item in report["variables"]
    }


def test_drift_from_records_is_what_the_server_counted(world: tuple[Path, list[Sent], dict[str, Any]]) -> None:
    directory, sent, live = world
    records = Records(directory / "records")
    report = records.drift(directory / "baseline.prom")
    assert records.counts.records == len(sent)
    assert records.counts.rows == sum(one.row_count for one in sent)
    assert by_variable(json.loads(json.dumps(report.to_dict()))) == by_variable(live)
    # The same as sums over segments: every row that was counted is in one.
    segments = records.drift(directory / "baseline.prom", by="server_id")
    assert by_variable({"variables": segments.segments[0].report.to_rows()}).keys() == by_variable(live).keys()


def test_each_predicted_row_is_a_row_of_the_frame(world: tuple[Path, list[Sent], dict[str, Any]]) -> None:
    directory, sent, _ = world
    frame = Records(directory / "records").to_frame("polars", directory / "baseline.prom").collect()
    assert frame["prediction_id"].n_unique() == len(frame) == sum(one.row_count for one in sent)
    assert Counter(frame["status"]) == sum((Counter({one.status: one.row_count}) for one in sent), Counter())
    rows = {row["prediction_id"]: row for row in frame.iter_rows(named=True)}
    answered = [one for one in sent if one.status == "ok" and one.rows is not None and one.is_matched]
    for one in answered:
        ids = [one.prediction_id] if one.row_count == 1 else [f"{one.prediction_id}/{i}" for i in range(one.row_count)]
        outputs = one.outputs if one.row_count > 1 else np.ravel(one.outputs).tolist()
        assert [rows[name]["output"] for name in ids] == [None if value != value else value for value in outputs]
        assert [rows[name]["created_at"].timestamp() for name in ids] == pytest.approx(
            [one.started_ns / 1e9] * len(ids), abs=5
        )
        for name, values in zip(ids, one.rows or (), strict=True):
            if isinstance(values["temperature"], float):
                assert rows[name]["temperature"] == pl.Series([values["temperature"]]).fill_nan(None)[0]
            if isinstance(values["city"], str):
                assert rows[name]["city"] == values["city"]
    assert len(answered) > 100
