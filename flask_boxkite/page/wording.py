"""Numbers and verdicts of the page as text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup, escape

from flask_boxkite.drift.wording import (
    CHANGED,
    DISTANCE_NAMES,
    NOTICEABLE,
    counted_as_one,
    distance_text,
    moment,
    number,
    numbers,
    percent,
    percents,
    size_meaning,
    when,
)
from flask_boxkite.values.times import DAY, is_time_text, time_text

__all__ = [
    "MEANINGS",
    "Statistic",
    "ago",
    "bound_texts",
    "breakable",
    "decision_statistics",
    "distance_statistics",
    "moment",
    "number",
    "numbers",
    "percent",
    "percents",
    "rows_text",
    "seconds",
    "since_text",
    "window_text",
]

_NONE = "\N{EN DASH}"

_SEPARATORS = re.compile(r"[_./:|-]+(?=[^\W\d_])")
"""Characters after which a name may be divided where a letter follows; no entity of HTML contains one."""

MEANINGS = {
    "major": "has moved far from training",
    "drifted": "has moved away from training",
    "shifted": "has moved a little from training",
    "unclear": "may have moved",
    "stable": "is as in training",
    "not enough data": "has too few rows to tell",
    "ignored": "is ignored",
}
"""Sentence part about a variable for each verdict; its time follows."""

_WINDOWS = {"5m": "the last 5 minutes", "1h": "the last hour", "24h": "the last 24 hours"}


def since_text(row: Mapping[str, Any], today: str | None) -> str:
    """Return the start of the stretch of time that decided, as in "since 12:03 UTC"; empty if it is the whole window.

    Args:
        row: A variable, as in `VariableDrift.to_row`.
        today: Date to omit, as ``"2026-01-31"``; None to omit none.
    """
    if not row["since"]:
        return ""
    date, time = row["since"][:10], row["since"][11:16]
    return f"since {time} UTC" if date == today else f"since {date} {time} UTC"


def rows_text(rows: int) -> str:
    """Write a number of rows, as in "1 row"."""
    return f"{rows:,} row{'s' * (rows != 1)}"


def breakable(name: str) -> Markup:
    """Write a name as markup, which a line may break after its separators rather than within its words."""
    return Markup(_SEPARATORS.sub(r"\g<0><wbr>", str(escape(name))))


def window_text(window: str | None) -> str:
    """Name a window, as in "in the last hour"."""
    return f"in {_WINDOWS[window]}" if window in _WINDOWS else when(window)


def bound_texts(values: Sequence[float], *, is_time: bool) -> list[str]:
    """Write values of a continuous variable: numbers, or dates with the time where they are close."""
    if not is_time:
        return numbers(values)
    is_short = max(values, default=0.0) - min(values, default=0.0) < 2 * DAY
    texts = list(map(time_text, values))
    return [text[: 16 if is_short else 10].replace("T", " ") if is_time_text(text) else text for text in texts]


def seconds(value: float | None) -> str:
    """Write a duration in a suitable unit."""
    if value is None:
        return _NONE
    return f"{number(value * 1000)} ms" if value < 1 else f"{number(value)} s"


def ago(value: float) -> str:
    """Write an age in seconds with the largest suitable unit."""
    if value < 2:
        return "just now"
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if value >= 2 * length:
            return f"{value / length:.0f} {unit} ago"
    return f"{value:.0f} seconds ago"


class Statistic(NamedTuple):
    """A row of the table of statistics."""

    name: str
    value: str
    limit: str
    meaning: str


def decision_statistics(row: Mapping[str, Any]) -> Iterator[Statistic]:
    """Explain the numbers behind the verdict.

    Args:
        row: A variable, as in `VariableDrift.to_row`.
    """
    yield Statistic("G", number(row["g"]), number(row["limit"]), _g_meaning(row))
    yield Statistic("φ, dispersion", number(row["dispersion"]), "", _dispersion_meaning(row))
    yield Statistic("PSI", number(row["psi"]), "", _psi_meaning(row))
    if row["verdict"] in CHANGED:
        yield Statistic("Size", number(row["size"]), number(row["drifted_size"]), _size_meaning(row))
    else:
        yield Statistic("Size", _NONE, number(row["drifted_size"]), "Only a certain change has a size.")


def _g_meaning(row: Mapping[str, Any]) -> str:
    if row["verdict"] == "not enough data":
        return f"Not enough data yet: {row['reason']}."
    if row["verdict"] == "ignored":
        return "Not judged; the limit is the one that weight 1 would give."
    if row["verdict"] == "unclear":
        return f"Above its limit only if each row counts: {row['reason']}."
    if row["g"] > row["limit"]:
        return "Above its limit: more than chance explains."
    return "Within its limit: no more than chance explains."


def _dispersion_meaning(row: Mapping[str, Any]) -> str:
    if row["dispersion"] <= NOTICEABLE:
        return "Each row counts."
    text = counted_as_one(row)
    return f"{text[0].upper()}{text[1:]}."


def _psi_meaning(row: Mapping[str, Any]) -> str:
    if row["psi_limit"] is None:
        return "There are no live rows yet."
    return (
        f"Sampling alone gives it {number(row['psi_noise'])} on average; its standard error is "
        f"{number(row['psi_error'])}."
    )


def _size_meaning(row: Mapping[str, Any]) -> str:
    drifted, major = number(row["drifted_size"]), number(row["major_size"])
    return f"{size_meaning([row])} Drift begins at {drifted}, major drift at {major}."


def distance_statistics(row: Mapping[str, Any]) -> Iterator[Statistic]:
    """Explain the numbers that describe the whole window.

    Args:
        row: A variable, as in `VariableDrift.to_row`.
    """
    if row["kolmogorov_smirnov"] is not None:
        yield Statistic(
            DISTANCE_NAMES["kolmogorov_smirnov"],
            number(row["kolmogorov_smirnov"]),
            number(row["kolmogorov_smirnov_limit"]),
            f"At some value, the shares of rows up to it are {percent(row['kolmogorov_smirnov'])} apart.",
        )

    if row["wasserstein"] is not None:
        value = distance_text(row)
        yield Statistic(
            DISTANCE_NAMES["wasserstein"],
            value,
            "",
            f"On average, values would have to move by {value} to match training.",
        )
    scale = "0: the same; 1: nothing in common."
    for key in ("jensen_shannon", "hellinger"):
        yield Statistic(DISTANCE_NAMES[key], number(row[key]), "", scale)
    for key in ("kl_live", "kl_baseline"):
        name = DISTANCE_NAMES[key]
        yield Statistic(name, number(row[key]), "", "0: the same. In nats, without an upper limit.")
