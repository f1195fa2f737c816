"""boxkite's queries, read from their page and executed by a real Prometheus: what NumPy says of the same rows."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flask_boxkite import ModelMonitoringService
from tests.peers import Gunicorn, Prometheus, fetch, wait_for

pytestmark = pytest.mark.peers

PAGE = Path(__file__).resolve().parents[2] / "examples/boxkite-queries/README.md"
KS, KL, KS_OF_ALL, KL_OF_ALL = re.findall(r"^```promql\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)

FEATURES = ("age", "city", "height", "plan")
MOVING, STEADY = ("age", "city", "output"), ("height", "plan")
CONTINUOUS, DISCRETE = {"age": "feature_0", "height": "feature_2", "output": "inference"}, ("city", "plan")

APP = """
from flask import Flask, request

from flask_boxkite import Boxkite

app = Flask(__name__)
app.config.from_prefixed_env("APP")
monitor = Boxkite(app)


@app.post("/")
@monitor.predict
def score():
    return {"predictions": [row[0] / 10 for row in request.get_json()["instances"]]}
"""


def columns(rng: np.random.Generator, rows: int, *, moved: bool = False) -> dict[str, list[Any]]:
    """Return features and output; where they moved, so did the features that can, and a city is new."""
    cities = ["Ulm", "Bonn", "Oslo"] if moved else ["Bonn", "Köln", "Ulm"]
    age = rng.normal(4 if moved else 0, 1, rows)
    height: list[Any] = rng.lognormal(0, 1, rows).tolist()
    height[::10] = [None] * len(height[::10])
    plan: list[Any] = rng.choice(["a", "b"], rows, p=[0.7, 0.3]).tolist()
    plan[::20] = [None] * len(plan[::20])
    city = rng.choice(cities, rows, p=[0.6, 0.3, 0.1]).tolist()
    return {"age": age.tolist(), "city": city, "height": height, "plan": plan, "output": (age / 10).tolist()}


@dataclass
class Traffic:
    """A server under boxkite's names, one under ours, the Prometheus that scrapes both, and all that they were sent."""

    servers: list[Gunicorn]
    prometheus: Prometheus
    trained: dict[str, list[Any]]
    sent: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in (*FEATURES, "output")})

    def send(self, table: dict[str, list[Any]]) -> None:
        """Send rows to both servers."""
        rows = list(zip(*(table[name] for name in FEATURES), strict=True))
        for start in range(0, len(rows), 100):
            for one in self.servers:
                assert fetch(one.url, json_body={"instances": rows[start : start + 100]}).status == 200
        for name, column in table.items():
            self.sent[name] += column

    def time(self) -> float:
        """Return a time when all that was sent had been scraped, and of which nothing will change."""
        self.prometheus.wait_scraped()
        at = self.prometheus.value("max(timestamp(up))")
        self.prometheus.wait_scraped(at)  # until then, a scrape from before may still be written
        return at

    def growth(self, total: str, rows: int, at: float) -> float:
        """Return the factor by which `increase`, which extrapolates, makes rows out to be more than were sent."""
        assert self.prometheus.value(f"sum({total})") == rows
        return self.value(f"sum(increase({total}[30m]))", at) / rows

    def value(self, expression: str, at: float) -> float:
        """Evaluate what has one series."""
        (found,) = self.prometheus.query(expression, at=at)
        return float(found["value"])

    def ks(self, at: float) -> dict[str, float]:
        """Execute the query of each continuous variable, under boxkite's names."""
        queries = {name: KS.replace("feature_0", stem) for name, stem in CONTINUOUS.items()}
        return {name: self.value(query, at) for name, query in queries.items()}

    def kl(self, at: float) -> dict[str, float]:
        """Execute the query of each discrete variable, under boxkite's names."""
        queries = {name: KL.replace("feature_1", f"feature_{FEATURES.index(name)}") for name in DISCRETE}
        return {name: self.value(query, at) for name, query in queries.items()}

    def of_all(self, query: str, at: float) -> dict[str, float]:
        """Execute a query of all features, under our names."""
        return {item["metric"]["feature"]: item["value"] for item in self.prometheus.query(query, at=at)}

    def bounds(self, name: str) -> list[float]:
        """Return the bounds of a variable's bins."""
        found = self.prometheus.query(f"{CONTINUOUS[name]}_value_baseline_bucket")
        return [float(item["metric"]["le"]) for item in found]


@pytest.fixture(scope="module")
def traffic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traffic]:
    """Start both servers and Prometheus."""
    directory = tmp_path_factory.mktemp("queries")
    trained = columns(np.random.default_rng(1), 3000)
    features = {name: trained[name] for name in FEATURES}
    path = directory / "baseline.prom"
    ModelMonitoringService.export_text(features, trained["output"], path)
    first, second = (
        Gunicorn(
            "scoring:app",
            directory / names,
            source=APP,
            env={"APP_BOXKITE_BASELINE": str(path), "APP_BOXKITE_METRIC_NAMES": names},
        )
        for names in ("boxkite", "labels")
    )
    with first, second:
        targets = [first.address, second.address]
        with Prometheus(directory / "prometheus", targets, interval=0.25) as prometheus:
            traffic = Traffic([first, second], prometheus, trained)
            wait_for(lambda: prometheus.value("min(count_over_time(up[30m]))") >= 2, what="scrapes without rows")
            yield traffic


# --- by NumPy, from rows ---------------------------------------------------------------------------------------------


def largest_distance(before: Sequence[Any], now: Sequence[Any], bounds: Sequence[float], *, rows: bool) -> float:
    """Return the largest distance of the shares up to each bound: of all rows, or of those that have a value."""
    shares = []
    for column in (before, now):
        values = np.array([value for value in column if value is not None])
        up_to = (values[:, None] <= np.array([bound for bound in bounds if bound < math.inf])).sum(axis=0)
        shares.append(up_to / (len(column) if rows else len(values)))
    return float(np.abs(shares[0] - shares[1]).max())


def bin_counts(column: Sequence[Any], known: Sequence[Any], *, is_missing_a_bin: bool) -> list[int]:
    """Count trained values, rare ones, of which there are none, and others; missing and invalid ones if asked to."""
    found = [*(column.count(value) for value in known), 0, sum(value not in (*known, None) for value in column)]
    return [*found, column.count(None), 0] if is_missing_a_bin else found


def divergence(before: Sequence[Any], now: Sequence[Any], growth: float, *, is_missing_a_bin: bool) -> float:
    """Return the symmetric divergence with one added to each count."""
    known = sorted({value for value in before if value is not None})
    c, d = (np.array(bin_counts(column, known, is_missing_a_bin=is_missing_a_bin)) for column in (before, now))
    p, q = (c + 1) / (c + 1).sum(), (growth * d + 1) / (growth * d + 1).sum()
    return float(np.sum((q - p) * np.log(q / p)))


def check(traffic: Traffic, at: float) -> None:
    """Compare all queries with NumPy."""
    rows = len(traffic.sent["age"])
    pairs = {name: (traffic.trained[name], traffic.sent[name]) for name in traffic.sent}
    growth = traffic.growth('feature_0_value_bucket{le="+Inf"}', rows, at)
    assert traffic.ks(at) == pytest.approx(
        {name: largest_distance(*pairs[name], traffic.bounds(name), rows=True) for name in CONTINUOUS}, abs=1e-9
    )
    assert traffic.kl(at) == pytest.approx(
        {name: divergence(*pairs[name], growth, is_missing_a_bin=True) for name in DISCRETE}, abs=1e-9
    )
    growth = traffic.growth('boxkite_feature_value_bucket{feature="age",le="+Inf"}', rows, at)
    assert traffic.of_all(KS_OF_ALL, at) == pytest.approx(
        {name: largest_distance(*pairs[name], traffic.bounds(name), rows=False) for name in ("age", "height")},
        abs=1e-9,
    )
    assert traffic.of_all(KL_OF_ALL, at) == pytest.approx(
        {name: divergence(*pairs[name], growth, is_missing_a_bin=False) for name in DISCRETE}, abs=1e-9
    )


# --- what they say ---------------------------------------------------------------------------------------------------


def test_boxkites_queries_show_drift_and_only_drift(traffic: Traffic, rng: np.random.Generator) -> None:
    at = traffic.time()
    assert all(map(math.isnan, traffic.ks(at).values())), "There was no traffic."
    equal_shares = divergence(traffic.trained["city"], [], 1.0, is_missing_a_bin=True)
    assert traffic.kl(at)["city"] == pytest.approx(equal_shares, abs=1e-9)

    traffic.send(columns(rng, 600))
    at = traffic.time()
    check(traffic, at)
    before = traffic.ks(at) | traffic.kl(at)

    traffic.send(columns(rng, 600, moved=True))
    at = traffic.time()
    check(traffic, at)
    after = traffic.ks(at) | traffic.kl(at)

    assert all(after[name] > 5 * before[name] for name in MOVING), (before, after)
    assert all(after[name] < 0.05 for name in STEADY), (before, after)
    assert all(before[name] < 0.05 for name in before), (before, after)


def test_the_page_says_which_feature_is_which(traffic: Traffic) -> None:
    traffic.prometheus.wait_scraped()
    found = [item["metric"] for item in traffic.prometheus.query("baseline_metrics_info")]
    assert {item["metric_name"]: (item["feature_name"], item["metric_type"]) for item in found} == {
        "feature_0_value_baseline": ("age", "histogram"),
        "feature_1_value_baseline": ("city", "counter"),
        "feature_2_value_baseline": ("height", "histogram"),
        "feature_3_value_baseline": ("plan", "counter"),
        "inference_value_baseline": ("Baseline inference values for test set", "histogram"),
    }
