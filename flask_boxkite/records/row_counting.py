"""The counting of rows in the cells of a baseline, by segment, and of the outcomes that find them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from flask_boxkite.baseline import Baseline
from flask_boxkite.outcomes.reader import outcome_reader
from flask_boxkite.records.counting import RecordCounter, SegmentOf, Tallies
from flask_boxkite.records.decoding import Record, decoder
from flask_boxkite.records.joining import Joined, Joining
from flask_boxkite.records.outcome_rows import OutcomeRow
from flask_boxkite.records.segmentation import Segmentation

if TYPE_CHECKING:  # pyarrow is not there where only lines are read
    from flask_boxkite.records.parquet.group_counter import GroupCounter
    from flask_boxkite.records.parquet.layout import Layout
    from flask_boxkite.records.parquet.part import Group

__all__ = ["RowCounting", "RowCounts", "RowJob"]


@dataclass(frozen=True)
class RowJob:
    """A description of the counts.

    Attributes:
        baseline: Baseline in whose cells rows are counted.
        end: Latest end of the period, in Unix seconds.
        by: Column that segments rows; None for one segment.
        least: Number of segments with counts of their own even if memory is short.
        is_trained: Whether rows are put into the segments of the baseline, if it has them.
        outcomes: Outcomes to join; None to join none.
        key: Field of the record, or name of a feature, that is their key.
    """

    baseline: Baseline
    end: float
    by: str | None = None
    least: int = 1
    is_trained: bool = False
    outcomes: Sequence[OutcomeRow] | None = None
    key: str = "prediction_id"

    def begin(self) -> RowCounting:
        """Return the counting before the first record; see `Job.begin`."""
        return RowCounting(self)


@dataclass(frozen=True)
class RowCounts:
    """The counts of one process.

    Attributes:
        tallies: Counts of its rows.
        joined: Predictions that outcomes name; None if none are joined.
    """

    tallies: Tallies
    joined: Joined | None


class RowCounting:
    """Counts rows; a `Counting`.

    Attributes:
        segmentation: Segmentation of the rows, or None.
        counter: Counter of the rows.
        joining: Joining of the outcomes, or None.

    Raises:
        BoxkiteError: Rows cannot be segmented by this column, or records not joined by this key.
    """

    def __init__(self, job: RowJob) -> None:
        known = job.baseline
        self.segmentation = segmentation = (
            None if job.by is None else Segmentation(job.by, known, least=job.least, is_trained=job.is_trained)
        )
        others = segmentation.others if segmentation else ()
        self.joining: Joining | None = None
        if job.outcomes is not None:
            reader = outcome_reader(known)
            assert reader is not None
            self.joining = Joining(known, reader, job.outcomes, job.key, segmentation, others)
            others = self.joining.others

        # Rows with other features are counted one by one.
        segment_of: SegmentOf | None = segmentation or (_of_one_segment if others else None)
        self.counter = RecordCounter(known, job.end, others, segment_of)
        self._baseline = known

    @property
    def names(self) -> Sequence[str]:
        """The names of the features to read where they come by name."""
        return self.counter.aligner.features

    def takes(self, layout: Layout) -> bool:
        """Say whether the groups of a table can be counted as columns."""
        return self._groups.takes(layout)

    @cached_property
    def _groups(self) -> GroupCounter:
        from flask_boxkite.records.parquet.group_counter import GroupCounter

        return GroupCounter(self.counter, self._baseline, decoder(self.names), self.joining)

    def add(self, piece: list[Record] | Group) -> None:
        """Count some records, or a group of rows."""
        if not isinstance(piece, list):
            self._groups.add(piece)
            return
        self.counter.add(piece)
        if self.joining is not None:
            self.joining.add(piece, self.counter.aligner)

    @property
    def counted(self) -> RowCounts:
        """The counts so far."""
        return RowCounts(self.counter.tallies, None if self.joining is None else self.joining.found)

    def join(self, counted: RowCounts) -> None:
        """Add the counts of another process, of records behind these."""
        named = str if self.segmentation is None else self.segmentation.here
        self.counter.join(counted.tallies, named)
        if self.joining is not None and counted.joined is not None:
            self.joining.join(counted.joined, named)


def _of_one_segment(*row: object) -> str:
    """Return the name of the only segment."""
    return ""
