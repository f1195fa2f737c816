"""Counting of columns in memory: exact, and fast by sorting as little as possible."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.bounds import even_groups
from flask_boxkite.baseline.distribution import Continuous, Distribution
from flask_boxkite.baseline.training.binning import (
    choose_bounds,
    count_bins,
    distinct_limit,
    float_width,
    has_fewer_distinct,
)
from flask_boxkite.baseline.training.columns import Column, as_column
from flask_boxkite.baseline.training.options import BaselineOptions
from flask_boxkite.baseline.training.problems import ColumnError
from flask_boxkite.baseline.training.ranking import Ranking
from flask_boxkite.baseline.training.seen import Seen
from flask_boxkite.naming import canonical_number
from flask_boxkite.values.conversion import to_number

__all__ = ["count_columns", "labelled_counts"]


def count_columns(
    columns: Iterable[tuple[str, int | None, Any]], options: BaselineOptions, seen: Seen
) -> Iterator[Distribution]:
    """Count each column; a few at a time in threads, because NumPy does the work and frees the interpreter.

    Args:
        columns: Name of each column, its position among the features (None for an output), and its values in a form of
            `as_column`.
        options: Decisions of the user.
        seen: Observations, to which this counting adds.

    Yields:
        Distributions. A column that needs a decision of the user is left out, and *seen* notes the problem.

    Raises:
        BaselineError: A column cannot be read.
    """

    def counted(column: tuple[str, int | None, Any]) -> Distribution | ColumnError:
        name, position, values = column
        try:
            return _distribution(name, position, options.read(name, as_column(values, name)), options, seen)
        except ColumnError as error:
            return error

    width = min(os.cpu_count() or 1, 8)
    remaining = iter(columns)
    with ThreadPoolExecutor(width) as pool:
        while batch := list(islice(remaining, 2 * width)):
            for result in pool.map(counted, batch):
                if isinstance(result, ColumnError):
                    seen.problems += result.problems
                else:
                    yield result


def _distribution(
    name: str, position: int | None, column: Column, options: BaselineOptions, seen: Seen
) -> Distribution:
    others: dict[str, Any] = {"missing": column.missing, "invalid": column.invalid}
    is_output = position is None
    if column.numbers is None:
        options.refuse_bins(name)
        texts, rows = dict(sorted(column.texts.items())), column.texts.total()
        options.look_at_texts(name, texts, rows, seen)
        return options.discrete_of(name, texts, rows, is_output=is_output, **others)
    ranking = Ranking(column.numbers)
    others |= {"width": float_width(column.numbers.dtype), "is_time": column.is_time}
    if _is_discrete(name, position, column, ranking, options):
        counts = labelled_counts(ranking.ordered)
        return options.discrete_of(name, counts, ranking.size, is_output=is_output, **others)
    bounds = options.given_bounds(name, is_time=column.is_time)
    if bounds is not None:
        counts_of_bins = count_bins(ranking, bounds)
        return Continuous(name, bounds, counts_of_bins, even_groups(bounds, counts_of_bins), **others)

    edges = options.edges.get(name, ()) if is_output else ()
    bounds, groups = choose_bounds(ranking, options.max_bins, is_time=column.is_time, edges=edges)
    return Continuous(name, bounds, count_bins(ranking, bounds), groups, **others)


def _is_discrete(name: str, position: int | None, column: Column, ranking: Ranking, options: BaselineOptions) -> bool:
    if name not in options.bins and not np.isfinite(ranking.values).any():
        return True
    decided = options.is_discrete(name, position, is_category=column.is_category)
    return has_fewer_distinct(ranking, distinct_limit(ranking.size)) if decided is None else decided


def labelled_counts(numbers: NDArray[Any]) -> dict[str, int]:
    """Count numbers by their labels as categories."""
    values, counts = np.unique(numbers, return_counts=True)
    return dict(zip(map(canonical_number, map(to_number, values)), counts.tolist(), strict=True))
