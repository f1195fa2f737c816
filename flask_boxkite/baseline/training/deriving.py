"""Derived variables in training: their recipes are fitted to the rows, and their values stand beside the features.

A row must not look less rare because it was among those that a recipe was fitted to, else live rows would seem to have
drifted. So each row is measured by the others: a word of a text is known if enough other rows have it, and the rows
from which the directions of vectors come do not count for these.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.contents import BaselineContents
from flask_boxkite.baseline.training.aligned import as_items
from flask_boxkite.baseline.training.clusters import cluster_centers
from flask_boxkite.baseline.training.collisions import reusable
from flask_boxkite.baseline.training.options import BaselineOptions
from flask_boxkite.baseline.training.principal import principal_directions
from flask_boxkite.baseline.training.row_labels import labels_of
from flask_boxkite.baseline.training.seen import Seen
from flask_boxkite.baseline.training.tables import as_lazy_frame, named_columns
from flask_boxkite.derived import Observed, Row, Text, Vector
from flask_boxkite.derived.given import FunctionRecipe, ObservedRecipe, argument, result
from flask_boxkite.derived.recipe import Recipe, invalid
from flask_boxkite.derived.row import RowRecipe
from flask_boxkite.derived.text import TextRecipe, counted, hash_of_word, words_of
from flask_boxkite.derived.vector import CLUSTERS, LARGEST, MOST_DIRECTIONS, MOST_NUMBERS, VectorRecipe, vector_of
from flask_boxkite.errors import BaselineError
from flask_boxkite.suggestion import counted as number_of
from flask_boxkite.values.conversion import InvalidValue, to_text
from flask_boxkite.values.paths import value_at

__all__ = ["Derivation", "Derive", "Recorded", "check_for_chunks", "derivation_of", "recorded", "without_invalid"]

MOST_FITTED = 8192
"""Most vectors from which directions come."""

_SHARE_FITTED = 0.5

_ROWS_OF_DIRECTION = 8
"""Fitted vectors for each direction of the distance, whose variance they have to tell."""

_LEAST_SHARE = 1e-6
"""Least variance of a direction, as a share of the whole: more than the rounding of directions to 32 bits makes up."""

Derive = Mapping[str, Any]
"""Recipes, fitted or not, and functions, by name."""


@dataclass(frozen=True, eq=False)
class Recorded:
    """A fitted recipe whose values are known, from records.

    Attributes:
        recipe: The recipe.
        values: Columns of its variables, by name.
        inputs: Names of a row's values, with the columns of all recipes.
    """

    recipe: Recipe
    values: Mapping[str, Any]
    inputs: tuple[str, ...]


def recorded(table: Any, known: BaselineContents) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the given columns of a table that has derived variables too, and the recipes with their values.

    Args:
        table: Table of all features of a baseline.
        known: That baseline.
    """
    columns = {name: reusable(column) for name, column in named_columns(table, prefix="feature")}
    derive: dict[str, Any] = {}
    for recipe in known.derived:
        values = {name: columns.pop(name) for name in recipe.names}
        derive[recipe.name] = Row() if isinstance(recipe, RowRecipe) else Recorded(recipe, values, known.inputs)
    return columns, derive


@dataclass
class Derivation:
    """Training data with the values of derived variables.

    Attributes:
        columns: All columns that are counted, by name: features and outputs, then derived variables.
        recipes: Fitted recipes, in the order of their variables.
        inputs: Names of a row's values.
        held: Values that count, of derived variables of which some rows do not.
        order: Names of derived variables that are numbers with an order, even if few differ.
    """

    columns: dict[str, Any]
    recipes: list[Recipe] = field(default_factory=list)
    inputs: tuple[str, ...] = ()
    held: dict[str, Any] = field(default_factory=dict)
    order: frozenset[str] = frozenset()

    @property
    def row(self) -> RowRecipe | None:
        """The recipe of variables of the whole row, which need the distributions of the features; None for none."""
        return next((recipe for recipe in self.recipes if isinstance(recipe, RowRecipe)), None)


def _check_recipes(derive: Derive) -> None:
    """Refuse other things than recipes.

    Raises:
        BaselineError: There is such a thing, or the names are not unique.
    """
    if not isinstance(derive, Mapping) or not all(isinstance(name, str) and name for name in derive):
        msg = f"'derive' must be a mapping of names to recipes, such as {{'comment': Text('comment')}}, got {derive!r}."
        raise BaselineError(msg)
    for name, recipe in derive.items():
        if not isinstance(recipe, (Text, Vector, Row, Observed, Recipe, Recorded)) and not callable(recipe):
            msg = (
                f"'derive' must have Text, Vector, Row, Observed or a function of a row as {name!r}, got {recipe!r}. "
                "They are in flask_boxkite.derived."
            )
            raise BaselineError(msg)
        if isinstance(recipe, type):
            msg = f"'derive' has the class {recipe.__name__} as {name!r}. Make one of it: {recipe.__name__}(...)."
            raise BaselineError(msg)
    if sum(isinstance(recipe, (Row, RowRecipe)) for recipe in derive.values()) > 1:
        msg = "'derive' has two of Row(), which would be the same."
        raise BaselineError(msg)


def derivation_of(
    features: Any,
    derive: Derive,
    options: BaselineOptions,
    seen: Seen,
    others: Collection[str],
    *,
    is_part: bool = False,
) -> Derivation:
    """Fit recipes to training data, and compute all derived variables but the ones of `Row`.

    Args:
        features: Features, in any form that can be read twice.
        derive: Recipes.
        options: Decisions of the user.
        seen: Observations, to which this adds.
        others: Names of columns that are no features: outputs and actual values.
        is_part: Whether other data follows, in which texts may come, or functions succeed.

    Raises:
        BaselineError: A recipe cannot be used, a column is not there, or the data is not in memory.
    """
    _check_recipes(derive)
    table = _Table(features, options, seen, others, [each for each in map(_source_of, derive.values()) if each])
    derivation = Derivation(dict(table.columns))
    derivation.inputs = tuple(name for name in table.names if name in table.columns or name in table.sources)
    derivation.inputs = tuple(name for name in derivation.inputs if name not in others)

    ordered: set[str] = set()
    fitted: Recipe
    for name, recipe in derive.items():
        if isinstance(recipe, (Text, TextRecipe)):
            fitted, values = _text(name, recipe, table.source(recipe.source), options, is_part=is_part)
            ordered.update(fitted.names)
        elif isinstance(recipe, (Vector, VectorRecipe)):
            fitted, values, held = _vectors(name, recipe, table.source(recipe.source))
            ordered.update(fitted.names)
            if held is not None:
                derivation.held.update({each: _taken(column, held) for each, column in values.items()})
        elif isinstance(recipe, (Row, RowRecipe)):
            continue
        elif isinstance(recipe, Recorded):
            fitted, values, derivation.inputs = recipe.recipe, dict(recipe.values), recipe.inputs
            if fitted.column is not None:
                ordered.update(fitted.names)
        else:
            fitted, values = _given(name, recipe, table, is_part=is_part)
        _add(derivation, values)
        derivation.recipes.append(fitted)

    if row := next((name for name, recipe in derive.items() if isinstance(recipe, (Row, RowRecipe))), None):
        derivation.recipes.append(RowRecipe(row))
        ordered.add(f"{row}.rarity")
    derivation.order = frozenset(ordered)
    return derivation


def check_for_chunks(derive: Derive) -> None:
    """Refuse recipes that have to be fitted, since chunks come one by one.

    Raises:
        BaselineError: There is such a recipe, or *derive* is not a mapping of recipes.
    """
    _check_recipes(derive)
    for name, recipe in derive.items():
        if isinstance(recipe, (Row, RowRecipe)):
            msg = f"Row, as {name!r}, is measured by all rows. Leave it out, or give the rows in memory."
            raise BaselineError(msg)
        if isinstance(recipe, (Text, Vector)):
            msg = (
                f"{type(recipe).__name__}, as {name!r}, is fitted to rows in memory. Fit it to a sample first: "
                f"derive={{{name!r}: sample.recipes[{name!r}]}}, where sample is the baseline of some rows."
            )
            raise BaselineError(msg)
        if isinstance(recipe, Observed) and not isinstance(recipe.values, str):
            msg = f"Observed, as {name!r}, needs the name of the column of the chunks that holds its values."
            raise BaselineError(msg)


def without_invalid(values: Any) -> Any:
    """Return a column with None in place of invalid derived values, which no hash of a row can hold."""
    if type(values) is not list or dict not in set(map(type, values)):
        return values
    return [None if type(value) is dict else value for value in values]


def _add(derivation: Derivation, values: Mapping[str, Any]) -> None:
    for name, column in values.items():
        if name in derivation.columns:
            msg = f"The derived variable {name!r} has the name of a column. Give one of them another name."
            raise BaselineError(msg)
        derivation.columns[name] = column


class _Table:
    """The columns of training data, as recipes read them.

    Attributes:
        names: Names of all columns, in their order.
        everything: All columns but outputs and actual values, by name, for functions.
        columns: Columns that are counted: without those that recipes read in their place, or that options leave out.
        sources: Columns that recipes read, by name.

    Args:
        features: Features, in any form that can be read twice.
        options: Decisions of the user.
        seen: Observations.
        others: Names of columns that are no features.
        sources: Names of the columns that recipes read.
    """

    def __init__(
        self,
        features: Any,
        options: BaselineOptions,
        seen: Seen,
        others: Collection[str],
        sources: Sequence[tuple[str, bool]],
    ) -> None:
        if as_lazy_frame(features) is not None:
            msg = (
                "Derived variables are computed from rows in memory, and the frame is lazy. Collect it, or a sample of "
                "it, or give it in parts to Baseline.from_chunks()."
            )
            raise BaselineError(msg)
        wanted = [name for name, _ in sources]
        whole = dict(_columns(features, wanted))
        self.names = list(whole)
        for name in wanted:
            if name not in whole:
                msg = f"'derive' reads the column {name!r}, which the data does not have. Known: {_listed(whole)}."
                raise BaselineError(msg)
            if name in others:
                msg = f"'derive' reads the column {name!r}, which is an output or holds actual values."
                raise BaselineError(msg)
        seen.excluded.update(options.exclude.intersection(wanted))
        labels = labels_of(features)
        self.everything = {name: column for name, column in whole.items() if name not in others}
        self.sources = {name: whole[name] for name, takes_place in sources if takes_place}
        self._whole = whole
        taken = frozenset(wanted)
        self.columns = {
            name: column
            for name, column in whole.items()
            if name not in taken and not options.leaves_out(name, seen, labels, is_output=name in others)
        }
        for name in taken - self.sources.keys():
            self.everything.pop(name)

    def source(self, name: str) -> Any:
        """Return a column that a recipe reads."""
        return self._whole[name]

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield each row by name, as functions get it."""
        names = list(self.everything)
        columns = [map(argument, _items(column)) for column in self.everything.values()]
        for values in zip(*columns, strict=False):  # lengths that differ are an error of counting
            yield dict(zip(names, values, strict=True))


def _listed(names: Collection[str]) -> str:
    return ", ".join(map(repr, names))


def _columns(features: Any, sources: Collection[str]) -> Iterator[tuple[str, Any]]:
    """Yield name and column of each variable; a source in nested rows is one column, not one for each value in it."""
    is_nested = isinstance(features, (list, tuple)) and bool(features) and isinstance(features[0], Mapping)
    below = tuple(f"{name}." for name in sources) if is_nested else ()
    done = set()
    for name, column in named_columns(features, prefix="feature"):
        above = next((prefix[:-1] for prefix in below if name.startswith(prefix)), None)
        if above is None:
            done.add(name)
            yield name, reusable(column)
        elif above not in done:
            done.add(above)
            yield above, [_found(row, above) for row in features]


def _found(row: Any, path: str) -> Any:
    try:
        return value_at(row, path)
    except LookupError:
        return None


def _source_of(recipe: Any) -> tuple[str, bool] | None:
    """Return the name of the column that a recipe reads, and whether a row has it while serving."""
    if isinstance(recipe, (Text, Vector, TextRecipe, VectorRecipe)):
        return recipe.source, True
    return (recipe.values, False) if isinstance(recipe, Observed) and isinstance(recipe.values, str) else None


def _items(column: Any) -> Sequence[Any]:
    """Return the values of a column; of a 2-D array, its rows."""
    if isinstance(column, np.ndarray) and column.ndim > 1 and column.shape[1] != 1:
        return list(column)
    items = as_items(column)
    return list(items) if isinstance(items, np.ndarray) else items


# --- texts -----------------------------------------------------------------------------------------------------------


def _text(
    name: str, recipe: Text | TextRecipe, column: Any, options: BaselineOptions, *, is_part: bool
) -> tuple[TextRecipe, dict[str, Any]]:
    values = _items(column)
    if isinstance(recipe, TextRecipe):
        fitted = replace(recipe, name=name)
        rows = list(map(fitted.values, values))
    else:
        fitted, rows = _fitted_text(name, recipe, values, options)
    if values and not is_part and all(row[0] is None or isinstance(row[0], dict) for row in rows):
        msg = f"Column {recipe.source!r} has no text, which {name!r} would describe."
        raise BaselineError(msg)
    return fitted, dict(zip(fitted.names, map(list, zip(*rows, strict=True)), strict=True))


def _fitted_text(
    name: str, recipe: Text, values: Sequence[Any], options: BaselineOptions
) -> tuple[TextRecipe, list[tuple[Any, ...]]]:
    """Return the fitted recipe and its values, each by the words of the other rows."""
    texts = list(map(_text_or_none, values))
    rows_of_word: Counter[str] = Counter()
    for text in texts:
        if text is not None:
            rows_of_word.update(set(words_of(text)))
    is_known = _rule_of_words(rows_of_word, recipe.most_words, options.least_rows(len(values)))
    known = (word for word, rows in rows_of_word.items() if is_known(word, rows))
    fitted = TextRecipe.of_words(name, recipe.source, known)

    rows = []
    for value, text in zip(values, texts, strict=True):
        if text is None:
            rows.append(fitted.values(value))
        else:
            words = words_of(text)
            rows.append(counted(text, words, sum(not is_known(word, rows_of_word[word] - 1) for word in words)))
    return fitted, rows


def _rule_of_words(rows_of_word: Mapping[str, int], most: int, least: int) -> Callable[[str, int], bool]:
    """Return whether a word is known that so many rows have: the ones in most rows, and at least in *least*.

    Of equally frequent words, the ones of the smallest hashes are known, as many as there is room for. One row less is
    as frequent, so that no row decides on its own words where all have equally many rows.
    """
    frequencies = sorted(rows_of_word.values(), reverse=True)
    if len(frequencies) <= most or frequencies[most] < least:
        return lambda word, rows: rows >= least

    last = frequencies[most]
    first_tied = max(least, last - 1)
    tied = sorted(hash_of_word(word) for word, rows in rows_of_word.items() if first_tied <= rows <= last)
    room = most - sum(rows > last for rows in frequencies)
    limit = tied[room]
    return lambda word, rows: rows > last or (rows >= first_tied and hash_of_word(word) < limit)


def _text_or_none(value: Any) -> str | None:
    try:
        return to_text(value)
    except InvalidValue:
        return None


# --- vectors ---------------------------------------------------------------------------------------------------------


def _vectors(
    name: str, recipe: Vector | VectorRecipe, column: Any
) -> tuple[VectorRecipe, dict[str, Any], NDArray[np.intp] | None]:
    """Return the fitted recipe, its values, and the rows whose values count; None for all."""
    values = column if _is_matrix(column) else _items(column)
    held = None
    if isinstance(recipe, VectorRecipe):
        fitted = replace(recipe, name=name)
    else:
        fitted, held = _fitted_vectors(name, recipe, values)
    rows = fitted.rows(values)
    return fitted, dict(zip(fitted.names, map(list, zip(*rows, strict=True)), strict=True)), held


def _is_matrix(column: Any) -> bool:
    return isinstance(column, np.ndarray) and column.ndim > 1 and column.dtype.kind in "biuf"


def _fitted_vectors(name: str, recipe: Vector, values: Any) -> tuple[VectorRecipe, NDArray[np.intp]]:
    """Return the recipe as fitted to half of the vectors, drawn at random, and the other rows."""
    order = np.random.default_rng(0).permutation(len(values))
    fitted = np.sort(order[: min(round(len(values) * _SHARE_FITTED), MOST_FITTED)])
    vectors = [vector for place in fitted if (vector := _vector_or_none(values[place])) is not None]
    size = Counter(map(len, vectors)).most_common(1)[0][0] if vectors else 0
    vectors = [vector for vector in vectors if len(vector) == size]
    if len(vectors) < 2:
        msg = f"Column {recipe.source!r} has hardly any vector, as lists or arrays of numbers, for {name!r}."
        raise BaselineError(msg)
    number = min(recipe.directions, size, len(vectors) - 1)
    room = MOST_NUMBERS // size - 1 - number
    if room < 0:
        most = MOST_NUMBERS // size - 1
        remedy = f"Ask for {most} directions at most." if most >= 0 else "Take fewer components, such as a thumbnail's."
        msg = (
            f"The vectors of {recipe.source!r} have {size:,} components, and a baseline has room for {MOST_NUMBERS:,} "
            f"numbers, of a centre and {number_of(number, 'direction')}. {remedy}"
        )
        raise BaselineError(msg)

    matrix = np.array(vectors)
    if (largest := np.abs(matrix).max()) > LARGEST:
        msg = (
            f"The vectors of {recipe.source!r} have components up to {largest:.0e}, and a baseline holds ones up to "
            f"{LARGEST:.0e}. Leave out rows that are wrong, or divide all vectors by one number, live ones too."
        )
        raise BaselineError(msg)
    clusters = cluster_centers(matrix, CLUSTERS) if room >= CLUSTERS else ()
    more = max(min(MOST_DIRECTIONS, size, len(vectors) // _ROWS_OF_DIRECTION) - number, 0)
    directions = principal_directions(matrix, number + min(more, room - len(clusters)))
    center, variances = matrix.mean(axis=0), _variances(matrix, directions)
    made = VectorRecipe.of_arrays(name, recipe.source, center, directions, variances, clusters, shown=number)
    return made, np.sort(order[len(fitted) :])


def _variances(matrix: NDArray[np.float64], directions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the variance along each direction, then the mean variance along all others; all positive."""
    along = (matrix @ directions.T).var(axis=0)
    others = matrix.shape[1] - len(directions)
    total = float(matrix.var(axis=0).sum())
    rest = max(total - float(along.sum()), 0.0) / others if others else 0.0
    least = max(total * _LEAST_SHARE, float(np.finfo(np.float32).tiny))
    return np.maximum([*along, rest], least)


def _vector_or_none(value: Any) -> NDArray[np.float64] | None:
    try:
        vector = vector_of(value)
    except InvalidValue:
        return None
    return vector if vector is not None and np.isfinite(vector).all() else None


# --- the user's own --------------------------------------------------------------------------------------------------


def _given(name: str, recipe: Any, table: _Table, *, is_part: bool) -> tuple[Recipe, dict[str, Any]]:
    if isinstance(recipe, Observed):
        column = table.source(recipe.values) if isinstance(recipe.values, str) else reusable(recipe.values)
        return ObservedRecipe(name), {name: column}
    if isinstance(recipe, Recipe):
        word = "a function of a row" if isinstance(recipe, FunctionRecipe) else "Observed(values)"
        msg = f"The values of {name!r} are not in the data: give {word} in place of the recipe, as in training before."
        raise BaselineError(msg)
    return FunctionRecipe(name), {name: _called(name, recipe, table, is_part=is_part)}


def _called(name: str, function: Callable[[dict[str, Any]], Any], table: _Table, *, is_part: bool) -> list[Any]:
    """Return the values of a function for each row; where it fails, the value is invalid."""
    values: list[Any] = []
    failure: Exception | None = None
    for row in table.rows():
        try:
            values.append(result(function(row)))
        except Exception as error:
            failure = error
            values.append(invalid(type(error).__name__))
    if failure is not None and not is_part and all(isinstance(value, dict) for value in values):
        msg = (
            f"The function {name!r} in 'derive' fails for every row of the training data, last with "
            f"{type(failure).__name__}: {failure}. It gets a row as a dict of column names to values."
        )
        raise BaselineError(msg) from failure
    return values


def _taken(column: Sequence[Any], rows: NDArray[np.intp]) -> list[Any]:
    return [column[row] for row in rows.tolist()]
