"""A drift report for people: as plain text of at most 100 columns, and as Markdown."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from itertools import pairwise
from typing import Any

from flask_boxkite.baseline.distribution import Continuous, Distribution
from flask_boxkite.drift.uncounted import uncounted
from flask_boxkite.drift.verdict import DOUBT, IGNORED, MINIMUM_ROWS, MOVED
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
    parse_number,
)
from flask_boxkite.policies import DRIFTED_SIZE, MAJOR_SIZE
from flask_boxkite.quoting import printable
from flask_boxkite.values.times import DAY, is_time_text, seconds_of_label, time_text

__all__ = [
    "CHANGED",
    "COLUMNS",
    "DISTANCE_NAMES",
    "NOTICEABLE",
    "SHARE_WORDS",
    "SIZE_MEANING",
    "SPECIAL_WORDS",
    "as_markdown",
    "as_text",
    "by_note",
    "by_reason",
    "category_label",
    "counted_as_one",
    "cut",
    "distance_text",
    "escaped",
    "group_name",
    "group_text",
    "is_of_days",
    "markdown_row",
    "moment",
    "moved_count",
    "moved_group",
    "moved_most",
    "moved_pairs",
    "number",
    "numbers",
    "pair_change",
    "pair_lines",
    "pair_name",
    "pair_numbers",
    "pair_text",
    "percent",
    "percents",
    "policy_texts",
    "rounded",
    "share_of_weight",
    "since_cell",
    "size_cell",
    "size_meaning",
    "title",
    "unclear_too",
    "unknown_pairs",
    "variable_line",
    "weight_of",
    "when",
    "without_ignored",
]

COLUMNS = 100

CHANGED = ("shifted", "drifted", "major")
"""Verdicts of real changes, which have a size."""

_NONE = "\N{EN DASH}"

WHOLE = 1e15
"""Least number that is written with an exponent."""

_ALL = (-math.inf, math.inf)
_NEGLIGIBLE = 1e-3
_ALIKE = 0.9
"""Ratio of two associations that are about as strong."""
_MOST_UNKNOWN = 3
"""Most pairs without a verdict that are named."""
_NAME = 22
_QUIET = ("stable", "not enough data", IGNORED)

SPECIAL_WORDS = {
    BELOW: "below training",
    ABOVE: "above training",
    RARE: "rare",
    UNSEEN: "unseen",
    MISSING: "missing",
    INVALID: "invalid",
}
"""Names of special groups in all texts for people."""

SIZE_MEANING = (
    f"Size is PSI less what sampling alone gives it, and less {DOUBT:g} standard errors of training (over more than an "
    "hour: of both)."
)
"""Explanation of the size of a change beside its PSI."""

NOTICEABLE = 1.3
"""A φ below this is noise."""

SHARE_WORDS = {"missing": "missing", "invalid": "invalid", "out_of_range": "out of range", "unseen": "unseen"}
"""Names of the shares of special rows (`shares.special_changes`) in all texts for people."""

DISTANCE_NAMES = {
    "jensen_shannon": "Jensen-Shannon",
    "hellinger": "Hellinger",
    "kl_live": "KL of live from training",
    "kl_baseline": "KL of training from live",
    "kolmogorov_smirnov": "Kolmogorov-Smirnov",
    "kolmogorov_smirnov_limit": "its limit",
    "wasserstein": "Wasserstein",
}
"""Names of the numbers in `variable.Distances` in all texts for people."""


def as_text(report: Mapping[str, Any], failed: str = "") -> str:
    """Return the text of a report, in the order of its variables.

    Args:
        report: Report, in the form of `DriftReport.to_dict`.
        failed: Text about odd features of failed requests; empty for none.
    """
    variables: Sequence[Mapping[str, Any]] = report["variables"]
    window = report["window"]
    width = max([len("variable"), *(min(len(title(item)), _NAME) for item in variables)])
    lines = [
        *textwrap.wrap(_summary(report), COLUMNS),
        *textwrap.wrap(report.get("note") or "", COLUMNS),
        *textwrap.wrap(printable(failed), COLUMNS),
        "",
        f"{'variable':<{width}} {'verdict':<15} {'size':>5} {'since':>6} {'rows':>8} {'G':>8} {'limit':>6}  moved most",
    ]

    for item in variables:
        line = (
            f"{cut(title(item), width):<{width}} {item['verdict']:<15} {size_cell(item):>5} "
            f"{since_cell(item, window):>6} {_number(item['rows'], 8, 0)} {_number(item['g'], 8, 1)} "
            f"{_number(item['limit'], 6, 1)}  "
        )
        lines.append(line + moved_most(item, COLUMNS - len(line)))
    for item in variables:
        if item["verdict"] not in _QUIET:
            reason = f"{item['reason']}. " if item["reason"] else ""
            text = f"{cut(title(item), COLUMNS - 4)}: {reason}{', '.join(_details(item))}"
            lines += ["", *_paragraph(text)]
    if any(item["verdict"] in CHANGED for item in variables):
        lines += ["", *_paragraph(size_meaning(variables))]
    for line in pair_lines(report.get("pairs", ())):
        lines += ["", *_paragraph(line)]
    # With fewer rows, their number in the table says enough.
    for names, reason in by_reason(variables, "not enough data", least_rows=MINIMUM_ROWS):
        lines += ["", *_paragraph(f"{names}: {reason}")]
    for names, reason in by_reason(variables, IGNORED):
        if reason:
            lines += ["", *_paragraph(f"{names}: ignored, {reason}")]
    for names, note in by_note(variables):
        lines += ["", *_paragraph(f"{names}: {note}")]
    return "\n".join(lines)


def as_markdown(report: Mapping[str, Any], heading: str | None = None) -> str:
    """Return a report as a Markdown table below a line about the whole, or below another heading."""
    head = ("variable", "verdict", "size", "since", "rows", "G", "limit", "moved most", "missing", "unseen")
    note = [escaped(report["note"]), ""] if report.get("note") else []
    lines = [escaped(heading or _summary(report)), "", *note, markdown_row(head), markdown_row(["---"] * len(head))]
    for item in report["variables"]:
        moved = moved_most(item, len(moved_group(item)) + COLUMNS, "→")
        verdict = ": ".join(filter(None, (item["verdict"], item["reason"], item["note"])))
        lines.append(
            markdown_row(
                [
                    title(item),
                    verdict,
                    size_cell(item),
                    item["since"] or "",
                    str(item["rows"]),
                    f"{item['g']:.1f}",
                    f"{item['limit']:.1f}",
                    moved,
                    percent(item["missing_now"]) if item["rows"] else "-",
                    percent(item["unseen_now"]) if item["rows"] else "-",
                ]
            )
        )

    for line in pair_lines(report.get("pairs", ())):
        lines += ["", escaped(line)]
    return "\n".join(lines)


def pair_lines(pairs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line for each pair that is not as in training, lines of `unknown_pairs`, and one for stable pairs.

    Args:
        pairs: Pairs of a report; a server of an earlier release sends none.
    """
    pairs = without_ignored(pairs)
    others = [item for item in pairs if item["verdict"] in _QUIET]
    for item in pairs:
        if item["verdict"] not in _QUIET:
            yield f"{pair_text(item)}."
    yield from unknown_pairs(pairs)
    judged = sum(item["verdict"] == "stable" for item in others)
    if judged:
        verb = "goes" if judged == 1 else "go"
        yield f"{judged} of {len(pairs)} pairs of variables {verb} together as in training."


def unknown_pairs(pairs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line for some pairs of which many rows tell nothing, with the reason, and one for the rest of them.

    Args:
        pairs: Pairs of a report.
    """
    unknown = [item for item in pairs if item["verdict"] == "not enough data" and item["rows"] >= MINIMUM_ROWS]
    for item in unknown[:_MOST_UNKNOWN]:
        yield f"{pair_text(item)}."
    if (more := len(unknown) - _MOST_UNKNOWN) > 0:
        yield f"{more} more pair{'s have' if more > 1 else ' has'} not enough data."


def pair_name(item: Mapping[str, Any]) -> str:
    """Name both variables of a pair."""
    return " and ".join(title({"name": item[which], "side": item[f"{which}_side"]}) for which in ("first", "second"))


def pair_text(item: Mapping[str, Any]) -> str:
    """Say in a sentence, without its full stop, whether two variables go together as in training.

    Args:
        item: Pair of a report.
    """
    if item["verdict"] not in CHANGED:
        return pair_change(item)
    return f"{pair_change(item)}: {item['verdict']} ({pair_numbers(item)})"


def pair_change(item: Mapping[str, Any]) -> str:
    """Say in a sentence, without its full stop, verdict and numbers, how two variables go together."""
    names, verdict = pair_name(item), item["verdict"]
    if verdict == "stable":
        return f"{names} go together as in training"
    if verdict in _QUIET:
        return f"{names}: {item['reason']}"
    if verdict == "unclear":
        return f"{names} may no longer go together as in training: {item['reason']}"
    if verdict == "shifted":
        return f"{names} go together a little differently"
    before, now = item["association_before"], item["association_now"]
    how = "less" if now < _ALIKE * before else "more" if now > before / _ALIKE else "differently"
    text = f"{names} no longer go together" if now < before / 2 else f"{names} go together {how} than in training"
    moved = " and ".join(map(printable, item.get("moved", ())))
    return f"{text}, while {moved} {'have' if len(item['moved']) > 1 else 'has'} drifted alone" if moved else text


def pair_numbers(item: Mapping[str, Any], arrow: str = "->") -> str:
    """Return the numbers of a pair that has changed, for people."""
    since = f" since {item['since'][11:16]}Z" if item["since"] else ""
    change = f"{item['association_before']:.2f} {arrow} {item['association_now']:.2f}"
    return f"association {change}, size {size_cell(item)}, {item['rows']:,} rows{since}"


def _summary(report: Mapping[str, Any]) -> str:
    return (
        f"{moved_count(report['variables'], when(report['window']))}{moved_pairs(report.get('pairs', ()))} "
        f"Model {report['model']!r}, baseline {report['baseline']}, alpha {report['alpha']:g}."
    )


def moved_count(variables: Sequence[Mapping[str, Any]], period: str) -> str:
    """Say how many variables have drifted, how many are unclear, and how many are ignored; or that none was counted.

    Args:
        variables: Variables of a report.
        period: Period in words, from `when`.
    """
    moved = [item for item in variables if item["verdict"] in MOVED]
    total, ignored = len(without_ignored(variables)), len(variables) - len(without_ignored(variables))
    left_out = f", {ignored} {'is' if ignored == 1 else 'are'} ignored" if ignored else ""
    share = share_of_weight(variables)
    what = uncounted(variables)
    missing = f"{what.capitalize()} was counted {period}. " if what else ""
    if what == "nothing":
        return missing.rstrip()
    return f"{missing}{len(moved)} of {total} variables{share} drifted {period}{unclear_too(variables)}{left_out}."


def without_ignored(items: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the variables, or pairs, that are not ignored."""
    return [item for item in items if item["verdict"] != IGNORED]


def share_of_weight(variables: Sequence[Mapping[str, Any]]) -> str:
    """Say how much of the weight has drifted, after a blank; empty if weights are equal, or none or all drifted."""
    judged = without_ignored(variables)
    moved = [item for item in judged if item["verdict"] in MOVED]
    weights = [weight_of(item) for item in judged]
    if not 0 < len(moved) < len(judged) or len(set(weights)) == 1:
        return ""
    return f" ({percent(sum(map(weight_of, moved)) / sum(weights))} of the weight)"


def weight_of(item: Mapping[str, Any]) -> float:
    """Return the weight of a variable; a server of an earlier release sends none."""
    return float(item.get("weight", 1.0))


def policy_texts(item: Mapping[str, Any]) -> Iterator[str]:
    """Yield the user's decisions about a judged variable: its weight, and its sizes of drift."""
    if (weight := weight_of(item)) not in (0, 1):
        yield f"weight {weight:.3g}"
    drifted, major = item.get("drifted_size", DRIFTED_SIZE), item.get("major_size", MAJOR_SIZE)
    if (drifted, major) != (DRIFTED_SIZE, MAJOR_SIZE):
        yield f"drifted from {drifted:g}, major from {major:g}"


def moved_pairs(pairs: Sequence[Mapping[str, Any]]) -> str:
    """Say how many pairs are not as in training, as a sentence after a blank; empty if all are.

    Args:
        pairs: Pairs of a report.
    """
    moved = sum(item["verdict"] in MOVED for item in pairs)
    return f" {moved} of {len(without_ignored(pairs))} pairs no longer go together as in training." if moved else ""


def unclear_too(items: Sequence[Mapping[str, Any]]) -> str:
    """Say how many variables or segments are unclear, as the end of a sentence; empty if none is."""
    unclear = sum(item["verdict"] == "unclear" for item in items)
    return f", {unclear} {'is' if unclear == 1 else 'are'} unclear" if unclear else ""


def by_reason(items: Sequence[Mapping[str, Any]], verdict: str, *, least_rows: int = 0) -> list[tuple[str, str]]:
    """Return pairs of the names of variables that share a verdict and a reason, and that reason.

    Args:
        items: Variables of a report.
        verdict: Verdict that has reasons.
        least_rows: Number of rows below which a variable is left out.
    """
    names_by_reason: dict[str, list[str]] = {}
    for item in items:
        if item["verdict"] == verdict and item["rows"] >= least_rows:
            names_by_reason.setdefault(item["reason"], []).append(title(item))
    return [(", ".join(names), reason) for reason, names in names_by_reason.items()]


def by_note(items: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return pairs of the names of variables that share a note on changes that cannot show, and that note.

    Args:
        items: Variables of a report; an older server's have no notes.
    """
    names_by_note: dict[str, list[str]] = {}
    for item in items:
        if note := item.get("note"):
            names_by_note.setdefault(note, []).append(title(item))
    return [(", ".join(names), note) for note, names in names_by_note.items()]


def percent(share: float) -> str:
    """Write a share in percent; a small one with a decimal."""
    if 0 < share < 0.0005:
        return "< 0.1%"
    return f"{share:.1%}" if 0 < share < 0.0995 else f"{share:.0%}"


def percents(before: float, now: float) -> tuple[str, str]:
    """Write two shares in percent, with more decimals where they would look equal without being so."""
    texts = percent(before), percent(now)
    for decimals in (1, 2):
        if texts[0] != texts[1]:
            return texts
        texts = f"{before:.{decimals}%}", f"{now:.{decimals}%}"
    return texts if texts[0] != texts[1] else (percent(before), percent(now))


def size_cell(item: Mapping[str, Any]) -> str:
    """Write the size of a change; a dash where no change is certain."""
    if item["verdict"] not in CHANGED:
        return "-"
    return "<0.01" if item["size"] < 0.005 else f"{item['size']:.2f}"


def size_meaning(items: Sequence[Mapping[str, Any]]) -> str:
    """Return the explanation of sizes; a single comparison leaves out standard errors."""
    changed = [item for item in items if item["verdict"] in CHANGED]
    has_doubt = any(item["size"] < (item["psi"] - item["psi_noise"]) * (1 - 1e-9) for item in changed)
    return SIZE_MEANING if has_doubt else "Size is PSI less what sampling alone gives it."


def since_cell(item: Mapping[str, Any], window: str | None = None) -> str:
    """Write the time of day, in UTC, at which a change began, in a window of days its date; empty for the whole window.

    Args:
        item: A variable, as in `VariableDrift.to_row`.
        window: Name of the window.
    """
    if not item["since"] or item["verdict"] in _QUIET:
        return ""
    return str(item["since"][5:10]) if is_of_days(window) else f"{item['since'][11:16]}Z"


def is_of_days(window: str | None) -> bool:
    """Say whether a window is one of several days, such as ``30d``."""
    return window is not None and window.endswith("d") and window[:-1].isdecimal()


def moment(time: float) -> str:
    """Write Unix seconds as ISO 8601 in UTC."""
    return datetime.fromtimestamp(time, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def when(window: str | None) -> str:
    """Return a window or period in words."""
    if window is None:
        return "since the start"
    start, slash, end = window.partition("/")
    if not slash:
        return f"in the last {window[:-1]} days" if is_of_days(window) else f"in the last {window}"
    bounds = [f"{word} {bound}" for word, bound in (("from", start), ("to", end)) if bound != ".."]
    return " ".join(bounds) or "at any time"


def title(item: Mapping[str, Any]) -> str:
    """Name a variable."""
    name = printable(item["name"])
    return name if item["side"] == "feature" else f"{name} (output)"


def moved_most(item: Mapping[str, Any], room: int, arrow: str = "->") -> str:
    """Name the group of a variable that moved most, and its two shares, in *room* columns; a dash without rows."""
    if not item["rows"]:
        return "-"
    shares = f" {f' {arrow} '.join(percents(item['share_before'], item['share_now']))}"
    return cut(moved_group(item), room - len(shares)) + shares


def variable_line(item: Mapping[str, Any]) -> str:
    """Return a variable of a report in one line: verdict, size, and the group that moved most."""
    size = f", size {size_cell(item)}" if item["verdict"] in CHANGED else ""
    moved = f", {moved_most(item, COLUMNS)}" if item["rows"] else ""
    return f"{title(item)}: {item['verdict']}{size}{moved}"


def moved_group(item: Mapping[str, Any]) -> str:
    """Name the group of a variable that moved most."""
    # A server of an earlier release does not send the text.
    return printable(item.get("moved_most_text") or group_text(item["moved_most"], item["kind"]))


def group_name(item: Distribution, name: str) -> str:
    """Return the name of a variable's group for people, within the training values.

    Args:
        item: Variable.
        name: Name in the label ``group``.
    """
    if isinstance(item, Continuous):
        return group_text(name, item.kind, item.extremes)
    if name not in SPECIAL_WORDS and not item.is_text:
        return " to ".join(map(category_label, name.strip("[]").split(",")))
    return group_text(name, item.kind)


def group_text(name: str, kind: str, extremes: tuple[float, float] = _ALL) -> str:
    """Return the name of a group for people: an interval with short bounds, a category, or a special group's word.

    Args:
        name: Name in the label ``group``.
        kind: Kind of the variable, ``continuous`` or ``discrete``.
        extremes: Smallest and largest training value. The outer groups reach a margin beyond them, which is not named.

    Raises:
        ValueError: The group of a continuous variable is not an interval of numbers or moments.
    """
    if name in SPECIAL_WORDS:
        return SPECIAL_WORDS[name]
    return _interval_text(name, extremes) if kind == "continuous" else category_label(name)


def category_label(category: str) -> str:
    """Return a category without needless zeros and separators, since a number such as 2021 may be a year."""
    if is_canonical_number(category):
        value = float(category)
        return f"{value:.0f}" if abs(value) < WHOLE and value.is_integer() else repr(value)
    return category_value(category)


def _interval_text(name: str, extremes: tuple[float, float]) -> str:
    """Write ``(1.5,2.0]`` or ``(2024-01-01,2024-02-01]`` for people; moments as dates, if these differ."""
    is_time = any(map(is_time_text, name[1:-1].split(",")))
    lower, upper = parse_interval(name, seconds_of_label if is_time else parse_number)
    ends = max(lower, extremes[0]), min(upper, extremes[1])
    texts = list(map(time_text, ends)) if is_time else numbers(ends)
    if is_time and texts[0][:10] != texts[1][:10]:
        texts = [text[:10] if is_time_text(text) else text for text in texts]

    if ends[0] == ends[1]:
        return texts[0]
    is_first = lower <= extremes[0]
    if math.isinf(lower) or (is_first and not is_time and _is_negligible(*ends)):
        return f"up to {texts[1]}"
    return " to ".join(texts)


def _is_negligible(lower: float, upper: float) -> bool:
    """Say whether the beginning of an interval is as good as 0 beside its end, as in 6.35e-10 to 0.0012."""
    return 0 < abs(lower) < _NEGLIGIBLE * abs(upper)


def numbers(values: Sequence[float]) -> list[str]:
    """Write numbers with enough digits to distinguish unequal ones: at least three, of large numbers four."""
    digits = _digits_apart(values, 3)
    return [number(value if abs(value) < 1e4 else rounded(value, max(digits, 4)), digits) for value in values]


def rounded(value: float, digits: int) -> float:
    """Round a number to significant digits; infinity and NaN are not changed."""
    return float(f"{value:.{digits}g}")


def number(value: float | None, digits: int = 3) -> str:
    """Write a number: to three digits if it is small, as an integer if it is large; None as a dash."""
    if value is None:
        return _NONE
    if abs(value) < WHOLE:
        digits = max(digits, len(f"{abs(value):.0f}"))
    return f"{value:,.{digits}g}"


def distance_text(item: Mapping[str, Any]) -> str:
    """Write the Wasserstein distance of a variable: in its own unit, or in days for dates and times."""
    # A server of an earlier release does not send the type of a variable, nor that rows lie beyond the bounds.
    is_time, least = item.get("type") == "time", "at least " if item.get("wasserstein_is_least") else ""
    return f"{least}{number(item['wasserstein'] / DAY)} days" if is_time else f"{least}{number(item['wasserstein'])}"


def _digits_apart(values: Sequence[float], least: int) -> int:
    """Return the number of digits that distinguish unequal numbers, at least *least*."""
    finite = {value for value in values if math.isfinite(value)}
    largest = max(map(abs, finite), default=0.0) or 1.0
    scaled = sorted({value / largest for value in finite})  # so that no difference is infinite
    gap = min((after - before for before, after in pairwise(scaled)), default=1.0)
    return min(max(1 - math.floor(math.log10(gap)), least), 17)


def _details(item: Mapping[str, Any]) -> Iterator[str]:
    since = f" since {item['since']}" if item["since"] else ""
    yield f"PSI {item['psi']:.3g} over {item['rows']} live rows{since} and {item['baseline_rows']} training rows"
    yield from policy_texts(item)
    if item["dispersion"] > NOTICEABLE:
        yield counted_as_one(item)
    for kind, words in SHARE_WORDS.items():
        before, now = item[f"{kind}_before"], item[f"{kind}_now"]
        if before or now:
            yield f"{words} {' -> '.join(percents(before, now))}"

    # Distances describe the whole window, which may hold more rows than the verdict's stretch.
    where = f"over all {item['live_rows']} live rows " if item["since"] else ""
    for key, name in DISTANCE_NAMES.items():
        if item[key] is not None:
            value = distance_text(item) if key == "wasserstein" else f"{item[key]:.3g}"
            yield f"{where}{name} {value}"
            where = ""


def counted_as_one(item: Mapping[str, Any]) -> str:
    """Say why several rows count as one."""
    phi = f"{item['dispersion']:.3g}"
    if item["recurrence"] is not None and item["dispersion"] <= item["recurrence"]:
        return f"rows repeat each other: {phi} count as one"
    return f"shares differ from minute to minute: {phi} rows count as one"


def _paragraph(text: str) -> list[str]:
    """Return the lines of a text, the second and later ones indented."""
    return textwrap.wrap(text, COLUMNS, subsequent_indent="  ", break_long_words=True)


def _number(value: float, width: int, digits: int) -> str:
    """Write a number right-aligned, with an exponent if it is too long."""
    text = f"{value:.{digits}f}"
    return f"{text if len(text) <= width else f'{value:.0e}':>{width}}"


def cut(text: str, width: int) -> str:
    """Return the text in at most *width* columns."""
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"


def markdown_row(cells: Sequence[str]) -> str:
    """Return a row of a Markdown table."""
    return "| " + " | ".join(map(escaped, cells)) + " |"


def escaped(text: str) -> str:
    """Escape the characters of a name that Markdown would interpret."""
    return "".join(f"\\{letter}" if letter in "\\|*_`[]<>#" else letter for letter in text)
