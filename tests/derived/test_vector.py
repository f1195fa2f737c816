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
from flask_boxkite.baseline.training.clusters import cluster_centers
from flask_boxkite.baseline.training.principal import principal_directions
from flask_boxkite.derived import Vector
from flask_boxkite.derived.documents import document_of, recipe_of
from flask_boxkite.derived.rounding import rounded
from flask_boxkite.derived.vector import VectorRecipe

CENTER = [1.0, 0.0, 0.0, 2.0]
DIRECTIONS = [[0.6, 0.8, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
VARIANCES = [4.0, 1.0, 0.25]
CLUSTERS = [[0.0, 0.0, 0.0, 0.0], [5.0, 5.0, 5.0, 5.0]]
RECIPE = VectorRecipe.of_arrays("image", "image", CENTER, DIRECTIONS, VARIANCES, CLUSTERS, shown=2)
FINITE = st.floats(-1e6, 1e6, width=32)


@given(arrays(np.float64, (4,), elements=FINITE))
def test_a_vector_has_a_norm_a_distance_a_cluster_and_coordinates(vector: Any) -> None:
    """The distance is Mahalanobis' by the inverse of the whole covariance, which the recipe never makes."""
    (found,) = RECIPE.rows([vector.tolist()])
    apart = vector - np.array(CENTER)
    turn = np.float32(DIRECTIONS).T.astype(float)
    covariance = turn @ np.diag(VARIANCES[:2]) @ turn.T + VARIANCES[2] * (np.eye(4) - turn @ turn.T)
    norm, distance, cluster, *coordinates = found
    size = float(np.abs(apart).max() + 1e-30)
    assert RECIPE.names == tuple(
        f"image.{what}" for what in ("norm", "distance", "cluster", "direction_1", "direction_2")
    )
    assert norm == pytest.approx(math.sqrt(sum(x * x for x in vector)), rel=1e-6)
    assert distance == pytest.approx(math.sqrt(apart @ np.linalg.inv(covariance) @ apart), rel=1e-5, abs=1e-3 * size)
    assert coordinates == pytest.approx((apart @ turn).tolist(), rel=1e-6, abs=1e-6 * size)
    away = [float(((vector - np.array(each)) ** 2).sum()) for each in CLUSTERS]
    assert abs(away[0] - away[1]) <= 1e-6 * max(away) or cluster == f"cluster_{1 + int(away[1] < away[0])}"


@given(arrays(np.float64, (7, 4), elements=FINITE))
def test_many_vectors_give_the_same_numbers_as_each_alone(matrix: Any) -> None:
    """Else a batch would count other values than single requests, and than its record."""
    alone = [RECIPE.rows([vector])[0] for vector in matrix.tolist()]
    assert [list(row) for row in RECIPE.rows(matrix.tolist())] == [list(row) for row in alone]
    assert [list(row) for row in RECIPE.rows(matrix)] == [list(row) for row in alone]


@pytest.mark.parametrize("power", [17, 160, 300])
def test_a_huge_vector_has_numbers_too(power: int) -> None:
    """All are in proportion to the vector, so the centre, far nearer than its last digit, does not count."""
    vector, huge = [3.0, -1.0, 2.0, 0.5], 10.0**power
    (alone,) = RECIPE.rows([[huge * each for each in vector]])
    (_, batch) = RECIPE.rows(np.array([vector, [huge * each for each in vector]]))
    assert list(batch) == list(alone)
    norm, distance, cluster, *coordinates = alone
    turn = np.float32(DIRECTIONS).T.astype(float)
    along = np.array(vector) @ turn
    rest = np.dot(vector, vector) - np.dot(along, along)
    assert norm / huge == pytest.approx(math.hypot(*vector), rel=1e-6)
    assert distance / huge == pytest.approx(math.sqrt((along**2 / VARIANCES[:2]).sum() + rest / VARIANCES[2]), rel=1e-6)
    assert cluster in ("cluster_1", "cluster_2")
    assert np.array(coordinates) / huge == pytest.approx(along, rel=1e-6)


def test_the_largest_vectors_are_infinitely_far() -> None:
    (found,) = RECIPE.rows([[1.7e308] * 4])
    assert [*found[:2], found[4]] == [math.inf, math.inf, pytest.approx(1.7e308)]


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
    assert RECIPE.rows([value, [0, 0, 0, 0]])[0] == ({"invalid": reason},) * 5


def test_a_missing_vector_has_missing_variables() -> None:
    assert RECIPE.rows([None, float("nan")]) == [(None,) * 5] * 2


def test_a_recipe_is_the_same_from_its_document() -> None:
    assert recipe_of(document_of(RECIPE)) == RECIPE


@pytest.mark.parametrize(
    "damage",
    [
        {"center": ""},
        {"center": "AAAA"},
        {"directions": "AAA"},
        {"variances": "AADAfwAAgD8AAIA/"},
        {"variances": "AAAAAAAAgD8AAIA/"},
        {"center": None},
        {"shown": 3},
        {"shown": "2"},
        {"clusters": "AACAPw=="},
    ],
    ids=str,
)
def test_a_damaged_recipe_is_refused(damage: dict[str, Any]) -> None:
    """The first variances hold a NaN, the second a zero."""
    with pytest.raises(ValueError, match="damaged, or from a later release"):
        recipe_of({**document_of(RECIPE), **damage})


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


def test_clusters_are_found_the_largest_first(rng: np.random.Generator) -> None:
    true = np.array([[0.0, 0.0, 9.0], [9.0, 0.0, 0.0], [0.0, 9.0, 0.0]])
    vectors = true[rng.choice(3, 600, p=[0.2, 0.5, 0.3])] + rng.normal(size=(600, 3)) * 0.3
    np.testing.assert_allclose(cluster_centers(vectors, 3), true[[1, 2, 0]], atol=0.2)
    assert len(cluster_centers(np.ones((50, 3)), 8)) == 1


def test_options_are_checked() -> None:
    with pytest.raises(BaselineError, match=r"^'directions' must be an integer from 0 to 64, got 65\.$"):
        Vector("image", directions=65)
