"""Verdicts: significant and large enough, by marks that are stated; and the comparisons that they rest on."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from flask_boxkite.baseline.validation import BinaryValidation, ClassValidation
from flask_boxkite.performance import comparisons
from flask_boxkite.performance.regression import ErrorSums
from flask_boxkite.performance.verdict import MINIMUM_OUTCOMES, Comparison, Mark, Subject, judge
from tests.performance.validations import binary_of, bins_of, cells_of, regression_of

CASES: list[tuple[Subject, float, float, str]] = [
    ("wrong rows", 0.20, 0.219, "as validated"),
    ("wrong rows", 0.20, 0.221, "worse"),
    ("wrong rows", 0.20, 0.251, "much worse"),
    ("wrong rows", 0.02, 0.024, "as validated"),
    ("wrong rows", 0.02, 0.026, "worse"),
    ("wrong rows", 0.02, 0.031, "much worse"),
    ("wrong rows", 0.0, 0.0002, "as validated"),
    ("wrong rows", 0.0, 0.0006, "much worse"),
    ("wrong order", 0.05, 0.064, "worse"),
    ("positives", 0.40, 0.44, "as validated"),
    ("positives", 0.40, 0.34, "worse"),
    ("positives", 0.40, 0.51, "much worse"),
    ("positives", 0.04, 0.051, "worse"),
    ("positives", 0.96, 0.949, "worse"),
    ("positives", 0.04, 0.01, "much worse"),
    ("absolute error", 1000.0, 1090.0, "as validated"),
    ("absolute error", 1000.0, 1110.0, "worse"),
    ("absolute error", 1e-6, 1.26e-6, "much worse"),
    ("absolute error", 0.0, 1e-9, "much worse"),
    ("absolute error", 10.0, 9.0, "as validated"),
]


@pytest.mark.parametrize(("subject", "before", "now", "verdict"), CASES)
def test_a_significant_change_is_called_by_its_size(subject: Subject, before: float, now: float, verdict: str) -> None:
    assert judge([Comparison(subject, 9.0, before, now)], 1000, alpha=1e-5).verdict == verdict
    assert judge([Comparison(subject, 3.0, before, now)], 1000, alpha=1e-5).verdict == "as validated"


def test_chances_are_one_sided_but_for_positives() -> None:
    one, two = Comparison("wrong rows", 3.0, 0.1, 0.5), Comparison("positives", -3.0, 0.5, 0.1)

    assert one.chance == pytest.approx(stats.norm.sf(3))
    assert two.chance == pytest.approx(2 * stats.norm.sf(3))
    assert Comparison("wrong rows", -9.0, 0.5, 0.1).chance == pytest.approx(1)


def test_comparisons_share_alpha_and_the_worst_decides() -> None:
    """A z of 3.2 has a chance of 0.0007: below 0.001, but above a third of it."""
    much, some = Comparison("wrong rows", 3.2, 0.1, 0.5), Comparison("wrong order", 9.0, 0.1, 0.13)
    none = Comparison("positives", 0.1, 0.5, 0.9)

    assert judge([much], 100, alpha=1e-3).decisive == much
    found = judge([much, some, none], 100, alpha=1e-3)
    assert (found.verdict, found.decisive, found.alpha) == ("worse", some, pytest.approx(1e-3 / 3))
    assert found.comparisons == (much, some, none)
    assert judge([none, much], 100, alpha=1e-4).decisive == much  # the least chance, though not significant


def test_few_outcomes_are_not_judged() -> None:
    comparison = Comparison("wrong rows", 30.0, 0.1, 0.9)

    assert judge([comparison], MINIMUM_OUTCOMES - 1, alpha=1e-3).verdict == "not enough data"
    assert judge([comparison], MINIMUM_OUTCOMES, alpha=1e-3).verdict == "much worse"
    assert judge([], 1000, alpha=1e-3).verdict == "not enough data"


# --- comparisons -----------------------------------------------------------------------------------------------------


def verdict_of(rng: np.random.Generator, *, flipped: float, known: str) -> str:
    """Return the verdict on calibrated scores of which some actual values are flipped, from 2,000 outcomes or so."""
    scores = rng.beta(1, 2, 60_000)
    actual = rng.random(60_000) < scores
    validation = binary_of(scores[:10_000], actual[:10_000])
    actual ^= rng.random(60_000) < flipped
    live = np.arange(60_000) >= 10_000
    live &= rng.random(60_000) < {"random": 0.04, "unsure": 0.25 * (abs(scores - 0.5) < 0.1)}[known]
    outcomes = cells_of(scores[live], actual[live], validation.upper_bounds)
    return judge(comparisons.of_binary(validation, outcomes), int(live.sum()), alpha=1e-3).verdict


@pytest.mark.parametrize("known", ["random", "unsure"])
def test_a_selection_is_no_change_and_flipped_labels_are_one(rng: np.random.Generator, known: str) -> None:
    assert verdict_of(rng, flipped=0.0, known=known) == "as validated"
    assert verdict_of(rng, flipped=0.5, known=known) == "much worse"
    if known == "random":  # among unsure rows, about half are wrong anyway
        assert verdict_of(rng, flipped=0.1, known=known) == "much worse"


def test_binary_comparisons_by_hand() -> None:
    """Three bins of which the first has no validation rows, so that its outcomes compare with nothing."""
    scores, actual = np.array([0.3] * 100 + [0.8] * 100), np.array([1] * 20 + [0] * 80 + [1] * 70 + [0] * 30)
    validation = binary_of(scores, actual, bounds=[0.1, np.nextafter(0.5, 0)])
    found = comparisons.of_binary(validation, [[50, 50], [300, 100], [40, 160]])
    wrong, order, positives = found

    assert [each.subject for each in found] == ["wrong rows", "wrong order", "positives"]
    assert (wrong.before, wrong.now) == pytest.approx(((8 + 6) / 60, (10 + 4) / 60))
    assert (positives.before, positives.now) == pytest.approx(((8 + 14) / 60, 26 / 60))
    # Of 22 expected positives, 14 are in the upper bin; ties count one half.
    expected = (14 * 32 + 14 * 6 / 2 + 8 * 32 / 2) / (22 * 38)
    assert (order.before, order.now) == pytest.approx(
        (1 - expected, 1 - (16 * 30 + 16 * 4 / 2 + 10 * 30 / 2) / (26 * 34))
    )


def test_outcomes_of_one_class_have_no_order() -> None:
    validation = binary_of(np.array([0.3] * 10 + [0.8] * 10), np.array([1, 0] * 10), bounds=[np.nextafter(0.5, 0)])

    assert [each.subject for each in comparisons.of_binary(validation, [[9, 0], [9, 0]])] == ["wrong rows", "positives"]


@pytest.mark.parametrize("rarer", [0, 1])
@pytest.mark.parametrize(("validated", "live", "is_judged"), [(49, 500, False), (500, 49, False), (50, 50, True)])
def test_the_order_of_few_rows_of_a_class_is_not_judged(
    rarer: int, validated: int, live: int, *, is_judged: bool
) -> None:
    """Of 4 to 7 positives in validation, verdicts on the order were false 290 times as often as they may be."""
    trained, outcomes = np.full((2, 2), 5000), np.full((2, 2), 5000)
    for number, table in ((validated, trained), (live, outcomes)):
        table[:, rarer] = number // 2, number - number // 2
    validation = BinaryValidation("p", 0.5, "1", "0", (float(np.nextafter(0.5, 0)),), *map(tuple, trained.T.tolist()))
    subjects = [each.subject for each in comparisons.of_binary(validation, outcomes)]
    assert ("wrong order" in subjects) == is_judged


def test_scores_that_are_no_probabilities_promise_no_share_of_positives() -> None:
    validation = BinaryValidation("p", 0.5, "1", "0", (float(np.nextafter(0.5, 0)),), (80, 30), (20, 70))

    assert [each.subject for each in comparisons.of_binary(validation, [[60, 40], [40, 60]])] == [
        "wrong rows",
        "wrong order",
    ]


def test_no_outcomes_are_no_evidence() -> None:
    validation = binary_of(np.array([0.3] * 10 + [0.8] * 10), np.array([1, 0] * 10), bounds=[np.nextafter(0.5, 0)])
    for comparison in comparisons.of_binary(validation, [[0, 0], [0, 0]]):
        assert comparison.z == 0
        assert math.isnan(comparison.now)
        assert not comparison.reaches(Mark(0.0, 0.0))
    sample = np.arange(50.0), np.arange(50.0) + 1
    assert comparisons.of_regression(regression_of(*sample), [0] * 10, ErrorSums(0, 0.0, 0.0, 0.0)) == []


def test_classes_are_compared_by_wrong_rows_of_each_predicted_class_and_bin() -> None:
    validation = ClassValidation(("label",), ("a", "b"), (), (((80, 20),), ((10, 90),)))
    (same,) = comparisons.of_classes(validation, [[[8, 2]], [[20, 180]]])
    (worse,) = comparisons.of_classes(validation, [[[8, 2]], [[60, 140]]])

    assert (same.before, same.now) == pytest.approx((22 / 210, 22 / 210))
    assert abs(same.z) < 0.2
    assert (worse.before, worse.now) == pytest.approx((22 / 210, 62 / 210))
    assert worse.z > 3


def test_absolute_errors_are_compared_by_ranks(rng: np.random.Generator) -> None:
    output, noise = rng.normal(size=5000), rng.standard_t(3, 5000)
    validation = regression_of(output[:4000], output[:4000] + noise[:4000])
    for factor, least, most in ((1.0, -3, 3), (1.5, 5, 30)):
        error = noise[4000:] * factor
        errors = np.bincount(bins_of(abs(error), validation.error_bounds), minlength=10)
        sums = ErrorSums(1000, error[error > 0].sum(), -error[error < 0].sum(), float((error**2).sum()))
        (found,) = comparisons.of_regression(validation, errors, sums)

        assert least < found.z < most
        assert found.before == pytest.approx(abs(noise[:4000]).mean())
        assert found.now == pytest.approx(abs(error).mean())
        (alike,) = comparisons.of_regression(validation, errors, sums, dispersion=4.0)
        assert alike.z == pytest.approx(found.z / 2)
