"""Drift of each segment of the rows, such as each country.

A segment is compared with training as a whole, or, better, with the same segment in an earlier period: a segment that
always differed from the average has not moved.
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
from flask_boxkite.records.segment_counts import SegmentCounts, with_counts
from flask_boxkite.records.segmentation import Segmentation
from flask_boxkite.records.wording import as_markdown, as_text
from flask_boxkite.suggestion import suggestion

__all__ = ["Judging", "Segment", "SegmentReport"]


@dataclass(frozen=True, repr=False)
class Segment:
    """One segment.

    Attributes:
        name: Value of the column, or name of its group; ``__rare__`` for all smaller segments together.
        rows: Number of answered rows.
        report: Drift of the segment, without the variable that segments rows.
        text: Name for people.
    """

    name: str
    rows: int
    report: DriftReport
    text: str

    def __repr__(self) -> str:
        """Return a summary in one line."""
        return f"<Segment {self.name!r}: {self.verdict}, {self.rows:,} row{'s' * (self.rows != 1)}>"

    @property
    def verdict(self) -> Verdict:
        """The worst of its variables' verdicts."""
        return self.report.variables[0].verdict if self.report.variables else "not enough data"

    @property
    def size(self) -> float:
        """The largest size among the variables with that verdict."""
        return self.report.variables[0].judgement.size if self.report.variables else 0.0


@dataclass(frozen=True, repr=False)
class SegmentReport:
    """All segments, the largest changes first; an immutable value, like `DriftReport`.

    Attributes:
        by: Column that segments rows.
        model: Name of the model.
        baseline: Fingerprint of its baseline.
        window: Period of the records.
        alpha: False-alarm probability of one check of all segments together.
        against: Earlier period that segments are compared with; None for training.
        segments: Segments, one for each value.
        failed: Text about odd features of failed requests, as in `DriftReport`, in all segments together.
    """

    by: str
    model: str
    baseline: str
    window: str | None
    alpha: float
    against: str | None
    segments: tuple[Segment, ...]
    failed: str = ""

    def __getitem__(self, name: str) -> Segment:
        """Return the segment of that name.

        Raises:
            KeyError: There is none.
        """
        for segment in self.segments:
            if segment.name == name:
                return segment
        msg = f"No segment {name!r}. {suggestion(name, [segment.name for segment in self.segments])}"
        raise KeyError(msg)

    def __iter__(self) -> Iterator[Segment]:
        return iter(self.segments)

    @property
    def drifted(self) -> tuple[Segment, ...]:
        """The segments in which a variable's verdict is ``drifted`` or ``major``."""
        return tuple(segment for segment in self.segments if segment.report.drifted)

    def to_rows(self) -> list[dict[str, Any]]:
        """Return one flat dict for each variable of each segment.

        Keys: ``segment``, ``segment_rows``, and the keys of `DriftReport.to_rows`.
        """
        return [
            {"segment": segment.name, "segment_rows": segment.rows, **row}
            for segment in self.segments
            for row in segment.report.to_rows()
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values.

        Keys: ``by``, ``model``, ``baseline``, ``window``, ``alpha``, ``against``, and ``segments``, a list of dicts
        with ``name``, ``text`` (the name for people), ``rows``, ``verdict`` and ``variables``, as in
        `DriftReport.to_dict`.
        """
        return {
            **{key: getattr(self, key) for key in ("by", "model", "baseline", "window", "alpha", "against")},
            "segments": [
                {
                    "name": segment.name,
                    "text": segment.text,
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
        return as_text(self.to_dict(), self.failed)

    __repr__ = __str__


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
        return replace(report, baseline=self.baseline.fingerprint)

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
        segments.sort(key=lambda segment: (WORST_FIRST.index(segment.verdict), -segment.size, -segment.rows))

        fingerprint = self.baseline.fingerprint
        return SegmentReport(by, self.model, fingerprint, self.window, self.alpha, self.against, tuple(segments))

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
