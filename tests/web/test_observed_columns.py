"""A column that is no feature and comes with the row, in every convention for requests: live, and in records."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask

from flask_boxkite import Baseline, Boxkite, ModelMonitoringService
from flask_boxkite.records import Records

ROWS = [(1.0, 2.0, "SE"), (3.0, 4.0, "NO"), (5.0, 6.0, "SE")]


def trained(path: Path, country: str, **options: Any) -> Baseline:
    """Write a baseline with two features and a column that is none."""
    rng = np.random.default_rng(0)
    columns = {"x": rng.random(300), "y": rng.random(300), country: rng.choice(["SE", "NO"], 300)}
    return ModelMonitoringService.export_text(columns, None, path, exclude=[country], **options)


def tensor(name: str, datatype: str, data: list[Any], *shape: int) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [len(data), *shape], "data": data}


def binary(tensors: list[tuple[str, str, bytes]], rows: int) -> dict[str, Any]:
    """Return a request of the binary extension of Open Inference."""
    inputs = [
        {"name": name, "datatype": kind, "shape": [rows], "parameters": {"binary_data_size": len(data)}}
        for name, kind, data in tensors
    ]
    head = json.dumps({"inputs": inputs}).encode()
    body = head + b"".join(data for _, _, data in tensors)
    return {"data": body, "headers": {"Inference-Header-Content-Length": str(len(head))}}


def requests(rows: list[tuple[float, float, str]], name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows in each convention: arguments of Flask's test client, in which the column has this name."""
    names = ["x", "y", name]
    records = [dict(zip(names, row, strict=True)) for row in rows]
    x, y, country = (list(column) for column in zip(*rows, strict=True))
    columns = {"x": x, "y": y, name: country}
    lists = list(map(list, rows))
    if len(rows) == 1:
        yield "object", {"json": records[0]}
    yield "columns", {"json": columns}
    for key in ("features", "data", "rows", "records", "input", "instances", "dataframe_records", "inputs"):
        yield key, {"json": {key: records}}
    yield "SageMaker", {"json": {"instances": [{"features": record} for record in records]}}
    yield "split", {"json": {"dataframe_split": {"columns": names, "data": lists}}}
    yield "inputs by column", {"json": {"inputs": columns}}
    yield "Seldon", {"json": {"data": {"names": names, "ndarray": lists}}}
    known = [tensor("x", "FP64", x), tensor("y", "FP32", y, 1)]
    more = [tensor("id", "BYTES", ["A-7"]), tensor("wide", "FP64", [[0.0, 1.0]] * len(rows), 2)]
    yield "Open Inference", {"json": {"inputs": [*known, tensor(name, "BYTES", country), *more]}}
    numbers = [(key, "FP64", struct.pack(f"<{len(rows)}d", *columns[key])) for key in ("x", "y")]
    texts = b"".join(struct.pack("<I", len(text)) + text.encode() for text in country)
    yield "Open Inference, binary", binary([*numbers, (name, "BYTES", texts)], len(rows))
    lines = "\n".join(map(json.dumps, records))
    yield "JSON lines", {"data": lines, "content_type": "application/jsonlines"}
    table = "\n".join(",".join(map(str, row)) for row in [names, *rows])
    yield "CSV", {"data": table, "content_type": "text/csv"}
    form = {key: list(map(str, values)) for key, values in columns.items()} | {"csrf_token": "t"}
    yield "form", {"data": form}
    yield "form in parts", {"data": form, "content_type": "multipart/form-data"}
    yield "query string", {"query_string": form}


CASES = [
    pytest.param(count, name, arguments, id=f"{title}, {count}, {name}")
    for count in (1, 3)
    for name in ("country", "home.country")
    for title, arguments in requests(ROWS[:count], name)
]


def app_of(baseline: Any, **config: Any) -> tuple[Flask, Boxkite]:
    """Return an app with a view that answers with as many outputs as there are rows, and its monitor."""
    app = Flask("scoring")
    app.config.update({"BOXKITE_BASELINE": baseline, "BOXKITE_SINK": "none"} | config)
    monitor = Boxkite(app)
    app.post("/score", endpoint="score")(monitor.predict(lambda: {"done": True}))
    app.post("/query", endpoint="query")(monitor.predict(features="?")(lambda: {"done": True}))
    return app, monitor


@pytest.fixture(scope="module")
def baselines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Baseline]:
    """Return baselines with segments by a column that is no feature, by its name."""
    folder = tmp_path_factory.mktemp("baselines")
    return {name: trained(folder / f"{name}.prom", name, segments=[name]) for name in ("country", "home.country")}


def rows_of(segments: Any) -> dict[str, int]:
    return {segment.name: segment.rows for segment in segments if segment.rows}


@pytest.mark.parametrize(("count", "name", "arguments"), CASES)
def test_it_segments_rows(
    baselines: dict[str, Baseline], tmp_path: Path, count: int, name: str, arguments: dict[str, Any]
) -> None:
    app, monitor = app_of(baselines[name], BOXKITE_SINK="file", BOXKITE_LOG_DIR=str(tmp_path))

    app.test_client().post("/query" if "query_string" in arguments else "/score", **arguments)

    expected = {"SE": 1} if count == 1 else {"SE": 2, "NO": 1}
    with app.app_context():
        assert rows_of(monitor.drift(by=name)) == expected
        assert {item.name: item.rows for item in monitor.drift()} == dict.fromkeys(["x", "y", name], count)
        assert monitor.flush(10) == 0
    assert rows_of(Records(tmp_path).drift(baselines[name], by=name)) == expected


def test_it_segments_nested_rows(baselines: dict[str, Baseline]) -> None:
    app, monitor = app_of(baselines["home.country"])
    rows = [{"x": x, "y": y, "home": {"country": country}} for x, y, country in ROWS]

    app.test_client().post("/score", json=rows)

    with app.app_context():
        assert rows_of(monitor.drift(by="home.country")) == {"SE": 2, "NO": 1}


@pytest.mark.parametrize(
    "arguments",
    [
        {"data": {"x": "1", "y": "2", "country": "SE"}},
        {
            "json": {
                "inputs": [tensor("x", "FP64", [1.0]), tensor("y", "FP64", [2.0]), tensor("country", "BYTES", ["SE"])]
            }
        },
    ],
    ids=["form", "Open Inference"],
)
def test_functions_read_it(tmp_path: Path, arguments: dict[str, Any]) -> None:
    def north(row: dict[str, Any]) -> str:
        return f"of {row['country']}"

    trained(tmp_path / "baseline.prom", "country", derive={"origin": north}, segments=["origin"])
    app = Flask("scoring")
    app.config.update(BOXKITE_BASELINE=str(tmp_path / "baseline.prom"), BOXKITE_SINK="none")
    monitor = Boxkite(app, derive={"origin": north})
    app.post("/score", endpoint="score")(monitor.predict(lambda: {"done": True}))

    app.test_client().post("/score", **arguments)

    with app.app_context():
        assert rows_of(monitor.drift(by="origin")) == {"of SE": 1}
