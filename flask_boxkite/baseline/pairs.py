"""Pairs of variables that go together: the rows of training by the parts of both.

Each variable alone may look as in training while two no longer belong together: a broken join leaves the distribution
of every column as it was. So each variable is watched together with the one that tells most about it. The groups of a
variable are joined to at most four parts, and a pair has one count for each two parts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from flask_boxkite.baseline.distribution import Discrete, Distribution, group_counts
from flask_boxkite.baseline.variables import Variable
from flask_boxkite.errors import BaselineError
from flask_boxkite.naming import INVALID, MISSING

__all__ = ["CELLS", "NO_PART", "PARTS", "Pair", "parts_of_cells", "parts_of_groups"]

PARTS = 4
"""Most parts of a variable."""

CELLS = PARTS * PARTS
"""Counts of a pair."""

NO_PART = 255
"""Stands for the part of missing and invalid values: rows that lack one of both values are not counted."""


_SHARES_BEFORE = (0.3, 0.5, 0.7)
"""Share of rows before each part but the first. The middles of deciles are far from them, so the deciles of two samples
are joined alike."""

_SEPARATING = frozenset(',("')


@dataclass(frozen=True)
class Pair:
    """Two variables that go together, and the rows of training in which both have a value.

    Attributes:
        first: Position of the first variable among all, features before outputs.
        second: Position of the second one, which is larger.
        counts: Rows by part of the first and of the second, `CELLS` numbers, the parts of the second one after the
            other.
    """

    first: int
    second: int
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        if not 0 <= self.first < self.second or len(self.counts) != CELLS or min(self.counts) < 0:
            msg = f"A pair needs two different variables and {CELLS} counts, got {self!r}."
            raise BaselineError(msg)

    @property
    def rows(self) -> int:
        """Rows of training in which both have a value."""
        return sum(self.counts)

    def label(self, variables: Sequence[Variable]) -> str:
        """Return the name of the pair in metrics, which no other pair has.

        Args:
            variables: All variables of the baseline.
        """
        return f"{_label(variables[self.first])}, {_label(variables[self.second])}"


def _label(variable: Variable) -> str:
    # A feature and an output may have one name, and a name may hold the separator.
    name = json.dumps(variable.name, ensure_ascii=False) if _SEPARATING & set(variable.name) else variable.name
    return name if variable.side == "feature" else f"{name} (output)"


def parts_of_groups(item: Distribution) -> tuple[int, ...]:
    """Return the part of each group of a variable, `NO_PART` for missing and invalid values.

    Groups are joined to parts of 30, 20, 20 and 30 % of the rows. Of few categories, the three most frequent have a
    part each, and all others share the last.

    Args:
        item: Distribution in training.
    """
    names = [group.name for group in item.groups]
    counts = group_counts(item, item.cells)
    valued = [place for place, name in enumerate(names) if name not in (MISSING, INVALID)]
    parts = [NO_PART] * len(names)
    if isinstance(item, Discrete) and not item.group_sizes:
        for place in valued:
            parts[place] = min(place, PARTS - 1)
        return tuple(parts)

    rows = max(sum(counts[place] for place in valued), 1)
    before = 0
    for place in valued:
        middle = (before + counts[place] / 2) / rows
        parts[place] = sum(middle >= share for share in _SHARES_BEFORE)
        before += counts[place]
    return tuple(parts)


def parts_of_cells(item: Distribution) -> tuple[int, ...]:
    """Return the part of each cell of a variable."""
    return tuple(
        part
        for group, part in zip(item.groups, parts_of_groups(item), strict=True)
        for _ in range(group.start, group.stop)
    )
