"""Outputs where validation had hardly any: what is expected of them is not said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flask_boxkite import ModelMonitoringService
from flask_boxkite.performance import regression
from flask_boxkite.performance.outside import hardly_validated
from flask_boxkite.performance.report import PerformanceReport
from flask_boxkite.performance.wording import expectation_line
from tests.baseline.training.building import built
from tests.performance.validations import bins_of, regression_of


def report_on(live: Any, outputs: Any, actual: Any, **options: Any) -> PerformanceReport:
    """Return the report on live outputs of a model with these validation rows."""
    service = ModelMonitoringService(
        built({"x": np.arange(len(actual))}, outputs, actual=actual, **options), sink="none"
    )
    for output in live:
        service.log_prediction(features=[0], output=output)
    return service.performance()


def numbers(share: float, far: float) -> PerformanceReport:
    """Return the report on a number, with a share of outputs that are far away."""
    random = np.random.default_rng(0)
    actual = random.normal(30, 8, 2000)
    live = random.normal(30, 5, 500)
    live[: round(share * 500)] = far
    return report_on(live.tolist(), actual + random.normal(0, 2, 2000), actual)


@pytest.mark.parametrize("far", [15_000.0, -15_000.0])
def test_nothing_is_expected_of_numbers_beyond_all_of_validation(far: float) -> None:
    report = numbers(0.36, far)
    assert [(item.estimated, item.estimated_low, item.corrected) for item in report] == [(None, None, None)] * 3
    assert (report.outside, report.expectation.verdict, report.effects) == (0.36, "not enough data", ())
    line = "Expected quality cannot be said: 36% of the outputs are where validation had hardly any."
    assert expectation_line(report.to_dict()) == line
    assert line in " ".join(str(report).split())
    assert report["mae"].validated is not None


def test_a_few_odd_numbers_hide_no_expectation() -> None:
    report = numbers(0.04, 15_000.0)
    assert report.outside == pytest.approx(0.04, abs=0.01)
    assert report["mae"].estimated is not None
    assert "cannot be said" not in str(report)


def test_nothing_is_expected_of_scores_that_validation_never_had() -> None:
    """A bug sets each second score to 0.5; no held-out row had a score between 0.3 and 0.7."""
    random = np.random.default_rng(1)
    scores = np.concatenate([random.uniform(0, 0.3, 1000), random.uniform(0.7, 1, 1000)])
    actual = (random.random(2000) < scores).astype(int)
    live = np.where(np.arange(400) % 2, 0.5, scores[::5])
    report = report_on(live.tolist(), scores, actual)
    assert (report.outside, report.expectation.verdict) == (0.5, "not enough data")
    assert report["auc"].estimated is None


def test_nothing_is_expected_of_a_class_that_validation_hardly_predicted() -> None:
    random = np.random.default_rng(2)
    predicted = np.array(["a", "b"])[random.integers(0, 2, 2000)]
    predicted[:2] = "c"
    actual = np.where(np.arange(2000) % 9, predicted, "a")
    report = report_on(["c"] * 50 + ["a"] * 50, predicted, actual, discrete=["output"])
    assert (report.outside, report["accuracy"].estimated) == (0.5, None)
    assert report_on(["a", "b"] * 50, predicted, actual, discrete=["output"])["accuracy"].estimated is not None


@pytest.mark.parametrize("rows", [40, 200, 5000])
def test_outputs_as_in_validation_are_not_outside(rows: int) -> None:
    """A tenth of the bins of a small validation is empty, and of 41 further rows, two are beyond all on average."""
    shares = []
    for seed in range(5):
        random = np.random.default_rng(seed)
        actual = random.normal(30, 8, rows)
        outputs = actual + random.normal(0, 2, rows)
        report = report_on(random.normal(30, 8.25, 400).tolist(), outputs, actual)
        assert report["mae"].estimated is not None
        shares.append(report.outside)
    assert max(shares) > 0.05 or rows > 40


def test_bins_that_validation_hardly_had() -> None:
    """Of 2,000 rows, 9 are 0.0045: bins of less than 5 rows are such; of 40 rows, only the ones beyond all are."""
    bounds = np.array([0.0, 1.0, 2.0, 3.0])
    for counts, expected in (
        ([0, 1991, 4, 5, 0], [True, False, True, False, True]),
        ([0, 0, 39, 0, 1], [True, True, False, False, False]),
    ):
        outputs = np.repeat([-0.5, 0.5, 1.5, 2.5, 3.5], counts)
        validation = regression_of(outputs, outputs - 1, bounds=bounds)
        assert hardly_validated(validation).tolist() == expected


@pytest.mark.parametrize("seed", range(5))
def test_no_root_of_squares_has_an_end_below_the_mean(seed: int) -> None:
    """A few rows with a squared error that varies much have a wide interval of it."""
    random = np.random.default_rng(seed)
    actual = random.normal(30, 8, 60)
    outputs = actual + random.standard_t(2, 60)
    validation = regression_of(outputs, actual)
    live = np.bincount(bins_of(random.normal(30, 8, 20), validation.upper_bounds), minlength=len(validation.counts))
    found = regression.expected(validation, live)
    for of_rmse, of_mae in zip(found["rmse"], found["mae"], strict=True):
        assert of_rmse is not None
        assert of_mae is not None
        assert of_rmse >= of_mae
