"""A baseline with one cell for each group: the baseline of counts of which history keeps only groups.

It has the variables, groups and verdicts of the baseline that it is made from, and its fingerprint. Distances that use
finer bins are computed from groups.
"""

from __future__ import annotations

import math
from dataclasses import replace

from flask_boxkite.baseline import Baseline, Distribution
from flask_boxkite.baseline.distribution import Continuous, group_counts

__all__ = ["coarse"]


def coarse(baseline: Baseline) -> Baseline:
    """Return a baseline whose cells are the groups of another one: no pairs, segments, recipes and actual values."""
    features, outputs = (tuple(map(_coarse, items)) for items in (baseline.features, baseline.outputs))
    found = baseline.with_variables(features, outputs)
    found.__dict__["fingerprint"] = baseline.fingerprint  # a cached property
    return found


def _coarse(item: Distribution) -> Distribution:
    *inner, missing, invalid = group_counts(item, item.cells)
    if isinstance(item, Continuous):
        bounds = tuple(bound for bound in item.group_bounds if math.isfinite(bound))
        return replace(item, upper_bounds=bounds, counts=tuple(inner), missing=missing, invalid=invalid)
    *counts, rare, unseen = inner
    names = tuple(group.name for group in item.groups[: len(counts)])
    is_joined = names != item.categories[: len(names)]
    return replace(
        item,
        categories=names,
        counts=tuple(counts),
        rare=rare,
        unseen=unseen,
        missing=missing,
        invalid=invalid,
        is_time=item.is_time and not is_joined,
        group_sizes=(1,) * len(names),
    )
