"""Segments and pairs from clients to Prometheus, the page and records, with real programs and workers that are killed.

Finland sends a third of its incomes, and all rows have the rents of other rows: neither shows in any variable of all
rows together. Counts are compared with a recount of the rows that were sent, made without the package's counting.
"""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.provision import RuleOptions, rules_text
from flask_boxkite.records import Records
from tests.peers import Gunicorn, Prometheus, fetch, wait_for

pytestmark = pytest.mark.peers

ROWS = 3000
BATCH = 3
COUNTRIES = ["SE", "NO", "FI"]
OPTIONS = RuleOptions(windows=("60s",), scrape_interval="250ms", hold="0s")

APP = """
from flask import Flask, request

from flask_boxkite import Boxkite

app = Flask(__name__)
app.config.from_prefixed_env("APP")
monitor = Boxkite(app)


@app.post("/score")
@monitor.predict
def score():
    return {"predictions": [0.5 for _ in request.get_json()]}
"""


def people(rng: np.random.Generator, rows: int) -> dict[str, Any]:
    """Return features, of which rent follows income, and a column that the model does not read."""
    income = rng.lognormal(10, 0.5, rows)
    return {
        "income": income,
        "rent": income * rng.lognormal(-1, 0.2, rows),
        "age": rng.normal(40, 10, rows),
        "country": rng.choice(COUNTRIES, rows, p=[0.55, 0.4, 0.05]),
    }


def train(path: Path, rng: np.random.Generator) -> Baseline:
    """Write the baseline: the country only segments rows."""
    return ModelMonitoringService.export_text(
        people(rng, 20000), np.full(20000, 0.5), path, segments=["country"], exclude=["country"], progress=False
    )


def recount(baseline: Baseline, rows: list[dict[str, Any]]) -> Counter[tuple[str, str, str]]:
    """Return the rows by segment, variable, and upper bound of the group of each number."""
    found: Counter[tuple[str, str, str]] = Counter()
    for row in rows:
        for item in baseline.given:
            lowest, *bounds = item.group_bounds  # type: ignore[union-attr]
            inner = [repr(bound) for bound in bounds if row[item.name] <= bound]
            group = "__below__" if row[item.name] <= lowest else inner[0] if inner else "__above__"
            found[f"country={row['country']}", item.name, group] += 1
    return found


def exported(prometheus: Prometheus, baseline: Baseline) -> Counter[tuple[str, str, str]]:
    """Return the same as PromQL has it."""
    names = "|".join(item.name for item in baseline.given)
    query = f'sum by (segment, variable, group) (boxkite_segment_group_total{{variable=~"{names}"}}) > 0'
    found: Counter[tuple[str, str, str]] = Counter()
    for series in prometheus.query(query):
        group = series["metric"]["group"]
        key = group.rstrip("]").rpartition(",")[2] if group.startswith("(") else group
        found[series["metric"]["segment"], series["metric"]["variable"], key] += int(series["value"])
    return found


def test_a_segment_and_a_pair_are_the_same_everywhere(tmp_path: Path, rng: np.random.Generator) -> None:
    baseline = train(tmp_path / "baseline.prom", rng)
    rules = tmp_path / "rules.yml"
    rules.write_text(rules_text(OPTIONS), encoding="utf-8")
    live = people(rng, ROWS)
    live["income"] = np.where(live["country"] == "FI", live["income"] / 3, live["income"])
    live["rent"] = rng.permutation(live["rent"])
    rows = [
        dict(zip(live, values, strict=True))
        for values in zip(*(column.tolist() for column in live.values()), strict=True)
    ]
    env = {
        "APP_BOXKITE_BASELINE": str(tmp_path / "baseline.prom"),
        "APP_BOXKITE_STATE_DIR": str(tmp_path / "state"),
        "APP_BOXKITE_DASHBOARD_PATH": "/boxkite",
        "APP_BOXKITE_LOG_DIR": str(tmp_path / "records"),
        "APP_BOXKITE_SPOOL_DIR": str(tmp_path / "spool"),
    }
    with (
        Gunicorn("scoring:app", tmp_path / "app", source=APP, workers=2, env=env) as server,
        Prometheus(tmp_path / "prometheus", [server.address], interval=0.25, rule_files=[rules]) as prometheus,
    ):
        prometheus.wait_scraped()
        for start in range(0, ROWS, BATCH):
            assert fetch(f"{server.url}/score", json_body=rows[start : start + BATCH]).status == 200
            if start == ROWS // 2:
                kill(server.worker_pids()[0], server)
        for pid in server.worker_pids():  # new workers compute their gauges at their first scrape
            kill(pid, server)
        prometheus.wait_scraped()
        assert exported(prometheus, baseline) == recount(baseline, rows)
        wait_for(lambda: delivered(tmp_path / "records") == ROWS // BATCH, what="the records of killed workers")

        page = json.loads(fetch(f"{server.url}/boxkite/segments.json?by=country&window=24h").text)
        check_gauges(prometheus, page)
        wait_for(lambda: len(fired(prometheus)) == 2, what="both alerts")
        assert fired(prometheus) == {"BoxkiteSegmentDrift": "country=FI", "BoxkitePairDrift": "income, rent"}

    records = Records(tmp_path / "records").drift(baseline, by="country").to_dict()
    assert verdicts(records) == verdicts(page)
    assert numbers(records) == numbers(page)


def delivered(folder: Path) -> int:
    """Return the number of records in files."""
    return sum(path.read_bytes().count(b"\n") for path in folder.rglob("*.txt"))


def kill(pid: int, server: Gunicorn) -> None:
    """Kill a worker, and wait for the next one."""
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: pid not in server.worker_pids() and len(server.worker_pids()) == 2, what="a new worker")


def verdicts(report: dict[str, Any]) -> dict[tuple[str, str], str]:
    """Return the verdict on each variable in each segment."""
    return {(own["name"], item["name"]): item["verdict"] for own in report["segments"] for item in own["variables"]}


def numbers(report: dict[str, Any]) -> dict[tuple[str, str], tuple[float, ...]]:
    """Return the counts and distances of each variable in each segment, which depend on no time."""
    keys = ("live_rows", "baseline_rows", "jensen_shannon", "hellinger", "kolmogorov_smirnov")
    return {
        (own["name"], item["name"]): tuple(item[key] for key in keys)
        for own in report["segments"]
        for item in own["variables"]
    }


def check_gauges(prometheus: Prometheus, page: dict[str, Any]) -> None:
    """The gauges have the verdicts of the page."""
    ranks = {"not enough data": 0, "stable": 1, "unclear": 1, "shifted": 2, "drifted": 3, "major": 4}
    found = prometheus.query('max by (segment, variable) (boxkite_segment_verdict{window="24h"})')
    gauges = {(each["metric"]["segment"], each["metric"]["variable"]): each["value"] for each in found}
    expected = {(f"country={name}", variable): ranks[verdict] for (name, variable), verdict in verdicts(page).items()}
    assert {key: gauges[key] for key in expected} == expected
    assert expected["country=FI", "income"] >= 3
    assert max(rank for (segment, _), rank in expected.items() if segment != "country=FI") < 3


def fired(prometheus: Prometheus) -> dict[str, str]:
    """Return the subject of each alert on drift that fires."""
    alerts = prometheus.query('ALERTS{alertname=~"Boxkite.*Drift",alertstate="firing"}')
    return {
        each["metric"]["alertname"]: next(
            each["metric"][label] for label in ("segment", "pair", "feature", "output") if label in each["metric"]
        )
        for each in alerts
    }
