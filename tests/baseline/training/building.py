"""Baselines that are built with options by name, as users give them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from flask_boxkite.baseline import Baseline
from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.baseline.training.options import BaselineOptions

__all__ = ["built"]


def built(
    features: Any,
    inference: Any = None,
    *,
    version: str | None = None,
    clock: Callable[[], float] = time.time,
    classes: Any = None,
    actual: Any = None,
    threshold: float | None = None,
    positive: Any = None,
    **options: Any,
) -> Baseline:
    """Return the baseline of some data.

    Args:
        features: Features, in a form of `export_text`.
        inference: Outputs.
        version: Name of the version.
        clock: Clock of the date.
        classes: Names of probabilities; see `export_text` for this and what follows.
        actual: Actual values.
        threshold: Score from which a row is predicted to be positive.
        positive: Actual value that the score stands for.
        **options: Options of `BaselineOptions.of`.
    """
    return build_baseline(
        features,
        inference,
        BaselineOptions.of(**options),
        version=version,
        clock=clock,
        classes=classes,
        actual=actual,
        threshold=threshold,
        positive=positive,
    )
