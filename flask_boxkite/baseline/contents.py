"""The contents of a baseline as one value, which readers and builders return; users have a `Baseline`."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from flask_boxkite.baseline.distribution import Discrete, Distribution
from flask_boxkite.baseline.limits import check_text
from flask_boxkite.baseline.pairs import Pair
from flask_boxkite.baseline.segmentation import Segmentation
from flask_boxkite.baseline.validation import Validation
from flask_boxkite.baseline.variables import Side, Variable, variables_of
from flask_boxkite.derived.documents import document_of
from flask_boxkite.derived.recipe import Recipe
from flask_boxkite.errors import BaselineError
from flask_boxkite.policies import Policy

__all__ = ["BaselineContents"]


@dataclass(frozen=True)
class BaselineContents:
    """The features and outputs of a model in training; the attributes are the same as of `Baseline`."""

    features: tuple[Distribution, ...]
    outputs: tuple[Distribution, ...]
    rows: int
    model: str = "default"
    version: str | None = None
    created: int = 0
    row_collisions: float | None = None
    validation: Validation | None = None
    pairs: tuple[Pair, ...] = ()
    derived: tuple[Recipe, ...] = ()
    inputs: tuple[str, ...] = ()
    segmentations: tuple[Segmentation, ...] = ()
    policies: tuple[Policy, ...] = ()

    def __post_init__(self) -> None:
        check_text("model name", self.model)
        check_text("version", self.version or "")
        for kind, distributions in (("feature", self.features), ("output", self.outputs)):
            for name, number in Counter(distribution.name for distribution in distributions).items():
                if number > 1:
                    msg = f"The baseline has the {kind} {name!r} {number} times."
                    raise BaselineError(msg)
        self._check_derived()
        known = len(self.features) + len(self.outputs)
        if any(pair.second >= known for pair in self.pairs):
            msg = f"The baseline has {known} variables, and a pair of another one."
            raise BaselineError(msg)
        groups = sum(len(item.groups) for item in self.distributions)
        if any(item.variable >= known or item.groups != groups for item in self.segmentations):
            msg = f"The baseline has {known} variables and {groups} groups, and segments of others."
            raise BaselineError(msg)

    def _check_derived(self) -> None:
        """Check that the derived variables are the last features, and that a row has the columns that they need."""
        names = [name for recipe in self.derived for name in recipe.names]
        columns = {recipe.column for recipe in self.derived} - {None}
        if [item.name for item in self.features[len(self.given) :]] != names:
            msg = f"The derived variables {', '.join(map(repr, names))} must be the last features of the baseline."
            raise BaselineError(msg)
        if self.derived and set(self.inputs) != columns.union(item.name for item in self.given):
            msg = f"The rows of the baseline have the columns {self.inputs!r}, which are not its features and sources."
            raise BaselineError(msg)

    @property
    def given(self) -> tuple[Distribution, ...]:
        """The features that come in a row, without the derived ones, which stand behind them."""
        return self.features[: max(len(self.features) - sum(len(recipe.names) for recipe in self.derived), 0)]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of a row's values, in the order of their positions: features, and columns that recipes read."""
        return self.inputs if self.derived else tuple(item.name for item in self.features)

    @property
    def recipes(self) -> dict[str, Recipe]:
        """The recipes of derived variables by their name, for *derive* of another baseline."""
        return {recipe.name: recipe for recipe in self.derived}

    @cached_property
    def variables(self) -> tuple[Variable, ...]:
        """The features, then the outputs, each with its slice of `cells`."""
        return variables_of(self.features, self.outputs)

    @property
    def distributions(self) -> tuple[Distribution, ...]:
        """The distributions of the features, then of the outputs."""
        return (*self.features, *self.outputs)

    @property
    def tests(self) -> int:
        """The number of tests among which the false-alarm probability of the model is divided."""
        return max(len(self.features) + len(self.outputs) + len(self.pairs), 1)

    @property
    def cells(self) -> tuple[int, ...]:
        """The counts of all variables, in the order in which live counts stand in memory."""
        return tuple(chain.from_iterable(item.cells for item in self.distributions))

    def segmentation_by(self, name: str) -> Segmentation | None:
        """Return the segments by the variable of that name, a feature before an output; None if there are none."""
        named = (item for item in self.segmentations if self.variables[item.variable].name == name)
        return min(named, key=lambda item: item.variable, default=None)

    @property
    def segmented_by(self) -> tuple[str, ...]:
        """Names of the variables that have segments."""
        return tuple(self.variables[item.variable].name for item in self.segmentations)

    def on(self, side: Side) -> tuple[Variable, ...]:
        """Return the features, or the outputs."""
        return tuple(item for item in self.variables if item.side == side)

    @cached_property
    def fingerprint(self) -> str:
        """12 hex digits of the SHA-256 of variables, validation, pairs, segments: not of model, version, date.

        Policies are no part of it: counts stay comparable when a user changes how they are judged.
        """
        content: list[object] = [list(map(_content, self.features)), list(map(_content, self.outputs))]
        if self.validation is not None:  # baselines without one keep the fingerprint that they always had
            content.append(self.validation.identity)
        if self.pairs:
            content.append([[pair.first, pair.second, *pair.counts] for pair in self.pairs])
        if self.derived:  # likewise
            content.append([list(self.inputs), list(map(document_of, self.derived))])
        if self.segmentations:
            content.append([[item.variable, item.segments, item.counts] for item in self.segmentations])
        text = json.dumps(content)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def _content(distribution: Distribution) -> list[object]:
    if isinstance(distribution, Discrete):
        sizes = [distribution.group_sizes] if distribution.group_sizes else []  # earlier releases had none
        bins: list[object] = [distribution.categories, *sizes]
    else:
        # Adding zero makes -0.0, which the file writes as 0.0, the same bound here too.
        bins = [
            [repr(bound + 0.0) for bound in bounds] for bounds in (distribution.upper_bounds, distribution.group_bounds)
        ]
    width = [] if distribution.width == 64 else [distribution.width]  # files of earlier releases have none
    is_time = ["time"] if distribution.is_time else []
    missing = [sorted(distribution.missing_texts)] if distribution.missing_texts else []
    return [distribution.kind, distribution.name, *bins, distribution.cells, *width, *is_time, *missing]
