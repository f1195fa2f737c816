"""The decorator behind `Boxkite.predict`: a view with capture around it."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from functools import update_wrapper
from typing import Any

from flask import current_app, has_request_context, request
from werkzeug.wrappers import Request

from flask_boxkite.web.capture import PASSING, Capture
from flask_boxkite.web.monitored_app import CAPTURE, KEY, WATCHED, MonitoredApp, current_request
from flask_boxkite.web.options import Options
from flask_boxkite.web.return_values import is_reply, json_value
from flask_boxkite.web.views import view_name

__all__ = ["current_capture", "predicting", "warn_once"]

logger = logging.getLogger("flask_boxkite")

_JSON_ATOMS = frozenset({str, int, float, bool, type(None)})
_NOT_CAPTURED = frozenset({"HEAD", "OPTIONS"})


def predicting(view: Callable[..., Any], model: str | None, options: Options) -> Callable[..., Any]:
    """Return the view with capture around it; of an async view, a function that can be awaited as it can."""

    def call(*args: Any, **kwargs: Any) -> Any:
        capture = _begin(view, model, options)
        if type(capture) is bool:
            returned = view(*args, **kwargs)
            return _as_flask_value(returned) if capture else returned
        try:
            returned = view(*args, **kwargs)
        except BaseException as error:
            _take_raised(capture, error)
            raise
        return _taken(capture, returned)

    # Flask's `ensure_sync` would not do: an async decorator above, or another async view, awaits this function.
    async def call_async(*args: Any, **kwargs: Any) -> Any:
        capture = _begin(view, model, options)
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


def _begin(view: Callable[..., Any], model: str | None, options: Options) -> Capture | bool:
    """Return the prediction that begins; if none does, whether its value must become one that Flask accepts."""
    try:
        app = current_app._get_current_object()  # type: ignore[attr-defined]
        current: Request = request._get_current_object()  # type: ignore[attr-defined]
    except RuntimeError:  # by Flask: a script or a test calls the function
        _warn_uncounted(view, _NO_REQUEST)
        return False
    state: MonitoredApp | None = app.extensions.get(KEY)
    if state is None:
        _warn_uncounted(view, _NO_MONITOR)
        return True
    if current.method in _NOT_CAPTURED:
        return True
    if (outer := getattr(current, CAPTURE, None)) is not None:  # a view that calls another is one prediction
        if state.settings.enabled and outer.model is not state.model_of_view(model, view):
            _warn_uncounted(view, _OTHER_MODEL)
        return False

    capture = state.capture(state.used.get(model) or state.model_of_view(model, view), options, app.config)
    setattr(current, CAPTURE, capture)
    if not state.settings.enabled:
        return True
    environ = current.environ
    # A request that an app makes itself may have a copy of another's.
    if environ.get(WATCHED) == id(environ):
        environ[WATCHED] = capture
        capture.is_watched = True
    capture.read_request(current)
    return capture


def _take_raised(capture: Capture, error: BaseException) -> None:
    if isinstance(error, Exception):
        capture.take_raised(error)
    else:  # the server ends this process, or this greenlet: no hook runs any more
        capture.finish(500)


def _taken(capture: Capture, returned: Any) -> Any:
    """Take the output from a view's return value; return a value that Flask accepts."""
    capture.take_output(returned)
    if type(returned) is dict and _JSON_ATOMS.issuperset(map(type, returned.values())):
        capture.makes_response = True
        return returned
    return _as_flask_value(returned)


def _as_flask_value(returned: Any) -> Any:
    """Return a value that Flask accepts: a value that it would refuse becomes JSON."""
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
    name = view_name(view)
    if (name, message) not in _warned:
        _warned.add((name, message))
        logger.warning(message, name)


def warn_once(message: str) -> None:
    """Log a message, once in this process."""
    if ("", message) not in _warned:
        _warned.add(("", message))
        logger.warning(message)


def current_capture() -> Capture | None:
    """Return the prediction that this code is part of, by its request or by the answer that is passed on."""
    if has_request_context():
        capture: Capture | None = getattr(current_request(), CAPTURE, None)
        if capture is not None and not capture.is_finished:
            return capture
    return PASSING.get()
