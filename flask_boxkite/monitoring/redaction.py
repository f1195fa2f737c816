"""Redaction: the fields that ``BOXKITE_REDACT`` names, removed from records and from messages about requests.

A name identifies a field: as the key of its value, or where a payload names columns and tensors apart from their
values. Values without names follow the order of the baseline. A part that cannot be matched for certain is removed as a
whole.
"""

from __future__ import annotations

import copy
import json
import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from flask_boxkite.derived.given import ObservedRecipe
from flask_boxkite.derived.recipe import Recipe
from flask_boxkite.naming import REDACTED
from flask_boxkite.values.conversion import plain

__all__ = ["REDACTED", "Record", "Redaction", "redaction"]

Record: TypeAlias = dict[str, Any]
_Paths: TypeAlias = tuple[tuple[str, ...], ...]
_Hide: TypeAlias = Callable[[Any], Any]

_SEPARATORS = re.compile(r"[^\w -]")
"""Characters between several names in one text: in a flattened path, or a CSV header with another delimiter."""

_PATH_SEPARATORS = re.compile(r"[.\[\]]+")
_ANY_ITEM = re.compile(r"[$*]|\d+")
"""Parts of a path that name no field: the root, and items of a list, of which none can be told from the others."""

_NAMES_AND_VALUES = (("columns", "data"), ("names", "ndarray"), ("names", "tensor"))
"""Keys with the names of columns, and the keys beside them with the values: MLflow, pandas and Seldon."""

_NAMING_KEYS = frozenset({"name", "key", "field", "column", "feature", "variable", "attribute", "property", "label"})
"""Keys of a text that names the values beside it: ``{"name": "age", "value": 30}``."""


def redaction(
    redact: Sequence[str] | Callable[[Record], Any],
    feature_names: Sequence[str],
    output_names: Sequence[str] = (),
    derived: Sequence[Recipe] = (),
) -> Redaction | Callable[[Record], Record] | None:
    """Return a function that redacts a record as the setting ``BOXKITE_REDACT`` demands; None if it is empty.

    The function raises an error if a callable in the setting does, or does not return a record.
    """
    if not callable(redact):
        return Redaction(redact, feature_names, output_names, derived) if redact else None

    def call(record: Record) -> Record:
        # A copy, since the view may still use the very objects of the record.
        after = plain(redact(copy.deepcopy(record)))
        if not isinstance(after, dict):
            msg = f"The callable in 'BOXKITE_REDACT' must return the record, got {type(after).__name__}."
            raise TypeError(msg)
        return after

    return call


class Redaction:
    """Takes the values of some fields out of records and documents. Immutable, so safe to use from any thread.

    Args:
        paths: Field names, which match at any depth, or dotted paths from the root of a document. The place of features
            and output within a document is unknown, so there a path matches from any of its parts on. Case is ignored.
        feature_names: Names of the features that arrive by position.
        output_names: Names of the outputs that arrive by position.
        derived: Recipes of derived variables. Variables of a hidden column are hidden; functions and whole rows, which
            may have read any column, have hidden ones if anything in the features is hidden.
    """

    def __init__(
        self,
        paths: Sequence[str],
        feature_names: Sequence[str],
        output_names: Sequence[str] = (),
        derived: Sequence[Recipe] = (),
    ) -> None:
        # A whole path is also a name, since the name of a field may contain dots.
        self._names = frozenset(map(_folded, paths))
        self._paths: _Paths = tuple(parts for path in paths for parts in _ways(path))
        self._tails: _Paths = tuple(path[start:] for path in self._paths for start in range(len(path)))
        self._ways, self._starts = ([f".{'.'.join(path)}." for path in paths] for paths in (self._paths, self._tails))
        self._columns = self._names.union(path[-1] for path in self._paths)
        self._features = _Positions(feature_names, self._is_column)
        self._outputs = _Positions(output_names, self._is_column)
        self._always, self._with_rows, self._with_any = _derived_names(derived, self._is_column)

    def hidden(self, document: Any) -> Any:
        """Return a document without the values of those fields; a list becomes as many placeholders as it had values.

        So its positions stay readable. A document too deep to walk through becomes one placeholder.
        """
        try:
            return self._without(plain(document), self._paths, _blank)
        except RecursionError:
            return REDACTED

    def described(self, value: Any) -> Any:
        """Return a value without those fields, for messages that quote its keys."""
        try:
            return self._without(value, self._tails, _gone)
        except RecursionError:
            return REDACTED

    def names_one(self, names: Sequence[str]) -> bool:
        """Return whether one of these column names is hidden."""
        return any(map(self._is_column, names))

    def hides(self, name: str, value: Any) -> bool:
        """Return whether a value of a feature or output must not be quoted, for its name or as it quotes a hidden one.

        Args:
            name: Name of the variable.
            value: Value that arrived for it.
        """
        if self._is_column(name) or self._is_name(name) or name in self._always | self._with_any:
            return True
        return isinstance(value, str) and self._text(value) != value

    def names_apart(self, document: Any, content: Any) -> bool:
        """Return whether a text in a document may name the values of *content*, a part of it that has no names."""
        return not _has_rows_by_name(content) and self._quotes_name(plain(document))

    def __call__(self, record: Record) -> Record:
        """Return a copy of the record without those values."""
        after = dict(record)
        after["features"] = self._redacted_features(record["features"])
        rows = record.get("rows", 1)
        if after["features"] == REDACTED and rows > 1:  # one placeholder per row
            after["features"] = [[REDACTED]] * rows

        if "derived" in record:
            after["derived"] = self._redacted_derived(record["derived"], after["features"])
        after["output"] = self._redacted_output(record["output"])
        after["request_body"] = self._redacted_body(record)
        if after["request_body"] == REDACTED:
            after.pop("body_encoding", None)
        if "key" in record and self._is_name("key"):
            after["key"] = REDACTED
        if "response" in record:
            after["response"] = self._redacted_response(record)
        return after

    # --- names -------------------------------------------------------------------------------------------------------

    def _is_name(self, key: Any) -> bool:
        name = _folded(key)
        if name in self._names or not self._names.isdisjoint(map(_folded, _SEPARATORS.split(name))):
            return True
        return "." in name and self._is_way(f".{name}.")

    def _is_way(self, name: str) -> bool:
        """Return whether a flattened path, between dots, leads to or through a hidden field."""
        return any(map(name.startswith, self._starts)) or any(way in name for way in self._ways)

    def _is_column(self, name: Any) -> bool:
        """Return whether a name apart from its values is hidden; its path is unknown."""
        text = _folded(name)
        return text in self._columns or not self._columns.isdisjoint(map(_folded, _SEPARATORS.split(text)))

    # --- by name -----------------------------------------------------------------------------------------------------

    def _without(self, value: Any, paths: _Paths, hide: _Hide) -> Any:
        """Hide the fields in *value*; *paths* begin there."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, list):
            return [self._without(item, paths, hide) for item in value]
        if not isinstance(value, dict):
            return value
        after = {key: self._without_field(key, item, paths, hide) for key, item in value.items()}
        return self._without_columns(value, after, hide)

    def _without_field(self, key: Any, value: Any, paths: _Paths, hide: _Hide) -> Any:
        name = _folded(key)
        below = tuple(path[1:] for path in paths if path[0] == name)
        return hide(value) if () in below or self._is_name(key) else self._without(value, below, hide)

    def _without_columns(self, value: dict[Any, Any], after: dict[Any, Any], hide: _Hide) -> dict[Any, Any]:
        """Hide values whose names stand beside them, as in the columns of a table or in a tensor."""
        for names_key, values_key in _NAMES_AND_VALUES:
            names = value.get(names_key)
            if values_key in value and isinstance(names, list) and self.names_one(names):
                positions = [index for index, name in enumerate(names) if self._is_column(name)]
                after[values_key] = _without_positions(after[values_key], positions, len(names), hide)

        if "data" in value and self._quotes_name([value.get("name"), value.get("parameters")]):
            after["data"] = hide(value["data"])
            return after

        for key, name in value.items():
            if _folded(key) in _NAMING_KEYS and isinstance(name, str) and self._is_column(name):
                after.update({other: hide(item) for other, item in value.items() if other != key})
        return after

    def _quotes_name(self, value: Any) -> bool:
        """Return whether a text in a document names a hidden field, except for the name of a tensor."""
        if isinstance(value, dict):
            value = [item for key, item in value.items() if key != "name" or "data" not in value]
        if isinstance(value, list):
            return any(map(self._quotes_name, value))
        return isinstance(value, str) and self._is_column(value)

    def _text(self, text: str) -> str:
        """Return a text; a placeholder if it is JSON with a hidden field."""
        text_json = text.lstrip("\ufeff \t\r\n")
        if text_json[:1] not in ("{", "[", '"'):
            return text
        try:
            document = json.loads(text_json)
        except (ValueError, RecursionError):
            folded = _folded(text)
            return REDACTED if any(name in folded for name in self._columns) else text
        return text if self._without(document, self._tails, _gone) == document else REDACTED

    # --- parts of a record -------------------------------------------------------------------------------------------

    def _redacted_features(self, features: Any) -> Any:
        after = self._without(features, self._tails, _gone)
        return after if after is None or _has_rows_by_name(after) else self._features.without(after)

    def _redacted_derived(self, derived: Any, features: Any) -> Any:
        """Hide the derived values that may show a hidden one."""
        hidden = self._always
        if _holds_placeholder(features):
            hidden = hidden | self._with_any
        if _is_placeholder(features):  # any column may be hidden
            hidden = hidden | self._with_rows
        rows = derived if isinstance(derived, list) else [derived]
        after = [
            {name: REDACTED if name in hidden or self._is_name(name) else value for name, value in row.items()}
            for row in rows
        ]
        return after if isinstance(derived, list) else after[0]

    def _redacted_output(self, output: Any) -> Any:
        after = self._without(output, self._tails, _gone)
        if after is None or not self._outputs.hidden:
            return after
        # An output under other names may have been read by its position.
        return after if self._has_hidden_names(after) else self._outputs.without(after)

    def _has_hidden_names(self, output: Any) -> bool:
        """Return whether these are rows or tensors by name, with a hidden name among them."""
        rows = [output] if isinstance(output, dict) else output
        return _has_rows_by_name(rows) and any(self.names_one([*row, row.get("name", "")]) for row in rows)

    def _redacted_response(self, record: Record) -> Any:
        """Redact a raw response like a body, but by any part of a path, since it may hold features and output."""
        response = record["response"]
        if response is None or response == {}:
            return response
        after = self._without(response, self._tails, _gone)
        is_whole = isinstance(after, (dict, list)) and not record.get("response_truncated")
        return after if is_whole and _has_names(after) else REDACTED

    def _redacted_body(self, record: Record) -> str:
        body: str = record["request_body"]
        if not body:
            return body
        if record.get("body_truncated") or record.get("body_encoding"):
            return REDACTED

        try:
            after = self._without(json.loads(body), self._paths, _gone)
        except (ValueError, RecursionError):
            return REDACTED
        # Values without names cannot be told apart; the features hold the part of them that may be kept.
        if not isinstance(after, (dict, list)) or not _has_names(after):
            return REDACTED
        # The body is rewritten even where nothing matched: JSON keeps only one of two fields of the same name.
        return json.dumps(after, ensure_ascii=False)


class _Positions:
    """Values without names, in the order of the baseline.

    Args:
        names: Names of the values.
        is_hidden: Tells whether a name is hidden.

    Attributes:
        hidden: Positions of the hidden values.
    """

    def __init__(self, names: Sequence[str], is_hidden: Callable[[Any], bool]) -> None:
        self._is_hidden = is_hidden
        self._count = len(names)
        self.hidden = [index for index, name in enumerate(names) if is_hidden(name)]

    def without(self, values: Any) -> Any:
        """Return one row, or several, without the hidden values; a placeholder for a value that is not a row."""
        if not isinstance(values, list):
            return REDACTED
        if not values or (self._count == 1 and self.hidden):
            return REDACTED if values else values
        are_rows = all(isinstance(row, list) for row in values)
        rows = values if are_rows else [values]
        # A hidden name among the values marks a header, and the other rows may follow its order.
        if any(isinstance(value, str) and self._is_hidden(value) for row in rows for value in row):
            return REDACTED
        after = [_at_positions(row, self.hidden, _gone) if len(row) == self._count else REDACTED for row in rows]
        return after if are_rows else after[0]


def _derived_names(
    derived: Sequence[Recipe], is_hidden: Callable[[Any], bool]
) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Return variables of hidden columns, variables of other columns, and variables of whole rows."""
    always: list[str] = []
    with_rows: list[str] = []
    with_any: list[str] = []
    for recipe in derived:
        if recipe.column is not None:
            (always if is_hidden(recipe.column) else with_rows).extend(recipe.names)
        elif not isinstance(recipe, ObservedRecipe):
            with_any.extend(recipe.names)
    return frozenset(always), frozenset(with_rows), frozenset(with_any)


def _is_placeholder(features: Any) -> bool:
    """Return whether features are hidden as a whole."""
    rows = features if isinstance(features, list) else [features]
    return any(row in (REDACTED, [REDACTED]) for row in rows)


def _holds_placeholder(value: Any) -> bool:
    """Return whether anything in a value is hidden."""
    if isinstance(value, dict):
        return any(map(_holds_placeholder, value.values()))
    if isinstance(value, list):
        return any(map(_holds_placeholder, value))
    return bool(value == REDACTED)


def _folded(name: Any) -> str:
    """Return a name in one spelling: without capitals, blanks around it, and Unicode's variants of letters."""
    text = str(name)
    return (text if text.isascii() else unicodedata.normalize("NFKC", text)).strip().casefold()


def _ways(path: str) -> set[tuple[str, ...]]:
    """Return the keys on the way to a field: as the path says, and without the parts that name no field."""
    parts = [part for part in _PATH_SEPARATORS.split(_folded(path)) if part]
    keys = [part for part in parts if not _ANY_ITEM.fullmatch(part)]
    return {tuple(way) for way in (parts, keys) if way and way != [_folded(path)]}


def _gone(value: Any) -> Any:
    return REDACTED


def _blank(value: Any) -> Any:
    """Return a placeholder for each value of a list."""
    return [_blank(item) for item in value] if isinstance(value, list) else REDACTED


def _at_positions(row: list[Any], positions: Sequence[int], hide: _Hide) -> list[Any]:
    after = list(row)
    for position in positions:
        after[position] = hide(after[position])
    return after


def _without_positions(values: Any, positions: Sequence[int], width: int, hide: _Hide) -> Any:
    """Hide columns of rows, of one row, or of a tensor with *width* columns; hide all of it where this is uncertain."""
    if isinstance(values, dict) and isinstance(flat := values.get("values"), list):
        rows = [flat[start : start + width] for start in range(0, len(flat), width)]
        is_flat = not any(isinstance(value, list) for value in flat) and len(flat) % width == 0
        after = [value for row in rows for value in _at_positions(row, positions, hide)] if is_flat else hide(flat)
        return {**values, "values": after}
    if not isinstance(values, list):
        return hide(values)
    if all(isinstance(row, list) and len(row) == width for row in values):
        return [_at_positions(row, positions, hide) for row in values]
    if all(isinstance(row, dict) for row in values):
        return values  # by name

    is_row = len(values) == width and not any(isinstance(value, (list, dict)) for value in values)
    return _at_positions(values, positions, hide) if is_row else hide(values)


def _has_rows_by_name(value: Any) -> bool:
    """Return whether a value is an object, or a list of objects only."""
    return isinstance(value, dict) or (
        isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)
    )


def _has_names(document: Any) -> bool:
    """Return whether every value in a document belongs to a field: its lists contain objects only."""
    if isinstance(document, dict):
        return all(_has_names(value) for value in document.values() if isinstance(value, (dict, list)))
    return all(isinstance(item, dict) and _has_names(item) for item in document)
