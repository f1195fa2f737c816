"""The route that takes outcomes: one object, a list, JSON lines or CSV."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from werkzeug.wrappers import Request, Response

from flask_boxkite.errors import BoxkiteError, ConfigError
from flask_boxkite.outcomes.model import Given
from flask_boxkite.outcomes.table import table_of
from flask_boxkite.payloads import JSON_LINES
from flask_boxkite.values.keys import key_of
from flask_boxkite.web.http import POLICY, refused

__all__ = ["outcomes_response"]

MOST_BYTES = 8 * 1024 * 1024
"""Largest body; about 100,000 outcomes."""

_SHOWN = 100
"""Most outcomes whose reasons an answer lists; all are added up."""

_FIELDS = ("prediction_id", "actual", "predicted", "key", "model")

LogOutcomes = Callable[[Sequence[Given], "str | None"], "list[str | None]"]


def outcomes_response(request: Request, log: LogOutcomes) -> Response:
    """Count the outcomes in a request; say how many were counted, and why others were not.

    The answer is an object with ``counted``, ``rejected`` (numbers by reason) and ``reasons`` (objects with ``index``
    and ``reason``, of the first hundred). Its status is 503 if some could not be written: the same request, sent again,
    counts these. Outcomes of a model that the server does not judge are rejected as ``no_model``.

    Args:
        request: A POST request.
        log: Counts outcomes of a model, or of any; returns the reason for each that was not counted.
    """
    length = request.content_length
    if length is not None and length > MOST_BYTES:
        return refused(f"The body has more than {MOST_BYTES:,} bytes. Send it in parts.", 413)
    body = request.stream.read(MOST_BYTES + 1)
    if len(body) > MOST_BYTES:
        return refused(f"The body has more than {MOST_BYTES:,} bytes. Send it in parts.", 413)
    read = _reader_of(request)
    if read is None:
        return refused("Send application/json, application/jsonl or text/csv.", 415)
    try:
        items = list(read(body.decode("utf-8-sig")))
    except (ValueError, RecursionError, csv.Error) as error:
        return refused(f"The body cannot be read: {error}.", 400)

    try:
        log([], None)  # is any model judged?
        reasons = _counted(items, log)
    except BoxkiteError as error:
        return refused(str(error), 409)
    rejected = Counter(reason for reason in reasons if reason is not None)
    shown = [{"index": index, "reason": reason} for index, reason in enumerate(reasons) if reason is not None][:_SHOWN]
    answer = {"counted": reasons.count(None), "rejected": dict(sorted(rejected.items())), "reasons": shown}
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store", **POLICY}
    return Response(f"{json.dumps(answer)}\n", 503 if rejected["failed"] else 200, headers)


def _reader_of(request: Request) -> Callable[[str], Iterator[Any]] | None:
    if request.is_json:
        return _of_json
    if request.mimetype in JSON_LINES:
        return _of_lines
    return _of_csv if request.mimetype == "text/csv" else None


def _of_json(text: str) -> Iterator[Any]:
    document = json.loads(text)
    yield from document if isinstance(document, list) else [document]


def _of_lines(text: str) -> Iterator[Any]:
    return (json.loads(line) for line in text.split("\n") if line.strip())


def _of_csv(text: str) -> Iterator[Any]:
    names, rows = table_of(io.StringIO(text, newline=""))
    if "actual" not in names or not {"prediction_id", "key"} & {*names}:
        msg = "the first line must name the columns 'prediction_id' (or 'key') and 'actual'"
        raise ValueError(msg)
    # An empty field stands for nothing.
    return ({name: value for name, value in row.items() if value} for row in rows)


def _counted(items: Sequence[Any], log: LogOutcomes) -> list[str | None]:
    """Count outcomes by the model that they name; return the reason for each that was not counted."""
    reasons: list[str | None] = [None] * len(items)
    by_model: dict[str | None, list[tuple[int, Given]]] = {}
    for index, item in enumerate(items):
        given = _given(item)
        model = item.get("model") if isinstance(item, Mapping) else None
        by_model.setdefault(model if isinstance(model, str) else None, []).append((index, given))
    for model, own in by_model.items():
        try:
            answers = log([given for _, given in own], model)
        except (BoxkiteError, ConfigError):  # others may be counted already
            answers = ["no_model"] * len(own)
        for (index, _), reason in zip(own, answers, strict=True):
            reasons[index] = reason
    return reasons


def _given(item: Any) -> Given:
    """Return an outcome; one without an id, which is of no known prediction, for anything else than an object."""
    if not isinstance(item, Mapping):
        return Given(None, None)
    prediction_id = item.get("prediction_id")
    return Given(
        prediction_id if isinstance(prediction_id, str) else None,
        item.get("actual"),
        item.get("predicted"),
        key_of(item.get("key")),
    )
