"""The dispersions of a model's last hour, for each scrape: by the snapshots that the time windows have anyway.

The finished slots are read and added up once for each slot, that is, once a minute; a scrape adds the running one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.drift.dispersion import Spread
from flask_boxkite.drift.tables import GroupSums
from flask_boxkite.exposition.model import ExportedModel
from flask_boxkite.live.store import Totals
from flask_boxkite.live.windows import Snapshots, Windows, slot_counts

__all__ = ["WINDOW", "LiveDispersion"]

WINDOW = "1h"


class LiveDispersion:
    """Knows the dispersions of one model. Safe to use from any thread.

    Args:
        model: The model; one without a baseline has none.
    """

    def __init__(self, model: ExportedModel) -> None:
        self._sums = GroupSums((*model.layout.features, *model.layout.outputs))
        # One attribute, so that threads that meet here see snapshots and sums that belong together.
        self._known: tuple[Snapshots, Spread] | None = None

    def of(self, windows: Windows, totals: Totals) -> NDArray[np.float64]:
        """Return φ of each feature and output; 1 where nothing is known.

        Args:
            windows: Of the model's section.
            totals: What all processes have counted.
        """
        known = self._known
        try:
            snapshots = windows.snapshots(WINDOW, known[0] if known else None)
        except OSError:  # windows are a help, not a reason to fail a scrape
            return np.ones(len(self._sums.firsts))
        if known is None or snapshots is not known[0]:
            finished = np.maximum(np.diff(snapshots.cells, axis=0), 0)
            last = Snapshots(snapshots.taken, snapshots.cells[-1:].copy())
            known = self._known = (last, self._spread(finished))
        spread = known[1]
        for running in self._sums.of(slot_counts(known[0], totals)):  # one, or none
            spread = spread.then(running)
        return spread.dispersions()

    def _spread(self, slots: NDArray[np.int64]) -> Spread:
        return Spread.of(self._sums.of(slots), self._sums.firsts)
