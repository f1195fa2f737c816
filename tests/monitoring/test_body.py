"""Request bodies as a record keeps them."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_boxkite.monitoring.body import Body, body_of


@pytest.mark.parametrize(
    ("data", "limit", "body"),
    [
        pytest.param(None, 10, Body(""), id="none"),
        pytest.param(b"", 10, Body(""), id="empty"),
        pytest.param(b"", 0, Body(""), id="empty, limit 0"),
        pytest.param(b"0123456789", 10, Body("0123456789"), id="as long as the limit"),
        pytest.param(b"0123456789a", 10, Body("0123456789", True), id="longer"),
        pytest.param(b"x", 0, Body("", True), id="nothing is kept"),
        pytest.param("snö", 4, Body("snö"), id="text"),
        pytest.param("snö!", 4, Body("snö", True), id="text that is cut"),
        pytest.param("snö", 3, Body("sn", True), id="cut within a character"),
        pytest.param("☃☃☃", 8, Body("☃☃", True), id="cut within the last character"),
        pytest.param("x" * 10**6, 3, Body("xxx", True), id="long text"),
        pytest.param("\ud800", 10, Body("?"), id="lone surrogate"),
        pytest.param(bytearray(b"abc"), 10, Body("abc"), id="bytearray"),
        pytest.param(memoryview(b"abcdef")[::2], 10, Body("ace"), id="memoryview"),
        pytest.param({"a": [1, None]}, 99, Body('{"a": [1, null]}'), id="object"),
        pytest.param({"a": b"\xff"}, 99, Body('{"a": "/w=="}'), id="object with bytes"),
        pytest.param(b"\xff\xfe", 10, Body("//4=", False, True), id="not UTF-8"),
        pytest.param(b"\xff" * 12, 3, Body("////", True, True), id="not UTF-8, cut"),
        pytest.param(
            b"ab\xc3", 10, Body(base64.b64encode(b"ab\xc3").decode(), False, True), id="ends in mid-character"
        ),
    ],
)
def test_a_body_is_kept_as_text(data: Any, limit: int, body: Body) -> None:
    assert body_of(data, limit) == body


def test_a_body_of_which_only_the_beginning_is_known_is_flagged() -> None:
    assert body_of(b"abc", 10, is_complete=False) == Body("abc", True)


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode), st.integers(0, 60))
def test_a_body_is_a_true_beginning(data: bytes, limit: int) -> None:
    body = body_of(data, limit)
    kept = base64.b64decode(body.text) if body.is_base64 else body.text.encode()
    assert data.startswith(kept)
    assert body.is_truncated == (len(data) > limit)
    assert min(len(data), limit) - 3 <= len(kept) <= limit
