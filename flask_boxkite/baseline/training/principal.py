"""Principal directions of vectors, without a matrix of all pairs of components, which images would make too large.

References:
    Halko, Martinsson and Tropp, Finding Structure with Randomness, 2011: subspace iteration from random directions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["principal_directions"]

_MORE = 8
"""Directions that are searched besides, so that the wanted ones come out exactly."""

_ROUNDS = 12

Floats = NDArray[np.float64]


def principal_directions(vectors: Floats, number: int) -> Floats:
    """Return the directions in which vectors vary most, the first most, shape (number, components).

    They are orthonormal, and the largest component of each is positive: the same vectors have the same directions.

    Args:
        vectors: Vectors, shape (vectors, components), more than *number*.
        number: Number of directions.
    """
    centred = vectors - vectors.mean(axis=0)
    width = min(number + _MORE, *centred.shape)
    basis = np.random.default_rng(0).normal(size=(centred.shape[1], width))
    for _ in range(_ROUNDS):
        basis = np.linalg.qr(centred.T @ (centred @ basis))[0]
    _, _, turned = np.linalg.svd(centred @ basis, full_matrices=False)
    directions: Floats = (basis @ turned.T).T[:number]
    largest = np.abs(directions).argmax(axis=1)
    signs = np.sign(directions[np.arange(len(directions)), largest])
    return directions * np.where(signs == 0, 1.0, signs)[:, np.newaxis]
