"""All models of an app together, in one line above them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from flask_boxkite.drift.verdict import MOVED, WORST_FIRST
from flask_boxkite.page.content import STATES, ModelView

__all__ = ["Overall"]


@dataclass(frozen=True)
class Overall:
    """The verdicts on several models.

    Attributes:
        models: Views of the models, at least one.
    """

    models: Sequence[ModelView]

    @cached_property
    def moved(self) -> list[ModelView]:
        """Models of which a variable has drifted."""
        return [model for model in self.models if model.state in MOVED]

    @cached_property
    def unclear(self) -> list[ModelView]:
        """Models that may have drifted."""
        return [model for model in self.models if model.state == "unclear"]

    @cached_property
    def unknown(self) -> list[ModelView]:
        """Models of which too little is known, some for want of a baseline."""
        return [model for model in self.models if model.state == "not enough data"]

    @cached_property
    def worse(self) -> list[ModelView]:
        """Models that are worse than validated, by their outcomes."""
        return [model for model in self.models if model.worse]

    @property
    def state(self) -> str:
        """The worst verdict of all models, also on their outcomes; "not enough data" only if none is known."""
        states = {*(model.state for model in self.models), *(STATES[model.worse] for model in self.worse)}
        return next(verdict for verdict in WORST_FIRST if verdict in states)
