"""The view gets the JSON that plain Flask would give it, whatever it did to its request before it asks."""

from __future__ import annotations

import copy
import gc
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, Request, Response, current_app, jsonify, request

from tests.web.test_bodies import ANN, READERS, outcome
from tests.web.twins import Twins

Make = Callable[..., Twins]

OTHER = b'{"age": 50, "income": 1.5, "city": "Rome"}'


class Wrapping:
    """A module for JSON that puts each document in a list."""

    @staticmethod
    def loads(data: Any) -> Any:
        """Parse."""
        return [json.loads(data)]


def replace_json_module() -> None:
    request.json_module = Wrapping  # type: ignore[assignment]


def replace_get_data() -> None:
    request.get_data = lambda *args, **kwargs: OTHER  # type: ignore[method-assign]


def set_data() -> None:
    request._cached_data = OTHER  # type: ignore[attr-defined]


def set_json() -> None:
    request._cached_json = ({"mine": 1}, {"mine": 2})


def unpack_json() -> None:
    normal, silent = request._cached_json
    request._cached_json = (normal, {"mine": 2})
    assert silent is ...


def change_type() -> None:
    request.environ["CONTENT_TYPE"] = "text/plain"


def change_length() -> None:
    request.environ["CONTENT_LENGTH"] = "3"


def remove_length() -> None:
    del request.environ["CONTENT_LENGTH"]


def replace_input() -> None:
    request.environ.update({"wsgi.input": io.BytesIO(OTHER), "CONTENT_LENGTH": str(len(OTHER))})


def replace_input_by_one_as_long() -> None:
    length = int(request.environ["CONTENT_LENGTH"])
    request.environ["wsgi.input"] = io.BytesIO(b"[]".ljust(length))


def replace_environ() -> None:
    request.environ = {**request.environ, "wsgi.input": io.BytesIO(OTHER), "CONTENT_LENGTH": str(len(OTHER))}


def replace_stream() -> None:
    request.stream = io.BytesIO(OTHER)  # type: ignore[method-assign]


def read_some_input() -> None:
    request.environ["wsgi.input"].read(5)


def close_input() -> None:
    request.environ["wsgi.input"].close()


def forbid_reading() -> None:
    request.shallow = True


def limit_all_requests() -> None:
    current_app.config["MAX_CONTENT_LENGTH"] = 5


CHANGES = [
    replace_json_module,
    replace_get_data,
    set_data,
    set_json,
    unpack_json,
    change_type,
    change_length,
    remove_length,
    replace_input,
    replace_input_by_one_as_long,
    replace_environ,
    replace_stream,
    read_some_input,
    close_input,
    forbid_reading,
    limit_all_requests,
]
READS = [["json"], ["json silent"], ["get_data", "json"], ["json uncached", "json"], ["json", "get_data", "stream"]]


@pytest.mark.parametrize("reads", READS, ids=", ".join)
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_request_that_is_changed_is_read_as_it_is_then(
    twins: Make, change: Callable[[], None], reads: list[str]
) -> None:
    def define(app: Flask, predict: Any) -> None:
        @app.post("/score")
        @predict
        def score() -> Any:
            change()
            return jsonify(score=0.5, read=[outcome(READERS[name]) for name in reads])

    twins(define).send(json=ANN)


def test_a_request_keeps_the_very_bytes_that_it_has_read(twins: Make) -> None:
    def define(app: Flask, predict: Any) -> None:
        @app.post("/score")
        @predict
        def score() -> Any:
            data = request.get_data()
            return jsonify(score=0.5, same=[request.get_json() is request.json, request.get_data() is data])

    assert twins(define).send(json=ANN).get_json()["same"] == [True, True]


# --- Classes of requests --------------------------------------------------------------------------------------------


class NeverJson(Request):
    """Takes no body for JSON."""

    @property
    def is_json(self) -> bool:
        """Whether the body is JSON."""
        return False


class PlainText(Request):
    """Takes every body for text."""

    @property
    def mimetype(self) -> str:
        """Type of the body."""
        return "text/plain"


class Forgiving(Request):
    """Has a document for a body that is not JSON."""

    def on_json_loading_failed(self, e: ValueError | None) -> Any:
        """Return a document."""
        return {"failed": e is not None}


class OwnModule(Request):
    """Parses JSON in its own way."""

    json_module: Any = property(lambda self: Wrapping, lambda self, module: None)


@pytest.mark.parametrize("kind", [NeverJson, PlainText, Forgiving, OwnModule], ids=lambda kind: kind.__name__)
def test_a_class_of_requests_reads_in_its_own_way(twins: Make, kind: type[Request]) -> None:
    def define(app: Flask, predict: Any) -> None:
        app.request_class = kind

        @app.post("/score")
        @predict
        def score() -> Any:
            return jsonify(score=0.5, read=[outcome(READERS[name]) for name in ("json", "json silent", "json forced")])

    app = twins(define)
    app.send(json=ANN)
    app.send(data="{", content_type="application/json")


# --- Copies ---------------------------------------------------------------------------------------------------------


def test_a_copy_is_read_as_it_would_be_without_monitoring(twins: Make) -> None:
    """Also after the request has been read, and once it is gone."""

    def define(app: Flask, predict: Any) -> None:
        copies: list[Request] = []

        @app.post("/score")
        @predict
        def score() -> Any:
            again = copy.copy(request._get_current_object())  # type: ignore[attr-defined]
            request.stream.read()
            reads = [outcome(again.get_json), outcome(lambda: again.get_json(silent=True)), outcome(again.get_json)]
            return jsonify(score=0.5, read=reads)

        @app.post("/keep")
        @predict
        def keep() -> Any:
            copies.append(copy.copy(request._get_current_object()))  # type: ignore[attr-defined]
            return jsonify(score=0.5)

        @app.get("/kept")
        def kept() -> Response:
            gc.collect()
            return jsonify(outcome(copies.pop().get_json))

    app = twins(define)
    app.send(json=ANN)
    app.send("/keep", json=ANN)
    assert app.send("/kept", method="GET").get_json() == ANN
