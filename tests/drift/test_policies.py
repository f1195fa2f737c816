"""One table of verdicts by policy, which live counts, records and Prometheus' rules all give."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.provision import RuleOptions, rules_text
from flask_boxkite.records import Records
from tests.provision.promtool import Replica, Rules

TRAINED, LIVE = 20_000, 400

# All flags go from a half to 0.7 of the rows, a change of size 0.15 and of G 66, but for the last one.
TABLE: dict[str, tuple[dict[str, Any], str]] = {
    "plain": ({}, "drifted"),
    "ignored": ({"ignore": True}, "ignored"),
    "useless": ({"weight": 0}, "ignored"),
    "unimportant": ({"weight": 1e-12}, "stable"),
    "important": ({"weight": 5}, "drifted"),
    "touchy": ({"drifted": 0.05, "major": 0.12}, "major"),
    "grave": ({"major": 0.12}, "major"),
    "tolerant": ({"drifted": 0.2}, "shifted"),
    "heavy and tolerant": ({"weight": 2, "drifted": 0.2, "major": 0.3}, "shifted"),
    "steady": ({"drifted": 0.001}, "stable"),
}
"""Policy and verdict of each variable."""

POLICIES = {name: policy for name, (policy, _) in TABLE.items() if policy}
NUMBERS_OF_ROWS = {"row": {"weight": 4}, "ignored row": {"ignore": True}}
"""Policies of numbers, which are different in each row, and as in training."""

POLICIES |= NUMBERS_OF_ROWS
VERDICTS = {name: verdict for name, (_, verdict) in TABLE.items()} | {"row": "stable", "ignored row": "ignored"}
NUMBERS = {-1: "ignored", 0: "not enough data", 1: "stable", 2: "shifted", 3: "drifted", 4: "major"}


def flags(rng: np.random.Generator, rows: int, share: float) -> dict[str, Any]:
    """Return flags of exactly a share of the rows, a steady one, and numbers that make rows differ."""
    shares = {**dict.fromkeys(TABLE, share), "steady": 0.5}
    table = {name: rng.permutation(np.arange(rows) < own * rows).astype(str) for name, own in shares.items()}
    return {**table, **{name: rng.random(rows) for name in NUMBERS_OF_ROWS}}


@pytest.fixture(scope="module")
def table() -> list[dict[str, Any]]:
    """Return live rows."""
    columns = flags(np.random.default_rng(1), LIVE, 0.7)
    return [dict(zip(columns, row, strict=True)) for row in zip(*(v.tolist() for v in columns.values()), strict=True)]


@pytest.fixture(scope="module")
def plain() -> Baseline:
    """Return the baseline without policies."""
    columns = flags(np.random.default_rng(0), TRAINED, 0.5)
    return Baseline.from_chunks([columns], model="flags", pairs=False)


@pytest.fixture(params=["training", "setting", "both"])
def judged(request: pytest.FixtureRequest, plain: Baseline) -> tuple[Baseline, Mapping[str, Mapping[str, Any]]]:
    """Return the baseline and the setting, one of which has the policies, or the setting takes some back."""
    if request.param == "training":
        return plain.with_policies(POLICIES), {}
    if request.param == "setting":
        return plain, POLICIES
    other = {name: {"drifted": 0.01, "major": 0.02} for name in ("ignored", "tolerant")}
    other |= {"touchy": {"ignore": True}, "important": {"weight": 0}}
    return plain.with_policies(other), {
        **POLICIES,
        "touchy": {**POLICIES["touchy"], "ignore": False},
        "tolerant": {"drifted": 0.2, "major": 0.25},
    }


def test_live_counts(judged: tuple[Baseline, Any], table: list[dict[str, Any]]) -> None:
    baseline, variables = judged
    service = ModelMonitoringService(baseline, sink="none", variables=variables)
    for row in table:
        service.log_prediction(features=row)
    assert {item.name: item.verdict for item in service.drift()} == VERDICTS


def test_records(tmp_path: Path, judged: tuple[Baseline, Any], table: list[dict[str, Any]]) -> None:
    baseline, variables = judged
    service = ModelMonitoringService(baseline, log_dir=tmp_path)
    for row in table:
        service.log_prediction(features=row)
    service.close()

    assert {item.name: item.verdict for item in Records(tmp_path).drift(baseline, variables=variables)} == VERDICTS
    (segment,) = Records(tmp_path).drift(baseline, by="model", variables=variables)
    assert {item.name: item.verdict for item in segment.report} == VERDICTS


@pytest.mark.peers
def test_rules(tmp_path: Path, judged: tuple[Baseline, Any], table: list[dict[str, Any]]) -> None:
    """An alert fires for the same variables that `drifted` has; limits of Kolmogorov-Smirnov are by weight, too."""
    baseline, variables = judged
    rules = Rules(tmp_path, rules_text(RuleOptions(windows=("20m",), hold="0s")), "20m")
    replica = Replica(baseline, [list(row.values()) for row in table], variables=variables)
    names = ("verdict", "verdict_any", "ks_limit")
    found, anywhere, limits, alerts = rules.evaluate(
        [replica], [*(f"boxkite:feature:{name}" for name in names), 'ALERTS{alertstate="firing"}']
    )

    for samples in (found, anywhere):
        assert {labels["feature"]: NUMBERS[int(value)] for labels, value in samples} == VERDICTS
    report = replica.service.drift()
    assert {labels["feature"]: value for labels, value in limits} == pytest.approx(
        {name: report[name].distances.kolmogorov_smirnov_limit for name in NUMBERS_OF_ROWS}
    )
    moved = {name for name, verdict in VERDICTS.items() if verdict in ("drifted", "major")}
    assert {(labels["alertname"], labels["feature"]) for labels, _ in alerts} == {
        ("BoxkiteFeatureDrift", name) for name in moved
    }


def test_the_order_is_by_verdict_then_by_weight_times_size(plain: Baseline, table: list[dict[str, Any]]) -> None:
    service = ModelMonitoringService(plain, sink="none", variables=POLICIES)
    for row in table:
        service.log_prediction(features=row)
    report = service.drift()
    names = [item.name for item in report]

    assert set(names[:2]) == {"touchy", "grave"}
    assert names[2:4] == ["important", "plain"]
    assert names[4:6] == ["heavy and tolerant", "tolerant"]
    assert set(names[6:9]) == {"unimportant", "steady", "row"}
    assert set(names[9:]) == {"ignored", "useless", "ignored row"}
    assert [item.name for item in report.drifted] == names[:4]
    judged_weight = 1 + 1e-12 + 5 + 1 + 1 + 1 + 2 + 1 + 4
    assert report.drifted_share == pytest.approx((1 + 1 + 5 + 1) / judged_weight)


def test_what_is_ignored_has_the_numbers_of_weight_1_and_its_counts(
    plain: Baseline, table: list[dict[str, Any]]
) -> None:
    """So that the decision can be taken back."""
    service = ModelMonitoringService(plain, sink="none", variables=POLICIES)
    for row in table:
        service.log_prediction(features=row)
    report = service.drift()
    ignored, other = report["ignored"], report["plain"]

    assert (ignored.live_rows, ignored.rows) == (LIVE, LIVE)
    assert ignored.judgement.limit == other.judgement.limit
    assert ignored.judgement.psi == pytest.approx(other.judgement.psi)
    assert (ignored.weight, ignored.reason, report["useless"].reason) == (0, "", "weight 0")
    again = ModelMonitoringService(
        plain.with_policies({"ignored": {"ignore": True}}), sink="none", variables={"ignored": {"ignore": False}}
    )
    for row in table:
        again.log_prediction(features=row)
    assert again.drift()["ignored"].verdict == "drifted"


def test_no_policy_changes_the_fingerprint(plain: Baseline) -> None:
    """Counts of a baseline stay comparable, whatever users think of its variables."""
    assert plain.with_policies(POLICIES).fingerprint == plain.fingerprint
