"""Periods, and how they are written."""

from __future__ import annotations

from datetime import datetime

from flask_boxkite.records.period import Period

DAY = 86400.0


def test_periods_are_written_as_iso_8601() -> None:
    assert str(Period(0, DAY)) == "1970-01-01T00:00:00Z/1970-01-02T00:00:00Z"
    assert str(Period(-1)) == "1969-12-31T23:59:59Z/.."
    assert str(Period.of("2026-01-01", datetime.max)) == "2026-01-01T00:00:00Z/.."


def test_periods_in_common_and_bounds_that_are_not_given() -> None:
    assert Period(0, 10).within(Period(5, 20)) == Period(5, 10)
    assert Period(0, 10).within(Period(10, 20)) == Period(0, 10)
    assert Period(5).bounded_by(Period(0, 20)) == Period(5, 20)
    assert Period().bounded_by(Period(0, 20)) == Period(0, 20)
