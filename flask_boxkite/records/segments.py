"""Drift of each segment of the rows, such as each country.

A segment is compared with the same segment in training, if the baseline has it, or in an earlier period: a segment that
always differed from the average has not moved. Else it is compared with training as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from flask_boxkite.baseline import Baseline
from flask_boxkite.drift.recurrence import recurrence
from flask_boxkite.drift.report import DriftReport, drift_report
from flask_boxkite.drift.segments import Segment, SegmentJudge, SegmentReport, largest_first
from flask_boxkite.drift.tables import GroupSums
from flask_boxkite.drift.verdict import MINIMUM_ROWS
from flask_boxkite.naming import RARE
from flask_boxkite.records.segment_counts import SegmentCounts, first_times, with_counts
from flask_boxkite.records.segmentation import Segmentation

__all__ = ["Judging"]


@dataclass(frozen=True)
class Judging:
    """The common parameters of all verdicts on one reading.

    Attributes:
        model: Name of the model.
        baseline: Baseline to compare with.
        alpha: False-alarm probability of all verdicts together.
        window: Period of the records.
        end: End of the period, in Unix seconds.
        against: Earlier period to compare with; None for training.
    """

    model: str
    baseline: Baseline
    alpha: float
    window: str | None
    end: float
    against: str | None = None

    def report(self, counts: SegmentCounts, before: SegmentCounts | None = None, *, tests: int = 1) -> DriftReport:
        """Judge counts.

        Args:
            counts: Counts of the period.
            before: Counts of the earlier period; None to compare with training.
            tests: Number of reports among which alpha is divided.
        """
        compared = self.baseline if before is None else with_counts(self.baseline, before)
        report = drift_report(
            self.model,
            compared,
            counts.cells,
            alpha=self.alpha / tests,
            timeline=counts.timeline(self.end),
            window=self.window,
            least_recurrence=1.0 if before is None else self._recurrence(before),
        )
        return replace(report, baseline=self.baseline.fingerprint, uncounted=counts.uncounted(self.baseline))

    def segments(
        self,
        segmentation: Segmentation,
        by: str,
        counts: Mapping[str, SegmentCounts],
        before: Mapping[str, SegmentCounts] | None,
        most: int,
    ) -> SegmentReport:
        """Judge each segment.

        Args:
            segmentation: Segmentation that named the segments.
            by: Column that segments rows.
            counts: Counts of each segment.
            before: Counts of each segment in the earlier period; None to compare with training.
            most: Number of segments to report, the largest; the rest is ``__rare__``.
        """
        if segmentation.trained is not None and before is None:
            return self._trained_segments(SegmentJudge(self.model, self.baseline, segmentation.trained), by, counts)
        names = sorted(counts.keys() - {RARE}, key=lambda name: (-counts[name].rows, name))[:most]
        largest = _largest(counts, names)
        largest_before = None if before is None else _largest(before, names)
        tests = max(sum(item.rows >= MINIMUM_ROWS for item in largest.values()), 1)

        segments = []
        for name, item in largest.items():
            earlier = None if largest_before is None else largest_before.get(name, SegmentCounts.none(len(item.cells)))
            report = self.report(item, earlier, tests=tests)
            variables = tuple(each for each in report if (each.side, each.name) != segmentation.variable)
            text = segmentation.text_of(name)
            segments.append(Segment(name, item.rows, replace(report, variables=variables, pairs=()), text))
        segments.sort(key=largest_first)

        return SegmentReport(
            by,
            self.model,
            self.baseline.fingerprint,
            self.window,
            self.alpha,
            self.against,
            tuple(segments),
            reference="all rows" if before is None else "segment",
        )

    def _trained_segments(self, judge: SegmentJudge, by: str, counts: Mapping[str, SegmentCounts]) -> SegmentReport:
        """Judge each segment of training against itself, as a server does."""
        sums = GroupSums(self.baseline.variables)
        none = SegmentCounts.none(sum(len(item.cells) for item in self.baseline.distributions))
        own = [counts.get(name, none) for name in judge.names]
        firsts = first_times(counts.values())
        report = judge.report(
            [sums.of(item.cells) for item in own],
            [item.timeline_among(firsts, self.end) for item in own],
            alpha=self.alpha,
            window=self.window,
        )
        return replace(report, by=by)

    def _recurrence(self, counts: SegmentCounts) -> float:
        """Return the recurrence of all counted rows; 1 if it is unknown."""
        if not counts.slots:
            return 1.0
        buckets = np.sum([slot.buckets for slot in counts.slots.values()], axis=0)
        return float(np.nan_to_num(recurrence(buckets[np.newaxis], self.baseline.row_collisions)[0], nan=1.0))


def _largest(counts: Mapping[str, SegmentCounts], names: list[str]) -> dict[str, SegmentCounts]:
    """Return the counts of the named segments, and of all others together."""
    largest = {name: counts[name] for name in names if name in counts}
    rest = [item for name, item in counts.items() if name not in largest]
    if rest:
        together = SegmentCounts.none(len(rest[0].cells))
        for item in rest:
            together.add(item)
        largest[RARE] = together
    return largest
