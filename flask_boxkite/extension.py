"""The Flask extension: ``Boxkite(app)`` and ``@monitor.predict``.

Constructor arguments are what a programmer decides, ``BOXKITE_*`` what a deployment decides. All state lives in
``app.extensions``, so two apps in one process, or one factory called twice, share nothing.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
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
from werkzeug.wrappers import Request

from flask_boxkite.answers import is_reply, json_value
from flask_boxkite.baseline import Baseline
from flask_boxkite.capture import Capture, Options, Pick
from flask_boxkite.config import Settings
from flask_boxkite.dashboard import Guard, dashboard_blueprint
from flask_boxkite.delivery import RecorderCounts
from flask_boxkite.drift import DriftReport
from flask_boxkite.errors import BoxkiteError, ConfigError
from flask_boxkite.exposition import ExpositionCollector
from flask_boxkite.live.windows import Shortage
from flask_boxkite.naming import PREDICTION_ID_HEADER
from flask_boxkite.redacted import RedactedCapture
from flask_boxkite.service import (
    ModelMonitoringService,
    export_http,
    load_baselines,
    make_exposition,
    make_recorders,
    make_store,
)
from flask_boxkite.views import metrics_response

__all__ = ["Boxkite"]

logger = logging.getLogger("flask_boxkite")

_KEY = "boxkite"
DEFAULT_DASHBOARD_PATH = "/boxkite"
_CAPTURE = "boxkite_capture"
"""Attribute of the request object under which its capture waits. Not on `flask.g`, which a view that calls its own app
in a test shares with the inner request."""

_OWN_ROUTES = {"boxkite.metrics": "BOXKITE_METRICS_PATH", "boxkite_dashboard.overview": "BOXKITE_DASHBOARD_PATH"}
"""Endpoints that a user's later route may meet, and the keys that move them."""

_JSON_ATOMS = frozenset({str, int, float, bool, type(None)})
_NOT_CAPTURED = frozenset({"HEAD", "OPTIONS"})

View = TypeVar("View", bound=Callable[..., Any])


class Boxkite:
    """Monitors the models that a Flask app serves.

    One object may serve several apps; what belongs to an app is kept with the app. Safe to use from any thread, and in
    processes forked later: no thread starts before the first prediction.

    Args:
        app: The app to register with; or call `init_app` later.
        dashboard_guard: Decides who may see the drift page, instead of the token: called before each of its requests,
            as a function given to `flask.Flask.before_request` is. It returns None to let the visitor in, or a response
            such as a redirection to a login; or it aborts.
    """

    def __init__(self, app: Flask | None = None, *, dashboard_guard: Guard | None = None) -> None:
        if dashboard_guard is not None and not callable(dashboard_guard):
            msg = f"'dashboard_guard' must be a callable without arguments, got {dashboard_guard!r}."
            raise ConfigError(msg)
        self._dashboard_guard = dashboard_guard
        self._states: WeakSet[_AppState] = WeakSet()
        self._predicted: list[_Predicted] = []
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Read the app's ``BOXKITE_*`` settings, load its baselines, and add the metrics route.

        Raises:
            ConfigError: A setting is wrong, or the app has a monitor already.
            BaselineError: A baseline is missing or invalid.
        """
        if _KEY in app.extensions:
            msg = "This Flask app has a Boxkite monitor already. Call 'init_app' once for each app."
            raise ConfigError(msg)
        state = _AppState(self, app.name, Settings.from_mapping(app.config))
        for predicted in self._predicted:
            state.check_model(predicted.model)
        # First of the list, so that it runs last: other hooks may fail, or change the status.
        app.after_request_funcs.setdefault(None, []).insert(0, state.after_request)
        if state.settings.enabled:
            _add_metrics_route(app, state)
            _add_dashboard(app, state, self._dashboard_guard)
            got_request_exception.connect(state.request_failed, app)
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

        Args:
            view: The view, plain or async; also in ``MethodView.decorators``.
            model: Which model it serves; None for the only one.
            features: Where the features are. None: found by payload convention. A text: dotted path into the JSON
                request, such as ``"data.rows"``, or ``"?"`` for the query string. A callable: gets the request, returns
                a row or rows.
            output: Where the output is. None: by convention. A text: dotted path into the JSON response. A callable:
                gets what the view returned; if its first parameter is named ``answer``, it gets the parsed answer.

        Raises:
            ConfigError: The app has no such model, or an option is of a wrong type.
        """
        if view is not None and not callable(view):
            msg = f"'predict' takes options by name, such as predict(model={view!r}), or the view alone, got {view!r}."
            raise ConfigError(msg)
        for name, pick in (("features", features), ("output", output)):
            if pick is not None and not isinstance(pick, str) and not callable(pick):
                msg = f"'{name}' must be a dotted path, a callable or None, got {pick!r}."
                raise ConfigError(msg)
        for state in self._states:
            state.check_model(model)
        options = Options(features, output)

        def decorate(view: View) -> View:
            wrapper = _wrapped(self, view, model, options)
            self._predicted.append(_Predicted(view, wrapper, model))
            return wrapper  # type: ignore[return-value]

        return decorate if view is None else decorate(view)

    def log_prediction(
        self, request_body: Any = None, features: Any = None, output: Any = None, model: str | None = None
    ) -> str:
        """Count and log one prediction, or a batch, by hand; in a view or anywhere.

        In a view that is decorated with `predict`, this call wins: the decorator adds no second record.

        Args:
            request_body: What the client sent: text, bytes, or an object that is kept as JSON.
            features: One row (a list or a dict), or n rows (lists, dicts, an (n, features) array, a data frame).
            output: What the model said; n values for n rows.
            model: Which model; None for the only one.

        Returns:
            The prediction id.
        """
        prediction_id = self._state().service(model).log_prediction(request_body, features, output)
        if has_request_context():
            capture: Capture | None = getattr(_current_request(), _CAPTURE, None)
            if capture is not None:
                capture.is_logged = prediction_id
        return prediction_id

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
        registry.register(ExpositionCollector(self._state().exposition))

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
        elif len(self._states) == 1:
            return next(iter(self._states))
        msg = "The current Flask app has no Boxkite monitor. Did you forget to call 'init_app'?"
        raise BoxkiteError(msg)

    @property
    def predicted(self) -> Sequence[_Predicted]:
        """The decorated views."""
        return self._predicted


class _Predicted:
    """A decorated view: the view as it was, what it became, and its model."""

    def __init__(self, view: Callable[..., Any], wrapper: Callable[..., Any], model: str | None) -> None:
        self.view = view
        self.wrapper = wrapper
        self.model = model


class _AppState:
    """What belongs to one app: settings, a service per model, and the recorders that they share."""

    def __init__(self, monitor: Boxkite, app_name: str, settings: Settings) -> None:
        self._monitor = monitor
        self.settings = settings
        self._store = make_store(settings, app_name)
        self.recorders = make_recorders(settings, self._store)
        self._lock = threading.Lock()
        self._is_checked = False
        names_fields = bool(settings.redact) and not callable(settings.redact)
        self.capture: type[Capture] = RedactedCapture if names_fields else Capture
        self.used: dict[str | None, ModelMonitoringService] = {}  # by the name that a decorator gives
        self._services = self._configured_services() if settings.enabled else {}
        self._configured = any(service.baseline for service in self._services.values())
        self.exposition = make_exposition(
            settings,
            lambda: [service.exported for service in self.services()],
            self._store if settings.enabled else None,
            self.recorders,
        )
        sinks = ", ".join(recorder.sink.name for recorder in self.recorders)
        logger.info("Models: %s. Records go to: %s.", ", ".join(self._services) or "none", sinks or "none")

    def _configured_services(self) -> dict[str, ModelMonitoringService]:
        baselines = load_baselines(self.settings.baseline)
        services = [self._new_service(baseline, name) for name, baseline in baselines.items()]
        return {service.model: service for service in services}

    def _new_service(self, baseline: Baseline | None, model: str | None) -> ModelMonitoringService:
        return ModelMonitoringService.from_settings(self.settings, baseline, model, self._store, self.recorders)

    def services(self) -> Sequence[ModelMonitoringService]:
        """Return the models."""
        return list(self._services.values())

    def sinks(self) -> Mapping[str, RecorderCounts]:
        """Return what became of records in all processes, by sink."""
        self._store.tidy()
        reading = self._store.read()
        return {
            recorder.sink.name: RecorderCounts.of(reading.totals(recorder.section).cells.tolist())
            for recorder in self.recorders
        }

    def state_directory(self) -> Path | None:
        """Return where the processes of this server count together, made if need be; None if each does so alone."""
        return self._store.directory()

    def is_alone(self) -> bool:
        """Say whether nobody else can read what this process counts, as far as it can tell."""
        return self._store.is_alone()

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
        if not self._configured or model in self._services or (model is None and len(self._services) == 1):
            return
        if len(self._services) == 1:
            msg = (
                f"'BOXKITE_BASELINE' has only the model {next(iter(self._services))!r}, not {model!r}. "
                f"Set it to a mapping, such as {{{model!r}: path}}."
            )
            raise ConfigError(msg, key="BOXKITE_BASELINE")
        known = ", ".join(map(repr, self._services))
        fact = "no model is named" if model is None else f"there is no model {model!r}"
        msg = f"'BOXKITE_BASELINE' has several models and {fact}. Known: {known}."
        raise ConfigError(msg, key="BOXKITE_BASELINE")

    def service(self, model: str | None) -> ModelMonitoringService:
        """Return a model's service; without configured models, each name gets one without a baseline.

        Raises:
            ConfigError: There is no such model.
        """
        self.check_model(model)
        with self._lock:
            if model is None and self._services:
                found = next(iter(self._services.values()))
            else:
                name = model or "default"
                found = self._services.get(name) or self._services.setdefault(name, self._new_service(None, model))
            self.used[model] = found
            return found

    # --- hooks -------------------------------------------------------------------------------------------------------

    def after_request(self, response: Response) -> Response:
        """Finish the prediction, now that its status is known."""
        if not self._is_checked:
            self._is_checked = True
            if self.settings.enabled:
                _check_routes(current_app, self._monitor.predicted)
                self._store.check_server(request.environ)
                self.recorders.attend()
        current = request._get_current_object()  # type: ignore[attr-defined]
        capture: Capture | None = getattr(current, _CAPTURE, None)
        if capture is not None:
            if self.settings.enabled:
                capture.finish(response.status_code, response)
            # A failing hook of another extension may bring us here twice, with different responses.
            if capture.answer is not response:
                capture.answer = response
                if capture.makes_response:
                    response.headers.add(PREDICTION_ID_HEADER, capture.prediction_id)  # takes half the time of setting
                else:
                    response.headers[PREDICTION_ID_HEADER] = capture.prediction_id
        return response

    def request_failed(self, sender: Flask, **details: Any) -> None:
        """Finish a prediction whose view, or some hook after it, raised: `after_request` may never see it.

        A signal rather than a teardown function, which would cost every request of the app a microsecond.
        """
        capture: Capture | None = getattr(_current_request(), _CAPTURE, None)
        if capture is not None:
            capture.finish(500)


def _current_request() -> Request:
    real: Request = request._get_current_object()  # type: ignore[attr-defined]
    return real


def _wrapped(monitor: Boxkite, view: Callable[..., Any], model: str | None, options: Options) -> Callable[..., Any]:
    """Return the view with capture around it."""
    is_async = inspect.iscoroutinefunction(view)

    def call(*args: Any, **kwargs: Any) -> Any:
        app = current_app._get_current_object()  # type: ignore[attr-defined]
        run = app.ensure_sync(view) if is_async else view
        current: Request = request._get_current_object()  # type: ignore[attr-defined]
        state: _AppState | None = app.extensions.get(_KEY)
        if state is None:
            _warn_unregistered(view)
            return _as_flask_value(run(*args, **kwargs))
        if current.method in _NOT_CAPTURED:
            return _as_flask_value(run(*args, **kwargs))
        if getattr(current, _CAPTURE, None) is not None:  # a view that calls another decorated one is one prediction
            return run(*args, **kwargs)
        capture = state.capture(state.used.get(model) or state.service(model), options)
        setattr(current, _CAPTURE, capture)
        if not state.settings.enabled:
            return _as_flask_value(run(*args, **kwargs))
        capture.read_request(current)
        try:
            returned = run(*args, **kwargs)
        except Exception as error:
            capture.take_raised(error)
            raise
        except BaseException:  # the server ends this process, or this greenlet: no hook runs any more
            capture.finish(500)
            raise
        capture.take_output(returned)
        if type(returned) is dict and _JSON_ATOMS.issuperset(map(type, returned.values())):
            capture.makes_response = True
            return returned
        return _as_flask_value(returned)

    return update_wrapper(call, view)


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


_warned: set[str] = set()


def _warn_unregistered(view: Callable[..., Any]) -> None:
    name = getattr(view, "__qualname__", repr(view))
    if name not in _warned:
        _warned.add(name)
        logger.warning(
            "The app that serves %r has no Boxkite monitor, so its predictions are not counted. "
            "Did you forget to call 'init_app'?",
            name,
        )


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
    blueprint = Blueprint("boxkite", __name__)

    def metrics() -> Any:
        return metrics_response(
            request,
            lambda params, headers: export_http(state.exposition, params, headers),
            state.settings.metrics_token,
        )

    blueprint.add_url_rule(path, "metrics", metrics, methods=["GET"])
    app.register_blueprint(blueprint)


def _add_dashboard(app: Flask, state: _AppState, guard: Guard | None) -> None:
    """Add the drift page: where the settings say, or, if they say nothing, in debug mode."""
    is_set = "BOXKITE_DASHBOARD_PATH" in app.config
    path = state.settings.dashboard_path if is_set else DEFAULT_DASHBOARD_PATH
    if path is None:
        return
    if (endpoint := _endpoint_at(app, f"{path.rstrip('/')}/")) is not None:
        if not is_set:
            return
        msg = f"'BOXKITE_DASHBOARD_PATH' is '{path}', which is the route of {endpoint!r} already. Set another path."
        raise ConfigError(msg, key="BOXKITE_DASHBOARD_PATH")
    app.register_blueprint(dashboard_blueprint(state, path, guard, only_in_debug=not is_set))


def _endpoint_at(app: Flask, path: str) -> str | None:
    """Return the endpoint that answers GET at *path*, or None."""
    for rule in app.url_map.iter_rules():
        if rule.rule == path and "GET" in (rule.methods or ()):
            return str(rule.endpoint)
    return None


def _check_routes(app: Any, predicted: Sequence[_Predicted]) -> None:
    """Say at the first request what cannot be seen before: decorators in the wrong order, shadowed routes."""
    served = [layer for view in app.view_functions.values() for layer in _layers(view)]
    for item in predicted:
        if item.view in served and item.wrapper not in served:
            logger.error(
                "'@monitor.predict' stands above the route of %r, so it sees no request and counts nothing. "
                "Write the route first: '@app.post(...)', then '@monitor.predict'.",
                getattr(item.view, "__qualname__", repr(item.view)),
            )
    endpoints: defaultdict[str, list[str]] = defaultdict(list)
    for rule in app.url_map.iter_rules():
        if rule.methods is None or "GET" in rule.methods:
            endpoints[rule.rule].append(rule.endpoint)
    for path, serving in endpoints.items():
        key = next((_OWN_ROUTES[endpoint] for endpoint in serving if endpoint in _OWN_ROUTES), None)
        if key and len(serving) > 1:
            logger.error(
                "Several routes serve '%s': %s. Set '%s' to another path.", path, ", ".join(map(repr, serving)), key
            )


def _layers(view: Any) -> Sequence[Any]:
    """Return a view function and all that it wraps."""
    layers = [view]
    while (view := getattr(view, "__wrapped__", None)) is not None:
        layers.append(view)
    return layers
