"""The builder of baselines from training data: the kind of each variable, its bins or categories, and its counts.

All decisions are made at training time and stored in the file, so that all processes that serve the model, and all
tools that read its numbers, use the same ones. Columns in memory are sorted (`memory`), the engine of a lazy frame
computes sums (`engine`), and a stream of chunks is condensed (`stream`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

from flask_boxkite.baseline.baseline import Baseline
from flask_boxkite.baseline.distribution import Distribution
from flask_boxkite.baseline.progress import Progress, Steps
from flask_boxkite.baseline.training.assembly import assembled
from flask_boxkite.baseline.training.collisions import RowHashes, collisions_of_frame, reusable
from flask_boxkite.baseline.training.data import as_lazy_frame, named_columns, named_outputs, with_classes
from flask_boxkite.baseline.training.memory import count_columns
from flask_boxkite.baseline.training.options import BaselineOptions
from flask_boxkite.errors import BaselineError

__all__ = ["build_baseline"]


def build_baseline(
    features: Any,
    inference: Any = None,
    *,
    model: str = "default",
    version: str | None = None,
    classes: Iterable[Any] | None = None,
    progress: Progress = None,
    clock: Callable[[], float] = time.time,
    **options: Any,
) -> Baseline:
    """Count training data in bins chosen from it.

    `ModelMonitoringService.export_text` explains the parameters, `BaselineOptions.of` the *options*.

    Raises:
        BaselineError: The data has no columns or columns of different lengths, or an option names an unknown column.
    """
    choices = BaselineOptions.of(**options)
    if isinstance(inference, str):
        choices.check_outputs(inference)
    if classes is not None:
        inference = with_classes(inference, classes)
    with Steps(progress) as steps:
        if isinstance(inference, str):
            counted, collisions = _count(features, choices, steps, output=inference)
            outputs = tuple(item for item in counted if item.name == inference)
            if not outputs and not choices.seen.problems:
                known = ", ".join(repr(item.name) for item in counted)
                msg = f"'inference' names the column {inference!r}, which 'features' does not have. Known: {known}."
                raise BaselineError(msg)
            found = tuple(item for item in counted if item.name != inference)
        else:
            found, collisions = _count(features, choices, steps)
            outputs, of_outputs = _count_outputs(inference, choices, steps)
            collisions = collisions if found else of_outputs

    about: Any = {"model": model, "version": version, "created": int(clock()), "collisions": collisions}
    return Baseline.of(assembled(found, outputs, choices, **about))


Counted: TypeAlias = "tuple[tuple[Distribution, ...], float | None]"
"""Distributions, and the probability that two rows are equal in these features, or in these outputs."""


def _count(features: Any, choices: BaselineOptions, steps: Steps, output: str | None = None) -> Counted:
    """Count all columns of the features, apart from *output*."""
    frame = _lazy_frame(features, choices)
    if frame is not None:
        return _engine_counts(frame, choices, steps, lambda name: name != output)
    rows, rows_of_output = RowHashes(), RowHashes()

    def columns() -> Iterator[tuple[str, int | None, Any]]:
        position = iter(range(2**31))
        for name, once in named_columns(features, prefix="feature"):
            if choices.leaves_out(name):
                continue
            values = reusable(once)
            (rows_of_output if name == output else rows).take(name, values)
            yield name, None if name == output else next(position), values

    counted = tuple(steps.each(count_columns(columns(), choices), "columns"))
    has_features = any(item.name != output for item in counted)
    return counted, (rows if has_features else rows_of_output).collisions


def _count_outputs(inference: Any, choices: BaselineOptions, steps: Steps) -> Counted:
    frame = _lazy_frame(inference, choices)
    if frame is not None:
        return _engine_counts(frame, choices, steps, lambda name: False)
    rows = RowHashes()

    def columns() -> Iterator[tuple[str, None, Any]]:
        for name, once in named_outputs(inference):
            if choices.leaves_out(name):
                continue
            values = reusable(once)
            rows.take(name, values)
            yield name, None, values

    return tuple(steps.each(count_columns(columns(), choices), "outputs")), rows.collisions


def _lazy_frame(data: Any, choices: BaselineOptions) -> Any | None:
    """Return *data* as a lazy frame without excluded columns; None if it is not lazy."""
    frame = as_lazy_frame(data)
    if frame is None or not choices.exclude:
        return frame
    return frame.drop(*filter(choices.leaves_out, frame.collect_schema().names()))


def _engine_counts(frame: Any, choices: BaselineOptions, steps: Steps, is_feature: Callable[[str], bool]) -> Counted:
    from flask_boxkite.baseline.training.engine import count_lazily  # which loads narwhals

    distributions = count_lazily(frame, is_feature, choices, steps)
    names = [item.name for item in distributions]
    return distributions, collisions_of_frame(frame, list(filter(is_feature, names)) or names)
