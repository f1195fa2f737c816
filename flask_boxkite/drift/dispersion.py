"""Overdispersion: how much more a variable's shares differ between slots of time than with independent rows.

Rows may depend on each other without being equal: one user's rows are alike, and so are a batch's. Such rows come close
together, so slots of time differ by more than chance. That factor is the number by which G has to be divided. A real
change makes slots differ as well, before it and after it. So there are two measures.

- `between_parts` takes all slots of a stretch. It is exact if nothing changes within the stretch, and large if
  something does. A stretch that begins with the change has no change within.
- `between_neighbours` takes the median over neighbouring slots, which a few changes do not move.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.drift.tables import per_variable

__all__ = ["LEAST_TRANSITIONS", "MOST_PARTS", "between_neighbours", "between_parts", "parts_of"]

MOST_PARTS = 4
"""Parts of a stretch. With more parts, repeats that last longer than a part would look like independent rows."""

LEAST_TRANSITIONS = 3
"""Least number of neighbouring slots; with fewer, a change looks like noise."""

Floats = NDArray[np.float64]
Counts = NDArray[Any]
"""Whole numbers, or floats."""


def parts_of(slots: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the first slots of at most `MOST_PARTS` equally long parts of a stretch, ascending.

    Slots that do not divide evenly make the first part shorter.

    Args:
        slots: Slots of the stretch.

    >>> parts_of(np.arange(10)).tolist()
    [0, 1, 4, 7]
    """
    length = -(-len(slots) // MOST_PARTS)
    offset = len(slots) % length
    return slots[np.unique([0, *range(offset, len(slots), length)])] if length > 1 else slots


def between_parts(parts: Floats, trained: Counts, firsts: NDArray[np.intp]) -> tuple[Floats, NDArray[np.int64]]:
    """Return the dispersion φ between parts of a stretch, as a multiple of chance, and its degrees of freedom.

    φ = Σ (d - m·q)²/(m·p) / df over the parts' groups. A group has d of the m rows of a part, and the share q in the
    stretch; p is the mean of q and the share in training, so that a value which always comes keeps its degree of
    freedom. df = (groups - 1)·(parts - 1), without empty ones. φ is 1 on average if rows are independent, and r if each
    row comes r times in one part. Range [0, inf), and 1 where df is 0.

    Args:
        parts: Rows per group of each part, shape (parts, groups).
        trained: Rows per group in training, shape (groups,).
        firsts: Index of each variable's first group.

    References:
        McCullagh and Nelder, Generalized Linear Models, 1989, 4.5 (overdispersion).

    >>> between_parts(np.array([[8.0, 2], [2, 8]]), np.array([50.0, 50]), np.array([0]))
    (array([7.2]), array([1]))
    """
    rows = per_variable(parts, firsts)
    total = parts.sum(axis=0)
    live = total / np.maximum(_widened(rows.sum(axis=0), firsts, parts.shape[1]), 1.0)
    middle = (live + _shares(trained, firsts)) / 2
    spread = (parts * parts / np.maximum(_widened(rows, firsts, parts.shape[1]), 1.0)).sum(axis=0) - total * live
    degrees = (_filled(total + trained, firsts) - 1) * np.maximum((rows > 0).sum(axis=0) - 1, 0)
    chi_squared = per_variable(spread / np.where(middle > 0, middle, 1.0), firsts)
    return np.where(degrees > 0, chi_squared / np.maximum(degrees, 1), 1.0), degrees


def between_neighbours(slots: Floats, trained: Counts, firsts: NDArray[np.intp]) -> Floats:
    """Return the dispersion φ between neighbouring slots, as a multiple of chance; one or two changes do not move it.

    The median over neighbours of Σ (d/m - d'/m')²·m·m'/(m + m')/p, with d of m rows in one slot, d' of m' in the next,
    and p as in `between_parts`, over the median of χ² with one degree of freedom less than there are groups (Wilson and
    Hilferty, 1931). 1 with fewer than `LEAST_TRANSITIONS` neighbours. Range [1, inf).

    Args:
        slots: Rows per group of each slot, shape (slots, groups), in the order of time.
        trained: Rows per group in training, shape (groups,).
        firsts: Index of each variable's first group.

    References:
        von Neumann, Distribution of the Ratio of the Mean Square Successive Difference to the Variance, 1941.
    """
    if len(slots) <= LEAST_TRANSITIONS or not len(firsts):
        return np.ones(len(firsts))
    rows = per_variable(slots, firsts)
    shares = slots / np.maximum(_widened(rows, firsts, slots.shape[1]), 1.0)
    total = slots.sum(axis=0)
    middle = (total / np.maximum(_widened(rows.sum(axis=0), firsts, len(total)), 1.0) + _shares(trained, firsts)) / 2

    steps = np.diff(shares, axis=0) ** 2 / np.where(middle > 0, middle, 1.0)
    weights = rows[1:] * rows[:-1] / np.maximum(rows[1:] + rows[:-1], 1.0)
    terms = np.where(weights > 0, per_variable(steps, firsts) * weights, np.inf)  # empty pairs are sorted to the end

    number = (weights > 0).sum(axis=0)
    degrees = np.maximum(_filled(total + trained, firsts) - 1, 1)
    medians = _medians(np.sort(terms, axis=0), number) / (degrees * (1 - 2 / (9 * degrees)) ** 3)
    return np.where(number >= LEAST_TRANSITIONS, np.maximum(medians, 1.0), 1.0)


def _medians(ordered: Floats, number: NDArray[np.int64]) -> Floats:
    """Return the median of each column's first *number* values, which ascend."""
    columns = np.arange(ordered.shape[1])
    lower, upper = (ordered[np.clip(at, 0, len(ordered) - 1), columns] for at in ((number - 1) // 2, number // 2))
    return (lower + upper) / 2


def _shares(counts: Counts, firsts: NDArray[np.intp]) -> Floats:
    return counts / np.maximum(_widened(per_variable(counts, firsts), firsts, len(counts)), 1.0)


def _filled(counts: Counts, firsts: NDArray[np.intp]) -> NDArray[np.int64]:
    return per_variable((counts > 0).astype(np.int64), firsts)


def _widened(of_variables: Floats, firsts: NDArray[np.intp], groups: int) -> Floats:
    """Repeat each variable's number for all its groups."""
    return np.repeat(of_variables, np.diff(firsts, append=groups), axis=-1)
