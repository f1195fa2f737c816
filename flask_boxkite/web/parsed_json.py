"""A request's JSON, parsed once for us and the view.

The request still looks unread. Once the view asks for its JSON, the request is as if it had read and parsed its body:
in Flask's own way, if the request has one; else by the module that parses.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import cache, lru_cache
from io import BytesIO
from operator import itemgetter
from typing import Any
from weakref import ref

from flask import Request as FlaskRequest
from flask.json.provider import DefaultJSONProvider
from werkzeug.wrappers import Request

from flask_boxkite.compiled import native

__all__ = ["ParsedJson", "parsed_once"]

_READERS = ("get_json", "get_data", "stream", "max_content_length", "is_json", "mimetype", "_cached_json")
"""Attributes of a request by which it reads JSON and remembers it."""

_sources = itemgetter("wsgi.input", "CONTENT_LENGTH", "CONTENT_TYPE")
"""Takes from a request's environment the facts by which its JSON is read."""


def parsed_once(request: Request, body: bytes, config: Mapping[str, Any] | None, *, is_fast: bool) -> Any:
    """Parse a request's body as its own module for JSON does, and let the request give the view the same document.

    Args:
        request: The request, whose body can still be read.
        body: Its whole body.
        config: Configuration of the Flask app; None for another app.
        is_fast: Whether msgspec may parse in place of Flask's own provider. It accepts less JSON than Python does (no
            NaN, no number beyond all floats, UTF-8 alone), and gives the same values for all that it accepts.

    Raises:
        ValueError, RecursionError: The JSON cannot be read.
    """
    module: Any = request.json_module
    document = _parsed_fast(module, body) if is_fast else module.loads(body)

    environ = request.environ
    is_whole = environ.get("CONTENT_LENGTH") == str(len(body)) and type(environ["wsgi.input"]) is BytesIO
    kind: Hashable = type(request)  # type: ignore[assignment]  # a class is, whether its requests are or not
    if is_whole and config is not None and _reads_as_flask(kind):
        request.__dict__["_cached_json"] = _stand_in(request, body, document, config)
    else:
        request.json_module = _ParsedOnce(module, body, document)  # type: ignore[assignment]
    return document


def _parsed_fast(module: Any, body: bytes) -> Any:
    # A provider of the app's own may parse in its own way.
    if getattr(type(module), "loads", None) is DefaultJSONProvider.loads:
        try:
            return _decoder()(body)
        except (ValueError, RecursionError):
            pass
    return module.loads(body)


@cache
def _decoder() -> Callable[[bytes], Any]:
    from msgspec.json import Decoder

    return Decoder().decode


@lru_cache
def _reads_as_flask(kind: Hashable) -> bool:
    """Say whether a class reads JSON as Flask's does: a subclass may read in its own way."""
    missing = object()
    return all(getattr(kind, name, missing) is getattr(FlaskRequest, name, None) for name in _READERS)


class ParsedJson:
    """Stands in the place of a request's parsed JSON until the view asks for it.

    It spares the view four calls through Werkzeug and the wrapper of the body, 5 µs of a request. A copy of the request
    has the same one: it gets the document as the request would, or parses by itself.
    """

    __slots__ = ("_body", "_config", "_document", "_module", "_request", "_sources")

    def __init__(self, request: Request, body: bytes, document: Any, config: Mapping[str, Any]) -> None:
        self._request = ref(request)  # a cycle would keep each request until the garbage collector comes
        self._body = body
        self._document = document
        self._config = config
        self._module = request.json_module
        self._sources = _sources(request.environ)

    def __iter__(self) -> Iterator[Any]:
        """Yield the values that stand here in a request that has parsed nothing."""
        return iter((..., ...))

    def __getitem__(self, is_silent: bool) -> Any:
        """Return the document and leave the request as its own parsing would; `...` to let it parse by itself."""
        request = self._request()
        if request is None:
            return ...
        attributes = request.__dict__
        try:
            is_same = _sources(request.environ) == self._sources and request.json_module is self._module
        except KeyError:
            is_same = False
        # Only a request that would parse the same body, in the same way, gets the document.
        if is_same and not request.shallow and "get_data" not in attributes and self._is_read(attributes):
            attributes["_cached_json"] = (self._document, self._document)
            return self._document
        attributes.pop("_cached_json", None)
        return ...

    def _is_read(self, attributes: dict[str, Any]) -> bool:
        """Read the whole body, if the request would; return whether it is read."""
        if "_cached_data" in attributes:
            return bool(attributes["_cached_data"] == self._body)
        buffer = self._sources[0]
        if "stream" in attributes or "_max_content_length" in attributes or buffer.closed or buffer.tell():
            return False
        limit = self._config["MAX_CONTENT_LENGTH"]
        if limit is not None and len(self._body) >= limit:
            return False
        buffer.seek(0, 2)
        attributes["stream"] = buffer
        attributes["_cached_data"] = self._body
        return True


_stand_in: Callable[..., Any] = ParsedJson if native is None else native.ParsedJson


class _ParsedOnce:
    """A request's ``json_module`` that already has the parsed body, and returns it once."""

    def __init__(self, module: Any, body: bytes, document: Any) -> None:
        self._module = module
        self._known = [(body, document)]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def loads(self, data: Any, **options: Any) -> Any:
        """Return the document, which the caller may change; a second call parses a new one."""
        if self._known and not options:
            body, document = self._known.pop()
            if data == body:
                return document
        return self._module.loads(data, **options)
