"""No verdict on groups stands that rows without a readable output or outcome could change."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from flask_boxkite.fairness.counts import GroupCounts
from flask_boxkite.fairness.verdict import FairnessVerdict, Limits, compare

ALPHA = 0.01
LIMITS = Limits()


def verdicts(group: GroupCounts, reference: GroupCounts) -> list[FairnessVerdict]:
    """Return the verdicts on parity, impact and opportunity."""
    return [item.verdict for item in compare(group, reference, alpha=ALPHA, limits=LIMITS, has_outcomes=True)]


def as_read(group: GroupCounts, selected: int) -> GroupCounts:
    """Return a group of whose unread rows so many turn out to be selected."""
    return replace(group, rows=group.rows + group.unread, selected=group.selected + selected, unread=0)


def with_outcomes(group: GroupCounts, found: int, missed: int) -> GroupCounts:
    """Return a group of whose unread outcomes some turn out to be true positives, or positives that were not found."""
    return replace(
        group,
        positives=group.positives + found + missed,
        true_positives=group.true_positives + found,
        unread_outcomes=0,
        maybe_found=0,
        maybe_missed=0,
    )


def direction(group: GroupCounts, reference: GroupCounts) -> float:
    return float(np.sign(group.selected / group.rows - reference.selected / reference.rows))


@pytest.mark.parametrize("seed", range(40))
def test_no_way_to_read_the_outputs_changes_a_verdict_that_stands(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = []
    for rate in rng.choice([0.2, 0.4, 0.45, 0.6], 2):
        rows = int(rng.integers(200, 3000))
        groups.append(GroupCounts("group", rows, int(rng.binomial(rows, rate)), unread=int(rng.integers(0, 12))))
    said = verdicts(*groups)[:2]
    for chosen in itertools.product(*(range(group.unread + 1) for group in groups)):
        read = [as_read(group, number) for group, number in zip(groups, chosen, strict=True)]
        for stands, found in zip(said, verdicts(*read)[:2], strict=True):
            assert stands in ("not enough data", found)
            assert stands != "unequal" or direction(*read) == direction(*groups)


@pytest.mark.parametrize("seed", range(40))
def test_no_way_to_read_the_outcomes_changes_a_verdict_that_stands(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = []
    for rate in rng.choice([0.5, 0.6, 0.8], 2):
        positives, found, missed = int(rng.integers(200, 2000)), int(rng.integers(0, 6)), int(rng.integers(0, 6))
        group = GroupCounts("group", 5000, 2000, 5000, positives, int(rng.binomial(positives, rate)))
        groups.append(replace(group, unread_outcomes=found + missed, maybe_found=found, maybe_missed=missed))
    said = verdicts(*groups)[2]
    ways = [itertools.product(range(group.maybe_found + 1), range(group.maybe_missed + 1)) for group in groups]
    for one, other in itertools.product(*ways):
        found_too = verdicts(with_outcomes(groups[0], *one), with_outcomes(groups[1], *other))[2]
        assert said in ("not enough data", found_too)


@pytest.mark.parametrize(
    ("unread", "expected"), [(0, "unequal"), (20, "unequal"), (90, "not enough data"), (900, "not enough data")]
)
def test_few_unread_rows_cost_no_verdict(unread: int, expected: str) -> None:
    group, reference = GroupCounts("F", 1000, 300), GroupCounts("M", 1000, 450)
    (parity, *_) = compare(replace(group, unread=unread), reference, alpha=ALPHA, limits=LIMITS, has_outcomes=False)
    assert parity.verdict == expected
    reason = f"the outputs of {unread} rows cannot be read, too many for a verdict"
    assert parity.reason == (reason if expected == "not enough data" else "")
    assert (parity.chance is None) is (expected == "not enough data")


@pytest.mark.parametrize("way", ["maybe_found", "maybe_missed"])
def test_equal_groups_are_not_called_so_on_some_outcomes(way: str) -> None:
    """A selected row with an unread outcome may be a true positive, another one a positive that was not found."""
    group = GroupCounts("F", 5000, 2000, 5000, 2000, 1400)
    assert verdicts(group, replace(group, name="M"))[2] == "within limits"
    doubtful = replace(group, unread_outcomes=900, **{way: 900})
    comparison = compare(doubtful, group, alpha=ALPHA, limits=LIMITS, has_outcomes=True)[2]
    assert comparison.verdict == "not enough data"
    assert comparison.reason == "the outputs or outcomes of 900 rows cannot be read, too many for a verdict"


def test_unequal_in_either_direction_is_no_verdict() -> None:
    """Both ends may be unequal, and the groups still be equal."""
    group, reference = GroupCounts("F", 400, 150, unread=500), GroupCounts("M", 1000, 450)
    assert verdicts(as_read(group, 0), reference)[0] == verdicts(as_read(group, 500), reference)[0] == "unequal"
    assert verdicts(group, reference)[0] == "not enough data"
