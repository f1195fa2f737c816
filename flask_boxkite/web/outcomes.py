"""The route that takes outcomes: one object, a list, JSON lines or CSV."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from werkzeug.wrappers import Request, Response

from flask_boxkite.errors import BoxkiteError, ConfigError
from flask_boxkite.monitoring.app import one_answer
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

Answers: TypeAlias = "dict[str, str | None]"
"""Answers of models to one outcome: None where it was counted, else the reason."""

JudgeOutcomes = Callable[[Sequence[Given], "str | None"], list[Answers]]


def outcomes_response(request: Request, judge: JudgeOutcomes, *, by_model: bool) -> Response:
    """Count the outcomes in a request; say how many were counted, and why others were not.

    The answer is an object with ``counted``, ``rejected`` (numbers by reason) and ``reasons`` (objects with ``index``
    and ``reason``, of the first hundred). An outcome of several models, by key, is counted if one of them counts it; of
    a server with several models, ``models`` has ``counted`` and ``rejected`` of each. The status is 503 if some could
    not be written: the same request, sent again, counts these. Outcomes of a model that the server does not judge are
    rejected as ``no_model``.

    Args:
        request: A POST request.
        judge: Counts outcomes of a model, or of any; returns the answers to each.
        by_model: Whether to add the numbers of each model, since the server has several.
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
        judge([], None)  # is any model judged?
        answers = _judged(items, judge)
    except BoxkiteError as error:
        return refused(str(error), 409)
    reasons = [one_answer(list(each.values())) for each in answers]
    rejected = Counter(reason for reason in reasons if reason is not None)
    shown = [{"index": index, "reason": reason} for index, reason in enumerate(reasons) if reason is not None][:_SHOWN]
    answer: dict[str, Any] = {**_numbers(reasons), "reasons": shown}
    if by_model:
        answer["models"] = _by_model(answers)
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store", **POLICY}
    return Response(f"{json.dumps(answer)}\n", 503 if rejected["failed"] else 200, headers)


def _numbers(reasons: Sequence[str | None]) -> dict[str, Any]:
    """Return how many outcomes were counted, and the numbers of the others by reason."""
    rejected = Counter(reason for reason in reasons if reason is not None)
    return {"counted": reasons.count(None), "rejected": dict(sorted(rejected.items()))}


def _by_model(answers: Sequence[Answers]) -> dict[str, Any]:
    """Return the same numbers of each model; an outcome of no known prediction is of no model."""
    reasons: dict[str, list[str | None]] = {}
    for each in answers:
        for model, reason in each.items():
            if reason not in ("unknown", "no_model"):
                reasons.setdefault(model, []).append(reason)
    return {model: _numbers(own) for model, own in sorted(reasons.items())}


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


def _judged(items: Sequence[Any], judge: JudgeOutcomes) -> list[Answers]:
    """Count outcomes by the model that they name; return the answers to each."""
    answers: list[Answers] = [{} for _ in items]
    by_model: dict[str | None, list[tuple[int, Given]]] = {}
    for index, item in enumerate(items):
        given = _given(item)
        model = item.get("model") if isinstance(item, Mapping) else None
        by_model.setdefault(model if isinstance(model, str) else None, []).append((index, given))
    for model, own in by_model.items():
        try:
            judged = judge([given for _, given in own], model)
        except (BoxkiteError, ConfigError):  # others may be counted already
            judged = [{str(model): "no_model"}] * len(own)
        for (index, _), each in zip(own, judged, strict=True):
            answers[index] = each
    return answers


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
