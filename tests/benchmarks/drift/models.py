"""Models whose whole rows are drawn, so that it is known which rows are equal: groups of their variables, and buckets.

A model of high entropy has a continuous feature, whose values are hashed, so that no two rows are equal by chance. One
of low entropy has categories and flags alone; how often its rows are equal by chance is measured in training rows, by
the package.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.values import rowhash

__all__ = [
    "CATEGORY",
    "DECILES",
    "Change",
    "Model",
    "Variable",
    "all_missing",
    "models",
    "moved_deciles",
    "row_buckets",
]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

DECILES = stats.norm.ppf(np.arange(1, 10) / 10)

CATEGORY = (0.3, 0.2, 0.15, 0.1, 0.08, 0.07, 0.06, 0.04)


def moved_deciles(by: float | Floats, edges: Floats = DECILES) -> Floats:
    """Return the shares of below, ten parts, above and missing after a shift by so many deviations.

    Args:
        by: How much is added to every value.
        edges: Where the ten parts of training end.
    """
    below = stats.norm.cdf(np.subtract.outer(edges, by)).T
    inside = np.diff(below, axis=-1, prepend=0.0, append=1.0)
    return np.concatenate([0 * inside[..., :1], inside, 0 * inside[..., :2]], axis=-1)


@dataclass(frozen=True)
class Variable:
    """One variable.

    Attributes:
        shares: Probability of each group; the last is missing.
        is_continuous: Whether values within a group differ.
    """

    shares: tuple[float, ...]
    is_continuous: bool = False

    def changed(self, shares: Floats) -> Variable:
        """Return it with other shares."""
        return Variable(tuple(shares.tolist()), self.is_continuous)

    @property
    def missing(self) -> Variable:
        """It, always missing."""
        return self.changed(np.eye(1, len(self.shares), len(self.shares) - 1)[0])


CONTINUOUS = Variable(tuple(moved_deciles(0.0).tolist()), is_continuous=True)


def _of(*shares: float) -> Variable:
    """Return categories, an unseen one, and missing."""
    return Variable((*shares, 0.0, 0.0))


Change = tuple[Variable, ...]
"""All variables of a model, some of them changed."""


@dataclass(frozen=True)
class Model:
    """A model.

    Attributes:
        entropy: ``high`` or ``low``.
        variables: Its variables.
    """

    entropy: str
    variables: tuple[Variable, ...]

    @property
    def name(self) -> str:
        """As it is printed."""
        return f"{self.entropy} {len(self.variables)}"

    @cached_property
    def sizes(self) -> NDArray[np.intp]:
        """How many groups each variable has."""
        return np.array([len(variable.shares) for variable in self.variables], dtype=np.intp)

    @cached_property
    def firsts(self) -> NDArray[np.intp]:
        """The first group of each variable."""
        return np.cumsum(self.sizes) - self.sizes

    @property
    def degrees(self) -> Counts:
        """Degrees of freedom of each variable."""
        return self.sizes.astype(np.int64) - 1

    def draw(self, rng: np.random.Generator, rows: int, variables: Change | None = None) -> tuple[Counts, Counts]:
        """Return groups of independent rows, shape (variables, rows), as numbers among all groups; and their buckets.

        Args:
            rng: Of random numbers.
            rows: How many.
            variables: The variables, as they are now; None: as in training.
        """
        groups, words = self._drawn(rng, rows, variables or self.variables)
        return groups + self.firsts[:, np.newaxis], row_buckets(words)

    def trained(self, rng: np.random.Generator, rows: int, samples: int) -> Counts:
        """Return rows per group of so many training samples, shape (samples, groups)."""
        return np.hstack([rng.multinomial(rows, variable.shares, size=samples) for variable in self.variables])

    def collisions(self, rng: np.random.Generator, rows: int) -> float | None:
        """Return the probability that two rows of a training sample are equal, as a baseline has it."""
        columns = self._drawn(rng, rows, self.variables)[1].view(np.float64)
        return build_baseline({str(number): column for number, column in enumerate(columns)}).row_collisions

    def _drawn(self, rng: np.random.Generator, rows: int, variables: Change) -> tuple[Counts, NDArray[np.uint64]]:
        """Return the group of each variable, and its word, both of shape (variables, rows)."""
        groups = np.empty((len(variables), rows), dtype=np.int64)
        words = np.empty((len(variables), rows), dtype=np.float64)
        for variable, column, word in zip(variables, groups, words, strict=True):
            at = rng.random(rows)
            column[:] = _groups_at(np.array(variable.shares), at)
            word[:] = at if variable.is_continuous else column
            if variable.shares[-1]:
                word[column == len(variable.shares) - 1] = rowhash.MISSING_WORD
        return groups, words.view(np.uint64)


def _groups_at(shares: Floats, at: Floats) -> Counts:
    """Return the group in which each number from 0 to 1 is."""
    hundredths = np.round(100 * shares).astype(np.int64)
    if np.allclose(hundredths, 100 * shares, atol=1e-9):  # by a table, which is faster
        return np.repeat(np.arange(len(shares)), hundredths)[(100 * at).astype(np.int64)]
    filled = np.flatnonzero(shares)
    return filled[np.searchsorted(np.cumsum(shares[filled])[:-1], at, side="right")]


def row_buckets(words: NDArray[np.uint64]) -> Counts:
    """Return the bucket of each row, `rowhash.bucket_of` for many of them.

    Args:
        words: The words of rows, shape (variables, rows).
    """
    return rowhash.bucket_by_row(words.T)


def all_missing(model: Model) -> Change:
    """Return all variables, always missing: a failed join, an empty request."""
    return tuple(variable.missing for variable in model.variables)


def models() -> tuple[Model, ...]:
    """Return all models."""
    category, yes_or_no, constant, rare = _of(*CATEGORY), _of(0.7, 0.3), _of(1.0), _of(0.98, 0.02)
    flags = tuple(_of(share, 1 - share) for share in (0.7, 0.8, 0.9, 0.95, 0.98))
    return (
        Model("high", (CONTINUOUS,)),
        Model("high", (CONTINUOUS, category, yes_or_no)),
        Model("high", (CONTINUOUS,) * 10 + (category,) * 5 + (yes_or_no,) * 3 + (constant, rare)),
        Model("high", (CONTINUOUS,) * 50 + (category,) * 25 + (yes_or_no,) * 15 + (constant, rare) * 5),
        Model("low", (_of(0.3, 0.2, 0.12, 0.1, 0.08, 0.07, 0.06, 0.04, 0.03),)),
        Model("low", (_of(0.6, 0.4), _of(0.7, 0.3), _of(0.8, 0.2))),
        Model("low", (category,) * 4),
        Model("low", flags * 4),
        Model("low", (rare,) * 100),
    )
