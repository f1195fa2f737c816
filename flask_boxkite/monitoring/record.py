"""The record of a prediction, as it goes to the sinks."""

from __future__ import annotations

from typing import Any

from flask_boxkite.baseline import Baseline
from flask_boxkite.compiled import native
from flask_boxkite.monitoring.body import Body
from flask_boxkite.monitoring.ids import PredictionId
from flask_boxkite.monitoring.reply import Reply, response_fields
from flask_boxkite.payloads import Table
from flask_boxkite.sinks.base import Sink
from flask_boxkite.values.conversion import is_too_deep, plain

__all__ = ["RecordMaker"]

_ATOMS = frozenset({str, bool, type(None)})
_CHANGING = (
    *("entity_id", "features", "request_body", "output", "created_at", "prediction_id"),
    *("status", "duration_ms", "rows"),
)
"""Fields of a record that change from one to the next, in their order."""


class RecordMaker:
    """Makes the records of one model.

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
        self._packing = self._writing = None
        if native is not None and _is_utf8(server_id, model):
            self._packing = native.Splicer(native.Packer(), self._template, _CHANGING)
            self._writing = native.Splicer(native.JSONWriter(), self._template, _CHANGING, b"\n")

    def splice(
        self,
        sink: Sink,
        prediction: PredictionId,
        body: bytes,
        features: Table,
        output: Any,
        status: str,
        rows: int | None,
        duration: float,
    ) -> bytes | None:
        """Return the record, to the same bytes as *sink* packs it from `make`; None if that takes more care.

        Args:
            sink: Sink that is to take it.
            body: Whole body of the request.
            features: Features that are plain JSON.

        The other arguments are the same as for `make`.
        """
        splicer = self._writing if sink.is_of_lines else self._packing
        if splicer is None or not body.isascii():
            return None
        kind = type(output)
        if kind not in _ATOMS and kind is not int and (kind is not float or output - output != 0):
            return None

        values = (
            prediction.entity_id,
            features.content(),
            body,
            output,
            prediction.time_ns // 1_000_000_000,
            prediction.text,
            status,
            int(duration * 1_000_000) / 1000,
            rows or 1,
        )
        try:
            packed: bytes = splicer.splice(sink.entry_head(prediction.time_ns), values)
        except (TypeError, ValueError, OverflowError):
            return None
        return packed

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
