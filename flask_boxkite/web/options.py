"""The options of a view that predicts: the places of its features and output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from inspect import signature
from typing import Any, TypeAlias

from flask_boxkite.monitoring.hints import Where

__all__ = ["QUERY", "Options", "Pick"]

Pick: TypeAlias = Where

QUERY = "?"
"""Option ``features`` of a view that gets its features as parameters of the query string."""


@dataclass(frozen=True)
class Options:
    """The places of a view's features and output.

    Attributes:
        features: None: by payload convention. A text: dotted path into the JSON request, or ``"?"`` for the query
            string. A callable: receives the request.
        output: None: by payload convention. A text: dotted path into the JSON response. A callable: receives the view's
            return value or, if its first parameter is named ``answer``, the parsed answer.
    """

    features: Pick = None
    output: Pick = None

    @cached_property
    def wants_answer(self) -> bool:
        """Whether the callable for the output takes the parsed answer."""
        return callable(self.output) and _first_parameter(self.output) == "answer"


def _first_parameter(function: Callable[..., Any]) -> str | None:
    """Return the name of a function's first parameter; None if it is unknown."""
    try:
        return next(iter(signature(function).parameters), None)
    except (TypeError, ValueError):
        return None
