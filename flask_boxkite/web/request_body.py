"""Reading a request's body without taking it from the view.

A body within the limit is read at once and put back. A longer body, or one without a length, passes through a tee,
which keeps a copy up to a limit while the view reads it. Either way `request.stream`, `get_data`, `form`,
`files` and the raw ``wsgi.input`` give the view the same as without monitoring.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from werkzeug.wrappers import Request

__all__ = ["BodyTee", "JsonSpy", "breaks_off", "buffered_body", "reread", "untouched"]

_BODY_KEYS = ("stream", "_cached_data", "_cached_json", "data", "form", "files", "values")
"""Attributes in which a Werkzeug request caches a body."""


def buffered_body(request: Request, limit: int) -> bytes | None:
    """Read the body if it has at most *limit* bytes and is still unread, and put it back; else return None."""
    environ = request.environ
    touched = request.__dict__
    if "_cached_data" in touched:  # a hook called get_data() or get_json() before the view
        data: bytes = request.get_data()
        return data
    if "stream" in touched:
        return None

    length = environ.get("CONTENT_LENGTH")
    if not length:
        return None if "HTTP_TRANSFER_ENCODING" in environ or "wsgi.input_terminated" in environ else b""
    if not length.isdecimal() or (size := int(length)) > limit:
        return None
    stream, data = environ["wsgi.input"], b""
    try:
        data = stream.read(size)
        while 0 < len(data) < size and (more := stream.read(size - len(data))):
            data += more
    except Exception as error:  # each server raises its own kinds; the view gets it when it reads
        environ["wsgi.input"] = _BrokenInput(data, error)
    else:
        environ["wsgi.input"] = io.BytesIO(data)
    return data


@contextmanager
def untouched(request: Request) -> Iterator[None]:
    """Let a user's function read a body that `buffered_body` returned, and undo its reading afterwards."""
    attributes = request.__dict__
    before = {key: attributes[key] for key in _BODY_KEYS if key in attributes}

    try:
        yield
    finally:
        if "_cached_data" not in before:
            request.close()  # closes files, which the view's own parsing opens again
            for key in _BODY_KEYS:
                attributes.pop(key, None)
            attributes.update(before)
            if request.environ.get("CONTENT_LENGTH"):
                request.environ["wsgi.input"].seek(0)


@contextmanager
def reread(request: Request, data: bytes | None) -> Iterator[Request]:
    """Yield a copy of a request that the view has read, for a user's function to read from the beginning.

    The copy shares a parsed form, since it is immutable.

    Args:
        request: The view's request, which stays unchanged.
        data: The body; None if it is unknown: reading it then raises a LookupError.
    """
    again = copy.copy(request)
    attributes = again.__dict__
    for key in _BODY_KEYS:
        if key not in ("form", "files"):
            attributes.pop(key, None)

    unread = LookupError("The view has not read the whole body.")
    stream = _BrokenInput(b"", unread) if data is None else io.BytesIO(data)
    again.environ = {**request.environ, "wsgi.input": stream, "wsgi.input_terminated": True}
    try:
        yield again
    finally:
        if attributes.get("files") is not request.__dict__.get("files"):
            again.close()


class _BrokenInput(io.BytesIO):
    """Replaces a ``wsgi.input`` that broke off, and breaks off for the view in the same way."""

    def __init__(self, data: bytes, error: Exception) -> None:
        super().__init__(data)
        self._size = len(data)
        self._error = error

    def _checked(self, read: Callable[..., Any], *args: Any) -> Any:
        if self.tell() >= self._size:
            raise self._error
        return read(*args)

    def read(self, *size: Any) -> bytes:
        """Read the remaining data, then fail."""
        return self._checked(super().read, *size)  # type: ignore[no-any-return]

    def readline(self, *size: Any) -> bytes:
        """Read a line of the remaining data, then fail."""
        return self._checked(super().readline, *size)  # type: ignore[no-any-return]

    def readlines(self, *hint: Any) -> list[bytes]:
        """Fail at the end of the lines."""
        return list(self)

    def __next__(self) -> bytes:
        return self._checked(super().__next__)  # type: ignore[no-any-return]

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer with the remaining data, then fail."""
        return self._checked(super().readinto, buffer)  # type: ignore[no-any-return]


def breaks_off(request: Request) -> bool:
    """Say whether `buffered_body` got an error from the server before the end of the body."""
    return isinstance(request.environ["wsgi.input"], _BrokenInput)


class BodyTee:
    """Replaces ``wsgi.input`` and keeps a copy of the data read, up to a limit.

    Args:
        stream: The server's input.
        keep: Number of bytes to keep.
    """

    def __init__(self, stream: Any, keep: int) -> None:
        self._stream = stream
        self._keep = keep
        self._copy = bytearray()
        self._has_ended = False
        self.size = 0

    @property
    def data(self) -> bytes:
        """The kept data."""
        return bytes(self._copy)

    def keep_only(self, size: int) -> None:
        """Discard kept data beyond a size."""
        self._keep = size
        del self._copy[size:]

    def is_whole(self, length: int | None) -> bool:
        """Say whether the whole body was read and kept; *length* is the request's own statement."""
        was_read = self._has_ended if length is None else self.size >= length
        return was_read and self.size <= self._keep

    def _seen(self, data: bytes) -> bytes:
        self.size += len(data)
        if (room := self._keep - len(self._copy)) > 0:
            self._copy += data[:room]
        return data

    def read(self, *size: int) -> bytes:
        """Read as the server's input does."""
        data = self._seen(self._stream.read(*size))
        if not data or not size or size[0] is None or size[0] < 0:
            self._has_ended = size != (0,)
        return data

    def readline(self, *size: int) -> bytes:
        """Read a line as the server's input does."""
        line = self._seen(self._stream.readline(*size))
        self._has_ended = not line
        return line

    def readlines(self, *hint: int) -> list[bytes]:
        """Read lines as the server's input does."""
        lines = [self._seen(line) for line in self._stream.readlines(*hint)]
        self._has_ended = not lines or not hint
        return lines

    def __iter__(self) -> Iterator[bytes]:
        for line in self._stream:
            yield self._seen(line)
        self._has_ended = True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; implemented here because servers' inputs often lack this method."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class JsonSpy:
    """A request's ``json_module`` that passes on the parsed document before the view can change it."""

    def __init__(self, module: Any, show: Callable[[Any], None]) -> None:
        self.module = module
        self._show = show

    def __getattr__(self, name: str) -> Any:
        return getattr(self.module, name)

    def loads(self, data: Any, **options: Any) -> Any:
        """Parse, and pass on the result."""
        document = self.module.loads(data, **options)
        self._show(document)
        return document
