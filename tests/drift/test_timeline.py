"""Counts by stretch of time: which stretches there are, and what each holds."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_boxkite.drift.timeline import DAY, HOUR, MINUTE, QUARTER, REACHES, Timeline, begins_stretch, is_first_of
from flask_boxkite.values.rowhash import ROW_BUCKETS

NOW = 1_800_000_000.0
"""The beginning of a minute, and of a quarter of an hour."""

AGES = st.lists(st.integers(0, 30 * 3600), min_size=1, max_size=60, unique=True)


def of_ages(ages: list[int], rng: np.random.Generator, *, since_ever: bool = False) -> tuple[Timeline, np.ndarray]:
    """Return the timeline of slots that began so many seconds ago, and its table of counts."""
    starts = NOW - np.sort(ages)[::-1].astype(float)
    if since_ever:
        starts[0] = -math.inf
    table = rng.integers(0, 50, size=(len(ages), 3 + ROW_BUCKETS + 1))
    return Timeline.of_slots(starts, table[:, :3], table[:, 3:-1], table[:, -1], NOW), table


@given(AGES, st.booleans(), st.integers(0, 2**32))
def test_each_stretch_holds_all_slots_from_its_start(ages: list[int], since_ever: bool, seed: int) -> None:
    timeline, table = of_ages(ages, np.random.default_rng(seed), since_ever=since_ever)
    starts = NOW - np.sort(ages)[::-1].astype(float)
    if since_ever:
        starts[0] = -math.inf
    assert timeline.rows is not None
    assert len(timeline) == len(timeline.groups) == len(timeline.rows.buckets) == len(timeline.rows.squares)
    for stretch, start in enumerate(timeline.starts):
        expected = table[starts >= start].sum(axis=0)
        found = [*timeline.groups[stretch], *timeline.rows.buckets[stretch], timeline.rows.squares[stretch]]
        assert found == expected.tolist()


def expected_starts(starts: list[float]) -> list[float]:
    """Return the starts that are kept, one by one: the very first, and the first in each slot within a reach."""
    kept = set(starts[:1])
    for reach, slot in REACHES:
        seen: set[float] = set()
        for start in starts:
            number = start // slot if math.isfinite(start) else start
            if number not in seen and start >= NOW - reach:
                kept.add(start)
            seen.add(number)
    return sorted(kept)


@given(AGES)
def test_stretches_begin_where_slots_do(ages: list[int]) -> None:
    starts = np.sort(NOW - np.array(ages, dtype=float))

    assert starts[begins_stretch(starts, NOW)].tolist() == expected_starts(starts.tolist())


def test_the_finest_slots_are_the_latest() -> None:
    """A snapshot every 10 s for two days: 30 of five minutes, 55 minutes before, 92 quarters before, and the start."""
    starts = NOW - 10.0 * np.arange(2 * 8640, 0, -1)
    kept = starts[begins_stretch(starts, NOW)]

    assert len(kept) == 30 + 55 + 92 + 1
    assert kept[0] == starts[0]
    assert np.diff(kept)[1:].tolist() == [QUARTER] * 92 + [MINUTE] * 55 + [10.0] * 29


def test_a_start_without_a_time_is_before_all_others() -> None:
    assert begins_stretch(np.array([-math.inf, NOW - 2 * DAY, NOW - 5]), NOW).tolist() == [True, False, True]
    assert begins_stretch(np.array([]), NOW).tolist() == []


def test_slots_are_those_of_the_wall_clock() -> None:
    """The first moment in each minute, although the moments are less than a minute apart."""
    times = NOW + np.array([0.0, 59.9, 60.0, 61.0, 119.0, 240.0])

    assert is_first_of(times, MINUTE).tolist() == [True, False, True, False, False, True]


def test_a_reach_begins_with_its_first_stretch(rng: np.random.Generator) -> None:
    timeline, _ = of_ages([90_000, 3700, 3600, 3500, 300, 20], rng)

    assert timeline.starts.tolist() == [NOW - age for age in (90_000, 3700, 3600, 3500, 300, 20)]
    assert [timeline.first_within(seconds) for seconds in (None, DAY, HOUR, 3599.0, 300.0, 20.0)] == [0, 1, 2, 3, 4, 5]
    assert timeline.first_within(19.0) == len(timeline)


@given(AGES, st.booleans())
def test_slots_of_a_stretch_are_minutes_or_quarters(ages: list[int], since_ever: bool) -> None:
    """Minutes within the hour, quarters of the last day where the stretch is longer; the first may be cut short."""
    timeline, _ = of_ages(ages, np.random.default_rng(0), since_ever=since_ever)
    starts = np.maximum(timeline.starts, 0.0)  # 1970, as good as ever
    for stretch, start in enumerate(starts):
        slot, reach = (MINUTE, HOUR) if start >= NOW - HOUR else (QUARTER, DAY)
        expected = [stretch]
        for at in range(stretch + 1, len(starts)):
            if starts[at] >= NOW - reach and starts[at] // slot != starts[at - 1] // slot:
                expected.append(at)
        assert timeline.slots_of(stretch).tolist() == expected


def test_slots_by_hand(rng: np.random.Generator) -> None:
    timeline, _ = of_ages([7200, 6300, 3540, 120, 70, 60, 20, 10], rng)

    assert timeline.slots_of(0).tolist() == [0, 1, 2, 3]  # quarters: 7200, 6300 and 3540 s ago, and the present one
    assert timeline.slots_of(2).tolist() == [2, 3, 5]  # minutes; 70 s ago is in the minute that began 120 s ago
    assert timeline.slots_of(4).tolist() == [4, 5]
    assert timeline.slots_of(6).tolist() == [6]


def test_slots_of_a_stretch_part_it(rng: np.random.Generator) -> None:
    """What is counted from one to the next, and from the last until now, is what the stretch holds."""
    timeline, _ = of_ages([*range(5, 90_000, 95)], rng)
    for stretch in range(len(timeline)):
        slots = timeline.slots_of(stretch)
        parts = [timeline.groups[a] - timeline.groups[b] for a, b in pairwise(slots)] + [timeline.groups[slots[-1]]]
        assert sum(parts).tolist() == timeline.groups[stretch].tolist()
        assert min(part.min() for part in parts) >= 0


def test_what_is_longer_than_an_hour_is_long(rng: np.random.Generator) -> None:
    timeline, _ = of_ages([90_000, 3700, 3600, 3500, 300, 20], rng, since_ever=True)

    assert timeline.is_long.tolist() == [True, True, False, False, False, False]
    assert Timeline.of_sample([3, 4]).is_long.tolist() == [False]


@pytest.mark.parametrize("rows", [[3, 4, 0], [0, 0, 0]])
def test_a_sample_is_one_stretch_of_independent_rows(rows: list[int]) -> None:
    timeline = Timeline.of_sample(rows)

    assert timeline.groups.tolist() == [rows]
    assert timeline.rows is None
    assert timeline.first_within(None) == 0
    assert len(timeline) == 1


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 20)), min_size=1, max_size=20), st.booleans())
def test_occupied_stretches_are_as_if_nothing_else_had_come(slots: list[tuple[bool, int]], has_pairs: bool) -> None:
    """Of slots of ten seconds without own counts, no stretch is left."""
    own = np.array([count if is_own else 0 for is_own, count in slots])
    starts = NOW - 10.0 * np.arange(len(slots), 0, -1)

    def timeline(at: np.ndarray) -> Timeline:
        counts = own[at][:, np.newaxis].repeat(ROW_BUCKETS, axis=1)
        return Timeline.of_slots(
            starts[at], counts[:, :3], counts, counts[:, 0], NOW, counts[:, :2] if has_pairs else None
        )

    found, expected = timeline(np.arange(len(own))).occupied(), timeline(np.flatnonzero(own))
    assert found.starts.tolist() == expected.starts.tolist() == starts[own > 0].tolist()
    assert found.groups.tolist() == expected.groups.tolist()
    assert found.rows is not None
    assert expected.rows is not None
    assert found.rows.buckets.tolist() == expected.rows.buckets.tolist()
    assert found.rows.squares.tolist() == expected.rows.squares.tolist()
    assert (found.pairs is not None) == has_pairs
    if found.pairs is not None and expected.pairs is not None:
        assert found.pairs.tolist() == expected.pairs.tolist()


def test_a_sample_is_left_as_it_is() -> None:
    sample = Timeline.of_sample([0, 0])
    assert sample.occupied() is sample


def test_a_request_of_which_nothing_is_known_occupies_its_slot() -> None:
    """It has neither a group nor a bucket."""
    none = np.zeros((2, ROW_BUCKETS), dtype=np.int64)
    timeline = Timeline.of_slots([NOW - 20.0, NOW - 10.0], none[:, :3], none, [0, 1], NOW)
    assert timeline.occupied().starts.tolist() == [NOW - 10.0]
