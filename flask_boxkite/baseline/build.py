"""From columns to a baseline: what kind each variable is, its bins or categories, and its counts.

All decisions are made here, at training time, and stored in the file, so that every process that serves the model,
and every tool that reads its numbers, uses the same ones.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice, pairwise
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.binning import choose_bounds, count_bins, even_groups, has_fewer_distinct
from flask_boxkite.baseline.distribution import Continuous, Discrete, Distribution, category_labels
from flask_boxkite.baseline.frames import Column, as_column, named_columns, named_outputs
from flask_boxkite.baseline.model import Baseline
from flask_boxkite.errors import BaselineError
from flask_boxkite.naming import canonical_number
from flask_boxkite.values import to_number

__all__ = ["build_baseline"]


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

    def __post_init__(self) -> None:
        for name in ("max_bins", "max_categories"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                msg = f"'{name}' must be an integer >= 1, got {value!r}."
                raise BaselineError(msg)

    def is_discrete(self, name: str, position: int | None, column: Column, ordered: NDArray[Any]) -> bool:
        """Decide the kind of a numeric column; *position* is None if it is an output."""
        if name in self.bins:
            return False
        if column.is_category or not np.isfinite(ordered).any():
            return True
        if self.discrete is not None:
            if name in self.discrete or position in self.discrete:
                return True
            if position is not None:
                return False
        return has_fewer_distinct(ordered, max(3, math.ceil(min(len(ordered), 1000) / 20)))

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


def build_baseline(
    features: Any,
    inference: Any = None,
    *,
    model: str = "default",
    version: str | None = None,
    discrete: Iterable[str | int] | None = None,
    bins: Mapping[str, Sequence[float]] | None = None,
    max_bins: int = 50,
    max_categories: int = 50,
    clock: Callable[[], float] = time.time,
) -> Baseline:
    """Count training data in bins chosen from it.

    The parameters are those of `ModelMonitoringService.export_text`.

    Raises:
        BaselineError: The data has no columns or columns of different lengths, or an option names an unknown one.
    """
    choices = Choices(_names_and_positions(discrete), bins or {}, max_bins, max_categories)
    feature_counts = tuple(_distributions(named_columns(features, prefix="feature"), choices, is_output=False))
    output_counts = tuple(_distributions(named_outputs(inference), choices, is_output=True))
    if not feature_counts and not output_counts:
        msg = "The training data has no columns: give at least one feature or an inference."
        raise BaselineError(msg)
    choices.check_names(feature_counts, output_counts)
    # The outputs may be of a test set, so their rows can be fewer or more.
    rows = [_common_rows(counts) for counts in (feature_counts, output_counts) if counts]
    return Baseline(feature_counts, output_counts, rows[0], model, version or None, int(clock()))


def _names_and_positions(discrete: Iterable[str | int] | None) -> frozenset[str | int] | None:
    if discrete is None:
        return None
    if isinstance(discrete, str):
        msg = f"'discrete' must be a list of names and positions, got {discrete!r}."
        raise BaselineError(msg)
    return frozenset(item if isinstance(item, str) else index(item) for item in discrete)


def _distributions(pairs: Iterator[tuple[str, Any]], choices: Choices, *, is_output: bool) -> Iterator[Distribution]:
    """Count each column; a few at a time in threads, since sorting, the bulk of the work, frees the interpreter."""

    def counted(numbered: tuple[int, tuple[str, Any]]) -> Distribution:
        position, (name, values) = numbered
        return _distribution(name, None if is_output else position, as_column(values, name), choices)

    width = min(os.cpu_count() or 1, 8)
    columns = enumerate(pairs)
    with ThreadPoolExecutor(width) as pool:
        while batch := list(islice(columns, 2 * width)):
            yield from pool.map(counted, batch)


def _distribution(name: str, position: int | None, column: Column, choices: Choices) -> Distribution:
    if column.numbers is None:
        if name in choices.bins:
            msg = f"'bins' names {name!r}, which holds texts. Only numbers have bins."
            raise BaselineError(msg)
        return _textual(name, column, choices)
    ordered = np.sort(column.numbers)
    if choices.is_discrete(name, position, column, ordered):
        return _numeric(name, column, ordered, choices)
    return _continuous(name, column, ordered, choices)


def _textual(name: str, column: Column, choices: Choices) -> Discrete:
    kept = _most_frequent(column.texts, choices.max_categories)
    counts = dict(zip(category_labels(list(kept)), kept.values(), strict=True))
    return _discrete(name, column, counts, column.texts.total())


def _numeric(name: str, column: Column, ordered: NDArray[Any], choices: Choices) -> Discrete:
    values, counts = np.unique(ordered, return_counts=True)
    labels = map(canonical_number, map(to_number, values))
    kept = _most_frequent(dict(zip(labels, counts.tolist(), strict=True)), choices.max_categories)
    return _discrete(name, column, kept, len(ordered))


def _most_frequent(counts: Mapping[str, int], number: int) -> dict[str, int]:
    kept = sorted(counts, key=lambda name: (-counts[name], name))[:number]
    return {name: counts[name] for name in kept}


def _discrete(name: str, column: Column, counts: dict[str, int], rows: int) -> Discrete:
    rare = rows - sum(counts.values())
    return Discrete.ordered(name, counts, rare=rare, missing=column.missing, invalid=column.invalid)


def _continuous(name: str, column: Column, ordered: NDArray[Any], choices: Choices) -> Continuous:
    if name in choices.bins:
        bounds = _given_bounds(name, choices.bins[name])
        counts = count_bins(ordered, bounds)
        groups = even_groups(bounds, counts)
    else:
        bounds, groups = choose_bounds(_finite(ordered), choices.max_bins)
        counts = count_bins(ordered, bounds)
    return Continuous(name, bounds, counts, groups, missing=column.missing, invalid=column.invalid)


def _finite(ordered: NDArray[Any]) -> NDArray[Any]:
    if ordered.dtype.kind != "f":
        return ordered
    start, stop = np.searchsorted(ordered, -np.inf, side="right"), np.searchsorted(ordered, np.inf, side="left")
    return ordered[start:stop]


def _given_bounds(name: str, given: Sequence[float]) -> tuple[float, ...]:
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


def _common_rows(distributions: Sequence[Distribution]) -> int:
    first = distributions[0]
    for other in distributions:
        if other.rows != first.rows:
            msg = (
                f"Column {other.name!r} has {other.rows} rows, {first.name!r} has {first.rows}. "
                "All columns must have the same length."
            )
            raise BaselineError(msg)
    return first.rows
