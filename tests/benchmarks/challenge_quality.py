"""Print how often a challenger as good as its champion gets a verdict, and how often intervals hold the truth.

    python -m tests.benchmarks.challenge_quality                     # everything, some ten minutes on two cores
    python -m tests.benchmarks.challenge_quality --windows 200000 --jobs 8

Ends with status 1 if equally good models are told apart more than twice as often as they should be, or fewer than 93 %
of the intervals of 200 rows and more hold the difference. (Of 50 rows in four classes, two or three are of the rarest.)
Two models with other errors of the same size have no bar: tests by exchange are exact for models that nothing tells
apart, and approximate for these.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from flask_boxkite.performance.paired import PairedMetric, of_binary, of_classes, of_regression
from tests.arguments import at_least

ALPHA = 0.001
SEED = 11
SIZES = (50, 200, 1000)
LEAST_ROWS = 30
MOST, LEAST_COVERAGE = 2.0, 0.93
COVERED_ROWS = 200

Draw = Callable[[np.random.Generator, int], list[PairedMetric]]


def scores(rng: np.random.Generator, rows: int, *, mean: float = 0.0, same: float = 0.0) -> list[PairedMetric]:
    """Two scores with errors of one kind; in a share of the rows they are the same."""
    truth = rng.normal(mean, 1.5, rows)
    errors = rng.normal(0.0, 1.0, (2, rows))
    errors[1] = np.where(rng.random(rows) < same, errors[0], errors[1])
    return _binary(1 / (1 + np.exp(-(truth + errors))), rng.random(rows) < 1 / (1 + np.exp(-truth)))


def unlike_scores(rng: np.random.Generator, rows: int) -> list[PairedMetric]:
    """A normal and an exponential score with one AUC, Φ(1/√2)."""
    actual = rng.random(rows) < 0.3
    auc = 0.5 * math.erfc(-0.5)
    normal = rng.normal(actual.astype(float), 1.0)
    exponential = rng.exponential(np.where(actual, auc / (1 - auc), 1.0))
    return _binary(1 / (1 + np.exp(-np.stack([normal, exponential - 1]))), actual)


def _binary(given: Any, actual: Any) -> list[PairedMetric]:
    inside = np.clip(given, 1e-15, 1 - 1e-15)
    losses = np.stack([(given - actual) ** 2, -np.where(actual, np.log(inside), np.log1p(-inside))])
    return list(of_binary(given, given >= 0.5, actual, losses))


def labels(rng: np.random.Generator, rows: int) -> list[PairedMetric]:
    """Two guesses of four classes, each right in 70 % of the rows, in part of the same ones."""
    actual = rng.choice(4, rows, p=[0.5, 0.3, 0.15, 0.05])
    hard = rng.random(rows)
    is_right = (hard + rng.random((2, rows))) / 2 < 0.6127
    return list(of_classes(np.where(is_right, actual, rng.integers(0, 4, (2, rows))), actual, 4))


def numbers(rng: np.random.Generator, rows: int, *, degrees: float) -> list[PairedMetric]:
    """Two numbers with errors of Student's distribution, the half of whose variance they share."""
    common = rng.normal(0, 1, rows)
    return list(of_regression(common + rng.standard_t(degrees, (2, rows))))


def unlike_numbers(rng: np.random.Generator, rows: int) -> list[PairedMetric]:
    """Errors with one mean absolute value, 1: of a constant size, and of the log-normal distribution."""
    signs = rng.choice([-1.0, 1.0], (2, rows))
    return list(of_regression(signs * np.stack([np.ones(rows), rng.lognormal(-0.5, 1.0, rows)])))


EQUAL: dict[str, Draw] = {
    "scores": scores,
    "5 % positives": partial(scores, mean=-4.0),
    "scores that agree in 95 %": partial(scores, same=0.95),
    "four classes": labels,
    "normal errors": partial(numbers, degrees=30),
    "errors of heavy tails": partial(numbers, degrees=2.1),
}
"""Populations in which nothing tells the models apart."""

UNLIKE: dict[str, tuple[Draw, tuple[str, ...]]] = {
    "unlike scores of one AUC": (unlike_scores, ("auc",)),
    "unlike errors of one mean": (unlike_numbers, ("mae",)),
}
"""Populations of which only the named metrics are equal."""


@dataclass
class Found:
    """Windows of one population and size.

    Attributes:
        windows: Number of windows.
        tested: Number of tests with enough rows, by metric.
        alarms: Number of these that found a difference at `ALPHA`, by metric.
        verdicts: Number of windows in which any metric got a verdict, all at `ALPHA` together.
        judged: Number of intervals, by metric.
        held: Number of intervals that hold the truth, by metric.
    """

    windows: int = 0
    tested: Counter[str] = field(default_factory=Counter)
    alarms: Counter[str] = field(default_factory=Counter)
    verdicts: int = 0
    judged: Counter[str] = field(default_factory=Counter)
    held: Counter[str] = field(default_factory=Counter)

    def add(self, metrics: list[PairedMetric], truth: dict[str, float], alpha: float = ALPHA) -> None:
        """Add the metrics of a window, of which *truth* names those that count."""
        self.windows += 1
        tests = [item for item in metrics if item.name in truth and item.chance is not None and item.rows >= LEAST_ROWS]
        number = sum(item.name != "bias" for item in metrics)
        self.verdicts += any(item.chance <= alpha / number for item in tests if item.chance is not None)
        for item in tests:
            self.tested[item.name] += 1
            self.alarms[item.name] += item.chance is not None and item.chance <= alpha
        for item in metrics:
            value, low, high = item.difference
            if item.name in truth and value is not None and low is not None and high is not None:
                self.judged[item.name] += 1
                self.held[item.name] += low <= truth[item.name] <= high

    def is_met(self, *, has_coverage: bool, alpha: float = ALPHA) -> bool:
        """Say whether the bars hold, with three standard errors of counting to spare."""

        def most(number: int) -> float:
            expected = MOST * alpha * number
            return expected + 3 * math.sqrt(expected)

        alarms = all(self.alarms[name] <= most(number) for name, number in self.tested.items())
        covered = all(
            self.held[name] >= LEAST_COVERAGE * number - 3 * math.sqrt(LEAST_COVERAGE * (1 - LEAST_COVERAGE) * number)
            for name, number in self.judged.items()
        )
        return alarms and (covered or not has_coverage) and self.verdicts <= most(self.windows)


def simulated(
    draw: Draw, rows: int, windows: int, truth: dict[str, float], *, alpha: float = ALPHA, seed: int = SEED
) -> Found:
    """Return what was found in windows of a population.

    Args:
        draw: Population.
        rows: Rows of a window.
        windows: Number of windows.
        truth: True difference of each metric that counts.
        alpha: Significance.
        seed: Seed of the windows.
    """
    rng, found = np.random.default_rng(seed), Found()
    for _ in range(windows):
        found.add(draw(rng, rows), truth, alpha)
    return found


def _line(
    name: str, rows: int, draw: Draw, windows: int, truth: dict[str, float], *, has_bar: bool
) -> tuple[str, bool]:
    found = simulated(draw, rows, windows, truth)
    parts = [
        f"{metric} {found.alarms[metric] / (ALPHA * number):.2f} ({found.held[metric] / found.judged[metric]:.1%})"
        for metric, number in found.tested.items()
    ]
    verdict = found.verdicts / (ALPHA * windows)
    is_met = found.is_met(has_coverage=rows >= COVERED_ROWS) or not has_bar
    mark = ("pass" if is_met else "MISS") if has_bar else ""
    return f"{name:<26}{rows:>6}  verdict {verdict:.2f}; {', '.join(parts)}  {mark}", is_met


def main() -> int:
    """Run; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=at_least(1), default=20_000)
    parser.add_argument("--jobs", type=at_least(1), default=2)
    options = parser.parse_args()
    names = {item.name for draw in EQUAL.values() for item in draw(np.random.default_rng(SEED), 100)}
    cases = [(name, draw, dict.fromkeys(names, 0.0), True) for name, draw in EQUAL.items()]
    cases += [(name, draw, dict.fromkeys(own, 0.0), False) for name, (draw, own) in UNLIKE.items()]

    print(f"Alarms as multiples of the nominal {ALPHA}, and in brackets intervals that hold the truth, nominally 95 %.")
    with ProcessPoolExecutor(options.jobs) as pool:
        waiting = [
            pool.submit(partial(_line, has_bar=has_bar), name, rows, draw, options.windows, truth)
            for name, draw, truth, has_bar in cases
            for rows in SIZES
        ]
        lines = [each.result() for each in waiting]
    for text, _ in lines:
        print(text)
    return 0 if all(is_met for _, is_met in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
