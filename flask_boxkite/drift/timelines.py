"""Timelines of one model, from the counts of its processes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.segmentation import Segmentation
from flask_boxkite.drift.tables import Trained
from flask_boxkite.drift.timeline import RowCounts, Timeline
from flask_boxkite.live.model_cells import ModelCells
from flask_boxkite.live.totals import Totals
from flask_boxkite.live.windows import History
from flask_boxkite.values.rowhash import ROW_BUCKETS

__all__ = ["Timelines"]


class Timelines:
    """Makes timelines of one model, and remembers the sums of known snapshots. Any thread may use it.

    Args:
        layout: Cells of the counts.
    """

    def __init__(self, layout: ModelCells) -> None:
        self._layout = layout
        # One attribute, so that threads see both parts or neither.
        self._known: tuple[dict[float, NDArray[np.int64]], NDArray[np.int64]] = ({}, np.empty((0, 0), np.int64))

    @cached_property
    def trained(self) -> Trained:
        """Training counts of the layout's variables; made at the first use, not when an app starts."""
        return Trained(self._layout.variables)

    def of(self, history: History, totals: Totals) -> Timeline:
        """Return the counts of groups and rows from each snapshot on, and from the start.

        Args:
            history: Snapshots of the counts.
            totals: Present counts, read after the snapshots.
        """
        taken, before = self._before(history)
        # Never negative, even if a user deleted files with counts.
        counted = np.maximum(self._summed(totals.cells) - before, 0)
        groups = len(self.trained.counts)
        squares = groups + ROW_BUCKETS
        rows = RowCounts(counted[:, groups:squares], counted[:, squares])
        pairs = counted[:, squares + 1 :] if self._layout.pairs else None
        return Timeline(np.array(taken), counted[:, :groups], rows, history.now, pairs)

    def of_segments(self, history: History, totals: Totals, item: Segmentation) -> list[Timeline]:
        """Return the same for each segment of a segmentation, of the slots in which its rows came.

        The sums are not remembered, as they are many.

        Args:
            history: Snapshots of the counts.
            totals: Present counts, read after the snapshots.
            item: Segmentation of the model.
        """
        own = self._layout.cells_of_segments(item)
        snapshots = {taken: cells[own] for taken, cells in history.snapshots.present(history.snapshots)}
        taken, before = _without_empty(snapshots, _before_each(snapshots, own.stop - own.start))
        counted = np.maximum(totals.cells[own] - before, 0).reshape(len(taken), len(item.names), -1)
        groups = self._layout.segment_size - ROW_BUCKETS - 1
        return [
            Timeline(
                np.array(taken),
                counted[:, number, :groups],
                RowCounts(counted[:, number, groups:-1], counted[:, number, -1]),
                history.now,
            ).occupied()
            for number in range(len(item.names))
        ]

    def _before(self, history: History) -> tuple[list[float], NDArray[np.int64]]:
        """Return the beginning of each stretch, and the counts before it."""
        known, before = self._known
        if known.keys() != history.snapshots.keys() or not len(before):
            new = (taken for taken in history.snapshots if taken not in known)
            sums = known | {taken: self._summed(cells) for taken, cells in history.snapshots.present(new)}
            known = {taken: sums[taken] for taken in history.snapshots if taken in sums}
            self._known = (known, _before_each(known, len(self._summed(np.zeros(self._layout.size, np.int64)))))
            known, before = self._known
        return _without_empty(known, before)

    def _summed(self, cells: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the counts of groups, of rows, and of pairs, one after the other."""
        layout = self._layout
        rows = cells[layout.buckets_start : layout.squares + 1]
        pairs = cells[layout.pairs_start : layout.segments_start]
        return np.concatenate([self.trained.sums.of(cells), rows, pairs])


def _before_each(snapshots: Mapping[float, NDArray[np.int64]], size: int) -> NDArray[np.int64]:
    """Return the counts before the start, and before each snapshot, shape (1 + snapshots, size)."""
    before = np.array([np.zeros(size, np.int64), *snapshots.values()])
    # Never more than later, even if counts were lost since: each stretch includes all later ones.
    return np.minimum.accumulate(before[::-1], axis=0)[::-1]


def _without_empty(
    snapshots: Mapping[float, NDArray[np.int64]], before: NDArray[np.int64]
) -> tuple[list[float], NDArray[np.int64]]:
    """Return the beginning of each stretch, and the counts before it; a snapshot of nothing is the start itself."""
    taken = [-math.inf, *snapshots]
    if len(snapshots) and not before[1].any():
        return taken[1:], before[1:]
    return taken, before
