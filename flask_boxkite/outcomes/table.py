"""Outcomes in CSV or TSV, as a server and the records read them: without blanks around names and values."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator

__all__ = ["table_of"]

_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


def table_of(lines: Iterable[str], separator: str = ",") -> tuple[list[str], Iterator[dict[str, str | None]]]:
    """Return the names of the columns, and the rows by name; None where a row has no such field.

    Args:
        lines: Lines of the text, with their ends.
        separator: Separator of the fields.

    Raises:
        ValueError: The first line has another separator.
        csv.Error: The text is no table.
    """
    rows = csv.DictReader(lines, delimiter=separator)
    names = [name.strip() for name in rows.fieldnames or ()]
    others = [word for mark, word in _SEPARATORS.items() if mark in names[0]] if len(names) == 1 else []
    if others:
        msg = (
            f"the first line has {others[0]} between the names of columns; separate fields by {_SEPARATORS[separator]}"
        )
        raise ValueError(msg)
    rows.fieldnames = names
    return names, ({name: row[name] and row[name].strip() for name in names} for row in rows)
