"""Outputs of two models and actual values, read in common terms: the labels of both, or numbers."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline import Baseline, Continuous
from flask_boxkite.baseline.validation import BinaryValidation, ClassValidation, RegressionValidation, Validation
from flask_boxkite.errors import BoxkiteError
from flask_boxkite.live.cells import ContinuousCells
from flask_boxkite.outcomes.reader import OutcomeReader, outcome_reader, score_losses

__all__ = ["KnownRow", "KnownRows", "PairReader"]


class KnownRow(NamedTuple):
    """A row with its actual value.

    Attributes:
        label: Place of the actual value among the labels, behind the last for a class that neither model knows; 0 for
            numbers.
        losses: Numbers of either model: Brier and logarithmic loss of probabilities, the error of a predicted number;
            else none.
    """

    label: int
    losses: tuple[tuple[float, ...], tuple[float, ...]]


class KnownRows:
    """Rows with their actual values, in at most 48 bytes each."""

    def __init__(self) -> None:
        self._places, self._labels, self._losses = array("q"), array("q"), array("d")

    def __len__(self) -> int:
        return len(self._places)

    def copy(self) -> KnownRows:
        """Return the same rows, to which others may be added."""
        rows = KnownRows()
        rows._places, rows._labels, rows._losses = self._places[:], self._labels[:], self._losses[:]
        return rows

    def add(self, place: int, row: KnownRow) -> None:
        """Add a row."""
        self._places.append(place)
        self._labels.append(row.label)
        for losses in row.losses:
            self._losses.extend(losses)

    @property
    def places(self) -> NDArray[np.int64]:
        """The places of the rows among all pairs, shape (rows,)."""
        return np.array(self._places, dtype=np.int64)

    @property
    def labels(self) -> NDArray[np.int64]:
        """The places of the actual values among the labels, shape (rows,)."""
        return np.array(self._labels, dtype=np.int64)

    def losses(self, number: int) -> NDArray[np.float64]:
        """Return the losses of the rows, of either model, shape (number, 2, rows).

        Args:
            number: Number of losses of a row.
        """
        found = np.array(self._losses, dtype=np.float64).reshape(len(self), 2, number)
        return np.ascontiguousarray(found.transpose(2, 1, 0))


class PairReader:
    """Reads the rows of two models of one kind.

    Attributes:
        kind: ``binary``, ``classes`` or ``regression``.
        labels: Actual values that either model knows, the champion's first; negative and positive for binary; none for
            numbers.
        readers: Readers of either model's outputs.
        has_losses: Whether known rows of scores have losses: both scores are probabilities.

    Args:
        champion: Baseline of the champion.
        challenger: Baseline of the challenger.

    Raises:
        BoxkiteError: A baseline has no actual values, or the models cannot be compared.
    """

    def __init__(self, champion: Baseline, challenger: Baseline) -> None:
        baselines = {"champion": champion, "challenger": challenger}
        self._validations = [_validation(name, baseline) for name, baseline in baselines.items()]
        self.readers = [_reader(baseline) for baseline in baselines.values()]
        first, second = self._validations
        if first.kind != second.kind:
            msg = (
                f"The champion is of the kind {first.kind!r}, the challenger {second.kind!r}, so no metric fits both. "
                "Write both baselines with the same form of outputs and actual values."
            )
            raise BoxkiteError(msg)
        self.kind = first.kind
        self.labels = _labels(first, second)
        self.has_losses = all(isinstance(each, BinaryValidation) and each.is_probability for each in (first, second))
        self._places = [self._places_of(each) for each in (first, second)]
        self._cells = list(map(_score_cells, (champion, challenger)))

    def _places_of(self, validation: Validation) -> NDArray[np.int64]:
        """Return the places of a model's actual values among the labels; behind its classes, the place of any other."""
        if not isinstance(validation, ClassValidation):
            return np.arange(len(self.labels))
        return np.array([*map(self.labels.index, validation.classes), len(self.labels)])

    def predicted(self, values: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the place of each predicted label, shape (2, rows).

        Args:
            values: Numbers that stand for the outputs, shape (2, rows).
        """
        guesses = []
        for own, validation, places, cells in zip(values, self._validations, self._places, self._cells, strict=True):
            if isinstance(validation, ClassValidation):
                guesses.append(places[own.astype(np.int64) // (len(validation.upper_bounds) + 1)])
            else:
                assert isinstance(validation, BinaryValidation)
                assert cells is not None
                # By bins, as live: scores of float32 compare by the decimals that training had.
                guesses.append((cells.bins_of(own) >= validation.first_positive).astype(np.int64))
        return np.stack(guesses)

    def known(self, values: Sequence[float], actual: object) -> KnownRow | None:
        """Return a row with its actual value; None if that cannot be read.

        Args:
            values: Numbers that stand for the outputs of either model.
            actual: Value that came true.
        """
        counted = [reader.count(float(value), actual) for reader, value in zip(self.readers, values, strict=True)]
        if self.kind == "classes":
            # A class that only one model knows is wrong for the other; one that neither knows, for both.
            known = [
                int(places[found[0] % len(places)])
                for found, places in zip(counted, self._places, strict=True)
                if found is not None
            ]
            return KnownRow(min(known), ((), ())) if known else None
        first, second = counted
        if first is None or second is None:
            return None
        if self.kind == "binary":
            return KnownRow(first[0] % 2, (first[1], second[1]) if self.has_losses else ((), ()))
        (over, under, _), (over_too, under_too, _) = first[1], second[1]
        return KnownRow(0, ((over - under,), (over_too - under_too,)))

    def supposed(self, values: Sequence[float], label: int, actual: float) -> KnownRow:
        """Return a row with an actual value that is supposed.

        Args:
            values: Numbers that stand for the outputs of either model.
            label: Place of the actual value among the labels; 0 for numbers.
            actual: Actual number; any for labels.
        """
        first, second = values
        if self.kind == "regression":
            return KnownRow(0, ((first - actual,), (second - actual,)))
        if not self.has_losses:
            return KnownRow(label, ((), ()))
        return KnownRow(label, (score_losses(first, label), score_losses(second, label)))


def _validation(name: str, baseline: Baseline) -> Validation:
    if baseline.validation is None:
        msg = (
            f"The baseline of the {name} has no actual values, which say how its outputs are judged. Write one with "
            "export_text(..., actual=...), of rows that the model was not fitted to."
        )
        raise BoxkiteError(msg)
    return baseline.validation


def _reader(baseline: Baseline) -> OutcomeReader:
    reader = outcome_reader(baseline)
    assert reader is not None
    return reader


def _score_cells(baseline: Baseline) -> ContinuousCells | None:
    """Return the bins of a score with two actual values; None for other kinds."""
    validation = baseline.validation
    if not isinstance(validation, BinaryValidation):
        return None
    (item,) = (item for item in baseline.outputs if item.name == validation.output)
    assert isinstance(item, Continuous)
    return ContinuousCells(item, 0)


def _labels(first: Validation, second: Validation) -> tuple[str, ...]:
    if isinstance(first, RegressionValidation) or isinstance(second, RegressionValidation):
        return ()
    if isinstance(first, ClassValidation):
        return tuple(dict.fromkeys((*first.labels, *second.labels)))
    if first.labels != second.labels:
        texts = ["{!r} and, as positive, {!r}".format(*each.labels) for each in (first, second)]
        msg = (
            f"The champion predicts {texts[0]}, the challenger {texts[1]}. Write both baselines with the same actual "
            "values, and the same 'positive'."
        )
        raise BoxkiteError(msg)
    return first.labels
