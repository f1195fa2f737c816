"""The last weeks of a model on the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

from markupsafe import Markup

from flask_boxkite.drift.verdict import MOVED, WORST_FIRST
from flask_boxkite.history.report import HistoryReport, VariableHistory, WeekChange
from flask_boxkite.history.wording import METRIC_NAMES, change_text, served_text
from flask_boxkite.page.history_charts import Line, Mark, Point, days_chart, traffic_chart
from flask_boxkite.page.wording import number, rows_text

__all__ = ["HistoryView", "Picture", "VariableWeeks", "Weeks", "history_view"]

_MOST_LINES = 4
"""Most variables that a chart shows by name."""

_MOST_ROWS = 12
"""Most variables that have moved and are listed."""


class Picture(NamedTuple):
    """A chart with its heading and explanation."""

    heading: str
    text: str
    chart: Markup


class Weeks(NamedTuple):
    """A variable's last week beside two others, and the beginning of its change."""

    name: str
    side: str
    training: WeekChange
    week: WeekChange
    began: str


@lru_cache(maxsize=16)
def history_view(report: HistoryReport, today: str) -> HistoryView:
    """Return the view of a report; its charts are drawn once."""
    return HistoryView(report, today)


class HistoryView:
    """The last weeks of one model.

    Args:
        report: Report on them.
        today: Last day, as ``2026-01-31``.
    """

    def __init__(self, report: HistoryReport, today: str) -> None:
        self.report = report
        self._today = today

    def __bool__(self) -> bool:
        """Return whether there is anything to show: predictions on two days."""
        return len(self._days) > 1

    @cached_property
    def _days(self) -> Sequence[Any]:
        return [day for day in self.report.days if any(day.rows.values())]

    @property
    def heading(self) -> str:
        """The time that it covers."""
        return f"The last {self.report.length} days" if self.report.length != 35 else "The last five weeks"

    @cached_property
    def marks(self) -> list[Mark]:
        """The marks of new baselines, and of the changes that the charts show."""
        new = [
            Mark(day.day, f"{day.day}: {served_text(day.to_dict())}", kind="baseline")
            for day in self.report.new_baselines
        ]
        return [*new, *(mark for item in self._shown if (mark := change_mark(item)) is not None)]

    @property
    def _shown(self) -> Sequence[VariableHistory]:
        return self.report.moved[:_MOST_LINES]

    @cached_property
    def pictures(self) -> list[Picture]:
        """The charts: drift, traffic and, if it is known, performance."""
        found = [self._drift(), self._traffic(), self._performance()]
        return [picture for picture in found if picture is not None]

    def _traffic(self) -> Picture:
        points = [
            Point(day.day, float(sum(day.rows.values())), f"{day.day}: {rows_text(sum(day.rows.values()))}")
            for day in self._days
        ]
        most = max(point.value for point in points)
        label = f"Predicted rows by day: at most {number(most)}, {number(points[-1].value)} on {points[-1].day}"
        new = [mark for mark in self.marks if mark.kind == "baseline"]
        return Picture("Traffic", "Predicted rows by day, in UTC.", traffic_chart(points, new, self._today, label))

    def _drift(self) -> Picture | None:
        sized = [(day, day.size) for day in self._days if day.size is not None]
        if not sized:
            return None
        overall = [Point(day.day, size, f"{day.day}: {number(size)} on average") for day, size in sized]
        lines = [Line(overall, "" if self._shown else "all variables", "overall", "training")]
        lines += [Line(_course(item), item.name, _kind(item)) for item in self._shown if item.days]
        label = "Size of drift by day"
        if self._shown:
            label += f": {', '.join(item.name for item in self._shown)}"
        text = "Population stability index (PSI) of each day against training"
        named = f"; the grey line is the mean of all {len(self.report.variables)} variables, less sampling noise"
        text += f"{named}." if self._shown else ", mean of all variables, less sampling noise."
        if any(mark.kind == "change" for mark in self.marks):
            text += " A line marks where a change probably began, and a band where it may have begun, with 95 %."
        if self._new_marks:
            text += " Since a dotted line, most rows are compared with another baseline."
        return Picture("Drift", text, days_chart(lines, self.marks, self._days[0].day, self._today, label))

    def _performance(self) -> Picture | None:
        report = self.report
        known = [(day, day.performance) for day in report.days if day.performance is not None and day.outcomes]
        if report.metric is None or not known:
            return None
        name = METRIC_NAMES[report.metric]
        points = [
            Point(
                day.day,
                value,
                f"{day.day}: {number(value)}, {day.outcomes:,} outcomes",
                day.performance_low,
                day.performance_high,
            )
            for day, value in known
        ]
        lines = [Line(points)]
        text = f"{name.capitalize()} by outcomes, on the day they came, with intervals of 95 %"
        if report.validated is not None:
            ends = [Point(day, report.validated, "") for day in (self._days[0].day, self._today)]
            lines.append(Line(ends, style="limit", has_dots=False, has_gaps=False))
            text += "; the dashed line is the validated value"
        values = [end for point in points for end in (point.value, point.low) if end is not None]
        values += [] if report.validated is None else [report.validated]
        bottom = max(math.floor(10 * min(values) - 0.5) / 10, 0.0) if report.metric == "accuracy" else 0.0
        label = f"{name.capitalize()} by day: {number(points[-1].value)} on {points[-1].day}"
        chart = days_chart(lines, self._new_marks, self._days[0].day, self._today, label, bottom=bottom)
        return Picture("Performance", f"{text}.", chart)

    @property
    def _new_marks(self) -> list[Mark]:
        return [mark for mark in self.marks if mark.kind == "baseline"]

    @property
    def rows(self) -> list[Weeks]:
        """The variables that have moved, with their last week."""
        return [
            Weeks(item.name, item.side, item.training, item.week, began_text(item))
            for item in self.report.moved[:_MOST_ROWS]
        ]

    @property
    def others(self) -> int:
        """Number of variables that have moved and are not listed."""
        return max(len(self.report.moved) - _MOST_ROWS, 0)

    @property
    def notes(self) -> list[str]:
        """Sentences about new baselines, and about rows of a clock that was ahead."""
        found = [
            f"Since {day.day}, most rows are compared with another baseline: {served_text(day.to_dict())}."
            for day in self.report.new_baselines
        ]
        if self.report.ahead:
            found.append(f"{rows_text(self.report.ahead)} came while a clock was ahead: their days are still to come.")
        return found

    def variable(self, side: str, name: str) -> VariableWeeks | None:
        """Return one variable; None if it has no days."""
        for item in self.report.variables:
            if (item.side, item.name) == (side, name) and item.days:
                return VariableWeeks(item, self._new_marks, self._days[0].day, self._today)
        return None


class VariableWeeks:
    """The last weeks of one variable.

    Args:
        item: The variable.
        marks: Marks of new baselines.
        first: First day of the chart.
        last: Last day.
    """

    def __init__(self, item: VariableHistory, marks: Sequence[Mark], first: str, last: str) -> None:
        self.item = item
        self._marks = marks
        self._first = first
        self._last = last

    @property
    def chart(self) -> Markup:
        """Its population stability index by day, with the least that can be drift."""
        limits = [Point(day.day, day.limit, "") for day in self.item.days]
        mark = change_mark(self.item)
        marks = [*self._marks, *([] if mark is None else [mark])]
        last = self.item.days[-1]
        label = f"Population stability index of {self.item.name} by day: {number(last.psi)} on {last.day}"
        lines = [Line(limits, style="limit", has_dots=False), Line(_course(self.item))]
        return days_chart(lines, marks, self._first, self._last, label)

    @property
    def change(self) -> str:
        """The beginning of its change, as a sentence; empty if there is none."""
        return change_text(vars(self.item))

    @property
    def weeks(self) -> Weeks:
        """Its last week."""
        return Weeks(self.item.name, self.item.side, self.item.training, self.item.week, began_text(self.item))


def _course(item: VariableHistory) -> list[Point]:
    return [
        Point(day.day, day.psi, f"{item.name}, {day.day}: PSI {number(day.psi)}, {rows_text(day.rows)}")
        for day in item.days
    ]


def _kind(item: VariableHistory) -> str:
    """Return the worse verdict of a variable's last week, as a class of the style sheet."""
    worst = min((item.training.verdict, item.week.verdict), key=WORST_FIRST.index)
    return worst if worst in MOVED or worst == "shifted" else "stable"


def change_mark(item: VariableHistory) -> Mark | None:
    """Return the mark of a variable's change; None if there is none."""
    if item.changed is None:
        return None
    return Mark(item.changed, change_text(vars(item)), item.changed_first or "", item.changed_last or "")


def began_text(item: VariableHistory) -> str:
    """Write the beginning of a change with its doubt; empty if there is none."""
    if item.changed is None:
        return ""
    first, last = (_short(each or "") for each in (item.changed_first, item.changed_last))
    return _short(item.changed) + (f" ({first} to {last})" if first != last else "")


def _short(moment: str) -> str:
    """Write a date or hour for people."""
    return moment.replace("T", " ").removesuffix("Z") + (" UTC" if "T" in moment else "")
