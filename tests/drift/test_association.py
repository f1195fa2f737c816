"""The deviance from one common association, against independent fits, and what does not raise it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import optimize, stats

from flask_boxkite.baseline.pairs import CELLS, PARTS
from flask_boxkite.drift.association import association_degrees, association_statistics, cramers_v
from flask_boxkite.drift.statistics import chi_squared_limit, g_statistic

Table = Sequence[Sequence[float]]

EVEN = np.ones((PARTS, PARTS))
STRONG = np.exp(-3.0 * np.abs(np.subtract.outer(range(PARTS), range(PARTS))))
"""Shares, up to a factor, of two variables of which each is mostly in the part of the other."""


def statistic(trained: NDArray[np.int64], live: NDArray[np.int64], dispersion: float | None = None) -> float:
    """Return the statistic of a single pair in a single sample."""
    phi = None if dispersion is None else np.array([[dispersion]])
    found = association_statistics(trained.ravel(), live.reshape(1, CELLS), np.array([0]), phi)
    assert found.shape == (1, 1)
    return float(found[0, 0])


def drawn(rng: np.random.Generator, shares: NDArray[np.float64], rows: int) -> NDArray[np.int64]:
    """Draw a table of so many rows."""
    return rng.multinomial(rows, (shares / shares.sum()).ravel()).reshape(PARTS, PARTS)


# --- an independent fit ----------------------------------------------------------------------------------------------


def fitted(tables: Sequence[Table]) -> list[list[list[float]]]:
    """Return tables with the margins of the given two, and no association of three, cell by cell."""
    fit = [[[1.0] * PARTS for _ in range(PARTS)] for _ in tables]
    for _ in range(3000):
        error = 0.0
        for cells in margins():
            wanted, found = (sum(item[k][i][j] for k, i, j in cells) for item in (tables, fit))
            error = max(error, abs(wanted - found))
            for k, i, j in cells:
                fit[k][i][j] *= wanted / found if found else 0.0
        if error < 1e-9:
            break
    return fit


def margins() -> Iterator[list[tuple[int, int, int]]]:
    """Yield the cells of each sum that a fit keeps: of both samples, and of each sample's parts."""
    for a in range(PARTS):
        for b in range(PARTS):
            yield [(k, a, b) for k in (0, 1)]
    for k in (0, 1):
        for a in range(PARTS):
            yield [(k, a, b) for b in range(PARTS)]
            yield [(k, b, a) for b in range(PARTS)]


def deviance(tables: Sequence[Table], fit: Sequence[Table]) -> float:
    """Return twice the sum of x·ln(x / m)."""
    pairs = [
        (x, m)
        for table, other in zip(tables, fit, strict=True)
        for row, fitted_row in zip(table, other, strict=True)
        for x, m in zip(row, fitted_row, strict=True)
    ]
    return 2 * sum(x * math.log(x / m) for x, m in pairs if x > 0)


@pytest.mark.parametrize("moved", [None, 0, 1], ids=["no margin moves", "the first moves", "the second moves"])
@pytest.mark.parametrize(("rows", "live"), [(1000, 300), (200, 1000)])
@pytest.mark.parametrize("shares", [EVEN, STRONG], ids=["even", "strong"])
def test_the_statistic_is_the_deviance_of_an_independent_fit(
    shares: NDArray[np.float64], rows: int, live: int, moved: int | None, rng: np.random.Generator
) -> None:
    factors = np.array([1.0, 2.0, 3.0, 1.0])
    other = shares if moved is None else shares * (factors if moved else factors[:, np.newaxis])
    tables = drawn(rng, shares, rows), drawn(rng, other, live)
    lists = [table.tolist() for table in tables]

    # Both stop when margins are kept to a small part of a row.
    assert statistic(*tables) == pytest.approx(deviance(lists, fitted(lists)), abs=0.01)


COUNTS = st.lists(st.integers(1, 400), min_size=CELLS, max_size=CELLS).map(
    lambda counts: np.array(counts).reshape(PARTS, PARTS)
)


@given(COUNTS, COUNTS, st.sampled_from([1.0, 1.5, 20.0]))
def test_any_two_tables_have_a_statistic_from_zero_to_the_g_of_both(
    trained: NDArray[np.int64], live: NDArray[np.int64], dispersion: float
) -> None:
    """A common association is more than equal tables are."""
    found = statistic(trained, live, dispersion)
    of_tables = g_statistic(trained.ravel(), live.ravel() / dispersion)

    assert 0 <= found <= of_tables + 1e-6
    assert statistic(live, trained) == pytest.approx(statistic(trained, live), abs=0.01)
    assert statistic(trained.T, live.T, dispersion) == pytest.approx(found, abs=0.01)
    assert statistic(trained[::-1], live[::-1], dispersion) == pytest.approx(found, abs=0.01)


# --- closed forms ----------------------------------------------------------------------------------------------------


def of_four(tables: NDArray[np.float64]) -> float:
    """Return the deviance of two tables of two by two: one unknown moves all cells, until the odds ratios are equal."""
    signs = np.array([[[1, -1], [-1, 1]], [[-1, 1], [1, -1]]])

    def difference(by: float) -> float:
        (a, b), (c, d) = np.log(tables + by * signs).swapaxes(0, 2).swapaxes(0, 1)
        ratios = a - b - c + d
        return float(ratios[0] - ratios[1])

    low, high = -tables[signs > 0].min(), tables[signs < 0].min()
    by = optimize.brentq(difference, low * (1 - 1e-12), high * (1 - 1e-12), xtol=1e-12)
    return float(2 * (tables * np.log(tables / (tables + by * signs))).sum())


SMALL = st.lists(st.integers(1, 500), min_size=4, max_size=4).map(lambda counts: np.array(counts).reshape(2, 2))


@given(SMALL, SMALL, st.permutations(range(PARTS)), st.permutations(range(PARTS)), st.sampled_from([1.0, 2.5]))
def test_of_two_parts_each_it_is_the_closed_form(
    trained: NDArray[np.int64],
    live: NDArray[np.int64],
    firsts: list[int],
    seconds: list[int],
    dispersion: float,
) -> None:
    tables = np.zeros((2, PARTS, PARTS), dtype=np.int64)
    for table, counts in zip(tables, (trained, live), strict=True):
        table[np.ix_(firsts[:2], seconds[:2])] = counts
    expected = of_four(np.stack([trained, live / dispersion]))

    assert statistic(*tables, dispersion) == pytest.approx(expected, abs=0.01)
    assert association_degrees(tables[0].ravel()).tolist() == [1]


def test_a_reversed_order_is_found_by_hand() -> None:
    """Odds ratios of 16 and 1/16, with equal margins: the common one is 1, as in even tables."""
    trained, live = np.zeros((2, PARTS, PARTS), dtype=np.int64)
    trained[:2, :2] = [[400, 100], [100, 400]]
    live[:2, :2] = [[100, 400], [400, 100]]

    one = 2 * (2 * 400 * math.log(400 / 250) + 2 * 100 * math.log(100 / 250))
    assert statistic(trained, live) == pytest.approx(2 * one)
    assert g_statistic(trained.ravel(), live.ravel()) == pytest.approx(2 * one)


@given(
    COUNTS,
    st.lists(st.integers(1, 9), min_size=PARTS, max_size=PARTS),
    st.lists(st.integers(1, 9), min_size=PARTS, max_size=PARTS),
)
def test_a_change_of_margins_alone_does_not_raise_it(
    trained: NDArray[np.int64], firsts: list[int], seconds: list[int]
) -> None:
    live = trained * np.outer(firsts, seconds)

    assert statistic(trained, live) == pytest.approx(0.0, abs=0.02)
    assert cramers_v(trained) == pytest.approx(cramers_v(trained.T))


def test_a_change_of_margins_alone_is_large_for_other_statistics() -> None:
    """A check of the test above: the same tables would have drifted by G of all counts."""
    trained = np.rint(1000 * STRONG).astype(np.int64)
    live = trained * np.array([[1], [2], [5], [9]])

    assert g_statistic(trained.ravel(), live.ravel()) > 1000
    assert statistic(trained, live) < 0.02


def test_margins_that_move_do_not_raise_it_where_each_variable_nearly_decides_the_other() -> None:
    """Zeros beside large counts are slow to fit margin by margin."""
    trained = np.array([[12000, 30, 0, 0], [25, 12500, 28, 0], [0, 31, 12400, 26], [0, 0, 29, 12900]])
    live = trained * np.array([[9], [5], [2], [1]]) * np.array([1, 2, 5, 9])

    assert statistic(trained, live) < 0.02


# --- samples ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moves", [False, True], ids=["equal margins", "another margin"])
def test_equal_associations_are_called_as_often_as_alpha_says(moves: bool, rng: np.random.Generator) -> None:
    pairs = 4000
    shares = np.exp(-np.abs(np.subtract.outer(range(PARTS), range(PARTS))))
    other = shares * np.array([[1.0], [2.0], [3.0], [1.0]]) if moves else shares
    trained, live = (
        rng.multinomial(rows, (of / of.sum()).ravel(), size=pairs).ravel()
        for rows, of in ((5000, shares), (2000, other))
    )
    found = association_statistics(trained, live[np.newaxis], np.arange(pairs) * CELLS)[0]

    assert set(association_degrees(trained).tolist()) == {9}
    for alpha in (0.1, 0.01):
        called = int((found > chi_squared_limit(alpha, 9)).sum())
        # Four standard deviations, and a fifth more for counts that are no normal values.
        assert abs(called - alpha * pairs) < 4 * math.sqrt(alpha * pairs) + 0.2 * alpha * pairs
    assert found.mean() == pytest.approx(9, abs=0.4)


def test_samples_and_pairs_are_computed_at_once(rng: np.random.Generator) -> None:
    tables = [drawn(rng, shares, 500) for shares in (EVEN, STRONG, STRONG.T)]
    samples = [[drawn(rng, shares, rows) for shares in (STRONG, STRONG, EVEN)] for rows in (50, 400)]
    phi = np.array([[1.0, 2.0, 1.0], [3.0, 1.0, 1.5]])
    found = association_statistics(
        np.concatenate(tables).ravel(), np.array(samples).reshape(2, -1), np.arange(3) * CELLS, phi
    )

    expected = [
        [statistic(table, live, by) for table, live, by in zip(tables, row, of_row, strict=True)]
        for row, of_row in zip(samples, phi.tolist(), strict=True)
    ]
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_up_to_the_least_value_the_bound_will_do(rng: np.random.Generator) -> None:
    tables = np.concatenate([drawn(rng, EVEN, 500), drawn(rng, EVEN, 500)]).ravel()
    live = np.concatenate([drawn(rng, EVEN, 300), drawn(rng, STRONG, 300)]).reshape(1, -1)
    firsts = np.arange(2) * CELLS
    exact = association_statistics(tables, live, firsts)[0]
    found = association_statistics(tables, live, firsts, least=np.array([100.0, 100.0]))[0]

    bound = g_statistic(tables[:CELLS], live[0, :CELLS])
    assert exact[0] < bound < 100
    assert found[0] == pytest.approx(bound)
    assert found[1] == exact[1] > 100


@pytest.mark.parametrize("empty", ["trained", "live", "both"])
def test_without_rows_nothing_differs(empty: str, rng: np.random.Generator) -> None:
    tables = {name: drawn(rng, STRONG, 500) for name in ("trained", "live")}
    for name in tables:
        if empty in (name, "both"):
            tables[name] = np.zeros_like(tables[name])

    assert statistic(**tables) == 0.0


def test_parts_that_only_one_sample_has_tell_of_no_association(rng: np.random.Generator) -> None:
    """Their rows tell how often a part comes, and nothing of its odds in the other sample."""
    trained, live = drawn(rng, STRONG, 800), drawn(rng, STRONG, 400)
    trained[3], live[2] = 0, 0

    left = trained.copy(), live.copy()
    left[0][2], left[1][3] = 0, 0
    assert statistic(trained, live) == pytest.approx(statistic(*left), abs=0.01)
    assert statistic(trained, live) > 0
    assert association_degrees(trained.ravel()).tolist() == [6]


# --- degrees and strength --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "degrees"),
    [(4, 4, 9), (4, 2, 3), (2, 4, 3), (3, 3, 4), (2, 2, 1), (1, 4, 1), (0, 0, 1)],
)
def test_degrees_are_of_the_parts_that_training_has(first: int, second: int, degrees: int) -> None:
    table = np.zeros((PARTS, PARTS), dtype=np.int64)
    table[:first, PARTS - second :] = 5

    assert association_degrees(np.append(table, EVEN.astype(np.int64))).tolist() == [degrees, 9]


@given(st.lists(st.integers(0, 300), min_size=CELLS, max_size=CELLS).map(lambda n: np.array(n).reshape(PARTS, PARTS)))
def test_the_strength_is_cramers_v_less_what_chance_adds(table: NDArray[np.int64]) -> None:
    of_first, of_second, rows = table.sum(axis=1).tolist(), table.sum(axis=0).tolist(), int(table.sum())
    total = 0.0
    for i, row in enumerate(table.tolist()):
        for j, count in enumerate(row):
            expected = of_first[i] * of_second[j] / rows if rows else 0.0
            total += (count - expected) ** 2 / expected if expected else 0.0
    parts = sum(n > 0 for n in of_first), sum(n > 0 for n in of_second)
    if min(parts) < 2 or rows <= max(parts):
        return

    by_chance = (parts[0] - 1) * (parts[1] - 1) / (rows - 1)
    numbers = [number - (number - 1) ** 2 / (rows - 1) for number in parts]
    expected_v = math.sqrt(max(total / rows - by_chance, 0.0) / (min(numbers) - 1))
    assert cramers_v(table) == pytest.approx(min(expected_v, 1.0), abs=1e-9)
    filled = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    assert total / rows == pytest.approx(stats.contingency.association(filled, "cramer") ** 2 * (min(parts) - 1))


def test_the_strength_of_tables_by_hand() -> None:
    assert cramers_v(np.diag([1, 5, 7, 2])) == pytest.approx(1.0)
    of_two = np.zeros((PARTS, PARTS), dtype=np.int64)
    of_two[1:3, ::3] = [[30, 10], [10, 30]]
    # Of 80 rows, 1/79 of χ² / n is chance.
    assert cramers_v(of_two) == pytest.approx(math.sqrt((0.25 - 1 / 79) / (1 - 1 / 79)))
    assert cramers_v(np.outer([1, 2, 3, 4], [5, 1, 1, 2])) == pytest.approx(0.0, abs=1e-7)
    assert cramers_v(np.zeros((PARTS, PARTS), dtype=np.int64)) == 0.0
    assert cramers_v(np.array([[4, 4, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])) == 0.0
