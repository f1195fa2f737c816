"""Draw the pictures of the concepts: ``python docs/pictures.py``, from numbers that the package computes.

Each is an SVG on ground of its own, so that it can be read on light and dark pages.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from statistics import NormalDist
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.baseline.distribution import Continuous, group_counts
from flask_boxkite.baseline.validation import BinaryValidation
from flask_boxkite.baseline.variables import variables_of
from flask_boxkite.drift.recurrence import recurrence
from flask_boxkite.drift.scan import TESTS, Scan, scan
from flask_boxkite.drift.statistics import chi_squared_limit, g_statistics
from flask_boxkite.drift.tables import Trained
from flask_boxkite.drift.timeline import Timeline
from flask_boxkite.drift.verdict import judgements
from flask_boxkite.performance import binary
from flask_boxkite.values.rowhash import ROW_BUCKETS

HERE = Path(__file__).parent / "concepts"
WIDTH = 720

TEXT, QUIET, LINE = "#1b2330", "#55606f", "#d5dce5"
TRAINING, LIVE, MARK = "#7b8797", "#8db4e2", "#b3122f"
COLOURS = {
    "not enough data": "#eef1f5",
    "stable": "#bfe3cc",
    "unclear": "#a99bd6",
    "shifted": "#d9b83c",
    "drifted": "#ee9440",
    "major": "#e0566c",
}
"""Colours by verdict: of live rows on the drift page, and of its lighter grounds where that has none."""

Floats = NDArray[np.float64]


def main(folder: Path = HERE) -> None:
    """Write all pictures to a folder."""
    pictures = {
        "baseline": picture_of_bins,
        "groups": picture_of_groups,
        "verdicts": picture_of_verdicts,
        "stretches": picture_of_stretches,
        "dispersion": picture_of_repeats,
        "outcomes": picture_of_outcomes,
    }
    for name, draw in pictures.items():
        (folder / f"{name}.svg").write_text(draw(), encoding="utf-8")


# --- drawing ---------------------------------------------------------------------------------------------------------


class Axis(NamedTuple):
    """A scale from numbers to pixels.

    Attributes:
        low: Number at *start*.
        high: Number at *stop*.
        start: Pixel.
        stop: Pixel.
    """

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, number: float) -> float:
        """Return the pixel of a number."""
        return self.start + (number - self.low) / (self.high - self.low) * (self.stop - self.start)


def svg(height: float, title: str, parts: Iterable[str]) -> str:
    """Return a picture with a title for screen readers."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="13">\n<title>{escape(title)}</title>\n'
        f'<rect width="{WIDTH}" height="{height:g}" rx="8" fill="#ffffff"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def box(left: float, top: float, right: float, bottom: float, fill: str) -> str:
    size = f'shape-rendering="crispEdges" width="{right - left:.1f}" height="{max(bottom - top, 0):.1f}"'
    return f'<rect x="{left:.1f}" y="{top:.1f}" {size} fill="{fill}"/>'


def label(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    fill: str = TEXT,
    weight: str = "normal",
) -> str:
    style = f'text-anchor="{anchor}" fill="{fill}" font-weight="{weight}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'


def line(
    x1: float,
    y1: float,
    x2: float,
    y2: float,
    colour: str = LINE,
    *,
    dashes: str = "",
    width: float = 1,
) -> str:
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width:g}"{dashed}/>'


def curve(points: Iterable[tuple[float, float]], colour: str) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.5"/>'


def key(x: float, y: float, entries: Sequence[tuple[str, str]]) -> list[str]:
    """Return coloured squares with their meaning, from left to right."""
    parts = []
    for colour, text in entries:
        parts += [box(x, y - 10, x + 12, y + 2, colour), label(x + 17, y, text)]
        x += 34 + 6.9 * len(text)
    return parts


# --- pictures --------------------------------------------------------------------------------------------------------


def picture_of_bins() -> str:
    """Draw the bins of a skewed feature, and the deciles among their bounds."""
    item = distribution(np.random.default_rng(1).lognormal(7, 0.6, 10_000))
    bounds = np.array(item.upper_bounds)
    x, widths = Axis(0, 5000, 30, WIDTH - 30), np.diff(bounds)
    density = np.array(item.counts[1:-1]) / widths
    y = Axis(0, float(density.max()), 210, 50)

    parts = key(30, 28, [(TRAINING, "training rows by bin, per unit of the feature")])
    parts.append(label(420, 28, "┆ deciles", fill=MARK))
    for lower, upper, height in zip(bounds, bounds[1:], density, strict=False):
        parts.append(box(x(lower), y(height), x(min(upper, x.high)) - 1, 210, TRAINING))
    for decile in item.group_bounds[1:-1]:
        parts.append(line(x(decile), 44, x(decile), 210, MARK, dashes="3 3"))
    parts.append(line(30, 210, WIDTH - 30, 210, TEXT))
    parts += [
        label(x(at), 228, f"{at:,}", anchor="middle", fill=QUIET) for at in range(0, 5001, 1000)
    ]
    return svg(240, "Bins of one feature; nine of their bounds are the deciles of training", parts)


def picture_of_groups() -> str:
    """Draw training beside live rows of a feature in its groups."""
    rng = np.random.default_rng(2)
    item = distribution(rng.normal(50, 10, 10_000), "age")
    served = np.concatenate([rng.normal(54, 10, 920), np.full(80, math.nan)])
    trained, live = (
        np.array(group_counts(item, cells)) for cells in (item.cells, cells_of(item, served))
    )
    names = [group.name for group in item.groups]
    x, y = Axis(0, len(names), 45, WIDTH - 15), Axis(0, 0.2, 215, 50)

    parts = key(45, 28, [(TRAINING, "training"), (LIVE, "live")])
    for share in (0.0, 0.1, 0.2):
        parts.append(line(45, y(share), WIDTH - 15, y(share)))
        parts.append(label(38, y(share) + 4, f"{share:.0%}", anchor="end", fill=QUIET))
    for index, name in enumerate(names):
        left, middle = x(index) + 5, x(index + 0.5)
        parts.append(box(left, y(trained[index] / trained.sum()), middle - 1, 215, TRAINING))
        parts.append(box(middle + 1, y(live[index] / live.sum()), x(index + 1) - 5, 215, LIVE))
        words = name.strip("_") if name.startswith("_") else f"decile {index}"
        place = f'transform="translate({middle + 4:.1f},224) rotate(-45)"'
        parts.append(f'<text {place} text-anchor="end" fill="{QUIET}">{words}</text>')
    return svg(
        290, "One feature in its groups: ten deciles, below, above, missing and invalid", parts
    )


def picture_of_verdicts() -> str:
    """Draw the verdict on a shifted normal feature, by rows and size of the shift."""
    trained, columns, rows = 10_000, 110, 70
    x, y = Axis(math.log10(30), 5, 60, WIDTH - 40), Axis(0, 1, 250, 45)
    parts = key(
        60,
        26,
        [(COLOURS[verdict], verdict) for verdict in ("stable", "shifted", "drifted", "major")],
    )
    across, up = (x.stop - x.start) / columns, (y.start - y.stop) / rows
    for i in range(columns):
        live = 10 ** (x.low + (i + 0.5) / columns * (x.high - x.low))
        for verdict, first, last in runs(
            [verdict_of_shift(trained, live, (j + 0.5) / rows) for j in range(rows)]
        ):
            left, top, bottom = x.start + i * across, y.start - last * up, y.start - first * up
            parts.append(box(left, top, min(left + across + 1, x.stop), bottom, COLOURS[verdict]))

    ticks = (30, 100, 1000, 10_000, 100_000)
    parts += [label(x(math.log10(n)), 270, f"{n:,}", anchor="middle", fill=QUIET) for n in ticks]
    parts += [
        label(54, y(shift) + 4, f"{shift:g}", anchor="end", fill=QUIET)
        for shift in (0, 0.25, 0.5, 0.75, 1)
    ]
    parts.append(label(60, 292, "across: live rows; up: shift in standard deviations", fill=QUIET))
    return svg(302, "The verdict by number of rows and size of the shift", parts)


def picture_of_stretches() -> str:
    """Draw G over its limit for all stretches of a day in whose last five minutes a feature stopped arriving."""
    now, minute = 1_800_000_000.0, 60.0
    rng = np.random.default_rng(3)
    item = distribution(rng.normal(0, 1, 1000))
    starts, cells = [], []
    for start in np.arange(now - 7 * 3600, now, 10):
        values = rng.normal(0, 1, 20)
        values[rng.random(20) < (0.12 if start >= now - 5 * minute else 0)] = math.nan
        starts.append(start)
        cells.append(cells_of(item, values))
    scanned, timeline = scanned_of(item, np.array(starts), np.array(cells), now)

    ago = now - timeline.starts
    excess = (scanned.g / scanned.limit)[:, 0]
    x, y = Axis(1, math.log10(7 * 3600), 60, WIDTH - 30), Axis(0, 4, 220, 60)
    change = x(math.log10(5 * minute))
    parts = [line(60, y(1), WIDTH - 30, y(1), MARK, dashes="4 3")]
    parts.append(label(WIDTH - 30, y(1) - 6, "limit", anchor="end", fill=MARK))
    parts += [
        line(change, 44, change, 220, QUIET, dashes="2 3"),
        label(change + 6, 54, "begins with the change"),
    ]
    parts.append(
        curve([(x(math.log10(a)), y(e)) for a, e in zip(ago, excess, strict=True)], "#2563a8")
    )
    ticks = {10: "10 s", 60: "1 min", 300: "5 min", 3600: "1 h", 7 * 3600: "7 h"}
    parts += [
        label(x(math.log10(at)), 238, text, anchor="middle", fill=QUIET)
        for at, text in ticks.items()
    ]
    parts += [label(54, y(at) + 4, f"{at:g}", anchor="end", fill=QUIET) for at in range(5)]
    parts.append(
        label(60, 24, "G as a multiple of its limit, by length of the stretch that ends now")
    )
    parts.append(line(60, 220, WIDTH - 30, 220, TEXT))
    return svg(
        252,
        "G over its limit for stretches of different length; the change is plainest where it began",
        parts,
    )


def picture_of_repeats() -> str:
    """Draw the row buckets of 600 rows that all differ, and of 60 rows that come ten times each."""
    rng = np.random.default_rng(4)
    all_differ = np.bincount(rng.integers(0, ROW_BUCKETS, 600), minlength=ROW_BUCKETS)
    repeated = 10 * np.bincount(rng.integers(0, ROW_BUCKETS, 60), minlength=ROW_BUCKETS)
    parts = []
    for top, buckets, text in (
        (0, all_differ, "600 rows that all differ"),
        (120, repeated, "60 rows, ten times each"),
    ):
        rows = float(recurrence(buckets[np.newaxis], 0.0)[0])
        x, y = Axis(0, ROW_BUCKETS, 40, WIDTH - 20), Axis(0, 32, top + 125, top + 45)
        said = (
            f"{text}. Measured: each came {rows:.1f} times, so 600 rows count as {600 / rows:.0f}."
        )
        parts.append(label(40, top + 32, said))
        for bucket, count in enumerate(buckets):
            if count:
                parts.append(
                    box(
                        x(bucket),
                        y(count),
                        x(bucket + 1),
                        y(0),
                        LIVE if top == 0 else COLOURS["drifted"],
                    )
                )
        parts.append(line(40, y(0), WIDTH - 20, y(0), TEXT))
        parts += [label(34, y(at) + 4, str(at), anchor="end", fill=QUIET) for at in (0, 20)]
    return svg(260, "Rows in 256 buckets by a hash of their values", parts)


def picture_of_outcomes() -> str:
    """Draw the share of positives by score, and where live scores lie, with the accuracy that follows."""
    rng = np.random.default_rng(5)
    scores = rng.beta(0.6, 0.6, 5000)
    baseline = export({"x": rng.normal(size=5000)}, scores, actual=rng.random(5000) < scores)
    validation = baseline.validation
    assert isinstance(validation, BinaryValidation)
    (item,) = baseline.outputs
    live = cells_of(item, rng.beta(2, 2, 5000))[: len(validation.upper_bounds) + 1]
    known = binary.validated(validation)["accuracy"].value
    expected = binary.expected(validation, live)["accuracy"].value
    shares, trained = binary.positive_shares(validation), np.array(validation.bin_rows)

    bounds = np.clip([0.0, *validation.upper_bounds, 1.0], 0, 1)
    x, y, z = Axis(0, 1, 50, WIDTH - 20), Axis(0, 1, 140, 45), Axis(0, 4, 265, 170)
    parts = [
        label(50, 28, "held-out rows: share that came true, by score"),
        line(50, 140, WIDTH - 20, 140, TEXT),
    ]
    middles = [
        ((a + b) / 2, share)
        for a, b, share in zip(bounds, bounds[1:], shares, strict=False)
        if b > a + 1e-6
    ]
    parts.append(curve([(x(at), y(share)) for at, share in middles], TEXT))
    for counts, colour in ((trained, TRAINING), (live, LIVE)):
        steps = []
        for a, b, count in zip(bounds, bounds[1:], counts, strict=False):
            height = 0.0 if b <= a + 1e-6 else min(float(count) / counts.sum() / (b - a), 4)
            steps += [(x(a), z(height)), (x(b), z(height))] if b > a + 1e-6 else []
        parts.append(curve(steps, colour))
    said = [
        (TRAINING, f"held-out rows: accuracy {known:.2f}"),
        (LIVE, f"live rows: {expected:.2f} is to be expected"),
    ]
    parts += [*key(50, 168, said), line(50, 265, WIDTH - 20, 265, TEXT)]
    parts += [
        label(x(at), 283, f"{at:g}", anchor="middle", fill=QUIET) for at in (0, 0.25, 0.5, 0.75, 1)
    ]
    parts += [label(44, y(at) + 4, f"{at:.0%}", anchor="end", fill=QUIET) for at in (0, 1)]
    return svg(
        295,
        "Live scores have moved to where the model is less sure, so less accuracy is to be expected",
        parts,
    )


# --- numbers ---------------------------------------------------------------------------------------------------------


def export(features: object, inference: object = None, **options: object) -> Baseline:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "baseline.prom"
        return ModelMonitoringService.export_text(
            features, inference, path, progress=False, **options
        )  # type: ignore[arg-type]


def distribution(values: Floats, name: str = "x") -> Continuous:
    (item,) = export({name: values}).features
    assert isinstance(item, Continuous)
    return item


def cells_of(item: object, values: Floats) -> NDArray[np.int64]:
    """Count values in the bins of a continuous distribution."""
    assert isinstance(item, Continuous)
    known = values[~np.isnan(values)]
    bins = np.bincount(np.searchsorted(item.upper_bounds, known), minlength=len(item.counts))
    return np.array([*bins, len(values) - len(known), 0])


def verdict_of_shift(trained: int, live: float, shift: float) -> str:
    """Return the verdict on a normal feature whose live rows have exactly the shares that a shift gives."""
    normal = NormalDist()
    deciles = [-6.0, *(normal.inv_cdf(tenth / 10) for tenth in range(1, 10)), 6.0]
    shares = np.diff([0.0, *(normal.cdf(bound - shift) for bound in deciles), 1.0])
    before = np.array([0, *[trained // 10] * 10, 0])
    now = np.rint(np.array([*shares]) * live).astype(np.int64)
    layout = np.array([0])
    rows = np.array([before.sum()])
    limit = chi_squared_limit(1e-5 / 30 / TESTS, 12)
    g = g_statistics(before, now[np.newaxis], layout)[0]
    verdict = None if g[0] > limit else "stable"
    uncertain = 1 / rows
    found = judgements(
        before,
        now,
        layout,
        [verdict],
        g=g,
        dispersion=np.ones(1),
        limit=np.array([limit]),
        uncertain=uncertain,
    )
    return found[0].verdict


def runs(values: Sequence[str]) -> Iterable[tuple[str, int, int]]:
    """Yield each run of equal values with its first index, and the one behind its last."""
    first = 0
    for index in range(1, len(values) + 1):
        if index == len(values) or values[index] != values[first]:
            yield values[first], first, index
            first = index


def scanned_of(
    item: Continuous, starts: Floats, cells: NDArray[np.int64], now: float
) -> tuple[Scan, Timeline]:
    """Scan a timeline of rows that all differ and come one in a request."""
    trained = Trained(variables_of((item,), ()))
    rng = np.random.default_rng(6)
    buckets = np.array(
        [
            np.bincount(rng.integers(0, ROW_BUCKETS, n), minlength=ROW_BUCKETS)
            for n in cells.sum(axis=1)
        ]
    )
    timeline = Timeline.of_slots(starts, trained.sums.of(cells), buckets, cells.sum(axis=1), now)
    alpha = 1e-5 / 30
    return scan(
        trained.counts, timeline, trained.sums.firsts, trained.degrees, alpha=alpha, collisions=0.0
    ), timeline


if __name__ == "__main__":
    main()
