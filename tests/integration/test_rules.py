"""The generated rules in a real Prometheus that scrapes real servers, and their alerts in a real Alertmanager."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.drift.statistics import g_statistic, population_stability_index
from flask_boxkite.drift.verdict import judge
from flask_boxkite.provision import RuleOptions, rules_text
from tests.peers import Alertmanager, Gunicorn, Prometheus, fetch, wait_for

pytestmark = pytest.mark.peers

FEATURES = ("age", "city")
CITIES = ["Bonn", "Köln", "Ulm"]
SCRAPE_SECONDS = 0.25
# `increase` extrapolates by up to one scrape in as many as there were: by less than the 2 % that are asked for.
SCRAPES = 80
OPTIONS = RuleOptions(windows=("60s",), scrape_interval="250ms", hold="0s")

APP = """
from flask import Flask, request

from flask_boxkite import Boxkite

app = Flask(__name__)
app.config.from_prefixed_env("APP")
monitor = Boxkite(app)


def serve(model):
    @monitor.predict(model=model)
    def score():
        return {"predictions": [row[0] / 10 for row in request.get_json()["instances"]]}

    app.add_url_rule(f"/{model}", model, score, methods=["POST"])


for model in app.config["BOXKITE_BASELINE"]:
    serve(model)
"""


def columns(rng: np.random.Generator, rows: int, shift: float = 0.0) -> dict[str, Any]:
    """Return the features, moved by *shift* standard deviations."""
    return {"age": rng.normal(shift, 1, rows), "city": rng.choice(CITIES, rows, p=[0.5, 0.3, 0.2])}


def train(path: Path, rng: np.random.Generator, model: str) -> Baseline:
    """Write the baseline of a model."""
    features = columns(rng, 2000)
    return ModelMonitoringService.export_text(features, features["age"] / 10, path, model=model, version="v1")


def server(directory: Path, baselines: Mapping[str, Path]) -> Gunicorn:
    """Return one replica with these models."""
    paths = {model: str(path) for model, path in baselines.items()}
    return Gunicorn("scoring:app", directory, source=APP, env={"APP_BOXKITE_BASELINE": json.dumps(paths)})


def send(replica: Gunicorn, model: str, table: Mapping[str, Any]) -> None:
    """Have rows predicted, a few at a time: rows of fewer than 30 requests are not independent."""
    rows = [list(row) for row in zip(*(column.tolist() for column in table.values()), strict=True)]
    for start in range(0, len(rows), 4):
        assert fetch(f"{replica.url}/{model}", json_body={"instances": rows[start : start + 4]}).status == 200


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """Return the rule file."""
    path = tmp_path / "rules.yml"
    # The rules on serving are evaluated every 12 s else, which is long to wait for their alerts.
    path.write_text(re.sub(r"(?m)^( +interval:) 12s$", r"\1 2s", rules_text(OPTIONS)), encoding="utf-8")
    return path


def counts(prometheus: Prometheus, family: str, **labels: str) -> dict[str, float]:
    """Return what the servers have counted since their start, by group."""
    selector = ",".join(f"{name}={json.dumps(value)}" for name, value in labels.items())
    combine = "max" if "_baseline_" in family else "sum"
    found = prometheus.query(f"{combine} by (group) ({family}{{{selector}}})")
    return {series["metric"]["group"]: series["value"] for series in found}


# --- numbers ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def replicas(tmp_path: Path, rng: np.random.Generator) -> Iterator[tuple[list[Gunicorn], list[Baseline]]]:
    """Start three replicas of one model: two of one baseline, and one that has another already."""
    baselines = [train(tmp_path / f"{name}.prom", rng, "churn") for name in ("old", "new")]
    paths = [tmp_path / f"{name}.prom" for name in ("old", "old", "new")]
    servers = [server(tmp_path / f"app{number}", {"churn": path}) for number, path in enumerate(paths)]
    with ExitStack() as stack:
        for one in servers:
            stack.enter_context(one)
        yield servers, baselines


def test_recorded_statistics_are_those_of_the_counts(
    tmp_path: Path, rules: Path, replicas: tuple[list[Gunicorn], list[Baseline]], rng: np.random.Generator
) -> None:
    """Traffic comes while Prometheus scrapes, and all of it is in the window."""
    servers, baselines = replicas
    targets = [one.address for one in servers]
    with Prometheus(tmp_path / "prometheus", targets, interval=SCRAPE_SECONDS, rule_files=[rules]) as prometheus:
        prometheus.wait_scraped()
        send_some(servers, rng)
        # Time passes, so that there is traffic that only a window as long as it says still sees.
        wait_for_scrapes(prometheus, SCRAPES)
        send_some(servers, rng)
        prometheus.wait_scraped()
        prometheus.wait_evaluated("boxkite-60s")
        for baseline in baselines:
            for side, label, variables in (("feature", "feature", FEATURES), ("inference", "output", ("output",))):
                for variable in variables:
                    check_variable(prometheus, side, baseline=baseline.fingerprint, **{label: variable})


def wait_for_scrapes(prometheus: Prometheus, number: int) -> None:
    """Wait until series are old enough to be counted by."""
    scrapes = 'min(count_over_time(up{job="app"}[60s]))'
    wait_for(lambda: prometheus.value(scrapes) > number, timeout=120.0, what="enough scrapes")


def send_some(servers: list[Gunicorn], rng: np.random.Generator) -> None:
    """Send each replica some rows; the last one's are like in training."""
    for one, rows, shift in zip(servers, (150, 250, 200), (0.2, 0.6, 0.0), strict=True):
        send(one, "churn", columns(rng, rows, shift))


def check_variable(prometheus: Prometheus, side: str, **labels: str) -> None:
    """Compare what is recorded of a variable with Python's numbers for its counts."""
    before = counts(prometheus, f"boxkite_{side}_group_baseline_total", **labels)
    live = counts(prometheus, f"boxkite_{side}_group_total", **labels)
    c, d = [*before.values()], [live[group] for group in before]
    selector = ",".join(f"{name}={json.dumps(value)}" for name, value in labels.items())
    # All of one evaluation: dispersions are renewed every minute.
    at = prometheus.value("max(timestamp(boxkite:inference:missing_share))")

    def recorded(name: str) -> float:
        (found,) = prometheus.query(f"boxkite:{side}:{name}{{{selector}}}", at=at)
        return float(found["value"])

    dispersion = recorded("dispersion")
    judgement = judge(c, d, alpha=1e-5 / 3, dispersion=dispersion)
    # Three of the standard errors that training gives the size.
    error = math.sqrt((2 * judgement.noise + 4 * judgement.size) / sum(c))
    expected = {
        "live_rows": sum(d),
        "baseline_rows": sum(c),
        "g": g_statistic(c, np.divide(d, dispersion)),
        "psi": population_stability_index(c, d),
        "psi_noise": judgement.noise,
        "size": max(judgement.size - 3 * error, 0.0),
        "missing_share": 0,
    }
    found = {name: recorded(name) for name in expected}
    gauge = prometheus.query(f'max(boxkite_{side}_dispersion{{{selector},window="5m"}})', at=at)

    assert sum(c) == 2000
    assert found == pytest.approx(expected, rel=0.02, abs=1e-4)
    assert recorded("dispersion") == gauge[0]["value"] >= 1


# --- alerts ----------------------------------------------------------------------------------------------------------


def test_alertmanager_hears_of_drift_and_only_of_drift(tmp_path: Path, rules: Path, rng: np.random.Generator) -> None:
    """Two models on two replicas; the traffic of one moves."""
    paths = {model: tmp_path / f"{model}.prom" for model in ("steady", "moving", "idle")}
    for model, path in paths.items():
        train(path, rng, model)
    with ExitStack() as stack:
        servers = [stack.enter_context(server(tmp_path / f"app{number}", paths)) for number in range(2)]
        alertmanager = stack.enter_context(Alertmanager(tmp_path / "alertmanager"))
        prometheus = stack.enter_context(
            Prometheus(
                tmp_path / "prometheus",
                [one.address for one in servers],
                interval=SCRAPE_SECONDS,
                rule_files=[rules],
                alertmanagers=[alertmanager.address],
            )
        )
        # Extrapolation by a tenth changes no verdict here.
        wait_for_scrapes(prometheus, 10)
        for one in servers:
            send(one, "steady", columns(rng, 200))
            send(one, "moving", columns(rng, 200))
        wait_for(lambda: verdicts(prometheus) == {"steady": 1, "moving": 1, "idle": 0}, what="verdicts")
        assert alertmanager.alerts() == []

        for one in servers:
            send(one, "steady", columns(rng, 200))
            send(one, "moving", columns(rng, 200, shift=2.0))
        wait_for(lambda: len(alertmanager.alerts()) >= 2, what="alerts")
        prometheus.wait_scraped()
        prometheus.wait_evaluated("boxkite-60s")
        assert verdicts(prometheus) == {"steady": 1, "moving": 4, "idle": 0}
        check_alerts(alertmanager.alerts())
        assert prometheus.query('ALERTS{model!="moving"}') == []


@pytest.mark.parametrize("honor_labels", [True, False], ids=["honoured", "renamed"])
def test_a_target_with_labels_of_the_same_names_is_honoured_or_told(
    tmp_path: Path, rules: Path, rng: np.random.Generator, honor_labels: bool
) -> None:
    """As Kubernetes' labelmap gives targets the labels of pods."""
    baselines = {model: tmp_path / f"{model}.prom" for model in ("fraud", "churn")}
    for model, path in baselines.items():
        train(path, rng, model)
    with ExitStack() as stack:
        one = stack.enter_context(server(tmp_path / "app", baselines))
        prometheus = stack.enter_context(
            Prometheus(
                tmp_path / "prometheus",
                [one.address],
                interval=SCRAPE_SECONDS,
                rule_files=[rules],
                labels={"model": "scoring-api", "version": "v7"},
                honor_labels=honor_labels,
            )
        )
        prometheus.wait_scraped()
        renamed = prometheus.query("count by (exported_model) (boxkite_predictions_total{exported_model!=''})")
        if honor_labels:
            wait_for(lambda: verdicts(prometheus) == {"fraud": 0, "churn": 0}, what="verdicts of each")
            assert renamed == []
            assert prometheus.query('ALERTS{alertname="BoxkiteLabelsRenamed"}') == []
        else:
            assert {found["metric"]["exported_model"] for found in renamed} == set(baselines)
            alert = 'ALERTS{alertname="BoxkiteLabelsRenamed",label="model"}'
            wait_for(lambda: len(prometheus.query(alert)) == 1, what="the alert")
        assert prometheus.query('ALERTS{alertname="BoxkiteTwoBaselines"}') == []


def verdicts(prometheus: Prometheus) -> dict[str, float]:
    """Return the verdict on one feature of each model."""
    found = prometheus.query('boxkite:feature:verdict_any{feature="age"}')
    return {series["metric"]["model"]: series["value"] for series in found}


def check_alerts(found: list[dict[str, Any]]) -> None:
    """The feature that moved, and the output that follows it; the city did not."""
    alerts = {alert["labels"]["alertname"]: alert for alert in found}
    assert sorted(alert["labels"]["alertname"] for alert in found) == ["BoxkiteFeatureDrift", "BoxkiteOutputDrift"]
    assert {alert["labels"]["model"] for alert in found} == {"moving"}
    assert alerts["BoxkiteFeatureDrift"]["labels"]["feature"] == "age"
    texts = alerts["BoxkiteFeatureDrift"]["annotations"]
    assert texts["summary"] == "Feature age of model moving has drifted from training"
    assert re.search(
        r"\(version v1, baseline \w{12}\) has drifted from training over the last 60s: size \d\.\d\d, ",
        texts["description"],
    )
    assert re.search(
        r"G \d+\.\d, its limit \d+\.\d; \d+ rows\. Moved most: \S+ to \S+, from \S+% to \S+% of rows\.$",
        texts["description"],
    )
