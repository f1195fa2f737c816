"""Populations that training and live rows are drawn from, and what may happen to them.

Live rows are not drawn one by one: from the distribution function follows the probability of every bin of a baseline,
and counts of independent rows in bins are multinomial. So a window of 10,000 rows costs no more than one of 50.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn import datasets

from flask_boxkite.baseline import Continuous, Discrete, Distribution

__all__ = ["NO_SHIFT", "SHIFTS", "Population", "Shift", "populations"]

Floats: TypeAlias = "NDArray[np.float64]"
Kind: TypeAlias = Literal["continuous", "spikes", "discrete"]


@dataclass(frozen=True)
class Shift:
    """What happens to live rows.

    Attributes:
        name: As it is printed.
        by: Added to every value, in standard deviations.
        variance: Factor of the variance, about the mean.
        doubles: Whether the third most frequent category comes twice as often, the others less.
        missing: Share of rows without a value.
    """

    name: str
    by: float = 0.0
    variance: float = 1.0
    doubles: bool = False
    missing: float = 0.0

    def suits(self, kind: Kind) -> bool:
        """Say whether it can happen to a population of this kind."""
        if kind == "discrete":
            return self.by == 0 and self.variance == 1
        return not self.doubles


NO_SHIFT = Shift("none")
SHIFTS = (
    Shift("0.1 sd", by=0.1),
    Shift("0.25 sd", by=0.25),
    Shift("0.5 sd", by=0.5),
    Shift("variance x1.5", variance=1.5),
    Shift("category x2", doubles=True),
    Shift("5 % missing", missing=0.05),
)


@dataclass(frozen=True)
class Population:
    """Where rows come from.

    Attributes:
        name: As it is printed.
        kind: Whether it is continuous, has values that many rows share, or is discrete.
        draw: Returns so many values.
        below: The distribution function, if it is not discrete: the probability of a value of at most x.
        mean: If it is not discrete.
        deviation: Standard deviation, likewise.
        shares: Probability of each category, if it is discrete, most frequent first.
    """

    name: str
    kind: Kind
    draw: Callable[[np.random.Generator, int], Any]
    below: Callable[[Floats], Floats] = lambda x: x
    mean: float = 0.0
    deviation: float = 1.0
    shares: dict[str, float] = field(default_factory=dict)

    def cell_shares(self, item: Distribution, shift: Shift) -> Floats:
        """Return the probability of each of a distribution's cells after a shift."""
        inside = self._categories(item, shift) if isinstance(item, Discrete) else self._bins(item, shift)
        return np.array([*(1 - shift.missing) * inside, shift.missing, 0.0])

    def _bins(self, item: Continuous, shift: Shift) -> Floats:
        bounds = np.array(item.upper_bounds)
        if (shift.by, shift.variance) != (0.0, 1.0):
            bounds = self.mean + (bounds - shift.by * self.deviation - self.mean) / np.sqrt(shift.variance)
        return np.diff(self.below(bounds), prepend=0.0, append=1.0)

    def _categories(self, item: Discrete, shift: Shift) -> Floats:
        shares = dict(self.shares)
        if shift.doubles:
            third = sorted(shares, key=lambda label: -shares[label])[min(2, len(shares) - 1)]
            factor = (1 - 2 * shares[third]) / (1 - shares[third])
            shares = {label: share * (2 if label == third else factor) for label, share in shares.items()}
        known = [shares[label] for label in item.categories]
        rest = max(1 - sum(known), 0.0)
        return np.array([*known, rest, 0.0] if item.rare else [*known, 0.0, rest])


def _of(name: str, distribution: Any) -> Population:
    return Population(
        name,
        "continuous",
        lambda rng, size: distribution.ppf(rng.random(size)),
        distribution.cdf,
        float(distribution.mean()),
        float(distribution.std()),
    )


def _mixture(
    name: str, kind: Kind, weight: float, first: Any, second: Any, mean: float, deviation: float
) -> Population:
    def draw(rng: np.random.Generator, size: int) -> Floats:
        return np.where(rng.random(size) < weight, first.ppf(rng.random(size)), second.ppf(rng.random(size)))

    return Population(name, kind, draw, lambda x: weight * first.cdf(x) + (1 - weight) * second.cdf(x), mean, deviation)


class _Zero:
    """What is always zero."""

    def ppf(self, share: Floats) -> Floats:
        return np.zeros_like(share)

    def cdf(self, x: Floats) -> Floats:
        return (x >= 0).astype(float)


def _bimodal() -> Population:
    return _mixture("bimodal", "continuous", 0.5, stats.norm(-2, 0.7), stats.norm(2, 0.7), 0.0, (4 + 0.49) ** 0.5)


def _zero_inflated() -> Population:
    some = stats.lognorm(1)
    mean = 0.6 * some.mean()
    deviation = (0.6 * (some.var() + some.mean() ** 2) - mean**2) ** 0.5
    return _mixture("zero-inflated", "spikes", 0.4, _Zero(), some, float(mean), float(deviation))


def _discrete(name: str, shares: dict[str, float]) -> Population:
    labels, weights = np.array(list(shares)), np.array(list(shares.values()))
    return Population(
        name, "discrete", lambda rng, size: rng.choice(labels, size, p=weights / weights.sum()), shares=shares
    )


def _zipf() -> Population:
    weights = 1.0 / np.arange(1, 201) ** 1.2
    return _discrete("Zipf categories", {f"c{rank}": w for rank, w in enumerate(weights / weights.sum())})


def _column(name: str, kind: Kind, values: Floats) -> Population:
    """Return a real column: rows are drawn from its values, with all their ties."""
    ordered = np.sort(values)
    return Population(
        name,
        kind,
        lambda rng, size: rng.choice(ordered, size),
        lambda x: np.searchsorted(ordered, x, side="right") / len(ordered),
        float(values.mean()),
        float(values.std()),
    )


def _labels(name: str, values: Floats) -> Population:
    """Return a real column as categories."""
    found, counts = np.unique(values, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    shares = {f"v{found[at]:g}": counts[at] / len(values) for at in order}
    return _discrete(name, shares)


@cache
def populations() -> tuple[Population, ...]:
    """Return all of them."""
    cancer, diabetes, wine, iris, digits = (
        getattr(datasets, f"load_{name}")() for name in ("breast_cancer", "diabetes", "wine", "iris", "digits")
    )

    def column(data: Any, name: str) -> Floats:
        return np.asarray(data.data[:, list(data.feature_names).index(name)], dtype=float)

    return (
        _of("normal", stats.norm()),
        _of("lognormal", stats.lognorm(1)),
        _of("exponential", stats.expon()),
        _bimodal(),
        _of("uniform", stats.uniform()),
        _zipf(),
        _zero_inflated(),
        _column("cancer: mean radius", "continuous", column(cancer, "mean radius")),
        _column("cancer: area error", "continuous", column(cancer, "area error")),
        _column("diabetes: bmi", "continuous", column(diabetes, "bmi")),
        _column("wine: proline", "continuous", column(wine, "proline")),
        _column("cancer: mean concavity", "spikes", column(cancer, "mean concavity")),
        _labels("iris: petal width", column(iris, "petal width (cm)")),
        _labels("wine: cultivar", wine.target),
        _labels("digits: pixel 2,3", column(digits, "pixel_2_3")),
    )
