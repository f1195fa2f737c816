"""How much more slots differ than by chance: beside loops and SciPy, for repeated rows, for changes, by hand."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from flask_boxkite.drift.dispersion import (
    LEAST_TRANSITIONS,
    MOST_PARTS,
    between_neighbours,
    between_parts,
    parts_of,
)

GROUPS = 7
TABLES = arrays(np.int64, st.tuples(st.integers(1, 9), st.just(GROUPS)), elements=st.integers(0, 40))
TRAINED = arrays(np.int64, GROUPS, elements=st.integers(0, 40))
FIRSTS = st.sets(st.integers(1, GROUPS - 1), max_size=3).map(lambda some: np.array([0, *sorted(some)], dtype=np.intp))
ONE = np.zeros(1, dtype=np.intp)


def slices(firsts: np.ndarray, groups: int = GROUPS) -> list[slice]:
    """Return where the groups of each variable stand."""
    return [slice(int(a), int(b)) for a, b in pairwise([*firsts, groups])]


def middle_of(table: np.ndarray, trained: np.ndarray) -> np.ndarray:
    """Return the middle between the live share and the one in training."""
    live = table.sum(axis=0)
    return (live / max(live.sum(), 1) + trained / max(trained.sum(), 1)) / 2


def expected_parts(table: np.ndarray, trained: np.ndarray) -> tuple[float, int]:
    """Return χ²/df over parts and groups of one variable, cell by cell, and df."""
    middle, q = middle_of(table, trained), table.sum(axis=0) / max(table.sum(), 1)
    total, parts = 0.0, 0
    for part in table:
        m = part.sum()
        parts += m > 0
        for group, d in enumerate(part):
            if m and middle[group]:
                total += (d - m * q[group]) ** 2 / (m * middle[group])
    degrees = (np.count_nonzero(table.sum(axis=0) + trained) - 1) * max(parts - 1, 0)
    return (total / degrees if degrees > 0 else 1.0), degrees


def expected_neighbours(table: np.ndarray, trained: np.ndarray) -> float:
    """Return the median of neighbours of one variable, pair by pair."""
    middle, terms = middle_of(table, trained), []
    for one, other in pairwise(table):
        m, n = one.sum(), other.sum()
        if m and n:
            held = middle > 0
            terms.append(np.sum((one / m - other / n)[held] ** 2 / middle[held]) / (1 / m + 1 / n))
    if len(terms) < LEAST_TRANSITIONS:
        return 1.0
    degrees = max(np.count_nonzero(table.sum(axis=0) + trained) - 1, 1)
    return float(max(np.median(terms) / (degrees * (1 - 2 / (9 * degrees)) ** 3), 1.0))


# --- parts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slots", "parts"),
    [(1, [0]), (2, [0, 1]), (4, [0, 1, 2, 3]), (5, [0, 1, 3]), (7, [0, 1, 3, 5]), (8, [0, 2, 4, 6]), (9, [0, 3, 6])],
)
def test_parts_by_hand(slots: int, parts: list[int]) -> None:
    assert parts_of(np.arange(slots)).tolist() == parts


@given(st.integers(1, 400), st.integers(0, 50))
def test_parts_are_equally_long_but_for_the_first(slots: int, begin: int) -> None:
    places = begin + 3 * np.arange(slots)
    parts = parts_of(places).tolist()
    lengths = np.diff([places.tolist().index(part) for part in parts], append=slots).tolist()

    assert parts[0] == begin
    assert len(parts) <= MOST_PARTS
    assert len(parts) >= min(slots, 2)
    assert len(set(lengths[1:])) <= 1
    assert 0 < lengths[0] <= lengths[-1]


@given(TABLES, TRAINED, FIRSTS)
def test_between_parts_is_chi_squared_over_its_degrees(
    table: np.ndarray, trained: np.ndarray, firsts: np.ndarray
) -> None:
    found, degrees = between_parts(table.astype(float), trained.astype(float), firsts)
    for value, df, own in zip(found, degrees, slices(firsts), strict=True):
        assert (value, df) == pytest.approx(expected_parts(table[:, own], trained[own]), rel=1e-9)


def test_between_parts_is_scipys_where_training_has_the_same_shares(rng: np.random.Generator) -> None:
    for mean in (3, 50, 1e5):
        table = rng.poisson(mean * rng.exponential(size=(1, 12)) * rng.exponential(size=(4, 12)))
        table = table[:, table.sum(axis=0) > 0]
        expected = stats.chi2_contingency(table, correction=False)
        (value,), (degrees,) = between_parts(table.astype(float), 3.0 * table.sum(axis=0), ONE)

        assert value == pytest.approx(expected.statistic / expected.dof, rel=1e-9)
        assert degrees == expected.dof


def test_a_value_that_always_comes_has_its_degree_of_freedom_still() -> None:
    """All rows in one group, of two that training filled: no difference between parts, but one degree each."""
    found = between_parts(np.array([[50.0, 0], [50, 0], [50, 0]]), np.array([70.0, 30]), ONE)

    assert [table.tolist() for table in found] == [[0.0], [2]]


@pytest.mark.parametrize(
    "parts",
    [[[5, 5]], [[0, 0], [5, 5], [0, 0]], [[0, 0], [0, 0]], [[5, 0], [9, 0]]],
    ids=["one part", "one part with rows", "no rows", "one group"],
)
def test_without_parts_to_compare_it_is_one_of_no_degrees(parts: list[list[int]]) -> None:
    trained = np.array([9.0, 0]) if parts[0][1] == 0 and parts[-1] != [0, 0] else np.array([9.0, 9])
    found = between_parts(np.array(parts, dtype=float), trained, ONE)

    assert [table.tolist() for table in found] == [[1.0], [0]]


def repeated(rng: np.random.Generator, repeats: int, slots: int, samples: int = 2000) -> np.ndarray:
    """Return samples of 200 rows a slot in ten groups, each so many times at once, shape (slots, 10 · samples)."""
    table = rng.multinomial(200 // repeats, np.full(10, 0.1), size=(slots, samples)) * repeats
    return table.reshape(slots, -1).astype(float)


@pytest.mark.parametrize("repeats", [1, 2, 10])
def test_between_parts_is_what_rows_come_together(rng: np.random.Generator, repeats: int) -> None:
    """2,000 variables; tolerance: 4 standard errors of the mean of χ²/df, and what few visits take off."""
    parts, firsts = repeated(rng, repeats, 4), np.arange(2000) * 10
    found, degrees = between_parts(parts, np.full(20_000, 1000.0), firsts)

    assert set(degrees.tolist()) == {27}
    assert found.mean() == pytest.approx(repeats, rel=4 * (2 / 27 / 2000) ** 0.5 + 3 * repeats / 800)
    # Beside G itself, its ratio is F: beyond the limit of 1 % are about 1 %.
    g = ((parts.sum(axis=0) - 80) ** 2 / 80).reshape(2000, 10).sum(axis=1)
    assert np.mean(g / found / 9 > stats.f.isf(0.01, 9, 27)) == pytest.approx(0.01, abs=0.009)


# --- neighbours ------------------------------------------------------------------------------------------------------


@given(TABLES, TRAINED, FIRSTS)
def test_between_neighbours_is_the_median_of_pairs(table: np.ndarray, trained: np.ndarray, firsts: np.ndarray) -> None:
    found = between_neighbours(table.astype(float), trained.astype(float), firsts)
    for value, own in zip(found, slices(firsts), strict=True):
        assert value == pytest.approx(expected_neighbours(table[:, own], trained[own]), rel=1e-9)


@pytest.mark.parametrize("repeats", [2, 4, 10])
def test_between_neighbours_is_what_rows_come_together(rng: np.random.Generator, repeats: int) -> None:
    """2,000 variables of 21 slots: their mean; the median of 20 is a little noisy, and biased by as much."""
    found = between_neighbours(repeated(rng, repeats, 21), np.full(20_000, 1000.0), np.arange(2000) * 10)

    assert found.mean() == pytest.approx(repeats, rel=0.03)


def test_half_of_independent_rows_are_below_one(rng: np.random.Generator) -> None:
    """The median of 20 terms over the median of χ² is cut at 1 half of the time; tolerance: 4 standard errors."""
    found = between_neighbours(repeated(rng, 1, 21), np.full(20_000, 1000.0), np.arange(2000) * 10)

    assert np.mean(found == 1) == pytest.approx(0.5, abs=4 * (0.25 / 2000) ** 0.5 + 0.03)


@pytest.mark.parametrize("changes", [1, 2])
def test_a_change_or_two_do_not_move_the_median(rng: np.random.Generator, changes: int) -> None:
    """200 rows a slot of which, from a slot on, all are missing; parts of the same differ 100 times as chance does."""
    table = np.hstack([repeated(rng, 1, 12, 1), np.zeros((12, 1))])
    table[5:] = [0.0] * 10 + [200.0]
    if changes == 2:
        table[9:, :10], table[9:, 10] = 20.0, 0.0
    trained = np.array([1000.0] * 10 + [0.0])

    assert between_neighbours(table, trained, ONE)[0] < 1.5
    assert between_parts(table, trained, ONE)[0][0] > 10


def test_what_alternates_is_seen() -> None:
    table = np.array([[8.0, 2], [2, 8]] * 4)
    # Each step is 0.6 in both groups, whose middle is 0.5; ten rows each; the median of χ² with one degree is 0.47.
    by_hand = 2 * 0.36 / 0.5 * 5 / (1 - 2 / 9) ** 3

    assert between_neighbours(table, np.array([50.0, 50]), ONE).tolist() == pytest.approx([by_hand])


def test_few_transitions_say_nothing() -> None:
    table = np.array([[10.0, 0], [0, 10]] * 4)
    trained = np.array([50.0, 50])

    assert between_neighbours(table[: LEAST_TRANSITIONS + 1], trained, ONE)[0] > 1
    assert between_neighbours(table[:LEAST_TRANSITIONS], trained, ONE)[0] == 1
    gap = np.insert(table[: LEAST_TRANSITIONS + 1], 1, 0.0, axis=0)  # rows on either side of it are no neighbours
    assert between_neighbours(gap, trained, ONE)[0] == 1


# --- both ------------------------------------------------------------------------------------------------------------


@given(TABLES, TRAINED, st.integers(2, 9), st.randoms(use_true_random=False))
def test_invariants(table: np.ndarray, trained: np.ndarray, factor: int, random: object) -> None:
    order = list(range(GROUPS))
    random.shuffle(order)  # type: ignore[attr-defined]
    slots, before = table.astype(float), trained.astype(float)
    parts, degrees = between_parts(slots, before, ONE)
    neighbours = between_neighbours(slots, before, ONE)

    assert parts[0] >= -1e-12
    assert neighbours[0] >= 1
    for mixed in (order, [*order, -1]):  # also with a group that is empty on both sides
        wide, wide_before = np.hstack([slots, 0 * slots[:, :1]])[:, mixed], np.append(before, 0.0)[mixed]
        assert between_parts(wide, wide_before, ONE)[0] == pytest.approx(parts)
        assert between_parts(wide[::-1], wide_before, ONE)[1] == pytest.approx(degrees)
        assert between_neighbours(wide[::-1], wide_before, ONE) == pytest.approx(neighbours)
    # Every row so many times: as much more, but where it is cut off at 1.
    assert between_parts(factor * slots, before, ONE)[0] == pytest.approx(parts * (factor if degrees[0] > 0 else 1))
    if neighbours[0] > 1:
        assert between_neighbours(factor * slots, before, ONE) == pytest.approx(factor * neighbours)


def test_no_variables_have_none() -> None:
    nothing, none = np.zeros((5, 0)), np.zeros(0, dtype=np.intp)

    assert between_neighbours(nothing, nothing[0], none).shape == (0,)
    assert [table.shape for table in between_parts(nothing, nothing[0], none)] == [(0,), (0,)]
