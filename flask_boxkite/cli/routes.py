"""Requests to an app's own routes, as from Prometheus, a browser and a sender of outcomes: do they answer?"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from flask import Flask, got_request_exception, request_finished
from werkzeug.test import Client, TestResponse

from flask_boxkite.cli.probes import Outcome
from flask_boxkite.config import Settings
from flask_boxkite.web.http import POLICY
from flask_boxkite.web.monitored_app import monitored_app
from flask_boxkite.web.routes import DASHBOARD, METRICS, OUTCOMES, csrf_of, mounted_elsewhere

__all__ = ["probe_routes"]


_OUTCOMES_KEY = "BOXKITE_OUTCOMES_PATH"

MANY_SERIES = 100_000
"""Number of series from which a scrape is large for Prometheus."""


class _Route(NamedTuple):
    """One of our addresses.

    Attributes:
        path: Path of the route.
        blueprint: Name of its blueprint.
        key: Name of the setting with its path.
        is_ours: Function that tells our answer from others.
        text: Text about a route that answers.
        method: Method of the request; a POST sends an empty list as JSON.
    """

    path: str
    blueprint: str
    key: str
    is_ours: Callable[[TestResponse], bool]
    text: str
    method: str = "GET"


class _Answer(NamedTuple):
    """The answer to a request.

    Attributes:
        status: Status of the answer.
        is_ours: Whether it is ours.
        location: Target of a redirect; empty if it is not one.
        reached: Whether the request reached the app itself, and no middleware answered first.
        limits: Limits of requests that were applied, as texts.
        error: Exception that the app raised; None if it raised none.
        series: Number of series in the answer, if it is of metrics.
    """

    status: int
    is_ours: bool
    location: str
    reached: bool
    limits: list[str]
    error: BaseException | None
    series: int


def probe_routes(app: Flask) -> Iterator[Outcome]:
    """Request the metrics, send an empty list of outcomes, and request a page that no function of the app protects.

    Args:
        app: App to test; its middleware and hooks run as for any request.
    """
    state = monitored_app(app)
    assert state is not None
    state.has_begun = True  # this request must not count as the first of a server
    state.exempt_outcomes(app)  # as the first request does
    settings = state.settings
    who = "everyone with the token" if settings.metrics_token else "everyone who reaches the server"
    if settings.metrics_path is not None:
        text = f"Metrics are at '{settings.metrics_path}', for {who}."
        is_ours = _with(b"boxkite_capture_errors_total")
        yield from _probe(app, settings, _Route(settings.metrics_path, METRICS, "BOXKITE_METRICS_PATH", is_ours, text))

    access = state.access
    if access.is_deployed and access.path is not None and access.guard is None:
        path = f"{access.path.rstrip('/')}/"
        text = f"The drift page is at '{path}', for {who}."
        yield from _probe(app, settings, _Route(path, DASHBOARD, "BOXKITE_DASHBOARD_PATH", _with(b"boxkite.css"), text))
    if settings.outcomes_path is not None:
        yield from _probe(app, settings, _route_of_outcomes(settings.outcomes_path, settings))


def _with(mark: bytes) -> Callable[[TestResponse], bool]:
    return lambda response: response.status_code == 200 and mark in response.data


def _route_of_outcomes(path: str, settings: Settings) -> _Route:
    if settings.metrics_token is None:
        # The guard may refuse this request in any way, but not as the protection of forms does.
        text = f"Outcomes are taken at '{path}', from those whom the guard lets in."
        return _Route(path, OUTCOMES, _OUTCOMES_KEY, lambda response: 400 != response.status_code < 500, text, "POST")
    text = f"Outcomes are taken at '{path}', from everyone with the token."
    return _Route(path, OUTCOMES, _OUTCOMES_KEY, _is_of_outcomes, text, "POST")


def _is_of_outcomes(response: TestResponse) -> bool:
    """Say whether the route of outcomes has answered: it refuses them if no model has actual values."""
    policy = "Content-Security-Policy"
    return response.status_code in (200, 409) and response.headers.get(policy) == POLICY[policy]


def _probe(app: Flask, settings: Settings, route: _Route) -> Iterator[Outcome]:
    trusted = app.config.get("TRUSTED_HOSTS")
    host = trusted[0].removeprefix(".") if trusted else "127.0.0.1"
    try:
        answer = _ask(app, settings, route, f"http://{host}")
        if (scheme_needed := _is_to_https(answer, route.path)) and not answer.is_ours:
            answer = _ask(app, settings, route, f"https://{host}")
    except Exception as error:  # the app's own code runs here, and may raise anything
        yield Outcome("problem", _failure(route, error), "Middleware around the app, or a hook of it, raises.")
        return
    if not answer.is_ours:
        yield Outcome("problem", *_explanation(app, route, answer))
        return

    yield Outcome("ok", route.text)
    if route.blueprint != METRICS:
        return  # browsers follow a redirect to https, use the host's name, and come seldom

    if answer.series > MANY_SERIES:
        what = f"'{route.path}' has {answer.series:,} series, which each replica adds to Prometheus."
        remedy = "Set 'BOXKITE_EXPORT_BINS' to false: the groups, on which drift is judged, are a third of them."
        yield Outcome("hint", what, remedy if settings.export_bins else "Leave features out of the baseline (exclude).")
    if scheme_needed:
        what = f"'{route.path}' answers by https only; http is redirected."
        remedy = "Scrape it with 'scheme: https', or let this route answer over http."
        yield Outcome("hint", what, remedy)
    if trusted:
        what = f"'{route.path}' answers only under 'TRUSTED_HOSTS'."
        yield Outcome("hint", what, "Prometheus must request it by one of these names, not by address.")
    if answer.limits:
        what = f"Requests to '{route.path}' are limited ({', '.join(answer.limits)}), scrapes too."
        yield Outcome("hint", what, _exemption(route))


def _ask(app: Flask, settings: Settings, route: _Route, base_url: str) -> _Answer:
    headers = {"Authorization": f"Bearer {settings.metrics_token}"} if settings.metrics_token else {}
    limits: list[str] = []
    is_reached: list[bool] = []
    errors: list[BaseException] = []

    def receive(sender: Flask, **details: Any) -> None:
        is_reached.append(True)
        limits.extend(_limits(app))  # only during the request

    def receive_error(sender: Flask, exception: BaseException, **details: Any) -> None:
        errors.append(exception)

    finished = request_finished.connected_to(receive, app)
    with _quiet(app), finished, got_request_exception.connected_to(receive_error, app):
        body: dict[str, Any] = {"json": []} if route.method == "POST" else {}
        response = Client(app).open(route.path, method=route.method, base_url=base_url, headers=headers, **body)
    return _Answer(
        response.status_code,
        route.is_ours(response),
        response.location or "",
        bool(is_reached),
        limits,
        next(iter(errors), None),
        _series(response.data),
    )


def _series(metrics: bytes) -> int:
    """Return the number of lines that are not comments."""
    return metrics.count(b"\n") - metrics.count(b"\n#") - metrics.startswith(b"#")


def _limits(app: Flask) -> list[str]:
    """Return the limits that Flask-Limiter has applied to the request."""
    limiters = app.extensions.get("limiter", ())
    current = [limiter.current_limits for limiter in limiters] if isinstance(limiters, (set, frozenset)) else []
    return [str(item.limit) for limits in current for item in limits]


@contextmanager
def _quiet(app: Flask) -> Iterator[None]:
    """Keep the app's log of a failure out of the command's output."""
    level = app.logger.level
    app.logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        app.logger.setLevel(level)


def _is_to_https(answer: _Answer, path: str) -> bool:
    target = urlsplit(answer.location)
    return target.scheme == "https" and target.path == path


def _explanation(app: Flask, route: _Route, answer: _Answer) -> tuple[str, str]:
    """Return a description of the answer in place of ours, and the remedy."""
    path = route.path
    if mounted_elsewhere(app, path):
        remedy = f"Set '{route.key}' to another path"
        if route.blueprint == METRICS:
            remedy += ", or call monitor.register(prometheus_client.REGISTRY), so that it serves ours too"
        return f"A DispatcherMiddleware hands '{path}' to another app (status {answer.status}).", f"{remedy}."
    if not answer.reached:
        what = f"Middleware around the app answers '{path}' with status {answer.status}."
        return what, "Is the app behind a prefix? Then it is part of the address. Else let the path through."
    if answer.location:
        return f"'{path}' is redirected to '{answer.location}'.", f"Is it a login? {_pass(route)}"
    if answer.status == 429:
        return f"'{path}' is refused with status 429: too many requests.", _exemption(route)
    if route.blueprint == OUTCOMES and answer.status == 400 and csrf_of(app) is not None:
        what = f"'{path}' is refused with status 400, probably by Flask-WTF's CSRFProtect: senders have no form."
        return what, f"csrf.exempt(app.blueprints['{OUTCOMES}']) lets them through; the guard still decides who may."
    if answer.status in (401, 403):
        return f"'{path}' is refused with status {answer.status}.", f"Is it a login? {_pass(route)}"
    if answer.status == 200:
        what = f"Something else in the app answers '{path}'."
        return (
            what,
            f"Is it a hook, or a route of the same path? Set '{route.key}' to another one, or {_pass(route, '')}",
        )

    what = f"'{path}' is answered with status {answer.status}."
    if answer.status >= 500 and answer.error is not None:
        what = _failure(route, answer.error)

    return what, f"Is it a hook of the app? {_pass(route)}"


def _failure(route: _Route, error: BaseException) -> str:
    return f"'{route.path}' fails: {type(error).__name__}: {str(error).rstrip('.')}."


def _pass(route: _Route, start: str = "Then ") -> str:
    text = f"let request.blueprint == '{route.blueprint}' pass; 'BOXKITE_METRICS_TOKEN' protects it."
    return f"{start}{text}"


def _exemption(route: _Route) -> str:
    return f"limiter.exempt(app.blueprints['{route.blueprint}']) lets them all through."
