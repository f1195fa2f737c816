"""Alignment of records: rows of values in the order of known names, from all forms that clients send.

The rules are the same as while serving, so counts from records equal live counts. Features by position must be as many
as are known; of features by name, at least one must be known; an output must have a row for each row of features.

A record is ambiguous in two cases. A single row whose values are lists, or that has no values, looks like features
that were not rows, such as lists of several lengths; both are read as a row. A lone output of NaN looks like an output
that was not found; neither is counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any, TypeAlias

from msgspec import Struct
from msgspec.structs import astuple

from flask_boxkite.baseline import Baseline
from flask_boxkite.payloads import Table, as_table, output_table
from flask_boxkite.records.decoding import NOT_THERE, Record

__all__ = ["Aligner", "DerivedAligner", "OpenAligner", "Row", "aligner_of", "named", "rows_in"]

Row: TypeAlias = "Sequence[Any]"

_SCALARS = frozenset({float, int, str, bool})
_features, _output, _rows = map(attrgetter, ("features", "output", "rows"))


class Aligner:
    """Lays out features and outputs.

    Args:
        features: Names of the features, in the order of their positions.
        outputs: Names of the outputs, in the order of their positions.
        others: Names of more features, which come by name only; they stand behind the rest.
    """

    def __init__(self, features: Sequence[str], outputs: Sequence[str], others: Sequence[str] = ()) -> None:
        self._width = len(features)
        self.features = (*features, *others)
        self.outputs = tuple(outputs)
        self._known = frozenset(self.features)
        self._no_others = [None] * len(others)
        self._nothing = (NOT_THERE,) * len(self.features)

    def single_rows(self, records: Sequence[Record]) -> tuple[list[Row], list[Row]] | None:
        """Return one row of features and one of outputs for each record: the fast way for the most common form.

        A row of features with no known name holds only `NOT_THERE`.

        Returns:
            None if a record has another form than the rest, several rows, or a form that does not fit.
        """
        features, outputs = list(map(_features, records)), list(map(_output, records))
        kinds = set(map(type, features))
        if set(map(_rows, records)) != {1} or len(kinds) != 1 or not _SCALARS.issuperset(map(type, outputs)):
            return None
        if len(self.outputs) > 1:
            return None
        if kinds == {list}:
            if self._no_others or not self._width or set(map(len, features)) != {self._width}:
                return None
        elif issubclass(kinds.pop(), Struct):
            features = list(map(astuple, features))
        else:
            return None

        return features, list(zip(outputs, strict=True))

    def are_known(self, rows: Sequence[Row]) -> bool:
        """Say whether each row of `single_rows` has any known feature."""
        return self._nothing not in rows

    def has_known(self, row: Row) -> bool:
        """Say whether a row of `single_rows` has any known feature."""
        return row != self._nothing

    def has_own(self, record: Record) -> bool:
        """Say whether a record that has `feature_rows` has other features in them than *others*."""
        features = record.features
        if not self._no_others:
            return True
        if isinstance(features, Struct):
            return astuple(features)[: self._width] != self._nothing[: self._width]
        names = features.keys() if isinstance(features, dict) else getattr(as_table(features), "names", None)
        return names is None or not set(self.features[: self._width]).isdisjoint(names)

    def feature_rows(self, record: Record) -> list[Row] | None:
        """Return the rows of features, or None if there are none that fit."""
        features = record.features
        kind = type(features)
        if record.rows > 1:
            table = as_table(features)
            return None if table is None else self._in_order(table)
        if kind is list:
            return [features + self._no_others] if len(features) == self._width > 0 else None
        if kind is dict:
            return None if self._known.isdisjoint(features) else [[features.get(name) for name in self.features]]

        if not isinstance(features, Struct):
            return None
        row = astuple(features)
        return None if row == self._nothing else [row]

    def output_rows(self, record: Record) -> list[Row] | None:
        """Return the rows of outputs, or None if there are none that fit."""
        output = record.output
        if output is None or not self.outputs or record.features == []:  # beside no rows, no output fits
            return None
        has_rows = bool(record.features) and type(record.features) not in _SCALARS
        if has_rows and record.rows == 1 == len(self.outputs) and type(output) in _SCALARS:
            return [[output]]
        table = output_table(output, self.outputs, record.rows if has_rows else None)
        return None if table is None else _ordered(table, self.outputs)

    def _in_order(self, table: Table) -> list[Row] | None:
        if table.names is None:
            rows = table.rows
            is_fitting = len(rows) and len(rows[0]) == self._width > 0
            return [row + self._no_others for row in rows] if is_fitting else None
        return _ordered(table, self.features)


class DerivedAligner(Aligner):
    """Lays out records of a model with derived variables: features that came, then derived ones, then others.

    A record has derived values if its features fitted while serving, and only then its rows count. They are taken from
    there, not computed again.

    Args:
        baseline: Baseline with derived variables.
        others: Names of more features, as for `Aligner`.

    Attributes:
        features: Names of the features that come by name: given ones and others.
    """

    def __init__(self, baseline: Baseline, others: Sequence[str] = ()) -> None:
        given = [item.name for item in baseline.given]
        super().__init__(given, [item.name for item in baseline.outputs], others)
        places = {name: place for place, name in enumerate(baseline.columns)}
        self._places = [places[name] for name in given]
        self._columns = len(places)
        self._derived = [name for recipe in baseline.derived for name in recipe.names]

    def single_rows(self, records: Sequence[Record]) -> tuple[list[Row], list[Row]] | None:
        """Return one row of features and one of outputs for each record; None if one has another form."""
        outputs = list(map(_output, records))
        if set(map(_rows, records)) != {1} or not _SCALARS.issuperset(map(type, outputs)) or len(self.outputs) > 1:
            return None
        features: list[Row] = []
        for record in records:
            rows = self.feature_rows(record)
            if rows is None:
                return None
            features += rows
        return features, list(zip(outputs, strict=True))

    def has_own(self, record: Record) -> bool:
        """Say whether a record has derived values, and so features that fit."""
        return record.derived is not None

    def feature_rows(self, record: Record) -> list[Row] | None:
        """Return the rows of features, or None if there are none that fit."""
        derived = _derived_rows(record)
        if derived is None:
            return None
        came = [record.features] if record.rows == 1 else record.features
        if not isinstance(came, list) or len(came) != record.rows:
            return None
        rows: list[Row] = []
        for given, own in zip(map(self._given_row, came), derived, strict=True):
            if given is None:
                return None
            rows.append([*given[: self._width], *map(own.get, self._derived), *given[self._width :]])
        return rows

    def _given_row(self, features: Any) -> Row | None:
        """Return the given features and the others of one row."""
        if isinstance(features, Struct):
            return astuple(features)
        if isinstance(features, dict):
            return [features.get(name) for name in self.features]
        if not self._places:  # a vector alone, say
            return self._no_others
        if not isinstance(features, list) or len(features) != self._columns:
            return None
        return [*(features[place] for place in self._places), *self._no_others]


def _derived_rows(record: Record) -> list[dict[str, Any]] | None:
    """Return the derived values of each row by name; None if the record has none."""
    derived = record.derived
    rows = [derived] if record.rows == 1 else derived
    if not isinstance(rows, list) or len(rows) != record.rows or not all(isinstance(row, dict) for row in rows):
        return None
    return rows


def aligner_of(baseline: Baseline, others: Sequence[str] = ()) -> Aligner:
    """Return the aligner of a baseline's records.

    Args:
        baseline: Baseline, in whose order rows are laid out.
        others: Names of more features, as for `Aligner`.
    """
    if baseline.derived:
        return DerivedAligner(baseline, others)
    features, outputs = ([item.name for item in items] for items in (baseline.features, baseline.outputs))
    return Aligner(features, outputs, others)


class OpenAligner(Aligner):
    """Lays out records of all forms, of several models, say: rows that do not fit get the names of `named`."""

    def feature_rows(self, record: Record) -> list[Row] | None:
        """Return the rows of features, and of derived values."""
        rows = super().feature_rows(record)
        if rows is None:
            rows = _by_name("feature", record.features, record.rows, self.features)
        derived = _derived_rows(record)
        if derived is None or len(rows) != len(derived):
            return rows
        return [
            [own.get(name, value) for name, value in zip(self.features, row, strict=True)]
            for row, own in zip(rows, derived, strict=True)
        ]

    def single_rows(self, records: Sequence[Record]) -> tuple[list[Row], list[Row]] | None:
        """Return rows as `Aligner` does; None if a record has derived values."""
        return None if any(record.derived is not None for record in records) else super().single_rows(records)

    def output_rows(self, record: Record) -> list[Row] | None:
        """Return the rows of outputs."""
        rows = super().output_rows(record)
        return _by_name("output", record.output, record.rows, self.outputs) if rows is None else rows


def rows_in(value: Any, count: int) -> list[Any]:
    """Return the rows of a value that is one row, or *count* rows, unchanged."""
    return value if count > 1 and isinstance(value, list) else [value]


def named(side: str, row: Any) -> Mapping[str, Any]:
    """Return the values of a row by name: names by position are ``feature_0``, …, and a single output is ``output``.

    Args:
        side: ``feature`` or ``output``.
        row: Object, list, or single output; a row of another kind has no values.
    """
    if side == "output" and isinstance(row, list) and len(row) == 1:
        row = row[0]
    if isinstance(row, dict):
        return row
    if isinstance(row, list):
        return {f"{side}_{index}": value for index, value in enumerate(row)}
    return {side: row} if side == "output" and row is not None else {}


def _by_name(side: str, value: Any, count: int, names: tuple[str, ...]) -> list[Row]:
    rows = [named(side, row) for row in rows_in(value, count)]
    return [[row.get(name) for name in names] for row in rows]


def _ordered(table: Table, names: tuple[str, ...]) -> list[Row] | None:
    """Return rows with their values in the order of *names*; None if the rows have none of these names."""
    if not len(table):
        return None
    if table.names is None or table.names == names:
        return list(table.rows) if len(table.rows[0]) == len(names) else None
    indices: Mapping[str, int] = {name: index for index, name in enumerate(table.names)}
    if indices.keys().isdisjoint(names):
        return None
    order = [indices.get(name, -1) for name in names]
    # A missing name has the index -1, where each row gets a None.
    return [[row[index] for index in order] for row in ([*row, None] for row in table.rows)]
