"""The calibration of a score as a chart: the share of positives in each bin, in validation and by outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from markupsafe import Markup

from flask_boxkite.page.charts import HEIGHT, WIDTH, Plot, svg
from flask_boxkite.page.wording import number, percent
from flask_boxkite.performance.report import BinReport

__all__ = ["calibration_chart"]

_LEAST = 5
"""Least number of rows of a bin for a point."""

_MARGIN = 1e-3
"""Distance from 0 and 1 up to which bounds may lie around probabilities."""


def calibration_chart(bins: Sequence[BinReport], label: str) -> Markup | None:
    """Draw the share of positives (or right rows) against the output; None if too few bins have rows.

    Args:
        bins: Bins of the output, ascending.
        label: Description of the chart for people who cannot see it.
    """
    middles = _middles(bins)
    pairs = list(zip(middles, bins, strict=True))
    before = [(x, item) for x, item in pairs if item.validated is not None and item.validation_rows >= _LEAST]
    now = [(x, item) for x, item in pairs if item.realised is not None and item.outcomes >= _LEAST]
    if len(before) < 2:
        return None

    is_probability = middles[0] >= -_MARGIN and middles[-1] <= 1 + _MARGIN
    lower, upper = (0.0, 1.0) if is_probability else (middles[0], middles[-1])
    plot = Plot((lower, upper), 1.0)
    line = " ".join(f"{plot.x(x):.1f},{plot.y(item.validated or 0.0):.1f}" for x, item in before)
    parts = [*plot.axes(as_percent=True), f'<polyline class="training" points="{line}"/>']
    for x, item in now:
        share = item.realised or 0.0
        text = f"around {number(x)}: {percent(share)} of {item.outcomes:,} outcomes"
        if item.validated is not None:
            text += f", {percent(item.validated)} in validation"
        parts.append(
            f'<circle class="dot" cx="{plot.x(x):.1f}" cy="{plot.y(share):.1f}" r="3.5"><title>{text}</title></circle>'
        )
    for x, anchor in ((lower, "start"), ((lower + upper) / 2, "middle"), (upper, "end")):
        parts.append(f'<text x="{plot.x(x):.1f}" y="{HEIGHT - 10}" text-anchor="{anchor}">{number(x)}</text>')
    return svg((WIDTH, HEIGHT), label, parts, "large")


def _middles(bins: Sequence[BinReport]) -> list[float]:
    """Return a value within each bin: its middle; of the first and the last bin, the bound."""
    uppers = [item.upper for item in bins if item.upper is not None]
    if not uppers:
        return [0.0] * len(bins)
    inner = [(low + high) / 2 for low, high in pairwise(uppers)]
    return [uppers[0], *inner, uppers[-1]]
