"""Flask apps for real servers: each once monitored, once plain, under `/plain`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from typing import Any

from flask import Flask, Response, current_app, request
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from flask_boxkite import Boxkite


def _define_readers(app: Flask, predict: Callable[..., Any]) -> None:
    """Add views that read the body in one way each."""

    @app.post("/score")
    @predict
    def score() -> Any:
        document = request.get_json()
        if isinstance(document, list):
            return {"predictions": [0.5] * len(document)}
        return {"score": 0.5, "city": document["city"]}

    @app.post("/digest")
    @predict
    def digest() -> Any:
        """Read the body in pieces, as an upload is read."""
        found, size = hashlib.sha256(), 0
        while piece := request.stream.read(65536):
            found.update(piece)
            size += len(piece)
        return {"score": 0.5, "size": size, "sha256": found.hexdigest()}

    @app.post("/upload")
    @predict
    def upload() -> Any:
        file = request.files["file"]
        return {"score": 0.5, "sha256": hashlib.sha256(file.stream.read()).hexdigest(), "form": request.form.to_dict()}

    @app.post("/unread")
    @predict
    def unread() -> Any:
        return {"score": 0.5}

    @app.post("/raw")
    @predict
    def raw() -> Any:
        """Read from the server itself, as libraries do that know no Flask."""
        length = request.content_length
        data = request.environ["wsgi.input"].read(*([] if length is None else [length]))
        return {"score": 0.5, "sha256": hashlib.sha256(data).hexdigest()}


def _define_answers(app: Flask, predict: Callable[..., Any]) -> None:
    """Add views that answer in one way each."""

    @app.post("/stream")
    @predict
    def stream() -> Any:
        def parts() -> Iterator[str]:
            for i in range(5):
                yield f"part {i}\n"

        return Response(parts(), mimetype="text/plain")

    @app.post("/half")
    @predict
    def half() -> Any:
        def parts() -> Iterator[str]:
            yield "part 0\n"
            raise RuntimeError("half-way")

        return Response(parts(), mimetype="text/plain")

    @app.post("/endless")
    @predict
    def endless() -> Any:
        def parts() -> Iterator[bytes]:
            try:
                while True:
                    yield b"x" * 65536
            finally:
                current_dir = os.environ["BOXKITE_TEST_CLOSED"]
                with open(current_dir, "a", encoding="utf-8") as file:
                    file.write("closed\n")

        return Response(parts(), mimetype="application/octet-stream")

    @app.post("/error")
    @predict
    def error() -> Any:
        raise RuntimeError("no")

    @app.get("/models")
    @predict
    def models() -> Any:
        return {"score": 0.5, "debug": current_app.debug}


def _unmonitored(view: Any) -> Any:
    return view


def make_app(**config: Any) -> Any:
    """Return a WSGI app that serves both, and the monitored one's `/metrics`."""
    app, plain = Flask("served"), Flask("served")
    app.config.update(BOXKITE_BASELINE=os.environ.get("BOXKITE_TEST_BASELINE"), **config)
    for one, predict in ((app, Boxkite(app).predict), (plain, _unmonitored)):
        _define_readers(one, predict)
        _define_answers(one, predict)
    return DispatcherMiddleware(app, {"/plain": plain})
