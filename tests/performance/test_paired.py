"""Metrics of two models on the same rows are scikit-learn's; verdicts on equal models are rare, intervals hold."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from flask_boxkite.performance.metric import NOTHING
from flask_boxkite.performance.paired import PairedMetric, of_binary, of_classes, of_regression
from tests.benchmarks.challenge_quality import EQUAL, UNLIKE, simulated


def by_name(found: Any) -> dict[str, PairedMetric]:
    return {metric.name: metric for metric in found}


def binary(rng: np.random.Generator, rows: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return two scores, the second one better, of which rounding makes ties; actual values; losses."""
    truth = rng.normal(-0.5, 1.5, rows)
    scores = np.round(1 / (1 + np.exp(-(truth + rng.normal(0, 1, (2, rows)) * [[1.5], [0.5]]))), 2).clip(0.01, 0.99)
    actual = rng.random(rows) < 1 / (1 + np.exp(-truth))
    losses = np.stack([(scores - actual) ** 2, -np.where(actual, np.log(scores), np.log1p(-scores))])
    return scores, actual, losses


THEIRS = {
    "accuracy": lambda actual, score, guess: sk.accuracy_score(actual, guess),
    "precision": lambda actual, score, guess: sk.precision_score(actual, guess),
    "recall": lambda actual, score, guess: sk.recall_score(actual, guess),
    "f1": lambda actual, score, guess: sk.f1_score(actual, guess),
    "auc": lambda actual, score, guess: sk.roc_auc_score(actual, score),
    "brier": lambda actual, score, guess: sk.brier_score_loss(actual, score),
    "log_loss": lambda actual, score, guess: sk.log_loss(actual, score),
}


def test_metrics_of_scores_are_the_ones_of_scikit_learn(rng: np.random.Generator) -> None:
    """Each model has its own threshold."""
    scores, actual, losses = binary(rng)
    guesses = scores >= [[0.5], [0.4]]
    found = by_name(of_binary(scores, guesses, actual, losses))

    assert list(found) == list(THEIRS)
    for name, theirs in THEIRS.items():
        expected = [theirs(actual, *each) for each in zip(scores, guesses, strict=True)]
        metric = found[name]
        assert [metric.champion.value, metric.challenger.value] == pytest.approx(expected)
        assert metric.difference.value == pytest.approx(expected[1] - expected[0])
        for own in (metric.champion, metric.challenger, metric.difference):
            assert own.low < own.value < own.high
    assert found["recall"].rows == actual.sum()
    assert found["precision"].rows == guesses.any(axis=0).sum()
    assert found["auc"].rows == min(actual.sum(), (~actual).sum())


def test_intervals_of_differences_are_the_ones_of_the_bootstrap(rng: np.random.Generator) -> None:
    """An independent way to the same ends: rows drawn again, 400 times."""
    scores, actual, losses = binary(rng)
    guesses = scores >= 0.5
    drawn = [
        by_name(of_binary(scores[:, draw], guesses[:, draw], actual[draw], losses[:, :, draw]))
        for draw in rng.integers(0, len(actual), (400, len(actual)))
    ]
    for name, metric in by_name(of_binary(scores, guesses, actual, losses)).items():
        low, high = np.quantile([each[name].difference.value for each in drawn], [0.025, 0.975])
        assert metric.difference.low == pytest.approx(low, abs=0.2 * (high - low)), name
        assert metric.difference.high == pytest.approx(high, abs=0.2 * (high - low)), name


def test_the_test_of_precisions_is_kosinskis(rng: np.random.Generator) -> None:
    """His weighted generalised score statistic, as published, for models that predict as many positives."""
    scores, actual, _ = binary(rng)
    guesses = scores >= [[np.quantile(scores[0], 0.6)], [np.quantile(scores[1], 0.75)]]
    (first, second), both = guesses, guesses.all(axis=0)
    p, q = first.sum(), second.sum()
    pooled = (actual[first].sum() + actual[second].sum()) / (p + q)
    common = (np.sum(actual[both]) * (1 - pooled) ** 2 + np.sum(~actual[both]) * pooled**2) / (p + q)
    apart = actual[second].mean() - actual[first].mean()
    z = apart / np.sqrt((pooled * (1 - pooled) - 2 * common) * (1 / p + 1 / q))

    found = by_name(of_binary(scores, guesses, actual, None))["precision"]
    assert p > q
    assert found.chance == pytest.approx(2 * stats.norm.sf(abs(z) * 2 * np.sqrt(p * q) / (p + q)), rel=1e-6)


def test_without_positives_there_is_an_accuracy_but_no_order(rng: np.random.Generator) -> None:
    scores = rng.random((2, 40))
    found = by_name(of_binary(scores, scores > 0.5, np.zeros(40, dtype=bool), None))

    assert found["accuracy"].champion.value == np.mean(scores[0] <= 0.5)
    assert found["auc"][1:] == (NOTHING, NOTHING, NOTHING, None, 0)
    assert found["recall"][1:] == (NOTHING, NOTHING, NOTHING, None, 0)
    assert "brier" not in found


def test_a_model_that_predicts_no_positives_has_no_precision() -> None:
    guesses = np.array([[True, False] * 20, [False] * 40])
    found = by_name(of_binary(guesses.astype(float), guesses, guesses[0], None))

    assert found["precision"].champion.value == 1.0
    assert found["precision"].challenger == found["precision"].difference == NOTHING
    assert (found["f1"].challenger.value, found["f1"].difference.value) == (0.0, -1.0)
    assert found["f1"].difference.low == -1.0


def test_metrics_of_classes_are_the_ones_of_scikit_learn(rng: np.random.Generator) -> None:
    """A class that never comes and is never predicted does not count."""
    actual = rng.choice(4, 300, p=[0.5, 0.3, 0.15, 0.05])
    guesses = np.where(rng.random((2, 300)) < [[0.6], [0.8]], actual, rng.integers(0, 4, (2, 300)))
    found = by_name(of_classes(guesses, actual, 5))

    for name, theirs in (
        ("accuracy", sk.accuracy_score),
        ("precision", lambda *of: sk.precision_score(*of, average="macro")),
        ("recall", lambda *of: sk.recall_score(*of, average="macro")),
        ("f1", lambda *of: sk.f1_score(*of, average="macro")),
    ):
        expected = [theirs(actual, guess) for guess in guesses]
        assert [found[name].champion.value, found[name].challenger.value] == pytest.approx(expected)
        assert found[name].difference.value == pytest.approx(expected[1] - expected[0])
        assert found[name].chance < 1e-3


def test_intervals_of_macro_averages_follow_from_the_effect_of_each_row(rng: np.random.Generator) -> None:
    """The effect is scikit-learn's metric with a little more weight on the row (infinitesimal jackknife)."""
    actual = rng.choice(3, 400, p=[0.6, 0.3, 0.1])
    guess = np.where(rng.random(400) < 0.7, actual, rng.integers(0, 3, 400))
    for metric in list(of_classes(np.stack([guess, guess]), actual, 3))[1:]:
        scorer = {"precision": sk.precision_score, "recall": sk.recall_score, "f1": sk.f1_score}[metric.name]
        effects = np.empty(400)
        for cell in itertools.product(range(3), range(3)):
            of_cell = np.flatnonzero((guess == cell[0]) & (actual == cell[1]))
            weights = np.ones(400)
            weights[of_cell[:1]] += 1e-5
            more = scorer(actual, guess, average="macro", sample_weight=weights)
            effects[of_cell] = (more - scorer(actual, guess, average="macro")) / 1e-5
        half = stats.t.isf(0.025, 399) * np.sqrt(400 * np.var(effects, ddof=1))
        assert metric.champion.high - metric.champion.low == pytest.approx(2 * half, rel=1e-3)


def test_metrics_of_numbers_are_the_ones_of_scikit_learn(rng: np.random.Generator) -> None:
    actual = rng.normal(100, 20, 300)
    outputs = actual + rng.standard_t(3, (2, 300)) * [[5.0], [4.0]] + [[1.0], [0.0]]
    found = by_name(of_regression(outputs - actual))

    expected = {
        "mae": [sk.mean_absolute_error(actual, each) for each in outputs],
        "rmse": [sk.mean_squared_error(actual, each) ** 0.5 for each in outputs],
        "bias": (outputs - actual).mean(axis=1).tolist(),
    }
    for name, values in expected.items():
        assert [found[name].champion.value, found[name].challenger.value] == pytest.approx(values)
        assert found[name].difference.value == pytest.approx(values[1] - values[0])
    absolute = np.abs(outputs - actual)
    peer = stats.ttest_rel(absolute[1], absolute[0]).confidence_interval()
    assert found["mae"].difference[1:] == pytest.approx((peer.low, peer.high))
    assert found["bias"].chance is None


@pytest.mark.parametrize("errors", [np.zeros((2, 50)), np.stack([np.zeros(50), np.ones(50)])])
def test_models_without_errors_have_metrics(errors: np.ndarray) -> None:
    found = by_name(of_regression(errors))
    assert (found["rmse"].champion.value, found["rmse"].challenger.value) == (0.0, errors[1, 0])
    assert found["rmse"].difference.value == errors[1, 0]
    assert found["mae"].chance == pytest.approx(1.0 if errors[1, 0] == 0 else stats.norm.sf(50**0.5) * 2)


def test_without_rows_nothing_is_defined() -> None:
    nothing = np.empty((2, 0))
    for found in (
        of_binary(nothing, nothing > 0, np.empty(0, dtype=bool), np.empty((2, 2, 0))),
        of_classes(nothing.astype(np.int64), np.empty(0, dtype=np.int64), 3),
        of_regression(nothing),
    ):
        for metric in found:
            assert metric[1:] == (NOTHING, NOTHING, NOTHING, None, 0)


@pytest.mark.parametrize("name", EQUAL)
def test_equal_models_rarely_get_a_verdict_and_intervals_hold(name: str) -> None:
    """500 windows at 5 %; `tests.benchmarks.challenge_quality` has many at 0.1 %."""
    names = {metric.name for metric in EQUAL[name](np.random.default_rng(0), 100)}
    found = simulated(EQUAL[name], 200, 500, dict.fromkeys(names, 0.0), alpha=0.05)

    assert found.verdicts <= stats.binom.isf(1e-4, 500, 0.05)
    for metric, tested in found.tested.items():
        assert found.alarms[metric] <= stats.binom.isf(1e-5, tested, 0.05)
    for metric, judged in found.judged.items():
        assert found.held[metric] >= stats.binom.ppf(1e-5, judged, 0.94)


@pytest.mark.parametrize("name", UNLIKE)
def test_unlike_models_with_one_metric_rarely_get_a_verdict(name: str) -> None:
    draw, equal = UNLIKE[name]
    found = simulated(draw, 300, 300, dict.fromkeys(equal, 0.0), alpha=0.05)

    assert all(found.alarms[metric] <= stats.binom.isf(1e-4, found.tested[metric], 0.06) for metric in equal)
    assert all(found.held[metric] >= stats.binom.ppf(1e-4, 300, 0.92) for metric in equal)
