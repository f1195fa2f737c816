"""The meaning of a single value, from any client: as a number, as a category, as plain JSON.

Training and serving both read values through this module, so that one value cannot be two things. To a numeric
variable, ``True``, ``1``, ``1.0``, ``"1"`` and ``numpy.int8(1)`` are 1.0, and ``numpy.float32(0.1)`` is 0.1.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Collection, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any
from uuid import UUID

import numpy as np

from flask_boxkite.values.durations import (
    BELOW_MICROSECONDS,
    is_interval,
    seconds_of_duration,
    seconds_of_duration_text,
)
from flask_boxkite.values.objects import (
    array_of,
    arrow_column,
    columns_of,
    fields_of,
    has_values,
    scalar_value,
    values_of,
)

__all__ = [
    "BOOLEAN_TEXTS",
    "DEEPEST",
    "MISSING_TEXTS",
    "InvalidValue",
    "folded",
    "is_base64",
    "is_missing_text",
    "is_null",
    "is_too_deep",
    "number_by_type",
    "plain",
    "to_number",
    "to_text",
]

# The widest integers that MessagePack, and so fluentd, can hold.
_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1
BOOLEAN_TEXTS = {"true": 1.0, "false": 0.0}
"""Texts of booleans, in any capitals: Python, pandas, JSON and spreadsheets write them in different ones."""

MISSING_TEXTS = frozenset({"", "-", "#n/a", "<na>", "n/a", "na", "nan", "nat", "none", "null"})
"""Texts, in lower case and without blanks around, that stand for a missing value where no category is called so."""

_MOST_SHOWN = 40
"""Most characters of a value that an error shows."""

DEEPEST = 100
"""Most containers of plain JSON in each other: fluentd cannot read more than 128."""

_CONTAINERS = (list, tuple, dict, set, frozenset)
_JSON_CONTAINERS = frozenset({list, dict})
_ATOMS = frozenset({str, bool, type(None)})
_SAFE_NUMBERS = frozenset({int, float, bool})
_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")


class InvalidValue(ValueError):
    """A value of a type that the variable cannot hold, such as a list where a number belongs."""


def to_number(value: Any) -> float:
    """Return *value* as a float; NaN where it is missing.

    A number is a float64, as it is for Prometheus and most clients: larger integers are rounded, or become
    infinite. A float32 becomes the number with its shortest decimals, which is the one that a client writes in JSON.
    Durations are seconds, also as texts (see `durations`).

    Raises:
        InvalidValue: The value is not a number, boolean, NumPy scalar, duration, or text of one of them.
    """
    if isinstance(value, (float, int)):
        return _float(value)
    if value is None or is_null(value):
        return math.nan
    if isinstance(value, str):
        return _number_of_text(value)
    if (number := number_by_type(value)) is not None:
        return number
    # Bytes and the like, which training reads as texts.
    return math.nan if (text := to_text(value)) is None else _number_of_text(text)


def number_by_type(value: Any) -> float | None:
    """Return the value of a number, or the seconds of a duration; None if the type is neither.

    Raises:
        InvalidValue: The value is a duration without a fixed length.
    """
    if isinstance(value, np.floating):
        # str() of a narrow float gives its shortest decimals, float() of it 0.10000000149…
        return float(str(value))
    if _is_duration(value):
        return _seconds(value)
    if isinstance(value, (float, int, np.bool_, np.integer, Fraction)):
        return _float(value)
    if isinstance(value, Decimal):
        return math.nan if value.is_nan() else float(value)

    # An array without dimensions, of any library; or a scalar of a type that NumPy lacks, such as bfloat16.
    if (array := array_of(value)) is not None and array.ndim == 0 and type(scalar := array[()]) is not type(value):
        return to_number(scalar)
    return to_number(content) if (content := scalar_value(value)) is not value else None


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _is_duration(value: Any) -> bool:
    return isinstance(value, (timedelta, np.timedelta64)) or is_interval(value)


def _seconds(value: Any) -> float:
    try:
        return seconds_of_duration(value)
    except TypeError as error:  # NumPy's months and unitless durations
        raise InvalidValue(str(value)) from error


def _number_of_text(text: str) -> float:
    stripped = text.strip()
    try:
        if "_" not in stripped:
            return float(stripped)
    except ValueError:
        lower = stripped.lower()
        if lower in MISSING_TEXTS:
            return math.nan
        if lower in BOOLEAN_TEXTS:
            return BOOLEAN_TEXTS[lower]
        if (seconds := seconds_of_duration_text(text)) is not None:
            return seconds
    raise InvalidValue(text)


def folded(text: str) -> str:
    """Return a text in lower case and without blanks around, the form in which `MISSING_TEXTS` are compared."""
    return text.strip().lower()


def is_missing_text(text: str, more: Collection[str] = ()) -> bool:
    """Say whether a text stands for a missing value.

    Args:
        text: The text.
        more: Further texts that stand for a missing value, each `folded`.
    """
    return (plain_text := folded(text)) in MISSING_TEXTS or plain_text in more


def to_text(value: Any) -> str | None:
    """Return *value* as a textual category; None where it is missing.

    A number is written as its JSON text (``1`` is ``"1"``, ``True`` is ``"true"``), a date in ISO 8601. An object of
    TensorFlow Serving, ``{"b64": "T3Nsbw=="}``, is the text that it encodes.

    Raises:
        InvalidValue: The value is a container, or bytes in base64 that are not text.
    """
    if isinstance(value, str):
        return _text(value)
    if value is None or is_null(value):
        return None
    if is_base64(value):
        return _text_of_base64(value["b64"])
    if isinstance(value, _CONTAINERS) and not is_interval(value):  # refused before all its items are converted
        raise InvalidValue(type(value).__name__)

    simple = plain(value)
    if isinstance(simple, (list, dict)):
        raise InvalidValue(type(value).__name__)
    if simple is None:
        return None
    return simple if isinstance(simple, str) else json.dumps(simple)


def is_base64(value: Any) -> bool:
    """Say whether a value is bytes as TensorFlow Serving has them in JSON: ``{"b64": "T3Nsbw=="}``."""
    return type(value) is dict and len(value) == 1 and isinstance(value.get("b64"), str)


def _text_of_base64(encoded: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except ValueError as error:  # not base64, or not text: an image, say
        raise InvalidValue(encoded[:_MOST_SHOWN]) from error


def is_null(value: Any) -> bool:
    """Recognise NaN, NaT and pandas' NA without importing pandas."""
    if isinstance(value, (float, np.floating)):
        return bool(value != value)
    if isinstance(value, (np.datetime64, np.timedelta64)):
        return bool(np.isnat(value))
    return type(value).__name__ in {"NAType", "NaTType"}


def plain(value: Any) -> Any:
    """Return *value* as plain JSON types, itself where it already is: str, int, float, bool, None, list, dict.

    NumPy, date, Decimal, UUID and the like are converted, bytes become text or base64, any other value its ``str()``:
    no value is refused. JSON has no NaN and no infinity, so NaN becomes None, and infinities the texts ``"Infinity"``
    and ``"-Infinity"``; integers wider than 64 bits become their digits.
    """
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind is float:
        return value if math.isfinite(value) else _non_finite(value)
    if kind is int:
        # Decimal writes any number of digits, str() refuses more than 4300.
        return value if _INT_MIN <= value <= _INT_MAX else str(Decimal(value))

    if kind is list:
        return value if _is_plain_row(value) else _unchanged(value, [plain(item) for item in value])
    if kind is dict:
        return value if _is_plain_row(value.values()) and _has_text_keys(value) else _plain_mapping(value)
    return _plain_other(value)


def _is_plain_row(values: Any) -> bool:
    """Say quickly whether all of *values* are atoms or numbers that JSON can hold: the common case of a row."""
    kinds = set(map(type, values))
    if kinds <= _ATOMS:
        return True
    if not kinds <= _SAFE_NUMBERS:
        return False
    try:
        # A sum is finite only if every term is. (A huge integer overflows, infinities make it infinite or NaN.)
        return math.isfinite(sum(values)) and (int not in kinds or _fits_64_bits(values))
    except OverflowError:
        return False


def _fits_64_bits(values: Any) -> bool:
    return bool(min(values) >= _INT_MIN and max(values) <= _INT_MAX)


def _has_text_keys(mapping: dict[Any, Any]) -> bool:
    return not mapping or set(map(type, mapping)) == {str}


def _unchanged(before: list[Any], after: list[Any]) -> list[Any]:
    """Return *before* if *after* holds the very same objects, so that callers see that nothing was converted."""
    return before if all(a is b for a, b in zip(before, after, strict=True)) else after


def _plain_mapping(mapping: Mapping[Any, Any]) -> Mapping[str, Any]:
    after = {key if type(key) is str else str(key): plain(item) for key, item in mapping.items()}
    same = type(mapping) is dict and all(after.get(key, after) is item for key, item in mapping.items())
    return mapping if same else after


def _text(value: str) -> str:
    """Return the text of an instance of a subclass, such as an Enum, whose ``str()`` may differ from it."""
    return value if type(value) is str else str.__str__(value)


def _non_finite(value: float) -> str | None:
    return None if value != value else "Infinity" if value > 0 else "-Infinity"


def _plain_other(value: Any) -> Any:
    """Convert a value whose type is not exactly a built-in JSON type."""
    if is_null(value):
        return None
    if isinstance(value, np.floating):
        return plain(float(str(value)))
    if isinstance(value, np.ndarray):
        return _plain_array(value)
    if isinstance(value, Enum):
        return plain(value.value)

    if _is_duration(value):
        try:
            return _seconds(value)
        except InvalidValue:
            return str(value)
    if isinstance(value, np.datetime64):
        # Nanoseconds, which datetime lacks, would become an integer; days stay days.
        item = (
            value.astype("datetime64[us]").item() if np.datetime_data(value)[0] in BELOW_MICROSECONDS else value.item()
        )
        return item.isoformat() if isinstance(item, date) else str(value)
    if isinstance(value, np.generic):
        return str(value) if isinstance(item := value.item(), np.generic) else plain(item)
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()

    if isinstance(value, Decimal):
        return _plain_decimal(value)
    if isinstance(value, Fraction):
        return plain(_float(value))
    if isinstance(value, (bytes, bytearray)) or (isinstance(value, memoryview) and not has_values(value)):
        return _plain_bytes(bytes(value))
    return _plain_container(value)


def _plain_decimal(value: Decimal) -> Any:
    if value.is_nan():
        return None
    if not value.is_finite() or value != value.to_integral_value():
        return plain(float(value))
    return plain(int(value)) if value.adjusted() < 30 else str(value)


def _plain_array(array: np.ndarray[Any, Any]) -> Any:
    """Return an array as nested lists; narrow floats with their shortest decimals."""
    if array.dtype.kind == "f" and array.dtype.itemsize < 8:
        array = array.astype(str).astype(np.float64)
    is_float = array.dtype == np.float64
    if array.ndim and (array.dtype.kind in "biu" or (is_float and np.isfinite(array).all())):
        return array.tolist()  # all plain: no look at each value
    return plain(_array_items(array))


def _array_items(array: np.ndarray[Any, Any]) -> Any:
    if array.dtype.kind in "mM" and array.ndim:
        return list(array)
    return array.tolist() if array.ndim else array[()]


def _plain_bytes(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode()


def _plain_container(value: Any) -> Any:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return plain(int(value))
    if isinstance(value, float):
        return plain(float(value))

    if isinstance(value, Mapping):
        return _plain_mapping(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        fields = fields_of(value) if isinstance(value, tuple) else None
        return [plain(item) for item in value] if fields is None else plain(fields)
    if isinstance(value, UUID):
        return str(value)
    return _plain_object(value)


def _plain_object(value: Any) -> Any:
    """Convert an object of another library: a frame to its rows, an array or Series to a list, others to fields."""
    if (content := scalar_value(value)) is not value:
        return plain(content)
    content = values_of(value)
    if content is None and (columns := columns_of(value)) is not None:
        return [plain(dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)]
    for read in (array_of, arrow_column, fields_of):
        content = read(value) if content is None else content
    if content is not None:
        return plain(content)
    if callable(convert := getattr(value, "tolist", None)):
        return plain(convert())
    # An address differs from run to run, and tells strangers about the process.
    return _ADDRESS.sub("", str(value))


def is_too_deep(value: Any, levels: int = DEEPEST) -> bool:
    """Say whether a value of plain JSON types is nested more deeply than a receiver may be able to read."""
    kind = type(value)
    if kind not in _JSON_CONTAINERS:
        return False
    if levels == 0:
        return True
    items = value.values() if kind is dict else value
    # Most are rows of numbers and texts: without this, each item would cost a call.
    return not _JSON_CONTAINERS.isdisjoint(map(type, items)) and any(is_too_deep(item, levels - 1) for item in items)
