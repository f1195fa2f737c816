"""The option ``segments`` of a view: values that segment rows and are no features, wherever a request has them."""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Blueprint, Flask, g, request
from werkzeug.test import Client

from flask_boxkite import Baseline, Boxkite, BoxkiteMiddleware, ConfigError, ModelMonitoringService
from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.baseline.training.options import BaselineOptions
from flask_boxkite.monitoring.redaction import REDACTED
from flask_boxkite.records import Records
from flask_boxkite.testing import RecordingSink
from tests.web.segmented import columns

ROW = {"age": 40, "income": 20000}
SWEDE = {**ROW, "customer": {"country": "SE"}}
NORWEGIAN = {**ROW, "customer": {"country": "NO"}}
PLACES: dict[str, Any] = {"country": "customer.country", "sex": "header:X-Sex"}


def trained() -> Baseline:
    """Return a baseline with segments by two columns that are no features."""
    outputs = np.random.default_rng(1).random(1000)
    options = BaselineOptions.of(exclude=["country", "sex"])
    made = build_baseline(columns(1000, 0), outputs, options=options, segments=["country", "sex"])
    return replace(made, model="credit")


BASELINE = trained()


class Server:
    """An app with some views, each with the option."""

    def __init__(self, segments: dict[str, Any] | None, **config: Any) -> None:
        self.sink = RecordingSink()
        self.app = Flask("scoring")
        self.app.config.update({"BOXKITE_BASELINE": BASELINE, "BOXKITE_SINK": self.sink} | config)
        self.monitor = monitor = Boxkite(self.app)
        self.client = self.app.test_client()
        self.seen: list[Any] = []
        predict = monitor.predict(segments=segments)
        for name, view in {"score": self.score, "raw": self.raw, "named": self.named, "logged": self.logged}.items():
            self.app.add_url_rule(f"/{name}", name, predict(view), methods=["POST"])
        self.app.add_url_rule("/async", "async", predict(self.score_async), methods=["POST"])

    def score(self) -> dict[str, Any]:
        document = request.get_json()
        rows = document if isinstance(document, list) else document.get("instances", document)
        return {"predictions": [0.5] * (len(rows) if isinstance(rows, list) else 1)}

    async def score_async(self) -> dict[str, Any]:
        return self.score()

    def raw(self) -> dict[str, Any]:
        """Read the body without the request's help, and note it."""
        self.seen.append(request.stream.read())
        return {"score": 0.5}

    def named(self) -> dict[str, Any]:
        self.monitor.observe(country="FI")
        request.get_json()
        return {"score": 0.5}

    def logged(self) -> dict[str, Any]:
        self.monitor.log_prediction(features=request.get_json(), output=0.5, observed={"sex": "m"})
        return {"score": 0.5}

    def send(self, document: Any = None, path: str = "/score", **sent: Any) -> Any:
        """Send a request; return the derived values in its record."""
        before = len(self.sink.records)
        answer = self.client.post(path, **({"json": document} | sent))
        assert answer.status_code == 200, answer.text
        self.monitor.flush()
        return self.sink.wait_for(before + 1)[before].get("derived")

    def rows(self, by: str) -> dict[str, int]:
        """Return the live rows of each segment that has some."""
        with self.app.app_context():
            return {segment.name: segment.rows for segment in self.monitor.drift(by=by) if segment.rows}


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Return a function that makes a server with the option, and with settings."""
    made: list[Server] = []

    def make(segments: dict[str, Any] | None = PLACES, **config: Any) -> Server:
        made.append(Server(segments, **config))
        return made[-1]

    yield make
    for each in made:
        each.monitor.close()


# --- where values are ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [10**6, 20], ids=["short", "long"])
@pytest.mark.parametrize("path", ["/score", "/async", "/raw"])
def test_paths_and_headers_name_values(serve: Callable[..., Server], limit: int, path: str) -> None:
    server = serve(BOXKITE_MAX_BODY_BYTES=limit)

    assert server.send(SWEDE, path, headers={"x-sex": "f"}) == {"country": "SE", "sex": "f"}
    assert server.send(NORWEGIAN, path) == {"country": "NO", "sex": None}
    assert server.send(ROW, path) == {"country": None, "sex": None}
    assert server.rows("country") == {"SE": 1, "NO": 1, "__rare__": 1}


@pytest.mark.parametrize(
    ("segments", "document"),
    [
        ({"country": "customer.country"}, [SWEDE, ROW, NORWEGIAN]),
        ({"country": "instances.customer.country"}, {"instances": [SWEDE, ROW, NORWEGIAN]}),
        ({"country": "lands"}, {"instances": [ROW] * 3, "lands": ["SE", None, "NO"]}),
        ({"country": lambda: ("SE", None, "NO")}, [ROW] * 3),
        ({"country": lambda: np.array(["SE", None, "NO"])}, [ROW] * 3),
    ],
    ids=["rows", "rows below a key", "a list beside", "a function's tuple", "a function's array"],
)
def test_a_batch_has_a_value_for_each_row(
    serve: Callable[..., Server], segments: dict[str, Any], document: Any
) -> None:
    server = serve(segments)
    derived = server.send(document)

    assert [row["country"] for row in derived] == ["SE", None, "NO"]
    assert server.rows("country") == {"SE": 1, "NO": 1, "__rare__": 1}


def test_one_value_is_for_all_rows_and_a_wrong_number_is_invalid(serve: Callable[..., Server]) -> None:
    server = serve({"country": lambda: request.args["country"], "sex": "sexes"})
    derived = server.send({"instances": [ROW, ROW], "sexes": ["f"] * 3}, path="/score?country=FI")

    assert [row["country"] for row in derived] == ["FI", "FI"]
    assert server.rows("country") == {"FI": 2}
    assert server.rows("sex") == {"__rare__": 2}
    with server.app.app_context():
        (variable,) = [item for item in server.monitor.drift() if item.name == "sex"]
    assert variable.moved_most == "__invalid__"


def test_a_compressed_body_is_read(serve: Callable[..., Server]) -> None:
    server = serve()
    body = gzip.compress(json.dumps(SWEDE).encode())
    sent = {"data": body, "headers": {"Content-Encoding": "gzip"}, "content_type": "application/json"}
    assert server.send(path="/raw", **sent, json=None)["country"] == "SE"


def test_a_function_runs_once_in_the_context_of_the_request(serve: Callable[..., Server]) -> None:
    calls = []
    server = serve({"country": lambda: calls.append(1) or g.country, "sex": lambda: request.headers.get("X-Sex")})
    server.app.before_request(lambda: setattr(g, "country", "NO"))

    assert server.send([ROW, ROW], headers={"X-Sex": "m"}) == [{"country": "NO", "sex": "m"}] * 2
    assert len(calls) == 1


def test_a_value_that_the_view_observes_comes_before(serve: Callable[..., Server]) -> None:
    for limit in (10**6, 20):  # a path in a long body is read after the view has observed
        server = serve(BOXKITE_MAX_BODY_BYTES=limit)
        assert server.send(SWEDE, "/named", headers={"X-Sex": "f"}) == {"country": "FI", "sex": "f"}


def test_a_prediction_that_the_view_logs_has_them(serve: Callable[..., Server]) -> None:
    server = serve()
    assert server.send(SWEDE, "/logged", headers={"X-Sex": "f"}) == {"country": "SE", "sex": "m"}
    assert server.rows("country") == {"SE": 1}


def test_live_and_records_agree(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve(BOXKITE_SINK="file", BOXKITE_LOG_DIR=str(tmp_path))
    rows = columns(300, 7)
    for place, (country, sex) in enumerate(zip(rows["country"], rows["sex"], strict=True)):
        row = {"income": rows["income"][place], "age": rows["age"][place], "customer": {"country": country}}
        assert server.client.post("/score", json=row, headers={"X-Sex": sex}).status_code == 200
    server.monitor.flush()

    for by in ("country", "sex"):
        recorded = {segment.name: segment.rows for segment in Records(tmp_path).drift(BASELINE, by=by)}
        assert recorded == server.rows(by) == {name: rows[by].count(name) for name in set(rows[by])}


def test_without_a_baseline_records_have_them(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve({"tenant": "header:X-Tenant"}, BOXKITE_BASELINE=None, BOXKITE_STATE_DIR=str(tmp_path))
    assert server.send(ROW, headers={"X-Tenant": "a"}) == {"tenant": "a"}


# --- nothing of the request changes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "value"),
    [
        (lambda: request.get_json()["customer"]["country"], "SE"),
        (lambda: request.get_data(cache=False).decode()[2:5], "age"),
        (lambda: request.stream.read(6).decode()[2:5], "age"),
        (lambda: request.form.get("s"), None),
    ],
    ids=["json", "data", "stream", "form"],
)
def test_a_function_that_reads_the_body_leaves_it_to_the_view(
    serve: Callable[..., Server], function: Callable[[], Any], value: Any
) -> None:
    server = serve({"country": function})
    derived = server.send(SWEDE, "/raw")
    assert (derived["country"], json.loads(server.seen[0])) == (value, SWEDE)


def test_a_function_that_fails_is_logged_once_in_a_while(
    serve: Callable[..., Server], caplog: pytest.LogCaptureFixture
) -> None:
    server = serve({"country": lambda: {}["country"], "sex": lambda: request.headers["X-Sex"]})
    for _ in range(3):
        assert server.send(SWEDE) == {"country": None, "sex": None}

    (entry,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert entry.getMessage() == (
        "The function of 'country' in 'segments' failed, so its value is missing; the response is not affected."
    )
    assert server.send(SWEDE, headers={"X-Sex": "f"})["sex"] == "f"
    assert server.rows("country") == {"__rare__": 4}


@pytest.mark.parametrize(
    "value", [object(), {"a": {1}}, [[1, [2]]], b"\xff", float("nan"), range(2), (number for number in range(2))]
)
def test_odd_values_do_no_harm(serve: Callable[..., Server], value: Any) -> None:
    server = serve({"country": lambda: value})
    server.send(SWEDE)
    assert sum(server.rows("country").values()) == 1


@pytest.mark.parametrize("body", ["", "{", "[]", "null", "5", '"x"', "[" * 5000, '{"customer": 5}', '{"customer": []}'])
def test_odd_bodies_do_no_harm(serve: Callable[..., Server], body: str) -> None:
    server = serve()
    derived = server.send(path="/raw", data=body, content_type="application/json", json=None)
    assert derived is None or {"country": None, "sex": None}.items() <= derived.items()
    assert server.seen == [body.encode()]


def test_disabled_nothing_is_read(serve: Callable[..., Server]) -> None:
    calls: list[int] = []
    server = serve({"country": lambda: calls.append(1)}, BOXKITE_ENABLED=False)
    assert server.client.post("/score", json=SWEDE).status_code == 200
    assert calls == []


# --- redaction -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("redact", "hidden"),
    [
        (["customer"], ["country"]),
        (["customer.country"], ["country"]),
        (["country"], ["country"]),
        (["X-Sex"], ["sex"]),
        (["sex", "customer"], ["country", "sex"]),
        (["age"], []),
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/score", "/raw", "/logged"])
@pytest.mark.parametrize("limit", [10**6, 20], ids=["short", "long"])
def test_a_hidden_field_does_not_show_under_another_name(
    serve: Callable[..., Server], redact: list[str], hidden: list[str], path: str, limit: int
) -> None:
    server = serve(BOXKITE_REDACT=redact, BOXKITE_MAX_BODY_BYTES=limit)
    derived = server.send(SWEDE, path, headers={"X-Sex": "f"})

    assert sorted(name for name, value in derived.items() if value == REDACTED) == hidden
    assert server.rows("country") == {"SE": 1}
    if "country" in hidden and path == "/score":
        batch = server.send([SWEDE, NORWEGIAN])
        assert [row["country"] for row in batch] == [REDACTED] * 2


# --- set-up ----------------------------------------------------------------------------------------------------------

PLACE = (
    "a dotted path into the JSON request, such as 'customer.country', a header, such as 'header:X-Tenant', or a "
    "function without arguments, such as lambda: request.headers.get('X-Tenant'); got "
)
MAPPING = "'segments' must map names of variables to places, such as {'country': 'customer.country'}, got "


async def awaited() -> str:
    return "SE"


@pytest.mark.parametrize(
    ("segments", "text"),
    [
        (["country"], f"{MAPPING}['country']."),
        ("country", f"{MAPPING}'country'."),
        ({5: "country"}, f"{MAPPING}{{5: 'country'}}."),
        ({"": "country"}, f"{MAPPING}{{'': 'country'}}."),
        ({"country": 5}, f"'segments' must name the place of 'country': {PLACE}5."),
        ({"country": None}, f"'segments' must name the place of 'country': {PLACE}None."),
        ({"country": "a..b"}, f"'segments' must name the place of 'country': {PLACE}'a..b'."),
        ({"country": "header:X Y"}, f"'segments' must name the place of 'country': {PLACE}'header:X Y'."),
        ({"country": len}, f"'segments' must name the place of 'country': {PLACE}{len!r}."),
        ({"country": awaited}, f"'segments' must name the place of 'country': {PLACE}{awaited!r}."),
        (
            {"contry": "a"},
            "'segments' names 'contry', which the baseline of model 'credit' does not have. Did you mean 'country'? "
            "Training makes it: export_text(..., segments={'contry': values}).",
        ),
        (
            {"sex": "a", "age": "b"},
            "'segments' names 'age', which is a feature or output of model 'credit'. Remove it there: its values come "
            "with each row.",
        ),
    ],
)
def test_a_wrong_option_is_refused(segments: Any, text: str) -> None:
    app = Flask("scoring")
    app.config.update(BOXKITE_BASELINE=BASELINE, BOXKITE_SINK="none")
    monitor = Boxkite(app)
    with pytest.raises(ConfigError) as caught:
        monitor.predict(segments=segments)
    assert str(caught.value) == text


def test_an_unknown_name_is_refused_when_the_app_comes_later() -> None:
    app = Flask("scoring")
    app.config.update(BOXKITE_BASELINE=BASELINE, BOXKITE_SINK="none")
    monitor = Boxkite()
    app.add_url_rule("/score", "score", monitor.predict(segments={"land": "a"})(lambda: {"score": 0.5}))
    with pytest.raises(ConfigError, match="'segments' names 'land', which the baseline of model 'credit' does not"):
        monitor.init_app(app)


def test_an_unknown_name_is_logged_when_the_route_comes_later(caplog: pytest.LogCaptureFixture) -> None:
    app, blueprint, monitor = Flask("scoring"), Blueprint("scores", __name__), Boxkite()
    app.config.update(BOXKITE_BASELINE=BASELINE, BOXKITE_SINK="none")
    monitor.init_app(app)

    @blueprint.post("/score")
    @monitor.predict(segments={"land": "a"})
    def score() -> dict[str, float]:
        return {"score": 0.5}

    app.register_blueprint(blueprint)
    assert app.test_client().post("/score", json=ROW).status_code == 200
    (entry,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert entry.startswith(
        f"{score.__qualname__!r} does not segment rows as its decorator says. 'segments' names 'land', which "
    )


def test_routes_of_other_wsgi_apps_have_paths_and_headers() -> None:
    sink = RecordingSink()
    service = ModelMonitoringService(BASELINE, sink=sink)

    def wsgi_app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Type", "application/json")])
        return [b'{"score": 0.5}']

    app = BoxkiteMiddleware(wsgi_app, service, {"/score": {"segments": PLACES}})
    assert Client(app).post("/score", json=SWEDE, headers={"X-Sex": "f"}).status_code == 200
    service.flush(30)
    assert sink.records[0]["derived"] == {"country": "SE", "sex": "f"}

    for segments, text in (
        ({"country": lambda: "SE"}, "Route '/score': 'segments' must name the place of 'country': "),
        ({"land": "a"}, "Route '/score': 'segments' names 'land', which the baseline of model 'credit' does not have."),
        (["country"], f"Route '/score': {MAPPING}['country']."),
    ):
        with pytest.raises(ConfigError) as caught:
            BoxkiteMiddleware(wsgi_app, service, {"/score": {"segments": segments}})
        assert str(caught.value).startswith(text)
    service.close()
