"""Pairs of variables in a drift report: do two variables still go together as in training?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline import Baseline
from flask_boxkite.baseline.pairs import CELLS, PARTS, Pair
from flask_boxkite.baseline.variables import Variable
from flask_boxkite.drift.association import association_degrees, association_statistics, cramers_v
from flask_boxkite.drift.reasons import reason_for
from flask_boxkite.drift.scan import State, scan
from flask_boxkite.drift.statistics import chi_squared_limit
from flask_boxkite.drift.timeline import Timeline
from flask_boxkite.drift.variable import moment
from flask_boxkite.drift.verdict import Judgement, Verdict, judgement_of, uncertainty, verdict_of
from flask_boxkite.drift.wording import pair_text

__all__ = ["PairDrift", "pair_drifts"]


@dataclass(frozen=True, repr=False)
class PairDrift:
    """Two variables of a report that go together in training.

    Attributes:
        first: The first variable.
        second: The second variable.
        live_rows: Number of live rows in the whole window in which both have a value.
        judgement: Verdict on their association, and the numbers behind it. Its size is the deviance per row, which is
            about the part of a PSI that the association adds.
        reason: Reason for ``unclear`` and ``not enough data``; empty for other verdicts.
        since: Beginning of the stretch that decided, in Unix seconds; None if it is the whole window.
        rows: Number of live rows in that stretch.
        moved: Names of the variables, of these two, that have drifted alone.
        before: Training rows by the parts of both, `PARTS` numbers for each part of the first.
        now: Live rows by the parts of both in that stretch.
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
        }


def pair_drifts(
    baseline: Baseline, timeline: Timeline, *, first: int, alpha: float, least_recurrence: float = 1.0
) -> tuple[PairDrift, ...]:
    """Judge all pairs, the largest changes first.

    Args:
        baseline: Baseline to compare with.
        timeline: Counts by stretch, including pairs.
        first: Index of the longest stretch to look at.
        alpha: False-alarm probability of one pair.
        least_recurrence: Recurrence of the sample that takes the place of training.
    """
    pairs = baseline.pairs
    if not pairs or timeline.pairs is None:
        return ()
    trained = np.array([pair.counts for pair in pairs], dtype=np.int64).ravel()
    firsts = np.arange(len(pairs), dtype=np.intp) * CELLS
    degrees = association_degrees(trained)
    of_pairs = timeline.of_pairs()
    scanned = scan(
        trained,
        of_pairs,
        firsts,
        degrees,
        alpha=alpha,
        collisions=baseline.row_collisions,
        least_recurrence=least_recurrence,
        statistic=partial(association_statistics, least=_least_limits(degrees, alpha)),
    )
    decision = scanned.decide(first)
    live = of_pairs.groups.reshape(len(of_pairs), len(pairs), CELLS)[decision.stretch, np.arange(len(pairs))]
    g = association_statistics(trained, live.reshape(1, -1), firsts, decision.dispersion[np.newaxis])[0]
    whole = of_pairs.groups[first].reshape(len(pairs), CELLS).sum(axis=1).tolist()
    rows_of_training = trained.reshape(len(pairs), CELLS).sum(axis=1)
    uncertain = np.zeros(len(pairs))
    if timeline.rows is not None:
        is_long = timeline.is_long[decision.stretch]
        uncertain = uncertainty(rows_of_training, decision.rows, decision.dispersion, is_long)

    found = []
    for number, pair in enumerate(pairs):
        stretch, state = int(decision.stretch[number]), State(int(decision.state[number]))
        rows, of_training = int(decision.rows[number]), int(rows_of_training[number])
        judgement = judgement_of(
            verdict_of(state),
            g=float(g[number]),
            dispersion=float(decision.dispersion[number]),
            limit=float(decision.limit[number]),
            degrees=int(degrees[number]),
            trained=of_training,
            live=rows,
            uncertain=float(uncertain[number]),
        )
        drift = PairDrift(
            *_variables(baseline, pair),
            whole[number],
            judgement,
            reason_for(state, timeline, stretch, rows, of_training),
            None if stretch == first else float(timeline.starts[stretch]),
            rows,
            _table(pair.counts),
            _table(live[number].tolist()),
        )
        # A relation that is gone is drift, also a weak one, or one of few rows, whose loss has a small size.
        if drift.verdict == "shifted" and drift.association_now < drift.association_before / 2:
            drift = replace(drift, judgement=replace(judgement, verdict="drifted"))
        found.append(drift)
    return tuple(found)


def _least_limits(degrees: NDArray[np.int64], alpha: float) -> NDArray[np.float64]:
    """Return a value for each pair that its limit is not below."""
    return np.array([chi_squared_limit(alpha, int(k)) for k in degrees])


def _variables(baseline: Baseline, pair: Pair) -> tuple[Variable, Variable]:
    return baseline.variables[pair.first], baseline.variables[pair.second]


def _table(counts: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(counts[start : start + PARTS]) for start in range(0, CELLS, PARTS))
