"""The fairness report: rates of each group beside the ones of a reference group, with a verdict on each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from flask_boxkite.errors import BoxkiteError
from flask_boxkite.fairness.counts import MIXED, GroupCounts, largest
from flask_boxkite.fairness.coverage import OutcomeCoverage
from flask_boxkite.fairness.shares import Share
from flask_boxkite.fairness.verdict import (
    MEASURES,
    WORST_FIRST,
    Comparison,
    FairnessVerdict,
    Limits,
    Measure,
    compare,
    number_of_tests,
    worst,
)
from flask_boxkite.fairness.wording import as_markdown, as_text
from flask_boxkite.suggestion import suggestion

__all__ = ["ALPHA", "FairnessReport", "GroupReport", "fairness_report"]

ALPHA = 0.001
"""Default probability that groups which are treated equally get the verdict ``unequal``: once in three years of daily
reports."""


@dataclass(frozen=True)
class GroupReport:
    """One group. Each number is None where it is not defined; ends are of intervals of 95 %.

    Attributes:
        name: Value that the rows of the group share, or its group of values; ``__rare__`` for all smaller groups
            together, ``__missing__`` and ``__invalid__`` for rows without a value.
        text: Name for people.
        rows: Number of rows.
        selected: Number of these that the model selected.
        selection_rate: Selected rows by rows.
        selection_rate_low: Lower end of its interval.
        selection_rate_high: Upper end of its interval.
        outcomes: Number of rows with an outcome.
        positives: Number of these that are actual positives.
        true_positives: Number of actual positives that the model selected.
        true_positive_rate: True positives by positives.
        true_positive_rate_low: Lower end of its interval.
        true_positive_rate_high: Upper end of its interval.
        dispersion: Number of rows that count as one, since rows recur or are alike.
        positive_dispersion: Number of actual positives that count as one.
        unread: Number of further answered rows whose output cannot be read.
        unread_outcomes: Number of rows with an outcome whose output, or whose actual value, cannot be read.
        comparisons: Measures beside the reference; none of the reference itself.
        verdict: Worst verdict of its measures, where ``not enough data`` is worse than ``within limits``; None of the
            reference.
    """

    name: str
    text: str
    rows: int
    selected: int
    selection_rate: float | None
    selection_rate_low: float | None
    selection_rate_high: float | None
    outcomes: int
    positives: int
    true_positives: int
    true_positive_rate: float | None
    true_positive_rate_low: float | None
    true_positive_rate_high: float | None
    dispersion: float
    positive_dispersion: float
    unread: int
    unread_outcomes: int
    comparisons: tuple[Comparison, ...]
    verdict: FairnessVerdict | None

    def __getitem__(self, measure: Measure) -> Comparison:
        """Return the measure of that name.

        Raises:
            KeyError: There is none, as of the reference, or of true positive rates without outcomes.
        """
        for item in self.comparisons:
            if item.measure == measure:
                return item
        msg = f"No measure {measure!r} of group {self.name!r}. "
        raise KeyError(msg + suggestion(measure, [item.measure for item in self.comparisons]))


@dataclass(frozen=True, repr=False)
class FairnessReport:
    """All groups, the reference first, then the worst verdicts; an immutable value, which can be kept and shared.

    Attributes:
        by: Column of the groups.
        model: Name of the model.
        baseline: Fingerprint of its baseline.
        window: Period of the records.
        alpha: Probability that groups which are treated equally get the verdict ``unequal``.
        limits: Sizes from which a difference counts.
        reference: Name of the group that others are compared with; None if there is none.
        positive: Label of the actual value that a selected row is predicted to have; None if it is not known.
        selection: Rows that count as selected, in words.
        groups: Groups.
        unread: Number of answered rows that are in no rate, because their output cannot be read.
        has_outcomes: Whether actual values are known, so that true positive rates are compared.
        rejected: Number of outcomes that were not counted, by reason; empty without outcomes.
        coverage: Rows with an outcome, by selection; None without outcomes. If only selected rows have one, or only
            others, no rate can be told from them, and verdicts say so.
        note: Note on outcomes that cannot be read: how they look, and which values are known; or empty.
    """

    by: str
    model: str
    baseline: str
    window: str | None
    alpha: float
    limits: Limits
    reference: str | None
    positive: str | None
    selection: str
    groups: tuple[GroupReport, ...]
    unread: int = 0
    has_outcomes: bool = False
    rejected: Mapping[str, int] = field(default_factory=dict)
    coverage: OutcomeCoverage | None = None
    note: str = ""

    def __getitem__(self, name: str) -> GroupReport:
        """Return the group of that name, or of that name for people.

        Raises:
            KeyError: There is none.
        """
        for group in self.groups:
            if name in (group.name, group.text):
                return group
        msg = f"No group {name!r}. {suggestion(name, [group.name for group in self.groups])}"
        raise KeyError(msg)

    def __iter__(self) -> Iterator[GroupReport]:
        return iter(self.groups)

    @property
    def verdict(self) -> FairnessVerdict:
        """The worst verdict of all groups; ``within limits`` only if all of them are."""
        return worst([group.verdict for group in self.groups if group.verdict is not None])

    @property
    def unequal(self) -> tuple[GroupReport, ...]:
        """The groups with the verdict ``unequal``."""
        return tuple(group for group in self.groups if group.verdict == "unequal")

    def to_rows(self) -> list[dict[str, Any]]:
        """Return one flat dict for each measure of each group, as ``pandas.DataFrame(...)`` takes them.

        Keys: ``group``, the numbers of `GroupReport`, ``group_verdict``, and the keys of `Comparison`, which are None
        of the reference.
        """
        nothing = dict.fromkeys(Comparison.__dataclass_fields__)
        rows = []
        for group in self.groups:
            own = _group_dict(group)
            comparisons = own.pop("comparisons") or [nothing]
            about = {"group": own.pop("name"), "group_verdict": own.pop("verdict"), **own}
            rows += [about | item for item in comparisons]
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values: neither NaN nor infinity, but None for a number that does not exist.

        Keys: the names of the attributes, and ``verdict``. ``limits`` is a dict with ``ratio`` and ``difference``,
        ``coverage`` is one with the attributes of `OutcomeCoverage`, or None. ``groups`` are dicts, see `GroupReport`,
        whose ``comparisons`` are dicts, see `Comparison`. Keys may be added, in a later release; none goes or changes
        its meaning.
        """
        return {
            "by": self.by,
            "model": self.model,
            "baseline": self.baseline,
            "window": self.window,
            "alpha": self.alpha,
            "limits": asdict(self.limits),
            "reference": self.reference,
            "positive": self.positive,
            "selection": self.selection,
            "verdict": self.verdict,
            "unread": self.unread,
            "has_outcomes": self.has_outcomes,
            "rejected": dict(self.rejected),
            "coverage": None if self.coverage is None else asdict(self.coverage),
            "note": self.note or None,
            "groups": list(map(_group_dict, self.groups)),
        }

    def to_markdown(self) -> str:
        """Return a Markdown table of the groups."""
        return as_markdown(self.to_dict())

    def __str__(self) -> str:
        """Return tables of at most 100 columns."""
        return as_text(self.to_dict())

    __repr__ = __str__


def _group_dict(group: GroupReport) -> dict[str, Any]:
    comparisons = [{**asdict(item), "reason": item.reason or None} for item in group.comparisons]
    return {**asdict(group), "comparisons": comparisons}


def fairness_report(
    groups: Sequence[GroupCounts],
    *,
    by: str,
    model: str,
    baseline: str,
    selection: str,
    positive: str | None = None,
    reference: str | None = None,
    alpha: float = ALPHA,
    limits: Limits | None = None,
    has_outcomes: bool = False,
    window: str | None = None,
    unread: int = 0,
    rejected: Mapping[str, int] | None = None,
    coverage: OutcomeCoverage | None = None,
    are_all_known: bool = False,
    note: str = "",
) -> FairnessReport:
    """Compare groups with a reference.

    Args:
        groups: Counts of each group.
        by: Column of the groups.
        model: Name of the model.
        baseline: Fingerprint of its baseline.
        selection: Rows that count as selected, in words.
        positive: Label of the actual value that a selected row is predicted to have.
        reference: Name of the reference; None for the group with most rows, of those that have a value.
        alpha: Probability that groups which are treated equally get the verdict ``unequal``, divided among groups and
            rates.
        limits: Sizes from which a difference counts; None for the usual ones.
        has_outcomes: Whether actual values are known.
        window: Period of the rows.
        unread: Number of rows that count in no group.
        rejected: Number of outcomes that were not counted, by reason.
        coverage: Rows with an outcome, by selection; None without outcomes.
        are_all_known: Whether only rows with an outcome are in the counts, since it says the group.
        note: Note on outcomes that cannot be read.

    Raises:
        BoxkiteError: There is no group of the name *reference*.
    """
    limits = Limits() if limits is None else limits
    chosen = largest(list(groups)) if reference is None else _named(groups, reference)
    others = [] if chosen is None else [group for group in groups if group is not chosen]
    found = []
    flaw = "" if coverage is None else coverage.flaw
    flaws = dict.fromkeys(MEASURES if are_all_known else MEASURES[-1:], flaw)
    if chosen is not None:
        each = alpha / number_of_tests(others, chosen)
        for group in others:
            compared = compare(group, chosen, alpha=each, limits=limits, has_outcomes=has_outcomes, flaws=flaws)
            found.append(_group(group, compared, worst([item.verdict for item in compared])))
        found.sort(key=lambda group: (WORST_FIRST.index(group.verdict or "within limits"), -group.rows))
        found.insert(0, _group(chosen, (), None))
    else:
        found = [_group(group, (), None) for group in groups]
    return FairnessReport(
        by,
        model,
        baseline,
        window,
        alpha,
        limits,
        None if chosen is None else chosen.name,
        positive,
        selection,
        tuple(found),
        unread,
        has_outcomes,
        dict(rejected or {}),
        coverage,
        note,
    )


def _named(groups: Sequence[GroupCounts], name: str) -> GroupCounts:
    for group in groups:
        if name in (group.name, group.text):
            return group
    known = [group.name for group in groups if group.name not in MIXED]
    msg = f"'reference' names no group with rows: {name!r}. {suggestion(name, known)}"
    raise BoxkiteError(msg)


def _group(counts: GroupCounts, comparisons: tuple[Comparison, ...], verdict: FairnessVerdict | None) -> GroupReport:
    selected, known = (
        Share(counts.selected, counts.rows, counts.dispersion),
        Share(counts.true_positives, counts.positives, counts.positive_dispersion),
    )
    return GroupReport(
        counts.name,
        counts.text or counts.name,
        counts.rows,
        counts.selected,
        *selected.estimate,
        counts.outcomes,
        counts.positives,
        counts.true_positives,
        *known.estimate,
        counts.dispersion,
        counts.positive_dispersion,
        counts.unread,
        counts.unread_outcomes,
        comparisons,
        verdict,
    )
