"""Verdicts: are two groups treated unequally? Two questions, two numbers, one verdict.

A test says whether the difference is more than chance, and a limit says whether it is large. A group is ``within
limits`` only if its interval is, so a group of few rows is never called equal for want of rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from flask_boxkite.fairness.counts import GroupCounts
from flask_boxkite.fairness.doubt import Ends, ends_of_selected, ends_of_true_positives
from flask_boxkite.fairness.shares import Interval, Share, chance_of, difference, quotient
from flask_boxkite.suggestion import counted

__all__ = [
    "MEASURES",
    "MINIMUM_ROWS",
    "WORST_FIRST",
    "Comparison",
    "FairnessVerdict",
    "Limits",
    "Measure",
    "compare",
    "number_of_tests",
    "worst",
]

FairnessVerdict: TypeAlias = Literal["not enough data", "within limits", "unequal"]
Measure: TypeAlias = Literal["statistical_parity_difference", "disparate_impact", "equal_opportunity_difference"]

MEASURES: tuple[Measure, ...] = ("statistical_parity_difference", "disparate_impact", "equal_opportunity_difference")
"""Measures in the order in which they are shown: rate of the group less the reference's, group over reference, and true
positive rate of the group less the reference's."""

WORST_FIRST: tuple[FairnessVerdict, ...] = ("unequal", "not enough data", "within limits")
"""Order of verdicts: groups that are not shown to be equal come before groups that are."""

MINIMUM_ROWS = 30
"""Least number of rows (of actual positives, for their rate) in either group for a verdict."""


@dataclass(frozen=True)
class Limits:
    """Sizes from which a difference that is more than chance counts.

    Attributes:
        ratio: Least ratio of two rates, whichever is the smaller one: 0.8 is the four-fifths rule.
        difference: Largest difference of two rates, in either direction.

    References:
        Uniform Guidelines on Employee Selection Procedures, 29 CFR 1607.4 D, 1978 (four fifths).
    """

    ratio: float = 0.8
    difference: float = 0.1

    def excludes(self, measure: Measure, value: float) -> bool:
        """Say whether a value of a measure is beyond its limit."""
        if measure == "disparate_impact":
            return not self.ratio <= value <= 1 / self.ratio
        return not -self.difference <= value <= self.difference


@dataclass(frozen=True)
class Comparison:
    """One measure of a group beside the reference.

    Attributes:
        measure: Name of the measure, of `MEASURES`.
        value: The measure; None where it is not defined, or infinite.
        low: Lower end of its interval of 95 %; None likewise.
        high: Upper end; None likewise.
        chance: Probability of such a difference, or a larger one, between groups that are treated equally; None without
            enough rows.
        verdict: ``unequal``, ``not enough data`` or ``within limits``.
        reason: Reason for ``not enough data``; empty for other verdicts.
    """

    measure: Measure
    value: float | None
    low: float | None
    high: float | None
    chance: float | None
    verdict: FairnessVerdict
    reason: str


def compare(
    group: GroupCounts,
    reference: GroupCounts,
    *,
    alpha: float,
    limits: Limits,
    has_outcomes: bool,
    flaws: Mapping[Measure, str] | None = None,
) -> tuple[Comparison, ...]:
    """Compare a group with the reference. No verdict stands that rows which cannot be read could change.

    Args:
        group: Counts of the group.
        reference: Counts of the reference.
        alpha: Probability that one test of two equal rates calls them different.
        limits: Limits of size.
        has_outcomes: Whether actual values are known of any group, so that true positive rates are compared.
        flaws: Reasons for which a measure has ``not enough data``, with any counts.

    >>> women, men = GroupCounts("women", 4000, 1240), GroupCounts("men", 5000, 2600)
    >>> [item.verdict for item in compare(women, men, alpha=0.001, limits=Limits(), has_outcomes=False)]
    ['unequal', 'unequal']
    """
    selected, known = _selected(group), _true_positives(group)
    others, other_known = _selected(reference), _true_positives(reference)
    found = [
        _compared("statistical_parity_difference", difference, selected, others, alpha, limits),
        _compared("disparate_impact", quotient, selected, others, alpha, limits),
    ]
    if has_outcomes:
        found.append(_compared("equal_opportunity_difference", difference, known, other_known, alpha, limits))
    reasons = {} if flaws is None else flaws
    return tuple(
        replace(item, chance=None, verdict="not enough data", reason=reason)
        if (reason := reasons.get(item.measure) or _doubt(item, group, reference, alpha, limits))
        else item
        for item in found
    )


def _doubt(item: Comparison, group: GroupCounts, reference: GroupCounts, alpha: float, limits: Limits) -> str:
    """Return the reason for which a verdict does not stand: rows that cannot be read could change it; else empty."""
    if item.verdict == "not enough data":
        return ""
    if item.measure == "equal_opportunity_difference":
        ends_of, unread = ends_of_true_positives, group.unread_outcomes + reference.unread_outcomes
        what = f"the outputs or outcomes of {counted(unread, 'row')} cannot be read"
    else:
        ends_of, unread = ends_of_selected, group.unread + reference.unread
        what = f"the outputs of {counted(unread, 'row')} cannot be read"
    if not unread or _is_sure(item, ends_of(group), ends_of(reference), alpha, limits):
        return ""
    return f"{what}, too many for a verdict"


def _is_sure(item: Comparison, own: Ends, reference: Ends, alpha: float, limits: Limits) -> bool:
    """Say whether both ends have the same verdict, and if it is unequal, in the same direction."""
    is_ratio = item.measure == "disparate_impact"
    found = set()
    for share, other in ((own[0], reference[1]), (own[1], reference[0])):
        size = (quotient if is_ratio else difference)(share, other)
        verdict, _ = _verdict(item.measure, size, chance_of(share, other), alpha, limits)
        found.add((verdict, verdict == "unequal" and size.value > is_ratio))
    return len(found) == 1 and {item.verdict} == {verdict for verdict, _ in found}


def number_of_tests(groups: Sequence[GroupCounts], reference: GroupCounts) -> int:
    """Return the number of tests among which alpha is divided, at least 1.

    Difference and ratio are two sizes of one difference of rates, and rest on the same test.

    Args:
        groups: All groups that are compared with the reference.
        reference: The reference.
    """
    shares = [(_selected(group), _selected(reference)) for group in groups]
    shares += [(_true_positives(group), _true_positives(reference)) for group in groups]
    return max(sum(_are_enough(own, other) for own, other in shares), 1)


def worst(verdicts: Sequence[FairnessVerdict]) -> FairnessVerdict:
    """Return the worst of several verdicts; ``not enough data`` for none."""
    return min(verdicts, key=WORST_FIRST.index, default="not enough data")


def _selected(group: GroupCounts) -> Share:
    return Share(group.selected, group.rows, group.dispersion)


def _true_positives(group: GroupCounts) -> Share:
    return Share(group.true_positives, group.positives, group.positive_dispersion)


def _compared(
    measure: Measure,
    size: Callable[[Share, Share], Interval],
    share: Share,
    reference: Share,
    alpha: float,
    limits: Limits,
) -> Comparison:
    if not share.rows or not reference.rows:
        return Comparison(measure, None, None, None, None, "not enough data", _too_few(measure, share, reference))
    found = size(share, reference)
    numbers = _finite(found.value), _finite(found.low), _finite(found.high)
    if not _are_enough(share, reference):
        return Comparison(measure, *numbers, None, "not enough data", _too_few(measure, share, reference))
    chance = chance_of(share, reference)
    verdict, reason = _verdict(measure, found, chance, alpha, limits)
    return Comparison(measure, *numbers, chance, verdict, reason)


def _verdict(
    measure: Measure, found: Interval, chance: float, alpha: float, limits: Limits
) -> tuple[FairnessVerdict, str]:
    if math.isnan(found.value):
        return "not enough data", "no row of either group is selected"
    if chance <= alpha and limits.excludes(measure, found.value):
        return "unequal", ""
    if any(limits.excludes(measure, end) for end in (found.low, found.high)):
        return "not enough data", "the interval reaches beyond the limit"
    return "within limits", ""


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _are_enough(share: Share, reference: Share) -> bool:
    return min(share.independent_rows, reference.independent_rows) >= MINIMUM_ROWS


def _too_few(measure: Measure, share: Share, reference: Share) -> str:
    noun = "positive" if measure == "equal_opportunity_difference" else "row"
    is_own = share.independent_rows < MINIMUM_ROWS
    few = share if is_own else reference
    alike = f" that count for {few.independent_rows:.0f}, since they are alike" if few.rows >= MINIMUM_ROWS else ""
    return f"{counted(few.rows, noun)}{'' if is_own else ' of the reference'}{alike}, where {MINIMUM_ROWS} are needed"
