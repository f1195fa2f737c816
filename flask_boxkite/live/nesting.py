"""Variables whose names are paths, such as ``address.zip``: their values are taken out of nested objects and lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from flask_boxkite.payloads.table import Table
from flask_boxkite.values.paths import value_at

__all__ = ["Nesting"]

_CONTAINERS = frozenset({dict, list, tuple})
_MAX_PLANS = 256


class _Plan(NamedTuple):
    """The columns that stay, and for each variable below another column that column's index and the path in it."""

    kept: dict[str, int]
    below: dict[str, tuple[int, str]]


class Nesting:
    """Takes variables out of nested values, in place. A name that a table has itself is never searched below another.

    Args:
        names: Names of the variables.

    Attributes:
        has_paths: Whether any name can be a path.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._known = frozenset(names)
        self._dotted = [name for name in names if "." in name]
        self.has_paths = bool(self._dotted)
        self._plans: dict[tuple[str, ...], _Plan] = {}

    def flatten(self, table: Table, names: tuple[str, ...]) -> tuple[str, ...]:
        """Give each variable in a nested value of the table a column of its own; return the names of the columns.

        Args:
            table: The rows, unchanged if no value is nested.
            names: Names of the table's columns.
        """
        plan = self._plans.get(names)  # once, since another thread may clear the plans
        if plan is None:
            if len(self._plans) >= _MAX_PLANS:  # names come from clients
                self._plans.clear()
            plan = self._plans[names] = self._plan(names)

        kept, below = plan
        rows = table.rows
        if not below or (isinstance(rows, np.ndarray) and rows.dtype != object):
            return names
        if not any(type(row[index]) in _CONTAINERS for index in {index for index, _ in below.values()} for row in rows):
            return names

        table.replace(
            (*kept, *below),
            [
                [
                    *(row[index] for index in kept.values()),
                    *(_found(row[index], path) for index, path in below.values()),
                ]
                for row in rows
            ],
        )
        return (*kept, *below)

    def _plan(self, names: tuple[str, ...]) -> _Plan:
        indexes = {str(name): index for index, name in enumerate(names)}
        below = {}
        for variable in self._dotted:
            if variable not in indexes and (found := _split(variable, indexes)):
                below[variable] = found
        opened = {index for index, _ in below.values()}
        kept = {name: index for name, index in indexes.items() if index not in opened or name in self._known}
        return _Plan(kept, below)


def _split(variable: str, indexes: dict[str, int]) -> tuple[int, str] | None:
    """Return the index of the longest name that a path begins with, and the rest of the path; None if no name does."""
    above, _, below = variable.rpartition(".")
    while above:
        if above in indexes:
            return indexes[above], below
        above, _, key = above.rpartition(".")
        below = f"{key}.{below}"
    return None


def _found(value: Any, path: str) -> Any:
    """Return the value at a path; None, which counts as missing, if there is none."""
    try:
        return value_at(value, path)
    except LookupError:
        return None
