"""Groups of records for a report on fairness: where the group of a row stands, and how groups are named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask_boxkite.baseline import Baseline
from flask_boxkite.drift.wording import group_text
from flask_boxkite.errors import BoxkiteError
from flask_boxkite.fairness.selection import Selection
from flask_boxkite.naming import SPECIAL_GROUPS
from flask_boxkite.records.columns import Columns
from flask_boxkite.records.group_counter import GroupCounter, outcome_group
from flask_boxkite.records.outcome_rows import has_column, outcome_rows
from flask_boxkite.records.segmentation import SEGMENT_FIELDS, Segmentation

__all__ = ["Grouping"]


@dataclass(frozen=True)
class Grouping:
    """Groups of rows by one column.

    Attributes:
        counter: Counter of the groups.
        has_actual: Whether outcomes have actual values.
        segmentation: Segmentation by a column of records; None if the column is one of the outcomes.
    """

    counter: GroupCounter
    has_actual: bool
    segmentation: Segmentation | None

    @classmethod
    def of(
        cls,
        baseline: Baseline,
        by: str,
        outcomes: Any,
        key: str,
        actual: str | None,
        selection: Selection,
        most_groups: int,
    ) -> Grouping:
        """Return the groups by a column of records, or else of outcomes.

        Args:
            baseline: Baseline of the model.
            by: Name of the column.
            outcomes: Outcomes; None for none.
            key: Name of their column of keys.
            actual: Name of their column of actual values; None if there is none.
            selection: Reader of outputs and actual values.
            most_groups: Number of groups to report.

        Raises:
            BoxkiteError: The groups or the outcomes cannot be used.
        """
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
        segmentation = None if has_groups else Segmentation(by, baseline, least=most_groups)
        rows = () if outcomes is None else outcome_rows(outcomes, key, actual or key, by if has_groups else None)
        counter = GroupCounter(baseline, selection, segmentation, rows, key, has_actual=has_actual)
        return cls(counter, has_actual, segmentation)

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
