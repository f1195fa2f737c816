"""Large batches through ``log_prediction`` beside what one would write with NumPy, turn by turn in one process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from apps import FEATURES, baseline_file
from timing import Case, Figures, percentile
from workload import feature_names, shaped_rows

from flask_boxkite import Baseline, ModelMonitoringService

__all__ = ["bulk_case"]

TRAINING_ROWS = 200_000
"""Enough for 50 bounds a column, whatever its shape."""

DISTINCT_VALUES = 6_000_000
"""The same small batch for ever would teach the processor how every comparison of a search ends."""


def bulk_case(size: int) -> Case:
    """Return a case that counts batches of *size* rows and answers in microseconds a batch."""
    columns = list(zip(feature_names(FEATURES), shaped_rows(FEATURES, TRAINING_ROWS, seed=0).T, strict=True))
    path = baseline_file(lambda path: ModelMonitoringService.export_text(features=columns, path=path))
    service = ModelMonitoringService(baseline=path, sink="none")
    batches = [
        shaped_rows(FEATURES, size, seed=1 + number) for number in range(max(2, DISTINCT_VALUES // FEATURES // size))
    ]
    sides: dict[str, Callable[[Any], object]] = {
        "ours": lambda batch: service.log_prediction(features=batch),
        "numpy": _numpy_count(Baseline.load(path)),
    }

    def run(calls: int) -> Figures:
        durations: dict[str, list[int]] = {name: [] for name in sides}
        for number in range(calls):
            for name in list(sides)[:: -1 if number % 2 else 1]:
                start = time.perf_counter_ns()
                sides[name](batches[number % len(batches)])
                durations[name].append(time.perf_counter_ns() - start)
        return {name: percentile(taken, 50) / 1e3 for name, taken in durations.items()}

    run(2)
    return run


def _numpy_count(baseline: Baseline) -> Callable[[Any], object]:
    """Return what counts each column of a batch in the same bins by NumPy's binary search, and keeps nothing."""
    bounds = [np.array(feature.upper_bounds) for feature in baseline.features]

    def count(batch: Any) -> None:
        for column, ends in zip(batch.T, bounds, strict=True):
            np.bincount(np.searchsorted(ends, column, side="left"), minlength=len(ends) + 1)

    return count
