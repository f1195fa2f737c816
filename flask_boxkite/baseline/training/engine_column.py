"""A column of a lazy frame: its type, its kind, and the expressions of its values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import narwhals as nw
import numpy as np

from flask_boxkite.errors import BaselineError

__all__ = ["EngineColumn", "Kind", "kind_of"]


class Kind(Enum):
    """The kind of a column's values, by its type."""

    NUMBER = "number"
    BOOLEAN = "boolean"
    TEXT = "text"
    NESTED = "nested"
    OTHER = "other"

    @property
    def is_numeric(self) -> bool:
        """Whether values are numbers."""
        return self in (Kind.NUMBER, Kind.BOOLEAN)


@dataclass(frozen=True)
class EngineColumn:
    """A column of the frame.

    Attributes:
        name: Name of the column.
        type: Type in narwhals.
        kind: Kind that follows from the type, or from its texts.
        is_time: Whether its numbers are moments, in seconds.
        missing_texts: Texts that stand for a missing value, from `as_missing`.
    """

    name: str
    type: Any
    kind: Kind
    is_time: bool = False
    missing_texts: frozenset[str] = frozenset()

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type that determines the decimals of its numbers."""
        return np.dtype({"Float16": np.float16, "Float32": np.float32}.get(str(self.type), np.float64))

    @property
    def is_string(self) -> bool:
        """Whether its values are strings."""
        return self.type in (nw.String, nw.Categorical) or isinstance(self.type, nw.Enum)

    @property
    def value(self) -> Any:
        """The expression of its values: numbers as float64, texts as strings, others unchanged."""
        column = nw.col(self.name)
        if self.is_string:
            text = column.cast(nw.String)
            present = nw.when(~self.is_missing_text).then(text) if self.missing_texts else text
            return present.str.strip_chars().cast(nw.Float64) if self.kind.is_numeric else present
        return column.cast(nw.Float64) if self.kind.is_numeric else column

    @property
    def is_missing_text(self) -> Any:
        """The expression that says whether a text stands for a missing value."""
        text = nw.col(self.name).cast(nw.String)
        return text.str.strip_chars().str.to_lowercase().is_in(sorted(self.missing_texts))

    def without(self, missing_texts: frozenset[str]) -> EngineColumn:
        """Return the variable with texts that stand for a missing value; itself if it is not textual."""
        return replace(self, missing_texts=missing_texts) if self.is_string else self

    def as_numbers(self) -> EngineColumn:
        """Return the variable with its texts read as numbers."""
        return replace(self, kind=Kind.NUMBER)

    def refused(self) -> BaselineError:
        """Return the error for a type whose values cannot be counted."""
        return BaselineError(
            f"Column {self.name!r} is of type {self.type}, which is neither number nor text to its engine. Cast it to "
            "one of them, or leave it out."
        )


def kind_of(type_: Any) -> Kind:
    """Return the kind of values of a type of narwhals."""
    if type_ == nw.Boolean:
        return Kind.BOOLEAN
    if type_.is_numeric():
        return Kind.NUMBER
    if type_.is_nested():
        return Kind.NESTED
    # A column without any value has no type in some engines.
    return Kind.OTHER if type_ in (nw.Object, nw.Unknown) else Kind.TEXT
