"""Drift as a table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from flask_boxkite.cli.listing import failed, listed, not_listed
from flask_boxkite.cli.pictures import plain_table, shortened
from flask_boxkite.drift.wording import (
    by_note,
    by_reason,
    moved_group,
    pair_lines,
    percents,
    since_cell,
    size_cell,
    title,
)
from flask_boxkite.page.wording import seconds
from flask_boxkite.quoting import printable
from flask_boxkite.suggestion import counted

__all__ = ["STYLES", "show_model", "show_problems"]

_WIDE = 100
_NARROW = 72
STYLES = {
    "major": "bold red",
    "drifted": "dark_orange",
    "shifted": "yellow",
    "unclear": "magenta",
    "stable": "green",
    "not enough data": "dim",
    "ignored": "dim",
}
"""Style of each verdict, in the colours of the page; a server of a later release may send others."""


def show_model(
    console: Console, model: Mapping[str, Any], heading: str, *, shows_all: bool, today: str | None = None
) -> None:
    """Print a model: a line about all of it, its note, a line about its requests, and one for each moved variable.

    Args:
        console: Console to print to.
        model: Model as in the JSON of the drift page.
        heading: The first line, printable.
        shows_all: Whether variables that have not moved are listed too.
        today: Date to omit, as ``"2026-01-31"``; None to omit none.
    """
    console.print(heading, style="bold", soft_wrap=True)
    if note := (model["drift"] or {}).get("note"):
        console.print(printable(note), soft_wrap=True)
    if "rows" in model:
        console.print(_requests(model), soft_wrap=True)
    if errors := failed(model):
        console.print(errors, soft_wrap=True)
    if model["drift"] is None:
        return

    variables: Sequence[Mapping[str, Any]] = model["drift"]["variables"]
    items = listed(variables, shows_all=shows_all)
    if items:
        console.print()
        _show_variables(console, items, today)
        _show_reasons(console, items)
    if len(items) < len(variables):
        console.print(f"\n{not_listed(variables)}")

    for line in pair_lines(model["drift"].get("pairs", ())):
        console.print(Text(f"\n{line}"))
    for names, note in by_note(variables):
        console.print(Text(f"\n{names}: {note}"))


def show_problems(console: Console, problems: Sequence[Mapping[str, Any]]) -> None:
    """Print the findings that need attention."""
    for finding in problems:
        console.print(f"\n✗ {printable(finding['what'])}", style="red", soft_wrap=True)
        console.print(f"  {printable(finding['remedy'])}", soft_wrap=True)


def _requests(model: Mapping[str, Any]) -> str:
    rows, latency = model["rows"], model["latency_seconds"]
    counts = (("ok", "prediction"), ("client_error", "client error"), ("error", "error"))
    words = ", ".join(counted(rows[status], word) for status, word in counts)
    if latency["p50"] is None:
        return words
    return f"{words}; half within {seconds(latency['p50'])}, 99 of 100 within {seconds(latency['p99'])}"


def _show_variables(console: Console, items: Sequence[Mapping[str, Any]], today: str | None) -> None:
    is_wide, is_narrow = console.width >= _WIDE, console.width < _NARROW
    table = plain_table()
    table.add_column("variable", max_width=28 if is_wide else 20)
    table.add_column("verdict", no_wrap=True)
    has_since = any(_since(item, today) for item in items)
    numbers = [
        "size",
        *(("since",) if has_since else ()),
        *(("G", "limit") if is_wide else ()),
        *(() if is_narrow else ("rows",)),
    ]
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)

    if not is_narrow:
        table.add_column("moved most")
        table.add_column("from", justify="right", no_wrap=True)
        table.add_column("to", justify="right", no_wrap=True)
    for item in items:
        cells = _numbers(item, today)
        verdict = Text(item["verdict"], style=STYLES.get(item["verdict"], ""))
        moved = () if is_narrow else _moved(item)
        table.add_row(shortened(title(item)), verdict, *(cells[name] for name in numbers), *moved)

    console.print(table)


def _show_reasons(console: Console, items: Sequence[Mapping[str, Any]]) -> None:
    """Print the reasons for uncertain verdicts, variables with the same reason together."""
    for verdict in ("unclear", "not enough data", "ignored"):
        for names, reason in by_reason(items, verdict):
            if not reason:
                continue
            console.print(Text(f"\n{verdict.capitalize()}: {names} ({reason})"))


def _since(item: Mapping[str, Any], today: str | None) -> str:
    """Return the start of a change: the time, and the date if that is not today."""
    time = since_cell(item)
    return time if not time or item["since"][:10] == today else f"{item['since'][5:10]} {time}"


def _numbers(item: Mapping[str, Any], today: str | None) -> Mapping[str, str]:
    return {
        "size": size_cell(item),
        "since": _since(item, today),
        "G": f"{item['g']:,.1f}",
        "limit": f"{item['limit']:.1f}",
        "rows": f"{item['rows']:,}",
    }


def _moved(item: Mapping[str, Any]) -> tuple[Text, str, str]:
    """Return the group that moved most, and its shares before and now; dashes without rows."""
    if not item["rows"]:
        return Text("-"), "-", "-"
    return shortened(moved_group(item)), *percents(item["share_before"], item["share_now"])
