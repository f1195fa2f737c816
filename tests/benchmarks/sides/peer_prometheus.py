"""prometheus_client in its multi-process mode, as one would count the same row with it: a histogram per feature."""

from __future__ import annotations

import os
import tempfile

os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="benchmark-")  # before the client is imported

from apps import FEATURES
from prometheus_client import CollectorRegistry, Histogram
from timing import Case, serve, summary, time_calls
from workload import feature_names, rows, training_data

BOUNDS = 50


def row_case() -> Case:
    """Return a case that times one observation of every feature, in as many buckets as we have bins."""
    registry = CollectorRegistry()
    frame, _ = training_data(FEATURES)
    observers = []
    for name, column in zip(feature_names(FEATURES), frame.T, strict=True):
        low, high = float(column.min()), float(column.max())
        bounds = [low + (high - low) * number / (BOUNDS - 1) for number in range(BOUNDS)]
        observers.append(Histogram(name, "A feature.", buckets=bounds, registry=registry).observe)
    requests = rows(FEATURES).tolist()

    def count(row: list[float]) -> None:
        for observe, value in zip(observers, row, strict=True):
            observe(value)

    return lambda calls: summary(time_calls(count, lambda number: requests[number % len(requests)], calls))


if __name__ == "__main__":
    serve({"row": row_case})
