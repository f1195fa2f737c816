"""Ids, and request bodies as a record keeps them."""

from __future__ import annotations

import base64
import os
import re
import threading
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_boxkite.monitoring.prediction import Body, IdMaker, PredictionId, body_of
from flask_boxkite.values.conversion import is_too_deep

# --- ids ------------------------------------------------------------------------------------------------------------


def test_an_id_names_server_second_and_a_random_uuid() -> None:
    made = IdMaker("server", clock=lambda: 1_700_000_000_999_999_999)()
    server, moment, entity = made.text.split("/")
    assert (server, moment, entity) == ("server", "2023-11-14T22:13:20", made.entity_id)
    parsed = uuid.UUID(entity)
    assert (str(parsed), parsed.version, parsed.variant) == (entity, 4, uuid.RFC_4122)
    assert made.time_ns == 1_700_000_000_999_999_999


def test_ids_follow_the_clock_in_both_directions() -> None:
    times = iter([10 * 10**9, 11 * 10**9, 9 * 10**9])
    maker = IdMaker("s", clock=lambda: next(times))
    assert [maker().text.split("/")[1][-2:] for _ in range(3)] == ["10", "11", "09"]


def test_uuids_are_version_4_whatever_the_random_numbers() -> None:
    maker = IdMaker("s")
    pattern = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
    ids = [maker().entity_id for _ in range(1000)]
    assert all(pattern.fullmatch(text) for text in ids)
    assert len({text[19] for text in ids}) == 4


def test_no_id_comes_twice_from_threads_and_forks() -> None:
    maker = IdMaker("s")
    found: list[str] = []

    def make() -> None:
        found.extend([maker().entity_id for _ in range(1000)])

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, maker().entity_id.encode())
        os._exit(0)
    os.waitpid(child, 0)
    found += [os.read(reading, 100).decode(), maker().entity_id]
    os.close(reading)
    os.close(writing)
    assert len(set(found)) == 4002


@pytest.mark.parametrize(
    ("start", "rate", "is_sampled"),
    [
        pytest.param("ffffffff", 1.0, True, id="all"),
        pytest.param("00000000", 0.0, False, id="none"),
        pytest.param("3fffffff", 0.25, True, id="below a quarter"),
        pytest.param("40000000", 0.25, False, id="from a quarter on"),
    ],
)
def test_a_share_is_sampled_by_the_id_alone(start: str, rate: float, is_sampled: bool) -> None:
    prediction = PredictionId("", f"{start}-0000-4000-8000-000000000000", 0)
    assert prediction.is_sampled(rate) is is_sampled


# --- bodies ---------------------------------------------------------------------------------------------------------


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


# --- depth ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "levels", "is_deep"),
    [
        pytest.param(1, 0, False, id="no container"),
        pytest.param([], 0, True, id="a container where none may be"),
        pytest.param([1, "x"], 1, False, id="a row"),
        pytest.param([[1], [2]], 1, True, id="rows where one row may be"),
        pytest.param([[1], [2]], 2, False, id="rows"),
        pytest.param([1, {"a": {"b": 1}}], 2, True, id="deep at the end"),
        pytest.param([1, {"a": {"b": 1}}], 3, False, id="just deep enough"),
    ],
)
def test_the_depth_of_a_value_is_bounded(value: Any, levels: int, is_deep: bool) -> None:
    assert is_too_deep(value, levels) is is_deep
