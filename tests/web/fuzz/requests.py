"""Random requests: what a client sends, what the app does with it, and when the client leaves.

Each follows from a seed and its number alone, so any of them can be sent again without the others.
"""

from __future__ import annotations

import gzip
import json
import random
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from werkzeug.test import EnvironBuilder

from tests.web.test_bodies import BODIES, LIMIT, READERS
from tests.web.test_payloads import EMPTY, ENCODED, ONE, SEVERAL, TABULAR, TEXTUAL, UNFITTING, UNREADABLE
from tests.web.test_redaction import NAMED, POSITIONAL
from tests.web.test_returns import ACCEPTED, CONVERTED, REFUSED
from tests.web.twins import CITIES, FEATURES

__all__ = ["Answer", "Request", "Script", "request_at"]


@dataclass(frozen=True)
class Answer:
    """The answer of a view.

    Attributes:
        kind: Name of the function in `apps` that makes it.
        data: Argument of the function.
        status: Status, where the kind takes one.
        headers: Headers, where the kind takes them.
    """

    kind: str
    data: Any = None
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Script:
    """The app's actions on a request.

    Attributes:
        before: Action of a hook before the view: reads, answers or raises.
        reads: Parts of the request that the view reads, in this order.
        answer: Answer of the view.
        after: Actions of hooks on the response.
        teardown: Whether the teardown function raises.
        on_close: Whether a function is called when the response is closed.
        logs: Number of predictions that the view logs by hand.
    """

    before: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    answer: Answer = field(default_factory=lambda: Answer("json", {"score": 0.5}))
    after: tuple[str, ...] = ()
    teardown: bool = False
    on_close: bool = False
    logs: int = 0


@dataclass(frozen=True)
class Request:
    """A request and its fate.

    Attributes:
        index: Number of the request.
        environ: Keys that the server adds to its WSGI environment.
        body: Bytes of the body that arrive.
        breaks: Whether the connection breaks where they end.
        takes: Number of chunks of the answer that the client takes; None for all.
        closes: Whether the server closes an answer that was not taken whole, or forgets it.
        script: Actions of the app.
        may_be_empty: Whether the body may be a batch without rows.
    """

    index: int
    environ: Mapping[str, Any]
    body: bytes
    breaks: bool
    takes: int | None
    closes: bool
    script: Script
    may_be_empty: bool

    @property
    def path(self) -> str:
        """The path."""
        return str(self.environ["PATH_INFO"])


def request_at(seed: int, index: int) -> Request:
    """Return a request of a run."""
    rng = random.Random(f"{seed}/{index}")
    path, query = _path(rng), rng.choice(_QUERIES)
    body, headers = _body(rng)
    environ: dict[str, Any] = {"REQUEST_METHOD": _method(rng, path), "PATH_INFO": path, "QUERY_STRING": query}
    environ.update(headers)
    environ.update(_framing(rng, body))
    for name, values in _HEADERS.items():
        if rng.random() < 0.06:
            environ[name] = rng.choice(values)
    script = _script(rng)
    body, breaks = _arriving(rng, body, environ)
    takes = rng.randrange(4) if rng.random() < 0.04 else None
    return Request(
        index,
        environ,
        body,
        breaks,
        takes,
        # A stream with its context keeps that until it is closed.
        rng.random() < 0.8 or script.answer.kind == "accepted",
        script,
        _may_be_empty(body, headers),
    )


# --- addresses -------------------------------------------------------------------------------------------------------

_PREDICTING = (
    "/score",
    "/score/7",
    "/path",
    "/query",
    "/picked",
    "/answered",
    "/nested",
    "/by-plain",
    "/tree/",
    "/class",
    "/bp/score",
)
_OTHERS = (
    "/plain",
    "/bp/plain",
    "/tree",
    "/score/x",
    "/nowhere",
    "/",
    "/metrics/",
    "/metrics2",
    "//score",
    "/score/%2e",
)
_OWN = ("/metrics", "/metrics", "/metrics", "/boxkite/", "/boxkite/drift.json", "/boxkite/variable", "/boxkite/none")
_ODD = ("/Ã©", "/\x00", "/score/\xff", "/score/" + "9" * 400, "/score\r\nX: y", "/static/../score", "", "/bp//score")
_QUERIES = (
    *[""] * 20,
    "age=30&income=2500&city=Paris",
    "age=30&age=40&income=1&income=2&city=Rome&city=Rome",
    "age=&city=%ff%fe",
    "a=1&a=2&&=&%",
    "name[]=boxkite_predictions_total",
    "window=5m",
    "window=\xff&page=0",
    "page=99999999999",
    "model=default&side=feature&variable=age",
)


def _path(rng: random.Random) -> str:
    chance = rng.random()
    if chance < 0.85:
        return rng.choice(_PREDICTING)
    if chance < 0.93:
        return rng.choice(_OTHERS)
    if chance < 0.933:
        return rng.choice(_OWN)
    return "/async" if chance < 0.94 else rng.choice(_ODD) if chance < 0.97 else "/plain"


def _method(rng: random.Random, path: str) -> str:
    weights = (6, 80, 4, 3, 3, 2, 1, 1)
    return rng.choices(("GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "PATCH", "PROPFIND"), weights)[0]


_HEADERS: Mapping[str, Sequence[str]] = {
    "HTTP_ACCEPT": ("*/*", "application/openmetrics-text; version=1.0.0", "text/html;q=0", "\xff", "application/json"),
    "HTTP_ACCEPT_ENCODING": ("gzip", "gzip;q=0", "identity", "br, gzip;q=0.5", "deflate, *;q=0"),
    "HTTP_AUTHORIZATION": ("Bearer secret", "Bearer \xff", "Basic eDpzZWNyZXQ=", "Basic !", "Bearer"),
    "HTTP_COOKIE": ("a=1; b=2", "session=x.y.z", "=;;\xff"),
    "HTTP_RANGE": ("bytes=0-1", "bytes=5-", "bytes=9-1", "lines=1"),
    "HTTP_IF_NONE_MATCH": ('"x"', "*", 'W/"x", "y"'),
    "HTTP_IF_MODIFIED_SINCE": ("Fri, 17 May 2030 12:00:00 GMT", "yesterday"),
    "HTTP_CONTENT_ENCODING": ("gzip", "deflate", "br", "identity", "x-gzip", "gzip, gzip", ""),
    "HTTP_INFERENCE_HEADER_CONTENT_LENGTH": ("7", "0", "-1", "x", "99999999999999999999"),
    "HTTP_EXPECT": ("100-continue",),
    "HTTP_X_FORWARDED_FOR": ("10.0.0.1, \xff",),
}

# --- bodies ----------------------------------------------------------------------------------------------------------

_BOUNDARY = "boundary"


def _corpus(cases: Iterator[dict[str, Any]]) -> Iterator[tuple[bytes, dict[str, str]]]:
    """Yield body and headers of requests that other tests send, the same bytes in every run."""
    for sent in cases:
        builder = EnvironBuilder("/", method="POST", **sent)
        environ = builder.get_environ()
        body = environ["wsgi.input"].read()
        headers = {key: value for key, value in environ.items() if key.startswith("HTTP_") and key != "HTTP_HOST"}
        if content_type := environ.get("CONTENT_TYPE"):
            _, _, boundary = content_type.partition("boundary=")
            if boundary:
                body, content_type = (
                    body.replace(boundary.encode(), _BOUNDARY.encode()),
                    content_type.replace(boundary, _BOUNDARY),
                )
            headers["CONTENT_TYPE"] = content_type
        if body[:2] == b"\x1f\x8b" and len(body) > 8:  # the time at which it was compressed
            body = body[:4] + bytes(4) + body[8:]
        builder.close()
        yield body, headers


def _cases() -> Iterator[dict[str, Any]]:
    yield from ({"json": document} for document, *_ in TABULAR.values())
    for table in (TEXTUAL, ENCODED):
        for sent, _ in table.values():
            yield sent
    for other in (UNREADABLE, BODIES, EMPTY):
        yield from other.values()


_BODIES = [(body, headers) for body, headers in _corpus(_cases()) if len(body) < 10_000]
_LAYOUTS = [layout for table in (NAMED, POSITIONAL) for name, layout in table.items() if name != "multipart"]
_VALUES: tuple[Any, ...] = (
    None,
    True,
    "",
    "30",
    " 41 ",
    "NaN",
    "São Paulo",
    "\ud800",
    "x" * 2 * LIMIT,
    0,
    -0.0,
    1e308,
    10**30,
    10**400,
    float("nan"),
    float("inf"),
    [],
    {},
    [[1]],
    {"age": 3},
)
_TYPES = (
    "application/json",
    "application/json; charset=latin-1",
    "application/json; charset=nonsense",
    "application/vnd.api+json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=boundary",
    "multipart/form-data",
    "text/csv",
    "text/csv; charset=utf-16",
    "text/csv; charset=\xff",
    "application/x-ndjson",
    "application/jsonlines",
    "application/msgpack",
    "application/octet-stream",
    "text/plain",
    "",
    ";",
    "\xff/\x00",
)
_TOKENS = (
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"9" * 5000,
    b"\xef\xbb\xbf",
    b"\x00",
    b"\\ud800",
    b"[" * 50 + b"]" * 50,
    b"[" * 3000 + b"]" * 3000,
    b'{"a":' * 120 + b"1" + b"}" * 120,
    b"null",
    b"\r\n",
    b'"',
    b"--boundary--\r\n",
    b"\xff\xfe",
    b"data",
    b'"instances":[]',
)


def _row(rng: random.Random) -> list[Any]:
    row: list[Any] = [rng.randrange(18, 80), rng.random() * 8000, rng.choice(CITIES)]
    if rng.random() < 0.15:
        row[rng.randrange(3)] = rng.choice(_VALUES)
    return row


def _body(rng: random.Random) -> tuple[bytes, dict[str, str]]:
    chance = rng.random()
    if chance < 0.45:
        rows = [_row(rng) for _ in range(rng.choice((1, 1, 1, 2, 5)))]
        try:
            sent = rng.choice(_LAYOUTS)(list(FEATURES), rows)
        except (TypeError, ValueError, OverflowError, struct.error):  # the layout is of texts or numbers only
            sent = {"data": json.dumps(rows).encode(), "headers": {"Content-Type": "application/json"}}
        body = sent["data"]
        headers = {_environ_key(name): value for name, value in sent["headers"].items()}
    elif chance < 0.95:
        body, headers = rng.choice(_BODIES)
        headers = dict(headers)
    else:
        body, headers = rng.randbytes(rng.randrange(400)), {"CONTENT_TYPE": rng.choice(_TYPES)}
    while rng.random() < 0.25:
        body = rng.choice(_MUTATIONS)(rng, body)
    if rng.random() < 0.06:
        headers["CONTENT_TYPE"] = rng.choice(_TYPES)
    if rng.random() < 0.06:
        encode, name = rng.choice(_ENCODINGS)
        body = encode(body)
        headers["HTTP_CONTENT_ENCODING"] = name
        if rng.random() < 0.3:
            body = _cut(rng, body)
    return body, headers


def _environ_key(name: str) -> str:
    key = name.upper().replace("-", "_")
    return key if key == "CONTENT_TYPE" else f"HTTP_{key}"


_ENCODINGS: Sequence[tuple[Callable[[bytes], bytes], str]] = (
    (lambda body: gzip.compress(body, 1, mtime=0), "gzip"),
    (lambda body: gzip.compress(body, 1, mtime=0) + b"rest", "gzip"),
    (lambda body: zlib.compress(body, 1), "deflate"),
    (lambda body: zlib.compress(body, 1)[2:-4], "deflate"),
    (lambda body: body, "gzip"),
)


def _cut(rng: random.Random, body: bytes) -> bytes:
    return body[: rng.randrange(len(body) + 1)]


def _flip(rng: random.Random, body: bytes) -> bytes:
    at = rng.randrange(len(body) + 1)
    return body[:at] + bytes([rng.randrange(256)]) + body[at + 1 :]


def _insert(rng: random.Random, body: bytes) -> bytes:
    at = rng.randrange(len(body) + 1)
    return body[:at] + rng.choice(_TOKENS) + body[at:]


def _replace_number(rng: random.Random, body: bytes) -> bytes:
    return body.replace(rng.choice((b"30", b"2500", b"1", b"Paris")), rng.choice(_TOKENS), 1)


def _repeat(rng: random.Random, body: bytes) -> bytes:
    return body * rng.choice((2, 3)) if len(body) < 2000 else body


_MUTATIONS = (_cut, _flip, _flip, _insert, _replace_number, _repeat)


def _may_be_empty(body: bytes, headers: Mapping[str, str]) -> bool:
    """Say whether a body may be a batch of no rows: it has an empty list, a header alone, or cannot be told."""
    kinds = ("text/csv", "ndjson", "jsonl", "json-l", "json_l", "form")
    if "HTTP_CONTENT_ENCODING" in headers or any(kind in headers.get("CONTENT_TYPE", "") for kind in kinds):
        return True
    text = body.replace(b" ", b"")
    return any(mark in text for mark in (b"[]", b"{}", b"[0"))


def _framing(rng: random.Random, body: bytes) -> dict[str, Any]:
    """Return what the server says of the length."""
    chance = rng.random()
    terminated: dict[str, Any] = {"wsgi.input_terminated": True}
    if chance < 0.80:
        return {"CONTENT_LENGTH": str(len(body))}
    if chance < 0.86:
        return {"CONTENT_LENGTH": str(len(body)), **terminated}
    if chance < 0.91:
        return {"HTTP_TRANSFER_ENCODING": "chunked", **terminated}
    if chance < 0.93:
        return terminated
    if chance < 0.95:
        return {"CONTENT_LENGTH": str(rng.randrange(len(body) + 1))}
    if chance < 0.97:
        return {"CONTENT_LENGTH": str(len(body) + rng.randrange(1, 9))}
    return {"CONTENT_LENGTH": rng.choice(("", "abc", "-1", "+5", " 5", "5 ", "0x5", "5_0", "\xb2", "9" * 30))}


def _arriving(rng: random.Random, body: bytes, environ: Mapping[str, Any]) -> tuple[bytes, bool]:
    """Return what arrives of a body, and whether the connection breaks then: never where the body is there."""
    if rng.random() > 0.02:
        return body, False
    arriving = body[: rng.randrange(len(body) + 1)]
    length = str(environ.get("CONTENT_LENGTH", ""))
    return arriving, not length.isdecimal() or len(arriving) < int(length)


# --- what the app does -----------------------------------------------------------------------------------------------

_READS = (*READERS, "args", "headers", "cookies", "place")
_DOCUMENTS: list[Any] = [
    *[answer for answer, _ in ONE.values() if isinstance(answer, (dict, list))],
    *[answer for answer in (*SEVERAL.values(), *UNFITTING.values()) if isinstance(answer, (dict, list))],
]
# A file on disk warns where hooks answer with another response, and nothing closes it.
_ACCEPTED = [name for name in ACCEPTED if name != "download"]
_MIMETYPES = ("application/json", "text/csv", "text/plain", "application/octet-stream", "application/x-ndjson")
_PARTS = (b'{"score": ', b"0.5}", b"", b"0.5\n", b"0.25\n0.75\n", b"\xff\xfe", b"x" * 5000, b"a", b"part")
_AFTER = ("header", "cookie", "replace", "data", "raise", "status", "wrap", "etag", "later", "no length")


def _script(rng: random.Random) -> Script:
    reads = tuple(rng.choice(_READS) for _ in range(rng.choice((0, 1, 1, 1, 2, 3))))
    before: tuple[str, ...] = ()
    if rng.random() < 0.08:
        before = tuple(rng.choice(("answer", "raise", *_READS)) for _ in range(rng.choice((1, 2))))
    after = tuple(rng.choice(_AFTER) for _ in range(rng.choice((1, 1, 2)))) if rng.random() < 0.15 else ()
    return Script(
        before,
        reads,
        _answer(rng),
        after,
        rng.random() < 0.01,
        rng.random() < 0.05,
        rng.choice((1, 1, 2)) if rng.random() < 0.03 else 0,
    )


def _answer(rng: random.Random) -> Answer:
    status = rng.choice((200, 200, 200, 201, 204, 304, 400, 404, 422, 500, 503)) if rng.random() < 0.3 else 200
    headers = (("X-Model", "3"),) if rng.random() < 0.1 else ()
    chance = rng.random()
    if chance < 0.30:
        return Answer(
            rng.choice(("json", "json response", "json text", "jsonify")), rng.choice(_DOCUMENTS), status, headers
        )
    if chance < 0.36:
        return Answer("json", {rng.choice(("score", "output", "why")): rng.choice(_VALUES[:8] + _VALUES[9:])}, status)
    if chance < 0.50:
        return Answer("accepted", rng.choice(_ACCEPTED))
    if chance < 0.60:
        return Answer("converted", rng.choice(list(CONVERTED)))
    if chance < 0.65:
        return Answer("refused", rng.choice(list(REFUSED)))
    if chance < 0.85:
        parts = tuple(rng.choice(_PARTS) for _ in range(rng.choice((0, 1, 2, 3, 5))))
        kind = rng.choice(("stream", "stream", "iterable", "file", "chunks"))
        return Answer(kind, (parts, *_stream_options(rng, parts)), status, headers)
    if chance < 0.93:
        return Answer("raise", rng.choice(("broken", "known", "killed", "key", "deep")))
    if chance < 0.97:
        return Answer("abort", rng.choice((400, 401, 404, 413, 418, 500, 503)))
    return Answer("same", None)


def _stream_options(rng: random.Random, parts: Sequence[bytes]) -> tuple[str, int | None, bool, bool]:
    """Return type, declared length, whether it fails at its end, and whether it is passed on directly."""
    size = sum(map(len, parts))
    length = rng.choice((None, None, size, max(size - 1, 0), size + 1))
    return rng.choice(_MIMETYPES), length, rng.random() < 0.15, rng.random() < 0.1
