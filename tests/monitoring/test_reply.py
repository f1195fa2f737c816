"""What a record keeps of a raw response: JSON, else text, bounded; of a binary one its type and length."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_boxkite.monitoring.reply import MOST_BYTES, Reply, response_fields
from flask_boxkite.sinks.packing import packed


def binary(kind: str, length: int | None) -> dict[str, Any]:
    return {"response": None, "response_type": kind, "response_bytes": length}


@pytest.mark.parametrize(
    ("reply", "kept"),
    [
        pytest.param(Reply(b'{"a": [1, null]}', "application/json", 16), {"response": {"a": [1, None]}}, id="JSON"),
        pytest.param(Reply(b"0.5", "text/plain", 3), {"response": 0.5}, id="JSON of any type"),
        pytest.param(Reply(b'{"a": Infinity}', "application/json", 15), {"response": {"a": "Infinity"}}, id="infinity"),
        pytest.param(Reply(b'{"a": ', "application/json", 6), {"response": '{"a": '}, id="broken JSON"),
        pytest.param(Reply("<b>ö</b>".encode(), "text/html", 9), {"response": "<b>ö</b>"}, id="text"),
        pytest.param(Reply(b"", "text/html", 0), {"response": ""}, id="empty"),
        pytest.param(Reply(b"[" * 150, "application/json", 150), {"response": "[" * 150}, id="open brackets"),
        pytest.param(Reply(b"[" * 150 + b"]" * 150, "", 300), {"response": "[" * 150 + "]" * 150}, id="too deep"),
        pytest.param(Reply(b"\x89PNG\xff", "image/png", 5), binary("image/png", 5), id="binary"),
        pytest.param(Reply(b"a\0b", "application/octet-stream", 3), binary("application/octet-stream", 3), id="zeros"),
        pytest.param(Reply(None, "text/event-stream", None), binary("text/event-stream", None), id="stream"),
    ],
)
def test_a_response_is_kept_as_what_it_is(reply: Reply, kept: dict[str, Any]) -> None:
    assert response_fields(reply) == kept


def test_a_long_response_is_cut_and_flagged() -> None:
    data = json.dumps(["ä" * 10] * 5000, ensure_ascii=False).encode()
    kept = response_fields(Reply(data, "application/json", len(data)))
    assert kept.keys() == {"response", "response_truncated"}
    assert MOST_BYTES - 3 <= len(kept["response"].encode()) <= MOST_BYTES
    assert data.startswith(kept["response"].encode())


def test_a_response_at_the_bound_is_whole() -> None:
    data = b'"' + b"x" * (MOST_BYTES - 2) + b'"'
    assert response_fields(Reply(data, "", len(data))) == {"response": "x" * (MOST_BYTES - 2)}


@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode) | st.just(b'{"a": "\\ud800", "\\udfff": 1e999}'))
def test_whatever_is_answered_can_be_recorded(data: bytes) -> None:
    packed(response_fields(Reply(data, "text/plain", len(data))))
