"""The rule file: Prometheus accepts it, people can read it, and it refers only to metrics that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from flask_boxkite import ModelMonitoringService
from flask_boxkite.errors import ConfigError
from flask_boxkite.provision import RuleOptions, rules_text
from flask_boxkite.provision.durations import duration_seconds, duration_text
from flask_boxkite.provision.rulefile import Alert, Group, Recording, file_text, scalar
from flask_boxkite.testing import RecordingSink
from tests.provision.promtool import check

OPTIONS = [
    RuleOptions(),
    RuleOptions(windows=("1h",), hold="0s", group_by=()),
    RuleOptions(windows=("5m", "1h", "6h", "7d"), severity="page: now", group_by=("cluster",), minimum_size=0.25),
    RuleOptions(windows=("20s",), scrape_interval="1s"),
]
IDS = ["default", "one window", "four windows", "short"]
PYTHON_INFO = {"implementation", "major", "minor", "patchlevel", "generation"}
"""Labels of metrics that prometheus_client adds."""


def rules_of(text: str) -> list[dict[str, Any]]:
    """Return all rules of a file, as YAML has them."""
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


def exported_text(directory: Path) -> str:
    """Return what a service exports that has predicted and logged something."""
    numbers = [number / 7 for number in range(100)]
    table = {"x": numbers, "c": ["a", "b"] * 50}
    actual = [0, 1] * 50
    scores = [number / 15 for number in numbers]
    decisions: dict[str, Any] = {"weights": {"x": 2, "output": 2}, "drift_sizes": {"x": 0.2, "output": 0.2}}
    decisions["segments"] = ["c"]
    baseline = ModelMonitoringService.export_text(table, scores, directory / "b.prom", actual=actual, **decisions)
    service = ModelMonitoringService(baseline, sink=RecordingSink())
    service.log_outcome(service.log_prediction("body", [[1.0, "a"]], [0.5]), 1)
    service.flush()
    text = service.export_http()[0].decode()
    service.close()
    return text


# --- the whole file --------------------------------------------------------------------------------------------------


@pytest.mark.peers
@pytest.mark.parametrize("options", OPTIONS, ids=IDS)
def test_prometheus_takes_it(tmp_path: Path, options: RuleOptions) -> None:
    path = tmp_path / "rules.yml"
    path.write_text(rules_text(options), encoding="utf-8")
    found = re.search(r"(\d+) rules found", check(path))

    assert found is not None
    assert int(found[1]) == len(rules_of(rules_text(options)))


def test_every_metric_that_it_names_exists(tmp_path: Path) -> None:
    """Every metric in it is either exported by a service or recorded by another rule."""
    exported = set(re.findall(r"^(boxkite_\w+)", exported_text(tmp_path), re.M))
    text = rules_text(RuleOptions())
    recorded = {rule["record"] for rule in rules_of(text) if "record" in rule}
    read = {rule["expr"] for rule in rules_of(text)} | {
        rule["annotations"]["description"] for rule in rules_of(text) if "alert" in rule
    }

    assert set(re.findall(r"\bboxkite_\w+", " ".join(read))) - exported == set()
    assert set(re.findall(r"\bboxkite:[\w:]+", " ".join(read))) - recorded == set()


def test_features_and_outputs_have_the_same_rules() -> None:
    names = [rule["record"] for rule in rules_of(rules_text(RuleOptions())) if "record" in rule]
    names = [name for name in names if not name.startswith("boxkite:model")]
    features, outputs = (
        {name.replace(side, "") for name in names if side in name} for side in ("feature", "inference")
    )
    assert features == outputs
    assert len(features) * 2 == len(set(names))


def test_groups_are_evaluated_as_often_as_their_window_needs() -> None:
    groups = yaml.safe_load(rules_text(RuleOptions()))["groups"]
    assert {group["name"]: group["interval"] for group in groups} == {
        "boxkite-training": "1m",
        "boxkite-5m": "15s",
        "boxkite-1h": "1m",
        "boxkite-24h": "5m",
        "boxkite-5m-bins": "1m",
        "boxkite-1h-bins": "5m",
        "boxkite-24h-bins": "5m",
        "boxkite-validation": "1m",
        "boxkite-5m-performance": "1m",
        "boxkite-1h-performance": "5m",
        "boxkite-24h-performance": "5m",
        "boxkite-performance": "1m",
        "boxkite-drift": "15s",
        "boxkite-serving": "1m",
    }


@pytest.mark.parametrize("options", OPTIONS, ids=IDS)
def test_what_has_drifted_in_any_window_is_judged_as_often_as_the_fastest(options: RuleOptions) -> None:
    """Once per variable, and without a label that differs from window to window."""
    groups = {group["name"]: group for group in yaml.safe_load(rules_text(options))["groups"]}
    rules = groups["boxkite-drift"]["rules"]
    alerts = [rule for rule in rules if "alert" in rule]

    assert groups["boxkite-drift"]["interval"] == groups[f"boxkite-{options.windows[0]}"]["interval"]
    assert [rule.get("record") or rule["alert"] for rule in rules] == [
        "boxkite:feature:verdict_any",
        "BoxkiteFeatureDrift",
        "boxkite:inference:verdict_any",
        "BoxkiteOutputDrift",
        "BoxkitePairDrift",
        "BoxkiteSegmentDrift",
        "BoxkiteFeatureStopped",
    ]
    assert {tuple(rule["labels"]) for rule in alerts} == {("severity",)}


@pytest.mark.parametrize(
    ("windows", "expected"),
    [(("5m", "1h", "24h"), "1h"), (("5m", "30m"), "30m"), (("2h", "24h"), "2h"), (("5m", "90m", "3h"), "90m")],
    ids=str,
)
def test_alerts_on_traffic_look_at_an_hour_or_so(windows: tuple[str, ...], expected: str) -> None:
    """A model that gets a request every ten minutes has not lost its traffic in between."""
    alerts = {rule["alert"]: rule for rule in rules_of(rules_text(RuleOptions(windows=windows))) if "alert" in rule}
    for name in ("BoxkiteNoTraffic", "BoxkiteRecordsDropped", "BoxkiteCaptureErrors"):
        assert set(re.findall(r"\[(\w+)\]", alerts[name]["expr"].replace(" offset 1d", ""))) == {expected}, name
        assert f"the last {expected}" in alerts[name]["annotations"]["description"]


@pytest.mark.parametrize(
    ("windows", "words"), [(("5m", "1h", "24h"), "the last 5m, 1h and 24h"), (("6h",), "the last 6h")], ids=str
)
def test_the_head_says_what_rules_cannot_see(windows: tuple[str, ...], words: str) -> None:
    text = rules_text(RuleOptions(windows=windows)).partition("\ngroups:")[0]
    assert f"# Rules know only {words}, so they see less:\n" in text
    for word in ("every stretch of time", "across replicas", '"unclear"', "few different rows", "verdict_any"):
        assert word in text


def test_the_file_says_how_it_was_made() -> None:
    first = rules_text(OPTIONS[2]).split("\n")[1]
    assert first == (
        "#   flask boxkite rules --window 5m --window 1h --window 6h --window 7d --scrape-interval 15s "
        "--minimum-size 0.25 --for 5m --severity 'page: now' --group-by cluster"
    )


# --- YAML ------------------------------------------------------------------------------------------------------------


def test_yaml_gives_every_text_back() -> None:
    """Whatever would mean something in YAML."""
    rules = [
        Recording("a:b", 'sum(\n  x{y=~"#: \'.*"}\n)', {"yes": "no", "n": "1", "window": "1h"}),
        Alert("Loud", "x > 1", "0s", {"severity": "page: now"}, 'it\'s "{{ $value }}" # so', "one\ntwo: {{ x }}\n- 3"),
    ]
    text = file_text("A file.\n\nOf rules.", [Group("g", "Why.", "1m", rules)])

    assert yaml.safe_load(text) == {
        "groups": [
            {
                "name": "g",
                "interval": "1m",
                "rules": [
                    {"record": "a:b", "expr": rules[0].expr, "labels": {True: "no", "n": "1", "window": "1h"}},
                    {
                        "alert": "Loud",
                        "expr": "x > 1",
                        "for": "0s",
                        "labels": {"severity": "page: now"},
                        "annotations": {
                            "summary": 'it\'s "{{ $value }}" # so',
                            "description": "one two: {{ x }} - 3",
                        },
                    },
                ],
            }
        ]
    }
    assert text.startswith("# A file.\n#\n# Of rules.\n\ngroups:\n  # Why.\n  - name: g\n")


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "1h",
        "yes",
        "null",
        "1",
        "1.5",
        "",
        "a: b",
        "a\x85b",
        "\x7f\ufeff\u2028",
        "😀",
        "# x",
        "é",
        "- x",
        "[x",
        "~",
    ],
)
def test_scalars_stay_texts(text: str) -> None:
    assert yaml.safe_load(scalar(text)) == text


def test_all_texts_survive_the_file() -> None:
    """Each expression and text is read back as the rules have it: no line begins a comment or another key."""
    for rule in rules_of(rules_text(RuleOptions())):
        assert isinstance(rule["expr"], str)
        assert rule["expr"].count("(") == rule["expr"].count(")")
        if "alert" in rule:
            assert "\n" not in rule["annotations"]["description"]
            assert rule["annotations"]["description"].count("{{") == rule["annotations"]["description"].count("}}")


# --- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scrape_interval", "windows"), [("15s", ("5m", "1h", "24h")), ("30s", ("1h", "24h")), ("5m", ("24h",))]
)
def test_windows_that_are_not_named_are_those_that_hold_enough_scrapes(
    scrape_interval: str, windows: tuple[str, ...]
) -> None:
    assert RuleOptions(scrape_interval=scrape_interval).windows == windows


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"windows": ("4m", "1h")},
            "A window of 4m holds fewer than 20 scrapes, one every 15s: too few to count rows by. "
            "Make it 5m or longer, or scrape oftener.",
        ),
        (
            {"windows": ("5m", "24h"), "scrape_interval": "30s"},
            "A window of 5m holds fewer than 20 scrapes, one every 30s: too few to count rows by. "
            "Make it 10m or longer, or scrape oftener.",
        ),
        (
            {"scrape_interval": "2h"},
            "A window of 5m holds fewer than 20 scrapes, one every 2h: too few to count rows by. "
            "Make it 40h or longer, or scrape oftener.",
        ),
        ({"windows": ("24h", "1h")}, "The windows must be named shortest first, each once, got 24h, 1h."),
        ({"windows": ("1h", "60m")}, "The windows must be named shortest first, each once, got 1h, 60m."),
        (
            {"windows": ("an hour",)},
            "A window must be a duration as Prometheus writes it, such as '15s' or '1h', got 'an hour'.",
        ),
        (
            {"scrape_interval": "0s"},
            "The scrape interval must be a duration as Prometheus writes it, such as '15s' or '1h', got '0s'.",
        ),
        (
            {"hold": "soon"},
            "The time that an alert waits must be a duration as Prometheus writes it, such as '15s' or '1h', "
            "got 'soon'.",
        ),
        ({"minimum_size": 0.0}, "The minimum size must be above 0 and at most 0.25, got 0.0."),
        ({"minimum_size": 0.3}, "The minimum size must be above 0 and at most 0.25, got 0.3."),
        ({"minimum_size": float("nan")}, "The minimum size must be above 0 and at most 0.25, got nan."),
        (
            {"group_by": ("job", "model")},
            "'model' is not a label to group by. Name labels of the targets, such as 'job' or 'cluster'.",
        ),
        (
            {"group_by": ("a b",)},
            "'a b' is not a label to group by. Name labels of the targets, such as 'job' or 'cluster'.",
        ),
        ({"group_by": ("job", "job")}, "The labels to group by must be named once each, got job, job."),
        ({"severity": ""}, "The severity must be a word such as 'warning' or 'page', got ''."),
        ({"severity": "{{ x }}"}, "The severity must be a word such as 'warning' or 'page', got '{{ x }}'."),
        ({"severity": "page\x85now"}, "The severity must be a word such as 'warning' or 'page', got 'page\\x85now'."),
        (
            {"hold": "300y"},
            "The time that an alert waits must be shorter than 292 years, which is all that Prometheus "
            "can count, got '300y'.",
        ),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RuleOptions(**options)
    assert str(caught.value) == message


def test_no_label_of_ours_groups_replicas(tmp_path: Path) -> None:
    """None that is exported or recorded."""
    rules = rules_text(RuleOptions())
    used = {label for rule in rules_of(rules) for label in rule.get("labels", {})}
    for listed in re.findall(r"by \(([^)]+)\)", rules):
        used |= set(listed.split(", "))
    used |= set(re.findall(r"[{,](\w+)=", exported_text(tmp_path)))

    assert len(used) > 20
    for label in used - {"job", "namespace"} - PYTHON_INFO:
        with pytest.raises(ConfigError, match="is not a label to group by"):
            RuleOptions(group_by=(label,))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1y", 31536000), ("15s", 15), ("1h30m", 5400), ("7d", 604800), ("1w", 604800), ("250ms", 0.25), ("1m", 60)],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert duration_seconds(text, what="It") == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", "1", "h", "1.5h", "-1h", "1s1h", "1H", " 1h", "0h", "\u0661h", "1" * 5000 + "s", "9" * 18 + "y"],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        duration_seconds(text, what="It")


@pytest.mark.parametrize(("seconds", "text"), [(82800, "23h"), (90, "90s"), (60, "1m"), (0.5, "500ms"), (100, "100s")])
def test_durations_are_written(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
    assert duration_seconds(text, what="It") == pytest.approx(seconds)
