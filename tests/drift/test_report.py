"""The state of all variables, those that moved most first."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_boxkite import Baseline
from flask_boxkite.baseline import Continuous, Discrete
from flask_boxkite.drift import DriftReport, drift_report
from flask_boxkite.drift.dispersion import dispersion
from flask_boxkite.drift.distances import (
    hellinger_distance,
    jensen_shannon_distance,
    kl_divergence,
    kolmogorov_smirnov,
    kolmogorov_smirnov_limit,
    wasserstein_distance,
)
from flask_boxkite.drift.report import Distances
from flask_boxkite.drift.shares import Change
from flask_boxkite.drift.text import short_interval
from flask_boxkite.drift.verdict import judge
from tests.baseline.strategies import baselines

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

    assert report["city"].judgement == judge([500, 500, 0, 0, 0, 0], [100, 900, 0, 0, 0, 0], alpha=1e-4 / 4, degrees=3)


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


KEYS = [
    "name", "side", "kind", "verdict", "baseline_rows", "live_rows", "g", "dispersion", "limit", "psi", "size",
    "psi_noise", "psi_limit",
    "moved_most", "share_before", "share_now", "missing_before", "missing_now", "invalid_before", "invalid_now",
    "out_of_range_before", "out_of_range_now", "unseen_before", "unseen_now", "jensen_shannon", "kl_live",
    "kl_baseline", "hellinger", "kolmogorov_smirnov", "kolmogorov_smirnov_limit", "wasserstein",
]  # fmt: skip


def test_a_dict_has_the_keys_that_are_promised() -> None:
    report = drift_report("m", BASELINE, LIVE, alpha=1e-5, window="1h").to_dict()

    assert list(report) == ["model", "baseline", "window", "alpha", "variables"]
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
    report = drift_report("m" * 200, baseline, live, alpha=1e-5, slots=[live, live])

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


def test_rows_that_come_in_heaps_are_judged_by_their_dispersion() -> None:
    """Ten slots of one city each: 1,000 rows that say as much as ten."""
    slots = np.zeros((10, len(LIVE)), dtype=np.int64)
    slots[:, 6] = [100, 100, 0, 100, 0, 100, 100, 0, 100, 100]
    slots[:, 7] = 100 - slots[:, 6]
    live = slots.sum(axis=0)
    alone = drift_report("m", BASELINE, live, alpha=1e-5)["city"]
    city = drift_report("m", BASELINE, live, alpha=1e-5, slots=slots)["city"]

    assert (alone.verdict, alone.judgement.dispersion) == ("drifted", 1)
    assert city.verdict == "stable"
    assert city.judgement.dispersion == pytest.approx(dispersion(slots[:, 6:8])) == pytest.approx(1000 / 9)


def test_dispersions_are_those_of_each_variable_alone(rng: np.random.Generator) -> None:
    slots = rng.poisson(rng.exponential(3, size=(30, len(LIVE))))
    report = drift_report("m", BASELINE, slots.sum(axis=0), alpha=1e-5, slots=slots)

    for start, side, name in (
        (0, "feature", "age"),
        (6, "feature", "city"),
        (12, "feature", "height"),
        (18, "output", "age"),
    ):
        (item,) = (item for item in report if (item.side, item.name) == (side, name))
        assert item.judgement.dispersion == pytest.approx(dispersion(slots[:, start : start + 6]))


# --- text ------------------------------------------------------------------------------------------------------------


def test_a_report_reads_as_a_table() -> None:
    report = drift_report("m", BASELINE, LIVE, alpha=1e-5, window="1h")

    assert str(report).splitlines() == [
        f"2 of 4 variables drifted in the last 1h. Model 'm', baseline {BASELINE.fingerprint}, alpha 1e-05.",
        "",
        "variable     verdict          size      G/φ  limit      φ     rows  moved most",
        "city         major            0.87    407.0   28.8   1.00     1000  Bonn 50% -> 10%",
        "height       drifted          0.17     84.0   31.4   1.00     1000  (0,1] 50% -> 30%",
        "age          stable           0.00      0.0   31.4   1.00     1000  __below__ 0% -> 0%",
        "age (output) not enough data  7.47     63.0   31.4   1.00        5  __above__ 0% -> 100%",
        "",
        "city: PSI 0.876 over 1000 live and 1000 training rows, Jensen-Shannon 0.383, Hellinger 0.325, KL of",
        "  live 0.367, of training 0.509",
        "",
        "height: PSI 0.169 over 1000 live and 1000 training rows, Jensen-Shannon 0.174, Hellinger 0.145, KL",
        "  of live 0.0821, of training 0.087, K-S 0.2, its limit 0.117, Wasserstein 0.2",
    ]


def test_a_report_says_what_only_its_dispersion_keeps_from_being_called() -> None:
    slots = np.zeros((2, len(LIVE)), dtype=np.int64)
    slots[0, 6], slots[1, 7] = 700, 300
    text = str(drift_report("m", BASELINE, slots.sum(axis=0), alpha=1e-5, slots=slots))

    assert "\ncity: not called, for within the window it varies 1e+03 times as much as by chance, PSI" in text


def test_a_report_names_shares_that_are_not_of_trained_values() -> None:
    live = (5, 100, 100, 0, 95, 0, *LIVE[6:])

    assert "missing 0.0% -> 31.7%, out of range 0.0% -> 1.7%, Jensen" in str(
        drift_report("m", BASELINE, live, alpha=1e-5)
    ).replace("\n  ", " ")


def test_a_report_without_variables_has_its_head() -> None:
    text = str(drift_report("m", Baseline((), (), 0), [], alpha=1e-5))

    assert text.startswith("0 of 0 variables drifted since the start.")
    assert text.split()[-9:] == ["variable", "verdict", "size", "G/φ", "limit", "φ", "rows", "moved", "most"]


def test_markdown_takes_no_part_of_a_name_for_its_own() -> None:
    odd = Discrete("a|b*", ("`x`", "Ulm"), (500, 500))
    text = drift_report("m", Baseline((odd,), (), 1000), [900, 100, 0, 0, 0, 0], alpha=1e-5).to_markdown()

    assert text.splitlines()[2:] == [
        "| variable | verdict | size | PSI | G/φ | limit | φ | rows | moved most | missing | unseen |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        "| a\\|b\\* | major | 0.874 | 0.876 | 407.0 | 25.9 | 1.00 | 1000 | \\`x\\` 50.0% → 90.0% | 0.0% | 0.0% |",
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("(16.271234,19.4]", "(16.27,19.4]"),
        ("(51.49996,51.50048]", "(51.5,51.5005]"),
        ("(1.699996988544e+12,1.699998755076e+12]", "(1.699997e+12,1.699999e+12]"),
        ("(-1.7e+308,1.7e+308]", "(-1.7e+308,1.7e+308]"),
        ("(-Inf,0.5]", "(-inf,0.5]"),
    ],
)
def test_a_short_interval_has_two_ends(name: str, text: str) -> None:
    assert short_interval(name) == text
