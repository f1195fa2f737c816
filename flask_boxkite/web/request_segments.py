"""The values of one request that segment rows and are no features: from its JSON, its headers, and functions.

They are taken as observed values. A value that a request does not have is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from werkzeug.wrappers import Request

from flask_boxkite.monitoring.redaction import Redaction
from flask_boxkite.values.conversion import plain
from flask_boxkite.values.paths import values_at
from flask_boxkite.web.body_document import BodyDocument
from flask_boxkite.web.options import key_header
from flask_boxkite.web.request_body import untouched
from flask_boxkite.web.segment_places import SegmentPlaces

__all__ = ["RequestSegments"]


class RequestSegments:
    """The values of one request; those in a long body come with the document, or with the whole body.

    Attributes:
        values: Values by name; None for one that is missing, or has not come yet.
        hidden: Names of the values that records must not show.

    Args:
        places: Names and places.
        request: The request.
        redaction: Hides fields of the request; None if none is hidden by name.
        limit: Largest size of a decompressed body in bytes.
        complain: Function that is called where a function among the places has raised, with a message.
    """

    def __init__(
        self,
        places: SegmentPlaces,
        request: Request,
        redaction: Redaction | None,
        limit: int,
        complain: Callable[[str], Any],
    ) -> None:
        self.values: dict[str, Any] = dict.fromkeys(name for name, _ in places)
        self.hidden: frozenset[str] = frozenset()
        self._places = places
        self._redaction = redaction
        self._body = BodyDocument(request, limit)
        self._complain = complain
        texts = [(name, place) for name, place in places if isinstance(place, str)]
        self._paths = [(name, place) for name, place in texts if key_header(place) is None]
        for name, place in texts:
            if (header := key_header(place)) is not None:
                self.values[name] = request.headers.get(header)
                if redaction is not None and redaction.names_one([header, place]):
                    self._hide(name)

    def call(self, request: Request, *, is_buffered: bool) -> None:
        """Call the functions; the view reads a body that is in memory as if they had not.

        Args:
            request: The request, which is the current one.
            is_buffered: Whether its whole body is in memory.
        """
        for name, place in self._places:
            if callable(place):
                try:
                    if is_buffered:
                        with untouched(request):
                            self.values[name] = _kept(place())
                    else:
                        self.values[name] = _kept(place())
                except Exception:
                    self._complain(
                        f"The function of {name!r} in 'segments' failed, so its value is missing; the response is not "
                        "affected."
                    )

    def take_body(self, body: bytes) -> None:
        """Find the values in a whole body, unless they are found already."""
        if not self._paths:
            return
        try:
            document = self._body.of(body)
        except (LookupError, ValueError, RecursionError):  # it is not JSON
            return
        self.take_document(document)

    def take_document(self, document: Any) -> None:
        """Find the values in the JSON of the request, unless they are found already."""
        paths, self._paths = self._paths, []
        for name, path in paths:
            try:
                value = values_at(document, path)
                self.values[name] = _kept(value)
            except (LookupError, RecursionError):
                continue
            if self._redaction is not None and self._is_hidden(self._redaction, document, path, value):
                self._hide(name)

    def _is_hidden(self, redaction: Redaction, document: Any, path: str, value: Any) -> bool:
        try:
            return bool(values_at(redaction.hidden(document), path) != value)
        except LookupError:  # a part of the document around it is hidden
            return True

    def _hide(self, name: str) -> None:
        self.hidden = self.hidden | {name}


def _kept(value: Any) -> Any:
    """Return a value as it is now, which the view may change."""
    return deepcopy(plain(value))
