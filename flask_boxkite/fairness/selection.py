"""Which rows a model selects, and which of them came true: one label of the predicted and actual values, or a score.

A selected row is one that is predicted to have the label: by a score at or above a threshold, by the most probable
class, or by a label itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from flask_boxkite.baseline import Baseline, Continuous, Discrete
from flask_boxkite.baseline.validation import BinaryValidation, ClassValidation, RegressionValidation
from flask_boxkite.errors import BoxkiteError
from flask_boxkite.live.cells import ContinuousCells, DiscreteCells
from flask_boxkite.naming import canonical_number, category_text
from flask_boxkite.outcomes.reader import OutcomeReader, outcome_reader
from flask_boxkite.suggestion import suggestion
from flask_boxkite.values.conversion import InvalidValue, to_number
from flask_boxkite.values.near_labels import NearLabels

__all__ = ["Selection", "selection_of"]

_SHOWN = 10
"""Most labels that a message lists."""

Judge = Callable[[Any], "bool | None"]
"""Says yes, no, or None for a value that cannot be read."""


class Selection:
    """Reads the outputs and the actual value of a row.

    Attributes:
        positive: Label of the actual value that a selected row is predicted to have; None if there is none.
        text: Selected rows in words, such as ``'score' at least 0.5``.
        labels: Actual values that are known; none for numbers.

    Args:
        positive: Label.
        text: Words.
        is_selected: Judge of the outputs of a row, in the order of the baseline.
        is_positive: Judge of an actual value; None if the label is not known.
        labels: Actual values that are known.
    """

    def __init__(
        self,
        positive: str | None,
        text: str,
        is_selected: Judge,
        is_positive: Judge | None,
        labels: Sequence[str] = (),
    ) -> None:
        self.positive = positive
        self.text = text
        self.labels = tuple(labels)
        self._is_selected, self._is_positive = is_selected, is_positive

    def is_selected(self, row: Sequence[Any]) -> bool | None:
        """Say whether the model selects a row; None if its outputs cannot be read.

        Args:
            row: Outputs in the order of the baseline.
        """
        return self._is_selected(row)

    @property
    def knows_actual(self) -> bool:
        """Whether actual values can be read."""
        return self._is_positive is not None

    def is_positive(self, actual: Any) -> bool | None:
        """Say whether an actual value is positive; None if it cannot be read."""
        assert self._is_positive is not None
        return self._is_positive(actual)


def selection_of(baseline: Baseline, positive: Any = None, threshold: float | None = None) -> Selection:
    """Return the selection by a model's outputs.

    Args:
        baseline: Baseline of the model.
        positive: Label of the predicted and actual value that counts as selected; None for the positive label of a
            score's validation.
        threshold: Score, or predicted number, from which a row is selected; None for the threshold of the validation.

    Raises:
        BoxkiteError: The outputs need an option that was not given, or do not fit one that was.
    """
    if threshold is not None and (isinstance(threshold, (str, bool)) or _number(threshold) is None):
        msg = f"'threshold' must be a number, got {threshold!r}."
        raise BoxkiteError(msg)
    validation = baseline.validation
    if isinstance(validation, BinaryValidation):
        return _of_score(baseline, validation, positive, threshold)
    if isinstance(validation, RegressionValidation):
        return _of_number(baseline, validation, positive, threshold)
    if isinstance(validation, ClassValidation):
        _refuse_threshold(threshold)
        return _of_classes(baseline, validation, positive)
    if not baseline.outputs:
        msg = "The baseline has no outputs, so no row is selected. Write one with export_text(..., inference=scores)."
        raise BoxkiteError(msg)
    if len(baseline.outputs) > 1:
        _refuse_threshold(threshold)
        return _of_probabilities(baseline, positive)
    (item,) = baseline.outputs
    if isinstance(item, Discrete):
        _refuse_threshold(threshold)
        return _of_label(item, positive)
    return _of_bare_score(item, positive, threshold)


# --- with actual values in the baseline ------------------------------------------------------------------------------


def _of_score(baseline: Baseline, validation: BinaryValidation, positive: Any, threshold: float | None) -> Selection:
    reader = _reader(baseline)
    place = 1 if positive is None else _place(positive, validation.labels, _missing_texts(baseline, validation.output))
    cells = _cells(baseline, validation.output)
    if threshold is None:
        reaches = _by_bins(reader, cells, validation.first_positive)
    else:
        reaches = _by_number(reader.value_of, cells, threshold)

    def is_selected(row: Sequence[Any]) -> bool | None:
        reached = reaches(row)
        return None if reached is None else reached is (place == 1)

    def is_positive(actual: Any) -> bool | None:
        counted = reader.count(validation.threshold, actual)
        return None if counted is None else counted[0] % 2 == place

    least = validation.threshold if threshold is None else threshold
    text = f"{validation.output!r} {'at least' if place else 'below'} {least:g}"
    return Selection(validation.labels[place], text, is_selected, is_positive, validation.labels)


def _of_number(
    baseline: Baseline, validation: RegressionValidation, positive: Any, threshold: float | None
) -> Selection:
    if threshold is None or positive is not None:
        msg = (
            f"The output {validation.output!r} is a number. Give the number from which a row counts as selected: "
            "threshold=… ('--threshold'), without 'positive'."
        )
        raise BoxkiteError(msg)
    least, reader = threshold, _reader(baseline)
    reaches = _by_number(reader.value_of, _cells(baseline, validation.output), least)

    def is_positive(actual: Any) -> bool | None:
        number = _number(actual)
        return None if number is None else number >= least

    return Selection(None, f"{validation.output!r} at least {least:g}", reaches, is_positive)


def _of_classes(baseline: Baseline, validation: ClassValidation, positive: Any) -> Selection:
    reader = _reader(baseline)
    labels, bins = validation.classes, len(validation.upper_bounds) + 1
    place = _place(positive, labels, _missing_texts(baseline, validation.outputs[0]))

    def is_selected(row: Sequence[Any]) -> bool | None:
        value = reader.value_of(row)
        return None if value is None else int(value) // bins == place

    def is_positive(actual: Any) -> bool | None:
        counted = reader.count(0.0, actual)
        return None if counted is None else counted[0] % (len(labels) + 1) == place

    return Selection(labels[place], f"predicted class {labels[place]!r}", is_selected, is_positive, labels)


def _reader(baseline: Baseline) -> OutcomeReader:
    reader = outcome_reader(baseline)
    assert reader is not None
    return reader


def _by_bins(reader: OutcomeReader, cells: ContinuousCells, first: int) -> Judge:
    """Judge by bins, as live: scores of float32 compare by the decimals that training had."""

    def reaches(row: Sequence[Any]) -> bool | None:
        value = reader.value_of(row)
        return None if value is None else cells.locate(value)[0] >= first

    return reaches


# --- without them ----------------------------------------------------------------------------------------------------


def _of_bare_score(item: Continuous, positive: Any, threshold: float | None) -> Selection:
    if threshold is None:
        msg = (
            f"The baseline does not say from which {item.name!r} on a row is selected. Give it: threshold=0.5 "
            "('--threshold')."
        )
        raise BoxkiteError(msg)
    reaches = _by_number(lambda row: _number(row[0]), ContinuousCells(item, 0), threshold)
    label = None if positive is None else _label(positive)
    labels = () if label is None else (label,)
    is_positive = None if label is None else _equals(label, labels, item.missing_texts)
    return Selection(label, f"{item.name!r} at least {threshold:g}", reaches, is_positive, labels)


def _of_label(item: Discrete, positive: Any) -> Selection:
    label = item.categories[_place(positive, item.categories, item.missing_texts)]
    is_label = _equals(label, item.categories, item.missing_texts)
    text = f"predicted class {label!r}"
    return Selection(label, text, lambda row: is_label(row[0]), is_label, item.categories)


def _of_probabilities(baseline: Baseline, positive: Any) -> Selection:
    names = [item.name for item in baseline.outputs]
    missing_texts = baseline.outputs[0].missing_texts
    place = _place(positive, names, missing_texts)

    def is_selected(row: Sequence[Any]) -> bool | None:
        numbers = [number for value in row if (number := _number(value)) is not None]
        return numbers.index(max(numbers)) == place if len(numbers) == len(names) else None

    text = f"{names[place]!r} the largest of the outputs"
    labels = list(map(_label, names))
    return Selection(names[place], text, is_selected, _equals(labels[place], labels, missing_texts), names)


# --- parts -----------------------------------------------------------------------------------------------------------


def _by_number(value_of: Callable[[Sequence[Any]], float | None], cells: ContinuousCells, threshold: float) -> Judge:
    """Judge by the number itself; both are rounded to the floats of training."""
    rounded = cells.width.rounded if cells.width.is_narrow else float
    least = rounded(threshold)

    def reaches(row: Sequence[Any]) -> bool | None:
        value = value_of(row)
        return None if value is None else rounded(value) >= least

    return reaches


def _cells(baseline: Baseline, output: str) -> ContinuousCells:
    (item,) = (item for item in baseline.outputs if item.name == output)
    assert isinstance(item, Continuous)
    return ContinuousCells(item, 0)


def _missing_texts(baseline: Baseline, output: str) -> frozenset[str]:
    return next(item.missing_texts for item in baseline.outputs if item.name == output)


def _place(label: Any, known: Sequence[str], missing_texts: frozenset[str]) -> int:
    """Return the place of a label that a user gives, among known ones.

    Raises:
        BoxkiteError: It is none of them, or was not given.
    """
    if label is None:
        msg = f"Name the class that counts as selected: positive={known[0]!r} ('--positive'). {_listed(known)}"
        raise BoxkiteError(msg)
    cell, _ = _cells_of(known, missing_texts).locate(label)
    if cell >= len(known):
        msg = f"'positive' is none of the model's classes: {label!r}. {suggestion(str(label), list(known))}"
        raise BoxkiteError(msg)
    return cell


def _label(value: Any) -> str:
    """Return a label in the form of categories."""
    number = _number(value)
    return category_text(str(value)) if number is None else canonical_number(number)


def _listed(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - _SHOWN:,} more" if len(labels) > _SHOWN else ""
    return f"There are: {', '.join(map(repr, labels[:_SHOWN]))}{more}."


def _equals(label: str, known: Sequence[str], missing_texts: frozenset[str]) -> Judge:
    """Return a judge of values that are a label; None for missing values, containers, and other spellings of labels.

    Args:
        label: The label.
        known: All labels that are known.
        missing_texts: Texts that stand for a missing value.
    """
    cells, all_cells, near = _cells_of([label], missing_texts), _cells_of(known, missing_texts), NearLabels(known)
    unreadable = (cells.missing, cells.invalid) if cells.is_text else (cells.missing,)

    def is_label(value: Any) -> bool | None:
        cell, _ = cells.locate(value)
        if cell in unreadable or isinstance(value, (list, dict)):
            return None
        if cell != 0 and value in near and all_cells.locate(value)[0] >= len(known):
            return None
        return cell == 0

    return is_label


def _cells_of(labels: Sequence[str], missing_texts: frozenset[str]) -> DiscreteCells:
    return DiscreteCells(Discrete("actual", tuple(labels), (0,) * len(labels), missing_texts=missing_texts), 0)


def _number(value: Any) -> float | None:
    try:
        number = to_number(value)
    except InvalidValue:
        return None
    return number if math.isfinite(number) else None


def _refuse_threshold(threshold: float | None) -> None:
    if threshold is not None:
        msg = "'threshold' needs a score, but the model predicts classes. Name one of them as 'positive' instead."
        raise BoxkiteError(msg)
