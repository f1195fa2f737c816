"""The sum of two distributions, or validations, with equal bins."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from flask_boxkite.baseline.bounds import even_groups
from flask_boxkite.baseline.distribution import Continuous, Discrete, Distribution
from flask_boxkite.baseline.validation import (
    BinaryValidation,
    ClassValidation,
    MeanLosses,
    Means,
    RegressionValidation,
    Validation,
)
from flask_boxkite.errors import BinMismatchError

__all__ = ["merge", "merge_validations"]


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
    build = Discrete.grouped if left.group_sizes else Discrete.ordered
    return build(
        left.name,
        {label: count + others[label] for label, count in zip(left.categories, left.counts, strict=True)},
        rare=left.rare + right.rare,
        unseen=left.unseen + right.unseen,
        missing=left.missing + right.missing,
        invalid=left.invalid + right.invalid,
        width=left.width,
        is_time=left.is_time,
        missing_texts=left.missing_texts,
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
        yield "categories", left.shape[2], right.shape[2]
        yield "groups of categories", left.shape[3], right.shape[3]


# --- validations -----------------------------------------------------------------------------------------------------


def merge_validations(
    left: Validation | None, right: Validation | None, *, has_equal_groups: bool = True
) -> Validation | None:
    """Add the counts of two validations; means are weighted by rows. None if there is one at most.

    Args:
        left: Validation.
        right: Validation.
        has_equal_groups: Whether both have the same groups of features; effects of others cannot be added.

    Raises:
        BinMismatchError: They compare other outputs or actual values, or in other bins.
    """
    if left is None or right is None:
        return None
    if not has_equal_groups:
        left, right = replace(left, effects=None), replace(right, effects=None)
    if isinstance(left, BinaryValidation) and isinstance(right, BinaryValidation) and left.shape == right.shape:
        return _merged_binary(left, right)
    if isinstance(left, ClassValidation) and isinstance(right, ClassValidation) and left.shape == right.shape:
        return _merged_classes(left, right)
    if isinstance(left, RegressionValidation) and isinstance(right, RegressionValidation) and left.shape == right.shape:
        return _merged_regression(left, right)
    msg = "The validations differ in their outputs, actual values, threshold or bins. Only equal ones can be added."
    raise BinMismatchError(msg)


def _merged_binary(left: BinaryValidation, right: BinaryValidation) -> BinaryValidation:
    return replace(
        left,
        negatives=_sums(left.negatives, right.negatives),
        positives=_sums(left.positives, right.positives),
        losses=_merged_losses(left, right),
        areas=_merged_areas(left, right),
        effects=_merged_effects(left.effects, right.effects, left.rows, right.rows),
    )


def _merged_losses(left: BinaryValidation, right: BinaryValidation) -> MeanLosses | None:
    """Return the losses of the rows of both."""
    if left.losses is None or right.losses is None:
        return None
    negatives, positives = (left.negatives, right.negatives), (left.positives, right.positives)
    return MeanLosses(
        *(
            (_merged_means(mine[0], other[0], *negatives), _merged_means(mine[1], other[1], *positives))
            for mine, other in zip(left.losses, right.losses, strict=True)
        )
    )


def _merged_areas(left: BinaryValidation, right: BinaryValidation) -> Means | None:
    """Return the shares of pairs in order, by the pairs of each; pairs of one row of each are taken to be like them."""
    if left.areas is None or right.areas is None:
        return None
    pairs = ([m * k for m, k in zip(each.negatives, each.positives, strict=True)] for each in (left, right))
    return _merged_means(left.areas, right.areas, *pairs)


def _merged_classes(left: ClassValidation, right: ClassValidation) -> ClassValidation:
    counts = tuple(
        tuple(_sums(*bins) for bins in zip(*of_class, strict=True))
        for of_class in zip(left.counts, right.counts, strict=True)
    )
    effects = _merged_effects(left.effects, right.effects, left.rows, right.rows)
    return replace(left, counts=counts, effects=effects)


def _merged_regression(left: RegressionValidation, right: RegressionValidation) -> RegressionValidation:
    rows = left.counts, right.counts
    return replace(
        left,
        counts=_sums(*rows),
        errors=_merged_means(left.errors, right.errors, *rows),
        absolute_errors=_merged_means(left.absolute_errors, right.absolute_errors, *rows),
        squared_errors=_merged_means(left.squared_errors, right.squared_errors, *rows),
        error_counts=_sums(left.error_counts, right.error_counts),
        effects=_merged_effects(left.effects, right.effects, left.rows, right.rows),
    )


def _sums(left: Sequence[int], right: Sequence[int]) -> tuple[int, ...]:
    return tuple(map(sum, zip(left, right, strict=True)))


def _merged_means(left: Means, right: Means, left_rows: Sequence[int], right_rows: Sequence[int]) -> Means:
    """Return the means of the rows of both, bin by bin."""
    bins = zip(left, right, left_rows, right_rows, strict=True)
    return tuple(
        math.fsum(mean * rows for mean, rows in ((a, n), (b, m)) if rows) / (n + m) if n + m else math.nan
        for a, b, n, m in bins
    )


def _merged_effects(
    left: Sequence[Means] | None, right: Sequence[Means] | None, left_rows: int, right_rows: int
) -> tuple[Means, ...] | None:
    """Return the effects, weighted by the rows that they were found in."""
    if left is None or right is None:
        return None
    rows = left_rows + right_rows
    return tuple(
        tuple((a * left_rows + b * right_rows) / rows for a, b in zip(*target, strict=True))
        for target in zip(left, right, strict=True)
    )
