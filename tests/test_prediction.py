"""Ids, request bodies as a record keeps them, and what is taken out of records."""

from __future__ import annotations

import base64
import json
import os
import re
import threading
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_boxkite.prediction import REDACTED, Body, IdMaker, PredictionId, body_of, is_too_deep, redaction

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


# --- redaction ------------------------------------------------------------------------------------------------------


def record_of(features: Any = None, body: Any = "", output: Any = 0.5, **more: Any) -> dict[str, Any]:
    """Return what redaction reads of a record."""
    text = body if isinstance(body, str) else json.dumps(body)
    return {"features": features, "request_body": text, "output": output, **more}


def redacted(record: dict[str, Any], *paths: str, names: tuple[str, ...] = ()) -> dict[str, Any]:
    """Redact a record, and check that the one given stays as it is."""
    before = json.dumps(record)
    redact = redaction(paths, names)
    assert redact is not None
    after = redact(record)
    assert json.dumps(record) == before
    return after


def test_nothing_to_redact_costs_nothing() -> None:
    assert redaction((), ("a",)) is None


@pytest.mark.parametrize(
    ("paths", "features", "expected"),
    [
        pytest.param(["ssn"], {"ssn": 1, "age": 2}, {"ssn": REDACTED, "age": 2}, id="name"),
        pytest.param(["ssn"], [{"ssn": 1}, {"age": 2}], [{"ssn": REDACTED}, {"age": 2}], id="name in rows"),
        pytest.param(["ssn"], {"a": [{"b": {"ssn": [1]}}]}, {"a": [{"b": {"ssn": REDACTED}}]}, id="name at any depth"),
        pytest.param(["a.b"], {"a": {"b": 1, "c": 2}}, {"a": {"b": REDACTED, "c": 2}}, id="path"),
        pytest.param(["a.b"], {"a": [{"b": 1}, {"b": 2}]}, {"a": [{"b": REDACTED}] * 2}, id="path through a list"),
        pytest.param(["a.b"], {"a": {"c": {"b": 1}}, "x": {"a": {"b": 2}}}, None, id="path that does not fit"),
        pytest.param(["a.b"], {"a.b": 1}, {"a.b": REDACTED}, id="name with a dot"),
        pytest.param(["rows.ssn"], {"ssn": 1, "age": 2}, {"ssn": REDACTED, "age": 2}, id="path from the body's root"),
        pytest.param(["age"], [1, 2, 3], [1, REDACTED, 3], id="position"),
        pytest.param(["in.age"], [1, 2, 3], [1, REDACTED, 3], id="path to a position"),
        pytest.param(["age"], [[1, 2, 3], [4, 5, 6]], [[1, REDACTED, 3], [4, REDACTED, 6]], id="positions in rows"),
        pytest.param(["age"], [0, 1, 2, 3], REDACTED, id="positions that may have shifted"),
        pytest.param(["other"], [1, 2, 3], None, id="no feature of that name"),
        pytest.param(["ssn"], "text", None, id="a bare value"),
    ],
)
def test_named_features_are_replaced(paths: list[str], features: Any, expected: Any) -> None:
    after = redacted(record_of(features), *paths, names=("id", "age", "income"))
    assert after["features"] == (features if expected is None else expected)


def test_named_outputs_are_replaced() -> None:
    after = redacted(record_of(output={"score": 0.5, "reason": {"ssn": 1}}), "ssn", "result.score")
    assert after["output"] == {"score": REDACTED, "reason": {"ssn": REDACTED}}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param('{"ssn":"1-2-3","age":1}', '{"ssn": "[redacted]", "age": 1}', id="field"),
        pytest.param('{"a":{"b":1},"x":{"a":{"b":2}}}', '{"a": {"b": "[redacted]"}, "x": {"a": {"b": 2}}}', id="path"),
        pytest.param('[{"ssn":1},{"n":"snö"}]', '[{"ssn": "[redacted]"}, {"n": "snö"}]', id="rows"),
        pytest.param('{"\\u0073sn":1}', '{"ssn": "[redacted]"}', id="escaped name"),
        pytest.param('{"ssn":[1,2],"rows":[]}', '{"ssn": "[redacted]", "rows": []}', id="list that is taken out"),
        pytest.param('{"x":{"ssn":1},"x":{}}', '{"x": {}}', id="field that stands there twice"),
        pytest.param("", "", id="empty"),
        pytest.param('{"ssn":1', REDACTED, id="not JSON"),
        pytest.param("ssn=1&age=2", REDACTED, id="form"),
        pytest.param("1.5,2.5", REDACTED, id="rows of text"),
        pytest.param('"ssn"', REDACTED, id="bare text"),
        pytest.param("7", REDACTED, id="bare number"),
        pytest.param("[1,2,3]", REDACTED, id="values without names"),
        pytest.param('{"columns":["ssn"],"data":[[1]]}', REDACTED, id="values away from their names"),
        pytest.param("[" * 100_000, REDACTED, id="too deep"),
    ],
)
def test_a_body_is_redacted_inside_or_goes_as_a_whole(body: str, expected: str) -> None:
    assert redacted(record_of(body=body), "ssn", "a.b")["request_body"] == expected


def test_a_body_of_which_a_part_is_missing_goes_as_a_whole() -> None:
    after = redacted(record_of(body='{"a":1}', body_truncated=True), "ssn")
    assert (after["request_body"], after["body_truncated"]) == (REDACTED, True)


def test_a_body_that_is_no_text_goes_as_a_whole() -> None:
    after = redacted(record_of(body="//4=", body_encoding="base64"), "ssn")
    assert after["request_body"] == REDACTED
    assert "body_encoding" not in after


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        pytest.param({"ssn": 1, "b": 2}, {"ssn": REDACTED, "b": 2}, id="field"),
        pytest.param([{"ssn": 1}, {"b": [{"ssn": 2}]}], [{"ssn": REDACTED}, {"b": [{"ssn": REDACTED}]}], id="rows"),
        pytest.param({"y": 1, "z": 2}, {"y": REDACTED, "z": 2}, id="end of a path"),
        pytest.param({}, {}, id="empty"),
        pytest.param(None, None, id="left out"),
        pytest.param("ssn=1", REDACTED, id="text"),
        pytest.param(7, REDACTED, id="bare number"),
        pytest.param({"rows": [[1, 2]]}, REDACTED, id="values without names"),
    ],
)
def test_a_response_is_redacted_inside_or_goes_as_a_whole(response: Any, expected: Any) -> None:
    assert redacted(record_of(response=response), "ssn", "x.y")["response"] == expected


def test_a_response_of_which_a_part_is_missing_goes_as_a_whole() -> None:
    assert redacted(record_of(response='{"a":1', response_truncated=True), "ssn")["response"] == REDACTED


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcs"), inner, max_size=3),
    max_leaves=10,
)


@given(JSON_VALUES, st.sampled_from(["s", "a.s", "b.c.s"]))
def test_a_secret_that_is_named_is_nowhere_in_the_record(value: Any, path: str) -> None:
    secret: Any = "SECRET"
    for key in reversed(path.split(".")):
        secret = {key: secret}
    body = {**value, **secret} if isinstance(value, dict) else secret
    after = redacted(record_of([secret, value], body, secret), path)
    assert "SECRET" not in json.dumps(after)


def test_a_callable_returns_the_record_to_log() -> None:
    redact = redaction(lambda record: {**record, "features": {"kept": (1, 2)}}, ())
    assert redact is not None
    assert redact(record_of({"x": 1})) == record_of({"kept": [1, 2]})


def test_a_callable_may_change_the_record_but_not_what_the_view_uses() -> None:
    def hide(record: dict[str, Any]) -> dict[str, Any]:
        record["features"]["ssn"] = "gone"
        return record

    features = {"ssn": 1}
    redact = redaction(hide, ())
    assert redact is not None
    assert redact(record_of(features))["features"] == {"ssn": "gone"}
    assert features == {"ssn": 1}


def test_a_callable_that_returns_no_record_is_an_error() -> None:
    redact = redaction(lambda record: None, ())
    assert redact is not None
    with pytest.raises(TypeError, match=r"^The callable in 'BOXKITE_REDACT' must return the record, got None\.$"):
        redact(record_of())
