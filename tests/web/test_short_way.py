"""A request that is counted and recorded the short way looks like any other: the general way does the same."""

from __future__ import annotations

import io
import random
import re
from collections.abc import Callable
from typing import Any

from flask import Flask, abort, request

from tests.web.twins import CITIES, Twins

IS_COUNT = re.compile(r"boxkite_(feature|inference|predictions|capture)").match
CHANGING = ("entity_id", "prediction_id", "created_at", "duration_ms")


def define(app: Flask, predict: Any) -> None:
    """Define a view that fails, refuses or changes its input for some rows."""

    @app.post("/score")
    @predict
    def score() -> Any:
        document = request.get_json()
        first = document[0] if isinstance(document, list) else document.get("age")
        if isinstance(document, dict):
            document["age"] = "changed by the view"
        if first == 99:
            abort(422)
        if first == 98:
            raise RuntimeError
        return {"score": 0.5 if first is None else "high" if isinstance(first, str) else float(first) / 100}


def requests(rng: random.Random) -> list[Any]:
    """Return rows by name and by position, usual and odd."""
    ages = [30, 40.5, 99, 98, None, True, 10**20, -1, 17]
    made: list[Any] = []
    for number in range(300):
        row = {"age": rng.choice(ages), "income": rng.uniform(0, 9000), "city": rng.choice([*CITIES, "Oslo", "", None])}
        if number % 3 == 1:
            row = dict(reversed(row.items()))
        made.append(list(row.values()) if number % 5 == 1 else row)
    return made


def seen(app: Twins, sent: list[Any]) -> tuple[list[Any], list[str], list[dict[str, Any]]]:
    """Send requests; return the answers, the metrics and the records, less what differs by time."""
    answers = [app.client.post("/score", json=document) for document in sent]
    shown = [(answer.status, answer.get_data(), [name for name, _ in answer.headers]) for answer in answers]
    metrics = [line for line in app.scrape().text.splitlines() if IS_COUNT(line)]
    records = [{key: value for key, value in record.items() if key not in CHANGING} for record in app.records()]
    return shown, metrics, records


def test_both_ways_show_and_keep_the_same(twins: Callable[..., Twins]) -> None:
    short, general = twins(define), twins(define)
    for model in general.app.extensions["boxkite"].monitor.models():
        assert model.short_way is not None
        model.short_way = None
        model._splices = False
    sent = requests(random.Random(7))
    ours, theirs = seen(short, sent), seen(general, sent)
    assert ours[0] == theirs[0]
    assert ours[1] == theirs[1]
    assert ours[2] == theirs[2]
    assert len(ours[2]) == len(sent)
    assert len(ours[1]) > 100


def nested(levels: int) -> Any:
    """Return a value in as many lists."""
    value: Any = 1.0
    for _ in range(levels):
        value = [value]
    return value


def test_features_too_deep_to_keep_are_no_features_either_way(twins: Callable[..., Twins]) -> None:
    short, general = twins(define), twins(define)
    for model in general.app.extensions["boxkite"].monitor.models():
        model.short_way = None
    sent = [{"age": 30, "income": nested(levels), "city": "Rome"} for levels in (3, 600)]
    assert seen(short, sent) == seen(general, sent)
    assert short.scrape().errors() == {"features": 1}


class Buffer(io.BytesIO):
    """An input of another server, which returns a buffer that can be changed."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read, as a `bytearray`."""
        return bytearray(super().read(size))  # type: ignore[return-value]


def test_an_input_may_return_buffers(twins: Callable[..., Twins]) -> None:
    app = twins(define)
    body = b'{"age": 30, "income": 2500.0, "city": "Rome"}'
    answer = app.client.post(
        "/score", content_type="application/json", input_stream=Buffer(body), content_length=len(body)
    )
    assert (answer.status_code, answer.get_json()) == (200, {"score": 0.3})
    assert app.scrape().errors() == {}
    assert [record["request_body"] for record in app.records()] == [body.decode()]
