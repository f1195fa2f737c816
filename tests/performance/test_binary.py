"""Binary models: realised metrics are scikit-learn's, expected ones agree with rows, and bands hold their promise."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.isotonic import IsotonicRegression

from flask_boxkite.baseline.validation import BinaryValidation, MeanLosses
from flask_boxkite.performance import binary
from flask_boxkite.performance.binary import LossSums
from flask_boxkite.performance.metric import METRICS, NOTHING, Estimate
from tests.performance.validations import binary_of, cells_of

NAMES = METRICS["binary"]
THRESHOLD = 0.3


def drawn(rng: np.random.Generator, rows: int, a: float = 1.0, b: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Return calibrated scores of two digits, many of which are equal to the threshold, and actual values."""
    scores = np.round(rng.beta(a, b, rows), 2)
    return scores, rng.random(rows) < scores


def losses_of(scores: np.ndarray, actual: np.ndarray) -> LossSums:
    """Return the sums of losses, row by row."""
    inside = np.clip(scores, np.finfo(float).eps, 1 - np.finfo(float).eps)
    logs = np.where(actual, np.log(inside), np.log1p(-inside))
    return LossSums(float(np.sum((scores - actual) ** 2)), -float(logs.sum()))


def by_rows(scores: np.ndarray, actual: np.ndarray, threshold: float = THRESHOLD) -> dict[str, float]:
    """Return the metrics by scikit-learn; a score equal to the threshold is positive."""
    predicted = scores >= threshold
    return {
        "accuracy": metrics.accuracy_score(actual, predicted),
        "precision": metrics.precision_score(actual, predicted),
        "recall": metrics.recall_score(actual, predicted),
        "f1": metrics.f1_score(actual, predicted),
        "auc": metrics.roc_auc_score(actual, scores),
        "brier": metrics.brier_score_loss(actual, scores),
        "log_loss": metrics.log_loss(actual, scores),
    }


def values_of(found: dict[str, Estimate]) -> dict[str, float | None]:
    return {metric: estimate.value for metric, estimate in found.items()}


# --- realised --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("a", "b", "rows"), [(1, 2, 200), (0.3, 0.3, 2000), (0.3, 5.7, 5000), (8, 8, 1000)])
def test_realised_metrics_are_scikit_learns(rng: np.random.Generator, a: float, b: float, rows: int) -> None:
    validation = binary_of(*drawn(rng, 3000, a, b), threshold=THRESHOLD)
    scores, actual = drawn(rng, rows, a, b)
    assert np.any(scores == THRESHOLD)
    found = values_of(
        binary.realised(validation, cells_of(scores, actual, validation.upper_bounds), losses_of(scores, actual))
    )
    peer = by_rows(scores, actual)

    for metric in ("accuracy", "precision", "recall", "f1"):
        assert found[metric] == peer[metric]
    assert found["auc"] == pytest.approx(peer["auc"], abs=0.004)
    for metric in ("brier", "log_loss"):
        assert found[metric] == pytest.approx(peer[metric], abs=1e-9)


@pytest.mark.parametrize(("positives", "near"), [(10, 0.015), (30, 0.008), (100, 0.004)])
def test_the_area_of_bins_is_near_the_one_of_rows_as_far_as_stated(
    rng: np.random.Generator, positives: int, near: float
) -> None:
    """Root mean square over windows of a score whose positives are rare: about 1 in 60."""

    def rare(rows: int) -> tuple[np.ndarray, np.ndarray]:
        scores = 1 / (1 + np.exp(-rng.normal(-5, 1.3, rows)))
        return scores, rng.random(rows) < scores

    validation = binary_of(*rare(20_000), threshold=0.1)
    misses, widths = [], []
    for _ in range(40):
        scores, actual = rare(positives * 67)
        found = binary.realised(validation, cells_of(scores, actual, validation.upper_bounds))["auc"]
        assert found.value is not None
        misses.append(found.value - metrics.roc_auc_score(actual, scores))
        widths.append((found.high or 1.0) - (found.low or 0.0))
    assert np.sqrt(np.mean(np.square(misses))) < near < np.mean(widths) / 4


def test_losses_without_sums_are_near_those_of_rows(rng: np.random.Generator) -> None:
    """They are the ones of the validation rows in the same bins; some scores are 0 or 1."""
    validation = binary_of(*drawn(rng, 3000), threshold=THRESHOLD)
    scores, actual = drawn(rng, 3000)
    found = binary.realised(validation, cells_of(scores, actual, validation.upper_bounds))
    peer = by_rows(scores, actual)

    assert np.any(scores == 0)
    assert found["brier"].value == pytest.approx(peer["brier"], abs=0.002)
    assert found["log_loss"].value == pytest.approx(peer["log_loss"], abs=0.004)


def test_validated_metrics_are_those_of_the_validation_rows(rng: np.random.Generator) -> None:
    scores, actual = drawn(rng, 4000)
    found = values_of(binary.validated(binary_of(scores, actual, threshold=THRESHOLD)))
    peer = by_rows(scores, actual)

    for metric in ("accuracy", "precision", "recall", "f1"):
        assert found[metric] == peer[metric]
    for metric, tolerance in (("auc", 0.002), ("brier", 1e-9), ("log_loss", 1e-9)):
        assert found[metric] == pytest.approx(peer[metric], abs=tolerance)


@pytest.mark.parametrize(("rows", "windows"), [(30, 1000), (300, 400), (3000, 400)])
def test_realised_intervals_hold_the_truth_in_95_of_100_windows(
    rng: np.random.Generator, rows: int, windows: int
) -> None:
    """The truth is the one of 400,000 rows. Losses of 30 rows are skewed; else it is 0.93 or more."""
    many = drawn(rng, 400_000)
    validation = binary_of(*many, threshold=THRESHOLD)
    truth = by_rows(*many)
    inside = dict.fromkeys(NAMES, 0)
    for _ in range(windows):
        scores, actual = drawn(rng, rows)
        cells = cells_of(scores, actual, validation.upper_bounds)
        for metric, (_, low, high) in binary.realised(validation, cells, losses_of(scores, actual)).items():
            inside[metric] += low is not None and high is not None and low <= truth[metric] <= high

    for metric, number in inside.items():
        assert 0.91 <= number / windows <= 0.98, metric


# --- expected --------------------------------------------------------------------------------------------------------


def test_expected_metrics_are_those_of_rows_where_each_score_has_a_bin(rng: np.random.Generator) -> None:
    """Isotonic shares of validation rows, summed over live rows one by one."""
    trained, actual = drawn(rng, 20_000)
    grid = np.arange(100) / 100
    bounds = np.unique(np.append(grid, np.nextafter(THRESHOLD, -1)))
    validation = binary_of(trained, actual, threshold=THRESHOLD, bounds=bounds)
    live = rng.choice(trained, 3000)
    found = values_of(binary.expected(validation, cells_of(live, live > 2, bounds).sum(axis=1)))

    shares = IsotonicRegression().fit(trained, actual).predict(live)
    predicted = live >= THRESHOLD
    tp, fp = shares[predicted].sum(), (1 - shares)[predicted].sum()
    fn, tn = shares[~predicted].sum(), (1 - shares)[~predicted].sum()
    inside = np.clip(live, np.finfo(float).eps, 1 - np.finfo(float).eps)
    order = (live[:, None] > live) + 0.5 * (live[:, None] == live)
    expected = {
        "accuracy": (tp + tn) / 3000,
        "precision": tp / (tp + fp),
        "recall": tp / (tp + fn),
        "f1": 2 * tp / (2 * tp + fp + fn),
        "auc": shares @ order @ (1 - shares) / (shares.sum() * (1 - shares).sum()),
        "brier": np.mean(shares * (1 - live) ** 2 + (1 - shares) * live**2),
        "log_loss": -np.mean(shares * np.log(inside) + (1 - shares) * np.log1p(-inside)),
    }
    assert found == pytest.approx(expected, rel=1e-9)
    of_rows = binary.losses_of_rows(validation)
    rows = cells_of(live, live > 2, bounds).sum(axis=1)
    assert binary.positive_shares(validation) @ rows == pytest.approx(shares.sum())
    assert {metric: loss @ rows / 3000 for metric, loss in of_rows.items()} == pytest.approx(
        {metric: expected[metric] for metric in ("brier", "log_loss")}
    )


@pytest.mark.parametrize(("trained", "rows"), [(300, 100), (1000, 1000), (10_000, 300), (1000, 10_000)])
def test_bands_hold_the_realised_metrics_of_95_windows_in_100(
    rng: np.random.Generator, trained: int, rows: int
) -> None:
    """300 pairs of samples without a shift: between 0.90 and 1.00, as validation rows are few and shares isotonic."""
    inside = {metric: [0, 0] for metric in NAMES}
    for _ in range(300):
        validation = binary_of(*drawn(rng, trained), threshold=THRESHOLD)
        scores, actual = drawn(rng, rows)
        cells = cells_of(scores, actual, validation.upper_bounds)
        realised = binary.realised(validation, cells, losses_of(scores, actual))
        for metric, (value, low, high) in binary.expected(validation, cells.sum(axis=1)).items():
            found = realised[metric].value
            assert value is not None
            assert low is not None
            assert high is not None
            if found is not None:
                inside[metric][0] += low <= found <= high
                inside[metric][1] += 1

    for metric, (number, of) in inside.items():
        assert 0.90 <= number / of <= 1.0, metric


def test_errors_are_those_of_the_design_by_hand() -> None:
    """Two bins, one on each side of the threshold: all sums have one term."""
    validation = BinaryValidation("p", 0.5, "1", "0", (float(np.nextafter(0.5, 0)),), (80, 30), (20, 70))
    found = binary.expected(validation, [50, 40])
    pi = 90 / 200
    r0, r1 = (100 * 0.2 + pi) / 101, (100 * 0.7 + pi) / 101
    v0, v1 = (n * r * (1 - r) + n * n * r * (1 - r) / 101 for n, r in ((50, r0), (40, r1)))
    tp, fn, n1, n, actual = 28, 10, 40, 90, 38
    auc = (28 * (40 + 6) + 10 * 20) / (38 * 52)
    g0 = (20 - 28 - 5 - auc * (52 - 38)) / (38 * 52)
    g1 = (40 + 6 - 14 - auc * (52 - 38)) / (38 * 52)
    errors = {
        "accuracy": (68 / 90, math.sqrt(v0 + v1) / n),
        "precision": (28 / 40, math.sqrt(v1) / n1),
        "recall": (28 / 38, math.sqrt(fn**2 * v1 + tp**2 * v0) / actual**2),
        "f1": (56 / 78, math.sqrt(4 * (n1 + fn) ** 2 * v1 + 4 * tp**2 * v0) / (n1 + actual) ** 2),
        "auc": (auc, math.sqrt(g0**2 * v0 + g1**2 * v1)),
    }
    for metric, (value, error) in errors.items():
        assert found[metric] == pytest.approx((value, value - 1.96 * error, value + 1.96 * error))
    assert found["brier"] == found["log_loss"] == NOTHING  # of scores that are no probabilities


def test_losses_and_their_errors_by_hand() -> None:
    """Two bins; only the logarithmic loss differs between rows of the same bin and actual value."""
    bounds, rows, shares = (float(np.nextafter(0.5, 0)),), np.array([50, 40]), np.array([0.2, 0.7])
    brier, logs = np.array([[0.05, 0.6], [0.7, 0.1]]), np.array([[0.2, 1.2], [1.8, 0.3]])
    log_squares = np.array([[0.1, 1.5], [4.3, 0.2]])
    losses = MeanLosses(*(tuple(map(tuple, means.tolist())) for means in (brier, logs, log_squares)))
    validation = BinaryValidation("p", 0.5, "1", "0", bounds, (80, 30), (20, 70), losses)
    r = (100 * shares + 0.45) / 101
    found, of_rows = binary.expected(validation, rows), binary.losses_of_rows(validation)
    for metric, (negative, positive), squares in (("brier", brier, brier**2), ("log_loss", logs, log_squares)):
        value = ((1 - shares) * negative + shares * positive) @ rows / 90
        variance = (1 - r) * squares[0] + r * squares[1] - ((1 - r) * negative + r * positive) ** 2
        error = np.sqrt(np.sum(variance * (rows + rows**2 / 101))) / 90

        assert of_rows[metric] @ rows / 90 == pytest.approx(value)
        assert found[metric] == pytest.approx((value, value - 1.96 * error, value + 1.96 * error))


def test_bands_hold_where_few_rows_have_most_of_the_loss(rng: np.random.Generator) -> None:
    """A tenth of the scores is 0 or 1, of which one in a hundred is wrong and costs 36: most validations have some."""

    def overconfident(rows: int) -> tuple[np.ndarray, np.ndarray]:
        scores = np.clip(np.round(rng.uniform(-0.05, 1.05, rows), 2), 0, 1)
        return scores, rng.random(rows) < np.clip(scores, 0.01, 0.99)

    inside = 0
    for _ in range(600):
        scores, actual = overconfident(3000)
        bounds = [math.nextafter(0, -1), 0.0, *np.arange(1, 20) / 20, math.nextafter(0.5, 0), math.nextafter(1, 0)]
        validation = binary_of(scores, actual, bounds=np.sort(bounds))
        scores, actual = overconfident(1000)
        cells = cells_of(scores, actual, validation.upper_bounds)
        value = binary.realised(validation, cells, losses_of(scores, actual))["log_loss"].value
        _, low, high = binary.expected(validation, cells.sum(axis=1))["log_loss"]
        assert value is not None
        assert low is not None
        assert high is not None
        inside += low <= value <= high

    assert 0.90 <= inside / 600 <= 1.0


def test_constants_are_kept_and_cannot_be_changed(rng: np.random.Generator) -> None:
    """All users of a validation share them; a changed copy has its own."""
    validation = binary_of(*drawn(rng, 300), threshold=THRESHOLD)
    live = rng.integers(0, 50, len(validation.negatives))
    first, fresh = binary.expected(validation, live), binary.expected(replace(validation), live)
    other = replace(validation, negatives=validation.positives, positives=validation.negatives)

    assert first == binary.expected(validation, live) == fresh
    assert binary.positive_shares(validation) is binary.positive_shares(validation)
    assert binary.positive_shares(other).tolist() != binary.positive_shares(validation).tolist()
    with pytest.raises(ValueError, match="read-only"):
        binary.positive_shares(validation)[0] = 1.0


# --- corrected -------------------------------------------------------------------------------------------------------


def test_a_correction_adds_the_effects_of_the_groups_of_all_rows() -> None:
    """Two features, of two groups and three; of 20 live rows, 10 were counted in groups."""
    effects = ((0.1, -0.1, 0.0, 0.02, -0.2), (-0.05, 0.05, 0.1, 0.0, -0.1))
    bounds = (float(np.nextafter(0.5, 0)),)
    validation = BinaryValidation("p", 0.5, "1", "0", bounds, (80, 30), (20, 70), effects=effects)
    groups = [6, 4, 2, 8, 0]
    found = binary.corrected(validation, [12, 8], groups, 10)
    fn, tp = 12 * 0.2 + 2 * (0.6 - 0.4 + 0.16), 8 * 0.7 + 2 * (-0.3 + 0.2 + 0.2)

    assert found == pytest.approx(
        {
            "accuracy": (tp + 12 - fn) / 20,
            "precision": tp / 8,
            "recall": tp / (tp + fn),
            "f1": 2 * tp / (8 + tp + fn),
            "auc": None,
            "brier": None,
            "log_loss": None,
        }
    )
    assert binary.corrected(validation, [12, 8], np.multiply(groups, 2), 20) == pytest.approx(found)
    assert binary.corrected(validation, [12, 8], np.multiply(groups, 2)) == pytest.approx(found)


def test_a_correction_knows_subgroups_that_scores_do_not(rng: np.random.Generator) -> None:
    """Rows of one group have a coin's outcome; live rows are all of it."""
    scores = rng.beta(0.5, 0.5, 40_000)
    group = rng.integers(0, 2, 40_000)
    actual = rng.random(40_000) < np.where(group == 1, scores, 0.5)
    plain = binary_of(scores, actual)
    is_positive, shares = scores >= 0.5, IsotonicRegression().fit(scores, actual).predict(scores)
    effects = tuple(
        tuple(((actual - shares) * (is_positive == side))[group == each].mean() for each in (0, 1))
        for side in (False, True)
    )
    live = rng.choice(np.flatnonzero(group == 0), 5000)
    cells = cells_of(scores[live], actual[live], plain.upper_bounds)
    corrected = binary.corrected(replace(plain, effects=effects), cells.sum(axis=1), [5000, 0])
    expected, realised = binary.expected(plain, cells.sum(axis=1)), binary.realised(plain, cells)

    for metric in ("accuracy", "precision", "recall", "f1"):
        found, before, truth = corrected[metric], expected[metric].value, realised[metric].value
        assert found is not None
        assert before is not None
        assert truth is not None
        assert abs(before - truth) > 0.1
        assert abs(found - truth) < 0.02, metric


def test_without_effects_nothing_is_corrected() -> None:
    validation = BinaryValidation("p", 0.5, "1", "0", (float(np.nextafter(0.5, 0)),), (80, 30), (20, 70))

    assert set(binary.corrected(validation, [12, 8], []).values()) == {None}


# --- represented -----------------------------------------------------------------------------------------------------


def test_all_outcomes_represent_themselves(rng: np.random.Generator) -> None:
    validation = binary_of(*drawn(rng, 3000), threshold=THRESHOLD)
    cells = cells_of(*drawn(rng, 500), validation.upper_bounds)
    found, realised = (
        binary.represented(validation, cells.sum(axis=1), cells),
        binary.realised(validation, cells),
    )

    assert values_of(found) == pytest.approx(values_of(realised))


def test_no_outcomes_represent_what_is_expected(rng: np.random.Generator) -> None:
    validation = binary_of(*drawn(rng, 3000), threshold=THRESHOLD)
    live = cells_of(*drawn(rng, 500), validation.upper_bounds).sum(axis=1)
    nothing = np.zeros((len(live), 2), dtype=int)

    assert values_of(binary.represented(validation, live, nothing)) == pytest.approx(
        values_of(binary.expected(validation, live))
    )


def test_outcomes_of_rows_before_the_window_are_rows_too() -> None:
    """Ten outcomes are in a bin without live rows, so the window has 30 rows, not 20."""
    validation = BinaryValidation("p", 0.5, "1", "0", (float(np.nextafter(0.5, 0)),), (80, 30), (20, 70))
    found = binary.represented(validation, [0, 20], [[6, 4], [4, 6]])

    assert found["accuracy"].value == pytest.approx((6 + 6 + 10 * (6 + 5 * 0.7) / 15) / 30)


def test_outcomes_of_unsure_rows_represent_all_rows(rng: np.random.Generator) -> None:
    """A tenth of the labels is flipped, which validation does not know; the unsure rows have the outcomes."""
    validation = binary_of(*drawn(rng, 5000), threshold=0.5)
    errors: list[tuple[float, float]] = []
    for _ in range(50):
        scores, actual = drawn(rng, 5000)
        actual = actual ^ (rng.random(5000) < 0.1)
        known = rng.random(5000) < 0.3 * np.exp(-0.5 * ((scores - 0.5) / 0.15) ** 2) + 0.02
        live = cells_of(scores, actual, validation.upper_bounds)
        outcomes = cells_of(scores[known], actual[known], validation.upper_bounds)
        truth = binary.realised(validation, live)["accuracy"].value
        plain = binary.realised(validation, outcomes)["accuracy"].value
        found = binary.represented(validation, live.sum(axis=1), outcomes)["accuracy"].value
        assert truth is not None
        assert plain is not None
        assert found is not None
        errors.append((found - truth, plain - truth))
    of_represented, of_plain = np.sqrt(np.mean(np.square(errors), axis=0))

    assert of_represented < 0.03
    assert of_plain > 0.08


# --- invariants ------------------------------------------------------------------------------------------------------

COUNTS = st.one_of(st.integers(0, 3), st.integers(0, 10**4), st.integers(0, 10**15))
BOUNDS = (0.1, 0.3, float(np.nextafter(0.5, 0)), 0.7, 1.0)
TABLES = st.lists(st.tuples(COUNTS, COUNTS), min_size=6, max_size=6)


def made_of(table: list[tuple[int, int]], *, is_probability: bool) -> BinaryValidation:
    """Return a validation with such counts; the losses are the ones of one score in each bin, NaN without rows."""
    scores = np.clip([0.0, 0.2, 0.4, 0.6, 0.85, 1.0], np.finfo(float).eps, 1 - np.finfo(float).eps)
    negatives, positives = zip(*table, strict=True)
    logs = -np.log1p(-scores), -np.log(scores)
    losses = MeanLosses(
        *(
            (filled(of_negative, negatives), filled(of_positive, positives))
            for of_negative, of_positive in (
                (scores**2, (1 - scores) ** 2),
                logs,
                (logs[0] ** 2, logs[1] ** 2),
            )
        )
    )
    return BinaryValidation("p", 0.5, "1", "0", BOUNDS, negatives, positives, losses if is_probability else None)


def filled(means: np.ndarray, rows: tuple[int, ...]) -> tuple[float, ...]:
    return tuple(np.where(np.array(rows) > 0, means, math.nan).tolist())


@given(TABLES, TABLES, st.lists(COUNTS, min_size=6, max_size=6), st.booleans())
def test_numbers_are_finite_and_in_range(
    trained: list[tuple[int, int]], outcomes: list[tuple[int, int]], live: list[int], is_probability: bool
) -> None:
    validation = made_of(trained, is_probability=is_probability)
    everything = [
        binary.expected(validation, live),
        binary.realised(validation, outcomes),
        binary.represented(validation, live, outcomes),
        binary.validated(validation),
    ]
    for found in everything:
        assert tuple(found) == NAMES
        for metric, estimate in found.items():
            if estimate.value is None:
                assert estimate == NOTHING
                continue
            most = math.inf if metric == "log_loss" else 1.0
            numbers = [each for each in (estimate.low, estimate.value, estimate.high) if each is not None]
            has_spread = metric not in ("brier", "log_loss") or np.sum(outcomes) != 1
            assert len(numbers) == 3 or not has_spread
            assert numbers == sorted(numbers)
            assert 0 <= numbers[0] <= numbers[-1] <= most
            assert all(map(math.isfinite, numbers))


@pytest.mark.parametrize("function", [binary.expected, binary.realised, binary.represented])
def test_an_empty_window_has_no_metrics(rng: np.random.Generator, function: object) -> None:
    validation = binary_of(*drawn(rng, 300), threshold=THRESHOLD)
    bins = len(validation.upper_bounds) + 1
    live, outcomes = np.zeros(bins, dtype=int), np.zeros((bins, 2), dtype=int)
    found = {
        binary.expected: lambda: binary.expected(validation, live),
        binary.realised: lambda: binary.realised(validation, outcomes, LossSums(0.0, 0.0)),
        binary.represented: lambda: binary.represented(validation, live, outcomes),
    }[function]()

    assert found == dict.fromkeys(NAMES, NOTHING)


def test_a_window_of_one_class_has_no_auc(rng: np.random.Generator) -> None:
    validation = binary_of(*drawn(rng, 300), threshold=THRESHOLD)
    scores = np.array([0.1, 0.2, 0.8])
    negative, positive = (
        binary.realised(validation, cells_of(scores, np.full(3, value), validation.upper_bounds))
        for value in (False, True)
    )

    assert negative["auc"] == positive["auc"] == negative["recall"] == NOTHING
    assert negative["precision"].value == negative["f1"].value == 0.0
    assert (negative["accuracy"].value, positive["recall"].value, positive["precision"].value) == (2 / 3, 1 / 3, 1.0)
    low = cells_of(scores[:2], np.full(2, False), validation.upper_bounds)
    assert binary.realised(validation, low)["precision"] == binary.realised(validation, low)["f1"] == NOTHING


def test_a_model_without_a_fault_has_an_interval_still() -> None:
    validation = BinaryValidation("p", 0.5, "1", "0", (float(np.nextafter(0.5, 0)),), (80, 0), (0, 70))
    for metric, (value, low, high) in binary.realised(validation, [[30, 0], [0, 20]]).items():
        if metric not in ("brier", "log_loss"):
            assert value == high == 1.0
            assert low is not None
            assert 0.7 < low < 1.0


def test_bins_without_rows_of_an_actual_value_have_the_loss_of_one_score() -> None:
    """The middle of an empty bin; else, the root mean square distance of rows of the other actual value."""
    bounds, nan = (0.3, float(np.nextafter(0.5, 0)), 0.7), math.nan
    losses = MeanLosses(
        ((nan, nan, 0.36, nan), (nan, 0.36, nan, 0.01)),
        ((nan, nan, 0.9, nan), (nan, 0.9, nan, 0.1)),
        ((nan, nan, 0.82, nan), (nan, 0.82, nan, 0.02)),
    )
    validation = BinaryValidation("p", 0.5, "1", "0", bounds, (0, 0, 30, 0), (0, 30, 0, 30), losses)
    for bin_, actual, distance in ((0, 0, 0.15), (0, 1, 0.85), (1, 0, 0.4), (2, 1, 0.4), (3, 0, 0.9)):
        cells = np.zeros((4, 2), dtype=int)
        cells[bin_, actual] = 2
        found = binary.realised(validation, cells)

        assert found["brier"].value == pytest.approx(distance**2)
        assert found["log_loss"].value == pytest.approx(-math.log(1 - distance))
