"""Variables of vectors: norm, distance and coordinates, of vectors in any form."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from flask_boxkite import BaselineError
from flask_boxkite.baseline.training.principal import principal_directions
from flask_boxkite.derived import Vector
from flask_boxkite.derived.documents import document_of, recipe_of
from flask_boxkite.derived.rounding import rounded
from flask_boxkite.derived.vector import VectorRecipe

CENTER = [1.0, 0.0, 0.0, 2.0]
DIRECTIONS = [[0.6, 0.8, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
RECIPE = VectorRecipe.of_arrays("image", "image", CENTER, DIRECTIONS)
FINITE = st.floats(-1e6, 1e6, width=32)


@given(arrays(np.float64, (4,), elements=FINITE))
def test_a_vector_has_a_norm_a_distance_and_coordinates(vector: Any) -> None:
    (found,) = RECIPE.rows([vector.tolist()])
    apart = vector - np.array(CENTER)
    expected = [
        math.sqrt(sum(x * x for x in vector)),
        math.sqrt(sum(x * x for x in apart)),
        *(float(sum(x * d for x, d in zip(apart, np.float32(each), strict=True))) for each in DIRECTIONS),
    ]
    assert RECIPE.names == ("image.norm", "image.distance", "image.direction_1", "image.direction_2")
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-6 * float(np.abs(apart).max() + 1e-30))


@given(arrays(np.float64, (7, 4), elements=FINITE))
def test_many_vectors_give_the_same_numbers_as_each_alone(matrix: Any) -> None:
    """Else a batch would count other values than single requests, and than its record."""
    alone = [RECIPE.rows([vector])[0] for vector in matrix.tolist()]
    assert [list(row) for row in RECIPE.rows(matrix.tolist())] == [list(row) for row in alone]
    assert [list(row) for row in RECIPE.rows(matrix)] == [list(row) for row in alone]


@pytest.mark.parametrize(
    "form",
    [
        (1.0, 2.0, 3.0, 4.0),
        [[1, 2], [3, 4]],
        [[[1.0], [2.0]], [[3.0], [4.0]]],
        np.array([1, 2, 3, 4], dtype=np.float32),
        ["1", "2", "3", "4"],
    ],
    ids=str,
)
def test_a_vector_is_read_in_any_form(form: Any) -> None:
    assert RECIPE.rows([form]) == RECIPE.rows([[1.0, 2.0, 3.0, 4.0]])


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([1, 2, 3], "3 numbers"),
        ([1, 2, 3, None], "no number"),
        ([1, 2, 3, math.inf], "no number"),
        ("[1, 2, 3, 4]", "str"),
        (5, "int"),
        ([[1, 2], [3]], "list"),
        ({"a": 1}, "dict"),
        ([], "list"),
        ([10**400, 1, 1, 1], "list"),
    ],
    ids=repr,
)
def test_what_is_no_vector_is_invalid(value: Any, reason: str) -> None:
    assert RECIPE.rows([value, [0, 0, 0, 0]])[0] == ({"invalid": reason},) * 4


def test_a_missing_vector_has_missing_variables() -> None:
    assert RECIPE.rows([None, float("nan")]) == [(None,) * 4] * 2


def test_a_recipe_is_the_same_from_its_document() -> None:
    assert recipe_of(document_of(RECIPE)) == RECIPE


@pytest.mark.parametrize(
    "damage",
    [{"center": ""}, {"center": "AAAA"}, {"directions": "AAA"}, {"center": "AADAfw=="}, {"center": None}],
    ids=str,
)
def test_a_damaged_recipe_is_refused(damage: dict[str, Any]) -> None:
    """The third center holds a NaN."""
    with pytest.raises(ValueError, match="damaged, or from a later release"):
        recipe_of({**document_of(VectorRecipe.of_arrays("a", "a", CENTER, DIRECTIONS)), "directions": "", **damage})


@pytest.mark.parametrize("shape", [(200, 5), (30, 80)], ids=str)
def test_directions_are_the_principal_ones(shape: tuple[int, int], rng: np.random.Generator) -> None:
    """As a singular value decomposition finds them, up to the sign."""
    vectors = rng.normal(size=shape) * np.linspace(1, 3, shape[1]) + 5
    found = principal_directions(vectors, 3)
    exact = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)[2][:3]
    for own, other in zip(found, exact, strict=True):
        assert own.max() == np.abs(own).max()
        np.testing.assert_allclose(np.abs(own @ other), 1, atol=1e-3)


@given(st.floats(allow_nan=False))
def test_numbers_are_rounded_to_seven_digits(number: float) -> None:
    with np.errstate(all="ignore"):
        (found,) = rounded(np.array([number])).tolist()
    expected = number if not math.isfinite(number) else float(f"{number:.6e}")
    assert found == pytest.approx(expected, rel=1.1e-7, abs=1e-300)


def test_options_are_checked() -> None:
    with pytest.raises(BaselineError, match=r"^'directions' must be an integer from 0 to 64, got 65\.$"):
        Vector("image", directions=65)
