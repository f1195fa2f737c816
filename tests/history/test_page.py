"""The last weeks on the page, and for programs."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient

from flask_boxkite.config import Settings
from flask_boxkite.page.history_charts import Line, Mark, Point, days_chart, traffic_chart
from flask_boxkite.web.access import PageAccess
from flask_boxkite.web.monitored_app import MonitoredApp
from tests.history.site import DAY, Site, baseline_of_numbers

HEADING = "The last five weeks"


def client_of(site: Site) -> FlaskClient:
    """Return a client of the page of a site."""
    app = Flask("scoring")
    app.config.update(BOXKITE_DASHBOARD_PATH="/boxkite", BOXKITE_SINK="none")
    app.debug = True  # anyone may see the page
    settings = Settings.from_mapping({**app.config})
    MonitoredApp(site.app, PageAccess.of(app.config, settings), lambda: ()).install(app)
    return app.test_client()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Return a site whose feature shifted six days ago, and whose baseline has another version since three days."""
    base = tmp_path_factory.mktemp("site")
    for number in range(2):
        baseline_of_numbers(base / f"{number}.prom", version=f"v{number}", actual=True, shift=0.001 * number)
    site = Site(base / "state", base / "0.prom")
    rng = np.random.default_rng(0)
    for day in range(26):
        if day == 23:
            site.start(base / "1.prom")
        for _ in range(80):
            score = round(float(rng.random()), 3)
            name = site.predict(round(float(rng.normal(1.5 * (day >= 20), 1.0)), 3), score)
            if rng.random() < 0.3:
                site.app.log_outcome(name, int(rng.random() < score))
            site.go(DAY / 80)
    return site


@pytest.fixture(scope="module")
def client(site: Site) -> FlaskClient:
    """Return a client of its page."""
    return client_of(site)


@pytest.mark.parametrize("path", ["/boxkite/", "/boxkite/?window=7d", "/boxkite/report.html", "/boxkite/?window=start"])
def test_page_shows_the_last_weeks(client: FlaskClient, path: str) -> None:
    text = client.get(path).text
    section = text[text.index(HEADING) :]
    for heading in ("Drift", "Traffic", "Performance"):
        assert f"<h4>{heading}</h4>" in section
    assert "Compared with training" in section
    assert "Compared with last week" in section
    assert 'class="began baseline"' in section
    assert re.search(r"Since 2024-10-2\d, most rows are compared with another baseline: \w+ v1", section)
    assert re.search(r"2024-10-2\d: \w+ v1", section)
    assert "style=" not in section.replace("<style", "")  # a strict policy refuses them


def test_windows_of_days_are_windows_as_all_others(client: FlaskClient, site: Site) -> None:
    (model,) = client.get("/boxkite/drift.json?window=2d").get_json()["models"]
    assert model["drift"]["window"] == "2d"
    assert model["rows"]["ok"] == pytest.approx(160, abs=5)
    assert model["performance"] is None
    assert model["baseline"] == site.model.baseline.fingerprint
    text = client.get("/boxkite/?window=7d").text
    assert "in the last 7 days" in text
    assert 'aria-current="true">7 days</a>' in text
    assert client.get("/boxkite/?window=8d").status_code == 200
    for window in ("1d", "401d", "7w", "<b>"):
        answer = client.get("/boxkite/", query_string={"window": window})
        assert (answer.status_code, "days from '2d' to '400d'" in answer.text) == (400, True)


def test_variable_has_its_weeks(client: FlaskClient) -> None:
    for window in ("24h", "7d", "30d"):
        query = {"model": "m", "side": "feature", "variable": "x", "window": window}
        text = client.get("/boxkite/variable", query_string=query).text
        assert HEADING in text
        assert "The last 7 days, compared with training:" in text
        assert "Population stability index of x by day" in text


def test_beginning_of_a_change_is_marked(tmp_path: Path) -> None:
    baseline_of_numbers(tmp_path / "b.prom")
    site = Site(tmp_path / "state", tmp_path / "b.prom")
    rng = np.random.default_rng(1)
    for number in range(12 * 60):
        site.predict(round(float(rng.normal(1.5 * (number >= 6 * 60), 1.0)), 3), round(float(rng.random()), 3))
        site.go(DAY / 60)
    client = client_of(site)
    changed = site.model.history()["x"].changed
    assert changed is not None
    for path in ("/boxkite/", "/boxkite/variable?model=m&side=feature&variable=x", "/boxkite/report.html"):
        text = client.get(path).text
        assert text.count('class="began change"') == 1
        assert f"x changed at {changed}" in text
    assert 'class="began' not in client.get("/boxkite/variable?model=m&side=output&variable=output").text
    assert f"{changed[:10]} {changed[11:16]} UTC" in client.get("/boxkite/").text


def test_history_is_json_for_programs(client: FlaskClient, site: Site) -> None:
    content = client.get("/boxkite/history.json?days=10").get_json()
    assert content["format"] == 1
    assert content["failures"] == []
    assert content["models"] == [site.model.history(10).to_dict()]
    for days in ("0", "401", "x", "1e1", "-3", "", "²"):
        answer = client.get("/boxkite/history.json", query_string={"days": days})
        assert (answer.status_code, "a number from 1 to 400" in answer.text) == (400, True)


def test_page_reads_the_days_again_after_some_minutes(tmp_path: Path) -> None:
    """It refreshes itself every few seconds, and days do not change so fast."""
    baseline_of_numbers(tmp_path / "b.prom")
    site = Site(tmp_path / "state", tmp_path / "b.prom")
    client = client_of(site)
    for _ in range(2):
        site.predict(0.1)
        site.go(DAY)
    site.predict(0.1)
    before = client.get("/boxkite/").text
    site.go(60.0)
    site.predict(0.1)
    (path,) = re.findall(r"Predicted rows by day: [^<]*", client.get("/boxkite/").text)
    assert path in before
    site.go(300.0)
    assert "2 on 2024-10-06" in client.get("/boxkite/").text
    assert site.model.history().days[-1].rows["ok"] == 2


def test_page_without_days_has_no_such_section(tmp_path: Path) -> None:
    baseline_of_numbers(tmp_path / "b.prom")
    site = Site(tmp_path / "state", tmp_path / "b.prom")
    client = client_of(site)
    assert HEADING not in client.get("/boxkite/").text
    site.predict(0.1)
    assert HEADING not in client.get("/boxkite/").text
    assert client.get("/boxkite/?window=30d").status_code == 200
    assert client.get("/boxkite/variable?model=m&side=feature&variable=x&window=30d").status_code == 200


# --- charts ----------------------------------------------------------------------------------------------------------

ODD = "<b>&\"'"


@pytest.mark.parametrize("days", [1, 2, 8, 400])
def test_charts_are_drawings_within_their_frame(days: int) -> None:
    dates = np.datetime64("2026-01-01") + np.arange(days)
    points = [Point(str(day), float(number % 7), f"{day} {ODD}", 0.0, 9.0) for number, day in enumerate(dates)]
    marks = [
        Mark(f"{dates[-1]}T23:00Z", ODD, str(dates[0]), f"{dates[-1]}T23:00Z"),
        Mark(str(dates[0]), ODD, kind="baseline"),
        Mark("1999-01-01", ODD),
    ]
    charts = [
        traffic_chart(points, marks, str(dates[-1]), ODD),
        days_chart([Line(points, ODD * 5, "major"), Line([])], marks, str(dates[0]), str(dates[-1]), ODD, bottom=0.0),
        days_chart([Line(points[:1])], [], str(dates[0]), str(dates[-1]), ODD, bottom=0.4),
    ]
    for chart in charts:
        root = ElementTree.fromstring(str(chart))
        for element in root.iter():
            xs = [float(element.get(name, "0")) for name in ("x", "cx")]
            ys = [float(element.get(name, "0")) for name in ("y", "cy")]
            assert all(0 <= x <= 560 for x in xs), element.attrib
            assert all(0 <= y <= 250 for y in ys), element.attrib
            assert "nan" not in " ".join(element.attrib.values())


def test_line_has_no_bridge_over_missing_days() -> None:
    points = [Point(f"2026-01-0{day}", 1.0, "") for day in (1, 2, 5, 6)]
    chart = str(days_chart([Line(points)], [], "2026-01-01", "2026-01-06", "gap"))
    assert chart.count("<polyline") == 2
    assert str(days_chart([Line(points, has_gaps=False)], [], "2026-01-01", "2026-01-06", "")).count("<polyline") == 1
