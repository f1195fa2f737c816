"""The choice of pairs: for each variable, the one that tells most about it, and the rows of training by both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.contents import BaselineContents
from flask_boxkite.baseline.distribution import Distribution
from flask_boxkite.baseline.pairs import CELLS, NO_PART, PARTS, Pair, parts_of_groups
from flask_boxkite.baseline.training.aligned import as_items
from flask_boxkite.baseline.training.group_codes import groups_of_rows
from flask_boxkite.baseline.training.row_sample import spread_rows, taken

__all__ = ["PAIRING", "PairingLimits", "chosen_pairs", "with_pairs"]

Parts = NDArray[np.uint8]


class PairingLimits(NamedTuple):
    """Limits of the choice of pairs.

    Attributes:
        rows: Most rows to count; of more, a random sample.
        values: Most values in them.
        work: Most rows times variables times variables in the search for partners; of more rows, a random sample.
        chance: Probability that two variables are a pair by chance, over all pairs that a model can have.
    """

    rows: int = 50_000
    values: int = 20_000_000
    work: int = 500_000_000
    chance: float = 1e-3

    def most_rows(self, variables: int) -> int:
        """Return the number of rows of so many variables that are counted."""
        return max(min(self.rows, self.values // variables), 1)


PAIRING = PairingLimits()

_BLOCK = 64
"""Variables that are compared with all others at once."""


def with_pairs(
    contents: BaselineContents,
    features: Mapping[str, Any],
    outputs: Mapping[str, Any],
    limits: PairingLimits = PAIRING,
) -> BaselineContents:
    """Add the pairs to a baseline. Outputs are left out if they are of other rows than the features.

    Args:
        contents: Contents of the baseline.
        features: Columns of the features, by name; a sample of rows is enough.
        outputs: Columns of the outputs.
        limits: Limits of the choice.
    """
    items = [*contents.features]
    columns = [features[item.name] for item in items]
    has_equal_rows = not items or contents.rows == (contents.outputs[0].rows if contents.outputs else 0)
    if has_equal_rows and all(item.name in outputs for item in contents.outputs):
        items += contents.outputs
        columns += [outputs[item.name] for item in contents.outputs]
    if len(items) < 2:
        return contents
    if len(set(map(len, columns))) != 1 or not len(columns[0]):  # of an iterator that can be read once, say
        return contents
    rows = spread_rows(len(columns[0]), limits.most_rows(len(items)))
    sampled = [taken(as_items(column), rows) for column in columns]
    parts = np.stack([_parts(item, values) for item, values in zip(items, sampled, strict=True)])
    return replace(contents, pairs=chosen_pairs(parts, len(contents.features), limits))


def _parts(item: Distribution, values: Any) -> Parts:
    """Return the part of each row's value."""
    return np.array(parts_of_groups(item), dtype=np.uint8)[groups_of_rows(item, values, len(values))]


def chosen_pairs(parts: Parts, features: int, limits: PairingLimits = PAIRING) -> tuple[Pair, ...]:
    """Return the pairs of largest mutual information that connect all features which depend on each other.

    They are the Chow-Liu tree of the features: each has a pair with the one that tells most about it, and groups of
    features that tell most about each other have a pair between them. An output follows from the features, also from
    the ones of a wrong row. So it is no part of the tree, and has a pair with the feature that tells most about it.

    Args:
        parts: Part of each value, `NO_PART` for none, shape (variables, rows); features before outputs.
        features: Number of features.
        limits: Limits of the choice.

    References:
        Chow and Liu, Approximating Discrete Probability Distributions with Dependence Trees, 1968; Wilson and Hilferty,
        The Distribution of Chi-Square, 1931 (the limit, which need not be exact here).
    """
    number = len(parts)
    sample = parts[:, spread_rows(parts.shape[1], max(limits.work // number**2, 1))]
    quantile = NormalDist().inv_cdf(1 - limits.chance / (number * (number - 1) / 2))
    flat, x_log_x = _indicators(sample), _x_log_x(sample.shape[1])
    information = np.concatenate(
        [
            _information(flat[start : start + _BLOCK * PARTS], flat, x_log_x, quantile)
            for start in range(0, len(flat), _BLOCK * PARTS)
        ]
    )
    inner = features or number  # of outputs alone
    found = set(_forest(information[:inner, :inner]))
    found |= {(i, j) for j in range(inner, number) if (i := _best(information[j, :inner])) is not None}
    return tuple(Pair(i, j, tuple(_counts(parts[i], parts[j]))) for i, j in sorted(found))


def _best(information: NDArray[np.float64]) -> int | None:
    """Return the place of the largest information; None if there is none."""
    return int(information.argmax()) if information.any() else None


def _forest(information: NDArray[np.float64]) -> Iterator[tuple[int, int]]:
    """Yield the maximum spanning forest: pairs that connect all that depends on each other, by Prim's algorithm.

    Args:
        information: Information of each variable on each other one, shape (variables, variables).
    """
    most = np.zeros(len(information))
    partner = np.zeros(len(information), dtype=np.intp)
    is_left = np.ones(len(information), dtype=bool)
    for _ in range(len(information)):
        new = int(np.where(is_left, most, -1.0).argmax())
        if most[new] > 0:  # else it is the first of a tree
            yield min(new, int(partner[new])), max(new, int(partner[new]))
        is_left[new] = False
        is_nearer = is_left & (information[new] > most)
        most[is_nearer], partner[is_nearer] = information[new, is_nearer], new


def _counts(first: Parts, second: Parts) -> list[int]:
    """Return the rows by the parts of two variables, as a `Pair` has them."""
    is_known = (first != NO_PART) & (second != NO_PART)
    counts = np.bincount(first[is_known] * PARTS + second[is_known], minlength=CELLS)
    return list(map(int, counts))


def _indicators(parts: Parts) -> NDArray[np.float32]:
    """Return whether each value is in each part, shape (variables · PARTS, rows)."""
    number, rows = parts.shape
    # Products of floats are fast, and exact up to 2^24 rows.
    is_in = np.empty((number, PARTS, rows), dtype=np.float32)
    for part in range(PARTS):
        is_in[:, part] = parts == part
    return is_in.reshape(number * PARTS, rows)


def _information(
    some: NDArray[np.float32], others: NDArray[np.float32], x_log_x: NDArray[np.float64], quantile: float
) -> NDArray[np.float64]:
    """Return the mutual information of some variables with others, in nats, shape (some, others); 0 if it is chance.

    Args:
        some: Indicators of the parts of some variables.
        others: Indicators of the parts of others.
        x_log_x: Values of x·ln x.
        quantile: Quantile of the standard normal distribution that chance does not pass.
    """
    shape = (len(some) // PARTS, PARTS, len(others) // PARTS, PARTS)
    tables = (some @ others.T).astype(np.int32).reshape(shape)
    of_some, of_others = tables.sum(axis=3), tables.sum(axis=1)
    rows = of_some.sum(axis=1)
    g = x_log_x[tables].sum(axis=(1, 3)) + x_log_x[rows]
    g = 2 * (g - x_log_x[of_some].sum(axis=1) - x_log_x[of_others].sum(axis=2))

    degrees = ((of_some > 0).sum(axis=1) - 1) * ((of_others > 0).sum(axis=2) - 1)
    scale = 2 / (9 * np.maximum(degrees, 1))
    limit = degrees * (1 - scale + quantile * np.sqrt(scale)) ** 3
    return np.where((degrees > 0) & (g > limit), g / np.maximum(2 * rows, 1), 0.0)


def _x_log_x(most: int) -> NDArray[np.float64]:
    """Return x·ln x of the whole numbers from 0 to *most*."""
    x = np.arange(most + 1, dtype=np.float64)
    return x * np.log(np.maximum(x, 1.0))
