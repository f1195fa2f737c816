"""Numbers and verdicts in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple

from flask_boxkite.drift.text import digits_apart
from flask_boxkite.drift.verdict import MINIMUM_ROWS
from flask_boxkite.naming import (
    ABOVE,
    BELOW,
    INVALID,
    MISSING,
    RARE,
    UNSEEN,
    category_value,
    is_canonical_number,
    parse_interval,
)

__all__ = [
    "MEANINGS",
    "SPECIAL_WORDS",
    "Statistic",
    "ago",
    "category_label",
    "fixed",
    "group_text",
    "moment",
    "number",
    "numbers",
    "percent",
    "seconds",
    "statistics",
    "window_text",
]

_NONE = "\N{EN DASH}"

_WHOLE = 1e15
"""Numbers from here on have an exponent."""

SPECIAL_WORDS = {
    BELOW: "below training",
    ABOVE: "above training",
    RARE: "rare",
    UNSEEN: "unseen",
    MISSING: "missing",
    INVALID: "invalid",
}
"""What special groups are called."""

MEANINGS = {
    "major": "has moved far from training",
    "drifted": "has moved away from training",
    "shifted": "has moved a little; it is real, but small",
    "stable": "is as in training",
    "not enough data": f"has fewer than {MINIMUM_ROWS} rows, too few to tell",
}
"""What a verdict says of a variable."""

_WINDOWS = {"5m": "the last 5 minutes", "1h": "the last hour", "24h": "the last 24 hours"}


def window_text(window: str | None) -> str:
    """Name a window, as in "in the last hour"."""
    return f"in {_WINDOWS.get(window, f'the last {window}')}" if window else "since the start"


def percent(share: float) -> str:
    """Write a share, with a digit more where there are few."""
    return f"{share:.1%}" if 0 < share < 0.0995 else f"{share:.0%}"


def number(value: float | None, digits: int = 3) -> str:
    """Write a number: to three digits where it is small, whole where it is large; a dash where there is none."""
    if value is None:
        return _NONE
    if abs(value) < _WHOLE:
        digits = max(digits, len(f"{abs(value):.0f}"))
    return f"{value:,.{digits}g}"


def numbers(values: Sequence[float]) -> list[str]:
    """Write numbers with as many digits, three at least, as tell apart those that are not equal."""
    digits = digits_apart(values, 3)
    return [number(value, digits) for value in values]


def fixed(value: float | None) -> str:
    """Write a number with two digits after the point, for columns; a dash where there is none."""
    if value is None:
        return _NONE
    return "< 0.01" if 0 < value < 0.005 else f"{value:,.2f}"


def seconds(value: float | None) -> str:
    """Write a span of time in a fitting unit."""
    if value is None:
        return _NONE
    return f"{number(value * 1000)} ms" if value < 1 else f"{number(value)} s"


def moment(time: float) -> str:
    """Write a time, given in Unix seconds, as ISO 8601 in UTC."""
    return datetime.fromtimestamp(time, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def ago(value: float) -> str:
    """Write how many seconds ago something was, in the largest unit that fits."""
    if value < 2:
        return "just now"
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if value >= 2 * length:
            return f"{value / length:.0f} {unit} ago"
    return f"{value:.0f} seconds ago"


def group_text(name: str, kind: str) -> str:
    """Name a group as people would: an interval with short bounds, a category as it is, a special one by a word."""
    if name in SPECIAL_WORDS:
        return SPECIAL_WORDS[name]
    if kind == "continuous":
        return " to ".join(numbers(parse_interval(name)))
    return category_label(name)


def category_label(category: str) -> str:
    """Name a category: a number without needless zeros, a text as it was."""
    if is_canonical_number(category):
        return f"{float(category):,}".removesuffix(".0")
    return category_value(category)


class Statistic(NamedTuple):
    """A line of the table of statistics."""

    name: str
    value: str
    limit: str
    meaning: str


def statistics(row: Mapping[str, Any]) -> Iterator[Statistic]:
    """Explain every number of a variable, given as `VariableDrift.to_row` has it."""
    g = row["g"] / row["dispersion"]
    is_real = g > row["limit"]
    yield Statistic(
        "G / φ",
        number(g),
        number(row["limit"]),
        "Above its limit: chance alone does not do this." if is_real else "Within its limit: chance alone can do this.",
    )
    repeats = "Rows come as if independent of each other."
    if row["dispersion"] > 1.05:
        repeats = f"Rows repeat each other: {number(row['dispersion'])} count as one."
    yield Statistic("φ, dispersion", number(row["dispersion"]), "", repeats)
    yield Statistic("PSI", number(row["psi"]), number(row["psi_limit"]), _psi_meaning(row))
    yield from _distances(row)


def _psi_meaning(row: Mapping[str, Any]) -> str:
    if row["psi_limit"] is None:
        return "There are no live rows yet."
    noise = f"{number(row['psi_noise'])} of it is what samples of this size have anyway"
    if row["psi"] < row["psi_limit"]:
        return f"Too small to be called drift; {noise}."
    return f"Large enough to be called drift; {noise}."


def _distances(row: Mapping[str, Any]) -> Iterator[Statistic]:
    if row["kolmogorov_smirnov"] is not None:
        yield Statistic(
            "Kolmogorov-Smirnov",
            number(row["kolmogorov_smirnov"]),
            number(row["kolmogorov_smirnov_limit"]),
            f"At some value, the shares of rows up to it are {percent(row['kolmogorov_smirnov'])} apart.",
        )
    if row["wasserstein"] is not None:
        meaning = f"On average a value would have to move by {number(row['wasserstein'])} to be where it was."
        yield Statistic("Wasserstein", number(row["wasserstein"]), "", meaning)
    scale = "0: the same; 1: nothing in common."
    yield Statistic("Jensen-Shannon distance", number(row["jensen_shannon"]), "", scale)
    yield Statistic("Hellinger distance", number(row["hellinger"]), "", scale)
    for key, of in (("kl_live", "live from training"), ("kl_baseline", "training from live")):
        yield Statistic(f"KL divergence of {of}", number(row[key]), "", "0: the same. In nats; it has no upper end.")
