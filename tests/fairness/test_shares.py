"""Differences and ratios of shares, against published examples, SciPy, and all tables that two groups can give."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from flask_boxkite.fairness.shares import Interval, Share, chance_of, difference, quotient
from flask_boxkite.fairness.slots import MOST_SLOTS, SlotSeries

SIZES = [(30, 30), (30, 120), (60, 100)]
SHARES = [0.02, 0.1, 0.3, 0.5, 0.9]


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((10, 10), (0, 20), 0.6791, 1.0000),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((5, 56), (0, 29), -0.0381, 0.1926),
    ],
    ids=["large", "small", "all and none", "none", "few"],
)
def test_the_interval_of_a_difference_is_the_published_one(
    first: tuple[int, int], second: tuple[int, int], low: float, high: float
) -> None:
    """Newcombe (1998), Table II, method 10."""
    found = difference(Share(*first), Share(*second))
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@pytest.mark.parametrize("size", [(100_000, 200_000), (300_000, 50_000)], ids=str)
def test_of_very_many_rows_the_interval_of_a_ratio_is_the_one_of_its_logarithm(size: tuple[int, int]) -> None:
    """SciPy's, of Katz, which the others approach."""
    hits = size[0] // 5, size[1] // 3
    found = quotient(Share(hits[0], size[0]), Share(hits[1], size[1]))
    expected = stats.contingency.relative_risk(hits[0], size[0], hits[1], size[1])
    ends = expected.confidence_interval(0.95)
    assert found.value == pytest.approx(expected.relative_risk, rel=1e-12)
    assert (found.low, found.high) == (pytest.approx(ends.low, rel=1e-4), pytest.approx(ends.high, rel=1e-4))


@lru_cache
def table(n: int, m: int, size: Callable[[Share, Share], Interval]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ends of the intervals of all pairs of hits."""
    found = [[size(Share(a, n), Share(b, m)) for b in range(m + 1)] for a in range(n + 1)]
    low, high = ([[getattr(item, end) for item in row] for row in found] for end in ("low", "high"))
    return np.array(low), np.array(high)


@pytest.mark.parametrize("measure", [difference, quotient], ids=["difference", "ratio"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_intervals_hold_the_true_value_as_often_as_they_say(
    size: tuple[int, int], measure: Callable[[Share, Share], Interval]
) -> None:
    """By the binomial probabilities of all tables; the worst pair of shares, and the mean over pairs."""
    n, m = size
    low, high = table(n, m, measure)
    covered = []
    for p in SHARES:
        for q in SHARES:
            chances = np.outer(stats.binom.pmf(range(n + 1), n, p), stats.binom.pmf(range(m + 1), m, q))
            true = p - q if measure is difference else p / q
            covered.append(chances[(low <= true + 1e-12) & (high >= true - 1e-12)].sum())
    assert min(covered) > 0.92
    assert 0.945 < np.mean(covered) < 0.97


@pytest.mark.parametrize("alpha", [0.05, 0.001 / 4, 1e-5 / 4], ids=str)
@pytest.mark.parametrize("size", [(30, 60), (30, 200)], ids=str)
def test_equal_groups_are_called_different_no_more_often_than_alpha(size: tuple[int, int], alpha: float) -> None:
    """By all tables; the test of pooled proportions would do so tens of times as often."""
    n, m = size
    chances = np.array([[chance_of(Share(a, n), Share(b, m)) for b in range(m + 1)] for a in range(n + 1)])
    for p in (0.02, 0.1, 0.3, 0.5, 0.95):
        weights = np.outer(stats.binom.pmf(range(n + 1), n, p), stats.binom.pmf(range(m + 1), m, p))
        assert weights[chances <= alpha].sum() <= 1.25 * alpha


def test_the_chance_is_about_the_one_of_the_exact_test() -> None:
    """Fisher's with mid-p: a quarter of a standard deviation apart, far in the tail, and on the safe side there."""
    for hits, others in ((31, 52), (5, 20), (90, 60), (50, 50)):
        found = chance_of(Share(hits, 100), Share(others * 10, 1000))
        tail = stats.hypergeom(1100, hits + others * 10, 100)
        sides = [tail.cdf(hits) - tail.pmf(hits) / 2, tail.sf(hits) + tail.pmf(hits) / 2]
        exact = min(2 * min(sides), 1.0)
        assert stats.norm.isf(found / 2) == pytest.approx(stats.norm.isf(exact / 2), abs=0.25)
        assert found >= 0.9 * exact


def test_a_share_of_nothing_has_no_value() -> None:
    assert math.isnan(Share(0, 0).value)
    assert Share(0, 0).estimate.value is None
    neither = quotient(Share(0, 40), Share(0, 50))
    assert math.isnan(neither.value)
    assert (neither.low, neither.high) == (0.0, math.inf)
    only = quotient(Share(10, 40), Share(0, 50))
    assert (only.value, only.high) == (math.inf, math.inf)
    assert 1 < only.low < 10
    assert chance_of(Share(0, 40), Share(0, 50)) == 1.0


@pytest.mark.parametrize("hits", [1, 7, 39], ids=str)
def test_the_value_lies_in_its_interval_and_ratios_turn_round(hits: int) -> None:
    for others in (1, 20, 30):
        found, turned = quotient(Share(hits, 40), Share(others, 30)), quotient(Share(others, 30), Share(hits, 40))
        assert 0 < found.low <= found.value <= found.high
        assert found.value * turned.value == pytest.approx(1.0)
        assert found.low * turned.high == pytest.approx(1.0)


# --- rows that count as one ------------------------------------------------------------------------------------------


def test_alike_rows_count_for_fewer() -> None:
    """Four copies of each row say no more than one."""
    copies, once = Share(124, 400, 4.0), Share(31, 100)
    assert copies.value == once.value
    assert copies.ends == pytest.approx(once.ends, rel=1e-12)
    reference = Share(520, 1000)
    assert chance_of(copies, reference) == pytest.approx(chance_of(once, reference), rel=1e-12)
    assert chance_of(Share(124, 400), reference) < chance_of(once, reference) / 1e5


def test_batches_of_alike_rows_are_seen_in_slots(rng: np.random.Generator) -> None:
    """Rows of a batch have one answer, so a batch counts as one row."""
    series, independent = SlotSeries(), SlotSeries()
    for batch in range(2000):
        series.add(batch * 60.0, 20 * int(rng.random() < 0.3), 20)
        independent.add(batch * 60.0, int(rng.binomial(20, 0.3)), 20)
    assert len(series) <= MOST_SLOTS
    assert series.dispersion == pytest.approx(20.0, rel=0.3)
    assert independent.dispersion < 1.3


def test_series_of_slots_of_other_lengths_add_up(rng: np.random.Generator) -> None:
    times, hits = rng.uniform(0, 1e6, 3000), rng.random(3000) < 0.3
    whole, short, long = SlotSeries(), SlotSeries(), SlotSeries()
    for place, (seconds, hit) in enumerate(zip(times.tolist(), hits.tolist(), strict=True)):
        whole.add(seconds, hit)
        (short if place < 100 else long).add(seconds, hit)
    assert short.dispersion == 1.0 or len(short) == 100
    short.join(long)
    assert len(short) == len(whole)
    assert short.dispersion == whole.dispersion
