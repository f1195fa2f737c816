"""The page of segments over HTTP: the same numbers as `monitor.drift(by=…)`, links, refusals and access."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient

from flask_boxkite import Baseline, ModelMonitoringService
from tests.web.segmented import columns, segmented_app, send, trained
from tests.web.test_dashboard import HOSTILE, TOKEN, Outline

PAGE = "/boxkite/segments?model=credit&by=country"
JSON = "/boxkite/segments.json?model=credit&by=country"
REMEDY = "Name variables for that in training: segments=['country']."


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Baseline:
    """Return a baseline with segments by country and by sex."""
    return trained(tmp_path_factory.mktemp("baseline") / "baseline.prom")


@pytest.fixture(scope="module")
def app(baseline: Baseline) -> Iterator[Flask]:
    """Return an app in whose rows Finland has moved, but not all rows together."""
    app = segmented_app(baseline)
    send(app, columns(1000, 3, moved="FI"))
    with app.app_context():
        yield app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def words(text: str) -> str:
    """Return the text of markup as a reader sees it."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", "", text)))


def table(text: str, kind: str) -> list[list[str]]:
    """Return the cells of a table of the page, row by row."""
    (found,) = re.findall(rf'<table class="{kind}" .*?<tbody[^>]*>(.*?)</tbody>', text, re.S)
    rows = re.findall(r"<tr.*?</tr>", found, re.S)
    return [[words(cell).strip() for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.S)] for row in rows]


def summary(text: str) -> str:
    """Return the sentences above the table."""
    (found,) = re.findall(r'<p class="summary[^>]*>(.*?)</p>', text, re.S)
    return words(found).strip()


def test_the_sentence_says_which_segment_moved_most_and_that_all_rows_together_have_not(client: FlaskClient) -> None:
    text = summary(client.get(PAGE).text)

    assert text.startswith("1 of 4 segments has drifted in the last 24 hours. FI moved most: ")
    assert re.search(r"(age|income) and 1 more have drifted; all rows together have not\.", text)


def test_the_tables_have_the_numbers_of_the_report(client: FlaskClient, app: Flask) -> None:
    report = app.monitor.drift(by="country", window="24h")  # type: ignore[attr-defined]
    text = client.get(PAGE).text

    rows = table(text, "segments")
    assert [row[0] for row in rows] == [segment.text for segment in report]
    assert [row[1].split()[1] for row in rows] == [segment.verdict.split()[0] for segment in report]
    assert [row[4] for row in rows] == [f"{segment.rows:,}" for segment in report]
    assert rows[0][2] == "2 of 4"
    assert rows[0][3].startswith(f"{report['FI'].report.variables[0].name} ")
    variables = table(text, "variables")
    assert [row[0].split()[0] for row in variables] == [item.name for item in report["FI"].report]
    assert {row[-1] for row in variables} == {f"{report['FI'].rows:,}"}


def test_a_segment_of_the_visitors_choice_is_shown(client: FlaskClient, app: Flask) -> None:
    text = client.get(f"{PAGE}&segment=SE&window=start").text
    report = app.monitor.drift(by="country")["SE"].report  # type: ignore[attr-defined]

    assert "country: SE" in words(text)
    assert [row[0].split()[0] for row in table(text, "variables")] == [item.name for item in report]
    current = re.findall(r'<a href="segments([^"]*)" aria-current="true">SE</a>', text)
    assert [html.unescape(link) for link in current] == ["?window=start&model=credit&by=country&segment=SE"]


def test_without_drift_the_visitor_chooses(baseline: Baseline) -> None:
    app = segmented_app(baseline)
    client = app.test_client()
    assert summary(client.get(PAGE).text) == "No prediction was answered in the last 24 hours."

    send(app, columns(1000, 5))
    text = client.get(PAGE).text
    assert summary(text).startswith("No segment has drifted in the last 24 hours.")
    assert "Choose a segment to see its variables." in text
    assert 'class="variables"' not in text


@pytest.mark.parametrize("path", [PAGE, f"{PAGE}&segment=%3Cb%3E", "/boxkite/segments?model=credit&by=sex"])
@pytest.mark.parametrize("window", ["1h", "start"])
def test_the_page_is_whole_and_all_its_links_lead_on(client: FlaskClient, path: str, window: str) -> None:
    outline = Outline(client.get(f"{path}&window={window}").text)
    links = {urljoin(path, attributes["href"] or "") for tag, attributes in outline.elements if tag == "a"}

    assert not any("style" in attributes for _, attributes in outline.elements)
    assert len(links) >= 10
    for link in links:
        assert client.get(link).status_code == 200, link


def test_the_overview_links_to_the_segments_without_judging_them(
    client: FlaskClient, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Judging takes long where there are many."""
    monkeypatch.setattr("flask_boxkite.drift.segments.SegmentJudge.report", None)
    text = client.get("/boxkite/?window=1h&name=age").text

    links = re.findall(r'<a href="segments([^"]*)">by (\w+)</a>', text)
    assert [(html.unescape(link), name) for link, name in links] == [
        ("?window=1h&model=credit&by=country", "country"),
        ("?window=1h&model=credit&by=sex", "sex"),
    ]
    assert "Segments:" not in client.get("/boxkite/report.html").text


def test_a_model_without_segments_has_no_links(tmp_path: Path) -> None:
    app = segmented_app(trained(tmp_path / "b.prom", segments=[]))
    client = app.test_client()
    assert "Segments" not in client.get("/boxkite/").text
    assert client.get(PAGE).status_code == 404


def test_json_is_the_report(client: FlaskClient, app: Flask) -> None:
    report = app.monitor.drift(by="country", window="1h")  # type: ignore[attr-defined]
    answer = client.get(f"{JSON}&window=1h")

    assert answer.content_type == "application/json"
    assert answer.get_json() == {"format": 1, **json.loads(json.dumps(report.to_dict()))}
    assert {item["name"] for item in answer.get_json()["together"]} == {"country", "sex", "income", "age", "output"}
    assert client.get("/boxkite/segments.json?by=sex&window=start").get_json()["window"] is None


def test_a_program_names_the_model_where_several_have_the_segments(baseline: Baseline) -> None:
    client = segmented_app({"credit": baseline, "loan": baseline}).test_client()

    assert client.get("/boxkite/segments.json?by=sex").text == (
        "Several models have segments by 'sex': 'credit', 'loan'. Name one of them: 'model'.\n"
    )
    assert client.get("/boxkite/segments.json?by=sex&model=loan").get_json()["model"] == "loan"


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/boxkite/segments", 404, "There are no segments by '' of any model. There are: 'country', 'sex'."),
        (
            "/boxkite/segments?model=other&by=country",
            404,
            f"There are no segments by 'country' of a model 'other'. {REMEDY}",
        ),
        (
            "/boxkite/segments?model=credit&by=age",
            404,
            "There are no segments by 'age' of a model 'credit'. There are: 'country', 'sex'.",
        ),
        (f"{PAGE}&segment=DK", 404, "There is no segment 'DK' by 'country' of a model 'credit'."),
        (f"{PAGE}&window=2h", 400, "'window' must be one of '5m', '1h', '24h', or 'start', got '2h'."),
        (f"{JSON}&window=", 400, "'window' must be one of '5m', '1h', '24h', or 'start', got ''."),
        (f"{PAGE}&window=7d", 400, "'window' must be one of '5m', '1h', '24h', or 'start', got '7d'."),
        ("/boxkite/segments.json?by=Sex", 404, "There are no segments by 'Sex' of any model. Did you mean 'sex'?"),
    ],
)
def test_what_is_not_there_is_said_so(client: FlaskClient, path: str, status: int, text: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.text) == (status, f"{text}\n")


@pytest.mark.parametrize("name", ["model", "by", "segment"])
def test_a_refusal_keeps_what_it_quotes_to_itself(client: FlaskClient, name: str) -> None:
    query = {"model": "credit", "by": "country", name: HOSTILE}
    for path in ("/boxkite/segments", "/boxkite/segments.json"):
        answer = client.get(path, query_string=query)
        if answer.status_code == 200:  # programs name no segment
            assert (path, name) == ("/boxkite/segments.json", "segment")
            continue
        assert answer.status_code == 404
        assert answer.content_type == "text/plain; charset=utf-8"
        assert len(answer.text) < 600
        assert answer.text.strip().isprintable()


@pytest.mark.parametrize("path", [PAGE, JSON])
def test_it_is_as_closed_as_the_page(baseline: Baseline, path: str) -> None:
    client = segmented_app(baseline, BOXKITE_METRICS_TOKEN=TOKEN).test_client()
    assert client.get(path).status_code == 401
    answer = client.get(path, headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; ")


def test_counts_that_cannot_be_read_are_said_so(baseline: Baseline, monkeypatch: pytest.MonkeyPatch) -> None:
    app = segmented_app(baseline)
    (model,) = app.extensions["boxkite"].monitor.models()
    monkeypatch.setattr(model.counter.counts, "history", lambda: (_ for _ in ()).throw(OSError(24, "Too many files")))

    for path in (PAGE, JSON):
        answer = app.test_client().get(path)
        assert answer.status_code == 503
        assert "Too many files are open: let the server open more (ulimit -n)." in answer.text


def test_charts_have_a_bar_for_each_group(tmp_path: Path) -> None:
    """Bins are groups, of which the first category of several holds all rows: no chart of categories would do."""
    rows: dict[str, Any] = columns(2000, 0)
    rows["grade"] = [number % 30 for number in range(2000)]
    baseline = ModelMonitoringService.export_text(
        rows, None, tmp_path / "b.prom", model="credit", segments=["country"], discrete=["country", "sex", "grade"]
    )
    app = segmented_app(baseline)
    send(app, rows)
    text = app.test_client().get(f"{PAGE}&segment=SE").text

    charts = dict(
        re.findall(
            r'<th role="rowheader" scope="row">(\w+)</th>.*?<svg class="small".*?</title>(.*?)</svg>', text, re.S
        )
    )
    for name in ("grade", "income"):
        heights = [float(tall) for tall in re.findall(r'class="live" d="M[\d.]+ \d+v-([\d.]+)h', charts[name])]
        assert len(heights) == 10
        assert min(heights) > max(heights) / 2
    assert charts["sex"].count('class="live"') == 2


def test_many_variables_are_shown_page_by_page(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows: dict[str, Any] = {
        "plan": ["a", "b"] * 100,
        **{f"f{number:03}": rng.normal(size=200).tolist() for number in range(120)},
    }
    baseline = ModelMonitoringService.export_text(rows, None, tmp_path / "b.prom", model="credit", segments=["plan"])
    app = segmented_app(baseline)
    send(app, rows)
    client, path = app.test_client(), "/boxkite/segments?model=credit&by=plan&segment=b"
    with app.app_context():
        every = [item.name for item in app.monitor.drift(by="plan", window="24h")["b"].report]  # type: ignore[attr-defined]

    first = client.get(path).text
    assert [row[0] for row in table(first, "variables")] == every[:100]
    assert "1 to 100 of 120 variables shown, those that moved most first." in first
    (link,) = re.findall(r'<a href="([^"]*)">Next</a>', first)
    second = client.get(urljoin(path, html.unescape(link))).text
    assert [row[0] for row in table(second, "variables")] == every[100:]


def test_a_model_without_other_variables_says_so(tmp_path: Path) -> None:
    rows: dict[str, Any] = {"country": ["SE", " "] * 50}
    baseline = ModelMonitoringService.export_text(rows, None, tmp_path / "b.prom", model="credit", segments=["country"])
    app = segmented_app(baseline)
    send(app, rows)
    text = app.test_client().get(PAGE).text

    assert summary(text) == "The model has no other variable to compare."
    assert {row[0] for row in table(text, "segments")} == {"SE", '" "'}
