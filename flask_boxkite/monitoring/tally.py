"""The additions of one prediction to the counts, gathered until its status is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.compiled import native
from flask_boxkite.live.increments import Increments

if TYPE_CHECKING:
    from flask_boxkite.live.deriving import Extended

__all__ = ["DerivedTally", "Tally"]


class Tally(Increments):
    """The additions of one prediction to the counts if it is answered, gathered until its status is known.

    Attributes:
        rows: Rows of features, or None while unknown.
        errors: Reasons why something could not be captured.
        features_at: Place of the first cell of the features of a single row among `cells`; -1 if there is none.
        outputs_at: Place of the first cell of its outputs.
        located: Cells of several rows, shape (rows, variables), as counted last; None for a single row.
        located_features: Cells of the features of several rows.
        located_outputs: Cells of their outputs.
    """

    __slots__ = ("errors", "features_at", "located", "located_features", "located_outputs", "outputs_at", "rows")

    def __init__(self) -> None:
        super().__init__()
        self.rows: int | None = None
        self.errors: list[str] = []
        self.features_at = self.outputs_at = -1
        self.located: NDArray[np.int32] | None = None
        self.located_features: NDArray[np.int32] | None = None
        self.located_outputs: NDArray[np.int32] | None = None

    def note_gap(self, kind: str) -> None:
        """Note that a variable may have come under another name; it counts as missing, and the request as captured."""
        self.errors.append(kind)

    def note_located(self, located: NDArray[np.int32]) -> None:
        """Keep the cells of several rows."""
        self.located = located


if native is not None:
    Tally = native.Tally  # type: ignore[misc]


class DerivedTally(Tally):
    """The additions of a prediction with derived variables.

    Attributes:
        extended: Rows of all features; None if none were found.
        observed: Values that the view observes, by name.
    """

    __slots__ = ("extended", "observed")

    def __init__(self) -> None:
        super().__init__()
        self.extended: Extended | None = None
        self.observed: dict[str, Any] = {}
