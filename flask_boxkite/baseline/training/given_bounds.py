"""Upper bounds of bins that the user gives, as numbers or dates."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any

import numpy as np

from flask_boxkite.baseline.training.problems import ColumnError, Problem
from flask_boxkite.errors import BaselineError
from flask_boxkite.values.times import to_seconds

__all__ = ["GivenBounds", "given_bounds"]


@dataclass(frozen=True)
class GivenBounds:
    """Upper bounds of a column's bins.

    Attributes:
        values: Bounds, finite and strictly increasing; seconds since 1970 for dates.
        are_dates: Whether any bound was given as a date.
    """

    values: tuple[float, ...]
    are_dates: bool


def given_bounds(bins: Mapping[str, Sequence[Any]]) -> Mapping[str, GivenBounds]:
    """Check bounds that were given.

    Raises:
        BaselineError: The bounds have no names.
        ColumnError: Bounds are not finite, or do not increase.
    """
    if not isinstance(bins, Mapping):
        msg = (
            f"'bins' must hold upper bounds by the name of a column, such as {{'age': [18, 35, 65]}}, got {bins!r}. "
            "For another number of bins, set 'max_bins'."
        )
        raise BaselineError(msg)
    checked: dict[str, GivenBounds] = {}
    problems = []
    for name, given in bins.items():
        bounds = _bounds(given)
        values = bounds.values
        if not values or not all(map(math.isfinite, values)) or any(a >= b for a, b in pairwise(values)):
            shown = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else given
            fact = f"'bins' for {name!r} must be finite numbers or dates that increase strictly, got {shown!r}."
            problems.append(Problem(fact))
        checked[name] = bounds

    if problems:
        raise ColumnError(problems)
    return checked


def _bounds(given: Collection[Any]) -> GivenBounds:
    """Read bounds; none if one of them is neither a number nor a date."""
    try:
        pairs = [_bound(bound) for bound in ([] if isinstance(given, str) else given)]
    except (TypeError, ValueError):  # InvalidValue is a ValueError
        pairs = []
    values = [value + 0.0 for value, _ in pairs]
    if values and values[-1] == math.inf:
        del values[-1]
    return GivenBounds(tuple(values), any(is_date for _, is_date in pairs))


def _bound(bound: Any) -> tuple[float, bool]:
    """Return a bound as a number, or in seconds since 1970; and whether it is a date."""
    if isinstance(bound, (date, np.datetime64)):
        return to_seconds(bound), True
    try:
        return float(bound), False
    except ValueError:
        return to_seconds(bound), True
