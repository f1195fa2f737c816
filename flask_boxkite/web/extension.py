"""The Flask extension: ``Boxkite(app)`` and ``@monitor.predict``.

Constructor arguments are what a programmer decides, ``BOXKITE_*`` what a deployment decides. All state lives in
``app.extensions``, so two apps in one process, or one factory called twice, share nothing.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import threading
import weakref
from collections import ChainMap, defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from functools import update_wrapper
from pathlib import Path
from typing import Any, TypeVar, overload
from weakref import WeakSet

from flask import (
    Blueprint,
    Flask,
    Response,
    current_app,
    got_request_exception,
    has_app_context,
    has_request_context,
    request,
)
from prometheus_client import CollectorRegistry
from werkzeug.exceptions import HTTPException
from werkzeug.local import LocalProxy
from werkzeug.wrappers import Request
from werkzeug.wrappers import Response as BaseResponse
from werkzeug.wsgi import ClosingIterator

from flask_boxkite.baseline import Baseline
from flask_boxkite.config import Settings
from flask_boxkite.delivery import RecorderCounts
from flask_boxkite.drift import DriftReport
from flask_boxkite.errors import BoxkiteError, ConfigError
from flask_boxkite.exposition import ExpositionCollector
from flask_boxkite.live.windows import Shortage
from flask_boxkite.monitoring.notes import is_first_to_say
from flask_boxkite.naming import PREDICTION_ID_HEADER
from flask_boxkite.service import (
    ModelMonitoringService,
    export_http,
    exported_model,
    load_baselines,
    make_exposition,
    make_recorders,
    make_store,
)
from flask_boxkite.web.capture import PASSING, Capture, Options, Pick
from flask_boxkite.web.dashboard import Guard, dashboard_blueprint
from flask_boxkite.web.http import metrics_response
from flask_boxkite.web.redacted_capture import capture_type
from flask_boxkite.web.response_stream import Answer, Passing
from flask_boxkite.web.return_values import is_reply, json_value, reply_of
from flask_boxkite.web.routes import DASHBOARD, METRICS, add_route, mounted_elsewhere

__all__ = ["Boxkite"]

logger = logging.getLogger("flask_boxkite")

_KEY = "boxkite"
DEFAULT_DASHBOARD_PATH = "/boxkite"
_CAPTURE = "boxkite_capture"
"""Attribute of the request object under which its capture waits. Not on `flask.g`, which a view that calls its own app
in a test shares with the inner request."""

_WATCHED = "flask_boxkite.watched"
"""Key of a WSGI environment: its own `id` until a view predicts, then the capture that is finished in the end."""

_OWN_ROUTES = {f"{METRICS}.metrics": "BOXKITE_METRICS_PATH", f"{DASHBOARD}.overview": "BOXKITE_DASHBOARD_PATH"}
"""Endpoints that a user's later route may meet, and the keys that move them."""

_JSON_ATOMS = frozenset({str, int, float, bool, type(None)})
_NOT_CAPTURED = frozenset({"HEAD", "OPTIONS"})
_TEST_CLIENTS = ("Werkzeug/", "testclient")
"""How the test clients of Flask and of Starlette, with which connexion's apps are tested, name themselves."""

View = TypeVar("View", bound=Callable[..., Any])


class Boxkite:
    """Monitors the models that a Flask app serves.

    One object may serve several apps; what belongs to an app is kept with the app. Safe to use from any thread, and in
    processes forked later: no thread starts before the first prediction.

    Args:
        app: The app to register with; or call `init_app` later.
        name: Name of the app, which keeps its counts apart from other apps that monitor the same model with the same
            baseline; None for the name that Flask gave it. ``BOXKITE_NAME`` names the service, and both count.
        dashboard_guard: Decides who may see the drift page, instead of the token: called before each of its requests,
            as a function given to `flask.Flask.before_request` is. It returns None to let the visitor in, or a response
            such as a redirection to a login; or it aborts.
    """

    def __init__(
        self, app: Flask | None = None, *, name: str | None = None, dashboard_guard: Guard | None = None
    ) -> None:
        if dashboard_guard is not None and not callable(dashboard_guard):
            msg = f"'dashboard_guard' must be a callable without arguments, got {dashboard_guard!r}."
            raise ConfigError(msg)
        self._dashboard_guard = dashboard_guard
        _check_name("name", name)
        self._name = name
        self._states: WeakSet[_AppState] = WeakSet()
        self._predicted: list[_Predicted] = []
        self._is_of_one_app = app is not None
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask, *, name: str | None = None) -> None:
        """Read the app's ``BOXKITE_*`` settings, load its baselines, and add the metrics route.

        Args:
            app: The app.
            name: Name of the app, instead of the one that this object got; see `Boxkite`.

        Raises:
            ConfigError: A setting is wrong, the app is no Flask app or has a monitor already, or it routes a view of a
                model that it does not have.
            BaselineError: A baseline is missing or invalid.
        """
        app = _checked_app(app)
        _check_name("name", name)
        if _KEY in app.extensions:
            msg = "This Flask app has a Boxkite monitor already. Call 'init_app' once for each app."
            raise ConfigError(msg)
        state = _AppState(self, app.name, name or self._name, Settings.from_mapping(app.config))
        for item in _routed(app, self.predicted):
            state.check_model(item.model)
        _put_last(app, state.after_request)
        if state.settings.enabled:
            _add_metrics_route(app, state)
            _add_dashboard(app, state, self._dashboard_guard)
            got_request_exception.connect(state.request_failed, app)
            app.wsgi_app = _watched(app, state)  # type: ignore[method-assign]
        app.extensions[_KEY] = state
        self._states.add(state)

    # --- predictions -------------------------------------------------------------------------------------------------

    @overload
    def predict(self, view: View, /) -> View: ...

    @overload
    def predict(
        self, *, model: str | None = None, features: Pick = None, output: Pick = None
    ) -> Callable[[View], View]: ...

    def predict(
        self,
        view: Callable[..., Any] | None = None,
        *,
        model: str | None = None,
        features: Pick = None,
        output: Pick = None,
    ) -> Any:
        """Decorate a view that predicts: each answered request is counted and logged.

        Write it below the route: ``@app.post("/score")`` first, then ``@monitor.predict``. What the view returns is
        passed through; a number, array, Series or data frame, which Flask would refuse, becomes its JSON value.

        An app may route some of the decorated views only, so whether it has their models is known when it serves: the
        log says it with the first request, and so does ``flask boxkite check``. Their predictions are then counted
        without a baseline. A monitor that was made for one app, ``Boxkite(app)``, refuses the model at once.

        A request is one prediction, also if the view calls other decorated ones. A prediction of a second model, such
        as a challenger, is logged by `log_prediction`.

        Args:
            view: The view, plain or async; also in ``MethodView.decorators``.
            model: Which model it serves; None for the only one.
            features: Where the features are. None: found by payload convention. A text: dotted path into the JSON
                request, such as ``"data.rows"``, or ``"?"`` for the query string. A callable: gets the request, or a
                copy of it after the view if the body is long or chunked, and returns a row or rows.
            output: Where the output is. None: by convention. A text: dotted path into the JSON response. A callable:
                gets what the view returned; if its first parameter is named ``answer``, it gets the parsed answer.

        Raises:
            ConfigError: What is decorated is no view, an option is of a wrong type, or the only app of this monitor has
                no such model.
        """
        if view is not None:
            _check_view(view, f"such as predict(model={view!r}), or the view alone")
        for name, pick in (("features", features), ("output", output)):
            if pick is not None and not isinstance(pick, str) and not callable(pick):
                msg = f"'{name}' must be a dotted path, a callable or None, got {pick!r}."
                raise ConfigError(msg)
        _check_name("model", model)
        if self._is_of_one_app and len(self._states) == 1:
            for state in self._states:
                state.check_model(model)
        options = Options(features, output)

        def decorate(view: View) -> View:
            _check_view(view, "and then the view")
            wrapper = _wrapped(view, model, options)
            self._predicted = [*self.predicted, _Predicted(view, wrapper, model)]
            return wrapper  # type: ignore[return-value]

        return decorate if view is None else decorate(view)

    def log_prediction(
        self, request_body: Any = None, features: Any = None, output: Any = None, model: str | None = None
    ) -> str:
        """Count and log one prediction, or a batch, by hand; in a view or anywhere.

        In a view that is decorated with `predict`, this call wins: the decorator adds no second record. So it does in
        the generator that such a view answers with, and in a function given to its response's ``call_on_close``. A
        prediction of another model is one more.

        Args:
            request_body: What the client sent: text, bytes, or an object that is kept as JSON.
            features: One row (a list or a dict), or n rows (lists, dicts, an (n, features) array, a data frame).
            output: What the model said; n values for n rows.
            model: Which model; None for the only one.

        Returns:
            The prediction id.
        """
        service = self._state().service(model)
        capture = _current_capture()
        if capture is None or capture.service is not service:
            return service.log_prediction(request_body, features, output)
        # The first takes the request's id, which the client may have been told by now.
        prediction = service.new_id() if capture.is_logged else capture.prediction
        capture.is_logged = service.log_as(prediction, request_body, features, output)
        return capture.is_logged

    # --- reading -----------------------------------------------------------------------------------------------------

    def export_http(
        self, params: Mapping[str, Sequence[str]] | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[bytes, str]:
        """Return what ``/metrics`` serves, and its content type, for a hand-made route.

        Args:
            params: Query parameters as lists; ``name[]`` filters.
            headers: Request headers; ``Accept`` chooses the format.
        """
        return export_http(self._state().exposition, params, headers)

    def register(self, registry: CollectorRegistry) -> None:
        """Add our metrics to a registry of `prometheus_client`, for apps that serve that themselves.

        Raises:
            ValueError: The registry has metrics of these names already.
        """
        state = self._state()
        registry.register(ExpositionCollector(state.exposition))
        state.is_registered = True

    def drift(self, model: str | None = None, *, window: str | None = None) -> DriftReport:
        """Compare what all processes of this server have counted with the baseline.

        Args:
            model: Which model; None for the only one.
            window: ``"5m"``, ``"1h"`` or ``"24h"``; None for all since the start.

        Returns:
            A report: ``print`` it, or take ``to_dict()``, ``to_rows()`` for a data frame, ``to_markdown()``,
            ``report["age"].verdict`` or ``report.drifted``.

        Raises:
            BoxkiteError: The model has no baseline.
            ConfigError: There is no such model or window.
        """
        return self._state().service(model).drift(window)

    def flush(self, timeout: float = 5.0) -> int:
        """Wait until all records are delivered; return how many are left after *timeout* seconds.

        With several sinks, a record counts for each that has not got it. With a spool, what dead processes left there
        is delivered too, as far as it is this one's to deliver.
        """
        return self._state().recorders.flush(timeout)

    def close(self) -> None:
        """Deliver what waits, within the shutdown timeout. Needed only where a process ends without `atexit`."""
        for state in self._states:
            state.recorders.close()

    def _state(self) -> _AppState:
        """Return the state of the current app; outside of any, that of the only one."""
        if has_app_context():
            state = current_app.extensions.get(_KEY)
            if state is not None:
                return state  # type: ignore[no-any-return]
        elif (capture := PASSING.get()) is not None and capture.owner is not None:
            return capture.owner  # type: ignore[no-any-return]
        elif len(self._states) == 1:
            return next(iter(self._states))
        msg = "The current Flask app has no Boxkite monitor. Did you forget to call 'init_app'?"
        raise BoxkiteError(msg)

    @property
    def predicted(self) -> Sequence[_Predicted]:
        """The decorated views that still exist."""
        return [item for item in self._predicted if item.view is not None]


class _Predicted:
    """A decorated view and its model. It keeps neither alive: a view that a factory defines ends with its app.

    Attributes:
        model: The model that the decorator names; None for the only one.
    """

    def __init__(self, view: Callable[..., Any], wrapper: Callable[..., Any], model: str | None) -> None:
        self._view = _weakly(view)
        self._wrapper = _weakly(wrapper)
        self.model = model

    @property
    def view(self) -> Callable[..., Any] | None:
        """The view as it was; None once it is gone."""
        return self._view()

    @property
    def wrapper(self) -> Callable[..., Any] | None:
        """The view as `Boxkite.predict` returned it; None once it is gone."""
        return self._wrapper()


def _weakly(function: Callable[..., Any]) -> Callable[[], Callable[..., Any] | None]:
    try:
        return weakref.ref(function)
    except TypeError:  # an object whose class has slots
        return lambda: function


class _AppState:
    """What belongs to one app: settings, a service per model, and the recorders that they share.

    Args:
        monitor: The monitor that the app was registered with.
        app_name: The app's own name.
        name: The name that the programmer gave; None for none.
        settings: The app's settings.
    """

    def __init__(self, monitor: Boxkite, app_name: str, name: str | None, settings: Settings) -> None:
        self._monitor = monitor
        self.settings = settings
        baselines = load_baselines(settings.baseline) if settings.enabled else {}
        models = [exported_model(settings, baseline, model) for model, baseline in baselines.items()]
        self._store = make_store(settings, app_name, models, name)
        self.recorders = make_recorders(settings, self._store)
        self._lock = threading.Lock()
        self.has_begun = False
        self.hands_over = False  # whether records must be delivered with each answer, as the process ends with it
        self.is_registered = False  # in a registry that the app serves itself
        self.capture = capture_type(settings)
        self.used: dict[str | None, ModelMonitoringService] = {}  # by the name that a decorator gives
        self._refused: set[str | None] = set()  # names of models that are not there, which the log has
        services = [self._new_service(baseline, model) for model, baseline in baselines.items()]
        self._services = {service.model: service for service in services}
        has_baseline = any(service.baseline for service in services)
        self._configured = tuple(self._services) if has_baseline else ()
        self.exposition = make_exposition(
            settings,
            lambda: [service.exported for service in self.services()],
            self._store if settings.enabled else None,
            self.recorders,
        )
        sinks = ", ".join(recorder.sink.name for recorder in self.recorders)
        logger.info("Models: %s. Records go to: %s.", ", ".join(self._services) or "none", sinks or "none")

    def _new_service(self, baseline: Baseline | None, model: str | None) -> ModelMonitoringService:
        return ModelMonitoringService.from_settings(self.settings, baseline, model, self._store, self.recorders)

    def services(self) -> Sequence[ModelMonitoringService]:
        """Return the models."""
        return list(self._services.values())

    def sinks(self) -> Mapping[str, RecorderCounts]:
        """Return what became of records in all processes, by sink."""
        self._store.tidy()
        reading = self._store.read()
        names = [recorder.sink.name for recorder in self.recorders]
        return {name: RecorderCounts.of(reading.sink_cells(name).tolist()) for name in names}

    def state_directory(self) -> Path | None:
        """Return where the processes of this server count together, made if need be; None if each does so alone."""
        return self._store.directory()

    def is_alone(self) -> bool:
        """Say whether nobody else can read what this process counts, as far as it can tell."""
        return self._store.is_alone()

    def is_ambiguous(self) -> bool:
        """Say whether this process has another app of the same name that monitors the same model and baseline."""
        return self._store.is_ambiguous

    def shortage(self) -> Shortage | None:
        """Return what room is lacking for the time windows of a model; None if of none."""
        for service in self.services():
            with contextlib.suppress(OSError):  # that it cannot be read is said elsewhere
                if (found := self._store.windows(service.exported.section).shortage()) is not None:
                    return found
        return None

    @property
    def has_guard(self) -> bool:
        """Whether the user's own function decides who sees the drift page."""
        return self._monitor._dashboard_guard is not None

    def check_model(self, model: str | None) -> None:
        """Refuse a model that cannot be meant.

        Raises:
            ConfigError: There are baselines, but none for this model, or no model is named and there are several.
        """
        known = self._configured
        if not known or model in known or (model is None and len(known) == 1):
            return
        if len(known) == 1:
            msg = (
                f"'BOXKITE_BASELINE' has only the model {known[0]!r}, not {model!r}. "
                f"Set it to a mapping, such as {{{model!r}: path}}."
            )
            raise ConfigError(msg, key="BOXKITE_BASELINE")
        fact = "no model is named" if model is None else f"there is no model {model!r}"
        msg = f"'BOXKITE_BASELINE' has several models and {fact}. Known: {', '.join(map(repr, known))}."
        raise ConfigError(msg, key="BOXKITE_BASELINE")

    def service(self, model: str | None) -> ModelMonitoringService:
        """Return a model's service; without configured models, each name gets one without a baseline.

        Raises:
            ConfigError: There is no such model.
        """
        self.check_model(model)
        return self._service(model)

    def service_of_view(self, model: str | None, view: Callable[..., Any]) -> ModelMonitoringService:
        """Return the service of the model that a decorator names; one without a baseline if there is no such model.

        A request must not fail for that; the log says it.
        """
        if model not in self._refused and (problem := self._refusal(model, view)) is not None:
            logger.error("%s", problem)
        return self._service(model)

    def _service(self, model: str | None) -> ModelMonitoringService:
        with self._lock:
            if model is None and self._services and len(self._configured) <= 1:
                found = next(iter(self._services.values()))
            else:
                name = model or "default"
                found = self._services.get(name) or self._services.setdefault(name, self._new_service(None, name))
            self.used[model] = found
            return found

    def route_problems(self, app: Any) -> Iterator[str]:
        """Yield what is wrong with the routes of the app, which is complete only when it serves."""
        predicted = self._monitor.predicted
        yield from _route_problems(app, predicted)
        for item in _routed(app, predicted):
            if (problem := self._refusal(item.model, item.view)) is not None:
                yield problem

    def _refusal(self, model: str | None, view: Any) -> str | None:
        """Say that there is no such model as a view's decorator names; None if there is."""
        try:
            self.check_model(model)
        except ConfigError as error:
            self._refused.add(model)
            return f"{_view_name(view)!r} is counted without a baseline. {error}"
        return None

    # --- hooks -------------------------------------------------------------------------------------------------------

    def begin(self, app: Flask, environ: dict[str, Any], *, is_dispatched: bool) -> None:
        """Do at the first request what cannot be done before: whatever else is on the app is there by now.

        Args:
            app: The app.
            environ: Of the request.
            is_dispatched: Whether Flask has the request already, and takes no more routes.
        """
        with self._lock:
            if self.has_begun:
                return
            try:
                if not is_dispatched:
                    self._settle(app)
                self._check_routes(app)
                if not environ.get("HTTP_USER_AGENT", "").startswith(_TEST_CLIENTS):
                    self._say_who_reads(app)
                self._store.check_server(environ)
                self.hands_over = self.recorders.check_server(environ)
                self.recorders.attend()
            finally:
                self.has_begun = True

    def _settle(self, app: Flask) -> None:
        _put_last(app, self.after_request)
        with contextlib.suppress(AssertionError):  # by Flask, if the app has dispatched a request by hand before
            _add_dashboard(app, self, self._monitor._dashboard_guard)  # debug mode may begin after set-up

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
        if settings.dashboard_path is not None and not self.has_guard:
            open_to_all.append(f"the drift page at '{settings.dashboard_path.rstrip('/')}/'")
        if open_to_all and is_first_to_say(self._store.directory(), repr(self._store.server)):
            logger.warning(
                "Everyone who can reach this server can read %s. Set 'BOXKITE_METRICS_TOKEN' to a token that readers "
                "must have, unless only those reach it who may.",
                " and ".join(open_to_all),
            )

    def after_request(self, response: Response) -> Response:
        """Tell the client its prediction's id; the prediction is finished later, where that is possible."""
        current = _current_request()
        if not self.has_begun and self.settings.enabled:
            app = current_app._get_current_object()  # type: ignore[attr-defined]
            self.begin(app, current.environ, is_dispatched=True)
        capture: Capture | None = getattr(current, _CAPTURE, None)
        if capture is not None and capture.answer is not response:
            # A failing hook of another extension may bring us here twice, with different responses.
            capture.answer = response
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
        """Return what finishes a prediction at the end of its response; None if it is finished at once."""
        is_file = response.direct_passthrough and not isinstance(response.response, Generator)
        if is_file or (response.is_sequence and not waits_for_close):
            if capture.awaits_body:  # a hook has read the stream meanwhile, or it is a file
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
        capture: Capture | None = getattr(_current_request(), _CAPTURE, None)
        if capture is None:
            return
        capture.answer = None
        capture.failed_status = _code_of(exception) or 500
        if not capture.is_watched:
            capture.finish(capture.failed_status)


def _code_of(error: BaseException) -> int | None:
    """Return the status that an exception stands for; Connexion raises those of Starlette."""
    if isinstance(error, HTTPException):
        return error.code
    is_starlettes = any(kind.__name__ == "HTTPException" for kind in type(error).__mro__)
    return getattr(error, "status_code", None) if is_starlettes else None


def _current_request() -> Request:
    real: Request = request._get_current_object()  # type: ignore[attr-defined]
    return real


def _current_capture() -> Capture | None:
    """Return the prediction that this code is part of, by its request or by the answer that is passed on."""
    if has_request_context():
        capture: Capture | None = getattr(_current_request(), _CAPTURE, None)
        if capture is not None and not capture.is_finished:
            return capture
    return PASSING.get()


def _put_last(app: Flask, hook: Callable[[Response], Response]) -> None:
    """Let a hook run after all others, which may answer with a response of their own: Flask runs the first one last."""
    hooks = app.after_request_funcs.setdefault(None, [])
    hooks[:] = [hook, *(other for other in hooks if other != hook)]


def _watched(app: Flask, state: _AppState) -> Callable[..., Iterable[bytes]]:
    """Return ``app.wsgi_app`` with a last look at predictions, when all hooks and teardown functions are done.

    Each of them may fail or change the status; the session may fail to be saved. Here it is known what the client gets.
    """
    wsgi_app = app.wsgi_app

    def watched(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if not state.has_begun:
            return begun(environ, start_response)
        environ[_WATCHED] = id(environ)
        try:
            body = wsgi_app(environ, start_response)
        except BaseException:
            capture = environ.pop(_WATCHED, None)
            if isinstance(capture, Capture):
                capture.finish(500)
            raise
        capture = environ.pop(_WATCHED, None)
        if not isinstance(capture, Capture):
            return body
        response = capture.answer
        if response is None:  # an extension has answered without Flask's hooks
            capture.finish(capture.failed_status)
            return body
        # Functions that are called on closing may log it by hand.
        answer = state.answer_to(capture, response, waits_for_close=bool(getattr(response, "_on_close", None)))
        if answer is None:
            return body
        capture.answer = None  # else a stream that is dropped without being closed would live on with its request
        return Passing(answer, body, getattr(body, "close", None))

    def begun(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        state.begin(app, environ, is_dispatched=False)
        body = watched(environ, start_response)
        if not state.hands_over:
            return body
        state.has_begun = False  # the next answer of this process may be its last, too
        return ClosingIterator(body, state.recorders.hand_over)

    watched.__wrapped__ = wsgi_app  # type: ignore[attr-defined]  # where middleware is looked for
    return watched


def _wrapped(view: Callable[..., Any], model: str | None, options: Options) -> Callable[..., Any]:
    """Return the view with capture around it; of an async view, a function that can be awaited as it can."""

    def begin() -> Capture | bool:
        """Return the prediction that begins; if none does, whether its value must become one that Flask accepts."""
        try:
            app = current_app._get_current_object()  # type: ignore[attr-defined]
            current: Request = request._get_current_object()  # type: ignore[attr-defined]
        except RuntimeError:  # by Flask: a script or a test calls the function
            _warn_uncounted(view, _NO_REQUEST)
            return False
        state: _AppState | None = app.extensions.get(_KEY)
        if state is None:
            _warn_uncounted(view, _NO_MONITOR)
            return True
        if current.method in _NOT_CAPTURED:
            return True
        if (outer := getattr(current, _CAPTURE, None)) is not None:  # a view that calls another is one prediction
            if state.settings.enabled and outer.service is not state.service_of_view(model, view):
                _warn_uncounted(view, _OTHER_MODEL)
            return False
        capture = state.capture(state.used.get(model) or state.service_of_view(model, view), options)
        setattr(current, _CAPTURE, capture)
        if not state.settings.enabled:
            return True
        environ = current.environ
        # A request that an app makes itself may have a copy of another's.
        if environ.get(_WATCHED) == id(environ):
            environ[_WATCHED] = capture
            capture.is_watched = True
        capture.read_request(current)
        return capture

    def call(*args: Any, **kwargs: Any) -> Any:
        capture = begin()
        if type(capture) is bool:
            returned = view(*args, **kwargs)
            return _as_flask_value(returned) if capture else returned
        try:
            returned = view(*args, **kwargs)
        except BaseException as error:
            _take_raised(capture, error)
            raise
        return _taken(capture, returned)

    # Not the same by way of Flask's `ensure_sync`: an async decorator above, or another async view, awaits it.
    async def call_async(*args: Any, **kwargs: Any) -> Any:
        capture = begin()
        if type(capture) is bool:
            returned = await view(*args, **kwargs)
            return _as_flask_value(returned) if capture else returned
        try:
            returned = await view(*args, **kwargs)
        except BaseException as error:
            _take_raised(capture, error)
            raise
        return _taken(capture, returned)

    return update_wrapper(call_async if inspect.iscoroutinefunction(view) else call, view)


def _take_raised(capture: Capture, error: BaseException) -> None:
    if isinstance(error, Exception):
        capture.take_raised(error)
    else:  # the server ends this process, or this greenlet: no hook runs any more
        capture.finish(500)


def _taken(capture: Capture, returned: Any) -> Any:
    """Take the output from what a view returned; return what Flask accepts."""
    capture.take_output(returned)
    if type(returned) is dict and _JSON_ATOMS.issuperset(map(type, returned.values())):
        capture.makes_response = True
        return returned
    return _as_flask_value(returned)


def _as_flask_value(returned: Any) -> Any:
    """Return what Flask accepts: values it would refuse become JSON."""
    value = json_value(returned)
    if isinstance(value, tuple) and not is_reply(value):
        return value
    if isinstance(value, tuple):
        body, before = (value[0], returned[0]) if value else (None, None)
    else:
        body, before = value, returned
    if type(body) in (int, float, bool) or (body is not before and not isinstance(body, (dict, list))):
        body = current_app.json.response(body)
        return (body, *value[1:]) if isinstance(value, tuple) else body
    return value


_NO_MONITOR = (
    "The app that serves %r has no Boxkite monitor, so its predictions are not counted. "
    "Did you forget to call 'init_app'?"
)
_OTHER_MODEL = (
    "%r is called in a request that is a prediction of another model already, so it is not counted. "
    "Log it with monitor.log_prediction(model=...)."
)
_NO_REQUEST = "%r is called outside of a request, where it is not counted. Log it with monitor.log_prediction()."

_warned: set[tuple[str, str]] = set()


def _warn_uncounted(view: Callable[..., Any], message: str) -> None:
    name = _view_name(view)
    if (name, message) not in _warned:
        _warned.add((name, message))
        logger.warning(message, name)


# --- set-up ----------------------------------------------------------------------------------------------------------


def _add_metrics_route(app: Flask, state: _AppState) -> None:
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
        return metrics_response(
            request,
            lambda params, headers: export_http(state.exposition, params, headers),
            state.settings.metrics_token,
        )

    add_route(app, blueprint, path, "metrics", metrics)
    app.register_blueprint(blueprint)


def _add_dashboard(app: Flask, state: _AppState, guard: Guard | None) -> None:
    """Add the drift page: where the settings say, or, if they say nothing, in debug mode."""
    is_set = "BOXKITE_DASHBOARD_PATH" in app.config
    path = state.settings.dashboard_path if is_set else DEFAULT_DASHBOARD_PATH
    if path is None or DASHBOARD in app.blueprints or not (is_set or app.debug):
        return
    if (endpoint := _endpoint_at(app, f"{path.rstrip('/')}/")) is not None:
        if not is_set:
            return
        msg = f"'BOXKITE_DASHBOARD_PATH' is '{path}', which is the route of {endpoint!r} already. Set another path."
        raise ConfigError(msg, key="BOXKITE_DASHBOARD_PATH")
    app.register_blueprint(dashboard_blueprint(app, state, path, guard, only_in_debug=not is_set))


def _endpoint_at(app: Flask, path: str) -> str | None:
    """Return the endpoint that answers GET at *path*, or None."""
    for rule in app.url_map.iter_rules():
        if rule.rule == path and "GET" in (rule.methods or ()):
            return str(rule.endpoint)
    return None


def _checked_app(app: Any) -> Flask:
    """Return a Flask app, also of a proxy such as `flask.current_app`.

    Raises:
        ConfigError: It is something else.
    """
    if isinstance(app, LocalProxy):
        app = app._get_current_object()
    if isinstance(app, Flask):
        return app
    if isinstance(app, type):
        got, remedy = f"the class {app.__name__!r}", "Make an app of it first."
    elif isinstance(app, Blueprint):
        got = f"the blueprint {app.name!r}"
        remedy = "Register the monitor with the app that registers the blueprint."
    else:
        got = f"an object of type '{type(app).__module__}.{type(app).__qualname__}'"
        remedy = "Give it the Flask app itself."
        if isinstance(getattr(app, "app", None), Flask):
            remedy = "Give it the Flask app that is its attribute 'app'."
    msg = f"A monitor is registered with a Flask app, got {got}. {remedy}"
    raise ConfigError(msg)


def _check_name(option: str, name: Any) -> None:
    """Refuse a name that is none.

    Raises:
        ConfigError: It is neither a text that is not empty nor None.
    """
    if name is not None and (not isinstance(name, str) or not name):
        msg = f"'{option}' must be a text that is not empty, or None, got {name!r}."
        raise ConfigError(msg)


def _check_view(view: Any, usage: str) -> None:
    """Refuse to decorate what is no view.

    Raises:
        ConfigError: It is a class, or cannot be called.
    """
    if isinstance(view, type):
        msg = (
            f"'predict' decorates functions, got the class {view.__name__!r}. Decorate its methods that predict, or "
            "set 'decorators = [monitor.predict]' in it."
        )
        raise ConfigError(msg)
    if not callable(view):
        msg = f"'predict' takes options by name, {usage}, got {view!r}."
        raise ConfigError(msg)


def _routed(app: Any, predicted: Sequence[_Predicted]) -> list[_Predicted]:
    """Return the decorated views that an app routes."""
    served = _served(app)
    return [item for item in predicted if item.wrapper in served]


def _served(app: Any) -> Sequence[Any]:
    """Return the view functions of an app and all that they wrap."""
    return [layer for view in app.view_functions.values() for layer in _layers(view)]


def _view_name(view: Any) -> str:
    return str(getattr(view, "__qualname__", repr(view)))


def _route_problems(app: Any, predicted: Sequence[_Predicted]) -> Iterator[str]:
    """Yield what cannot be seen before the app serves: decorators in the wrong order, shadowed routes."""
    served = _served(app)
    counted = [item.view for item in predicted if item.wrapper in served]
    for item in predicted:
        if item.view in served and item.view not in counted:
            yield (
                f"'@monitor.predict' stands above the route of {_view_name(item.view)!r}, so it sees no request and "
                "counts nothing. Write the route first: '@app.post(...)', then '@monitor.predict'."
            )
    endpoints: defaultdict[str, set[str]] = defaultdict(set)
    for rule in app.url_map.iter_rules():
        if rule.methods is None or "GET" in rule.methods:
            endpoints[rule.rule].add(rule.endpoint)
    for path, serving in endpoints.items():
        key = next((_OWN_ROUTES[endpoint] for endpoint in serving if endpoint in _OWN_ROUTES), None)
        if key and len(serving) > 1:
            names = ", ".join(map(repr, sorted(serving)))
            yield f"Several routes serve '{path}': {names}. Set '{key}' to another path."


def _layers(view: Any) -> Sequence[Any]:
    """Return a view function and all that it calls, as far as it tells."""
    layers = [view]
    for layer in layers:  # which grows
        layers += [inner for inner in _inside(layer) if inner not in layers]
    return layers


def _inside(layer: Any) -> list[Any]:
    """Return what a decorated function, a bound method, or the view of a class calls."""
    inside = [getattr(layer, name, None) for name in ("__wrapped__", "__func__")]
    if isinstance(view_class := getattr(layer, "view_class", None), type):
        members = ChainMap(*[dict(vars(base)) for base in view_class.__mro__])
        inside += [
            member for member in members.values() if inspect.isfunction(member) and hasattr(member, "__wrapped__")
        ]
    return [inner for inner in inside if inner is not None]
