"""Cases: validation rows of a data set, and windows of later rows, with and without a shift."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .data import Data

__all__ = ["SHIFTS", "SIZES", "Case", "Window", "case_of"]

SHIFTS = ("none", "natural", "resampled")
"""Rows that were left out of validation; rows of the later period, in their order; rows mostly of one group."""

SIZES = (200, 1000, 10_000)
"""Rows of a window."""

MOST_OF_GROUP = 0.75
"""Share of a resampled window's rows that are of one group: a third of a feature's values, or a category."""

Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Window:
    """Windows of one cell.

    Attributes:
        shift: One of `SHIFTS`.
        size: Number of rows.
        rows: Rows of each window, shape (windows, size).
    """

    shift: str
    size: int
    rows: Rows


@dataclass(frozen=True)
class Case:
    """What both sides are given.

    Attributes:
        data: The data set.
        validation: Rows to learn from.
        windows: Windows to estimate.
    """

    data: Data
    validation: Rows
    windows: tuple[Window, ...]


def case_of(data: Data, windows: dict[int, int], seed: int) -> Case:
    """Return a random half of the reference period as validation rows, and windows.

    Args:
        data: The data set.
        windows: Number of windows by size.
        seed: Seed of the halves and windows.
    """
    rng = np.random.default_rng([seed, *data.name.encode()])
    shuffled = rng.permutation(data.reference)
    validation, left_out = np.sort(shuffled[: data.reference // 2]), shuffled[data.reference // 2 :]
    later = np.arange(data.reference, len(data.actual))
    groups = list(_groups(data, left_out))

    found = []
    for size, number in windows.items():
        if size <= len(left_out):
            found.append(Window("none", size, np.stack([rng.choice(left_out, size, False) for _ in range(number)])))
        if size <= len(later):
            starts = np.linspace(0, len(later) - size, number).astype(np.intp)
            found.append(Window("natural", size, later[starts[:, None] + np.arange(size)]))
        of_group = round(MOST_OF_GROUP * size)
        large = [group for group in groups if len(group) >= of_group]
        if large and size <= len(left_out):
            chosen = [large[place] for place in rng.permutation(np.arange(number) % len(large))]
            rows = [_mostly(rng, group, left_out, of_group, size) for group in chosen]
            found.append(Window("resampled", size, np.stack(rows)))
    return Case(data, validation, tuple(found))


def _groups(data: Data, rows: Rows) -> Iterator[Rows]:
    """Yield the rows of each third of a numeric feature, and of each category."""
    for values in data.features.values():
        own: NDArray[Any] = values[rows]
        if own.dtype.kind == "U" or len(np.unique(own)) <= 10:
            yield from (rows[own == value] for value in np.unique(own))
        else:
            yield from np.array_split(rows[np.argsort(own, kind="stable")], 3)


def _mostly(rng: np.random.Generator, group: Rows, rows: Rows, of_group: int, size: int) -> Rows:
    inside = rng.choice(group, of_group, replace=False)
    others = rng.choice(np.setdiff1d(rows, inside), size - of_group, replace=False)
    return np.concatenate([inside, others])
