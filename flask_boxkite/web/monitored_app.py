"""One Flask app and its monitor: the routes that we add, and the hooks on its requests."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any

from flask import Blueprint, Flask, Response, current_app, got_request_exception, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Request
from werkzeug.wrappers import Response as BaseResponse
from werkzeug.wsgi import ClosingIterator

from flask_boxkite.errors import ConfigError
from flask_boxkite.monitoring.app import AppMonitor
from flask_boxkite.monitoring.model import ModelMonitor
from flask_boxkite.naming import PREDICTION_ID_HEADER
from flask_boxkite.web.access import PageAccess
from flask_boxkite.web.capture import Capture
from flask_boxkite.web.dashboard import dashboard_blueprint
from flask_boxkite.web.http import metrics_response
from flask_boxkite.web.outcomes import outcomes_response
from flask_boxkite.web.redacted_capture import capture_type
from flask_boxkite.web.response_stream import Answer, Passing
from flask_boxkite.web.return_values import reply_of
from flask_boxkite.web.routes import DASHBOARD, METRICS, OUTCOMES, add_route, csrf_of, mounted_elsewhere
from flask_boxkite.web.views import PredictedView, route_problems, routed, view_name

__all__ = ["CAPTURE", "KEY", "WATCHED", "MonitoredApp", "current_request", "monitored_app"]

logger = logging.getLogger("flask_boxkite")

KEY = "boxkite"
"""Key of a `MonitoredApp` in ``app.extensions``."""

CAPTURE = "boxkite_capture"
"""Attribute of the request object under which its capture waits. Not on `flask.g`, which a view that calls its own app
in a test shares with the inner request."""

WATCHED = "flask_boxkite.watched"
"""Key of a WSGI environment: its own `id` until a view predicts, then the capture that is finished in the end."""

_TEST_CLIENTS = ("Werkzeug/", "testclient")
"""Names that the test clients of Flask and of Starlette, with which connexion's apps are tested, give themselves."""


class MonitoredApp:
    """A Flask app and its monitor, with the state that its requests change.

    Attributes:
        monitor: Monitor of its models.
        settings: Settings of the app.
        used: Models by the name that a decorator gives.
        has_begun: Whether the first request has come.
        delivers_at_once: Whether records are delivered with each answer, since the process ends with it.
        is_registered: Whether its metrics are in a registry that the app serves itself.
        capture: Type of the captures of its requests.
        access: Decides who may see the drift page.

    Args:
        monitor: Monitor of its models.
        access: Decides who may see the drift page.
        predicted: Returns the decorated views that still exist.
    """

    def __init__(
        self, monitor: AppMonitor, access: PageAccess, predicted: Callable[[], Sequence[PredictedView]]
    ) -> None:
        self.monitor = monitor
        self.settings = monitor.settings
        self.access = access
        self.capture = capture_type(monitor.settings)
        self.used: dict[str | None, ModelMonitor] = {}
        self.has_begun = False
        self.delivers_at_once = False
        self.is_registered = False
        self._predicted = predicted
        self._refused: set[str | None] = set()  # names of models that are not there, which the log has
        self._lock = threading.Lock()

    def model_of_view(self, name: str | None, view: Callable[..., Any]) -> ModelMonitor:
        """Return the model that a decorator names; one without a baseline if there is no such model.

        A request must not fail for that; the log says it.
        """
        if name not in self._refused and (problem := self._refusal(name, view)) is not None:
            logger.error("%s", problem)
        model = self.used[name] = self.monitor.model_or_new(name)
        return model

    def route_problems(self, app: Any) -> Iterator[str]:
        """Yield the problems of the app's routes, which are complete only when it serves."""
        predicted = self._predicted()
        yield from route_problems(app, predicted)
        for item in routed(app, predicted):
            if (problem := self._refusal(item.model, item.view)) is not None:
                yield problem
            try:
                self.monitor.check_segments(item.model, item.segments)
            except ConfigError as error:
                yield f"{view_name(item.view)!r} does not segment rows as its decorator says. {error}"

    def has_predicted(self, app: Any) -> bool:
        """Say whether a route leads to a view that `Boxkite.predict` has decorated, in any order."""
        problems = route_problems(app, predicted := self._predicted())
        return bool(routed(app, predicted)) or any(True for _ in problems)

    def _refusal(self, model: str | None, view: Any) -> str | None:
        """Say that there is no such model as a view's decorator names; None if there is."""
        try:
            self.monitor.check_model(model)
        except ConfigError as error:
            self._refused.add(model)
            return f"{view_name(view)!r} is counted without a baseline. {error}"
        return None

    # --- set-up ------------------------------------------------------------------------------------------------------

    def install(self, app: Flask) -> None:
        """Add our routes and hooks to the app, and keep this object in ``app.extensions``.

        Raises:
            ConfigError: The app has a route where one of ours is to be.
        """
        app.process_response = _told(app, self)  # type: ignore[method-assign]
        if self.settings.enabled:
            _add_metrics_route(app, self)
            _add_outcomes_route(app, self)
            _add_dashboard(app, self)
            got_request_exception.connect(self.request_failed, app)
            app.wsgi_app = _watched(app, self)  # type: ignore[method-assign]
        app.extensions[KEY] = self

    # --- hooks -------------------------------------------------------------------------------------------------------

    def begin(self, app: Flask, environ: dict[str, Any], *, is_dispatched: bool) -> None:
        """Check the app at its first request, when all other extensions and routes are there.

        Args:
            app: The app.
            environ: WSGI environment of the request.
            is_dispatched: Whether Flask has the request already, and takes no more routes.
        """
        with self._lock:
            if self.has_begun:
                return
            try:
                self.exempt_outcomes(app)
                if not is_dispatched:
                    self._settle(app)
                self._check_routes(app)
                if not environ.get("HTTP_USER_AGENT", "").startswith(_TEST_CLIENTS):
                    self._say_who_reads(app)
                    self.monitor.wake_notifier()
                self.delivers_at_once = self.monitor.check_server(environ)
                self.monitor.recorders.adopt_orphans()
            finally:
                self.has_begun = True

    def exempt_outcomes(self, app: Flask) -> None:
        """Exempt the route of outcomes from Flask-WTF's protection of forms, if senders must have our token.

        A browser never adds that token by itself, so no other site can forge such a request. With a guard alone, which
        may trust a cookie, the app has to decide.
        """
        csrf, blueprint = csrf_of(app), app.blueprints.get(OUTCOMES)
        if csrf is None or blueprint is None or self.access.token is None:
            return
        try:
            csrf.exempt(blueprint)
        except Exception:  # another release of it; `check` sees that the route is refused
            logger.exception("Flask-WTF does not let the route of outcomes be exempt from its protection of forms.")

    def _settle(self, app: Flask) -> None:
        with contextlib.suppress(AssertionError):  # by Flask, if the app has dispatched a request by hand before
            _add_dashboard(app, self)  # debug mode may begin after set-up

    def _check_routes(self, app: Flask) -> None:
        try:
            for problem in self.route_problems(app):
                logger.error("%s", problem)
            self._check_mounts(app)
        except Exception:  # views and middleware are the app's, and may be anything
            logger.exception("The routes of the app could not be checked; its requests are not affected.")

    def _check_mounts(self, app: Flask) -> None:
        path = self.settings.metrics_path
        if path is not None and not self.is_registered and mounted_elsewhere(app, path):
            logger.error(
                "A DispatcherMiddleware hands '%s' to another app, so the metrics are not there. Set "
                "'BOXKITE_METRICS_PATH' to another path, or call monitor.register(prometheus_client.REGISTRY).",
                path,
            )

    def _say_who_reads(self, app: Flask) -> None:
        """Say once for a server that its metrics and page are open, unless it is there for development."""
        settings = self.settings
        if settings.metrics_token is not None or app.debug or app.testing:
            return

        open_to_all = [] if settings.metrics_path is None else [f"the metrics at '{settings.metrics_path}'"]
        if self.access.is_open and self.access.path is not None:
            open_to_all.append(f"the drift page at '{self.access.path.rstrip('/')}/'")
        if open_to_all and self.monitor.is_first_to_say():
            logger.warning(
                "Everyone who can reach this server can read %s. Set 'BOXKITE_METRICS_TOKEN' to a token that readers "
                "must have, unless only those reach it who may.",
                " and ".join(open_to_all),
            )

    def tell(self, response: Response) -> Response:
        """Tell the client its prediction's id; the prediction is finished later, where that is possible."""
        current: Request = request._get_current_object()  # type: ignore[attr-defined]
        if not self.has_begun and self.settings.enabled:
            app = current_app._get_current_object()  # type: ignore[attr-defined]
            self.begin(app, current.environ, is_dispatched=True)

        capture: Capture | None = getattr(current, CAPTURE, None)
        if capture is not None and capture.answer is not response:
            # A failing hook of another extension may bring us here twice, with different responses.
            capture.answer = response
            capture.is_told = True
            if capture.makes_response:
                response.headers.add(PREDICTION_ID_HEADER, capture.prediction_id)  # takes half the time of setting
            else:
                response.headers[PREDICTION_ID_HEADER] = capture.prediction_id
            if self.settings.enabled and not capture.is_watched:
                self._finish_unwatched(capture, response)
        return response

    def _finish_unwatched(self, capture: Capture, response: Response) -> None:
        """Finish a prediction that reached Flask by another way than ``app.wsgi_app``, as in Connexion."""
        answer = self.answer_to(capture, response, waits_for_close=False)
        if answer is not None:
            body = response.response
            response.response = Passing(answer, response.iter_encoded(), getattr(body, "close", None))

    def answer_to(self, capture: Capture, response: BaseResponse, *, waits_for_close: bool) -> Answer | None:
        """Return the answer that finishes a prediction when it ends; None if the prediction is finished at once."""
        is_file = response.direct_passthrough and not isinstance(response.response, Generator)
        if is_file or (response.is_sequence and not waits_for_close):
            if capture.awaits_body:  # it is a file, or a hook has read the stream
                capture.take_payload(reply_of(response).data or b"", response.mimetype or "", response.headers)
            capture.finish(response.status_code, response)
            return None
        capture.is_streamed = True
        capture.owner = self
        answer = Answer(capture, waits_for_close=waits_for_close)
        answer.start(response.status_code, response.headers)
        return answer

    def request_failed(self, sender: Flask, exception: BaseException, **details: Any) -> None:
        """Note that a response made so far will not be sent. Flask or an extension may make another."""
        capture: Capture | None = getattr(current_request(), CAPTURE, None)
        if capture is None:
            return
        capture.answer = None
        capture.failed_status = _code_of(exception) or 500
        if not capture.is_watched:
            capture.finish(capture.failed_status)


def monitored_app(app: Flask) -> MonitoredApp | None:
    """Return the state that `Boxkite.init_app` has put on an app; None if it has no monitor."""
    return app.extensions.get(KEY)


def _code_of(error: BaseException) -> int | None:
    """Return the status that an exception stands for; Connexion raises exceptions of Starlette."""
    if isinstance(error, HTTPException):
        return error.code
    is_starlettes = any(kind.__name__ == "HTTPException" for kind in type(error).__mro__)
    return getattr(error, "status_code", None) if is_starlettes else None


def current_request() -> Request:
    """Return the request itself, for which Flask's `request` stands."""
    real: Request = request._get_current_object()  # type: ignore[attr-defined]
    return real


def _told(app: Flask, state: MonitoredApp) -> Callable[..., Response]:
    """Return ``app.process_response`` with a look at the response that all hooks have left.

    A hook of our own would have to stay the last of them, and costs twice as much.
    """
    process_response = app.process_response

    def told(*arguments: Any) -> Response:
        return state.tell(process_response(*arguments))

    return told


def _watched(app: Flask, state: MonitoredApp) -> Callable[..., Iterable[bytes]]:
    """Return ``app.wsgi_app`` with a last look at predictions, when all hooks and teardown functions are done.

    Each of them may fail or change the status; the session may fail to be saved. Here the client's status is known.
    """
    wsgi_app = app.wsgi_app

    def watched(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if not state.has_begun:
            return _begun(app, state, watched, environ, start_response)
        environ[WATCHED] = id(environ)
        try:
            body = wsgi_app(environ, start_response)
        except BaseException:
            capture = environ.pop(WATCHED, None)
            if isinstance(capture, Capture):
                capture.finish(500)
            raise

        capture = environ.pop(WATCHED, None)
        if not isinstance(capture, Capture):
            return body
        response = capture.answer
        if response is None:  # an extension has answered without Flask's hooks
            capture.finish(capture.failed_status)
            return body

        # Functions that are called on closing may log it by hand.
        waits_for_close = bool(getattr(response, "_on_close", None))
        if type(response.response) is list and not (waits_for_close or capture.awaits_body):
            capture.finish(response.status_code, response)
            return body
        answer = state.answer_to(capture, response, waits_for_close=waits_for_close)
        if answer is None:
            return body
        capture.answer = None  # else a stream that is dropped without being closed would live on with its request
        return Passing(answer, body, getattr(body, "close", None))

    watched.__wrapped__ = wsgi_app  # type: ignore[attr-defined]  # where middleware is looked for
    return watched


def _begun(
    app: Flask,
    state: MonitoredApp,
    watched: Callable[..., Iterable[bytes]],
    environ: dict[str, Any],
    start_response: Callable[..., Any],
) -> Iterable[bytes]:
    """Answer the first request, after a look at the app and its server."""
    state.begin(app, environ, is_dispatched=False)
    body = watched(environ, start_response)
    if not state.delivers_at_once:
        return body
    state.has_begun = False  # the next answer of this process may be its last, too
    return ClosingIterator(body, state.monitor.hand_over)


def _add_metrics_route(app: Flask, state: MonitoredApp) -> None:
    path = state.settings.metrics_path
    if path is None:
        return
    if (endpoint := _endpoint_at(app, path)) is not None:
        msg = (
            f"'BOXKITE_METRICS_PATH' is '{path}', which is the route of {endpoint!r} already. Set another "
            "path, or None and serve monitor.export_http() yourself."
        )
        raise ConfigError(msg, key="BOXKITE_METRICS_PATH")
    blueprint = Blueprint(METRICS, __name__)

    def metrics() -> Any:
        return metrics_response(request, state.monitor.export_http, state.settings.metrics_token)

    add_route(app, blueprint, path, "metrics", metrics)
    app.register_blueprint(blueprint)


def _add_outcomes_route(app: Flask, state: MonitoredApp) -> None:
    path = state.settings.outcomes_path
    if path is None:
        return
    if state.access.token is None and state.access.guard is None:
        msg = (
            "'BOXKITE_OUTCOMES_PATH' is set, and everyone who reaches the server could send outcomes. Set "
            "'BOXKITE_METRICS_TOKEN' to a token that senders must have, or give Boxkite a 'dashboard_guard'."
        )
        raise ConfigError(msg, key="BOXKITE_OUTCOMES_PATH")
    if (endpoint := _endpoint_at(app, path, "POST")) is not None:
        msg = f"'BOXKITE_OUTCOMES_PATH' is '{path}', which is the route of {endpoint!r} already. Set another path."
        raise ConfigError(msg, key="BOXKITE_OUTCOMES_PATH")
    blueprint = Blueprint(OUTCOMES, __name__)

    def outcomes() -> Any:
        refusal = state.access.sender_refusal()
        if refusal is not None:
            return refusal
        monitor = state.monitor
        several = sum(model.outcomes is not None for model in monitor.models()) > 1
        return outcomes_response(request, monitor.judge_outcomes, by_model=several)

    add_route(app, blueprint, path, "outcomes", outcomes, "POST")
    app.register_blueprint(blueprint)


def _add_dashboard(app: Flask, state: MonitoredApp) -> None:
    """Add the drift page: where the settings say, or, if they say nothing, in debug mode."""
    access = state.access
    if access.path is None or DASHBOARD in app.blueprints or not (access.is_deployed or app.debug):
        return

    path = access.path
    if (endpoint := _endpoint_at(app, f"{path.rstrip('/')}/")) is not None:
        if access.only_in_debug:
            return
        msg = f"'BOXKITE_DASHBOARD_PATH' is '{path}', which is the route of {endpoint!r} already. Set another path."
        raise ConfigError(msg, key="BOXKITE_DASHBOARD_PATH")
    app.register_blueprint(dashboard_blueprint(app, state.monitor, access))


def _endpoint_at(app: Flask, path: str, method: str = "GET") -> str | None:
    """Return the endpoint that answers a method at *path*, or None."""
    for rule in app.url_map.iter_rules():
        if rule.rule == path and method in (rule.methods or ()):
            return str(rule.endpoint)
    return None
