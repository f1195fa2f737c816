"""Names and types of the columns of a frame of records.

A column has the name of its feature or output, unless a field or a variable of the other side has it too: then it is
``feature.NAME`` or ``output.NAME``. Fields always keep their names. Capitals make no difference, as in SQL.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

from flask_boxkite.baseline import Baseline, Continuous
from flask_boxkite.records.alignment import Aligner, OpenAligner, aligner_of
from flask_boxkite.values.conversion import InvalidValue
from flask_boxkite.values.times import to_seconds

__all__ = ["FIELDS", "Columns", "seconds_or_none"]

FIELDS = (
    "prediction_id",
    "entity_id",
    "key",
    "created_at",
    "model",
    "baseline",
    "version",
    "status",
    "duration_ms",
    "server_id",
)
"""Columns that are neither features nor outputs."""

_BY_POSITION = re.compile(r"feature_\d+")
"""Names of features by position, from `named`."""


@dataclass(frozen=True)
class Columns:
    """The features and outputs of a frame.

    Attributes:
        features: Names of the features, in the order of their positions.
        outputs: Names of the outputs.
        texts: Textual features and outputs, as pairs of ``feature`` or ``output`` and the name; the others are numbers.
        is_open: Whether the columns were collected from records of any form, instead of one baseline.
        derived: Names of derived variables among the features.
        baseline: Baseline of the columns; None for records of any form.
    """

    features: tuple[str, ...]
    outputs: tuple[str, ...]
    texts: frozenset[tuple[str, str]]
    is_open: bool = False
    derived: frozenset[str] = frozenset()
    baseline: Baseline | None = None

    @classmethod
    def of(cls, baseline: Baseline) -> Columns:
        """Return the columns of a baseline."""
        texts = {
            (side, item.name)
            for side, item, _ in baseline.variables
            if item.is_time or (not isinstance(item, Continuous) and item.is_text)
        }
        features, outputs = (tuple(item.name for item in items) for items in (baseline.features, baseline.outputs))
        derived = frozenset(name for recipe in baseline.derived for name in recipe.names)
        return cls(features, outputs, frozenset(texts), derived=derived, baseline=baseline)

    def aligner(self) -> Aligner:
        """Return an aligner that lays out records in the order of the columns."""
        if self.baseline is not None:
            return aligner_of(self.baseline)
        return OpenAligner(self.features, self.outputs)

    def without_derived(self) -> Columns:
        """Return the other columns."""
        features = tuple(name for name in self.features if name not in self.derived)
        return replace(self, features=features, derived=frozenset())

    @property
    def by_name(self) -> tuple[str, ...]:
        """The names of the features that a record has among its features."""
        return tuple(name for name in self.features if name not in self.derived or self.is_open)

    @property
    def has_unnamed(self) -> bool:
        """Whether features by position stand beside features by name, which may be the same ones."""
        by_position = [name for name in self.features if _BY_POSITION.fullmatch(name)]
        return self.is_open and 0 < len(by_position) < len(self.features)

    @property
    def feature_columns(self) -> dict[str, str]:
        """The column name of each feature."""
        return self._called("feature", self.features)

    @property
    def output_columns(self) -> dict[str, str]:
        """The column name of each output."""
        return self._called("output", self.outputs)

    def _called(self, side: str, names: Sequence[str]) -> dict[str, str]:
        sides = ({name.casefold() for name in side} for side in (FIELDS, self.features, self.outputs))
        taken = Counter(chain.from_iterable(sides))
        called = {}
        for name in names:
            column = name
            while taken[column.casefold()] > (column == name):
                column = f"{side}.{column}"
            called[name] = column
        return called


def seconds_or_none(value: object) -> float | None:
    """Return a date or moment as `times.to_seconds` does; None if it is not one, or is missing."""
    try:
        seconds = to_seconds(value)
    except InvalidValue:
        return None
    return seconds if seconds == seconds else None
