"""The view finds its request unread, whatever it reads and in whatever order."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, Request, jsonify, request
from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

from flask_boxkite.web.request_body import BodyTee
from tests.web.twins import Twins, check_counted

Make = Callable[..., Twins]

ANN = {"age": 30, "income": 2500.0, "city": "Paris"}
LIMIT = 300
"""The bodies below are within this limit, or well above it."""


def outcome(read: Callable[[], Any]) -> Any:
    """Return what a reader gets, or what it raises, as JSON."""
    try:
        value = read()
    except Exception as error:
        return [type(error).__name__, getattr(error, "code", None)]
    return value.decode("latin-1") if isinstance(value, bytes) else value


def files() -> Any:
    return {name: [file.filename, file.mimetype, file.read().decode("latin-1")] for name, file in request.files.items()}


READERS: dict[str, Callable[[], Any]] = {
    "json": lambda: request.get_json(),
    "json forced": lambda: request.get_json(force=True),
    "json silent": lambda: request.get_json(silent=True),
    "json uncached": lambda: request.get_json(cache=False),
    "json forced and silent": lambda: request.get_json(force=True, silent=True),
    "property json": lambda: request.json,
    "data": lambda: request.data,
    "get_data": lambda: request.get_data(),
    "get_data uncached": lambda: request.get_data(cache=False),
    "get_data as text": lambda: request.get_data(cache=False).decode("utf-8", "replace"),
    "get_data parsing": lambda: request.get_data(parse_form_data=True),
    "form": lambda: request.form.to_dict(flat=False),
    "values": lambda: request.values.to_dict(),
    "files": files,
    "stream": lambda: request.stream.read(),
    "some of the stream": lambda: request.stream.read(10),
    "a line": lambda: request.stream.readline(),
    "lines": lambda: [line.decode("latin-1") for line in request.stream],
    "all lines": lambda: [line.decode("latin-1") for line in request.stream.readlines()],
    "length": lambda: [request.content_length, request.mimetype, request.is_json],
}

MIXED = [
    ["json", "stream"],
    ["json", "get_data", "form"],
    ["json silent", "form", "data"],
    ["json silent", "stream", "json"],
    ["form", "data", "stream"],
    ["form", "get_data", "files"],
    ["data", "form"],
    ["data", "stream"],
    ["get_data", "form", "files", "stream"],
    ["get_data uncached", "json silent", "form"],
    ["files", "json silent", "stream"],
    ["values", "get_data"],
    ["stream", "json", "form"],
    ["some of the stream", "stream"],
    ["some of the stream", "get_data", "json silent"],
    ["a line", "a line", "lines", "stream"],
]

SEQUENCES = [*[[name] for name in READERS], *[[name, name] for name in READERS], *MIXED]


def upload(photo: bytes) -> dict[str, Any]:
    """Return a form with a file, the same bytes every time."""
    file = FileStorage(io.BytesIO(photo), "me.png", "photo", "image/png")
    _, data = encode_multipart({"age": "30", "income": "2500", "city": "Paris", "photo": file}, boundary="b")
    return {"data": data, "content_type": "multipart/form-data; boundary=b"}


BODIES: dict[str, dict[str, Any]] = {
    "JSON": {"json": ANN},
    "long JSON": {"json": {**ANN, "note": "n" * 2 * LIMIT}},
    "JSON under no type": {"data": json.dumps(ANN)},
    "JSON under the type of a form": {"data": json.dumps(ANN), "content_type": "application/x-www-form-urlencoded"},
    "broken JSON": {"data": "{", "content_type": "application/json"},
    "null": {"data": "null", "content_type": "application/json"},
    "binary JSON": {"data": b"\xff\xfe\x00", "content_type": "application/json"},
    "form": {"data": {"age": "30", "income": "2500", "city": "Paris"}},
    "long form": {"data": {"age": "30", "income": "2500", "city": "Paris", "note": "n" * 2 * LIMIT}},
    "upload": upload(b"\x89PNG\r\n\xff"),
    "long upload": upload(b"\x89PNG\r\n\xff" * LIMIT),
    "broken upload": {"data": b"--x\r\nwhat?", "content_type": "multipart/form-data; boundary=x"},
    "upload without boundary": {"data": b"--x\r\n\r\n1", "content_type": "multipart/form-data"},
    "CSV": {"data": "30,2500,Paris\n55,7000,Rome\n", "content_type": "text/csv"},
    "long CSV": {"data": "30,2500,Paris\n" * LIMIT, "content_type": "text/csv"},
    "binary": {"data": bytes(range(256)), "content_type": "application/octet-stream"},
    "empty": {"data": b"", "content_type": "application/json"},
    "nothing": {},
}

SERVED: dict[str, dict[str, Any]] = {
    "by length": {},
    "terminated": {"wsgi.input_terminated": True},
    "chunked": {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": None},
    "of no length": {"wsgi.input_terminated": True, "CONTENT_LENGTH": None},
}
"""WSGI keys with which servers describe a body."""


def reading_app(hooked: bool = False, **options: Any) -> Callable[[Flask, Any], None]:
    """Return what defines an app whose view answers what it reads, as the request says; or whose hook reads first."""

    def read() -> list[Any]:
        return [outcome(READERS[name]) for name in request.headers["Read"].split(",")]

    def define(app: Flask, predict: Any) -> None:
        if hooked:

            @app.before_request
            def hook() -> None:
                for name in filter(None, request.headers.get("Hook", "").split(",")):
                    outcome(READERS[name])

        @app.post("/score")
        @predict(**options)
        def score() -> Any:
            return jsonify(score=0.5, read=read(), input=outcome(lambda: request.environ["wsgi.input"].read(20)))

    return define


def send(app: Twins, sent: dict[str, Any], served: dict[str, Any], headers: dict[str, str]) -> Any:
    """Send a request as a server would hand it over; return the answer's JSON."""
    removed = [key for key, value in served.items() if value is None]
    added = {key: value for key, value in served.items() if value is not None}
    answers = []
    for flask, client in ((app.app, app.client), (app.plain, app.plain_client)):
        inner = flask.wsgi_app

        def wsgi_app(environ: Any, start_response: Any, inner: Any = inner) -> Any:
            for key in removed:
                environ.pop(key, None)
            return inner(environ, start_response)

        flask.wsgi_app = wsgi_app  # type: ignore[method-assign]
        answers.append(client.post("/score", headers=headers, environ_overrides=added, **sent))
        flask.wsgi_app = inner  # type: ignore[method-assign]
    ours, theirs = answers
    assert ours.get_json() == theirs.get_json(), headers
    assert ours.status == theirs.status
    return ours.get_json()


@pytest.mark.parametrize("served", SERVED.values(), ids=SERVED)
@pytest.mark.parametrize("sent", BODIES.values(), ids=BODIES)
def test_the_view_reads_what_it_would_have_read(twins: Make, sent: dict[str, Any], served: dict[str, Any]) -> None:
    app = twins(reading_app(), BOXKITE_MAX_BODY_BYTES=LIMIT)
    for sequence in SEQUENCES:
        send(app, sent, served, {"Read": ",".join(sequence)})
    samples = app.scrape()
    assert sum(samples.statuses().values()) >= len(SEQUENCES)
    assert "internal" not in samples.errors()


HOOKS = [
    "json silent",
    "json uncached",
    "get_data",
    "get_data uncached",
    "form",
    "data",
    "stream",
    "some of the stream",
]


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("name", ["JSON", "long JSON", "form", "upload", "CSV", "binary"])
def test_a_hook_may_have_read_before(twins: Make, name: str, hook: str) -> None:
    """The view gets the rest of the body; features are counted if the body is still known."""
    app = twins(reading_app(hooked=True), BOXKITE_MAX_BODY_BYTES=LIMIT)
    for sequence in MIXED:
        send(app, BODIES[name], {}, {"Read": ",".join(sequence), "Hook": hook})
    samples = app.scrape()
    assert sum(samples.statuses().values()) >= len(MIXED)
    assert "internal" not in samples.errors()
    if name != "CSV":
        assert "output" not in samples.errors()
    if (name, hook) in {
        ("JSON", "json silent"),
        ("JSON", "get_data"),
        ("long JSON", "json silent"),
        ("long JSON", "get_data"),
        ("form", "form"),
        ("form", "get_data"),
        ("form", "data"),
        ("CSV", "get_data"),
    }:
        assert "features" not in samples.errors()
        assert sum(samples.groups("age").values()) == samples.statuses()["ok"]


@pytest.mark.parametrize("read", [*READERS, "form,files", "json,stream"])
@pytest.mark.parametrize("name", ["JSON", "form", "upload", "CSV", "broken upload"])
def test_a_callable_for_features_leaves_the_request_as_it_was(twins: Make, name: str, read: str) -> None:
    """Whether it returns or raises."""

    def features(given: Request) -> Any:
        for reader in read.split(","):
            READERS[reader]()
        return [30, 2500, "Paris"]

    app = twins(reading_app(features=features), BOXKITE_MAX_BODY_BYTES=LIMIT)
    for sequence in MIXED:
        send(app, BODIES[name], {}, {"Read": ",".join(sequence)})
    assert app.scrape().statuses() == {"ok": len(MIXED)}


LEFT = {
    "long JSON": ("long JSON", {}),
    "long form": ("long form", {}),
    "long upload": ("long upload", {}),
    "long CSV": ("long CSV", {}),
    "chunked JSON": ("JSON", SERVED["chunked"]),
    "chunked upload": ("upload", SERVED["chunked"]),
    "form of no length": ("form", SERVED["of no length"]),
}
"""Bodies that are not read before the view."""


@pytest.mark.parametrize("read", [*READERS, "form,files", "json,stream"])
@pytest.mark.parametrize(("name", "served"), LEFT.values(), ids=LEFT)
def test_a_callable_for_features_leaves_a_long_body_to_the_view(
    twins: Make, name: str, served: dict[str, Any], read: str
) -> None:
    """It is called when the view has read the body, on a copy of the request."""
    app = twins(reading_app(features=features_after(read)), BOXKITE_MAX_BODY_BYTES=LIMIT)
    for sequence in MIXED:
        send(app, BODIES[name], served, {"Read": ",".join(sequence)})
    samples = app.scrape()
    assert samples.statuses() == {"ok": len(MIXED)}
    assert "internal" not in samples.errors()


def features_after(read: str) -> Callable[[Request], Any]:
    """Return a function that finds features and reads the request that it is given."""

    def features(given: Request) -> Any:
        assert given is not request._get_current_object()  # type: ignore[attr-defined]
        for reader in read.split(","):
            GIVEN.get(reader, lambda given: given.get_data())(given)
        return [30, 2500, "Paris"]

    return features


GIVEN: dict[str, Callable[[Request], Any]] = {
    "json": lambda given: given.get_json(),
    "form": lambda given: given.form,
    "files": lambda given: given.files,
    "values": lambda given: given.values,
    "stream": lambda given: given.stream.read(),
    "length": lambda given: given.content_length,
}


@pytest.mark.parametrize("served", [{}, SERVED["chunked"]], ids=["long", "chunked"])
@pytest.mark.parametrize(("read", "rows"), {"json": 1, "stream": 1, "some of the stream": 0, "length": 0}.items())
def test_a_callable_finds_features_in_what_the_view_has_read(
    twins: Make, served: dict[str, Any], read: str, rows: int
) -> None:
    """A callable reads the whole body, as the client sent it, or nothing."""

    def define(app: Flask, predict: Any) -> None:
        @app.post("/score")
        @predict(features=lambda given: given.get_json())
        def score() -> Any:
            if isinstance(document := outcome(READERS[read]), dict):
                document["age"] = 99
            return {"score": 0.5}

    app = twins(define, BOXKITE_MAX_BODY_BYTES=LIMIT)
    send(app, BODIES["long JSON"], served, {})
    samples = app.scrape()
    assert samples.errors() == ({} if rows else {"features": 1})
    assert samples.groups("age") == ({samples.group_of("feature", "age", 30): 1} if rows else {})


@pytest.mark.parametrize("terminated", [{}, SERVED["terminated"]], ids=["by length", "terminated"])
@pytest.mark.parametrize("data", [b"", b'{"age": 30'], ids=["at once", "later"])
def test_a_callable_that_meets_a_body_that_breaks_off_finds_nothing(
    twins: Make, data: bytes, terminated: dict[str, Any]
) -> None:
    """The client's fault is no internal error, and breaks off for the view too."""
    app = twins(reading_app(features=lambda given: given.get_json()))
    for read in ("length", "get_data", "stream", "json forced and silent", "all lines"):
        answers = []
        for client in (app.client, app.plain_client):
            environ = {
                "wsgi.input": Input(data, "50", ConnectionResetError("gone")),
                "CONTENT_LENGTH": "50",
                **terminated,
            }
            headers = {"Read": read}
            answer = client.post("/score", headers=headers, content_type="application/json", environ_overrides=environ)
            answers.append((answer.status, answer.get_json()))
        assert answers[0] == answers[1], read
    assert app.scrape().errors() == {"features": 5}


def test_a_query_string_that_is_no_text_has_no_features(twins: Make) -> None:
    app = twins(reading_app(features="?"))
    send(app, BODIES["nothing"], {"QUERY_STRING": "age=\xff"}, {"Read": "length"})
    assert app.scrape().errors() == {"features": 1}


# --- What is counted and recorded of it -----------------------------------------------------------------------------


LATE = {
    "JSON": ("JSON", "json", 1),
    "JSON read as data": ("JSON", "get_data", 1),
    "JSON read as a stream": ("JSON", "stream", 1),
    "JSON read by lines": ("JSON", "lines", 1),
    "JSON that is not read": ("JSON", "length", 0),
    "JSON that is read in part": ("JSON", "some of the stream", 0),
    "form": ("form", "form", 1),
    "form read as data": ("form", "get_data", 1),
    "CSV": ("CSV", "get_data", 2),
    "CSV read in part": ("CSV", "a line", 0),
}


@pytest.mark.parametrize(("name", "read", "rows"), LATE.values(), ids=LATE)
def test_a_chunked_body_counts_when_the_view_has_read_it(twins: Make, name: str, read: str, rows: int) -> None:
    """Capture does not wait for an unread body, and does not guess from a part of one."""

    def define(app: Flask, predict: Any) -> None:
        @app.post("/score")
        @predict
        def score() -> Any:
            outcome(READERS[request.headers["Read"]])
            return {"predictions": [0.5] * max(rows, 1)}

    app = twins(define)
    send(app, BODIES[name], SERVED["chunked"], {"Read": read})
    samples = app.scrape()
    record = app.record()
    if rows:
        both = [{"age": 30, "income": 2500, "city": "Paris"}, {"age": 55, "income": 7000, "city": "Rome"}]
        check_counted(samples, both[:rows], [0.5] * rows)
        assert len(record["request_body"]) > 10
        assert "body_truncated" not in record
    else:
        assert samples.errors() == {"features": 1}
        assert samples.groups("age") == {}


@pytest.mark.parametrize("read", ["json", "get_data", "stream", "lines", "length"])
def test_a_long_body_counts_however_the_view_reads_it(twins: Make, read: str) -> None:
    app = twins(reading_app(), BOXKITE_MAX_BODY_BYTES=LIMIT)
    send(app, BODIES["long JSON"], {}, {"Read": read})
    samples = app.scrape()
    assert samples.errors().get("features", 0) == (read == "length")
    assert sum(samples.groups("age").values()) == (read != "length")
    assert app.record()["body_truncated"]


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/octet-stream", "application/x-www-form-urlencoded"]
)
def test_a_chunked_body_of_another_type_is_not_taken_for_csv(twins: Make, content_type: str) -> None:
    app = twins(reading_app())
    send(app, {"data": "30,2500,Paris\n", "content_type": content_type}, SERVED["chunked"], {"Read": "stream"})
    samples = app.scrape()
    assert samples.errors() == {"features": 1}
    assert samples.groups("age") == {}


@pytest.mark.parametrize(
    ("name", "read", "text", "flags"),
    [
        ("JSON under no type", "data", json.dumps(ANN), {}),
        ("CSV", "data", "30,2500,Paris\n55,7000,Rome\n", {}),
        ("long CSV", "data", ("30,2500,Paris\n" * LIMIT)[:LIMIT], {"body_truncated": True}),
        ("long CSV", "length", "30,2500,Paris\n30,250", {"body_truncated": True}),
        ("empty", "data", "", {}),
        ("nothing", "data", "", {}),
    ],
    ids=["JSON", "CSV", "long CSV", "long CSV read in part", "empty", "nothing"],
)
def test_the_body_is_recorded_as_it_came(twins: Make, name: str, read: str, text: str, flags: dict[str, Any]) -> None:
    app = twins(reading_app(), BOXKITE_MAX_BODY_BYTES=LIMIT)
    send(app, BODIES[name], {}, {"Read": read})
    record = app.record()
    assert record["request_body"] == text
    assert {key: record[key] for key in ("body_truncated", "body_encoding") if key in record} == flags


def test_a_body_that_is_no_text_is_recorded_in_base64(twins: Make) -> None:
    import base64

    app = twins(reading_app(), BOXKITE_MAX_BODY_BYTES=LIMIT)
    send(app, BODIES["binary"], {}, {"Read": "stream"})
    record = app.record()
    assert base64.b64decode(record["request_body"]) == bytes(range(256))
    assert record["body_encoding"] == "base64"


def test_a_cut_does_not_split_a_character(twins: Make) -> None:
    app = twins(reading_app(), BOXKITE_MAX_BODY_BYTES=10)
    send(app, {"data": "äöü€" * 10, "content_type": "text/plain"}, {}, {"Read": "stream"})
    record = app.record()
    assert record["request_body"] == "äöü€"
    assert record["body_truncated"] is True
    assert "body_encoding" not in record


@pytest.mark.parametrize("name", ["JSON", "long JSON", "form", "long form", "long CSV"])
def test_long_and_short_bodies_count_alike(twins: Make, name: str) -> None:
    app = twins(reading_app(), BOXKITE_MAX_BODY_BYTES=LIMIT)
    reader = "json" if "JSON" in name else "form" if "form" in name else "data"
    send(app, BODIES[name], {}, {"Read": reader})
    samples = app.scrape()
    rows = LIMIT if name == "long CSV" else 1
    assert samples.groups("age") == {samples.group_of("feature", "age", 30): rows}
    assert samples.errors() == ({"output": 1} if rows > 1 else {})


# --- Limits and faults ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["JSON", "long JSON", "form", "upload", "long upload", "CSV"])
@pytest.mark.parametrize(
    "limits",
    [
        {"MAX_CONTENT_LENGTH": 20},
        {"MAX_FORM_MEMORY_SIZE": 2},
        {"MAX_FORM_PARTS": 1},
        {"MAX_CONTENT_LENGTH": len(json.dumps(ANN))},
        {"MAX_CONTENT_LENGTH": 1000},
    ],
    ids=str,
)
@pytest.mark.parametrize("served", ["by length", "terminated", "chunked"])
# Werkzeug leaves the temporary file of an upload open that it refuses half-way.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_limits_of_flask_hold(twins: Make, name: str, limits: dict[str, int], served: str) -> None:
    """413 where it would be 413, and its request is not counted as our failure."""
    app = twins(reading_app(), flask=limits, BOXKITE_MAX_BODY_BYTES=LIMIT)
    for sequence in MIXED:
        send(app, BODIES[name], SERVED[served], {"Read": ",".join(sequence)})
    assert "internal" not in app.scrape().errors()


@pytest.mark.skipif(not hasattr(Request, "_max_content_length"), reason="Flask has one limit for all requests.")
@pytest.mark.parametrize("read", ["json", "get_data", "stream", "form"])
def test_a_limit_that_the_view_sets_holds(twins: Make, read: str) -> None:
    """Although the body had been read when the view set it (Flask 3.1)."""

    def define(app: Flask, predict: Any) -> None:
        @app.post("/score")
        @predict
        def score() -> Any:
            request.max_content_length = 20
            return jsonify(score=0.5, read=outcome(READERS[read]))

    app = twins(define)
    for body in ("JSON", "form"):
        send(app, BODIES[body], {}, {})


def test_a_refused_upload_is_413_and_counted(twins: Make) -> None:
    def define(app: Flask, predict: Any) -> None:
        @app.post("/score")
        @predict
        def score() -> Any:
            return {"score": len(request.get_data()) / 100}

    app = twins(define, flask={"MAX_CONTENT_LENGTH": 20})
    answer = app.send(json=ANN)
    assert answer.status_code == 413
    assert app.scrape().statuses() == {"client_error": 1}
    assert app.record()["status"] == "client_error"


class Input(io.BytesIO):
    """A server's input, which ends where the length says; or breaks off before."""

    def __init__(self, data: bytes, length: str, error: Exception | None) -> None:
        size = int(length) if length.isdecimal() else len(data)
        super().__init__(data[:size])
        self._error = error if size > len(data) else None
        self._size = len(data)

    def _check(self) -> None:
        if self._error is not None and self.tell() >= self._size:
            raise self._error

    def read(self, *size: Any) -> bytes:
        self._check()
        return super().read(*size)

    def readline(self, *size: Any) -> bytes:
        self._check()
        return super().readline(*size)

    def readinto(self, buffer: Any) -> int:
        self._check()
        return super().readinto(buffer)

    def readlines(self, *hint: Any) -> list[bytes]:
        return list(self)

    def __next__(self) -> bytes:
        self._check()
        return super().__next__()


@pytest.mark.parametrize("error", [None, ConnectionResetError("gone"), ValueError("closed")], ids=str)
@pytest.mark.parametrize("length", ["200", "1000", "-5", "many", "0", "20", str(len(json.dumps(ANN)))])
@pytest.mark.parametrize("terminated", [False, True])
def test_a_body_that_breaks_off_breaks_off_for_the_view(
    twins: Make, error: Exception | None, length: str, terminated: bool
) -> None:
    """A client that hung up, or lied about the length."""
    app = twins(reading_app(), BOXKITE_MAX_BODY_BYTES=LIMIT)
    data = json.dumps(ANN).encode()
    for sequence in [*MIXED, *[[name] for name in READERS]]:
        headers = {"Read": ",".join(sequence)}
        answers = []
        for client in (app.client, app.plain_client):
            environ: dict[str, Any] = {"wsgi.input": Input(data, length, error), "CONTENT_LENGTH": length}
            if terminated:
                environ["wsgi.input_terminated"] = True
            answer = client.post("/score", headers=headers, content_type="application/json", environ_overrides=environ)
            answers.append((answer.status, answer.get_json()))
        assert answers[0] == answers[1], sequence
    assert "internal" not in app.scrape().errors()


def test_a_view_may_change_what_it_read(twins: Make) -> None:
    """The record keeps what came."""

    def define(app: Flask, predict: Any) -> None:
        @app.post("/score")
        @predict
        def score() -> Any:
            document = request.get_json()
            document["age"] = 99
            document["tags"].append("changed")
            document["nested"]["deep"][0] = "changed"
            again = request.get_json()
            fresh = request.get_json(cache=False)
            return {"score": 0.5, "again": again, "fresh": fresh}

    sent = {**ANN, "tags": ["a"], "nested": {"deep": ["b"]}}
    app = twins(define)
    app.send(json=sent)
    samples = app.scrape()
    assert samples.groups("age") == {samples.group_of("feature", "age", 30): 1}
    record = app.record()
    assert record["features"] == sent
    assert json.loads(record["request_body"]) == sent


def test_an_apps_own_json_provider_parses_for_both(twins: Make) -> None:
    from decimal import Decimal

    from flask.json.provider import DefaultJSONProvider

    class Provider(DefaultJSONProvider):
        calls = 0

        def loads(self, s: Any, **kwargs: Any) -> Any:
            type(self).calls += 1
            return json.loads(s, parse_float=Decimal, **kwargs)

    def define(app: Flask, predict: Any) -> None:
        app.json = Provider(app)

        @app.post("/score")
        @predict
        def score() -> Any:
            return {"score": 0.5, "type": type(request.get_json()["income"]).__name__}

    app = twins(define)
    before = Provider.calls
    answer = app.client.post("/score", json=ANN)
    assert Provider.calls == before + 1, "once for us and the view"
    assert answer.get_json()["type"] == "Decimal"
    samples = app.scrape()
    assert samples.groups("income") == {samples.group_of("feature", "income", 2500.0): 1}


def test_huge_headers_are_the_servers_business(twins: Make) -> None:
    """And never recorded."""
    app = twins(reading_app())
    app.send(json=ANN, headers={"Read": "json", "X-Secret": "s" * 100_000, "Authorization": "Bearer hidden"})
    text = json.dumps(app.record())
    assert "hidden" not in text
    assert "sss" not in text


def test_a_request_class_of_the_app_is_kept(twins: Make) -> None:
    class OwnRequest(Request):
        @property
        def rows(self) -> int:
            return len(self.get_json())

    def define(app: Flask, predict: Any) -> None:
        app.request_class = OwnRequest

        @app.post("/score")
        @predict
        def score() -> Any:
            return {"score": 0.5, "rows": request.rows}  # type: ignore[attr-defined]

    app = twins(define)
    assert app.send(json=ANN).get_json()["rows"] == 3
    check_counted(app.scrape(), [ANN], [0.5])


@pytest.mark.parametrize(
    ("read", "ended"),
    [
        (lambda tee: tee.read(), True),
        (lambda tee: tee.read(-1), True),
        (lambda tee: [tee.read(4), tee.read(4)], False),
        (lambda tee: [tee.read(8), tee.read(4)], True),
        (lambda tee: tee.read(0), False),
        (lambda tee: tee.readline(), False),
        (lambda tee: [tee.readline(), tee.readline(), tee.readline()], True),
        (lambda tee: tee.readlines(), True),
        (lambda tee: list(tee), True),
        (lambda tee: next(iter(tee)), False),
        (lambda tee: tee.readinto(bytearray(100)), False),
    ],
)
def test_the_end_of_a_body_without_length_is_known_when_it_was_seen(read: Any, ended: bool) -> None:
    tee = BodyTee(io.BytesIO(b"abc\ndefg"), 100)
    read(tee)
    assert tee.is_whole(None) is ended
