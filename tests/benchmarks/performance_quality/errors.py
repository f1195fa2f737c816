"""False alarms and power of the test of absolute errors, beside the one of means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from flask_boxkite.performance.significance import rank_trend

from . import naive
from .windows import ALPHA, ROWS, limit

__all__ = ["DISTRIBUTIONS", "FACTORS", "Errors", "errors_of"]

Floats = NDArray[np.float64]

DISTRIBUTIONS: dict[str, Any] = {
    "normal": stats.halfnorm(),
    "Laplace": stats.expon(),
    "Student, 3 degrees": stats.t(3),
    "log-normal": stats.lognorm(1.5),
}
"""Distributions of the absolute error; Student's of the error."""

FACTORS = (1.0, 1.1, 1.25)
"""Factors of the error."""

BINS = 10


@dataclass(frozen=True)
class Errors:
    """How often windows were called worse.

    Attributes:
        distribution: Name of the distribution of errors.
        trained: Validation rows.
        rows: Rows with an outcome in a window.
        factor: Factor of the error.
        ranks: Share of windows by ranks.
        means: Share of windows by means, of a part of the windows.
    """

    distribution: str
    trained: int
    rows: int
    factor: float
    ranks: float
    means: float


def errors_of(name: str, trained: int, windows: int, seed: int) -> Iterator[Errors]:
    """Yield how often windows are called, for each factor and size."""
    rng = np.random.default_rng([seed, 2, trained, *name.encode()])
    distribution, values, shares = DISTRIBUTIONS[name], *_atoms(DISTRIBUTIONS[name])
    mean, mean_variance = _means(values, rng.multinomial(trained, shares, windows // 4))
    # Bounds are the deciles of the validation rows, so each bin has a tenth of them, and about one of live rows.
    bounds = np.cumsum(rng.dirichlet(np.full(BINS, trained / BINS), windows), axis=1)[:, :-1]
    before = np.full(BINS, trained // BINS)
    for factor in FACTORS:
        moved = _below(distribution, _above(distribution, bounds) / factor)
        parts = np.diff(moved, axis=1, prepend=0.0, append=1.0)
        for rows in ROWS:
            z = rank_trend(rng.multinomial(rows, parts), before)
            drawn = rng.multinomial(rows, shares, windows // 4)
            sums, squares = factor * drawn @ values, factor**2 * drawn @ values**2
            of_means = naive.welch(sums, squares, rows, mean, mean_variance)
            yield Errors(
                name, trained, rows, factor, float(np.mean(z > limit(ALPHA))), float(np.mean(of_means > limit(ALPHA)))
            )


def _below(distribution: Any, values: Floats) -> Floats:
    """Return the share of absolute errors up to each value."""
    below: Floats = distribution.cdf(values)
    return below - distribution.cdf(-values)


def _above(distribution: Any, shares: Floats) -> Floats:
    """Return the absolute errors up to which such shares lie."""
    is_of_errors = distribution.cdf(0.0) > 0
    found: Floats = distribution.ppf((1 + shares) / 2 if is_of_errors else shares)
    return found


def _atoms(distribution: Any) -> tuple[Floats, Floats]:
    """Return absolute errors and their probabilities, which are fine in the upper tail."""
    edges = np.unique(np.concatenate([np.linspace(0, 0.95, 96), 1 - np.geomspace(0.05, 1e-8, 120), [1.0]]))
    return _above(distribution, (edges[:-1] + edges[1:]) / 2), np.diff(edges)


def _means(values: Floats, counts: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return the mean of each sample, and the variance of that mean."""
    rows = counts.sum(axis=1)
    mean = counts @ values / rows
    return mean, (counts @ values**2 / rows - mean**2) / (rows - 1)
