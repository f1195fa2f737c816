"""A recipe: how to derive some variables, with its parameters, as it stands in a baseline file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from flask_boxkite.errors import BaselineError

__all__ = ["Recipe", "checked_number", "checked_source", "invalid"]


@dataclass(frozen=True)
class Recipe(ABC):
    """How to derive some variables. An immutable value.

    Attributes:
        kind: Word for the kind of recipe.
        name: Name that the user gave, with which the names of the variables begin.
    """

    kind: ClassVar[str]

    name: str

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """The names of its variables."""

    @property
    def column(self) -> str | None:
        """The name of the column that it reads, and whose place its variables take; None if there is none."""
        return None

    def parameters(self) -> dict[str, Any]:
        """Return everything but the name, as JSON values."""
        return {}

    @classmethod
    @abstractmethod
    def of_parameters(cls, name: str, parameters: Mapping[str, Any]) -> Recipe:
        """Return the recipe with these parameters.

        Raises:
            ValueError, KeyError, TypeError: The parameters are damaged.
        """


def invalid(reason: str) -> dict[str, str]:
    """Return the value of a derived variable that could not be computed.

    An object is invalid for a number and for a category alike, in memory and read back from a record.

    Args:
        reason: Word for the reason, without any value of the row.
    """
    return {"invalid": reason}


def checked_source(recipe: str, source: Any) -> None:
    """Refuse a column's name that is no text.

    Raises:
        BaselineError: It is none.
    """
    if not isinstance(source, str) or not source:
        msg = f"'{recipe}' takes the name of a column, such as {recipe}('comment'), got {source!r}."
        raise BaselineError(msg)


def checked_number(option: str, number: Any, most: int, least: int = 1) -> None:
    """Refuse an option that is no integer between two others.

    Raises:
        BaselineError: It is none.
    """
    if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= most:
        msg = f"'{option}' must be an integer from {least} to {most:,}, got {number!r}."
        raise BaselineError(msg)
