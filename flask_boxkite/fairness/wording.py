"""A fairness report for people: as plain text of at most 100 columns, and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flask_boxkite.drift.wording import COLUMNS, NOTICEABLE, cut, escaped, markdown_row, number, percent, when
from flask_boxkite.fairness.counts import MIXED
from flask_boxkite.fairness.coverage import OutcomeCoverage
from flask_boxkite.naming import INVALID, MISSING, RARE
from flask_boxkite.performance.wording import NONE, not_counted, number_text, wrapped
from flask_boxkite.quoting import printable
from flask_boxkite.text_table import text_table

__all__ = ["NOT_WHY", "as_markdown", "as_text"]

NOT_WHY = "Unequal rates say that groups are selected unequally, not why; equal ones do not say that it is right."
"""Limit of every report on fairness, which each view of it states."""

_PARITY, _IMPACT, _OPPORTUNITY = "statistical_parity_difference", "disparate_impact", "equal_opportunity_difference"
_NAME = 40
_SHOWN = 5
_LEAST_NAME = 12
_MIXED_NAMES = {RARE: "all smaller groups", MISSING: "rows without a value", INVALID: "rows with an invalid value"}


def as_text(report: Mapping[str, Any]) -> str:
    """Return the text of a report.

    Args:
        report: Report, in the form of `FairnessReport.to_dict`.
    """
    lines = [
        *wrapped(f"{_verdict_line(report)} {_about(report)}"),
        *(line for text in _findings(report) for line in wrapped(text)),
    ]
    if report["groups"]:
        lines += ["", *_table(report, ("group", "rows", "selected", "difference", "ratio", "verdict"), _selection)]
    if report["has_outcomes"] and report["groups"]:
        head = ("group", "positives", "found", "difference", "verdict")
        lines += ["", *_table(report, head, _opportunity)]
    for text in _notes(report):
        lines += ["", *wrapped(text)]
    return "\n".join(lines)


def as_markdown(report: Mapping[str, Any]) -> str:
    """Return a report as a Markdown table below lines about the whole."""
    head = ["group", "rows", "selected", "difference", "ratio"]
    head += ["positives", "found", "difference of found"] if report["has_outcomes"] else []
    head.append("verdict")
    lines = [escaped(f"{_verdict_line(report)} {_about(report)}"), ""]
    if findings := " ".join(_findings(report)):
        lines += [escaped(findings), ""]
    lines += [markdown_row(head), markdown_row(["---"] * len(head))]
    for group in report["groups"]:
        known = _opportunity(group)[:-1] if report["has_outcomes"] else ()
        verdict = group["verdict"] or _role(report, group)
        lines.append(markdown_row([_called(group, COLUMNS), *_selection(group)[:-1], *known, verdict]))
    for text in _notes(report):
        lines += ["", escaped(text)]
    return "\n".join(lines)


# --- sentences -------------------------------------------------------------------------------------------------------


def _verdict_line(report: Mapping[str, Any]) -> str:
    """Say how many groups are unequal to the reference, and how many have not enough data."""
    period, by = when(report["window"]), printable(report["by"])
    verdicts = [group["verdict"] for group in report["groups"] if group["verdict"] is not None]
    if report["reference"] is None:
        return f"No verdict {period}: no row has a value of {by!r}."
    if not verdicts:
        return f"No verdict {period}: all rows are of one group by {by!r}."
    unequal, few = (verdicts.count(verdict) for verdict in ("unequal", "not enough data"))
    reference = _reference(report)
    if not unequal and few == len(verdicts):
        return f"No verdict {period}: no group by {by!r} has enough data to be compared with {reference}."
    rest = f"; {few} {'has' if few == 1 else 'have'} not enough data" if few else ""
    found, word = (unequal, "unequal to") if unequal else (len(verdicts) - few, "within limits of")
    if len(verdicts) == 1:
        (other,) = (_called(group) for group in report["groups"] if group["verdict"] is not None)
        return f"By {by!r}, {other} are {word} {reference} {period}."
    verb = "is" if found == 1 else "are"
    return f"{found} of {len(verdicts)} groups by {by!r} {verb} {word} {reference} {period}{rest}."


def _about(report: Mapping[str, Any]) -> str:
    model = f"Model {printable(report['model'])!r}, baseline {report['baseline']}, alpha {report['alpha']:g}."
    limits = report["limits"]
    sizes = f"Limits: a ratio of {limits['ratio']:g}, a difference of {limits['difference']:g}."
    return f"{model} Selected: {printable(report['selection'])}. {sizes}"


def _findings(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each unequal rate."""
    reference = _group_of(report, report["reference"]) if report["reference"] is not None else None
    for group in report["groups"]:
        beyond = {item["measure"] for item in group["comparisons"] if item["verdict"] == "unequal"}
        if reference is not None and beyond & {_PARITY, _IMPACT}:
            yield f"{_begun(_compared(group, reference, 'selection_rate'), group)}."
        if reference is not None and _OPPORTUNITY in beyond:
            yield f"Of actual positives, {_compared(group, reference, 'true_positive_rate')}."


def _compared(group: Mapping[str, Any], reference: Mapping[str, Any], rate: str) -> str:
    own, other = group[rate], reference[rate]
    often = "less" if own < other else "more"
    texts = _apart(own, other)
    return f"{_called(group)} are selected {often} often than {_called(reference)}: {texts[0]} against {texts[1]}"


def _begun(sentence: str, group: Mapping[str, Any]) -> str:
    """Return a sentence that begins with a group: values keep their spelling."""
    return sentence[0].upper() + sentence[1:] if group["name"] in MIXED else sentence


def _apart(first: float, second: float) -> tuple[str, str]:
    """Write two rates with two decimals, or with as many as tell them apart."""
    least = min(rate for rate in (first, second, 1.0) if rate > 0)
    for decimals in range(2, 6):
        texts = f"{first:.{decimals}f}", f"{second:.{decimals}f}"
        if texts[0] != texts[1] and least * 10**decimals >= 1:
            return texts
    return number(first), number(second)


def _notes(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield lines on groups without enough data, on alike rows, and on rows and outcomes that were left aside."""
    if few := [f"{_several(names)} ({reason})" for reason, names in _too_little(report).items()]:
        yield f"Not enough data: {', '.join(few)}."
    for group in report["groups"]:
        if group["dispersion"] > NOTICEABLE:
            yield f"Of {_called(group)}, {group['dispersion']:.2g} rows count as one, since rows recur or are alike."
    if report["unread"]:
        yield _unread_line(report)
    if report["coverage"] is not None and (text := _coverage_line(OutcomeCoverage(**report["coverage"]))):
        yield text
    if text := not_counted(report["rejected"]):
        yield text
    if report["note"]:
        yield printable(report["note"])
    yield NOT_WHY


def _unread_line(report: Mapping[str, Any]) -> str:
    """Say how many rows have no output that can be read, in which groups, and where to look."""
    groups = sorted(report["groups"], key=lambda group: -group["unread"])
    several = _several([f"{group['unread']:,} of {_called(group)}" for group in groups if group["unread"]])
    of = f" ({several})" if several else ""
    verb = "rows have" if report["unread"] != 1 else "row has"
    return f"{report['unread']:,} {verb} no output that can be read{of}: the drift report says what came instead."


def _coverage_line(coverage: OutcomeCoverage) -> str:
    """Say how many rows have an outcome if that depends on the selection; empty if it does not."""
    if coverage.flaw:
        return f"{coverage.flaw[0].upper()}{coverage.flaw[1:]}, so that rates of such rows say nothing."
    if not coverage.is_unlike:
        return ""
    shares = coverage.shares
    selected, others = map(percent, shares)
    bias = "high" if shares[0] > shares[1] else "low"
    return (
        f"Outcomes are known of {selected} of the selected rows and of {others} of the others, so true positive rates "
        f"are too {bias}."
    )


def _too_little(report: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the groups without enough data by their reasons."""
    found: dict[str, list[str]] = {}
    for group in report["groups"]:
        reasons = [
            f"of actual positives, {item['reason']}" if item["measure"] == _OPPORTUNITY else item["reason"]
            for item in group["comparisons"]
            if item["verdict"] == "not enough data"
        ]
        if reasons:
            found.setdefault("; ".join(dict.fromkeys(reasons)), []).append(_called(group))
    return found


def _several(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"


def _reference(report: Mapping[str, Any]) -> str:
    return _called(_group_of(report, report["reference"]))


def _group_of(report: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return next(group for group in report["groups"] if group["name"] == name)


def _called(group: Mapping[str, Any], room: int = _NAME) -> str:
    return _MIXED_NAMES.get(group["name"]) or cut(printable(group["text"]), room)


# --- tables ----------------------------------------------------------------------------------------------------------


def _table(report: Mapping[str, Any], head: Sequence[str], cells_of: Any) -> list[str]:
    """Return a table whose first column, the names, takes the room that others leave."""
    rows = [[*cells_of(group)[:-1], cells_of(group)[-1] or _role(report, group)] for group in report["groups"]]
    widths = [max(map(len, column)) for column in zip(head[1:], *rows, strict=True)]
    room = max(COLUMNS - sum(widths) - 2 * len(widths), _LEAST_NAME)
    names = [cut(_called(group, COLUMNS), room) for group in report["groups"]]
    table = [list(head), *([name, *row] for name, row in zip(names, rows, strict=True))]
    return text_table(table, right=(1, 2))


def _role(report: Mapping[str, Any], group: Mapping[str, Any]) -> str:
    return "reference" if group["name"] == report["reference"] else NONE


def _selection(group: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    parity, impact = _measure(group, _PARITY), _measure(group, _IMPACT)
    worst = [item["verdict"] for item in (parity, impact) if item]
    rows, rate = f"{group['rows']:,}", number_text(group["selection_rate"])
    return rows, rate, _signed(parity), _ratio(impact), _worst(worst)


def _opportunity(group: Mapping[str, Any]) -> tuple[str, str, str, str]:
    found = _measure(group, _OPPORTUNITY)
    verdict = found["verdict"] if found else ""
    return f"{group['positives']:,}", number_text(group["true_positive_rate"]), _signed(found), verdict


def _measure(group: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return next((item for item in group["comparisons"] if item["measure"] == name), {})


def _worst(verdicts: Sequence[str]) -> str:
    order = ("unequal", "not enough data", "within limits")
    return min(verdicts, key=order.index, default="")


def _signed(item: Mapping[str, Any]) -> str:
    if not item or item["value"] is None:
        return NONE if item else ""
    return f"{item['value']:+.3f} ({item['low']:+.3f} to {item['high']:+.3f})"


def _ratio(item: Mapping[str, Any]) -> str:
    if not item:
        return ""
    value, low, high = (item[key] for key in ("value", "low", "high"))
    if low is None or (value is None and not low):
        return NONE
    ends = f"{_short(low)} or more" if high is None else f"{_short(low)} to {_short(high)}"
    return f"{NONE if value is None else _short(value)} ({ends})"


def _short(value: float) -> str:
    return f"{value:.2f}" if value < 100 else number(value)
