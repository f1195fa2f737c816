"""Every expression of the dashboard, in a real Prometheus that scrapes real servers and evaluates the rules."""

from __future__ import annotations

import json
import re
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from flask_boxkite import ModelMonitoringService
from flask_boxkite.provision import RuleOptions, rules_text
from flask_boxkite.provision.grafana import dashboard_text
from tests.peers import Gunicorn, Prometheus, fetch, wait_for

pytestmark = pytest.mark.peers

SCRAPE_SECONDS = 0.25
OPTIONS = RuleOptions(windows=("10s", "60s"), scrape_interval="250ms", hold="0s")

AGE = 'age "in\' years\\\n{le="1"} $model'
RISK = "risk's \\d"
ALL = ".*"
MODEL = 'churn "b" \\'
VERSION = "v1.0+cpu"
"""Names that would end strings, be escapes or mean something to Grafana."""

APP = f"""
from flask import Flask, request

from flask_boxkite import Boxkite


AGE, RISK = {AGE!r}, {RISK!r}
app = Flask("scoring")
app.config.from_prefixed_env("APP")
monitor = Boxkite(app)


@app.post("/score")
@monitor.predict
def score():
    rows = request.get_json()["instances"]
    return {{"predictions": [{{RISK: row[AGE] / 10, "label": row["city"]}} for row in rows]}}
"""


@dataclass
class Stack:
    """A Prometheus, the dashboard that belongs to its rules, and what a visitor has chosen."""

    prometheus: Prometheus
    dashboard: dict[str, Any]
    choices: dict[str, str]

    def filled(self, text: str) -> str:
        """Return a text with all its variables filled in, as Grafana does."""

        def fill(match: re.Match[str]) -> str:
            plain, name, form = match.groups()
            value = self.choices[plain or name]
            # All is not escaped.
            return re.sub(r"[\\^$*+?.()|[\]{}/]", r"\\\g<0>", value) if form == "regex" and value != ALL else value

        return re.sub(r"\$(?:([a-z_]+)|\{(\w+):(raw|regex)\})", fill, text)

    def answer(self, expression: str) -> list[dict[str, Any]]:
        """Evaluate an expression of the dashboard."""
        return self.prometheus.query(self.filled(expression))


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all panels but headings, and but the ones on performance, which a model of these outputs does not have."""
    found, heading = [], ""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            heading = panel["title"]
        elif heading != "Performance":
            found.append(panel)
    return found


def columns(rng: np.random.Generator, rows: int, shift: float) -> dict[str, list[Any]]:
    """Return the features, moved by *shift* standard deviations."""
    return {AGE: rng.normal(shift, 1, rows).tolist(), "city": rng.choice(["Bonn", "Ulm"], rows).tolist()}


def send(server: Gunicorn, table: dict[str, list[Any]]) -> None:
    """Have rows predicted, a few at a time: rows of fewer than 30 requests are not independent."""
    rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    for start in range(0, len(rows), 4):
        assert fetch(f"{server.url}/score", json_body={"instances": rows[start : start + 4]}).status == 200


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Start two replicas, one of which exports neither baseline nor bins, and drift their traffic."""
    directory, rng = tmp_path_factory.mktemp("stack"), np.random.default_rng(0)
    trained = columns(rng, 2000, 0.0)
    outputs = {RISK: [age / 10 for age in trained[AGE]], "label": trained["city"]}
    path = directory / "histogram.prom"
    ModelMonitoringService.export_text(trained, outputs, path, model=MODEL, version=VERSION)
    (directory / "rules.yml").write_text(rules_text(OPTIONS), encoding="utf-8")
    env = {
        "APP_BOXKITE_BASELINE": str(path),
        "APP_BOXKITE_LOG_DIR": str(directory / "records"),
        "APP_BOXKITE_QUEUE_BYTES": "20000",
    }
    lean = {**env, "APP_BOXKITE_EXPORT_BINS": "false", "APP_BOXKITE_EXPORT_BASELINE": "false"}
    servers = [
        Gunicorn("scoring:app", directory / name, source=APP, env=one) for name, one in (("full", env), ("lean", lean))
    ]
    dashboard = json.loads(dashboard_text(OPTIONS, title="Drift"))
    choices = {
        **{"job": ALL, "namespace": ALL, "model": MODEL, "version": VERSION, "baseline": ALL},
        **{"feature": AGE, "output": RISK, "window": "60s", "__rate_interval": "60s", "__range": "120s"},
    }
    with servers[0] as full, servers[1] as bare:
        targets = [full.address, bare.address]
        rules = [directory / "rules.yml"]
        with Prometheus(directory / "p", targets, interval=SCRAPE_SECONDS, rule_files=rules) as prometheus:
            prometheus.wait_scraped()
            for server in (full, bare):
                send(server, columns(rng, 300, 2.0))
                assert fetch(f"{server.url}/score", json_body={"instances": [{"city": "Bonn"}]}).status == 500
                assert fetch(f"{server.url}/score", json_body={"too large to be recorded": "x" * 30_000}).status == 500
            wait_for(lambda: dropped(prometheus) > 0, what="a record that was dropped")
            wait_for(lambda: prometheus.query('ALERTS{alertname="BoxkiteFeatureDrift"}'), what="an alert")
            prometheus.wait_evaluated("boxkite-60s-bins")
            yield Stack(prometheus, dashboard, choices)


def dropped(prometheus: Prometheus) -> float:
    """Return how many records were lost in both replicas, if both say so."""
    found = prometheus.query("sum by (instance) (increase(boxkite_log_dropped_total[120s])) > 0")
    return len(found) - 1


def test_every_expression_returns_data(stack: Stack) -> None:
    empty = []
    for panel in panels(stack.dashboard):
        for target in panel["targets"]:
            found = stack.answer(target["expr"])
            if not found or any(series["value"] != series["value"] for series in found):
                empty.append((panel["title"], target["expr"], found))
    assert empty == []


def test_every_choice_has_values(stack: Stack) -> None:
    """As Grafana asks for them: values of a label, among series that match."""
    found = {}
    for variable in stack.dashboard["templating"]["list"]:
        if variable["type"] != "query":
            continue
        match = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"])
        assert match, variable["query"]
        query = urllib.parse.urlencode({"match[]": stack.filled(match[1])})
        found[variable["name"]] = fetch(f"{stack.prometheus.url}/api/v1/label/{match[2]}/values?{query}").json()["data"]

    assert found.pop("baseline")
    assert found == {
        **{"job": ["app"], "namespace": [], "model": [MODEL], "version": [VERSION]},
        **{"feature": [AGE, "city"], "output": ["label", RISK]},
    }


def test_every_metric_exists(stack: Stack) -> None:
    expressions = [target["expr"] for panel in panels(stack.dashboard) for target in panel["targets"]]
    expressions += [variable["query"] for variable in stack.dashboard["templating"]["list"] if "query" in variable]
    named = {name for text in expressions for name in re.findall(r"\bboxkite[a-z_:]*", str(text))}
    there = set(fetch(f"{stack.prometheus.url}/api/v1/label/__name__/values").json()["data"])

    assert len(named) > 25
    assert named - there == set()


def test_the_overview_says_what_the_rules_say(stack: Stack) -> None:
    """One line a variable, however many replicas there are."""
    (table,) = (panel for panel in panels(stack.dashboard) if panel["title"] == "All variables")
    answers = [stack.answer(target["expr"]) for target in table["targets"]]
    variables = {("feature", AGE), ("feature", "city"), ("output", RISK), ("output", "label")}

    for answer in answers:
        assert {(series["metric"]["side"], series["metric"]["variable"]) for series in answer} == variables
        assert len(answer) == 4
    verdicts = {series["metric"]["variable"]: series["value"] for series in answers[0]}
    assert verdicts == {AGE: 4, RISK: 4, "city": 1, "label": 1}
    assert stack.answer(panels(stack.dashboard)[0]["targets"][0]["expr"])[0]["value"] == 2


def test_the_feature_that_failed_requests_lack_is_shown(stack: Stack) -> None:
    (panel,) = [panel for panel in panels(stack.dashboard) if panel["title"] == "Odd in failed requests"]
    (series,) = stack.answer(panel["targets"][0]["expr"])
    assert series == {"metric": {"feature": AGE, "state": "missing"}, "value": 1.0}


def test_shares_of_groups_add_up(stack: Stack) -> None:
    charts = [panel for panel in panels(stack.dashboard) if panel["type"] == "barchart"]
    assert len(charts) == 2
    for chart in charts:
        for target in chart["targets"]:
            shares = [series["value"] for series in stack.answer(target["expr"])]
            assert sum(shares) == pytest.approx(1.0)


def test_the_mean_of_an_output_is_its_mean(stack: Stack) -> None:
    (mean,) = (panel for panel in panels(stack.dashboard) if panel["title"].endswith("mean"))
    (series,) = stack.answer(mean["targets"][0]["expr"])
    assert series["value"] == pytest.approx(0.2, abs=0.03)


def test_a_discrete_variable_has_everything_but_an_order(stack: Stack) -> None:
    chosen = Stack(stack.prometheus, stack.dashboard, {**stack.choices, "feature": "city", "output": "label"})
    without = {
        panel["title"]
        for panel in panels(stack.dashboard)
        for target in panel["targets"]
        if not chosen.answer(target["expr"])
    }
    assert without == {
        "$feature: values over time",
        "$output: values over time",
        "$output: mean",
        "Kolmogorov-Smirnov",
    }


def test_lines_over_time_can_be_drawn(stack: Stack) -> None:
    """As Grafana asks for them: evaluated at many times at once."""
    end = time.time()
    for panel in panels(stack.dashboard):
        for target in panel["targets"]:
            if target.get("range"):
                query = {"query": stack.filled(target["expr"]), "start": end - 5, "end": end, "step": 1}
                answer = fetch(f"{stack.prometheus.url}/api/v1/query_range?{urllib.parse.urlencode(query)}").json()
                assert answer["data"]["result"], target["expr"]
