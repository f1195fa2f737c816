"""Classes: realised metrics are scikit-learn's, expected ones sum validation rows, and bands hold what they promise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binomtest
from sklearn import metrics

from flask_boxkite.baseline.validation import ClassValidation
from flask_boxkite.performance import classes, comparisons
from flask_boxkite.performance.intervals import LEAST_ROWS
from flask_boxkite.performance.metric import METRICS, NOTHING, Estimate
from tests.performance.validations import classes_of, table_of

NAMES = METRICS["classes"]
BOUNDS = tuple(np.arange(4, 10) / 10)
CLASSES = 4


def drawn(rng: np.random.Generator, rows: int, sharpness: float = 2.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return predicted classes, their probabilities, and actual classes; the last class is rare."""
    logits = rng.normal(size=(rows, CLASSES)) * sharpness - [0.0, 0.3, 0.6, 3.0]
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    actual = (shares.cumsum(axis=1) < rng.random((rows, 1))).sum(axis=1).clip(0, CLASSES - 1)
    return shares.argmax(axis=1), shares.max(axis=1), actual


def by_rows(predicted: np.ndarray, actual: np.ndarray) -> dict[str, float]:
    """Return the metrics by scikit-learn."""
    of = {"average": "macro", "zero_division": 0.0}
    return {
        "accuracy": metrics.accuracy_score(actual, predicted),
        "precision": metrics.precision_score(actual, predicted, **of),
        "recall": metrics.recall_score(actual, predicted, **of),
        "f1": metrics.f1_score(actual, predicted, **of),
    }


def values_of(found: dict[str, Estimate]) -> dict[str, float | None]:
    return {metric: estimate.value for metric, estimate in found.items()}


@pytest.mark.parametrize("rows", [1, 2, 10, 300, 20_000])
def test_realised_metrics_are_scikit_learns(rng: np.random.Generator, rows: int) -> None:
    """In few rows, some classes are never predicted, never come, or neither."""
    validation = classes_of(*drawn(rng, 5000), CLASSES, bounds=BOUNDS)
    for _ in range(20):
        predicted, confidence, actual = drawn(rng, rows)
        found = classes.realised(validation, table_of(predicted, confidence, actual, CLASSES, BOUNDS))

        assert values_of(found) == pytest.approx(by_rows(predicted, actual), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("rows", [1, 10, 3000])
def test_a_class_that_validation_never_had_is_one_more_class_of_scikit_learn(
    rng: np.random.Generator, rows: int
) -> None:
    """A third of the rows is of it. All outcomes represent themselves, and all of its rows are wrong rows."""
    validation = classes_of(*drawn(rng, 5000), CLASSES, bounds=BOUNDS)
    for _ in range(20):
        predicted, confidence, actual = drawn(rng, rows)
        actual = np.where(rng.random(rows) < 1 / 3, CLASSES, actual)
        table = table_of(predicted, confidence, actual, CLASSES + 1, BOUNDS)[:CLASSES]
        expected = pytest.approx(by_rows(predicted, actual), rel=1e-12, abs=1e-15)

        assert values_of(classes.realised(validation, table)) == expected
        assert values_of(classes.represented(validation, table.sum(axis=2), table)) == expected
        (comparison,) = comparisons.of_classes(validation, table)
        assert comparison.now == pytest.approx(np.mean(predicted != actual))
        known = table[..., :CLASSES]
        (without,) = comparisons.of_classes(validation, known)
        assert comparison.z > without.z or not table[..., CLASSES].any()


def test_intervals_hold_the_truth_of_a_class_that_validation_never_had(rng: np.random.Generator) -> None:
    """300 samples, a fifth of whose rows is of it: 0.90 to 1.00 of the intervals hold the metric of all rows."""

    def sampled(rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        predicted, confidence, actual = drawn(rng, rows)
        return predicted, confidence, np.where(rng.random(rows) < 0.2, CLASSES, actual)

    validation = classes_of(*drawn(rng, 5000), CLASSES, bounds=BOUNDS)
    many = sampled(400_000)
    truth, held = by_rows(many[0], many[2]), dict.fromkeys(NAMES, 0)
    for _ in range(300):
        table = table_of(*sampled(500), CLASSES + 1, BOUNDS)[:CLASSES]
        for metric, (_, low, high) in classes.realised(validation, table).items():
            assert low is not None
            assert high is not None
            held[metric] += low <= truth[metric] <= high
    for metric in NAMES:
        assert 0.90 <= held[metric] / 300 <= 1.0, metric


def test_validated_metrics_are_those_of_the_validation_rows(rng: np.random.Generator) -> None:
    predicted, confidence, actual = drawn(rng, 3000)
    found = classes.validated(classes_of(predicted, confidence, actual, CLASSES, bounds=BOUNDS))

    assert values_of(found) == pytest.approx(by_rows(predicted, actual), rel=1e-12)


def test_expected_metrics_are_those_of_validation_rows_cell_by_cell(rng: np.random.Generator) -> None:
    """Live rows with the actual classes of the validation rows in their cell, in equal parts, by weights of rows."""
    trained = drawn(rng, 20_000)
    validation = classes_of(*trained, CLASSES, bounds=BOUNDS)
    predicted, confidence, actual = drawn(rng, 3000, sharpness=1.5)
    live = table_of(predicted, confidence, actual, CLASSES, BOUNDS).sum(axis=2)
    counts = np.array(validation.counts)
    assert np.all(counts.sum(axis=2)[live > 0] > 0)

    at, _, truth = np.indices(counts.shape).reshape(3, -1)
    weights = np.where(counts > 0, counts / counts.sum(axis=2, keepdims=True).clip(1) * live[..., None], 0.0).ravel()
    of = {"sample_weight": weights, "zero_division": 0.0}
    expected = {
        "accuracy": metrics.accuracy_score(truth, at, sample_weight=weights),
        "precision": metrics.precision_score(truth, at, average="macro", **of),
        "recall": metrics.recall_score(truth, at, average="macro", **of),
        "f1": metrics.f1_score(truth, at, average="macro", **of),
    }
    assert values_of(classes.expected(validation, live)) == pytest.approx(expected, rel=1e-12)
    assert (classes.actual_shares(validation) * live[..., None]).ravel() == pytest.approx(weights)


@pytest.mark.parametrize(("trained", "rows"), [(1000, 200), (1000, 3000), (10_000, 1000)])
def test_bands_and_intervals_hold_what_they_promise(rng: np.random.Generator, trained: int, rows: int) -> None:
    """400 pairs of samples without a shift: bands hold the realised metric, intervals the truth, of 0.90 to 1.00."""
    many = drawn(rng, 400_000)
    truth = by_rows(many[0], many[2])
    of_bands, of_intervals = dict.fromkeys(NAMES, 0), dict.fromkeys(NAMES, 0)
    for _ in range(400):
        validation = classes_of(*drawn(rng, trained), CLASSES, bounds=BOUNDS)
        table = table_of(*drawn(rng, rows), CLASSES, BOUNDS)
        expected, realised = classes.expected(validation, table.sum(axis=2)), classes.realised(validation, table)
        for metric in NAMES:
            (_, low, high), (value, *ends) = expected[metric], realised[metric]
            assert None not in (low, high, value, *ends)
            of_bands[metric] += low <= value <= high
            of_intervals[metric] += ends[0] <= truth[metric] <= ends[1]

    for metric in NAMES:
        assert 0.90 <= of_bands[metric] / 400 <= 1.0, metric
        assert 0.90 <= of_intervals[metric] / 400 <= 1.0, metric


def test_two_classes_by_hand() -> None:
    """One output without probabilities: the rows of each predicted class are one cell."""
    validation = ClassValidation(("label",), ("a", "b"), (), (((80, 20),), ((30, 70),)))
    found = classes.expected(validation, [[50], [40]])
    aa, ab, ba, bb = 40, 10, 12, 28

    assert values_of(found) == pytest.approx(
        {
            "accuracy": 68 / 90,
            "precision": (0.8 + 0.7) / 2,
            "recall": (aa / (aa + ba) + bb / (ab + bb)) / 2,
            "f1": (2 * aa / (50 + aa + ba) + 2 * bb / (40 + ab + bb)) / 2,
        }
    )


def test_bands_are_those_of_differences(rng: np.random.Generator) -> None:
    """The delta method, with slopes by small differences, and the covariance of actual classes in each cell."""
    counts = rng.integers(1, 30, size=(3, 2, 3))
    validation = ClassValidation(
        ("a", "b", "c"), ("0", "1", "2"), (0.5,), tuple(tuple(map(tuple, bins)) for bins in counts.tolist())
    )
    live = rng.integers(1, 50, size=(3, 2))
    trained, n = counts.sum(axis=2), live.sum()
    right = (np.trace(counts.sum(axis=1)) + 0.5) / (counts.sum() + 1)
    actual = (counts.sum(axis=(0, 1)) + 1 / 3) / (counts.sum() + 1)

    def metrics_of(table: np.ndarray) -> np.ndarray:
        predicted, came, hits = live.sum(axis=1), table.sum(axis=0), np.diag(table)
        return np.array(
            [hits.sum() / n, np.mean(hits / predicted), np.mean(hits / came), np.mean(2 * hits / (predicted + came))]
        )

    variances = np.zeros(4)
    table = (counts / trained[..., None] * live[..., None]).sum(axis=1)
    for at in range(3):
        usual = np.array([right if each == at else (1 - right) * actual[each] for each in range(3)])
        usual[np.arange(3) != at] /= 1 - actual[at]
        overall = (counts[at].sum(axis=0) + usual) / (counts[at].sum() + 1)
        steps = [np.eye(3)[at][:, None] * np.eye(3)[each] * 1e-6 for each in range(3)]
        slopes = np.array([(metrics_of(table + step) - metrics_of(table)) / 1e-6 for step in steps])
        for bin_ in range(2):
            r = (counts[at, bin_] + overall) / (trained[at, bin_] + 1)
            covariance = np.diag(r) - np.outer(r, r)
            weight = live[at, bin_] + live[at, bin_] ** 2 / (trained[at, bin_] + 1)
            variances += weight * np.einsum("am,ab,bm->m", slopes, covariance, slopes)
    for (value, low, high), error in zip(classes.expected(validation, live).values(), np.sqrt(variances), strict=True):
        assert value is not None
        assert (low, high) == pytest.approx((value - 1.96 * error, value + 1.96 * error), rel=1e-5)


def test_a_correction_is_the_mean_effect_of_the_groups() -> None:
    validation = ClassValidation(("label",), ("a", "b"), (), (((80, 20),), ((30, 70),)), effects=((0.1, -0.2, 0.02),))
    found = classes.corrected(validation, [[50], [40]], [20, 10, 30], 30)

    assert found == {
        "accuracy": pytest.approx(68 / 90 + (20 * 0.1 - 10 * 0.2 + 30 * 0.02) / 30),
        "precision": None,
        "recall": None,
        "f1": None,
    }
    assert classes.corrected(validation, [[50], [40]], [60, 30, 90]) == found
    assert set(classes.corrected(replace(validation, effects=None), [[50], [40]], []).values()) == {None}
    assert set(classes.corrected(validation, [[0], [0]], [0, 0, 0]).values()) == {None}


def test_all_outcomes_represent_themselves_and_none_the_expected(rng: np.random.Generator) -> None:
    validation = classes_of(*drawn(rng, 5000), CLASSES, bounds=BOUNDS)
    table = table_of(*drawn(rng, 500), CLASSES, BOUNDS)
    live = table.sum(axis=2)

    assert values_of(classes.represented(validation, live, table)) == pytest.approx(
        values_of(classes.realised(validation, table))
    )
    assert values_of(classes.represented(validation, live, 0 * table)) == pytest.approx(
        values_of(classes.expected(validation, live))
    )


def test_outcomes_of_unsure_rows_represent_all_rows(rng: np.random.Generator) -> None:
    validation = classes_of(*drawn(rng, 5000), CLASSES, bounds=BOUNDS)
    predicted, confidence, actual = drawn(rng, 20_000)
    actual = np.where(rng.random(20_000) < 0.1, rng.integers(0, CLASSES, 20_000), actual)
    known = rng.random(20_000) < np.where(confidence < 0.6, 0.3, 0.05)
    outcomes = table_of(predicted[known], confidence[known], actual[known], CLASSES, BOUNDS)
    live = table_of(predicted, confidence, actual, CLASSES, BOUNDS).sum(axis=2)
    truth = by_rows(predicted, actual)
    found, plain = classes.represented(validation, live, outcomes), classes.realised(validation, outcomes)

    assert found["accuracy"].value == pytest.approx(truth["accuracy"], abs=0.03)
    assert plain["accuracy"].value == pytest.approx(truth["accuracy"] - 0.15, abs=0.1)
    assert found["accuracy"].low is not None
    assert found["accuracy"].high is not None
    assert found["accuracy"].low < truth["accuracy"] < found["accuracy"].high


COUNTS = st.one_of(st.integers(0, 2), st.integers(0, 10**4), st.integers(0, 10**15))
TABLES = arrays(np.int64, (3, 2, 3), elements=COUNTS)


@given(TABLES, arrays(np.int64, (3, 2, 4), elements=COUNTS), arrays(np.int64, (3, 2), elements=COUNTS))
def test_numbers_are_finite_and_in_range(trained: np.ndarray, outcomes: np.ndarray, live: np.ndarray) -> None:
    validation = ClassValidation(
        ("a", "b", "c"), ("0", "1", "2"), (0.5,), tuple(tuple(map(tuple, bins)) for bins in trained.tolist())
    )
    for found, rows in (
        (classes.expected(validation, live), LEAST_ROWS),
        (classes.realised(validation, outcomes), outcomes.sum()),
        (classes.represented(validation, live, outcomes), LEAST_ROWS),
        (classes.validated(validation), trained.sum()),
    ):
        assert tuple(found) == NAMES
        for name, estimate in found.items():
            if estimate.value is not None and (rows >= LEAST_ROWS or name == "accuracy"):
                assert estimate.low is not None
                assert estimate.high is not None
                assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
            else:
                assert estimate in (NOTHING, Estimate(estimate.value))


def test_an_empty_window_has_no_metrics(rng: np.random.Generator) -> None:
    validation = classes_of(*drawn(rng, 500), CLASSES, bounds=BOUNDS)
    table = np.zeros((CLASSES, len(BOUNDS) + 1, CLASSES), dtype=int)
    nothing = dict.fromkeys(NAMES, NOTHING)

    assert classes.expected(validation, table.sum(axis=2)) == nothing
    assert classes.realised(validation, table) == nothing
    assert classes.represented(validation, table.sum(axis=2), table) == nothing


def test_a_class_that_validation_never_predicted_is_as_often_right_as_any() -> None:
    """80 + 70 of 200 rows are right, and a half of the one that is added."""
    validation = ClassValidation(("label",), tuple("abc"), (), (((80, 20, 0),), ((30, 70, 0),), ((0, 0, 0),)))
    found = classes.expected(validation, [[0], [0], [10]])

    assert found["accuracy"].value == pytest.approx(150.5 / 201)


def test_a_window_without_a_wrong_row_promises_no_perfection() -> None:
    """The averages have no variance then; the interval is the one of the rarest class's share."""
    counts = ((10, 0, 0), (0, 20, 0), (0, 0, 40))
    validation = ClassValidation(("a", "b", "c"), ("0", "1", "2"), (), tuple((row,) for row in counts))
    found = classes.validated(validation)
    low, _ = binomtest(10, 10).proportion_ci(method="wilson")
    for name in ("precision", "recall", "f1"):
        assert found[name] == pytest.approx((1.0, low, 1.0), abs=1e-4)
