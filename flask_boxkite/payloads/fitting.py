"""Checks whether values in an answer can be the outputs that the baseline knows.

Two checks answer two questions. `fits` chooses among several keys that may hold the output, by name and values: a label
is 0 or 1, a probability lies between. `can_be` accepts a value under an unknown name by the type of its value alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from flask_boxkite.baseline.distribution import Discrete, Distribution
from flask_boxkite.payloads.table import Table
from flask_boxkite.values.conversion import InvalidValue, is_null, to_number, to_text
from flask_boxkite.values.times import to_seconds

__all__ = ["SHARES", "can_be", "can_be_one", "can_be_text", "fits", "is_known"]

SHARES = ("probability", "probabilities")
"""Keys that hold a probability."""

_SCORES = frozenset({*SHARES, "score", "scores"})
"""Keys that never hold a label."""
_MARGIN = 0.001
"""Distance by which the outermost bounds of a baseline may lie outside its values."""


def fits(key: str, table: Table, outputs: Sequence[Distribution]) -> bool:
    """Return whether values have the type of the outputs: probabilities, other numbers, or labels."""
    return all(values is not None and _fits_one(key, values, output) for output, values in _columns(table, outputs))


def _columns(table: Table, outputs: Sequence[Distribution]) -> Iterator[tuple[Distribution, list[Any] | None]]:
    """Yield each output with its values; None if a table with names lacks the output's name."""
    indexes = range(len(outputs)) if table.names is None else _indexes(table.names, outputs)
    for output, index in zip(outputs, indexes, strict=True):
        yield output, None if index is None else [row[index] for row in table.rows]


def _indexes(names: Sequence[str], outputs: Sequence[Distribution]) -> list[int | None]:
    by_name = {name: index for index, name in enumerate(names)}
    return [by_name.get(output.name) for output in outputs]


def _fits_one(key: str, values: list[Any], output: Distribution) -> bool:
    if isinstance(output, Discrete) and output.is_text:
        return key not in _SCORES and all(
            value is None or isinstance(value, str) or _read(to_text, value) in output.values for value in values
        )

    numbers = [_read(_finite, value) for value in values]
    if any(number is None for number in numbers):
        return False
    are_labels = all(number != number or number == int(number) for number in numbers if number is not None)
    if _is_share(output):
        # A label beside a probability is 0 or 1; any value under a probability's own name is a probability.
        return key in _SCORES or not are_labels
    return key not in _SCORES and are_labels if isinstance(output, Discrete) else key not in SHARES


def _is_share(output: Distribution) -> bool:
    """Return whether an output lies within 0 and 1, as probabilities do, and not only at the two ends."""
    if not isinstance(output, Discrete):
        return output.upper_bounds[0] >= -_MARGIN and output.upper_bounds[-1] <= 1 + _MARGIN
    values = [value for value in output.values if not isinstance(value, str)]
    return all(0 <= value <= 1 for value in values) and any(0 < value < 1 for value in values)


def is_known(table: Table, outputs: Sequence[Distribution]) -> bool:
    """Return whether the only output is a label and all its values are categories of training."""
    output = outputs[0]
    if len(outputs) > 1 or not isinstance(output, Discrete):
        return False
    return all(_is_category(row[0], output) for row in table.rows)


# --- under a name that says nothing ----------------------------------------------------------------------------------


def can_be(table: Table, outputs: Sequence[Distribution]) -> bool:
    """Return whether values under an unknown name can be the outputs, as in ``{"churn": 0.7}``.

    The app logs a refusal with its remedy; a wrong reading would raise a false alarm. So a value must have the type of
    training. How often training had it never matters: the accepted values would be a biased sample.
    """
    return all(
        values is not None and all(can_be_one(value, output) for value in values)
        for output, values in _columns(table, outputs)
    )


def can_be_one(value: Any, output: Distribution) -> bool:
    """Return whether a value under an unknown name can be this output."""
    if value is None or is_null(value):
        return output.missing > 0  # else {"error": null} would count as a missing output
    if isinstance(value, (bool, np.bool_)):
        return False  # {"ok": true} may report success as well as a label
    if isinstance(output, Discrete):
        # {"status": "ok"} is not a label that training has named. Where training merged rare labels, names are unknown.
        return not output.rare and _is_category(value, output)
    if output.is_time:
        return _read(to_seconds, value) is not None
    number = None if isinstance(value, str) else _read(to_number, value)
    return number is not None and (not _is_share(output) or -_MARGIN <= number <= 1 + _MARGIN)


def can_be_text(text: str, outputs: Sequence[Distribution]) -> bool:
    """Return whether a plain text can be the output: any text if outputs are texts, else only a number or a time."""
    output = outputs[0]
    if isinstance(output, Discrete) and output.is_text:
        return True
    return _read(to_seconds if output.is_time else to_number, text) is not None


def _is_category(value: Any, output: Discrete) -> bool:
    """Return whether a value is a category of training, in any spelling."""
    if output.is_text:
        return _read(to_text, value) in output.values
    number = _read(to_seconds if output.is_time else _finite, value)
    if number is None or output.width == 64:
        return number in output.values
    narrow = np.dtype(f"f{output.width // 8}").type
    with np.errstate(over="ignore"):
        return narrow(number) in map(narrow, output.values)


def _finite(value: Any) -> float | None:
    number = to_number(value)
    return None if math.isinf(number) else number


def _read(read: Callable[[Any], Any], value: Any) -> Any:
    """Return the value as *read* converts it; None if it cannot be converted."""
    try:
        return read(value)
    except InvalidValue:
        return None
