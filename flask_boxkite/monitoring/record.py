"""The record of a prediction, as it goes to the sinks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from flask_boxkite.baseline import Baseline
from flask_boxkite.compiled import native
from flask_boxkite.monitoring.body import Body
from flask_boxkite.monitoring.reply import Reply, response_fields
from flask_boxkite.payloads import ObjectRow, Table
from flask_boxkite.values.conversion import is_too_deep, plain
from flask_boxkite.values.ids import PredictionId

__all__ = ["RecordMaker"]

_ATOMS = frozenset({str, bool, type(None)})
_CHANGING = (
    *("entity_id", "features", "request_body", "output", "created_at", "prediction_id"),
    *("status", "duration_ms", "rows"),
)
"""Fields of a record that change from one to the next, in their order."""


Splice = Callable[..., "bytes | None"]


def _not_spliced(*args: Any) -> None:
    """Leave a record to the general way."""


_NO_SPLICE: Mapping[bool, Splice] = {False: _not_spliced, True: _not_spliced}


class RecordMaker:
    """Makes the records of one model.

    Attributes:
        splice: Functions that write a record at once, from its constant bytes and the parts that change: as MessagePack
            and, by True, as a line of JSON. They take the bytes before the record, then the arguments of `make`, of
            which the body is bytes and the features are plain JSON. They return the same bytes as packing the record
            from `make`, or None for a record that takes more care.

    Args:
        server_id: Name of the server.
        model: Name of the model.
        baseline: Baseline of the model; None if it has none.
    """

    def __init__(self, server_id: str, model: str, baseline: Baseline | None) -> None:
        # All fields of a record, in their order, with those that never change.
        self._template: dict[str, Any] = {
            "entity_id": None,
            "features": None,
            "request_body": None,
            "server_id": server_id,
            "output": None,
            "created_at": None,
            "prediction_id": None,
            "model": model,
            "baseline": baseline.fingerprint if baseline else None,
            "version": baseline.version if baseline else None,
            "status": None,
            "duration_ms": None,
            "rows": None,
        }
        self.splice: Mapping[bool, Splice] = _NO_SPLICE
        if native is not None and _is_utf8(server_id, model):
            fields = (ObjectRow, np.ndarray, self._template, _CHANGING)
            self.splice = {
                False: native.Splicer(native.Packer(), *fields).splice,
                True: native.Splicer(native.JSONWriter(), *fields, b"\n").splice,
            }

    def make(
        self,
        prediction: PredictionId,
        body: Body,
        features: Any,
        output: Any,
        status: str,
        rows: int | None,
        duration: float | None,
        reply: Reply | None = None,
        key: str | None = None,
        derived: Any = None,
    ) -> dict[str, Any]:
        """Return the record, of plain JSON types.

        Args:
            prediction: Id of the prediction.
            body: Body of the request.
            features: A `Table`, or values in any other form.
            output: Output of the model.
            status: ``ok``, ``client_error`` or ``error``.
            rows: Number of rows; None if it is not known.
            duration: Seconds from request to response; None if not known.
            reply: The raw response, if it is to be kept.
            key: Caller's own key of the prediction; None if it has none.
            derived: Values of derived variables by name, as plain JSON, or a list of these; None if there are none.

        Raises:
            ValueError: Features or output are nested more deeply than receivers can read.
        """
        record = self._template.copy()
        record["entity_id"] = prediction.entity_id
        record["prediction_id"] = prediction.text
        record["created_at"] = prediction.time_ns // 1_000_000_000
        record["request_body"] = body.text
        is_plain = isinstance(features, Table) and features.is_plain  # counted as such, so nothing to convert
        record["features"] = features.content() if is_plain else _plain_features(features)
        kind = type(output)
        is_plain = kind in _ATOMS or (kind is float and output - output == 0)
        record["output"] = output if is_plain else _plain(output)
        record["status"] = status
        record["duration_ms"] = None if duration is None else int(duration * 1_000_000) / 1000
        record["rows"] = rows or 1

        if derived is not None:
            record["derived"] = derived
        if key is not None:
            record["key"] = key
        if body.is_truncated:
            record["body_truncated"] = True
        if body.is_base64:
            record["body_encoding"] = "base64"
        if reply is not None:
            record.update(response_fields(reply))
        return record


def _is_utf8(*texts: str) -> bool:
    """Say whether texts have no lone surrogates, which stand for bytes of the environment that are no text."""
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return False
    return True


def _plain_features(features: Any) -> Any:
    """Return features as plain JSON values."""
    return _plain(features.content() if isinstance(features, Table) else features)


def _plain(value: Any) -> Any:
    """Return a value as plain JSON values.

    Raises:
        ValueError: It is nested more deeply than receivers can read.
    """
    simple = plain(value)
    if is_too_deep(simple):
        msg = "Features or output are nested too deeply."
        raise ValueError(msg)
    return simple
