"""Performance of each segment of the rows, such as each country.

A segment is compared with all validation rows of the same outputs: a model that was always less right in a segment is
worse there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline import Baseline
from flask_boxkite.live.model_cells import ModelCells
from flask_boxkite.live.outcome_cells import OutcomeCells
from flask_boxkite.naming import RARE
from flask_boxkite.performance.report import PerformanceReport, performance_report
from flask_boxkite.performance.verdict import MINIMUM_OUTCOMES, WORST_FIRST, Verdict
from flask_boxkite.records.joining import Joining
from flask_boxkite.records.performance_wording import as_markdown, as_text
from flask_boxkite.records.segment_counts import SegmentCounts
from flask_boxkite.records.segmentation import Segmentation
from flask_boxkite.suggestion import item_named
from flask_boxkite.values.unread import UnreadValue

__all__ = ["Counted", "SegmentPerformance", "SegmentPerformanceReport"]

Cells = NDArray[np.int64]


@dataclass(frozen=True, repr=False)
class SegmentPerformance:
    """One segment.

    Attributes:
        name: Value of the column, or name of its group; ``__rare__`` for all smaller segments together.
        rows: Number of answered rows.
        report: Performance of the segment.
        text: Name for people.
    """

    name: str
    rows: int
    report: PerformanceReport
    text: str

    def __repr__(self) -> str:
        """Return a summary in one line."""
        return f"<SegmentPerformance {self.name!r}: {self.verdict}, {self.report.outcomes:,} outcomes>"

    @property
    def verdict(self) -> Verdict:
        """The verdict of its report."""
        return self.report.verdict


@dataclass(frozen=True, repr=False)
class SegmentPerformanceReport:
    """All segments, the worst first; an immutable value, like `PerformanceReport`.

    Attributes:
        by: Column that segments rows.
        model: Name of the model.
        baseline: Fingerprint of its baseline.
        window: Period of the records.
        kind: ``binary``, ``classes`` or ``regression``.
        alpha: False-alarm probability of all segments together.
        segments: Segments, one for each value.
        rejected: Number of outcomes that were not counted, by reason; the ``unknown`` ones are of no segment.
        keyless: Number of answered rows without the key that outcomes have.
    """

    by: str
    model: str
    baseline: str
    window: str | None
    kind: str
    alpha: float
    segments: tuple[SegmentPerformance, ...]
    rejected: dict[str, int]
    keyless: int = 0

    def __getitem__(self, name: str) -> SegmentPerformance:
        """Return the segment of that name.

        Raises:
            KeyError: There is none.
        """
        return item_named(name, self.segments, "segment")

    def __iter__(self) -> Iterator[SegmentPerformance]:
        return iter(self.segments)

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of all segments; ``as validated`` if any is, and none is worse."""
        return min((segment.verdict for segment in self.segments), key=WORST_FIRST.index, default="not enough data")

    @property
    def worse(self) -> tuple[SegmentPerformance, ...]:
        """The segments in which the model is ``worse`` or ``much worse`` than validated."""
        return tuple(segment for segment in self.segments if segment.verdict in ("worse", "much worse"))

    def to_rows(self) -> list[dict[str, Any]]:
        """Return one flat dict for each metric of each segment.

        Keys: ``segment``, ``segment_rows``, ``verdict``, and the keys of `PerformanceReport.to_rows`.
        """
        return [
            {"segment": segment.name, "segment_rows": segment.rows, "verdict": segment.verdict, **row}
            for segment in self.segments
            for row in segment.report.to_rows()
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values.

        Keys: ``by``, ``model``, ``baseline``, ``window``, ``kind``, ``alpha``, ``verdict``,
        ``rejected``, ``keyless``, and ``segments``, a list of dicts with ``name``, ``text`` (the name for people),
        ``rows``, and ``performance``, see `PerformanceReport.to_dict`, whose ``alpha`` is the segment's part.
        """
        return {
            **{key: getattr(self, key) for key in ("by", "model", "baseline", "window", "kind", "alpha", "verdict")},
            "rejected": self.rejected,
            "keyless": self.keyless,
            "segments": [
                {
                    "name": segment.name,
                    "text": segment.text,
                    "rows": segment.rows,
                    "performance": segment.report.to_dict(),
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

    __repr__ = __str__


@dataclass(frozen=True)
class Counted:
    """The common parts of all reports on one reading.

    Attributes:
        baseline: Baseline of the model.
        layout: Meaning of the counts of outcomes.
        model: Name of the model.
        window: Period of the records.
    """

    baseline: Baseline
    layout: OutcomeCells
    model: str
    window: str

    def cells(self, counts: SegmentCounts | None, classes: Cells) -> Cells:
        """Return counts of predictions in the form that a server has them.

        Args:
            counts: Counts of a segment; None for no rows.
            classes: Its rows by predicted class.
        """
        layout = ModelCells.of(self.baseline)
        cells = np.zeros(layout.size, dtype=np.int64)
        if counts is not None:
            cells[: layout.buckets_start] = counts.cells
        cells[layout.classes_start : layout.pairs_start] = classes
        return cells

    def report(
        self,
        cells: Cells,
        outcomes: Cells,
        alpha: float,
        unread: Sequence[UnreadValue] = (),
        *,
        uncounted: int = 0,
        keyless: int = 0,
    ) -> PerformanceReport:
        """Report on counts of predictions and outcomes, with examples of actual values that cannot be read.

        Args:
            cells: Counts of predictions.
            outcomes: Counts of outcomes.
            alpha: False-alarm probability.
            unread: Examples.
            uncounted: Number of answered rows of which no output was counted.
            keyless: Number of answered rows without a key.
        """
        layout = ModelCells.of(self.baseline)
        return performance_report(
            self.model,
            self.baseline,
            layout,
            cells,
            self.layout,
            outcomes,
            examples=unread,
            alpha=alpha,
            window=self.window,
            uncounted=uncounted,
            keyless=keyless,
        )

    def by_segment(
        self,
        segmentation: Segmentation,
        by: str,
        counts: Mapping[str, SegmentCounts],
        joining: Joining,
        alpha: float,
        most: int,
    ) -> SegmentPerformanceReport:
        """Report on each segment.

        Args:
            segmentation: Segmentation that named the segments.
            by: Column that segments rows.
            counts: Counts of each segment.
            joining: Outcomes of each segment.
            alpha: False-alarm probability of all reports together.
            most: Number of segments to report, the largest; the rest is ``__rare__``.
        """
        found, unknown = joining.by_segment(self.model)
        named = sorted(counts.keys() - {RARE}, key=lambda name: (-counts[name].rows, name))[:most]
        parts = {name: [name] for name in named}
        if rest := [name for name in counts if name not in parts]:
            parts[RARE] = rest

        none = np.zeros(self.layout.size, dtype=np.int64)
        outcomes = {name: sum((found.get(own, none) for own in names), none) for name, names in parts.items()}
        tests = sum(int(self.layout.counts(cells).sum()) >= MINIMUM_OUTCOMES for cells in outcomes.values())
        segments = []
        for name, names in parts.items():
            cells = sum(self.cells(counts[own], joining.classes_of(own)) for own in names)
            lost = sum(counts[own].uncounted(self.baseline).outputs for own in names)
            part = alpha / max(tests, 1)
            report = self.report(np.asarray(cells), outcomes[name], part, joining.unread.found, uncounted=lost)
            rows = sum(counts[own].rows for own in names)
            segments.append(SegmentPerformance(name, rows, report, segmentation.text_of(name)))

        segments.sort(key=lambda segment: (WORST_FIRST.index(segment.verdict), -segment.report.outcomes, -segment.rows))
        rejected = self.layout.rejections(np.asarray(sum(outcomes.values(), none)))
        rejected["unknown"] += unknown
        kind, fingerprint = self.layout.validation.kind, self.baseline.fingerprint
        return SegmentPerformanceReport(
            by, self.model, fingerprint, self.window, kind, alpha, tuple(segments), rejected, joining.hidden.keyless
        )
