"""The sum of two distributions with equal bins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from flask_boxkite.baseline.bounds import even_groups
from flask_boxkite.baseline.distribution import Continuous, Discrete, Distribution
from flask_boxkite.errors import BinMismatchError

__all__ = ["merge"]


def merge(left: Distribution, right: Distribution) -> Distribution:
    """Add the counts of two distributions; commutative and exact.

    Raises:
        BinMismatchError: Names, kinds, bins, categories or groups differ.
    """
    if isinstance(left, Continuous) and isinstance(right, Continuous) and _have_equal_bins(left, right):
        return _merged_continuous(left, right)
    if isinstance(left, Discrete) and isinstance(right, Discrete) and left.shape == right.shape:
        return _merged_discrete(left, right)

    differing = ", ".join(what for what, one, other in _differences(left, right) if one != other)
    msg = f"{left.name!r} differs in {differing}. Only equal ones can be added."
    raise BinMismatchError(msg)


def _have_equal_bins(left: Continuous, right: Continuous) -> bool:
    """Say whether all is equal but the groups: they follow from counts where bounds were given."""
    if left.upper_bounds != right.upper_bounds:
        return False
    return left.shape == replace(right, group_bounds=left.group_bounds).shape


def _merged_continuous(left: Continuous, right: Continuous) -> Continuous:
    counts = tuple(map(sum, zip(left.counts, right.counts, strict=True)))
    is_equal = left.group_bounds == right.group_bounds
    groups = left.group_bounds if is_equal else even_groups(left.upper_bounds, counts)
    missing, invalid = left.missing + right.missing, left.invalid + right.invalid
    return replace(left, counts=counts, group_bounds=groups, missing=missing, invalid=invalid)


def _merged_discrete(left: Discrete, right: Discrete) -> Discrete:
    others = dict(zip(right.categories, right.counts, strict=True))
    return Discrete.ordered(
        left.name,
        {label: count + others[label] for label, count in zip(left.categories, left.counts, strict=True)},
        rare=left.rare + right.rare,
        unseen=left.unseen + right.unseen,
        missing=left.missing + right.missing,
        invalid=left.invalid + right.invalid,
    )


def _differences(left: Distribution, right: Distribution) -> Iterator[tuple[str, object, object]]:
    """Yield the name of each property that may differ between two variables, and both values."""
    yield "name", left.name, right.name
    yield "kind", (left.kind, left.is_time), (right.kind, right.is_time)
    yield "the width of its floats", left.width, right.width
    yield "texts of missing values", left.missing_texts, right.missing_texts
    if isinstance(left, Continuous) and isinstance(right, Continuous):
        yield "bins", left.upper_bounds, right.upper_bounds
    if isinstance(left, Discrete) and isinstance(right, Discrete):
        yield "categories", left.shape[2:4], right.shape[2:4]
