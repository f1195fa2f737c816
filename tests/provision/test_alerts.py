"""Alerts: when they fire, when they do not, and their texts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.drift.statistics import g_statistic
from flask_boxkite.drift.wording import SPECIAL_WORDS
from flask_boxkite.provision import RuleOptions, rules_text
from tests.provision.promtool import EACH_MINUTE, Replica, Rules, course, series

pytestmark = pytest.mark.peers

DAY = 1440
TARGET = {"job": "app", "namespace": "prod", "instance": "a:80"}
MODEL = {**TARGET, "model": "churn"}
SINK = {**TARGET, "sink": "fluentd"}


def train(tmp_path: Path, table: Mapping[str, Any], outputs: Any = None, version: str = "v1") -> Baseline:
    """Return a baseline."""
    return ModelMonitoringService.export_text(table, outputs, tmp_path / "b.prom", model="churn", version=version)


@pytest.fixture
def rules(tmp_path: Path) -> Rules:
    """Return rules whose alerts do not wait, evaluated now and then."""
    return Rules(tmp_path, rules_text(RuleOptions(windows=("1h",), hold="0s")), "5m")


@pytest.fixture
def patient(tmp_path: Path) -> Rules:
    """Return rules whose alerts wait, evaluated every minute."""
    return Rules(tmp_path, rules_text(RuleOptions(windows=EACH_MINUTE)), "1m")


@pytest.fixture
def flag(tmp_path: Path) -> Baseline:
    """Return a baseline of one feature, half one thing, half the other."""
    return train(tmp_path, {"flag": ["a"] * 50 + ["b"] * 50})


MOSTLY_A = [["a"]] * 90 + [["b"]] * 10


# --- drift -----------------------------------------------------------------------------------------------------------


def test_a_drifted_feature_alerts_and_says_what_moved(rules: Rules, flag: Baseline) -> None:
    """G equals the hand-worked example of the statistics; the limit is χ² with 3 degrees of freedom at 1e-5."""
    ((labels, texts),) = rules.alerts([Replica(flag, MOSTLY_A)], "BoxkiteFeatureDrift", minutes=60)

    assert labels == {
        "alertname": "BoxkiteFeatureDrift",
        "job": "app",
        "namespace": "prod",
        "model": "churn",
        "baseline": flag.fingerprint,
        "feature": "flag",
        "severity": "warning",
    }
    assert texts == {
        "summary": "Feature flag of model churn has drifted from training",
        "description": (
            f"Feature flag of model churn (version v1, baseline {flag.fingerprint}) has drifted from training "
            "over the last 1h: size 0.28, drift from 0.1 on; G 40.7, its limit 25.9; 100 rows. "
            "Moved most: a, from 50% to 90% of rows."
        ),
    }


def test_a_drifted_output_alerts(tmp_path: Path, rules: Rules, rng: np.random.Generator) -> None:
    baseline = train(tmp_path, {"x": rng.normal(size=200)}, rng.choice(["yes", "no"], 200))
    replica = Replica(baseline, rng.normal(size=(100, 1)).tolist(), ["yes"] * 100)

    assert rules.firing([replica]) == {"BoxkiteOutputDrift"}
    ((labels, texts),) = rules.alerts([replica], "BoxkiteOutputDrift", minutes=60)
    assert labels["output"] == "output"
    assert texts["summary"] == "Output output of model churn has drifted from training"


def test_no_drift_and_no_traffic_are_no_alert(tmp_path: Path, rules: Rules, rng: np.random.Generator) -> None:
    baseline = train(tmp_path, {"x": rng.normal(size=200)}, rng.random(200))
    like_training = Replica(baseline, rng.normal(size=(300, 1)).tolist(), rng.random(300).tolist())

    assert rules.firing([like_training]) == set()
    assert rules.firing([Replica(baseline)]) == set()


def test_a_handful_of_rows_is_no_alert(tmp_path: Path, rules: Rules, rng: np.random.Generator) -> None:
    baseline = train(tmp_path, {"x": rng.normal(size=200)})
    assert rules.firing([Replica(baseline, [[9.0]] * 29)]) == set()
    assert rules.firing([Replica(baseline, [[9.0]] * 30)]) == {"BoxkiteFeatureDrift"}


def test_the_minimum_size_is_an_option(tmp_path: Path) -> None:
    """A shift that is real, and of size 0.12."""
    replica = Replica(train(tmp_path, {"flag": ["a"] * 10_000 + ["b"] * 10_000}), [["a"]] * 680 + [["b"]] * 320)
    fires = {}
    for size in (0.1, 0.2):
        options = RuleOptions(windows=("1h",), hold="0s", minimum_size=size)
        fires[size] = Rules(tmp_path, rules_text(options), "5m").firing([replica])
    assert fires == {0.1: {"BoxkiteFeatureDrift"}, 0.2: set()}


def test_sizes_of_a_variable_win_over_the_minimum_size(tmp_path: Path) -> None:
    """A shift of size 0.12, of a variable with a size of its own and of one without."""
    table = {name: ["a"] * 10_000 + ["b"] * 10_000 for name in ("own", "usual")}
    rows = [["a", "a"]] * 680 + [["b", "b"]] * 320
    found = {}
    for own, minimum in ((0.11, 0.2), (0.2, 0.1)):
        replica = Replica(train(tmp_path, table), rows, variables={"own": {"drifted": own}})
        rules = Rules(tmp_path, rules_text(RuleOptions(windows=("1h",), hold="0s", minimum_size=minimum)), "5m")
        alerts = rules.alerts([replica], "BoxkiteFeatureDrift", minutes=60)
        (texts,) = (texts["description"] for _, texts in alerts)
        found[own, minimum] = alerts[0][0]["feature"], f"drift from {min(own, minimum):g} on" in texts
    assert found == {(0.11, 0.2): ("own", True), (0.2, 0.1): ("usual", True)}


def test_a_variable_is_ignored_at_once_and_for_some_minutes_after_the_decision_is_taken_back(
    tmp_path: Path, flag: Baseline
) -> None:
    """Gauges outlive their last scrape, so that a restart leaves no gap."""
    rules = Rules(tmp_path, rules_text(RuleOptions(windows=("1h",), hold="0s")), "1m")
    series_of = {name: f"{values}+0x40" for name, values in Replica(flag, MOSTLY_A).series(60).items()}
    labels = {"baseline": flag.fingerprint, "feature": "flag", **MODEL}
    weight = {series("boxkite_feature_weight", **labels): "_x64 0+0x9"}

    fired = rules.alerts_at([series_of, weight], "BoxkiteFeatureDrift", [60, 65, 74, 80, 90])
    assert {minute: len(found) for minute, found in fired.items()} == {60: 1, 65: 0, 74: 0, 80: 0, 90: 1}


def test_drift_must_last(patient: Rules, flag: Baseline) -> None:
    lasting = {name: f"{values}+0x30" for name, values in Replica(flag, MOSTLY_A).series(60).items()}

    found = patient.alerts_at([lasting], "BoxkiteFeatureDrift", [64, 65])
    assert [len(alerts) for alerts in found.values()] == [0, 1]


@pytest.fixture
def flags(tmp_path: Path) -> Baseline:
    """Return a baseline of many rows, half one thing, half the other."""
    return train(tmp_path, {"flag": ["a"] * 10_000 + ["b"] * 10_000})


def test_the_numbers_are_those_of_the_window_that_moved_most(tmp_path: Path, flags: Baseline) -> None:
    """Half an hour ago, rows were as in training; they are still in the longer windows."""
    rules = Rules(tmp_path, rules_text(RuleOptions(windows=EACH_MINUTE, hold="0s")), "1m")
    steady, moved = Replica(flags, [["a"], ["b"]] * 2000), Replica(flags, MOSTLY_A * 40)
    ((labels, texts),) = rules.alerts([course((60, steady), (88, moved), end=90)], "BoxkiteFeatureDrift", minutes=90)

    assert "window" not in labels
    about = f"Feature flag of model churn (version v1, baseline {flags.fingerprint}) has drifted from training "
    # PSI of 0.9 and of 0.7 are 0.4·ln(1.8) - 0.4·ln(0.2) = 0.88 and 0.2·ln(1.4) - 0.2·ln(0.6) = 0.17, less three of
    # the errors that 20,000 training rows give these, 0.04 and 0.02.
    g = g_statistic([10_000, 10_000], [3600, 400])
    found = re.fullmatch(
        rf"over the last 5m: size 0\.84, drift from 0\.1 on; G {g:.1f}, its limit 28\.2; 4000 rows\. "
        r"Moved most: a, from 50% to 90% of rows\. It has also drifted over the last "
        r"1h \(size 0\.15\), 4h \(size 0\.1\d\)\.",
        texts["description"].removeprefix(about),
    )
    assert found, texts["description"]


def test_an_alert_stays_the_same_while_a_change_moves_from_window_to_window(patient: Rules, flags: Baseline) -> None:
    """It is in the last minutes until minute 35, in the last hour until 90, and then in the longest only."""
    moved = Replica(flags, MOSTLY_A * 40)
    found = patient.alerts_at([course((30, moved), end=120)], "BoxkiteFeatureDrift", [34, 36, 92, 120])

    assert found.pop(34) == []
    assert [len(alerts) for alerts in found.values()] == [1, 1, 1]
    assert found[36][0][0] == found[92][0][0] == found[120][0][0]
    windows = {minutes: re.findall(r"last (\w+):", texts["description"]) for minutes, ((_, texts),) in found.items()}
    assert windows == {36: ["1h"], 92: ["4h"], 120: ["4h"]}


def test_what_is_recorded_seldom_is_found_in_between(rules: Rules) -> None:
    """Prometheus takes samples for gone after 5 minutes, which is how often the rules of a day are evaluated."""
    of = {"job": "app", "namespace": "prod", "model": "m", "baseline": "b", "feature": "x"}
    day = {**of, "window": "24h"}
    numbers = {"verdict": 3, "size": 0.2, "g": 80, "live_rows": 50}
    given = {
        **{series(f"boxkite:feature:{name}", **day): f"_x54 {value} _x5" for name, value in numbers.items()},
        series("boxkite:feature:moved_most", group="old", **day): "_x50 0.2 stale _x8",
        series("boxkite:feature:moved_most", group="new", **day): "_x54 0.3 _x5",
        series("boxkite_feature_group_baseline_total", group="new", **of): "10+0x60",
        series("boxkite:feature_group:live", group="new", **day): "_x54 20 _x5",
    }
    ((_, texts),) = rules.alerts([given], "BoxkiteFeatureDrift", minutes=60)
    assert texts["description"].endswith(
        "over the last 24h: size 0.20, drift from 0.1 on; G 80.0, its limit ; 50 rows. "
        "Moved most: new, from 100% to 40% of rows."
    )


GROUPS = {
    "(17.999939,24.0]": "18 to 24",
    "(-1.5e-10,0.0333335]": "-1.5e-10 to 0.03333",
    "(-1234567.25,1e+06]": "-1234567 to 1000000",
    "[9.0,10.0]": "9 to 10",
    "9.0": "9",
    "(2024-01-01,2024-02-01]": "2024-01-01 to 2024-02-01",
    "Bonn and 2 more": "Bonn and 2 more",
    "(a,b]": "(a,b]",
    "{{ .Value }}": "{{ .Value }}",
    **SPECIAL_WORDS,
}


@pytest.mark.parametrize("group", GROUPS)
def test_groups_have_the_words_of_the_page(rules: Rules, group: str) -> None:
    of = {"job": "app", "namespace": "prod", "model": "m", "baseline": "b", "feature": "x"}
    day = {**of, "window": "24h"}
    numbers = {"verdict": 3, "size": 0.2, "g": 80, "live_rows": 50}
    given = {
        **{series(f"boxkite:feature:{name}", **day): f"{value}+0x60" for name, value in numbers.items()},
        series("boxkite:feature:moved_most", group=group, **day): "0.3+0x60",
        series("boxkite_feature_group_baseline_total", group=group, **of): "10+0x60",
        series("boxkite:feature_group:live", group=group, **day): "20+0x60",
    }
    ((_, texts),) = rules.alerts([given], "BoxkiteFeatureDrift", minutes=60)
    assert texts["description"].endswith(f" rows. Moved most: {GROUPS[group]}, from 100% to 40% of rows.")


@pytest.mark.parametrize("name", ['a "quoted" name', "back\\slash", "Größe (m²)", "{{ braces }}", "two\nlines", "%s"])
def test_any_name_can_be_looked_up(tmp_path: Path, rules: Rules, name: str) -> None:
    baseline = train(tmp_path, {name: ["a"] * 50 + ["b"] * 50})
    ((labels, texts),) = rules.alerts([Replica(baseline, MOSTLY_A)], "BoxkiteFeatureDrift", minutes=60)

    assert labels["feature"] == name
    assert texts["description"].endswith("100 rows. Moved most: a, from 50% to 90% of rows.")


def test_a_rollout_of_a_version_with_the_same_baseline_names_both(tmp_path: Path, rules: Rules) -> None:
    """Labels stay the same, so the alert does not start again."""
    table = {"flag": ["a"] * 50 + ["b"] * 50}
    old = Replica(train(tmp_path, table, version="v1"), MOSTLY_A, instance="a")
    new = Replica(train(tmp_path, table, version="v2"), MOSTLY_A, instance="b")
    ((_, texts),) = rules.alerts([old, new], "BoxkiteFeatureDrift", minutes=60)

    assert "(version v1 v2, baseline" in texts["description"]


def test_severity_and_labels_are_options(tmp_path: Path, flag: Baseline) -> None:
    options = RuleOptions(windows=("1h",), hold="0s", severity="page", group_by=("cluster",))
    rules = Rules(tmp_path, rules_text(options), "5m")
    replicas = [
        Replica(flag, MOSTLY_A[::2], instance=name, labels={"cluster": "eu", "job": name}) for name in ("a", "b")
    ]
    ((labels, texts),) = rules.alerts(replicas, "BoxkiteFeatureDrift", minutes=60)

    assert labels.items() >= {"severity": "page", "cluster": "eu"}.items()
    assert "job" not in labels
    assert "; 100 rows." in texts["description"]


# --- a feature that stopped ------------------------------------------------------------------------------------------


def test_a_feature_that_stopped_arriving(tmp_path: Path, rules: Rules) -> None:
    """Not one that was rarely there in training."""
    table = {"age": [1.0, 2.0, 3.0, 4.0] * 50, "note": ["x"] * 20 + [None] * 180, "flag": ["a", "b"] * 100}
    rows = [[None, None, "a"], [None, None, "b"]] * 20
    ((labels, texts),) = rules.alerts([Replica(train(tmp_path, table), rows)], "BoxkiteFeatureStopped", minutes=60)

    assert (labels["feature"], labels["severity"]) == ("age", "warning")
    assert texts["summary"] == "Feature age of model churn no longer arrives"
    baseline = train(tmp_path, table)
    assert texts["description"] == (
        f"Feature age of model churn (version v1, baseline {baseline.fingerprint}) is missing in 100% of rows; "
        "over the last 1h in 100%."
    )
    assert rules.alerts([Replica(baseline, rows[:29])], "BoxkiteFeatureStopped", minutes=60) == []
    assert rules.firing([Replica(baseline, rows, variables={"age": {"ignore": True}})]) == set()


WHEN_MISSING: dict[str, tuple[tuple[int, int], tuple[int, int], list[str]]] = {
    "just now": ((150, 1000), (178, 30), ["100% of rows; over the last 5m in 100%, 1h in 2.913%, 4h in 2.913%."]),
    "too few rows just now": ((150, 1000), (178, 29), []),
    "some time ago": ((60, 1000), (150, 30), ["100% of rows; over the last 1h in 100%, 4h in 2.913%."]),
    "back again": ((178, 100), (60, 2000), []),
}
"""Minute and number of the rows that have the feature and of those that lack it, and what is said then."""


def test_the_shortest_window_that_has_rows_says_what_stopped(tmp_path: Path) -> None:
    """Once, though several windows may see it. Each case is a job, as promtool evaluates the rules of all at once."""
    rules = Rules(tmp_path, rules_text(RuleOptions(windows=EACH_MINUTE, hold="0s")), "1m")
    baseline = train(tmp_path, {"age": [1.0, 2.0, 3.0, 4.0] * 50})
    courses = []
    for name, (present, missing, _) in WHEN_MISSING.items():
        steps = [
            (minute, Replica(baseline, [[value]] * rows, labels={"job": name}))
            for (minute, rows), value in ((present, 2.0), (missing, None))
        ]
        courses.append(course(*sorted(steps, key=lambda step: step[0]), end=180))
    found: dict[str, list[str]] = {name: [] for name in WHEN_MISSING}
    for labels, texts in rules.alerts(courses, "BoxkiteFeatureStopped", minutes=180):
        found[labels["job"]].append(texts["description"].partition("missing in ")[2])
        assert "window" not in labels

    assert found == {name: expected for name, (_, _, expected) in WHEN_MISSING.items()}


# --- traffic ---------------------------------------------------------------------------------------------------------


def predictions(values: str, **labels: str) -> dict[str, str]:
    """Return the counter of predictions."""
    return {series("boxkite_predictions_total", status="ok", **{**MODEL, "baseline": "b", **labels}): values}


def test_traffic_that_ended_since_yesterday(rules: Rules) -> None:
    """Yesterday's last hour had 60 rows, today's none.

    A model that rests at this time of the day is not missed, and one that has a new baseline goes on with it.
    """
    ended, moved = (predictions(f"0+1x{DAY} {DAY}+0x120", model=model) for model in ("churn", "moved"))
    goes_on = predictions(f"0+0x{DAY} 1+1x120", model="moved", baseline="c")
    resting = predictions(f"0+1x20 20+0x{DAY + 100}", model="nightly")
    ((labels, texts),) = rules.alerts([ended, moved, goes_on, resting], "BoxkiteNoTraffic", minutes=DAY + 90)

    assert labels["model"] == "churn"
    assert texts["summary"] == "Model churn no longer gets requests"
    assert texts["description"] == (
        "Model churn predicted nothing in the last 1h; at this time yesterday, it predicted 60 rows in as long."
    )


def test_replicas_that_are_gone_have_no_traffic_either(rules: Rules) -> None:
    gone = predictions(f"0+1x{DAY} _x200")
    assert len(rules.alerts([gone], "BoxkiteNoTraffic", minutes=DAY + 90)) == 1


# --- baselines -------------------------------------------------------------------------------------------------------


def test_two_baselines_for_too_long(tmp_path: Path) -> None:
    rules = Rules(tmp_path, rules_text(RuleOptions(windows=("1h",))), "1m")
    info = {series("boxkite_baseline_info", version="v", baseline=name, **MODEL): "9+0x200" for name in ("a", "b")}
    other = {series("boxkite_baseline_info", version="v", baseline="c", **{**MODEL, "model": "other"}): "9+0x200"}

    assert rules.alerts([info, other], "BoxkiteTwoBaselines", minutes=59) == []
    ((labels, texts),) = rules.alerts([info, other], "BoxkiteTwoBaselines", minutes=61)
    assert labels["model"] == "churn"
    assert texts["summary"] == "Model churn is served with 2 baselines"


def renamed(given: dict[str, str], label: str) -> dict[str, str]:
    """Return series as Prometheus stores them where targets have a label of this name."""
    return {
        name.replace(f"{{{label}=", f"{{exported_{label}=").replace(f",{label}=", f",exported_{label}="): values
        for name, values in given.items()
    }


def test_models_whose_label_was_renamed_are_no_two_baselines(tmp_path: Path) -> None:
    rules = Rules(tmp_path, rules_text(RuleOptions(windows=("1h",))), "1m")
    infos = [
        {series("boxkite_baseline_info", version="v", exported_model=model, baseline=name, **MODEL): "9+0x200"}
        for model, name in (("fraud", "a"), ("churn", "b"))
    ]
    assert rules.alerts(infos, "BoxkiteTwoBaselines", minutes=100) == []
    infos.append(
        {series("boxkite_baseline_info", version="v", exported_model="churn", baseline="c", **MODEL): "9+0x200"}
    )
    assert len(rules.alerts(infos, "BoxkiteTwoBaselines", minutes=100)) == 1


# --- renamed labels --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "label", ["model", "baseline", "status", "feature", "output", "group", "window", "reason", "sink"]
)
def test_a_label_that_prometheus_renamed_is_an_alert(tmp_path: Path, rules: Rules, label: str) -> None:
    """All metrics of a real app, whose target has such a label."""
    sent = {series("boxkite_log_records_total", outcome="accepted", **SINK): "1+0x60"}
    baseline = train(tmp_path, {"flag": ["a"] * 50 + ["b"] * 50}, ["x", "y"] * 50)
    given = {**sent, **Replica(baseline, [["a"], ["b"]], ["x", "y"]).series(60)}
    assert rules.alerts([given], "BoxkiteLabelsRenamed", minutes=60) == []

    ((labels, texts),) = rules.alerts([renamed(given, label)], "BoxkiteLabelsRenamed", minutes=60)
    about = {"alertname": "BoxkiteLabelsRenamed", "job": "app", "namespace": "prod", "severity": "warning"}
    assert labels == {**about, "label": label}
    assert texts["summary"] == f"Prometheus has renamed the label {label} of the metrics"
    assert re.fullmatch(
        rf"Targets have a label {label} of their own, so Prometheus stores the label of the metrics as "
        rf"exported_{label} "
        r"\([1-9]\d* series\), and rules and dashboards mix what it tells apart\. "
        r"Set honor_labels: true in the scrape job \(honorLabels: true in a ServiceMonitor or PodMonitor\)\.",
        texts["description"],
    )


# --- records ---------------------------------------------------------------------------------------------------------


def test_records_that_are_lost(rules: Rules) -> None:
    dropped = {
        series("boxkite_log_dropped_total", reason="queue_full", **SINK): "0+0x30 7+0x60",
        series("boxkite_log_dropped_total", reason="refused", **SINK): "5+0x90",
    }
    ((labels, texts),) = rules.alerts([dropped], "BoxkiteRecordsDropped", minutes=60)

    assert (labels["sink"], labels["reason"]) == ("fluentd", "queue_full")
    assert texts["description"] == "About 7 records for sink fluentd were lost in the last 1h, reason queue_full."


def sink(queue: str, last_delivery: str) -> dict[str, str]:
    """Return the gauges of a sink; times count from the start of the test."""
    return {
        series("boxkite_log_queue_records", **SINK): queue,
        series("boxkite_log_last_delivery_timestamp_seconds", **SINK): last_delivery,
        series("boxkite_log_backoff_seconds", **SINK): "10+0x200",
    }


def test_a_sink_that_stalls(rules: Rules) -> None:
    stalled = sink("0+0x40 5+1x100", "0+60x40 2400+0x100")
    assert rules.alerts([stalled], "BoxkiteSinkStalled", minutes=45) == []
    ((labels, texts),) = rules.alerts([stalled], "BoxkiteSinkStalled", minutes=60)

    assert labels["sink"] == "fluentd"
    assert texts["description"] == (
        "24 records wait, and for 10m sink fluentd has taken none of some replica. Pause between its attempts: 10s."
    )


def test_a_sink_that_has_never_delivered_has_its_ten_minutes_too(rules: Rules) -> None:
    never = sink("5+0x60", "-100000+0x60")
    del never[series("boxkite_log_backoff_seconds", **SINK)]
    assert rules.alerts([never], "BoxkiteSinkStalled", minutes=9) == []
    ((_, texts),) = rules.alerts([never], "BoxkiteSinkStalled", minutes=11)

    assert texts["description"] == "5 records wait, and for 10m sink fluentd has taken none of some replica."


@pytest.mark.parametrize(
    ("queue", "last_delivery"),
    [("5+0x60", "0+60x60"), ("0+0x60", "60+0x60"), ("0+0x59 5", "60+0x60")],
    ids=["busy", "idle", "idle until just now"],
)
def test_a_sink_that_does_not_stall(rules: Rules, queue: str, last_delivery: str) -> None:
    assert rules.alerts([sink(queue, last_delivery)], "BoxkiteSinkStalled", minutes=60) == []


# --- capture ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("failed", "is_alert"), [(0, False), (1, False), (2, True)])
def test_requests_that_are_not_understood(rules: Rules, failed: int, is_alert: bool) -> None:
    """One in a hundred may fail, more may not."""
    given = {
        series("boxkite_capture_errors_total", reason="features", baseline="b", **MODEL): f"0+0x59 {failed}",
        series("boxkite_capture_errors_total", reason="output", baseline="b", **MODEL): "0+0x60",
        series("boxkite_prediction_duration_seconds_count", baseline="b", **MODEL): "0+0x59 100",
    }
    found = rules.alerts([given], "BoxkiteCaptureErrors", minutes=60)

    assert [(labels["reason"], texts["description"]) for labels, texts in found] == [
        ("features", "In 2% of the requests to model churn in the last 1h, something was not captured: features.")
    ] * is_alert
