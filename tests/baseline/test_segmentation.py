"""Segments are checked values, part of a baseline's identity; they add where their groups are equal."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from flask_boxkite import Baseline, BaselineError
from flask_boxkite.baseline import Continuous, Discrete, Distribution
from flask_boxkite.baseline.distribution import group_counts
from flask_boxkite.baseline.segment_baselines import segment_baselines, with_group_counts
from flask_boxkite.baseline.segmentation import (
    MOST_SEGMENTS,
    Segmentation,
    possible_segments,
    segment_of_cells,
)
from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.baseline.training.options import BaselineOptions
from tests.baseline.strategies import continuous, discrete

AGE = Continuous("age", (0.0, 10.0, 20.0, 30.0), (0, 5, 7, 3, 1), (0.0, 10.0, 30.0), missing=2, invalid=4)
CITY = Discrete("city", ("Bonn", "Ulm"), (12, 7), rare=2, missing=1)
SCORE = Continuous("age", (0.25, 0.5), (3, 14, 5), (0.25, 0.5))
GROUPS = sum(len(item.groups) for item in (AGE, CITY, SCORE))
COUNTS = tuple(tuple(range(start, start + GROUPS)) for start in (0, 100, 1000))
BY_CITY = Segmentation(1, ("Bonn", "Ulm"), COUNTS, (0.0, 0.5, None))
REMEDY = "Count the rows of both in one baseline, as Baseline.from_chunks() does."
BASELINE = Baseline((AGE, CITY), (SCORE,), 22, segmentations=(BY_CITY,))


# --- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"segments": ()}, "A variable has 1 to 10 different segments, got ()."),
        ({"segments": ("Bonn", "Bonn")}, "A variable has 1 to 10 different segments, got ('Bonn', 'Bonn')."),
        ({"segments": tuple("abcdefghijk")}, "A variable has 1 to 10 different segments, got ('a', 'b',"),
        ({"segments": ("Bonn",)}, "2 segments need as many counts and probabilities, got ("),
        ({"collisions": (0.0, 0.0)}, "3 segments need as many counts and probabilities, got ("),
        ({"counts": (*COUNTS[:2], COUNTS[2][1:])}, "3 segments need as many counts and probabilities, got ("),
        ({"counts": (*COUNTS[:2], (-1, *COUNTS[2][1:]))}, "Counts of segments must not be negative, got ("),
    ],
    ids=["none", "twice", "eleven", "one name", "two probabilities", "other groups", "negative"],
)
def test_what_are_no_segments_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BaselineError, match=f"^{re.escape(said)}"):
        replace(BY_CITY, **changes)


@pytest.mark.parametrize(
    "item",
    [replace(BY_CITY, variable=3), replace(BY_CITY, counts=tuple(own[1:] for own in COUNTS))],
    ids=["another variable", "other groups"],
)
def test_a_baseline_has_no_segments_of_others(item: Segmentation) -> None:
    with pytest.raises(BaselineError) as caught:
        replace(BASELINE, segmentations=(item,))
    assert str(caught.value) == f"The baseline has 3 variables and {GROUPS} groups, and segments of others."


def test_a_segmentation_says_its_names_and_is_found_by_its_variable() -> None:
    of_output = Segmentation(2, (SCORE.groups[1].name,), COUNTS[:2], (None, None))
    baseline = replace(BASELINE, segmentations=(BY_CITY, of_output))

    assert BY_CITY.names == ("Bonn", "Ulm", "__rare__")
    assert BY_CITY.side_and_name(BASELINE.variables) == ("feature", "city")
    assert baseline.segmentation_by("city") is BY_CITY
    assert baseline.segmentation_by("age") is of_output
    assert baseline.segmentation_by("town") is None
    of_feature = Segmentation(0, (AGE.groups[1].name,), COUNTS[:2], (None, None))
    assert replace(BASELINE, segmentations=(of_output, of_feature)).segmentation_by("age") is of_feature


def test_segments_are_part_of_the_identity() -> None:
    alone = replace(BASELINE, segmentations=())
    others = [
        replace(BY_CITY, variable=0),
        replace(BY_CITY, segments=("Ulm", "Bonn")),
        replace(BY_CITY, counts=COUNTS[::-1]),
    ]

    found = {replace(BASELINE, segmentations=(item,)).fingerprint for item in (BY_CITY, *others)}
    assert len(found | {alone.fingerprint}) == 5
    assert alone.fingerprint == Baseline((AGE, CITY), (SCORE,), 22).fingerprint
    assert replace(BASELINE, version="v9", rows=1).fingerprint == BASELINE.fingerprint


# --- segments of a variable ------------------------------------------------------------------------------------------

INTERVALS = [group.name for group in AGE.groups if group.name[0] == "("]


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (AGE, tuple(INTERVALS)),
        (Continuous("x", (1.0, 2.0), (0, 5, 0), (1.0, 2.0)), ("(1.0,2.0]",)),
        (Continuous("x", (1.0, 2.0, 3.0), (0, 5, 0, 0), (1.0, 2.0, 3.0)), ("(1.0,2.0]",)),
        (CITY, ("Bonn", "Ulm")),
        (Discrete("x", tuple("abcdefghijkl"), tuple(range(1, 13))), tuple("lkjihgfedc")),
        (Discrete("x", ("1.0", "2.5"), (3, 9), rare=4), ("2.5", "1.0")),
        (Discrete("x", (), (), rare=9), ()),
    ],
    ids=["numbers", "one group", "an empty group", "texts", "many texts", "some numbers", "only rare ones"],
)
def test_segments_are_filled_groups_or_the_most_frequent_values(item: Distribution, expected: tuple[str, ...]) -> None:
    assert possible_segments(item) == expected


@given(continuous() | discrete())
def test_each_cell_is_in_the_segment_of_its_group_or_among_all_others(item: Distribution) -> None:
    segments = possible_segments(item)
    numbers = segment_of_cells(item, segments)

    assert len(segments) <= MOST_SEGMENTS
    assert len(numbers) == len(item.cells)
    assert set(numbers) <= set(range(len(segments) + 1))
    assert set(range(len(segments))) <= set(numbers)
    if not isinstance(item, Discrete):
        for group in item.groups:
            expected = segments.index(group.name) if group.name in segments else len(segments)
            assert set(numbers[group.start : group.stop]) <= {expected}
    # Missing and invalid values are in no segment of their own, and neither are rare or unseen ones.
    special = 2 if isinstance(item, Continuous) else 4
    assert set(numbers[-special:]) == {len(segments)}


@given(continuous() | discrete())
def test_a_baseline_of_groups_has_the_same_groups_and_other_counts(item: Distribution) -> None:
    whole = Baseline((item,), (), sum(item.cells))
    counts = list(range(3, 3 + len(item.groups)))
    (found,) = with_group_counts(whole, counts).features

    assert [group.name for group in found.groups] == [group.name for group in item.groups]
    assert list(group_counts(found, found.cells)) == counts
    assert with_group_counts(whole, group_counts(item, item.cells)).features[0].rows == sum(item.cells)


def test_a_segment_has_the_rows_of_any_variable_whose_rows_are_known() -> None:
    counts = tuple((*own[: len(AGE.groups)], *[0] * (GROUPS - len(AGE.groups))) for own in COUNTS)
    bonn, *_ = segment_baselines(BASELINE, replace(BY_CITY, counts=counts))

    assert bonn.rows == sum(range(len(AGE.groups)))
    assert [sum(item.cells) for item in bonn.distributions] == [bonn.rows, 0, 0]
    assert (bonn.segmentations, bonn.pairs, bonn.row_collisions) == ((), (), 0.0)


# --- sums ------------------------------------------------------------------------------------------------------------


def of_cities(seed: int, share: float = 0.3) -> Baseline:
    """Train on a text, of which one value has this share, and numbers; segments are by both."""
    rng = np.random.default_rng(seed)
    columns = {
        "city": rng.choice(["Bonn", "Ulm"], 400, p=[1 - share, share]).tolist(),
        "visits": rng.integers(0, 3, 400).tolist(),
    }
    return build_baseline(columns, segments=["city", "visits"], pairs=False, progress=False)


def by_name(baseline: Baseline) -> dict[tuple[int, str], dict[tuple[str, str], int]]:
    """Return the rows of each segment by variable and group."""
    groups = [(item.name, group.name) for item in baseline.distributions for group in item.groups]
    return {
        (item.variable, segment): dict(zip(groups, counts, strict=True))
        for item in baseline.segmentations
        for segment, counts in zip(item.names, item.counts, strict=True)
    }


@pytest.mark.parametrize("share", [0.3, 0.7], ids=["the same order", "another order"])
def test_segments_of_two_samples_add(share: float) -> None:
    """Also where other categories are the most frequent."""
    one, other = of_cities(1), of_cities(2, share)
    merged = one.merge(other)
    mine, theirs, both = map(by_name, (one, other, merged))

    assert both == {
        segment: {group: counts[group] + theirs[segment][group] for group in both[segment]}
        for segment, counts in mine.items()
    }
    assert merged == other.merge(one)
    assert merged.fingerprint == other.merge(one).fingerprint
    for item in merged.segmentations:
        assert sum(own.rows for own in segment_baselines(merged, item)) == merged.rows == 800
        assert [own.distributions[item.variable].rows for own in segment_baselines(merged, item)] == [
            sum(
                count
                for (name, _), count in both[item.variable, segment].items()
                if name == merged.distributions[item.variable].name
            )
            for segment in item.names
        ]


def test_rows_are_equal_as_often_as_in_the_sample_of_more_equal_ones() -> None:
    """If the probability is unknown in one, so it is in the sum."""
    other = replace(BASELINE, segmentations=(replace(BY_CITY, collisions=(0.25, 0.0, 0.0)),))
    (item,) = BASELINE.merge(other).segmentations

    assert item.collisions == (0.25, 0.5, None)


def test_segments_that_only_one_has_are_left_out_of_the_sum(caplog: pytest.LogCaptureFixture) -> None:
    one, other = of_cities(1), of_cities(2)
    _, by_visits = other.segmentations

    for segmentations, left, lost in (((by_visits,), [1], ["city"]), ((), [], ["city", "visits"])):
        changed = replace(other, segmentations=segmentations)
        assert [item.variable for item in one.merge(changed).segmentations] == left
        assert [item.variable for item in changed.merge(one).segmentations] == left
        text = (
            f"has no segments by {', '.join(map(repr, lost))}, which one of them lacks. Make both with segments={lost}."
        )
        assert set(caplog.messages) == {f"The sum of two baselines {text}"}
        caplog.clear()


def group_rows(baseline: Baseline, segment: str, by: str, name: str) -> dict[str, int]:
    """Return the rows of training of one segment by the groups of one variable."""
    item = baseline.segmentation_by(by)
    assert item is not None
    own = segment_baselines(baseline, item)[item.names.index(segment)]
    (variable,) = (each for each in own.distributions if each.name == name)
    names = [group.name for each in baseline.distributions if each.name == name for group in each.groups]
    return dict(zip(names, group_counts(variable, variable.cells), strict=True))


def test_a_segment_that_only_one_has_is_among_all_others_in_the_sum(caplog: pytest.LogCaptureFixture) -> None:
    """Of more than ten categories, each sample has the ten most frequent."""
    towns = [f"t{number}" for number in range(12)]

    def of_towns(order: list[str]) -> dict[str, list[Any]]:
        town = [name for number, name in enumerate(order) for _ in range(40 - 2 * number)]
        return {"town": town, "size": [number % 3 for number in range(len(town))]}

    both = of_towns(towns), of_towns(towns[::-1])
    one, other = (build_baseline(each, segments=["town"], pairs=False, progress=False) for each in both)
    merged = one.merge(other)
    assert merged == other.merge(one)
    (item,) = merged.segmentations
    assert set(item.segments) == set(towns[2:-2])

    rows = [pair for each in both for pair in zip(each["town"], each["size"], strict=True)]
    for name in item.names:
        own = [size for town, size in rows if town == name or (name == "__rare__" and town not in item.segments)]
        found = group_rows(merged, name, "town", "size")
        assert {size: found[f"{size}.0"] for size in range(3)} == {size: own.count(size) for size in range(3)}
    text = "The sum of two baselines counts 4 of their segments by 'town' among all others, as they differ in both."
    assert set(caplog.messages) == {f"{text} {REMEDY}"}


def of_given_bins(seed: int, move: float = 0.0) -> tuple[dict[str, Any], Baseline]:
    """Train on numbers in bins that are given, whose groups follow from the rows of each sample."""
    rng = np.random.default_rng(seed)
    city = rng.choice(["Bonn", "Ulm"], 1000, p=[0.45 + 0.01 * seed, 0.55 - 0.01 * seed])
    age = rng.normal(np.where(city == "Ulm", 50, 40) + move, 10)
    floor = rng.choice(12, 1000, p=np.linspace(1, 4, 12) / 30)
    columns = {"city": city.tolist(), "age": age.tolist(), "floor": floor.tolist()}
    options = BaselineOptions.of(bins={"age": [float(bound) for bound in range(12, 90, 4)]}, discrete=["floor"])
    return columns, build_baseline(columns, None, options, segments=["city", "age"], pairs=False, progress=False)


def test_segments_add_where_groups_follow_from_the_rows_of_each(caplog: pytest.LogCaptureFixture) -> None:
    """The sum has groups that end where groups of both end, and each row of both is counted in them."""
    (mine, one), (theirs, other) = of_given_bins(1), of_given_bins(4)
    assert one.features[1].groups != other.features[1].groups
    merged = one.merge(other)
    assert merged == other.merge(one)
    assert not caplog.messages
    columns = {name: [*mine[name], *theirs[name]] for name in mine}

    for by in ("city", "age"):
        item = merged.segmentation_by(by)
        assert item is not None
        segments = [segment_of(merged, by, value) for value in columns[by]]
        assert set(item.segments) <= set(segments)
        for name, variable in product(item.names, ("city", "age", "floor")):
            own = Counter(
                segment_of(merged, variable, value)
                for value, segment in zip(columns[variable], segments, strict=True)
                if (segment if segment in item.segments else "__rare__") == name
            )
            found = group_rows(merged, name, by, variable)
            assert {group: rows for group, rows in found.items() if rows} == own


def segment_of(baseline: Baseline, name: str, value: Any) -> str:
    """Return the group of a value by its name, which says the values."""
    (item,) = (each for each in baseline.distributions if each.name == name)
    label = value if isinstance(value, str) else repr(float(value))
    for group in item.groups:
        if isinstance(item, Discrete) and label in item.categories[group.start : group.stop]:
            return group.name
        if not isinstance(item, Discrete) and group.name.startswith("("):
            lower, upper = group.name[1:-1].split(",")
            if float(lower) < value <= float(upper):
                return group.name
    assert not isinstance(item, Discrete)
    return "__below__" if value <= item.group_bounds[0] else "__above__"


def test_a_variable_whose_groups_have_little_in_common_has_no_rows_by_segment(
    caplog: pytest.LogCaptureFixture,
) -> None:
    (_, one), (_, other) = of_given_bins(1), of_given_bins(2, move=25.0)
    merged = one.merge(other)

    by_city = merged.segmentation_by("city")
    assert by_city is not None
    for own in segment_baselines(merged, by_city)[:2]:
        assert [item.rows for item in own.features] == [own.rows, 0, own.rows]
    assert (
        f"The sum of two baselines has no rows by segment of 'age', since groups differ in both. {REMEDY}"
        in caplog.messages
    )


def test_segments_whose_groups_all_differ_are_left_out_of_the_sum(caplog: pytest.LogCaptureFixture) -> None:
    bounds = (0.0, 10.0, 20.0, 30.0)
    one, other = (
        Continuous("age", bounds, (0, 5, 7, 3, 1), groups) for groups in ((0.0, 10.0, 30.0), (0.0, 20.0, 30.0))
    )
    counts = ((1, 2, 3, 4, 5, 0),) * 2

    def of(item: Continuous) -> Baseline:
        (name,) = (group.name for group in item.groups if group.start == 1)
        return Baseline((item,), (), 16, segmentations=(Segmentation(0, (name,), counts, (0.0, 0.0)),))

    assert of(one).merge(of(other)).segmentations == ()
    assert caplog.messages == [
        f"The sum of two baselines has no segments by 'age', since groups differ in both. {REMEDY}"
    ]


def test_a_baseline_and_itself_have_twice_the_counts() -> None:
    (item,) = BASELINE.merge(BASELINE).segmentations
    assert item == replace(BY_CITY, counts=tuple(tuple(2 * count for count in own) for own in COUNTS))
    assert not math.isnan(item.collisions[0] or 0.0)
