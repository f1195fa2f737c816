"""The caller's own key in one request: in a header, or at a place in the JSON.

The JSON is parsed again for it, so the key is found under any convention, and nothing is shared with the view.
"""

from __future__ import annotations

from typing import Any

from werkzeug.wrappers import Request

from flask_boxkite.monitoring.redaction import REDACTED, Redaction
from flask_boxkite.values.keys import key_of
from flask_boxkite.values.paths import value_at
from flask_boxkite.web.body_document import BodyDocument
from flask_boxkite.web.options import key_header

__all__ = ["RequestKey"]


class RequestKey:
    """The key of one request, once a document or a body has shown it.

    Attributes:
        text: The key; None if it is not found.
        shown: The key as the record has it, a placeholder if it is redacted; None if it is not found.

    Args:
        place: Place of the key, as for `Options`.
        request: The request.
        redaction: Hides fields of the request; None if none is hidden by name.
        limit: Largest size of a decompressed body in bytes.
    """

    def __init__(self, place: str, request: Request, redaction: Redaction | None, limit: int) -> None:
        self.text: str | None = None
        self.shown: str | None = None
        self._path = place
        self._redaction = redaction
        self._body = BodyDocument(request, limit)
        header = key_header(place)
        self._is_in_body = header is None
        if header is not None:
            is_hidden = redaction is not None and redaction.names_one([header, place])
            self._take(request.headers.get(header), is_hidden=is_hidden)

    def take_body(self, body: bytes) -> None:
        """Find the key in a whole body, if it is not found yet."""
        if self.text is not None or not self._is_in_body:
            return
        try:
            self.take_document(self._body.of(body))
        except (LookupError, ValueError, RecursionError):  # it is not JSON
            return

    def take_document(self, document: Any) -> None:
        """Find the key in the JSON of the request, if it is not found yet."""
        if self.text is not None or not self._is_in_body:
            return
        try:
            value = value_at(document, self._path)
        except LookupError:
            return
        self._take(value, is_hidden=self._redaction is not None and self._is_hidden(self._redaction, document, value))

    def _is_hidden(self, redaction: Redaction, document: Any, value: Any) -> bool:
        try:
            return bool(value_at(redaction.hidden(document), self._path) != value)
        except LookupError:  # a part of the document around it is hidden
            return True

    def _take(self, value: Any, *, is_hidden: bool) -> None:
        self.text = key_of(value)
        self.shown = REDACTED if is_hidden and self.text is not None else self.text
