"""What the rules say of many windows side by side, as if these were variables; and the rules that others use."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flask_boxkite.drift.scan import MINIMUM_ROWS, TESTS
from flask_boxkite.drift.statistics import chi_squared_limit, g_statistics
from flask_boxkite.drift.tables import per_variable
from flask_boxkite.drift.verdict import MOVED, judgements, uncertainty

__all__ = ["are_above", "cumulative_distances", "g_of_windows", "have_drifted", "psis", "smoothed_divergences"]

Floats: TypeAlias = "NDArray[np.float64]"
Counts: TypeAlias = "NDArray[np.int64]"


def g_of_windows(trained: Counts, live: Counts) -> Floats:
    """Return G of one variable in each window.

    Args:
        trained: Training counts, shape (groups,).
        live: Counts, shape (windows, groups).
    """
    return g_statistics(trained, live, np.zeros(1, dtype=np.intp))[:, 0]


def are_above(
    trained: Counts, slots: Counts, firsts: NDArray[np.intp], degrees: Counts, alpha: float
) -> NDArray[np.bool_]:
    """Say of which variables any stretch that ends now is above its limit if φ is 1, shape (windows, variables).

    No others are called or unclear, since φ is at least 1, and the limit of F is no lower than the limit of χ².

    Args:
        trained: Training counts of each window, shape (windows, groups).
        slots: Counts, shape (windows, slots, groups).
        firsts: The first group of each variable.
        degrees: Degrees of freedom of each variable.
        alpha: False-alarm probability of one variable.
    """
    windows, number, size = slots.shape
    live = np.cumsum(slots[:, ::-1], axis=1).transpose(1, 0, 2).reshape(number, windows * size)
    own = (np.arange(windows, dtype=np.intp)[:, np.newaxis] * size + firsts).ravel()
    limits = np.tile([chi_squared_limit(alpha / TESTS, int(k)) for k in degrees], windows)
    is_above = (g_statistics(trained.ravel(), live, own) > limits) & (per_variable(live, own) >= MINIMUM_ROWS)
    return is_above.any(axis=0).reshape(windows, -1)


def have_drifted(
    trained: Counts, live: Counts, g: Floats, dispersion: Floats, is_long: NDArray[np.bool_] | None
) -> NDArray[np.bool_]:
    """Say of windows in which a variable is called whether its verdict is ``drifted`` or ``major``.

    Args:
        trained: Training counts, shape (groups,).
        live: Counts, shape (windows, groups).
        g: G, shape (windows,), like what follows.
        dispersion: How many rows count as one.
        is_long: Whether they came in more than an hour; None for samples that are compared once.
    """
    windows = len(live)
    uncertain = None
    if is_long is not None:
        uncertain = uncertainty(np.full(windows, trained.sum()), live.sum(axis=1), dispersion, is_long)
    judged = judgements(
        np.tile(trained, windows),
        live.ravel(),
        np.arange(windows, dtype=np.intp) * len(trained),
        [None] * windows,
        g=g,
        dispersion=dispersion,
        limit=np.ones(windows),
        uncertain=uncertain,
    )
    return np.array([item.verdict in MOVED for item in judged], dtype=bool)


def psis(baseline: ArrayLike, live: NDArray[Any], *, smoothing: float = 0.5) -> Floats:
    """Return the population stability index of each window."""
    c, d = np.broadcast_to(baseline, live.shape).astype(float), live.astype(float)
    held = (c + d) > 0
    number = held.sum(axis=1, keepdims=True)
    p = (c + smoothing) / (c.sum(axis=1, keepdims=True) + smoothing * number)
    q = (d + smoothing) / (d.sum(axis=1, keepdims=True) + smoothing * number)
    return np.where(held, (q - p) * np.log(q / p), 0.0).sum(axis=1)


def smoothed_divergences(baseline: Floats, live: NDArray[Any]) -> Floats:
    """Return the ancestor's divergence: Σ (q - p)·ln(q/p) over all bins, with one added to every count."""
    c, d = baseline + 1.0, live + 1.0
    p, q = c / c.sum(), d / d.sum(axis=1, keepdims=True)
    return np.sum((q - p) * np.log(q / p), axis=1)


def cumulative_distances(baseline: Floats, live: NDArray[Any]) -> Floats:
    """Return the ancestor's K-S: the largest distance of the cumulative shares."""
    p, q = baseline / baseline.sum(), live / live.sum(axis=1, keepdims=True)
    return np.max(np.abs(np.cumsum(p) - np.cumsum(q, axis=1)), axis=1)
