"""Periods, their slots, and how they are written."""

from __future__ import annotations

import math
from datetime import datetime

import pytest

from flask_boxkite.records.period import Period

DAY = 86400.0


@pytest.mark.parametrize(
    ("seconds", "slot"),
    [
        (1, 10),
        (300, 10),
        (301, 60),
        (3600, 60),
        (3601, 900),
        (DAY, 900),
        (7 * DAY, 900),
        (8 * DAY, 1800),
        (math.inf, 900),
    ],
)
def test_slots_are_those_of_the_live_window_of_that_length(seconds: float, slot: float) -> None:
    assert Period(0, seconds).slot_seconds == slot


@pytest.mark.parametrize("days", [1, 30, 365, 10_000])
def test_a_long_period_has_no_more_slots_than_fit_in_memory(days: int) -> None:
    assert days * DAY / Period(0, days * DAY).slot_seconds <= 672


def test_periods_are_written_as_iso_8601() -> None:
    assert str(Period(0, DAY)) == "1970-01-01T00:00:00Z/1970-01-02T00:00:00Z"
    assert str(Period(-1)) == "1969-12-31T23:59:59Z/.."
    assert str(Period.of("2026-01-01", datetime.max)) == "2026-01-01T00:00:00Z/.."


def test_periods_in_common_and_bounds_that_are_not_given() -> None:
    assert Period(0, 10).within(Period(5, 20)) == Period(5, 10)
    assert Period(0, 10).within(Period(10, 20)) == Period(0, 10)
    assert Period(5).bounded_by(Period(0, 20)) == Period(5, 20)
    assert Period().bounded_by(Period(0, 20)) == Period(0, 20)
