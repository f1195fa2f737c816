"""Baselines of segments: the bins are the groups, since the rows of a segment are counted in no others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise

from flask_boxkite.baseline.contents import BaselineContents
from flask_boxkite.baseline.distribution import Continuous, Distribution
from flask_boxkite.baseline.segmentation import Segmentation

__all__ = ["segment_baselines", "with_group_counts"]


def segment_baselines(whole: BaselineContents, item: Segmentation) -> tuple[BaselineContents, ...]:
    """Return a baseline for each segment, and for all other rows.

    Args:
        whole: Baseline that has the segments.
        item: The segments.
    """
    return tuple(
        replace(
            with_group_counts(whole, own),
            rows=_rows(whole, own),
            row_collisions=collisions,
            validation=None,
            pairs=(),
            segmentations=(),
        )
        for own, collisions in zip(item.counts, item.collisions, strict=True)
    )


def _rows(whole: BaselineContents, counts: Sequence[int]) -> int:
    """Return the rows of a segment: the most that any variable has."""
    ends = accumulate((len(item.groups) for item in whole.distributions), initial=0)
    return max(sum(counts[start:stop]) for start, stop in pairwise(ends))


def with_group_counts(baseline: BaselineContents, counts: Sequence[int]) -> BaselineContents:
    """Return a baseline with the same groups, whose bins are the groups, with other counts.

    Args:
        baseline: Baseline of the groups.
        counts: Rows by the groups of all variables, one variable after the other.
    """
    items: list[Distribution] = []
    start = 0
    for item in baseline.distributions:
        items.append(_with_groups(item, counts[start : start + len(item.groups)]))
        start += len(item.groups)
    features = len(baseline.features)
    return replace(baseline, features=tuple(items[:features]), outputs=tuple(items[features:]))


def _with_groups(item: Distribution, counts: Sequence[int]) -> Distribution:
    if isinstance(item, Continuous):
        *bins, missing, invalid = counts
        bounds = tuple(bound for bound in item.group_bounds if math.isfinite(bound))
        return replace(item, upper_bounds=bounds, counts=tuple(bins), missing=missing, invalid=invalid)
    *named, rare, unseen, missing, invalid = counts
    item = replace(item, rare=rare, unseen=unseen, missing=missing, invalid=invalid)
    if not item.group_sizes:
        return replace(item, categories=item.categories[: len(named)], counts=tuple(named))
    # A group of several categories has no name as one category: its first one takes all of its rows.
    own: list[int] = []
    for count, size in zip(named, item.group_sizes, strict=True):
        own += [count, *[0] * (size - 1)]
    return replace(item, counts=tuple(own))
