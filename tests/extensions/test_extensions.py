"""Extensions beside ours on a Flask app, in both orders of registration: no answers, counts or spans change."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask, Response, abort, request
from werkzeug.test import Client

from flask_boxkite import Baseline, Boxkite, ConfigError
from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.cli.routes import probe_routes
from flask_boxkite.payloads.encodings import decompressed
from tests.extensions.pair import ANN, Pair, Side

Make = Callable[..., Pair]

both_orders = pytest.mark.parametrize("is_first", [True, False], ids=["before us", "after us"])

PATHS = {"/score": 200, "/refuse": 400, "/fail": 500, "/stream": 200}


def serving(prepare: Callable[[Flask], Any], *, is_first: bool) -> Callable[[Side], Flask]:
    """Return what makes an app with an extension, registered before or after ours."""

    def make(side: Side) -> Flask:
        app = Flask("served")
        app.secret_key = "secret"
        if is_first:
            prepare(app)
        side.init_app(app)
        if not is_first:
            prepare(app)

        @app.post("/score")
        @side.predict
        def score() -> Any:
            return {"score": request.get_json()["age"] / 100}

        @app.post("/refuse")
        @side.predict
        def refuse() -> Any:
            abort(400)

        @app.post("/fail")
        @side.predict
        def fail() -> Any:
            raise RuntimeError("the model is broken")

        @app.post("/stream")
        @side.predict
        def stream() -> Any:
            def parts() -> Iterator[str]:
                yield '{"score": '
                yield "0.5}"

            return Response(parts(), mimetype="application/json")

        return app

    return make


def check_all(app: Pair, **options: Any) -> None:
    """Send a request of each kind."""
    assert {path: app.send(path=path, json=ANN, **options).status_code for path in PATHS} == PATHS
    app.check(len(PATHS))


# --- what changes or makes answers -----------------------------------------------------------------------------------


@both_orders
@pytest.mark.parametrize("encoding", ["deflate", "br", "zstd"])
def test_flask_compress(pair: Make, is_first: bool, encoding: str) -> None:
    """An output is found before it is compressed; in a stream after it."""
    from flask_compress import Compress

    app = pair(serving(Compress, is_first=is_first), COMPRESS_MIN_SIZE=1)
    assert app.send(json=ANN, headers={"Accept-Encoding": encoding}).headers["Content-Encoding"] == encoding
    for path in ("/refuse", "/fail", "/stream"):
        app.send(path=path, json=ANN, headers={"Accept-Encoding": encoding})
    app.check(len(PATHS))
    flask = app.ours.app
    assert flask is not None
    scrape = Client(flask).get("/metrics", headers={"Accept-Encoding": encoding})
    assert (scrape.status_code, scrape.headers["Content-Encoding"]) == (200, encoding)


@pytest.mark.parametrize("encoding", ["br", "zstd"])
def test_what_it_compresses_is_read_up_to_a_bound(encoding: str) -> None:
    from flask_compress import Compress

    app = Flask("compressing")
    Compress(app)
    app.add_url_rule("/", view_func=lambda: Response(b"0" * 10_000_000, mimetype="text/plain"))
    data = Client(app).get("/", headers={"Accept-Encoding": encoding}).data

    assert decompressed(data, encoding, 10_000_000) == b"0" * 10_000_000
    for body, limit in ((data, 9_999_999), (data, 1000), (data[:-1], 10_000_000), (b"no", 1000)):
        with pytest.raises(ValueError, match=r"^The body is "):
            decompressed(body, encoding, limit)

    tracemalloc.start()
    with pytest.raises(ValueError, match=r"more than 1000 bytes"):
        decompressed(data, encoding, 1000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


@both_orders
@pytest.mark.parametrize("above", [True, False], ids=["cached above", "cached below"])
def test_flask_caching(pair: Make, is_first: bool, above: bool) -> None:
    """What a cache above the view answers is no prediction; below it, each request is one."""
    from flask_caching import Cache

    calls: list[str] = []

    def make(side: Side) -> Flask:
        app, cache = Flask("served"), Cache(config={"CACHE_TYPE": "SimpleCache"})
        if is_first:
            cache.init_app(app)
        side.init_app(app)
        if not is_first:
            cache.init_app(app)

        def score() -> Any:
            calls.append("call")
            return {"score": 0.5}

        cached = cache.cached(timeout=60)
        app.post("/score")(cached(side.predict(score)) if above else side.predict(cached(score)))
        return app

    app = pair(make)
    for _ in range(3):
        assert app.send(json=ANN).json == {"score": 0.5}
    assert len(calls) == 2
    app.check(1 if above else 3)


@both_orders
def test_flask_talisman(pair: Make, is_first: bool) -> None:
    from flask_talisman import Talisman

    def prepare(app: Flask) -> None:
        app.talisman = Talisman(app)  # type: ignore[attr-defined]

    app = pair(serving(prepare, is_first=is_first))
    assert app.send(json=ANN).status_code == 302  # by http, and no prediction
    assert {path: app.send(path=path, json=ANN, base_url="https://localhost").status_code for path in PATHS} == PATHS
    flask = app.ours.app
    assert flask is not None
    assert Client(flask).get("/metrics").status_code == 302
    found = [outcome.what for outcome in probe_routes(flask)]
    assert found[1] == "'/metrics' answers by https only; http is redirected."

    # As the guide says.
    view = flask.view_functions["boxkite.metrics"]
    flask.view_functions["boxkite.metrics"] = flask.talisman(force_https=False)(view)  # type: ignore[attr-defined]
    assert [outcome.level for outcome in probe_routes(flask)] == ["ok"]
    app.check(len(PATHS))


# --- what refuses requests -------------------------------------------------------------------------------------------


@both_orders
def test_flask_limiter(pair: Make, is_first: bool) -> None:
    from flask_limiter import Limiter
    from flask_limiter.util import get_remote_address

    def prepare(app: Flask) -> None:
        limiter = Limiter(get_remote_address, app=app, default_limits=["3 per hour"], storage_uri="memory://")
        app.limiter = limiter  # type: ignore[attr-defined]

    app = pair(serving(prepare, is_first=is_first))
    statuses = [app.send(json=ANN).status_code for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]

    flask = app.ours.app
    assert flask is not None
    (_, hint) = probe_routes(flask)
    assert hint.what == "Requests to '/metrics' are limited (3 per 1 hour), scrapes too."
    # As the guide says, and the hint.
    assert hint.remedy == "limiter.exempt(app.blueprints['boxkite']) lets them all through."
    flask.limiter.exempt(flask.blueprints["boxkite"])  # type: ignore[attr-defined]
    assert [outcome.level for outcome in probe_routes(flask)] == ["ok"]
    assert {Client(flask).get("/metrics").status_code for _ in range(9)} == {200}
    app.check(3)


def taking_outcomes(*, is_first: bool, **options: Any) -> tuple[Flask, Any]:
    """Return an app that takes outcomes under Flask-WTF's protection of forms, which is set up before or after us."""
    from flask_wtf import CSRFProtect

    app, csrf = Flask("served"), CSRFProtect()
    app.config.update(BOXKITE_SINK="none", BOXKITE_OUTCOMES_PATH="/outcomes", BOXKITE_BASELINE=judged())
    app.config.update(SECRET_KEY="secret", BOXKITE_METRICS_TOKEN=options.pop("token", None))
    if is_first:
        csrf.init_app(app)
    Boxkite(app, **options)
    if not is_first:
        csrf.init_app(app)
    app.post("/form")(lambda: "sent")
    return app, csrf


def judged() -> Baseline:
    return build_baseline({"x": range(200)}, [row / 200 for row in range(200)], actual=[row % 2 for row in range(200)])


@both_orders
def test_flask_wtf_lets_outcomes_with_our_token_through(is_first: bool) -> None:
    """Senders have no form. No other site can make a browser send the token, so there is nothing to protect."""
    app, _ = taking_outcomes(is_first=is_first, token="t" * 20)
    client = Client(app)
    assert client.post("/form").status_code == 400
    assert client.post("/outcomes", json=[]).status_code == 401
    sent = client.post("/outcomes", json=[], headers={"Authorization": f"Bearer {'t' * 20}"})
    assert (sent.status_code, sent.get_json()["counted"]) == (200, 0)
    assert client.post("/form").status_code == 400
    app, _ = taking_outcomes(is_first=is_first, token="t" * 20)
    assert [outcome.level for outcome in probe_routes(app)] == ["ok", "ok"]


@both_orders
def test_check_finds_outcomes_that_flask_wtf_refuses(is_first: bool) -> None:
    """A guard may trust a cookie, which other sites can use; so the app decides."""
    app, csrf = taking_outcomes(is_first=is_first, dashboard_guard=lambda: None)
    assert Client(app).post("/outcomes", json=[]).status_code == 400
    (problem,) = [outcome for outcome in probe_routes(app) if outcome.level != "ok"]
    assert problem.level == "problem"
    assert problem.what.startswith("'/outcomes' is refused with status 400, probably by Flask-WTF's CSRFProtect")
    assert problem.remedy.startswith("csrf.exempt(app.blueprints['boxkite_outcomes']) lets them through")
    csrf.exempt(app.blueprints["boxkite_outcomes"])
    assert {outcome.level for outcome in probe_routes(app)} == {"ok"}
    assert Client(app).post("/outcomes", json=[]).status_code == 200


@both_orders
def test_flask_login(pair: Make, is_first: bool) -> None:
    from flask_login import LoginManager, UserMixin, login_required, login_user

    class User(UserMixin):  # type: ignore[misc]
        id = "ann"

    def make(side: Side) -> Flask:
        app = Flask("served")
        app.secret_key = "secret"
        if not is_first:
            side.init_app(app)
        manager = LoginManager(app)
        manager.user_loader(lambda name: User())
        if is_first:
            side.init_app(app)

        @app.post("/login")
        def login() -> str:
            login_user(User())
            return "welcome"

        app.post("/score")(login_required(side.predict(lambda: {"score": 0.5})))
        return app

    # Sessions are signed with the time.
    app = pair(make, ignored=["Set-Cookie"])
    assert app.send(json=ANN).status_code == 401
    assert app.send(path="/login").status_code == 200
    assert app.send(json=ANN).status_code == 200
    app.check(1)


# --- what watches ----------------------------------------------------------------------------------------------------


@both_orders
def test_sentry(pair: Make, is_first: bool) -> None:
    """It is told of the failing view once, as without us."""
    import sentry_sdk
    from sentry_sdk.integrations.flask import FlaskIntegration
    from sentry_sdk.transport import Transport

    events: list[Any] = []

    class Kept(Transport):
        def capture_envelope(self, envelope: Any) -> None:
            events.extend(item.payload.json for item in envelope.items if item.type == "event")

    def prepare(app: Flask) -> None:
        sentry_sdk.init(
            dsn="https://key@sentry.invalid/1",
            transport=Kept,
            integrations=[FlaskIntegration()],
            default_integrations=False,
            traces_sample_rate=1.0,
        )

    app = pair(serving(prepare, is_first=is_first))
    check_all(app)
    sentry_sdk.flush()
    failures = [event["exception"]["values"][-1]["value"] for event in events]
    assert failures == ["the model is broken"] * 2
    assert {event["transaction"] for event in events} == {"fail"}
    sentry_sdk.init()


@both_orders
def test_opentelemetry(pair: Make, is_first: bool) -> None:
    from opentelemetry.instrumentation.flask import FlaskInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporters: list[InMemorySpanExporter] = []

    def prepare(app: Flask) -> None:
        exporters.append(InMemorySpanExporter())
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporters[-1]))
        FlaskInstrumentor().instrument_app(app, tracer_provider=provider)

    app = pair(serving(prepare, is_first=is_first))
    check_all(app)
    ours, theirs = (
        [
            (span.name, span.status.status_code, dict(span.attributes or {}), [event.name for event in span.events])
            for span in exporter.get_finished_spans()
            if span.name.startswith("POST")
        ]
        for exporter in exporters
    )
    assert len(ours) == len(PATHS)
    assert ours == theirs


@both_orders
def test_prometheus_flask_exporter(pair: Make, is_first: bool) -> None:
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_flask_exporter import PrometheusMetrics

    registries: list[CollectorRegistry] = []

    def prepare(app: Flask) -> None:
        registries.append(CollectorRegistry())
        PrometheusMetrics(app, path=None, registry=registries[-1])

    app = pair(serving(prepare, is_first=is_first))
    check_all(app)
    ours, theirs = (
        [
            line
            for line in generate_latest(registry).decode().splitlines()
            if line.startswith(("flask_http_request_total", "flask_http_request_exceptions_total"))
            and 'method="POST"' in line
        ]
        for registry in registries
    )
    assert ours == theirs != []


def test_prometheus_flask_exporter_at_the_same_address(baseline: Baseline) -> None:
    """Its own metrics stand at `/metrics`, too: that is said, and what to do."""
    from prometheus_client import CollectorRegistry
    from prometheus_flask_exporter import PrometheusMetrics

    app = Flask("served")
    app.config.update(BOXKITE_BASELINE=baseline, DEBUG_METRICS=True)
    PrometheusMetrics(app, registry=CollectorRegistry())
    with pytest.raises(ConfigError, match="'BOXKITE_METRICS_PATH' is '/metrics', which is the route of"):
        Boxkite(app)


@both_orders
def test_flask_socketio(pair: Make, is_first: bool) -> None:
    from flask_socketio import SocketIO

    def prepare(app: Flask) -> None:
        app.socketio = SocketIO(app, async_mode="threading")  # type: ignore[attr-defined]

    app = pair(serving(prepare, is_first=is_first))
    check_all(app)
    flask = app.ours.app
    assert flask is not None
    assert Client(flask).get("/socket.io/?EIO=4&transport=polling").status_code == 200
    flask.socketio.on_event("ask", lambda row: {"score": row["age"] / 100})  # type: ignore[attr-defined]
    client = flask.socketio.test_client(flask)  # type: ignore[attr-defined]
    assert client.emit("ask", ANN, callback=True) == {"score": 0.3}
    client.disconnect()
    app.check(len(PATHS))
