"""Client of a running server: of its drift page, whose numbers it reads, and of its route for outcomes."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NoReturn
from urllib.parse import SplitResult, quote, urlencode, urlsplit, urlunsplit

from flask_boxkite.errors import BoxkiteError
from flask_boxkite.live.failed import OddFeature
from flask_boxkite.quoting import masked_address

__all__ = ["fetch_history", "fetch_json", "fetch_report", "fetch_segments", "post_outcomes"]

_TIMEOUT_SECONDS = 30.0
MOST_BYTES = 256 * 1024 * 1024
"""Largest page; something other than a page might never end."""

_IN_PATHS = "/%:@!$&'()*+,;=~"
"""Characters that stay as they are in an address; browsers encode all others."""

_KEYS = frozenset({"model", "baseline", "version", "rows", "latency_seconds", "drift"})
"""Keys of each model."""

_FAILED_KEYS = frozenset({"rows", "unread", "features"})
_ODD_KEYS = frozenset(OddFeature._fields)
"""Keys of failed requests, and of each feature that was odd in them; earlier releases do not have them."""

_HISTORY_KEYS = frozenset({"model", "baseline", "length", "days", "variables", "metric", "ahead"})
"""Keys of the history of each model."""

_VARIABLE_KEYS = frozenset({"name", "side", "kind", "verdict", "reason", "since", "rows", "size"})
"""Keys of each variable that servers of earlier releases may lack."""

_SEGMENT_KEYS = frozenset({"name", "text", "rows", "verdict", "variables"})
_SEGMENTED_KEYS = frozenset({"by", "model", "baseline", "window", "alpha", "against", "segments"})
"""Keys of each segment, and of a report on segments."""

_GIVE_TOKEN = "Set 'BOXKITE_METRICS_TOKEN' to the server's token. (--token gives it too, but others can see that.)"

_REMEDIES = {
    401: _GIVE_TOKEN,
    403: _GIVE_TOKEN,
    503: "It cannot read its own counts just now; its page says why.",
    404: "Is the drift page on ('BOXKITE_DASHBOARD_PATH'), and is this its address?",
}

_NO_ROUTE = "Does the server take outcomes ('BOXKITE_OUTCOMES_PATH'), and is this the address of that route?"
_REMEDIES_OF_OUTCOMES = {401: _GIVE_TOKEN, 403: _GIVE_TOKEN, 404: _NO_ROUTE, 405: _NO_ROUTE}
_NOT_NOW = 503
_EXPLAINED = (400, 404, _NOT_NOW)
"""Status codes whose reason the page of segments gives."""

_LONGEST_REASON = 500


def fetch_json(url: str, *, window: str | None, token: str | None, most_bytes: int = MOST_BYTES) -> dict[str, Any]:
    """Return the JSON of the page.

    Args:
        url: Address of the page.
        window: ``"5m"``, ``"1h"`` or ``"24h"``; None for all since the start.
        token: Token of the server; None if it requires none.
        most_bytes: Size of the largest page.

    Raises:
        BoxkiteError: The page cannot be read, or is not a drift page.
    """
    text = _fetch(url, "drift.json", window, token, most_bytes)
    return _content(url, text, _is_page)


def _content(url: str, text: str, is_readable: Callable[[Any], bool]) -> dict[str, Any]:
    """Return the JSON of a page.

    Raises:
        BoxkiteError: It is the answer of something else.
    """
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if not is_readable(content):
        msg = f"'{url}' is not a drift page that this release can read. Give the address of the page itself."
        raise BoxkiteError(msg)
    page: dict[str, Any] = content
    return page


def _is_page(content: Any) -> bool:
    if not isinstance(content, dict) or content.get("format") != 1 or "window" not in content:
        return False
    models = content.get("models")
    return isinstance(models, list) and all(isinstance(item, dict) and _is_model(item) for item in models)


def _is_model(item: dict[str, Any]) -> bool:
    variables = (item.get("drift") or {"variables": []})["variables"]
    failed = item.get("failed") or {"rows": 0, "unread": 0, "features": []}
    if not (failed.keys() >= _FAILED_KEYS and all(odd.keys() >= _ODD_KEYS for odd in failed["features"])):
        return False
    return item.keys() >= _KEYS and all(variable.keys() >= _VARIABLE_KEYS for variable in variables)


def fetch_report(url: str, *, window: str | None, token: str | None) -> str:
    """Return the page's report as HTML; see `fetch_json` for arguments and errors."""
    return _fetch(url, "report.html", window, token)


def fetch_segments(url: str, *, by: str, model: str | None, window: str | None, token: str | None) -> dict[str, Any]:
    """Return the JSON of the page of segments.

    Args:
        url: Address of the drift page.
        by: Variable that segments rows.
        model: Name of the model; None for the only one that has such segments.
        window: ``"5m"``, ``"1h"`` or ``"24h"``; None for all since the start.
        token: Token of the server; None if it requires none.

    Raises:
        BoxkiteError: The page cannot be read, the server has no such segments, or several models have them.
    """
    query = {"by": by} if model is None else {"by": by, "model": model}
    text = _fetch(url, "segments.json", window, token, query=query, quotes_reason=True)
    return _content(url, text, _is_segmented)


def _is_segmented(content: Any) -> bool:
    if not isinstance(content, dict) or content.get("format") != 1 or not content.keys() >= _SEGMENTED_KEYS:
        return False
    segments = content["segments"]
    return isinstance(segments, list) and all(
        isinstance(item, dict)
        and item.keys() >= _SEGMENT_KEYS
        and all(variable.keys() >= _VARIABLE_KEYS for variable in item["variables"])
        for item in segments
    )


def post_outcomes(url: str, body: bytes, content_type: str, *, token: str | None) -> tuple[bool, dict[str, Any]]:
    """Send outcomes to a server's route.

    Args:
        url: Address of the route.
        body: Body of the request.
        content_type: Type of the body.
        token: Token of the server; None if it requires none.

    Returns:
        Whether all outcomes could be written; and the route's answer, with ``counted``, ``rejected`` and ``reasons``,
        empty if the server could not even give one.

    Raises:
        BoxkiteError: The server cannot be reached, refuses the outcomes, or has no such route there.
    """
    address = _address(url)
    headers = {"Content-Type": content_type, **_authorization(token)}
    request = urllib.request.Request(address, data=body, headers=headers, method="POST")
    page = address.partition("?")[0]
    try:
        with _opener().open(request, timeout=_TIMEOUT_SECONDS) as answer:
            return True, _counts(page, answer.read(MOST_BYTES))
    except urllib.error.HTTPError as error:
        with error:
            text = error.read(MOST_BYTES)
            if error.code == _NOT_NOW:
                return False, _counts(page, text) if text.startswith(b"{") else {}
            _refuse(page, error, {error.code: _reason(error, text)} | _REMEDIES_OF_OUTCOMES)
    except (OSError, ValueError, http.client.HTTPException) as error:
        _not_reached(page, error)


def _reason(error: urllib.error.HTTPError, text: bytes) -> str:
    """Return the reason that one of our routes gives for a refusal; empty if it is the answer of something else."""
    is_ours = error.headers.get_content_type() == "text/plain"
    return text.decode("utf-8", "replace").strip()[:_LONGEST_REASON] if is_ours else ""


def _counts(page: str, text: bytes) -> dict[str, Any]:
    """Read an answer of the route.

    Raises:
        BoxkiteError: It is the answer of something else.
    """
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    if isinstance(answer, dict) and answer.keys() >= {"counted", "rejected", "reasons"}:
        return answer
    msg = f"'{page}' answers, but not as a route for outcomes does. {_NO_ROUTE}"
    raise BoxkiteError(msg)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refuses redirects: a token is for the named server only."""

    def redirect_request(self, *_args: Any) -> None:
        return None


def fetch_history(url: str, *, days: int, token: str | None) -> dict[str, Any]:
    """Return the JSON of the history on the page.

    Args:
        url: Address of the page.
        days: Number of days.
        token: Token of the server; None if it requires none.

    Raises:
        BoxkiteError: It cannot be read, or the server has none.
    """
    text = _fetched(_address(url, "/history.json", days=str(days)), token, MOST_BYTES)
    try:
        content = json.loads(text)
        is_history = content["format"] == 1 and all(item.keys() >= _HISTORY_KEYS for item in content["models"])
    except (ValueError, TypeError, KeyError, AttributeError):
        is_history = False
    if not is_history:
        msg = f"'{url}' has no history that this release can read. Give the address of the drift page."
        raise BoxkiteError(msg)
    history: dict[str, Any] = content
    return history


def _fetch(
    url: str,
    what: str,
    window: str | None,
    token: str | None,
    most_bytes: int = MOST_BYTES,
    query: Mapping[str, str] = MappingProxyType({}),
    *,
    quotes_reason: bool = False,
) -> str:
    address = _address(url, f"/{what}", window=window or "start", **query)
    return _fetched(address, token, most_bytes, quotes_reason=quotes_reason)


def _fetched(address: str, token: str | None, most_bytes: int, *, quotes_reason: bool = False) -> str:
    page = address.partition("?")[0]  # the form for messages
    request = urllib.request.Request(address, headers=_authorization(token))

    try:
        with _opener().open(request, timeout=_TIMEOUT_SECONDS) as answer:
            text = answer.read(most_bytes + 1)
            if len(text) > most_bytes:
                msg = f"'{page}' does not end. Is it the address of the page?"
                raise BoxkiteError(msg)
            return str(text.decode())
    except urllib.error.HTTPError as error:
        with error:
            reason = _reason(error, error.read(most_bytes)) if quotes_reason and error.code in _EXPLAINED else ""
            _refuse(page, error, _REMEDIES | ({error.code: reason} if reason else {}))
    except (OSError, ValueError, http.client.HTTPException) as error:
        _not_reached(page, error)


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_NoRedirect)


def _not_reached(page: str, error: Exception) -> NoReturn:
    reason = getattr(error, "reason", error)
    msg = f"'{page}' cannot be reached: {reason}. Does the server run, and is this its address?"
    raise BoxkiteError(msg) from error


def _address(url: str, below: str = "", **query: str) -> str:
    """Return an address below the given one, which may have a browser's query, with another query."""
    try:
        parts = urlsplit(url)
        host, user = parts.hostname, parts.username
    except ValueError:
        parts, host, user = SplitResult("", "", "", "", ""), None, None
    if user is not None:
        msg = f"'--url' must not contain a user or password, which others can see. {_GIVE_TOKEN}"
        raise BoxkiteError(msg)
    if parts.scheme not in ("http", "https") or not host:
        msg = f"'--url' must begin with http:// or https:// and a host, got {masked_address(url)!r}."
        raise BoxkiteError(msg)

    path = quote(parts.path.rstrip("/") if below else parts.path, safe=_IN_PATHS)
    return urlunsplit((parts.scheme, parts.netloc, f"{path}{below}", urlencode(query), ""))


def _authorization(token: str | None) -> dict[str, str]:
    return {"Authorization": _bearer(token)} if token else {}


def _bearer(token: str) -> str:
    """Return the header with a token, in UTF-8, as header fields hold it in Latin-1.

    Raises:
        BoxkiteError: No header can contain the token, which the message does not show.
    """
    if not token.isprintable():
        msg = "'--token' contains a line break, or something else that cannot be sent. Is there one at its end?"
        raise BoxkiteError(msg)
    return f"Bearer {token}".encode().decode("latin-1")


def _refuse(page: str, error: urllib.error.HTTPError, remedies: Mapping[int, str]) -> NoReturn:
    where = error.headers.get("Location")
    remedy = f"Name that address, if it is the server's: {where}." if where else remedies.get(error.code, "")
    msg = f"'{page}' answered {error.code} {error.reason}. {remedy}".rstrip()
    raise BoxkiteError(msg) from error
