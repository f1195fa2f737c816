"""An app, clients that send it all that clients send, and a recount of what they sent.

The recount is made by hand, with nothing of the package.

The recount reads bounds and groups from the labels that Prometheus shows and compares each single value with them.
"""

from __future__ import annotations

import json
import math
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from flask_boxkite import Baseline, ModelMonitoringService
from tests.peers import Answer, fetch

# A name may hold anything that JSON may.
AMOUNT = 'amount "net" {€}\\'
FEATURES = (AMOUNT, "temperature", "visits", "city", "plan", "member")
NUMERIC = (AMOUNT, "temperature", "visits", "member")
CITIES = ("Zürich", "", 'St. "John"', "back\\slash", "São\nPaulo", "Oslo", "Lyon", "Rome")
PLANS = ("basic", "plus", "1")


# --- What they send it to --------------------------------------------------------------------------------------------

APP = '''
from flask import Flask, abort, request

from flask_boxkite import Boxkite

app = Flask(__name__)
app.config.from_prefixed_env("APP")
monitor = Boxkite(app)


def rate(row):
    """Return something of every kind that a model may say: a number, a huge one, or nothing."""
    amount = row.get(app.config["AMOUNT"]) if isinstance(row, dict) else row[0]
    if isinstance(amount, bool) or not isinstance(amount, (int, float)):
        return None
    return 3.0 - amount / 2


@app.post("/score")
@monitor.predict
def score():
    document = request.get_json()
    match request.args.get("fail"):
        case "crash":
            raise RuntimeError("the model crashed")
        case "answer":
            return {"error": "no"}, 422
        case None:
            pass
        case status:
            abort(int(status))
    if isinstance(document, list) and isinstance(document[0], (list, dict)):
        return {"predictions": [rate(row) for row in document]}
    return {"prediction": rate(document) or 0.0}


@app.get("/")
def index():
    return "not a prediction"
'''


def train(path: Path, rng: np.random.Generator) -> Baseline:
    """Train: a continuous feature with a heavy tail, one around zero, numbers and texts to be told apart, a boolean."""
    size = 4000
    features = {
        AMOUNT: rng.lognormal(3, 1, size),
        "temperature": rng.normal(-2, 8, size).astype(np.float32),
        "visits": rng.integers(0, 4, size),
        # More cities than are kept, so that the others are "rare".
        "city": rng.choice(CITIES, size, p=[0.3, 0.2, 0.15, 0.1, 0.1, 0.07, 0.05, 0.03]).tolist(),
        "plan": rng.choice(PLANS, size).tolist(),
        "member": rng.random(size) < 0.4,
    }
    scores = 3.0 - np.asarray(features[AMOUNT]) / 2
    return ModelMonitoringService.export_text(
        features, scores, path, model="credit", version="2024-02", max_categories=6
    )


# --- What clients send ----------------------------------------------------------------------------------------------


@dataclass
class Sent:
    """One request, and what came back.

    Attributes:
        text: Its body.
        query: Its query string.
        rows: The values of each row by feature; None where the rows cannot be told.
        features: What the record should have under ``features``.
        is_matched: Whether the rows fit the model's features.
        started_ns: When it was sent, in Unix nanoseconds; *ended_ns*: when its answer was read.
    """

    text: str
    query: str = ""
    rows: list[dict[str, Any]] | None = None
    features: Any = None
    is_matched: bool = True
    started_ns: int = 0
    ended_ns: int = 0
    answer: Answer = field(default=None)  # type: ignore[assignment]

    @property
    def status(self) -> str:
        """The status under which it should be counted."""
        return "error" if self.answer.status >= 500 else "client_error" if self.answer.status >= 400 else "ok"

    @property
    def row_count(self) -> int:
        """How many rows it should be counted as."""
        return len(self.rows) if self.rows is not None else 1

    @property
    def outputs(self) -> list[Any]:
        """What the model said of each row."""
        document = self.answer.json()
        return document["predictions"] if "predictions" in document else [document["prediction"]]

    @property
    def prediction_id(self) -> str:
        """The id that the client was told."""
        return self.answer.headers["Boxkite-Prediction-Id"]


class Client:
    """Sends requests of every kind, the same ones in every run.

    Args:
        url: The server.
        seed: Tells clients apart.
        bounds: Values on which bins end, by feature, to be sent themselves.
    """

    def __init__(self, url: str, seed: int, bounds: Mapping[str, Sequence[float]]) -> None:
        self._url = url
        self._bounds = bounds
        self._rng = np.random.default_rng([20240229, seed])
        kinds: list[tuple[Callable[[], Sent], int]] = [
            (lambda: self._row(by_name=True), 6),
            (lambda: self._row(by_name=False), 6),
            (lambda: self._batch(by_name=True), 4),
            (lambda: self._batch(by_name=False), 4),
            (self._wrong_width, 1),
            (self._refused_batch, 1),
            (self._crashed_row, 1),
            (self._answered_422, 1),
            (self._not_json, 1),
        ]
        self._kinds = [kind for kind, weight in kinds for _ in range(weight)]

    def run(self, requests: int, may_end: threading.Event) -> list[Sent]:
        """Send at least so many requests, one after the other, and go on until *may_end* is set."""
        # Every kind at least once, whatever the dice say.
        sent = [self._send(kind()) for kind in self._kinds]
        while len(sent) < requests or not may_end.is_set():
            sent.append(self._send(self._pick(self._kinds)()))
        return sent

    def _send(self, sent: Sent) -> Sent:
        sent.started_ns = time.time_ns()
        sent.answer = fetch(
            f"{self._url}/score{sent.query}",
            data=sent.text.encode(),
            headers={"Content-Type": "application/json"},
        )
        sent.ended_ns = time.time_ns()
        return sent

    # --- kinds of requests ---

    def _row(self, *, by_name: bool) -> Sent:
        row = self._values(is_first_plain=True)
        if not by_name:
            return _sent(list(row.values()), [row])
        return _sent(self._shuffled(row), [row])

    def _batch(self, *, by_name: bool) -> Sent:
        # On both sides of the size from which batches are counted column by column; one of them a single row.
        rows = [self._values() for _ in range(self._pick((1, 2, 5, 20, 60)))]
        if not by_name:
            return _sent([list(row.values()) for row in rows], rows)
        return _sent([self._shuffled(row) for row in rows], rows)

    def _wrong_width(self) -> Sent:
        values = [1.0, 2.0, 3.0]
        return _sent(values, [dict.fromkeys(FEATURES)], is_matched=False)

    def _refused_batch(self) -> Sent:
        rows = [self._values() for _ in range(7)]
        return _sent([list(row.values()) for row in rows], rows, query="?fail=403")

    def _crashed_row(self) -> Sent:
        row = self._values()
        return _sent(self._shuffled(row), [row], query="?fail=crash")

    def _answered_422(self) -> Sent:
        row = self._values()
        return _sent(self._shuffled(row), [row], query="?fail=answer")

    def _not_json(self) -> Sent:
        return Sent('{"amount": ')

    # --- values ---

    def _values(self, *, is_first_plain: bool = False) -> dict[str, Any]:
        """Make up a row; with *is_first_plain* its first value is no list, which by position would mean rows."""
        numbers: dict[str, Callable[[], Any]] = {
            AMOUNT: lambda: float(self._rng.lognormal(3, 1)),
            "temperature": lambda: float(self._rng.normal(-2, 8)),
            "visits": lambda: self._pick((0, 1, 2, 3, 3.0, "2", True, " 1 ", 7)),
            "city": lambda: self._pick((*CITIES, "Atlantis")),
            "plan": lambda: self._pick((*PLANS, 1, "unheard-of", "__missing__", "__rare__", True)),
            "member": lambda: self._pick((True, False, 1, 0, 2)),
        }
        odd_numbers = (
            None,
            None,
            -1e9,
            1e12,
            10**30,
            math.inf,
            -math.inf,
            math.nan,
            "12.5",
            "abc",
            "",
            [1.0],
            {"a": 1},
        )
        odd_texts = (None, None, "", "nan", 3.5, [1], {"a": "b"})
        row = {}
        for name, usual in numbers.items():
            odd = odd_numbers if name in NUMERIC else odd_texts
            row[name] = usual() if self._rng.random() < 0.8 else self._pick(odd)
            if name in self._bounds and self._rng.random() < 0.3:
                row[name] = self._pick(self._bounds[name])
        if is_first_plain and isinstance(row[AMOUNT], (list, dict)):
            row[AMOUNT] = "n/a"
        return row

    def _shuffled(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the row in another order, at times without a name or with an unknown one."""
        names = [FEATURES[index] for index in self._rng.permutation(len(FEATURES))]
        given = {name: row[name] for name in names if row[name] is not None or self._rng.random() < 0.5}
        if self._rng.random() < 0.2:
            given["colour"] = "blue"
        return given

    def _pick(self, choices: Sequence[Any]) -> Any:
        return choices[int(self._rng.integers(len(choices)))]


def _sent(document: Any, rows: list[dict[str, Any]], *, query: str = "", is_matched: bool = True) -> Sent:
    return Sent(json.dumps(document), query, rows, _as_recorded(document), is_matched)


def _as_recorded(document: Any) -> Any:
    """Return features as a record has them: a lone row without its list, rows by name with all names that occur."""
    if isinstance(document, list) and document and isinstance(document[0], dict):
        names = list(dict.fromkeys(name for row in document for name in row))
        document = [{name: row.get(name) for name in names} for row in document]
    if isinstance(document, list) and len(document) == 1:
        document = document[0]
    return as_json(document)


def as_json(value: Any) -> Any:
    """Return a value as JSON and MessagePack can hold it."""
    if isinstance(value, dict):
        return {name: as_json(item) for name, item in value.items()}
    if isinstance(value, list):
        return [as_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, int) and abs(value) > 2**64:
        return str(value)
    return value


# --- The recount ----------------------------------------------------------------------------------------------------

MISSING, INVALID = object(), object()


def number_of(value: Any) -> Any:
    """Return what a value is to a numeric variable."""
    if value is None:
        return MISSING
    if isinstance(value, (list, dict)):
        return INVALID
    if is_missing_text(value):
        return MISSING
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return float(value.strip().lower() == "true")
    try:
        number = float(value)
    except ValueError:
        return INVALID
    return MISSING if math.isnan(number) else number


def as_float32(value: Any) -> Any:
    """Return a number as one that was trained as a float32 reads it: rounded, with the shortest decimals of that."""
    number = number_of(value)
    if number in (MISSING, INVALID):
        return value
    with np.errstate(over="ignore"):
        return float(str(np.float32(number)))


def is_missing_text(value: Any) -> bool:
    """Say whether a value is a text that stands for a missing one."""
    return isinstance(value, str) and value.strip().lower() in (
        *("", "-", "#n/a", "<na>", "n/a", "na", "nan", "nat", "none", "null"),
    )


def text_of(value: Any) -> Any:
    """Return what a value is to a textual variable."""
    if value is None:
        return MISSING
    if isinstance(value, (list, dict)):
        return INVALID
    return value if isinstance(value, str) else json.dumps(value)


def recount_buckets(values: Sequence[Any], bounds: Sequence[str]) -> dict[str, int]:
    """Count, for each bound as it stands in a label, the numbers up to it."""
    numbers = [value for value in map(number_of, values) if value not in (MISSING, INVALID)]
    return {bound: sum(number <= float(bound) for number in numbers) for bound in bounds}


def recount_groups(values: Sequence[Any], labels: Sequence[str], *, is_text: bool) -> dict[str, int]:
    """Count the values in each group, by what the groups' names say."""
    found = Counter({label: 0 for label in labels})
    intervals = {label: tuple(map(float, label[1:-1].split(","))) for label in labels if label[0] == "("}
    for value in map(text_of if is_text else number_of, values):
        found[_group_of(value, labels, intervals, is_text=is_text)] += 1
    return dict(found)


def _group_of(value: Any, labels: Sequence[str], intervals: Mapping[str, tuple[float, ...]], *, is_text: bool) -> str:
    if value is MISSING:
        return "__missing__"
    if value is INVALID:
        return "__invalid__"
    if intervals:
        if value <= min(lower for lower, _ in intervals.values()):
            return "__below__"
        return next((label for label, (low, high) in intervals.items() if low < value <= high), "__above__")
    label = _category_label(value) if is_text else f"{value!r}"
    if label not in labels and is_missing_text(value):
        return "__missing__"
    return label if label in labels else OTHERS


# A category that training does not have is rare if training had dropped rare ones, else unseen.
OTHERS = "another category"


def _category_label(text: str) -> str:
    return f'"{text}"' if text == "" or re.fullmatch("__(rare|unseen|missing|invalid|below|above)__", text) else text
