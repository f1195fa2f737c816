"""Which drift of a variable cannot show follows from its counts alone."""

from __future__ import annotations

import pytest

from flask_boxkite.baseline import Continuous, Discrete, Distribution
from flask_boxkite.baseline.blindness import blind_spot, blind_spots

RARE = "nearly all training rows are of rare values: a change among these cannot show"
ONE = "all training rows have one value: only other values can show"
UNIQUE = "no training value comes twice: every new value is unseen"
MANY = "more than a third of training rows are of rare values, among which no change can show: "
FEWER = MANY + "give fewer values (the region, not the town), or raise 'max_categories'"
AGAIN = MANY + "export the baseline again, which makes groups of them"
LETTERS = tuple("abcdefghijklmnopqrst")


@pytest.mark.parametrize(
    ("item", "spot"),
    [
        (Discrete("x", ("a", "b"), (60, 40)), ""),
        (Discrete("x", (), (), rare=100), RARE),
        (Discrete("x", ("a",), (10,), rare=90), RARE),
        (Discrete("x", ("a",), (11,), rare=89), FEWER),
        (Discrete("x", ("a",), (67,), rare=33), ""),
        (Discrete("x", ("a",), (10,), rare=90, missing=1000), RARE),
        # All but the first eight share one group.
        (Discrete("x", LETTERS, (10,) * 8 + (100,) * 12), RARE),
        (Discrete("x", LETTERS, (10,) * 20), AGAIN),
        (Discrete.grouped("x", dict.fromkeys(LETTERS, 10)), ""),
        (Discrete.grouped("x", dict.fromkeys(LETTERS, 10), rare=300), FEWER),
        (Discrete("x", LETTERS, (1,) * 20), UNIQUE),
        (Discrete("x", LETTERS[:3], (1,) * 3), ""),
        (Discrete("x", tuple(f"{n}.0" for n in range(20)), (1,) * 20), AGAIN),
        (Discrete("x", ("a",), (100,)), ONE),
        (Discrete("x", ("a",), (100,), missing=1), ""),
        (Discrete("x", (), (), missing=100), "all training rows are missing: only their share can show"),
        (Discrete("x", (), (), invalid=100), "all training rows are invalid: only their share can show"),
        (Discrete("x", (), ()), ""),
        (Continuous("x", (1.0, 2.0), (5, 5, 0), (1.0, 2.0)), ""),
        (
            Continuous("x", (1.0, 2.0), (0, 10, 0), (1.0, 2.0)),
            "all training rows are in one bin: a change within it cannot show",
        ),
        (Continuous("x", (1.0, 2.0), (0, 10, 0), (1.0, 2.0), missing=1), ""),
        (
            Continuous("x", (1.0, 2.0), (0, 0, 0), (1.0, 2.0), missing=3),
            "all training rows are missing: only their share can show",
        ),
    ],
)
def test_what_cannot_show(item: Distribution, spot: str) -> None:
    assert blind_spot(item) == spot


def test_variables_of_one_kind_stand_together() -> None:
    items = [Discrete(name, ("a",), (3,)) for name in "xy"] + [Discrete("z", ("a", "b"), (3, 3))]

    assert blind_spots(items) == {ONE: ["x", "y"]}
