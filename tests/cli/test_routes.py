"""`check` requests an app's metrics as Prometheus would, and says what answers and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, abort, redirect, request
from prometheus_client import CollectorRegistry, make_wsgi_app
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from flask_boxkite import Boxkite
from flask_boxkite.cli.probes import Outcome
from flask_boxkite.cli.routes import probe_routes
from tests.cli.commands import run_python

RIGHT = Outcome("ok", "Metrics are at '/metrics', for everyone who reaches the server.")
LOGIN = "let request.blueprint == 'boxkite' pass; 'BOXKITE_METRICS_TOKEN' protects it."


def outcomes(prepare: Callable[[Flask], Any], **config: Any) -> list[Outcome]:
    """Return what is said of an app to which something else was added after the monitor."""
    app = Flask("scoring")
    app.config.update(BOXKITE_SINK="none", **config)
    Boxkite(app)
    prepare(app)
    return list(probe_routes(app))


def answering(make: Callable[[], Any]) -> Callable[[Flask], None]:
    """Return what adds a hook that answers before any view."""
    return lambda app: app.before_request_funcs.setdefault(None, []).append(make)


def hands_it_on(app: Flask) -> None:
    others = {"/metrics": make_wsgi_app(CollectorRegistry())}
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, others)  # type: ignore[method-assign]


def has_a_prefix(app: Flask) -> None:
    inner = app.wsgi_app

    def wsgi_app(environ: Any, start_response: Any) -> Any:
        if environ["PATH_INFO"].startswith("/api"):
            return inner(environ, start_response)
        return Response("This address is not the app's.", 404)(environ, start_response)

    app.wsgi_app = wsgi_app  # type: ignore[method-assign]


def replaces_the_view(app: Flask) -> None:
    app.view_functions["boxkite.metrics"] = lambda **values: "all is well"


def raises(app: Flask) -> None:
    @app.before_request
    def fail() -> None:
        raise RuntimeError("no database")


PROBLEMS: dict[str, tuple[Callable[[Flask], Any], str, str]] = {
    "mounted app": (
        hands_it_on,
        "A DispatcherMiddleware hands '/metrics' to another app (status 200).",
        "Set 'BOXKITE_METRICS_PATH' to another path, or call monitor.register(prometheus_client.REGISTRY), so that it "
        "serves ours too.",
    ),
    "prefix": (
        has_a_prefix,
        "Middleware around the app answers '/metrics' with status 404.",
        "Is the app behind a prefix? Then it is part of the address. Else let the path through.",
    ),
    "login page": (
        answering(lambda: redirect("/login?next=/metrics")),
        "'/metrics' is redirected to '/login?next=/metrics'.",
        f"Is it a login? Then {LOGIN}",
    ),
    "login": (
        answering(lambda: abort(401)),
        "'/metrics' is refused with status 401.",
        f"Is it a login? Then {LOGIN}",
    ),
    "limit": (
        answering(lambda: abort(429)),
        "'/metrics' is refused with status 429: too many requests.",
        "limiter.exempt(app.blueprints['boxkite']) lets them all through.",
    ),
    "maintenance": (
        answering(lambda: ("back soon", 503)),
        "'/metrics' is answered with status 503.",
        f"Is it a hook of the app? Then {LOGIN}",
    ),
    "hook": (
        answering(lambda: "hello"),
        "Something else in the app answers '/metrics'.",
        f"Is it a hook, or a route of the same path? Set 'BOXKITE_METRICS_PATH' to another one, or {LOGIN}",
    ),
    "other view": (
        replaces_the_view,
        "Something else in the app answers '/metrics'.",
        f"Is it a hook, or a route of the same path? Set 'BOXKITE_METRICS_PATH' to another one, or {LOGIN}",
    ),
    "failure": (
        raises,
        "'/metrics' fails: RuntimeError: no database.",
        f"Is it a hook of the app? Then {LOGIN}",
    ),
}


@pytest.mark.parametrize(("prepare", "what", "remedy"), PROBLEMS.values(), ids=PROBLEMS)
def test_what_answers_in_its_place_is_named(prepare: Callable[[Flask], Any], what: str, remedy: str) -> None:
    assert outcomes(prepare) == [Outcome("problem", what, remedy)]


def test_a_failure_that_nothing_catches_is_named() -> None:
    (found,) = outcomes(raises, PROPAGATE_EXCEPTIONS=True)
    assert found[:2] == ("problem", "'/metrics' fails: RuntimeError: no database.")


def only_https() -> Any:
    return None if request.is_secure else redirect(request.url.replace("http://", "https://"), 301)


def test_forced_https_is_a_hint() -> None:
    assert outcomes(answering(only_https)) == [
        RIGHT,
        Outcome(
            "hint",
            "'/metrics' answers by https only; http is redirected.",
            "Scrape it with 'scheme: https', or let this route answer over http.",
        ),
    ]


def test_https_may_hide_a_login() -> None:
    (found,) = outcomes(answering(lambda: only_https() or abort(403)))
    assert found.what == "'/metrics' is refused with status 403."


@pytest.mark.skipif("TRUSTED_HOSTS" not in Flask("any").config, reason="Flask 3.1 has it.")
def test_hosts_that_are_trusted_are_a_hint() -> None:
    found = outcomes(lambda app: None, TRUSTED_HOSTS=[".example.org"])
    assert [outcome.what for outcome in found] == [RIGHT.what, "'/metrics' answers only under 'TRUSTED_HOSTS'."]


def test_the_token_is_sent() -> None:
    (found,) = outcomes(lambda app: None, BOXKITE_METRICS_TOKEN="secret")
    assert found == Outcome("ok", "Metrics are at '/metrics', for everyone with the token.")


def test_the_page_is_asked_for_where_it_has_an_address() -> None:
    def hide_the_page() -> Any:
        return redirect("/login") if request.blueprint == "boxkite_dashboard" else None

    found = outcomes(lambda app: None, BOXKITE_DASHBOARD_PATH="/drift")
    assert [outcome.what for outcome in found] == [
        RIGHT.what,
        "The drift page is at '/drift/', for everyone who reaches the server.",
    ]
    found = outcomes(answering(hide_the_page), BOXKITE_DASHBOARD_PATH="/drift")
    assert found[1][:2] == ("problem", "'/drift/' is redirected to '/login'.")


def test_what_only_scrapes_need_is_not_said_of_the_page() -> None:
    """Browsers follow to https, and come by name."""
    found = outcomes(answering(only_https), BOXKITE_DASHBOARD_PATH="/drift", TRUSTED_HOSTS=["example.org"])
    hints = [outcome.what.partition(" ")[0] for outcome in found if outcome.level == "hint"]
    assert set(hints) == {"'/metrics'"}
    assert found[-1].what == "The drift page is at '/drift/', for everyone who reaches the server."


def test_hosts_that_are_matched_are_no_obstacle() -> None:
    app = Flask("scoring", static_folder=None, host_matching=True)
    app.config.update(BOXKITE_SINK="none")
    Boxkite(app)
    assert list(probe_routes(app)) == [RIGHT]


def test_the_command_says_it_and_fails(tmp_path: Path) -> None:
    (tmp_path / "scoring.py").write_text("""
from flask import Flask
from prometheus_client import make_wsgi_app
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from flask_boxkite import Boxkite

app = Flask("scoring")
app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/metrics": make_wsgi_app()})
Boxkite(app)
""")
    done = run_python("-m", "flask", "--app", "scoring", "boxkite", "check", cwd=tmp_path, COLUMNS="200")
    assert "✗ A DispatcherMiddleware hands '/metrics' to another app (status 200)." in done.stdout
    assert (done.returncode, done.stderr) == (1, "")


# --- outcomes --------------------------------------------------------------------------------------------------------

OUTCOMES = {"BOXKITE_OUTCOMES_PATH": "/outcomes", "BOXKITE_METRICS_TOKEN": "a long secret"}
TAKEN = "Outcomes are taken at '/outcomes', from everyone with the token."


def test_the_route_of_outcomes_is_asked_with_the_token() -> None:
    assert outcomes(lambda app: None, **OUTCOMES)[-1] == Outcome("ok", TAKEN)


@pytest.mark.parametrize("status", [400, 403, 405])
def test_a_hook_that_refuses_outcomes_is_found(status: int) -> None:
    def refuse() -> Any:
        return Response("no", status) if request.method == "POST" else None

    found = outcomes(answering(refuse), **OUTCOMES)[-1]
    assert found.level == "problem"
    assert f"'/outcomes' is {'refused' if status == 403 else 'answered'} with status {status}." == found.what
    assert "let request.blueprint == 'boxkite_outcomes' pass" in found.remedy
