"""Derived variables in a Flask app: the view observes values, and a hidden field shows in none of them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask, request

from flask_boxkite import Baseline, Boxkite, ConfigError
from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.derived import Observed, Row, Text, Vector
from flask_boxkite.monitoring.redaction import REDACTED
from flask_boxkite.testing import RecordingSink
from tests.web.twins import Samples

ROWS = 200
FULL = {"debt": 9.5, "note": "please S3CRET help", "income": 50.0, "embedding": [1.0, 0.5, -1.0]}
OF_NOTE = tuple(f"text.{what}" for what in ("length", "words", "letters", "unknown_words"))
OF_VECTOR = tuple(f"embedding.{what}" for what in ("norm", "distance", "cluster", "direction_1"))


def ratio(row: dict[str, Any]) -> Any:
    return row["debt"] / row["income"]


def trained() -> Baseline:
    rng = np.random.default_rng(0)
    features = {
        "debt": rng.normal(10, 3, ROWS).round(2),
        "note": [f"please help {index % 9}" for index in range(ROWS)],
        "income": rng.normal(50, 9, ROWS).round(2),
        "embedding": rng.normal(size=(ROWS, 3)),
    }
    derive = {
        "ratio": ratio,
        "text": Text("note"),
        "embedding": Vector("embedding", directions=1),
        "tokens": Observed(rng.integers(10, 900, ROWS)),
        "row": Row(),
    }
    return build_baseline(features, rng.random(ROWS), derive=derive)


BASELINE = trained()


class Scoring:
    """An app with one view, which observes what a request tells it to."""

    def __init__(self, baseline: Baseline | None = BASELINE, **config: Any) -> None:
        self.sink = RecordingSink()
        self.app = Flask("scoring")
        self.app.config.update(BOXKITE_SINK=self.sink, **config)
        if baseline is not None:
            self.app.config["BOXKITE_BASELINE"] = baseline
        self.monitor = monitor = Boxkite(self.app, derive={"ratio": ratio})
        self.client = self.app.test_client()

        @self.app.post("/score")
        @monitor.predict
        def score() -> dict[str, Any]:
            monitor.observe(**json.loads(request.args.get("observe", "{}")))
            rows = request.get_json()
            return {"score": [0.5] * len(rows) if isinstance(rows, list) else 0.5}

        @self.app.post("/logged")
        @monitor.predict
        def logged() -> dict[str, Any]:
            monitor.observe(tokens=5, more=1)
            monitor.log_prediction(features=request.get_json(), output=0.5, observed={"more": 2})
            return {"score": 0.5}

    def post(self, features: Any, path: str = "/score", **observed: Any) -> dict[str, Any]:
        """Send features; return the record."""
        before = len(self.sink.records)
        answer = self.client.post(path, json=features, query_string={"observe": json.dumps(observed)})
        assert answer.status_code == 200
        self.monitor.flush()
        return self.sink.wait_for(before + 1)[before]

    def groups(self, name: str) -> dict[str, float]:
        """Return the rows of each group of a feature that has any, as Prometheus reads them."""
        samples = Samples(self.client.get("/metrics").get_data(as_text=True)).all()
        wanted = "boxkite_feature_group_total"
        return {
            labels["group"]: value
            for sample, labels, value in samples
            if sample == wanted and labels["feature"] == name and value
        }


@pytest.fixture
def scoring() -> Iterator[Scoring]:
    made = Scoring()
    yield made
    made.monitor.close()


def test_derived_values_are_counted_and_recorded(scoring: Scoring) -> None:
    derived = scoring.post(FULL, tokens=9999)["derived"]
    assert list(derived) == ["ratio", *OF_NOTE, *OF_VECTOR, "tokens", "row.missing", "row.rarity"]
    assert (derived["ratio"], derived["text.length"], derived["tokens"]) == (0.19, 18, 9999)
    assert scoring.groups("tokens") == {"__above__": 1}
    assert scoring.groups("row.missing") == {"0.0": 1}
    assert {variable.name for variable in scoring.monitor.drift()} >= {*OF_NOTE, "ratio", "row.rarity"}


def test_the_metrics_mark_them(scoring: Scoring) -> None:
    samples = Samples(scoring.client.get("/metrics").get_data(as_text=True)).all()
    kinds = {labels["feature"]: labels.get("derived") for name, labels, _ in samples if name == "boxkite_feature_info"}
    assert kinds["debt"] is None
    assert {kinds[name] for name in OF_NOTE} == {"text"}
    assert (kinds["ratio"], kinds["tokens"], kinds["row.rarity"]) == ("function", "observed", "row")


def test_a_row_without_an_observed_value_has_a_missing_one(scoring: Scoring) -> None:
    assert scoring.post(FULL)["derived"]["tokens"] is None
    assert scoring.groups("tokens") == {"__missing__": 1}


def test_a_batch_has_a_value_for_each_row(scoring: Scoring) -> None:
    derived = scoring.post([FULL, FULL], tokens=[-1, 99999])["derived"]
    assert [row["tokens"] for row in derived] == [-1, 99999]
    assert scoring.groups("tokens") == {"__below__": 1, "__above__": 1}


def test_observed_values_are_taken_as_they_are_at_the_call(scoring: Scoring) -> None:
    @scoring.app.post("/changed")
    @scoring.monitor.predict
    def changed() -> dict[str, float]:
        values = [1.0]
        scoring.monitor.observe({"tokens": values, "of all": values})
        values[0] = 2.0
        return {"score": 0.5}

    derived = scoring.post(FULL, "/changed")["derived"]
    assert (derived["tokens"], derived["of all"]) == (1.0, 1.0)


def test_a_manual_call_takes_what_the_view_has_observed(scoring: Scoring) -> None:
    derived = scoring.post(FULL, "/logged")["derived"]
    assert (derived["tokens"], derived["more"]) == (5, 2)


def test_a_refused_request_counts_no_value(scoring: Scoring) -> None:
    @scoring.app.post("/refused")
    @scoring.monitor.predict
    def refused() -> tuple[dict[str, str], int]:
        scoring.monitor.observe(tokens=1)
        return {"error": "no"}, 422

    scoring.client.post("/refused", json=FULL)
    assert scoring.sink.wait_for(1)[0]["status"] == "client_error"
    assert scoring.groups("tokens") == scoring.groups("text.length") == {}


def test_a_failed_request_shows_odd_derived_values(scoring: Scoring) -> None:
    @scoring.app.post("/failed")
    @scoring.monitor.predict
    def failed() -> dict[str, float]:
        scoring.monitor.observe(tokens=10**9)
        raise RuntimeError

    scoring.client.post("/failed", json=FULL)
    scoring.sink.wait_for(1)
    failures = {labels["feature"]: labels["state"] for labels in failed_labels(scoring)}
    assert (failures["tokens"], failures["row.missing"]) == ("out_of_range", "usual")


def failed_labels(scoring: Scoring) -> list[dict[str, str]]:
    samples = Samples(scoring.client.get("/metrics").get_data(as_text=True)).all()
    return [labels for name, labels, value in samples if name == "boxkite_feature_failed_total" and value]


def test_values_are_recorded_without_a_baseline() -> None:
    scoring = Scoring(None, BOXKITE_BASELINE={"m": build_baseline({"a": [1.0, 2.0]})})
    assert scoring.post({"a": 1}, tokens=7)["derived"] == {"tokens": 7}
    assert "derived" not in scoring.post({"a": 1})
    scoring.monitor.close()


def test_observing_outside_of_a_prediction_is_logged(scoring: Scoring, caplog: pytest.LogCaptureFixture) -> None:
    with scoring.app.app_context(), caplog.at_level(logging.WARNING):
        scoring.monitor.observe(tokens=1)
        scoring.monitor.observe(tokens=1)
    assert [message for message in caplog.messages if "observe" in message] in (
        [],  # said before, by another test of this process
        ["observe() is called outside of a view with @monitor.predict: give 'observed' to log_prediction()."],
    )


def test_a_missing_function_stops_the_app() -> None:
    app = Flask("scoring")
    app.config["BOXKITE_BASELINE"] = BASELINE
    with pytest.raises(ConfigError, match=r"has the derived variable 'ratio', which a function computes\."):
        Boxkite(app)


def test_names_of_columns_that_texts_are_read_from_are_known(
    scoring: Scoring, caplog: pytest.LogCaptureFixture
) -> None:
    """A message names what a client sends, not what is derived from it."""
    scoring.post({"debt": 1, "Note": "please", "income": 5, "embedding": [1, 2, 3]})
    assert "'note'" in caplog.text
    assert "text.length" not in caplog.text


# --- what must not be recorded --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("redact", "sent", "hidden"),
    [
        ("note", FULL, {*OF_NOTE, "ratio", "row.missing", "row.rarity"}),
        ("note", list(FULL.values()), {*OF_NOTE, *OF_VECTOR, "ratio", "row.missing", "row.rarity"}),
        ("note", {"data": {"names": list(FULL), "ndarray": [list(FULL.values())]}}, None),
        ("embedding", FULL, {*OF_VECTOR, "ratio", "row.missing", "row.rarity"}),
        ("debt", FULL, {"ratio", "row.missing", "row.rarity"}),
        ("elsewhere", FULL, set()),
        ("elsewhere", {**FULL, "elsewhere": 1}, {"ratio", "row.missing", "row.rarity"}),
        ("tokens", FULL, {"tokens"}),
        ("ratio", FULL, {"ratio"}),
        ("text.length", FULL, {"text.length"}),
    ],
    ids=[
        *("text", "text by position", "text named apart", "vector", "feature", "unknown", "other field"),
        *("observed", "function", "variable"),
    ],
)
def test_a_hidden_field_shows_in_no_derived_value(redact: str, sent: Any, hidden: set[str] | None) -> None:
    """Live, all values are counted."""
    scoring = Scoring(BOXKITE_REDACT=redact)
    record = scoring.post(sent, tokens=99999)
    derived = record["derived"] if isinstance(record["derived"], dict) else record["derived"][0]
    if hidden is None:
        assert {*OF_NOTE, "ratio"} <= {name for name, value in derived.items() if value == REDACTED}
    else:
        assert {name for name, value in derived.items() if value == REDACTED} == hidden
    assert sum(scoring.groups("text.length").values()) == sum(scoring.groups("ratio").values()) == 1
    assert scoring.groups("tokens") == {"__above__": 1}
    scoring.monitor.close()


def test_a_callable_gets_the_derived_values(tmp_path: Path) -> None:
    def redact(record: dict[str, Any]) -> dict[str, Any]:
        return {**record, "derived": {name: value for name, value in record["derived"].items() if name == "ratio"}}

    scoring = Scoring(BOXKITE_REDACT=redact)
    assert scoring.post(FULL)["derived"] == {"ratio": 0.19}
    scoring.monitor.close()


@pytest.mark.parametrize("are_several", [False, True])
def test_a_function_that_changes_its_row_changes_neither_answer_nor_record(*, are_several: bool) -> None:
    def lowest(row: dict[str, Any]) -> float:
        row["embedding"].sort()
        if "more" in row:  # training has no such column
            row["more"]["list"].append(1)
            row["more"]["deep"][0].clear()
        row.pop("debt")
        return float(row["embedding"][0])

    rng = np.random.default_rng(0)
    data = {"debt": rng.normal(10, 3, ROWS), "embedding": rng.normal(size=(ROWS, 3)).tolist()}
    kept = [list(vector) for vector in data["embedding"]]
    derive = {"embedding": Vector("embedding", directions=1), "lowest": lowest}
    baseline = build_baseline(data, rng.random(ROWS), derive=derive)
    assert data["embedding"] == kept
    sink = RecordingSink()
    app = Flask("scoring")
    app.config.update(BOXKITE_SINK=sink, BOXKITE_BASELINE=baseline)
    monitor = Boxkite(app, derive={"lowest": lowest})

    @app.post("/score")
    @monitor.predict
    def score() -> dict[str, Any]:
        rows = request.get_json() if are_several else [request.get_json()]
        return {"score": [row["embedding"][0] + len(row["more"]["deep"][0]) for row in rows]}

    row = {"debt": 9.5, "embedding": [3.0, 1.0, 2.0], "more": {"list": [], "deep": [{"a": [0]}]}}
    sent = [row, row] if are_several else row
    assert app.test_client().post("/score", json=sent).get_json() == {"score": [4.0] * (1 + are_several)}
    (recorded,) = sink.wait_for(1)
    assert recorded["features"] == sent
