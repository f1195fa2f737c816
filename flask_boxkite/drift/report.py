"""The drift report: verdicts and numbers of all variables of a model.

A verdict, its size and the shares beside it describe one stretch of time: the one in which a change is plainest, or the
whole window if there is no change. Distances describe the whole window. Jensen-Shannon, Kullback-Leibler and Hellinger
use its groups; Kolmogorov-Smirnov and Wasserstein use the finer bins of rows with a value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flask_boxkite.baseline import Baseline
from flask_boxkite.drift.pairs import PairDrift, PairScan
from flask_boxkite.drift.plan import Plan
from flask_boxkite.drift.reasons import reason_for
from flask_boxkite.drift.scan import Scan, State, scan
from flask_boxkite.drift.statistics import g_statistics
from flask_boxkite.drift.tables import Trained, per_variable
from flask_boxkite.drift.timeline import Timeline
from flask_boxkite.drift.uncounted import Uncounted
from flask_boxkite.drift.variable import VariableDrift, finite_or_none
from flask_boxkite.drift.verdict import IGNORED, MOVED, WORST_FIRST, judgements, uncertainty, verdict_of
from flask_boxkite.drift.wording import as_markdown, as_text
from flask_boxkite.suggestion import item_named
from flask_boxkite.values.unread import UnreadValue, listed_forms

__all__ = ["DriftReport", "drift_report"]


@dataclass(frozen=True, repr=False)
class DriftReport:
    """All variables of a model, an immutable value, which can be kept and shared.

    The worst verdicts come first; among equal ones, the largest weight times size.

    Attributes:
        model: Name of the model.
        baseline: Fingerprint of its baseline.
        window: ``"5m"``, ``"1h"`` or ``"24h"``; None for all time since the start; for records the period, such as
            ``2026-01-01T00:00:00Z/2026-01-02T00:00:00Z``.
        alpha: False-alarm probability of one check of the whole model.
        variables: Features and outputs.
        failed: Text about odd features of requests that ended in 5xx, which the variables leave out; empty if there are
            none, or they are unknown.
        pairs: Pairs of variables that go together in training, the largest changes first; empty if none are known, as
            with baselines of earlier releases.
        note: Note on the whole, such as how many rows were not counted, and why; empty if there is none.
        uncounted: Number of answered rows whose features or outputs were not counted; None if it is not known.
    """

    model: str
    baseline: str
    window: str | None
    alpha: float
    variables: tuple[VariableDrift, ...]
    failed: str = ""
    pairs: tuple[PairDrift, ...] = ()
    note: str = ""
    uncounted: Uncounted | None = None

    def __getitem__(self, name: str) -> VariableDrift:
        """Return the variable of that name.

        Raises:
            KeyError: There is none.
        """
        return item_named(name, self.variables, "variable")

    def __iter__(self) -> Iterator[VariableDrift]:
        return iter(self.variables)

    @property
    def drifted(self) -> tuple[VariableDrift, ...]:
        """The variables whose verdict is ``drifted`` or ``major``."""
        return tuple(variable for variable in self.variables if variable.verdict in MOVED)

    @property
    def drifted_share(self) -> float:
        """The share of the variables that have drifted, by weight, in [0, 1]; ignored ones have none."""
        weights = sum(variable.weight for variable in self.variables)
        return sum(variable.weight for variable in self.drifted) / weights if weights else 0.0

    def with_unread(self, examples: Mapping[tuple[str, str], Sequence[UnreadValue]]) -> DriftReport:
        """Return the report with notes on values that count as invalid.

        Args:
            examples: Examples of such values, by side and name of the variable; of values, only the form is told.
        """
        variables = []
        for item in self.variables:
            found = examples.get((item.side, item.name)) if item.has_invalid else None
            variables.append(replace(item, unread=listed_forms(found)) if found else item)
        return replace(self, variables=tuple(variables))

    def to_rows(self) -> list[dict[str, Any]]:
        """Return one flat dict per variable, all with the same keys, as ``pandas.DataFrame(...)`` takes them."""
        return [variable.to_row() for variable in self.variables]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values: neither NaN nor infinity, but None for a number that does not exist.

        Keys: ``model``, ``baseline``, ``window``, ``alpha``, ``drifted_share``, ``note`` (text or None), ``uncounted``
        (dict with ``rows``, ``features`` and ``outputs``, see `Uncounted`, or None), ``variables``, a list of dicts
        with ``name``, ``side``, ``kind``, ``type`` (``"time"`` for dates and times, else None), ``verdict``,
        ``reason``, ``note``, ``since`` (ISO 8601), ``rows``, ``baseline_rows``, ``live_rows`` (see `VariableDrift`);
        ``g``, ``dispersion``, ``limit``, ``psi``, ``size``, ``psi_noise``, ``psi_error``, ``psi_limit``,
        ``drifted_size``, ``major_size`` (see `Judgement`); ``weight`` (0: ignored); ``recurrence``; ``moved_most``
        (label), ``moved_most_text`` (for people), ``share_before``, ``share_now``; ``missing_before``, ``missing_now``
        and so for ``invalid``, ``out_of_range``, ``unseen``; ``jensen_shannon``, ``kl_live``, ``kl_baseline``,
        ``hellinger``, ``kolmogorov_smirnov``, ``kolmogorov_smirnov_limit``, ``wasserstein``, ``wasserstein_is_least``
        (see `Distances`); and ``pairs``, a list of dicts with ``first``, ``first_side``, ``second``, ``second_side``,
        ``verdict``, ``reason``, ``since``, ``rows``, ``baseline_rows``, ``live_rows``, ``g``, ``dispersion``,
        ``limit``, ``size``, ``association_before``, ``association_now``, ``moved`` and ``weight`` (see `PairDrift`).
        Keys may be added, in a later release; none goes or changes its meaning.
        """
        return {
            "model": self.model,
            "baseline": self.baseline,
            "window": self.window,
            "alpha": self.alpha,
            "drifted_share": self.drifted_share,
            "note": self.note or None,
            "uncounted": None if self.uncounted is None else self.uncounted._asdict(),
            "variables": self.to_rows(),
            "pairs": [pair.to_row() for pair in self.pairs],
        }

    def to_markdown(self) -> str:
        """Return the verdicts as a Markdown table."""
        return as_markdown(self.to_dict())

    def __str__(self) -> str:
        """Return a table of at most 100 columns, and details of the variables that are not stable."""
        return as_text(self.to_dict(), self.failed)

    __repr__ = __str__


def drift_report(
    model: str,
    baseline: Baseline,
    cells: ArrayLike,
    *,
    alpha: float,
    timeline: Timeline | None = None,
    reach: float | None = None,
    window: str | None = None,
    least_recurrence: float = 1.0,
    trained: Trained | None = None,
) -> DriftReport:
    """Judge every variable.

    Args:
        model: Name of the model.
        baseline: Baseline to compare with.
        cells: Live counts of features and outputs in the window, in the baseline's order; more may follow.
        alpha: False-alarm probability for the whole model, divided among variables and pairs (`Plan`).
        timeline: Counts by stretch of time, also longer than the window; None if *cells* are one sample of independent
            rows.
        reach: Seconds that stretches of the window may reach back; None for all stretches.
        window: Name of the window of the counts, or a period ``start/end`` in ISO 8601.
        least_recurrence: Recurrence of the sample that takes the place of training.
        trained: Training counts of the baseline's variables, if the caller has them; None to make them.
    """
    if trained is None:
        trained = Trained(baseline.variables)

    counts = np.asarray(cells, dtype=np.int64)
    if timeline is None:
        timeline = Timeline.of_sample(trained.sums.of(counts))
    plan = Plan.of(baseline, alpha)
    first = timeline.first_within(reach)
    if first == len(timeline):  # there are no counts within the window
        timeline = Timeline.of_sample(np.zeros_like(trained.counts))
        first = 0

    scanned = scan(
        trained.counts,
        timeline,
        trained.sums.firsts,
        trained.degrees,
        alpha=plan.alphas,
        collisions=baseline.row_collisions,
        least_recurrence=least_recurrence,
    )

    views = list(_views(trained, counts, timeline, scanned, first, plan))
    moved = {(item.side, item.name) for item in views if item.verdict in MOVED}
    pair_scan = PairScan(baseline, timeline, plan, least_recurrence=least_recurrence)
    pairs = [
        replace(pair, moved=tuple(each.name for each in (pair.first, pair.second) if (each.side, each.name) in moved))
        for pair in pair_scan.drifts(first)
    ]
    return DriftReport(
        model,
        baseline.fingerprint,
        window,
        alpha,
        tuple(sorted(views, key=_largest_first)),
        pairs=tuple(sorted(pairs, key=_largest_first)),
    )


def _largest_first(item: VariableDrift | PairDrift) -> tuple[int, float, float]:
    return WORST_FIRST.index(item.verdict), -item.weight * item.judgement.size, -item.judgement.g


def _views(
    trained: Trained,
    cells: NDArray[np.int64],
    timeline: Timeline,
    scanned: Scan,
    first: int,
    plan: Plan,
) -> Iterator[VariableDrift]:
    """Yield each variable, as seen in the stretch that decides on it."""
    decision = scanned.decide(first, plan.weights == 0)
    firsts, size = trained.sums.firsts, len(trained.counts)
    live = timeline.groups[np.repeat(decision.stretch, np.diff(firsts, append=size)), np.arange(size)]
    states, weights, alphas = (
        [State(state) for state in decision.state.tolist()],
        plan.weights.tolist(),
        plan.alphas.tolist(),
    )
    # Where all rows together are within the limit, the scan did not compute G of the rows that count.
    is_within = decision.state <= State.WITHIN_LIMIT
    of_counting = g_statistics(trained.counts, live[np.newaxis], firsts, decision.dispersion[np.newaxis])[0]
    uncertain = None
    if timeline.rows is not None:  # the variables are checked repeatedly, not one sample once
        is_long = timeline.is_long[decision.stretch]
        uncertain = uncertainty(per_variable(trained.counts, firsts), decision.rows, decision.dispersion, is_long)
    judged = judgements(
        trained.counts,
        live,
        firsts,
        [verdict_of(state) if weight else IGNORED for state, weight in zip(states, weights, strict=True)],
        g=np.where(is_within, of_counting, decision.g),
        dispersion=decision.dispersion,
        limit=decision.limit,
        uncertain=uncertain,
        drifted=plan.drifted,
        major=plan.major,
    )
    before, now, whole = trained.counts.tolist(), live.tolist(), per_variable(timeline.groups[first], firsts).tolist()
    stretches, counts = decision.stretch.tolist(), cells.tolist()

    for number, (variable, groups) in enumerate(zip(trained.variables, trained.groups, strict=True)):
        rows = sum(now[groups])
        yield VariableDrift(
            variable.distribution,
            variable.side,
            whole[number],
            judged[number],
            reason_for(states[number], timeline, stretches[number], rows, sum(before[groups]))
            if weights[number]
            else plan.reasons[number],
            None if stretches[number] == first else float(timeline.starts[stretches[number]]),
            rows,
            finite_or_none(float(scanned.recurrence[stretches[number]])),
            tuple(before[groups]),
            tuple(now[groups]),
            tuple(counts[variable.cells]),
            alphas[number],
            weights[number],
        )
