"""Variables of a whole row: how many of its values are missing, and how rare they are in training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from flask_boxkite.derived.recipe import Recipe

__all__ = ["Row", "RowRecipe"]


@dataclass(frozen=True)
class Row:
    """Derive numbers from a whole row.

    Of ``derive={"row": Row()}``, the variables are ``row.missing``, the number of missing values, and ``row.rarity``,
    the mean surprisal of the row's features in nats: the mean of -ln(p / w), where p is the training share of the bin
    or category that a value falls into, and w the width of the bin as a share of the training range (1 for a category,
    and outside of all bins). Rows with several rather rare values at once stand out, even where no feature moves.

    p is (c + 1/2) / (N + K/2) for c of N training rows in a feature's bin or category, of K of these (Krichevsky and
    Trofimov), and for a training row without itself, so that it is no less rare than a new one.

    References:
        Goldstein and Dengel, Histogram-based Outlier Score (HBOS), 2012, with bins of unequal width; Krichevsky and
        Trofimov, The Performance of Universal Encoding, 1981.
    """


@dataclass(frozen=True)
class RowRecipe(Recipe):
    """A `Row`; its parameters are the counts of the baseline's own features."""

    kind: ClassVar[str] = "row"

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its variables."""
        return f"{self.name}.missing", f"{self.name}.rarity"

    @classmethod
    def of_parameters(cls, name: str, parameters: Mapping[str, Any]) -> RowRecipe:
        """Return the recipe with these parameters; see `Recipe.of_parameters`."""
        return cls(name)
