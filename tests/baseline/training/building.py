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
    **options: Any,
) -> Baseline:
    """Return the baseline of some data.

    Args:
        features: Features, in a form of `export_text`.
        inference: Outputs.
        version: Name of the version.
        clock: Clock of the date.
        **options: Options of `BaselineOptions.of`.
    """
    return build_baseline(features, inference, BaselineOptions.of(**options), version=version, clock=clock)
