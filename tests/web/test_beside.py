"""Predictions of several models in one request have ids that begin alike, are sampled together, and are all sealed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, Response, request, stream_with_context

from flask_boxkite import Baseline, Boxkite
from flask_boxkite.baseline.codes import SingleCode
from flask_boxkite.outcomes.sealing import IdSeal, id_key
from flask_boxkite.values.ids import request_part
from tests.baseline.training.building import built
from tests.web.twins import ID_HEADER, Records

KEY = "a key that replicas share"


@pytest.fixture(scope="module")
def judged() -> Baseline:
    """Return a baseline with actual values, so that ids are sealed."""
    return built({"x": [row / 100 for row in range(100)]}, [row / 100 for row in range(100)], actual=[0, 1, 1, 1] * 25)


def served(define: Callable[[Flask, Boxkite], Any], baseline: Any, sink: Records, **options: Any) -> Any:
    """Answer 200 requests by a view; return the ids that the clients got."""
    app = Flask("served")
    app.config.update(BOXKITE_BASELINE=baseline, BOXKITE_SINK=sink, BOXKITE_ID_KEY=KEY, **options)
    monitor = Boxkite(app)
    define(app, monitor)
    client = app.test_client()
    ids = []
    for row in range(200):
        answer = client.post("/score", json={"x": row / 200})
        assert answer.get_json() == {"output": row / 200}
        ids.append(answer.headers[ID_HEADER])
    monitor.close()
    return ids


def by_request(records: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in records:
        found[request_part(record["prediction_id"])].append(record)
    return found


def shadow(app: Flask, monitor: Boxkite) -> None:
    @app.post("/score")
    @monitor.predict(model="a")
    def score() -> Any:
        x = request.get_json()["x"]
        for model in ("b", "c"):
            monitor.log_prediction(features=[x], output=x, model=model)
        return {"output": x}


def test_records_of_one_request_are_found_by_their_ids(judged: Baseline) -> None:
    """Also sealed: each opens under the key of its own model only."""
    sink = Records()
    ids = served(shadow, {"a": judged, "b": judged, "c": judged}, sink)
    requests = by_request(sink.taken)

    assert list(requests) == [request_part(name) for name in ids]
    assert all({record["model"] for record in records} == {"a", "b", "c"} for records in requests.values())
    assert len({record["entity_id"] for record in sink.taken}) == 600
    assert all(len({record["created_at"] for record in records}) == 1 for records in requests.values())
    code = SingleCode(is_probability=True)
    seals = {model: IdSeal(id_key(KEY, None), f"{model}\n{judged.fingerprint}", code) for model in "abc"}
    for record in sink.taken:
        assert record["prediction_id"].endswith(record["entity_id"])
        for model, seal in seals.items():
            opened = seal.open(record["prediction_id"])
            assert (opened is not None) == (model == record["model"])
            assert opened is None or opened.value == pytest.approx(record["output"])


def test_records_of_one_request_are_sampled_together(judged: Baseline) -> None:
    sink = Records()
    served(shadow, {"a": judged, "b": judged, "c": judged}, sink, BOXKITE_SAMPLE_RATE=0.4)
    requests = by_request(sink.taken)

    assert 30 <= len(requests) <= 130
    assert {len(records) for records in requests.values()} == {3}


def test_records_have_no_further_field(judged: Baseline) -> None:
    """The compiled way and the general way write the same fields for either model."""
    sink = Records()
    served(shadow, {"a": judged, "b": judged, "c": judged}, sink)
    assert len({tuple(record) for record in sink.taken}) == 1


def test_only_the_first_prediction_of_a_model_begins_alike(judged: Baseline) -> None:
    """Two sealed ids of one model with one beginning would tell the difference of their outputs."""

    def define(app: Flask, monitor: Boxkite) -> None:
        @app.post("/score")
        @monitor.predict(model="a")
        def score() -> Any:
            x = request.get_json()["x"]
            for model in ("b", "b", "a", "a"):
                monitor.log_prediction(features=[x], output=x, model=model)
            return {"output": x}

    sink = Records()
    served(define, {"a": judged, "b": judged}, sink)
    models = ["".join(record["model"] for record in records) for records in by_request(sink.taken).values()]
    assert sorted(models) == ["a"] * 200 + ["b"] * 200 + ["ba"] * 200


def test_a_stream_may_log_the_other_model(judged: Baseline) -> None:
    def define(app: Flask, monitor: Boxkite) -> None:
        @app.post("/score")
        @monitor.predict(model="a")
        def score() -> Any:
            x = request.get_json()["x"]

            def parts() -> Any:
                yield '{"output": '
                monitor.log_prediction(features=[x], output=x, model="b")
                yield f"{x}}}"

            return Response(stream_with_context(parts()), mimetype="application/json")

    sink = Records()
    ids = served(define, {"a": judged, "b": judged}, sink)
    requests = by_request(sink.taken)
    assert all(sorted(record["model"] for record in requests[request_part(name)]) == ["a", "b"] for name in ids)


def test_outside_of_a_request_ids_have_nothing_in_common(judged: Baseline) -> None:
    app, sink = Flask("served"), Records()
    app.config.update(BOXKITE_BASELINE={"a": judged, "b": judged}, BOXKITE_SINK=sink)
    monitor = Boxkite(app)
    with app.app_context():
        ids = [monitor.log_prediction(features=[0.5], output=0.5, model=model) for model in ("a", "b")]
    monitor.close()
    assert request_part(ids[0]) != request_part(ids[1])
