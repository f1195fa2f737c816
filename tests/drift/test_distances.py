"""Distances agree with SciPy on random tables, with examples by hand, and with each other."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from flask_boxkite import BinMismatchError
from flask_boxkite.drift.distances import (
    hellinger_distance,
    jensen_shannon_distance,
    kl_divergence,
    kolmogorov_smirnov,
    kolmogorov_smirnov_limit,
    wasserstein_distance,
)
from flask_boxkite.drift.statistics import population_stability_index

COUNTS = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=2, max_size=60).filter(
    lambda table: any(before for before, _ in table) and any(now for _, now in table)
)
UNORDERED = [jensen_shannon_distance, kl_divergence, hellinger_distance]
ORDERED = [kolmogorov_smirnov, lambda before, now: wasserstein_distance(before, now, range(len(before) - 1))]
Distance = Callable[..., float]


def random_tables(rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return tables of every size, sparse and full, with empty groups on either side and both."""
    tables = []
    for groups in (2, 3, 14, 53):
        for mean in (0.5, 3, 1000, 10**7):
            for _ in range(25):
                before, now = rng.poisson(mean * rng.exponential(size=(2, groups)))
                before[0], now[-1] = before[0] + 1, now[-1] + 1
                tables.append((before, now))
    return tables


# --- beside SciPy ----------------------------------------------------------------------------------------------------


def test_jensen_shannon_is_scipys(rng: np.random.Generator) -> None:
    """The root makes of rounding, 1e-16, a distance of 1e-8 where there is none; so the divergence is compared."""
    for before, now in random_tables(rng):
        found = jensen_shannon_distance(before, now)
        assert found**2 == pytest.approx(jensenshannon(before, now, base=2) ** 2, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("smoothing", [0.5, 1.0, 1e-3])
def test_kl_is_scipys_in_both_directions(rng: np.random.Generator, smoothing: float) -> None:
    for before, now in random_tables(rng):
        held = before + now > 0
        p, q = before[held] + smoothing, now[held] + smoothing
        assert kl_divergence(before, now, smoothing=smoothing) == pytest.approx(stats.entropy(q, p), rel=1e-9)
        assert kl_divergence(now, before, smoothing=smoothing) == pytest.approx(stats.entropy(p, q), rel=1e-9)


def test_kl_without_smoothing_is_scipys(rng: np.random.Generator) -> None:
    for before, now in random_tables(rng):
        assert kl_divergence(before, now, smoothing=0) == pytest.approx(stats.entropy(now, before), rel=1e-9)


def test_hellinger_is_the_norm_of_roots(rng: np.random.Generator) -> None:
    for before, now in random_tables(rng):
        roots = np.sqrt(before / before.sum()), np.sqrt(now / now.sum())
        assert hellinger_distance(before, now) == pytest.approx(np.linalg.norm(roots[0] - roots[1]) / 2**0.5, rel=1e-9)


def test_kolmogorov_smirnov_is_scipys_of_rows_at_bounds(rng: np.random.Generator) -> None:
    for before, now in random_tables(rng):
        if 20 < before.sum() + now.sum() < 10_000:  # SciPy's p-value needs some
            places = np.arange(len(before))
            rows = np.repeat(places, before), np.repeat(places, now)
            assert kolmogorov_smirnov(before, now) == pytest.approx(stats.ks_2samp(*rows, method="asymp").statistic)


def test_wasserstein_is_scipys_of_rows_at_centres(rng: np.random.Generator) -> None:
    for before, now in random_tables(rng):
        bounds = np.sort(rng.normal(size=len(before) - 1)) * 10.0 ** rng.integers(-6, 6)
        places = np.concatenate([bounds[:1], (bounds[:-1] + bounds[1:]) / 2, bounds[-1:]])
        expected = stats.wasserstein_distance(places, places, before, now)
        assert wasserstein_distance(before, now, bounds) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("rows", [(1000, 200), (10_000, 10_000), (500, 5000)])
def test_kolmogorov_smirnov_stays_below_its_limit(rng: np.random.Generator, rows: tuple[int, int]) -> None:
    """4,000 samples of continuous values at 0.05: no more than 0.05 + 3 standard errors, by far not none."""
    limit = kolmogorov_smirnov_limit(*rows, 0.05)
    above = 0
    for _ in range(4000):
        before, now = (np.bincount((rng.random(size) * 50).astype(int), minlength=50) for size in rows)
        above += kolmogorov_smirnov(before, now) > limit
    assert 0.01 < above / 4000 < 0.05 + 3 * (0.05 * 0.95 / 4000) ** 0.5
    # What SciPy's exact distribution makes of it, for long samples.
    n = rows[0] * rows[1] / sum(rows)
    assert stats.kstwobign.sf(limit * n**0.5) == pytest.approx(0.05, rel=0.02)


# --- by hand ---------------------------------------------------------------------------------------------------------


def test_jensen_shannon_by_hand() -> None:
    p, q, m = (0.5, 0.5), (0.9, 0.1), (0.7, 0.3)
    halves = [sum(a * math.log2(a / c) for a, c in zip(share, m, strict=True)) for share in (p, q)]
    assert jensen_shannon_distance([5, 5], [9, 1]) == pytest.approx((sum(halves) / 2) ** 0.5)
    assert jensen_shannon_distance([7, 0], [0, 3]) == 1


def test_kl_by_hand() -> None:
    assert kl_divergence([5, 5], [9, 1], smoothing=0) == pytest.approx(0.9 * math.log(9 / 5) + 0.1 * math.log(1 / 5))
    assert kl_divergence([5, 5], [9, 1]) == pytest.approx(
        9.5 / 11 * math.log(9.5 / 5.5) + 1.5 / 11 * math.log(1.5 / 5.5)
    )
    assert kl_divergence([5, 0, 5], [9, 0, 1]) == kl_divergence([5, 5], [9, 1])


def test_kl_where_a_group_is_empty_on_one_side() -> None:
    assert kl_divergence([5, 0], [4, 1], smoothing=0) == math.inf
    assert kl_divergence([4, 1], [5, 0], smoothing=0) == pytest.approx(math.log(5 / 4))
    assert kl_divergence([5, 0], [4, 1]) == pytest.approx(4.5 / 6 * math.log(4.5 / 5.5) + 1.5 / 6 * math.log(1.5 / 0.5))


def test_hellinger_by_hand() -> None:
    assert hellinger_distance([1, 0], [0, 1]) == 1
    assert hellinger_distance([4, 0], [1, 3]) == pytest.approx(((1 - 0.5) ** 2 + 0.75) ** 0.5 / 2**0.5)


def test_kolmogorov_smirnov_by_hand() -> None:
    assert kolmogorov_smirnov([1, 1, 2], [2, 1, 1]) == 0.25
    assert kolmogorov_smirnov([1, 0, 0], [0, 0, 5]) == 1
    assert kolmogorov_smirnov_limit(1000, 1000, 0.05) == pytest.approx((-math.log(0.025) / 2 * 0.002) ** 0.5)


def test_wasserstein_by_hand() -> None:
    """Rows at the lowest bound 0, the centre 1, and the highest bound 2."""
    assert wasserstein_distance([4, 0, 0], [0, 4, 0], [0.0, 2.0]) == 1
    assert wasserstein_distance([4, 0, 0], [0, 2, 2], [0.0, 2.0]) == 1.5
    assert wasserstein_distance([1, 1], [2, 0], [7.0]) == 0
    assert wasserstein_distance([1, 0, 0], [0, 0, 1], [-1.7e308, 1.7e308]) == math.inf
    assert wasserstein_distance([1, 0, 0], [1, 0, 0], [-1.7e308, 1.7e308]) == 0


# --- invariants ------------------------------------------------------------------------------------------------------


@given(COUNTS, st.randoms(use_true_random=False))
def test_the_order_of_groups_does_not_matter(counts: list[tuple[int, int]], random: object) -> None:
    mixed = list(counts)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    for distance in UNORDERED:
        assert distance(*np.array(mixed).T) ** 2 == pytest.approx(distance(*np.array(counts).T) ** 2, abs=1e-9)


@given(COUNTS, st.integers(2, 1000))
def test_only_shares_matter(counts: list[tuple[int, int]], factor: int) -> None:
    """Not for KL, which is smoothed by counts unless told otherwise."""
    before, now = np.array(counts).T
    for distance in (jensen_shannon_distance, hellinger_distance, *ORDERED):
        assert distance(factor * before, now) ** 2 == pytest.approx(distance(before, now) ** 2, rel=1e-9, abs=1e-12)
    plain = kl_divergence(before, now, smoothing=0)
    assert kl_divergence(before, factor * now, smoothing=0) == pytest.approx(plain, rel=1e-9, abs=1e-12)


@given(COUNTS)
def test_empty_groups_at_the_end_change_nothing(counts: list[tuple[int, int]]) -> None:
    before, now = np.array(counts).T
    for distance in (*UNORDERED, kolmogorov_smirnov):
        padded = distance(np.append(before, [0, 0]), np.append(now, [0, 0]))
        assert padded == pytest.approx(distance(before, now), rel=1e-9, abs=1e-12)


@given(COUNTS)
def test_ranges_and_symmetry(counts: list[tuple[int, int]]) -> None:
    before, now = np.array(counts).T
    for distance in (jensen_shannon_distance, hellinger_distance, kolmogorov_smirnov):
        value = distance(before, now)
        assert 0 <= value <= 1 + 1e-12
        assert distance(now, before) == pytest.approx(value, rel=1e-9, abs=1e-12)
        assert distance(before, before) == pytest.approx(0, abs=1e-7)
    # Le Cam: the squares of Hellinger and Jensen-Shannon bound each other.
    assert jensen_shannon_distance(before, now) ** 2 <= hellinger_distance(before, now) ** 2 * 2 + 1e-9
    both = kl_divergence(before, now) + kl_divergence(now, before)
    assert both == pytest.approx(population_stability_index(before, now), rel=1e-9, abs=1e-9)


# --- empty and wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("distance", [*UNORDERED, *ORDERED])
@pytest.mark.parametrize(("before", "now"), [([0, 0, 0], [1, 2, 3]), ([1, 2, 3], [0, 0, 0]), ([0, 0, 0], [0, 0, 0])])
def test_an_empty_sample_has_no_distance(distance: Distance, before: list[int], now: list[int]) -> None:
    assert math.isnan(distance(before, now))


def test_an_empty_sample_has_no_limit() -> None:
    assert kolmogorov_smirnov_limit(0, 5, 0.05) == kolmogorov_smirnov_limit(5, 0, 0.05) == math.inf


@pytest.mark.parametrize("distance", [*UNORDERED, *ORDERED])
def test_other_groups_cannot_be_compared(distance: Distance) -> None:
    with pytest.raises(BinMismatchError) as caught:
        distance([1, 2], [1, 2, 3])
    assert str(caught.value) == "Expected counts of the same groups, got shapes (2,) and (3,)."


def test_bounds_must_fit_the_bins() -> None:
    with pytest.raises(BinMismatchError) as caught:
        wasserstein_distance([1, 2, 3], [1, 2, 3], [0.0, 1.0, 2.0])
    assert str(caught.value) == "Expected one bound less than the 3 bins, got shape (3,)."
