"""Statistics agree with SciPy and with examples by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from flask_boxkite import BinMismatchError
from flask_boxkite.drift.statistics import (
    chi_squared_limit,
    chi_squared_tail,
    f_limit,
    f_tail,
    g_statistic,
    g_statistics,
    population_stability_index,
    population_stability_indices,
    psi_error,
    psi_sampling_noise,
)

COUNTS = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=2, max_size=15)


@pytest.mark.parametrize("degrees", [*range(1, 15), 50, 99, 100])
def test_the_chi_squared_tail_is_scipys(degrees: int) -> None:
    for value in [0.0, 1e-9, 0.1, 1.0, degrees / 2, float(degrees), 2.0 * degrees, 10.0 * degrees, 1000.0]:
        # Both sum a few positive terms, so only rounding differs.
        assert chi_squared_tail(value, degrees) == pytest.approx(stats.chi2.sf(value, degrees), rel=1e-11, abs=1e-300)


@pytest.mark.parametrize("alpha", [0.5, 0.05, 1e-3, 1e-5, 1e-7, 1e-12, 1e-100])
@pytest.mark.parametrize("degrees", [1, 2, 9, 13, 40])
def test_the_chi_squared_limit_is_scipys(alpha: float, degrees: int) -> None:
    limit = chi_squared_limit(alpha, degrees)

    assert limit == pytest.approx(stats.chi2.isf(alpha, degrees), rel=1e-9)
    assert chi_squared_tail(limit, degrees) <= alpha


def test_chi_squared_by_hand() -> None:
    """The square of a normal value, the sum of two (an exponential one), and a line of any printed table."""
    assert chi_squared_tail(1.96**2, 1) == pytest.approx(math.erfc(1.96 / 2**0.5))
    assert chi_squared_tail(10.0, 2) == pytest.approx(math.exp(-5))
    assert chi_squared_tail(10.0, 4) == pytest.approx(math.exp(-5) * (1 + 5))
    assert chi_squared_limit(0.05, 2) == pytest.approx(-2 * math.log(0.05))
    assert [round(chi_squared_limit(0.001, degrees), 3) for degrees in (1, 3, 9)] == [10.828, 16.266, 27.877]


@pytest.mark.parametrize("of_divisor", [1, 2, 3, 9, 27, 100, 1000, 100_000])
@pytest.mark.parametrize("degrees", [1, 2, 3, 9, 12, 53])
def test_the_f_tail_is_scipys(degrees: int, of_divisor: int) -> None:
    for value in [1e-9, 0.1, 0.5, 0.99, 1.0, 1.01, 2.0, 5.0, 20.0, 1e3, 1e6]:
        expected = stats.f.sf(value, degrees, of_divisor)

        assert f_tail(value, degrees, of_divisor) == pytest.approx(expected, rel=1e-9, abs=1e-280)
    assert f_tail(0.0, degrees, of_divisor) == f_tail(-1.0, degrees, of_divisor) == 1


@pytest.mark.parametrize("alpha", [0.5, 0.05, 1e-3, 1e-5, 2.5e-9, 1e-12])
@pytest.mark.parametrize("degrees", [1, 2, 9, 13, 40])
@pytest.mark.parametrize("of_divisor", [1, 2, 9, 27, 39, 500])
def test_the_f_limit_is_scipys(alpha: float, degrees: int, of_divisor: int) -> None:
    """By way of the reciprocal, which is F too: SciPy's own is off by 1e-6 where the tail is small."""
    limit = f_limit(alpha, degrees, of_divisor)

    assert limit == pytest.approx(1 / stats.f.ppf(alpha, of_divisor, degrees), rel=1e-9)
    assert f_tail(limit, degrees, of_divisor) <= alpha


def test_f_by_hand() -> None:
    """A line of any printed table; the square of Student's t with one degree, Cauchy's; two degrees in closed form."""
    assert [round(f_limit(0.05, degrees, 10), 2) for degrees in (1, 3, 9)] == [4.96, 3.71, 3.02]
    assert f_tail(9.0, 1, 1) == pytest.approx(1 - 2 * math.atan(3) / math.pi)
    assert f_tail(3.0, 2, 8) == pytest.approx((1 + 2 * 3 / 8) ** -4)


@pytest.mark.parametrize("degrees", [1, 4, 13])
@pytest.mark.parametrize("alpha", [0.01, 1e-7])
def test_a_divisor_that_is_known_better_and_better_makes_f_chi_squared(degrees: int, alpha: float) -> None:
    limits = [degrees * f_limit(alpha, degrees, of_divisor) for of_divisor in (3, 9, 27, 1000, 10**7)]

    assert limits == sorted(limits, reverse=True)
    assert limits[-1] == pytest.approx(chi_squared_limit(alpha, degrees), rel=1e-5)


@given(COUNTS)
def test_g_is_scipys_likelihood_ratio(counts: list[tuple[int, int]]) -> None:
    before, now = np.array(counts).T
    held = before + now > 0
    if not before.any() or not now.any():
        assert g_statistic(before, now) == 0
        return
    if held.sum() < 2:
        assert g_statistic(before, now) == pytest.approx(0, abs=1e-6)
        return
    table = np.array([before[held], now[held]])
    expected = stats.chi2_contingency(table, correction=False, lambda_="log-likelihood").statistic

    # Terms of either sign cancel, so the largest of them determines the error.
    assert g_statistic(before, now) == pytest.approx(expected, rel=1e-6, abs=1e-9 * table.sum() + 1e-9)


TABLES = st.integers(0, 3).flatmap(
    lambda samples: st.lists(st.lists(st.integers(0, 10**6), min_size=9, max_size=9), min_size=samples + 1, max_size=4)
)
FIRSTS = st.sets(st.integers(1, 8), max_size=4).map(lambda some: np.array([0, *sorted(some)], dtype=np.intp))


@given(TABLES, FIRSTS)
def test_statistics_of_many_variables_are_those_of_each(rows: list[list[int]], firsts: np.ndarray) -> None:
    """The first row is training, the others are samples; any number of groups belongs to each variable."""
    before, samples = np.array(rows[0]), np.array(rows[1:], dtype=np.int64).reshape(-1, 9)
    found = g_statistics(before, samples, firsts)
    stops = [*firsts[1:], 9]

    assert found.shape == (len(samples), len(firsts))
    for sample, row in zip(samples, found, strict=True):
        psi = population_stability_indices(before, sample, firsts)
        for number, (start, stop) in enumerate(zip(firsts, stops, strict=True)):
            own, others = before[start:stop], sample[start:stop]
            # x·ln x of millions are taken from each other; see the docstring.
            assert row[number] == pytest.approx(g_statistic(own, others), abs=1e-9 * (own.sum() + others.sum()) + 1e-9)
            assert psi[number] == pytest.approx(population_stability_index(own, others), rel=1e-9, abs=1e-12)


def test_statistics_of_no_variables_are_none() -> None:
    nothing, none = np.zeros((3, 0), dtype=np.int64), np.zeros(0, dtype=np.intp)

    assert g_statistics(nothing[0], nothing, none).shape == (3, 0)
    assert population_stability_indices(nothing[0], nothing[0], none).shape == (0,)


def test_g_by_hand() -> None:
    assert g_statistic([50, 50], [90, 10]) == pytest.approx(
        2 * (50 * math.log(50 / 70) + 50 * math.log(50 / 30) + 90 * math.log(90 / 70) + 10 * math.log(10 / 30))
    )
    assert g_statistic([10, 20, 30], [1, 2, 3]) == pytest.approx(0, abs=1e-12)


@given(COUNTS, st.randoms(use_true_random=False))
def test_statistics_do_not_depend_on_the_order_of_groups_or_on_empty_ones(
    counts: list[tuple[int, int]], random: object
) -> None:
    before, now = np.array(counts).T
    order = np.argsort(before, kind="stable")
    for statistic in (g_statistic, population_stability_index, psi_sampling_noise):
        value = statistic(before, now)
        padded = statistic(np.append(before[order], 0), np.append(now[order], 0))

        assert value >= 0
        assert padded == pytest.approx(value, rel=1e-6, abs=1e-6 * float(before.sum() + now.sum()) + 1e-9)
        assert statistic(now, before) == pytest.approx(value, rel=1e-6, abs=1e-6)


def test_psi_by_hand() -> None:
    p, q = [50.5 / 101, 50.5 / 101], [90.5 / 101, 10.5 / 101]
    expected = sum((b - a) * math.log(b / a) for a, b in zip(p, q, strict=True))

    assert population_stability_index([50, 50, 0], [90, 10, 0]) == pytest.approx(expected)
    assert population_stability_index([7, 0], [9, 0]) == 0
    assert population_stability_index([0, 0], [0, 0]) == 0


@given(COUNTS)
def test_psi_is_scipys_two_relative_entropies(counts: list[tuple[int, int]]) -> None:
    before, now = np.array([row for row in counts if any(row)] or [(0, 0)]).T + 0.5
    expected = stats.entropy(now, before) + stats.entropy(before, now)

    assert population_stability_index(*np.array(counts).T) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_psi_of_a_group_that_is_new_is_finite() -> None:
    p, q = [100.5 / 101, 0.5 / 101], [0.5 / 101, 100.5 / 101]
    expected = sum((b - a) * math.log(b / a) for a, b in zip(p, q, strict=True))

    assert population_stability_index([100, 0], [0, 100]) == pytest.approx(expected)


def test_noise_is_what_sampling_alone_gives(rng: np.random.Generator) -> None:
    """Tolerance: the mean of 4,000 values of a statistic with a relative deviation of about one half."""
    shares = np.full(10, 0.1)
    before = rng.multinomial(2000, shares, size=4000)
    now = rng.multinomial(500, shares, size=4000)
    found = np.mean([population_stability_index(b, n) for b, n in zip(before, now, strict=True)])

    assert found == pytest.approx(psi_sampling_noise(before[0], now[0]), rel=0.05)
    assert psi_sampling_noise(before[0], now[0]) == pytest.approx(9 * (1 / 2000 + 1 / 500))


def test_noise_by_hand() -> None:
    """Three groups of which one is empty on both sides: one degree, samples of 100 and 50."""
    assert psi_sampling_noise([60, 40, 0], [25, 25, 0]) == pytest.approx(1 / 100 + 1 / 50)
    assert psi_sampling_noise([60, 40, 0], [25, 24, 1]) == pytest.approx(2 / 100 + 2 / 50)


@pytest.mark.parametrize(("first", "last"), [(0.1, 0.1), (0.05, 0.15), (0.02, 0.18)])
def test_the_error_is_the_deviation_of_the_index(rng: np.random.Generator, first: float, last: float) -> None:
    """4,000 pairs of samples, without a shift and with a size of 0.1 and 0.3; it is "about", so to 20 %."""
    before = rng.multinomial(2000, np.full(10, 0.1), size=4000)
    now = rng.multinomial(500, [first, *[0.1] * 8, last], size=4000)
    found = population_stability_indices(before.ravel(), now.ravel(), np.arange(4000) * 10)
    noise = psi_sampling_noise(before[0], now[0])

    assert psi_error(max(found.mean() - noise, 0.0), noise, 10) == pytest.approx(found.std(), rel=0.2)


def test_the_error_by_hand() -> None:
    """Without a shift it is the deviation of χ² with nine degrees times u; with a large one, of a normal value."""
    assert psi_error(0.0, 9 * 0.002, 10) == pytest.approx(18**0.5 * 0.002)
    assert psi_error(100.0, 9 * 0.002, 10) == pytest.approx((4 * 100 * 0.002) ** 0.5, rel=1e-3)
    assert psi_error(0.3, 0.1, 1) == psi_error(0.3, 0.1, 0) == 0


def test_noise_of_an_empty_sample_is_infinite() -> None:
    assert psi_sampling_noise([0, 0], [1, 2]) == math.inf
    assert psi_sampling_noise([1, 2], [0, 0]) == math.inf


@pytest.mark.parametrize("statistic", [g_statistic, population_stability_index, psi_sampling_noise])
@pytest.mark.parametrize(
    ("before", "now", "message"),
    [
        ([1, 2], [1, 2, 3], "Expected counts of the same groups, got shapes (2,) and (3,)."),
        ([[1, 2]], [[1, 2]], "Expected counts of the same groups, got shapes (1, 2) and (1, 2)."),
    ],
    ids=["other groups", "tables"],
)
def test_other_groups_cannot_be_compared(statistic: object, before: object, now: object, message: str) -> None:
    assert callable(statistic)
    with pytest.raises(BinMismatchError) as caught:
        statistic(before, now)

    assert str(caught.value) == message
