"""Indices of rows in a group of columns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["is_whole", "places_in"]


def is_whole(places: NDArray[np.intp], rows: int) -> bool:
    """Say whether indices are the ones of all rows, in their order."""
    return len(places) == rows and bool((places == np.arange(rows)).all())


def places_in(rows: int, masks: list[NDArray[np.bool_]]) -> NDArray[np.intp]:
    """Return the indices of the rows that are in all masks."""
    return np.flatnonzero(np.logical_and.reduce(masks)) if masks else np.arange(rows)
