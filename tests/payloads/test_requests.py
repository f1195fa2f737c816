"""What clients send is understood by convention, and what fits none is not guessed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_boxkite.payloads import Table, csv_table, form_table, json_table

AB = frozenset({"a", "b"})
NONE: frozenset[str] = frozenset()


def laid_out(table: Table | None) -> Any:
    """Return names and rows of a table, as plain values."""
    return None if table is None else (table.names, [list(row) for row in table.rows])


ROWS = (None, [[1, 2], [3, 4]])
ROW = (None, [[1, 2]])
NAMED = (("a", "b"), [[1, 2], [3, 4]])
NAMED_ROW = (("a", "b"), [[1, 2]])


def tensor(name: str, shape: list[int], data: list[Any]) -> dict[str, Any]:
    """Return an Open Inference v2 tensor."""
    return {"name": name, "shape": shape, "datatype": "FP64", "data": data}


CONVENTIONS: dict[str, tuple[Any, Any]] = {
    "a row": ([1, 2], ROW),
    "rows": ([[1, 2], [3, 4]], ROWS),
    "a row by name": ({"a": 1, "b": 2}, NAMED_ROW),
    "rows by name": ([{"a": 1, "b": 2}, {"a": 3, "b": 4}], NAMED),
    "rows by name in other orders": ([{"a": 1, "b": 2}, {"b": 4, "a": 3}], NAMED),
    "rows by name with gaps": ([{"a": 1, "b": 2}, {"a": 3}], (("a", "b"), [[1, 2], [3, None]])),
    "features, a row": ({"features": [1, 2]}, ROW),
    "features, rows": ({"features": [[1, 2], [3, 4]], "id": 7}, ROWS),
    "features by name": ({"features": {"a": 1, "b": 2}}, NAMED_ROW),
    "instances": ({"instances": [[1, 2], [3, 4]]}, ROWS),
    "instances, named": ({"signature_name": "x", "instances": [{"a": 1, "b": 2}, {"a": 3, "b": 4}]}, NAMED),
    "instances of one value": ({"instances": [1, 2]}, (None, [[1], [2]])),
    "SageMaker": ({"instances": [{"features": [1, 2]}, {"features": [3, 4]}]}, ROWS),
    "MLflow split": (
        {"dataframe_split": {"columns": ["a", "b"], "index": [0, 1], "data": [[1, 2], [3, 4]]}},
        NAMED,
    ),
    "MLflow split without columns": ({"dataframe_split": {"data": [[1, 2], [3, 4]]}}, ROWS),
    "MLflow records": ({"dataframe_records": [{"a": 1, "b": 2}, {"a": 3, "b": 4}]}, NAMED),
    "MLflow inputs": ({"inputs": [[1, 2], [3, 4]], "params": {}}, ROWS),
    "MLflow inputs, columns": ({"inputs": {"a": [1, 3], "b": [2, 4]}}, NAMED),
    "MLflow inputs, columns of lists": ({"inputs": {"a": [[1], [3]], "b": [[2], [4]]}}, NAMED),
    "MLflow inputs, a row": ({"inputs": {"a": 1, "b": 2}}, NAMED_ROW),
    "V2, one tensor": ({"id": "1", "inputs": [tensor("x", [2, 2], [1, 2, 3, 4])]}, ROWS),
    "V2, one nested tensor": ({"inputs": [tensor("x", [2, 2], [[1, 2], [3, 4]])]}, ROWS),
    "V2, one tensor of three dimensions": ({"inputs": [tensor("x", [2, 2, 1], [1, 2, 3, 4])]}, ROWS),
    "V2, columns": ({"inputs": [tensor("a", [2], [1, 3]), tensor("b", [2], [2, 4])]}, NAMED),
    "V2, columns of two dimensions": (
        {"inputs": [tensor("a", [2, 1], [1, 3]), tensor("b", [2, 1], [[2], [4]])]},
        NAMED,
    ),
    "V2, one column": ({"inputs": [tensor("a", [2], [1, 3])]}, (("a",), [[1], [3]])),
    "Seldon": ({"data": {"names": ["a", "b"], "ndarray": [[1, 2], [3, 4]]}, "meta": {}}, NAMED),
    "Seldon, a row": ({"data": {"names": ["a", "b"], "ndarray": [1, 2]}}, NAMED_ROW),
    "Seldon without names": ({"data": {"ndarray": [[1, 2], [3, 4]]}}, ROWS),
    "Seldon, no names": ({"data": {"names": [], "ndarray": [[1, 2], [3, 4]]}}, ROWS),
    "Seldon tensor": ({"data": {"names": ["a", "b"], "tensor": {"shape": [2, 2], "values": [1, 2, 3, 4]}}}, NAMED),
}


@pytest.mark.parametrize("names", [AB, NONE], ids=["baseline", "no baseline"])
@pytest.mark.parametrize(("document", "expected"), CONVENTIONS.values(), ids=CONVENTIONS.keys())
def test_conventions_of_requests(document: Any, expected: Any, names: frozenset[str]) -> None:
    assert laid_out(json_table(document, names)) == expected


def test_a_column_with_a_name_that_says_nothing_is_known_by_its_position() -> None:
    document = {"inputs": [tensor("input-0", [2], [1, 3])]}

    assert laid_out(json_table(document, frozenset({"a"}))) == (None, [[1], [3]])


NEAR_MISSES: dict[str, Any] = {
    "null": None,
    "a number": 5,
    "a text": "1,2",
    "true": True,
    "no rows": [],
    "an empty row": [[]],
    "an empty object": {},
    "empty objects": [{}, {}],
    "rows of several lengths": [[1, 2], [3]],
    "rows and values": [[1, 2], 3],
    "objects and values": [{"a": 1}, 3],
    "features, nothing": {"features": []},
    "instances, nothing": {"instances": []},
    "instances, an object": {"instances": {"a": 1}},
    "instances, mixed": {"instances": [[1], {"a": 1}]},
    "SageMaker, mixed": {"instances": [{"features": [1]}, {"features": {"a": 1}}]},
    "split without data": {"dataframe_split": {"columns": ["a", "b"]}},
    "split, a list": {"dataframe_split": [[1, 2]]},
    "split, too few columns": {"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}},
    "split, columns no list": {"dataframe_split": {"columns": 2, "data": [[1, 2]]}},
    "split, no rows": {"dataframe_split": {"columns": ["a"], "data": []}},
    "records, an object": {"dataframe_records": {"a": 1}},
    "records, rows": {"dataframe_records": [[1, 2]]},
    "records, nothing": {"dataframe_records": []},
    "inputs, several lengths": {"inputs": {"a": [1, 2], "b": [3]}},
    "inputs, no values": {"inputs": {"a": []}},
    "inputs, mixed": {"inputs": {"a": [1, 2], "b": 3}},
    "V2 without shape": {"inputs": [{"name": "a", "data": [1]}]},
    "V2, wrong shape": {"inputs": [tensor("a", [3], [1, 2])]},
    "V2, no values": {"inputs": [tensor("a", [0], [])]},
    "V2, nothing in lists": {"inputs": [tensor("a", [0], [[]])]},
    "V2, four dimensions": {"inputs": [tensor("a", [1, 1, 1, 2], [1, 2])]},
    "V2, no dimension": {"inputs": [tensor("a", [], [1])]},
    "V2, negative": {"inputs": [tensor("a", [-1, -2], [1, 2])]},
    "V2, sizes that overflow to two": {"inputs": [tensor("a", [3, 6148914691236517206], [1, 2])]},
    "V2, true": {"inputs": [{"name": "a", "shape": [True], "data": [1]}]},
    "V2, two of one name": {"inputs": [tensor("a", [1], [1]), tensor("a", [1], [2])]},
    "V2, several lengths": {"inputs": [tensor("a", [1], [1]), tensor("b", [2], [1, 2])]},
    "V2, a wide one of several": {"inputs": [tensor("a", [1, 2], [1, 2]), tensor("b", [1], [1])]},
    "V2, data no list": {"inputs": [{"name": "a", "shape": [1], "data": 1}]},
    "Seldon, a list": {"data": [[1, 2]]},
    "Seldon, nothing": {"data": {}},
    "Seldon, no rows": {"data": {"ndarray": []}},
    "Seldon, too few names": {"data": {"names": ["a"], "ndarray": [[1, 2]]}},
    "Seldon, names a number": {"data": {"names": 2, "ndarray": [[1, 2]]}},
    "Seldon, wrong shape": {"data": {"tensor": {"shape": [3], "values": [1, 2]}}},
}


@pytest.mark.parametrize("names", [AB, NONE], ids=["baseline", "no baseline"])
@pytest.mark.parametrize("document", NEAR_MISSES.values(), ids=NEAR_MISSES.keys())
def test_what_fits_nothing_is_not_guessed(document: Any, names: frozenset[str]) -> None:
    assert json_table(document, names) is None


def test_an_object_of_unknown_names_is_a_row_only_where_no_names_are_known() -> None:
    document = {"x": 1, "y": 2}

    assert json_table(document, AB) is None
    assert laid_out(json_table(document, NONE)) == (("x", "y"), [[1, 2]])


def test_one_known_name_is_enough() -> None:
    assert laid_out(json_table({"a": 1, "id": 7}, AB)) == (("a", "id"), [[1, 7]])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("features", 3),
        ("features", [1, 2]),
        ("instances", [1, 2]),
        ("inputs", {"a": [1]}),
        ("data", {"ndarray": [1]}),
        ("dataframe_records", [{"a": 1}]),
    ],
)
def test_a_key_that_is_a_known_feature_is_no_mark_of_a_convention(name: str, value: Any) -> None:
    document = {name: value, "b": 2}

    assert laid_out(json_table(document, frozenset({name, "b"}))) == ((name, "b"), [[value, 2]])


def test_known_features_inside_conventions_are_no_marks_either() -> None:
    with_features = {"instances": [{"features": 1}, {"features": 2}]}
    with_data = {"inputs": [{"data": 1}, {"data": 2}]}

    assert laid_out(json_table(with_features, frozenset({"features"}))) == (("features",), [[1], [2]])
    assert laid_out(json_table(with_data, frozenset({"data"}))) == (("data",), [[1], [2]])


def test_a_scalar_under_a_marks_name_is_a_value_where_no_names_are_known() -> None:
    assert laid_out(json_table({"data": 5, "x": 1}, NONE)) == (("data", "x"), [[5, 1]])
    assert json_table({"data": 5, "x": 1}, AB) is None
    assert json_table({"instances": 5}, AB) is None


# --- CSV -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names", "expected"),
    [
        ("1,2\n3,4\n", AB, (None, [["1", "2"], ["3", "4"]])),
        ("1,2", NONE, (None, [["1", "2"]])),
        ("1\n", NONE, (None, [["1"]])),
        ("1,2\r\n\r\n3,4\r\n", AB, (None, [["1", "2"], ["3", "4"]])),
        ("1,2\r3,4\r", AB, (None, [["1", "2"], ["3", "4"]])),
        ("a,b\n1,2\n", AB, (("a", "b"), [["1", "2"]])),
        (" b , a \n1,2\n", AB, (("b", "a"), [["1", "2"]])),
        ("\ufeffa,b\n1,2\n", AB, (("a", "b"), [["1", "2"]])),
        ("id,a\n7,1\n", AB, (("id", "a"), [["7", "1"]])),
        ("x,y\n1,2\n", NONE, (("x", "y"), [["1", "2"]])),
        ("x,y\n", NONE, (None, [["x", "y"]])),
        ("x,2\n1,2\n", NONE, (None, [["x", "2"], ["1", "2"]])),
        (",  \n1,2", AB, (None, [[None, None], ["1", "2"]])),
        ('"x, ""y""",2\n', AB, (None, [['x, "y"', "2"]])),
        ('"two\nlines",2\n', AB, (None, [["two\nlines", "2"]])),
        ("x\u2028y,2\n", AB, (None, [["x\u2028y", "2"]])),
        ("", AB, None),
        ("\n\n", AB, None),
        ("1,2\n3\n", AB, None),
        ("a,b\n", AB, None),
        ("a\n1,2\n", AB, None),
        ("x" * 200_000, AB, None),
    ],
    ids=lambda value: repr(value)[:40] if isinstance(value, str) else "",
)
def test_csv_with_and_without_a_header(text: str, names: frozenset[str], expected: Any) -> None:
    assert laid_out(csv_table(text, names)) == expected


# --- forms -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "names", "expected"),
    [
        ({"a": ["1"], "b": ["2"]}, AB, (("a", "b"), [["1", "2"]])),
        ({"a": ["1", "3"], "b": ["2", "4"]}, AB, (("a", "b"), [["1", "2"], ["3", "4"]])),
        ({"a": ["1"], "csrf_token": ["x", "y"]}, AB, (("a",), [["1"]])),
        ({"a": [" "], "b": ["2"]}, AB, (("a", "b"), [[None, "2"]])),
        ({"x": ["1"]}, NONE, (("x",), [["1"]])),
        ({"x": ["1"]}, AB, None),
        ({"a": ["1", "2"], "b": ["3"]}, AB, None),
        ({}, AB, None),
        ({}, NONE, None),
    ],
    ids=lambda value: str(sorted(value) if isinstance(value, frozenset) else value),
)
def test_form_fields(fields: dict[str, list[str]], names: frozenset[str], expected: Any) -> None:
    assert laid_out(form_table(fields, names)) == expected


# --- anything --------------------------------------------------------------------------------------------------------

KEYS = st.sampled_from(
    [
        "features",
        "instances",
        "inputs",
        "data",
        "dataframe_split",
        "dataframe_records",
        "columns",
        "names",
        "ndarray",
        "tensor",
        "shape",
        "values",
        "a",
    ]
) | st.text(max_size=3)
SCALARS = st.none() | st.booleans() | st.integers(-2, 2**70) | st.floats() | st.text(max_size=3)
ANY_JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.fixed_dictionaries(
            {"inputs": st.lists(st.fixed_dictionaries({"shape": inner, "data": inner}), max_size=3)}
        )
        | st.fixed_dictionaries({"data": st.fixed_dictionaries({"names": inner, "ndarray": inner})})
        | st.fixed_dictionaries({"dataframe_split": st.fixed_dictionaries({"columns": inner, "data": inner})})
    ),
    max_leaves=25,
)


def check(table: Table | None) -> None:
    """Check that a table is one: at least one row, all of one length, as many names as values."""
    if table is not None:
        widths = {len(row) for row in table.rows}
        assert len(table) > 0
        assert len(widths) == 1
        assert widths != {0}
        assert table.names is None or len(table.names) in widths
        json.dumps(table.content())


@given(ANY_JSON, st.frozensets(KEYS, max_size=3))
def test_no_json_makes_an_error(document: Any, names: frozenset[str]) -> None:
    check(json_table(document, names))


@given(st.text(st.sampled_from('ab1,."\n\r \x00'), max_size=40) | st.text(), st.sampled_from([AB, NONE]))
def test_no_csv_makes_an_error(text: str, names: frozenset[str]) -> None:
    check(csv_table(text, names))


@given(st.dictionaries(KEYS, st.lists(st.text(max_size=3), max_size=3)), st.sampled_from([AB, NONE]))
def test_no_form_makes_an_error(fields: dict[str, list[str]], names: frozenset[str]) -> None:
    check(form_table(fields, names))
