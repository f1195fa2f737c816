"""One prediction as it is logged: its id, and the record that goes to the sink."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from flask_boxkite.values import plain

__all__ = ["Body", "IdMaker", "PredictionId", "body_of", "redacted"]

REDACTED = "[redacted]"
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


class PredictionId(NamedTuple):
    """Names one prediction.

    Attributes:
        text: ``{server_id}/{YYYY-MM-DDTHH:MM:SS}/{uuid4}``; row i of a batch is ``{text}/{i}``.
        entity_id: The uuid4.
        time_ns: When it was made, in Unix nanoseconds.
    """

    text: str
    entity_id: str
    time_ns: int

    def is_sampled(self, rate: float) -> bool:
        """Say whether this prediction belongs to the share *rate*; the same answer everywhere, for ever."""
        return rate >= 1 or int(self.entity_id[:8], 16) < rate * 2**32


class IdMaker:
    """Makes prediction ids for a server; in 1.5 µs, since it writes the date once a second only.

    Random numbers come from the kernel, so forked processes cannot make the same ones.
    """

    def __init__(self, server_id: str, clock: Callable[[], int] = time.time_ns) -> None:
        self._server_id = server_id
        self._clock = clock
        self._start = (-1, "")

    def __call__(self) -> PredictionId:
        """Return a new id."""
        now = self._clock()
        second, start = self._start
        if second != now // 1_000_000_000:
            second = now // 1_000_000_000
            start = f"{self._server_id}/{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(second))}/"
            self._start = (second, start)
        h = os.urandom(16).hex()
        entity_id = f"{h[:8]}-{h[8:12]}-4{h[13:16]}-{_VARIANT[h[16]]}{h[17:20]}-{h[20:]}"
        return PredictionId(start + entity_id, entity_id, now)


class Body(NamedTuple):
    """A request body as a record keeps it."""

    text: str
    is_truncated: bool = False
    is_base64: bool = False


def body_of(data: Any, limit: int, *, is_complete: bool = True) -> Body:
    """Return a request body as text of at most *limit* bytes; base64 where it is not UTF-8.

    Args:
        data: Bytes, text, or an object that is written as JSON; None for no body.
        limit: Longer bodies are cut to it.
        is_complete: Whether *data* is all there was.
    """
    if data is None:
        return Body("")
    if isinstance(data, str):
        data = data.encode("utf-8", "replace")
    elif not isinstance(data, (bytes, bytearray, memoryview)):
        data = json.dumps(plain(data), ensure_ascii=False).encode("utf-8", "replace")
    cut = not is_complete or len(data) > limit
    data = bytes(data[:limit]) if cut else bytes(data)
    try:
        return Body(data.decode(), cut)
    except UnicodeDecodeError as error:
        # A cut may have split the last character; anything else is no text.
        if cut and error.start >= len(data) - 3 and error.reason == "unexpected end of data":
            return Body(data[: error.start].decode(), cut)
        return Body(base64.b64encode(data).decode(), cut, True)


# --- redaction -------------------------------------------------------------------------------------------------------


def redacted(record: dict[str, Any], paths: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    """Return a record without the values of some fields, in features, output and request body.

    Args:
        record: As it would be logged; not changed.
        paths: Field names, which match at any depth, or dotted paths from the root of body, features or output.
        names: Names of the features by position.
    """
    after = dict(record)
    after["features"] = _without_positions(_without(record["features"], paths), paths, names)
    after["output"] = _without(record["output"], paths)
    after["request_body"] = _redacted_body(record, paths)
    if after["request_body"] == REDACTED:
        after.pop("body_encoding", None)
    return after


def _redacted_body(record: dict[str, Any], paths: Sequence[str]) -> str:
    """Redact a JSON body. What cannot be read cannot be redacted in part, so it goes as a whole."""
    body: str = record["request_body"]
    if not body:
        return body
    if record.get("body_truncated") or record.get("body_encoding"):
        return REDACTED
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return REDACTED
    if not isinstance(document, (dict, list)):
        return REDACTED
    after = _without(document, paths)
    # Values without names, as in a list of features, cannot be told apart: the features hold what may be kept.
    if not _has_names(document):
        return REDACTED
    return body if after is document else json.dumps(after, ensure_ascii=False)


def _has_names(document: Any) -> bool:
    if isinstance(document, dict):
        return not any(isinstance(value, list) and not _has_names(value) for value in document.values())
    return bool(document) and all(isinstance(item, dict) and _has_names(item) for item in document)


def _without(value: Any, paths: Sequence[str]) -> Any:
    """Replace the fields; return *value* itself where there are none."""
    if isinstance(value, dict):
        return _without_fields(value, paths)
    if isinstance(value, (list, tuple)):
        after = [_without(item, paths) for item in value]
        return value if all(a is b for a, b in zip(value, after, strict=True)) else after
    return value


def _without_fields(value: Mapping[str, Any], paths: Sequence[str]) -> Any:
    after: dict[str, Any] = {}
    for key, item in value.items():
        if any(key == path for path in paths):
            after[key] = REDACTED
            continue
        below = [rest for path in paths for head, dot, rest in [path.partition(".")] if dot and head == key]
        # A plain name matches at any depth, a dotted path only from where it starts.
        anywhere = [path for path in paths if "." not in path]
        after[key] = _without(item, [*anywhere, *below])
    return value if all(after[key] is item for key, item in value.items()) else after


def _without_positions(features: Any, paths: Sequence[str], names: Sequence[str]) -> Any:
    """Redact features that come by position, or rows of them."""
    hidden = {index for index, name in enumerate(names) if name in paths}
    if not hidden or not isinstance(features, list):
        return features
    if features and all(isinstance(row, list) for row in features):
        return [_without_positions(row, paths, names) for row in features]
    if any(isinstance(item, dict) for item in features):
        return features
    return [REDACTED if index in hidden else item for index, item in enumerate(features)]
