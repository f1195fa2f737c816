"""Where each live count of a model stands in its block of numbers.

The bins are known before the first request, so the layout is fixed for the life of a baseline: the cells of every
feature, then of every output (`baseline.distribution`), then request counts. A second, small block holds sums, which
are floats.
"""

from __future__ import annotations

from collections.abc import Sequence

from flask_boxkite.baseline import Baseline, Distribution
from flask_boxkite.naming import CAPTURE_REASONS, STATUSES

__all__ = ["DURATION_BOUNDS", "Layout"]

DURATION_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the duration histogram, in seconds."""


class Layout:
    """The cells of one model.

    Attributes:
        features: Distributions of the features, for their bins.
        outputs: Distributions of the outputs.
        outputs_start: First cell of the outputs.
        statuses_start: First cell of the predictions by status.
        durations_start: First cell of the duration bins.
        captures_start: First cell of the capture errors by reason.
        size: Number of cells.
        duration_sum: Index of the sum of durations; before it stand two sums per output, of positive and of negative
            values.
        sums_size: Number of sums.
    """

    def __init__(self, features: Sequence[Distribution], outputs: Sequence[Distribution]) -> None:
        self.features = tuple(features)
        self.outputs = tuple(outputs)
        self.outputs_start = _width(self.features)
        self.statuses_start = self.outputs_start + _width(self.outputs)
        self.durations_start = self.statuses_start + len(STATUSES)
        self.captures_start = self.durations_start + len(DURATION_BOUNDS) + 1
        self.size = self.captures_start + len(CAPTURE_REASONS)
        self.duration_sum = 2 * len(self.outputs)
        self.sums_size = self.duration_sum + 1

    @classmethod
    def of(cls, baseline: Baseline | None) -> Layout:
        """Return the layout for a baseline; without one, only requests are counted."""
        return cls(baseline.features, baseline.outputs) if baseline else cls((), ())


def _width(distributions: Sequence[Distribution]) -> int:
    return sum(len(distribution.cells) for distribution in distributions)
