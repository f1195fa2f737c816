"""The short way of the most common prediction: one row of values, answered by one value under one key.

It asks the same parts as the general way (`payloads` and `PredictionCounter`), and spares the questions whose answers
such a request and answer give away. `tests/monitoring/test_short_way.py` holds both ways against each other.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Protocol

from flask_boxkite.compiled import native
from flask_boxkite.live.model_cells import DURATION_BOUNDS
from flask_boxkite.monitoring.counter import PredictionCounter
from flask_boxkite.monitoring.tally import Tally
from flask_boxkite.payloads import SCALARS, ObjectRow, Table, output_key

__all__ = ["NOT_TAKEN", "CountsCommon", "ShortWay", "short_way"]

NOT_TAKEN = object()
"""Stands for an output that is left to the general way."""

_MAX_PLANS = 256
_VALUES = SCALARS - {type(None)}


class CountsCommon(Protocol):
    """Counter of common predictions of one model."""

    def count_features(self, document: Any, tally: Tally) -> Table | None:
        """Count the features in a request; return them, or None if the request is not a common one.

        Args:
            document: The request's JSON.
            tally: Additions of the prediction; unchanged if the request is not a common one.
        """

    def count_output(self, returned: Any, tally: Tally) -> Any:
        """Count the output in a view's return value; return it, or `NOT_TAKEN` if the answer is not a common one."""

    def commit(self, tally: Tally, duration: float) -> None:
        """Add an answered prediction of one row to the live counts, as `PredictionCounter.commit` does.

        Args:
            tally: Additions of the prediction.
            duration: Seconds from request to response.
        """


def short_way(counter: PredictionCounter) -> CountsCommon | None:
    """Return the short way of a model's predictions; None if it has none."""
    if counter.inputs is not counter.features:  # derived variables take the general way
        return None
    if len(counter.features.names) < 2 or len(counter.outputs.names) != 1:
        return None
    if native is None:
        return ShortWay(counter)

    key_of = partial(output_key, names=counter.outputs.names)
    compiled: CountsCommon = native.ShortWay(counter, key_of, (ObjectRow, Table), NOT_TAKEN, DURATION_BOUNDS)
    return compiled


class ShortWay:
    """Counts common predictions of one model, in Python; `short_way` makes the faster one.

    Args:
        counter: Counter of the model's predictions, with two or more features and one output.
    """

    def __init__(self, counter: PredictionCounter) -> None:
        features = counter.features
        self._size = len(features.names)
        self._pick = features.pick
        self._count_row = features.rows.count
        self._count_output = counter.outputs.count_value
        self._output_names = counter.outputs.names
        self._commit = counter.commit
        self._relates = counter.pairs is not None or counter.segments is not None
        self._keys: dict[tuple[str, ...], str | None] = {}

    def count_features(self, document: Any, tally: Tally) -> Table | None:
        """Count the features in a request; see `CountsCommon`."""
        kind = type(document)
        if (kind is not dict and kind is not list) or len(document) != self._size:
            return None

        first = next(iter(document.values())) if kind is dict else document[0]
        if type(first) not in SCALARS:  # columns, maybe, or rows
            return None
        if kind is dict:
            table: Table = ObjectRow(document)
            try:
                row = self._pick(document)
            except KeyError:
                return None
        else:
            row = document
            table = Table(None, [document.copy()])
        if self._relates:
            tally.features_at = tally.listed_cells
        table.is_plain = self._count_row(row, tally)
        tally.rows = 1
        return table

    def count_output(self, returned: Any, tally: Tally) -> Any:
        """Count the output in a view's return value; see `CountsCommon`."""
        if type(returned) is not dict or tally.rows != 1:
            return NOT_TAKEN
        keys = tuple(returned)
        try:
            key = self._keys[keys]
        except KeyError:
            key = self._key(keys)
        value = None if key is None else returned[key]
        if type(value) not in _VALUES:
            return NOT_TAKEN
        if self._relates:
            tally.outputs_at = tally.listed_cells
        self._count_output(value, tally)
        return value

    def commit(self, tally: Tally, duration: float) -> None:
        """Add an answered prediction to the live counts; see `CountsCommon`."""
        self._commit(tally, "ok", duration)

    def _key(self, keys: tuple[Any, ...]) -> str | None:
        if len(self._keys) >= _MAX_PLANS:  # a view may name its keys after its data
            self._keys.clear()
        key = self._keys[keys] = output_key(keys, self._output_names)
        return key
