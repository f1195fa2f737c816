"""Variables of a vector, such as an embedding or the features of an image.

Each component of a vector says little, and a hundred of them would share one alarm. A change of the vectors shows in
few numbers: their length, their distance from training, the cluster of training that they are nearest to, and their
coordinates on the directions in which training varied most.

The distance is the one of Mahalanobis, under a model of training with few directions of their own variance and the same
variance in all others: a shift that is small beside the whole may be large in a direction in which nothing varied.

References:
    Hotelling, Analysis of a Complex of Statistical Variables into Principal Components, 1933; Mahalanobis, On the
    Generalised Distance in Statistics, 1936; Tipping and Bishop, Probabilistic Principal Component Analysis, 1999.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flask_boxkite.derived.recipe import Recipe, checked_number, checked_source, invalid
from flask_boxkite.derived.rounding import rounded
from flask_boxkite.values.conversion import InvalidValue, is_null
from flask_boxkite.values.objects import array_of, values_of

__all__ = ["CLUSTERS", "LARGEST", "MOST_DIRECTIONS", "MOST_NUMBERS", "Vector", "VectorRecipe", "vector_of"]

MOST_DIRECTIONS = 64
"""Most directions that a baseline keeps, for the distance and as variables."""

CLUSTERS = 8
"""Clusters of training, each a group of its own."""

MOST_NUMBERS = 131_072
"""Most numbers in the centre, the directions and the clusters together: 700 kB of a baseline file."""

LARGEST = 1e16
"""Largest component of the vectors that a recipe is fitted to: variances, as 32-bit floats, reach to 3e38."""

_ARRAYS = ("center", "directions", "variances", "clusters")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Vector:
    """Derive numbers from a column of vectors, whose place they take.

    A column is a 2-D array with a row for each vector, or holds lists or arrays of numbers, also nested ones, such as
    the rows of an image. Of ``derive={"embedding": Vector("embedding")}``, the variables are ``embedding.norm``
    (Euclidean length), ``embedding.distance`` (from training, by its variances), ``embedding.cluster`` (the nearest of
    8 clusters of training, the largest first; left out of vectors too long for the file) and
    ``embedding.direction_1``, … (coordinates on the first principal directions of training, from its centre). In
    training, components reach to 1e16 at most.

    Attributes:
        source: Name of the column.
        directions: Number of principal directions; fewer where training has fewer.
    """

    source: str
    directions: int = 8

    def __post_init__(self) -> None:
        checked_source("Vector", self.source)
        checked_number("directions", self.directions, MOST_DIRECTIONS, least=0)


class _Arrays(NamedTuple):
    """The parameters of a recipe, as in `VectorRecipe.of_arrays`, directions as columns."""

    center: Floats
    directions: Floats
    variances: Floats
    clusters: Floats


@dataclass(frozen=True)
class VectorRecipe(Recipe):
    """A `Vector` with the centre, the directions and the clusters of training. Arrays are 32-bit floats, little-endian.

    Attributes:
        source: Name of the column.
        shown: Number of the directions that are variables, the first ones.
        center: Mean of the training vectors.
        directions: Orthonormal directions, one after the other.
        variances: Variance along each direction, then along any other; all positive.
        clusters: Centres of the clusters, one after the other; empty for none.
    """

    kind: ClassVar[str] = "vector"

    source: str
    shown: int
    center: bytes
    directions: bytes
    variances: bytes
    clusters: bytes

    @property
    def size(self) -> int:
        """The number of components of a vector."""
        return len(self.center) // 4

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its variables."""
        whats = ("norm", "distance", *(["cluster"] if self.clusters else []))
        directions = (f"direction_{index}" for index in range(1, self.shown + 1))
        return tuple(f"{self.name}.{what}" for what in (*whats, *directions))

    @property
    def column(self) -> str:
        """The name of the column."""
        return self.source

    def parameters(self) -> dict[str, Any]:
        """Return everything but the name, as JSON values."""
        arrays = {what: base64.b64encode(getattr(self, what)).decode() for what in _ARRAYS}
        return {"source": self.source, "shown": self.shown, **arrays}

    @classmethod
    def of_parameters(cls, name: str, parameters: Mapping[str, Any]) -> VectorRecipe:
        """Return the recipe with these parameters; see `Recipe.of_parameters`."""
        source, shown = parameters["source"], parameters["shown"]
        arrays = [base64.b64decode(parameters[what], validate=True) for what in _ARRAYS]
        center, directions, variances, clusters = arrays
        numbers = np.frombuffer(b"".join(arrays), dtype="<f4")
        if not isinstance(source, str) or type(shown) is not int or not center:
            raise TypeError
        if len(directions) % len(center) or len(clusters) % len(center):
            raise ValueError
        number = len(directions) // len(center)
        is_fitting = 0 <= shown <= number and len(variances) == 4 * (number + 1)
        if not is_fitting or len(numbers) > 2 * MOST_NUMBERS or not np.isfinite(numbers).all():
            raise ValueError
        if not (np.frombuffer(variances, dtype="<f4") > 0).all():
            raise ValueError
        return cls(name, source, shown, *arrays)

    @classmethod
    def of_arrays(
        cls,
        name: str,
        source: str,
        center: ArrayLike,
        directions: ArrayLike,
        variances: ArrayLike,
        clusters: ArrayLike = (),
        *,
        shown: int,
    ) -> VectorRecipe:
        """Return the recipe with these parameters.

        Args:
            name: Name of the recipe.
            source: Name of the column.
            center: Mean of the training vectors, shape (size,).
            directions: Directions, shape (number, size).
            variances: Variances, shape (number + 1,).
            clusters: Centres of clusters, shape (clusters, size).
            shown: Number of the directions that are variables.
        """
        arrays = (np.asarray(each, dtype="<f4").tobytes() for each in (center, directions, variances, clusters))
        return cls(name, source, shown, *arrays)

    @cached_property
    def _arrays(self) -> _Arrays:
        center, directions, variances, clusters = (
            np.frombuffer(getattr(self, what), dtype="<f4").astype(np.float64) for what in _ARRAYS
        )
        return _Arrays(center, directions.reshape(-1, self.size).T, variances, clusters.reshape(-1, self.size))

    def rows(self, values: Sequence[Any]) -> list[Sequence[Any]]:
        """Return the values of its variables for each vector, in the order of `names`.

        Args:
            values: Vectors, or other values in their place: all variables of None are missing; of any other value
                that is no vector of finite numbers, or is one of another size, they are invalid.
        """
        if isinstance(values, np.ndarray) and values.dtype.kind in "biuf" and values.ndim > 1:
            matrix = values.reshape(len(values), -1).astype(np.float64)
            if matrix.shape[1] == self.size and np.isfinite(matrix).all():
                return self._values(matrix)
            vectors: list[Any] = list(matrix)
        else:
            vectors = list(map(_read, values))
        places = [place for place, each in enumerate(vectors) if isinstance(each, np.ndarray) and self._fits(each)]
        width = len(self.names)
        rows: list[Sequence[Any]] = [self._odd(each, width) for each in vectors]
        if places:
            matrix = np.array([vectors[place] for place in places], dtype=np.float64)
            for place, row in zip(places, self._values(matrix), strict=True):
                rows[place] = row
        return rows

    def _fits(self, vector: NDArray[Any]) -> bool:
        return len(vector) == self.size and bool(np.isfinite(vector).all())

    def _odd(self, value: Any, width: int) -> Sequence[Any]:
        """Return the values for a thing that is no vector of the right size."""
        if isinstance(value, np.ndarray):
            value = f"{len(value)} numbers" if len(value) != self.size else "no number"
        return (value if value is None else invalid(value),) * width

    def _values(self, matrix: Floats) -> list[Sequence[Any]]:
        """Return the values of its variables for vectors of shape (vectors, size)."""
        center, directions, variances, clusters = self._arrays
        # Squares of huge numbers overflow. All numbers are in proportion to the vector and the centres.
        largest = np.abs(matrix).max(axis=1, keepdims=True)
        scale = np.maximum(largest / LARGEST, 1.0) if (largest > LARGEST).any() else np.ones((1, 1))
        matrix = matrix / scale
        with np.errstate(over="ignore"):
            apart = matrix - center / scale
            turned = apart @ directions
            distance = (turned**2 / variances[:-1]).sum(axis=1)
            if len(variances) <= self.size:  # else there is no other direction
                distance += np.maximum(_squares(apart) - _squares(turned), 0.0) / variances[-1]
            numbers = [np.sqrt(_squares(matrix)), np.sqrt(distance), turned[:, : self.shown]]
            rows: list[list[Any]] = rounded(np.column_stack(numbers) * scale).tolist()
            if len(clusters):
                away = rounded(np.column_stack([_squares(matrix - each / scale) for each in clusters]))
                for row, nearest in zip(rows, away.argmin(axis=1).tolist(), strict=True):
                    row.insert(2, f"cluster_{nearest + 1}")
        return list(rows)


def _squares(matrix: Floats) -> Floats:
    """Return the sum of squares of each row."""
    return np.asarray(np.einsum("ij,ij->i", matrix, matrix))


def vector_of(value: Any) -> Floats | None:
    """Return a vector as an array of shape (components,); None if it is missing.

    Raises:
        InvalidValue: The value is no list of numbers, nested or not.
    """
    if value is None or is_null(value):
        return None
    if not isinstance(value, (list, tuple, np.ndarray)):
        array = array_of(value)
        value = values_of(value) if array is None else array
    if value is None or isinstance(value, str):
        raise InvalidValue(str(type(value).__name__))
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidValue(type(value).__name__) from error
    if array.ndim == 0 or not array.size:
        raise InvalidValue(type(value).__name__)
    return array.reshape(-1)


def _read(value: Any) -> Any:
    """Return a vector, None if it is missing, or the name of the type of anything else."""
    try:
        return vector_of(value)
    except InvalidValue:
        return type(value).__name__
