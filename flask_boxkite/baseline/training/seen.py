"""Observations that are made while the columns of training data are counted."""

from __future__ import annotations

from dataclasses import dataclass, field

from flask_boxkite.baseline.training.problems import Problem, UnclearTexts

__all__ = ["Seen"]


@dataclass
class Seen:
    """Observations of one counting; a few threads write to it.

    Attributes:
        looks: Kind of thing that a column's texts look like, by name: ``"e-mail addresses"``.
        excluded: Names of columns that were left out.
        row_labels: Names of columns that were left out because they hold row labels of pandas, in their order.
        problems: Problems of columns, which are not counted.
        whole_rows: Rows of derived variables of which some do not count, by name.
    """

    looks: dict[str, str] = field(default_factory=dict)
    excluded: set[str] = field(default_factory=set)
    row_labels: dict[str, None] = field(default_factory=dict)
    problems: list[Problem | UnclearTexts] = field(default_factory=list)
    whole_rows: dict[str, int] = field(default_factory=dict)
