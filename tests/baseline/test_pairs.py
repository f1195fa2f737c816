"""Pairs are checked values; the parts of a variable hold its groups in order; pairs add where their parts are equal."""

from __future__ import annotations

import math
import random
import re
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flask_boxkite import Baseline, BaselineError
from flask_boxkite.baseline import Continuous, Discrete, Distribution
from flask_boxkite.baseline.pairs import CELLS, NO_PART, PARTS, Pair, parts_of_cells, parts_of_groups
from flask_boxkite.baseline.training.pairing import with_pairs
from flask_boxkite.baseline.variables import variables_of
from tests.baseline.strategies import COUNTS, baselines, continuous, discrete
from tests.baseline.training.building import built

AGE = Continuous("age", (0.0, 10.0, 20.0, 30.0), (0, 5, 7, 3, 1), (0.0, 10.0, 20.0, 30.0), missing=2, invalid=4)
CITY = Discrete("city", ("Bonn", "Ulm"), (12, 7), rare=2, missing=1)
SCORE = Continuous("age", (0.25, 0.5), (3, 14, 5), (0.25, 0.5))
COUNTED = tuple(range(CELLS))
BASELINE = Baseline((AGE, CITY), (SCORE,), 22, pairs=(Pair(0, 1, COUNTED), Pair(1, 2, COUNTED)))


# --- pairs -----------------------------------------------------------------------------------------------------------


def test_a_pair_says_its_rows_and_its_name() -> None:
    first, second = BASELINE.pairs

    assert (first.rows, first.label(BASELINE.variables)) == (120, "age, city")
    assert second.label(BASELINE.variables) == "city, age (output)"
    assert Pair(0, 2, COUNTED).label(BASELINE.variables) == "age, age (output)"


@given(
    st.lists(st.text(st.sampled_from('a, ("\\'), max_size=4), min_size=2, max_size=6, unique=True),
    st.lists(st.text(st.sampled_from('a, ("\\'), max_size=4) | st.just("a (output)"), max_size=2, unique=True),
)
@example(["a", "b"], ["b"])
@example(["a", "b, c", "a, b", "c"], [])
@example(["a", "b (output)"], ["b"])
def test_no_two_pairs_have_one_name(features: list[str], outputs: list[str]) -> None:
    variables = variables_of(*([replace(CITY, name=name) for name in names] for names in (features, outputs)))
    places = range(len(variables))
    labels = [Pair(first, second, COUNTED).label(variables) for second in places for first in range(second)]

    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize(
    ("first", "second", "counts"),
    [
        (1, 1, COUNTED),
        (2, 1, COUNTED),
        (-1, 1, COUNTED),
        (0, 1, COUNTED[1:]),
        (0, 1, (*COUNTED, 1)),
        (0, 1, ()),
        (0, 1, (-1, *COUNTED[1:])),
    ],
    ids=["the same", "the wrong order", "below 0", "15 counts", "17 counts", "no counts", "a negative count"],
)
def test_what_is_no_pair_is_refused(first: int, second: int, counts: tuple[int, ...]) -> None:
    said = f"A pair needs two different variables and 16 counts, got Pair(first={first}, second={second}, counts="
    with pytest.raises(BaselineError, match=f"^{re.escape(said)}"):
        Pair(first, second, counts)


def test_a_baseline_has_no_pair_of_a_variable_that_it_lacks() -> None:
    with pytest.raises(BaselineError) as caught:
        replace(BASELINE, outputs=())

    assert str(caught.value) == "The baseline has 2 variables, and a pair of another one."


def test_alpha_is_divided_among_variables_and_pairs() -> None:
    assert BASELINE.tests == 3 + 2
    assert replace(BASELINE, pairs=()).tests == 3
    assert Baseline((), (), 0).tests == 1


def test_pairs_are_part_of_the_identity() -> None:
    alone = replace(BASELINE, pairs=())
    others = [
        replace(BASELINE, pairs=pairs)
        for pairs in (BASELINE.pairs[:1], (Pair(0, 2, COUNTED),), (Pair(0, 1, COUNTED[::-1]), BASELINE.pairs[1]))
    ]

    assert len({item.fingerprint for item in (BASELINE, alone, *others)}) == 5
    assert alone.fingerprint == Baseline((AGE, CITY), (SCORE,), 22).fingerprint
    assert replace(BASELINE, version="v9", rows=1).fingerprint == BASELINE.fingerprint


# --- parts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        # Rows before the middle of each group, of 16: 0, 2.5, 8.5, 13.5, 15.5.
        (AGE, (0, 0, 2, 3, 3, NO_PART, NO_PART)),
        # Behind three categories with a part each: the fourth, rare ones and new ones.
        (Discrete("x", tuple("abcde"), (9, 5, 4, 2, 1), rare=2), (0, 1, 2, 3, 3, 3, 3, NO_PART, NO_PART)),
        (CITY, (0, 1, 2, 3, NO_PART, NO_PART)),
        (Continuous("x", (1.0, 2.0), (0, 0, 0), (1.0, 2.0)), (0, 0, 0, NO_PART, NO_PART)),
        (Continuous("x", (1.0,), (0, 8), (-math.inf, 1.0), missing=9), (0, 2, NO_PART, NO_PART)),
    ],
    ids=["numbers", "categories", "two categories", "no rows", "all above"],
)
def test_groups_are_joined_to_four_parts(item: Distribution, expected: tuple[int, ...]) -> None:
    assert parts_of_groups(item) == expected


@given(continuous() | discrete())
def test_each_cell_has_the_part_of_its_group_and_values_that_are_none_have_none(item: Distribution) -> None:
    parts, cells = parts_of_groups(item), parts_of_cells(item)

    assert len(cells) == len(item.cells)
    for group, part in zip(item.groups, parts, strict=True):
        assert set(cells[group.start : group.stop]) <= {part}
    valued = parts[:-2]
    assert parts[-2:] == (NO_PART, NO_PART)
    assert all(part < PARTS for part in valued)
    assert list(valued) == sorted(valued)


@given(st.lists(st.integers(1, 50), min_size=4, max_size=30))
def test_parts_of_numbers_are_as_even_as_their_groups_allow(counts: list[int]) -> None:
    """The middle of each group decides: a part leaves its share by at most half of the groups at both ends."""
    bounds = tuple(map(float, range(1, len(counts))))
    item = Continuous("x", bounds, tuple(counts), (-math.inf, *bounds))
    rows = [0] * PARTS
    for part, group in zip(parts_of_groups(item), item.groups, strict=True):
        if part != NO_PART:
            rows[part] += sum(item.cells[group.start : group.stop])

    assert sum(rows) == sum(counts)
    shares = (0.3, 0.2, 0.2, 0.3)
    assert all(abs(number - share * sum(counts)) <= max(counts) for number, share in zip(rows, shares, strict=True))


# --- sums ------------------------------------------------------------------------------------------------------------


def of_cities(seed: int, share: float) -> Baseline:
    """Train on two texts that go together, of which the second one has this share."""
    draws = random.Random(seed)
    rows = [draws.random() < share for _ in range(500)]
    return built({"city": [("Bonn", "Ulm")[row] for row in rows], "tram": [("9", "1")[row] + "a" for row in rows]})


def test_pairs_of_two_samples_add() -> None:
    one, other = of_cities(1, 0.3), of_cities(2, 0.4)
    merged = one.merge(other)

    assert merged == other.merge(one)
    (pair,) = merged.pairs
    assert pair.counts == tuple(map(sum, zip(one.pairs[0].counts, other.pairs[0].counts, strict=True)))
    assert pair.rows == merged.rows == 1000


def test_pairs_do_not_add_where_the_parts_are_of_other_categories() -> None:
    """The part of a category follows from its place by rows, which may be another in each sample."""
    one, other = of_cities(1, 0.3), of_cities(2, 0.7)

    assert one.features[0].categories == other.features[0].categories[::-1]  # type: ignore[union-attr]
    assert one.merge(other).pairs == other.merge(one).pairs == ()


def test_pairs_do_not_add_where_the_parts_are_of_other_numbers() -> None:
    bounds = {"x": (0.0, 1.0, 2.0, 3.0, 4.0)}
    draws = random.Random(0)
    low = [0.5 + int(4 * draws.random() ** 2) for _ in range(400)]
    one, other = (
        built({"x": column, "y": ["low" if x < 2 else "high" for x in column]}, bins=bounds)
        for column in (low, [4.0 - x for x in low])
    )
    assert one.pairs
    assert other.pairs
    assert parts_of_cells(one.features[0]) != parts_of_cells(other.features[0])

    assert one.merge(other).pairs == ()


def test_a_pair_that_one_sample_lacks_is_left_out_of_the_sum() -> None:
    alone = replace(BASELINE, pairs=BASELINE.pairs[1:])

    assert [(pair.first, pair.second) for pair in BASELINE.merge(alone).pairs] == [(1, 2)]
    assert alone.merge(BASELINE) == BASELINE.merge(alone)
    assert BASELINE.merge(replace(BASELINE, pairs=())).pairs == ()


@settings(max_examples=15)
@given(baselines().filter(lambda baseline: len(baseline.distributions) > 1), st.lists(COUNTS, min_size=16, max_size=16))
def test_a_baseline_with_pairs_and_itself_have_twice_the_counts(baseline: Baseline, counts: list[int]) -> None:
    baseline = replace(baseline, rows=5, pairs=(Pair(0, 1, tuple(counts)),))
    merged = baseline.merge(baseline)

    # Twice the rows leave the shares, and so the parts, as they are.
    assert [pair.counts for pair in merged.pairs] == [tuple(2 * count for count in counts)]


def test_a_single_variable_has_no_pair() -> None:
    assert with_pairs(Baseline((AGE,), (), 22), {"age": [1.0] * 22}, {}).pairs == ()
    assert built({"x": list(range(100))}).pairs == ()
