"""The history of a model as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from flask_boxkite.drift.verdict import MOVED
from flask_boxkite.drift.wording import CHANGED, number
from flask_boxkite.quoting import printable
from flask_boxkite.suggestion import counted
from flask_boxkite.text_table import text_table

__all__ = ["METRIC_NAMES", "as_text", "change_text", "notes", "served_text", "week_text"]

METRIC_NAMES = {"accuracy": "accuracy", "mae": "mean absolute error"}

_NONE = "\N{EN DASH}"
_AGAINST = {"training": "training", "week": "the week before"}


def as_text(content: Mapping[str, Any]) -> str:
    """Return the text of a report, in the form of `HistoryReport.to_dict`: a table of days, then the changes."""
    days = content["days"]
    baseline = f"baseline {content['baseline']}" if content["baseline"] else "no baseline"
    lines = [
        f"{content['model']}: {counted(len(days), 'day')} with predictions of the last {content['length']}, {baseline}."
    ]
    if days:
        lines += ["", *_table(content)]
    lines += ["", *notes(content)] if any(notes(content)) else []
    return "\n".join(map(printable, lines))


def _table(content: Mapping[str, Any]) -> list[str]:
    metric = content["metric"]
    heading = ["day", "rows", "errors", "size", *([METRIC_NAMES[metric], "outcomes"] if metric else []), "baseline"]
    rows = [heading]
    for day in content["days"]:
        errors = day["rows"]["client_error"] + day["rows"]["error"]
        values = [day["day"], f"{day['rows']['ok']:,}", f"{errors:,}", _size(day["size"])]
        if metric:
            values += [number(day["performance"]), f"{day['outcomes']:,}"]
        rows.append([*values, served_text(day)])
    return text_table(rows, right=range(1, len(heading) - 1))


def _size(value: float | None) -> str:
    return _NONE if value is None else f"{value:.2f}"


def served_text(day: Mapping[str, Any]) -> str:
    """Name the baseline of a day, with its version."""
    return f"{day['baseline'] or _NONE}{' ' + day['version'] if day['version'] else ''}"


def notes(content: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each variable that has moved, each new baseline, and rows that no day has."""
    return list(_notes(content))


def _notes(content: Mapping[str, Any]) -> Iterator[str]:
    for item in content["variables"]:
        if (sentence := change_text(item)) or item["training"]["verdict"] in MOVED or item["week"]["verdict"] in MOVED:
            yield " ".join(filter(None, [sentence, week_text(item)]))
    for before, day in pairwise(content["days"]):
        if (before["baseline"], before["version"]) != (day["baseline"], day["version"]):
            yield f"Since {day['day']}, most rows are compared with another baseline: {served_text(day)}."
    if content["ahead"]:
        yield f"{counted(content['ahead'], 'row')} came while a clock was ahead: their days are still to come."


def change_text(item: Mapping[str, Any]) -> str:
    """Say since when a variable has changed; empty if no change was found."""
    if item["changed"] is None:
        return ""
    first, last = item["changed_first"], item["changed_last"]
    began = "at" if "T" in item["changed"] else "on"
    between = f", with 95 % between {first} and {last}" if first != last else ""
    return f"{item['name']} changed {began} {item['changed']}{between}."


def week_text(item: Mapping[str, Any]) -> str:
    """Compare a variable's last seven days with training and with the seven days before."""
    parts = [f"compared with {name} {_judged(item[key])}" for key, name in _AGAINST.items()]
    return f"{item['name']}, the last 7 days: {'; '.join(parts)}."


def _judged(part: Mapping[str, Any]) -> str:
    has_size = part["verdict"] in CHANGED and part["size"] is not None
    return f"{part['verdict']}, size {part['size']:.2f}" if has_size else str(part["verdict"])
