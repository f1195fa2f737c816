"""The history of a model by day: traffic, size of drift, performance, changes, and this week beside the last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask_boxkite.drift.verdict import MOVED, Verdict
from flask_boxkite.history.wording import as_text
from flask_boxkite.suggestion import item_named

__all__ = ["DayTotals", "HistoryReport", "VariableDay", "VariableHistory", "WeekChange"]


@dataclass(frozen=True)
class DayTotals:
    """A model on one day.

    Attributes:
        day: Date, in UTC.
        rows: Predicted rows by status.
        baseline: Fingerprint of the baseline of most rows; empty if the model had none.
        version: Version of this baseline, for people; None if it has none.
        size: Mean over all variables of the population stability index against training, less sampling noise; None with
            too few rows.
        outcomes: Number of outcomes that came on that day.
        performance: The model's headline metric, of these outcomes; None if it is not known.
        performance_low: Lower end of its interval of 95 %; None if it is not known.
        performance_high: Upper end.
    """

    day: str
    rows: Mapping[str, int]
    baseline: str
    version: str | None
    size: float | None
    outcomes: int
    performance: float | None
    performance_low: float | None
    performance_high: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {**vars(self), "rows": dict(self.rows), "baseline": self.baseline or None}


@dataclass(frozen=True)
class VariableDay:
    """A variable on one day that had enough rows.

    Attributes:
        day: Date, in UTC.
        rows: Number of rows.
        psi: Population stability index against training.
        limit: Index from which a significant change is drift: 0.1 more than sampling alone gives.
    """

    day: str
    rows: int
    psi: float
    limit: float


@dataclass(frozen=True)
class WeekChange:
    """The last seven days of a variable beside the seven days before, or beside training.

    Attributes:
        verdict: Verdict, as of drift.
        size: Population stability index less sampling noise; None without enough rows.
        rows: Number of rows in the last seven days.
        rows_before: Number of rows in the seven days before, or of training.
    """

    verdict: Verdict
    size: float | None
    rows: int
    rows_before: int


@dataclass(frozen=True)
class VariableHistory:
    """One variable by day.

    Attributes:
        name: Name.
        side: ``feature`` or ``output``.
        days: Days with enough rows.
        changed: Beginning of the change that the scan finds: an hour in ISO 8601, such as ``2026-01-31T14:00Z``, or
            the date of a day where hours are not known, or not telling; None if there is no change.
        changed_first: First hour or day at which it may have begun, with a probability of 95 %.
        changed_last: Last hour or day at which it may have begun.
        week: The last seven days beside the seven days before.
        training: The last seven days beside training.
    """

    name: str
    side: str
    days: tuple[VariableDay, ...]
    changed: str | None
    changed_first: str | None
    changed_last: str | None
    week: WeekChange
    training: WeekChange

    @property
    def has_moved(self) -> bool:
        """Whether it has drifted from training or since the week before, or a change was found."""
        return self.changed is not None or not MOVED.isdisjoint((self.week.verdict, self.training.verdict))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        parts = {"days": list(map(vars, self.days)), "week": vars(self.week), "training": vars(self.training)}
        return {**vars(self), **parts}


@dataclass(frozen=True, repr=False, eq=False)
class HistoryReport:
    """A model in the last days. An immutable object.

    Attributes:
        model: Name of the model.
        baseline: Fingerprint of the baseline that is served now; None if there is none.
        length: Number of days, with today, that were looked at.
        days: The days that had predictions or outcomes, in the order of time.
        variables: Variables of the present baseline: the ones that have moved most first.
        metric: Name of the headline metric; None if the baseline has no actual values.
        validated: Value of this metric for the validation rows.
        ahead: Number of rows on days that are still to come: a clock was ahead. They are in no other number.
    """

    model: str
    baseline: str | None
    length: int
    days: tuple[DayTotals, ...]
    variables: tuple[VariableHistory, ...]
    metric: str | None = None
    validated: float | None = None
    ahead: int = 0

    @property
    def moved(self) -> tuple[VariableHistory, ...]:
        """The variables that have moved."""
        return tuple(item for item in self.variables if item.has_moved)

    @property
    def new_baselines(self) -> tuple[DayTotals, ...]:
        """The days on which another baseline, or another version, began to answer most rows."""
        pairs = zip(self.days, self.days[1:], strict=False)
        return tuple(day for before, day in pairs if (before.baseline, before.version) != (day.baseline, day.version))

    def __getitem__(self, name: str) -> VariableHistory:
        """Return the variable of that name.

        Raises:
            KeyError: There is none.
        """
        return item_named(name, self.variables, "variable")

    def to_rows(self) -> list[dict[str, Any]]:
        """Return one dict per day, as ``pandas.DataFrame(...)`` takes them."""
        return [{**day.to_dict(), **{f"rows_{status}": rows for status, rows in day.rows.items()}} for day in self.days]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values.

        Keys: ``model``, ``baseline``, ``length``, ``metric``, ``validated``, ``ahead``; ``days``, a list of dicts (see
        `DayTotals`); ``variables``, a list of dicts (see `VariableHistory`). Keys may be added, in a later release;
        none goes or changes its meaning.
        """
        parts = {
            "days": [day.to_dict() for day in self.days],
            "variables": [item.to_dict() for item in self.variables],
        }
        return {**vars(self), **parts}

    def __str__(self) -> str:
        """Return a table of the days, and a line for each change."""
        return as_text(self.to_dict())

    __repr__ = __str__
