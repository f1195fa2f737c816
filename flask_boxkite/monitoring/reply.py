"""The raw response of a request, and the part of it that a record stores."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from flask_boxkite.monitoring.body import body_of
from flask_boxkite.values.conversion import is_too_deep, plain

__all__ = ["MOST_BYTES", "Reply", "response_fields"]

MOST_BYTES = 16 * 1024
"""Largest response in a record; a longer one is cut and flagged."""


class Reply(NamedTuple):
    """A response as the client gets it.

    Attributes:
        data: The body; None if it cannot be read: a stream, a file, or compressed.
        mimetype: Type of the body, without parameters.
        length: Length of the body in bytes; None if unknown.
    """

    data: bytes | None
    mimetype: str
    length: int | None


def response_fields(reply: Reply) -> dict[str, Any]:
    """Return the response fields of a record: JSON if possible, else text; for a binary body, its type and length.

    A text longer than `MOST_BYTES` is cut, and ``response_truncated`` is true.
    """
    body = None if reply.data is None else body_of(reply.data, MOST_BYTES)
    if body is None or body.is_base64 or "\0" in body.text:
        return {"response": None, "response_type": reply.mimetype, "response_bytes": reply.length}
    if body.is_truncated:
        return {"response": body.text, "response_truncated": True}
    return {"response": _json_or_text(body.text)}


def _json_or_text(text: str) -> Any:
    try:
        document = plain(json.loads(text))
    except (ValueError, RecursionError):
        return text
    return text if is_too_deep(document) else document
