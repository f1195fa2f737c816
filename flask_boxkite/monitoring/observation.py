"""The features and outputs of one model in one window, from all processes of a server, beside its baseline."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline import Baseline, Distribution
from flask_boxkite.baseline.variables import variables_of
from flask_boxkite.drift.failures import failed_line
from flask_boxkite.drift.report import DriftReport, drift_report
from flask_boxkite.drift.segments import SegmentJudge, SegmentReport
from flask_boxkite.drift.statistics import population_stability_index, psi_sampling_noise
from flask_boxkite.drift.tables import GroupSums, Trained
from flask_boxkite.drift.timeline import Timeline
from flask_boxkite.drift.timelines import Timelines
from flask_boxkite.drift.uncounted import Uncounted
from flask_boxkite.drift.verdict import DRIFTED_SIZE, MINIMUM_ROWS
from flask_boxkite.history.window import seconds_of
from flask_boxkite.live.failed import Failures, failures_of
from flask_boxkite.live.model_cells import DURATION_BOUNDS, ModelCells
from flask_boxkite.live.outcome_cells import OutcomeCells
from flask_boxkite.live.totals import Totals
from flask_boxkite.live.windows import LONGEST, SLOT_SECONDS, WINDOWS, History, Slots
from flask_boxkite.monitoring.findings import InvalidShare
from flask_boxkite.monitoring.notes import Notes
from flask_boxkite.monitoring.uncounted import rows_note
from flask_boxkite.monitoring.unread import Key, expected_of, outcome_key
from flask_boxkite.naming import CAPTURE_REASONS, STATUSES
from flask_boxkite.performance.live import judged_counts
from flask_boxkite.performance.report import PerformanceReport, performance_report
from flask_boxkite.values.rowhash import ROW_BUCKETS
from flask_boxkite.values.unread import UnreadValue

__all__ = [
    "Course",
    "CoursePoint",
    "LiveCounts",
    "Observation",
    "SegmentObservation",
    "WindowedCounts",
    "course",
    "observe",
    "observe_segments",
    "observed_performance",
]

_HOUR_SECONDS = 3600.0

_ERRORS_OF = {"features": "features", "outputs": "output"}
"""Reason of the capture errors of rows without features, and of rows without outputs."""

_NOTABLE_SHARE = 0.01
"""Share of rows with invalid values, beyond the share in training, from which it is a finding."""


class WindowedCounts(Protocol):
    """Reader of the counts of one section; all methods raise OSError if the counts cannot be read just now."""

    def totals(self) -> Totals:
        """Return all counts since the start."""

    def history(self) -> tuple[History, Totals]:
        """Return the snapshots of the last day, and totals from just after them."""


class LiveCounts(WindowedCounts, Protocol):
    """Reader of a model's counts."""

    def slots(self, name: str) -> Slots:
        """Return the counts of the last ``5m``, ``1h`` or ``24h``, slot by slot."""


@dataclass(frozen=True)
class Observation:
    """A model in one window. An immutable value.

    Attributes:
        model: Name of the model.
        baseline: Baseline of the comparison; None if there is none.
        window: ``"5m"``, ``"1h"``, ``"24h"`` or days, such as ``"30d"``; None for all since the start.
        alpha: False-alarm probability of one check of the whole model.
        layout: Meaning of each count.
        cells: The counts, shape (layout.size,): of each feature, then of each output, then the rest of the layout.
        timeline: Counts of groups by stretch of time, beyond the window; None if unknown.
        totals: All counts since the start, shape (layout.size,).
        snapshots: Counts before each moment, by Unix seconds.
        trained: Counts from training; None without a baseline.
        performance: Performance of the model; None if its baseline has no actual values.
        unread: Examples of values that count as invalid, by variable.
        notes: Latest hint on each kind of capture error.
    """

    model: str
    baseline: Baseline | None
    window: str | None
    alpha: float
    layout: ModelCells
    cells: NDArray[np.int64]
    timeline: Timeline | None
    totals: NDArray[np.int64]
    snapshots: Mapping[float, NDArray[np.int64]]
    trained: Trained | None = None
    performance: PerformanceReport | None = None
    unread: Mapping[Key, Sequence[UnreadValue]] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def report(self) -> DriftReport | None:
        """The verdicts; None without a baseline."""
        if self.baseline is None:
            return None

        report = drift_report(
            self.model,
            self.baseline,
            self.cells,
            alpha=self.alpha,
            timeline=self.timeline,
            reach=None if self.window is None else seconds_of(self.window),
            window=self.window,
            trained=self.trained,
        )
        report = replace(report.with_unread(self.unread), uncounted=self.uncounted)
        note = rows_note(report, self.capture_errors, self.rows, self.notes)
        return replace(report, failed=failed_line(self.failures, self.window), note=note)

    def with_notes(self, notes: Notes) -> Observation:
        """Return the same with the latest hints, if there are capture errors."""
        if not any(self.capture_errors.values()):
            return self
        return replace(self, notes={kind: note.text for kind, note in notes.read().items()})

    def cells_since(self, since: float | None) -> NDArray[np.int64]:
        """Return the counts since a snapshot; with None, the counts of the window."""
        before = None
        with contextlib.suppress(KeyError, OSError):  # a newer snapshot may have replaced it
            before = None if since is None else self.snapshots[since]
        return self.cells if before is None else np.maximum(self.totals - before, 0)

    @property
    def rows(self) -> dict[str, int]:
        """Predicted rows by status."""
        return self._by_name(STATUSES, self.layout.statuses_start)

    @property
    def capture_errors(self) -> dict[str, int]:
        """Requests whose features or output were not found, by reason."""
        return self._by_name(CAPTURE_REASONS, self.layout.captures_start)

    @property
    def uncounted(self) -> Uncounted:
        """Answered rows whose features or outputs were not counted."""
        counts = ((item.side, int(self.cells[item.cells].sum())) for item in self.layout.variables)
        found, errors = Uncounted.of(self.rows["ok"], counts), self.capture_errors
        # Without such errors, another process is just counting a row.
        is_sure = {side: bool(errors[reason] or errors["internal"]) for side, reason in _ERRORS_OF.items()}
        return Uncounted(found.rows, found.features * is_sure["features"], found.outputs * is_sure["outputs"])

    @property
    def requests(self) -> int:
        """Number of requests that were timed."""
        start = self.layout.durations_start
        return int(self.cells[start : start + len(DURATION_BOUNDS) + 1].sum())

    @property
    def unreadable(self) -> list[str]:
        """Judged variables with enough rows, of which none has a value of the type that training had."""
        cells = {item.name: self.cells[item.cells] for item in self.layout.variables}
        ignored = () if self.baseline is None else {each.name for each in self.baseline.policies if each.is_ignored}
        return [
            name
            for name, own in cells.items()
            if own[-1] >= MINIMUM_ROWS and not own[:-2].any() and name not in ignored
        ]

    def invalid_shares(self, listed: Callable[[Sequence[UnreadValue]], str]) -> Iterator[InvalidShare]:
        """Yield variables with enough rows of which clearly more values than in training count as invalid.

        Args:
            listed: Function that names examples.
        """
        for side, item, where in self.layout.variables:
            own = self.cells[where]
            rows, invalid = int(own.sum()), int(own[-1])
            if rows >= MINIMUM_ROWS and invalid / rows - item.invalid / max(item.rows, 1) >= _NOTABLE_SHARE:
                examples = listed(self.unread.get((side, item.name), ()))
                yield InvalidShare(item.name, invalid / rows, examples, expected_of(item))

    @cached_property
    def failures(self) -> Failures:
        """States of features in requests that ended in 5xx, beside answered ones."""
        return failures_of(self.layout, self.cells)

    def _by_name(self, names: tuple[str, ...], start: int) -> dict[str, int]:
        return dict(zip(names, self.cells[start : start + len(names)].tolist(), strict=True))

    def latency(self, quantile: float) -> float | None:
        """Return a quantile of the time from request to response, in seconds; None if nothing was timed.

        The bins of durations give it as PromQL's ``histogram_quantile`` does: values lie evenly in a bin, and values
        above all bounds count as the highest bound.
        """
        start = self.layout.durations_start
        counts = self.cells[start : start + len(DURATION_BOUNDS) + 1]
        if not counts.sum():
            return None
        ends = np.concatenate([[0], np.cumsum(counts[:-1])])
        return float(np.interp(quantile * counts.sum(), ends, [0.0, *DURATION_BOUNDS]))


def observe(
    model: str,
    baseline: Baseline | None,
    layout: ModelCells,
    counts: LiveCounts,
    *,
    window: str | None,
    alpha: float,
    timelines: Timelines | None = None,
) -> Observation:
    """Read the counts of all processes.

    Args:
        model: Name of the model.
        baseline: Baseline of the model.
        layout: Cells of its counts.
        counts: Reader of the counts.
        window: ``"5m"``, ``"1h"`` or ``"24h"``; None for all since the start.
        alpha: False-alarm probability of one check of the whole model.
        timelines: Makes the timeline from the counts; None without a baseline.

    Raises:
        OSError: The counts cannot be read.
    """
    try:
        history, totals = counts.history()
        timeline = None if timelines is None else timelines.of(history, totals)
    except OSError:
        if window is not None:
            raise
        history, totals = History.none(time.time()), counts.totals()  # totals do not depend on snapshots
        timeline = None if timelines is None else timelines.of(history, totals)

    cells = totals.cells if window is None else history.window(window, totals)
    trained = None if timelines is None else timelines.trained
    return Observation(
        model, baseline, window, alpha, layout, cells, timeline, totals.cells, history.snapshots, trained
    )


@dataclass(frozen=True)
class SegmentObservation:
    """The segments of a model in one window. An immutable value.

    Attributes:
        judge: Judge of the segments.
        report: The verdicts.
        layout: Meaning of each count.
        cells: Counts of the model in the window, shape (layout.size,).
        totals: All counts since the start, shape (layout.size,).
        snapshots: Counts before each moment, by Unix seconds.
    """

    judge: SegmentJudge
    report: SegmentReport
    layout: ModelCells
    cells: NDArray[np.int64]
    totals: NDArray[np.int64]
    snapshots: Mapping[float, NDArray[np.int64]]

    def baseline(self, name: str) -> Baseline:
        """Return the baseline of a segment, whose bins are the groups."""
        return self.judge.baselines[self.judge.names.index(name)]

    def cells_since(self, name: str, since: float | None) -> NDArray[np.int64]:
        """Return the counts of a segment since a snapshot, as its baseline's cells; with None, of the window."""
        before = None
        with contextlib.suppress(KeyError, OSError):  # a newer snapshot may have replaced it
            before = None if since is None else self.snapshots[since]
        cells = self.cells if before is None else np.maximum(self.totals - before, 0)
        groups = _groups_by_segment(self.judge, self.layout, cells)
        return self.judge.cells_of(groups[self.judge.names.index(name)])


def observe_segments(
    judge: SegmentJudge,
    layout: ModelCells,
    counts: WindowedCounts,
    timelines: Timelines,
    *,
    window: str | None,
    alpha: float,
    together: DriftReport | None = None,
) -> SegmentObservation:
    """Return the verdicts on the segments of a model, by the counts of all processes.

    Args:
        judge: Judge of the segments.
        layout: Cells of the model's counts.
        counts: Reader of the counts.
        timelines: Makes timelines from the counts.
        together: Drift of all rows together in this window, to compare with.
        window: ``"5m"``, ``"1h"`` or ``"24h"``; None for all since the start.
        alpha: False-alarm probability of all verdicts together.

    Raises:
        OSError: The counts cannot be read.
    """
    history, totals = counts.history()
    cells = totals.cells if window is None else history.window(window, totals)
    report = judge.report(
        list(_groups_by_segment(judge, layout, cells)),
        timelines.of_segments(history, totals, judge.item),
        alpha=alpha,
        reach=None if window is None else WINDOWS[window],
        window=window,
    )
    if together is not None:
        report = replace(
            report, together=together, failed=together.failed, note=together.note, uncounted=together.uncounted
        )
    return SegmentObservation(judge, report, layout, cells, totals.cells, history.snapshots)


def _groups_by_segment(judge: SegmentJudge, layout: ModelCells, cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the counts of the groups of all variables in each segment, shape (segments, groups)."""
    own = cells[layout.cells_of_segments(judge.item)].reshape(len(judge.names), -1)
    return own[:, : -ROW_BUCKETS - 1]


def observed_performance(
    seen: Observation, layout: OutcomeCells, counts: WindowedCounts, *, now: float
) -> PerformanceReport:
    """Return how good an observed model is, by the outcomes that came in the same window.

    Args:
        seen: Predictions of the model, whose baseline has a validation.
        layout: Meaning of the counts of its outcomes.
        counts: Reader of these counts.
        now: Present Unix time.

    Raises:
        OSError: The counts cannot be read.
    """
    assert seen.baseline is not None
    validation, slots = seen.baseline.validation, None
    assert validation is not None
    try:
        history, totals = counts.history()
        slots = history.slots(LONGEST, totals).cells
        outcomes = totals.cells if seen.window is None else history.window(seen.window, totals)
    except OSError:
        if seen.window is not None:
            raise
        totals = counts.totals()  # these do not depend on snapshots
        outcomes = totals.cells
    return performance_report(
        seen.model,
        seen.baseline,
        seen.layout,
        seen.cells,
        layout,
        outcomes,
        whole=totals.cells,
        examples=seen.unread.get(outcome_key(validation), ()),
        predictions=int(judged_counts(validation, seen.layout, seen.totals).sum()),
        slots=slots,
        now=now,
        window=seen.window,
        alpha=seen.alpha,
        uncounted=seen.uncounted.outputs,
    )


class CoursePoint(NamedTuple):
    """One variable in the hour that ended at some time of the day.

    Attributes:
        age: Seconds since the end of that hour.
        rows: Live rows in that hour.
        psi: Their population stability index against training.
        limit: Index from which a significant change is drift: the size of ``drifted``, 0.1 unless the user set another
            one, more than sampling alone gives.
    """

    age: float
    rows: int
    psi: float
    limit: float


class Course(NamedTuple):
    """One variable over the last day, or over the known part of it.

    Attributes:
        seconds: Age of the oldest known count, up to a day.
        points: The hours that had enough rows, oldest first.
    """

    seconds: float
    points: list[CoursePoint]


def course(
    trained: Trained, counts: LiveCounts, variable: Distribution, *, drifted_size: float = DRIFTED_SIZE
) -> Course:
    """Return how far one variable was from training over the last day.

    Each point covers the hour before it; an hour with fewer rows than a verdict needs has none. Points are a quarter of
    an hour apart; while less than an hour or 5 minutes is known, a minute or 10 seconds.

    Args:
        trained: Training counts of all variables.
        counts: Reader of the live counts.
        variable: The variable.
        drifted_size: Size from which it is ``drifted``.

    Raises:
        OSError: The counts cannot be read.
    """
    ages, cells = counts.slots(LONGEST)
    known = float(ages.max(initial=0.0))
    window = next(name for name, seconds in WINDOWS.items() if known < seconds or name == LONGEST)
    if window != LONGEST:
        ages, cells = counts.slots(window)

    index = next(number for number, item in enumerate(trained.variables) if item.distribution is variable)
    table = GroupSums(variables_of([variable])).of(cells[:, trained.variables[index].cells])
    before = trained.counts[trained.groups[index]].tolist()
    # A slot ends when the next one begins, which came late where nothing was counted.
    ends = np.maximum(np.append(ages[1:], 0.0), ages - SLOT_SECONDS[window])
    points = []
    for end in ends.tolist():
        now = table[(ends >= end) & (ends < end + _HOUR_SECONDS)].sum(axis=0)
        if now.sum() >= MINIMUM_ROWS and sum(before) >= MINIMUM_ROWS:
            psi = population_stability_index(before, now)
            points.append(CoursePoint(end, int(now.sum()), psi, psi_sampling_noise(before, now) + drifted_size))

    return Course(known, points)
