"""Validation: how the outputs of a model and the actual values went together on rows that it was not fitted to.

From these counts come the statements on a model while it serves: its expected quality, from live outputs alone, and
the quality that outcomes are compared with. Like distributions, they are immutable values in fixed bins.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.calibration import (
    BinaryCalibration,
    ClassCalibration,
    binary_calibration,
    class_calibration,
)
from flask_boxkite.baseline.losses import RowLoss, losses_of_bins

__all__ = [
    "BinaryValidation",
    "ClassValidation",
    "Effects",
    "MeanLosses",
    "Means",
    "RegressionValidation",
    "Validation",
]

Means: TypeAlias = tuple[float, ...]
"""A mean of the validation rows in each bin; NaN in an empty bin."""

Effects: TypeAlias = tuple[float, ...]
"""A number for each group of each feature, one feature after the other, in the order of `Distribution.groups`."""


class MeanLosses(NamedTuple):
    """Losses of the validation rows in each bin of a probability: of negative rows, and of positive rows.

    Attributes:
        brier: Means of the Brier loss.
        log_loss: Means of the logarithmic loss.
        log_squares: Means of the squared logarithmic loss.
    """

    brier: tuple[Means, Means]
    log_loss: tuple[Means, Means]
    log_squares: tuple[Means, Means]


@dataclass(frozen=True)
class BinaryValidation:
    """Validation of a score with two actual values.

    Attributes:
        output: Name of the output, which is continuous.
        threshold: Score from which a row is predicted to be positive. The largest float below it is a bound of the
            output's bins, so each bin has one predicted class.
        positive: Label of the positive actual value.
        negative: Label of the other actual value.
        upper_bounds: Upper bounds of the output's bins.
        negatives: Rows per bin whose actual value is negative, one more than bounds.
        positives: Rows per bin whose actual value is positive.
        losses: Mean losses of the rows in each bin; None if the scores are no probabilities.
        areas: Share of the pairs of a positive and a negative row in each bin in which the positive row has the higher
            score, ties counted by half; NaN without pairs; None if unknown.
        effects: Positive rows that each row in a group of a feature brings among the rows that are predicted negative,
            more than its score says; then among the rows that are predicted positive; None if unknown.
    """

    kind: ClassVar[str] = "binary"

    output: str
    threshold: float
    positive: str
    negative: str
    upper_bounds: tuple[float, ...]
    negatives: tuple[int, ...]
    positives: tuple[int, ...]
    losses: MeanLosses | None = None
    areas: Means | None = None
    effects: tuple[Effects, ...] | None = field(default=None, repr=False)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the outputs that are judged."""
        return (self.output,)

    @property
    def labels(self) -> tuple[str, str]:
        """The actual values: negative, positive."""
        return self.negative, self.positive

    @property
    def shape(self) -> tuple[object, ...]:
        """The parts that must be equal for two validations to be added."""
        return (self.output, self.threshold, *self.labels, self.upper_bounds, self.is_probability)

    @property
    def identity(self) -> list[object]:
        """The parts by which two validations differ, for the fingerprint of the baseline."""
        return [self.kind, self.output, repr(self.threshold), *self.labels, self.negatives, self.positives]

    @property
    def bin_rows(self) -> tuple[int, ...]:
        """The number of validation rows in each bin."""
        return tuple(map(sum, zip(self.negatives, self.positives, strict=True)))

    @property
    def rows(self) -> int:
        """The number of validation rows."""
        return sum(self.negatives) + sum(self.positives)

    @property
    def first_positive(self) -> int:
        """The index of the first bin whose rows are predicted to be positive."""
        return bisect_left(self.upper_bounds, math.nextafter(self.threshold, -math.inf)) + 1

    @property
    def is_probability(self) -> bool:
        """Whether the scores are probabilities, so that losses of them make sense."""
        return self.losses is not None

    @cached_property
    def calibration(self) -> BinaryCalibration:
        """The shares of positive rows in each bin."""
        return binary_calibration(self.negatives, self.positives)

    @cached_property
    def known_areas(self) -> NDArray[np.float64]:
        """The *areas* as an array; one half where they are unknown."""
        areas = np.full(len(self.negatives), np.nan) if self.areas is None else np.array(self.areas)
        return np.where(np.isnan(areas), 0.5, areas)

    @cached_property
    def row_losses(self) -> Mapping[str, RowLoss]:
        """The losses of a row in each bin, by name: ``brier`` and ``log_loss``; none if scores are no probabilities."""
        return {} if self.losses is None else losses_of_bins(*self.losses, self.upper_bounds)


@dataclass(frozen=True)
class ClassValidation:
    """Validation of a predicted class: the label in a discrete output, or the most probable of several outputs.

    Attributes:
        outputs: Names of the outputs: a discrete one, or one per class, which holds its probability.
        classes: Labels of the classes, predicted and actual.
        upper_bounds: Upper bounds of the bins of the predicted class's probability; none for a discrete output.
        counts: Rows per predicted class, bin and actual class, shape (classes, bounds + 1, classes).
        effects: Mean of (right - expected share of right rows) that each group of a feature explains, alone in a tuple;
            None if unknown.
    """

    kind: ClassVar[str] = "classes"

    outputs: tuple[str, ...]
    classes: tuple[str, ...]
    upper_bounds: tuple[float, ...]
    counts: tuple[tuple[tuple[int, ...], ...], ...]
    effects: tuple[Effects, ...] | None = field(default=None, repr=False)

    @property
    def labels(self) -> tuple[str, ...]:
        """The actual values."""
        return self.classes

    @property
    def shape(self) -> tuple[object, ...]:
        """The parts that must be equal for two validations to be added."""
        return self.outputs, self.classes, self.upper_bounds

    @property
    def identity(self) -> list[object]:
        """The parts by which two validations differ, for the fingerprint of the baseline."""
        return [self.kind, self.outputs, self.classes, list(map(repr, self.upper_bounds)), self.counts]

    @property
    def rows(self) -> int:
        """The number of validation rows."""
        return sum(sum(map(sum, bins)) for bins in self.counts)

    @cached_property
    def calibration(self) -> ClassCalibration:
        """The shares of actual classes among the rows of each predicted class and bin."""
        return class_calibration(self.counts)


@dataclass(frozen=True)
class RegressionValidation:
    """Validation of a predicted number.

    The error is the output less the actual value.

    Attributes:
        output: Name of the output, which is continuous.
        upper_bounds: Upper bounds of the output's bins.
        counts: Rows per bin, one more than bounds.
        errors: Means of the error per bin.
        absolute_errors: Means of the absolute error per bin.
        squared_errors: Means of the squared error per bin.
        error_bounds: Upper bounds of bins of the absolute error: its deciles.
        error_counts: Rows per bin of the absolute error, one more than bounds.
        effects: Mean of (error, absolute error, squared error) less its mean in the output's bin that each group of a
            feature explains; None if unknown.
    """

    kind: ClassVar[str] = "regression"

    output: str
    upper_bounds: tuple[float, ...]
    counts: tuple[int, ...]
    errors: Means
    absolute_errors: Means
    squared_errors: Means
    error_bounds: tuple[float, ...]
    error_counts: tuple[int, ...]
    effects: tuple[Effects, ...] | None = field(default=None, repr=False)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the outputs that are judged."""
        return (self.output,)

    @property
    def shape(self) -> tuple[object, ...]:
        """The parts that must be equal for two validations to be added."""
        return self.output, self.upper_bounds, self.error_bounds

    @property
    def identity(self) -> list[object]:
        """The parts by which two validations differ, for the fingerprint of the baseline."""
        return [self.kind, self.output, self.counts, list(map(repr, self.error_bounds)), self.error_counts]

    @property
    def rows(self) -> int:
        """The number of validation rows."""
        return sum(self.counts)

    @cached_property
    def mean_error(self) -> float:
        """The mean absolute error."""
        return self._mean(self.absolute_errors)

    @cached_property
    def mean_square(self) -> float:
        """The mean squared error."""
        return self._mean(self.squared_errors)

    def _mean(self, means: Means) -> float:
        filled = (mean * rows for mean, rows in zip(means, self.counts, strict=True) if rows)
        return math.fsum(filled) / max(self.rows, 1)


Validation: TypeAlias = BinaryValidation | ClassValidation | RegressionValidation
