"""From columns to a baseline: what kind each variable is, its bins or categories, and its counts.

All decisions are made here, at training time, and stored in the file, so that every process that serves the model,
and every tool that reads its numbers, uses the same ones.
"""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.binning import choose_bounds, count_bins, distinct_values, even_groups
from flask_boxkite.baseline.distribution import Continuous, Discrete, Distribution, category_labels
from flask_boxkite.baseline.frames import Column, as_column, named_columns
from flask_boxkite.baseline.model import Baseline
from flask_boxkite.errors import BaselineError
from flask_boxkite.naming import canonical_number

__all__ = ["build_baseline"]


@dataclass(frozen=True)
class Choices:
    """What the user decided about bins; everything else is decided per column."""

    discrete: Collection[str | int] | None = None
    bins: Mapping[str, Sequence[float]] | None = None
    max_bins: int = 50
    max_categories: int = 50

    def __post_init__(self) -> None:
        for name in ("max_bins", "max_categories"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                msg = f"'{name}' must be an integer >= 1, got {value!r}."
                raise BaselineError(msg)

    def is_discrete(self, name: str, position: int, column: Column, ordered: NDArray[Any]) -> bool:
        """Decide the kind of a numeric column."""
        if self.bins is not None and name in self.bins:
            return False
        if column.is_category or not np.isfinite(ordered).any():
            return True
        if self.discrete is not None:
            return name in self.discrete or position in self.discrete
        return distinct_values(ordered, max(3, math.ceil(min(len(ordered), 1000) / 20))) is not None


def build_baseline(
    features: Any,
    inference: Any = None,
    *,
    model: str = "default",
    version: str | None = None,
    discrete: Collection[str | int] | None = None,
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
    choices = Choices(discrete, bins, max_bins, max_categories)
    feature_counts = tuple(_distributions(named_columns(features, prefix="feature"), choices))
    output_counts = tuple(_distributions(_named_outputs(inference), choices))
    if not feature_counts and not output_counts:
        msg = "The training data has no columns: give at least one feature or an inference."
        raise BaselineError(msg)
    _check_names(choices, feature_counts + output_counts)
    rows = _common_rows(feature_counts) if feature_counts else 0
    output_rows = _common_rows(output_counts) if output_counts else 0
    return Baseline(feature_counts, output_counts, rows or output_rows, model, version, int(clock()))


def _named_outputs(inference: Any) -> Iterator[tuple[str, Any]]:
    """Yield the outputs: one without a name is called ``output``, columns of an array ``output_0``, ``output_1``, …"""
    if inference is None:
        return iter(())
    if isinstance(inference, (list, tuple)) and inference and isinstance(inference[0], (list, tuple, np.ndarray)):
        inference = np.array(inference, dtype=object if isinstance(inference[0][0], str) else None)
    if isinstance(inference, Mapping) or getattr(inference, "ndim", 1) == 2 or hasattr(inference, "columns"):
        if getattr(inference, "shape", (0, 0))[1:] == (1,) and isinstance(inference, np.ndarray):
            return iter([("output", inference[:, 0])])
        return named_columns(inference, prefix="output")
    return iter([("output", inference)])


def _distributions(pairs: Iterator[tuple[str, Any]], choices: Choices) -> Iterator[Distribution]:
    """Count each column; a few at a time in threads, since sorting, the bulk of the work, frees the interpreter."""
    width = min(os.cpu_count() or 1, 8)
    numbered = enumerate(pairs)
    with ThreadPoolExecutor(width) as pool:
        while batch := list(islice(numbered, 2 * width)):
            yield from pool.map(lambda item: _distribution(item[1][0], item[0], item[1][1], choices), batch)


def _distribution(name: str, position: int, values: Any, choices: Choices) -> Distribution:
    column = as_column(values, name)
    if column.numbers is None:
        if choices.bins is not None and name in choices.bins:
            msg = f"'bins' names {name!r}, which holds texts. Only numbers have bins."
            raise BaselineError(msg)
        return _discrete(name, column, _text_labels(column.texts), choices)
    ordered = np.sort(column.numbers)
    if choices.is_discrete(name, position, column, ordered):
        return _discrete(name, column, _number_labels(ordered), choices)
    return _continuous(name, column, ordered, choices)


def _text_labels(texts: Counter[str]) -> Counter[str]:
    kept = list(texts)
    return Counter(dict(zip(category_labels(kept), texts.values(), strict=True)))


def _number_labels(ordered: NDArray[Any]) -> Counter[str]:
    values, counts = np.unique(ordered, return_counts=True)
    labels: Counter[str] = Counter()
    for value, count in zip(values, counts.tolist(), strict=True):
        # A narrow float stands for its shortest decimals.
        number = float(str(value)) if isinstance(value, np.floating) else float(value)
        labels[canonical_number(number)] += count
    return labels


def _discrete(name: str, column: Column, labels: Counter[str], choices: Choices) -> Discrete:
    kept = sorted(labels, key=lambda label: (-labels[label], label))[: choices.max_categories]
    counts = {label: labels[label] for label in kept}
    rare = labels.total() - sum(counts.values())
    return Discrete.ordered(name, counts, rare=rare, missing=column.missing, invalid=column.invalid)


def _continuous(name: str, column: Column, ordered: NDArray[Any], choices: Choices) -> Continuous:
    if choices.bins is not None and name in choices.bins:
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
    bounds = tuple(float(bound) for bound in given)
    if bounds and bounds[-1] == math.inf:
        bounds = bounds[:-1]
    if not bounds or not all(map(math.isfinite, bounds)) or list(bounds) != sorted(set(bounds)):
        msg = f"'bins' for {name!r} must be finite upper bounds that increase strictly, got {list(given)!r}."
        raise BaselineError(msg)
    return bounds


def _check_names(choices: Choices, distributions: Sequence[Distribution]) -> None:
    names = [distribution.name for distribution in distributions]
    for option in ("discrete", "bins"):
        for named in getattr(choices, option) or ():
            known = 0 <= named < len(names) if isinstance(named, int) else named in names
            if not known:
                msg = f"'{option}' names {named!r}, which the data does not have. Known: {', '.join(map(repr, names))}."
                raise BaselineError(msg)


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
