"""The counting of rows by group for a report on fairness: where the group of a row stands, and its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask_boxkite.baseline import Baseline
from flask_boxkite.drift.wording import group_text
from flask_boxkite.errors import BoxkiteError
from flask_boxkite.fairness.selection import selection_of
from flask_boxkite.naming import SPECIAL_GROUPS
from flask_boxkite.records.alignment import aligner_of
from flask_boxkite.records.columns import Columns
from flask_boxkite.records.decoding import Record
from flask_boxkite.records.group_counter import GroupCounter, Grouped, outcome_group
from flask_boxkite.records.outcome_rows import OutcomeRow, has_column, outcome_rows
from flask_boxkite.records.segmentation import SEGMENT_FIELDS, Segmentation

if TYPE_CHECKING:
    from flask_boxkite.records.parquet.layout import Layout

__all__ = ["GroupJob", "Grouping"]


@dataclass(frozen=True)
class GroupJob:
    """A description of the groups.

    Attributes:
        baseline: Baseline of the model.
        by: Column of records whose values are the groups; None if groups come with outcomes.
        least: Number of groups with counts of their own even if memory is short.
        positive: Label that counts as selected, as for `selection_of`.
        threshold: Score from which a row is selected, likewise.
        outcomes: Outcomes, perhaps of other models too.
        key: Field of the record, or name of a feature, that is their key.
        has_actual: Whether outcomes have actual values.
    """

    baseline: Baseline
    by: str | None
    least: int
    positive: Any
    threshold: float | None
    outcomes: Sequence[OutcomeRow]
    key: str
    has_actual: bool

    @classmethod
    def of(
        cls,
        baseline: Baseline,
        by: str,
        outcomes: Any,
        key: str,
        actual: str | None,
        positive: Any,
        threshold: float | None,
        most_groups: int,
    ) -> GroupJob:
        """Return the groups by a column of records, or else of outcomes.

        Args:
            baseline: Baseline of the model.
            by: Name of the column.
            outcomes: Outcomes; None for none.
            key: Name of their column of keys.
            actual: Name of their column of actual values; None if there is none.
            positive: Label that counts as selected.
            threshold: Score from which a row is selected.
            most_groups: Number of groups to report.

        Raises:
            BoxkiteError: The options or the outcomes cannot be used.
        """
        selection = selection_of(baseline, positive, threshold)
        has_groups = False
        if outcomes is not None and by not in _recorded(baseline):
            has_groups, outcomes = has_column(outcomes, by)
        has_actual = outcomes is not None and actual is not None
        if has_actual and not selection.knows_actual:
            msg = (
                "The baseline does not say which actual value counts as positive. Name it: positive=1 ('--positive'). "
                "Outcomes that give groups alone have actual=None."
            )
            raise BoxkiteError(msg)
        if outcomes is not None and not has_actual and not has_groups:
            msg = f"The outcomes have neither actual values ('actual' is None) nor the column {by!r}. Leave them out."
            raise BoxkiteError(msg)
        rows = () if outcomes is None else tuple(outcome_rows(outcomes, key, actual or key, by if has_groups else None))
        of_records = None if has_groups else by
        return cls(baseline, of_records, most_groups, positive, threshold, rows, key, has_actual)

    def begin(self) -> Grouping:
        """Return the counting before the first record; see `Job.begin`."""
        return Grouping(self)


class Grouping:
    """Counts rows by group; a `Counting`.

    Attributes:
        selection: Reader of outputs and actual values.
        segmentation: Segmentation by a column of records; None if groups come with outcomes.
        counter: Counter of the groups.

    Args:
        job: Description of the groups.

    Raises:
        BoxkiteError: Rows cannot be grouped by this column, or records not joined by this key.
    """

    def __init__(self, job: GroupJob) -> None:
        self.selection = selection_of(job.baseline, job.positive, job.threshold)
        self.segmentation = None if job.by is None else Segmentation(job.by, job.baseline, least=job.least)
        self.counter = GroupCounter(
            job.baseline, self.selection, self.segmentation, job.outcomes, job.key, has_actual=job.has_actual
        )
        self._aligner = aligner_of(job.baseline, self.counter.others)

    @property
    def names(self) -> Sequence[str]:
        """The names of the features to read where they come by name."""
        return self._aligner.features

    def takes(self, layout: Layout) -> bool:
        """Take no columns: rows are counted one by one."""
        return False

    def add(self, records: Sequence[Record]) -> None:
        """Count some records."""
        self.counter.add(records, self._aligner)

    @property
    def counted(self) -> Grouped:
        """The counts so far."""
        return self.counter.grouped

    def join(self, counted: Grouped) -> None:
        """Add the counts of another process, of records behind these."""
        self.counter.join(counted)

    def name_of(self, value: Any) -> str | None:
        """Return the name of the group of a value; None for None."""
        if value is None:
            return None
        if self.segmentation is None:
            return str(value) if value in SPECIAL_GROUPS else outcome_group(value)
        return self.segmentation.name_of(value)

    def text_of(self, name: str) -> str:
        """Return the name of a group for people."""
        return group_text(name, "discrete") if self.segmentation is None else self.segmentation.text_of(name)


def _recorded(baseline: Baseline) -> set[str]:
    """Return the names of the columns that all records of the model have."""
    columns = Columns.of(baseline)
    return {*columns.feature_columns.values(), *columns.output_columns.values(), *SEGMENT_FIELDS}
