"""The same capture around any WSGI app: Bottle, Django, Falcon, or a bare function.

There is no view to look into here: features come from the raw request, the output from the raw response. A response is
passed on as it comes, never held back; its prediction is counted before the last bytes leave, so a scrape that begins
after an answer sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from werkzeug.wrappers import Request

from flask_boxkite.answers import as_reply
from flask_boxkite.capture import Capture, Options
from flask_boxkite.errors import ConfigError
from flask_boxkite.naming import PREDICTION_ID_HEADER
from flask_boxkite.redacted import RedactedCapture
from flask_boxkite.reply import Reply
from flask_boxkite.service import ModelMonitoringService
from flask_boxkite.views import metrics_response

__all__ = ["BoxkiteMiddleware"]

_READABLE = ("application/json", "text/csv", "text/plain", "text/html")
_LONGEST_RESPONSE = 16 * 1024 * 1024
"""Longer responses are passed on without looking for an output."""


class BoxkiteMiddleware:
    """Wraps a WSGI app whose routes predict.

    Args:
        wsgi_app: The app.
        service: Where predictions are counted and logged.
        routes: The paths that predict. Each maps to None or an empty mapping for payload conventions, or to a mapping
            with ``features`` and ``output``: a dotted path into the JSON, or a callable that gets the request (of
            Werkzeug), respectively the parsed response.
        metrics_path: Where the metrics are served; None for no route.

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
        self._routes = {path: _options(path, given) for path, given in routes.items()}
        self._metrics_path = metrics_path if service.settings.enabled else None
        self._capture = Capture if service.redaction is None else RedactedCapture
        self._is_checked = False

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve one request."""
        if not self._is_checked:
            self._is_checked = True
            self._service.check_server(environ)
        path = environ.get("PATH_INFO", "")
        if path == self._metrics_path:
            return self._metrics(environ)(environ, start_response)
        options = self._routes.get(path)
        if options is None or environ["REQUEST_METHOD"] in ("HEAD", "OPTIONS") or not self._service.settings.enabled:
            return self._app(environ, start_response)
        capture = self._capture(self._service, options, keeps_long_bodies=True)
        capture.read_request(Request(environ, populate_request=False))
        answer = _Answer(capture, start_response)
        try:
            body = self._app(environ, answer.start_response)
        except BaseException:
            capture.finish(500)
            raise
        return answer.passing(body)

    def _metrics(self, environ: dict[str, Any]) -> Callable[..., Iterable[bytes]]:
        from werkzeug.exceptions import MethodNotAllowed

        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return MethodNotAllowed(["GET", "HEAD"])
        request = Request(environ, populate_request=False)
        return metrics_response(request, self._service.export_http, self._service.settings.metrics_token)


def _options(path: str, given: Mapping[str, Any] | None) -> Options:
    try:
        options = Options(**(given or {}))
    except TypeError as error:
        msg = f"Route {path!r} must map to None or to a mapping with 'features' and 'output', got {given!r}."
        raise ConfigError(msg) from error
    for name, pick in (("features", options.features), ("output", options.output)):
        if pick is not None and not isinstance(pick, str) and not callable(pick):
            msg = f"Route {path!r}: '{name}' must be a dotted path, a callable or None, got {pick!r}."
            raise ConfigError(msg)
    return options


class _Answer:
    """Watches one response go by."""

    def __init__(self, capture: Capture, start_response: Callable[..., Any]) -> None:
        self._capture = capture
        self._start_response = start_response
        self._status = 500
        self._mimetype = ""
        self._encoding = ""
        self._length: int | None = None
        self._seen = bytearray()
        self._size = 0

    def start_response(self, status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Callable[[bytes], Any]:
        """Note status and headers, and add the prediction id."""
        code = status.partition(" ")[0]
        self._status = int(code) if code.isdecimal() else 500
        found = {name.lower(): value for name, value in headers}
        self._mimetype = found.get("content-type", "").partition(";")[0].strip().lower()
        length = found.get("content-length", "")
        self._length = int(length) if length.isdecimal() else None
        self._encoding = found.get("content-encoding", "")
        write = self._start_response(status, [*headers, (PREDICTION_ID_HEADER, self._capture.prediction_id)], *exc_info)

        def watched(data: bytes) -> Any:
            self._see(data)
            return write(data)

        return watched

    def passing(self, body: Iterable[bytes]) -> Iterable[bytes]:
        """Return the body to send."""
        if isinstance(body, (list, tuple)):
            for chunk in body:
                self._see(chunk)
            self._finish()
            return body
        return _Passing(self, body)

    def _see(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size <= _LONGEST_RESPONSE:
            self._seen += chunk

    def see(self, chunk: bytes) -> None:
        """Look at a chunk before it leaves; the last one finishes the prediction."""
        self._see(chunk)
        if self._length is not None and self._size >= self._length:
            self._finish()

    def _finish(self) -> None:
        if self._capture.is_finished:
            return
        if self._status < 400:
            is_readable = self._mimetype in _READABLE and not self._encoding and self._size <= _LONGEST_RESPONSE
            self._capture.take_payload(bytes(self._seen) if is_readable else b"", self._mimetype)
        self._capture.finish(self._status, self._reply() if self._capture.keeps_reply else None)

    def _reply(self) -> Reply:
        data = bytes(self._seen) if self._size <= _LONGEST_RESPONSE else None
        return as_reply(data, self._mimetype, self._encoding, self._size)

    def end(self, *, is_complete: bool) -> None:
        """Finish what is not finished: at the end of the body, or when the client or the app gave up."""
        if is_complete:
            self._finish()
        else:
            self._capture.finish(500)


class _Passing:
    """A response body on its way to the server."""

    def __init__(self, answer: _Answer, body: Iterable[bytes]) -> None:
        self._answer = answer
        self._body = body
        self._chunks: Iterator[bytes] = iter(body)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            chunk = next(self._chunks)
        except StopIteration:
            self._answer.end(is_complete=True)
            raise
        except BaseException:
            self._answer.end(is_complete=False)
            raise
        self._answer.see(chunk)
        return chunk

    def close(self) -> None:
        """Close the app's body."""
        try:
            if callable(close := getattr(self._body, "close", None)):
                close()
        finally:
            self._answer.end(is_complete=False)
