"""The JSON of a request means the same, with msgspec as with Python."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, Request, request
from flask.json.provider import DefaultJSONProvider
from hypothesis import example, given
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder

from flask_boxkite.errors import ConfigError
from flask_boxkite.web.parsed_json import parsed_once
from tests.web.twins import Twins

APP = Flask("parsing")
ROW = {"age": 30, "income": 2500.0, "city": "Paris"}


def parsed(body: bytes, *, is_fast: bool) -> Any:
    """Return what a body means, or the kind of error."""
    request = Request(EnvironBuilder(method="POST", data=body).get_environ())
    request.json_module = APP.json
    try:
        return parsed_once(request, body, None, is_fast=is_fast)
    except (ValueError, RecursionError) as error:
        return type(error)


DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(max_size=4), values, max_size=4),
    max_leaves=12,
)
NUMBERS = st.from_regex(r"-?[0-9]{1,25}(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)


@given(DOCUMENTS.map(json.dumps) | DOCUMENTS.map(lambda value: json.dumps(value, ensure_ascii=False)) | NUMBERS)
@example("NaN")
@example("1e400")
@example('{"a": 1, "a": 2}')
@example("-0")
@example("\ufeff1")
@example("[" * 5000 + "]" * 5000)
def test_a_text_means_the_same(text: str) -> None:
    body = text.encode("utf-8", "surrogatepass")
    assert repr(parsed(body, is_fast=True)) == repr(parsed(body, is_fast=False))


@given(st.binary(max_size=20) | st.binary(max_size=9).map(lambda data: b'["' + data + b'"]'))
@example('{"a": 1}'.encode("utf-16"))
@example(b'"\xed\xa0\x80"')
def test_bytes_mean_the_same(body: bytes) -> None:
    assert repr(parsed(body, is_fast=True)) == repr(parsed(body, is_fast=False))


def reading(app: Flask, predict: Any) -> None:
    @app.post("/score")
    @predict
    def score() -> Any:
        return {"score": 0.5, "read": repr(request.get_json())}


BODIES = (b'{"age":1}', b"[NaN]")


def test_msgspec_parses_where_it_is_asked_for(twins: Callable[..., Twins], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    loads = json.loads

    def noted(data: Any, **options: Any) -> Any:
        if data in BODIES:  # and not a file of state
            asked.append(data)
        return loads(data, **options)

    monkeypatch.setattr(json, "loads", noted)
    for is_fast, expected in ((True, [b"[NaN]"]), (False, [*BODIES])):
        app = twins(reading, BOXKITE_FAST_JSON=is_fast)
        for body in BODIES:
            app.client.post("/score", data=body, content_type="application/json")
        assert asked == expected
        asked.clear()


class Texts(DefaultJSONProvider):
    """A provider that reads all numbers as texts."""

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        return json.loads(s, parse_int=str, parse_float=str, **kwargs)


def test_a_provider_of_the_app_is_asked(twins: Callable[..., Twins]) -> None:
    def define(app: Flask, predict: Any) -> None:
        app.json = Texts(app)
        reading(app, predict)

    app = twins(define, BOXKITE_FAST_JSON=True)
    assert app.send(json=ROW).get_json()["read"] == "{'age': '30', 'city': 'Paris', 'income': '2500.0'}"


def test_without_msgspec_the_setting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flask_boxkite.config.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"msgspec is missing. Run: pip install 'msgspec>=0.21'"):
        Twins(reading, BOXKITE_FAST_JSON=True)
