"""Capture around any WSGI app: Bottle, Django, Falcon, or a bare function.

A WSGI app has no view to look into. So features come from the raw request, and the output from the raw response, which
is passed on unchanged (`flask_boxkite.web.response_stream`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from werkzeug.datastructures import Headers
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.wrappers import Request
from werkzeug.wsgi import ClosingIterator

from flask_boxkite.errors import ConfigError
from flask_boxkite.monitoring.observed_names import check_observed
from flask_boxkite.naming import PREDICTION_ID_HEADER
from flask_boxkite.service import ModelMonitoringService
from flask_boxkite.web.http import metrics_response
from flask_boxkite.web.options import Options, check_key
from flask_boxkite.web.redacted_capture import capture_type
from flask_boxkite.web.response_stream import Answer, Passing
from flask_boxkite.web.segment_places import checked_places

__all__ = ["BoxkiteMiddleware"]


class BoxkiteMiddleware:
    """Wraps a WSGI app with routes that predict.

    Args:
        wsgi_app: The app.
        service: Service that counts and logs predictions.
        routes: Paths that predict, without paths that call ``service.log_prediction`` themselves. A path maps to None
            for payload conventions, or to a mapping with ``features``, ``output``, ``key`` and ``segments``. The first
            two are a dotted path into the JSON, or a callable that receives the request (of Werkzeug) or the parsed
            response. The key is a dotted path into the JSON request, or a header, as for `Boxkite.predict`; so is each
            place in ``segments``.
        metrics_path: Path of the metrics; None for no route.

    Raises:
        ConfigError: *routes* is malformed.
    """

    def __init__(
        self,
        wsgi_app: Callable[..., Iterable[bytes]],
        service: ModelMonitoringService,
        routes: Mapping[str, Mapping[str, Any] | None],
        *,
        metrics_path: str | None = "/metrics",
    ) -> None:
        self._app = wsgi_app
        self._service = service
        self._settings = service.app.settings
        self._routes = {path: _options(path, places) for path, places in routes.items()}
        for path, options in self._routes.items():
            names = [name for name, _ in options.segments]
            check_observed(service.monitor.baseline, service.monitor.model, names, f"Route {path!r}: ")
        self._metrics_path = metrics_path if self._settings.enabled else None
        self._capture = capture_type(self._settings)
        self._is_checked = False

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve one request."""
        if not self._is_checked:
            return self._first_answer(environ, start_response)
        path = environ.get("PATH_INFO", "")
        if path == self._metrics_path:
            return self._metrics(environ)(environ, start_response)
        options = self._routes.get(path)
        if options is None or environ["REQUEST_METHOD"] in ("HEAD", "OPTIONS") or not self._settings.enabled:
            return self._app(environ, start_response)

        capture = self._capture(self._service.monitor, options, keeps_long_bodies=True)
        capture.read_request(Request(environ, populate_request=False))
        capture.awaits_body = capture.is_told = True  # the header with the id is sent before the body
        answer = Answer(capture)
        try:
            body = self._app(environ, _Watched(answer, start_response))
        except BaseException:
            answer.fail()
            raise
        if isinstance(body, (list, tuple)):
            for chunk in body:
                answer.see(chunk)
            answer.end()
            return body

        return Passing(answer, body, getattr(body, "close", None))

    def _first_answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        self._is_checked = True
        is_last = self._service.app.check_server(environ)
        self._service.app.wake_notifier()
        body = self(environ, start_response)
        if not is_last:
            return body
        self._is_checked = False  # the next answer of this process may also be its last
        return ClosingIterator(body, self._service.app.hand_over)

    def _metrics(self, environ: dict[str, Any]) -> Callable[..., Iterable[bytes]]:
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return MethodNotAllowed(["GET", "HEAD"])
        request = Request(environ, populate_request=False)
        return metrics_response(request, self._service.export_http, self._settings.metrics_token)


def _options(path: str, places: Mapping[str, Any] | None) -> Options:
    try:
        options = Options(**(places or {}))
    except TypeError as error:
        msg = (
            f"Route {path!r} must map to None or to a mapping with 'features', 'output', 'key' and 'segments', "
            f"got {places!r}."
        )
        raise ConfigError(msg) from error
    for name, pick in (("features", options.features), ("output", options.output)):
        if pick is not None and not isinstance(pick, str) and not callable(pick):
            msg = f"Route {path!r}: '{name}' must be a dotted path, a callable or None, got {pick!r}."
            raise ConfigError(msg)
    check_key(options.key, f"Route {path!r}: ")
    given: Any = options.segments or None  # a mapping, as users write it
    return replace(options, segments=checked_places(given, f"Route {path!r}: ", takes_functions=False))


class _Watched:
    """Passes the app's status and headers to an answer when the app starts its response."""

    def __init__(self, answer: Answer, start_response: Callable[..., Any]) -> None:
        self._answer = answer
        self._start_response = start_response

    def __call__(self, status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Callable[[bytes], Any]:
        """Note status and headers, and add the prediction id."""
        code = status.partition(" ")[0]
        self._answer.start(int(code) if code.isdecimal() else 500, Headers(headers))
        prediction_id = self._answer.capture.prediction_id
        write = self._start_response(status, [*headers, (PREDICTION_ID_HEADER, prediction_id)], *exc_info)

        def watched(data: bytes) -> Any:
            self._answer.see(data)
            return write(data)

        return watched
