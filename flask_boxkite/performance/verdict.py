"""Verdicts: is the model worse than validated? Two questions, two numbers, one verdict.

A test says whether outcomes can still come from the model as validated (`significance`). The loss says how much worse
they are. In many outcomes, small losses are real but not big; in few, losses may look big but not be real.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from flask_boxkite.performance.significance import chance

__all__ = ["MARKS", "MINIMUM_OUTCOMES", "WORST_FIRST", "Comparison", "Judgement", "Mark", "Subject", "Verdict", "judge"]

Verdict: TypeAlias = Literal["not enough data", "as validated", "worse", "much worse"]
Subject: TypeAlias = Literal["wrong rows", "wrong order", "positives", "absolute error", "large errors"]

WORST_FIRST: tuple[Verdict, ...] = ("much worse", "worse", "as validated", "not enough data")
"""Order in which verdicts are shown."""

MINIMUM_OUTCOMES = 30
"""Least number of outcomes, and of validation rows, for a verdict."""


class Mark(NamedTuple):
    """A loss from which a significant change counts: either of the two is enough.

    Attributes:
        rise: Difference.
        part: Difference in parts of the value before.
    """

    rise: float
    part: float


MARKS: dict[Subject, tuple[Mark, Mark]] = {
    "wrong rows": (Mark(0.02, 0.25), Mark(0.05, 0.5)),
    "wrong order": (Mark(0.02, 0.25), Mark(0.05, 0.5)),
    "positives": (Mark(0.05, 0.25), Mark(0.1, 0.5)),
    "absolute error": (Mark(math.inf, 0.1), Mark(math.inf, 0.25)),
    "large errors": (Mark(math.inf, 0.1), Mark(math.inf, 0.25)),
}
"""Losses from which a change is ``worse`` and ``much worse``.

Of a model that is right in 80 % of rows, people believe that it is worse at 78 %, and much worse at 75 %. At 99 %, half
more mistakes are much worse, though that is one row in 200. A mean absolute error has no scale but itself: 10 % more
is worse, 25 % more much worse. Positives are rows of either class: a share that scores of 30 % say, and that is 40 %,
spoils decisions by the score, though hardly more rows are wrong."""

_LEAST_SHARE = 0.001
"""Least share of rows for parts: below one in a thousand, parts are of that."""


class Comparison(NamedTuple):
    """Outcomes beside validation rows.

    Attributes:
        subject: Name of the compared thing, a key of `MARKS`.
        z: Result of the test, about standard normal if nothing has changed, and positive if outcomes are worse.
        before: Value that the validation rows lead to expect of these outcomes: a share, or a mean absolute error.
        now: Value of the outcomes.
    """

    subject: Subject
    z: float
    before: float
    now: float

    @property
    def is_two_sided(self) -> bool:
        """Whether a change in either direction is worse."""
        return self.subject == "positives"

    @property
    def chance(self) -> float:
        """The probability of such a z, or a more extreme one, if nothing has changed."""
        return 2 * chance(abs(self.z)) if self.is_two_sided else chance(self.z)

    def reaches(self, mark: Mark) -> bool:
        """Say whether the loss is as large as a mark.

        In parts, positives are compared with the rarer class.
        """
        rise, base = self.now - self.before, self.before
        if self.is_two_sided:
            rise, base = abs(rise), min(base, 1 - base)
        if self.subject not in ("absolute error", "large errors"):
            base = max(base, _LEAST_SHARE)
        return rise > 0 and (rise >= mark.rise or rise >= mark.part * base)


@dataclass(frozen=True)
class Judgement:
    """The verdict on a model, and its reason.

    Attributes:
        verdict: ``not enough data``, ``as validated`` (no significant change, or a small one), ``worse`` or
            ``much worse``.
        decisive: Comparison that makes the verdict, the one with the least chance if several do; None without data.
        comparisons: All comparisons.
        alpha: Probability of a false alarm of each comparison.
    """

    verdict: Verdict
    decisive: Comparison | None
    comparisons: tuple[Comparison, ...]
    alpha: float

    @property
    def is_worse(self) -> bool:
        """Whether the verdict is ``worse`` or ``much worse``."""
        return self.verdict in ("worse", "much worse")


def judge(comparisons: Sequence[Comparison], outcomes: int, *, alpha: float) -> Judgement:
    """Judge a model by its outcomes.

    Each comparison gets an equal part of *alpha*.

    Args:
        comparisons: Comparisons with validation rows, of the module `comparisons`.
        outcomes: Number of outcomes, or of validation rows if they are fewer.
        alpha: Probability of a false alarm.

    >>> judge([Comparison("wrong rows", 6.0, 0.10, 0.13)], 1000, alpha=1e-5).verdict
    'worse'
    """
    each = alpha / max(len(comparisons), 1)
    if outcomes < MINIMUM_OUTCOMES or not comparisons:
        return Judgement("not enough data", None, tuple(comparisons), each)
    verdicts = [(_verdict(comparison, each), comparison) for comparison in comparisons]
    verdict, decisive = min(verdicts, key=lambda pair: (WORST_FIRST.index(pair[0]), pair[1].chance))
    return Judgement(verdict, decisive, tuple(comparisons), each)


def _verdict(comparison: Comparison, alpha: float) -> Verdict:
    if comparison.chance > alpha:
        return "as validated"
    worse, much_worse = MARKS[comparison.subject]
    return "much worse" if comparison.reaches(much_worse) else "worse" if comparison.reaches(worse) else "as validated"
