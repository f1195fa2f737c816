"""Requests that end in 5xx: what broke the model is told beside the drift, and good rows are judged as without it."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask, abort, request
from werkzeug.test import Client

from flask_boxkite import Baseline, Boxkite, BoxkiteMiddleware, ModelMonitoringService
from flask_boxkite.naming import FAILED_STATES
from tests.baseline.training.building import built
from tests.peers import Gunicorn
from tests.web.test_dashboard import Outline
from tests.web.test_servers import Server
from tests.web.twins import Samples

ANN = {"age": 30, "income": 2500.0, "city": "Paris"}
NAMELESS = {"income": 2500.0, "city": "Paris"}
FAMILY = "boxkite_feature_failed_total"


def make_app(baseline: Baseline, fail: Callable[[], Any] | None = None) -> Flask:
    """Return an app whose view needs ``age``, and fails without it in some way; by a KeyError if none is given."""
    app = Flask("scoring")
    app.config.update(BOXKITE_BASELINE=baseline, BOXKITE_SINK="none", BOXKITE_DASHBOARD_PATH="/boxkite")
    monitor = Boxkite(app)

    @app.post("/score")
    @monitor.predict
    def score() -> Any:
        row = request.get_json()
        if fail is not None and "age" not in row:
            return fail()
        return {"score": row["age"] / 100}

    app.monitor = monitor  # type: ignore[attr-defined]
    return app


def send(app: Flask, good: int, bad: int) -> None:
    client = app.test_client()
    for number in range(good):
        client.post("/score", json=ANN | {"age": 20 + number})
    for _ in range(bad):
        client.post("/score", json=NAMELESS)


def scrape(app: Flask) -> Samples:
    return Samples(app.test_client().get("/metrics").text)


FAILING: dict[str, Callable[[], Any] | None] = {
    "exception": None,
    "abort": lambda: abort(503),
    "answer": lambda: ({"score": 0.5}, 500),
}


@pytest.mark.parametrize("fail", FAILING.values(), ids=FAILING)
def test_features_of_failed_requests_are_counted_apart(baseline: Baseline, fail: Callable[[], Any] | None) -> None:
    app = make_app(baseline, fail)
    send(app, good=40, bad=60)
    samples = scrape(app)

    assert samples.statuses() == {"ok": 40, "error": 60}
    assert samples.by("state", FAMILY, feature="age") == {"missing": 60}
    assert samples.by("state", FAMILY, feature="income") == {"usual": 60}
    assert samples.labels("state", FAMILY) == set(FAILED_STATES)
    assert samples.groups("age").get("__missing__", 0) == 0
    assert sum(samples.outputs("output").values()) == 40


def test_good_rows_are_judged_as_if_there_were_no_failed_ones(baseline: Baseline) -> None:
    alone, beside = make_app(baseline), make_app(baseline)
    send(alone, good=50, bad=0)
    send(beside, good=50, bad=60)
    reports = []
    for app in (alone, beside):
        with app.app_context():
            reports.append(app.monitor.drift().to_dict())  # type: ignore[attr-defined]
    assert reports[0]["variables"] == reports[1]["variables"]


def test_answers_that_refuse_the_client_are_not_failures(baseline: Baseline) -> None:
    app = make_app(baseline, lambda: abort(422))
    send(app, good=0, bad=5)
    assert scrape(app).by("state", FAMILY) == {}


ODD = "'age' was missing in 60 of them (0% of answered rows). Check how the model handles such values."


@pytest.mark.parametrize("path", ["/boxkite/", "/boxkite/report.html"])
def test_the_page_names_the_feature_that_broke_the_model(baseline: Baseline, path: str) -> None:
    app = make_app(baseline)
    send(app, good=40, bad=60)
    page = app.test_client().get(path).text

    Outline(page)
    assert "<strong>60 predictions failed</strong> in the last 24 hours." in page
    assert f"{ODD} Verdicts leave them out." in unescape(page)


def test_the_text_of_the_report_says_what_broke_the_model(baseline: Baseline) -> None:
    app = make_app(baseline)
    send(app, good=40, bad=60)
    with app.app_context():
        text = str(app.monitor.drift())  # type: ignore[attr-defined]
        recent = str(app.monitor.drift(window="24h"))  # type: ignore[attr-defined]

    said = f"60 predictions failed since the start. {ODD} Verdicts leave them out."
    assert text.splitlines()[1:4] == [*textwrap.wrap(said, 100), ""]
    assert "\n60 predictions failed in the last 24h. " in recent


@pytest.mark.parametrize("documents", [[], [{"nothing": 1}], [ANN]], ids=["none", "unread", "usual"])
def test_the_text_says_nothing_of_failed_requests_that_tell_nothing(baseline: Baseline, documents: list[Any]) -> None:
    app = make_app(baseline, lambda: abort(500))
    send(app, good=40, bad=0)
    for document in documents:
        app.test_client().post("/score", json=document)
    with app.app_context():
        assert "failed" not in str(app.monitor.drift())  # type: ignore[attr-defined]


def test_without_failed_requests_the_page_says_nothing_of_them(baseline: Baseline) -> None:
    app = make_app(baseline)
    send(app, good=40, bad=0)
    assert "failed" not in app.test_client().get("/boxkite/").text


def test_failures_whose_features_say_nothing_are_told_so(baseline: Baseline) -> None:
    app = make_app(baseline)
    client = app.test_client()
    client.post("/score", data=b"{", content_type="application/json")
    client.post("/score", json={"nothing": 1})
    page = unescape(client.get("/boxkite/").text)
    assert "<strong>1 prediction failed</strong> in the last 24 hours. In 1 of them no features were found." in page
    assert scrape(app).statuses() == {"client_error": 1, "error": 1}


def test_json_has_the_same(baseline: Baseline) -> None:
    app = make_app(baseline)
    send(app, good=40, bad=60)
    (model,) = app.test_client().get("/boxkite/drift.json").get_json()["models"]
    odd = {"feature": "age", "state": "missing", "rows": 60, "share": 1.0, "share_answered": 0.0}
    assert model["failed"] == {"rows": 60, "unread": 0, "features": [odd]}


def test_a_long_body_that_the_view_has_read_counts_too(baseline: Baseline) -> None:
    """It is read by the view alone, so its features are found late."""
    app = Flask("scoring")
    app.config.update(BOXKITE_BASELINE=baseline, BOXKITE_SINK="none", BOXKITE_MAX_BODY_BYTES=10)
    monitor = Boxkite(app)

    @app.post("/score")
    @monitor.predict
    def score() -> Any:
        raise RuntimeError(request.form["age"])

    app.test_client().post("/score", data={"age": "1e9", "income": "2500", "city": "Paris"})
    samples = scrape(app)
    assert samples.by("state", FAMILY, feature="age") == {"out_of_range": 1}
    assert samples.by("state", FAMILY, feature="city") == {"usual": 1}


def test_any_wsgi_app_that_fails_is_counted_alike(baseline: Baseline) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("500 Internal Server Error", [("Content-Type", "text/plain")])
        return [b"no"]

    service = ModelMonitoringService(baseline, sink="none")
    client = Client(BoxkiteMiddleware(app, service, routes={"/score": None}))
    client.post("/score", json=NAMELESS)
    assert Samples(client.get("/metrics").text).by("state", FAMILY, feature="age") == {"missing": 1}


SOURCE = """
from flask import Flask, request
from flask_boxkite import Boxkite

app = Flask("scoring")
app.config.from_prefixed_env("APP")
app.config["BOXKITE_DASHBOARD_PATH"] = "/boxkite"
monitor = Boxkite(app)

@app.post("/score")
@monitor.predict
def score():
    return {"score": request.get_json()["age"] / 100}
"""


def test_failures_of_all_workers_add_up(tmp_path: Path, baseline_path: Path) -> None:
    env = {"APP_BOXKITE_BASELINE": str(baseline_path), "APP_BOXKITE_SINK": "none"}
    with Gunicorn("scoring:app", tmp_path, source=SOURCE, workers=2, env=env) as gunicorn:
        server = Server(gunicorn.port, tmp_path)
        headers = {"Content-Type": "application/json"}
        statuses = [server.send("/score", json.dumps(NAMELESS), headers=headers)[0] for _ in range(20)]
        samples = server.scrape()
        (model,) = json.loads(server.send("/boxkite/drift.json", method="GET")[1])["models"]
    assert statuses == [500] * 20
    assert samples.by("state", FAMILY, feature="age") == {"missing": 20}
    assert [item["rows"] for item in model["failed"]["features"]] == [20]


def of_kind(kind: str) -> dict[str, Any]:
    """Return the outputs and actual values of 300 training rows, as `export_text` takes them."""
    random = np.random.default_rng(0)
    score, label = random.random(300), random.choice(["x", "y", "z"], 300)
    return {
        "a score": {"inference": score},
        "two values": {"inference": score, "actual": (random.random(300) < score).astype(int)},
        "a number": {"inference": score, "actual": score + random.normal(size=300)},
        "a label": {"inference": label, "actual": label},
        "a score of each class": {
            "inference": np.column_stack([score / 2, score / 2, 1 - score]),
            "classes": ["x", "y", "z"],
            "actual": label,
        },
    }[kind]


@pytest.mark.parametrize("kind", ["a score", "two values", "a number", "a label", "a score of each class"])
def test_any_kind_of_model_may_fail(kind: str) -> None:
    """Counts for outcomes follow the counts of failed rows."""
    columns = np.random.default_rng(1).normal(40, 10, (2, 300))
    app = make_app(built(dict(zip(["age", "income"], columns, strict=True)), **of_kind(kind)))
    app.config["PROPAGATE_EXCEPTIONS"] = False
    client = app.test_client()
    for _ in range(3):
        client.post("/score", json={"income": 7})
    assert "3 predictions failed" in app.monitor.drift().failed  # type: ignore[attr-defined]
    assert client.get("/boxkite/").status == client.get("/boxkite/drift.json").status == "200 OK"
