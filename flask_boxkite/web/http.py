"""The metrics route, and the common parts of our answers over HTTP: headers, compression, token."""

from __future__ import annotations

import gzip
import hmac
import logging
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qsl

from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Request, Response

from flask_boxkite.system.throttle import Throttle

__all__ = ["POLICY", "arguments", "compressed", "has_token", "metrics_response", "not_now", "refused"]

logger = logging.getLogger("flask_boxkite")

_throttle = Throttle()

Export = Callable[[Mapping[str, Sequence[str]], Mapping[str, str]], "tuple[bytes, str]"]

POLICY = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of every answer: a browser runs no script in it. The page allows a little more."""

_GZIP_LEVEL = 1
"""Fastest level: metrics and pages shrink to a twentieth at any level, and must not cost more than a prediction."""


def metrics_response(request: Request, export: Export, token: str | None) -> Response:
    """Answer a scrape: the token first, then format and compression by the request's headers.

    Args:
        request: A GET or HEAD request.
        export: Renders the metrics, given query parameters and headers.
        token: Bearer token to require; None for none.
    """
    if token is not None and not has_token(request, token):
        return refused("A bearer token is required.", 401, {"WWW-Authenticate": 'Bearer realm="metrics"'})
    try:
        body, content_type = export(arguments(request).to_dict(flat=False), dict(request.headers))
    except OSError as error:  # without the counts of other processes, counters would fall
        return not_now("The counts cannot be read just now", error, "The next scrape tries again.")
    headers = {"Content-Type": content_type, "Cache-Control": "no-store", "Vary": "Accept", **POLICY}
    return compressed(request, body, headers)


def arguments(request: Request) -> MultiDict[str, str]:
    """Return the query parameters, also where they are not UTF-8, for which ``request.args`` raises."""
    return MultiDict(parse_qsl(request.query_string.decode("utf-8", "replace"), keep_blank_values=True))


def refused(text: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with one line of text that gives the reason."""
    own = {"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store", **POLICY}
    return Response(f"{text}\n", status, own | dict(headers or {}))


def not_now(fact: str, error: OSError, remedy: str) -> Response:
    """Answer that files cannot be read at the moment; the log names them once in a while."""
    if _throttle.allows():
        logger.warning("%s.", fact, exc_info=error)
    return refused(f"{fact}: {error.strerror or type(error).__name__}. {remedy}", 503)


def compressed(request: Request, body: bytes, headers: Mapping[str, str], status: int = 200) -> Response:
    """Answer with *body*, compressed if the request allows it."""
    response = Response(body, status, dict(headers))
    response.vary.add("Accept-Encoding")
    if request.accept_encodings["gzip"] > 0:
        response.data = gzip.compress(body, _GZIP_LEVEL, mtime=0)
        response.content_encoding = "gzip"
    return response


def has_token(request: Request, token: str) -> bool:
    """Say whether a request has the token; comparing takes constant time, so the delay reveals nothing."""
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    # WSGI decodes headers as Latin-1, so the last byte of a letter may look like a blank.
    sent = credentials.strip(" \t").encode("latin-1", "replace")
    return scheme.lower() == "bearer" and hmac.compare_digest(sent, token.encode())
