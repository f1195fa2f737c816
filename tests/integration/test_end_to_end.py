"""From a client's request to PromQL and to fluentd, through real programs: nothing lost, doubled, moved or renamed.

gunicorn serves an app whose view is decorated with ``@monitor.predict``. Clients load it from outside with all that
clients send: good rows, missing, unseen, absurd ones, single and in batches, and requests that fail. A Prometheus
server scrapes it all the while. What PromQL and the fluentd server then say is compared with a recount, written
independently of the package, of the very rows that were sent (`tests.integration.traffic`).
"""

from __future__ import annotations

import json
import math
import re
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flask_boxkite import Baseline
from tests.integration.traffic import (
    AMOUNT,
    APP,
    FEATURES,
    NUMERIC,
    OTHERS,
    Client,
    Sent,
    as_float32,
    as_json,
    recount_buckets,
    recount_groups,
    train,
)
from tests.peers import FluentServer, Gunicorn, Prometheus, fetch, wait_for

pytestmark = pytest.mark.peers

CLIENTS = 4
REQUESTS_PER_CLIENT = 120
TOKEN = "open-sesame"
ENDPOINT_ID, POD_NAME, SERVER_ID = "credit.eu", "pod-1.zone/a", "server-1"
TAG = "ml.predictions.credit_eu.pod-1_zone_a"


@pytest.fixture
def baseline(tmp_path: Path, rng: np.random.Generator) -> Baseline:
    return train(tmp_path / "histogram.prom", rng)


@dataclass
class World:
    """The programs of one test."""

    baseline: Baseline
    fluentd: FluentServer
    server: Gunicorn
    prometheus: Prometheus


@pytest.fixture(params=["sync", "gthread"])
def world(request: pytest.FixtureRequest, tmp_path: Path, baseline: Baseline) -> Iterator[World]:
    """Start fluentd, the app and Prometheus."""
    with FluentServer(tmp_path / "fluentd") as fluentd:
        server = Gunicorn(
            "scoring:app",
            tmp_path / "app",
            source=APP,
            worker_class=request.param,
            args=["--threads=4"] if request.param == "gthread" else [],
            env={
                "APP_BOXKITE_BASELINE": str(tmp_path / "histogram.prom"),
                "APP_BOXKITE_METRICS_TOKEN": TOKEN,
                "APP_BOXKITE_FLUENTD_ADDR": fluentd.addr,
                "APP_BOXKITE_FLUENTD_PREFIX": "ml.predictions",
                "APP_BOXKITE_ENDPOINT_ID": ENDPOINT_ID,
                "APP_BOXKITE_POD_NAME": POD_NAME,
                "APP_BOXKITE_SERVER_ID": SERVER_ID,
                "APP_AMOUNT": AMOUNT,
            },
        )
        with server, Prometheus(tmp_path / "prometheus", [server.address], interval=0.5, token=TOKEN) as prometheus:
            yield World(baseline, fluentd, server, prometheus)


def test_everything_sent_is_counted_and_recorded_exactly(world: World) -> None:
    prometheus = world.prometheus
    prometheus.wait_scraped()
    before = own_series(prometheus)
    check_nothing_is_counted_yet(world, before)

    sent = load(world)
    # None of these is a prediction.
    assert fetch(f"{world.server.url}/").text == "not a prediction"
    assert fetch(f"{world.server.url}/nowhere", json_body=[1]).status == 404
    assert fetch(f"{world.server.url}/score").status == 405

    prometheus.wait_scraped()
    assert Counter(item.status for item in sent).keys() == {"ok", "client_error", "error"}
    check_requests(prometheus, sent)
    check_features(world, sent)
    check_outputs(world, sent)
    check_the_course_of_it(prometheus, sent, before)
    check_access_and_formats(world, sent)
    check_records(world, sent)


def load(world: World) -> list[Sent]:
    """Send requests until Prometheus has scraped twice in the midst of them."""
    prometheus = world.prometheus
    bounds = {
        name: [
            float(bound) for bound in by_label(prometheus, selector("boxkite_feature_value_bucket", feature=name), "le")
        ]
        for name in (AMOUNT, "temperature")
    }
    may_end = threading.Event()
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [Client(world.server.url, seed, bounds) for seed in range(CLIENTS)]
        parts = [pool.submit(client.run, REQUESTS_PER_CLIENT, may_end) for client in clients]
        try:
            for _ in range(2):
                seen = prometheus.value("sum(boxkite_predictions_total)")
                wait_for(
                    lambda seen=seen: prometheus.value("sum(boxkite_predictions_total)") > seen,  # type: ignore[misc]
                    what="a scrape under load",
                )
        finally:
            may_end.set()
        return [item for part in parts for item in part.result()]


def own_series(prometheus: Prometheus) -> dict[frozenset[tuple[str, str]], float]:
    """Return our series, by their labels, with their values."""
    found = prometheus.query('{__name__=~"boxkite_.*"}')
    return {frozenset(series["metric"].items()): series["value"] for series in found}


def by_label(prometheus: Prometheus, expression: str, label: str) -> dict[str, float]:
    """Return the values of an expression by one label that tells its series apart."""
    found = prometheus.query(expression)
    values = {series["metric"][label]: series["value"] for series in found}
    assert len(values) == len(found), f"{expression!r} has two series of one {label!r}: {found}"
    return values


def selector(name: str, **labels: str) -> str:
    """Write a PromQL selector. JSON's strings are PromQL's."""
    return f"{name}{{{','.join(f'{key}={json.dumps(value, ensure_ascii=False)}' for key, value in labels.items())}}}"


def check_nothing_is_counted_yet(world: World, series: Mapping[frozenset[tuple[str, str]], float]) -> None:
    counted = re.compile(
        "boxkite_(feature_(value|category|group)|inference_(value|category|group|sum)|predictions|"
        "prediction_duration_seconds|capture_errors|log_records|log_dropped)(_bucket|_count|_sum|_total)?"
    )
    found = {labels: value for labels, value in series.items() if counted.fullmatch(dict(labels)["__name__"])}
    assert {dict(labels)["__name__"] for labels in found} == {
        "boxkite_feature_value_bucket",
        "boxkite_feature_category_total",
        "boxkite_feature_group_total",
        "boxkite_inference_value_bucket",
        "boxkite_inference_group_total",
        "boxkite_inference_sum_total",
        "boxkite_predictions_total",
        "boxkite_prediction_duration_seconds_bucket",
        "boxkite_prediction_duration_seconds_count",
        "boxkite_prediction_duration_seconds_sum",
        "boxkite_capture_errors_total",
        "boxkite_log_records_total",
        "boxkite_log_dropped_total",
    }
    assert set(found.values()) == {0.0}
    about = {"model": "credit", "baseline": world.baseline.fingerprint}.items()
    for labels in series:
        if not dict(labels)["__name__"].startswith(("boxkite_log_", "boxkite_state_")):
            assert about <= labels
    assert world.prometheus.value(selector("boxkite_baseline_info", version="2024-02")) == 4000


def check_requests(prometheus: Prometheus, sent: Sequence[Sent]) -> None:
    rows: Counter[str] = Counter()
    for item in sent:
        rows[item.status] += item.row_count
    assert by_label(prometheus, "boxkite_predictions_total", "status") == rows
    assert prometheus.value("boxkite_prediction_duration_seconds_count") == len(sent)
    assert prometheus.value('boxkite_prediction_duration_seconds_bucket{le="+Inf"}') == len(sent)
    unmatched = sum(item.status == "ok" and not item.is_matched for item in sent)
    assert unmatched >= CLIENTS
    assert by_label(prometheus, "boxkite_capture_errors_total", "reason") == {
        "features": unmatched,
        "output": 0,
        "internal": 0,
    }


def check_features(world: World, sent: Sequence[Sent]) -> None:
    prometheus = world.prometheus
    counted = [item for item in sent if item.status == "ok" and item.is_matched]
    rows = [row for item in counted for row in item.rows or ()]
    kinds = {series["metric"]["feature"]: series["metric"] for series in prometheus.query("boxkite_feature_info")}
    assert {name: (kinds[name]["kind"], kinds[name]["position"]) for name in FEATURES} == {
        AMOUNT: ("continuous", "0"),
        "temperature": ("continuous", "1"),
        "visits": ("discrete", "2"),
        "city": ("discrete", "3"),
        "plan": ("discrete", "4"),
        "member": ("discrete", "5"),
    }
    for name in FEATURES:
        values = [row[name] for row in rows]
        is_text = name not in NUMERIC
        groups = by_label(prometheus, selector("boxkite_feature_group_total", feature=name), "group")
        if name == "temperature":
            values = [as_float32(value) for value in values]
        expected = recount_groups(values, list(groups), is_text=is_text)
        if kinds[name]["kind"] == "continuous":
            buckets = by_label(prometheus, selector("boxkite_feature_value_bucket", feature=name), "le")
            assert buckets == recount_buckets(values, list(buckets))
        else:
            categories = by_label(prometheus, selector("boxkite_feature_category_total", feature=name), "category")
            found = recount_groups(values, list(categories), is_text=is_text)
            found = with_others(name, found)
            assert categories == {label: found[label] for label in categories}
            # Groups are the most frequent categories here, so they say the same and the rest besides.
            assert groups.items() >= {label: found[label] for label in groups if label[0] != "_"}.items()
            expected = with_others(name, expected)
        assert groups == expected
        assert sum(groups.values()) == len(rows)
        # The load must have rows of every kind, or nothing is tested.
        assert all(groups[group] for group in ("__missing__", "__invalid__"))


def with_others(name: str, found: dict[str, int]) -> dict[str, int]:
    """Put the categories that training does not have where they belong: training has dropped some cities."""
    others = found.pop(OTHERS)
    assert others
    found["__rare__" if name == "city" else "__unseen__"] += others
    return found


def check_outputs(world: World, sent: Sequence[Sent]) -> None:
    prometheus = world.prometheus
    outputs = [value for item in sent if item.status == "ok" for value in item.outputs]
    buckets = by_label(prometheus, 'boxkite_inference_value_bucket{output="output"}', "le")
    assert buckets == recount_buckets(outputs, list(buckets))
    groups = by_label(prometheus, 'boxkite_inference_group_total{output="output"}', "group")
    assert groups == recount_groups(outputs, list(groups), is_text=False)
    assert all(groups[group] for group in ("__missing__", "__below__", "__above__"))
    finite = [value for value in outputs if value is not None and math.isfinite(value)]
    # Added in another order than here, so the last digits differ.
    assert by_label(prometheus, "boxkite_inference_sum_total", "sign") == pytest.approx(
        {"positive": math.fsum(v for v in finite if v > 0), "negative": -math.fsum(v for v in finite if v < 0)},
        rel=1e-9,
    )


def check_the_course_of_it(
    prometheus: Prometheus, sent: Sequence[Sent], before: Mapping[frozenset[tuple[str, str]], float]
) -> None:
    """What holds at every moment, not only in the end."""
    after = own_series(prometheus)
    assert after.keys() == before.keys(), "Series came or went under load."
    names = {dict(labels)["__name__"] for labels in after}
    for name in sorted(name for name in names if name.endswith(("_total", "_bucket", "_count"))):
        assert prometheus.value(f"max(resets({name}[10m]))") == 0
    # In every single scrape, all features had counted the same rows.
    rows = "sum by (feature) (boxkite_feature_group_total)"
    assert prometheus.value(f"max_over_time((max({rows}) - min({rows}))[10m:100ms])") == 0
    assert prometheus.value(f"count(count_values('rows', {rows}))") == 1
    # The first increments are not lost to increase(), since the series were there at 0: it only ever extrapolates.
    ok = sum(item.row_count for item in sent if item.status == "ok")
    increase = prometheus.value('increase(boxkite_predictions_total{status="ok"}[10m])')
    assert increase >= ok * (1 - 1e-9)


def check_access_and_formats(world: World, sent: Sequence[Sent]) -> None:
    url = f"{world.server.url}/metrics"
    assert fetch(url).status == 401
    assert fetch(url, headers={"Authorization": "Bearer guess"}).status == 401
    answer = fetch(url, headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status == 200
    # OpenMetrics, which Prometheus asks for, allows no count without a sum; the text format has it.
    counts = re.findall(r"^boxkite_feature_value_count\{.*\} (\d+)$", answer.text, re.M)
    infinite = re.findall(r'^boxkite_feature_value_bucket\{.*le="\+Inf"\} (\d+)$', answer.text, re.M)
    assert len(counts) == 2
    assert counts == infinite


def check_records(world: World, sent: Sequence[Sent]) -> None:
    wait_for(lambda: len(world.fluentd.records()) >= len(sent), what="all records")
    wait_for(lambda: scraped_log_metric(world, "boxkite_log_queue_records", "sink") == {"fluentd": 0}, what="all acks")
    entries = world.fluentd.records()
    assert len(entries) == len(sent)
    records = {entry["record"]["prediction_id"]: entry for entry in entries}
    assert len(records) == len({entry["record"]["entity_id"] for entry in entries}) == len(sent)
    assert records.keys() == {item.prediction_id for item in sent}
    for item in sent:
        check_record(records[item.prediction_id], item, world.baseline)
    assert scraped_log_metric(world, "boxkite_log_records_total", "outcome") == {
        "accepted": len(sent),
        "delivered": len(sent),
    }
    assert set(scraped_log_metric(world, "boxkite_log_dropped_total", "reason").values()) == {0}


def scraped_log_metric(world: World, name: str, label: str) -> dict[str, float]:
    world.prometheus.wait_scraped()
    return by_label(world.prometheus, selector(name, sink="fluentd"), label)


def check_record(entry: dict[str, Any], item: Sent, baseline: Baseline) -> None:
    record = entry["record"]
    assert entry["tag"] == TAG
    assert entry["event_time"], "The time came in whole seconds."
    assert item.started_ns <= entry["time"] <= item.ended_ns
    assert record["created_at"] == entry["time"] // 1_000_000_000
    assert type(record["created_at"]) is int
    assert str(uuid.UUID(record["entity_id"], version=4)) == record["entity_id"]
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record["created_at"]))
    assert record["prediction_id"] == f"{SERVER_ID}/{moment}/{record['entity_id']}"
    duration = record["duration_ms"]
    assert 0 <= duration <= (item.ended_ns - item.started_ns) / 1e6
    answered = item.status == "ok"
    output = item.answer.json().get("predictions", item.answer.json().get("prediction")) if answered else None
    assert record == {
        "entity_id": record["entity_id"],
        "prediction_id": record["prediction_id"],
        "created_at": record["created_at"],
        "duration_ms": duration,
        "features": item.features,
        "request_body": item.text,
        "output": as_json(output),
        "server_id": SERVER_ID,
        "model": "credit",
        "baseline": baseline.fingerprint,
        "version": "2024-02",
        "status": item.status,
        "rows": item.row_count,
    }
