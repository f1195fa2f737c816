"""The association of two variables: does it differ between training and live, beside changes of each alone?

Counts of a pair lie in a table of training and live by the parts of both variables. If the association is the same,
training and live have the same odds ratios, and their tables differ by the shares of the parts alone. The deviance from
the closest such tables tells of a change of the association, and of nothing else. (The G of both tables less the ones
of their margins does not: it is large where one variable alone has moved, and below zero where both have.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.pairs import CELLS, PARTS
from flask_boxkite.drift.statistics import g_statistics

__all__ = ["association_degrees", "association_statistics", "cramers_v"]

ROUNDS = 50
"""Most steps of the fit; most tables need 3 to 6."""

_ENOUGH = 1e-4
"""Change of G by a step, below which the next ones add less."""

_FURTHEST = 40.0
"""Largest logit, of shares that a float can tell from 0 and 1."""

Floats = NDArray[np.float64]

_PARTS_OF_CELLS: Floats = np.hstack(
    [np.repeat(np.eye(PARTS), PARTS, axis=0), np.tile(np.eye(PARTS), (PARTS, 1))[:, 1:]]
)
"""Whether each cell is of each part of the first, and of each part but one of the second."""


def association_statistics(
    trained: NDArray[np.int64],
    live: NDArray[np.int64],
    firsts: NDArray[np.intp],
    dispersion: Floats | None = None,
    *,
    least: Floats | None = None,
) -> Floats:
    """Return the deviance of several pairs in several samples from one common association, shape (samples, pairs).

    G = 2·Σ x·ln(x / m) over training and live, where m has the margins of both tables, and the same odds ratios in
    both. If the association is the same, G follows χ² with `association_degrees`. Range [0, inf).

    Args:
        trained: Counts of all pairs in training, one pair after the other, shape (pairs · CELLS,).
        live: Counts of the same pairs, shape (samples, pairs · CELLS).
        firsts: Index of each pair's first count; every pair has `CELLS`.
        dispersion: Number of live rows that count as one, φ, shape (samples, pairs); None for 1. G is computed from
            live / φ.
        least: Value of each pair, shape (pairs,), up to which an upper bound of G is as good as G; None for no bound.

    References:
        Bishop, Fienberg and Holland, Discrete Multivariate Analysis, 1975, 4.2 (no three-factor effect); McCullagh and
        Nelder, Generalized Linear Models, 1989, 2.5 (the fit).
    """
    # Equal tables have equal associations, so G of the tables is an upper bound, and quick.
    found = g_statistics(trained, live, firsts, dispersion)
    is_open = found > (0.0 if least is None else least)
    if not is_open.any():
        return found
    own = live.reshape(*found.shape, CELLS).astype(np.float64)
    if dispersion is not None:
        own = own / dispersion[..., np.newaxis]
    of_training = np.broadcast_to(trained.reshape(-1, CELLS), own.shape)
    tables = np.stack([of_training[is_open], own[is_open]], axis=1).reshape(-1, 2, PARTS, PARTS)
    found[is_open] = _deviance(tables)
    return found


def _deviance(tables: Floats) -> Floats:
    """Return G of each table, shape (tables,), by Newton's method.

    With a common association, the logit of the share of live rows in a cell is a sum of one number for the part of the
    first and one for the part of the second.
    """
    cells = tables.reshape(len(tables), 2, CELLS)
    both, live = cells.sum(axis=1), cells[:, 1]
    share = (live.sum(axis=1) + 0.5) / (both.sum(axis=1) + 1.0)
    logits = np.log(share / (1 - share))[:, np.newaxis].repeat(CELLS, axis=1)
    steps, found, left = np.zeros_like(logits), np.full(len(tables), np.inf), np.arange(len(tables))
    for _ in range(ROUNDS):
        tried = np.clip(logits[left] + steps[left], -_FURTHEST, _FURTHEST)
        expected = both[left] / (1 + np.exp(-tried))
        g = 2 * (_x_log_ratio(live[left], expected) + _x_log_ratio(cells[left, 0], both[left] - expected)).sum(axis=1)
        gain = found[left] - g
        is_nearer, is_open = gain >= 0, gain > _ENOUGH
        logits[left[is_nearer]], found[left[is_nearer]] = tried[is_nearer], g[is_nearer]
        steps[left[~is_nearer]] /= 2
        steps[left[is_open]] = _newton_steps(both[left[is_open]], live[left[is_open]], expected[is_open])
        left = left[is_open | (~is_nearer & (np.abs(steps[left]).max(axis=1) > _ENOUGH))]
        if not len(left):
            break
    deviance: Floats = np.maximum(found, 0.0)
    return deviance


def _newton_steps(both: Floats, live: Floats, expected: Floats) -> Floats:
    """Return the step of all logits, shape (tables, CELLS), given the expected live rows."""
    weights = expected * (1 - expected / np.maximum(both, 1e-300))
    curvature = np.einsum("tc,ca,cb->tab", weights, _PARTS_OF_CELLS, _PARTS_OF_CELLS)
    every = np.arange(_PARTS_OF_CELLS.shape[1])
    curvature[:, every, every] += 1e-10 * curvature[:, every, every] + 1e-12  # parts without rows have none
    slope = (live - expected) @ _PARTS_OF_CELLS
    steps: Floats = np.linalg.solve(curvature, slope[..., np.newaxis])[..., 0] @ _PARTS_OF_CELLS.T
    return steps


def _x_log_ratio(x: Floats, y: Floats) -> Floats:
    """Return x·ln(x / y); 0 for 0."""
    ratios = np.divide(x, y, out=np.ones_like(x), where=(x > 0) & (y > 0))
    logarithms: Floats = x * np.log(ratios)
    return logarithms


def association_degrees(trained: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the degrees of freedom of each pair, shape (pairs,): (parts of the first - 1)·(parts of the second - 1).

    Args:
        trained: Counts of all pairs in training, shape (pairs · CELLS,); parts without rows do not count.
    """
    tables = trained.reshape(-1, PARTS, PARTS)
    of_first, of_second = ((tables.sum(axis=axis) > 0).sum(axis=1) - 1 for axis in (2, 1))
    degrees: NDArray[np.int64] = np.maximum(of_first * of_second, 1)
    return degrees


def cramers_v(table: NDArray[Any]) -> float:
    """Return how strongly two variables depend on each other, in [0, 1]: 0 not at all, 1 each decides the other.

    Cramér's V without the bias of few rows: V = sqrt(max(φ² - (k-1)(r-1)/(n-1), 0) / min(k' - 1, r' - 1)), with φ² of
    Pearson's χ² over n rows, k and r parts with rows, and k' = k - (k-1)²/(n-1).

    Args:
        table: Rows by the parts of both, shape (PARTS, PARTS).

    References:
        Cramér, Mathematical Methods of Statistics, 1946, 21.9; Bergsma, A Bias-Correction for Cramér's V and
        Tschuprow's T, 2013.

    >>> cramers_v(np.diag([10, 10, 10, 10]))
    1.0
    """
    of_first, of_second, rows = table.sum(axis=1), table.sum(axis=0), int(table.sum())
    parts = np.count_nonzero(of_first), np.count_nonzero(of_second)
    if min(parts) < 2 or rows < 2:
        return 0.0
    expected = np.outer(of_first, of_second) / rows
    is_filled = expected > 0
    chi_squared = float(((table - expected)[is_filled] ** 2 / expected[is_filled]).sum())
    excess = chi_squared / rows - (parts[0] - 1) * (parts[1] - 1) / (rows - 1)
    corrected = min(number - 1 - (number - 1) ** 2 / (rows - 1) for number in parts)
    return float(min(max(excess, 0.0) / corrected, 1.0) ** 0.5) if corrected > 0 else 0.0
