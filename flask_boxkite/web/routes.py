"""Our routes on an app, under every host, and the other apps that may answer in their place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from flask import Blueprint, Flask

__all__ = ["DASHBOARD", "METRICS", "OUTCOMES", "add_route", "csrf_of", "layers_of", "mounted_elsewhere"]

METRICS = "boxkite"
"""Blueprint of the metrics; the endpoint is ``boxkite.metrics``."""

DASHBOARD = "boxkite_dashboard"
"""Blueprint of the drift page."""

OUTCOMES = "boxkite_outcomes"
"""Blueprint of the route that takes outcomes."""

_INNER = ("__wrapped__", "wsgi_app", "app", "_app")
"""Attributes in which WSGI middleware keeps the app that it wraps."""


def add_route(
    app: Flask,
    blueprint: Blueprint,
    path: str,
    name: str,
    view: Callable[[], Any],
    method: str = "GET",
    **options: Any,
) -> None:
    """Add a route for one method that answers under every host, as scraping by address requires.

    Args:
        app: The app that the blueprint is for.
        blueprint: Blueprint that gets the route.
        path: Path of the route.
        name: Last part of its endpoint.
        view: Function that answers it.
        method: Method of its requests.
        **options: Further options of Werkzeug's rules.
    """

    def answer(**host: str) -> Any:
        return view()

    answer.__name__ = name
    for host in _hosts(app):
        # The app may serve other methods at this path, so it answers OPTIONS.
        blueprint.add_url_rule(path, name, answer, methods=[method], provide_automatic_options=False, **host, **options)


def _hosts(app: Flask) -> list[dict[str, Any]]:
    """Return options for rules that together match any host."""
    if app.url_map.host_matching:
        return [{"host": "<boxkite_host>"}]
    if app.subdomain_matching:
        return [{"subdomain": ""}, {"subdomain": "<boxkite_host>"}]
    return [{}]


def csrf_of(app: Flask) -> Any:
    """Return Flask-WTF's CSRFProtect on an app, which refuses POST requests without the token of a form; else None."""
    found = app.extensions.get("csrf")  # where other extensions keep themselves, too
    is_wtf = any(kind.__module__.partition(".")[0] == "flask_wtf" for kind in type(found).__mro__)
    return found if is_wtf else None


def mounted_elsewhere(app: Flask, path: str) -> bool:
    """Say whether a `DispatcherMiddleware` around the app hands a path to another app."""
    return any(
        path == mount or path.startswith(f"{mount}/")
        for layer in layers_of(app.wsgi_app)
        if isinstance(mounts := getattr(layer, "mounts", None), Mapping)
        for mount in mounts
    )


def layers_of(wsgi_app: Any) -> Iterator[Any]:
    """Yield the middleware around an app, outermost first, as far as it is known how to look into it."""
    seen: set[int] = set()
    while wsgi_app is not None and id(wsgi_app) not in seen:
        seen.add(id(wsgi_app))
        yield wsgi_app
        wsgi_app = next((inner for name in _INNER if (inner := getattr(wsgi_app, name, None)) is not None), None)
