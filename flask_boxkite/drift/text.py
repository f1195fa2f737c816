"""A drift report for people: as plain text of at most 100 columns, and as Markdown."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from flask_boxkite.drift.verdict import MOVED
from flask_boxkite.naming import parse_interval

__all__ = [
    "COLUMNS",
    "as_markdown",
    "as_text",
    "cut",
    "digits_apart",
    "escaped",
    "markdown_row",
    "moved_most",
    "printable",
    "short_interval",
    "title",
    "when",
]

COLUMNS = 100

_NAME = 22
_QUIET = ("stable", "not enough data")
_SPECIAL = ("missing", "invalid", "out_of_range", "unseen")
_DISTANCES = {
    "jensen_shannon": "Jensen-Shannon",
    "hellinger": "Hellinger",
    "kl_live": "KL of live",
    "kl_baseline": "of training",
    "kolmogorov_smirnov": "K-S",
    "kolmogorov_smirnov_limit": "its limit",
    "wasserstein": "Wasserstein",
}


def as_text(report: Mapping[str, Any]) -> str:
    """Return the text of a report that is given as a dict; in the order of its variables."""
    variables: Sequence[Mapping[str, Any]] = report["variables"]
    width = max([len("variable"), *(min(len(title(item)), _NAME) for item in variables)])
    lines = [
        *textwrap.wrap(_summary(report), COLUMNS),
        "",
        f"{'variable':<{width}} {'verdict':<15} {'size':>5} {'G/φ':>8} {'limit':>6} {'φ':>6} {'rows':>8}  moved most",
    ]
    for item in variables:
        line = (
            f"{cut(title(item), width):<{width}} {item['verdict']:<15} {_number(item['size'], 5, 2)} "
            f"{_number(item['g'] / item['dispersion'], 8, 1)} {_number(item['limit'], 6, 1)} "
            f"{_number(item['dispersion'], 6, 2)} {_number(item['live_rows'], 8, 0)}  "
        )
        lines.append(line + moved_most(item, COLUMNS - len(line)))
    for item in variables:
        if item["verdict"] not in _QUIET or _is_uneven(item):
            text = f"{cut(title(item), COLUMNS - 4)}: " + ", ".join(_details(item))
            lines += ["", *textwrap.wrap(text, COLUMNS, subsequent_indent="  ", break_long_words=True)]
    return "\n".join(lines)


def as_markdown(report: Mapping[str, Any], heading: str | None = None) -> str:
    """Return the same as a Markdown table, with a line about the whole, or another heading, before it."""
    head = ("variable", "verdict", "size", "PSI", "G/φ", "limit", "φ", "rows", "moved most", "missing", "unseen")
    lines = [escaped(heading or _summary(report)), "", markdown_row(head), markdown_row(["---"] * len(head))]
    for item in report["variables"]:
        moved = f"{_group(item)} {item['share_before']:.1%} → {item['share_now']:.1%}"
        lines.append(
            markdown_row(
                [
                    title(item),
                    item["verdict"],
                    f"{item['size']:.3f}",
                    f"{item['psi']:.3f}",
                    f"{item['g'] / item['dispersion']:.1f}",
                    f"{item['limit']:.1f}",
                    f"{item['dispersion']:.2f}",
                    str(item["live_rows"]),
                    moved,
                    f"{item['missing_now']:.1%}",
                    f"{item['unseen_now']:.1%}",
                ]
            )
        )
    return "\n".join(lines)


def _summary(report: Mapping[str, Any]) -> str:
    variables = report["variables"]
    moved = sum(item["verdict"] in MOVED for item in variables)
    return (
        f"{moved} of {len(variables)} variables drifted {when(report['window'])}. "
        f"Model {report['model']!r}, baseline {report['baseline']}, alpha {report['alpha']:g}."
    )


def when(window: str | None) -> str:
    """Say in words which window or period it is."""
    if window is None:
        return "since the start"
    start, slash, end = window.partition("/")
    if not slash:
        return f"in the last {window}"
    bounds = [f"{word} {bound}" for word, bound in (("from", start), ("to", end)) if bound != ".."]
    return " ".join(bounds) or "at any time"


def title(item: Mapping[str, Any]) -> str:
    """Name a variable."""
    name = printable(item["name"])
    return name if item["side"] == "feature" else f"{name} (output)"


def moved_most(item: Mapping[str, Any], room: int) -> str:
    """Say which group of a variable moved most, and from what share to what, in *room* columns."""
    shares = f" {item['share_before']:.0%} -> {item['share_now']:.0%}"
    return cut(_group(item), room - len(shares)) + shares


def _group(item: Mapping[str, Any]) -> str:
    """Name the group that moved most."""
    name: str = item["moved_most"]
    return short_interval(name) if item["kind"] == "continuous" and name.startswith("(") else printable(name)


def short_interval(name: str) -> str:
    """Shorten the bounds of an interval, which are read here, not compared: four digits are enough, if they differ."""
    lower, upper = parse_interval(name)
    digits = digits_apart((lower, upper), 4)
    return f"({lower:.{digits}g},{upper:.{digits}g}]"


def digits_apart(values: Sequence[float], least: int) -> int:
    """Return how many digits tell apart those of some numbers that are not equal; *least* if fewer do."""
    finite = {value for value in values if math.isfinite(value)}
    largest = max(map(abs, finite), default=0.0) or 1.0
    scaled = sorted({value / largest for value in finite})  # so that no difference is infinite
    gap = min((after - before for before, after in pairwise(scaled)), default=1.0)
    return min(max(1 - math.floor(math.log10(gap)), least), 17)


def printable(text: str) -> str:
    """Return the text without what would move the cursor."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _is_uneven(item: Mapping[str, Any]) -> bool:
    """Say whether only its dispersion keeps a variable from being called."""
    return bool(item["verdict"] == "stable" and item["g"] > item["limit"])


def _details(item: Mapping[str, Any]) -> Iterator[str]:
    if _is_uneven(item):
        yield f"not called, for within the window it varies {item['dispersion']:.3g} times as much as by chance"
    yield f"PSI {item['psi']:.3g} over {item['live_rows']} live and {item['baseline_rows']} training rows"
    for kind in _SPECIAL:
        before, now = item[f"{kind}_before"], item[f"{kind}_now"]
        if before or now:
            yield f"{kind.replace('_', ' ')} {before:.1%} -> {now:.1%}"
    for key, title in _DISTANCES.items():
        if item[key] is not None:
            yield f"{title} {item[key]:.3g}"


def _number(value: float, width: int, digits: int) -> str:
    """Write a number right-aligned; one that is too long with an exponent."""
    text = f"{value:.{digits}f}"
    return f"{text if len(text) <= width else f'{value:.0e}':>{width}}"


def cut(text: str, width: int) -> str:
    """Return the text in at most *width* columns."""
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"


def markdown_row(cells: Sequence[str]) -> str:
    """Return a row of a Markdown table."""
    return "| " + " | ".join(map(escaped, cells)) + " |"


def escaped(text: str) -> str:
    """Keep Markdown from taking parts of a name for its own."""
    return "".join(f"\\{letter}" if letter in "\\|*_`[]<>#" else letter for letter in text)
