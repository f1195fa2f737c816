"""Distributions are checked values; their groups hold every row once, and they add exactly."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_boxkite import Baseline, BaselineError, BinMismatchError
from flask_boxkite.baseline import Continuous, Discrete, Distribution
from flask_boxkite.baseline.bounds import even_groups
from flask_boxkite.baseline.merging import merge
from flask_boxkite.baseline.validation import RegressionValidation
from tests.baseline.strategies import COUNTS, baselines, continuous, discrete
from tests.baseline.training.building import built

AGE = Continuous("age", (0.0, 10.0, 20.0, 30.0), (0, 5, 7, 3, 1), (0.0, 20.0, 30.0), missing=2, invalid=4)
CITY = Discrete("city", ("Bonn", "Ulm"), (5, 3), rare=2, missing=1)


def group_counts(distribution: Distribution) -> dict[str, int]:
    """Return rows per group."""
    return {group.name: sum(distribution.cells[group.start : group.stop]) for group in distribution.groups}


def test_groups_of_a_continuous_variable() -> None:
    assert group_counts(AGE) == {
        "__below__": 0,
        "(0.0,20.0]": 12,
        "(20.0,30.0]": 3,
        "__above__": 1,
        "__missing__": 2,
        "__invalid__": 4,
    }
    assert AGE.rows == 22


def test_without_a_lower_end_nothing_is_below() -> None:
    open_below = replace(AGE, group_bounds=(-math.inf, 30.0))

    assert list(group_counts(open_below)) == ["(-Inf,30.0]", "__above__", "__missing__", "__invalid__"]


def test_groups_of_a_discrete_variable() -> None:
    assert group_counts(CITY) == {
        "Bonn": 5,
        "Ulm": 3,
        "__rare__": 2,
        "__unseen__": 0,
        "__missing__": 1,
        "__invalid__": 0,
    }
    assert CITY.rows == 11


def test_numbers_share_groups_with_their_neighbours() -> None:
    """Hours of a day: with a group for each of eight, two thirds of the rows would be in one group."""
    item = Discrete.grouped("hour", {f"{hour}.0": 100 for hour in range(24)})
    names = [group.name for group in item.groups]

    assert names[:10] == [
        *("[0.0,1.0]", "[2.0,3.0]", "[4.0,5.0]", "[6.0,8.0]", "[9.0,10.0]"),
        *("[11.0,13.0]", "[14.0,15.0]", "[16.0,18.0]", "[19.0,20.0]", "[21.0,23.0]"),
    ]
    assert names[10:] == ["__rare__", "__unseen__", "__missing__", "__invalid__"]
    assert set(list(group_counts(item).values())[:10]) <= {200, 300}
    assert item.categories == tuple(f"{hour}.0" for hour in range(24))


def test_a_frequent_number_keeps_a_group_of_its_own() -> None:
    item = Discrete.grouped("children", {**{f"{n}.0": 10 for n in range(1, 20)}, "10.0": 800}, rare=7)

    counts = group_counts(item)
    assert counts["10.0"] == 800
    assert counts["__rare__"] == 7
    assert [group.name for group in item.groups][:3] == ["[1.0,9.0]", "10.0", "11.0"]


def test_texts_share_groups_in_the_order_of_their_frequency() -> None:
    counts = {f"c{index:02}": 200 - 5 * index for index in range(30)}
    item = Discrete.grouped("city", counts)
    sums = list(group_counts(item).values())[:10]

    assert [group.name for group in item.groups][:3] == ["c00 and 1 more", "c02 and 1 more", "c04 and 1 more"]
    assert item.categories == tuple(counts)
    assert max(sums) < 1.5 * min(sums)
    assert group_counts(item)["__rare__"] == 0


@pytest.mark.parametrize("number", [9, 10])
def test_up_to_ten_categories_have_groups_of_their_own(number: int) -> None:
    counts = {f"c{index}": 20 - index for index in range(number)}

    assert list(group_counts(Discrete.grouped("x", counts)))[:number] == list(counts)


def test_moments_share_groups_with_their_neighbours() -> None:
    counts = {f"2024-01-{day:02}": 5 + day % 2 for day in range(1, 31)}
    item = Discrete.grouped("day", counts, is_time=True)

    assert item.groups[0].name == "[2024-01-01,2024-01-03]"
    assert item.categories == tuple(counts)


@pytest.mark.parametrize("name", ["c00 and 1 more", "c00 and 2 more"])
def test_a_category_that_is_called_like_a_group_of_others_leaves_them_rare(name: str) -> None:
    """One name is of a group; with the other, a reader would take a smaller group for it."""
    counts = {f"c{index:02}": 100 - index for index in range(30)}
    assert "c00 and 2 more" in group_counts(Discrete.grouped("x", {**counts, "y": 1000}))
    counts[name] = 1000

    assert Discrete.grouped("x", counts) == Discrete.ordered("x", counts)


def test_each_category_is_in_one_group() -> None:
    with pytest.raises(BaselineError, match=r"^The groups of 'x' must hold each category once, got sizes \(2, 2\)\.$"):
        Discrete("x", ("a", "b", "c"), (1, 1, 1), group_sizes=(2, 2))


def test_in_files_of_earlier_releases_the_eight_most_frequent_categories_are_groups() -> None:
    counts = {f"c{index:02}": 20 - index for index in range(12)}
    many = Discrete.ordered("many", counts, rare=5)

    assert group_counts(many) == {
        **{f"c{index:02}": 20 - index for index in range(8)},
        "__rare__": 12 + 11 + 10 + 9 + 5,
        "__unseen__": 0,
        "__missing__": 0,
        "__invalid__": 0,
    }


@given(continuous() | discrete())
def test_every_row_is_in_exactly_one_group(distribution: Distribution) -> None:
    spans = distribution.groups

    assert [span.start for span in spans] == [0, *[span.stop for span in spans[:-1]]]
    assert spans[-1].stop == len(distribution.cells)
    assert len({span.name for span in spans}) == len(spans)
    assert sum(group_counts(distribution).values()) == distribution.rows == sum(distribution.cells)


def test_categories_are_ordered_by_count_then_label() -> None:
    assert Discrete.ordered("x", {"b": 2, "a": 2, "c": 9}).categories == ("c", "a", "b")


@pytest.mark.parametrize(
    ("categories", "is_text", "values"),
    [
        (("1.0", "2.5"), False, (1.0, 2.5)),
        (("1.0", "two"), True, ("1.0", "two")),
        (('"1.0"', '"2.5"'), True, ("1.0", "2.5")),
        (('""', "a"), True, ("", "a")),
        ((), True, ()),
    ],
    ids=["numbers", "mixed", "quoted numbers", "empty text", "none"],
)
def test_labels_tell_texts_from_numbers(categories: tuple[str, ...], is_text: bool, values: tuple[Any, ...]) -> None:
    distribution = Discrete("x", categories, (1,) * len(categories))

    assert distribution.is_text is is_text
    assert distribution.values == values


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"upper_bounds": ()}, "'age' needs at least one bound, all of them finite, got []."),
        (
            {"upper_bounds": (0.0, 10.0, 20.0, math.inf)},
            "'age' needs at least one bound, all of them finite, got [0.0, 10.0, 20.0, inf].",
        ),
        (
            {"upper_bounds": (0.0, 20.0, 10.0, 30.0)},
            "The bounds of 'age' must increase strictly, got [0.0, 20.0, 10.0, 30.0].",
        ),
        ({"counts": (1, 2)}, "'age' has 4 bounds and 2 counts, expected one more."),
        ({"missing": -1}, "'age' has a count that is negative or more than 2**53: -1."),
        ({"missing": 2**60}, f"'age' has a count that is negative or more than 2**53: {2**60}."),
        ({"group_bounds": (30.0,)}, "The groups of 'age' must increase and end at its bounds, got (30.0,)."),
        (
            {"group_bounds": (0.0, 15.0, 30.0)},
            "The groups of 'age' must increase and end at its bounds, got (0.0, 15.0, 30.0).",
        ),
        (
            {"group_bounds": (20.0, 0.0, 30.0)},
            "The groups of 'age' must increase and end at its bounds, got (20.0, 0.0, 30.0).",
        ),
        ({"name": "\ud800"}, "The name '\\ud800' cannot be written in UTF-8."),
    ],
    ids=str,
)
def test_impossible_continuous_distributions_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BaselineError) as caught:
        replace(AGE, **change)
    assert str(caught.value) == message


def test_the_group_above_may_have_several_bins() -> None:
    """Its bins may tell scores on both sides of a threshold, which training rows do not reach, apart."""
    assert group_counts(replace(AGE, group_bounds=(0.0, 20.0))) == {
        "__below__": 0,
        "(0.0,20.0]": 12,
        "__above__": 4,
        "__missing__": 2,
        "__invalid__": 4,
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"counts": (1,)}, "'city' has 2 categories and 1 counts."),
        ({"categories": ("Bonn", "Bonn")}, "'city' has a category twice."),
        ({"rare": -1}, "'city' has a count that is negative or more than 2**53: -1."),
        ({"categories": ("Bonn", "\udfff")}, "The category of 'city' '\\udfff' cannot be written in UTF-8."),
    ],
    ids=str,
)
def test_impossible_discrete_distributions_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BaselineError) as caught:
        replace(CITY, **change)

    assert str(caught.value) == message


# --- merging ---------------------------------------------------------------------------------------------------------


@st.composite
def alike(draw: st.DrawFn, number: int) -> list[Distribution]:
    """Draw distributions of equal bins, or of equal categories in an equal order of frequency."""
    first = draw(continuous() | discrete())
    found: list[Distribution] = []
    for _ in range(number):
        if isinstance(first, Continuous):
            counts = draw(st.lists(COUNTS, min_size=len(first.counts), max_size=len(first.counts)))
            found.append(replace(first, counts=tuple(counts), missing=draw(COUNTS), invalid=draw(COUNTS)))
        else:
            ordered = sorted(
                draw(st.lists(COUNTS, min_size=len(first.counts), max_size=len(first.counts))), reverse=True
            )
            by_label = dict(zip(sorted(first.categories), ordered, strict=True))
            found.append(Discrete.ordered(first.name, by_label, rare=draw(COUNTS), missing=draw(COUNTS)))
    return found


@given(alike(3))
def test_merging_is_exact_commutative_and_associative(three: list[Distribution]) -> None:
    a, b, c = three

    assert merge(a, b) == merge(b, a)
    assert merge(merge(a, b), c) == merge(a, merge(b, c))
    assert merge(a, b).rows == a.rows + b.rows
    assert merge(a, b).shape == a.shape
    sums = {name: group_counts(a)[name] + number for name, number in group_counts(b).items()}
    assert group_counts(merge(a, b)) == sums


@pytest.mark.parametrize(
    "other",
    [
        replace(AGE, name="years"),
        replace(AGE, upper_bounds=(0.0, 11.0, 20.0, 30.0)),
        replace(AGE, width=32),
        replace(AGE, missing_texts=frozenset({"?"})),
        Discrete("age", ("1.0",), (1,)),
    ],
    ids=["name", "bins", "the width of its floats", "texts of missing values", "kind"],
)
def test_only_equal_bins_can_be_added(other: Distribution, request: pytest.FixtureRequest) -> None:
    with pytest.raises(BinMismatchError) as caught:
        merge(AGE, other)

    assert str(caught.value) == f"'age' differs in {request.node.callspec.id}. Only equal ones can be added."


def test_of_equal_bins_with_other_groups_these_follow_from_all_counts() -> None:
    """As two samples have them that were counted in bins which were given."""
    bounds = (-2.0, -1.0, 0.0, 1.0, 2.0)
    one, other = (
        built({"x": np.random.default_rng(seed).normal(by, 1, 300)}, bins={"x": bounds}).features[0]
        for seed, by in ((1, 0.0), (2, 5.0))
    )
    assert isinstance(one, Continuous)
    assert isinstance(other, Continuous)
    assert one.group_bounds != other.group_bounds

    both = merge(one, other)
    assert isinstance(both, Continuous)
    assert both == merge(other, one)
    assert both.counts == tuple(map(sum, zip(one.counts, other.counts, strict=True)))
    assert both.group_bounds == even_groups(bounds, both.counts)


def test_categories_of_another_order_among_the_groups_can_be_added() -> None:
    other = Discrete.ordered("city", {"Ulm": 50, "Bonn": 1})

    assert merge(CITY, other) == Discrete("city", ("Ulm", "Bonn"), (53, 6), rare=2, missing=1)


def test_categories_that_would_change_groups_cannot_be_added() -> None:
    counts = {f"c{index}": 20 - index for index in range(9)}
    with pytest.raises(BinMismatchError, match=r"^'x' differs in groups of categories\. Only equal ones"):
        merge(Discrete.ordered("x", counts), Discrete.ordered("x", {**counts, "c8": 99}))


def test_groups_of_neighbours_follow_from_all_counts() -> None:
    one = {f"{hour}.0": 100 for hour in range(24)}
    other = {**one, "3.0": 5000}
    both = merge(Discrete.grouped("hour", one), Discrete.grouped("hour", other))

    assert both == Discrete.grouped("hour", {hour: rows + other[hour] for hour, rows in one.items()})
    assert "3.0" in group_counts(both)


def test_sums_of_moments_stay_moments() -> None:
    day = Discrete("day", ("2024-01-01",), (3,), width=32, is_time=True, missing_texts=frozenset({"?"}))

    assert merge(day, day) == replace(day, counts=(6,))


def test_baselines_add_variable_by_variable() -> None:
    one = Baseline((AGE, CITY), (), 22, "m", "v1", 100)
    two = replace(one, version="v2", created=200)

    assert one.merge(two) == Baseline((merge(AGE, AGE), merge(CITY, CITY)), (), 44, "m", None, 200)
    assert one.merge(replace(one, created=5)).version == "v1"


def test_effects_of_groups_that_differ_are_not_added() -> None:
    score = Continuous("y", (0.0, 1.0), (0, 5, 0), (0.0, 1.0))
    means, effects = (0.0, 1.0, 0.0), ((0.0,) * 14,) * 3
    validation = RegressionValidation("y", (0.0, 1.0), (0, 5, 0), means, means, means, (1.0,), (5, 0), effects)
    one, other = (
        Baseline(
            (Discrete.grouped("hour", {f"{hour}.0": 5 for hour in range(23)} | {"23.0": last}),),
            (score,),
            5,
            validation=validation,
        )
        for last in (5, 500)
    )

    for right, kept in ((one, effects), (other, None)):
        merged = one.merge(right).validation
        assert merged is not None
        assert merged.effects == kept


@given(baselines().filter(lambda baseline: baseline.rows < 2**39))
def test_a_baseline_and_itself_have_twice_the_rows(baseline: Baseline) -> None:
    merged = baseline.merge(baseline)

    assert merged.rows == 2 * baseline.rows
    assert [item.cells for item in merged.features] == [
        tuple(2 * cell for cell in item.cells) for item in baseline.features
    ]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (Baseline((AGE,), (), 22), "One baseline has 2 variables where the other has 1."),
        (Baseline((AGE, CITY), (AGE,), 22), "One baseline has 0 variables where the other has 1."),
        (Baseline((AGE, CITY), (), 22, "b"), "One baseline is of model 'default', the other of 'b'."),
    ],
    ids=["features", "outputs", "model"],
)
def test_baselines_of_other_variables_or_models_cannot_be_added(other: Baseline, message: str) -> None:
    with pytest.raises(BinMismatchError) as caught:
        Baseline((AGE, CITY), (), 22).merge(other)

    assert str(caught.value) == message


# --- identity --------------------------------------------------------------------------------------------------------


def test_the_fingerprint_is_of_the_distributions_alone() -> None:
    baseline = Baseline((AGE, CITY), (), 22)

    assert len(baseline.fingerprint) == 12
    assert set(baseline.fingerprint) <= set("0123456789abcdef")
    assert baseline.fingerprint == Baseline((AGE, CITY), (), 1, "other", "v9", 77).fingerprint


@pytest.mark.parametrize(
    "other",
    [
        Baseline((CITY, AGE), (), 22),
        Baseline((AGE,), (CITY,), 22),
        Baseline((replace(AGE, missing=3), CITY), (), 22),
        Baseline((replace(AGE, group_bounds=(0.0, 30.0)), CITY), (), 22),
        Baseline((AGE, replace(CITY, name="town")), (), 22),
    ],
    ids=["order", "side", "count", "groups", "name"],
)
def test_another_content_has_another_fingerprint(other: Baseline) -> None:
    assert other.fingerprint != Baseline((AGE, CITY), (), 22).fingerprint


def test_one_name_may_be_a_feature_and_an_output_but_not_two_features() -> None:
    Baseline((AGE,), (AGE,), 22)
    with pytest.raises(BaselineError, match=r"^The baseline has the output 'age' 2 times\.$"):
        Baseline((), (AGE, AGE), 22)


@pytest.mark.parametrize("field", ["model", "version"])
def test_names_that_utf8_cannot_write_are_refused(field: str) -> None:
    odd: dict[str, Any] = {field: "\ud800"}
    with pytest.raises(BaselineError, match=r"'\\ud800' cannot be written in UTF-8\.$"):
        Baseline((AGE,), (), 22, **odd)
