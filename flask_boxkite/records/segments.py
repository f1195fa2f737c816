"""Which group of users moved? Drift of each segment of the rows, such as each country.

A segment is compared with training as a whole, or, better, with the same segment at an earlier time: who was always
different from the average has not moved.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from flask_boxkite.baseline import Baseline
from flask_boxkite.drift.recurrence import recurrence
from flask_boxkite.drift.report import DriftReport, drift_report
from flask_boxkite.drift.verdict import MINIMUM_ROWS, WORST_FIRST, Verdict
from flask_boxkite.naming import RARE
from flask_boxkite.records.counting import Counts, with_counts
from flask_boxkite.records.segmentation import Segmentation
from flask_boxkite.records.wording import as_markdown, as_text

__all__ = ["Judging", "Segment", "SegmentReport"]


@dataclass(frozen=True)
class Segment:
    """One segment.

    Attributes:
        name: Its value, or what `Segmentation` calls it; ``__rare__`` for all that are too small to be told apart.
        rows: Predicted rows that were answered.
        report: Its drift, without the variable that it goes by.
    """

    name: str
    rows: int
    report: DriftReport

    @property
    def verdict(self) -> Verdict:
        """The worst of its variables' verdicts."""
        return self.report.variables[0].verdict if self.report.variables else "not enough data"

    @property
    def size(self) -> float:
        """The size of what moved most among the variables with that verdict."""
        return self.report.variables[0].judgement.size if self.report.variables else 0.0


@dataclass(frozen=True)
class SegmentReport:
    """All segments, those that moved most first. A value, as a `DriftReport` is.

    Attributes:
        by: What they go by.
        model: The model.
        baseline: Fingerprint of its baseline.
        window: The period.
        alpha: False-alarm probability of one check of all segments together.
        against: The earlier period that segments are compared with; None for training.
        segments: One for each value.
    """

    by: str
    model: str
    baseline: str
    window: str | None
    alpha: float
    against: str | None
    segments: tuple[Segment, ...]

    def __getitem__(self, name: str) -> Segment:
        """Return the segment of that name."""
        for segment in self.segments:
            if segment.name == name:
                return segment
        raise KeyError(name)

    def __iter__(self) -> Iterator[Segment]:
        return iter(self.segments)

    @property
    def drifted(self) -> tuple[Segment, ...]:
        """The segments in which a variable's verdict is ``drifted`` or ``major``."""
        return tuple(segment for segment in self.segments if segment.report.drifted)

    def to_rows(self) -> list[dict[str, Any]]:
        """Return one flat dict for each variable of each segment.

        Keys: ``segment``, ``segment_rows``, and those of `DriftReport.to_rows`.
        """
        return [
            {"segment": segment.name, "segment_rows": segment.rows, **row}
            for segment in self.segments
            for row in segment.report.to_rows()
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values.

        Keys: ``by``, ``model``, ``baseline``, ``window``, ``alpha``, ``against``, and ``segments``, a list of dicts
        with ``name``, ``rows``, ``verdict`` and ``variables``, as in `DriftReport.to_dict`.
        """
        return {
            **{key: getattr(self, key) for key in ("by", "model", "baseline", "window", "alpha", "against")},
            "segments": [
                {
                    "name": segment.name,
                    "rows": segment.rows,
                    "verdict": segment.verdict,
                    "variables": segment.report.to_rows(),
                }
                for segment in self.segments
            ],
        }

    def to_markdown(self) -> str:
        """Return a Markdown table of the segments."""
        return as_markdown(self.to_dict())

    def __str__(self) -> str:
        """Return a table of at most 100 columns."""
        return as_text(self.to_dict())


@dataclass(frozen=True)
class Judging:
    """What all verdicts on one reading have in common.

    Attributes:
        model: The model.
        baseline: What is compared with.
        alpha: False-alarm probability of everything together.
        window: The period.
        end: When it ends, in Unix seconds.
        against: The earlier period, if that is compared with instead of training.
    """

    model: str
    baseline: Baseline
    alpha: float
    window: str | None
    end: float
    against: str | None = None

    def report(self, counts: Counts, before: Counts | None = None, *, tests: int = 1) -> DriftReport:
        """Judge what was counted.

        Args:
            counts: Of the period.
            before: Of the earlier one, if that is compared with.
            tests: Among how many reports alpha is divided.
        """
        compared = self.baseline if before is None else with_counts(self.baseline, before)
        found = drift_report(
            self.model,
            compared,
            counts.cells,
            alpha=self.alpha / tests,
            timeline=counts.timeline(self.end),
            window=self.window,
            least_recurrence=1.0 if before is None else self._recurrence(before),
        )
        return replace(found, baseline=self.baseline.fingerprint)

    def segments(
        self,
        segmentation: Segmentation,
        by: str,
        counts: Mapping[str, Counts],
        before: Mapping[str, Counts] | None,
        most: int,
    ) -> SegmentReport:
        """Judge each segment.

        Args:
            segmentation: Which made them.
            by: What they go by.
            counts: Of each segment.
            before: Likewise in the earlier period, if that is compared with.
            most: How many are told apart, the largest; the rest is ``__rare__``.
        """
        names = sorted(counts.keys() - {RARE}, key=lambda name: (-counts[name].rows, name))[:most]
        kept = _kept(counts, names)
        kept_before = None if before is None else _kept(before, names)
        tests = max(sum(item.rows >= MINIMUM_ROWS for item in kept.values()), 1)
        found = []
        for name, item in kept.items():
            earlier = None if kept_before is None else kept_before.get(name, Counts.none(len(item.cells)))
            report = self.report(item, earlier, tests=tests)
            variables = tuple(each for each in report if (each.side, each.name) != segmentation.variable)
            found.append(Segment(name, item.rows, replace(report, variables=variables)))
        found.sort(key=lambda segment: (WORST_FIRST.index(segment.verdict), -segment.size, -segment.rows))
        fingerprint = self.baseline.fingerprint
        return SegmentReport(by, self.model, fingerprint, self.window, self.alpha, self.against, tuple(found))

    def _recurrence(self, counts: Counts) -> float:
        """Return how often rows recur in all that was counted; 1 where that is unknown."""
        if not counts.slots:
            return 1.0
        buckets = np.sum([slot.buckets for slot in counts.slots.values()], axis=0)
        return float(np.nan_to_num(recurrence(buckets[np.newaxis], self.baseline.row_collisions)[0], nan=1.0))


def _kept(counts: Mapping[str, Counts], names: list[str]) -> dict[str, Counts]:
    """Return the counts of these segments, and of all others together."""
    kept = {name: counts[name] for name in names if name in counts}
    rest = [item for name, item in counts.items() if name not in kept]
    if rest:
        together = Counts.none(len(rest[0].cells))
        for item in rest:
            together.add(item)
        kept[RARE] = together
    return kept
