"""The state of all variables of a model: what a person reads, and what a program compares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from flask_boxkite.baseline import Baseline, Distribution
from flask_boxkite.drift.verdict import Judgement, Verdict, judge
from flask_boxkite.families import running_sum

__all__ = ["DriftReport", "VariableDrift", "drift_report"]

_ORDER: tuple[Verdict, ...] = ("major", "drifted", "shifted", "stable", "not enough data")


@dataclass(frozen=True)
class VariableDrift:
    """One variable.

    Attributes:
        name: Its name.
        side: ``feature`` or ``output``.
        baseline_rows: Training rows.
        live_rows: Live rows.
        judgement: Verdict and statistics.
        moved_most: The group whose share changed most.
        share_before: That group's share in training.
        share_now: Its share live; 0 if there are no rows.
    """

    name: str
    side: str
    baseline_rows: int
    live_rows: int
    judgement: Judgement
    moved_most: str
    share_before: float
    share_now: float

    @property
    def verdict(self) -> Verdict:
        """The decision."""
        return self.judgement.verdict


@dataclass(frozen=True)
class DriftReport:
    """All variables of a model, those that moved most first.

    Attributes:
        model: The model.
        baseline: Fingerprint of its baseline.
        variables: One per feature and output.
    """

    model: str
    baseline: str
    variables: tuple[VariableDrift, ...]

    def __getitem__(self, name: str) -> VariableDrift:
        """Return the variable of that name."""
        for variable in self.variables:
            if variable.name == name:
                return variable
        raise KeyError(name)

    def __iter__(self) -> Iterator[VariableDrift]:
        return iter(self.variables)

    @property
    def drifted(self) -> tuple[VariableDrift, ...]:
        """The variables whose verdict is ``drifted`` or ``major``."""
        return tuple(variable for variable in self.variables if variable.verdict in ("drifted", "major"))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        width = max(map(len, ["variable", *(variable.name for variable in self.variables)]))
        lines = [f"{'variable':<{width}}  verdict          size  rows      moved most"]
        for variable in self.variables:
            share = f"{variable.moved_most} {variable.share_before:.0%} -> {variable.share_now:.0%}"
            lines.append(
                f"{variable.name:<{width}}  {variable.verdict:<15} {variable.judgement.size:5.2f}  "
                f"{variable.live_rows:<8}  {share}"
            )
        return "\n".join(lines)


def drift_report(model: str, baseline: Baseline, cells: Sequence[int], *, alpha: float) -> DriftReport:
    """Judge every variable.

    Args:
        model: The model's name.
        baseline: What it is compared with.
        cells: Live counts of features and outputs, in the baseline's order.
        alpha: False-alarm probability for the whole model, divided among the variables (Bonferroni).
    """
    variables = [("feature", item) for item in baseline.features] + [("output", item) for item in baseline.outputs]
    found = []
    start = 0
    for side, distribution in variables:
        stop = start + len(distribution.cells)
        found.append(_variable(side, distribution, cells[start:stop], alpha / len(variables)))
        start = stop
    found.sort(key=lambda item: (_ORDER.index(item.verdict), -item.judgement.size))
    return DriftReport(model, baseline.fingerprint, tuple(found))


def _variable(side: str, distribution: Distribution, cells: Sequence[int], alpha: float) -> VariableDrift:
    before, now = (_group_counts(distribution, counts) for counts in (distribution.cells, cells))
    rows_before, rows_now = sum(before), sum(now)
    shares = [(c / max(rows_before, 1), d / max(rows_now, 1)) for c, d in zip(before, now, strict=True)]
    most = max(range(len(shares)), key=lambda index: abs(shares[index][1] - shares[index][0]))
    return VariableDrift(
        distribution.name,
        side,
        rows_before,
        rows_now,
        judge(before, now, alpha=alpha),
        distribution.groups[most].name,
        *shares[most],
    )


def _group_counts(distribution: Distribution, cells: Sequence[int]) -> list[int]:
    running = running_sum(cells)
    return [int(running[group.stop] - running[group.start]) for group in distribution.groups]
