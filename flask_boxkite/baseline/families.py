"""The metric families of variables: histograms, categories and groups, for training and live counts.

Every number of a variable (a cumulative bucket, a category or a group) is the sum of a run of neighbouring cells
(`baseline.distribution`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flask_boxkite.baseline.distribution import Continuous, Discrete, Distribution
from flask_boxkite.naming import RARE, UNSEEN, canonical_number, escape_label
from flask_boxkite.promtext.family import Block, Family, label_text

__all__ = ["variable_families"]


def variable_families(
    side: str,
    distributions: Sequence[Distribution],
    offset: int,
    labels: str,
    *,
    baseline: bool,
    bins: bool,
    openmetrics: bool,
) -> Iterator[tuple[Family, Block]]:
    """Yield the families of all features or all outputs.

    Args:
        side: ``"feature"`` or ``"inference"``.
        distributions: Distributions of the variables.
        offset: First cell of the first variable; the others follow without gaps.
        labels: Label text of every sample.
        baseline: Whether the counts are from training.
        bins: Whether to yield histograms and categories, not only groups.
        openmetrics: Whether to write OpenMetrics, where a histogram without a sum has no count.
    """
    suffix, what = ("_baseline", "in training") if baseline else ("", "in production")
    thing = "feature" if side == "feature" else "output"
    placed = list(_placed(distributions, offset, labels, thing))
    if bins:
        histogram = Family(f"boxkite_{side}_value{suffix}", "histogram", f"Values of each continuous {thing} {what}.")
        yield histogram, Block(_bucket_lines(histogram.name, placed, with_count=not openmetrics))
        counter = Family(f"boxkite_{side}_category{suffix}", "counter", f"Rows per category of each {thing} {what}.")
        yield counter, Block(_category_lines(counter.sample_name, placed))
    group = Family(f"boxkite_{side}_group{suffix}", "counter", f"Rows per group, on which drift is judged, {what}.")
    yield group, Block(_group_lines(group.sample_name, placed))


def _placed(
    distributions: Sequence[Distribution], offset: int, labels: str, thing: str
) -> Iterator[tuple[Distribution, int, str]]:
    for distribution in distributions:
        yield distribution, offset, ",".join(filter(None, (labels, label_text(**{thing: distribution.name}))))
        offset += len(distribution.cells)


def _bucket_lines(
    name: str, placed: list[tuple[Distribution, int, str]], *, with_count: bool
) -> Iterator[tuple[str, int, int]]:
    for distribution, offset, labels in placed:
        if not isinstance(distribution, Continuous):
            continue
        stop = offset
        for bound in (*distribution.upper_bounds, float("inf")):
            stop += 1
            yield f'{name}_bucket{{{labels},le="{canonical_number(bound)}"}}', offset, stop
        if with_count:
            yield f"{name}_count{{{labels}}}", offset, stop


def _category_lines(name: str, placed: list[tuple[Distribution, int, str]]) -> Iterator[tuple[str, int, int]]:
    for distribution, offset, labels in placed:
        if isinstance(distribution, Discrete):
            for index, category in enumerate((*distribution.categories, RARE, UNSEEN), offset):
                yield f'{name}{{{labels},category="{escape_label(category)}"}}', index, index + 1


def _group_lines(name: str, placed: list[tuple[Distribution, int, str]]) -> Iterator[tuple[str, int, int]]:
    for distribution, offset, labels in placed:
        for group in distribution.groups:
            yield f'{name}{{{labels},group="{escape_label(group.name)}"}}', offset + group.start, offset + group.stop
