"""Clusters of vectors: k-means, from far-apart vectors on.

References:
    Lloyd, Least Squares Quantization in PCM, 1982; Arthur and Vassilvitskii, k-means++: The Advantages of Careful
    Seeding, 2007.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["cluster_centers"]

_ROUNDS = 20

Floats = NDArray[np.float64]


def cluster_centers(vectors: Floats, number: int) -> Floats:
    """Return the centres of clusters, the largest first, shape (clusters, components); the same for the same vectors.

    Args:
        vectors: Vectors, shape (vectors, components), at least one.
        number: Most clusters; there are fewer of fewer different vectors.
    """
    centers = _far_apart(vectors, number)
    for _ in range(_ROUNDS):
        nearest = _squares_to(vectors, centers).argmin(axis=1)
        centers = np.array([vectors[nearest == cluster].mean(axis=0) for cluster in np.unique(nearest)])
    sizes = np.bincount(_squares_to(vectors, centers).argmin(axis=1), minlength=len(centers))
    return np.asarray(centers[np.argsort(-sizes, kind="stable")])


def _far_apart(vectors: Floats, number: int) -> Floats:
    """Return vectors of which each is drawn by its squared distance from the ones before."""
    rng = np.random.default_rng(0)
    centers = [vectors[rng.integers(len(vectors))]]
    squares = _squares_to(vectors, np.array(centers))[:, 0]
    while len(centers) < number and (total := squares.sum()) > 0:
        centers.append(vectors[rng.choice(len(vectors), p=squares / total)])
        squares = np.minimum(squares, _squares_to(vectors, np.array(centers[-1:]))[:, 0])
    return np.array(centers)


def _squares_to(vectors: Floats, centers: Floats) -> Floats:
    """Return the squared distance of each vector from each centre."""
    products = vectors @ centers.T
    squares = (vectors**2).sum(axis=1)[:, np.newaxis] - 2 * products + (centers**2).sum(axis=1)
    return np.asarray(np.maximum(squares, 0.0))
