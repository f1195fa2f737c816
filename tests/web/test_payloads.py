"""Every payload convention, request and response, through real requests: what is counted, recorded and answered."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flask import Flask, Response, request

from flask_boxkite import Baseline
from flask_boxkite.web.return_values import LONGEST_PAYLOAD
from tests.web.twins import Records, Twins, check_counted, check_nothing_counted, training_baseline

Make = Callable[..., Twins]

ANN = {"age": 30, "income": 2500.0, "city": "Paris"}
BOB = {"age": 55.5, "income": 7000, "city": "Rome"}
NOBODY = {"age": None, "income": None, "city": None}
ANN_ROW, BOB_ROW = list(ANN.values()), list(BOB.values())
NAMES = list(ANN)


def fixed(answer: Any) -> Callable[[Flask, Any], None]:
    """Return what defines an app whose only view reads nothing and answers always the same."""

    def define(app: Flask, predict: Any) -> None:
        @app.post("/score")
        @predict
        def score() -> Any:
            return answer() if callable(answer) else answer

    return define


def as_text(row: dict[str, Any]) -> dict[str, Any]:
    return {name: str(value) for name, value in row.items()}


def tensor(name: str, datatype: str, *data: Any, shape: list[int] | None = None) -> dict[str, Any]:
    return {"name": name, "shape": shape or [len(data)], "datatype": datatype, "data": list(data)}


# --- Requests -------------------------------------------------------------------------------------------------------

TABULAR = {
    "bare list": (ANN_ROW, [ANN], "positions"),
    "list of lists": ([ANN_ROW, BOB_ROW], [ANN, BOB], "positions"),
    "list of one list": ([BOB_ROW], [BOB], "positions"),
    "object": (ANN, [ANN], "names"),
    "object in another order": (dict(reversed(ANN.items())), [ANN], "names"),
    "object with more": ({**ANN, "request_id": "r-1"}, [ANN], None),
    "object with less": ({"age": 30}, [{**NOBODY, "age": 30}], None),
    "list of objects": ([ANN, BOB], [ANN, BOB], "names"),
    "objects that differ": ([ANN, {"city": "Rome", "age": 20}], [ANN, {**NOBODY, "age": 20, "city": "Rome"}], None),
    "features list": ({"features": ANN_ROW}, [ANN], "positions"),
    "features rows": ({"features": [ANN_ROW, BOB_ROW]}, [ANN, BOB], "positions"),
    "features object": ({"features": ANN, "trace": 7}, [ANN], "names"),
    "instances lists": ({"instances": [ANN_ROW, BOB_ROW]}, [ANN, BOB], "positions"),
    "instances objects": ({"instances": [ANN, BOB], "parameters": {"a": 1}}, [ANN, BOB], "names"),
    "instances with signature": ({"signature_name": "serving_default", "instances": [ANN]}, [ANN], "names"),
    "SageMaker": ({"instances": [{"features": ANN_ROW}, {"features": BOB_ROW}]}, [ANN, BOB], "positions"),
    "dataframe_split": (
        {"dataframe_split": {"index": [0, 1], "columns": NAMES, "data": [ANN_ROW, BOB_ROW]}},
        [ANN, BOB],
        "names",
    ),
    "dataframe_split, other order": (
        {"dataframe_split": {"columns": NAMES[::-1], "data": [ANN_ROW[::-1]]}},
        [ANN],
        "names",
    ),
    "dataframe_split without columns": ({"dataframe_split": {"data": [ANN_ROW]}}, [ANN], "positions"),
    "dataframe_records": ({"dataframe_records": [ANN, BOB], "params": {"t": 0.1}}, [ANN, BOB], "names"),
    "MLflow inputs rows": ({"inputs": [ANN_ROW, BOB_ROW]}, [ANN, BOB], "positions"),
    "MLflow inputs columns": (
        {"inputs": {name: [ANN[name], BOB[name]] for name in reversed(NAMES)}},
        [ANN, BOB],
        "names",
    ),
    "MLflow inputs columns of lists": (
        {"inputs": {name: [[ANN[name]], [BOB[name]]] for name in NAMES}},
        [ANN, BOB],
        None,
    ),
    "Open Inference, one tensor per column": (
        {
            "id": "42",
            "inputs": [
                tensor("city", "BYTES", "Paris", "Rome"),
                tensor("age", "FP64", 30, 55.5, shape=[2, 1]),
                tensor("income", "FP64", 2500.0, 7000),
            ],
        },
        [ANN, BOB],
        "names",
    ),
    "Open Inference with more": (
        {
            "inputs": [
                tensor("id", "INT64", 1, 2, 3, 4, shape=[2, 2]),
                *[tensor(name, "FP64", ANN[name], BOB[name]) for name in ("age", "income", "city")],
            ]
        },
        [ANN, BOB],
        "names",
    ),
    "TensorFlow rows of lists": (
        {"instances": [{name: [value] for name, value in row.items()} for row in (ANN, BOB)]},
        [ANN, BOB],
        "names",
    ),
    "Keras rows": ({"instances": [{"dense_input": ANN_ROW}, {"dense_input": BOB_ROW}]}, [ANN, BOB], "positions"),
    "Keras columns": ({"inputs": {"dense_input": [ANN_ROW, BOB_ROW]}}, [ANN, BOB], "positions"),
    "SageMaker, dense": (
        {"instances": [{"data": {"features": {"values": row}}} for row in (ANN_ROW, BOB_ROW)]},
        [ANN, BOB],
        "positions",
    ),
    "MLflow 1 split": ({"columns": NAMES[::-1], "data": [ANN_ROW[::-1]], "index": [0]}, [ANN], "names"),
    "data": ({"data": [ANN_ROW, BOB_ROW]}, [ANN, BOB], "positions"),
    "rows": ({"rows": [ANN, BOB]}, [ANN, BOB], "names"),
    "records": ({"records": [ANN, BOB]}, [ANN, BOB], "names"),
    "input": ({"input": ANN, "user": 7}, [ANN], "names"),
    "columns": ({name: [ANN[name], BOB[name]] for name in NAMES}, [ANN, BOB], "names"),
    "Open Inference, flat matrix": (
        {"inputs": [tensor("input-0", "FP32", *ANN_ROW, *BOB_ROW, shape=[2, 3])]},
        [ANN, BOB],
        "positions",
    ),
    "Open Inference, nested matrix": (
        {"inputs": [{"name": "x", "shape": [2, 3], "datatype": "FP32", "data": [ANN_ROW, BOB_ROW]}]},
        [ANN, BOB],
        "positions",
    ),
    "Seldon ndarray": ({"data": {"names": NAMES, "ndarray": [ANN_ROW, BOB_ROW]}}, [ANN, BOB], "names"),
    "Seldon without names": ({"data": {"ndarray": [ANN_ROW]}, "meta": {}}, [ANN], "positions"),
    "Seldon tensor": (
        {"data": {"names": NAMES, "tensor": {"shape": [2, 3], "values": [*ANN_ROW, *BOB_ROW]}}},
        [ANN, BOB],
        "names",
    ),
}


@pytest.mark.parametrize(("payload", "rows", "kept"), TABULAR.values(), ids=TABULAR)
def test_json_requests(twins: Make, payload: Any, rows: list[dict[str, Any]], kept: str | None) -> None:
    """The record keeps rows by position, or by name, as they arrived."""
    scores = [round(0.1 + i / 3, 2) for i in range(len(rows))]
    app = twins(fixed({"predictions": scores}))

    answer = app.send(json=payload)

    assert answer.get_json() == {"predictions": scores}
    check_counted(app.scrape(), rows, scores)
    record = app.record()
    assert (record["rows"], record["status"], record["output"]) == (len(rows), "ok", scores)
    assert json.loads(record["request_body"]) == payload
    assert record["prediction_id"] == answer.headers["Boxkite-Prediction-Id"]
    if kept is not None:
        expected = rows if kept == "names" else [list(row.values()) for row in rows]
        content = record["features"]
        # A single row stands alone, but a list of one keeps to one of both forms.
        assert content == expected or [content] == expected


TEXTUAL = {
    "form": ({"data": as_text(ANN)}, [ANN]),
    "form, several rows": ({"data": {name: [str(ANN[name]), str(BOB[name])] for name in NAMES}}, [ANN, BOB]),
    "form with more": ({"data": {**as_text(ANN), "csrf_token": "x"}}, [ANN]),
    "form with an empty field": ({"data": {**as_text(ANN), "income": ""}}, [{**ANN, "income": None}]),
    "multipart": ({"data": as_text(BOB), "content_type": "multipart/form-data"}, [BOB]),
    "multipart with a file": (
        {"data": {**as_text(BOB), "photo": (io.BytesIO(b"\x89PNG\xff"), "me.png")}},
        [BOB],
    ),
    "CSV": ({"data": "30,2500.0,Paris\n", "content_type": "text/csv"}, [ANN]),
    "CSV, several rows": ({"data": "30,2500.0,Paris\r\n55.5,7000,Rome", "content_type": "text/csv"}, [ANN, BOB]),
    "CSV with a header": (
        {"data": "city,age,income\nParis,30,2500\nRome,55.5,7000\n", "content_type": "text/csv; charset=utf-8"},
        [ANN, BOB],
    ),
    "CSV with a header and blanks": ({"data": "age, income, city\n30,2500,Paris\n", "content_type": "text/csv"}, [ANN]),
    "CSV in Latin-1": (
        {
            "data": "age,income,city,né\n30,2500,Paris,1\n".encode("latin-1"),
            "content_type": "text/csv; charset=iso-8859-1",
        },
        [ANN],
    ),
    "CSV in UTF-16": (
        {"data": "age,income,city\n30,2500,Paris\n".encode("utf-16"), "content_type": "text/csv; charset=UTF-16"},
        [ANN],
    ),
    "CSV with quotes": ({"data": '"30","2500","Paris"\n', "content_type": "text/csv"}, [ANN]),
    "CSV with empty cells": ({"data": ",2500,\n", "content_type": "text/csv"}, [{**NOBODY, "income": 2500}]),
    "CSV with a byte order mark": ({"data": b"\xef\xbb\xbf30,2500,Paris\n", "content_type": "text/csv"}, [ANN]),
}


@pytest.mark.parametrize(("sent", "rows"), TEXTUAL.values(), ids=TEXTUAL)
def test_forms_and_csv(twins: Make, sent: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """Numbers come as texts here, and count as numbers."""

    def build() -> dict[str, Any]:
        # A test client closes the files that it sends, so each of the two apps gets its own.
        if isinstance(sent.get("data"), dict) and "photo" in sent["data"]:
            return {**sent, "data": {**sent["data"], "photo": (io.BytesIO(b"\x89PNG\xff"), "me.png")}}
        return dict(sent)

    scores = [0.25, 0.5][: len(rows)]
    app = twins(fixed({"predictions": scores}))
    answer = app.client.post("/score", **build())
    assert answer.get_json() == app.plain_client.post("/score", **build()).get_json()
    check_counted(app.scrape(), rows, scores)
    record = app.record()
    assert (record["rows"], record["output"]) == (len(rows), scores)
    assert record["request_body"]


@pytest.mark.parametrize(
    ("content_type", "data"),
    [
        ("application/vnd.api+json", json.dumps(ANN)),
        ("application/json; charset=utf-8", json.dumps(ANN)),
        ("text/plain", json.dumps(ANN)),
        ("application/x-www-form-urlencoded", json.dumps(ANN)),
        (None, json.dumps(ANN)),
        ("application/octet-stream", json.dumps([ANN_ROW])),
        ("application/json", json.dumps(ANN).encode("utf-16")),
    ],
    ids=["+json", "with charset", "text/plain", "form, as curl sends it", "no type", "octet-stream", "UTF-16"],
)
def test_json_under_another_type(twins: Make, content_type: str | None, data: Any) -> None:
    app = twins(fixed({"score": 0.5}))
    app.send(data=data, content_type=content_type)
    check_counted(app.scrape(), [ANN], [0.5])


def binary(*tensors: dict[str, Any], key: str = "inputs") -> tuple[bytes, dict[str, str]]:
    """Return body and headers of the binary tensor extension, as tritonclient 2.73 sends them: no content type."""
    described, data = [], b""
    for each in tensors:
        values = np.array(each["data"], dtype={"FP32": "<f4", "FP64": "<f8", "INT64": "<i8"}.get(each["datatype"], "O"))
        if each["datatype"] == "BYTES":
            part = b"".join(len(text.encode()).to_bytes(4, "little") + text.encode() for text in each["data"])
        else:
            part = values.tobytes()
        described.append({**{name: each[name] for name in ("name", "shape", "datatype")}})
        described[-1]["parameters"] = {"binary_data_size": len(part)}
        data += part
    header = json.dumps({key: described}).encode()
    return header + data, {"Inference-Header-Content-Length": str(len(header))}


BINARY = binary(
    tensor("city", "BYTES", "Paris", "Rome"), tensor("age", "FP32", 30, 55.5), tensor("income", "FP64", 2500.0, 7000)
)
LINES = f"{json.dumps(ANN)}\n{json.dumps(BOB)}\n"
ENCODED = {
    **{
        f"JSON lines, {kind}": ({"data": LINES, "content_type": f"application/{kind}"}, [ANN, BOB])
        for kind in ("jsonlines", "x-ndjson", "json-lines", "jsonl; charset=utf-8")
    },
    "JSON lines of lists": (
        {"data": f"{json.dumps(ANN_ROW)}\n{json.dumps(BOB_ROW)}", "content_type": "application/jsonlines"},
        [ANN, BOB],
    ),
    "JSON lines, one": ({"data": json.dumps(ANN), "content_type": "application/jsonlines"}, [ANN]),
    "JSON lines of SageMaker": (
        {
            "data": "\n".join(json.dumps({"data": {"features": {"values": row}}}) for row in (ANN_ROW, BOB_ROW)),
            "content_type": "application/jsonlines",
        },
        [ANN, BOB],
    ),
    "binary tensors": ({"data": BINARY[0], "headers": BINARY[1]}, [ANN, BOB]),
    "binary tensors with a type": (
        {"data": BINARY[0], "headers": BINARY[1], "content_type": "application/octet-stream"},
        [ANN, BOB],
    ),
    "compressed binary tensors": (
        {"data": gzip.compress(BINARY[0]), "headers": {**BINARY[1], "Content-Encoding": "gzip"}},
        [ANN, BOB],
    ),
    "JSON in gzip": (
        {
            "data": gzip.compress(json.dumps([ANN, BOB]).encode()),
            "content_type": "application/json",
            "headers": {"Content-Encoding": "gzip"},
        },
        [ANN, BOB],
    ),
    "JSON in deflate": (
        {
            "data": zlib.compress(json.dumps(ANN).encode()),
            "content_type": "application/json",
            "headers": {"Content-Encoding": "deflate"},
        },
        [ANN],
    ),
    "JSON that only says it is compressed": (
        {"json": ANN, "headers": {"Content-Encoding": "gzip"}},
        [ANN],
    ),
    "CSV in gzip": (
        {
            "data": gzip.compress(b"30,2500.0,Paris\n55.5,7000,Rome\n"),
            "content_type": "text/csv",
            "headers": {"Content-Encoding": "gzip"},
        },
        [ANN, BOB],
    ),
    "JSON lines in gzip": (
        {
            "data": gzip.compress(LINES.encode()),
            "content_type": "application/x-ndjson",
            "headers": {"Content-Encoding": "gzip"},
        },
        [ANN, BOB],
    ),
    "form in gzip": (
        {
            "data": gzip.compress(b"age=30&income=2500&city=Paris"),
            "content_type": "application/x-www-form-urlencoded",
            "headers": {"Content-Encoding": "gzip"},
        },
        [ANN],
    ),
}


def reading(scores: list[float]) -> Callable[[Flask, Any], None]:
    """Return what defines an app whose view reads the body itself."""

    def define(app: Flask, predict: Any) -> None:
        @app.post("/score")
        @predict
        def score() -> Any:
            return {"predictions": scores, "bytes": len(request.get_data())}

    return define


@pytest.mark.parametrize("limit", [65536, 20], ids=["short", "long"])
@pytest.mark.parametrize(("sent", "rows"), ENCODED.values(), ids=ENCODED)
def test_bodies_that_are_no_json_as_they_stand(
    twins: Make, sent: dict[str, Any], rows: list[dict[str, Any]], limit: int
) -> None:
    """Also where the view reads them first, as they are longer than what is kept of a body."""
    scores = [0.25, 0.5][: len(rows)]
    app = twins(reading(scores), BOXKITE_MAX_BODY_BYTES=limit)
    app.send(**sent)
    check_counted(app.scrape(), rows, scores)
    record = app.record()
    assert (record["rows"], record["output"]) == (len(rows), scores)
    assert record.get("body_truncated", False) == (limit == 20)


def test_a_bomb_is_a_capture_error(twins: Make) -> None:
    app = twins(reading([0.5]))
    bomb = gzip.compress(json.dumps({**ANN, "note": "n" * LONGEST_PAYLOAD}).encode(), 1)
    app.send(data=bomb, content_type="application/json", headers={"Content-Encoding": "gzip"})
    assert app.scrape().errors() == {"features": 1}


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("age=30&income=2500&city=Paris", [ANN]),
        ("city=Paris&income=2500&age=30&utm_source=x", [ANN]),
        ("age=30&age=55.5&income=2500&income=7000&city=Paris&city=Rome", [ANN, BOB]),
        ("age=30&income=&city=Paris", [{**ANN, "income": None}]),
        ("", []),
        ("wheels=4", []),
        ("age=30&age=31&income=2500&city=Paris", []),
    ],
)
def test_features_in_a_query_string(twins: Make, query: str, rows: list[dict[str, Any]]) -> None:
    scores = [0.25, 0.5][: len(rows)] or [0.5]

    def define(app: Flask, predict: Any) -> None:
        @app.get("/score")
        @predict(features="?")
        def score() -> Any:
            return {"predictions": scores, "age": request.args.getlist("age")}

    app = twins(define)
    app.send(f"/score?{query}", method="GET")
    samples = app.scrape()
    if rows:
        check_counted(samples, rows, scores)
    else:
        assert samples.errors() == {"features": 1}


def test_a_query_string_is_not_read_without_the_option(twins: Make) -> None:
    app = twins(fixed({"score": 0.5}))
    app.send("/score?age=30&income=2500&city=Paris")
    assert app.scrape().errors() == {"features": 1}


UNREADABLE = {
    "no body": {},
    "empty JSON": {"data": "", "content_type": "application/json"},
    "null": {"data": "null", "content_type": "application/json"},
    "number": {"json": 5},
    "text": {"json": "Paris"},
    "true": {"json": True},
    "empty object": {"json": {}},
    "list of empty lists": {"json": [[], []]},
    "ragged rows": {"json": [ANN_ROW, BOB_ROW[:2]]},
    "mixed rows": {"json": [ANN_ROW, BOB]},
    "unknown names": {"json": {"wheels": 4, "doors": 2}},
    "unknown shape": {"json": {"payload": {"rows": [ANN_ROW]}}},
    "instances of another kind": {"json": {"instances": "all"}},
    "split with a wrong width": {"json": {"dataframe_split": {"columns": ["age"], "data": [ANN_ROW]}}},
    "Seldon with wrong names": {"json": {"data": {"names": ["age"], "ndarray": [ANN_ROW]}}},
    "tensor with a wrong shape": {"json": {"inputs": [tensor("x", "FP32", 1, 2, 3, 4, shape=[2, 3])]}},
    "tensor without shape": {"json": {"inputs": [{"name": "x", "data": [1, 2, 3]}]}},
    "columns of several lengths": {"json": {"inputs": {"age": [1, 2], "income": [1], "city": ["Rome"]}}},
    "broken JSON": {"data": '{"age": 30,', "content_type": "application/json"},
    "binary as JSON": {"data": b"\xff\xfe\x00\x80", "content_type": "application/json"},
    "binary": {"data": b"\x00\x01\xff\xfe", "content_type": "application/octet-stream"},
    "CSV that is not UTF-8": {"data": b"30,2500,\xff\xfe\n", "content_type": "text/csv"},
    "CSV with a giant cell": {"data": "1" * 40_000 + '"' + "2" * 20_000, "content_type": "text/csv"},
    "ragged CSV": {"data": "30,2500,Paris\n1\n", "content_type": "text/csv"},
    "empty CSV": {"data": "\n\n", "content_type": "text/csv"},
    "CSV, wrong width": {"data": "30,2500\n", "content_type": "text/csv"},
    "form of others": {"data": {"user": "ann", "password": "secret"}},
    "form of several lengths": {"data": {"age": ["1", "2"], "income": ["5"], "city": ["Rome"]}},
    "plain text": {"data": "hello", "content_type": "text/plain"},
    "XML": {"data": "<age>30</age>", "content_type": "application/xml"},
    "too few": {"json": ANN_ROW[:2]},
    "too many": {"json": [*ANN_ROW, 1]},
    "too many in a row of rows": {"json": [[*ANN_ROW, 1]]},
    "deeply nested": {"data": "[" * 5000 + "]" * 5000, "content_type": "application/json"},
    "JSON lines, ragged": {"data": "[30,2500]\n[1]", "content_type": "application/jsonlines"},
    "JSON lines, broken": {"data": f"{LINES}hello", "content_type": "application/jsonlines"},
    "JSON lines under another type": {"data": LINES, "content_type": "text/plain"},
    "JSON lines that are no UTF-8": {"data": b"\xff", "content_type": "application/jsonlines"},
    "binary tensors, cut off": {"data": BINARY[0][:-1], "headers": BINARY[1]},
    "binary tensors, wrong length": {"data": BINARY[0], "headers": {"Inference-Header-Content-Length": "7"}},
    "binary tensors, no header": {"data": BINARY[0]},
    "unknown encoding": {
        "data": gzip.compress(b"{}"),
        "content_type": "application/json",
        "headers": {"Content-Encoding": "br"},
    },
    "split of other names": {"json": {"columns": ["x"], "data": [ANN_ROW]}},
    "two conventions": {"json": {"data": [ANN_ROW], "rows": [BOB_ROW]}},
    "gzip": {
        "data": b"\x1f\x8b\x08\x00abc",
        "content_type": "application/json",
        "headers": {"Content-Encoding": "gzip"},
    },
}


@pytest.mark.parametrize("sent", UNREADABLE.values(), ids=UNREADABLE)
def test_what_fits_no_convention_is_not_guessed(twins: Make, sent: dict[str, Any], caplog: Any) -> None:
    """It is counted by reason and recorded; the log says what was seen, without a traceback: it is no fault of ours."""
    app = twins(fixed({"score": 0.5}))
    app.send(**sent)
    samples = app.scrape()
    assert samples.errors() == {"features": 1}
    assert all(samples.groups(name) == {} for name in NAMES)
    assert sum(samples.statuses().values()) >= 1
    assert app.record()["status"] == "ok"
    assert [record.exc_info for record in caplog.records] == [None]


EMPTY = {
    "list": {"json": []},
    "instances": {"json": {"instances": []}},
    "dataframe_split": {"json": {"dataframe_split": {"columns": NAMES, "data": []}}},
    "columns": {"json": {name: [] for name in NAMES}},
    "CSV of a header only": {"data": "age,income,city\n", "content_type": "text/csv"},
    "tensor": {"json": {"inputs": [tensor("x", "FP32", shape=[0, 3])]}},
    "binary tensor": {
        "data": b'{"inputs":[{"name":"x","shape":[0,3],"datatype":"FP32","parameters":{"binary_data_size":0}}]}',
        "headers": {"Inference-Header-Content-Length": "93"},
    },
}


@pytest.mark.parametrize("answer", [{"predictions": []}, [], {"score": None}, {"message": "nothing to score"}], ids=str)
@pytest.mark.parametrize("sent", EMPTY.values(), ids=EMPTY)
def test_an_empty_batch_is_no_prediction_and_no_error(twins: Make, sent: dict[str, Any], answer: Any) -> None:
    app = twins(fixed(answer))
    app.send(**sent)
    samples = app.scrape()
    assert (samples.errors(), samples.statuses(), app.records()) == ({}, {}, [])
    check_nothing_counted(samples)
    assert samples.value("boxkite_prediction_duration_seconds_count") == 1


@pytest.mark.parametrize("answer", [{"predictions": [0.5]}, {"score": 0.5}], ids=str)
def test_an_output_beside_an_empty_batch_is_told(twins: Make, answer: Any, caplog: Any) -> None:
    app = twins(fixed(answer))
    app.send(json={"instances": []})
    samples = app.scrape()
    assert (samples.errors(), samples.statuses()) == ({"output": 1}, {"ok": 1})
    check_nothing_counted(samples)
    assert app.record()["response"] == answer
    assert caplog.messages == [
        "Model 'default': The output has 1 row, and the features have 0 rows. Give one output for each row."
    ]


def test_rows_beside_an_empty_answer_are_told(twins: Make, caplog: Any) -> None:
    app = twins(fixed({"predictions": []}))
    app.send(json=[ANN, BOB])
    samples = app.scrape()
    assert (samples.errors(), samples.statuses()) == ({"output": 1}, {"ok": 2})
    assert caplog.messages == [
        "Model 'default': The output has 0 rows, and the features have 2 rows. Give one output for each row."
    ]


def test_an_empty_batch_that_fails_is_seen(twins: Make) -> None:
    app = twins(fixed(("no rows", 500)))
    app.send(json=[])
    assert app.scrape().statuses() == {"error": 1}
    assert app.record()["status"] == "error"


def test_nested_values_are_invalid_where_a_value_belongs(twins: Make) -> None:
    """Their place is known, so the other features of the row count."""
    app = twins(fixed({"score": 0.5}))
    app.send(json={**ANN, "age": [30], "city": {"name": "Paris"}})
    samples = app.scrape()
    assert samples.groups("age") == {"__invalid__": 1}
    assert samples.groups("city") == {"__invalid__": 1}
    assert samples.groups("income") == {samples.group_of("feature", "income", ANN["income"]): 1}
    assert app.record()["features"] == {**ANN, "age": [30], "city": {"name": "Paris"}}


def test_a_key_that_is_a_feature_is_no_mark_of_a_convention(twins: Make) -> None:
    """A model may well have a feature called 'data'."""
    from flask_boxkite.baseline.training.build import build_baseline

    own = build_baseline({"data": list(range(1000)), "features": list(range(1000))}, [i / 1000 for i in range(1000)])
    app = twins(fixed({"score": 0.5}), baseline=own)
    app.send(json={"data": 5, "features": 995})
    samples = app.scrape()
    assert samples.groups("data") == {samples.group_of("feature", "data", 5): 1}
    assert samples.groups("features") == {samples.group_of("feature", "features", 995): 1}
    assert samples.errors() == {}


def test_duplicate_keys_are_read_as_the_view_reads_them(twins: Make) -> None:
    app = twins(fixed({"score": 0.5}))
    app.send(data='{"age": 20, "age": 70, "income": 2500, "city": "Paris"}', content_type="application/json")
    check_counted(app.scrape(), [{**ANN, "age": 70}], [0.5])


@pytest.mark.parametrize(
    ("literal", "group", "kept"),
    [
        ("NaN", "__missing__", None),
        ("null", "__missing__", None),
        ("Infinity", "__above__", "Infinity"),
        ("-Infinity", "__below__", "-Infinity"),
        ("1e999", "__above__", "Infinity"),
        ("1000", "__above__", 1000),
        ("-5", "__below__", -5),
        (str(2**70), "__above__", str(2**70)),
        (str(-(2**70)), "__below__", str(-(2**70))),
        ("1" + "0" * 400, "__above__", "1" + "0" * 400),
        ("true", "__below__", True),
        ('"30"', None, "30"),
        ('" 30 "', None, " 30 "),
        ('"nan"', "__missing__", "nan"),
        ('"thirty"', "__invalid__", "thirty"),
        ('"3_0"', "__invalid__", "3_0"),
        ('""', "__missing__", ""),
        ("[30]", "__invalid__", [30]),
        ("{}", "__invalid__", {}),
    ],
)
def test_odd_numbers(twins: Make, literal: str, group: str | None, kept: Any) -> None:
    app = twins(fixed({"score": 0.5}))
    app.send(data=f'{{"age": {literal}, "income": 2500, "city": "Paris"}}', content_type="application/json")
    samples = app.scrape()
    assert samples.groups("age") == {group or samples.group_of("feature", "age", 30): 1}
    assert samples.groups("income") == {samples.group_of("feature", "income", 2500): 1}
    assert samples.statuses() == {"ok": 1}
    assert samples.errors() == {}
    assert app.record()["features"]["age"] == kept
    # In a batch that is counted by column, a value falls where it falls alone.
    rows = ",".join([f'{{"age": {literal}, "income": 2500, "city": "Paris"}}'] * 40)
    app.send(data=f"[{rows}]", content_type="application/json")
    after = app.scrape()
    assert after.groups("age") == {group or samples.group_of("feature", "age", 30): 41}


@pytest.mark.parametrize(
    "city", ["", "__missing__", "__unseen__", 'Pa"ris', "a\nb", "a\\b", "{}=,", "東京", "x" * 5000, 7, None]
)
def test_odd_categories_share_one_series(twins: Make, city: Any) -> None:
    """No client can add a series or break the text of the metrics."""
    app = twins(fixed({"score": 0.5}))
    series = app.client.get("/metrics").text.count("\n")
    app.send(json={**ANN, "city": city})
    samples = app.scrape()
    assert samples.groups("city") == {"__missing__" if city in (None, "") else "__unseen__": 1}
    assert samples.text.count("\n") == series
    assert app.record()["features"]["city"] == city


# --- Responses ------------------------------------------------------------------------------------------------------


def json_response(value: Any, **options: Any) -> Callable[[], Response]:
    return lambda: Response(json.dumps(value), mimetype="application/json", **options)


ONE = {
    "number": ("0.75", 0.75),
    "prediction": ({"prediction": 0.75}, 0.75),
    "output": ({"output": 0.75, "model_version": "3"}, 0.75),
    "score": ({"score": 0.75, "id": "r-1"}, 0.75),
    "result": ({"result": 0.75, "took_ms": 3}, 0.75),
    "label": ({"label": 0.75, "confidence": 0.9}, 0.75),
    "one entry": ({"probability": 0.75}, 0.75),
    "list of one": ([0.75], [0.75]),
    "predictions of one": ({"predictions": [0.75]}, [0.75]),
    "prediction in a list": ({"prediction": [0.75]}, [0.75]),
    "row in a list": ({"predictions": [[0.75]]}, [[0.75]]),
    "object by name": ({"predictions": [{"output": 0.75, "more": 1}]}, [{"output": 0.75, "more": 1}]),
    "Open Inference": (
        {"model_name": "m", "outputs": [tensor("output", "FP32", 0.75, shape=[1, 1])]},
        [tensor("output", "FP32", 0.75, shape=[1, 1])],
    ),
    "Seldon": ({"data": {"names": ["p"], "ndarray": [[0.75]]}}, [[0.75]]),
    "tuple with a status": (({"score": 0.75}, 201), 0.75),
    "tuple with headers": (({"score": 0.75}, {"X-Model": "3"}), 0.75),
    "JSON response": (json_response({"score": 0.75}), 0.75),
    "JSON response with a status": (json_response({"score": 0.75}, status=202), 0.75),
    "JSON text": ('{"score": 0.75}', 0.75),
    "JSON bytes": (b'{"score": 0.75}', 0.75),
    "CSV response": (lambda: Response("0.75\n", mimetype="text/csv"), [["0.75"]]),
    "CSV tuple": (("0.75\n", 200, {"Content-Type": "text/csv; charset=utf-8"}), [["0.75"]]),
    "CSV tuple with a list of headers": (("0.75\n", [("content-type", "text/csv")]), [["0.75"]]),
}


@pytest.mark.parametrize(("answer", "output"), ONE.values(), ids=ONE)
def test_answers_to_one_row(twins: Make, answer: Any, output: Any) -> None:
    app = twins(fixed(answer))
    app.send(json=ANN)
    check_counted(app.scrape(), [ANN], [0.75])
    assert app.record()["output"] == output


SEVERAL = {
    "list": [0.25, 0.75],
    "predictions": {"predictions": [0.25, 0.75]},
    "predictions in rows": {"predictions": [[0.25], [0.75]]},
    "instances": {"instances": [0.25, 0.75]},
    "outputs": {"outputs": [0.25, 0.75]},
    "score": {"score": [0.25, 0.75]},
    "one entry": {"probabilities": [0.25, 0.75]},
    "objects": [{"output": 0.25}, {"output": 0.75}],
    "Open Inference": {"outputs": [tensor("output", "FP64", 0.25, 0.75)]},
    "Seldon": {"data": {"ndarray": [[0.25], [0.75]]}},
    "CSV": lambda: Response("0.25\n0.75\n", mimetype="text/csv"),
}


@pytest.mark.parametrize("answer", SEVERAL.values(), ids=SEVERAL)
def test_answers_to_several_rows(twins: Make, answer: Any) -> None:
    app = twins(fixed(answer))
    app.send(json=[ANN, BOB])
    check_counted(app.scrape(), [ANN, BOB], [0.25, 0.75])
    record = app.record()
    assert (record["rows"], record["status"]) == (2, "ok")


UNFITTING = {
    "two entries": {"a": 0.5, "b": 0.5},
    "a status": {"status": "ok"},
    "a flag": {"ok": True},
    "an error": {"error": None},
    "empty object": {},
    "empty list": [],
    "more than rows": {"predictions": [0.1, 0.2]},
    "wider than outputs": {"predictions": [[0.1, 0.9]]},
    "page": "<p>0.75</p>",
    "empty text": "",
    "text of lines": "a\nb",
    "long text": "a" * 1000,
    "no content": ("", 204),
    "redirect": ("", 302, {"Location": "/elsewhere"}),
    "bytes": b"\x89PNG\xff\xfe",
    "bad JSON": lambda: Response("{", mimetype="application/json"),
    "empty CSV": lambda: Response("", mimetype="text/csv"),
    "events": lambda: Response(iter(["data: 0.5\n\n"]), mimetype="text/event-stream"),
    "streamed bytes": lambda: Response(iter([b"\x89PNG", b"\xff\xfe"]), mimetype="image/png"),
}


@pytest.mark.parametrize("answer", UNFITTING.values(), ids=UNFITTING)
def test_an_answer_that_fits_no_convention_is_not_guessed(twins: Make, answer: Any, caplog: Any) -> None:
    app = twins(fixed(answer))
    app.send(json=ANN)
    samples = app.scrape()
    assert samples.errors() == {"output": 1}
    assert samples.outputs() == {}
    assert samples.statuses() == {"ok": 1}
    assert samples.groups("age") == {samples.group_of("feature", "age", 30): 1}
    assert app.record()["features"] == ANN
    assert [record.exc_info for record in caplog.records] == [None]


@pytest.mark.parametrize(
    ("answer", "group"),
    [
        ({"score": None}, "__missing__"),
        ([None], "__missing__"),
        ({"score": float("nan")}, "__missing__"),
        ({"score": float("inf")}, "__above__"),
        ({"score": -3}, "__below__"),
        ({"score": "0.5"}, None),
        ({"score": "high"}, "__invalid__"),
        ({"score": True}, "__above__"),
    ],
    ids=str,
)
def test_odd_outputs(twins: Make, answer: Any, group: str | None) -> None:
    app = twins(fixed(answer))
    app.send(json=ANN)
    samples = app.scrape()
    assert samples.outputs() == {group or samples.group_of("inference", "output", 0.5): 1}
    assert samples.errors() == {}


@pytest.mark.parametrize(
    "answer",
    [
        {"no": 0.75, "yes": 0.25},
        {"predictions": [[0.75, 0.25]]},
        {"probabilities": [0.75, 0.25]},
        {"prediction": {"yes": 0.25, "no": 0.75}},
        [{"no": 0.75, "yes": 0.25}],
        {"outputs": [tensor("yes", "FP32", 0.25), tensor("no", "FP32", 0.75)]},
        {"outputs": [tensor("p", "FP32", 0.75, 0.25, shape=[1, 2])]},
    ],
    ids=["object", "rows", "one row", "by name", "records", "tensors", "one tensor"],
)
def test_several_outputs(twins: Make, answer: Any) -> None:
    from flask_boxkite.baseline.training.build import build_baseline

    number = 1000
    shares = [i / number for i in range(number)]
    own = build_baseline({"x": shares}, {"no": shares, "yes": shares})
    app = twins(fixed(answer), baseline=own)
    app.send(json={"x": 0.5})
    samples = app.scrape()
    assert samples.outputs("no") == {samples.group_of("inference", "no", 0.75): 1}
    assert samples.outputs("yes") == {samples.group_of("inference", "yes", 0.25): 1}
    assert samples.errors() == {}


LABELLED: dict[str, Any] = {
    "one": {"prediction": 1, "probability": 0.75},
    "one, the other way": {"probability": 0.75, "prediction": 1},
    "text": {"label": "yes", "score": 0.75},
    "several": {"predictions": [1], "probabilities": [0.75]},
    "list": [{"label": "yes", "score": 0.75}],
    "tensors": {"outputs": [tensor("label", "INT64", 1), tensor("probability", "FP32", 0.75)]},
    "binary tensors": lambda: Response(
        *(lambda body, headers: (body, 200, headers))(
            *binary(tensor("label", "INT64", 1), tensor("probability", "FP32", 0.75), key="outputs")
        ),
        mimetype="application/octet-stream",
    ),
    "binary tuple": lambda: (lambda body, headers: (body, headers))(
        *binary(tensor("output", "FP32", 0.75, shape=[1, 1]), key="outputs")
    ),
    "JSON lines": lambda: Response('{"label": "yes", "score": 0.75}\n', mimetype="application/jsonlines"),
}


@pytest.mark.parametrize("answer", LABELLED.values(), ids=LABELLED)
def test_of_a_label_and_a_probability_the_baselines_output_counts(twins: Make, answer: Any) -> None:
    app = twins(fixed(answer))
    app.send(json=ANN)
    check_counted(app.scrape(), [ANN], [0.75])


@pytest.mark.parametrize(
    "answer",
    [{"prediction": 0.25, "probability": 0.75}, {"prediction": 1, "label": "yes"}, {"score": 0.5, "probability": 0.5}],
    ids=str,
)
def test_a_label_and_a_probability_that_cannot_be_told_apart_are_a_capture_error(twins: Make, answer: Any) -> None:
    app = twins(fixed(answer))
    app.send(json=ANN)
    samples = app.scrape()
    assert samples.errors() == {"output": 1}
    assert samples.outputs() == {}


# --- Records read back ----------------------------------------------------------------------------------------------

READ_BACK: dict[str, tuple[dict[str, Any], Any]] = {
    **{name: ({"json": payload}, len(rows)) for name, (payload, rows, _) in TABULAR.items()},
    **{name: (sent, len(rows)) for name, (sent, rows) in ENCODED.items()},
    **{
        f"answer, {name}": ({"json": ANN}, answer)
        for name, answer in {**{name: answer for name, (answer, _) in ONE.items()}, **LABELLED}.items()
    },
}


@pytest.mark.parametrize(("sent", "answer"), READ_BACK.values(), ids=READ_BACK)
def test_records_read_back_give_the_live_counts(
    twins: Make, sent: dict[str, Any], answer: Any, baseline: Baseline
) -> None:
    from flask_boxkite.records.counting import RecordCounter
    from flask_boxkite.records.decoding import decoder

    app = twins(fixed({"predictions": [0.25, 0.75][:answer]} if type(answer) is int else answer))
    app.client.post("/score", **sent)
    decode = decoder([feature.name for feature in baseline.features]).one
    counter = RecordCounter(baseline, float("inf"))
    counter.add([decode(json.dumps(record).encode()) for record in app.records()])
    (counts,) = counter.segments.values()
    samples = app.scrape()
    start = 0
    for side, item in [*(("feature", each) for each in baseline.features), ("inference", baseline.outputs[0])]:
        cells = counts.cells[start : start + len(item.cells)]
        start += len(item.cells)
        groups = {span.name: int(cells[span.start : span.stop].sum()) for span in item.groups}
        live = samples.groups(item.name) if side == "feature" else samples.outputs()
        assert {name: count for name, count in groups.items() if count} == live, item.name
        assert sum(live.values()) == counts.rows


# --- Options --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ({"features": "client.rows", "output": "risk.value"}, {"client": {"rows": [ANN]}}),
        ({"features": "calls.0.row", "output": "risk.value"}, {"calls": [{"row": ANN_ROW}]}),
        (
            {"features": lambda r: r.get_json()["client"]["rows"], "output": lambda v: v["risk"]["value"]},
            {"client": {"rows": ANN}},
        ),
        ({"features": lambda r: np.array([30, 2500.0, np.nan]), "output": lambda v: np.array([0.5])}, {"image": "…"}),
    ],
    ids=["paths", "path with an index", "callables", "callables that return arrays"],
)
def test_options_say_where_features_and_output_are(twins: Make, options: dict[str, Any], sent: Any) -> None:
    def define(app: Flask, predict: Any) -> None:
        @app.post("/score")
        @predict(**options)
        def score() -> Any:
            return {"echo": request.get_json(), "risk": {"value": 0.5}}

    app = twins(define)
    app.send(json=sent)
    expected = {**ANN, "city": None} if "image" in sent else ANN
    check_counted(app.scrape(), [expected], [0.5])
    assert app.record()["rows"] == 1


def raises(_: Any) -> Any:
    raise RuntimeError("a fault of the user's")


@pytest.mark.parametrize(
    ("options", "errors", "is_told"),
    [
        ({"features": "no.where"}, {"features": 1}, False),
        ({"features": "age.3"}, {"features": 1}, False),
        ({"output": "no.where"}, {"output": 1}, False),
        ({"output": "score.0"}, {"output": 1}, False),
        ({"features": lambda r: None}, {"features": 1}, False),
        ({"output": lambda v: None}, {"output": 1}, False),
        ({"features": lambda r: r.get_json()["rows"]}, {"features": 1}, False),
        ({"features": raises}, {"internal": 1}, True),
        ({"output": raises}, {"internal": 1}, True),
    ],
    ids=[
        "path",
        "path into a value",
        "output path",
        "output path into a value",
        "None",
        "no output",
        "KeyError",
        "raises",
        "output raises",
    ],
)
def test_options_that_find_nothing(
    twins: Make, options: dict[str, Any], errors: dict[str, int], is_told: bool, caplog: Any
) -> None:
    def define(app: Flask, predict: Any) -> None:
        @app.post("/score")
        @predict(**options)
        def score() -> Any:
            return {"score": 0.5, "echo": request.get_data(as_text=True)}

    app = twins(define)
    app.send(json=ANN)
    samples = app.scrape()
    assert samples.errors() == errors
    assert samples.statuses() == {"ok": 1}
    assert any(record.exc_info for record in caplog.records) is is_told
    assert len(caplog.messages) == 1
    assert app.record()["status"] == "ok"


def test_a_path_is_not_found_in_a_body_that_is_not_json(twins: Make) -> None:
    def define(app: Flask, predict: Any) -> None:
        @app.post("/score")
        @predict(features="rows")
        def score() -> Any:
            return {"score": 0.5, "age": request.form["age"]}

    app = twins(define)
    app.send(data=as_text(ANN))
    assert app.scrape().errors() == {"features": 1}


# --- Without a baseline ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "features", "rows"),
    [
        ({"json": {"anything": 1, "goes": "x"}}, {"anything": 1, "goes": "x"}, 1),
        ({"json": [[1, 2], [3, 4], [5, 6]]}, [[1, 2], [3, 4], [5, 6]], 3),
        ({"data": {"a": "1", "b": "2"}}, {"a": "1", "b": "2"}, 1),
        ({"data": "a,b\n1,2\n", "content_type": "text/csv"}, {"a": "1", "b": "2"}, 1),
        ({"data": "1,2\n3,4\n", "content_type": "text/csv"}, [["1", "2"], ["3", "4"]], 2),
    ],
    ids=["object", "rows", "form", "CSV with a header", "CSV"],
)
def test_without_a_baseline_rows_are_counted_and_recorded(
    twins: Make, sent: dict[str, Any], features: Any, rows: int
) -> None:
    app = twins(fixed(lambda: {"predictions": [0.5] * rows}), baseline=None)
    app.send(**sent)
    samples = app.scrape()
    assert samples.statuses() == {"ok": rows}
    assert samples.errors() == {}
    assert "boxkite_feature" not in samples.text
    record = app.record()
    assert (record["features"], record["rows"], record["baseline"]) == (features, rows, None)


# --- Statuses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (200, "ok"),
        (201, "ok"),
        (302, "ok"),
        (400, "client_error"),
        (422, "client_error"),
        (500, "error"),
        (503, "error"),
    ],
)
def test_values_count_only_if_they_were_answered(twins: Make, status: int, name: str) -> None:
    app = twins(fixed(({"predictions": [0.25, 0.75]}, status)))
    app.send(json=[ANN, BOB])
    samples = app.scrape()
    assert samples.statuses() == {name: 2}
    record = app.record()
    assert (record["status"], record["rows"], record["features"]) == (name, 2, [ANN, BOB])
    if name == "ok":
        check_counted(samples, [ANN, BOB], [0.25, 0.75])
    else:
        check_nothing_counted(samples)
        assert record["output"] is None
        assert samples.errors() == {}


def test_a_rejected_request_of_unknown_rows_counts_as_one(twins: Make) -> None:
    app = twins(fixed(({"error": "what?"}, 400)))
    app.send(data="{", content_type="application/json")
    samples = app.scrape()
    assert samples.statuses() == {"client_error": 1}
    assert samples.errors() == {}


def test_names_that_are_hard_to_write_are_matched(twins: Make) -> None:
    """They reach `/metrics` and come back as they are."""
    from flask_boxkite.baseline.training.build import build_baseline

    names = ['a"b', "c\nd", "e\\f", "{g}", "größe", "h,i=j", "%s", " "]
    column = list(range(1000))
    own = build_baseline(dict.fromkeys(names, column), [i / 1000 for i in column], model='m"\n\\x')
    app = twins(fixed({"score": 0.5}), baseline=own)
    app.send(json=dict.fromkeys(names, 500))
    samples = app.scrape()
    for name in names:
        assert samples.groups(name) == {samples.group_of("feature", name, 500): 1}
    assert samples.labels("model", "boxkite_predictions_total") == {'m"\n\\x'}


def test_a_million_categories_are_one_series(twins: Make, baseline: Baseline) -> None:
    app = twins(fixed(lambda: {"predictions": [0.5] * len(request.get_json())}), BOXKITE_MAX_BODY_BYTES=10)
    size = len(app.scrape().text.splitlines())
    for start in range(0, 100_000, 20_000):
        app.send(json=[[30, 2500, f"city-{i}"] for i in range(start, start + 20_000)])
    samples = app.scrape()
    assert samples.groups("city") == {"__unseen__": 100_000}
    assert len(samples.text.splitlines()) == size


def test_rare_categories_are_rare(twins: Make) -> None:
    from flask_boxkite.baseline.training.build import build_baseline
    from flask_boxkite.baseline.training.options import BaselineOptions

    own = build_baseline(
        {"city": [f"c{i % 100}" for i in range(1000)]},
        [i / 1000 for i in range(1000)],
        BaselineOptions.of(max_categories=5),
    )
    app = twins(fixed({"score": 0.5}), baseline=own)
    app.send(json={"city": "c77"})
    assert app.scrape().groups("city") == {"__rare__": 1}


def test_sampling_thins_out_records_and_not_counts(twins: Make) -> None:
    app = twins(fixed({"score": 0.5}), BOXKITE_SAMPLE_RATE=0.25)
    answers = [app.client.post("/score", json=ANN) for _ in range(200)]
    assert app.scrape().statuses() == {"ok": 200}
    ids = [answer.headers["Boxkite-Prediction-Id"] for answer in answers]
    kept = {each for each in ids if int(each.rpartition("/")[2][:8], 16) < 0.25 * 2**32}
    assert {record["prediction_id"] for record in app.records()} == kept
    assert 0 < len(kept) < 200


def test_fixtures_are_as_the_tests_think() -> None:
    """The tests' own sink receives the records of one app."""
    sink = Records()
    sink.emit_batch([{"a": 1}])
    assert sink.taken == [{"a": 1}]
    assert [feature.name for feature in training_baseline().features] == NAMES
