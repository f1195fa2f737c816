"""Regression: realised metrics agree with rows, expected ones with validation rows, and bands hold their promise."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from flask_boxkite.baseline.validation import RegressionValidation
from flask_boxkite.performance import regression
from flask_boxkite.performance.metric import METRICS, NOTHING, Estimate
from flask_boxkite.performance.regression import ErrorSums
from tests.performance.validations import bins_of, regression_of

NAMES = METRICS["regression"]


def drawn(rng: np.random.Generator, rows: int, heavy: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return outputs, and actual values whose spread rises with the output."""
    output = rng.gamma(2.0, 10.0, rows)
    error = rng.laplace(size=rows) if heavy else rng.normal(size=rows)
    return output, output * (1 + 0.1 * error) + 0.5


def sums_of(output: np.ndarray, actual: np.ndarray) -> ErrorSums:
    error = output - actual
    return ErrorSums(len(error), error[error > 0].sum(), -error[error < 0].sum(), float((error**2).sum()))


def by_rows(output: np.ndarray, actual: np.ndarray) -> dict[str, float]:
    return {
        "mae": metrics.mean_absolute_error(actual, output),
        "rmse": metrics.root_mean_squared_error(actual, output),
        "bias": float(np.mean(output - actual)),
    }


def live_of(output: np.ndarray, validation: RegressionValidation) -> np.ndarray:
    return np.bincount(bins_of(output, validation.upper_bounds), minlength=len(validation.counts))


def values_of(found: dict[str, Estimate]) -> dict[str, float | None]:
    return {metric: estimate.value for metric, estimate in found.items()}


@pytest.mark.parametrize("rows", [1, 2, 30, 5000])
def test_realised_metrics_are_scikit_learns(rng: np.random.Generator, rows: int) -> None:
    sample = drawn(rng, rows)

    assert values_of(regression.realised(sums_of(*sample))) == pytest.approx(by_rows(*sample), rel=1e-9)


def test_validated_metrics_are_those_of_the_validation_rows(rng: np.random.Generator) -> None:
    sample = drawn(rng, 3000)
    found = regression.validated(regression_of(*sample))

    assert values_of(found) == pytest.approx(by_rows(*sample), rel=1e-9)
    for metric, estimate in regression.realised(sums_of(*sample)).items():
        assert found[metric] == pytest.approx(estimate)


def test_expected_metrics_are_those_of_rows_where_each_output_has_a_bin(rng: np.random.Generator) -> None:
    """Mean errors of the validation rows with the same output, summed over live rows one by one."""
    values = np.arange(50.0)
    output = rng.choice(values, 20_000)
    actual = output + rng.normal(size=20_000) * (1 + output / 10)
    validation = regression_of(output, actual, bounds=values)
    live = rng.choice(values, 3000, p=values / values.sum())
    error = output - actual
    means = np.array([[of(error[output == value]) for value in values] for of in (np.mean, lambda e: np.mean(abs(e)))])
    squares = np.array([np.mean(error[output == value] ** 2) for value in values])
    at = live.astype(int)

    assert values_of(regression.expected(validation, live_of(live, validation))) == pytest.approx(
        {"mae": means[1, at].mean(), "rmse": math.sqrt(squares[at].mean()), "bias": means[0, at].mean()}, rel=1e-9
    )


@pytest.mark.parametrize("heavy", [False, True], ids=["normal", "Laplace"])
@pytest.mark.parametrize(("trained", "rows"), [(300, 100), (1000, 3000), (10_000, 300)])
def test_bands_and_intervals_hold_what_they_promise(
    rng: np.random.Generator, trained: int, rows: int, heavy: bool
) -> None:
    """300 pairs of samples without a shift: bands hold the realised metric, intervals the truth, of 0.90 to 1.00."""
    truth = by_rows(*drawn(rng, 1_000_000, heavy))
    of_bands, of_intervals = dict.fromkeys(NAMES, 0), dict.fromkeys(NAMES, 0)
    for _ in range(300):
        validation, (output, actual) = regression_of(*drawn(rng, trained, heavy)), drawn(rng, rows, heavy)
        expected = regression.expected(validation, live_of(output, validation))
        realised = regression.realised(sums_of(output, actual))
        for metric in NAMES:
            (_, low, high), (value, *ends) = expected[metric], realised[metric]
            assert None not in (low, high, value, *ends)
            of_bands[metric] += low <= value <= high
            of_intervals[metric] += ends[0] <= truth[metric] <= ends[1]

    for metric in NAMES:
        assert 0.90 <= of_bands[metric] / 300 <= 1.0, metric
        assert 0.90 <= of_intervals[metric] / 300 <= 1.0, metric


def test_errors_of_rows_are_the_sums_of_the_validation_rows(rng: np.random.Generator) -> None:
    sample = drawn(rng, 2000)
    validation = regression_of(*sample)
    found = {name: of_bins @ validation.counts for name, of_bins in regression.errors_of_rows(validation).items()}

    assert ErrorSums(validation.rows, **found) == pytest.approx(sums_of(*sample))


def test_errors_of_one_bin_by_hand() -> None:
    """Gamma of shape 1 (mse = 2·mae²): the fourth moment is 24·mae⁴."""
    validation = RegressionValidation("y", (1.0,), (99, 0), (0.5, math.nan), (2.0, math.nan), (8.0, math.nan), (), ())
    weight = (50 + 50 * 50 / 100) / 50**2
    of_mae, of_bias, of_mse = (1.96 * math.sqrt(v * weight) for v in (8 - 4, 8 - 0.25, 24 * 16 - 64))
    found = regression.expected(validation, [50, 0])

    assert found["mae"] == pytest.approx((2.0, 2 - of_mae, 2 + of_mae))
    assert found["bias"] == pytest.approx((0.5, 0.5 - of_bias, 0.5 + of_bias))
    assert found["rmse"] == pytest.approx((math.sqrt(8), math.sqrt(8 - of_mse), math.sqrt(8 + of_mse)))


def test_a_correction_is_the_mean_effect_of_the_groups() -> None:
    effects = ((0.1, -0.1), (0.5, 0.0), (2.0, 1.0))
    validation = RegressionValidation("y", (1.0,), (99, 0), (0.5, math.nan), (2.0, math.nan), (8.0, math.nan), (), ())
    found = regression.corrected(replace(validation, effects=effects), [40, 10], [30, 10], 40)

    assert found == pytest.approx({"mae": 2 + 0.375, "rmse": math.sqrt(8 + 1.75), "bias": 0.5 + 0.05})
    assert regression.corrected(replace(validation, effects=effects), [32, 8], [30, 10]) == pytest.approx(found)
    assert set(regression.corrected(validation, [40, 10], []).values()) == {None}
    assert set(regression.corrected(replace(validation, effects=effects), [0, 0], [0, 0]).values()) == {None}


def test_an_empty_bin_lies_between_its_neighbours() -> None:
    nan = math.nan
    validation = RegressionValidation(
        "y", (1.0, 2.0), (10, 0, 10), (-1.0, nan, 2.0), (1.0, nan, 3.0), (2.0, nan, 10.0), (), ()
    )
    assert values_of(regression.expected(validation, [0, 7, 0])) == pytest.approx(
        {"mae": 2.0, "rmse": math.sqrt(6), "bias": 0.5}
    )


def test_an_empty_window_has_no_metrics(rng: np.random.Generator) -> None:
    validation, nothing = regression_of(*drawn(rng, 100)), dict.fromkeys(NAMES, NOTHING)

    assert regression.expected(validation, np.zeros(len(validation.counts), dtype=int)) == nothing
    assert regression.realised(ErrorSums(0, 0.0, 0.0, 0.0)) == nothing


def test_a_single_row_has_no_interval_and_a_perfect_model_has_one() -> None:
    assert regression.realised(ErrorSums(1, 0.0, 3.0, 9.0)) == {
        "mae": Estimate(3.0),
        "rmse": Estimate(3.0),
        "bias": Estimate(-3.0),
    }
    perfect = regression.realised(ErrorSums(50, 0.0, 0.0, 0.0))
    assert (perfect["mae"], perfect["bias"]) == (Estimate(0.0, 0.0, 0.0),) * 2
    assert perfect["rmse"].value == 0.0


NUMBERS = st.floats(-1e6, 1e6)
ROWS = st.lists(st.tuples(st.integers(0, 10**12), NUMBERS, st.floats(1, 10)), min_size=4, max_size=4)


@given(ROWS, st.lists(st.integers(0, 10**12), min_size=4, max_size=4), st.lists(NUMBERS, max_size=20))
def test_numbers_are_finite_and_in_range(
    bins: list[tuple[int, float, float]], live: list[int], errors: list[float]
) -> None:
    nan = math.nan
    columns = [
        (error, abs(error) * wide, (error * wide) ** 2 * wide) if rows else (nan, nan, nan)
        for rows, error, wide in bins
    ]
    means = [tuple(column) for column in zip(*columns, strict=True)]
    validation = RegressionValidation("y", (1.0, 2.0, 3.0), tuple(rows for rows, *_ in bins), *means, (), ())
    error = np.array(errors)
    sums = ErrorSums(len(error), error[error > 0].sum(), -error[error < 0].sum(), float((error**2).sum()))
    for found in (regression.expected(validation, live), regression.realised(sums), regression.validated(validation)):
        assert tuple(found) == NAMES
        for metric, estimate in found.items():
            numbers = [each for each in (estimate.low, estimate.value, estimate.high) if each is not None]
            assert all(map(math.isfinite, numbers))
            assert numbers == sorted(numbers)
            assert metric == "bias" or min(numbers, default=0.0) >= 0
