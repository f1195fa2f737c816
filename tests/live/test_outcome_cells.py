"""Sums of errors of any size, in whole numbers that no cell of 64 bits overflows."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from flask_boxkite import ModelMonitoringService
from flask_boxkite.baseline.validation import RegressionValidation
from flask_boxkite.live.outcome_cells import OutcomeCells
from flask_boxkite.outcomes.book import LARGEST
from flask_boxkite.records import Records
from tests.baseline.training.building import built
from tests.performance.validations import regression_of


def validation_of(size: float) -> RegressionValidation:
    """Return the validation of a model with errors about as large."""
    random = np.random.default_rng(4)
    actual = random.normal(100, 10, 500)
    return regression_of(actual + size * random.normal(0, 1, 500), actual)


@pytest.mark.parametrize("usual", [0.0, 1e-9, 1.0, 1e12])
@pytest.mark.parametrize("factor", [1e-3, 1.0, 999999.0, 1e9, 1e15])
def test_sums_are_right_for_large_and_small_errors(usual: float, factor: float) -> None:
    layout = OutcomeCells(validation_of(usual))
    cells, errors = np.zeros(layout.size, np.int64), [factor * (usual or 1.0) * (1 + each / 7) for each in range(20)]
    for error in errors:
        for cell, amount in layout.amounts((error, 0.0, error**2)):
            assert 0 <= amount <= LARGEST >> 10
            cells[cell] += amount

    sums = layout.sums(cells)
    assert sums["over"] == pytest.approx(float(sum(map(Fraction, errors))), rel=1e-5)
    assert sums["squares"] == pytest.approx(float(sum(Fraction(error) ** 2 for error in errors)), rel=1e-2)
    assert sums["under"] == 0


@pytest.mark.parametrize("usual", [0.0, 1e-9, 1.0, 1e12])
@pytest.mark.parametrize("error", [1e20, 1e40, 1e100, 1e154])
def test_the_root_of_the_mean_square_is_at_least_the_mean_of_any_error(usual: float, error: float) -> None:
    layout = OutcomeCells(validation_of(usual))
    cells = np.zeros(layout.size, np.int64)
    for cell, amount in layout.amounts((0.0, error, error**2)):
        assert 0 <= amount <= LARGEST >> 10
        cells[cell] += amount

    sums = layout.sums(cells)
    assert math.sqrt(sums["squares"]) >= sums["under"] * (1 - 1e-12) >= min(error, 1e18 * usual) * (1 - 2e-12)
    assert sums["under"] <= error * (1 + 1e-12)


def test_sentinels_among_outcomes_are_summed_alike_everywhere(tmp_path: Path) -> None:
    """A tenth of the actual values is 999999; the report, the records and the metrics agree with NumPy."""
    random = np.random.default_rng(1)
    actual, came_true = random.normal(100, 10, 500), random.normal(100, 10, 60)
    baseline = built({"x": np.arange(500)}, actual + random.normal(0, 1, 500), actual=actual)
    outputs = came_true + random.normal(0, 1, 60)
    came_true[::10] = 999999.0
    service = ModelMonitoringService(baseline, log_dir=tmp_path)
    ids = [service.log_prediction(features=[0], output=output) for output in outputs.tolist()]
    for each, value in zip(ids, came_true.tolist(), strict=True):
        assert service.log_outcome(each, value)
    assert service.flush(30) == 0

    errors = outputs - came_true
    mae, rmse = float(abs(errors).mean()), float(np.sqrt((errors**2).mean()))
    live = service.performance()
    kept = Records(tmp_path).performance(baseline, outcomes={"prediction_id": ids, "actual": came_true})
    assert [report[name].realised for report in (live, kept) for name in ("mae", "rmse")] == pytest.approx(
        [mae, rmse] * 2, rel=1e-6
    )
    assert live.verdict == kept.verdict == "much worse"
    lines = [
        line for line in service.export_http()[0].decode().splitlines() if line.startswith("boxkite_outcome_loss_total")
    ]
    losses = {line.partition('loss="')[2].partition('"')[0]: float(line.rpartition(" ")[2]) for line in lines}
    assert (losses["over"] + losses["under"]) / 60 == pytest.approx(mae)
    assert losses["squares"] / 60 == pytest.approx(rmse**2)
