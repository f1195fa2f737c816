"""Names and types of the columns of a frame of records.

A column has the name of its feature or output, unless a field or a variable of the other side has it too: then it is
``feature.NAME`` or ``output.NAME``. Fields always keep their names. Capitals make no difference, as in SQL.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from flask_boxkite.baseline import Baseline, Continuous
from flask_boxkite.errors import BoxkiteError
from flask_boxkite.records.alignment import Aligner, OpenAligner, aligner_of, named, rows_in
from flask_boxkite.records.decoding import Record
from flask_boxkite.values.conversion import InvalidValue
from flask_boxkite.values.times import to_seconds

if TYPE_CHECKING:
    from flask_boxkite.records.parquet.layout import Layout

__all__ = ["FIELDS", "Columns", "ColumnsJob", "RecordColumns", "seconds_or_none"]

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

MOST_COLUMNS = 10_000
"""Most features, and most outputs, of records that are read without a baseline."""

MOST_LETTERS = 1_000_000
"""Most letters in the names of all features, or of all outputs, of records that are read without a baseline."""

_BY_POSITION = re.compile(r"feature_\d+")
"""Names of features by position, from `named`."""

_INFINITE = ("Infinity", "-Infinity")
"""Texts of infinities in records, because JSON has none."""


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


@dataclass(frozen=True)
class ColumnsJob:
    """A description of the columns of all records, of any form."""

    def begin(self) -> RecordColumns:
        """Return the collection before the first record; see `Job.begin`."""
        return RecordColumns()


@dataclass(frozen=True)
class NamedVariables:
    """The variables in the records of one process.

    Attributes:
        is_text: Whether any value of a variable is a text, by its side and name.
        derived: Names of derived variables among the features.
    """

    is_text: Mapping[str, dict[str, bool]]
    derived: set[str]


class RecordColumns:
    """Collects the features and outputs of records; a `Counting`.

    A variable is numeric if all its values are numbers or missing. Variables without names get the names of `named`.
    """

    names = None

    def __init__(self) -> None:
        self._is_text: dict[str, dict[str, bool]] = {"feature": {}, "output": {}}
        self._derived: set[str] = set()

    def takes(self, layout: Layout) -> bool:
        """Take no columns: records of any form may have others."""
        return False

    def add(self, records: Sequence[Record]) -> None:
        """Collect the variables of some records.

        Args:
            records: Records in which features by name are objects.

        Raises:
            BoxkiteError: There are more than `MOST_COLUMNS` features or outputs, or their names are too long.
        """
        features = self._is_text["feature"]
        for record in records:
            for side, value in (("feature", record.features), ("output", record.output)):
                for row in rows_in(value, record.rows):
                    _note(side, row, self._is_text[side])
            for row in () if record.derived is None else rows_in(record.derived, record.rows):
                if isinstance(row, dict):
                    self._derived.update(row.keys() - features)
                    _note("feature", row, features)

    @property
    def counted(self) -> NamedVariables:
        """The variables so far."""
        return NamedVariables(self._is_text, self._derived)

    def join(self, counted: NamedVariables) -> None:
        """Add the variables in records behind these.

        Raises:
            BoxkiteError: There are too many, as for `add`.
        """
        self._derived |= counted.derived - self._is_text["feature"].keys()
        for side, names in counted.is_text.items():
            own = self._is_text[side]
            for name, is_text in names.items():
                own[name] = own.get(name, False) or is_text
            _check(side, own)

    @property
    def columns(self) -> Columns:
        """The columns of the records so far."""
        texts = {(side, name) for side, names in self._is_text.items() for name, is_text in names.items() if is_text}
        features, outputs = map(tuple, self._is_text.values())
        return Columns(features, outputs, frozenset(texts), is_open=True, derived=frozenset(self._derived))


def _note(side: str, row: Any, is_text: dict[str, bool]) -> None:
    """Note the names in a row, and whether any value of each is a text."""
    # Looked at before its values get names, which take more memory than the values.
    if isinstance(row, (list, dict)) and len(row) > MOST_COLUMNS:
        raise _too_many(side)
    known = len(is_text)
    for name, value in named(side, row).items():
        is_text[name] = is_text.get(name, False) or (isinstance(value, str) and value not in _INFINITE)
    if len(is_text) > known:
        _check(side, is_text)


def _check(side: str, names: Collection[str]) -> None:
    """Refuse too many names, or too long ones."""
    if len(names) > MOST_COLUMNS:
        raise _too_many(side)
    if sum(map(len, names)) > MOST_LETTERS:
        msg = (
            f"The names of the {side}s have more than {MOST_LETTERS:,} letters. Name those you want with a 'baseline'."
        )
        raise BoxkiteError(msg)


def _too_many(side: str) -> BoxkiteError:
    return BoxkiteError(f"The records have more than {MOST_COLUMNS:,} {side}s. Name those you want with a 'baseline'.")


def seconds_or_none(value: object) -> float | None:
    """Return a date or moment as `times.to_seconds` does; None if it is not one, or is missing."""
    try:
        seconds = to_seconds(value)
    except InvalidValue:
        return None
    return seconds if seconds == seconds else None
