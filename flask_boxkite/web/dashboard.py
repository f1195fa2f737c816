"""The addresses of the drift page, and the check of who may see it. Its views are in `web.pages`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Flask

from flask_boxkite.monitoring.app import AppMonitor
from flask_boxkite.web.access import PageAccess
from flask_boxkite.web.http import not_now
from flask_boxkite.web.routes import DASHBOARD, add_route

__all__ = ["dashboard_blueprint"]

_VIEWS = {
    "/": "overview",
    "/variable": "variable",
    "/segments": "segments",
    "/segments.json": "segments_json",
    "/drift.json": "json",
    "/history.json": "history",
    "/report.html": "report",
    "/boxkite.css": "boxkite_css",
    "/boxkite.js": "boxkite_js",
}
"""Method of `Pages` that answers, by address."""


def dashboard_blueprint(app: Flask, monitor: AppMonitor, access: PageAccess) -> Blueprint:
    """Return the routes of the page.

    Args:
        app: App that gets the routes.
        monitor: Monitor of the app.
        access: Address of the page, and who may see it.
    """
    blueprint = Blueprint(DASHBOARD, __name__)
    assert access.path is not None
    root = access.path.rstrip("/")

    # Each view checks access itself: tools that document an app mistake a blueprint's hook for the app's own.
    def view_of(method: str) -> Callable[[], Any]:
        def show() -> Any:
            refusal = access.refusal()
            if refusal is not None:
                return refusal

            try:
                # At the first visit: most workers never show the page, and need neither it nor the verdicts.
                from flask_boxkite.web.pages import Pages

                return getattr(Pages(monitor, access), method)()
            except OSError as error:  # of modules, templates and assets, while too many files are open
                return not_now("The page cannot be loaded just now", error, "Try again.")

        return show

    for address, method in _VIEWS.items():
        # Strict even if the app is not: without the final slash, the page's links would lead nowhere.
        add_route(app, blueprint, root + address, method, view_of(method), strict_slashes=True)
    return blueprint
