"""Counts of whole groups of rows, the same as of their records one by one.

Columns are counted at once. Records whose values stand in no column, and failed ones, are few: they are read from their
lines, and counted as the records of lines are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline import Baseline
from flask_boxkite.live.model_cells import ModelCells
from flask_boxkite.records.counting import CountedRows, RecordCounter, slot_begin
from flask_boxkite.records.decoding import Decoder
from flask_boxkite.records.joining import Joining
from flask_boxkite.records.parquet.counting import Side
from flask_boxkite.records.parquet.joining import join_group
from flask_boxkite.records.parquet.layout import FEATURES_FIT, ODD, OUTPUTS_FIT, ROW, ROWS, Layout
from flask_boxkite.records.parquet.part import Group
from flask_boxkite.records.parquet.places import places_in
from flask_boxkite.records.parquet.stream import records_in
from flask_boxkite.records.segmentation import Segmentation

__all__ = ["GroupCounter"]


class GroupCounter:
    """Counts groups into the segments of a counter of records.

    Args:
        counter: Counter, which also counts records that are no columns.
        baseline: Baseline of the counter.
        decode: Function that reads a line for the counter.
        joining: Outcomes to join with the records; None for none.
    """

    def __init__(
        self, counter: RecordCounter, baseline: Baseline, decode: Decoder, joining: Joining | None = None
    ) -> None:
        self._counter, self._decode = counter, decode
        self._joining = joining
        self._layout = Layout.of(baseline)
        cells = ModelCells.of(baseline)
        buckets = cells.buckets_start
        of_features = buckets if cells.features else None
        of_outputs = buckets if cells.outputs and not cells.features else None
        self._features = Side(cells.features, 0, cells.squares, of_features)
        self._outputs = Side(cells.outputs, cells.outputs_start, cells.squares, of_outputs)

    def takes(self, layout: Layout) -> bool:
        """Say whether the groups of a table can be counted."""
        segment_of = self._counter.segment_of
        is_by_column = segment_of is None or (isinstance(segment_of, Segmentation) and not segment_of.others)
        return is_by_column and layout == self._layout

    def add(self, group: Group) -> None:
        """Count the selected rows of a group."""
        if self._joining is not None:
            join_group(self._joining, group, self._counter.aligner, self._decode)
        lined = _by_line(group)
        masks = (group.is_answered(), None if lined is None else ~lined, group.is_kept)
        places = places_in(group.rows, [mask for mask in masks if mask is not None])
        failed = group.selected() if (failed := group.is_failed()) is None else failed & group.selected()
        if failed.any():
            lined = failed if lined is None else lined | failed

        segments: Any = [("", places)]
        if isinstance(self._counter.segment_of, Segmentation):
            found = self._counter.segment_of.of_group(group, places, 0 if lined is None else int(lined.sum()))
            if found is None:
                lined, segments = group.selected(), ()
            else:
                segments = _split(places, *found)
        for chunk in () if lined is None else records_in(group, lined, self._decode):
            self._counter.add(chunk)
        for segment, own in segments:
            for begins, some in self._slots(group, own):
                if len(some):
                    self._counter.count(segment, begins, self._rows(group, some))

    def _slots(self, group: Group, places: NDArray[np.intp]) -> Any:
        """Yield the beginning of each slot, and the rows in it."""
        if slot_begin(group.last, self._counter.end) == -np.inf:
            yield -np.inf, places
            return
        times, index = np.unique(group.seconds()[places], return_inverse=True)
        slots, codes = np.unique([slot_begin(time, self._counter.end) for time in times.tolist()], return_inverse=True)
        of_rows = codes[index]
        for number, begins in enumerate(slots.tolist()):
            yield begins, places[of_rows == number]

    def _rows(self, group: Group, places: NDArray[np.intp]) -> CountedRows:
        has_features, has_outputs = (_fits(group, name, places) for name in (FEATURES_FIT, OUTPUTS_FIT))
        features, outputs, joined = places, places, len(places)
        if has_features is not None or has_outputs is not None:
            everywhere = np.ones(len(places), dtype=np.bool_)
            own = everywhere if has_features is None else has_features
            other = everywhere if has_outputs is None else has_outputs
            both = places[own & other]
            features = np.concatenate([both, places[own & ~other]])
            outputs = np.concatenate([both, places[other & ~own]])
            joined = len(both)
        seconds = (group.first, group.last)
        if len(places) < group.rows:
            times = group.seconds()[places]
            seconds = float(times.min()), float(times.max())
        return CountedRows(
            self._features.count(group, self._layout.features, features),
            self._outputs.count(group, self._layout.outputs, outputs),
            joined,
            len(places),
            self._squares(group, places, has_features if self._layout.features else has_outputs),
            *seconds,
        )

    def _squares(self, group: Group, places: NDArray[np.intp], is_hashed: NDArray[np.bool_] | None) -> int:
        """Return the sum of the squares of the requests' numbers of rows."""
        if group.only(ROWS, 1):
            return len(places)
        rows = group.numbers(ROWS)[places].astype(np.int64)
        counted = np.ones(len(places), dtype=np.bool_) if is_hashed is None else is_hashed | (rows == 1)
        if self._counter.segment_of is None:
            return int(rows[counted].sum())  # each of its rows adds their number
        record = np.cumsum(group.numbers(ROW) == 0)[places]
        _, own = np.unique(record[counted], return_counts=True)
        return int((own**2).sum())


def _split(
    places: NDArray[np.intp], names: list[str], codes: NDArray[np.intp]
) -> Iterator[tuple[str, NDArray[np.intp]]]:
    """Yield the name and the rows of each segment, from the index of each row's segment."""
    if not len(places):
        return
    order = np.argsort(codes, kind="stable")
    ends = np.searchsorted(codes[order], np.arange(len(names)), side="right")
    yield from zip(names, np.split(places[order], ends[:-1]), strict=True)


def _by_line(group: Group) -> NDArray[np.bool_] | None:
    """Return the selected rows of records that are read from their lines; None for none."""
    masks = []
    for name in (FEATURES_FIT, OUTPUTS_FIT):
        if (one := group.constant(name)) is None or one == (None,):
            masks.append(group.column(name).is_null().to_numpy(zero_copy_only=False))
    if not group.only(ODD, None):
        masks.append(group.column(ODD).is_valid().to_numpy(zero_copy_only=False))
    if not masks:
        return None
    lined: NDArray[np.bool_] = np.logical_or.reduce(masks)
    if not group.only(ROWS, 1):  # all rows of a record are read
        starts = np.flatnonzero(group.is_first())
        lined = np.repeat(np.logical_or.reduceat(lined, starts), np.diff(starts, append=group.rows))
    lined &= group.selected()
    return lined if lined.any() else None


def _fits(group: Group, name: str, places: NDArray[np.intp]) -> NDArray[np.bool_] | None:
    """Say of each row whether its values fit; None if all do."""
    if group.only(name, True):
        return None
    fits: NDArray[np.bool_] = group.column(name).fill_null(False).to_numpy(zero_copy_only=False)[places]
    return None if fits.all() else fits
