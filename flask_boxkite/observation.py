"""What a model has seen and said in one window, of all processes of a server, beside its baseline."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline import Baseline, Distribution
from flask_boxkite.baseline.distribution import group_counts
from flask_boxkite.drift import DriftReport, drift_report
from flask_boxkite.drift.statistics import population_stability_index, psi_sampling_noise
from flask_boxkite.drift.tables import GroupSums
from flask_boxkite.drift.verdict import DRIFTED_SIZE, MINIMUM_ROWS
from flask_boxkite.live.layout import DURATION_BOUNDS, Layout
from flask_boxkite.live.shared import Slots
from flask_boxkite.live.store import Totals
from flask_boxkite.live.windows import LONGEST, SLOT_SECONDS, WINDOWS
from flask_boxkite.naming import CAPTURE_REASONS, STATUSES

__all__ = ["CoursePoint", "LiveCounts", "Observation", "course", "observe"]

_ENOUGH_SLOTS = 10
"""How many slots tell repeated rows from a change."""

_HOUR_SECONDS = 3600.0


class LiveCounts(Protocol):
    """Where to read what was counted of a model; both raise OSError if it cannot be read just now."""

    def totals(self) -> Totals:
        """Return what was counted since the start."""

    def slots(self, name: str) -> Slots:
        """Return what was counted in the last ``5m``, ``1h`` or ``24h``, slot by slot."""


@dataclass(frozen=True)
class Observation:
    """A model in one window. A value: nothing changes it.

    Attributes:
        model: Its name.
        baseline: What it is compared with; None if there is none.
        window: ``"5m"``, ``"1h"`` or ``"24h"``; None for all since the start.
        alpha: False-alarm probability of one check of the whole model.
        layout: What the counts are of.
        cells: The counts, shape (layout.size,): of each feature, then of each output, then the rest of the layout.
        slots: The same by time slot, shape (slots, layout.size); None if not known.
    """

    model: str
    baseline: Baseline | None
    window: str | None
    alpha: float
    layout: Layout
    cells: NDArray[np.int64]
    slots: NDArray[np.int64] | None

    @cached_property
    def report(self) -> DriftReport | None:
        """The verdicts; None without a baseline."""
        if self.baseline is None:
            return None
        return drift_report(
            self.model, self.baseline, self.cells, alpha=self.alpha, slots=self.slots, window=self.window
        )

    @property
    def rows(self) -> dict[str, int]:
        """Predicted rows by status."""
        return self._by_name(STATUSES, self.layout.statuses_start)

    @property
    def capture_errors(self) -> dict[str, int]:
        """Requests in which something was not found, by reason."""
        return self._by_name(CAPTURE_REASONS, self.layout.captures_start)

    def _by_name(self, names: tuple[str, ...], start: int) -> dict[str, int]:
        return dict(zip(names, self.cells[start : start + len(names)].tolist(), strict=True))

    def latency(self, quantile: float) -> float | None:
        """Return a quantile of the time from request to response, in seconds; None if nothing was timed.

        Taken from the bins of durations as PromQL's ``histogram_quantile`` takes it: values are spread evenly in a bin,
        and what is above all bounds counts as the highest of them.
        """
        start = self.layout.durations_start
        counts = self.cells[start : start + len(DURATION_BOUNDS) + 1]
        if not counts.sum():
            return None
        ends = np.concatenate([[0], np.cumsum(counts[:-1])])
        return float(np.interp(quantile * counts.sum(), ends, [0.0, *DURATION_BOUNDS]))


def observe(
    model: str, baseline: Baseline | None, layout: Layout, counts: LiveCounts, *, window: str | None, alpha: float
) -> Observation:
    """Read what all processes have counted.

    Args:
        model: The model's name.
        baseline: Its baseline.
        layout: Of its counts.
        counts: Where they are.
        window: ``"5m"``, ``"1h"`` or ``"24h"``; None for all since the start.
        alpha: False-alarm probability of one check of the whole model.

    Raises:
        OSError: They cannot be read.
    """
    if window is None:
        cells = counts.totals().cells
        slots = _slots_since_start(counts, int(cells.sum()))
    else:
        slots = counts.slots(window).cells
        cells = slots.sum(axis=0)
    return Observation(model, baseline, window, alpha, layout, cells, slots)


def _slots_since_start(counts: LiveCounts, rows: int) -> NDArray[np.int64] | None:
    """Return the slots of the longest window; None if they cannot be read: the counts do not depend on them.

    A server that has just started has one or two of these, which differ by any change as they would by repeated
    rows. So while a shorter window holds all *rows* that there are, and in more slots, it is taken instead.
    """
    try:
        found = counts.slots(LONGEST).cells
        for name in sorted(WINDOWS, key=lambda name: -WINDOWS[name])[1:]:
            if len(found) >= _ENOUGH_SLOTS:
                break
            finer = counts.slots(name).cells
            if len(finer) >= _ENOUGH_SLOTS and finer.sum() >= rows:
                found = finer
    except OSError:
        return None
    return found


class CoursePoint(NamedTuple):
    """One variable in the hour that ended at some time of the day.

    Attributes:
        age: How many seconds ago that was.
        rows: Live rows in that hour.
        psi: Their population stability index against training.
        limit: What it must reach to be called drifted, if it is significant: 0.1 more than sampling alone gives.
    """

    age: float
    rows: int
    psi: float
    limit: float


def course(layout: Layout, counts: LiveCounts, variable: Distribution) -> list[CoursePoint]:
    """Return how far one variable was from training in the course of the last day, oldest first.

    Each point is about the hour before it, and left out if that had fewer rows than a verdict needs.

    Raises:
        OSError: The counts cannot be read.
    """
    ages, cells = counts.slots(LONGEST)
    variables = (*layout.features, *layout.outputs)
    sums = GroupSums(variables)
    place = next(number for number, item in enumerate(variables) if item is variable)
    mine = slice(sums.firsts[place], sums.firsts[place] + len(variable.groups))
    table = sums.of(cells)[:, mine]
    before = group_counts(variable, variable.cells)
    # A slot ends with the next one; but where nothing was counted, that came late.
    ends = np.maximum(np.append(ages[1:], 0.0), ages - SLOT_SECONDS[LONGEST])
    points = []
    for end in ends.tolist():
        now = table[(ends >= end) & (ends < end + _HOUR_SECONDS)].sum(axis=0)
        if now.sum() >= MINIMUM_ROWS and sum(before) >= MINIMUM_ROWS:
            psi = population_stability_index(before, now)
            points.append(CoursePoint(end, int(now.sum()), psi, psi_sampling_noise(before, now) + DRIFTED_SIZE))
    return points
