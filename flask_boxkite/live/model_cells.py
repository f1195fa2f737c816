"""The layout of a model's live counts: the index of each cell.

A model's bins are known before the first request, so its layout is fixed for the life of a baseline: the cells of
every feature, then of every output (`baseline.distribution`), whole rows by their hash, request counts, rows by both
variables of a pair, then the rows of each segment. Beside the cells there are sums, which are floats.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from flask_boxkite.baseline import Baseline, Distribution
from flask_boxkite.baseline.pairs import CELLS as PAIR_CELLS
from flask_boxkite.baseline.pairs import Pair
from flask_boxkite.baseline.segmentation import Segmentation
from flask_boxkite.baseline.validation import ClassValidation
from flask_boxkite.baseline.variables import variables_of
from flask_boxkite.naming import CAPTURE_REASONS, DROP_REASONS, FAILED_STATES, STATE_FILES, STATUSES
from flask_boxkite.values.rowhash import ROW_BUCKETS

__all__ = ["DURATION_BOUNDS", "FORMAT", "ModelCells"]

DURATION_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the duration histogram, in seconds."""

_NAMES = (STATUSES, DURATION_BOUNDS, CAPTURE_REASONS, FAILED_STATES, DROP_REASONS, STATE_FILES)
FORMAT = zlib.crc32(repr((5, *_NAMES)).encode())
"""Hash of all names that a layout depends on besides the baseline; numbers of another format are not read."""


class ModelCells:
    """The cells of one model.

    Attributes:
        features: Distributions of the features, for their bins.
        outputs: Distributions of the outputs.
        variables: Both, each with its slice of cells.
        outputs_start: First cell of the outputs.
        buckets_start: First of the `ROW_BUCKETS` cells in which rows are counted; without variables they stay empty.
        squares: Cell of the sum of squares of the requests' numbers of rows.
        statuses_start: First cell of the predictions by status.
        durations_start: First cell of the duration bins.
        captures_start: First cell of the capture errors by reason.
        failed_start: First cell of the features of failed requests: `FAILED_STATES` of one feature after the other.
        classes_start: First cell of the rows by predicted class and bin of its probability, for classes whose
            probabilities are several outputs and are compared with actual values.
        pairs: Pairs of variables that go together.
        pairs_start: First cell of the rows by the parts of both variables of each pair.
        segmentations: Variables whose rows are also counted apart for each of their segments.
        segments_start: First cell of the segments: of each one its rows by the groups of all variables, by bucket, and
            the squares of its rows in each request.
        segment_size: Number of cells of a segment.
        size: Number of cells.
        duration_sum: Index of the sum of durations; it stands behind two sums per output, of positive and of negative
            values.
        sums_size: Number of sums.
    """

    def __init__(
        self,
        features: Sequence[Distribution],
        outputs: Sequence[Distribution],
        classes: int = 0,
        pairs: Sequence[Pair] = (),
        segmentations: Sequence[Segmentation] = (),
    ) -> None:
        self.features = tuple(features)
        self.outputs = tuple(outputs)
        self.variables = variables_of(self.features, self.outputs)
        ends = [item.cells.stop for item in self.variables]
        self.outputs_start = ends[len(self.features) - 1] if self.features else 0
        self.buckets_start = ends[-1] if ends else 0
        self.squares = self.buckets_start + ROW_BUCKETS
        self.statuses_start = self.squares + 1
        self.durations_start = self.statuses_start + len(STATUSES)
        self.captures_start = self.durations_start + len(DURATION_BOUNDS) + 1
        self.failed_start = self.captures_start + len(CAPTURE_REASONS)
        self.classes_start = self.failed_start + len(FAILED_STATES) * len(self.features)
        self.pairs = tuple(pairs)
        self.pairs_start = self.classes_start + classes
        self.segmentations = tuple(segmentations)
        self.segments_start = self.pairs_start + PAIR_CELLS * len(self.pairs)
        self.segment_size = sum(len(item.distribution.groups) for item in self.variables) + ROW_BUCKETS + 1
        self.size = self.segments_start + self.segment_size * sum(len(item.names) for item in self.segmentations)

        self.duration_sum = 2 * len(self.outputs)
        self.sums_size = self.duration_sum + 1

    def cells_of_segments(self, item: Segmentation) -> slice:
        """Return the cells of all segments of a segmentation, one segment after the other."""
        before = self.segmentations[: self.segmentations.index(item)]
        start = self.segments_start + self.segment_size * sum(len(other.names) for other in before)
        return slice(start, start + self.segment_size * len(item.names))

    @classmethod
    def of(cls, baseline: Baseline | None) -> ModelCells:
        """Return the layout for a baseline; without a baseline, only requests are counted."""
        if baseline is None:
            return cls((), ())
        validation, classes = baseline.validation, 0
        if isinstance(validation, ClassValidation) and len(validation.outputs) > 1:
            classes = len(validation.classes) * (len(validation.upper_bounds) + 1)
        return cls(baseline.features, baseline.outputs, classes, baseline.pairs, baseline.segmentations)
