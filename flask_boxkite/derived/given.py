"""Variables that the user computes: by a function of the row, or in the view, which observes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from flask_boxkite.derived.recipe import Recipe
from flask_boxkite.values.conversion import is_null, plain

__all__ = ["FunctionRecipe", "Observed", "ObservedRecipe", "argument", "result"]


@dataclass(frozen=True, eq=False)
class Observed:
    """Watch a value that the view observes: an attribution, a confidence, a number of tokens.

    While serving, the view passes it: ``monitor.observe(shap_income=0.3)``. Where it does not, a row may bring the
    value under the variable's name, beside the features. A row without it has a missing value.

    Attributes:
        values: Values of the training rows, in the form of a column; or the name of the column of the training data
            that holds them, and that then is no feature.
    """

    values: Any


@dataclass(frozen=True)
class ObservedRecipe(Recipe):
    """An `Observed`; its value comes from the view, or with the row."""

    kind: ClassVar[str] = "observed"

    @property
    def names(self) -> tuple[str, ...]:
        """The name of its variable."""
        return (self.name,)

    @classmethod
    def of_parameters(cls, name: str, parameters: Mapping[str, Any]) -> ObservedRecipe:
        """Return the recipe with these parameters; see `Recipe.of_parameters`."""
        return cls(name)


@dataclass(frozen=True)
class FunctionRecipe(Recipe):
    """A function of the row, which serving gets by the same name."""

    kind: ClassVar[str] = "function"

    @property
    def names(self) -> tuple[str, ...]:
        """The name of its variable."""
        return (self.name,)

    @classmethod
    def of_parameters(cls, name: str, parameters: Mapping[str, Any]) -> FunctionRecipe:
        """Return the recipe with these parameters; see `Recipe.of_parameters`."""
        return cls(name)


_CONTAINERS = frozenset({list, dict})


def _copied(value: Any) -> Any:
    """Return a copy of lists and objects on all levels."""
    if type(value) is list:
        return value.copy() if _CONTAINERS.isdisjoint(map(type, value)) else list(map(_copied, value))
    if type(value) is dict:
        return {name: _copied(item) for name, item in value.items()}
    return value


def argument(value: Any) -> Any:
    """Return a value of a row as functions get it: missing ones are None, and others plain Python values.

    Lists and objects are copies, so that a function which changes them changes neither the response nor the record.
    """
    kind = type(value)
    if kind is str or kind is int or kind is bool:
        return value
    if kind in _CONTAINERS:
        return _copied(value)
    if kind is float:
        return value if value == value else None
    if value is None or is_null(value):
        return None
    return _copied(result(value))


def result(value: Any) -> Any:
    """Return a value that a function has computed for a row of training as a plain one, in which numbers stay numbers.

    JSON has no infinity and no integers of more than 64 bits, which `plain` makes texts.
    """
    if type(value) is int:
        return value
    simple = plain(value)
    return float(simple) if simple in ("Infinity", "-Infinity") and not isinstance(value, str) else simple
