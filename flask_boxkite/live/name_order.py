"""The order of a model's variables: rows with names are put in it."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import numpy as np

from flask_boxkite.live.arrays import row_lists
from flask_boxkite.payloads.table import Table

__all__ = ["NameOrder", "UnmatchedError"]

_MAX_PLANS = 256


class UnmatchedError(ValueError):
    """Rows that cannot be matched with the variables: a wrong number by position, or no known name."""


class NameOrder:
    """Puts rows with names in the order of the variables.

    Args:
        names: Names of the variables, in their order.
        notes_gaps: Whether to note rows whose names may be misspelt.

    Attributes:
        gaps: Names of rows that lack a variable and have an unknown name, which may be its misspelling.
    """

    def __init__(self, names: Sequence[str], *, notes_gaps: bool) -> None:
        self._names = tuple(names)
        self._known = frozenset(names)
        self._notes_gaps = notes_gaps
        self._plans: dict[tuple[str, ...], list[int] | None] = {}
        self.gaps: set[tuple[str, ...]] = set()

    def rows(self, table: Table, names: tuple[str, ...]) -> Any:
        """Return the rows with their values in the order of the variables.

        Args:
            table: The rows.
            names: Names of the table's columns.

        Raises:
            UnmatchedError: No name is known.
        """
        if names == self._names:
            return table.rows
        if names not in self._plans:
            if len(self._plans) >= _MAX_PLANS:  # names come from clients
                self._plans.clear()
                self.gaps.clear()
            self._plans[names] = self._plan(names)

        plan = self._plans[names]
        if plan is None:
            msg = f"none of the names {names[:5]!r} is known"
            raise UnmatchedError(msg)
        return _picked(table.rows, plan)

    def _plan(self, names: tuple[str, ...]) -> list[int] | None:
        """Return the index of each variable in *names*; None if no name is known.

        A missing variable has the index -1, where each row gets a None.
        """
        positions = {str(name): index for index, name in enumerate(names)}
        if self._known.isdisjoint(positions):
            return None
        plan = [positions.get(name, -1) for name in self._names]
        if self._notes_gaps and -1 in plan and not self._known.issuperset(positions):
            self.gaps.add(names)
        return plan


def _picked(rows: Any, plan: list[int]) -> Any:
    """Return the columns of rows by their indices; a column of None for the index -1."""
    if isinstance(rows, np.ndarray):
        if -1 not in plan:
            return rows[:, plan]
        rows = row_lists(rows)
    if len(plan) == 1:
        return [[row[plan[0]]] for row in rows]
    pick = itemgetter(*plan)
    return list(map(pick, rows)) if -1 not in plan else [pick([*row, None]) for row in rows]
