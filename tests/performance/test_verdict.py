"""Verdicts: significant and large enough, by marks that are stated; and the comparisons that they rest on."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from flask_boxkite.baseline.validation import BinaryValidation, ClassValidation, RegressionValidation
from flask_boxkite.live.outcome_cells import CAP, LargeErrors, OutcomeCells
from flask_boxkite.performance import comparisons
from flask_boxkite.performance.regression import ErrorSums
from flask_boxkite.performance.significance import capped_mean, signed_root
from flask_boxkite.performance.verdict import MINIMUM_OUTCOMES, Comparison, Mark, Subject, judge
from tests.performance.validations import binary_of, bins_of, cells_of, regression_of

Floats = NDArray[np.float64]

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
    ("large errors", 1000.0, 1090.0, "as validated"),
    ("large errors", 1e-6, 1.11e-6, "worse"),
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
    none = ErrorSums(0, 0.0, 0.0, 0.0), LargeErrors(0.0, 0)
    assert comparisons.of_regression(regression_of(*sample), [0] * 10, *none) == []


def test_classes_are_compared_by_wrong_rows_of_each_predicted_class_and_bin() -> None:
    validation = ClassValidation(("label",), ("a", "b"), (), (((80, 20),), ((10, 90),)))
    (same,) = comparisons.of_classes(validation, [[[8, 2]], [[20, 180]]])
    (worse,) = comparisons.of_classes(validation, [[[8, 2]], [[60, 140]]])

    assert (same.before, same.now) == pytest.approx((22 / 210, 22 / 210))
    assert abs(same.z) < 0.2
    assert (worse.before, worse.now) == pytest.approx((22 / 210, 62 / 210))
    assert worse.z > 3


def compared(validation: RegressionValidation, error: Floats, dispersion: float = 1.0) -> list[Comparison]:
    """Return the comparisons of outcomes with these errors, counted as a service does."""
    layout = OutcomeCells(validation)
    cells = np.zeros(layout.size, np.int64)
    for each, at in zip(error.tolist(), bins_of(abs(error), validation.error_bounds).tolist(), strict=True):
        for cell, amount in ((at, 1), *layout.amounts((max(each, 0.0), max(-each, 0.0), each**2))):
            cells[cell] += amount
    sums = ErrorSums(len(error), **layout.sums(cells))
    return comparisons.of_regression(validation, layout.counts(cells), sums, layout.large_errors(cells), dispersion)


def test_absolute_errors_are_compared_by_ranks(rng: np.random.Generator) -> None:
    output, noise = rng.normal(size=5000), rng.standard_t(3, 5000)
    validation = regression_of(output[:4000], output[:4000] + noise[:4000])
    for factor, least, most in ((1.0, -3, 3), (1.5, 5, 30)):
        error = noise[4000:] * factor
        found, large = compared(validation, error)

        assert least < found.z < most
        for each in (found, large):
            assert each.before == pytest.approx(abs(noise[:4000]).mean())
            assert each.now == pytest.approx(abs(error).mean())
        alike, _ = compared(validation, error, dispersion=4.0)
        assert alike.z == pytest.approx(found.z / 2)


@pytest.mark.parametrize(
    ("share", "size", "rows"), [(0.05, 5, 1000), (0.05, 10, 1000), (0.05, 100, 1000), (0.1, 1e6, 200), (0.05, 1e6, 200)]
)
def test_a_few_large_errors_are_worse_though_most_ranks_are_alike(
    rng: np.random.Generator, share: float, size: float, rows: int
) -> None:
    noise = rng.normal(size=3000 + rows)
    validation = regression_of(np.zeros(3000), noise[:3000])
    error = noise[3000:].copy()
    error[: int(share * rows)] += size
    ranks, large = compared(validation, error)

    assert judge([ranks], rows, alpha=1e-5).verdict == "as validated"
    found = judge([ranks, large], rows, alpha=1e-5)
    assert (found.verdict, found.decisive) == ("much worse", large)
    apart = compared(validation, error, dispersion=1e4)
    assert judge(apart, rows, alpha=1e-5).verdict == "as validated"


@pytest.mark.parametrize(("size", "verdict"), [(0.1, "much worse"), (1e7, "much worse"), (1e-6, "as validated")])
def test_errors_after_none_in_validation_are_worse_unless_by_rounding(size: float, verdict: str) -> None:
    values = np.linspace(50, 150, 500)
    found = compared(regression_of(values, values, error_bounds=()), np.full(100, size))
    assert judge(found, 100, alpha=1e-5).verdict == verdict


@pytest.mark.parametrize("rows", [30, 300])
@pytest.mark.parametrize("trained", [30, 1000])
@pytest.mark.parametrize("law", ["normal", "laplace", "lognormal", "t3"])
def test_large_errors_raise_no_false_alarms(rng: np.random.Generator, law: str, trained: int, rows: int) -> None:
    """At most twice the nominal rate of 0.001, and of 0.0001, in 200 windows with each of 100 validations."""
    draw = {
        "normal": lambda shape: abs(rng.normal(size=shape)),
        "laplace": lambda shape: rng.exponential(size=shape),
        "lognormal": lambda shape: rng.lognormal(size=shape),
        "t3": lambda shape: abs(rng.standard_t(3, shape)),
    }[law]
    past, errors = draw((100, trained)), draw((100, 200, rows))
    square = (past**2).mean(axis=1, keepdims=True)
    cap = CAP * np.sqrt(square)
    capped = np.minimum(errors / cap[..., None], 1).sum(axis=-1)
    z = capped_mean(capped, rows, past.mean(axis=1, keepdims=True) / cap, square / cap**2, trained)
    assert np.mean(z > stats.norm.isf(0.001)) < 0.002
    assert np.mean(z > stats.norm.isf(0.0001)) < 0.0002

    beyond = (errors > np.sqrt(trained * square)[..., None]).sum(axis=-1)
    assert not np.any(signed_root(beyond, rows, 0, trained) > stats.norm.isf(1e-3))
