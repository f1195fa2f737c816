"""Charts as inline SVG. Sizes are in units of the view box; colours come from the style sheet, by class.

Training is drawn as an outline, live as a filled shape. No chart uses a `style` attribute, which a strict
Content-Security-Policy would refuse.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import ArrayLike, NDArray

from flask_boxkite.baseline.distribution import Continuous
from flask_boxkite.drift.wording import cut
from flask_boxkite.monitoring.observation import Course, CoursePoint
from flask_boxkite.page.chart_data import Bar, Categories, ChartData, Histogram
from flask_boxkite.page.wording import ago, number, percent, percents
from flask_boxkite.values.times import DAY

__all__ = ["HEIGHT", "WIDTH", "Plot", "course_chart", "cumulative_chart", "large_chart", "small_chart", "svg"]

_SMALL = (168, 36)
WIDTH, HEIGHT = 560, 250
"""Size of a large chart."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 8, 12, 30
_ROW = 26
_NAME = 15
"""Most letters of a category beside its bar."""
_LETTER = 10.5
"""Largest width of a digit in a scale, on a phone, whose letters are the largest part of a chart."""
_SHARE_LETTER = 12.0
"""Largest mean width of a character in two shares, as `100% → 100%`, on a phone."""
_SLOT = 96
"""Least width of a special bar, including its name."""
_SPECIALS = 330
"""Largest width of all special bars."""
_SHORTEST = 60.0
"""Least number of seconds in the chart of a day."""
_STEPS = (10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600)
"""Seconds between the times that such a chart names; at most four steps fit in."""
_MOST_STEPS = 4.2
_UNITS = (("h", 3600), ("min", 60), ("s", 1))
_LONGEST_GAP = 2000.0
"""Seconds between two points above which no line joins them."""


class Plot:
    """The drawing area of a large chart, and the positions of numbers in it."""

    def __init__(self, x: tuple[float, float], top: float, *, right: float = WIDTH - _RIGHT) -> None:
        self.left, self.right = _LEFT, right
        self._lower, self._upper = x
        self._top = top or 1.0

    def x(self, value: float) -> float:
        """Return the horizontal position of a value."""
        # Dividing before subtracting keeps the difference of two huge numbers finite.
        unit = max(abs(self._lower), abs(self._upper)) or 1.0
        span = self._upper / unit - self._lower / unit
        share = (value / unit - self._lower / unit) / span if span else 0.5
        return self.left + min(max(share, 0.0), 1.0) * (self.right - self.left)

    def y(self, value: float) -> float:
        """Return the vertical position of a value."""
        return HEIGHT - _BOTTOM - min(value / self._top, 1.0) * (HEIGHT - _BOTTOM - _TOP)

    def axes(self, *, as_percent: bool) -> Iterator[str]:
        """Draw the vertical axis and its lines."""
        for tick in _ticks(0.0, self._top):
            y = self.y(tick)
            text = _percent(tick) if as_percent else number(tick)
            yield f'<path class="grid" d="M{self.left} {y:.1f}H{WIDTH - _RIGHT}"/>'
            yield f'<text x="{self.left - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'

    def scale(self, data: Histogram) -> Iterator[str]:
        """Write the values below the axis, without overlaps, or the highest values to its right."""
        unit = DAY if data.is_time else 1.0
        room = 80.0
        for _ in range(2):  # the first round measures their lengths
            most = max(int((self.right - self.left) / room), 1)
            ticks = [tick * unit for tick in _ticks(self._lower / unit, self._upper / unit, most)]
            texts = data.texts(ticks)
            room = max(room, _LETTER * max(map(len, texts), default=0) + 16)

        end = WIDTH if self.right == WIDTH - _RIGHT else self.right
        for tick, text in zip(ticks, texts, strict=True):
            half = _LETTER * len(text) / 2
            if self.x(tick) < self.right - 12 or end == WIDTH:
                x = min(self.x(tick), end - half)
                yield f'<text x="{x:.1f}" y="{HEIGHT - 10}" text-anchor="middle">{text}</text>'


def _percent(share: float) -> Markup:
    """Write a share as markup: a very small one contains a "<"."""
    return escape(percent(share))


def _shares(before: float, now: float) -> Markup:
    """Write the shares of a tooltip as markup."""
    return Markup("training {}, live {}").format(*percents(before, now))


def _ticks(lower: float, upper: float, most: int = 5) -> list[float]:
    """Return round numbers from *lower* to *upper*."""
    span = upper / most - lower / most
    if not (span > 0 and math.isfinite(span)):
        return [lower]
    power = 10.0 ** math.floor(math.log10(span))
    step = next((power * factor for factor in (1, 2, 5, 10) if power * factor >= span), 0.0)
    if not step or not math.isfinite(step):
        return [lower, upper]
    first = math.ceil(lower / step)
    return [multiple * step for multiple in range(first, math.floor(upper / step + 1e-9) + 1)]


def svg(size: tuple[float, float], label: str, parts: Sequence[str], kind: str) -> Markup:
    """Return a chart as markup.

    Args:
        size: Width and height of its view box.
        label: Description for people who cannot see it; for others, a tooltip.
        parts: Its elements.
        kind: Class of the chart, ``small``, ``large`` or ``pair``.
    """
    head = f'<svg class="{kind}" viewBox="0 0 {size[0]:g} {size[1]:g}" role="img"'
    head += ' preserveAspectRatio="none">' if kind == "small" else ">"
    return Markup(f"{head}<title>{escape(label)}</title>{''.join(parts)}</svg>")


def _filled(xs: NDArray[np.float64], ys: NDArray[np.float64], floor: float) -> str:
    """Return the path of bars side by side, down to *floor*; *xs* are their edges."""
    return f"M{xs[0]:.1f} {floor:.1f}" + _steps(xs, ys) + f"V{floor:.1f}Z"


def _steps(xs: NDArray[np.float64], ys: NDArray[np.float64]) -> str:
    corners = np.column_stack([ys, xs[1:]]).ravel().tolist()
    return ("V%.1fH%.1f" * len(ys)) % tuple(corners)  # twice as fast as one format for each step


# --- small -----------------------------------------------------------------------------------------------------------


def small_chart(data: ChartData, label: str) -> Markup:
    """Draw a variable in the row of a table."""
    width, height = _SMALL
    special = 12 * len(data.specials)
    room = width - special - (4 if special else 0)
    tallest = _tallest(data)
    parts = []
    if isinstance(data, Histogram):
        xs = np.linspace(0, room, len(data.now) + 1)
        now, before = (height - (height - 2) * share / tallest for share in (data.now, data.before))
        parts.append(f'<path class="live" d="{_filled(xs, now, height)}"/>')
        parts.append(f'<path class="training" d="{_filled(xs, before, height)}"/>')
    else:
        parts += _small_bars(data.bars, 0, room / max(len(data.bars), 1), height, tallest)

    parts += _small_bars(data.specials, width - special, 12, height, tallest, "live special")
    return svg(_SMALL, label, parts, "small")


def _small_bars(
    bars: Sequence[Bar], left: float, slot: float, height: float, tallest: float, live: str = "live"
) -> Iterator[str]:
    gap = min(slot / 5, 3)
    for index, bar in enumerate(bars):
        x = left + index * slot + gap / 2
        for kind, share in ((live, bar.now), ("training", bar.before)):
            tall = (height - 2) * share / tallest
            yield f'<path class="{kind}" d="M{x:.1f} {height}v{-tall:.1f}h{slot - gap:.1f}v{tall:.1f}z"/>'


def _tallest(data: ChartData) -> float:
    bars = [*data.specials, *(data.bars if isinstance(data, Categories) else ())]
    shares = [share for bar in bars for share in (bar.before, bar.now)]
    if isinstance(data, Histogram):
        shares += [float(data.before.max()), float(data.now.max())]
    return max(shares, default=0.0) or 1.0


# --- large -----------------------------------------------------------------------------------------------------------


def large_chart(data: ChartData, label: str) -> Markup:
    """Draw a variable with its scale: a histogram upright, categories as horizontal bars."""
    return _large_histogram(data, label) if isinstance(data, Histogram) else _large_categories(data, label)


def _large_histogram(data: Histogram, label: str) -> Markup:
    names = [bar.label.removesuffix(" training") for bar in data.specials]
    longest = max(map(len, names), default=0)
    slot = min(max(_SLOT, _LETTER * (longest + 2)), _SPECIALS / max(len(names), 1))
    right = WIDTH - _RIGHT - slot * len(names)
    plot = Plot((data.lower, data.upper), _tallest(data), right=right)
    xs = np.linspace(plot.left, plot.right, len(data.now) + 1)
    floor = plot.y(0.0)
    now, before = (np.array([plot.y(share) for share in shares.tolist()]) for shares in (data.now, data.before))
    parts = [
        *plot.axes(as_percent=True),
        f'<path class="live" d="{_filled(xs, now, floor)}"/>',
        f'<path class="training" d="{_filled(xs, before, floor)}"/>',
        *_hints(data, xs, floor),
        *plot.scale(data),
    ]
    for index, (bar, name) in enumerate(zip(data.specials, names, strict=True)):
        parts += _special(bar, cut(name, int(slot / _LETTER) - 1), right + slot * (index + 0.5), plot)

    return svg((WIDTH, HEIGHT), label, parts, "large")


def _hints(data: Histogram, xs: NDArray[np.float64], floor: float) -> Iterator[str]:
    """Add a tooltip with the numbers of each column."""
    parts = np.linspace(0, 1, len(xs))
    ends = data.texts((data.lower * (1 - parts) + data.upper * parts).tolist())
    for index, (before, now) in enumerate(zip(data.before.tolist(), data.now.tolist(), strict=True)):
        text = f"{ends[index]} to {ends[index + 1]}: {_shares(before, now)}"
        x, width = xs[index], xs[index + 1] - xs[index]
        box = f'x="{x:.1f}" y="{_TOP}" width="{width:.1f}" height="{floor - _TOP:.1f}"'
        yield f'<rect class="hint" {box}><title>{text}</title></rect>'


def _special(bar: Bar, name: str, middle: float, plot: Plot) -> Iterator[str]:
    width, floor = 32, plot.y(0.0)
    x = middle - width / 2
    for kind, share in (("live special", bar.now), ("training", bar.before)):
        y = plot.y(share)
        yield f'<path class="{kind}" d="M{x:.1f} {floor:.1f}V{y:.1f}h{width}V{floor:.1f}z"/>'
    text = f"{bar.label}: {_shares(bar.before, bar.now)}"
    yield f'<rect class="hint" x="{x - 5:.1f}" y="{_TOP}" width="{width + 10}" height="{floor - _TOP:.1f}">'
    yield f"<title>{text}</title></rect>"
    yield f'<text x="{middle:.1f}" y="{HEIGHT - 10}" text-anchor="middle">{name}</text>'


def _large_categories(data: Categories, label: str) -> Markup:
    bars = [*data.bars, *data.specials]
    texts = [" → ".join(percents(bar.before, bar.now)) for bar in bars]
    left, right = 150, _SHARE_LETTER * max(map(len, texts), default=0) + 6
    tallest = _tallest(data)
    parts: list[str] = []
    for index, (bar, shares) in enumerate(zip(bars, texts, strict=True)):
        y = _ROW * index + 4
        parts.append(f'<text x="{left - 8}" y="{y + 14}" text-anchor="end">{escape(cut(bar.label, _NAME))}</text>')
        kind = "live special" if index >= len(data.bars) else "live"
        for name, share in ((kind, bar.now), ("training", bar.before)):
            long = (WIDTH - left - right) * share / tallest
            parts.append(f'<path class="{name}" d="M{left} {y}h{long:.1f}v{_ROW - 8}H{left}z"/>')
        end = left + (WIDTH - left - right) * max(bar.before, bar.now) / tallest + 6
        parts.append(f'<text x="{end:.1f}" y="{y + 14}">{escape(shares)}</text>')

    return svg((WIDTH, _ROW * max(len(bars), 1) + 4), label, parts, "large")


def cumulative_chart(variable: Continuous, live: ArrayLike, data: Histogram, label: str, distance: str) -> Markup:
    """Draw the share of rows up to each bound, and mark the largest difference between training and live.

    Args:
        variable: Its training counts.
        live: Its live counts, in the order of its cells.
        data: Chart data of the other charts of this variable.
        label: Description of the chart for people who cannot see it.
        distance: Name of the marked distance.
    """
    bounds = np.array(variable.upper_bounds)
    before, now = (
        np.cumsum(counts) / max(np.sum(counts), 1)
        for counts in (np.array(variable.counts), np.asarray(live)[: len(variable.counts)])
    )
    plot = Plot((data.lower, data.upper), 1.0)
    furthest = int(np.argmax(np.abs(before - now)[:-1]))
    parts = [*plot.axes(as_percent=True), *plot.scale(data)]
    for kind, running in (("live-line", now), ("training", before)):
        points = " ".join(
            f"{plot.x(bound):.1f},{plot.y(share):.1f}"
            for bound, share in zip([data.lower, *bounds.tolist()], [0.0, *running[:-1].tolist()], strict=True)
            if data.lower <= bound <= data.upper
        )
        parts.append(f'<polyline class="{kind}" points="{points}"/>')

    x = plot.x(float(bounds[furthest]))
    ends = plot.y(float(before[furthest])), plot.y(float(now[furthest]))
    apart = abs(float(before[furthest] - now[furthest]))
    side, anchor = (8, "start") if x < WIDTH / 2 else (-8, "end")
    parts.append(f'<path class="mark" d="M{x:.1f} {ends[0]:.1f}V{ends[1]:.1f}"/>')
    parts.append(
        f'<text class="mark-text" x="{x + side:.1f}" y="{sum(ends) / 2 + 4:.1f}" text-anchor="{anchor}">'
        f"{distance} {number(apart)} at {data.texts([data.lower, float(bounds[furthest]), data.upper])[1]}</text>"
    )

    return svg((WIDTH, HEIGHT), label, parts, "large")


def course_chart(course: Course, label: str) -> Markup:
    """Draw the population stability index over the known part of the day, with the limit of drift.

    Args:
        course: The variable over time, with at least one point.
        label: Description of the chart for people who cannot see it.
    """
    points = course.points
    tallest = max([*(point.psi for point in points), *(point.limit for point in points)], default=1.0)
    span = max(course.seconds, points[0].age, _SHORTEST)
    plot = Plot((-span, 0.0), tallest * 1.1)
    parts = list(plot.axes(as_percent=False))
    for seconds, text in _past(span):
        half = _LETTER * (len(text) + 1) / 2
        x = min(max(plot.x(-seconds), half), WIDTH - half)
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 10}" text-anchor="middle">{text}</text>')

    for run in _runs(points):
        for kind, values in (("limit", [p.limit for p in run]), ("live-line", [p.psi for p in run])):
            corners = [(plot.x(-p.age), plot.y(value)) for p, value in zip(run, values, strict=True)]
            if len(corners) == 1:  # a single point becomes a short line, to be visible
                corners.insert(0, (corners[0][0] - 12, corners[0][1]))
            line = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
            parts.append(f'<polyline class="{kind}" points="{line}"/>')
    for point in points:
        text = f"{ago(point.age)}: PSI {number(point.psi)}, limit {number(point.limit)}"
        position = f'cx="{plot.x(-point.age):.1f}" cy="{plot.y(point.psi):.1f}"'
        parts.append(f'<circle class="dot" {position} r="2.5"><title>{text}, {point.rows:,} rows</title></circle>')
    return svg((WIDTH, HEIGHT), label, parts, "large")


def _past(span: float) -> Iterator[tuple[float, str]]:
    """Yield round ages in seconds up to *span*, with their texts, the newest first."""
    step = next((step for step in _STEPS if span / step <= _MOST_STEPS), _STEPS[-1])
    yield 0.0, "now"
    for count in range(1, math.floor(span / step) + 1):
        age = count * step
        unit, length = next(pair for pair in _UNITS if age % pair[1] == 0)
        yield float(age), f"{age // length} {unit} ago"


def _runs(points: Sequence[CoursePoint]) -> Iterator[list[CoursePoint]]:
    """Yield runs of points without a gap, since no line should bridge one."""
    run: list[CoursePoint] = []
    for point in points:
        if run and run[-1].age - point.age > _LONGEST_GAP:
            yield run
            run = []
        run.append(point)
    if run:
        yield run
