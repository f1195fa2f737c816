"""Drift of each segment of the rows, such as each country: verdicts on all variables, in each segment.

A segment is compared with the same segment in training, as far as the baseline has it, so one that always differed from
the average has not moved.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline import Baseline
from flask_boxkite.baseline.segment_baselines import segment_baselines
from flask_boxkite.baseline.segmentation import Segmentation
from flask_boxkite.drift.report import DriftReport, drift_report
from flask_boxkite.drift.segment_wording import as_markdown, as_text
from flask_boxkite.drift.tables import GroupSums, Trained, per_variable
from flask_boxkite.drift.timeline import Timeline
from flask_boxkite.drift.uncounted import Uncounted
from flask_boxkite.drift.variable import VariableDrift
from flask_boxkite.drift.verdict import MINIMUM_ROWS, WORST_FIRST, Verdict
from flask_boxkite.drift.wording import group_name
from flask_boxkite.suggestion import item_named

__all__ = ["Segment", "SegmentJudge", "SegmentReport", "largest_first", "segment_texts", "verdict_dict"]


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
        together: Drift of all rows together, in the same window; None if it was not judged.
        reference: Rows that each segment is compared with: ``segment``, the same segment in training or in *against*,
            or ``all rows`` of training, where the baseline has no such segments.
        note: Note on the whole, as in `DriftReport`.
        uncounted: Number of answered rows of all segments that were not counted, likewise.
    """

    by: str
    model: str
    baseline: str
    window: str | None
    alpha: float
    against: str | None
    segments: tuple[Segment, ...]
    failed: str = ""
    together: DriftReport | None = None
    reference: Literal["segment", "all rows"] = "segment"
    note: str = ""
    uncounted: Uncounted | None = None

    def __getitem__(self, name: str) -> Segment:
        """Return the segment of that name.

        Raises:
            KeyError: There is none.
        """
        return item_named(name, self.segments, "segment")

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

        Keys: ``by``, ``model``, ``baseline``, ``window``, ``alpha``, ``against``, ``reference``, ``note`` and
        ``uncounted``, as in `DriftReport.to_dict`, and ``segments``, a list of dicts with ``name``, ``text`` (the name
        for people), ``rows``, ``verdict``, and ``uncounted`` and ``variables``, likewise. A server's report also has
        ``together``: ``side``, ``name`` and ``verdict`` of each variable in all rows together.
        """
        together = {} if self.together is None else {"together": list(map(verdict_dict, self.together))}
        keys = ("by", "model", "baseline", "window", "alpha", "against", "reference")
        return {
            **{key: getattr(self, key) for key in keys},
            "note": self.note or None,
            "uncounted": _numbers(self.uncounted),
            "segments": [
                {
                    "name": segment.name,
                    "text": segment.text,
                    "rows": segment.rows,
                    "verdict": segment.verdict,
                    "uncounted": _numbers(segment.report.uncounted),
                    "variables": segment.report.to_rows(),
                }
                for segment in self.segments
            ],
            **together,
        }

    def to_markdown(self) -> str:
        """Return a Markdown table of the segments."""
        return as_markdown(self.to_dict())

    def __str__(self) -> str:
        """Return a table of at most 100 columns."""
        return as_text(self.to_dict(), self.failed)

    __repr__ = __str__


def _numbers(item: Uncounted | None) -> dict[str, int] | None:
    return None if item is None else item._asdict()


def verdict_dict(item: VariableDrift) -> dict[str, str]:
    """Return the names and the verdict of a variable as JSON values."""
    return {"side": item.side, "name": item.name, "verdict": item.verdict}


def largest_first(segment: Segment) -> tuple[int, float, int]:
    """Return the key by which segments are sorted."""
    return WORST_FIRST.index(segment.verdict), -segment.size, -segment.rows


def segment_texts(baseline: Baseline, item: Segmentation) -> list[str]:
    """Return the names of segments for people, and of all other rows."""
    distribution = baseline.distributions[item.variable]
    texts = (group_name(distribution, name) for name in item.segments)
    return [*(text if text.strip() else f'"{text}"' for text in texts), "all others"]


class SegmentJudge:
    """Judges the segments of one model by one variable, each against itself in training. Any thread may use it.

    Args:
        model: Name of the model.
        baseline: Baseline that has the segments.
        item: The segments.

    Attributes:
        item: The segments.
        names: Their names, and `RARE` for all other rows.
        baselines: Baseline of each, whose bins are the groups.
        trained: Training counts of each.
        variables: Variables that are judged: all but the one of the segments.
        tests: Number of segments among which the false-alarm probability is divided: those with enough training rows.
    """

    def __init__(self, model: str, baseline: Baseline, item: Segmentation) -> None:
        self._model, self._whole = model, baseline
        self.item, self.names = item, item.names
        self.baselines = [Baseline.of(contents) for contents in segment_baselines(baseline, item)]
        self.trained = [Trained(own.variables) for own in self.baselines]
        self.tests = max(sum(own.rows >= MINIMUM_ROWS for own in self.baselines), 1)
        self.variables = [each for place, each in enumerate(baseline.variables) if place != item.variable]
        self._starts = GroupSums(self.baselines[0].variables)

    @property
    def texts(self) -> list[str]:
        """The names for people."""
        return segment_texts(self._whole, self.item)

    def cells_of(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return counts of groups, shape (groups,), as the cells of each of `baselines`."""
        return self._starts.cells_of(counts)

    def report(
        self,
        counts: Sequence[NDArray[np.int64]],
        timelines: Sequence[Timeline | None],
        *,
        alpha: float,
        reach: float | None = None,
        window: str | None = None,
    ) -> SegmentReport:
        """Judge each segment.

        Args:
            counts: Live rows of each segment in the window by the groups of all variables, shape (groups,).
            timelines: Counts of each segment by stretch of time; None for a segment without rows.
            alpha: False-alarm probability of all verdicts together.
            reach: Seconds that stretches of the window may reach back; None for all stretches.
            window: Name of the window, or the period.
        """
        segments = []
        for number, (name, text) in enumerate(zip(self.names, self.texts, strict=True)):
            report = self._judged(number, counts[number], timelines[number], alpha, reach)
            # Of a batch, one side may be unknown. The variable of the segments is not judged, and counts.
            of_variables = per_variable(counts[number], self._starts.firsts).tolist()
            rows = max(of_variables)
            sides = [each.side for each in self._whole.variables]
            report = replace(report, uncounted=Uncounted.of(rows, zip(sides, of_variables, strict=True)))
            if rows or self.baselines[number].rows:  # else all rows are in the named segments
                segments.append(Segment(name, rows, replace(report, window=window), text))
        segments.sort(key=largest_first)
        _, by = self.item.side_and_name(self._whole.variables)
        return SegmentReport(by, self._model, self._whole.fingerprint, window, alpha, None, tuple(segments))

    def verdicts(
        self, timelines: Sequence[Timeline], *, alpha: float, reach: float
    ) -> Iterator[tuple[str, tuple[VariableDrift, ...]]]:
        """Yield each segment with its variables, as far as a stretch lies within the reach; see `report`."""
        for number, timeline in enumerate(timelines):
            if (first := timeline.first_within(reach)) < len(timeline):
                yield self.names[number], self._judged(number, timeline.groups[first], timeline, alpha, reach).variables

    def _judged(
        self, number: int, counts: NDArray[np.int64], timeline: Timeline | None, alpha: float, reach: float | None
    ) -> DriftReport:
        """Return the report on one segment, without the variable that segments rows, and not for any window."""
        report = drift_report(
            self._model,
            self.baselines[number],
            self.cells_of(counts),
            alpha=alpha / self.tests,
            timeline=timeline,
            reach=reach,
            trained=self.trained[number],
        )
        own = self.item.side_and_name(self._whole.variables)
        variables = tuple(each for each in report if (each.side, each.name) != own)
        return replace(report, baseline=self._whole.fingerprint, variables=variables)
