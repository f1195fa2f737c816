"""Requests around Bottle, Django, Falcon and a bare function count as they do in Flask."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from flask import Flask, request
from werkzeug.test import Client, EnvironBuilder, TestResponse

from flask_boxkite import Baseline, Boxkite, BoxkiteMiddleware, ConfigError, ModelMonitoringService
from tests.web.twins import ID_HEADER, Records, Samples, check_counted

ANN = {"age": 30, "income": 2500.0, "city": "Paris"}
SEVERAL = {"SERVER_SOFTWARE": "Unit/1.34", "wsgi.multiprocess": True}
BOB = {"age": 55.5, "income": 7000, "city": "Rome"}

ROUTES = {"/score": None, "/form": None, "/error": None, "/refuse": None, "/stream": None, "/bytes": None}


def scores(document: Any) -> Any:
    """Say what all the apps below answer."""
    if isinstance(document, list):
        return {"predictions": [row["age"] / 100 for row in document]}
    return {"score": document["age"] / 100}


class BrokenModelError(Exception):
    """An exception that the apps below raise."""


# --- The apps -------------------------------------------------------------------------------------------------------


def flask_app() -> Flask:
    app = Flask("served")
    app.post("/score")(lambda: scores(request.get_json()))
    app.add_url_rule("/form", "form", lambda: {"score": float(request.form["age"]) / 100}, methods=["POST"])
    app.add_url_rule("/refuse", "refuse", lambda: ({"error": "what?"}, 422), methods=["POST"])
    app.add_url_rule("/bytes", "bytes", lambda: b"\x00\xff", methods=["POST"])

    @app.post("/error")
    def error() -> Any:
        raise BrokenModelError

    @app.post("/stream")
    def stream() -> Any:
        return (part for part in ["0.", "5"]), {"Content-Type": "text/plain"}

    @app.get("/other")
    def other() -> Any:
        return "other"

    return app


def bottle_app() -> Any:
    bottle = pytest.importorskip("bottle")
    app = bottle.Bottle()

    @app.post("/score")
    def score() -> Any:
        return scores(bottle.request.json)

    @app.post("/form")
    def form() -> Any:
        return {"score": float(bottle.request.forms["age"]) / 100}

    @app.post("/refuse")
    def refuse() -> Any:
        bottle.response.status = 422
        return {"error": "what?"}

    @app.post("/error")
    def error() -> Any:
        raise BrokenModelError

    @app.post("/stream")
    def stream() -> Any:
        bottle.response.content_type = "text/plain"
        yield "0."
        yield "5"

    @app.post("/bytes")
    def binary() -> Any:
        bottle.response.content_type = "application/octet-stream"
        return b"\x00\xff"

    @app.get("/other")
    def other() -> Any:
        return "other"

    return app


def django_app() -> Any:
    django = pytest.importorskip("django")
    from django import http
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.urls import path

    if not settings.configured:
        settings.configure(
            SECRET_KEY="test",
            ROOT_URLCONF="tests.web.django_urls",
            ALLOWED_HOSTS=["*"],
            DATABASES={},
            LOGGING_CONFIG=None,
        )
        django.setup()

    def error(request: Any) -> Any:
        raise BrokenModelError

    import sys
    import types

    urls = types.ModuleType("tests.web.django_urls")
    urls.urlpatterns = [  # type: ignore[attr-defined]
        path("score", lambda request: http.JsonResponse(scores(json.loads(request.body)))),
        path("form", lambda request: http.JsonResponse({"score": float(request.POST["age"]) / 100})),
        path("refuse", lambda request: http.JsonResponse({"error": "what?"}, status=422)),
        path("error", error),
        path("stream", lambda request: http.StreamingHttpResponse(iter([b"0.", b"5"]), content_type="text/plain")),
        path("bytes", lambda request: http.HttpResponse(b"\x00\xff", content_type="application/octet-stream")),
        path("other", lambda request: http.HttpResponse("other")),
    ]
    sys.modules["tests.web.django_urls"] = urls
    return WSGIHandler()


class Resource:
    """A resource of Falcon that answers GET and POST alike."""

    def __init__(self, answer: Callable[[Any, Any], None]) -> None:
        self._answer = answer

    def on_post(self, req: Any, resp: Any) -> None:
        self._answer(req, resp)

    on_get = on_post


def falcon_app() -> Any:
    falcon = pytest.importorskip("falcon")

    def score(req: Any, resp: Any) -> None:
        resp.media = scores(req.get_media())

    def form(req: Any, resp: Any) -> None:
        resp.media = {"score": float(req.get_media()["age"]) / 100}

    def refuse(req: Any, resp: Any) -> None:
        resp.status, resp.media = falcon.HTTP_422, {"error": "what?"}

    def error(req: Any, resp: Any) -> None:
        raise BrokenModelError

    def stream(req: Any, resp: Any) -> None:
        resp.content_type, resp.stream = "text/plain", iter([b"0.", b"5"])

    def binary(req: Any, resp: Any) -> None:
        resp.content_type, resp.data = "application/octet-stream", b"\x00\xff"

    def other(req: Any, resp: Any) -> None:
        resp.text = "other"

    app = falcon.App()
    for name, answer in {
        "score": score,
        "form": form,
        "refuse": refuse,
        "error": error,
        "stream": stream,
        "bytes": binary,
        "other": other,
    }.items():
        app.add_route(f"/{name}", Resource(answer))
    return app


def bare_app() -> Any:
    from urllib.parse import parse_qs

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        status, content_type, answer = "200 OK", "application/json", b""
        if path == "/score":
            answer = json.dumps(scores(json.loads(body))).encode()
        elif path == "/form":
            answer = json.dumps({"score": float(parse_qs(body)[b"age"][0]) / 100}).encode()
        elif path == "/refuse":
            status, answer = "422 Unprocessable Entity", b'{"error": "what?"}'
        elif path == "/error":
            raise BrokenModelError
        elif path == "/stream":
            start_response(status, [("Content-Type", "text/plain")])
            return iter([b"0.", b"5"])
        elif path == "/bytes":
            content_type, answer = "application/octet-stream", b"\x00\xff"
        else:
            content_type, answer = "text/plain", b"other"
        start_response(status, [("Content-Type", content_type), ("Content-Length", str(len(answer)))])
        return [answer]

    return app


APPS = {"Flask": flask_app, "Bottle": bottle_app, "Django": django_app, "Falcon": falcon_app, "bare": bare_app}


# --- Both -----------------------------------------------------------------------------------------------------------


class Pair:
    """An app in the middleware, and the same app without.

    Attributes:
        client: Client of the monitored app.
        plain: Client of the plain app.
    """

    def __init__(self, make: Callable[[], Any], baseline: Baseline | None, **settings: Any) -> None:
        self.sink = Records()
        self.service = ModelMonitoringService(baseline, sink=self.sink, **settings)
        self.client = Client(BoxkiteMiddleware(make(), self.service, ROUTES))
        self.plain = Client(make())

    def send(self, path: str, **options: Any) -> TestResponse:
        """Send a request to both, and check that the answers are the same."""
        ours, theirs = [client.open(path, method="POST", **options) for client in (self.client, self.plain)]
        skipped = (ID_HEADER, "Date")
        assert (ours.status, ours.get_data()) == (theirs.status, theirs.get_data())
        assert [h for h in ours.headers if h[0] not in skipped] == [h for h in theirs.headers if h[0] not in skipped]
        return ours

    def scrape(self) -> Samples:
        """Scrape the middleware."""
        return Samples(self.client.get("/metrics").text)

    def records(self) -> list[dict[str, Any]]:
        """Return all records."""
        assert self.service.flush(30.0) == 0
        return self.sink.taken


@pytest.fixture
def pair(baseline: Baseline) -> Iterator[Callable[..., Pair]]:
    """Return a function that puts an app into the middleware."""
    made: list[Pair] = []

    def make(app: Callable[[], Any], **settings: Any) -> Pair:
        made.append(Pair(app, **{"baseline": baseline, **settings}))
        return made[-1]

    yield make
    for each in made:
        each.service.close()


@pytest.mark.parametrize("make", APPS.values(), ids=APPS)
def test_the_same_requests_count_alike_everywhere(pair: Any, make: Any, baseline: Baseline) -> None:
    """The decorator `@monitor.predict` does the same in Flask."""
    app = pair(make)
    sent: list[dict[str, Any]] = [{"json": ANN}, {"json": [ANN, BOB]}, {"json": {**ANN, "income": None}}]
    for each in sent:
        assert ID_HEADER in app.send("/score", **each).headers
    assert app.client.get("/other").text == "other"
    people = [ANN, ANN, BOB, {**ANN, "income": None}]
    samples = app.scrape()
    check_counted(samples, people, [person["age"] / 100 for person in people])

    flask = Flask("served")
    flask.config["BOXKITE_BASELINE"] = baseline
    monitor = Boxkite(flask)
    flask.post("/score")(monitor.predict(lambda: scores(request.get_json())))
    for each in sent:
        flask.test_client().post("/score", **each)
    theirs = Samples(flask.test_client().get("/metrics").text)
    for name in ("boxkite_feature_value_bucket", "boxkite_inference_value_bucket"):
        assert samples.by("le", name, feature="age") == theirs.by("le", name, feature="age")
    for name in ("age", "income", "city"):
        assert samples.groups(name) == theirs.groups(name)
    assert samples.by("sign", "boxkite_inference_sum_total") == theirs.by("sign", "boxkite_inference_sum_total")

    records = app.records()
    assert [record["rows"] for record in records] == [1, 2, 1]
    assert [record["features"] for record in records] == [ANN, [ANN, BOB], {**ANN, "income": None}]
    assert [record["output"] for record in records] == [0.3, [0.3, 0.555], 0.3]
    assert json.loads(records[1]["request_body"]) == [ANN, BOB]


@pytest.mark.parametrize("make", APPS.values(), ids=APPS)
def test_forms(pair: Any, make: Any) -> None:
    app = pair(make)
    app.send("/form", data={name: str(value) for name, value in ANN.items()})
    check_counted(app.scrape(), [ANN], [0.3])


@pytest.mark.parametrize("make", APPS.values(), ids=APPS)
def test_refused_and_failed_requests_count_by_status(pair: Any, make: Any) -> None:
    app = pair(make)
    app.send("/refuse", json=ANN)
    for client in (app.client, app.plain):
        if make in (bare_app, bottle_app):  # the client re-raises what Bottle hands on in exc_info
            with pytest.raises(BrokenModelError):
                client.post("/error", json=ANN)
        else:
            assert client.post("/error", json=ANN, buffered=True).status_code == 500
    samples = app.scrape()
    assert samples.statuses() == {"client_error": 1, "error": 1}
    assert samples.groups("age") == {}
    assert samples.errors() == {}
    assert [record["status"] for record in app.records()] == ["client_error", "error"]


@pytest.mark.parametrize("make", APPS.values(), ids=APPS)
def test_streams_pass_through(pair: Any, make: Any) -> None:
    app = pair(make)
    assert app.send("/stream", json=ANN).text == "0.5"
    check_counted(app.scrape(), [ANN], [0.5])


@pytest.mark.parametrize("make", APPS.values(), ids=APPS)
def test_what_is_no_prediction_is_not_guessed(pair: Any, make: Any) -> None:
    app = pair(make)
    app.send("/bytes", json=ANN)
    samples = app.scrape()
    assert samples.errors() == {"output": 1}
    assert samples.statuses() == {"ok": 1}


@pytest.mark.parametrize("make", APPS.values(), ids=APPS)
def test_long_and_chunked_bodies_count_too(pair: Any, make: Any) -> None:
    """There is no view to read them for us, so they are read as they pass."""
    app = pair(make, max_body_bytes=100)
    long = {**ANN, "note": "n" * 90_000}
    app.send("/score", json=long)
    samples = app.scrape()
    check_counted(samples, [ANN], [0.3])
    record = app.records()[0]
    assert record["body_truncated"] is True
    assert len(record["request_body"]) == 100


@pytest.mark.parametrize("make", APPS.values(), ids=APPS)
def test_disabled_monitoring_is_not_there(pair: Any, make: Any) -> None:
    app = pair(make, enabled=False)
    assert ID_HEADER not in app.send("/score", json=ANN).headers
    answer = app.client.get("/metrics")
    assert "boxkite" not in answer.text
    assert app.records() == []


# --- The letter of WSGI ---------------------------------------------------------------------------------------------


def environ_of(path: str = "/score", method: str = "POST", **options: Any) -> dict[str, Any]:
    builder = EnvironBuilder(path, method=method, **{"json": ANN, **options})
    environ = builder.get_environ()
    builder.close()
    return environ


class Calls:
    """A start_response that remembers, and the `write` that it returns."""

    def __init__(self) -> None:
        self.started: list[tuple[Any, ...]] = []
        self.written: list[bytes] = []

    def __call__(self, status: str, headers: Any, *exc_info: Any) -> Callable[[bytes], Any]:
        self.started.append((status, [name for name, _ in headers], *exc_info))
        return self.written.append


@pytest.fixture
def service(baseline: Baseline) -> ModelMonitoringService:
    """Return a service without a sink."""
    return ModelMonitoringService(baseline, sink="none")


def statuses(service: ModelMonitoringService) -> dict[str, float]:
    return Samples(service.export_http()[0].decode()).statuses()


class Body:
    """An iterable that knows whether it was closed."""

    def __init__(self, chunks: Any, error: Exception | None = None) -> None:
        self.closed = 0
        self.given = 0
        self._chunks = chunks
        self._error = error

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.given += 1
            yield chunk
        if self._error:
            raise self._error

    def close(self) -> None:
        self.closed += 1


def test_a_body_is_passed_on_as_it_comes_and_closed_once(service: ModelMonitoringService) -> None:
    body = Body([b'{"score"', b": ", b"0.5}"])

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "application/json")])
        return body

    given = BoxkiteMiddleware(app, service, ROUTES)(environ_of(), Calls())
    chunks = iter(given)
    assert (next(chunks), body.given) == (b'{"score"', 1)
    assert statuses(service) == {}
    assert list(chunks) == [b": ", b"0.5}"]
    assert statuses(service) == {"ok": 1}
    given.close()  # type: ignore[attr-defined]
    assert body.closed == 1
    check_counted(Samples(service.export_http()[0].decode()), [ANN], [0.5])


def test_a_body_that_no_server_iterates_is_not_begun(service: ModelMonitoringService) -> None:
    """Its client left before the first chunk."""
    begun: list[str] = []

    class Lazy:
        def __iter__(self) -> Iterator[bytes]:
            begun.append("iterated")
            return iter([b"0.5"])

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "application/json")])
        return Lazy()

    given = BoxkiteMiddleware(app, service, ROUTES)(environ_of(), Calls())
    given.close()  # type: ignore[attr-defined]
    assert (begun, statuses(service)) == ([], {"client_error": 1})
    assert list(BoxkiteMiddleware(app, service, ROUTES)(environ_of(), Calls())) == [b"0.5"]
    assert begun == ["iterated"]


def test_written_bytes_count(service: ModelMonitoringService) -> None:
    """The old way of answering."""
    calls = Calls()

    def app(environ: Any, start_response: Any) -> Any:
        write = start_response("200 OK", [("Content-Type", "application/json")])
        write(b'{"score": ')
        write(b"0.")
        return [b"5}"]

    given = BoxkiteMiddleware(app, service, ROUTES)(environ_of(), calls)
    assert calls.written == [b'{"score": ', b"0."]
    assert list(given) == [b"5}"]
    check_counted(Samples(service.export_http()[0].decode()), [ANN], [0.5])


def test_the_app_may_start_its_response_again(service: ModelMonitoringService) -> None:
    """With exc_info, after an error; that is what the client gets."""
    calls = Calls()

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "text/plain")])
        try:
            raise BrokenModelError
        except BrokenModelError as error:
            start_response("500 Oh", [("Content-Type", "text/plain")], (type(error), error, None))
        return [b"sorry"]

    assert list(BoxkiteMiddleware(app, service, ROUTES)(environ_of(), calls)) == [b"sorry"]
    assert [started[0] for started in calls.started] == ["200 OK", "500 Oh"]
    assert calls.started[1][2][0] is BrokenModelError
    assert statuses(service) == {"error": 1}


def test_a_response_may_start_late(service: ModelMonitoringService) -> None:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("201 Created", [("Content-Type", "application/json")])
        yield b'{"score": 0.5}'

    calls = Calls()
    assert list(BoxkiteMiddleware(app, service, ROUTES)(environ_of(), calls)) == [b'{"score": 0.5}']
    assert calls.started == [("201 Created", ["Content-Type", ID_HEADER])]
    check_counted(Samples(service.export_http()[0].decode()), [ANN], [0.5])


@pytest.mark.parametrize("status", ["OK", "", "200", "abc def"])
def test_a_malformed_status_is_the_servers_business(service: ModelMonitoringService, status: str) -> None:
    calls = Calls()

    def app(environ: Any, start_response: Any) -> Any:
        start_response(status, [])
        return [b""]

    list(BoxkiteMiddleware(app, service, ROUTES)(environ_of(), calls))
    assert calls.started[0][0] == status
    assert sum(statuses(service).values()) == 1


def test_only_named_routes_and_methods_are_predictions(service: ModelMonitoringService) -> None:
    seen: list[Any] = []

    def app(environ: Any, start_response: Any) -> Any:
        seen.append(environ["wsgi.input"])
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"0.5"]

    middleware = BoxkiteMiddleware(app, service, {"/score": None})
    for environ in (
        environ_of("/other"),
        environ_of(method="HEAD"),
        environ_of(method="OPTIONS"),
        environ_of("/score/"),
    ):
        given, calls = environ["wsgi.input"], Calls()
        middleware(environ, calls)
        assert seen.pop() is given, "untouched"
        assert ID_HEADER not in calls.started[0][1]
    assert statuses(service) == {}


def test_options_of_a_route(service: ModelMonitoringService) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Type", "application/json")])
        return [b'{"risk": {"value": 0.5}, "more": 1}']

    routes = {
        "/path": {"features": "client.row", "output": "risk.value"},
        "/call": {"features": lambda r: r.get_json()["client"]["row"], "output": lambda v: v["risk"]["value"]},
    }
    middleware = BoxkiteMiddleware(app, service, routes)
    for path in routes:
        list(middleware(environ_of(path, json={"client": {"row": ANN}}), Calls()))
    check_counted(Samples(service.export_http()[0].decode()), [ANN] * 2, [0.5] * 2)


@pytest.mark.parametrize("given", [{"feature": "x"}, {"features": 5}, {"output": [1]}], ids=str)
def test_a_malformed_route_is_refused(service: ModelMonitoringService, given: Any) -> None:
    with pytest.raises(ConfigError, match=r"^Route '/score'"):
        BoxkiteMiddleware(flask_app(), service, {"/score": given})


def test_its_metrics_route_has_the_same_manners(baseline: Baseline) -> None:
    service = ModelMonitoringService(baseline, sink="none", metrics_token="secret")
    client = Client(BoxkiteMiddleware(bare_app(), service, ROUTES))
    assert client.get("/metrics").status_code == 401
    headers = {"Authorization": "Bearer secret"}
    assert client.get("/metrics", headers=headers).status_code == 200
    head = client.head("/metrics", headers=headers)
    assert (head.status_code, head.data) == (200, b"")
    post = client.post("/metrics", headers=headers)
    assert (post.status_code, set(post.headers["Allow"].split(", "))) == (405, {"GET", "HEAD"})
    other = Client(BoxkiteMiddleware(bare_app(), service, ROUTES, metrics_path=None))
    assert other.get("/metrics").text == "other"


BINARY_OUTPUT = {"name": "output", "datatype": "FP64", "shape": [1, 1], "parameters": {"binary_data_size": 8}}
BINARY_HEADER = json.dumps({"model_name": "m", "outputs": [BINARY_OUTPUT]}).encode()
BINARY_ANSWERS: dict[str, tuple[bytes, dict[str, str]]] = {
    "tensors": (
        BINARY_HEADER + np.float64(0.3).tobytes(),
        {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(BINARY_HEADER))},
    ),
    "JSON lines": (b'{"score": 0.3}\n', {"Content-Type": "application/jsonlines"}),
}


@pytest.mark.parametrize(("body", "headers"), BINARY_ANSWERS.values(), ids=BINARY_ANSWERS)
def test_answers_of_inference_servers_count_as_in_flask(
    service: ModelMonitoringService, body: bytes, headers: dict[str, str]
) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", list(headers.items()))
        return [body[:50], body[50:]]

    client = Client(BoxkiteMiddleware(app, service, {"/score": None}))
    assert client.post("/score", json=ANN).get_data() == body
    check_counted(Samples(client.get("/metrics").text), [ANN], [0.3])

    flask = Flask("served")
    flask.config.update(BOXKITE_BASELINE=service.baseline, BOXKITE_SINK="none")
    monitor = Boxkite(flask)
    flask.post("/score")(monitor.predict(lambda: (body, headers)))
    assert flask.test_client().post("/score", json=ANN).get_data() == body
    check_counted(Samples(flask.test_client().get("/metrics").text), [ANN], [0.3])


@pytest.mark.parametrize("length", ["7", "x", "100000"])
def test_a_binary_answer_that_cannot_be_read_is_told(service: ModelMonitoringService, length: str) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [("Inference-Header-Content-Length", length)])
        return [BINARY_ANSWERS["tensors"][0]]

    client = Client(BoxkiteMiddleware(app, service, {"/score": None}))
    client.post("/score", json=ANN)
    assert Samples(client.get("/metrics").text).errors() == {"output": 1}


def test_an_encoded_answer_that_cannot_be_decoded_is_no_output(service: ModelMonitoringService) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Encoding", "gzip")])
        return [b"0.5"]

    list(BoxkiteMiddleware(app, service, ROUTES)(environ_of(), Calls()))
    samples = Samples(service.export_http()[0].decode())
    assert samples.errors() == {"output": 1}
    assert samples.outputs() == {}


def test_an_app_that_reads_nothing_of_a_long_body(baseline: Baseline) -> None:
    service = ModelMonitoringService(baseline, sink="none", max_body_bytes=10)
    source = io.BytesIO(json.dumps(ANN).encode())

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"0.5"]

    environ = environ_of()
    environ["wsgi.input"] = source
    list(BoxkiteMiddleware(app, service, ROUTES)(environ, Calls()))
    assert source.tell() == 0, "left to the server"
    assert Samples(service.export_http()[0].decode()).errors() == {"features": 1}


def test_threads_count_exactly(pair: Any) -> None:
    app = pair(bare_app)
    start = threading.Barrier(16)
    problems: list[BaseException] = []

    def work() -> None:
        client = Client(app.client.application)
        start.wait()
        try:
            for _ in range(20):
                assert client.post("/score", json=ANN).get_json() == {"score": 0.3}
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    check_counted(app.scrape(), [ANN] * 320, [0.3] * 320)
    assert len(app.records()) == 320


def test_an_unknown_server_of_several_processes_is_told_once(
    baseline: Baseline, caplog: pytest.LogCaptureFixture
) -> None:
    app = BoxkiteMiddleware(Flask("other"), ModelMonitoringService(baseline, sink="none"), routes={})
    for _ in range(3):
        Client(app).get("/metrics", environ_overrides=SEVERAL)
    assert [message for message in caplog.messages if "'BOXKITE_STATE_DIR'" in message] == caplog.messages
    assert len(caplog.messages) == 1
