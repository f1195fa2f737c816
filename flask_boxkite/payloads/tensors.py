"""Open Inference v2 tensors, in JSON or in the binary extension, read as rows of values.

Of several tensors, only those with known names count: a request may have an id beside the features, an answer a label
beside the probabilities.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.payloads.table import Table, beside_columns, from_columns

__all__ = ["INFERENCE_HEADER", "binary_document", "is_tensor_list", "tensor_columns", "tensor_tables"]

INFERENCE_HEADER = "Inference-Header-Content-Length"
"""Header of the binary extension: the number of bytes in the body that are JSON."""

_DTYPES = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
_NARROW = {"FP16": np.float16, "FP32": np.float32}


def is_tensor_list(value: Any, names: Collection[str]) -> bool:
    """Return whether this is a list of Open Inference v2 tensors rather than rows by name."""
    if not isinstance(value, list) or not value or "data" in names:
        return False
    return all(isinstance(item, dict) and "data" in item for item in value)


def tensor_tables(
    tensors: Sequence[Mapping[str, Any]], names: Collection[str], beside: Collection[str] | None = ()
) -> Table | None:
    """Read tensors: one of shape [N, F], or one per column of shape [N] or [N, 1].

    Args:
        tensors: The tensors, each with name, shape and data.
        names: Known names; if any tensor has one of them, only such tensors are read.
        beside: Names of other tensors to read beside these, as `beside_columns` reads them; None for all.
    """
    known = [tensor for tensor in tensors if tensor.get("name") in names]
    columns = tensor_columns(known or tensors)
    if columns is None:
        return None
    if known and (beside is None or beside):
        columns |= beside_columns(columns, _single_columns(tensors, names), beside)
    if len(columns) == 1:
        ((name, rows),) = columns.items()
        # The position identifies a single column, too, if its name is unknown.
        is_named = rows and len(rows[0]) == 1 and (not names or name in names)
        return Table((name,), rows) if is_named else Table(None, rows)
    if any(rows and len(rows[0]) > 1 for rows in columns.values()):
        return None

    return from_columns(columns)


def _single_columns(tensors: Sequence[Mapping[str, Any]], names: Collection[str]) -> dict[str, list[list[Any]]]:
    """Return the rows of the tensors without a known name that have one value for each row."""
    others = [tensor for tensor in tensors if tensor.get("name") not in names]
    columns = {str(tensor.get("name")): _rows_of(tensor) for tensor in others}
    return {name: rows for name, rows in columns.items() if rows and len(rows[0]) == 1}


def tensor_columns(tensors: Sequence[Mapping[str, Any]]) -> dict[str, list[list[Any]]] | None:
    """Return the rows of each tensor by its name; None if one cannot be read, or two share a name."""
    columns: dict[str, list[list[Any]]] = {}
    for tensor in tensors:
        rows = _rows_of(tensor)
        if rows is None:
            return None
        columns[str(tensor.get("name"))] = rows
    return columns if len(columns) == len(tensors) else None


def _rows_of(tensor: Mapping[str, Any]) -> list[list[Any]] | None:
    """Return a tensor's data, flat or nested, as rows; each row has one value if the shape has one dimension."""
    values, shape = _flat_values(tensor.get("data")), tensor.get("shape")
    if values is None or not isinstance(shape, list) or not all(type(size) is int for size in shape):
        return None
    if not shape or shape[0] < 0 or any(size <= 0 for size in shape[1:]):  # the first may be 0: an empty batch
        return None

    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) not in (1, 2) or math.prod(shape) != len(values):
        return None
    values = _typed(values, tensor)
    if values is None:
        return None
    width = shape[1] if len(shape) == 2 else 1
    return [values[start : start + width] for start in range(0, len(values), width)]


def reshaped(values: Any, shape: Any) -> list[list[Any]] | None:
    """Return data, flat or nested, as rows of the given shape."""
    return _rows_of({"data": values, "shape": shape})


def _flat_values(values: Any) -> list[Any] | None:
    if isinstance(values, np.ndarray):
        array = values.ravel()
        is_narrow = array.dtype.kind == "f" and array.itemsize < 8
        return list(array) if is_narrow else list(array.tolist())
    if not isinstance(values, list):
        return None
    nested: list[Any] = values
    while nested and isinstance(nested[0], list):
        nested = [item for part in nested for item in (part if isinstance(part, list) else [part])]
    return nested


def _typed(values: list[Any], tensor: Mapping[str, Any]) -> list[Any] | None:
    """Return the values in the tensor's own type: clients write a float32 as 0.10000000149011612."""
    datatype, parameters = tensor.get("datatype"), tensor.get("parameters")
    if datatype == "BF16":
        return [_bfloat16(value) if type(value) is float else value for value in values]
    if isinstance(datatype, str) and (narrow := _NARROW.get(datatype)) is not None:
        with np.errstate(over="ignore"):
            return [narrow(value) if type(value) is float else value for value in values]
    if isinstance(parameters, dict) and parameters.get("content_type") == "base64":
        return _from_base64(values)
    return values


def _bfloat16(number: float) -> float:
    """Return the nearest bfloat16 as an exact float; of two equally near, the even one."""
    with np.errstate(over="ignore"):
        bits = int(np.float32(number).view(np.uint32))
    if math.isfinite(number):
        bits += 0x7FFF + ((bits >> 16) & 1)
    return float(np.uint32(bits & 0xFFFF0000).view(np.float32))


def _from_base64(values: list[Any]) -> list[Any] | None:
    """Decode texts that MLServer's codec has encoded as base64."""
    try:
        return [base64.b64decode(value, validate=True).decode() for value in values]
    except (binascii.Error, UnicodeDecodeError, TypeError, ValueError):
        return None


# --- binary extension ------------------------------------------------------------------------------------------------


def binary_document(body: bytes, header: str) -> Any:
    """Return the JSON of a body of the binary extension, with the data of its binary tensors inserted.

    Args:
        body: JSON, followed by the data of each tensor that has ``binary_data_size``, in the order of the tensors.
        header: Value of the header that gives the length of the JSON.

    Raises:
        ValueError: The body cannot be read, or its sizes disagree.
    """
    size = int(header) if header.isdecimal() else -1
    if not 0 < size <= len(body):
        msg = f"{header!r} is not the length of the JSON in {len(body)} bytes."
        raise ValueError(msg)

    document = json.loads(body[:size])
    tensors = [
        tensor
        for key in ("inputs", "outputs")
        if isinstance(document, dict) and isinstance(document.get(key), list)
        for tensor in document[key]
    ]
    position = size
    for tensor in tensors:
        parameters = tensor.get("parameters") if isinstance(tensor, dict) else None
        if not isinstance(parameters, dict) or (length := parameters.get("binary_data_size")) is None:
            continue
        if type(length) is not int or not 0 <= length <= len(body) - position:
            msg = f"{length!r} bytes are not left at {position} of {len(body)}."
            raise ValueError(msg)
        tensor["data"] = _decoded(body[position : position + length], tensor.get("datatype"))
        tensor["parameters"] = {key: value for key, value in parameters.items() if key != "binary_data_size"}
        position += length

    return document


def _decoded(data: bytes, datatype: Any) -> NDArray[Any] | list[Any]:
    if datatype == "BYTES":
        return _texts(data)
    if datatype == "BF16":
        # bfloat16 is the upper half of a float32.
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4").astype(np.float64)
    if not isinstance(datatype, str) or datatype not in _DTYPES:
        msg = f"There is no datatype {datatype!r}."
        raise ValueError(msg)
    return np.frombuffer(data, _DTYPES[datatype])


def _texts(data: bytes) -> list[Any]:
    """Return elements that each follow their length in four bytes."""
    values, position = [], 0
    while position < len(data):
        start = position + 4
        position = start + int.from_bytes(data[position:start], "little")
        if start > len(data) or position > len(data):
            msg = f"An element ends at {position} of {len(data)} bytes."
            raise ValueError(msg)
        values.append(data[start:position].decode())
    return values
