"""How much more slots differ than by chance: beside SciPy, for repeated rows, for changes, and slot by slot."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from flask_boxkite.drift.dispersion import Spread, dispersion

TABLES = arrays(np.int64, st.tuples(st.integers(0, 12), st.integers(2, 8)), elements=st.integers(0, 50))


def expected(table: np.ndarray) -> float:
    """Return the smaller of SciPy's Pearson χ²/df and that of neighbours, one by one; at least 1."""
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    if min(table.shape) < 2:
        return 1.0
    found = stats.chi2_contingency(table, correction=False)
    shares = table.sum(axis=0) / table.sum()
    local = 0.0
    for one, other in pairwise(table):
        difference = one / one.sum() - other / other.sum()
        local += np.sum(difference**2 / (shares * (1 / one.sum() + 1 / other.sum())))
    return max(min(found.statistic, local) / found.dof, 1.0)


@given(TABLES)
def test_dispersion_is_the_smaller_of_two_estimates(table: np.ndarray) -> None:
    assert dispersion(table) == pytest.approx(expected(table), rel=1e-9)


def test_dispersion_of_large_tables(rng: np.random.Generator) -> None:
    for mean in (0.2, 5, 1e4, 1e8):
        table = rng.poisson(mean * rng.exponential(size=(1, 14)) * rng.exponential(size=(60, 14)))
        assert dispersion(table) == pytest.approx(expected(table), rel=1e-9)


def test_what_alternates_is_pearsons(rng: np.random.Generator) -> None:
    """Each slot is as far from the next as can be, so that neighbours are no smaller estimate."""
    table = rng.multinomial(50, np.full(6, 1 / 6), size=20) * 5
    table[::2, 0] += 500
    found = stats.chi2_contingency(table, correction=False)
    assert dispersion(table) == pytest.approx(found.statistic / found.dof, rel=1e-9)


@pytest.mark.parametrize("moved", [0.25, 1.0])
def test_a_change_within_the_window_hardly_counts(rng: np.random.Generator, moved: float) -> None:
    """36,000 rows of which, from one minute on, some go to another group: Pearson's alone would be 50 and more."""
    shares = np.append(np.full(10, 0.1), 0.0)
    changed = np.append((1 - moved) * shares[:10], moved)
    table = np.vstack([rng.multinomial(600, shares, size=40), rng.multinomial(600, changed, size=20)])
    found = stats.chi2_contingency(table, correction=False)
    assert found.statistic / found.dof > 6
    assert dispersion(table) < 0.3 * found.statistic / found.dof


def test_dispersion_by_hand() -> None:
    """Each of eight cells expects 5 and is off by 3: χ² = 8·9/5, three degrees of freedom."""
    assert dispersion([[8, 2], [2, 8], [8, 2], [2, 8]]) == pytest.approx(4.8)
    # Of three steps, one by 0.6 in two groups: 2·0.36 / (0.5·0.2), three degrees of freedom.
    assert dispersion([[8, 2], [8, 2], [2, 8], [2, 8]]) == pytest.approx(2.4)
    assert dispersion([[5, 5], [5, 5]]) == 1


@pytest.mark.parametrize(
    "slots",
    [np.zeros((0, 3)), np.zeros((4, 3)), [[5, 5, 0]], [[5, 0], [9, 0]], [[0, 0], [3, 4], [0, 0]]],
    ids=["no slot", "no rows", "one slot", "one group", "one slot with rows"],
)
def test_without_anything_to_compare_it_is_one(slots: object) -> None:
    assert dispersion(slots) == 1


@pytest.mark.parametrize("repeats", [2, 4, 10])
@pytest.mark.parametrize("rows", [200, 10_000])
def test_repeated_rows_are_seen(rng: np.random.Generator, repeats: int, rows: int) -> None:
    """Tolerance: 4 of the deviation of χ²/df, and what few visits add, 1/visits."""
    visits = rows // repeats
    table = rng.multinomial(rng.multinomial(visits, np.full(60, 1 / 60)), np.full(10, 0.1)) * repeats
    used = np.count_nonzero(table.sum(axis=1))
    relative = 4 * (2 / (9 * (used - 1))) ** 0.5 + 1 / visits
    assert dispersion(table) == pytest.approx(repeats, rel=relative)


@given(TABLES, st.integers(2, 9), st.randoms(use_true_random=False))
def test_invariants(table: np.ndarray, factor: int, random: object) -> None:
    value = dispersion(table)
    groups = list(range(table.shape[1]))
    random.shuffle(groups)  # type: ignore[attr-defined]
    assert value >= 1
    assert dispersion(table[::-1][:, groups]) == pytest.approx(value)
    padded = np.vstack([table, np.zeros_like(table[:1])])
    assert dispersion(np.hstack([padded, np.zeros_like(padded[:, :1])])) == pytest.approx(value)
    # Every row so many times: as many times the dispersion, if it was not cut off at 1.
    assert dispersion(factor * table) >= value - 1e-9
    if value > 1:
        assert dispersion(factor * table) == pytest.approx(factor * value)


@given(TABLES, st.data())
def test_slots_may_be_added_up_in_parts(table: np.ndarray, data: st.DataObject) -> None:
    """Many variables at once, slots one after the other: the same as each alone."""
    widths = data.draw(st.lists(st.integers(1, 3), max_size=4))
    firsts = np.cumsum([0, *(width for width in widths if width)])
    firsts = firsts[firsts < table.shape[1]].astype(np.intp)
    cut = data.draw(st.integers(0, len(table)))
    spread = Spread.of(table[:cut], firsts)
    for slot in table[cut:]:
        spread = spread.then(slot)
    whole = spread.dispersions()
    stops = [*firsts[1:], table.shape[1]]

    assert whole.shape == firsts.shape
    for value, first, stop in zip(whole, firsts, stops, strict=True):
        assert value == pytest.approx(dispersion(table[:, first:stop]))


def test_no_variables_have_no_dispersions() -> None:
    none = Spread.of(np.zeros((3, 0)), np.zeros(0, dtype=np.intp))
    assert none.then(np.zeros(0)).dispersions().shape == (0,)
