"""The state of all variables of a model: every number there is, and the verdicts.

Verdicts, Jensen-Shannon, Kullback-Leibler and Hellinger are about groups; Kolmogorov-Smirnov and Wasserstein about the
finer bins of what has a value.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from flask_boxkite.baseline import Baseline, Distribution
from flask_boxkite.baseline.distribution import Continuous, group_counts
from flask_boxkite.drift.dispersion import Spread
from flask_boxkite.drift.distances import (
    hellinger_distance,
    jensen_shannon_distance,
    kl_divergence,
    kolmogorov_smirnov,
    kolmogorov_smirnov_limit,
    wasserstein_distance,
)
from flask_boxkite.drift.shares import Change, special_changes
from flask_boxkite.drift.tables import GroupSums, degrees_of_freedom
from flask_boxkite.drift.text import as_markdown, as_text
from flask_boxkite.drift.verdict import MOVED, WORST_FIRST, Judgement, Verdict, judge

__all__ = ["Distances", "DriftReport", "VariableDrift", "drift_report"]


@dataclass(frozen=True)
class Distances:
    """What describes a change without judging it; None where a sample is empty, or where it makes no sense.

    Attributes:
        jensen_shannon: The `jensen_shannon_distance` of the groups, in [0, 1].
        kl_live: The `kl_divergence` of live from training, on groups.
        kl_baseline: That of training from live.
        hellinger: The `hellinger_distance` of the groups, in [0, 1].
        kolmogorov_smirnov: Of the bins; None if discrete.
        kolmogorov_smirnov_limit: What it exceeds by chance with the probability of a false alarm.
        wasserstein: Of the bins, in the unit of the variable; None if discrete.
    """

    jensen_shannon: float | None
    kl_live: float | None
    kl_baseline: float | None
    hellinger: float | None
    kolmogorov_smirnov: float | None
    kolmogorov_smirnov_limit: float | None
    wasserstein: float | None


@dataclass(frozen=True)
class VariableDrift:
    """One variable.

    Attributes:
        name: Its name.
        side: ``feature`` or ``output``.
        kind: ``continuous`` or ``discrete``.
        baseline_rows: Training rows.
        live_rows: Live rows.
        judgement: Verdict, and the numbers it was made from.
        distances: Numbers that describe the change.
        moved_most: The group whose share changed most.
        share_before: That group's share in training.
        share_now: Its share live; 0 if there are no rows.
        special: Shares of ``missing``, ``invalid``, ``out_of_range`` and ``unseen`` rows.
    """

    name: str
    side: str
    kind: str
    baseline_rows: int
    live_rows: int
    judgement: Judgement
    distances: Distances
    moved_most: str
    share_before: float
    share_now: float
    special: dict[str, Change]

    @property
    def verdict(self) -> Verdict:
        """The decision."""
        return self.judgement.verdict

    def to_row(self) -> dict[str, Any]:
        """Return everything as one flat dict of JSON values; see `DriftReport.to_dict`."""
        judged, distances = vars(self.judgement), vars(self.distances)
        row = {
            "name": self.name,
            "side": self.side,
            "kind": self.kind,
            "verdict": self.verdict,
            "baseline_rows": self.baseline_rows,
            "live_rows": self.live_rows,
            **{name: judged[name] for name in ("g", "dispersion", "limit", "psi", "size")},
            "psi_noise": _finite(self.judgement.noise),
            "psi_limit": _finite(self.judgement.psi_limit),
            "moved_most": self.moved_most,
            "share_before": self.share_before,
            "share_now": self.share_now,
        }
        for kind, change in self.special.items():
            row[f"{kind}_before"], row[f"{kind}_now"] = change.before, change.now
        return row | distances


@dataclass(frozen=True)
class DriftReport:
    """All variables of a model, those that moved most first. A value: nothing changes it, so it can be kept and shared.

    Attributes:
        model: The model.
        baseline: Fingerprint of its baseline.
        window: ``"5m"``, ``"1h"`` or ``"24h"``; None for all since the start; of records the period, as
            ``2026-01-01T00:00:00Z/2026-01-02T00:00:00Z``.
        alpha: False-alarm probability of one check of the whole model.
        variables: One per feature and output.
    """

    model: str
    baseline: str
    window: str | None
    alpha: float
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
        return tuple(variable for variable in self.variables if variable.verdict in MOVED)

    def to_rows(self) -> list[dict[str, Any]]:
        """Return one flat dict per variable, all with the same keys: what ``pandas.DataFrame(...)`` takes."""
        return [variable.to_row() for variable in self.variables]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values: neither NaN nor infinity; None for a number that there is not.

        Keys: ``model``, ``baseline``, ``window``, ``alpha``, and ``variables``, a list of dicts with ``name``,
        ``side``, ``kind``, ``verdict``, ``baseline_rows``, ``live_rows``; ``g``, ``dispersion``, ``limit``, ``psi``,
        ``size``, ``psi_noise``, ``psi_limit`` (see `Judgement`); ``moved_most``, ``share_before``, ``share_now``;
        ``missing_before``, ``missing_now`` and so for ``invalid``, ``out_of_range``, ``unseen``; ``jensen_shannon``,
        ``kl_live``, ``kl_baseline``, ``hellinger``, ``kolmogorov_smirnov``, ``kolmogorov_smirnov_limit``,
        ``wasserstein`` (see `Distances`). Keys may be added, in a later release; none goes or changes its meaning.
        """
        return {
            "model": self.model,
            "baseline": self.baseline,
            "window": self.window,
            "alpha": self.alpha,
            "variables": self.to_rows(),
        }

    def to_markdown(self) -> str:
        """Return the verdicts as a Markdown table."""
        return as_markdown(self.to_dict())

    def __str__(self) -> str:
        """Return a table of at most 100 columns, and more about those variables that are not stable."""
        return as_text(self.to_dict())


def drift_report(
    model: str,
    baseline: Baseline,
    cells: ArrayLike,
    *,
    alpha: float,
    slots: ArrayLike | None = None,
    dispersions: ArrayLike | None = None,
    window: str | None = None,
) -> DriftReport:
    """Judge every variable.

    Args:
        model: The model's name.
        baseline: What it is compared with.
        cells: Live counts of features and outputs, in the baseline's order; more may follow.
        alpha: False-alarm probability for the whole model, divided among the variables (Bonferroni).
        slots: The same counts by time slot, shape (slots, cells), from which dispersions follow; None if not known.
        dispersions: φ of each variable, where it is known already; *slots* are not needed then.
        window: The name of the window that the counts are of, or the period, ``start/end`` as ISO 8601 has it.
    """
    variables = (*baseline.features, *baseline.outputs)
    sums = GroupSums(variables)
    counts = np.asarray(cells, dtype=np.int64)
    groups = sums.of(counts).tolist()
    if dispersions is None:
        table = sums.of(slots) if slots is not None else np.zeros((0, len(groups)))
        dispersions = Spread.of(table, sums.firsts).dispersions()
    phis = np.asarray(dispersions, dtype=np.float64).tolist()
    firsts = [*sums.firsts.tolist(), len(groups)]
    found = []
    start = 0
    for number, item in enumerate(variables):
        stop = start + len(item.cells)
        found.append(
            _variable(
                "feature" if number < len(baseline.features) else "output",
                item,
                counts[start:stop],
                groups[firsts[number] : firsts[number + 1]],
                alpha=alpha / len(variables),
                dispersion=phis[number],
            )
        )
        start = stop
    found.sort(key=lambda item: (WORST_FIRST.index(item.verdict), -item.judgement.size))
    return DriftReport(model, baseline.fingerprint, window, alpha, tuple(found))


def _variable(
    side: str, item: Distribution, cells: ArrayLike, now: Sequence[int], *, alpha: float, dispersion: float
) -> VariableDrift:
    before = group_counts(item, item.cells)
    rows_before, rows_now = sum(before), sum(now)
    shares = [(c / max(rows_before, 1), d / max(rows_now, 1)) for c, d in zip(before, now, strict=True)]
    most = max(range(len(shares)), key=lambda index: abs(shares[index][1] - shares[index][0]))
    return VariableDrift(
        item.name,
        side,
        item.kind,
        rows_before,
        rows_now,
        judge(before, now, alpha=alpha, dispersion=dispersion, degrees=degrees_of_freedom(item)),
        _distances(item, cells, before, now, alpha),
        item.groups[most].name,
        *shares[most],
        special_changes([group.name for group in item.groups], before, now),
    )


def _distances(
    item: Distribution, cells: ArrayLike, before: Sequence[int], now: Sequence[int], alpha: float
) -> Distances:
    ks = limit = wasserstein = math.nan
    if isinstance(item, Continuous):
        bins = np.asarray(cells)[: len(item.counts)]
        ks = kolmogorov_smirnov(item.counts, bins)
        limit = kolmogorov_smirnov_limit(sum(item.counts), int(bins.sum()), alpha)
        wasserstein = wasserstein_distance(item.counts, bins, item.upper_bounds)
    numbers = (
        jensen_shannon_distance(before, now),
        kl_divergence(before, now),
        kl_divergence(now, before),
        hellinger_distance(before, now),
        ks,
        limit,
        wasserstein,
    )
    return Distances(*map(_finite, numbers))


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
