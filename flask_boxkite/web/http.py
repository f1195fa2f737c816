"""What we serve over HTTP: the metrics route."""

from __future__ import annotations

import gzip
import hmac
import logging
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qsl

from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Request, Response

from flask_boxkite.system.throttle import Throttle

__all__ = ["POLICY", "arguments", "compressed", "has_token", "metrics_response", "refused"]

logger = logging.getLogger("flask_boxkite")

_throttle = Throttle()

Export = Callable[[Mapping[str, Sequence[str]], Mapping[str, str]], "tuple[bytes, str]"]

POLICY = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of every answer: whatever names are in it, a browser runs nothing. The page allows itself a little more."""

_GZIP_LEVEL = 1
"""The fastest: metrics and pages shrink to a twentieth at any level, and should not cost more than a prediction."""


def metrics_response(request: Request, export: Export, token: str | None) -> Response:
    """Answer a scrape: the token first, then format and compression by the request's headers.

    Args:
        request: A GET or HEAD request.
        export: Renders the metrics, given query parameters and headers.
        token: Bearer token to ask for, or None.
    """
    if token is not None and not has_token(request, token):
        return refused("A bearer token is needed.", 401, {"WWW-Authenticate": 'Bearer realm="metrics"'})
    try:
        body, content_type = export(arguments(request).to_dict(flat=False), dict(request.headers))
    except OSError as error:  # without what other processes have counted, counters would fall
        if _throttle.allows():
            logger.warning("What was counted cannot be read just now.", exc_info=True)
        reason = error.strerror or type(error).__name__
        return refused(f"What was counted cannot be read just now: {reason}. The next scrape tries again.", 503)
    headers = {"Content-Type": content_type, "Cache-Control": "no-store", "Vary": "Accept", **POLICY}
    return compressed(request, body, headers)


def arguments(request: Request) -> MultiDict[str, str]:
    """Return the parameters of the query string, also where it is no UTF-8, at which ``request.args`` raises."""
    return MultiDict(parse_qsl(request.query_string.decode("utf-8", "replace"), keep_blank_values=True))


def refused(text: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with a line of text that says why there is no more."""
    own = {"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store", **POLICY}
    return Response(f"{text}\n", status, own | dict(headers or {}))


def compressed(request: Request, body: bytes, headers: Mapping[str, str], status: int = 200) -> Response:
    """Answer with *body*, compressed if the request allows it."""
    response = Response(body, status, dict(headers))
    response.vary.add("Accept-Encoding")
    if request.accept_encodings["gzip"] > 0:
        response.data = gzip.compress(body, _GZIP_LEVEL, mtime=0)
        response.content_encoding = "gzip"
    return response


def has_token(request: Request, token: str) -> bool:
    """Say whether a request bears the token; compares in constant time, so that the answer's delay tells nothing."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    # WSGI hands headers on as Latin-1, whatever they are: a byte that ends a letter may look like some kind of blank.
    sent = given.strip(" \t").encode("latin-1", "replace")
    return scheme.lower() == "bearer" and hmac.compare_digest(sent, token.encode())
