"""The Flask extension: ``Boxkite(app)`` and ``@monitor.predict``.

Constructor arguments hold a programmer's decisions, ``BOXKITE_*`` a deployment's. All state lives in
``app.extensions``, so two apps in one process, or one factory called twice, share nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload
from weakref import WeakSet

from flask import Blueprint, Flask, current_app, has_app_context
from prometheus_client import CollectorRegistry
from werkzeug.local import LocalProxy

from flask_boxkite.config import Settings
from flask_boxkite.errors import BoxkiteError, ConfigError
from flask_boxkite.exposition import ExpositionCollector
from flask_boxkite.monitoring.app import AppMonitor
from flask_boxkite.monitoring.assembly import load_baselines
from flask_boxkite.monitoring.functions import checked_functions
from flask_boxkite.notify.message import Notification
from flask_boxkite.web.access import Guard, PageAccess
from flask_boxkite.web.capture import PASSING
from flask_boxkite.web.monitored_app import KEY, MonitoredApp, monitored_app
from flask_boxkite.web.options import Options, Pick, check_key
from flask_boxkite.web.predict import current_capture, predicting, warn_once
from flask_boxkite.web.segment_places import SegmentPlace, checked_places
from flask_boxkite.web.views import PredictedView, routed

if TYPE_CHECKING:
    from flask_boxkite.drift.report import DriftReport
    from flask_boxkite.drift.segments import SegmentReport
    from flask_boxkite.history.report import HistoryReport
    from flask_boxkite.performance.report import PerformanceReport

__all__ = ["Boxkite"]

logger = logging.getLogger("flask_boxkite")

View = TypeVar("View", bound=Callable[..., Any])


class Boxkite:
    """Monitors the models that a Flask app serves.

    One object may serve several apps; each app keeps its own state. Safe to use from any thread, and in
    processes forked later: no thread starts before the first prediction.

    Args:
        app: The app to register with; or call `init_app` later.
        name: Name of the app; None for the name that Flask gave it. It keeps the counts apart from other apps that
            monitor the same model with the same baseline. ``BOXKITE_NAME`` names the service, and both count.
        derive: Functions of derived variables, by the names that they have in training, or by model and name:
            ``{"debt_ratio": function}`` or ``{"credit": {"debt_ratio": function}}``. All else that is derived is in
            the baseline.
        dashboard_guard: Decides who may see the drift page, instead of the token: called before each of its requests,
            as a function given to `flask.Flask.before_request` is. It returns None to let the visitor in, or a response
            such as a redirection to a login; or it aborts.
        notify: Function that gets a `Notification` when a verdict has changed, to send a mail, say. It is called by one
            process of the server, in a thread of its own, and should give up after a while. If it raises, that is
            logged, and the message is tried again.
    """

    def __init__(
        self,
        app: Flask | None = None,
        *,
        name: str | None = None,
        derive: Mapping[str, Any] | None = None,
        dashboard_guard: Guard | None = None,
        notify: Callable[[Notification], object] | None = None,
    ) -> None:
        if dashboard_guard is not None and not callable(dashboard_guard):
            msg = f"'dashboard_guard' must be a callable without arguments, got {dashboard_guard!r}."
            raise ConfigError(msg)
        self._dashboard_guard = dashboard_guard
        _check_name("name", name)
        self._derive = checked_functions(derive)
        self._name = name
        self._notify = notify
        self._states: WeakSet[MonitoredApp] = WeakSet()
        self._predicted: list[PredictedView] = []
        self._is_of_one_app = app is not None
        if app is not None:
            self.init_app(app)

    def __repr__(self) -> str:
        """Return the number of apps and their models."""
        states = list(self._states)
        models = sorted({model.model for state in states for model in state.monitor.models()})
        apps = f"{len(states)} app{'s' * (len(states) != 1)}"
        return f"<Boxkite of {apps}, models: {', '.join(map(repr, models)) or 'none'}>"

    def init_app(self, app: Flask, *, name: str | None = None) -> None:
        """Read the app's ``BOXKITE_*`` settings, load its baselines, and add the metrics route.

        Args:
            app: The app.
            name: Name of the app, instead of the one that this object got; see `Boxkite`.

        Raises:
            ConfigError: A setting is wrong, *app* is not a Flask app, it has a monitor already, it routes a view of a
                model that it does not have, or a baseline needs a function that is missing.
            BaselineError: A baseline is missing or invalid.
        """
        app = _checked_app(app)
        _check_name("name", name)
        if KEY in app.extensions:
            msg = "This Flask app has a Boxkite monitor already. Call 'init_app' once for each app."
            raise ConfigError(msg)
        settings = Settings.from_mapping(app.config)
        baselines = load_baselines(settings.baseline) if settings.enabled else {}
        monitor = AppMonitor(
            settings, app.name, baselines, name or self._name, derive=self._derive, notify=self._notify
        )
        for view in routed(app, self.predicted):
            monitor.check_model(view.model)
            monitor.check_segments(view.model, view.segments)
        _log_set_up(monitor)

        access = PageAccess.of(app.config, settings, self._dashboard_guard)
        state = MonitoredApp(monitor, access, lambda: self.predicted)
        state.install(app)
        self._states.add(state)

    # --- predictions -------------------------------------------------------------------------------------------------

    @overload
    def predict(self, view: View, /) -> View: ...

    @overload
    def predict(
        self,
        *,
        model: str | None = None,
        features: Pick = None,
        output: Pick = None,
        key: str | None = None,
        segments: Mapping[str, SegmentPlace] | None = None,
    ) -> Callable[[View], View]: ...

    def predict(
        self,
        view: Callable[..., Any] | None = None,
        *,
        model: str | None = None,
        features: Pick = None,
        output: Pick = None,
        key: str | None = None,
        segments: Mapping[str, SegmentPlace] | None = None,
    ) -> Any:
        """Decorate a view that predicts: each answered request is counted and logged.

        Write it below the route: ``@app.post("/score")`` first, then ``@monitor.predict``. The view's return value is
        passed through; a number, array, Series or data frame, which Flask would refuse, becomes its JSON value.

        A monitor that was made for one app, ``Boxkite(app)``, refuses a model that the app does not have. Of several
        apps, each may route some of the views only. There the first request logs a missing model, and ``flask boxkite
        check`` reports it; its predictions are counted without a baseline.

        A request is one prediction, also if the view calls other decorated ones. A prediction of a second model, such
        as a challenger, is logged by `log_prediction`.

        Args:
            view: The view, plain or async; also in ``MethodView.decorators``.
            model: Name of the model that it serves; None for the only one.
            features: Place of the features. None: found by payload convention. A text: dotted path into the JSON
                request, such as ``"data.rows"``, or ``"?"`` for the query string. A callable: gets the request, or a
                copy of it after the view if the body is long or chunked, and returns a row or rows.
            output: Place of the output. None: by convention. A text: dotted path into the JSON response. A callable:
                gets the view's return value; if its first parameter is named ``answer``, it gets the parsed answer.
            key: Place of the caller's own key, such as the number of an order: a dotted path into the JSON request, or
                a header, such as ``"header:X-Request-Id"``. An integer, or a text of at most 512 characters, stands as
                ``key`` in the record, and `log_outcome` finds the prediction of one row by it, while the server
                remembers it. A key stands for its last prediction, and has one outcome. ``BOXKITE_REDACT`` hides it in
                the record where it names that field or header, or ``key``. A request without a key is a prediction like
                any other. None: no key.
            segments: Places of values that segment rows and are no features, by their names in training, such as
                ``{"country": "customer.country"}``: a dotted path into the JSON request, a header as for *key*, or a
                function without arguments, such as ``lambda: request.headers.get("X-Tenant")``. A path through a list
                of rows gives a value for each row. A function is called once, before the view, and returns one value
                for all rows, or a list with a value for each. If it raises, or nothing is at a place, the value is
                missing. They count as values given to `observe`, and a value that the view gives itself replaces them.
                The record hides them where ``BOXKITE_REDACT`` names the field, the header, or the name of the value.

        Raises:
            ConfigError: *view* is not a view, an option is of a wrong type, or the only app of this monitor does not
                have the model, or its baseline does not have a name in *segments*.
        """
        if view is not None:
            _check_view(view, f"such as predict(model={view!r}), or the view alone")
        for name, pick in (("features", features), ("output", output)):
            if pick is not None and not isinstance(pick, str) and not callable(pick):
                msg = f"'{name}' must be a dotted path, a callable or None, got {pick!r}."
                raise ConfigError(msg)
        check_key(key)
        places = checked_places(segments)
        names = [name for name, _ in places]
        _check_name("model", model)
        if self._is_of_one_app and len(self._states) == 1:
            for state in self._states:
                state.monitor.check_model(model)
                state.monitor.check_segments(model, names)
        options = Options(features, output, key, places)

        def decorate(view: View) -> View:
            _check_view(view, "and then the view")
            wrapper = predicting(view, model, options)
            self._predicted = [*self.predicted, PredictedView(view, wrapper, model, names)]
            return wrapper  # type: ignore[return-value]

        return decorate if view is None else decorate(view)

    def log_prediction(
        self,
        request_body: Any = None,
        features: Any = None,
        output: Any = None,
        model: str | None = None,
        *,
        key: str | int | None = None,
        observed: Mapping[str, Any] | None = None,
    ) -> str:
        """Count and log one prediction, or a batch, by hand; in a view or anywhere.

        In a view that is decorated with `predict`, this call wins: the decorator adds no second record. So it does in
        the generator that such a view answers with, and in a function given to its response's ``call_on_close``. A
        prediction of another model is one more; the first one of each model begins with the same id as the request's,
        by which `Records.challenge` finds both.

        Args:
            request_body: Body that the client sent: text, bytes, or an object that is kept as JSON.
            features: One row (a list or a dict), or n rows (lists, dicts, an (n, features) array, a data frame).
            output: Output of the model; n values for n rows.
            model: Name of the model; None for the only one.
            key: Caller's own key of the prediction, as for `predict`, whose option does not reach predictions that are
                logged by hand. Anything else than a text or an integer is no key. ``BOXKITE_REDACT`` hides it by the
                name ``key``.
            observed: Values as for `observe`, by name, beside those that the view has observed of this model.

        Returns:
            The prediction id.
        """
        monitor = self._state().monitor.model(model)
        capture = current_capture()
        if capture is None:
            return monitor.log_prediction(request_body, features, output, key=key, observed=observed)
        if capture.model is not monitor:
            beside = capture.id_beside(monitor)
            return monitor.log_as(beside, request_body, features, output, key=key, observed=observed)

        # The first takes the request's id, which the client may have been told by now.
        prediction = monitor.new_id() if capture.is_logged else capture.prediction
        is_told = capture.is_told and not capture.is_logged
        observed = {**(capture.observed or {}), **(observed or {})}
        text = monitor.log_as(
            prediction,
            request_body,
            features,
            output,
            key=key,
            is_told=is_told,
            observed=observed,
            hidden=capture.hidden,
        )
        capture.take_logged(text)
        return text

    def observe(self, values: Mapping[str, Any] | None = None, /, **named: Any) -> None:
        """Watch values that a decorated view computes, such as ``monitor.observe(shap_income=0.3, tokens=812)``.

        They are counted as variables that are `Observed` in training; others only stand in the record. It never raises.
        Outside of a decorated view, give them to `log_prediction`.

        Args:
            values: Values by name, where a name is no word of Python; as *named*.
            **named: Value for one row; for n rows a list or array of n, or one value for all.
        """
        capture = current_capture()
        if capture is None:
            warn_once(
                "observe() is called outside of a view with @monitor.predict: give 'observed' to log_prediction()."
            )
            return
        capture.observe({**(values or {}), **named})

    def log_outcome(
        self,
        prediction_id: str | None = None,
        actual: Any = None,
        *,
        predicted: Any = None,
        key: str | int | None = None,
        model: str | None = None,
    ) -> bool:
        """Count the value that came true for a prediction, at once or weeks later, in any worker, replica or script.

        Never raises in a request for a wrong id or value: these are counted by reason
        (``boxkite_outcomes_rejected_total``).

        Args:
            prediction_id: Id of the prediction, from the header ``Boxkite-Prediction-Id``; ``{id}/{i}`` for row *i* of
                a batch.
            actual: Value that came true: a label, or a number.
            predicted: Output of the prediction, where the server cannot know it any more; else None.
            key: Caller's own key of the prediction, instead of the id. An outcome that is sent once by the id and once
                by the key counts twice.
            model: Name of the model; None for the one that made the id, or for all that know the key (with
                *predicted*, for the first of them).

        Returns:
            Whether it was counted, by one model at least.

        Raises:
            BoxkiteError: The baseline has no actual values to compare with.
            ConfigError: There is no such model.
        """
        return self._state().monitor.log_outcome(prediction_id, actual, predicted=predicted, key=key, model=model)

    # --- reading -----------------------------------------------------------------------------------------------------

    def export_http(
        self, params: Mapping[str, Sequence[str]] | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[bytes, str]:
        """Return the text that ``/metrics`` serves, and its content type, for a hand-made route.

        Args:
            params: Query parameters as lists; ``name[]`` filters.
            headers: Request headers; ``Accept`` chooses the format.
        """
        return self._state().monitor.export_http(params, headers)

    def register(self, registry: CollectorRegistry) -> None:
        """Add our metrics to a registry of `prometheus_client`, for apps that serve that themselves.

        Raises:
            ValueError: The registry has metrics of these names already.
        """
        state = self._state()
        registry.register(ExpositionCollector(state.monitor.exposition))
        state.is_registered = True

    @overload
    def drift(self, model: str | None = None, *, window: str | None = None, by: None = None) -> DriftReport: ...

    @overload
    def drift(self, model: str | None = None, *, window: str | None = None, by: str) -> SegmentReport: ...

    def drift(
        self, model: str | None = None, *, window: str | None = None, by: str | None = None
    ) -> DriftReport | SegmentReport:
        """Compare the counts of all processes of this server with the baseline.

        Args:
            model: Name of the model; None for the only one.
            window: ``"5m"``, ``"1h"``, ``"24h"``, or days from ``"2d"`` to ``"400d"``; None for all since the start.
            by: Name of a variable among the baseline's ``segments``, to judge each of its values; not in days.

        Returns:
            A report: ``print`` it, or take ``to_dict()``, ``to_rows()`` for a data frame, ``to_markdown()``,
            ``report["age"].verdict`` or ``report.drifted``. With *by*, a report for each segment,
            ``report["SE"].report["age"]``.

        Raises:
            BoxkiteError: The model has no baseline, or no segments by that name.
            ConfigError: There is no such model or window.
        """
        monitor = self._state().monitor.model(model)
        return monitor.drift(window) if by is None else monitor.drift(window, by=by)

    def history(self, model: str | None = None, *, days: int = 35) -> HistoryReport:
        """Return the last days of the model: traffic, size of drift and performance by day, and changes.

        Args:
            model: Name of the model; None for the only one.
            days: Number of days, with today, up to 400.

        Returns:
            A report: ``print`` it, or take ``report["age"].changed``, ``report.moved``, ``to_dict()``, or ``to_rows()``
            for a data frame.

        Raises:
            BoxkiteError: There is no state directory, or it cannot be read.
            ConfigError: There is no such model or number of days.
        """
        return self._state().monitor.model(model).history(days)

    def performance(self, model: str | None = None, *, window: str | None = None) -> PerformanceReport:
        """Return how good the model is: as validated, as its live outputs lead to expect, and as outcomes show it.

        Args:
            model: Name of the model; None for the only one.
            window: ``"5m"``, ``"1h"`` or ``"24h"``, of predictions and of outcomes that came; None for all since the
                start.

        Returns:
            A report: ``print`` it, or take ``report["accuracy"].estimated``, ``report.verdict``, ``to_dict()``,
            ``to_rows()`` or ``to_markdown()``.

        Raises:
            BoxkiteError: The baseline has no actual values, or the counts cannot be read.
            ConfigError: There is no such model or window.
        """
        return self._state().monitor.model(model).performance(window)

    def flush(self, timeout: float = 5.0) -> int:
        """Wait until all records are delivered; return the number left after *timeout* seconds.

        With several sinks, a record counts for each that has not got it. With a spool, records that dead processes left
        there are delivered too, as far as this process may take them over.
        """
        return self._state().monitor.recorders.flush(timeout)

    def close(self) -> None:
        """Deliver waiting records, within the shutdown timeout; only a process that ends without `atexit` needs it.

        Notifications end too; another process of the server goes on with them.
        """
        for state in self._states:
            state.monitor.close()

    def _state(self) -> MonitoredApp:
        """Return the state of the current app; outside of any, the state of the only app."""
        if has_app_context():
            state = monitored_app(current_app)
            if state is not None:
                return state
        elif (capture := PASSING.get()) is not None and capture.owner is not None:
            return capture.owner  # type: ignore[no-any-return]
        elif len(self._states) == 1:
            return next(iter(self._states))
        msg = "The current Flask app has no Boxkite monitor. Did you forget to call 'init_app'?"
        raise BoxkiteError(msg)

    @property
    def predicted(self) -> Sequence[PredictedView]:
        """The decorated views that still exist."""
        return [item for item in self._predicted if item.view is not None]


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
    """Refuse a name of the wrong type.

    Raises:
        ConfigError: It is neither a text that is not empty nor None.
    """
    if name is not None and (not isinstance(name, str) or not name):
        msg = f"'{option}' must be a text that is not empty, or None, got {name!r}."
        raise ConfigError(msg)


def _check_view(view: Any, usage: str) -> None:
    """Refuse to decorate anything but a view.

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


def _log_set_up(monitor: AppMonitor) -> None:
    models = ", ".join(model.model for model in monitor.models())
    sinks = ", ".join(recorder.sink.name for recorder in monitor.recorders)
    logger.info("Models: %s. Records go to: %s.", models or "none", sinks or "none")
