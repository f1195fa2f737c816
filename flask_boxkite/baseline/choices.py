"""What the user decided about bins and categories, and what follows from it for each column.

The same decisions whoever counts: memory, an engine, or a stream of chunks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import index

from flask_boxkite.baseline.distribution import Distribution
from flask_boxkite.errors import BaselineError

__all__ = ["Choices"]


@dataclass(frozen=True)
class Choices:
    """What the user decided about bins; everything else is decided per column.

    Attributes:
        discrete: Names of features or outputs, and positions of features, that are discrete; the other features are
            continuous then. None: decided per column.
        bins: Upper bounds of bins, by name.
        max_bins: Most upper bounds of a continuous column, unless its deciles alone are more.
        max_categories: Most categories of a discrete column.
    """

    discrete: frozenset[str | int] | None
    bins: Mapping[str, Sequence[float]]
    max_bins: int
    max_categories: int

    @classmethod
    def of(
        cls,
        discrete: Iterable[str | int] | None,
        bins: Mapping[str, Sequence[float]] | None,
        max_bins: int,
        max_categories: int,
    ) -> Choices:
        """Check the options of `ModelMonitoringService.export_text`.

        Raises:
            BaselineError: One of them is wrong.
        """
        return cls(_names_and_positions(discrete), bins or {}, max_bins, max_categories)

    def __post_init__(self) -> None:
        for name in ("max_bins", "max_categories"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                msg = f"'{name}' must be an integer >= 1, got {value!r}."
                raise BaselineError(msg)

    def is_discrete(self, name: str, position: int | None, *, is_category: bool) -> bool | None:
        """Decide the kind of a numeric column that has finite values; None if its values have to decide.

        Args:
            name: Of the column.
            position: Among the features; None if it is an output.
            is_category: Whether the column's type alone says that it is discrete.
        """
        if name in self.bins:
            return False
        if is_category:
            return True
        if self.discrete is not None:
            if name in self.discrete or position in self.discrete:
                return True
            if position is not None:
                return False
        return None

    def given_bounds(self, name: str) -> tuple[float, ...] | None:
        """Return the bounds that were given for a numeric column, without ``+inf``; None if none were.

        Raises:
            BaselineError: They are not finite, or do not increase.
        """
        return _checked_bounds(name, self.bins[name]) if name in self.bins else None

    def refuse_bins(self, name: str) -> None:
        """Refuse bins for a column that has turned out to hold texts.

        Raises:
            BaselineError: Some were given.
        """
        if name in self.bins:
            msg = f"'bins' names {name!r}, which holds texts. Only numbers have bins."
            raise BaselineError(msg)

    def check_names(self, features: Sequence[Distribution], outputs: Sequence[Distribution]) -> None:
        """Refuse names and positions that the data does not have.

        Raises:
            BaselineError: There is one.
        """
        names = [distribution.name for distribution in (*features, *outputs)]
        for option, given in (("discrete", self.discrete or ()), ("bins", self.bins)):
            for named in given:
                known = 0 <= named < len(features) if isinstance(named, int) else named in names
                if not known:
                    known_names = ", ".join(map(repr, names))
                    msg = f"'{option}' names {named!r}, which the data does not have. Known: {known_names}."
                    raise BaselineError(msg)


def _names_and_positions(discrete: Iterable[str | int] | None) -> frozenset[str | int] | None:
    if discrete is None:
        return None
    if isinstance(discrete, str):
        msg = f"'discrete' must be a list of names and positions, got {discrete!r}."
        raise BaselineError(msg)
    return frozenset(item if isinstance(item, str) else index(item) for item in discrete)


def _checked_bounds(name: str, given: Sequence[float]) -> tuple[float, ...]:
    try:
        bounds = [float(bound) + 0.0 for bound in given]
    except (TypeError, ValueError):
        bounds = []
    if bounds and bounds[-1] == math.inf:
        del bounds[-1]
    if not bounds or not all(map(math.isfinite, bounds)) or any(a >= b for a, b in pairwise(bounds)):
        shown = list(given) if isinstance(given, Sequence) else given
        msg = f"'bins' for {name!r} must be finite upper bounds that increase strictly, got {shown!r}."
        raise BaselineError(msg)
    return tuple(bounds)
