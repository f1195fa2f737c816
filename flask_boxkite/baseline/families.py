"""The metric families of variables: histograms, categories and groups, for training and live counts.

Every number of a variable (a cumulative bucket, a category or a group) is the sum of a run of neighbouring cells
(`baseline.distribution`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flask_boxkite.baseline.distribution import Continuous, Discrete
from flask_boxkite.baseline.variables import Side, Variable
from flask_boxkite.naming import RARE, UNSEEN, canonical_number, escape_label
from flask_boxkite.promtext.family import Family, SampleLines, label_text

__all__ = ["METRIC_WORDS", "variable_families"]

METRIC_WORDS: dict[Side, str] = {"feature": "feature", "output": "inference"}
"""Words of metric names for the sides of a model."""


def variable_families(
    side: Side,
    variables: Sequence[Variable],
    labels: str,
    *,
    baseline: bool,
    bins: bool,
    openmetrics: bool,
) -> Iterator[tuple[Family, SampleLines]]:
    """Yield the families of all features or all outputs.

    Args:
        side: Side of the variables.
        variables: Features, or outputs.
        labels: Label text of every sample.
        baseline: Whether the counts are from training.
        bins: Whether to yield histograms and categories, not only groups.
        openmetrics: Whether to write OpenMetrics, where a histogram without a sum has no count.
    """
    suffix, what = ("_baseline", "in training") if baseline else ("", "in production")
    word = METRIC_WORDS[side]
    labelled = [_labelled(variable, labels) for variable in variables]

    if bins:
        histogram = Family(f"boxkite_{word}_value{suffix}", "histogram", f"Values of each continuous {side} {what}.")
        yield histogram, SampleLines(_bucket_lines(histogram.name, labelled, with_count=not openmetrics))
        counter = Family(f"boxkite_{word}_category{suffix}", "counter", f"Rows per category of each {side} {what}.")
        yield counter, SampleLines(_category_lines(counter.sample_name, labelled))
    group = Family(f"boxkite_{word}_group{suffix}", "counter", f"Rows per group, on which drift is judged, {what}.")
    yield group, SampleLines(_group_lines(group.sample_name, labelled))


def _labelled(variable: Variable, labels: str) -> tuple[Variable, str]:
    """Return a variable and the label text of its samples."""
    own = label_text(**{variable.side: variable.name})
    return variable, ",".join(filter(None, (labels, own)))


def _bucket_lines(
    name: str, labelled: Sequence[tuple[Variable, str]], *, with_count: bool
) -> Iterator[tuple[str, int, int]]:
    for (_, distribution, cells), labels in labelled:
        if not isinstance(distribution, Continuous):
            continue
        stop = cells.start
        for bound in (*distribution.upper_bounds, float("inf")):
            stop += 1
            yield f'{name}_bucket{{{labels},le="{canonical_number(bound)}"}}', cells.start, stop
        if with_count:
            yield f"{name}_count{{{labels}}}", cells.start, stop


def _category_lines(name: str, labelled: Sequence[tuple[Variable, str]]) -> Iterator[tuple[str, int, int]]:
    for (_, distribution, cells), labels in labelled:
        if isinstance(distribution, Discrete):
            for index, category in enumerate((*distribution.categories, RARE, UNSEEN), cells.start):
                yield f'{name}{{{labels},category="{escape_label(category)}"}}', index, index + 1


def _group_lines(name: str, labelled: Sequence[tuple[Variable, str]]) -> Iterator[tuple[str, int, int]]:
    for (_, distribution, cells), labels in labelled:
        for group in distribution.groups:
            line = f'{name}{{{labels},group="{escape_label(group.name)}"}}'
            yield line, cells.start + group.start, cells.start + group.stop
