"""Days past their lifetime: by records of later days, whatever the clock says."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_boxkite.sinks.retention import WITNESSES, Due, day_of, due
from flask_boxkite.values.times import DAY, start_of_day

FIRST = date(2024, 1, 1)


def days(*numbers: int) -> list[str]:
    """Return days by their number, from 2024-01-01 on."""
    return [str(FIRST + timedelta(number)) for number in numbers]


def noon(number: int) -> float:
    """Return the Unix time of noon on a day."""
    return ((FIRST - date(1970, 1, 1)).days + number + 0.5) * DAY


@pytest.mark.parametrize(
    ("of", "today", "gone", "held_back"),
    [
        ([*range(14)], 13, [0], []),  # days 11, 12 and 13 are past the lifetime of 0
        ([*range(13)], 12, [], []),
        ([0, 1, 11, 12, 13], 13, [0], []),
        ([0, 1, 13], 13, [], []),  # by the clock since three days only
        ([0, 1, 14], 14, [], [0]),
        ([0, 1, 400], 400, [], [0, 1]),
        ([0, 1, 400, 401], 401, [], [0, 1]),
        ([0, 1, 400, 401, 402], 402, [0, 1], []),
        ([0, 1, 400, 401, 402], 12, [], []),  # the clock is right again
        ([0, 7, 14, 21, 28], 28, [0], [7, 14]),  # once a week
        ([], 400, [], []),
    ],
)
def test_a_day_is_due_once_three_days_after_its_lifetime_have_records(
    of: list[int], today: int, gone: list[int], held_back: list[int]
) -> None:
    assert due(days(*of), noon(today), 10 * DAY) == Due(days(*gone), days(*held_back))


@given(
    lifetime=st.integers(1, 40),
    jumps=st.lists(st.tuples(st.integers(0, 99), st.sampled_from([-700, -365, -40, -1, 1, 5, 40, 365])), max_size=6),
)
def test_no_clock_that_jumps_for_two_days_costs_a_day_too_early(lifetime: int, jumps: list[tuple[int, int]]) -> None:
    """A server writes every day; on some days the clock is wrong, ahead on no more than two of them."""
    wrong: dict[int, int] = {}
    for day, days_off in jumps:
        if days_off < 0 or sum(value > 0 for value in wrong.values()) < WITNESSES - 1:
            wrong.setdefault(day, days_off)
    made: dict[str, set[int]] = {}  # by folder, when its files were really made
    for today in range(150):
        said = today + wrong.get(today, 0)
        made.setdefault(*days(said), set()).add(today)
        for folder in due(made, noon(said), lifetime * DAY).days:
            folder_day = (date.fromisoformat(folder) - FIRST).days
            # What was written under a wrong date is as old as that says.
            truly = [day for day in made.pop(folder) if day == folder_day]
            assert all(today - day > lifetime for day in truly), (folder, today)

    kept = {(date.fromisoformat(folder) - FIRST).days for folder in made}
    assert (
        max(wrong, default=0) > 140 - lifetime or min(day for day in kept if day >= 0) >= 149 - lifetime - WITNESSES - 6
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [("2024-02-29", True), ("2023-02-29", False), ("2024-2-29", False), ("20240229xx", False), ("9999-12-31", True),
     ("latest", False), ("٢٠٢٤-٠٢-٢٩", False), ("", False)],
)  # fmt: skip
def test_names_of_days(name: str, expected: bool) -> None:
    assert (start_of_day(name) is not None) is expected


def test_a_day_is_that_of_utc() -> None:
    assert day_of(noon(0)) == "2024-01-01"
