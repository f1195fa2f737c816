"""Values and intervals of metrics: clipped to their range, and None where nothing is known."""

from __future__ import annotations

import math

import pytest

from flask_boxkite.performance.metric import METRICS, NOTHING, Estimate, banded, estimate, ratio


@pytest.mark.parametrize(
    ("metric", "inside"),
    [
        ("accuracy", Estimate(0.5, 0.0, 1.0)),
        ("mae", Estimate(0.5, 0.0, 9.0)),
        ("log_loss", Estimate(0.5, 0.0, 9.0)),
        ("bias", Estimate(0.5, -9.0, 9.0)),
    ],
)
def test_an_estimate_is_clipped_to_the_range_of_its_metric(metric: str, inside: Estimate) -> None:
    assert estimate(metric, 0.5, -9.0, 9.0) == inside


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_metric_that_is_not_defined_is_nothing(value: float) -> None:
    assert estimate("bias", value, 0.0, 1.0) == banded("bias", value, 1.0) == NOTHING == (None, None, None)


@pytest.mark.parametrize("error", [math.nan, math.inf])
def test_without_an_error_there_is_no_interval(error: float) -> None:
    assert banded("mae", 2.0, error) == Estimate(2.0)


def test_a_band_is_two_standard_errors() -> None:
    assert banded("bias", 1.0, 0.5) == pytest.approx((1.0, 1.0 - 0.98, 1.0 + 0.98))


def test_a_ratio_to_nothing_is_not_defined() -> None:
    assert ratio(3, 4) == 0.75
    assert math.isnan(ratio(0, 0))


def test_names_are_those_of_the_three_kinds() -> None:
    assert {kind: len(names) for kind, names in METRICS.items()} == {"binary": 7, "classes": 4, "regression": 3}
