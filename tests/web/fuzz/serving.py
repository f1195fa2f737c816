"""One request to one app, as a server makes it; and what two apps made of the same."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.web.fuzz.apps import NOTES, Killed, Notes
from tests.web.fuzz.requests import Request
from tests.web.twins import ID_HEADER

__all__ = ["Served", "differences", "serve"]

_BASE = {
    "SCRIPT_NAME": "",
    "SERVER_NAME": "localhost",
    "SERVER_PORT": "80",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "HTTP_HOST": "localhost",
    "HTTP_USER_AGENT": "Werkzeug/fuzz",
    "REMOTE_ADDR": "127.0.0.1",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "http",
    "wsgi.errors": io.StringIO(),
    "wsgi.multithread": False,
    "wsgi.multiprocess": False,
    "wsgi.run_once": False,
}


class Input:
    """The body as a server hands it on.

    Args:
        data: All that arrives.
        breaks: Whether reading on raises an error then.
    """

    def __init__(self, data: bytes, *, breaks: bool) -> None:
        self._data = io.BytesIO(data)
        self._size = len(data)
        self._breaks = breaks

    @property
    def read_bytes(self) -> int:
        """Number of bytes that were read."""
        return self._data.tell()

    def read(self, size: int = -1) -> bytes:
        """Read as a file does."""
        self._check()
        return self._data.read(size)

    def readline(self, size: int = -1) -> bytes:
        """Read a line as a file does."""
        self._check()
        return self._data.readline(size)

    def readlines(self, hint: int = -1) -> list[bytes]:
        """Read lines as a file does."""
        return list(self)

    def __iter__(self) -> Iterator[bytes]:
        while line := self.readline():
            yield line

    def _check(self) -> None:
        if self._breaks and self.read_bytes == self._size:
            raise ConnectionResetError("the client has left")


class FileWrapper:
    """A wrapper that servers recognise and send in their own way.

    Args:
        file: The file.
        size: Bytes of a block.
    """

    def __init__(self, file: Any, size: int = 8192) -> None:
        self._file = file
        self._size = size
        self.close = file.close

    def __iter__(self) -> FileWrapper:
        return self

    def __next__(self) -> bytes:
        if not (block := self._file.read(self._size)):
            raise StopIteration
        return bytes(block)


@dataclass
class Served:
    """The result of a request.

    Attributes:
        starts: Status and headers of each call of ``start_response``, and whether it told of an error.
        chunks: Parts of the body, as they came.
        errors: Exceptions that reached the server, and their moments.
        is_file: Whether the body is what servers send in their own way.
        read_bytes: Number of bytes read from ``wsgi.input``.
        left: Keys of the environment that the app has added.
        notes: Notes about the request in the app.
    """

    starts: list[tuple[str, list[tuple[str, str]], bool]]
    chunks: list[bytes]
    errors: list[tuple[str, str, str]]
    is_file: bool
    read_bytes: int
    left: set[str]
    notes: Notes

    @property
    def ids(self) -> list[str]:
        """The prediction ids that the client got."""
        return [value for name, value in self.starts[-1][1] if name == ID_HEADER] if self.starts else []

    @property
    def status_code(self) -> int:
        """The status; 500 if the app did not answer."""
        return int(self.starts[-1][0][:3]) if self.starts else 500


def serve(app: Callable[..., Iterable[bytes]], request: Request) -> Served:
    """Send a request, take the answer as its client does, and close it."""
    stream = Input(request.body, breaks=request.breaks)
    notes = Notes(request.script)
    environ = {**_BASE, **request.environ, "wsgi.input": stream, "wsgi.file_wrapper": FileWrapper, NOTES: notes}
    given = set(environ)
    served = Served([], [], [], False, 0, set(), notes)

    def start_response(status: str, headers: list[tuple[str, str]], error: Any = None) -> Callable[[bytes], Any]:
        served.starts.append((status, list(headers), error is not None))
        return served.chunks.append

    body: Any = None
    try:
        body = app(environ, start_response)
        served.is_file = isinstance(body, FileWrapper)
        _take(body, served.chunks, request.takes)
    except (Exception, Killed) as error:
        served.errors.append(("answer", type(error).__name__, str(error)))
    finally:
        # A client that has taken all of an answer is never forgotten.
        if request.closes or request.takes is None:
            try:
                if hasattr(body, "close"):
                    body.close()
            except Exception as error:
                served.errors.append(("close", type(error).__name__, str(error)))
        del body
    served.read_bytes = stream.read_bytes
    served.left = set(environ) - given
    return served


def _take(body: Iterable[bytes], chunks: list[bytes], number: int | None) -> None:
    if number == 0:
        return
    for chunk in body:
        chunks.append(chunk)
        if len(chunks) == number:
            return


def differences(
    request: Request, ours: Served, theirs: Served, *, is_predicted: bool, is_seen: bool, limit: int
) -> Iterator[str]:
    """Yield in what the monitored app's answer differs from the plain one's.

    Three things may: the header of the prediction id; the second in ``Date``; and how much of the body has been read.
    What is within the limit is read before the view, which then may leave it. A response object that a view returns
    again and again keeps the id of its last prediction, also in answers that are none.

    Args:
        request: The request.
        ours: Answer of the monitored app.
        theirs: Answer of the plain app.
        is_predicted: Whether it is a prediction.
        is_seen: Whether the middleware looks at the answer as it passes, so that no server sends a file in its own way.
        limit: ``BOXKITE_MAX_BODY_BYTES``.
    """
    starts, plain_starts = (
        [(status, _compared(headers), error) for status, headers, error in served.starts] for served in (ours, theirs)
    )
    pairs: list[tuple[str, Any, Any]] = [
        ("status and headers", starts, plain_starts),
        ("body", ours.chunks, theirs.chunks),
        ("errors", ours.errors, theirs.errors),
        ("wrapper of a file", ours.is_file, theirs.is_file and not is_seen),
        ("environment", ours.left, theirs.left),
        ("what the app saw", ours.notes.journal, theirs.notes.journal),
    ]
    for what, one, other in pairs:
        if one != other and repr(one) != repr(other):  # NaN is not itself
            yield f"{what}: {one!r}, but without monitoring {other!r}"
    is_stale = request.script.answer.kind == "same"
    if len(ours.ids) > 1 or (ours.ids and not is_predicted and not is_stale):
        yield f"prediction ids: {ours.ids}"
    length = str(request.environ.get("CONTENT_LENGTH", ""))
    buffered = min(int(length), len(request.body)) if length.isdecimal() and int(length) <= limit else 0
    if ours.read_bytes not in (
        {theirs.read_bytes, max(buffered, theirs.read_bytes)} if is_predicted else {theirs.read_bytes}
    ):
        yield f"bytes read: {ours.read_bytes}, but without monitoring {theirs.read_bytes}"


def _compared(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [item for item in headers if item[0] not in (ID_HEADER, "Date")]
