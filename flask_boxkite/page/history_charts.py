"""Charts of the last weeks: traffic, drift and performance by day, with marks where something began."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from markupsafe import Markup, escape

from flask_boxkite.drift.wording import cut
from flask_boxkite.page.charts import HEIGHT, WIDTH, Plot, svg
from flask_boxkite.page.wording import number

__all__ = ["Line", "Mark", "Point", "days_chart", "traffic_chart"]

_FLOOR = HEIGHT - 30
_TOP = 12
_LEFT, _RIGHT = 54, 8
_LEAST_DAYS = 7
_MOST_DATES = 4
_NAME = 18
"""Most letters of a name in a chart."""


class Point(NamedTuple):
    """A value on one day.

    Attributes:
        day: Date in ISO 8601.
        value: The value.
        text: The value and more about the day, for a tooltip.
        low: Lower end of an interval; None for none.
        high: Upper end.
    """

    day: str
    value: float
    text: str
    low: float | None = None
    high: float | None = None


class Line(NamedTuple):
    """A line of a chart.

    Attributes:
        points: Its points, in the order of time.
        name: Name beside its end; empty for none.
        kind: Class of its group, such as a verdict.
        style: Class of the line: ``live-line``, ``limit`` or ``training``.
        has_dots: Whether points are drawn as dots with tooltips.
        has_gaps: Whether the line ends where a day is missing.
    """

    points: Sequence[Point]
    name: str = ""
    kind: str = ""
    style: str = "live-line"
    has_dots: bool = True
    has_gaps: bool = True


class Mark(NamedTuple):
    """A moment at which something began.

    Attributes:
        start: Date or hour in ISO 8601.
        text: Tooltip.
        first: First likely beginning; empty if there is no doubt.
        last: Last likely beginning.
        kind: ``change`` or ``baseline``.
    """

    start: str
    text: str
    first: str = ""
    last: str = ""
    kind: str = "change"


class _Days:
    """Positions of days: each has a slot of the same width."""

    def __init__(self, first: str, last: str, *, right: float = WIDTH - _RIGHT) -> None:
        self.last = date.fromisoformat(last)
        self.first = min(date.fromisoformat(first), self.last - timedelta(days=_LEAST_DAYS - 1))
        self.number = (self.last - self.first).days + 1
        self._right = right
        self.width = (right - _LEFT) / self.number

    def x(self, moment: str, *, middle: bool = False) -> float:
        """Return the position of the beginning of a day or an hour, or of the middle of a day."""
        days = float((date.fromisoformat(moment[:10]) - self.first).days)
        days += int(moment[11:13]) / 24 if "T" in moment else 0.5 * middle
        return _LEFT + min(max(days, 0.0), float(self.number)) * self.width

    def scale(self) -> Iterator[str]:
        """Write dates below the axis, at equal distances, up to the last day."""
        step = max(-(-self.number // _MOST_DATES), 1)
        for ago in range(0, self.number, step):
            day = self.last - timedelta(days=ago)
            x = min(self.x(day.isoformat(), middle=True), WIDTH - 34.0)
            yield f'<text x="{x:.1f}" y="{HEIGHT - 10}" text-anchor="middle">{day.day} {day:%b}</text>'

    def marks(self, marks: Sequence[Mark]) -> Iterator[str]:
        """Draw marks from top to bottom: a band where one may have begun, and a line where it probably did."""
        for mark in marks:
            title = f"<title>{escape(mark.text)}</title>"
            if mark.first and mark.last != mark.first:
                left = self.x(mark.first)
                wide = max(self.x(mark.last) - left, 1.0)
                box = f'x="{left:.1f}" y="{_TOP}" width="{wide:.1f}" height="{_FLOOR - _TOP}"'
                yield f'<rect class="doubt" {box}>{title}</rect>'
            yield f'<path class="began {mark.kind}" d="M{self.x(mark.start):.1f} {_TOP}V{_FLOOR}">{title}</path>'


def traffic_chart(points: Sequence[Point], marks: Sequence[Mark], last: str, label: str) -> Markup:
    """Draw rows by day as bars.

    Args:
        points: Rows of the days, at least one.
        marks: Moments to mark.
        last: Last day of the chart.
        label: Description for people who cannot see it.
    """
    days = _Days(points[0].day, last)
    plot = Plot((0.0, 1.0), max(point.value for point in points) * 1.05)
    parts = [*plot.axes(as_percent=False), *days.scale()]
    for point in points:
        x, y = days.x(point.day), plot.y(point.value)
        wide = max(days.width * 0.8, 1.0)
        bar = f'<path class="live" d="M{x + days.width * 0.1:.1f} {_FLOOR}V{y:.1f}h{wide:.1f}V{_FLOOR}z"/>'
        parts.append(bar)
        parts.append(_hint(days, point))
    return svg((WIDTH, HEIGHT), label, [*parts, *days.marks(marks)], "large")


def days_chart(
    lines: Sequence[Line], marks: Sequence[Mark], first: str, last: str, label: str, *, bottom: float = 0.0
) -> Markup:
    """Draw values by day as lines.

    Args:
        lines: Lines, at least one with a point.
        marks: Moments to mark.
        first: First day of the chart.
        last: Last day.
        label: Description for people who cannot see it.
        bottom: Value at the lower end.
    """
    days = _Days(first, last)
    values = [number for line in lines for point in line.points for number in _values(point)]
    plot = Plot((0.0, 1.0), (max(values) - bottom) * 1.1)
    parts = [*_axes(plot, bottom), *days.scale(), *days.marks(marks)]
    for line in lines:
        parts += _line(line, days, plot, bottom)
    return svg((WIDTH, HEIGHT), label, parts, "large")


def _values(point: Point) -> list[float]:
    return [point.value, *(end for end in (point.low, point.high) if end is not None)]


def _axes(plot: Plot, bottom: float) -> Iterator[str]:
    if bottom == 0.0:
        yield from plot.axes(as_percent=False)
        return
    for part in plot.axes(as_percent=False):
        if part.startswith("<text"):
            head, _, rest = part.partition(">")
            value = float(rest.removesuffix("</text>").replace(",", ""))
            yield f"{head}>{number(value + bottom)}</text>"
        else:
            yield part


def _line(line: Line, days: _Days, plot: Plot, bottom: float) -> Iterator[str]:
    if not line.points:
        return
    yield f'<g class="{escape(line.kind)}">'
    for run in _runs(line.points) if line.has_gaps else [list(line.points)]:
        corners = [(days.x(point.day, middle=True), plot.y(max(point.value - bottom, 0.0))) for point in run]
        if len(corners) == 1:  # a single point becomes a short line, to be visible
            x, y = corners[0]
            corners = [(x - days.width / 2, y), (x + days.width / 2, y)]
        yield f'<polyline class="{line.style}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in corners)}"/>'
    for point in line.points if line.has_dots else ():
        x, y = days.x(point.day, middle=True), plot.y(max(point.value - bottom, 0.0))
        if point.low is not None and point.high is not None:
            ends = (plot.y(max(end - bottom, 0.0)) for end in (point.low, point.high))
            yield '<path class="interval" d="M{:.1f} {:.1f}V{:.1f}"/>'.format(x, *ends)
        yield f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="2.5"><title>{escape(point.text)}</title></circle>'
    if line.name:
        last = line.points[-1]
        x, y = days.x(last.day, middle=True) - 8, plot.y(max(last.value - bottom, 0.0)) - 8
        name = escape(cut(line.name, _NAME))
        yield f'<text class="mark-text" x="{x:.1f}" y="{max(y, _TOP + 10):.1f}" text-anchor="end">{name}</text>'
    yield "</g>"


def _runs(points: Sequence[Point]) -> Iterator[list[Point]]:
    """Yield runs of days without a gap, since no line should bridge one."""
    run: list[Point] = []
    for point in points:
        if run and (date.fromisoformat(point.day) - date.fromisoformat(run[-1].day)).days > 1:
            yield run
            run = []
        run.append(point)
    if run:
        yield run


def _hint(days: _Days, point: Point) -> str:
    box = f'x="{days.x(point.day):.1f}" y="{_TOP}" width="{days.width:.1f}" height="{_FLOOR - _TOP}"'
    return f'<rect class="hint" {box}><title>{escape(point.text)}</title></rect>'
