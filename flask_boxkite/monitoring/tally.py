"""The additions of one prediction to the counts, gathered until its status is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
    """

    __slots__ = ("errors", "rows")

    def __init__(self) -> None:
        super().__init__()
        self.rows: int | None = None
        self.errors: list[str] = []

    def note_gap(self, kind: str) -> None:
        """Note that a variable may have come under another name; it counts as missing, and the request as captured."""
        self.errors.append(kind)


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
