"""The drift page over HTTP: access, addresses, and the same content as `monitor.drift()`."""

from __future__ import annotations

import base64
import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin

import numpy as np
import pytest
from flask import Flask, abort, redirect, request
from flask.testing import FlaskClient

from flask_boxkite import Baseline, Boxkite, ModelMonitoringService
from flask_boxkite.config import Settings
from flask_boxkite.delivery import RecorderCounts
from flask_boxkite.errors import ConfigError
from flask_boxkite.monitoring.findings import Deployment
from flask_boxkite.naming import DROP_REASONS
from flask_boxkite.testing import RecordingSink
from tests.baseline.training.building import built
from tests.faults import mounted

PAGES = ("/boxkite/", "/boxkite/drift.json", "/boxkite/report.html", "/boxkite/boxkite.css", "/boxkite/boxkite.js")
TOKEN = "open-sesame"
LINK = r'<a href="([^"]*)">(Previous|Next|Show all)</a>'


def make_app(baseline: Any, *, guard: Any = None, **config: Any) -> Flask:
    """Return an app with the page."""
    app = Flask("scoring")
    settings = {"BOXKITE_BASELINE": baseline, "BOXKITE_SINK": "none", "BOXKITE_DASHBOARD_PATH": "/boxkite"} | config
    app.config.update({key: value for key, value in settings.items() if value is not ...})
    monitor = Boxkite(app, dashboard_guard=guard)

    @app.post("/score")
    @monitor.predict(model="fraud" if isinstance(baseline, dict) else None)
    def score() -> Any:
        if request.get_json()["age"] == "raise":
            abort(422)
        return {"score": 0.5}

    app.monitor = monitor  # type: ignore[attr-defined]
    return app


def send(app: Flask, rows: int = 50, **changes: Any) -> None:
    """Have rows predicted."""
    client = app.test_client()
    for number in range(rows):
        client.post("/score", json={"age": 20 + number, "income": 2500.0, "city": "Paris"} | changes)


def variable_path(name: str, side: str = "feature", model: str = "default") -> str:
    """Return the address of a variable's page."""
    return f"/boxkite/variable?model={model}&side={side}&variable={name}"


class Outline(HTMLParser):
    """The elements of a page, and whether each is closed that must be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in {"meta", "link", "input"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def client(baseline: Baseline) -> FlaskClient:
    """Return a client of an app that has seen some traffic."""
    app = make_app(baseline)
    send(app)
    return app.test_client()


# --- what it shows ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/boxkite/", variable_path("age"), variable_path("city"), "/boxkite/report.html"])
@pytest.mark.parametrize("window", ["5m", "1h", "24h", "start"])
def test_pages_are_whole_and_need_nothing_inline(client: FlaskClient, path: str, window: str) -> None:
    answer = client.get(path, query_string=None if "?" in path else {"window": window})
    assert answer.status_code == 200
    outline = Outline(answer.text)
    ids = [attributes["id"] for _, attributes in outline.elements if "id" in attributes]

    assert len(ids) == len(set(ids))
    for tag, attributes in outline.elements:
        assert "style" not in attributes
        assert not any(name.startswith("on") for name in attributes)
        assert (tag == "script") <= ("src" in attributes)


def test_json_has_the_numbers_of_the_report(baseline: Baseline) -> None:
    app = make_app(baseline, BOXKITE_SINK=RecordingSink())
    send(app)
    send(app, 3, age="raise")
    content = app.test_client().get("/boxkite/drift.json").get_json()
    with app.app_context():
        assert content["models"][0]["drift"] == json.loads(json.dumps(app.monitor.drift(window="24h").to_dict()))
        app.monitor.close()

    assert list(content) == ["format", "time", "window", "models", "sinks", "findings", "failures"]
    assert (content["format"], content["window"], content["failures"]) == (1, "24h", [])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", content["time"])
    (model,) = content["models"]
    assert list(model) == [
        *("model", "baseline", "version", "rows", "latency_seconds", "failed", "drift", "performance"),
    ]
    assert (model["model"], model["baseline"], model["version"]) == ("default", baseline.fingerprint, "v1")
    assert model["rows"] == {"ok": 50, "client_error": 3, "error": 0}
    assert 0 < model["latency_seconds"]["p50"] <= model["latency_seconds"]["p99"]
    (sink,) = content["sinks"]
    assert list(sink) == [
        *("name", "accepted", "delivered", "waiting", "dropped", "last_delivery", "backoff_seconds"),
    ]
    assert sink["accepted"] == 53


def test_the_window_is_passed_on(client: FlaskClient) -> None:
    assert client.get("/boxkite/drift.json?window=5m").get_json()["models"][0]["drift"]["window"] == "5m"
    assert client.get("/boxkite/drift.json?window=start").get_json()["window"] is None


def test_before_the_first_prediction_the_page_says_so(baseline: Baseline) -> None:
    client = make_app(baseline).test_client()
    page = client.get("/boxkite/").text

    assert "No prediction was answered in the last 24 hours." in page
    assert '<p class="summary not-enough-data">' in page
    latency = client.get("/boxkite/drift.json").get_json()["models"][0]["latency_seconds"]
    assert latency == {"p50": None, "p95": None, "p99": None}
    assert client.get(variable_path("age")).status_code == 200


def test_a_few_rows_are_not_called_stable(baseline: Baseline) -> None:
    app = make_app(baseline)
    send(app, 3)
    assert "Not enough data to tell" in app.test_client().get("/boxkite/").text


def test_without_a_baseline_requests_are_shown() -> None:
    app = make_app(...)
    send(app, 3)
    client = app.test_client()
    text = client.get("/boxkite/").text

    assert "There is no baseline to compare with." in text
    assert re.search(r"<dt>Predictions</dt><dd>3</dd>", text)
    assert client.get("/boxkite/drift.json").get_json()["models"][0]["drift"] is None


def test_several_models_are_shown_each_with_its_variables(baseline: Baseline) -> None:
    app = make_app({"fraud": baseline, "churn": baseline})
    client = app.test_client()

    assert re.findall(r'<h2 id="model-\d">(\w+) ', client.get("/boxkite/").text) == ["fraud", "churn"]
    assert client.get(variable_path("age", model="churn")).status_code == 200
    assert [model["model"] for model in client.get("/boxkite/drift.json").get_json()["models"]] == ["fraud", "churn"]


def test_variables_are_filtered_by_name_and_verdict(client: FlaskClient) -> None:
    def names(query: str) -> list[str]:
        return re.findall(r'<th role="rowheader" scope="row"><a [^>]*>(\w+)</a>', client.get(f"/boxkite/?{query}").text)

    assert sorted(names("")) == ["age", "city", "income", "output"]
    assert names("name=CIT") == ["city"]
    assert names("verdict=major&name=o") + names("verdict=stable&name=o") == [name for name in names("") if "o" in name]
    assert names("name=nothing") == []
    assert "0 of 4 variables shown" in client.get("/boxkite/?name=nothing").text


def test_many_variables_are_shown_page_by_page(tmp_path: Path, rng: np.random.Generator) -> None:
    features = {f"f{number:03}": rng.normal(size=100) for number in range(249)}
    app = make_app(ModelMonitoringService.export_text(features, rng.random(100), tmp_path / "b.prom"))
    row = dict.fromkeys(features, 0.1) | {"age": 1, "f200": 50.0}
    client = app.test_client()
    for _ in range(60):
        client.post("/score", json=row)

    def shown(path: str) -> tuple[list[str], str, dict[str, str]]:
        text = client.get(path).text
        names = re.findall(r'<th role="rowheader" scope="row"><a [^>]*>(\w+)</a>', text)
        facts = re.search(r'<p class="facts pages">\s*(.*?)\s*<a', text, re.S)
        return names, facts[1] if facts else "", {name: html.unescape(to) for to, name in re.findall(LINK, text)}

    every = [item.name for item in app.monitor.drift(window="24h")]  # type: ignore[attr-defined]
    names, facts, links = shown("/boxkite/")
    assert (names, facts) == (every[:100], "1 to 100 of 250 variables shown, those that moved most first.")
    assert "Previous" not in links
    names, facts, links = shown(urljoin("/boxkite/", links["Next"]))
    assert (names, facts[:37]) == (every[100:200], "101 to 200 of 250 variables shown, th")
    assert shown(urljoin("/boxkite/", links["Previous"]))[0] == every[:100]
    names, _, links = shown(urljoin("/boxkite/", links["Next"]))
    assert names == every[200:]
    assert "Next" not in links
    assert shown("/boxkite/?page=99")[0] == every[200:]
    assert shown("/boxkite/?page=3&name=f01")[:2] == (
        sorted(shown("/boxkite/?name=f01")[0], key=every.index),
        "10 of 250 variables shown.",
    )
    assert client.get(variable_path("f200")).status_code == 200


@pytest.mark.parametrize("page", ["0", "-1", "1.5", "", "x", "²", "1" * 5000])
def test_a_page_that_cannot_be_is_refused(client: FlaskClient, page: str) -> None:
    answer = client.get("/boxkite/", query_string={"page": page})
    assert answer.status_code == 400
    assert "'page' must be a number from 1 on" in html.unescape(answer.text)


def test_names_are_shown_and_not_executed(tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)>\"'&"
    baseline = ModelMonitoringService.export_text(
        {name: [name] * 40 + ["b"] * 40}, None, tmp_path / "b.prom", model=name, version=name
    )
    client = make_app(baseline).test_client()
    query = {"model": name, "side": "feature", "variable": name, "name": name}
    for path in ("/boxkite/", "/boxkite/variable", "/boxkite/report.html"):
        answer = client.get(path, query_string=query)
        assert answer.status_code == 200
        tags = {tag for tag, _ in Outline(answer.text).elements}
        assert "img" not in tags


def test_the_report_stands_alone(client: FlaskClient) -> None:
    answer = client.get("/boxkite/report.html")
    used = {name for _, attributes in Outline(answer.text).elements for name in attributes}

    assert answer.headers["Content-Disposition"] == 'attachment; filename="drift.html"'
    assert used.isdisjoint({"href", "src", "action"})
    assert "url(" not in answer.text
    assert "--major" in answer.text


# --- the doctor ------------------------------------------------------------------------------------------------------


def found(app: Flask, **environ: Any) -> dict[str, str]:
    """Return what the doctor says, and how bad it is."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    content = app.test_client().get("/boxkite/drift.json", headers=headers, environ_overrides=environ).get_json()
    assert all(item["remedy"] for item in content["findings"])
    return {item["what"]: item["level"] for item in content["findings"]}


def test_the_doctor_says_what_is_off(baseline: Baseline, tmp_path: Path) -> None:
    everything = {
        "BOXKITE_SINK": "file",
        "BOXKITE_LOG_DIR": tmp_path / "records",
        "BOXKITE_METRICS_TOKEN": TOKEN,
    }
    app = make_app(baseline, **everything)
    send(app)
    app.extensions["boxkite"].monitor.recorders.flush(10)
    assert found(app) == {}
    app.extensions["boxkite"].monitor.recorders.close()

    bare = make_app(..., BOXKITE_METRICS_PATH=None)
    assert found(bare) == {
        "Model 'default' has no baseline, so nothing can drift.": "problem",
        "Everybody who reaches the server can see the drift page.": "hint",
        "Predictions are counted, but not recorded.": "hint",
        "There is no route for Prometheus.": "hint",
    }
    lean = make_app(baseline, BOXKITE_METRICS_TOKEN=TOKEN, BOXKITE_EXPORT_BINS=False)
    assert found(lean) == {
        "Prometheus receives groups only: all verdicts, but no Kolmogorov-Smirnov and no histograms.": "hint",
        "Predictions are counted, but not recorded.": "hint",
    }
    bare.debug = True
    assert "Everybody who reaches the server can see the drift page." not in found(bare)


def test_the_doctor_says_that_outcomes_need_a_key() -> None:
    said = "The ids of predictions are known to this server only, and until it ends; outcomes come later."
    scores = np.linspace(0.01, 0.99, 100)
    judged = built({"age": scores}, scores, actual=np.arange(100) % 2)
    common = {"BOXKITE_METRICS_TOKEN": TOKEN}
    assert found(make_app(judged, **common))[said] == "hint"
    assert said not in found(make_app(judged, BOXKITE_ID_KEY="a secret of more than 16", **common))


def test_the_doctor_sees_what_was_lost(baseline: Baseline) -> None:
    app = make_app(
        baseline,
        BOXKITE_SINK=RecordingSink(),
        BOXKITE_QUEUE_BYTES=10,
        BOXKITE_METRICS_TOKEN=TOKEN,
        BOXKITE_SAMPLE_RATE=0.5,
    )
    app.monitor.log_prediction(features={"nothing": "that is known"}, output=0.5)  # type: ignore[attr-defined]
    with app.app_context():
        app.monitor.close()
    said = found(app)

    assert said["Features were not found in 1 request."] == "problem"
    assert said["Records wait in memory, and are lost if the process is killed."] == "hint"
    assert said["Only 0.5 of all predictions are recorded."] == "hint"
    page = app.test_client().get("/boxkite/", headers=basic(TOKEN)).text
    assert "Features were not found in 1 request." in page
    assert "Worth turning on" in page


def test_the_doctor_sees_processes_that_count_for_themselves(baseline: Baseline, tmp_path: Path) -> None:
    """A server that is not known to share; then with a directory; then without it, because a file took its place."""
    said = "Each process counts in its own memory, so metrics and page show only the process that answers."
    several = {"SERVER_SOFTWARE": "Unit/1.34", "wsgi.multiprocess": True}
    automatic, explicit = make_app(baseline), make_app(baseline, BOXKITE_STATE_DIR=tmp_path / "state")
    assert said not in found(automatic)
    assert found(automatic, **several)[said] == "problem"
    assert said not in found(explicit, **several)

    lost = make_app(baseline, BOXKITE_STATE_DIR=tmp_path / "lost")
    (tmp_path / "lost").write_text("")
    assert found(lost, **several)[said] == "problem"


def test_the_doctor_sees_windows_that_stay_empty(baseline: Baseline, tmp_path: Path) -> None:
    with mounted(tmp_path, "128k"):
        app = make_app(baseline, BOXKITE_STATE_DIR=tmp_path)
        send(app)
        (said,) = (what for what in found(app) if "stay empty" in what)
        client = app.test_client()
        rows = {window: rows_in(client, window) for window in ("1h", "24h", "start")}
    assert re.fullmatch(
        r"The last 5 minutes, hour and day stay empty: their snapshots need 1 MiB, and \d+ KiB are free\.", said
    )
    assert rows == {"1h": 0, "24h": 0, "start": 50}
    with mounted(tmp_path, "8m"):
        app = make_app(baseline, BOXKITE_STATE_DIR=tmp_path)
        assert not [what for what in found(app) if "stay empty" in what]


def rows_in(client: FlaskClient, window: str) -> int:
    """Return how many rows were answered in a window."""
    (model,) = client.get("/boxkite/drift.json", query_string={"window": window}).get_json()["models"]
    return int(model["rows"]["ok"])


@pytest.mark.parametrize("reason", DROP_REASONS)
def test_there_is_a_remedy_for_every_loss(reason: str) -> None:
    dropped = dict.fromkeys(DROP_REASONS, 0) | {reason: 1200}
    counts = RecorderCounts(1200, 0, dropped, 0, 0, 0, 0, 0.0, 0.0)
    (finding,) = Deployment(Settings(sink=("file",)), models={}, sinks={"file": counts}).findings()
    assert (finding.level, finding.what) == ("problem", f"Sink 'file' has lost 1,200 records ({reason}).")


# --- where it is -----------------------------------------------------------------------------------------------------


def test_it_is_not_there_unless_asked_for(baseline: Baseline) -> None:
    client = make_app(baseline, BOXKITE_DASHBOARD_PATH=...).test_client()
    assert [client.get(path).status_code for path in PAGES] == [404] * len(PAGES)


def test_in_debug_mode_it_is_there(baseline: Baseline) -> None:
    """Also where that begins after set-up, as `app.run(debug=True)` has it."""
    app = make_app(baseline, BOXKITE_DASHBOARD_PATH=...)
    app.debug = True
    assert app.test_client().get("/boxkite/").status_code == 200


def test_outside_of_debug_mode_its_addresses_are_the_apps(baseline: Baseline) -> None:
    app = make_app(baseline, BOXKITE_DASHBOARD_PATH=...)
    app.add_url_rule("/<path:anything>", "page", lambda anything: f"the app's {anything}")
    client = app.test_client()
    assert [client.get(path).text for path in PAGES] == [f"the app's {path[1:]}" for path in PAGES]
    assert "boxkite_dashboard" not in app.blueprints


def test_debug_mode_that_begins_too_late_does_no_harm(baseline: Baseline) -> None:
    """Flask takes no more routes once it has dispatched a request, here one by hand that no hook saw."""
    app = make_app(baseline, BOXKITE_DASHBOARD_PATH=...)
    with app.test_request_context("/score", method="POST", json={}), pytest.raises(KeyError):
        app.full_dispatch_request()
    app.debug = True
    client = app.test_client()
    assert [client.get(path).status_code for path in ("/metrics", "/boxkite/")] == [200, 404]


def test_debug_mode_that_ends_takes_it_away(baseline: Baseline) -> None:
    app = make_app(baseline, BOXKITE_DASHBOARD_PATH=..., DEBUG=True)
    assert app.test_client().get("/boxkite/").status_code == 200
    app.debug = False
    assert app.test_client().get("/boxkite/").status_code == 404


@pytest.mark.parametrize("value", [None, ""])
def test_it_can_be_turned_off_in_debug_mode_too(baseline: Baseline, value: Any) -> None:
    app = make_app(baseline, BOXKITE_DASHBOARD_PATH=value)
    app.debug = True
    assert app.test_client().get("/boxkite/").status_code == 404


def test_disabled_there_is_no_page(baseline: Baseline) -> None:
    client = make_app(baseline, BOXKITE_ENABLED=False).test_client()
    assert client.get("/boxkite/").status_code == 404


@pytest.mark.parametrize(("path", "address"), [("/", "/"), ("/a/b", "/a/b/"), ("/a/", "/a/")])
def test_it_is_where_it_was_put(baseline: Baseline, path: str, address: str) -> None:
    client = make_app(baseline, BOXKITE_DASHBOARD_PATH=path).test_client()

    assert client.get(address).status_code == 200
    assert client.get(f"{address}boxkite.css").status_code == 200
    assert client.get(f"{address}variable?model=default&side=feature&variable=age").status_code == 200


@pytest.mark.parametrize("is_strict", [True, False])
def test_without_its_slash_it_is_found(is_strict: bool) -> None:
    """Never shown there, where its links lead nowhere."""
    app = Flask("scoring")
    app.url_map.strict_slashes = is_strict
    app.config.update(BOXKITE_SINK="none", BOXKITE_DASHBOARD_PATH="/boxkite")
    Boxkite(app)
    answer = app.test_client().get("/boxkite")
    assert (answer.status_code, answer.headers["Location"]) == (308, "http://localhost/boxkite/")


def test_a_route_that_exists_is_not_taken(baseline: Baseline) -> None:
    """Asked for, that is an error; of its own accord, the page stays away."""

    def make(**config: Any) -> Flask:
        app = Flask("scoring")
        app.add_url_rule("/boxkite/", "kites", lambda: "kites")
        app.config.update(BOXKITE_BASELINE=baseline, BOXKITE_SINK="none", **config)
        Boxkite(app)
        app.debug = True
        return app

    text = "'BOXKITE_DASHBOARD_PATH' is '/boxkite', which is the route of 'kites' already. Set another path."
    with pytest.raises(ConfigError, match=re.escape(text)):
        make(BOXKITE_DASHBOARD_PATH="/boxkite")
    assert make().test_client().get("/boxkite/").text == "kites"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/boxkite/?window=2h", 400),
        ("/boxkite/drift.json?window=", 400),
        (variable_path("weight"), 404),
        (variable_path("age", side="output"), 404),
        (variable_path("age", model="other"), 404),
        ("/boxkite/variable", 404),
        ("/boxkite/boxkite.txt", 404),
    ],
)
def test_what_is_not_there_is_said_so(client: FlaskClient, path: str, status: int) -> None:
    assert client.get(path).status_code == status


HOSTILE = "</title><script>alert(1)</script>'\"{{7*7}}{% x %}\n\r\0\x1b[31m" + "x" * 5000


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/boxkite/?window={}", 400),
        ("/boxkite/?page={}", 400),
        ("/boxkite/drift.json?window={}", 400),
        ("/boxkite/report.html?window={}", 400),
        ("/boxkite/variable?model={0}&side={0}&variable={0}", 404),
        ("/boxkite/variable?model=m&side=feature&variable={}", 404),
        ("/boxkite/variable?window={}", 400),
    ],
)
@pytest.mark.parametrize("has_handler", [True, False])
def test_a_refusal_keeps_what_it_quotes_to_itself(
    baseline: Baseline, path: str, status: int, has_handler: bool
) -> None:
    """Even where the app has an error page that takes the text of an error for its own."""
    app = make_app(baseline)
    if has_handler:
        app.register_error_handler(status, lambda error: f"<p>{error.description}")
    answer = app.test_client().get(path.format(quote(HOSTILE)))
    assert answer.status_code == status
    assert answer.content_type == "text/plain; charset=utf-8"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; ")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    assert len(answer.text) < 600
    assert answer.text.strip().isprintable()


def test_nothing_can_be_posted(client: FlaskClient) -> None:
    assert client.post("/boxkite/").status_code == 405


@pytest.mark.parametrize("path", PAGES)
def test_headers_keep_the_page_to_itself(client: FlaskClient, path: str) -> None:
    headers = client.get(path).headers

    assert headers["Content-Security-Policy"].startswith("default-src 'none'; ")
    assert ("'unsafe-inline'" in headers["Content-Security-Policy"]) == path.endswith("report.html")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == ("private, max-age=300" if path[-3:] in ("css", ".js") else "no-store")


def test_counts_that_cannot_be_read_are_said_so(baseline: Baseline, monkeypatch: pytest.MonkeyPatch) -> None:
    """No response of the app but the page is concerned."""
    app = make_app(baseline)
    (service,) = app.extensions["boxkite"].monitor.models()
    monkeypatch.setattr(service.counter.counts, "history", lambda: (_ for _ in ()).throw(OSError(24, "Too many files")))
    client = app.test_client()

    for path in ("/boxkite/", "/boxkite/drift.json", variable_path("age")):
        answer = client.get(path)
        assert answer.status_code == 503
        assert "cannot be read" in answer.text
        assert "Too many files are open: let the server open more (ulimit -n)." in answer.text
        assert "state directory" not in answer.text
    # Wherever that is said, the links lead on.
    links = [attributes for tag, attributes in Outline(answer.text).elements if tag in ("a", "form")]
    assert links
    for link in links:
        address = urljoin(path, link.get("href") or link.get("action"))
        assert client.get(address).status_code in (200, 503), address


def test_sinks_that_cannot_be_read_are_said_so(baseline: Baseline, monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app(baseline)
    state = app.extensions["boxkite"]
    monkeypatch.setattr(state.monitor, "sinks", lambda: (_ for _ in ()).throw(OSError(24, "Too many files")))
    client = app.test_client()

    for path in ("/boxkite/", "/boxkite/drift.json"):
        answer = client.get(path)
        assert answer.status_code == 503
        assert "The counts of records cannot be read" in answer.text
    assert client.get(variable_path("age")).status_code == 200


@pytest.mark.parametrize(("delivered", "last"), [(0, "never"), (5, "unknown, the clock was ahead")])
def test_a_last_delivery_by_a_clock_that_was_ahead_is_not_called_never(
    baseline: Baseline, monkeypatch: pytest.MonkeyPatch, delivered: int, last: str
) -> None:
    app = make_app(baseline)
    counts = RecorderCounts(delivered, delivered, {}, 0, 0, 0, 0, 0.0, 0.0)
    monkeypatch.setattr(app.extensions["boxkite"].monitor, "sinks", lambda: {"file": counts})
    assert f'data-label="Last delivery">{last}</td>' in app.test_client().get("/boxkite/").text


# --- who may see it --------------------------------------------------------------------------------------------------


def basic(password: str, user: str = "me") -> dict[str, str]:
    """Return the header that a browser sends after a person has typed a password."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.mark.parametrize("path", [*PAGES, variable_path("age")])
def test_without_the_token_nothing_is_shown(baseline: Baseline, path: str) -> None:
    client = make_app(baseline, BOXKITE_METRICS_TOKEN=TOKEN).test_client()
    refused = [{}, basic("wrong"), basic(""), {"Authorization": "Bearer wrong"}, {"Authorization": "Basic %%%"}]

    for headers in refused:
        answer = client.get(path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == 'Basic realm="boxkite", charset="UTF-8"'
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; ")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "age" not in answer.text
    for headers in (basic(TOKEN), basic(TOKEN, user=""), {"Authorization": f"Bearer {TOKEN}"}):
        assert client.get(path, headers=headers).status_code == 200


def test_a_token_of_any_letters_can_be_typed(baseline: Baseline) -> None:
    client = make_app(baseline, BOXKITE_METRICS_TOKEN="Schlüssel: €").test_client()
    assert client.get("/boxkite/", headers=basic("Schlüssel: €")).status_code == 200


def test_a_guard_decides_instead_of_the_token(baseline: Baseline) -> None:
    def guard() -> Any:
        if request.args.get("user") == "stranger":
            abort(403)
        return None if request.args.get("user") == "me" else redirect("/login")

    client = make_app(baseline, guard=guard, BOXKITE_METRICS_TOKEN=TOKEN).test_client()
    for path in PAGES:
        assert client.get(f"{path}?user=me").status_code == 200
        assert client.get(f"{path}?user=stranger").status_code == 403
        assert client.get(path).headers["Location"] == "/login"
    assert client.get("/metrics").status_code == 401


def test_a_guard_may_be_async(baseline: Baseline) -> None:
    """A function given to `before_request` may be async, too."""

    async def guard() -> Any:
        return None if request.args.get("user") == "me" else redirect("/login")

    client = make_app(baseline, guard=guard).test_client()
    assert client.get("/boxkite/?user=me").status_code == 200
    assert client.get("/boxkite/").headers["Location"] == "/login"


@pytest.mark.parametrize("value", [True, False])
def test_a_guard_that_answers_yes_or_no_lets_nobody_in(baseline: Baseline, value: bool) -> None:
    """A guard is like a `before_request` function: None lets a visitor in. A mistake must not open the page to all."""
    client = make_app(baseline, guard=lambda: value).test_client()
    assert client.get("/boxkite/").status_code == 500


def test_a_guard_must_be_callable(baseline: Baseline) -> None:
    with pytest.raises(ConfigError, match="'dashboard_guard' must be a callable without arguments, got 'admin'"):
        make_app(baseline, guard="admin")
