"""The drift page of a running server, asked for its numbers."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any, NoReturn
from urllib.parse import urlencode, urlsplit

from flask_boxkite.errors import BoxkiteError

__all__ = ["fetch_json", "fetch_report"]

_TIMEOUT_SECONDS = 30.0
_REMEDIES = {
    401: "Give the server's 'BOXKITE_METRICS_TOKEN' as --token.",
    403: "Give the server's 'BOXKITE_METRICS_TOKEN' as --token.",
    503: "It cannot read its own counts just now; its page says why.",
    404: "Is the drift page on ('BOXKITE_DASHBOARD_PATH'), and is this its address?",
}


def fetch_json(url: str, *, window: str | None, token: str | None) -> dict[str, Any]:
    """Return what the page tells programs.

    Args:
        url: Of the page.
        window: ``"5m"``, ``"1h"`` or ``"24h"``; None for all since the start.
        token: The server's; None if it asks for none.

    Raises:
        BoxkiteError: It cannot be had, or is something else.
    """
    text = _fetch(url, "drift.json", window, token)
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if not isinstance(content, dict) or content.get("format") != 1:
        msg = f"'{url}' is no drift page that this release can read. Give the address of the page itself."
        raise BoxkiteError(msg)
    return content


def fetch_report(url: str, *, window: str | None, token: str | None) -> str:
    """Return the page's report as HTML; arguments and errors are those of `fetch_json`."""
    return _fetch(url, "report.html", window, token)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A token is for the server that was named, not for whatever that names."""

    def redirect_request(self, *_args: Any) -> None:
        return None


def _fetch(url: str, what: str, window: str | None, token: str | None) -> str:
    if urlsplit(url).scheme not in ("http", "https"):
        msg = f"'--url' must begin with http:// or https://, got {url!r}."
        raise BoxkiteError(msg)
    address = f"{url.rstrip('/')}/{what}?{urlencode({'window': window or 'start'})}"
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    opener = urllib.request.build_opener(_NoRedirect)
    try:
        with opener.open(urllib.request.Request(address, headers=headers), timeout=_TIMEOUT_SECONDS) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            _refuse(address, error)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        msg = f"'{address}' cannot be reached: {reason}. Does the server run, and is this its address?"
        raise BoxkiteError(msg) from error


def _refuse(address: str, error: urllib.error.HTTPError) -> NoReturn:
    where = error.headers.get("Location")
    remedy = f"Name that address, if it is the server's: {where}." if where else _REMEDIES.get(error.code, "")
    msg = f"'{address}' answered {error.code} {error.reason}. {remedy}".rstrip()
    raise BoxkiteError(msg) from error
