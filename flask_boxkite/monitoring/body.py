"""The request body of a prediction as its record stores it."""

from __future__ import annotations

import base64
import json
from typing import Any, NamedTuple

from flask_boxkite.values.conversion import plain

__all__ = ["Body", "body_of"]

_new = tuple.__new__  # half the time of a named tuple's own constructor


class Body(NamedTuple):
    """A request body as a record stores it."""

    text: str
    is_truncated: bool = False
    is_base64: bool = False


def body_of(data: Any, limit: int, *, is_complete: bool = True) -> Body:
    """Return the first *limit* bytes of a request body as text, or as base64 if they are not UTF-8.

    Args:
        data: Bytes, text, or an object to write as JSON; None for no body.
        limit: Largest number of bytes to keep; the rest is cut off.
        is_complete: Whether *data* is the whole body.
    """
    if data is None:
        return Body("")
    if type(data) is bytes and is_complete and len(data) <= limit and data.isascii():
        return _new(Body, (data.decode(), False, False))

    if isinstance(data, (bytes, bytearray, memoryview)):
        data = bytes(data)
    else:
        text = data if isinstance(data, str) else json.dumps(plain(data), ensure_ascii=False)
        data = text[: limit + 1].encode("utf-8", "replace")  # one character more shows that the text is too long
    is_cut = not is_complete or len(data) > limit
    data = data[:limit]
    try:
        return Body(data.decode(), is_cut)
    except UnicodeDecodeError as error:
        # The limit may have split the last character; any other error means that this is not text.
        if is_cut and error.start >= len(data) - 3 and error.reason == "unexpected end of data":
            return Body(data[: error.start].decode(), is_cut)
        return Body(base64.b64encode(data).decode(), is_cut, True)
