"""A view's return value reaches the client unchanged; values that Flask would refuse become JSON."""

from __future__ import annotations

import datetime
import io
import json
import math
import uuid
from collections import OrderedDict, UserDict, defaultdict, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from flask import Flask, Response, abort, jsonify, make_response, redirect, send_file, stream_with_context
from markupsafe import Markup

from flask_boxkite.web.return_values import LONGEST_PAYLOAD
from tests.web.twins import ID_HEADER, Twins, check_counted

Make = Callable[..., Twins]

ANN = {"age": 30, "income": 2500.0, "city": "Paris"}


def returning(make: Callable[[], Any], **options: Any) -> Callable[[Flask, Any], None]:
    def define(app: Flask, predict: Any) -> None:
        @app.route("/score", methods=["GET", "POST"])
        @predict(**options)
        def score() -> Any:
            return make()

    return define


NOON = datetime.datetime(2024, 5, 17, 12, tzinfo=datetime.timezone.utc)


def wsgi_app(environ: Any, start_response: Any) -> Any:
    start_response("202 Accepted", [("Content-Type", "text/plain"), ("X-From", "WSGI")])
    return [b"0.5"]


ACCEPTED: dict[str, Callable[[], Any]] = {
    "text": lambda: "0.5",
    "bytes": lambda: b"0.5",
    "bytearray": lambda: bytearray(b"0.5"),
    "markup": lambda: Markup("<b>0.5</b>"),
    "dict": lambda: {"score": 0.5},
    "list": lambda: [0.5],
    "empty list": list,
    "nested": lambda: {"score": 0.5, "why": [{"age": [1, None, True]}, {}]},
    "NaN in a dict": lambda: {"score": math.nan, "high": math.inf},
    "NumPy's NaN in a dict": lambda: {"score": np.float64("nan"), "high": np.float64("inf"), "text": np.str_("a")},
    "dates": lambda: {"score": 0.5, "at": NOON, "on": NOON.date(), "id": uuid.UUID(int=5), "price": Decimal("1.50")},
    "ordered dict": lambda: OrderedDict(score=0.5, at=NOON),
    "default dict": lambda: defaultdict(list, score=0.5, at=NOON),
    "list of dates": lambda: [NOON, 0.5],
    "tuple in a dict": lambda: {"score": 0.5, "pair": (1, NOON)},
    "status": lambda: ({"score": 0.5}, 201),
    "status text": lambda: ("0.5", "299 Odd"),
    "headers": lambda: ({"score": 0.5}, {"X-Model": "3"}),
    "list of headers": lambda: ("0.5", [("X-Model", "3"), ("X-Model", "4")]),
    "status and headers": lambda: ([0.5], 206, {"Content-Type": "application/x-scores"}),
    "jsonify": lambda: jsonify(score=0.5),
    "make_response": lambda: make_response(("0.5", 203)),
    "response": lambda: Response("0.5", mimetype="text/plain", headers={"ETag": '"x"'}),
    "response in a tuple": lambda: (Response("0.5"), 201),
    "generator": lambda: (part for part in ["0", ".5"]),
    "iterator": lambda: iter([b"0", b".5"]),
    "streaming response": lambda: Response((part for part in ["0", ".5"]), mimetype="text/plain"),
    "stream with context": lambda: Response(stream_with_context(part for part in ["0", ".5"])),
    "file": lambda: send_file(io.BytesIO(b"0.5"), mimetype="text/plain"),
    "download": lambda: send_file(Path(__file__), as_attachment=True),
    "no content": lambda: ("", 204),
    "redirect": lambda: redirect("/there"),
    "aborting with a redirect": lambda: abort(redirect("/there")),
    "aborting with an answer": lambda: abort(make_response({"score": 0.5}, 200)),
    "WSGI app": lambda: wsgi_app,
    "gzip": lambda: Response(b"\x1f\x8b\x00", headers={"Content-Encoding": "gzip", "Content-Type": "application/json"}),
}


@pytest.mark.parametrize("make", ACCEPTED.values(), ids=ACCEPTED)
def test_what_flask_accepts_is_passed_through(twins: Make, make: Callable[[], Any]) -> None:
    app = twins(returning(make))
    answer = app.send(json=ANN, buffered=True)
    samples = app.scrape()
    assert samples.statuses() == {"ok": 1}
    assert samples.groups("age") == {samples.group_of("feature", "age", 30): 1}
    assert answer.headers[ID_HEADER] == app.record()["prediction_id"]
    assert len(answer.headers.getlist(ID_HEADER)) == 1
    assert "internal" not in samples.errors()


class Thing:
    """Nothing that Flask or JSON knows."""


class Array:
    """Something array-like that cannot be read."""

    def __array__(self) -> Any:
        raise RuntimeError("no")


REFUSED: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "object": Thing,
    "set": lambda: {0.5},
    "date": lambda: NOON,
    "mapping": lambda: UserDict(score=0.5),
    "range": lambda: range(3),
    "tuple of four": lambda: (0.5, 0.5, 0.5, 0.5),
    "tuple of one": lambda: (0.5,),
    "empty tuple": lambda: (),
    "None with a status": lambda: (None, 200),
    "object in a dict": lambda: {"score": Thing()},
    "NumPy keys": lambda: {np.int64(1): 0.5},
    "complex": lambda: 1j,
    "coroutine function": lambda: Thing,
}


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED)
def test_what_flask_refuses_stays_refused(twins: Make, make: Callable[[], Any]) -> None:
    """A mistake is not turned into an answer."""
    app = twins(returning(make))
    answer = app.send(json=ANN)
    assert answer.status_code == 500
    assert app.scrape().statuses() == {"error": 1}
    assert app.record()["status"] == "error"


def test_an_array_that_cannot_be_read_is_the_views_error(twins: Make) -> None:
    app = twins(returning(Array))
    assert app.client.post("/score", json=ANN).status_code == 500
    assert app.scrape().statuses() == {"error": 1}


FRAME = pd.DataFrame({"output": [0.25, 0.75]})

CONVERTED: dict[str, tuple[Callable[[], Any], Any, list[float]]] = {
    "float": (lambda: 0.5, 0.5, [0.5]),
    "int": (lambda: 1, 1, [1]),
    "bool": (lambda: True, True, [1]),
    "decimal": (lambda: Decimal("0.5"), 0.5, [0.5]),
    "NumPy float": (lambda: np.float64(0.5), 0.5, [0.5]),
    "narrow float": (lambda: np.float32(0.1), 0.1, [0.1]),
    "NumPy int": (lambda: np.int64(1), 1, [1]),
    "NumPy bool": (lambda: np.bool_(True), True, [1]),
    "NaN": (lambda: math.nan, None, [math.nan]),
    "NumPy's NaN": (lambda: np.float64("nan"), None, [math.nan]),
    "infinity": (lambda: np.float64("inf"), "Infinity", [math.inf]),
    "array of none": (lambda: np.array(0.5), 0.5, [0.5]),
    "array": (lambda: np.array([0.5]), [0.5], [0.5]),
    "two rows": (lambda: np.array([0.25, 0.75]), [0.25, 0.75], [0.25, 0.75]),
    "matrix": (lambda: np.array([[0.25], [0.75]]), [[0.25], [0.75]], [0.25, 0.75]),
    "narrow array": (lambda: np.array([0.1, 0.7], np.float32), [0.1, 0.7], [0.1, 0.7]),
    "array in a dict": (lambda: {"predictions": np.array([0.25, 0.75])}, {"predictions": [0.25, 0.75]}, [0.25, 0.75]),
    "scalar in a dict": (lambda: {"score": np.float32(0.7)}, {"score": 0.7}, [0.7]),
    "scalars in lists": (lambda: {"predictions": [np.float32(0.7)]}, {"predictions": [0.7]}, [0.7]),
    "scalars in a tuple": (lambda: {"predictions": (np.int64(1),)}, {"predictions": [1]}, [1]),
    "in an ordered dict": (lambda: OrderedDict(score=np.float32(0.7)), {"score": 0.7}, [0.7]),
    "status": (lambda: (np.float64(0.5), 201), 0.5, [0.5]),
    "number, status and headers": (lambda: (0.5, 202, {"X-Model": "3"}), 0.5, [0.5]),
    "series": (lambda: FRAME["output"], [0.25, 0.75], [0.25, 0.75]),
    "frame": (lambda: FRAME, [{"output": 0.25}, {"output": 0.75}], [0.25, 0.75]),
    "Polars series": (lambda: pl.Series([0.25, 0.75]), [0.25, 0.75], [0.25, 0.75]),
    "Polars frame": (
        lambda: pl.DataFrame({"output": [0.25, 0.75]}),
        [{"output": 0.25}, {"output": 0.75}],
        [0.25, 0.75],
    ),
    "Arrow array": (lambda: pa.array([0.25, 0.75]), [0.25, 0.75], [0.25, 0.75]),
    "Arrow table": (
        lambda: pa.table({"output": [0.25, 0.75]}),
        [{"output": 0.25}, {"output": 0.75}],
        [0.25, 0.75],
    ),
}


@pytest.mark.parametrize(("make", "value", "outputs"), CONVERTED.values(), ids=CONVERTED)
def test_a_number_or_array_becomes_its_json_value(
    twins: Make, make: Callable[[], Any], value: Any, outputs: list[float]
) -> None:
    app = twins(returning(make))
    rows = [ANN] * len(outputs)
    answer = app.client.post("/score", json=rows if len(rows) > 1 else ANN)
    assert answer.mimetype == "application/json"
    assert answer.get_json() == value
    check_counted(app.scrape(), rows, outputs)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
def test_a_converted_view_answers_every_method(twins: Make, method: str) -> None:
    """HEAD must not be 500 where GET is 200, and neither HEAD nor OPTIONS is a prediction."""
    app = twins(returning(lambda: np.float64(0.5)))
    answer = app.client.open("/score", method=method, json=ANN)
    assert answer.status_code == 200
    counted = {"ok": 1} if method in ("GET", "POST") else {}
    assert app.scrape().statuses() == counted
    assert len(app.records()) == len(counted)
    assert (ID_HEADER in answer.headers) == bool(counted)


def test_a_view_that_answers_options_itself_is_not_counted_for_it(twins: Make) -> None:
    def define(app: Flask, predict: Any) -> None:
        @app.route("/score", methods=["OPTIONS", "HEAD", "GET"])
        @predict
        def score() -> Any:
            return {"score": 0.5}

    app = twins(define)
    for method in ("OPTIONS", "HEAD"):
        app.send(method=method)
    assert app.scrape().statuses() == {}
    assert app.records() == []


def test_a_response_that_is_returned_again_has_the_id_of_its_request(twins: Make) -> None:
    """Once, not one more each time."""
    same = Response("0.5")
    app = twins(returning(lambda: same))
    ids = [app.client.post("/score", json=ANN).headers.getlist(ID_HEADER) for _ in range(3)]
    assert ids == [[record["prediction_id"]] for record in app.records()]


def test_a_path_adds_nothing_to_a_default_dict(twins: Make) -> None:
    app = twins(returning(lambda: defaultdict(list, score=0.5), output="scores"))
    assert app.send(json=ANN).get_json() == {"score": 0.5}
    assert app.scrape().errors() == {"output": 1}


# --- Objects, below a schema ----------------------------------------------------------------------------------------


@dataclass
class Answer:
    """A value that a view returns to a schema above it."""

    output: Any
    note: str = "n"


Row = namedtuple("Row", ["output", "note"])
Pair = namedtuple("Pair", ["note", "output"])


class Keyed:
    """An object with keys and a value for each of them."""

    output = 0.5

    def keys(self) -> list[str]:
        return ["output"]

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)


OBJECTS: dict[str, tuple[Any, list[float]]] = {
    "dataclass": (Answer(0.5), [0.5]),
    "dataclass of columns": (Answer([0.25, 0.75]), [0.25, 0.75]),
    "list of dataclasses": ([Answer(0.25), Answer(0.75)], [0.25, 0.75]),
    "named tuple": (Row(0.5, "n"), [0.5]),
    "named tuple of NumPy": (Row(np.float32(0.5), "n"), [0.5]),
    "named tuple that begins with a text": (Pair("n", 0.5), [0.5]),
    "list of named tuples": ([Row(0.25, "n"), Row(0.75, "n")], [0.25, 0.75]),
    "mapping-like": (Keyed(), [0.5]),
    "with a status": ((Answer(0.5), 201), [0.5]),
    "mapping": (UserDict(output=0.5), [0.5]),
}


@pytest.mark.parametrize(("returned", "outputs"), OBJECTS.values(), ids=OBJECTS)
def test_an_object_below_a_schema_is_counted_and_left_alone(twins: Make, returned: Any, outputs: list[float]) -> None:
    given: list[Any] = []

    def schema(view: Callable[[], Any]) -> Callable[[], Any]:
        def dump() -> Any:
            given.append(view())
            return {"dumped": True}

        return dump

    def define(app: Flask, predict: Any) -> None:
        app.post("/score", endpoint="score")(schema(predict(lambda: returned)))

    app = twins(define)
    app.send(json=[ANN] * len(outputs) if len(outputs) > 1 else ANN)
    assert all(value is returned for value in given)
    check_counted(app.scrape(), [ANN] * len(outputs), outputs)
    assert "0x" not in str(app.record()["output"])


def test_named_tuples_in_a_list_keep_their_names(twins: Make) -> None:
    """A schema reads them by name, though NumPy's numbers in them become JSON's."""

    def define(app: Flask, predict: Any) -> None:
        inner = predict(lambda: [Row(np.float32(0.25), "n"), Row(np.float32(0.75), "n")])
        app.post("/score", endpoint="score")(lambda: {"dumped": [float(row.output) for row in inner()]})

    app = twins(define)
    assert app.send(json=[ANN, ANN]).get_json() == {"dumped": [0.25, 0.75]}
    check_counted(app.scrape(), [ANN, ANN], [0.25, 0.75])


def test_a_named_tuple_may_be_a_body_with_its_status(twins: Make) -> None:
    Reply = namedtuple("Reply", ["body", "status"])
    app = twins(returning(lambda: Reply({"score": 0.5}, 202)))
    assert app.send(json=ANN).status_code == 202
    check_counted(app.scrape(), [ANN], [0.5])


@pytest.mark.parametrize("returned", [Answer("seldom", "n"), Row(None, "n"), object()], ids=["text", "None", "object"])
def test_an_object_without_an_output_is_no_repr(twins: Make, returned: Any) -> None:
    def define(app: Flask, predict: Any) -> None:
        inner = predict(lambda: returned)
        app.post("/score", endpoint="score")(lambda: {"seen": inner() is returned})

    app = twins(define)
    app.send(json=ANN)
    assert "0x" not in str(app.record()["output"])
    expected = {Answer: "__invalid__", Row: "__missing__"}.get(type(returned))
    assert app.scrape().outputs() == ({expected: 1} if expected else {})


# --- Streams --------------------------------------------------------------------------------------------------------


def test_a_response_made_of_a_sequence_of_its_own_is_left_to_it(twins: Make) -> None:
    """Something with a length is not always a list that may be read twice."""
    read: list[str] = []

    class Once:
        def __len__(self) -> int:
            return 1

        def __iter__(self) -> Any:
            read.append("read")
            return iter([b"0.5"])

    app = twins(returning(lambda: Response(Once())))
    assert app.client.post("/score", json=ANN).get_data() == b"0.5"
    assert len(read) == 1


def test_a_long_json_answer_is_not_parsed(twins: Make) -> None:
    answer = json.dumps({"score": 0.5, "note": "n" * LONGEST_PAYLOAD})
    app = twins(returning(lambda: Response(answer, mimetype="application/json")))
    app.send(json=ANN)
    assert app.scrape().errors() == {"output": 1}


def test_a_deeply_nested_answer_fails_as_without_us(twins: Make) -> None:
    def deep() -> Any:
        value: Any = 0.5
        for _ in range(100_000):
            value = [value]
        return value

    app = twins(returning(deep))
    assert app.send(json=ANN).status_code == 500
    assert app.scrape().statuses() == {"error": 1}
