"""The package's statistics for many windows at once, and the rules that others use.

Equal to the package's own functions (`tests/drift/test_quality.py` compares them), only for all windows in one go.
Dispersions are the package's own `Spread`, which takes many variables, here windows, at once.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.drift.dispersion import Spread

__all__ = ["cumulative_distances", "dispersions", "g_statistics", "psis", "sizes", "smoothed_divergences"]

Floats: TypeAlias = "NDArray[np.float64]"


def _times_log(counts: Floats, ratio: Floats) -> Floats:
    """Return counts · ln(ratio), 0 where there are none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(counts > 0, counts * np.log(ratio), 0.0)


def g_statistics(baseline: Floats, live: Floats) -> Floats:
    """Return G of each window.

    Args:
        baseline: Training counts, shape (groups,).
        live: Counts, shape (windows, groups).
    """
    c, d = np.broadcast_to(baseline, live.shape).astype(float), live.astype(float)
    trained, served = c.sum(axis=1, keepdims=True), d.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (c + d) / (trained + served)
        terms = _times_log(c, c / (trained * share)) + _times_log(d, d / (served * share))
    return np.where(served[:, 0] > 0, np.maximum(2 * terms.sum(axis=1), 0.0), 0.0)


def psis(baseline: Floats, live: Floats, *, smoothing: float = 0.5) -> Floats:
    """Return the population stability index of each window."""
    c, d = np.broadcast_to(baseline, live.shape).astype(float), live.astype(float)
    held = (c + d) > 0
    number = held.sum(axis=1, keepdims=True)
    p = (c + smoothing) / (c.sum(axis=1, keepdims=True) + smoothing * number)
    q = (d + smoothing) / (d.sum(axis=1, keepdims=True) + smoothing * number)
    return np.where(held, (q - p) * np.log(q / p), 0.0).sum(axis=1)


def sizes(baseline: Floats, live: Floats) -> Floats:
    """Return the size that verdicts use: PSI less its sampling noise, at least 0."""
    number = ((baseline + live) > 0).sum(axis=1)
    with np.errstate(divide="ignore"):
        noise = (number - 1) * (1 / baseline.sum() + 1 / live.sum(axis=1))
    return np.maximum(psis(baseline, live) - noise, 0.0)


def dispersions(rng: np.random.Generator, visits: NDArray[np.int64], repeats: int, slots: int) -> Floats:
    """Return φ of each window, whose visits come independently of each other at any time of the window.

    Args:
        rng: Of random numbers.
        visits: Counts, shape (windows, groups).
        repeats: How many rows each visit has, all in the same slot.
        slots: Time slots of a window.
    """
    windows, groups = visits.shape
    table = rng.multinomial(visits, np.full(slots, 1 / slots)) * repeats
    firsts = np.arange(windows, dtype=np.intp) * groups
    return Spread.of(table.reshape(windows * groups, slots).T, firsts).dispersions()


def smoothed_divergences(baseline: Floats, live: Floats) -> Floats:
    """Return the ancestor's divergence: Σ (q - p)·ln(q/p) over all bins, with one added to every count."""
    c, d = baseline + 1.0, live + 1.0
    p, q = c / c.sum(), d / d.sum(axis=1, keepdims=True)
    return np.sum((q - p) * np.log(q / p), axis=1)


def cumulative_distances(baseline: Floats, live: Floats) -> Floats:
    """Return the ancestor's K-S: the largest distance of the cumulative shares."""
    p, q = baseline / baseline.sum(), live / live.sum(axis=1, keepdims=True)
    return np.max(np.abs(np.cumsum(p) - np.cumsum(q, axis=1)), axis=1)
