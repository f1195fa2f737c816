"""Outputs and actual values as an outcome counts them: the cell, and the amounts of the sums.

One number stands for the outputs of a row, so that an id can carry it: the score or the predicted number itself, or the
number of the predicted class, with the bin of its probability.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

from flask_boxkite.baseline import Baseline, Continuous, Discrete
from flask_boxkite.baseline.codes import NEAREST, Code, SingleCode, number_code
from flask_boxkite.baseline.losses import SMALLEST
from flask_boxkite.baseline.validation import BinaryValidation, ClassValidation, RegressionValidation
from flask_boxkite.live.cells import DiscreteCells, cells_of
from flask_boxkite.values.conversion import InvalidValue, to_number, to_text
from flask_boxkite.values.near_labels import NearLabels

__all__ = ["Losses", "OutcomeReader", "outcome_reader", "score_losses"]

Losses: TypeAlias = tuple[float, ...]
"""Losses or errors of a row, in the order of `OutcomeCells.units`."""


class OutcomeReader(Protocol):
    """Reads the outputs and the actual value of a row.

    Attributes:
        code: Code of the number that stands for a row's outputs, for an id or a table.
    """

    code: Code

    def value_of(self, row: Sequence[Any]) -> float | None:
        """Return the number that stands for a row's outputs; None if it cannot be judged.

        Args:
            row: Outputs in the order of the baseline.
        """

    def count(self, value: float, actual: Any) -> tuple[int, Losses] | None:
        """Return the cell of an outcome, and its losses; None if the actual value cannot be read.

        A score has two actual values, any other cannot be read. Among classes, any other single value is one that
        validation never had, but for another spelling of a class, such as ``Spam`` for ``spam``.

        Args:
            value: Number that stands for the outputs.
            actual: Value that came true.
        """


def outcome_reader(baseline: Baseline) -> OutcomeReader | None:
    """Return the reader of a model's outcomes; None if its baseline has no actual values."""
    validation = baseline.validation
    if validation is None:
        return None
    places = {item.name: place for place, item in enumerate(baseline.outputs)}
    outputs = {item.name: item for item in baseline.outputs}
    if isinstance(validation, ClassValidation):
        missing_texts = outputs[validation.outputs[0]].missing_texts
        if len(validation.outputs) == 1:
            return _LabelReader(validation, missing_texts, places[validation.outputs[0]])
        return _ProbabilityReader(validation, missing_texts, [places[name] for name in validation.outputs])
    item = outputs[validation.output]
    assert isinstance(item, Continuous)
    kind = _ScoreReader if isinstance(validation, BinaryValidation) else _NumberReader
    return kind(validation, item, places[item.name])  # type: ignore[arg-type]


class _Labels:
    """Finds the place of a label among the actual values, read as categories are.

    Args:
        labels: Labels, as the baseline writes them.
        missing_texts: Texts that stand for a missing value, besides the usual ones.
    """

    def __init__(self, labels: Sequence[str], missing_texts: frozenset[str]) -> None:
        item = Discrete("actual", tuple(labels), (0,) * len(labels), missing_texts=missing_texts)
        self._cells = DiscreteCells(item, 0)
        self._number = len(labels)
        self._near = NearLabels(labels)

    def place(self, value: Any) -> int | None:
        """Return the place of a label; None if it is none of them."""
        cell, _ = self._cells.locate(value)
        return cell if cell < self._number else None

    def place_of_actual(self, value: Any) -> int | None:
        """Return the place of a label, the one behind all labels for any other text, number or boolean.

        None if the value is missing, an empty text, another spelling of a label, or no single value.
        """
        if isinstance(value, str) and not value.strip():
            return None
        cell, _ = self._cells.locate(value)
        if cell < self._number:
            return cell
        if value in self._near:
            return None
        return self._number if cell != self._cells.missing and _is_single(value) else None


def _is_single(value: Any) -> bool:
    """Say whether a value is not missing, and not a container; of numeric labels, a text is as single as a number."""
    try:
        return to_text(value) is not None
    except InvalidValue:
        return False


class _ScoreReader:
    """Reads a score of two actual values."""

    def __init__(self, validation: BinaryValidation, item: Continuous, place: int) -> None:
        self._item = cells_of(item, 0)
        self.code: Code = SingleCode(item.upper_bounds, validation.is_probability)
        self._bins = len(item.counts)
        self._place = place
        self._labels = _Labels(validation.labels, item.missing_texts)
        self._is_probability = validation.is_probability

    def value_of(self, row: Sequence[Any]) -> float | None:
        """See `OutcomeReader`."""
        return _finite(row[self._place])

    def count(self, value: float, actual: Any) -> tuple[int, Losses] | None:
        """See `OutcomeReader`."""
        label = self._labels.place(actual)
        bin_, _ = self._item.locate(value)
        if label is None or bin_ >= self._bins:
            return None
        return 2 * bin_ + label, score_losses(value, label) if self._is_probability else ()


def score_losses(score: float, label: int) -> Losses:
    """Return the Brier and the logarithmic loss of a score, for which 0 and 1 are the limits."""
    inside = min(max(score, 0.0), 1.0)
    clipped = min(max(inside, SMALLEST), 1 - SMALLEST)
    return (inside - label) ** 2, -math.log(clipped) if label else -math.log1p(-clipped)


class _NumberReader:
    """Reads a predicted number."""

    def __init__(self, validation: RegressionValidation, item: Continuous, place: int) -> None:
        self.code: Code = number_code(validation)
        self._place = place
        self._bounds = validation.error_bounds

    def value_of(self, row: Sequence[Any]) -> float | None:
        """See `OutcomeReader`."""
        return _finite(row[self._place])

    def count(self, value: float, actual: Any) -> tuple[int, Losses] | None:
        """See `OutcomeReader`."""
        number = _finite(actual)
        if number is None:
            return None
        error = value - number
        square = error * error  # a power raises where it is too large
        if not math.isfinite(square):
            return None
        return bisect_left(self._bounds, abs(error)), (max(error, 0.0), max(-error, 0.0), square)


class _LabelReader:
    """Reads a predicted label; its number is the place of the class."""

    code: Code = NEAREST

    def __init__(self, validation: ClassValidation, missing_texts: frozenset[str], place: int) -> None:
        self._labels = _Labels(validation.classes, missing_texts)
        self._classes = len(validation.classes)
        self._place = place

    def value_of(self, row: Sequence[Any]) -> float | None:
        """See `OutcomeReader`."""
        return self._labels.place(row[self._place])

    def count(self, value: float, actual: Any) -> tuple[int, Losses] | None:
        """See `OutcomeReader`."""
        label = self._labels.place_of_actual(actual)
        if label is None or value not in range(self._classes):
            return None
        return int(value) * (self._classes + 1) + label, ()


class _ProbabilityReader:
    """Reads the probabilities of several classes; the number is the one of the predicted class and its bin."""

    code: Code = NEAREST

    def __init__(self, validation: ClassValidation, missing_texts: frozenset[str], places: Sequence[int]) -> None:
        self._labels = _Labels(validation.classes, missing_texts)
        self._classes = len(validation.classes)
        self._bounds = validation.upper_bounds
        self._places = places

    def value_of(self, row: Sequence[Any]) -> float | None:
        """See `OutcomeReader`."""
        numbers = [number for place in self._places if (number := _finite(row[place])) is not None]
        if len(numbers) < len(self._places):
            return None
        largest = max(numbers)
        return numbers.index(largest) * (len(self._bounds) + 1) + bisect_left(self._bounds, largest)

    def count(self, value: float, actual: Any) -> tuple[int, Losses] | None:
        """See `OutcomeReader`."""
        label = self._labels.place_of_actual(actual)
        if label is None or value not in range(self._classes * (len(self._bounds) + 1)):
            return None
        return int(value) * (self._classes + 1) + label, ()


def _finite(value: Any) -> float | None:
    """Return a value as a finite number; None if it is none."""
    try:
        number = to_number(value)
    except InvalidValue:
        return None
    return number if math.isfinite(number) else None
