"""How often rows recur: beside pairs counted one by one, for rows that differ, recur or are equal by chance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from flask_boxkite.drift.recurrence import (
    LEAST_NEIGHBOURS,
    MOST_BY_CHANCE,
    equal_rows,
    recurrence,
    recurrence_within,
    usual_recurrence,
)
from flask_boxkite.values.rowhash import ROW_BUCKETS

EVERY = ROW_BUCKETS
BUCKETS = arrays(np.int64, st.integers(0, 20).map(lambda used: EVERY - used), elements=st.just(0)).flatmap(
    lambda zeros: arrays(np.int64, EVERY - len(zeros), elements=st.integers(0, 30)).map(lambda b: np.append(b, zeros))
)


def by_pairs(buckets: np.ndarray, number: int = EVERY) -> float:
    """Return h from the pairs of rows that share a bucket, less those that chance makes share one."""
    rows = np.repeat(np.arange(len(buckets)), buckets)
    n = len(rows)
    if n == 0:
        return 0.0
    pairs = np.count_nonzero(rows[:, None] == rows) - n
    return 1 + (number * pairs / n - (n - 1)) / (number - 1)


def in_buckets(rng: np.random.Generator, rows: int, repeats: int = 1, samples: int = 1) -> np.ndarray:
    """Return the buckets of rows that all differ, each so many times, shape (samples, ROW_BUCKETS)."""
    return rng.multinomial(rows // repeats, np.full(EVERY, 1 / EVERY), size=samples) * repeats


@given(BUCKETS)
def test_h_is_that_of_pairs(buckets: np.ndarray) -> None:
    assert equal_rows(buckets) == pytest.approx(max(by_pairs(buckets), 1.0), rel=1e-9)


@pytest.mark.parametrize("rows", [30, 200, 10_000])
def test_rows_that_differ_have_mean_1_and_deviation_0_09(rng: np.random.Generator, rows: int) -> None:
    """10,000 samples, without the cut at 1; tolerance: 4 standard errors of the mean, 5 % of the deviation."""
    b = in_buckets(rng, rows, samples=10_000).astype(float)
    h = (EVERY * (b * b).sum(axis=1) / rows - rows) / (EVERY - 1)

    assert h.mean() == pytest.approx(1, abs=4 * 0.09 / 100)
    assert h.std() == pytest.approx((2 / EVERY) ** 0.5, rel=0.05)
    assert np.array_equal(equal_rows(b), np.maximum(h, 1.0))


@pytest.mark.parametrize("repeats", [2, 4, 10])
@pytest.mark.parametrize("rows", [200, 10_000])
def test_rows_that_come_r_times_each_recur_r_times(rng: np.random.Generator, rows: int, repeats: int) -> None:
    """Whatever the number of rows; tolerance: 4 standard errors of the mean of 400 samples."""
    found = recurrence(in_buckets(rng, rows, repeats, 400), 0.0)

    assert np.isfinite(found).all()
    assert found.mean() == pytest.approx(repeats, rel=4 * 0.09 / 20)


def test_what_is_equal_by_chance_anyway_is_no_repeat(rng: np.random.Generator) -> None:
    """1,000 values, so that a row meets 0.2 of 200 others by chance; those that come twice meet themselves besides."""
    values, number = 1000, 200
    of_value = rng.integers(0, EVERY, size=values)
    tables = {}
    for repeats in (1, 2):
        drawn = of_value[rng.integers(0, values, size=(2000, number // repeats))]
        tables[repeats] = np.array([np.bincount(row, minlength=EVERY) for row in drawn]) * repeats
    equal = {repeats: np.mean([by_pairs(b) for b in table[:500]]) for repeats, table in tables.items()}
    # A visit of r rows meets r rows of each equal one, so the chance counts for all n rows but its own.
    assert equal[1] == pytest.approx(1 + (number - 1) / values, abs=0.02)
    assert equal[2] == pytest.approx(2 + (number - 2) / values, abs=0.04)
    known = recurrence(tables[2], 1 / values)
    assert known == pytest.approx(np.maximum(equal_rows(tables[2]) - number / values, 1.0))
    assert known.mean() == pytest.approx(2, abs=0.02)


def test_where_chance_makes_rows_equal_it_cannot_be_told(rng: np.random.Generator) -> None:
    buckets = in_buckets(rng, 100)
    at_most = MOST_BY_CHANCE / 100

    assert np.isfinite(recurrence(buckets, at_most)).all()
    assert np.isnan(recurrence(buckets, at_most * 1.001)).all()
    assert np.isnan(recurrence(in_buckets(rng, 101), at_most)).all()


def test_with_an_unknown_chance_only_rows_that_differ_are_known(rng: np.random.Generator) -> None:
    differing, repeated = in_buckets(rng, 500), in_buckets(rng, 500, 4)

    assert recurrence(differing, None) == pytest.approx(equal_rows(differing))
    assert recurrence(differing, None) < 1.3
    assert np.isnan(recurrence(repeated, None)).all()
    assert recurrence(repeated, 0.0) == pytest.approx(equal_rows(repeated))


@pytest.mark.parametrize("collisions", [0.0, None])
def test_one_row_again_and_again_cannot_be_told_from_a_change(
    rng: np.random.Generator, collisions: float | None
) -> None:
    """An empty request, or a failed join: without its bucket, nothing recurs."""
    buckets = in_buckets(rng, 100)[0]
    buckets[7] += 100

    assert np.isnan(recurrence(buckets, collisions))
    assert np.isnan(recurrence(np.eye(1, EVERY, dtype=np.int64) * 50, collisions)).all()


def test_some_rows_that_recur_are_not_one_row(rng: np.random.Generator) -> None:
    """Three of 33 rows each, beside 100 that differ: without one of them, still more than half of h."""
    buckets = in_buckets(rng, 100)[0]
    buckets[[7, 80, 200]] += 33
    without = buckets.copy()
    without[7] = 0

    h = by_pairs(buckets)
    assert h < 2 * by_pairs(np.delete(without, 7), EVERY - 1)
    assert recurrence(buckets, 0.0) == pytest.approx(h)


def test_half_of_h_is_the_mark_of_one_row(rng: np.random.Generator) -> None:
    """As more rows become the same one, it is known until h is twice what it is without that row."""
    buckets = in_buckets(rng, 200)[0]
    marks = []
    for more in range(0, 100, 2):
        taken = buckets.copy()
        taken[3] += more
        h, others = by_pairs(taken), max(by_pairs(np.delete(taken, 3), EVERY - 1), 1.0)
        assert np.isnan(recurrence(taken, 0.0)) == (taken[3] == taken.max() and h > 2 * others)
        marks.append(bool(np.isnan(recurrence(taken, 0.0))))
    assert marks == sorted(marks)
    assert set(marks) == {True, False}


def test_without_rows_it_is_one() -> None:
    nothing = np.zeros((2, EVERY), dtype=np.int64)

    assert recurrence(nothing, 0.0).tolist() == [1.0, 1.0]
    assert recurrence(nothing, None).tolist() == [1.0, 1.0]
    assert equal_rows(nothing).tolist() == [1.0, 1.0]


@given(BUCKETS, st.sampled_from([None, 0.0, 1e-4, 0.3]), st.randoms(use_true_random=False))
def test_invariants(buckets: np.ndarray, collisions: float | None, random: object) -> None:
    found, most = recurrence(buckets, collisions), equal_rows(buckets)
    order = list(range(EVERY))
    random.shuffle(order)  # type: ignore[attr-defined]

    assert np.isnan(found) or 1 <= found <= most
    assert recurrence(buckets[order], collisions) == pytest.approx(found, nan_ok=True)
    assert np.array_equal(recurrence(np.array([buckets, buckets]), collisions), [found, found], equal_nan=True)


# --- within a part ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kinds", [EVERY, 40, 8])
@pytest.mark.parametrize("repeats", [1, 4, 10])
def test_rows_that_recur_within_a_part_are_told_from_those_that_are_equal(
    rng: np.random.Generator, kinds: int, repeats: int
) -> None:
    """Of 800 samples of 4 parts with 40 different rows each, of so many kinds; tolerance: 4 standard errors."""
    found = rng.multinomial(40, np.repeat([1 / kinds, 0], [kinds, EVERY - kinds]), size=(800, 4)) * repeats
    values = recurrence_within(found.astype(float))
    # Pairs among the copies of a row are equal; what chance makes equal within is so across, too.
    expected = 1 + (repeats - 1) * (1 - 1 / kinds) / (1 - 1 / EVERY)

    assert values.min() >= 1
    assert np.median(values) == pytest.approx(expected, abs=0.02 + 0.04 * repeats)


def test_a_few_rows_that_come_at_all_times_do_not_recur_within_parts() -> None:
    same = np.repeat([50.0, 0.0], [4, EVERY - 4])

    assert recurrence_within(np.array([same, same])) == pytest.approx(1.0, abs=0.02)
    assert recurrence_within(same[np.newaxis]) == 1.0
    assert recurrence_within(np.zeros((3, EVERY))) == 1.0


def test_the_usual_recurrence_is_that_of_most_neighbours(rng: np.random.Generator) -> None:
    slots = in_buckets(rng, 40, 10, 30).astype(float)
    fault = np.repeat([40.0, 0.0], [1, EVERY - 1])

    assert usual_recurrence(slots) == pytest.approx(10, rel=0.2)
    assert usual_recurrence(np.vstack([slots, [fault] * 10])) == pytest.approx(10, rel=0.2)
    assert usual_recurrence(np.vstack([slots[:5], [fault] * 40])) == pytest.approx(1.0)
    assert usual_recurrence(slots[:LEAST_NEIGHBOURS]) == 1.0
    assert usual_recurrence(np.zeros((9, EVERY))) == 1.0
