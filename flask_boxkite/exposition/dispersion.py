"""The dispersion by which Prometheus' rules divide G, per window: how often rows recur, how much minutes differ.

Rules see neither rows nor stretches of a window. So each window's gauge exports the divisor of the verdicts in Python
(`drift.scan`). Where those use the limit of F, the gauge is larger by the quotient of that limit and the limit of χ².
The first scrape of a minute renews the gauges in a few milliseconds; the other scrapes cost nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.drift.scan import dispersions_by_reach
from flask_boxkite.drift.timelines import Timelines
from flask_boxkite.exposition.model import ExportedModel
from flask_boxkite.live.totals import Totals
from flask_boxkite.live.windows import WINDOWS, Windows

__all__ = ["LiveDispersion"]

_MINUTE = 60.0


class LiveDispersion:
    """Computes the dispersions of one model. Safe to use from any thread.

    Args:
        model: The model; without a baseline it has no dispersions.
    """

    def __init__(self, model: ExportedModel) -> None:
        self._model = model
        self._timelines = Timelines(model.layout)
        # One attribute, so that concurrent threads see parts that belong together.
        self._known: tuple[float, NDArray[np.float64]] = (-1.0, self._none())

    def of(self, windows: Windows, totals: Totals) -> NDArray[np.float64]:
        """Return φ of each feature and output in each window, shape (windows, variables); 1 where it is unknown.

        Args:
            windows: Time windows of the model's section.
            totals: Counts of all processes.
        """
        minute, dispersions = self._known
        if self._model.baseline is None or (now := windows.now() // _MINUTE) == minute:
            return dispersions

        try:
            timeline = self._timelines.of(windows.history(), totals)
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
            alpha=self._model.alpha / max(len(trained.variables), 1) / len(WINDOWS),
            collisions=self._model.baseline.row_collisions,
        )
        self._known = (now, dispersions)
        return dispersions

    def _none(self) -> NDArray[np.float64]:
        return np.ones((len(WINDOWS), len(self._model.layout.variables)))
