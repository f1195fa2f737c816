"""Numbers for people are short, but distinguishable."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from flask_boxkite.drift.wording import category_label, group_text
from flask_boxkite.page.wording import breakable, number, numbers, percent, seconds


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "\N{EN DASH}"),
        (0.0, "0"),
        (0.012345, "0.0123"),
        (-12.345, "-12.3"),
        (999.7, "999.7"),
        (999.96, "1,000"),
        (1234.5, "1,234"),
        (1_700_000_000_000.0, "1,700,000,000,000"),
        (1.5e15, "1.5e+15"),
        (1e-300, "1e-300"),
        (-1.7e308, "-1.7e+308"),
    ],
)
def test_a_number_is_short(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([0.0, 0.5, 1.0], ["0", "0.5", "1"]),
        ([51.501, 51.5023], ["51.501", "51.5023"]),
        ([0.12345, 0.45678], ["0.123", "0.457"]),
        ([1234.5, 1234.25], ["1,234.5", "1,234.2"]),
        ([51.49996, 51.50048], ["51.5", "51.5005"]),
        ([0.0, 5e-324, 1.7e308], ["0", "4.94e-324", "1.7e+308"]),
        ([1e300, 1.00001e300], ["1e+300", "1.00001e+300"]),
        ([2.0, 2.0], ["2", "2"]),
        ([-math.inf, 2.0], ["-inf", "2"]),
        ([], []),
    ],
)
def test_numbers_that_are_close_are_told_apart(values: list[float], texts: list[str]) -> None:
    assert numbers(values) == texts


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=5))
def test_any_numbers_are_told_apart(values: list[float]) -> None:
    largest = max(map(abs, values), default=0.0) or 1.0
    assume(len({value / largest for value in values}) == len(set(values)))
    assert len(set(numbers(values))) >= len(set(values))


def test_groups_and_categories_that_differ_have_different_names() -> None:
    assert group_text("(51.5012,51.5034]", "continuous") == "51.5012 to 51.5034"
    assert group_text("(-1e+06,0.0]", "continuous") == "-1,000,000 to 0"
    assert [category_label(text) for text in ("1299.5", "1299.99", "3.0", "-1e+06", "1e+20", "x")] == [
        *("1299.5", "1299.99", "3", "-1000000", "1e+20", "x"),
    ]
    assert [group_text(text, "discrete") for text in ("2021.0", "2021", '"2021"', "inf")] == [
        *("2021", "2021", "2021", "inf"),
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0004, "0.4 ms"), (0.9996, "999.6 ms"), (1.5, "1.5 s"), (3600.0, "3,600 s"), (None, "\N{EN DASH}")],
)
def test_spans_of_time_have_a_fitting_unit(value: float | None, text: str) -> None:
    assert seconds(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0%"), (0.0004, "< 0.1%"), (0.0005, "0.1%"), (0.0994, "9.9%"), (0.0995, "10%"), (1.0, "100%")],
)
def test_a_share_that_is_not_nothing_does_not_look_like_it(share: float, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(
    ("name", "markup"),
    [
        ("mean radius", "mean radius"),
        ("in_last__month.of-all", "in_<wbr>last__<wbr>month.<wbr>of-<wbr>all"),
        ("16.3 to 19.4", "16.3 to 19.4"),
        ("account[0].name", "account[0].<wbr>name"),
        ("<b>_&a", "&lt;b&gt;_&amp;a"),
        ("a_<wbr>b", "a_&lt;wbr&gt;b"),
    ],
)
def test_a_name_may_break_between_its_words(name: str, markup: str) -> None:
    assert breakable(name) == markup
