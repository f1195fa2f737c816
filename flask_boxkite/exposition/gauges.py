"""Gauges of drift, per window: numbers that Prometheus' rules need and cannot compute from counts.

Rules see neither rows nor stretches of a window. So each window's gauge exports the dispersion by which verdicts in
Python divide G (`drift.scan`). Where those use the limit of F, the gauge is larger by the quotient of that limit and
the limit of χ². Rules cannot fit a model to the table of a pair either, and segments are too many for them. So the
verdicts and sizes of both are exported as Python has them. The first scrape of a minute renews the gauges in some
milliseconds, with ten segments of 30 variables in 100; the other scrapes cost nothing.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from flask_boxkite.baseline import Baseline
from flask_boxkite.drift.pairs import PairScan
from flask_boxkite.drift.plan import Plan
from flask_boxkite.drift.scan import dispersions_by_reach
from flask_boxkite.drift.timeline import Timeline
from flask_boxkite.drift.timelines import Timelines
from flask_boxkite.drift.verdict import Verdict
from flask_boxkite.exposition.model import ExportedModel, Gauges
from flask_boxkite.live.totals import Totals
from flask_boxkite.live.windows import WINDOWS, History, Windows

if TYPE_CHECKING:  # loaded by the first scrape of a model with segments
    from flask_boxkite.drift.segments import SegmentJudge

__all__ = ["LiveGauges"]

_MINUTE = 60.0


VERDICTS: dict[Verdict, int] = {
    "ignored": -1,
    "not enough data": 0,
    "stable": 1,
    "unclear": 1,
    "shifted": 2,
    "drifted": 3,
    "major": 4,
}
"""Numbers of verdicts in metrics, as the rules record them."""


class LiveGauges:
    """Computes the gauges of one model. Safe to use from any thread.

    Args:
        model: The model; without a baseline it has none.
    """

    def __init__(self, model: ExportedModel) -> None:
        self._model = model
        self._timelines = Timelines(model.layout)
        # One attribute, so that concurrent threads see parts that belong together.
        self._known: tuple[float, Gauges] = (-1.0, self._none())

    def of(self, windows: Windows, totals: Totals) -> Gauges:
        """Return the gauges.

        Args:
            windows: Time windows of the model's section.
            totals: Counts of all processes.
        """
        minute, gauges = self._known
        baseline = self._model.baseline
        if baseline is None or (now := windows.now() // _MINUTE) == minute:
            return gauges

        try:
            history = windows.history()
            timeline = self._timelines.of(history, totals)
        except OSError:  # a scrape must not fail because windows cannot be read
            return self._none()
        trained = self._timelines.trained
        dispersions = dispersions_by_reach(
            trained.counts,
            timeline,
            trained.sums.firsts,
            trained.degrees,
            tuple(WINDOWS.values()),
            # The rules divide alpha among windows too; there are as many of them unless users choose others.
            alpha=self._plan.alphas / len(WINDOWS),
            collisions=baseline.row_collisions,
        )
        gauges = self._none()._replace(dispersions=dispersions)
        self._fill_in_pairs(gauges, baseline, timeline)
        self._fill_in_segments(gauges, history, totals)
        self._known = (now, gauges)
        return gauges

    def _fill_in_pairs(self, gauges: Gauges, baseline: Baseline, timeline: Timeline) -> None:
        scanned = PairScan(baseline, timeline, self._plan)
        for window, reach in enumerate(WINDOWS.values()):
            first = timeline.first_within(reach)
            if first == len(timeline):
                continue
            found = scanned.drifts(first)
            gauges.pair_verdicts[window] = [VERDICTS[item.verdict] for item in found]
            gauges.pair_sizes[window] = [item.judgement.size for item in found]

    def _fill_in_segments(self, gauges: Gauges, history: History, totals: Totals) -> None:
        place = 0
        for judge in self._judges:
            timelines = self._timelines.of_segments(history, totals, judge.item)
            places: dict[tuple[str, str, str], int] = {
                (name, variable.side, variable.name): place + number * len(judge.variables) + index
                for number, name in enumerate(judge.names)
                for index, variable in enumerate(judge.variables)
            }
            place += len(places)
            for window, reach in enumerate(WINDOWS.values()):
                for name, items in judge.verdicts(timelines, alpha=self._model.alpha, reach=reach):
                    for item in items:
                        at = places[name, item.side, item.name]
                        gauges.segment_verdicts[window, at] = VERDICTS[item.verdict]
                        gauges.segment_sizes[window, at] = item.judgement.size

    @cached_property
    def _judges(self) -> list[SegmentJudge]:
        baseline = self._model.baseline
        if baseline is None or not baseline.segmentations:
            return []
        from flask_boxkite.drift.segments import SegmentJudge

        return [SegmentJudge(self._model.name, baseline, item) for item in baseline.segmentations]

    @cached_property
    def _plan(self) -> Plan:
        """The plan of each check."""
        assert self._model.baseline is not None
        return Plan.of(self._model.baseline, self._model.alpha)

    def _none(self) -> Gauges:
        layout = self._model.layout
        windows, pairs = len(WINDOWS), len(layout.pairs)
        segments = sum(len(item.names) for item in layout.segmentations) * max(len(layout.variables) - 1, 0)
        return Gauges(
            np.ones((windows, len(layout.variables))),
            np.zeros((windows, pairs), dtype=np.int64),
            np.zeros((windows, pairs)),
            np.zeros((windows, segments), dtype=np.int64),
            np.zeros((windows, segments)),
        )
