"""The state of all variables, those that moved most first."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.baseline import Continuous, Discrete
from flask_boxkite.baseline.variables import variables_of
from flask_boxkite.drift.distances import (
    hellinger_distance,
    jensen_shannon_distance,
    kl_divergence,
    kolmogorov_smirnov,
    kolmogorov_smirnov_limit,
    wasserstein_distance,
)
from flask_boxkite.drift.recurrence import ERROR
from flask_boxkite.drift.report import DriftReport, drift_report
from flask_boxkite.drift.shares import Change
from flask_boxkite.drift.statistics import g_statistic
from flask_boxkite.drift.tables import GroupSums
from flask_boxkite.drift.timeline import Timeline
from flask_boxkite.drift.variable import Distances
from flask_boxkite.drift.verdict import DOUBT, judge
from flask_boxkite.drift.wording import SPECIAL_WORDS, distance_text, group_name, group_text, percents
from flask_boxkite.values.rowhash import ROW_BUCKETS
from tests.baseline.strategies import baselines
from tests.baseline.training.building import built
from tests.drift.timelines import NOW, buckets_of_rows, timeline_of

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

    judged = judge([500, 500, 0, 0, 0, 0], [100, 900, 0, 0, 0, 0], alpha=1e-4 / 4, degrees=3)
    assert report["city"].judgement.g == pytest.approx(judged.g, rel=1e-9)
    assert replace(report["city"].judgement, g=judged.g) == judged


def test_the_group_that_moved_most_is_named() -> None:
    city = drift_report("m", BASELINE, LIVE, alpha=1e-5)["city"]

    assert (city.moved_most, city.share_before, city.share_now) == ("Bonn", 0.5, 0.1)
    assert (city.baseline_rows, city.live_rows) == (1000, 1000)


def test_new_texts_are_named_rather_than_what_they_take_from_others() -> None:
    """In all texts alike."""
    job = Discrete("job", ("employed", "self-employed", "student"), (700, 140, 160))
    report = drift_report("m", Baseline((job,), (), 1000), (700, 48, 172, 0, 80, 0, 0), alpha=1e-5)

    (row,) = report.to_rows()
    assert (row["moved_most"], row["moved_most_text"]) == ("__unseen__", "unseen")
    assert (row["share_before"], row["share_now"]) == (0.0, 0.08)
    assert str(report).splitlines()[3].endswith("  unseen 0% -> 8.0%")
    assert " | unseen 0% → 8.0% | " in report.to_markdown()
    assert "unseen 0% -> 8.0%" in repr(report["job"])


@pytest.mark.parametrize(
    ("names", "moved", "text"),
    [
        ([float(hour) for hour in range(24)], "[9.0,10.0]", "9 to 10"),
        ([f"shop {shop:02}" for shop in range(24)], "shop 09 and 1 more", "shop 09 and 1 more"),
    ],
    ids=["numbers", "texts"],
)
def test_rows_that_move_among_many_categories_show(names: list[float | str], moved: str, text: str) -> None:
    """15 of 24 even categories, such as hours of a day, send nothing; their rows have another one of them."""
    (item,) = built({"x": names * 100}).features
    assert isinstance(item, Discrete)
    sent = [names[9] if place > 8 else names[place] for place in range(24)] * 20
    live = np.zeros(len(item.cells), np.int64)
    for name in sent:
        live[item.values.index(name)] += 1

    drift = drift_report("m", Baseline((item,), (), 2400), live, alpha=1e-5)["x"]
    assert drift.verdict == "major"
    assert (drift.moved_most, drift.moved_most_text) == (moved, text)


def test_a_distance_of_values_beyond_the_bounds_is_the_least_possible() -> None:
    """How far beyond them values lie is not counted."""
    within = drift_report("m", BASELINE, LIVE, alpha=1e-5)["height"]
    beyond = drift_report("m", BASELINE, (0, 500, 300, 200, 0, 0, *LIVE[6:]), alpha=1e-5)["age"]

    assert (within.distances.wasserstein_is_least, beyond.distances.wasserstein_is_least) == (False, True)
    assert ", Wasserstein 0.2" in str(drift_report("m", BASELINE, LIVE, alpha=1e-5))
    assert distance_text(within.to_row()) == "0.2"
    assert distance_text(beyond.to_row()).startswith("at least 0.")


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
    report = drift_report("m", BASELINE, LIVE, alpha=1e-5)
    for name, said in (
        ("heigt", "No variable 'heigt'. Did you mean 'height'?"),
        ("xyz", "No variable 'xyz'. There are: 'city', 'height', 'age', 'age'."),
    ):
        with pytest.raises(KeyError) as caught:
            report[name]
        assert caught.value.args == (said,)


def test_reports_and_variables_show_what_they_are() -> None:
    report = drift_report("m", BASELINE, LIVE, alpha=1e-5)
    assert repr(report) == str(report)
    assert repr(report["city"]) == "<VariableDrift city: major, size 0.87, Bonn 50% -> 10%>"
    assert repr(report["age"]) == "<VariableDrift age: stable, below training 0% -> 0%>"


KEYS = [
    "name", "side", "kind", "type", "verdict", "reason", "note", "since", "rows", "baseline_rows", "live_rows", "g",
    "dispersion", "recurrence", "limit", "psi", "size", "psi_noise", "psi_error", "psi_limit", "drifted_size",
    "major_size", "weight",
    "moved_most", "moved_most_text", "share_before", "share_now", "missing_before", "missing_now",
    "invalid_before", "invalid_now", "out_of_range_before", "out_of_range_now",
    "unseen_before", "unseen_now", "jensen_shannon", "kl_live", "kl_baseline", "hellinger",
    "kolmogorov_smirnov", "kolmogorov_smirnov_limit", "wasserstein", "wasserstein_is_least",
]  # fmt: skip


def test_a_dict_has_the_keys_that_are_promised() -> None:
    report = drift_report("m", BASELINE, LIVE, alpha=1e-5, window="1h").to_dict()

    assert list(report) == [
        "model",
        "baseline",
        "window",
        "alpha",
        "drifted_share",
        "note",
        "uncounted",
        "variables",
        "pairs",
    ]
    assert (report["model"], report["window"], report["alpha"]) == ("m", "1h", 1e-5)
    assert [list(item) for item in report["variables"]] == [KEYS] * 4
    for key in KEYS:
        assert f"``{key}``" in (DriftReport.to_dict.__doc__ or "") or key.partition("_")[0] in (
            "invalid",
            "out",
            "unseen",
        )


@given(baselines(), st.data())
def test_any_report_is_json_and_text_of_100_columns(baseline: Baseline, data: st.DataObject) -> None:
    """Neither NaN nor infinity; whatever the names are, no line is longer and none is broken by them."""
    cells = [cell for item in baseline.features + baseline.outputs for cell in item.cells]
    live = data.draw(st.lists(st.integers(0, 10**7), min_size=len(cells), max_size=len(cells)))
    groups = GroupSums(baseline.variables).of(live)
    rows, requests = data.draw(st.integers(0, 10**7)), data.draw(st.integers(1, 10**4))
    timeline = data.draw(
        st.none()
        | st.just(timeline_of([groups] * 3, rows=[rows] * 3, in_requests=requests, buckets=[[rows] * 256] * 3))
    )
    report = drift_report("m" * 200, baseline, live, alpha=1e-5, timeline=timeline)

    assert json.loads(json.dumps(report.to_dict(), allow_nan=False)) == report.to_dict()
    assert max(map(len, str(report).split("\n"))) <= 100
    assert len(report.to_markdown().split("\n")) == 4 + len(report.variables)
    assert len(pd.DataFrame(report.to_rows())) == len(report.variables)


def test_a_row_has_the_numbers_of_the_functions() -> None:
    height = drift_report("m", BASELINE, LIVE, alpha=1e-5)["height"]
    before, now, bins = [0, 500, 500, 0, 0, 0], [0, 300, 700, 0, 0, 0], ([0, 500, 500, 0], [0, 300, 700, 0])

    assert height.distances == Distances(
        jensen_shannon_distance(before, now),
        kl_divergence(before, now),
        kl_divergence(now, before),
        hellinger_distance(before, now),
        kolmogorov_smirnov(*bins),
        kolmogorov_smirnov_limit(1000, 1000, 1e-5 / 4),
        wasserstein_distance(*bins, (0.0, 1.0, 2.0)),
    )
    assert height.distances.kolmogorov_smirnov == pytest.approx(0.2)
    assert height.distances.wasserstein == pytest.approx(0.2)


def test_categories_have_no_order() -> None:
    city = drift_report("m", BASELINE, LIVE, alpha=1e-5)["city"]

    assert city.kind == "discrete"
    assert city.distances.jensen_shannon is not None
    assert city.distances.kolmogorov_smirnov is city.distances.wasserstein is None
    assert city.distances.kolmogorov_smirnov_limit is None


def test_missing_and_invalid_rows_are_not_in_distances_of_values() -> None:
    live = (0, 50, 50, 0, 800, 100, *LIVE[6:])
    age = drift_report("m", BASELINE, live, alpha=1e-5)["age"]

    assert age.distances.kolmogorov_smirnov == pytest.approx(0)
    assert age.distances.wasserstein == pytest.approx(0)
    assert age.distances.kolmogorov_smirnov_limit == kolmogorov_smirnov_limit(1000, 100, 1e-5 / 4)
    assert age.special["missing"] == Change(0.0, 0.8)
    assert age.special["invalid"] == Change(0.0, 0.1)


def test_without_rows_there_are_no_distances() -> None:
    report = drift_report("m", BASELINE, [0] * len(LIVE), alpha=1e-5)

    assert {item.distances for item in report} == {Distances(None, None, None, None, None, None, None)}


# --- in the course of time -------------------------------------------------------------------------------------------

DISTINCT = replace(BASELINE, row_collisions=0.0)
GROUPS = GroupSums(BASELINE.variables)
AS_TRAINED = (*(0, 100, 100, 0, 0, 0), *(100, 100, 0, 0, 0, 0), *(0, 100, 100, 0, 0, 0), *(0, 100, 100, 0, 0, 0))
WITHOUT_CITY = (*AS_TRAINED[:6], *(0, 0, 0, 0, 200, 0), *AS_TRAINED[12:])
"""200 rows each."""

BATCH = "200 rows in 1 request: wait for a second minute, or send smaller parts"


def course(*minutes: tuple[int, ...], **given: object) -> Timeline:
    """Return the timeline of minutes of 200 rows, which are given by cells."""
    return timeline_of(GROUPS.of(minutes), rows=[200] * len(minutes), **given)  # type: ignore[arg-type]


def judged(*minutes: tuple[int, ...], reach: float | None = None, timeline: Timeline | None = None) -> DriftReport:
    """Return the report over minutes of 200 rows, all of which differ."""
    timeline = timeline or course(*minutes)
    whole = np.sum(minutes, axis=0)
    return drift_report("m", DISTINCT, whole, alpha=1e-5, timeline=timeline, reach=reach)


def test_a_change_within_the_window_is_judged_by_its_own_rows() -> None:
    city = judged(*[AS_TRAINED] * 20, WITHOUT_CITY)["city"]
    alone = judged(WITHOUT_CITY)["city"]

    assert city.verdict == "major"
    assert (city.since, city.rows, city.live_rows) == (NOW - 60, 200, 4200)
    assert (city.moved_most, city.share_before, city.share_now) == ("__missing__", 0.0, 1.0)
    assert city.special["missing"] == Change(0.0, 1.0)
    assert (city.judgement.g, city.judgement.psi) == pytest.approx((alone.judgement.g, alone.judgement.psi))
    assert city.judgement.uncertain == 1 / city.baseline_rows
    assert city.to_row()["since"] == "2027-01-15T07:59:00Z"
    # Distances describe the window, of which a twenty-first is missing.
    assert city.distances.hellinger == pytest.approx(
        hellinger_distance([500, 500, 0, 0, 0, 0], [2000, 2000, 0, 0, 200, 0])
    )


def test_what_holds_for_the_whole_window_began_with_it() -> None:
    report = judged(*[WITHOUT_CITY] * 3)

    assert (report["city"].verdict, report["city"].since, report["city"].rows) == ("major", None, 600)
    assert {item.since for item in report} == {None}
    assert {item.rows for item in report} == {600}


def test_a_reach_leaves_out_what_came_before() -> None:
    minutes = (WITHOUT_CITY, *[AS_TRAINED] * 8)
    whole, last = judged(*minutes)["city"], judged(*minutes, reach=300.0)["city"]

    assert (whole.verdict, whole.rows, whole.since) == ("major", 1800, None)
    assert (last.verdict, last.rows, last.live_rows, last.since) == ("stable", 1000, 1000, None)


@pytest.mark.parametrize("reach", [60.0, 300.0])
def test_nothing_within_a_reach_is_not_enough(reach: float) -> None:
    timeline = timeline_of(GROUPS.of([WITHOUT_CITY]), rows=[200], seconds=900.0)
    report = drift_report("m", DISTINCT, [0] * len(LIVE), alpha=1e-5, timeline=timeline, reach=reach)

    assert {(item.verdict, item.reason, item.rows) for item in report} == {
        ("not enough data", "0 rows; 30 are needed", 0)
    }


def test_a_longer_window_than_an_hour_is_in_doubt() -> None:
    """The same rows, in a minute and in a quarter of an hour that began two hours ago."""
    quarters = [timeline_of(GROUPS.of([WITHOUT_CITY]), rows=[200], seconds=seconds) for seconds in (60.0, 7200.0)]
    short, long = (judged(WITHOUT_CITY, timeline=timeline)["city"].judgement for timeline in quarters)

    of_training, of_both = 1 / DISTINCT.features[0].rows, 1 / DISTINCT.features[0].rows + 1 / 200
    assert (short.uncertain, long.uncertain) == pytest.approx((of_training, of_both))
    for found in (short, long):
        doubt = DOUBT * math.sqrt(found.uncertain * (2 * found.noise + 4 * (found.psi - found.noise)))
        assert found.size == pytest.approx(found.psi - found.noise - doubt)
    assert long.size == pytest.approx(long.psi - long.noise - DOUBT * long.error)


def test_unclear_variables_have_a_reason_and_no_alert() -> None:
    report = judged(WITHOUT_CITY, timeline=course(WITHOUT_CITY, in_requests=200))
    city = report["city"]

    assert (city.verdict, city.reason) == ("unclear", BATCH)
    assert city.to_row()["reason"] == BATCH
    assert report.drifted == ()
    assert report["age"].reason == ""
    assert report["age"].to_row()["reason"] is None
    assert report.variables[0].name == "city"


def test_rows_that_recur_are_divided_by_how_often() -> None:
    buckets = buckets_of_rows([200], 4)
    minute = (*AS_TRAINED[:6], *(170, 30, 0, 0, 0, 0), *AS_TRAINED[12:])
    plain, repeated = (judged(minute, timeline=course(minute, buckets=given))["city"] for given in (None, buckets))

    assert plain.verdict == "major"
    assert repeated.verdict == "stable"
    assert repeated.recurrence == pytest.approx(4, rel=0.1)
    assert repeated.judgement.dispersion == pytest.approx(repeated.recurrence * (1 - ERROR))
    counting = np.array([170, 30]) / repeated.judgement.dispersion
    assert repeated.judgement.g == pytest.approx(g_statistic([500, 500], counting), abs=1e-6)
    assert repeated.to_row()["recurrence"] == repeated.recurrence


def test_recurrence_that_is_unknown_is_none() -> None:
    """BASELINE is of a time when it was not measured; here all rows are the same."""
    same = np.eye(1, ROW_BUCKETS, dtype=np.int64) * 200
    city = judged(WITHOUT_CITY, timeline=course(WITHOUT_CITY, buckets=same))["city"]

    assert city.recurrence is None
    assert city.to_row()["recurrence"] is None
    assert city.reason == "one row makes up 100% of 200 rows: wait some minutes, and see which client sends it"


def test_each_variable_is_judged_as_if_it_were_alone(rng: np.random.Generator) -> None:
    """But for alpha, which is divided: four variables at 4e-5, beside each at 1e-5."""
    minutes = [
        np.concatenate(
            [rng.multinomial(200, shares) for shares in ([0, 0.5, 0.5, 0, 0, 0], [0.5, 0.5, 0, 0, 0, 0]) * 2]
        )
        for _ in range(12)
    ]
    minutes[8:] = [np.array(WITHOUT_CITY)] * 4
    report = drift_report("m", DISTINCT, np.sum(minutes, axis=0), alpha=4e-5, timeline=course(*map(tuple, minutes)))
    for start, side, item in (
        (0, "feature", AGE),
        (6, "feature", CITY),
        (12, "feature", HEIGHT),
        (18, "output", SCORE),
    ):
        own = [minute[start : start + 6] for minute in minutes]
        alone = drift_report(
            "m",
            Baseline((item,), (), 1000, row_collisions=0.0),
            np.sum(own, axis=0),
            alpha=1e-5,
            timeline=timeline_of(GroupSums(variables_of([item])).of(own)),
        )[item.name]
        (found,) = (other for other in report if (other.side, other.name) == (side, item.name))
        assert (found.judgement, found.reason, found.since) == (alone.judgement, alone.reason, alone.since)


# --- text ------------------------------------------------------------------------------------------------------------


def test_a_report_reads_as_a_table() -> None:
    report = drift_report("m", BASELINE, LIVE, alpha=1e-5, window="1h")

    assert str(report).splitlines() == [
        f"2 of 4 variables drifted in the last 1h. Model 'm', baseline {BASELINE.fingerprint}, alpha 1e-05.",
        "",
        "variable     verdict          size  since     rows        G  limit  moved most",
        "city         major            0.87            1000    407.0   28.8  Bonn 50% -> 10%",
        "height       drifted          0.17            1000     84.0   31.4  0 to 1 50% -> 30%",
        "age          stable              -            1000      0.0   31.4  below training 0% -> 0%",
        "age (output) not enough data     -               5     63.0   31.4  above training 0% -> 100%",
        "",
        "city: PSI 0.876 over 1000 live rows and 1000 training rows, Jensen-Shannon 0.383, Hellinger 0.325,",
        "  KL of live from training 0.367, KL of training from live 0.509",
        "",
        "height: PSI 0.169 over 1000 live rows and 1000 training rows, Jensen-Shannon 0.174, Hellinger 0.145,",
        "  KL of live from training 0.0821, KL of training from live 0.087, Kolmogorov-Smirnov 0.2, its limit",
        "  0.117, Wasserstein 0.2",
        "",
        "Size is PSI less what sampling alone gives it.",
    ]


def test_a_report_says_since_when() -> None:
    text = str(judged(*[AS_TRAINED] * 20, WITHOUT_CITY)).splitlines()

    assert text[3] == "city         major           12.14 07:59Z      200   1081.3   36.4  missing 0% -> 100%"
    assert text[8].startswith("city: PSI 12.8 over 200 live rows since 2027-01-15T07:59:00Z and 1000 training rows")


def test_a_report_says_why_something_is_unclear() -> None:
    report = judged(WITHOUT_CITY, timeline=course(WITHOUT_CITY, in_requests=200))
    text = str(report).replace("\n  ", " ").replace("\n", " ")

    assert text.startswith("0 of 4 variables drifted since the start, 1 is unclear. ")
    assert " city         unclear             -             200 " in text
    assert f" city: {BATCH}. PSI 12.8 over 200 live rows and" in text
    assert f"| city | unclear: {BATCH} | - | " in report.to_markdown()


def test_a_report_says_by_what_g_is_divided() -> None:
    minute = (*AS_TRAINED[:6], *(170, 30, 0, 0, 0, 0), *AS_TRAINED[12:])
    text = str(judged(minute, timeline=course(minute, buckets=buckets_of_rows([200], 2)))).replace("\n  ", " ")

    assert "rows repeat each other: 1.85 count as one, Jensen" in text


def test_a_report_names_shares_that_are_not_of_trained_values() -> None:
    live = (5, 100, 100, 0, 95, 0, *LIVE[6:])

    assert "missing 0% -> 32%, out of range 0% -> 1.7%, Jensen" in str(
        drift_report("m", BASELINE, live, alpha=1e-5)
    ).replace("\n  ", " ")


def test_a_report_without_variables_has_its_head() -> None:
    text = str(drift_report("m", Baseline((), (), 0), [], alpha=1e-5))

    assert text.startswith("0 of 0 variables drifted since the start.")
    assert text.split()[-9:] == ["variable", "verdict", "size", "since", "rows", "G", "limit", "moved", "most"]


def test_markdown_takes_no_part_of_a_name_for_its_own() -> None:
    odd = Discrete("a|b*", ("`x`", "Ulm"), (500, 500))
    text = drift_report("m", Baseline((odd,), (), 1000), [900, 100, 0, 0, 0, 0], alpha=1e-5).to_markdown()

    assert text.splitlines()[2:] == [
        "| variable | verdict | size | since | rows | G | limit | moved most | missing | unseen |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        "| a\\|b\\* | major | 0.87 |  | 1000 | 407.0 | 25.9 | \\`x\\` 50% → 90% | 0% | 0% |",
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("(16.271234,19.4]", "16.3 to 19.4"),
        ("(51.49996,51.50048]", "51.5 to 51.5005"),
        ("(1.699996988544e+12,1.699998755076e+12]", "1,699,997,000,000 to 1,699,999,000,000"),
        ("(-1.7e+308,1.7e+308]", "-1.7e+308 to 1.7e+308"),
        ("(-Inf,0.5]", "up to 0.5"),
    ],
)
def test_an_interval_has_two_ends(name: str, text: str) -> None:
    assert group_text(name, "continuous") == text


@pytest.mark.parametrize(
    ("before", "now", "texts"),
    [
        (0.0, 0.0, ("0%", "0%")),
        (0.005, 0.31, ("0.5%", "31%")),
        (0.0, 0.0004, ("0%", "< 0.1%")),
        (0.0002, 0.0004, ("0.02%", "0.04%")),
        (0.3121, 0.3149, ("31.2%", "31.5%")),
        (0.31211, 0.31249, ("31.21%", "31.25%")),
        (0.312111, 0.312112, ("31%", "31%")),
    ],
)
def test_shares_that_differ_look_different(before: float, now: float, texts: tuple[str, str]) -> None:
    assert percents(before, now) == texts


def test_an_inner_group_is_never_named_by_its_end_alone() -> None:
    item = Continuous("score", (-1.0, 0.0, 1e-9, 1.0), (0, 50, 50, 50, 0), (-1.0, 0.0, 1e-9, 1.0))
    assert [group_name(item, group.name) for group in item.groups][1:4] == ["-1 to 0", "0 to 1e-09", "1e-09 to 1"]


def test_a_variable_names_its_group_in_code_as_in_texts() -> None:
    """The label reaches a margin below the smallest value, which no user has seen."""
    days = [date(2020, 1, 1) + timedelta(3 * number) for number in range(400)]
    service = ModelMonitoringService(built({"since": days}), sink="none")
    service.log_prediction(features=[["2020-02-01"]] * 300)
    since = service.drift()["since"]
    assert since.moved_most.startswith("(2019-12-31T23:5")
    assert since.moved_most_text == since.to_row()["moved_most_text"] == "2020-01-01 to 2020-04-27"
    assert "2019" not in str(service.drift()) + repr(since) + service.drift().to_markdown()


def test_groups_end_at_training_values() -> None:
    """The outer bounds lie a millionth of the range outside, so that no training value is out of range."""
    rng = np.random.default_rng(1)
    days = [date(2018, 1, 1) + timedelta(int(place)) for place in [0, 700, *rng.integers(0, 700, 300)]]
    columns = {
        "rate": [0.0, 100.0, *rng.uniform(0, 100, 300).round(1)],
        "price": [0.1234567, 9.5, *rng.uniform(1, 9, 300)],
        "big": [-(2.0**40), 2.0**41, *rng.uniform(-1e12, 2e12, 300).round()],
        "zeros": [0.0] * 100 + list(rng.uniform(1, 9, 202)),
        "day": days,
        "score": [6.349e-10, *rng.uniform(1e-4, 1, 301)],
        "given": list(rng.uniform(20, 40, 302)),
        "above": list(rng.uniform(20, 40, 302)),
    }
    baseline = built(columns, bins={"given": [30, 65], "above": [18, 30, 65]})

    def ends(name: str) -> list[str]:
        (item,) = (item for item in baseline.features if item.name == name)
        names = [group_name(item, group.name) for group in item.groups]
        groups = [text for text in names if text not in SPECIAL_WORDS.values()]
        return [groups[0].removesuffix(f" to {groups[0].split()[-1]}"), groups[-1].split(" to ")[-1]]

    assert ends("rate") == ["0", "100"]
    assert ends("price") == ["0.123", "9.5"]
    assert ends("big") == ["-1,100,000,000,000", "2,199,000,000,000"]
    assert ends("zeros")[0] == "0"
    assert ends("day") == ["2018-01-01", str(max(days))]
    assert ends("score")[0] == "up"  # 6.35e-10 says nothing beside the group's end
    assert ends("given") == ["up", "65"]
    assert ends("above") == ["18", "65"]
    assert [item.groups[1].name.split(",")[0] for item in baseline.features][:1] == ["(-9.999999999999999e-05"]
