"""The scan for a change, beside brute force, and beside the truth in simulations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from flask_boxkite.drift.statistics import g_statistic
from flask_boxkite.history.change import beginning, changes, compared

GROUPS = 12
EVEN = np.ones(GROUPS) / GROUPS
SLOPE = np.linspace(-1, 1, GROUPS)
FIRST = np.array([0])


def tilted(size: float) -> NDArray[np.float64]:
    """Return shares that differ from even ones by so much."""
    shares = EVEN * np.exp(size * SLOPE)
    return shares / shares.sum()


def days_of(
    rng: np.random.Generator, days: int, rows: int, change: int, size: float, alike: float | None, weekly: float = 0.0
) -> NDArray[np.int64]:
    """Return rows by group of days, with a change on one of them.

    Args:
        rng: Generator.
        days: Number of days.
        rows: Rows a day.
        change: Day of the change.
        size: Size of the change.
        alike: Concentration of the shares of a day around the true ones (Dirichlet): rows count as 1 + rows / alike,
            about; None for independent rows.
        weekly: Size of the difference of two days of each week.
    """
    found = []
    for day in range(days):
        shares = tilted(size) if day >= change else EVEN
        if weekly and day % 7 >= 5:
            shares = shares * np.exp(weekly * np.cos(3 * SLOPE))
            shares = shares / shares.sum()
        found.append(rng.multinomial(rows, shares if alike is None else rng.dirichlet(shares * alike)))
    return np.array(found, dtype=np.int64)


def test_split_and_statistic_are_those_of_brute_force() -> None:
    rng = np.random.default_rng(0)
    slots = days_of(rng, 20, 400, 12, 0.6, None)
    (found,) = changes(slots, FIRST, 0.01)
    assert found is not None
    by_hand = [g_statistic(slots[:split].sum(axis=0), slots[split:].sum(axis=0)) for split in range(1, 20)]
    assert found.slot == 1 + int(np.argmax(by_hand))
    assert found.g * found.dispersion == pytest.approx(max(by_hand))
    fall = -2 * math.log(1 - math.sqrt(0.95)) * found.dispersion
    inside = [split for split, g in enumerate(by_hand, start=1) if g >= max(by_hand) - fall]
    assert (found.first, found.last) == (inside[0], inside[-1])


def test_variables_do_not_disturb_each_other() -> None:
    rng = np.random.default_rng(1)
    both = [days_of(rng, 20, 400, change, 0.6, None) for change in (8, 99)]
    found = changes(np.hstack(both), np.array([0, GROUPS]), 1e-4)
    assert found[0] == changes(both[0], FIRST, 1e-4)[0]
    assert found[0] is not None
    assert found[0].slot == 8
    assert found[1] is None


@pytest.mark.parametrize(
    ("days", "rows", "change", "size", "alike"),
    [(35, 500, 17, 0.2, None), (35, 500, 5, 0.3, None), (35, 500, 17, 0.5, 200.0), (60, 200, 50, 0.5, 300.0)],
    ids=["small", "early", "alike", "late and alike"],
)
def test_confidence_set_holds_the_truth(days: int, rows: int, change: int, size: float, alike: float | None) -> None:
    """At least 95 % of the time; with 150 runs, chance alone lets a true 95 % fall below 91 % once in 40."""
    rng = np.random.default_rng(2)
    found = [changes(days_of(rng, days, rows, change, size, alike), FIRST, 0.01)[0] for _ in range(150)]
    seen = [item for item in found if item is not None]
    assert len(seen) > 120
    assert sum(item.first <= change <= item.last for item in seen) / len(seen) >= 0.92


@pytest.mark.parametrize(
    ("alike", "weekly"), [(None, 0.0), (200.0, 0.0), (2000.0, 0.3)], ids=["independent", "alike", "weekends"]
)
def test_false_alarms_keep_their_probability(alike: float | None, weekly: float) -> None:
    """Of 300 runs at 5 %, fewer than 27 alarms by chance, except once in a thousand."""
    rng = np.random.default_rng(3)
    numbers = np.arange(35)
    found = [changes(days_of(rng, 35, 500, 99, 0.0, alike, weekly), FIRST, 0.05, numbers)[0] for _ in range(300)]
    assert sum(item is not None for item in found) < 27


def test_change_of_the_last_days_is_found_in_spite_of_weekends() -> None:
    slots = days_of(np.random.default_rng(4), 35, 2000, 31, 0.4, 3000.0, weekly=0.3)
    (found,) = changes(slots, FIRST, 0.01, np.arange(35))
    assert found is not None
    assert (found.first, found.slot, found.last) == (31, 31, 31)


def test_too_little_is_no_change() -> None:
    rng = np.random.default_rng(5)
    assert changes(days_of(rng, 3, 500, 1, 2.0, None), FIRST, 0.01) == [None]
    assert changes(days_of(rng, 10, 2, 5, 2.0, None), FIRST, 0.01) == [None]
    assert changes(np.zeros((10, GROUPS), np.int64), FIRST, 0.01) == [None]
    constant = np.zeros((10, GROUPS), np.int64)
    constant[:, 3] = 500
    assert changes(constant, FIRST, 0.01) == [None]
    assert changes(np.zeros((10, 0), np.int64), np.array([], dtype=np.intp), 0.01) == []


def test_days_without_rows_do_no_harm() -> None:
    slots = days_of(np.random.default_rng(6), 20, 500, 10, 0.8, None)
    slots[[3, 11, 12]] = 0
    (found,) = changes(slots, FIRST, 1e-4)
    assert found is not None
    assert found.slot == 10


@pytest.mark.parametrize(
    ("rows", "size", "alike", "daily"),
    [(30, 0.5, None, 0.0), (300, 0.3, 100.0, 0.0), (300, 0.4, 300.0, 0.5)],
    ids=["few rows", "alike", "hours of the day"],
)
def test_hour_of_a_change_is_within_its_set(rows: int, size: float, alike: float | None, daily: float) -> None:
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(200):
        change, slots = int(rng.integers(20, 52)), []
        for hour in range(72):
            shares = tilted(size) if hour >= change else EVEN
            shares = shares * np.exp(daily * np.cos(3 * SLOPE) * math.sin(2 * math.pi * hour / 24))
            shares = shares / shares.sum()
            slots.append(rng.multinomial(rng.poisson(rows), shares if alike is None else rng.dirichlet(shares * alike)))
        before, since = (rng.multinomial(240 * rows, shares) for shares in (EVEN, tilted(size)))
        found = beginning(np.array(slots), before, since)
        assert found.first <= found.slot <= found.last
        held += found.first <= change <= found.last
    assert held / 200 >= 0.92


def test_two_weeks_are_compared_by_the_dispersion_within_them() -> None:
    rng = np.random.default_rng(8)
    alarms = 0
    for _ in range(200):
        weeks = days_of(rng, 14, 500, 99, 0.0, 200.0)
        found = compared(weeks[:7], weeks[7:], 0.05)
        assert found is not None
        alarms += found.is_significant
    assert alarms < 22  # of 200 at 5 %, except once in a thousand
    weeks = days_of(rng, 14, 500, 7, 0.6, 200.0)
    found = compared(weeks[:7], weeks[7:], 1e-5)
    assert found is not None
    assert found.is_significant
