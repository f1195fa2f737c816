"""The caller's own key: where it is found, what the record has of it, and that outcomes find the prediction by it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from flask import Flask, request
from werkzeug.test import Client

from flask_boxkite import Baseline, Boxkite, BoxkiteMiddleware, ConfigError, ModelMonitoringService
from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.monitoring.redaction import REDACTED
from flask_boxkite.records import Records
from flask_boxkite.testing import RecordingSink
from tests.web.twins import ID_HEADER

ROW = {"age": 70.0, "income": 1.0}
"""A row whose score is 0.7 in the views below."""

LONG = "x" * 50_000


@pytest.fixture(scope="module")
def judged() -> Baseline:
    """Return a baseline that has actual values."""
    random = np.random.default_rng(7)
    age = random.uniform(0, 100, 2000)
    actual = (random.random(2000) < age / 100).astype(int)
    return build_baseline({"age": age, "income": age * 2}, age / 100, actual=actual)


class Server:
    """A Flask app whose view answers with a hundredth of each age, once without and once with the option ``key``."""

    def __init__(self, baseline: Baseline, directory: Path, options: dict[str, Any], **config: Any) -> None:
        self.sink = RecordingSink()
        self.app = Flask("served")
        self.app.config.update(
            BOXKITE_BASELINE=baseline, BOXKITE_SINK=self.sink, BOXKITE_STATE_DIR=str(directory), **config
        )
        self.monitor = Boxkite(self.app)
        self.client = self.app.test_client()
        self.app.post("/plain", endpoint="plain")(self.monitor.predict(_scored))
        self.app.post("/score", endpoint="score")(self.monitor.predict(**options)(_scored))
        self.app.post("/raw", endpoint="raw")(self.monitor.predict(**options)(_raw))
        self.app.post("/stream", endpoint="stream")(self.monitor.predict(**options)(_streamed))

    def send(self, path: str = "/score", **sent: Any) -> str:
        """Send a request; return the id in its answer."""
        answer = self.client.post(path, **sent)
        answer.get_data()
        assert answer.status_code == 200, answer.text
        return answer.headers[ID_HEADER]

    def log_outcome(self, *args: Any, **options: Any) -> bool:
        with self.app.app_context():
            return self.monitor.log_outcome(*args, **options)

    def record(self) -> dict[str, Any]:
        """Return the last record."""
        with self.app.app_context():
            assert self.monitor.flush(30.0) == 0
        record: dict[str, Any] = self.sink.records[-1]
        return record

    def outcomes(self) -> dict[tuple[str, str], float]:
        """Return the outcomes so far, by predicted and actual value."""
        text = self.client.get("/metrics").text
        found: dict[tuple[str, str], float] = {}
        for line in text.splitlines():
            if line.startswith("boxkite_outcomes_total{") and not line.endswith(" 0"):
                labels = dict(part.split("=") for part in line[line.index("{") + 1 : line.index("}")].split('",'))
                pair = labels["predicted"].strip('"'), labels["actual"].strip('"')
                found[pair] = found.get(pair, 0) + float(line.rpartition(" ")[2])
        return found


def _scored() -> Any:
    return _answer(request.get_json(force=True))


def _raw() -> Any:
    """Parse the body without the request's help."""
    return _answer(json.loads(request.get_data()))


def _streamed() -> Any:
    def parts() -> Iterator[str]:
        yield '{"score": '
        yield f"{document['age'] / 100}}}"

    document = request.get_json()
    return parts(), {"Content-Type": "application/json"}


def _answer(document: Any) -> Any:
    if "instances" in document:
        return {"predictions": [row["age"] / 100 for row in document["instances"]]}
    return {"score": document.get("row", document)["age"] / 100}


@pytest.fixture
def serve(judged: Baseline, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Return a function that makes a server with options of its views, and with settings."""
    made: list[Server] = []

    def make(options: dict[str, Any], **config: Any) -> Server:
        made.append(Server(judged, tmp_path / "state", options, **config))
        return made[-1]

    yield make
    for each in made:
        each.monitor.close()


# --- where it is found -----------------------------------------------------------------------------------------------

FOUND: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "field": ({"key": "order_id"}, {"json": {**ROW, "order_id": "A-7"}}, "A-7"),
    "integer": ({"key": "order_id"}, {"json": {**ROW, "order_id": 12345678901234567890}}, "12345678901234567890"),
    "longest": ({"key": "order_id"}, {"json": {**ROW, "order_id": "é" * 512}}, "é" * 512),
    "nested": (
        {"key": "client.orders.1.id", "features": "row"},
        {"json": {"row": ROW, "client": {"orders": [{"id": 5}, {"id": "B"}]}}},
        "B",
    ),
    "header": ({"key": "header:X-Request-Id"}, {"json": ROW, "headers": {"x-request-id": "r 1"}}, "r 1"),
    "beside features from a function": (
        {"key": "order_id", "features": lambda request: {**request.get_json()["row"]}},
        {"json": {"row": ROW, "order_id": "A-7"}},
        "A-7",
    ),
    "beside features from the query string": (
        {"key": "order_id", "features": "?"},
        {"query_string": ROW, "json": {**ROW, "order_id": "A-7"}},
        "A-7",
    ),
}


@pytest.mark.parametrize(("options", "sent", "key"), FOUND.values(), ids=FOUND)
@pytest.mark.parametrize("longest", [10**6, 20], ids=["short", "long"])
def test_outcomes_find_a_prediction_by_its_key(
    serve: Callable[..., Server], options: dict[str, Any], sent: dict[str, Any], key: str, longest: int
) -> None:
    """Also if the view itself reads the body, since it is long."""
    server = serve(options, BOXKITE_MAX_BODY_BYTES=longest)
    prediction = server.send(**sent)

    assert server.record()["key"] == key
    assert server.record()["prediction_id"] == prediction
    assert not server.log_outcome(key=f"{key}.", actual=0)
    assert server.log_outcome(key=int(key) if key.isdecimal() else key, actual=0)
    assert not server.log_outcome(key=key, actual=0)
    assert server.outcomes() == {("1.0", "0.0"): 1}


@pytest.mark.parametrize("path", ["/raw", "/stream"])
def test_a_long_body_that_no_parser_shows(serve: Callable[..., Server], path: str) -> None:
    server = serve({"key": "order_id"}, BOXKITE_MAX_BODY_BYTES=1000)
    server.send(path, json={**ROW, "more": LONG, "order_id": "A-7"})

    assert server.record()["key"] == "A-7"
    assert server.record()["body_truncated"]
    assert server.log_outcome(key="A-7", actual=1)


def test_json_without_a_label(serve: Callable[..., Server]) -> None:
    server = serve({"key": "order_id"})
    server.send(data=json.dumps({**ROW, "order_id": "A-7"}))
    assert server.record()["key"] == "A-7"


def test_a_compressed_body(serve: Callable[..., Server]) -> None:
    server = serve({"key": "order_id"})
    body = gzip.compress(json.dumps({**ROW, "order_id": "A-7"}).encode())
    answer = server.client.post("/raw", data=body, headers={"Content-Encoding": "gzip"}, content_type="text/plain")
    assert answer.status_code == 500, "this view cannot read it"
    assert (server.record()["status"], server.record()["key"]) == ("error", "A-7")
    assert not server.log_outcome(key="A-7", actual=1), "nothing was predicted"


def test_a_refused_request_has_no_outcome(serve: Callable[..., Server]) -> None:
    """Its values are not counted, so its outcome would be one too many."""
    server = serve({"key": "order_id"})
    server.app.post("/refused")(server.monitor.predict(key="order_id")(lambda: (_scored(), 422)))
    assert server.client.post("/refused", json={**ROW, "order_id": "A-7"}).status_code == 422
    assert (server.record()["status"], server.record()["key"]) == ("client_error", "A-7")
    assert not server.log_outcome(key="A-7", actual=1)


def test_a_stream_is_found_when_it_has_ended(serve: Callable[..., Server]) -> None:
    server = serve({"key": "header:X-Request-Id"})
    server.send("/stream", json=ROW, headers={"X-Request-Id": "s"})
    assert server.record()["key"] == "s"
    assert server.log_outcome(key="s", actual=0)
    assert server.outcomes() == {("1.0", "0.0"): 1}


def test_the_middleware_takes_it_too(judged: Baseline, tmp_path: Path) -> None:
    sink = RecordingSink()

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Type", "application/json")])
        return [b'{"score": 0.7}']

    routes = {"/path": {"key": "order_id"}, "/header": {"key": "header:X-Request-Id"}}
    for longest in (10**6, 20):
        service = ModelMonitoringService(
            judged, sink=sink, state_dir=str(tmp_path / str(longest)), max_body_bytes=longest
        )
        client = Client(BoxkiteMiddleware(app, service, routes))
        client.post("/path", json={**ROW, "order_id": 7})
        client.post("/header", json=ROW, headers={"X-Request-Id": "h"})
        assert service.flush(30.0) == 0
        service.close()
        assert [record["key"] for record in sink.records[-2:]] == ["7", "h"]
        assert service.log_outcome(key="7", actual=1)
        assert service.log_outcome(key="h", actual=0)
        assert service.performance()["accuracy"].realised == 0.5


# --- one text of a key -----------------------------------------------------------------------------------------------

SPELLINGS = [7, "7", 7.0, "7.0", np.float32(7), np.int64(7)]


@pytest.mark.parametrize("kept", SPELLINGS, ids=repr)
def test_a_number_is_one_key_in_all_spellings(kept: Any, judged: Baseline, tmp_path: Path) -> None:
    """pandas writes a column of integers in which one is missing as 7.0."""
    service = ModelMonitoringService(judged, sink="file", log_dir=tmp_path / "logs", state_dir=str(tmp_path / "state"))
    for given in SPELLINGS:
        service.log_prediction(features=[70.0, 140.0], output=0.7, key=kept)
        assert service.log_outcome(key=given, actual=1) == (given is SPELLINGS[0])
    assert service.performance().coverage.rejected == {
        **dict.fromkeys(("unknown", "late", "invalid", "failed"), 0),
        "repeated": len(SPELLINGS) - 1,
    }
    service.close()
    for given in SPELLINGS:
        for outcomes in ({"key": [given], "actual": [1]}, [{"key": given, "actual": 1}]):
            assert Records(tmp_path / "logs").performance(judged, outcomes=outcomes, key="key").outcomes == 1


def test_a_table_of_pandas_finds_its_keys_over_http(serve: Callable[..., Server]) -> None:
    server = serve({"key": "order_id"}, BOXKITE_OUTCOMES_PATH="/outcomes", BOXKITE_METRICS_TOKEN="t" * 20)
    for order in (7, 8, 9):
        server.send(json={**ROW, "order_id": order})
    frame = pd.DataFrame({"key": [7, None, 8], "actual": [1, 1, 1]})
    headers = {"Authorization": f"Bearer {'t' * 20}"}
    answer = server.client.post("/outcomes", data=frame.to_csv(index=False), content_type="text/csv", headers=headers)
    assert answer.get_json()["counted"] == 2
    rows = [{"key": 9.0, "actual": 1}, {"key": float("nan"), "actual": 1}]
    answer = server.client.post("/outcomes", data=json.dumps(rows), content_type="application/json", headers=headers)
    assert answer.get_json()["counted"] == 1


# --- what is no key --------------------------------------------------------------------------------------------------

NOT_FOUND: dict[str, dict[str, Any]] = {
    "missing": {"json": ROW},
    "null": {"json": {**ROW, "order_id": None}},
    "fraction": {"json": {**ROW, "order_id": 7.5}},
    "boolean": {"json": {**ROW, "order_id": True}},
    "object": {"json": {**ROW, "order_id": {"id": 7}}},
    "empty": {"json": {**ROW, "order_id": ""}},
    "too long": {"json": {**ROW, "order_id": "x" * 513}},
    "large integer": {"data": json.dumps({**ROW, "order_id": 10**300}), "content_type": "application/json"},
    "half a character": {"data": json.dumps({**ROW, "order_id": "\ud800"}), "content_type": "application/json"},
}


@pytest.mark.parametrize("sent", NOT_FOUND.values(), ids=NOT_FOUND)
def test_anything_else_is_no_key(
    serve: Callable[..., Server], sent: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    server = serve({"key": "order_id"})
    prediction = server.send(**sent)
    assert "key" not in server.record()
    assert server.log_outcome(prediction, 1)
    assert caplog.messages == []


def test_a_header_that_is_missing(serve: Callable[..., Server]) -> None:
    server = serve({"key": "header:X-Request-Id"})
    server.send(json={**ROW, "X-Request-Id": "no"})
    assert "key" not in server.record()


def test_other_views_record_the_same_as_ever(serve: Callable[..., Server]) -> None:
    server = serve({"key": "order_id"})
    server.send("/plain", json={**ROW, "order_id": "A-7"}, headers={"X-Request-Id": "r"})
    without = server.record()
    server.send(json={**ROW, "order_id": "A-7"})
    with_key = dict(server.record())

    assert list(without)[-3:] == ["status", "duration_ms", "rows"]
    assert with_key.pop("key") == "A-7"
    assert list(with_key) == list(without)
    changing = {"entity_id", "prediction_id", "created_at", "duration_ms"}
    assert {name: value for name, value in with_key.items() if name not in changing} == {
        name: value for name, value in without.items() if name not in changing
    }


def test_a_view_with_a_key_counts_as_others_do(serve: Callable[..., Server]) -> None:
    server = serve({"key": "order_id"})
    for path in ("/plain", "/score"):
        server.send(path, json={**ROW, "order_id": "A-7"})
    counts = [
        float(line.rpartition(" ")[2])
        for line in server.client.get("/metrics").text.splitlines()
        if line.startswith(
            ("boxkite_feature_group_total", "boxkite_inference_group_total", "boxkite_predictions_total")
        )
    ]
    assert sorted(count for count in counts if count) == [2.0] * 4


# --- batches, repeats, ids -------------------------------------------------------------------------------------------


def test_a_batch_is_recorded_with_its_key_but_found_by_its_rows(serve: Callable[..., Server]) -> None:
    server = serve({"key": "order_id"})
    prediction = server.send(json={"instances": [ROW, {**ROW, "age": 20.0}], "order_id": "A-7"})
    assert (server.record()["key"], server.record()["rows"]) == ("A-7", 2)
    assert not server.log_outcome(key="A-7", actual=1)
    assert server.log_outcome(f"{prediction}/1", 1)
    assert server.outcomes() == {("0.0", "1.0"): 1}


def test_a_prediction_with_a_key_has_its_id_too(serve: Callable[..., Server]) -> None:
    server = serve({"key": "order_id"})
    prediction = server.send(json={**ROW, "order_id": "A-7"})
    assert server.log_outcome(prediction, 1, key="A-7")
    assert not server.log_outcome(prediction, 1)
    assert server.outcomes() == {("1.0", "1.0"): 1}
    # An id of another server, beside a key that this one knows.
    assert server.log_outcome("elsewhere", 0, key="A-7")
    assert server.outcomes() == {("1.0", "1.0"): 1, ("1.0", "0.0"): 1}


def test_a_key_stands_for_its_last_prediction(serve: Callable[..., Server]) -> None:
    server = serve({"key": "order_id"})
    for age in (70.0, 20.0):
        server.send(json={"age": age, "income": 1.0, "order_id": "A-7"})
    assert server.log_outcome(key="A-7", actual=0)
    assert not server.log_outcome(key="A-7", actual=0)
    assert server.outcomes() == {("0.0", "0.0"): 1}


# --- by hand ---------------------------------------------------------------------------------------------------------


def test_a_key_by_hand(judged: Baseline, tmp_path: Path) -> None:
    sink = RecordingSink()
    service = ModelMonitoringService(judged, sink=sink, state_dir=str(tmp_path))
    keys: list[Any] = ["A-7", 8, np.int64(9), 1.5, True, "", object(), None]
    for key in keys:
        service.log_prediction(b"{}", [70.0, 1.0], 0.7, key=key)
    service.log_prediction(features=[[70.0, 1.0], [1.0, 1.0]], output=[0.7, 0.1], key="batch")
    assert service.flush(30.0) == 0
    service.close()

    assert [record.get("key", "none") for record in sink.records] == ["A-7", "8", "9", *["none"] * 5, "batch"]
    assert service.log_outcome(key="A-7", actual=1)
    assert service.log_outcome(key=8, actual=1)
    assert service.log_outcome(key=9, actual=1)
    assert not service.log_outcome(key="batch", actual=1)


def test_a_view_that_logs_by_hand_gives_the_key_by_hand(serve: Callable[..., Server]) -> None:
    server = serve({"key": "order_id"})

    @server.app.post("/by-hand")
    @server.monitor.predict(key="order_id")
    def by_hand() -> Any:
        server.monitor.log_prediction(features=ROW, output=0.7, key="mine")
        return {}

    server.send("/by-hand", json={**ROW, "order_id": "A-7"})
    assert server.record()["key"] == "mine"
    assert server.log_outcome(key="mine", actual=1)
    assert not server.log_outcome(key="A-7", actual=1)


def test_a_model_without_actual_values_records_the_key(baseline: Baseline) -> None:
    sink = RecordingSink()
    service = ModelMonitoringService(baseline, sink=sink)
    service.log_prediction(features={"age": 30.0}, output=0.5, key="A-7")
    assert service.flush(30.0) == 0
    service.close()
    assert [record["key"] for record in sink.records] == ["A-7"]


# --- redaction -------------------------------------------------------------------------------------------------------

HIDDEN: dict[str, tuple[str, list[str], dict[str, Any]]] = {
    "field": ("order_id", ["ORDER_ID"], {"json": {**ROW, "order_id": "S3CRET"}}),
    "field around it": ("client.id", ["client"], {"json": {**ROW, "client": {"id": "S3CRET"}}}),
    "path": ("client.id", ["client.id"], {"json": {**ROW, "client": {"id": "S3CRET"}}}),
    "path through a list": ("orders.0.id", ["orders.id"], {"json": {**ROW, "orders": [{"id": "S3CRET"}]}}),
    "column": (
        "data.0.2",
        ["order"],
        {"json": {**ROW, "columns": ["age", "income", "order"], "data": [[1, 2, "S3CRET"]]}},
    ),
    "header": ("header:X-Request-Id", ["x-request-id"], {"json": ROW, "headers": {"X-Request-Id": "S3CRET"}}),
    "header as in the option": (
        "header:X-Request-Id",
        ["header:X-Request-Id"],
        {"json": ROW, "headers": {"X-Request-Id": "S3CRET"}},
    ),
    "field of the record": ("order_id", ["key", "order_id"], {"json": {**ROW, "order_id": "S3CRET"}}),
}


@pytest.mark.parametrize(("place", "redact", "sent"), HIDDEN.values(), ids=HIDDEN)
@pytest.mark.parametrize("longest", [10**6, 20], ids=["short", "long"])
def test_a_hidden_key_is_in_no_record_and_still_found(
    serve: Callable[..., Server], place: str, redact: list[str], sent: dict[str, Any], longest: int
) -> None:
    server = serve({"key": place}, BOXKITE_REDACT=redact, BOXKITE_MAX_BODY_BYTES=longest)
    server.send(**sent)
    assert server.record()["key"] == REDACTED
    assert "S3CRET" not in json.dumps(server.record())
    assert server.log_outcome(key="S3CRET", actual=1)


def test_a_key_beside_hidden_fields_is_shown(serve: Callable[..., Server]) -> None:
    server = serve({"key": "order_id"}, BOXKITE_REDACT=["income", "client.order_id"])
    server.send(json={**ROW, "order_id": "A-7"})
    assert server.record()["key"] == "A-7"


def test_a_function_that_redacts_gets_the_key(serve: Callable[..., Server]) -> None:
    server = serve({"key": "order_id"}, BOXKITE_REDACT=lambda record: {**record, "key": record["key"][:1]})
    server.send(json={**ROW, "order_id": "A-7"})
    assert server.record()["key"] == "A"


def test_a_key_by_hand_is_hidden_by_its_name_in_the_record(judged: Baseline) -> None:
    sink = RecordingSink()
    service = ModelMonitoringService(judged, sink=sink, redact=["key"])
    service.log_prediction(features=[70.0, 1.0], output=0.7, key="S3CRET")
    assert service.flush(30.0) == 0
    service.close()
    assert [record["key"] for record in sink.records] == [REDACTED]
    assert service.log_outcome(key="S3CRET", actual=1)


# --- set-up ----------------------------------------------------------------------------------------------------------

MALFORMED = ["", "a..b", ".a", "header:", "header:X Id", 5, ["order_id"], len]


@pytest.mark.parametrize("place", MALFORMED, ids=repr)
def test_a_malformed_place_is_refused(judged: Baseline, place: Any) -> None:
    expected = (
        "'key' must be a dotted path into the JSON request, such as 'order.id', or a header, such as "
        f"'header:X-Request-Id', or None, got {place!r}."
    )
    with pytest.raises(ConfigError) as refused:
        Boxkite().predict(key=place)
    assert str(refused.value) == expected
    service = ModelMonitoringService(judged, sink="none")
    with pytest.raises(ConfigError) as refused:
        BoxkiteMiddleware(Flask("other"), service, {"/score": {"key": place}})
    assert str(refused.value) == f"Route '/score': {expected}"
