"""One HTTP POST to a webhook, with a bound on its time and on the part of the answer that is read.

The address is a secret, since it is all that a sender needs. No error or log line shows more of it than the host. No
redirect is followed, which might hand the message to another host. Proxies are the environment's (``HTTPS_PROXY``,
``NO_PROXY``), certificates the system's (``SSL_CERT_FILE``).
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import re
import socket
import ssl
import threading
import urllib.error
import urllib.request
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from flask_boxkite.notify.errors import ReceiverError

__all__ = ["post"]

_MOST_BYTES = 1024
"""Most bytes of an answer that are read, for its reason."""

_REASON = re.compile(r"[a-z]+(?:_[a-z]+)*")
"""The reasons that Slack gives, such as ``channel_is_archived``. Other answers may quote the request's address."""

_LONGEST_REASON = 60
_LONGEST_RETRY_SECONDS = 3600.0


def post(url: str, body: bytes, *, key: str, timeout: float) -> None:
    """Send a JSON document.

    Args:
        url: Address of the receiver; a user and a password in it become Basic authentication.
        body: The document.
        key: Id of the message, for receivers that tell repetitions by the header ``Idempotency-Key``.
        timeout: Seconds that each step, and all after the connection together, may take.

    Raises:
        ReceiverError: The receiver did not take it; the text does not show the address.
    """
    address, headers = _without_user(url)
    headers |= {"Content-Type": "application/json", "User-Agent": "flask-boxkite", "Idempotency-Key": key}
    request = urllib.request.Request(address, data=body, headers=headers, method="POST")
    limit = _Limit(timeout)
    opener = urllib.request.build_opener(_NoRedirect, _Http(limit), _Https(limit))
    try:
        with limit, opener.open(request, timeout=timeout):
            pass
    except urllib.error.HTTPError as error:
        with error:
            raise _refused(error) from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        # The cause is left out: its text may quote the address.
        raise ReceiverError(_reason(error, is_late=limit.is_over)) from None


def _without_user(url: str) -> tuple[str, dict[str, str]]:
    """Return an address without user, password and fragment, and the header that takes their place."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    address = urlunsplit((parts.scheme, host, parts.path or "/", parts.query, ""))
    if parts.username is None:
        return address, {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return address, {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _refused(error: urllib.error.HTTPError) -> ReceiverError:
    """Return the error of an answer other than 2xx."""
    if 300 <= error.code < 400:
        return ReceiverError(f"it answers {error.code}, which leads elsewhere; set the final address")
    text = b""
    with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
        text = error.fp.read1(_MOST_BYTES) if hasattr(error.fp, "read1") else b""
    reason = text.decode("latin-1").strip()
    shown = f" ({reason})" if len(reason) <= _LONGEST_REASON and _REASON.fullmatch(reason) else ""
    return ReceiverError(f"it answers {error.code}{shown}", retry_after=_seconds(error.headers.get("Retry-After")))


def _seconds(text: str | None) -> float | None:
    """Return the seconds of a header ``Retry-After``; None without one, or where it is a date."""
    if text is None or not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text.strip()):
        return None
    return min(float(text), _LONGEST_RETRY_SECONDS)


def _reason(error: Exception, *, is_late: bool) -> str:
    cause = getattr(error, "reason", error)
    if is_late or isinstance(cause, TimeoutError):
        return "it does not answer in time"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError):
        return "no TLS connection can be made"
    if isinstance(cause, (socket.gaierror, UnicodeError)):
        return "its host is not known"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror.lower()
    if isinstance(cause, http.client.HTTPException):
        return "its answer is not HTTP"
    return f"it cannot be reached ({type(cause).__name__})"


class _Limit:
    """A limit on the time of a request: at its end, connections are shut down. A context manager."""

    def __init__(self, seconds: float) -> None:
        self.is_over = False
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []

    def watch(self, connection: socket.socket) -> None:
        """Shut a connection down at the end; TLS takes over its socket, so a copy is kept."""
        with self._lock:
            self._sockets.append(connection.dup())
        if self.is_over:  # the connection itself took as long
            self._end()

    def _end(self) -> None:
        self.is_over = True
        with self._lock:
            for each in self._sockets:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> None:
        try:
            self._timer.start()
        except RuntimeError as error:  # Python is ending
            raise OSError(0, "no thread can be started") from error

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._lock:
            while self._sockets:
                self._sockets.pop().close()


class _Watched(http.client.HTTPConnection):
    """A connection that a limit watches from its beginning, before TLS."""

    limit: _Limit

    def connect(self) -> None:
        super().connect()
        self.limit.watch(self.sock)


class _WatchedTls(http.client.HTTPSConnection, _Watched):
    """The same with TLS: `http.client.HTTPSConnection` connects by the next class, then begins TLS."""


def _connection(kind: type[_Watched], limit: _Limit, host: str, **options: Any) -> _Watched:
    connection = kind(host, **options)
    connection.limit = limit
    return connection


class _Http(urllib.request.HTTPHandler):
    def __init__(self, limit: _Limit) -> None:
        super().__init__()
        self._limit = limit

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_connection, _Watched, self._limit), req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, limit: _Limit) -> None:
        self._made = ssl.create_default_context()
        super().__init__(context=self._made)
        self._limit = limit

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_connection, _WatchedTls, self._limit), req, context=self._made)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect, so that its answer is an error."""

    def redirect_request(self, *_: Any) -> None:
        return None
