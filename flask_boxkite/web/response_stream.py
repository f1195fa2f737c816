"""An answer on its way to the server: passed on chunk by chunk, and counted when it ends.

Flask and any other WSGI app share this code. No chunk is held back. If the answer states its length, the prediction is
finished before the last chunk leaves, else when the app has no more chunks. So its duration covers the whole answer,
and its status says how the answer ended. Memory: a copy of answers that may contain an output, up to 16 MiB; of other
answers the part that a record may keep.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from werkzeug.datastructures import Headers

from flask_boxkite.monitoring.reply import MOST_BYTES, Reply
from flask_boxkite.payloads import INFERENCE_HEADER, JSON_LINES
from flask_boxkite.web.capture import PASSING, Capture
from flask_boxkite.web.return_values import LONGEST_PAYLOAD, as_reply

__all__ = ["CLIENT_LEFT", "Answer", "Passing"]

CLIENT_LEFT = 499
"""Status of a prediction whose client left before the end of its answer, as nginx logs it."""

_READABLE = frozenset({"application/json", "text/csv", "text/plain", "text/html", *JSON_LINES})


class Answer:
    """One answer on its way, and the prediction that ends with it.

    Attributes:
        status: Status of the response; 500 until it is known.

    Args:
        capture: The prediction.
        waits_for_close: Whether code that the app runs on closing may still log the prediction by hand.
    """

    def __init__(self, capture: Capture, *, waits_for_close: bool = False) -> None:
        self.capture = capture
        self.status = 500
        self._waits_for_close = waits_for_close
        self._final_status: int | None = None
        self._headers = Headers()
        self._mimetype = ""
        self._encoding = ""
        self._length: int | None = None
        self._seen = bytearray()
        self._size = 0

    def start(self, status: int, headers: Headers) -> None:
        """Note status and headers of the response."""
        self.status = status
        self._headers = headers
        self._mimetype = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        self._encoding = headers.get("Content-Encoding", "")
        length = headers.get("Content-Length", "")
        self._length = int(length) if length.isdecimal() else None

    def see(self, chunk: bytes) -> None:
        """Look at a chunk before it leaves."""
        if self._size <= (LONGEST_PAYLOAD if self._is_readable else MOST_BYTES):
            self._seen += chunk
        self._size += len(chunk)

    def has_all(self) -> bool:
        """Say whether the body has the length that the headers state."""
        return self._length is not None and self._size >= self._length

    def end(self) -> None:
        """Note that the whole body has been passed on."""
        self._end(self.status)

    def fail(self) -> None:
        """Note that the app failed while it answered."""
        self._end(500)

    def close(self) -> None:
        """Finish the prediction, if it is not finished; if the body has not ended, its client has left."""
        if self._final_status is None:
            self._final_status = CLIENT_LEFT if self.status < 400 else self.status
        self._finish(self._final_status)

    @property
    def _is_readable(self) -> bool:
        mimetype = self._mimetype
        return mimetype in _READABLE or mimetype.endswith("+json") or INFERENCE_HEADER in self._headers

    def _end(self, status: int) -> None:
        if self._final_status is None:
            self._final_status = status
        if not self._waits_for_close:
            self._finish(self._final_status)

    def _finish(self, status: int) -> None:
        capture = self.capture
        if capture.is_finished:
            return
        if status < 400 and capture.awaits_body:
            data = self._reply().data if self._is_readable else None
            capture.take_payload(data or b"", self._mimetype, self._headers)
        capture.finish(status, self._reply() if capture.keeps_reply else None)

    def _reply(self) -> Reply:
        # A cut body cannot be decoded, and a longer text is never searched.
        is_known = self._size == len(self._seen) or not (self._encoding or self._is_readable)
        return as_reply(bytes(self._seen) if is_known else None, self._mimetype, self._encoding, self._size)


class Passing:
    """The body of an answer, as the server iterates it.

    Args:
        answer: Answer that is informed of each chunk, and of the end.
        chunks: Chunks of the app's answer.
        close: Function that closes the app's answer; None if there is nothing to close.
    """

    def __init__(self, answer: Answer, chunks: Iterable[bytes], close: Callable[[], Any] | None) -> None:
        self._answer = answer
        self._close = close
        self._body = chunks
        self._chunks: Iterator[bytes] | None = None  # an app may begin its work when its body is iterated

    def __iter__(self) -> Iterator[bytes]:
        if self._chunks is None:
            self._begin()
        return self

    def _begin(self) -> Iterator[bytes]:
        try:
            self._chunks = iter(self._body)
        except BaseException:
            self._answer.fail()
            raise
        return self._chunks

    def __next__(self) -> bytes:
        answer = self._answer
        token = PASSING.set(answer.capture)
        try:
            chunk = next(self._begin() if self._chunks is None else self._chunks)
        except StopIteration:
            answer.end()
            raise
        except BaseException:
            answer.fail()
            raise
        finally:
            PASSING.reset(token)

        answer.see(chunk)
        if answer.has_all():
            answer.end()
        return chunk

    def close(self) -> None:
        """Close the app's body."""
        close, self._close = self._close, None
        token = PASSING.set(self._answer.capture)
        try:
            if close is not None:
                close()
        finally:
            PASSING.reset(token)
            self._answer.close()

    def __del__(self) -> None:
        # A middleware that is a plain generator drops the body without closing it when its client leaves.
        self._answer.close()
