"""Our routes answer under every host, leave others alone, and report other answers in their place."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from flask import Blueprint, Flask
from prometheus_client import CollectorRegistry, make_wsgi_app
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client

from flask_boxkite import Baseline, Boxkite

ROW = {"age": 30, "income": 2500.0, "city": "Paris"}
PATHS = ("/metrics", "/boxkite/", "/boxkite/boxkite.css", "/boxkite/drift.json")


def settings(baseline: Any) -> dict[str, Any]:
    return {"BOXKITE_BASELINE": baseline, "BOXKITE_SINK": "none", "BOXKITE_DASHBOARD_PATH": "/boxkite"}


# --- every host ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["api.example.org", "www.example.org", "10.0.0.7:8000", "[::1]:8000"])
def test_an_app_that_matches_hosts_answers_under_each(baseline: Baseline, host: str) -> None:
    app = Flask("served", static_folder=None, host_matching=True)
    app.config.update(settings(baseline))
    monitor = Boxkite(app)
    app.post("/score", host="api.example.org")(monitor.predict(lambda: {"score": 0.5}))

    client = app.test_client()
    client.post("/score", json=ROW, base_url="http://api.example.org")
    assert "boxkite_predictions_total{" in client.get("/metrics", base_url=f"http://{host}").text
    assert [client.get(path, base_url=f"http://{host}").status_code for path in PATHS] == [200] * len(PATHS)
    assert client.get("/other", base_url=f"http://{host}").status_code == 404


@pytest.mark.filterwarnings("ignore:Current server name")
@pytest.mark.parametrize("host", ["example.org", "api.example.org", "a.b.example.org", "10.0.0.7:8000"])
@pytest.mark.parametrize("is_matching", [True, False])
def test_an_app_with_subdomains_answers_under_each(baseline: Baseline, host: str, is_matching: bool) -> None:
    """Werkzeug warns of the address, as it does for any route."""
    app = Flask("served", static_folder=None, subdomain_matching=is_matching)
    app.config.update(settings(baseline), SERVER_NAME="example.org")
    Boxkite(app)
    client = app.test_client()
    assert [client.get(path, base_url=f"http://{host}").status_code for path in PATHS] == [200] * len(PATHS)


def test_routes_of_one_host_stay_its_own(baseline: Baseline) -> None:
    """A path that takes everything, under a host that is named, comes before ours."""
    app = Flask("served", static_folder=None, host_matching=True)
    app.config.update(settings(baseline))
    Boxkite(app)
    app.add_url_rule("/<path:path>", "all", lambda path: f"site {path}", host="www.example.org")
    client = app.test_client()
    assert client.get("/metrics", base_url="http://www.example.org").text == "site metrics"
    assert "boxkite_" in client.get("/metrics", base_url="http://10.0.0.7").text


# --- other routes ----------------------------------------------------------------------------------------------------


def test_a_route_for_everything_keeps_everything_else(baseline: Baseline) -> None:
    app = Flask("served")
    app.config.update(settings(baseline), BOXKITE_DASHBOARD_PATH=None)
    app.add_url_rule("/<path:path>", "all", lambda path: f"page {path}", methods=["GET", "POST"])
    Boxkite(app)
    client = app.test_client()
    assert "boxkite_" in client.get("/metrics").text
    assert [client.get(path).text for path in ("/boxkite/", "/metrics/a")] == ["page boxkite/", "page metrics/a"]
    assert client.post("/metrics").text == "page metrics"


def test_another_method_of_their_paths_keeps_its_own_options(baseline: Baseline) -> None:
    """A browser asks by OPTIONS whether it may post there from another site."""

    def push() -> Any:
        return "pushed", {"Access-Control-Allow-Origin": "*"}

    app = Flask("served")
    app.config.update(settings(baseline))
    Boxkite(app)
    app.add_url_rule("/metrics", "push", push, methods=["POST", "OPTIONS"], provide_automatic_options=False)
    answer = app.test_client().options("/metrics")
    assert (answer.text, answer.headers["Access-Control-Allow-Origin"]) == ("pushed", "*")


def test_under_a_prefix_they_are_under_it_too(baseline: Baseline) -> None:
    app = Flask("served")
    app.config.update(settings(baseline))
    Boxkite(app)
    client = Client(DispatcherMiddleware(Flask("front"), {"/models": app}))
    assert [client.get(f"/models{path}").status_code for path in PATHS] == [200] * len(PATHS)
    assert client.get("/metrics").status_code == 404


def test_no_hook_belongs_to_our_blueprints(baseline: Baseline) -> None:
    """APIFlask takes the hooks of any blueprint for its own."""
    app = Flask("served")
    app.config.update(settings(baseline))
    Boxkite(app)
    assert not set(app.before_request_funcs) | set(app.after_request_funcs) | set(app.teardown_request_funcs)


def test_a_hook_tells_our_routes_by_their_blueprints(baseline: Baseline) -> None:
    app = Flask("served")
    app.config.update(settings(baseline))
    Boxkite(app)
    seen: list[Any] = []

    @app.before_request
    def look() -> None:
        from flask import request

        seen.append((request.blueprint, request.endpoint))

    client = app.test_client()
    for path in PATHS:
        client.get(path)
    assert seen == [
        ("boxkite", "boxkite.metrics"),
        ("boxkite_dashboard", "boxkite_dashboard.overview"),
        ("boxkite_dashboard", "boxkite_dashboard.boxkite_css"),
        ("boxkite_dashboard", "boxkite_dashboard.json"),
    ]


# --- what is mounted in their place ----------------------------------------------------------------------------------


def mounted(app: Flask, path: str) -> None:
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {path: make_wsgi_app(CollectorRegistry())})  # type: ignore[method-assign]


@pytest.mark.parametrize("is_first", [True, False], ids=["before us", "after us"])
@pytest.mark.parametrize("path", ["/metrics", "/"], ids=["there", "everywhere"])
def test_another_app_at_its_path_is_told_once(
    baseline: Baseline, caplog: pytest.LogCaptureFixture, is_first: bool, path: str
) -> None:
    app = Flask("served")
    app.config.update(settings(baseline))
    path = path.rstrip("/")
    if is_first:
        mounted(app, path)
    Boxkite(app)
    if not is_first:
        mounted(app, path)
    app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
    app.register_blueprint(Blueprint("other", "other"))
    for _ in range(2):
        app.test_client().get("/missing")
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    # What is mounted everywhere, after us, leaves us no request in which to say it.
    assert told == (
        []
        if path == "" and not is_first
        else [
            "A DispatcherMiddleware hands '/metrics' to another app, so the metrics are not there. Set "
            "'BOXKITE_METRICS_PATH' to another path, or call monitor.register(prometheus_client.REGISTRY)."
        ]
    )


@pytest.mark.parametrize("path", ["/metric", "/metrics/all", "/other"])
def test_another_app_elsewhere_is_no_matter(baseline: Baseline, caplog: pytest.LogCaptureFixture, path: str) -> None:
    app = Flask("served")
    app.config.update(settings(baseline))
    Boxkite(app)
    mounted(app, path)
    assert "boxkite_" in app.test_client().get("/metrics").text
    assert caplog.messages == []


def test_a_registry_that_has_ours_is_right(baseline: Baseline, caplog: pytest.LogCaptureFixture) -> None:
    app, registry = Flask("served"), CollectorRegistry()
    app.config.update(settings(baseline))
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/metrics": make_wsgi_app(registry)})  # type: ignore[method-assign]
    Boxkite(app).register(registry)
    client = app.test_client()
    client.get("/missing")
    assert "boxkite_" in client.get("/metrics").text
    assert caplog.messages == []
