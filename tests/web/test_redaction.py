"""A field that ``BOXKITE_REDACT`` names is in no record, file, metric or message, in whatever layout it is sent.

The layouts are all that `flask_boxkite.payloads` reads. What the client gets stays as it is.
"""

from __future__ import annotations

import gc
import gzip
import json
import logging
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask, Response, request
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import Client

from flask_boxkite import Baseline, Boxkite, BoxkiteMiddleware, ModelMonitoringService
from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.monitoring.redaction import REDACTED
from flask_boxkite.system.throttle import Throttle
from tests.web.twins import Records, Twins

TEXT, NUMBER = "S3CRET", 98765432
MARKS = (TEXT, str(NUMBER))
ROWS = st.integers(1, 3)

# --- layouts of requests --------------------------------------------------------------------------------------------

Sent = dict[str, Any]
Layout = Callable[[list[str], list[list[Any]]], Sent]


def _json(document: Any, **headers: str) -> Sent:
    return {"data": json.dumps(document).encode(), "headers": {"Content-Type": "application/json", **headers}}


def _objects(names: list[str], rows: list[list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(names, row, strict=True)) for row in rows]


def _columns(names: list[str], rows: list[list[Any]]) -> dict[str, list[Any]]:
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}


def _tensors(names: list[str], rows: list[list[Any]]) -> list[dict[str, Any]]:
    return [
        {"name": name, "shape": [len(rows)], "datatype": _datatype(column[0]), "data": column}
        for name, column in _columns(names, rows).items()
    ]


def _datatype(value: Any) -> str:
    return "BYTES" if isinstance(value, str) else "FP64"


def _binary(names: list[str], rows: list[list[Any]]) -> Sent:
    tensors, parts = _tensors(names, rows), []
    for tensor in tensors:
        values = tensor.pop("data")
        if tensor["datatype"] == "BYTES":
            part = b"".join(struct.pack("<I", len(value)) + value.encode() for value in map(str, values))
        else:
            part = struct.pack(f"<{len(values)}d", *values)
        tensor["parameters"] = {"binary_data_size": len(part)}
        parts.append(part)
    head = json.dumps({"inputs": tensors}).encode()
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
    return {"data": head + b"".join(parts), "headers": headers}


def _csv(delimiter: str) -> Layout:
    def layout(names: list[str], rows: list[list[Any]]) -> Sent:
        lines = [delimiter.join(map(str, row)) for row in [names, *rows]]
        return {"data": "\n".join(lines).encode(), "headers": {"Content-Type": "text/csv"}}

    return layout


def _form(names: list[str], rows: list[list[Any]]) -> Sent:
    data = urlencode(_columns(names, rows), doseq=True).encode()
    return {"data": data, "headers": {"Content-Type": "application/x-www-form-urlencoded"}}


def _multipart(names: list[str], rows: list[list[Any]]) -> Sent:
    return {"data": {name: [str(value) for value in column] for name, column in _columns(names, rows).items()}}


def _lines(wrap: Callable[[dict[str, Any]], Any]) -> Layout:
    def layout(names: list[str], rows: list[list[Any]]) -> Sent:
        lines = [json.dumps(wrap(item)) for item in _objects(names, rows)]
        return {"data": "\n".join(lines).encode(), "headers": {"Content-Type": "application/x-ndjson"}}

    return layout


def _as_json(shape: Callable[[list[str], list[list[Any]]], Any]) -> Layout:
    return lambda names, rows: _json(shape(names, rows))


def _flat(rows: list[list[Any]]) -> list[Any]:
    return [value for row in rows for value in row]


NAMED: dict[str, Layout] = {
    "object": _as_json(lambda names, rows: _objects(names, rows)[0]),
    "objects": _as_json(_objects),
    "columns": _as_json(_columns),
    "indexed columns": _as_json(
        lambda names, rows: {n: dict(enumerate(column)) for n, column in _columns(names, rows).items()}
    ),
    **{
        mark: _as_json(lambda names, rows, mark=mark: {mark: _objects(names, rows)})
        for mark in ("features", "instances", "inputs", "data", "rows", "records", "input", "dataframe_records")
    },
    "columns below inputs": _as_json(lambda names, rows: {"inputs": _columns(names, rows)}),
    "instances in lists": _as_json(
        lambda names, rows: {"instances": [{n: [v] for n, v in item.items()} for item in _objects(names, rows)]}
    ),
    "dataframe_split": _as_json(lambda names, rows: {"dataframe_split": {"columns": names, "data": rows}}),
    "split": _as_json(lambda names, rows: {"columns": names, "index": [0], "data": rows}),
    "Seldon": _as_json(lambda names, rows: {"data": {"names": names, "ndarray": rows}}),
    "Seldon's tensor": _as_json(
        lambda names, rows: {
            "data": {"names": names, "tensor": {"shape": [len(rows), len(names)], "values": _flat(rows)}}
        }
    ),
    "tensors": _as_json(lambda names, rows: {"inputs": _tensors(names, rows)}),
    "the only tensor": _as_json(lambda names, rows: {"inputs": _tensors(names, rows)[-1:]}),
    "the only Keras input": _as_json(
        lambda names, rows: {"instances": [{names[-1]: [row[-1]] * len(names)} for row in rows]}
    ),
    "the only Keras column": _as_json(lambda names, rows: {"inputs": {names[-1]: [[row[-1]] * 2 for row in rows]}}),
    "rows below the field": _as_json(lambda names, rows: {names[-1]: [row[-1] for row in rows]}),
    "an object in the field": _as_json(
        lambda names, rows: {"features": {names[-1]: {row[-1]: row[-1] for row in rows}}}
    ),
    "binary tensors": _binary,
    "form": _form,
    "multipart": _multipart,
    **{f"CSV {delimiter!r}": _csv(delimiter) for delimiter in ",;\t|"},
    "JSON lines": _lines(lambda item: item),
    "JSON lines of features": _lines(lambda item: {"features": item}),
    "JSON in a text": _as_json(lambda names, rows: {"age": 1, "note": json.dumps(_objects(names, rows))}),
    "a nested split": _as_json(lambda names, rows: {"age": 1, "x": {"columns": names, "data": rows}}),
    **{
        f"names beside {mark}": _as_json(
            lambda names, rows, mark=mark: {"feature_names": names[::-1], mark: [row[::-1] for row in rows]}
        )
        for mark in ("features", "instances", "inputs", "rows")
    },
    "names in a text": _as_json(lambda names, rows: {"header": ",".join(names), "rows": rows}),
    "a schema": _as_json(lambda names, rows: {"schema": [{"name": name} for name in names[::-1]], "data": rows}),
    "a tensor's columns": _as_json(
        lambda names, rows: {
            "inputs": [
                {
                    "name": "x",
                    "shape": [len(rows)],
                    "datatype": "BYTES",
                    "parameters": {"columns": names[-1:]},
                    "data": [row[-1] for row in rows],
                }
            ]
        }
    ),
    "pairs of name and value": _as_json(
        lambda names, rows: [{"name": name, "value": value} for name, value in zip(names, rows[0], strict=True)]
    ),
    "pairs below a field": _as_json(
        lambda names, rows: {"age": 1, "x": {"Field": names[-1], "was": rows[0][-1], "is": [{"now": rows[0][-1]}]}}
    ),
    "JSON twice in a text": _as_json(
        lambda names, rows: {"age": 1, "note": json.dumps(json.dumps(_objects(names, rows)))}
    ),
    "JSON behind a byte order mark": _as_json(
        lambda names, rows: {"age": 1, "note": "\ufeff" + json.dumps(_objects(names, rows))}
    ),
    "JSON lines with names": _lines(lambda item: {"names": list(item)[::-1], "features": list(item.values())[::-1]}),
}
POSITIONAL: dict[str, Layout] = {
    "row": _as_json(lambda names, rows: rows[0]),
    "rows": _as_json(lambda names, rows: rows),
    "instances": _as_json(lambda names, rows: {"instances": rows}),
    "one tensor": _as_json(
        lambda names, rows: {
            "inputs": [{"name": "x", "shape": [len(rows), len(names)], "datatype": "BYTES", "data": _flat(rows)}]
        }
    ),
    "SageMaker": _as_json(lambda names, rows: {"instances": [{"features": row} for row in rows]}),
    "SageMaker's values": _as_json(
        lambda names, rows: {"instances": [{"data": {"features": {"values": row}}} for row in rows]}
    ),
    "CSV without a header": lambda names, rows: _csv(",")(rows[0], rows[1:] or rows),
}


# --- answers --------------------------------------------------------------------------------------------------------


ANSWERS: dict[str, Callable[[str, Any], Any]] = {
    "a score": lambda name, secret: {"score": 0.5},
    "the field alone": lambda name, secret: {name: secret},
    "beside the score": lambda name, secret: {"score": 0.5, name: secret},
    "below the mark": lambda name, secret: {"predictions": [{"score": 0.5, name: secret}]},
    "a split": lambda name, secret: {"predictions": {"columns": [name], "data": [[secret]]}},
    "a tensor": lambda name, secret: {"outputs": [{"name": name, "shape": [1], "datatype": "BYTES", "data": [secret]}]},
    "CSV": lambda name, secret: Response(f"{name}\n{secret}", mimetype="text/csv"),
    "JSON lines": lambda name, secret: Response(json.dumps({name: secret}), mimetype="application/x-ndjson"),
    "refused": lambda name, secret: ({"message": "no", name: secret}, 400),
    "failed": lambda name, secret: ({"message": "no", name: secret}, 500),
    "keys of the field": lambda name, secret: {name: {str(secret): 1}},
    "names beside the answers": lambda name, secret: {"names": [name], "predictions": [secret]},
    "pairs": lambda name, secret: {"predictions": [{"name": name, "value": secret}]},
}

BASELINES: dict[str, tuple[str, ...] | None] = {
    "none": None,
    "with the field": ("age", "ssn"),
    "without it": ("age", "income"),
    "as narrow as one field": ("age",),
    "of paths": ("x.age", "x.ssn"),
}


def _baseline(names: tuple[str, ...] | None) -> Baseline | None:
    columns = {name: [float(i) for i in range(100)] for name in names or ()}
    return build_baseline(columns, [i / 100 for i in range(100)]) if names else None


class Rig:
    """An app with a baseline, whose records go to memory; and to files and a spool, if *others* are sinks of these."""

    def __init__(
        self, directory: Path, baseline: Baseline | None, features: str | None, others: Any = (), **config: Any
    ) -> None:
        self.directory = directory
        self.sink = Records()
        self.answer: Any = {}
        self.app = Flask("redacted")
        self.app.config.update(
            BOXKITE_BASELINE=baseline,
            BOXKITE_SINK=[self.sink, *others],
            BOXKITE_LOG_DIR=str(directory / "files"),
            BOXKITE_SPOOL_DIR=str(directory / "spool") if others else None,
            BOXKITE_STATE_DIR=str(directory / "state"),
            BOXKITE_SHUTDOWN_TIMEOUT=0.1,
            BOXKITE_REDACT="ssn",
            BOXKITE_DASHBOARD_PATH="/drift",
            **config,
        )
        self.monitor = Boxkite(self.app)
        self.app.add_url_rule("/score", view_func=self.monitor.predict(features=features)(self._view), methods=["POST"])
        self.client = self.app.test_client()
        self._throttles = [each for each in gc.get_objects() if isinstance(each, Throttle)]

    def post(self, **sent: Any) -> None:
        """Send a request after which every complaint is logged, not only the first in a minute."""
        for throttle in self._throttles:
            throttle.allow_after(0.0)
        self.client.post("/score", **sent)

    def _view(self) -> Any:
        request.get_data()
        return self.answer

    def kept(self) -> str:
        """Return what is in files; it grows."""
        files = [path.read_bytes() for path in sorted(self.directory.rglob("*")) if path.is_file()]
        return "\n".join(part.decode("latin-1") for part in files)

    def shown(self) -> str:
        """Return what the last request has changed in what anyone may ask for."""
        return "\n".join(self.client.get(path).get_data(as_text=True) for path in ("/metrics", "/drift/drift.json"))

    def record(self) -> dict[str, Any]:
        """Return the next record."""
        with self.app.app_context():
            self.monitor.flush(0.0)
        while not self.sink.taken:
            with self.app.app_context():
                self.monitor.flush(0.01)
        return self.sink.taken.pop(0)


class _Down:
    name = "down"

    def emit_batch(self, records: Any) -> None:
        raise ConnectionError


@pytest.fixture(scope="module")
def rigs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, str | None], Rig]]:
    """Return an app for each baseline, and where features are."""
    # No sink is tried again, as that draws random numbers.
    made = {
        (name, features): Rig(tmp_path_factory.mktemp("rig"), _baseline(names), features, BOXKITE_RECORD_RESPONSE=whole)
        for name, names in BASELINES.items()
        for features, whole in ((None, False), ("ssn", True), ("features", False))
    }
    yield made
    for rig in made.values():
        rig.monitor.close()


@given(data=st.data())
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_layout_shows_a_hidden_field(
    data: st.DataObject, rigs: dict[tuple[str, str | None], Rig], caplog: pytest.LogCaptureFixture
) -> None:
    baseline = data.draw(st.sampled_from(list(BASELINES)))
    features = data.draw(st.sampled_from([None, None, "ssn", "features"]))
    rig = rigs[baseline, features]
    named = data.draw(st.sampled_from(sorted(NAMED)) | st.sampled_from(sorted(POSITIONAL)))
    name = data.draw(st.sampled_from(["ssn", "SSN", " Ssn"] if named in NAMED else ["ssn"]))
    secret = data.draw(st.sampled_from([TEXT, NUMBER]))
    rows = [[round(20.5 + i, 1), secret] for i in range(data.draw(ROWS))]
    if named in POSITIONAL and BASELINES[baseline] != ("age", "ssn"):
        return  # nothing names the field
    sent = dict((NAMED.get(named) or POSITIONAL[named])(["age", name], rows))
    if isinstance(sent["data"], bytes) and data.draw(st.booleans()):
        sent["data"] = gzip.compress(sent["data"])
        sent["headers"] = {**sent["headers"], "Content-Encoding": "gzip"}
    elif named in NAMED and isinstance(sent["data"], bytes) and data.draw(st.booleans()):
        del sent["headers"]["Content-Type"]
    rig.answer = ANSWERS[data.draw(st.sampled_from(sorted(ANSWERS)))](name, secret)
    with caplog.at_level(logging.DEBUG):
        rig.post(**sent)
    kept = json.dumps(rig.record()) + caplog.text
    assert not [mark for mark in MARKS if mark in kept], kept


def test_no_file_metric_or_page_shows_a_hidden_field(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Every layout and answer, after which all that was written is searched."""
    for number, names in enumerate(BASELINES.values()):
        rig = Rig(tmp_path / str(number), _baseline(names), None, [_Down(), "file"])
        shown = ""
        with caplog.at_level(logging.DEBUG):
            for layout, answer in [(each, "a score") for each in NAMED] + [("object", each) for each in ANSWERS]:
                rig.answer = ANSWERS[answer]("ssn", TEXT)
                rig.post(**NAMED[layout](["age", "ssn"], [[20.5, TEXT], [21.5, TEXT]]))
                rig.record()
                shown += rig.shown()
        shown += rig.client.get("/drift").get_data(as_text=True)
        rig.monitor.close()
        assert "[redacted]" in rig.kept()
        assert TEXT not in rig.kept()
        assert TEXT not in shown
    assert "flask_boxkite" in caplog.text
    assert TEXT not in caplog.text


# --- what stays -----------------------------------------------------------------------------------------------------


@pytest.fixture
def scored(twins: Callable[..., Twins]) -> Callable[..., dict[str, Any]]:
    """Return a function that sends a request to an app that hides ``city``, and returns the record."""

    def send(answer: Any = None, features: str | None = None, redact: Any = "city", **sent: Any) -> dict[str, Any]:
        def define(app: Flask, predict: Any) -> None:
            app.add_url_rule(
                "/score", view_func=predict(features=features)(lambda: answer or {"score": 0.5}), methods=["POST"]
            )

        made = twins(define, BOXKITE_REDACT=redact)
        made.send(**sent)
        assert made.scrape().groups("city") == {"Rome": 1}
        return made.record()

    return send


ROW = [30.0, 2000.0, "Rome"]
NAMES = ["age", "income", "city"]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param(
            {"json": dict(zip(NAMES, ROW, strict=True))},
            dict(zip(NAMES, [30.0, 2000.0, REDACTED], strict=True)),
            id="object",
        ),
        pytest.param(
            {"json": {**dict(zip(NAMES, ROW, strict=True)), "kind": "city"}},
            {**dict(zip(NAMES, [30.0, 2000.0, REDACTED], strict=True)), "kind": "city"},
            id="a value that is a name",
        ),
        pytest.param({"json": ROW}, [30.0, 2000.0, REDACTED], id="row"),
        pytest.param({"json": {"instances": [ROW], "city": "Rome"}}, [30.0, 2000.0, REDACTED], id="instances"),
        pytest.param(
            {"json": {"dataframe_split": {"columns": NAMES, "data": [ROW]}}},
            dict(zip(NAMES, [30.0, 2000.0, REDACTED], strict=True)),
            id="split",
        ),
        pytest.param(
            {"json": {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "BYTES", "data": ROW}]}},
            [30.0, 2000.0, REDACTED],
            id="tensor",
        ),
        pytest.param(
            {"json": {"inputs": _tensors(NAMES, [ROW])}},
            dict(zip(NAMES, [30.0, 2000.0, REDACTED], strict=True)),
            id="tensors",
        ),
        pytest.param(
            _binary(NAMES, [ROW]), dict(zip(NAMES, [30.0, 2000.0, REDACTED], strict=True)), id="binary tensors"
        ),
        pytest.param(
            {"data": "age,income,city\n30.0,2000.0,Rome", "content_type": "text/csv"},
            {"age": "30.0", "income": "2000.0", "city": REDACTED},
            id="CSV",
        ),
        pytest.param(
            {"data": "30.0,2000.0,Rome", "content_type": "text/csv"}, ["30.0", "2000.0", REDACTED], id="rows of CSV"
        ),
        pytest.param(
            {"data": {"age": "30.0", "income": "2000.0", "city": "Rome"}},
            {"age": "30.0", "income": "2000.0", "city": REDACTED},
            id="form",
        ),
        pytest.param(
            {"data": json.dumps(dict(zip(NAMES, ROW, strict=True))) + "\n", "content_type": "application/jsonl"},
            dict(zip(NAMES, [30.0, 2000.0, REDACTED], strict=True)),
            id="JSON lines",
        ),
    ],
)
def test_what_is_not_hidden_is_recorded(scored: Callable[..., Any], sent: Any, expected: Any) -> None:
    """And what is hidden is counted as ever."""
    record = scored(**sent)
    assert record["features"] == expected
    assert record["output"] == 0.5


def test_a_hidden_convention_hides_all_below(scored: Callable[..., Any]) -> None:
    record = scored(json={"instances": [ROW]}, redact=["instances"])
    assert record["features"] == [REDACTED] * 3
    record = scored(json={"data": {"ndarray": [ROW]}}, redact=["DATA"])
    assert record["features"] == REDACTED


def test_an_answer_is_read_without_what_is_hidden(scored: Callable[..., Any]) -> None:
    assert scored({"prediction": 0.5}, json=ROW, redact=["city", "prediction"])["output"] == REDACTED
    assert scored({"prediction": 0.5, "city": "Rome"}, json=ROW)["output"] == 0.5
    assert scored({"city": 0.5}, json=ROW)["output"] == REDACTED
    assert scored({"predictions": [{"city": "Rome", "output": 0.5}]}, json=ROW)["output"] == [
        {"city": REDACTED, "output": 0.5}
    ]


def test_a_query_string_is_redacted(scored: Callable[..., Any]) -> None:
    record = scored(features="?", query_string={"age": "30", "income": "2000", "city": "Rome"})
    assert record["features"] == {"age": "30", "income": "2000", "city": REDACTED}


def test_a_path_hides_what_stands_there(scored: Callable[..., Any]) -> None:
    document = {"person": dict(zip(NAMES, ROW, strict=True)), "city": "Paris"}
    record = scored(json=document, features="person", redact=["person.city"])
    assert record["features"] == {"age": 30.0, "income": 2000.0, "city": REDACTED}
    assert json.loads(record["request_body"]) == {"person": record["features"], "city": "Paris"}


def test_an_error_is_told_without_its_text(twins: Callable[..., Twins], caplog: pytest.LogCaptureFixture) -> None:
    """Functions of the user's may quote values in their errors."""

    def features(request: Any) -> Any:
        raise ValueError(request.get_json()["city"])

    def define(app: Flask, predict: Any) -> None:
        app.add_url_rule("/score", view_func=predict(features=features)(lambda: {"score": 0.5}), methods=["POST"])

    made = twins(define, BOXKITE_REDACT="city")
    made.send(json={"city": TEXT})
    assert "in features\n" in caplog.text
    assert "ValueError" in caplog.text
    assert TEXT not in caplog.text
    with made.app.app_context():
        notes = made.client.get("/boxkite").get_data(as_text=True)
    assert TEXT not in notes


def test_a_call_by_hand_is_redacted(caplog: pytest.LogCaptureFixture, baseline: Baseline) -> None:
    sink = Records()
    monitor = ModelMonitoringService(baseline, sink=sink, redact=["city"])
    monitor.log_prediction({"city": TEXT, "x": 1}, [30.0, 2000.0, TEXT], 0.5)
    monitor.log_prediction(None, {"age": 30.0, "city": TEXT}, 0.5)
    monitor.log_prediction(None, {"city": {TEXT: 1}}, {"city": {TEXT: 1}})
    assert monitor.flush(10.0) == 0
    monitor.close()
    assert [record["features"] for record in sink.taken] == [
        [30.0, 2000.0, REDACTED],
        {"age": 30.0, "city": REDACTED},
        {"city": REDACTED},
    ]
    assert TEXT not in json.dumps(sink.taken) + caplog.text


def test_any_wsgi_app_is_redacted(baseline: Baseline) -> None:
    sink = Records()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "application/json")])
        return [b'{"city": 0.5}']

    monitor = ModelMonitoringService(baseline, sink=sink, redact=["city"])
    client = Client(BoxkiteMiddleware(app, monitor, {"/score": None}))
    answer = client.post("/score", json={"inputs": [{"name": "city", "shape": [1, 3], "data": [TEXT] * 3}]})
    assert answer.get_json() == {"city": 0.5}
    assert monitor.flush(10.0) == 0
    monitor.close()
    (record,) = sink.taken
    assert (record["features"], record["output"]) == ([REDACTED] * 3, REDACTED)
