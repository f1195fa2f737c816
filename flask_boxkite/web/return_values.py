"""A view's return value: the payload in it, and a version of it that Flask can send."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from werkzeug.datastructures import Headers
from werkzeug.wrappers import Response

from flask_boxkite.monitoring.reply import Reply
from flask_boxkite.payloads import (
    INFERENCE_HEADER,
    JSON_LINES,
    binary_document,
    csv_output,
    decompressed,
    json_lines_output,
)
from flask_boxkite.values.conversion import plain
from flask_boxkite.values.objects import fields_of

__all__ = [
    "LONGEST_PAYLOAD",
    "StreamedError",
    "as_reply",
    "document_of",
    "document_of_body",
    "is_body",
    "is_reply",
    "is_streamed",
    "json_value",
    "reply_of",
]

LONGEST_PAYLOAD = 16 * 1024 * 1024
"""Largest body, in bytes, that is searched."""

_LONGEST_LABEL = 256
_LONGEST_DECODED = 1024 * 1024
"""Largest compressed response, in bytes, that is kept."""

_JSON_CONTAINERS = frozenset({dict, list})
_NATIVE = frozenset({str, int, float, bool, type(None)})
_ARRAY_METHODS = ("tolist", "to_list", "to_dicts", "to_pylist", "to_dict")


class StreamedError(LookupError):
    """The payload does not exist yet: it arrives in pieces, which only the server may request."""


def is_streamed(returned: Any) -> bool:
    """Say whether a view's return value is sent in pieces that do not exist yet."""
    if isinstance(returned, tuple) and returned and is_reply(returned):
        returned = returned[0]
    if isinstance(returned, Response):
        return not returned.is_sequence or returned.direct_passthrough
    return hasattr(returned, "__next__") or (callable(returned) and not hasattr(returned, "__array__"))


def is_body(returned: Any) -> bool:
    """Say whether a view's return value is the body that is sent, rather than a value that becomes one."""
    if isinstance(returned, tuple) and returned and is_reply(returned):
        returned = returned[0]
    return isinstance(returned, (str, bytes, bytearray, Response))


def document_of(returned: Any) -> Any:
    """Return the payload in a view's return value: plain values, arrays, or the parsed body of a response.

    Raises:
        StreamedError: The value is a stream, which is left alone.
        LookupError: The value is None, or of a type that contains no payload.
    """
    if type(returned) in _JSON_CONTAINERS:
        return returned

    headers: Any = ()
    if isinstance(returned, tuple) and returned and is_reply(returned):
        headers = returned[-1]
        returned = returned[0]
    if type(returned) in _JSON_CONTAINERS:
        return returned
    if isinstance(returned, (str, bytes)):
        return document_of_body(returned, _header_in(headers, "content-type"), headers)
    if is_streamed(returned):
        raise StreamedError
    if isinstance(returned, Response):
        return document_of_body(returned.get_data(), returned.mimetype or "", returned.headers)
    if returned is None:
        raise LookupError
    return returned


def reply_of(response: Response) -> Reply:
    """Return a response as the client gets it; without its data where reading would change the response."""
    is_readable = response.is_sequence and not response.direct_passthrough
    data = response.get_data() if is_readable else None
    length = response.content_length if data is None else len(data)
    return as_reply(data, response.mimetype or "", response.content_encoding or "", length)


def as_reply(data: bytes | None, mimetype: str, encoding: str, length: int | None) -> Reply:
    """Return a reply made of parts; without its data if they cannot be decoded.

    Args:
        data: The body as it is sent; None if it is unknown.
        mimetype: Type of the body.
        encoding: Value of the header ``Content-Encoding``; empty for none.
        length: Length of the body as it is sent, in bytes.
    """
    if data is not None and encoding:
        try:
            data = decompressed(data, encoding, _LONGEST_DECODED)
        except ValueError:
            data = None
    return Reply(data, mimetype, length)


def is_reply(returned: tuple[Any, ...]) -> bool:
    """Return whether a tuple is Flask's: a body with a status or headers. Other tuples are rows with names."""
    if type(returned) is tuple or fields_of(returned) is None:
        return True
    rest = returned[1:]
    return bool(rest) and len(rest) <= 2 and all(map(_is_status_or_headers, rest))


def _is_status_or_headers(value: Any) -> bool:
    if isinstance(value, int):
        return 100 <= value <= 599
    return isinstance(value, (Mapping, Headers, list)) or (isinstance(value, str) and value[:3].isdecimal())


def document_of_body(data: str | bytes, content_type: str, headers: Any) -> Any:
    """Return the payload of a response body: binary tensors if a header says so, else text.

    Args:
        data: The body.
        content_type: Content type of the body.
        headers: The headers, in any form that a view may return.

    Raises:
        LookupError: The body contains no payload.
    """
    mimetype = content_type.partition(";")[0].strip().lower()
    if mimetype != "application/json" and isinstance(data, bytes) and (size := _header_in(headers, INFERENCE_HEADER)):
        try:
            return binary_document(data, size)
        except (ValueError, RecursionError) as error:
            raise LookupError from error
    return _document_of_text(data, mimetype)


def _header_in(headers: Any, wanted: str) -> str:
    """Return a header from the headers in a view's tuple; empty if it is absent."""
    if not isinstance(headers, (Mapping, list, tuple, Headers)):
        return ""
    pairs = headers.items() if isinstance(headers, (Mapping, Headers)) else headers
    return str(next((value for name, value in pairs if str(name).lower() == wanted.lower()), ""))


def _document_of_text(data: str | bytes, mimetype: str) -> Any:
    """Return the payload of a response body: JSON, JSON lines, CSV, or a label in one short line.

    Raises:
        LookupError: The body contains no payload.
    """
    if len(data) > LONGEST_PAYLOAD:
        raise LookupError

    try:
        text = data.decode() if isinstance(data, bytes) else data
        if mimetype == "text/csv":
            return csv_output(text)
        return json_lines_output(text) if mimetype in JSON_LINES else json.loads(text)
    except (UnicodeDecodeError, RecursionError, csv.Error) as error:
        raise LookupError from error
    except ValueError as error:
        is_label = 0 < len(text) <= _LONGEST_LABEL and "\n" not in text and "<" not in text
        if not is_label or mimetype.endswith("json"):
            raise LookupError from error
        return text


def json_value(returned: Any) -> Any:
    """Return a view's value with NumPy, pandas and similar objects as plain JSON values; plain values unchanged.

    Values that Flask would refuse for another reason, such as None or an object, are left to Flask.
    """
    if isinstance(returned, (dict, list)):
        return _with_plain_leaves(returned)
    if isinstance(returned, tuple) and len(returned) in (2, 3) and is_reply(returned):
        first = json_value(returned[0])
        return returned if first is returned[0] else (first, *returned[1:])
    if isinstance(returned, str):  # includes NumPy's texts
        return returned
    return plain(returned) if isinstance(returned, (int, float, Decimal)) or _is_array(returned) else returned


def _with_plain_leaves(value: Any) -> Any:
    """Convert only values that Flask's JSON could not write; floats stay as the view made them, NaN included."""
    if isinstance(value, dict):
        if _is_native(value.values()):
            return value
        converted = {key: _with_plain_leaves(item) for key, item in value.items()}
        return value if all(converted[key] is item for key, item in value.items()) else converted
    if isinstance(value, (list, tuple)):
        if _is_native(value):
            return value
        items = [_with_plain_leaves(item) for item in value]
        if all(a is b for a, b in zip(value, items, strict=True)):
            return value
        # A schema above this view may read a named tuple by its names.
        return value._make(items) if hasattr(value, "_make") else items
    if isinstance(value, (str, int, float)):  # includes NumPy's texts and doubles, which JSON can write
        return value

    return plain(value) if _is_array(value) else value


def _is_array(value: Any) -> bool:
    """Say whether a value comes from NumPy, or from a library whose arrays and frames `plain` can read."""
    return hasattr(value, "__array__") and any(hasattr(value, method) for method in _ARRAY_METHODS)


def _is_native(values: Any) -> bool:
    return set(map(type, values)) <= _NATIVE
