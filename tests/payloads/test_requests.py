"""Request bodies are read by convention, and a body that fits none is not guessed."""

from __future__ import annotations

import base64
import gzip
import json
import math
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_boxkite.payloads import (
    Table,
    binary_document,
    csv_table,
    decompressed,
    form_table,
    json_lines_table,
    json_table,
)
from tests.peers import library

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
    "SageMaker, dense": (
        {"instances": [{"data": {"features": {"values": [1, 2]}}}, {"data": {"features": {"values": [3, 4]}}}]},
        ROWS,
    ),
    "SageMaker, a dense row": ({"data": {"features": {"values": [1, 2]}}}, ROW),
    "instances of values in lists": ({"instances": [{"a": [1], "b": [2]}, {"a": [3], "b": 4}]}, NAMED),
    "instances of values in nested lists": ({"instances": [{"a": [[1]], "b": [[[2]]]}, {"a": [[3]], "b": [4]}]}, NAMED),
    "instances of rows of values in lists": ({"instances": [[[1], [2]], [[[3]], [[4]]]]}, ROWS),
    "Keras, rows of values in lists": ({"instances": [{"dense_input": [[1], [2]]}, {"dense_input": [[3], [4]]}]}, ROWS),
    "Keras, rows": ({"instances": [{"dense_input": [1, 2]}, {"dense_input": [3, 4]}]}, ROWS),
    "Keras, columns": ({"signature_name": "serving_default", "inputs": {"dense_input": [[1, 2], [3, 4]]}}, ROWS),
    "MLflow 1 split": ({"columns": ["a", "b"], "data": [[1, 2], [3, 4]]}, NAMED),
    "pandas split in another order": ({"columns": ["b", "a"], "more": 1, "data": [[1, 2]]}, (("b", "a"), [[1, 2]])),
    "pandas split": ({"columns": ["a", "b"], "index": [0, 1], "data": [[1, 2], [3, 4]]}, NAMED),
    "data, rows": ({"data": [[1, 2], [3, 4]]}, ROWS),
    "data, a row": ({"data": [1, 2]}, ROW),
    "data by name": ({"data": {"a": 1, "b": 2}, "id": "x"}, NAMED_ROW),
    "pandas table": ({"schema": {"fields": []}, "data": [{"a": 1, "b": 2}, {"a": 3, "b": 4}]}, NAMED),
    "rows under their name": ({"rows": [[1, 2], [3, 4]]}, ROWS),
    "records": ({"records": [{"a": 1, "b": 2}, {"a": 3, "b": 4}]}, NAMED),
    "input": ({"input": {"a": 1, "b": 2}}, NAMED_ROW),
    "input of columns": ({"input": {"a": [1, 3], "b": [2, 4]}}, NAMED),
    "MLflow split": (
        {"dataframe_split": {"columns": ["a", "b"], "index": [0, 1], "data": [[1, 2], [3, 4]]}},
        NAMED,
    ),
    "MLflow split without columns": ({"dataframe_split": {"data": [[1, 2], [3, 4]]}}, ROWS),
    "MLflow records": ({"dataframe_records": [{"a": 1, "b": 2}, {"a": 3, "b": 4}]}, NAMED),
    "MLflow inputs": ({"inputs": [[1, 2], [3, 4]], "params": {}}, ROWS),
    "MLflow inputs, columns": ({"inputs": {"a": [1, 3], "b": [2, 4]}}, NAMED),
    "MLflow inputs, columns of lists": ({"inputs": {"a": [[1], [3]], "b": [[2], [4]]}}, NAMED),
    "MLflow inputs, columns of nested lists": ({"inputs": {"a": [[[1]], [[3]]], "b": [[[2]], [[4]]]}}, NAMED),
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


def test_a_list_beside_plain_values_is_no_value_wherever_it_stands() -> None:
    """Else a row would be read in another way if its first value is odd."""
    rows = [[[1.0], 2], [3, [4.0]]]
    for document in (rows, {"instances": rows}, {"data": rows}):
        assert laid_out(json_table(document, NONE)) == (None, rows)


HOME = {"home": {"zip": 7}, "temps": [1, 2]}


@pytest.mark.parametrize(
    "document",
    [HOME, {"features": HOME}, {"data": HOME}, {"rows": HOME}, {"input": HOME}, {"inputs": HOME}, [HOME]]
    + [{key: [HOME]} for key in ("features", "data", "rows", "records", "input", "instances", "dataframe_records")],
    ids=str,
)
def test_nested_rows_are_found_by_the_paths_of_their_values(document: Any) -> None:
    names = frozenset({"home.zip", "temps.0", "temps.1"})

    assert laid_out(json_table(document, names)) == (("home", "temps"), [[{"zip": 7}, [1, 2]]])


def test_columns_of_lists_are_found_by_the_paths_of_their_values() -> None:
    """Each list is an item of its column; a lone list of values is a row's."""
    names = frozenset({"low.0", "low.1", "high.0", "high.1"})

    columns = {"low": [[1, 2], [3, 4], [5, 6]], "high": [[7, 8], [9, 10], [11, 12]]}
    assert laid_out(json_table(columns, names)) == (
        ("low", "high"),
        [[[1, 2], [7, 8]], [[3, 4], [9, 10]], [[5, 6], [11, 12]]],
    )
    assert laid_out(json_table({"low": [1, 2], "high": [7, 8]}, names)) == (("low", "high"), [[[1, 2], [7, 8]]])


@pytest.mark.parametrize(
    "document", [{"home": 7}, {"home": {"town": 1}}, {"temps": []}, {"house": {"zip": 7}}], ids=str
)
def test_objects_without_a_value_at_a_path_are_not_guessed(document: Any) -> None:
    assert json_table(document, frozenset({"home.zip", "temps.0"})) is None


@pytest.mark.parametrize("names", [AB, NONE], ids=["baseline", "no baseline"])
@pytest.mark.parametrize(("document", "expected"), CONVENTIONS.values(), ids=CONVENTIONS.keys())
def test_conventions_of_requests(document: Any, expected: Any, names: frozenset[str]) -> None:
    assert laid_out(json_table(document, names)) == expected


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"a": [1, 3], "b": [2, 4]}, NAMED),
        ({"a": [[1], [3]], "b": [[2], [4]]}, NAMED),
        ({"a": {"0": 1, "1": 3}, "b": {"0": 2, "1": 4}}, NAMED),
        (
            {"inputs": [tensor("id", [2, 3], [0] * 6), tensor("a", [2], [1, 3]), tensor("b", [2], [2, 4])]},
            NAMED,
        ),
        ({"inputs": [tensor("a", [2], [1, 3]), tensor("id", [2], [7, 8])]}, (("a",), [[1], [3]])),
        ({"data": [[1, 2]], "rows": [7, 8, 9]}, ROW),
        ({"features": [1, 2], "input": ["x"]}, ROW),
    ],
    ids=["columns", "columns of lists", "pandas' to_json", "V2 and an id", "V2, one and an id", "rows", "features"],
)
def test_conventions_that_known_names_decide(document: Any, expected: Any) -> None:
    assert laid_out(json_table(document, AB)) == expected


def test_columns_are_one_row_where_no_names_are_known() -> None:
    """The lists may be features of a kind that no baseline has."""
    assert laid_out(json_table({"a": [1, 3], "b": [2, 4]}, NONE)) == (("a", "b"), [[[1, 3], [2, 4]]])


@pytest.mark.parametrize(
    ("document", "names"),
    [
        ({"instances": [{"dense_input": [1, 2, 3]}]}, AB),
        ({"instances": [{"dense_input": [1, 2]}, {"other": [1, 2]}]}, AB),
        ({"instances": [{"dense_input": [1, 2]}]}, {"dense_input", "b"}),
        ({"instances": [{"x": [1, 2], "y": [3, 4]}]}, AB),
        ({"inputs": {"dense_input": [[1, 2]], "other": [[1, 2]]}}, AB),
        ({"inputs": {"a": [[1, 2]]}}, AB),
    ],
    ids=["too wide", "two names", "a feature's name", "two tensors", "two inputs", "a feature's column"],
)
def test_an_input_of_another_name_or_width_is_not_read_by_position(document: Any, names: Any) -> None:
    table = json_table(document, frozenset(names))

    assert table is None or table.names is not None


def test_the_only_input_of_a_model_of_one_feature_is_its_column() -> None:
    names = frozenset({"a"})

    assert laid_out(json_table({"instances": [{"dense_input": [1]}, {"dense_input": [3]}]}, names)) == (
        None,
        [[1], [3]],
    )
    assert laid_out(json_table({"inputs": {"dense_input": [[1], [3]]}}, names)) == (None, [[1], [3]])


@pytest.mark.parametrize(
    "document",
    [
        {"columns": ["a"], "data": [[1, 2]]},
        {"columns": ["a"], "data": [[1, 2]], "more": 1},
        {"columns": "ab", "data": [[1, 2]]},
        {"columns": None, "data": {"x": 1}},
        {"data": [[1, 2]], "rows": [[3, 4]]},
        {"data": {"a": [1, 2]}, "input": {"b": [1, 2]}},
        {"data": {"x": 1, "y": 2}},
        {"data": {"features": {"values": 5}}},
        {"data": {"features": {"values": [1, 2]}, "shape": [2]}},
        {"rows": 5},
        {"input": "text"},
    ],
    ids=str,
)
def test_neighbours_of_conventions_are_not_guessed(document: Any) -> None:
    assert json_table(document, AB) is None


@pytest.mark.parametrize("name", ["data", "rows", "records", "input"])
def test_a_feature_of_the_name_of_a_convention_is_a_feature(name: str) -> None:
    document = {name: [1, 2], "b": 1}

    assert laid_out(json_table(document, frozenset({name, "b"}))) == ((name, "b"), [[[1, 2], 1]])


def test_a_feature_called_columns_is_no_mark_of_a_split() -> None:
    document = {"columns": 5, "b": 1, "data": None}

    assert laid_out(json_table(document, frozenset({"columns", "b"}))) == (("columns", "b", "data"), [[5, 1, None]])


def test_a_column_with_a_name_that_says_nothing_is_known_by_its_position() -> None:
    document = {"inputs": [tensor("input-0", [2], [1, 3])]}

    assert laid_out(json_table(document, frozenset({"a"}))) == (None, [[1], [3]])


NEAR_MISSES: dict[str, Any] = {
    "null": None,
    "a number": 5,
    "a text": "1,2",
    "true": True,
    "an empty row": [[]],
    "an empty object": {},
    "empty objects": [{}, {}],
    "rows of several lengths": [[1, 2], [3]],
    "rows and values": [[1, 2], 3],
    "objects and values": [{"a": 1}, 3],
    "instances, an object": {"instances": {"a": 1}},
    "instances, mixed": {"instances": [[1], {"a": 1}]},
    "SageMaker, mixed": {"instances": [{"features": [1]}, {"features": {"a": 1}}]},
    "split without data": {"dataframe_split": {"columns": ["a", "b"]}},
    "split, a list": {"dataframe_split": [[1, 2]]},
    "split, too few columns": {"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}},
    "split, columns no list": {"dataframe_split": {"columns": 2, "data": [[1, 2]]}},
    "records, an object": {"dataframe_records": {"a": 1}},
    "records, rows": {"dataframe_records": [[1, 2]]},
    "inputs, several lengths": {"inputs": {"a": [1, 2], "b": [3]}},
    "inputs, mixed": {"inputs": {"a": [1, 2], "b": 3}},
    "V2 without shape": {"inputs": [{"name": "a", "data": [1]}]},
    "V2, wrong shape": {"inputs": [tensor("a", [3], [1, 2])]},
    "V2, rows of no values": {"inputs": [tensor("a", [2, 0], [])]},
    "V2, no rows but values": {"inputs": [tensor("a", [0], [1])]},
    "V2, no rows of fewer than none": {"inputs": [tensor("a", [0, -1], [])]},
    "V2, four dimensions": {"inputs": [tensor("a", [1, 1, 1, 2], [1, 2])]},
    "V2, no dimension": {"inputs": [tensor("a", [], [1])]},
    "V2, negative": {"inputs": [tensor("a", [-1, -2], [1, 2])]},
    "V2, sizes that overflow to two": {"inputs": [tensor("a", [3, 6148914691236517206], [1, 2])]},
    "V2, true": {"inputs": [{"name": "a", "shape": [True], "data": [1]}]},
    "V2, two of one name": {"inputs": [tensor("a", [1], [1]), tensor("a", [1], [2])]},
    "V2, several lengths": {"inputs": [tensor("a", [1], [1]), tensor("b", [2], [1, 2])]},
    "V2, a wide one of several": {"inputs": [tensor("a", [1, 2], [1, 2]), tensor("b", [1], [1])]},
    "V2, data no list": {"inputs": [{"name": "a", "shape": [1], "data": 1}]},
    "data, rows of several lengths": {"data": [[1, 2], [3]]},
    "Seldon, nothing": {"data": {}},
    "Seldon, too few names": {"data": {"names": ["a"], "ndarray": [[1, 2]]}},
    "Seldon, names a number": {"data": {"names": 2, "ndarray": [[1, 2]]}},
    "Seldon, wrong shape": {"data": {"tensor": {"shape": [3], "values": [1, 2]}}},
}


@pytest.mark.parametrize("names", [AB, NONE], ids=["baseline", "no baseline"])
@pytest.mark.parametrize("document", NEAR_MISSES.values(), ids=NEAR_MISSES.keys())
def test_what_fits_nothing_is_not_guessed(document: Any, names: frozenset[str]) -> None:
    assert json_table(document, names) is None


OSLO, IMAGE = {"b64": base64.b64encode(b"Oslo").decode()}, {"b64": base64.b64encode(b"\x89PNG\xff").decode()}


@pytest.mark.parametrize(
    ("document", "names", "expected"),
    [
        ({"instances": [{"a": OSLO, "b": 2}]}, AB, (("a", "b"), [[OSLO, 2]])),
        ({"instances": [{"a": OSLO, "b": OSLO}]}, AB, (("a", "b"), [[OSLO, OSLO]])),
        ({"a": OSLO, "b": OSLO}, AB, (("a", "b"), [[OSLO, OSLO]])),
        ({"inputs": {"a": [OSLO, OSLO], "b": [1, 2]}}, AB, (("a", "b"), [[OSLO, 1], [OSLO, 2]])),
        ({"instances": [OSLO, IMAGE]}, frozenset({"a"}), (None, [[OSLO], [IMAGE]])),
        ({"instances": [{"b64": "b64"}]}, frozenset({"b64"}), (("b64",), [["b64"]])),
        ({"instances": [{"image": IMAGE, "a": 1}]}, AB, (("image", "a"), [[IMAGE, 1]])),
    ],
    ids=["row", "row of them", "object", "columns", "only input", "a feature of that name", "an image beside"],
)
def test_bytes_of_tensorflow_serving_are_values(document: Any, names: frozenset[str], expected: Any) -> None:
    assert laid_out(json_table(document, names)) == expected


EMPTY: dict[str, Any] = {
    "no rows": [],
    "features": {"features": []},
    "instances": {"instances": []},
    "data": {"data": []},
    "rows, with an id": {"rows": [], "id": 7},
    "MLflow 1 split": {"columns": ["a", "b"], "data": []},
    "MLflow split": {"dataframe_split": {"columns": ["a", "b"], "index": [], "data": []}},
    "MLflow records": {"dataframe_records": []},
    "MLflow inputs": {"inputs": []},
    "inputs, columns": {"inputs": {"a": [], "b": []}},
    "V2, a tensor of no rows": {"inputs": [tensor("x", [0, 2], [])]},
    "V2, columns": {"inputs": [tensor("a", [0], []), tensor("b", [0, 1], [[]])]},
    "Seldon": {"data": {"names": ["a", "b"], "ndarray": []}},
}


@pytest.mark.parametrize("names", [AB, NONE], ids=["baseline", "no baseline"])
@pytest.mark.parametrize("document", EMPTY.values(), ids=EMPTY.keys())
def test_an_empty_batch_is_a_table_without_rows(document: Any, names: frozenset[str]) -> None:
    table = json_table(document, names)

    assert table is not None
    assert (len(table), table.content()) == (0, [])


@pytest.mark.parametrize(
    "document", [{"rows": [], "a": 1, "b": 2}, {"data": [], "a": 1, "b": 2}, {"rows": [], "data": [], "a": 1, "b": 2}]
)
def test_an_empty_list_beside_features_is_no_batch(document: Any) -> None:
    assert json_table(document, AB).content() == document


def test_columns_without_values_are_an_empty_batch_where_their_names_are_known() -> None:
    assert laid_out(json_table({"a": [], "b": []}, AB)) == (("a", "b"), [])
    assert laid_out(json_table({"a": [], "b": []}, NONE)) == (("a", "b"), [[[], []]])


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


# --- tensors ---------------------------------------------------------------------------------------------------------

# What tritonclient 2.73 writes, and kserve 0.21 likewise; with the length of its JSON in the header.
TRITON = (
    b'{"inputs":[{"name":"a","shape":[2,1],"datatype":"FP32","parameters":{"binary_data_size":8}},'
    b'{"name":"b","shape":[2,1],"datatype":"BYTES","parameters":{"binary_data_size":17}}],'
    b'"outputs":[{"name":"p","parameters":{"binary_data":true}}]}'
)
TRITON_DATA = b"ff\x1cB\x00\x00 B\x04\x00\x00\x00Oslo\x05\x00\x00\x00R\xc3\xb6me"


def test_binary_tensors_are_read_as_triton_writes_them() -> None:
    table = json_table(binary_document(TRITON + TRITON_DATA, str(len(TRITON))), AB)

    assert laid_out(table) == (("a", "b"), [[np.float32(39.1), "Oslo"], [40, "Röme"]])


@pytest.mark.parametrize(
    ("datatype", "numpy_type", "values"),
    [
        ("BOOL", "?", [True, False]),
        ("UINT8", "u1", [0, 255]),
        ("UINT16", "<u2", [0, 65535]),
        ("UINT32", "<u4", [0, 2**32 - 1]),
        ("UINT64", "<u8", [0, 2**64 - 1]),
        ("INT8", "i1", [-128, 127]),
        ("INT16", "<i2", [-5, 5]),
        ("INT32", "<i4", [-5, 5]),
        ("INT64", "<i8", [-(2**63), 5]),
        ("FP16", "<f2", [np.float16(0.1), np.float16(2)]),
        ("FP32", "<f4", [np.float32(0.1), np.float32(2)]),
        ("FP64", "<f8", [0.1, 2.0]),
    ],
)
def test_binary_tensors_of_every_datatype(datatype: str, numpy_type: str, values: list[Any]) -> None:
    data = np.array(values, dtype=numpy_type).tobytes()
    described = {"name": "x", "shape": [1, 2], "datatype": datatype, "parameters": {"binary_data_size": len(data)}}
    header = json.dumps({"inputs": [described]}).encode()
    table = json_table(binary_document(header + data, str(len(header))), AB)

    assert laid_out(table) == (None, [values])
    assert table is not None
    assert [type(value) for value in table.rows[0]] == list(map(type, values))


def test_a_bfloat16_is_the_upper_half_of_a_float32() -> None:
    header = b'{"inputs":[{"name":"x","shape":[2],"datatype":"BF16","parameters":{"binary_data_size":4}}]}'
    table = json_table(binary_document(header + b"\xc0\x3f\x00\xbf", str(len(header))), frozenset({"x"}))

    assert laid_out(table) == (("x",), [[1.5], [-0.5]])


@pytest.mark.parametrize(
    "value",
    [0.1, 0.10009765625, 0.100098, 1.5, 3.3895e38, 1e39, 1e-45, math.inf, -0.3, 257.0, 259.0, None, 7],
    ids=repr,
)
def test_a_bfloat16_in_json_is_the_nearest_one(value: float | None) -> None:
    """Clients write it in few digits, or widened."""
    found = json_table({"inputs": [tensor("a", [1], [value]) | {"datatype": "BF16"}]}, frozenset({"a"}))
    expected = float(np.asarray(value, library("ml_dtypes").bfloat16)) if isinstance(value, float) else value

    assert laid_out(found) == (("a",), [[expected]])


@pytest.mark.parametrize(
    ("body", "header"),
    [
        (TRITON + TRITON_DATA, ""),
        (TRITON + TRITON_DATA, "-5"),
        (TRITON + TRITON_DATA, "0"),
        (TRITON + TRITON_DATA, "99999"),
        (TRITON + TRITON_DATA, str(len(TRITON) - 1)),
        (TRITON + TRITON_DATA, str(len(TRITON) + 1)),
        (TRITON + TRITON_DATA[:-1], str(len(TRITON))),
        (TRITON.replace(b'size":8', b'size":-8') + TRITON_DATA, str(len(TRITON) + 1)),
        (TRITON.replace(b'size":8', b'size":7') + TRITON_DATA, str(len(TRITON))),
        (TRITON.replace(b'size":17', b'size":18').replace(b"BYTES", b"UINT8") + TRITON_DATA, str(len(TRITON))),
        (TRITON.replace(b"FP32", b"FP99") + TRITON_DATA, str(len(TRITON))),
        (TRITON + TRITON_DATA.replace(b"\x04", b"\xff"), str(len(TRITON))),
        (TRITON + TRITON_DATA.replace(b"\xc3", b"\xff"), str(len(TRITON))),
    ],
)
def test_binary_tensors_whose_sizes_do_not_agree_are_an_error(body: bytes, header: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        binary_document(body, header)


def test_a_shape_that_does_not_fit_binary_data_is_not_read() -> None:
    header = b'{"inputs":[{"name":"x","shape":[3],"datatype":"INT8","parameters":{"binary_data_size":2}}]}'

    assert json_table(binary_document(header + b"\x01\x02", str(len(header))), AB) is None


def test_a_float32_in_json_is_the_number_with_its_shortest_decimals() -> None:
    """As tritonclient and kserve write 39.1."""
    document = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [39.099998474121094, 40]}]}
    table = json_table(document, AB)

    assert table is not None
    assert str(table.rows[0][0]) == "39.1"


def test_texts_in_base64_are_decoded_where_the_tensor_says_so() -> None:
    """As MLServer's codec writes them."""
    texts = [base64.b64encode(text.encode()).decode() for text in ("Oslo", "Röme")]
    described = {"name": "a", "shape": [2, 1], "datatype": "BYTES", "data": texts}
    names = frozenset({"a"})

    assert laid_out(json_table({"inputs": [described]}, names)) == (("a",), [[text] for text in texts])
    described["parameters"] = {"content_type": "base64"}
    assert laid_out(json_table({"inputs": [described]}, names)) == (("a",), [["Oslo"], ["Röme"]])
    described["data"] = ["Oslo!", "Rome"]
    assert json_table({"inputs": [described]}, names) is None


# --- compressed bodies -----------------------------------------------------------------------------------------------


def raw_deflate(data: bytes) -> bytes:
    """Compress without the header of zlib, as some clients do."""
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (gzip.compress(b"[1, 2]"), "gzip"),
        (gzip.compress(b"[1, 2]"), " GZip "),
        (gzip.compress(b"[1, 2]"), "x-gzip"),
        (gzip.compress(b"[1,") + gzip.compress(b" 2]"), "gzip"),
        (zlib.compress(b"[1, 2]"), "deflate"),
        (raw_deflate(b"[1, 2]"), "deflate"),
    ],
    ids=["gzip", "capitals", "x-gzip", "members", "deflate", "raw deflate"],
)
def test_compressed_bodies(data: bytes, encoding: str) -> None:
    assert decompressed(data, encoding, 6) == b"[1, 2]"


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (gzip.compress(b"[1, 2]"), "br"),
        (gzip.compress(b"[1, 2]"), "gzip, gzip"),
        (gzip.compress(b"[1, 2]")[:-9], "gzip"),
        (b"[1, 2]", "gzip"),
        (gzip.compress(b"[1, 2]  "), "gzip"),
        (gzip.compress(b"[1, 2]") + gzip.compress(b" "), "gzip"),
    ],
    ids=["brotli", "twice", "cut off", "not compressed", "too long", "too long in two"],
)
def test_bodies_that_cannot_be_decompressed_within_the_limit(data: bytes, encoding: str) -> None:
    with pytest.raises(ValueError, match=r"The body is"):
        decompressed(data, encoding, 6)


def test_a_bomb_is_not_decompressed(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    class Reader:
        def __init__(self, window: int) -> None:
            self._inner = decompressobj(window)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

        def decompress(self, data: bytes, limit: int) -> bytes:
            made.append(len(part := self._inner.decompress(data, limit)))
            return part

    decompressobj = zlib.decompressobj
    bomb = gzip.compress(bytes(10_000_000))
    monkeypatch.setattr(zlib, "decompressobj", Reader)
    with pytest.raises(ValueError, match="more than 1000 bytes"):
        decompressed(bomb, "gzip", 1000)
    assert sum(made) <= 1001


# --- JSON lines ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a":1,"b":2}\n{"b":4,"a":3}\n', NAMED),
        ('{"a":1,"b":2}', NAMED_ROW),
        ("[1,2]\r\n\n[3,4]", ROWS),
        ('\ufeff{"features":[1,2]}\n{"features":[3,4]}', ROWS),
        ('{"data":{"features":{"values":[1,2]}}}\n{"data":{"features":{"values":[3,4]}}}', ROWS),
        ('{"a":1,"b":2}\n{"a":3}', (("a", "b"), [[1, 2], [3, None]])),
        ('{"a":1,"b":"x\u2028y"}\n{"a":3,"b":4}', (("a", "b"), [[1, "x\u2028y"], [3, 4]])),
        ("", None),
        ("\n\n", None),
        ("[1,2]\n[3]", None),
        ('[1,2]\n{"a":3,"b":4}', None),
        ('{"a":1,"b":2}\n{"x":3}', None),
        ('{"a":1,"b":2}\n7', None),
        ("[[1,2],[3,4]]\n[[5,6],[7,8]]", None),
    ],
    ids=repr,
)
def test_json_lines(text: str, expected: Any) -> None:
    assert laid_out(json_lines_table(text, AB)) == expected


def test_a_line_that_is_no_json_is_an_error() -> None:
    with pytest.raises(ValueError, match="Expecting"):
        json_lines_table('{"a":1}\nhello', AB)


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
        (",  \n1,2", AB, (None, [["", ""], ["1", "2"]])),
        ('a, "b"\n 1, "x, ""y"""\n', AB, (("a", "b"), [["1", 'x, "y"']])),
        ('"1" , "two\nlines" \n', AB, (None, [["1", "two\nlines"]])),
        ('"x, ""y""",2\n', AB, (None, [['x, "y"', "2"]])),
        ('"two\nlines",2\n', AB, (None, [["two\nlines", "2"]])),
        ("x\u2028y,2\n", AB, (None, [["x\u2028y", "2"]])),
        ("", AB, None),
        ("\n\n", AB, None),
        ("1,2\n3\n", AB, None),
        ("a,b\n", AB, (("a", "b"), [])),
        ("a,c\n\n", AB, (("a", "c"), [])),
        ("a;b\n1;2\n", AB, None),
        ("\ufeff\r\nb\ta\tc\r\n1\t2\t3\r\n", AB, None),
        ('"a"|"b"\n1|2\n', AB, None),
        ("1;2\n", AB, None),
        ("1,5;2,5\n", AB, None),
        ("x;y,2\n", AB, (None, [["x;y", "2"]])),
        ("x;y\n", frozenset({"a"}), (None, [["x;y"]])),
        ("x;y\n1;2\n", NONE, (("x;y",), [["1;2"]])),
        ("c,d\n", AB, (None, [["c", "d"]])),
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
        ({"a": [" "], "b": ["2"]}, AB, (("a", "b"), [[" ", "2"]])),
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


@pytest.mark.parametrize(
    ("fields", "beside", "expected"),
    [
        ({"a": ["1"], "c": ["2"], "d": ["3"]}, {"c"}, (("a", "c"), [["1", "2"]])),
        ({"a": ["1"], "c": ["2"], "d": ["3"]}, None, (("a", "c", "d"), [["1", "2", "3"]])),
        ({"a": ["1", "2"], "c": ["3"]}, {"c"}, (("a", "c"), [["1", "3"], ["2", "3"]])),
        ({"a": ["1", "2"], "c": ["3", "4", "5"]}, {"c"}, (("a",), [["1"], ["2"]])),
        ({"c": ["2"]}, {"c"}, None),
    ],
    ids=["named", "all", "one for all rows", "another number", "no feature"],
)
def test_form_fields_beside_features(fields: dict[str, list[str]], beside: set[str] | None, expected: Any) -> None:
    assert laid_out(form_table(fields, AB, beside)) == expected


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
        "rows",
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
    """Check that a table is one: rows of one length, or none, and as many names as values."""
    if table is not None and not len(table):
        assert table.content() == []
    elif table is not None:
        widths = {len(row) for row in table.rows}
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
