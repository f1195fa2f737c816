"""The variables of a model: features, then outputs, each with its slice of the cells of all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple, TypeAlias

from flask_boxkite.baseline.distribution import Distribution

__all__ = ["SIDES", "Side", "Variable", "variables_of"]

Side: TypeAlias = Literal["feature", "output"]

SIDES: tuple[Side, ...] = ("feature", "output")


class Variable(NamedTuple):
    """A feature or output.

    Attributes:
        side: Side of the model, ``feature`` or ``output``.
        distribution: Its distribution in training.
        cells: Slice of its cells among the cells of all variables.
    """

    side: Side
    distribution: Distribution
    cells: slice

    @property
    def name(self) -> str:
        """The name of the feature or output."""
        return self.distribution.name


def variables_of(features: Iterable[Distribution], outputs: Iterable[Distribution] = ()) -> tuple[Variable, ...]:
    """Return features and outputs as variables, whose cells follow each other without gaps."""
    variables: list[Variable] = []
    start = 0
    for side, distributions in zip(SIDES, (features, outputs), strict=True):
        for distribution in distributions:
            stop = start + len(distribution.cells)
            variables.append(Variable(side, distribution, slice(start, stop)))
            start = stop
    return tuple(variables)
