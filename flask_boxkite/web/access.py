"""Access to the drift page: whether an app has it, at which address, and who may see it."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from flask import abort, current_app, request
from werkzeug.wrappers import Response

from flask_boxkite.config import Settings
from flask_boxkite.web.http import has_token, refused

__all__ = ["Guard", "PageAccess"]

Guard = Callable[[], Any]
"""Function called before the page is shown: it returns None to let a visitor in, or a response; or it aborts."""

DEFAULT_PATH = "/boxkite"
_KEY = "BOXKITE_DASHBOARD_PATH"


class PageAccess(NamedTuple):
    """The one place that decides who may see the drift page.

    Attributes:
        path: Path of the page; None for no page.
        token: Token that a visitor needs; None for none.
        guard: Function of the app that decides instead of the token; None for none.
        only_in_debug: Whether the page exists only while the app is in debug mode, since no setting asks for it.
    """

    path: str | None
    token: str | None
    guard: Guard | None
    only_in_debug: bool

    @classmethod
    def of(cls, config: Mapping[str, Any], settings: Settings, guard: Guard | None = None) -> PageAccess:
        """Return the access that an app's configuration gives.

        Args:
            config: Configuration of the app.
            settings: Settings that were read from it.
            guard: Function of the app that decides who may see the page.
        """
        is_set = _KEY in config
        path = settings.dashboard_path if is_set else DEFAULT_PATH
        return cls(path, settings.metrics_token, guard, only_in_debug=not is_set)

    @property
    def is_deployed(self) -> bool:
        """Whether the page exists outside of debug mode too."""
        return self.path is not None and not self.only_in_debug

    @property
    def is_open(self) -> bool:
        """Whether everybody who reaches the server sees the page, outside of debug mode too."""
        return self.is_deployed and self.token is None and self.guard is None

    def refusal(self) -> Any:
        """Return the answer to a visitor who may not see the page; None lets the visitor in.

        Raises:
            HTTPException: The page does not exist at the moment, or the app's own function refuses the visitor.
        """
        if self.only_in_debug and not current_app.debug:
            abort(404)
        if self.guard is not None:
            return current_app.ensure_sync(self.guard)()
        return _ask_for_token(self.token)

    def sender_refusal(self) -> Any:
        """Return the answer to a request that may not send outcomes; None lets it in.

        A program has the token; without a token, the guard decides.
        """
        if self.token is not None:
            bearer = {"WWW-Authenticate": 'Bearer realm="outcomes"'}
            return None if has_token(request, self.token) else refused("A bearer token is required.", 401, bearer)
        return current_app.ensure_sync(self.guard)() if self.guard is not None else None


def _ask_for_token(token: str | None) -> Response | None:
    """Refuse a visitor without the token, as bearer or as the password that a browser asks for."""
    if token is None or has_token(request, token):
        return None

    authorization = request.authorization
    password = authorization.password if authorization is not None and authorization.type == "basic" else None
    if password is not None and hmac.compare_digest(password.encode("utf-8", "replace"), token.encode()):
        return None
    text = "The token is required: as a bearer, or as the password, with any user name."
    return refused(text, 401, {"WWW-Authenticate": 'Basic realm="boxkite", charset="UTF-8"'})
