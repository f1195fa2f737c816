"""Outcomes that stop: after longer than usual, as the alert in Prometheus has it."""

from __future__ import annotations

import json

import pytest

from flask_boxkite.notify.conditions import Condition, key_of
from flask_boxkite.notify.gaps import OutcomeGaps

DAY, HOUR = 86400.0, 3600.0
START = 20_000 * DAY
KEY = key_of("outcomes", "credit", "0123")


def come(gaps: OutcomeGaps, days: float, every: float = 2 * HOUR, start: float = START, number: int = 0) -> int:
    """Let an outcome come every two hours for some days."""
    time = start
    while time <= start + days * DAY:
        number += 1
        list(gaps.see("credit", "0123", number, time))
        time += every
    return number


def seen(gaps: OutcomeGaps, number: int, now: float) -> list[Condition | str]:
    return list(gaps.see("credit", "0123", number, now))


def test_outcomes_that_stop_are_told_after_one_and_a_half_times_the_longest_gap_and_an_hour() -> None:
    gaps = OutcomeGaps()
    number = come(gaps, 8)
    last = START + 8 * DAY
    assert seen(gaps, number, last + 3.99 * HOUR) == [KEY]
    (found,) = seen(gaps, number, last + 4.01 * HOUR)
    assert isinstance(found, Condition)
    assert found.alert == "BoxkiteOutcomesStopped"
    assert found.text == ("No outcome has come for 4 h; in the 15 days before, the longest time without one was 2 h")
    assert found.since == last
    assert seen(gaps, number + 1, last + 5 * HOUR) == [KEY]


def test_a_longer_gap_of_the_last_days_is_usual() -> None:
    gaps = OutcomeGaps()
    number = come(gaps, 7)
    number = come(gaps, 1, start=START + 9 * DAY, number=number)  # after a weekend
    last = START + 10 * DAY
    assert seen(gaps, number, last + 2 * DAY) == [KEY]
    (found,) = seen(gaps, number, last + 3.2 * DAY)
    assert isinstance(found, Condition)
    number = come(gaps, 16, start=last + 3.2 * DAY, number=number)
    (found,) = seen(gaps, number, last + (3.2 + 16) * DAY + 4.1 * HOUR)
    assert isinstance(found, Condition)


@pytest.mark.parametrize("days", [0.0, 1.0, 6.9])
def test_without_a_week_of_outcomes_nothing_is_known(days: float) -> None:
    gaps = OutcomeGaps()
    number = come(gaps, days)
    assert seen(gaps, number, START + 6.95 * DAY) == []


def test_a_model_without_outcomes_has_not_stopped() -> None:
    gaps = OutcomeGaps()
    assert seen(gaps, 0, START) == []
    assert seen(gaps, 0, START + 100 * DAY) == []


def test_counts_that_begin_afresh_are_no_outcome() -> None:
    gaps = OutcomeGaps()
    come(gaps, 8)
    (found,) = seen(gaps, 0, START + 8 * DAY + 5 * HOUR)
    assert isinstance(found, Condition)


def test_it_goes_on_after_a_restart() -> None:
    gaps = OutcomeGaps()
    number = come(gaps, 8)
    again = OutcomeGaps(json.loads(json.dumps(gaps.to_dict())))
    assert again.to_dict() == gaps.to_dict()
    assert len(seen(again, number, START + 8 * DAY + 5 * HOUR)) == 1
    again.keep({"credit": "another"})
    assert again.to_dict() == {}


@pytest.mark.parametrize("stored", [None, [], "x", {"a": 1}, {"a": {}}, {"a": {"outcomes": "x"}}], ids=repr)
def test_what_cannot_be_read_is_left_out(stored: object) -> None:
    assert OutcomeGaps(stored).to_dict() == {}


def test_memory_has_a_bound() -> None:
    gaps = OutcomeGaps()
    come(gaps, 60, every=6 * HOUR)
    (own,) = gaps.to_dict().values()
    assert len(own["gaps"]) <= 17
