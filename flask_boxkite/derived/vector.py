"""Variables of a vector, such as an embedding or the features of an image: norm, distance and principal coordinates.

Each component of a vector says little, and a hundred of them would share one alarm. A change of the vectors shows in
few numbers: their length, their distance from the centre of training, and their coordinates on the directions in which
training varied most.

References:
    Hotelling, Analysis of a Complex of Statistical Variables into Principal Components, 1933.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flask_boxkite.derived.recipe import Recipe, checked_number, checked_source, invalid
from flask_boxkite.derived.rounding import rounded
from flask_boxkite.values.conversion import InvalidValue, is_null
from flask_boxkite.values.objects import array_of, values_of

__all__ = ["MOST_NUMBERS", "Vector", "VectorRecipe", "vector_of"]

MOST_DIRECTIONS = 64

MOST_NUMBERS = 131_072
"""Most numbers in the centre and the directions together: 700 kB of a baseline file."""


@dataclass(frozen=True)
class Vector:
    """Derive numbers from a column of vectors, whose place they take.

    A column is a 2-D array with a row for each vector, or holds lists or arrays of numbers, also nested ones, such as
    the rows of an image. Of ``derive={"embedding": Vector("embedding")}``, the variables are ``embedding.norm``
    (Euclidean length), ``embedding.distance`` (Euclidean distance from the training centre) and
    ``embedding.direction_1``, … (coordinates on the first principal directions of training, from its centre).

    Attributes:
        source: Name of the column.
        directions: Number of principal directions; fewer where training has fewer.
    """

    source: str
    directions: int = 8

    def __post_init__(self) -> None:
        checked_source("Vector", self.source)
        checked_number("directions", self.directions, MOST_DIRECTIONS, least=0)


@dataclass(frozen=True)
class VectorRecipe(Recipe):
    """A `Vector` with the centre and the directions of training.

    Attributes:
        source: Name of the column.
        center: Mean of the training vectors, as 32-bit floats, little-endian.
        directions: Orthonormal directions, one after the other, likewise.
    """

    kind: ClassVar[str] = "vector"

    source: str
    center: bytes
    directions: bytes

    @property
    def size(self) -> int:
        """The number of components of a vector."""
        return len(self.center) // 4

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its variables."""
        number = len(self.directions) // max(len(self.center), 1)
        whats = ("norm", "distance", *(f"direction_{index}" for index in range(1, number + 1)))
        return tuple(f"{self.name}.{what}" for what in whats)

    @property
    def column(self) -> str:
        """The name of the column."""
        return self.source

    def parameters(self) -> dict[str, Any]:
        """Return everything but the name, as JSON values."""
        center, directions = (base64.b64encode(each).decode() for each in (self.center, self.directions))
        return {"source": self.source, "center": center, "directions": directions}

    @classmethod
    def of_parameters(cls, name: str, parameters: Mapping[str, Any]) -> VectorRecipe:
        """Return the recipe with these parameters; see `Recipe.of_parameters`."""
        source = parameters["source"]
        center, directions = (base64.b64decode(parameters[key], validate=True) for key in ("center", "directions"))
        numbers = np.frombuffer(center + directions, dtype="<f4")
        if not isinstance(source, str) or not center or len(directions) % len(center):
            raise ValueError
        if len(numbers) > MOST_NUMBERS or not np.isfinite(numbers).all():
            raise ValueError
        return cls(name, source, center, directions)

    @classmethod
    def of_arrays(cls, name: str, source: str, center: ArrayLike, directions: ArrayLike) -> VectorRecipe:
        """Return the recipe with a centre, shape (size,), and directions, shape (number, size)."""
        return cls(name, source, *(np.asarray(each, dtype="<f4").tobytes() for each in (center, directions)))

    @cached_property
    def _arrays(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        center, directions = (np.frombuffer(each, dtype="<f4") for each in (self.center, self.directions))
        return center.astype(np.float64), directions.reshape(-1, self.size).T.astype(np.float64)

    def rows(self, values: Sequence[Any]) -> list[Sequence[Any]]:
        """Return the values of its variables for each vector, in the order of `names`.

        Args:
            values: Vectors, or other values in their place: all variables of None are missing; of any other value
                that is no vector of finite numbers, or is one of another size, they are invalid.
        """
        if isinstance(values, np.ndarray) and values.dtype.kind in "biuf" and values.ndim > 1:
            matrix = values.reshape(len(values), -1).astype(np.float64)
            if matrix.shape[1] == self.size and np.isfinite(matrix).all():
                found: list[Sequence[Any]] = self.coordinates(matrix).tolist()
                return found
            vectors: list[Any] = list(matrix)
        else:
            vectors = list(map(_read, values))
        places = [place for place, each in enumerate(vectors) if isinstance(each, np.ndarray) and self._fits(each)]
        width = len(self.names)
        rows: list[Sequence[Any]] = [self._odd(each, width) for each in vectors]
        if places:
            matrix = np.array([vectors[place] for place in places], dtype=np.float64)
            for place, row in zip(places, self.coordinates(matrix).tolist(), strict=True):
                rows[place] = row
        return rows

    def _fits(self, vector: NDArray[Any]) -> bool:
        return len(vector) == self.size and bool(np.isfinite(vector).all())

    def _odd(self, value: Any, width: int) -> Sequence[Any]:
        """Return the values for a thing that is no vector of the right size."""
        if isinstance(value, np.ndarray):
            value = f"{len(value)} numbers" if len(value) != self.size else "no number"
        return (value if value is None else invalid(value),) * width

    def coordinates(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the values of its variables, shape (vectors, variables), for vectors of shape (vectors, size)."""
        center, directions = self._arrays
        with np.errstate(over="ignore", invalid="ignore"):
            apart = matrix - center
            norms = [np.sqrt(np.einsum("ij,ij->i", each, each)) for each in (matrix, apart)]
            return rounded(np.column_stack([*norms, apart @ directions]))


def vector_of(value: Any) -> NDArray[np.float64] | None:
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
