"""The state of all variables, those that moved most first."""

from __future__ import annotations

import json

import pytest

from flask_boxkite import Baseline
from flask_boxkite.baseline import Continuous, Discrete
from flask_boxkite.drift import drift_report
from flask_boxkite.drift.verdict import judge

AGE = Continuous("age", (0.0, 1.0, 2.0), (0, 500, 500, 0), (0.0, 1.0, 2.0))
CITY = Discrete("city", ("Bonn", "Ulm"), (500, 500))
HEIGHT = Continuous("height", (0.0, 1.0, 2.0), (0, 500, 500, 0), (0.0, 1.0, 2.0))
SCORE = Continuous("age", (0.0, 1.0, 2.0), (0, 500, 500, 0), (0.0, 1.0, 2.0))
BASELINE = Baseline((AGE, CITY, HEIGHT), (SCORE,), 1000)

LIVE_AGE = (0, 500, 500, 0, 0, 0)
LIVE_CITY = (100, 900, 0, 0, 0, 0)
LIVE_HEIGHT = (0, 300, 700, 0, 0, 0)
LIVE_SCORE = (0, 0, 0, 5, 0, 0)
LIVE = (*LIVE_AGE, *LIVE_CITY, *LIVE_HEIGHT, *LIVE_SCORE)


def test_variables_stand_in_the_order_of_their_verdicts() -> None:
    report = drift_report("m", BASELINE, LIVE, alpha=1e-5)

    assert [(item.side, item.name, item.verdict) for item in report] == [
        ("feature", "city", "major"),
        ("feature", "height", "drifted"),
        ("feature", "age", "stable"),
        ("output", "age", "not enough data"),
    ]
    assert [item.name for item in report.drifted] == ["city", "height"]
    assert (report.model, report.baseline) == ("m", BASELINE.fingerprint)


def test_alpha_is_divided_among_the_variables() -> None:
    report = drift_report("m", BASELINE, LIVE, alpha=1e-4)

    assert report["city"].judgement == judge([500, 500, 0, 0, 0, 0], [100, 900, 0, 0, 0, 0], alpha=1e-4 / 4)


def test_the_group_that_moved_most_is_named() -> None:
    city = drift_report("m", BASELINE, LIVE, alpha=1e-5)["city"]

    assert (city.moved_most, city.share_before, city.share_now) == ("Bonn", 0.5, 0.1)
    assert (city.baseline_rows, city.live_rows) == (1000, 1000)


def test_a_feature_that_stops_arriving_has_drifted() -> None:
    live = (0, 0, 0, 0, 100, 0, *LIVE[6:])
    age = drift_report("m", BASELINE, live, alpha=1e-5)["age"]

    assert (age.verdict, age.moved_most) == ("major", "__missing__")


def test_no_rows_at_all_are_no_drift() -> None:
    report = drift_report("m", BASELINE, [0] * len(LIVE), alpha=1e-5)

    assert {item.verdict for item in report} == {"not enough data"}
    assert report.drifted == ()
    assert report["age"].share_now == 0


def test_a_feature_comes_before_an_output_of_the_same_name_only_by_its_verdict() -> None:
    assert drift_report("m", BASELINE, LIVE, alpha=1e-5)["age"].side == "feature"


def test_an_unknown_name_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="weight"):
        drift_report("m", BASELINE, LIVE, alpha=1e-5)["weight"]


def test_a_report_is_plain_json() -> None:
    report = drift_report("m", BASELINE, LIVE, alpha=1e-5)
    found = json.loads(json.dumps(report.to_dict(), allow_nan=False))

    assert found["variables"][0]["name"] == "city"
    assert found["variables"][0]["judgement"]["verdict"] == "major"


def test_a_report_reads_as_a_table() -> None:
    assert str(drift_report("m", BASELINE, LIVE, alpha=1e-5)).splitlines() == [
        "variable  verdict          size  rows      moved most",
        "city      major            0.87  1000      Bonn 50% -> 10%",
        "height    drifted          0.17  1000      (0.0,1.0] 50% -> 30%",
        "age       stable           0.00  1000      __below__ 0% -> 0%",
        "age       not enough data  7.47  5         __above__ 0% -> 100%",
    ]


def test_a_report_without_variables_has_its_head() -> None:
    assert str(drift_report("m", Baseline((), (), 0), [], alpha=1e-5)).split() == [
        "variable", "verdict", "size", "rows", "moved", "most"
    ]  # fmt: skip
