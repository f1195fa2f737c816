"""A request that is not captured is explained in the log and on the page, and the record keeps its response."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask, Response, abort, jsonify, request, send_file
from werkzeug.test import Client

from flask_boxkite import Baseline, Boxkite, BoxkiteMiddleware, ModelMonitoringService
from flask_boxkite.monitoring.reply import MOST_BYTES
from flask_boxkite.testing import RecordingSink
from tests.peers import Gunicorn
from tests.web.test_dashboard import Outline
from tests.web.test_servers import Server
from tests.web.twins import Samples

ANN = {"age": 30, "income": 2500.0, "city": "Paris"}
GZIPPED = gzip.compress(b'{"a": 1, "b": 2}', mtime=0)


class Scoring:
    """An app whose view answers what it is told."""

    def __init__(self, baseline: Any, answer: Any, **options: Any) -> None:
        above = options.pop("above", lambda view: view)
        config = {key: options.pop(key) for key in list(options) if key.startswith("BOXKITE_")}
        self.sink = RecordingSink()
        self.app = Flask("scoring")
        self.app.config.update(
            BOXKITE_BASELINE=baseline, BOXKITE_SINK=self.sink, BOXKITE_DASHBOARD_PATH="/boxkite", **config
        )
        self.monitor = Boxkite(self.app)
        self.client = self.app.test_client()

        @self.app.post("/score")
        @above
        @self.monitor.predict(**options)
        def score() -> Any:
            return answer() if callable(answer) and not isinstance(answer, Response) else answer

    def send(self, document: Any = ANN) -> Any:
        return self.client.post("/score", json=document, buffered=True)

    def record(self) -> dict[str, Any]:
        (record,) = self.sink.wait_for(1)
        self.monitor.close()
        return record

    def findings(self, window: str = "24h") -> dict[str, str]:
        """Return the remedies by what is off."""
        content = self.client.get(f"/boxkite/drift.json?window={window}").get_json()
        return {item["what"]: item["remedy"] for item in content["findings"]}


Make = Callable[..., Scoring]


@pytest.fixture
def make(baseline: Baseline) -> Any:
    made: list[Scoring] = []

    def make(answer: Any, **options: Any) -> Scoring:
        made.append(Scoring(options.pop("baseline", baseline), answer, **options))
        return made[-1]

    yield make
    for each in made:
        each.monitor.close()


# --- what is told ----------------------------------------------------------------------------------------------------


def test_an_output_that_is_not_found_is_told_once_with_what_was_seen(
    make: Make, tmp_path: Path, rng: np.random.Generator, caplog: pytest.LogCaptureFixture
) -> None:
    shares = rng.dirichlet([1, 1, 1], 200)
    baseline = ModelMonitoringService.export_text({"age": rng.normal(size=200)}, shares, tmp_path / "b.prom")
    scoring = make({"tier": "gold", "shares": [0.1, 0.2, 0.7]}, baseline=baseline)
    for _ in range(3):
        scoring.send({"age": 0.1})
    hint = (
        "The answer has the keys 'shares', 'tier'; the baseline's outputs are 'output_0', 'output_1', 'output_2'. Name "
        "the outputs when you train, by a frame or a mapping, or say where they are: @monitor.predict(output='shares')."
    )
    assert caplog.messages == [f"Model 'default': {hint}"]
    assert scoring.findings()["The output was not found in 3 requests."] == hint


def test_advice_that_was_followed_finds_the_output(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    scoring = make({"tier": 0.1, "share": 0.5}, output="share")
    scoring.send()
    assert (caplog.messages, scoring.record()["output"]) == ([], 0.5)


def test_features_that_are_not_found_are_told(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    scoring = make({"score": 0.5})
    scoring.send({"q": {"who": ANN}})
    (message,) = caplog.messages
    assert "Say where they are: @monitor.predict(features='q.who')." in message
    (remedy,) = [remedy for what, remedy in scoring.findings().items() if what.startswith("Features were not found")]
    assert message == f"Model 'default': {remedy}"


@pytest.mark.parametrize(
    "document",
    [{"Age": 30, "income": 2500.0, "city": "Paris"}, [{"Age": 30, "income": 1.0, "city": "Rome"}] * 2],
    ids=["row", "rows"],
)
def test_a_feature_under_another_name_is_told_though_the_request_counts(
    make: Make, caplog: pytest.LogCaptureFixture, document: Any
) -> None:
    scoring = make({"predictions": [0.5] * len(document)} if isinstance(document, list) else {"score": 0.5})
    for _ in range(2):
        scoring.send(document)
    (message,) = caplog.messages
    assert "Did you mean 'age' by 'Age'?" in message
    assert "Features come under other names than in training." in scoring.findings("5m")
    assert Samples(scoring.client.get("/metrics").text).errors() == {}


def test_a_feature_under_another_name_is_told_where_the_view_fails_for_it(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    scoring = make(lambda: {"score": request.get_json()["age"]})
    scoring.send({"Age": 30, "income": 2500.0, "city": "Paris"})
    (message,) = [record.getMessage() for record in caplog.records if record.name == "flask_boxkite"]
    assert "Did you mean 'age' by 'Age'?" in message
    assert "Features come under other names than in training." in scoring.findings("5m")
    assert Samples(scoring.client.get("/metrics").text).errors() == {}


def test_names_are_not_told_where_the_client_gets_an_error(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    scoring = make(lambda: abort(400))
    scoring.send({"Age": 30, "income": 2500.0, "city": "Paris"})
    assert caplog.messages == []


@pytest.fixture
def two_outputs(rng: np.random.Generator, tmp_path: Path) -> Baseline:
    shares = dict(zip(("low", "high"), rng.dirichlet([1, 1], 200).T, strict=True))
    return ModelMonitoringService.export_text({"age": rng.normal(size=200)}, shares, tmp_path / "b.prom")


MISSPELT = {"low": 0.25, "High": 0.75}


@pytest.mark.parametrize(
    "answer", [{"predictions": MISSPELT}, [MISSPELT], {"predictions": [MISSPELT]}], ids=["object", "rows", "mark"]
)
def test_an_output_under_another_name_is_told_though_others_count(
    make: Make, two_outputs: Baseline, caplog: pytest.LogCaptureFixture, answer: Any
) -> None:
    scoring = make(answer, baseline=two_outputs)
    for _ in range(2):
        scoring.send({"age": 0.1})
    hint = (
        "Some outputs of an answer have another name than in training, and count as missing. "
        "Did you mean 'high' by 'High'? Use the names of training."
    )
    assert caplog.messages == [f"Model 'default': {hint}"]
    assert scoring.findings("5m")["Outputs come under other names than in training."] == hint
    samples = Samples(scoring.client.get("/metrics").text)
    assert (samples.errors(), samples.outputs("high")) == ({}, {"__missing__": 2})


@pytest.mark.parametrize("answer", [{"low": 0.25, "high": 0.75, "id": 1}, {"low": 0.25}, {"low": 0.25, "id": 1}])
def test_other_outputs_are_no_reason_to_say_anything(
    make: Make, two_outputs: Baseline, caplog: pytest.LogCaptureFixture, answer: Any
) -> None:
    scoring = make([answer], baseline=two_outputs)
    scoring.send({"age": 0.1})
    assert caplog.messages == []


def test_only_outputs_that_are_missing_are_told_as_misspelt(
    make: Make, two_outputs: Baseline, caplog: pytest.LogCaptureFixture
) -> None:
    scoring = make({"low": 0.25, "LOW": 1, "High": 0.75}, baseline=two_outputs)
    scoring.send({"age": 0.1})
    (message,) = caplog.messages
    assert message.endswith("Did you mean 'high' by 'High'? Use the names of training.")


@pytest.mark.parametrize("is_batch", [False, True], ids=["row", "rows"])
def test_features_below_a_key_are_told_though_the_request_counts(
    make: Make, caplog: pytest.LogCaptureFixture, is_batch: bool
) -> None:
    """The first row of the batch has nothing there, and must not end the search."""
    scoring = make({"predictions": [0.5, 0.5]} if is_batch else {"score": 0.5})
    nested = {"customer": {"age": 30, "income": 2500.0}, "city": "Paris"}
    scoring.send([nested | {"customer": None}, nested] if is_batch else nested)
    (message,) = caplog.messages
    assert message.endswith(
        "'age', 'income' below 'customer'. Put them beside the others, or train with rows nested in the same way."
    )


def test_a_key_that_is_null_at_first_is_looked_at_again(make: Make) -> None:
    scoring = make({"score": 0.5})
    scoring.send({"customer": None, "city": "Paris"})
    (service,) = scoring.app.extensions["boxkite"].monitor.models()
    assert service.counter.features.gaps == {("city", "customer")}


def test_keys_below_a_hidden_field_are_not_told(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    scoring = make({"score": 0.5}, BOXKITE_REDACT="people")
    scoring.send({"people": {"Ann": {"age": 30}}, "city": "Paris"})
    assert caplog.messages == []


@pytest.mark.parametrize(
    "document",
    [ANN, ANN | {"id": 7}, {"income": 2500.0, "city": "Paris"}, {"income": 2500.0, "city": "Paris", "id": 7}],
    ids=["whole", "one more", "one less", "another"],
)
def test_other_names_are_no_reason_to_say_anything(
    make: Make, caplog: pytest.LogCaptureFixture, document: dict[str, Any]
) -> None:
    scoring = make({"score": 0.5})
    scoring.send(document)
    (service,) = scoring.app.extensions["boxkite"].monitor.models()
    assert caplog.messages == []
    assert service.counter.features.gaps == set()  # not looked at again


def test_a_refused_request_is_not_told(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """The client was at fault, and knows it."""
    scoring = make(lambda: abort(422))
    scoring.send({"Age": 30, "income": 2500.0, "city": "Paris"})
    scoring.send({"nothing": 1})
    assert caplog.messages == []


def test_an_error_in_a_function_is_told_on_the_page(make: Make) -> None:
    scoring = make({"score": 0.5}, output=lambda returned: returned["nothing"]["x"])
    scoring.send()
    assert "Capturing failed in 1 request." not in scoring.findings()
    scoring = make({"score": 0.5}, output=lambda returned: 1 / 0)
    scoring.send()
    assert scoring.findings()["Capturing failed in 1 request."] == "ZeroDivisionError: division by zero"


def test_what_a_client_wrote_is_escaped_and_short(make: Make) -> None:
    scoring = make({"score": 0.5})
    scoring.send({"<script>alert(1)</script>": 1, "\x1b[31m\n": 2, "x" * 5000: 3})
    page = scoring.client.get("/boxkite/").text
    Outline(page)
    assert "<script>alert" not in page
    assert "<script>alert(1)</script>" in unescape(page)
    assert "\x1b" not in page
    assert "x" * 50 not in page


def test_a_note_of_before_the_window_is_not_shown(make: Make) -> None:
    scoring = make({"score": 0.5})
    scoring.send({"Age": 30, "income": 2500.0, "city": "Paris"})
    what = "Features come under other names than in training."
    assert what in scoring.findings("5m")
    later = time.time() + 400
    scoring.app.extensions["boxkite"].monitor.clock = lambda: later
    assert what not in scoring.findings("5m")
    assert what in scoring.findings("1h")


SOURCE = """
from flask import Flask
from flask_boxkite import Boxkite

app = Flask("scoring")
app.config.from_prefixed_env("APP")
app.config["BOXKITE_DASHBOARD_PATH"] = "/boxkite"
monitor = Boxkite(app)

@app.post("/score")
@monitor.predict
def score():
    return {"score": 0.5}
"""


def test_the_page_of_any_worker_shows_it(tmp_path: Path, baseline_path: Path) -> None:
    env = {"APP_BOXKITE_BASELINE": str(baseline_path), "APP_BOXKITE_SINK": "none"}
    with Gunicorn("scoring:app", tmp_path, source=SOURCE, workers=3, env=env) as gunicorn:
        server = Server(gunicorn.port, tmp_path)
        server.send("/score", json.dumps({"nothing": 1}), headers={"Content-Type": "application/json"})
        pages = [json.loads(server.send("/boxkite/drift.json", method="GET")[1]) for _ in range(12)]
    for page in pages:
        assert any(item["remedy"].startswith("The request has the keys 'nothing'") for item in page["findings"])


class Entity:
    """An object of the app's own, whose fields only the schema above the view knows."""

    @property
    def value(self) -> float:
        return 0.5


@dataclass
class Scored:
    """An object with known fields, under names that the schema changes."""

    value: Any = 0.5
    note: str = "new"


def schema(view: Callable[[], Any]) -> Callable[[], Any]:
    """Make JSON of a view's objects, as flask-smorest's `response` and APIFlask's `output` do."""

    def dumped(value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [dumped(item) for item in value]
        if isinstance(value, dict):
            return {name: dumped(item) for name, item in value.items()}
        return {"score": value.value, "model": "m"} if isinstance(value, (Entity, Scored)) else value

    return wraps(view)(lambda: jsonify(dumped(view())))


OBJECTS: dict[str, tuple[Callable[[], Any], str, Any]] = {
    "object": (Entity, "score", lambda answer: answer["score"]),
    "dataclass": (Scored, "score", lambda answer: answer["score"]),
    "list": (lambda: [Entity()], "0.score", lambda answer: answer[0]["score"]),
    "below a key": (lambda: {"result": Entity(), "n": 1}, "result.score", lambda answer: answer["result"]["score"]),
}


@pytest.mark.parametrize("by", ["path", "function"])
@pytest.mark.parametrize("kind", OBJECTS)
def test_a_place_in_the_answer_holds_where_a_schema_makes_it(
    make: Make, caplog: pytest.LogCaptureFixture, kind: str, by: str
) -> None:
    """So that the advice in hints, which describe the answer, can be followed."""
    answer, path, function = OBJECTS[kind]
    scoring = make(answer, above=schema, output=path if by == "path" else function)
    assert scoring.send().status_code == 200
    assert scoring.record()["output"] == 0.5
    samples = Samples(scoring.client.get("/metrics").text)
    assert (caplog.messages, samples.errors()) == ([], {})
    assert sum(samples.outputs("output").values()) == 1


@pytest.mark.parametrize("kind", ["object", "dataclass", "list"])
def test_conventions_hold_for_the_answer_that_a_schema_makes(
    make: Make, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    scoring = make(OBJECTS[kind][0], above=schema)
    scoring.send()
    output = scoring.record()["output"]
    assert output == ([0.5] if kind == "list" else 0.5)
    assert (caplog.messages, Samples(scoring.client.get("/metrics").text).errors()) == ([], {})


def test_what_a_schema_has_made_is_what_a_hint_describes(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    scoring = make(lambda: {"result": Entity(), "n": 1}, above=schema, output="result")
    scoring.send()
    assert caplog.messages == [
        "Model 'default': What stands at 'result' does not fit: it has the keys 'model', 'score'; the baseline's "
        "output is 'output'."
    ]


def test_a_function_that_fails_on_the_answer_is_told_once(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    scoring = make(Entity, above=schema, output=lambda answer: answer["nothing"]["x"] / 0)
    scoring.send()
    assert Samples(scoring.client.get("/metrics").text).errors() == {"output": 1}
    scoring = make(Entity, above=schema, output=lambda answer: answer["score"] / 0)
    scoring.send()
    assert Samples(scoring.client.get("/metrics").text).errors() == {"internal": 1}
    assert scoring.findings()["Capturing failed in 1 request."] == "ZeroDivisionError: float division by zero"
    scoring = make(lambda: jsonify(score=0.5), output=lambda answer: answer["score"] / 0)
    scoring.send()
    assert Samples(scoring.client.get("/metrics").text).errors() == {"internal": 1}


# --- the response in the record --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        pytest.param({"a": 1, "b": [2]}, {"response": {"a": 1, "b": [2]}}, id="JSON"),
        pytest.param("<b>no</b>", {"response": "<b>no</b>"}, id="text"),
        pytest.param(
            Response(b"\xff\xfe", mimetype="image/png"),
            {"response": None, "response_type": "image/png", "response_bytes": 2},
            id="binary",
        ),
        pytest.param(
            lambda: Response((part for part in ["data: 1\n\n", "data: 2\n\n"]), mimetype="text/event-stream"),
            {"response": "data: 1\n\ndata: 2\n\n"},
            id="stream",
        ),
        pytest.param(
            lambda: Response((part for part in [b"\xff", b"\xfe" * 65536]), mimetype="application/octet-stream"),
            {"response": None, "response_type": "application/octet-stream", "response_bytes": 65537},
            id="binary stream",
        ),
        pytest.param(
            lambda: Response(("x" * 10_000 for _ in range(9)), mimetype="text/event-stream"),
            {"response": "x" * MOST_BYTES, "response_truncated": True},
            id="long stream",
        ),
        pytest.param(
            lambda: send_file(__file__),
            {"response": None, "response_type": "text/x-python", "response_bytes": Path(__file__).stat().st_size},
            id="file",
        ),
        pytest.param(
            lambda: Response([b"a"], mimetype="text/csv", direct_passthrough=True),
            {"response": None, "response_type": "text/csv", "response_bytes": None},
            id="passed through",
        ),
        pytest.param({"predictions": [0.1, 0.2]}, {"response": {"predictions": [0.1, 0.2]}}, id="too many"),
    ],
)
def test_a_response_without_output_is_kept(make: Make, answer: Any, kept: dict[str, Any]) -> None:
    scoring = make(answer)
    assert scoring.send().status_code == 200
    record = scoring.record()
    assert {key: value for key, value in record.items() if key.startswith("response")} == kept
    assert record["features"] == ANN


@pytest.mark.parametrize(
    ("encoding", "kept"),
    [
        pytest.param("gzip", {"response": {"a": 1, "b": 2}}, id="gzip"),
        pytest.param(
            "br", {"response": None, "response_type": "application/json", "response_bytes": len(GZIPPED)}, id="unknown"
        ),
    ],
)
def test_a_compressed_response_is_kept_as_it_was(
    make: Make, baseline: Baseline, encoding: str, kept: dict[str, Any]
) -> None:
    """An extension that compresses leaves such an answer, in Flask and around any app."""
    data = GZIPPED
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    scoring = make(lambda: Response(data, headers=headers))
    assert scoring.send().data == data
    service = ModelMonitoringService(baseline, sink=RecordingSink())
    wrapped = BoxkiteMiddleware(Response(data, headers=headers), service, routes={"/score": None})
    assert Client(wrapped).post("/score", json=ANN).data == data
    (other,) = service.app.settings.sink[0].wait_for(1)
    service.close()
    for record in (scoring.record(), other):
        assert {key: value for key, value in record.items() if key.startswith("response")} == kept


def test_the_error_page_of_an_exception_is_kept_too(make: Make) -> None:
    scoring = make(lambda: 1 / 0, BOXKITE_RECORD_RESPONSE=True)
    answer = scoring.send()
    assert answer.status_code == 500
    assert scoring.record()["response"] == answer.text


def test_a_response_whose_output_was_found_is_not_kept(make: Make) -> None:
    scoring = make({"score": 0.5})
    scoring.send()
    assert "response" not in scoring.record()


@pytest.mark.parametrize("answer", [{"score": 0.5}, ({"error": "no"}, 400), ({"error": "no"}, 503)])
def test_a_setting_keeps_it_always(make: Make, answer: Any) -> None:
    scoring = make(answer, BOXKITE_RECORD_RESPONSE=True)
    scoring.send()
    assert scoring.record()["response"] == (answer[0] if isinstance(answer, tuple) else answer)


def test_a_function_that_fails_loses_no_response(make: Make) -> None:
    scoring = make({"a": 1}, output=lambda returned: 1 / 0)
    scoring.send()
    assert scoring.record()["response"] == {"a": 1}


def test_what_is_redacted_is_not_in_the_response(make: Make) -> None:
    scoring = make({"who": {"ssn": "1-2-3"}, "b": 1}, BOXKITE_REDACT="ssn")
    scoring.send()
    assert scoring.record()["response"] == {"who": {"ssn": "[redacted]"}, "b": 1}


def test_any_wsgi_app_keeps_it_too(baseline: Baseline) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "application/json")])
        return [b'{"a": 1, ', b'"b": 2}']

    sink = RecordingSink()
    service = ModelMonitoringService(baseline, sink=sink)
    Client(BoxkiteMiddleware(app, service, routes={"/score": None})).post("/score", json=ANN)
    (record,) = sink.wait_for(1)
    service.close()
    assert record["response"] == {"a": 1, "b": 2}


# --- output=callable -------------------------------------------------------------------------------------------------


def _returned(returned: Any) -> Any:
    assert isinstance(returned, tuple)
    return returned[0]["a"]


PICKS: dict[str, Any] = {
    "answer": lambda answer: answer["a"],
    "answer with a default": lambda answer, key="a": answer[key],
    "returned": _returned,
}


@pytest.mark.parametrize("pick", PICKS.values(), ids=PICKS)
def test_a_function_gets_the_parsed_answer_if_it_asks_for_it(make: Make, pick: Any) -> None:
    scoring = make(({"a": 0.25, "b": 2}, 200), output=pick)
    scoring.send()
    assert scoring.record()["output"] == 0.25


def test_the_answer_of_a_response_is_parsed(make: Make) -> None:
    scoring = make(
        lambda: Response(json.dumps({"a": [0.25]}), mimetype="application/json"), output=lambda answer: answer["a"][0]
    )
    scoring.send()
    assert scoring.record()["output"] == 0.25


@pytest.mark.parametrize("pick", [max, str, dict.get], ids=["no signature", "a type", "a method"])
def test_a_function_without_a_signature_gets_what_was_returned(make: Make, pick: Any) -> None:
    scoring = make({"score": 0.5}, output=pick)
    assert scoring.send().status_code == 200


def test_the_request_is_the_views(make: Make) -> None:
    """Looking at what was not captured reads nothing of the request."""
    scoring = make(lambda: {"a": request.get_json()["x"], "b": 1})
    assert scoring.send({"x": [1, 2]}).get_json() == {"a": [1, 2], "b": 1}


def test_a_csv_with_semicolons_is_one_prediction_whose_features_were_not_found(baseline: Baseline) -> None:
    """Counted by its lines, it would be several, each of one value."""
    scoring = Scoring(baseline, {"output": 0.5})
    scoring.client.post("/score", data="age;income;city\n30;2500.0;Paris\n", content_type="text/csv")
    assert scoring.record()["rows"] == 1
    assert scoring.findings()["Features were not found in 1 request."] == (
        "The CSV has ';' between its values; the features of the baseline are 'age', 'income', 'city'. "
        "Put commas there."
    )
