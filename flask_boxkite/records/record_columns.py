"""The columns of records of any form: the features and outputs that they have, and whether these are texts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask_boxkite.errors import BoxkiteError
from flask_boxkite.records.alignment import named, rows_in
from flask_boxkite.records.columns import Columns
from flask_boxkite.records.decoding import Record

if TYPE_CHECKING:
    from flask_boxkite.records.parquet.layout import Layout

__all__ = ["ColumnsJob", "RecordColumns"]

MOST_COLUMNS = 10_000
"""Most features, and most outputs, of records that are read without a baseline."""

MOST_LETTERS = 1_000_000
"""Most letters in the names of all features, or of all outputs, of records that are read without a baseline."""

_INFINITE = ("Infinity", "-Infinity")
"""Texts of infinities in records, because JSON has none."""


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
