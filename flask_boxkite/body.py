"""Seeing a request's body without taking it from the view.

A body within the limit is read at once and put back. A longer one, or one without a length, passes through a tee: the
view reads it as ever, and what it reads is kept up to a bound. Either way `request.stream`, `get_data`, `form`, `files`
and the raw ``wsgi.input`` give the view what they would have given it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

from werkzeug.wrappers import Request

__all__ = ["BodyTee", "JsonSpy", "buffered_body", "put_back"]


def buffered_body(request: Request, limit: int) -> bytes | None:
    """Read the body if it is at most *limit* bytes and nobody has touched it, and put it back; else return None."""
    environ = request.environ
    if "_cached_data" in request.__dict__:  # somebody called get_data() or get_json() before the view
        data: bytes = request.get_data()
        return data
    if "stream" in request.__dict__:
        return None
    length = environ.get("CONTENT_LENGTH")
    if not length:
        return None if "HTTP_TRANSFER_ENCODING" in environ else b""
    if not length.isdecimal() or int(length) > limit:
        return None
    data = _read(environ["wsgi.input"], int(length))
    environ["wsgi.input"] = io.BytesIO(data)
    return data


def _read(stream: Any, length: int) -> bytes:
    """Read exactly *length* bytes, or less where the client hung up."""
    data: bytes = stream.read(length)
    while 0 < len(data) < length:
        more = stream.read(length - len(data))
        if not more:
            break
        data += more
    return data


def put_back(request: Request, data: bytes) -> None:
    """Undo that parsing a body read it: the view's own ``request.stream`` starts at the first byte again."""
    request.__dict__.pop("stream", None)
    request.environ["wsgi.input"] = io.BytesIO(data)


class BodyTee:
    """Stands for ``wsgi.input`` and keeps a copy of what is read, up to a bound.

    Args:
        stream: The server's input.
        keep: How many bytes to keep.
    """

    def __init__(self, stream: Any, keep: int) -> None:
        self._stream = stream
        self._keep = keep
        self._kept = bytearray()
        self.size = 0

    @property
    def data(self) -> bytes:
        """What was kept."""
        return bytes(self._kept)

    @property
    def is_whole(self) -> bool:
        """Whether everything that was read was kept."""
        return self.size <= self._keep

    def _seen(self, data: bytes) -> bytes:
        self.size += len(data)
        if (room := self._keep - len(self._kept)) > 0:
            self._kept += data[:room]
        return data

    def read(self, *size: int) -> bytes:
        """Read as the server's input does."""
        return self._seen(self._stream.read(*size))

    def readline(self, *size: int) -> bytes:
        """Read a line as the server's input does."""
        return self._seen(self._stream.readline(*size))

    def readlines(self, *hint: int) -> list[bytes]:
        """Read lines as the server's input does."""
        return [self._seen(line) for line in self._stream.readlines(*hint)]

    def __iter__(self) -> Iterator[bytes]:
        return map(self._seen, self._stream)

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; written here since servers' inputs often have none."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class JsonSpy:
    """A request's ``json_module`` that shows what it parsed, before the view can change it."""

    def __init__(self, module: Any, show: Callable[[Any], None]) -> None:
        self._module = module
        self._show = show

    def loads(self, data: Any, **options: Any) -> Any:
        """Parse, and show the result."""
        document = self._module.loads(data, **options)
        self._show(document)
        return document

    def dumps(self, value: Any, **options: Any) -> Any:
        """Write as the module does."""
        return self._module.dumps(value, **options)
