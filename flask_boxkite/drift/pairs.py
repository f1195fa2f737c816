"""Pairs of variables in a drift report: do two variables still go together as in training?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from flask_boxkite.baseline import Baseline
from flask_boxkite.baseline.pairs import CELLS, PARTS, Pair
from flask_boxkite.baseline.variables import Variable
from flask_boxkite.drift.association import association_degrees, association_statistics, cramers_v
from flask_boxkite.drift.plan import Plan
from flask_boxkite.drift.reasons import reason_for
from flask_boxkite.drift.scan import MINIMUM_ROWS, Decision, State, scan
from flask_boxkite.drift.statistics import chi_squared_limits
from flask_boxkite.drift.timeline import Timeline
from flask_boxkite.drift.verdict import IGNORED, Judgement, Verdict, judgement_of, uncertainty, verdict_of
from flask_boxkite.drift.wording import moment, pair_text
from flask_boxkite.suggestion import counted

__all__ = ["PairDrift", "PairScan"]


@dataclass(frozen=True, repr=False)
class PairDrift:
    """Two variables of a report that go together in training.

    Attributes:
        first: The first variable.
        second: The second variable.
        live_rows: Number of live rows in the whole window in which both have a value.
        judgement: Verdict on their association, and the numbers behind it. Its size is the deviance per row, which is
            about the part of a PSI that the association adds.
        reason: Reason for ``unclear``, ``not enough data`` and ``ignored``; empty for other verdicts.
        since: Beginning of the stretch that decided, in Unix seconds; None if it is the whole window.
        rows: Number of live rows in that stretch.
        moved: Names of the variables, of these two, that have drifted alone.
        before: Training rows by the parts of both, `PARTS` numbers for each part of the first.
        now: Live rows by the parts of both in that stretch.
        weight: Importance of the pair: the geometric mean of both weights; 0 if it is ignored.
    """

    first: Variable
    second: Variable
    live_rows: int
    judgement: Judgement
    reason: str
    since: float | None
    rows: int
    before: tuple[tuple[int, ...], ...]
    now: tuple[tuple[int, ...], ...]
    moved: tuple[str, ...] = ()
    weight: float = 1.0

    def __repr__(self) -> str:
        """Return a summary in one line."""
        return f"<PairDrift {self.text}>"

    @property
    def verdict(self) -> Verdict:
        """The decision."""
        return self.judgement.verdict

    @cached_property
    def association_before(self) -> float:
        """How strongly both depend on each other in training: Cramér's V, in [0, 1]."""
        return cramers_v(np.array(self.before))

    @cached_property
    def association_now(self) -> float:
        """How strongly both depend on each other in that stretch; 0 if there are no rows."""
        return cramers_v(np.array(self.now)) if self.rows else 0.0

    @property
    def text(self) -> str:
        """A sentence about both."""
        return pair_text(self.to_row())

    def to_row(self) -> dict[str, Any]:
        """Return one flat dict of JSON values."""
        judgement = self.judgement
        return {
            "first": self.first.name,
            "first_side": self.first.side,
            "second": self.second.name,
            "second_side": self.second.side,
            "verdict": self.verdict,
            "reason": self.reason,
            "since": None if self.since is None else moment(self.since),
            "rows": self.rows,
            "baseline_rows": sum(map(sum, self.before)),
            "live_rows": self.live_rows,
            "g": judgement.g,
            "dispersion": judgement.dispersion,
            "limit": judgement.limit,
            "size": judgement.size,
            "association_before": self.association_before,
            "association_now": self.association_now,
            "moved": list(self.moved),
            "weight": self.weight,
        }


class PairScan:
    """All stretches of all pairs beside training, scanned once, on which each reach decides for itself.

    Args:
        baseline: Baseline to compare with.
        timeline: Counts by stretch, including pairs; without them, there is nothing to judge.
        plan: Plan of the check.
        least_recurrence: Recurrence of the sample that takes the place of training.
    """

    def __init__(self, baseline: Baseline, timeline: Timeline, plan: Plan, *, least_recurrence: float = 1.0) -> None:
        self._baseline = baseline
        self._plan = plan
        self._timeline = timeline
        self._pairs = baseline.pairs if timeline.pairs is not None else ()
        if not self._pairs:
            return
        self._counts = timeline.of_pairs()
        self._trained = np.array([pair.counts for pair in self._pairs], dtype=np.int64).ravel()
        self._firsts = np.arange(len(self._pairs), dtype=np.intp) * CELLS
        self._degrees = association_degrees(self._trained)
        # No limit of the scan is below these.
        least = chi_squared_limits(plan.pair_alphas, self._degrees)
        self._scanned = scan(
            self._trained,
            self._counts,
            self._firsts,
            self._degrees,
            alpha=plan.pair_alphas,
            collisions=baseline.row_collisions,
            least_recurrence=least_recurrence,
            statistic=partial(association_statistics, least=least),
        )

    def drifts(self, first: int) -> tuple[PairDrift, ...]:
        """Judge all pairs, in the order of the baseline.

        Args:
            first: Index of the longest stretch to look at.
        """
        if not self._pairs:
            return ()
        decision = self._scanned.decide(first, self._plan.pair_weights == 0)
        groups = self._counts.groups.reshape(len(self._counts), len(self._pairs), CELLS)
        live = groups[decision.stretch, np.arange(len(self._pairs))]
        phi = decision.dispersion[np.newaxis]
        g = association_statistics(self._trained, live.reshape(1, -1), self._firsts, phi)[0]
        whole = groups[first].sum(axis=1).tolist()
        return tuple(
            self._drift(number, first, decision, float(g[number]), live[number].tolist(), whole[number])
            for number in range(len(self._pairs))
        )

    def _drift(
        self, number: int, first: int, decision: Decision, g: float, live: Sequence[int], live_rows: int
    ) -> PairDrift:
        pair, variables = self._pairs[number], self._baseline.variables
        stretch, state = int(decision.stretch[number]), State(int(decision.state[number]))
        reason = reason_for(state, self._timeline, stretch, int(decision.rows[number]), pair.rows)
        if state == State.WITHIN_LIMIT and (reason := self._one_sided(pair, live, float(decision.dispersion[number]))):
            state = State.FEW_ROWS
        rows, weight = int(decision.rows[number]), float(self._plan.pair_weights[number])
        judgement = judgement_of(
            verdict_of(state) if weight else IGNORED,
            g=g,
            dispersion=float(decision.dispersion[number]),
            limit=float(decision.limit[number]),
            degrees=int(self._degrees[number]),
            trained=pair.rows,
            live=rows,
            uncertain=self._uncertain(decision, number),
        )
        drift = PairDrift(
            variables[pair.first],
            variables[pair.second],
            live_rows,
            judgement,
            reason if weight else self._ignored(number),
            None if stretch == first else float(self._timeline.starts[stretch]),
            rows,
            _table(pair.counts),
            _table(live),
            weight=weight,
        )
        # A relation that is gone is drift, also a weak one, or one of few rows, whose loss has a small size.
        if drift.verdict == "shifted" and drift.association_now < drift.association_before / 2:
            return replace(drift, judgement=replace(judgement, verdict="drifted"))
        return drift

    def _one_sided(self, pair: Pair, live: Sequence[int], dispersion: float) -> str:
        """Return the reason, as a phrase, why rows say nothing about an association: one value is always alike."""
        table = np.reshape(live, (PARTS, PARTS))
        rows = int(table.sum())
        for place, of_parts in ((pair.first, table.sum(axis=1)), (pair.second, table.sum(axis=0))):
            others = rows - int(of_parts.max())
            if others / dispersion < MINIMUM_ROWS:
                most = f"all but {others:,} of {rows:,} rows" if others else f"all {counted(rows, 'row')}"
                name = self._baseline.variables[place].name
                return f"{most} are in one part of {name}; {MINIMUM_ROWS} are needed in others"
        return ""

    def _ignored(self, number: int) -> str:
        """Return the reason for which a pair is ignored."""
        variables, pair = self._baseline.variables, self._pairs[number]
        names = [variables[place].name for place in (pair.first, pair.second) if not self._plan.weights[place]]
        return f"{' and '.join(names)} {'are' if len(names) > 1 else 'is'} ignored"

    def _uncertain(self, decision: Decision, number: int) -> float:
        """Return the variance in doubt, see `verdict.uncertainty`; none of a sample that is compared once."""
        if self._timeline.rows is None:
            return 0.0
        of_pair = slice(number, number + 1)
        is_long = self._timeline.is_long[decision.stretch[of_pair]]
        trained = np.array([self._pairs[number].rows])
        return float(uncertainty(trained, decision.rows[of_pair], decision.dispersion[of_pair], is_long)[0])


def _table(counts: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(counts[start : start + PARTS]) for start in range(0, CELLS, PARTS))
