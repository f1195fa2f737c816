"""Redaction: the values that are removed from records and documents."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_boxkite.monitoring.redaction import REDACTED, Redaction, redaction


def record_of(features: Any = None, body: Any = "", output: Any = 0.5, **more: Any) -> dict[str, Any]:
    """Return what redaction reads of a record."""
    text = body if isinstance(body, str) else json.dumps(body)
    return {"features": features, "request_body": text, "output": output, **more}


def redacted(record: dict[str, Any], *paths: str, names: tuple[str, ...] = ()) -> dict[str, Any]:
    """Redact a record, and check that the one given stays as it is."""
    before = json.dumps(record)
    redact = Redaction(paths, names)
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
        pytest.param(["age"], [0.5, 1, {"x": 1}], [0.5, REDACTED, {"x": 1}], id="position before an object"),
        pytest.param(["ssn"], [["id", "ssn", "age"], [1, 2, 3]], REDACTED, id="a header among rows"),
        pytest.param(["ssn"], ["id;ssn", 2, 3], REDACTED, id="a header of another delimiter"),
        pytest.param(["ssn"], [1, 2], REDACTED, id="fewer values than features"),
        pytest.param(["ssn"], "text", REDACTED, id="a bare value"),
        pytest.param(["ssn"], None, None, id="nothing"),
        pytest.param(["ssn"], [], None, id="no rows"),
        pytest.param(
            ["SSN"], {"ssn": 1, " Ssn ": 2, "ssn2": 3}, {"ssn": REDACTED, " Ssn ": REDACTED, "ssn2": 3}, id="capitals"
        ),
        pytest.param(["A.b"], {"a": {"B": 1}}, {"a": {"B": REDACTED}}, id="capitals in a path"),
        pytest.param(
            ["ssn"],
            {"user.ssn": 1, "age;ssn": 2, "ssns": 3},
            {"user.ssn": REDACTED, "age;ssn": REDACTED, "ssns": 3},
            id="one of several names",
        ),
        pytest.param(
            ["ssn"],
            {"@ssn": 1, "$ssn": 2, "\ufeffssn": 3, "a\\ssn": 4, "the-ssn": 5},
            {"@ssn": REDACTED, "$ssn": REDACTED, "\ufeffssn": REDACTED, "a\\ssn": REDACTED, "the-ssn": 5},
            id="signs around a name",
        ),
        pytest.param(
            ["pr\u00e9nom"], {"pre\u0301nom": 1, "prenom": 2}, {"pre\u0301nom": REDACTED, "prenom": 2}, id="accents"
        ),
        pytest.param(["a.0.b"], {"a": [{"b": 1}, {"c": 2}]}, {"a": [{"b": REDACTED}, {"c": 2}]}, id="path to an item"),
        pytest.param(["$.a[*].b"], {"a": [{"b": 1, "c": 2}]}, {"a": [{"b": REDACTED, "c": 2}]}, id="path in brackets"),
        pytest.param(["a.1"], {"a": [1, 2], "b": 3}, {"a": REDACTED, "b": 3}, id="path to a value in a list"),
        pytest.param(["a.1"], {"a": {"1": 1, "b": 2}}, {"a": REDACTED}, id="path to a number"),
        pytest.param(
            ["ssn"],
            [{"name": "ssn", "value": 1}, {"name": "n", "value": 2}],
            [{"name": "ssn", "value": REDACTED}, {"name": "n", "value": 2}],
            id="pairs of name and value",
        ),
        pytest.param(["phone"], {"channel": "phone", "n": 1}, None, id="a value that is also a name"),
        pytest.param(
            ["ssn"], {"x": '{"ssn": 1}', "y": '{"n": 1}'}, {"x": REDACTED, "y": '{"n": 1}'}, id="JSON in a text"
        ),
        pytest.param(["ssn"], {"x": '["{\\"ssn\\": 1}"]'}, {"x": REDACTED}, id="JSON in JSON in a text"),
        pytest.param(
            ["ssn"], {"x": "{'ssn': 1}", "y": "{'n': 1}"}, {"x": REDACTED, "y": "{'n': 1}"}, id="a dict in a text"
        ),
    ],
)
def test_named_features_are_replaced(paths: list[str], features: Any, expected: Any) -> None:
    after = redacted(record_of(features), *paths, names=("id", "age", "income"))
    assert after["features"] == (features if expected is None else expected)


@pytest.mark.parametrize(
    ("paths", "output", "expected"),
    [
        pytest.param(["score"], 0.5, REDACTED, id="a value"),
        pytest.param(["score"], [0.5, 0.6], REDACTED, id="values"),
        pytest.param(["score"], [{"name": "output_0", "data": [0.5]}], REDACTED, id="a tensor of another name"),
        pytest.param(
            ["score"], [{"name": "score", "data": [0.5]}], [{"name": "score", "data": REDACTED}], id="a tensor"
        ),
        pytest.param(["score"], {"score": 0.5, "x": 1}, {"score": REDACTED, "x": 1}, id="by name"),
        pytest.param(["score"], {"other": 0.5}, REDACTED, id="by another name"),
        pytest.param(["score"], None, None, id="nothing"),
        pytest.param(["ssn"], 0.5, None, id="another name"),
    ],
)
def test_outputs_without_names_go_by_the_baseline(paths: list[str], output: Any, expected: Any) -> None:
    after = Redaction(paths, (), ("score",))(record_of(output=output))
    assert after["output"] == (output if expected is None else expected)


def test_several_outputs_go_by_their_positions() -> None:
    redact = Redaction(["b"], (), ("a", "b"))
    assert redact(record_of(output=[1, 2]))["output"] == [1, REDACTED]
    assert redact(record_of(output=[[1, 2], [3, 4]]))["output"] == [[1, REDACTED], [3, REDACTED]]
    assert redact(record_of(output=[1, 2, 3]))["output"] == REDACTED
    assert redact(record_of(output=7))["output"] == REDACTED


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param(
            {"ssn": [1, [2, 3]], "n": [1, 2]}, {"ssn": [REDACTED, [REDACTED] * 2], "n": [1, 2]}, id="a column"
        ),
        pytest.param({"ssn": {"1-2-3": True}}, {"ssn": REDACTED}, id="keys of a field"),
        pytest.param(
            {"columns": ["n", "ssn"], "data": [[1, 2], [3, 4]]},
            {"columns": ["n", "ssn"], "data": [[1, REDACTED], [3, REDACTED]]},
            id="split",
        ),
        pytest.param(
            {"columns": ["n", "ssn"], "data": [[1, 2, 3]]},
            {"columns": ["n", "ssn"], "data": [[REDACTED] * 3]},
            id="split that does not fit",
        ),
        pytest.param(
            {"names": ["ssn", "n"], "ndarray": [1, 2]}, {"names": ["ssn", "n"], "ndarray": [REDACTED, 2]}, id="one row"
        ),
        pytest.param(
            {"names": ["ssn", "n"], "ndarray": [[[1], 2]]},
            {"names": ["ssn", "n"], "ndarray": [[[REDACTED], 2]]},
            id="values in lists",
        ),
        pytest.param(
            {"names": ["ssn", "n"], "tensor": {"shape": [2, 2], "values": [1, 2, 3, 4]}},
            {"names": ["ssn", "n"], "tensor": {"shape": [2, 2], "values": [REDACTED, 2, REDACTED, 4]}},
            id="Seldon's tensor",
        ),
        pytest.param(
            {"names": ["ssn", "n"], "tensor": {"shape": [2, 2], "values": [[1, 2], [3, 4]]}},
            {"names": ["ssn", "n"], "tensor": {"shape": [2, 2], "values": [[REDACTED] * 2] * 2}},
            id="Seldon's tensor, nested",
        ),
        pytest.param(
            [{"name": "ssn", "data": [1, 2]}, {"name": "n", "data": [3, 4]}],
            [{"name": "ssn", "data": [REDACTED] * 2}, {"name": "n", "data": [3, 4]}],
            id="tensors",
        ),
    ],
)
def test_a_document_keeps_its_shape(document: Any, expected: Any) -> None:
    assert Redaction(["ssn"], ()).hidden(document) == expected


def test_a_document_too_deep_to_walk_through_goes_as_a_whole() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    redact = Redaction(["ssn"], ())
    assert redact.hidden(deep) == redact.described(deep) == REDACTED


def test_a_batch_that_goes_as_a_whole_keeps_its_number_of_rows() -> None:
    after = redacted(record_of([["ssn", 2], [3, 4]], rows=2), "ssn")
    assert after["features"] == [[REDACTED]] * 2


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
        pytest.param('{"name":"ssn","data":"1"}', '{"name": "ssn", "data": "[redacted]"}', id="named beside the value"),
        pytest.param('{"SSN":1}', '{"SSN": "[redacted]"}', id="capitals"),
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
    with pytest.raises(TypeError, match=r"^The callable in 'BOXKITE_REDACT' must return the record, got NoneType\.$"):
        redact(record_of())
