"""Derived variables of requests: rows are laid out by their columns, then extended by the values of the recipes.

The results are rows of all features, which are counted as any others are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np

from flask_boxkite.baseline import Baseline, Distribution
from flask_boxkite.baseline.surprisal import missing_cells, surprisals
from flask_boxkite.derived.given import FunctionRecipe, ObservedRecipe, argument
from flask_boxkite.derived.recipe import Recipe, invalid
from flask_boxkite.derived.rounding import rounded_number
from flask_boxkite.derived.row import RowRecipe
from flask_boxkite.derived.text import TextRecipe
from flask_boxkite.derived.vector import VectorRecipe
from flask_boxkite.errors import ConfigError
from flask_boxkite.live.arrays import row_lists
from flask_boxkite.live.counting import VariableCounter
from flask_boxkite.live.increments import Increments
from flask_boxkite.live.name_order import NameOrder, UnmatchedError
from flask_boxkite.live.nesting import Nesting
from flask_boxkite.live.vector_tables import VectorTables
from flask_boxkite.payloads.table import Table
from flask_boxkite.values.conversion import InvalidValue, is_missing_text, plain, to_number, to_text

__all__ = ["Extended", "RowDeriver", "needed_functions"]

Function = Callable[[dict[str, Any]], Any]
Column = Sequence[Any]


class Extended:
    """Rows of all features: given ones, then derived ones, in the order of the baseline.

    Attributes:
        table: Rows as they came, each vector a value of its own.
        rows: Rows, each a list; until `observe`, observed values are the ones that came under their names, or None.
    """

    __slots__ = ("_names", "_places", "_width", "rows", "table")

    def __init__(
        self, table: Table, rows: list[list[Any]], width: int, names: Sequence[str], places: Mapping[str, int]
    ) -> None:
        self.table = table
        self.rows = rows
        self._width = width
        self._names = names
        self._places = places

    def observe(self, observed: Mapping[str, Any]) -> None:
        """Take the values that a view observes; names that are none of the baseline's are left."""
        for name, place in self._places.items():
            if name in observed:
                for row, value in zip(self.rows, per_row(observed[name], len(self.rows)), strict=True):
                    row[place] = value

    def by_name(self, others: Mapping[str, Any]) -> Any:
        """Return the derived values as a record stores them: an object by name, or a list of these for several rows.

        Args:
            others: Observed values that the baseline does not know, which stand behind them.
        """
        own = {name: value for name, value in others.items() if name not in self._places}
        derived = [dict(zip(self._names, row[self._width :], strict=True)) for row in self.rows]
        for name, value in own.items():
            for row, each in zip(derived, per_row(value, len(derived)), strict=True):
                row.setdefault(name, each)
        return derived[0] if len(derived) == 1 else derived


def per_row(value: Any, rows: int) -> list[Any]:
    """Return an observed value for each row: one of a list of as many values, or the same value for all."""
    simple = plain(value)
    if not isinstance(simple, list):
        return [simple] * rows
    return simple if len(simple) == rows else [invalid(f"{len(simple)} values")] * rows


def needed_functions(baseline: Baseline | None) -> list[str]:
    """Return the names of the functions that a baseline needs while serving."""
    return [] if baseline is None else [item.name for item in baseline.derived if isinstance(item, FunctionRecipe)]


class RowDeriver:
    """Extends rows by derived variables. Any thread may use it.

    Args:
        baseline: Baseline with derived variables.
        functions: Functions by name, at least those that the baseline needs.
        complain: Function that is called when a function of these has raised, with a message, inside the handler.
        gap: Kind of gap to note in increments for rows whose names may be misspelt.

    Attributes:
        names: Names of a row's columns, in the order of their positions.
        known: The same as a set.
        gaps: Names of rows that lack a column and have an unknown name, which may be its misspelling.
        nesting: Takes columns whose names are paths out of nested values.
        observed: Names of the variables that a view observes.
        beside: Names that a row may have beside its columns: of observed variables; None for any, which functions read.

    Raises:
        ConfigError: A function is missing.
    """

    def __init__(
        self, baseline: Baseline, functions: Mapping[str, Function], complain: Callable[[str], Any], gap: str
    ) -> None:
        self.names = baseline.columns
        self.known = frozenset(self.names)
        self._order = NameOrder(self.names, notes_gaps=True)
        self.gaps = self._order.gaps
        self._gap = gap

        places = {name: place for place, name in enumerate(self.names)}
        self._pick = _picker([places[item.name] for item in baseline.given])
        self._given = len(baseline.given)
        self._derived = [name for recipe in baseline.derived for name in recipe.names]
        self._places = {
            name: place
            for place, name in enumerate([item.name for item in baseline.features])
            if any(isinstance(recipe, ObservedRecipe) and recipe.name == name for recipe in baseline.derived)
        }
        self.observed = frozenset(self._places)
        self.nesting = Nesting([*self.names, *self._places])
        has_functions = any(isinstance(recipe, FunctionRecipe) for recipe in baseline.derived)
        self.beside = None if has_functions else self.observed

        vectors = [recipe for recipe in baseline.derived if isinstance(recipe, VectorRecipe)]
        self._tables = VectorTables(self.names, {recipe.source: recipe.size for recipe in vectors})
        self._columns = [_column_of(recipe, places, baseline, functions, complain) for recipe in baseline.derived]

    def extended(self, table: Table, increments: Increments) -> Extended:
        """Return the rows of all features.

        Args:
            table: Rows as they came. Nested values get columns of their own, in place.
            increments: Increments that note a gap of names.

        Raises:
            UnmatchedError: The number of values differs from the number of columns, or no name is known.
        """
        table = self._tables.shaped(table)
        names = table.names
        if names is None or not self.names:
            rows: Any = table.rows
        else:
            if self.nesting.has_paths:
                names = self.nesting.flatten(table, names)
            rows = self._order.rows(table, names)
            if names in self.gaps:
                increments.note_gap(self._gap)
        if self.names and len(rows[0]) != len(self.names):
            msg = f"{len(rows[0])} values for {len(self.names)} columns"
            raise UnmatchedError(msg)

        lists = row_lists(rows) if isinstance(rows, np.ndarray) else rows
        laid_out = _Rows(lists, names, table)
        given = [self._pick(row) for row in lists]
        derived: list[Column] = []
        for columns in self._columns:
            derived += columns(laid_out, given, derived)
        extended = [[*own, *values] for own, values in zip(given, zip(*derived, strict=True), strict=True)]
        return Extended(table, extended, self._given, self._derived, self._places)


class _Rows:
    """Rows of one request, in the order of the columns, and as they came.

    Attributes:
        rows: Rows, with a value for each column.
    """

    def __init__(self, rows: Sequence[Any], names: tuple[str, ...] | None, table: Table) -> None:
        self.rows = rows
        self._names = names
        self._table = table

    def column(self, place: int) -> Column:
        """Return the values of a column."""
        return [row[place] for row in self.rows]

    def others(self, known: frozenset[str]) -> list[dict[str, Any]]:
        """Return the other values of each row by name, as they came; none if they came by position."""
        if self._names is None or known.issuperset(self._names):
            return [{} for _ in self.rows]
        came = self._table.rows
        lists = row_lists(came) if isinstance(came, np.ndarray) else came
        places = [(name, place) for place, name in enumerate(self._names) if name not in known]
        return [{name: row[place] for name, place in places} for row in lists]


_Columns = Callable[[_Rows, "list[Sequence[Any]]", "list[Column]"], "Sequence[Column]"]
"""Returns the columns of a recipe: from the rows, the given features, and the columns of the recipes before it."""


def _column_of(
    recipe: Recipe,
    places: Mapping[str, int],
    baseline: Baseline,
    functions: Mapping[str, Function],
    complain: Callable[[str], Any],
) -> _Columns:
    """Return the function that computes the variables of a recipe.

    Raises:
        ConfigError: The recipe is of a function that is missing.
    """
    if isinstance(recipe, TextRecipe):
        text, place = recipe, places[recipe.source]
        return lambda rows, given, derived: _transposed(map(text.values, rows.column(place)))
    if isinstance(recipe, VectorRecipe):
        vector, place = recipe, places[recipe.source]
        return lambda rows, given, derived: _transposed(vector.rows(rows.column(place)))
    if isinstance(recipe, ObservedRecipe):
        name, known = recipe.name, frozenset(baseline.columns)
        return lambda rows, given, derived: [[plain(row.get(name)) for row in rows.others(known)]]
    if isinstance(recipe, RowRecipe):
        return _RowMeasures(baseline)
    if recipe.name not in functions:
        msg = (
            f"The baseline of model {baseline.model!r} has the derived variable {recipe.name!r}, which a function "
            f"computes. Give the function of training by that name: derive={{{recipe.name!r}: function}} of Boxkite() "
            "or ModelMonitoringService()."
        )
        raise ConfigError(msg)
    return _Called(recipe.name, functions[recipe.name], baseline, complain)


def _transposed(rows: Any) -> Sequence[Column]:
    return list(zip(*rows, strict=True))


class _Called:
    """Calls a function for each row; where it raises, its value is invalid."""

    def __init__(self, name: str, function: Function, baseline: Baseline, complain: Callable[[str], Any]) -> None:
        self._function = function
        self._complain = complain
        self._message = (
            f"The function {name!r} in 'derive' failed, so its value is invalid; the response is not affected."
        )
        self._names = baseline.columns
        self._known = frozenset(self._names)
        self._readers = {item.name: _reader(item) for item in baseline.given}
        self._texts = frozenset(item.name for item in baseline.given if item.is_text)

    def __call__(self, rows: _Rows, given: list[Sequence[Any]], derived: list[Column]) -> Sequence[Column]:
        """Return the values for all rows."""
        return [[self._value(came, row) for came, row in zip(rows.others(self._known), rows.rows, strict=True)]]

    def _value(self, came: dict[str, Any], row: Sequence[Any]) -> Any:
        try:
            arguments = {name: argument(value) for name, value in came.items()}
            for name, value in zip(self._names, row, strict=False):  # without columns, rows are of any width
                kind = type(value)
                if (kind is float and value == value) or kind is int:
                    arguments[name] = value if name not in self._texts else to_text(value)
                else:
                    arguments[name] = self._readers.get(name, argument)(value)
            return plain(self._function(arguments))
        except Exception as error:
            self._complain(self._message)
            return invalid(type(error).__name__)


def _reader(item: Distribution) -> Callable[[Any], Any]:
    """Return the function that reads a feature for functions as training has it, also where a client sends texts."""

    def number(value: Any) -> Any:
        value = argument(value)
        if type(value) is not str:
            return value
        try:
            return argument(to_number(value))
        except InvalidValue:
            return None if is_missing_text(value, item.missing_texts) else value

    def text(value: Any) -> Any:
        value = argument(value)
        try:
            return to_text(value)
        except InvalidValue:
            return value

    return argument if item.is_time else text if item.is_text else number


class _RowMeasures:
    """Counts the missing values of rows, and measures the rarity of their features."""

    def __init__(self, baseline: Baseline) -> None:
        given = baseline.given
        self._surprisal_of = surprisals(given).tolist().__getitem__
        self._is_missing = missing_cells(given).tolist().__getitem__
        self._features = len(given)
        self._count = VariableCounter(given, 0, sum(len(item.cells) for item in given)).rows.count
        firsts, first = [], 0
        for recipe in baseline.derived:
            if recipe.column is not None:
                firsts.append(first)
            first += len(recipe.names)
        self._firsts = firsts

    def __call__(self, rows: _Rows, given: list[Sequence[Any]], derived: list[Column]) -> Sequence[Column]:
        """Return both numbers for all rows."""
        missing, rarity = [], []
        for number, row in enumerate(given):
            cells = self._cells(row)
            # A text or vector that is missing has no first variable.
            without = sum(derived[first][number] is None for first in self._firsts)
            missing.append(sum(map(self._is_missing, cells)) + without)
            rarity.append(rounded_number(sum(map(self._surprisal_of, cells)) / self._features))
        return missing, rarity

    def _cells(self, row: Sequence[Any]) -> list[int]:
        increments = Increments()
        self._count(row, increments)
        return increments.cells if increments.wide is None else [*increments.cells, *increments.wide.tolist()]


def _picker(places: Sequence[int]) -> Callable[[Any], Sequence[Any]]:
    """Return a function that takes the values at these places out of a row."""
    if len(places) > 1:
        return itemgetter(*places)
    return lambda row: [row[place] for place in places]
