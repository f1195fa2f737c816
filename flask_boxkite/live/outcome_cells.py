"""The layout of a model's outcomes: the index of each count.

Outcomes are counted in the cells of the validation that they are compared with, so the layout is fixed for the life of
a baseline, as the one of its predictions is (`model_cells`).

Sums of losses and errors are whole numbers of small units: they are exact in any order of adding, so they never fall,
and windows of time can be cut out of them as of counts. An error has no largest value, so its sum has several cells,
for the digits of the number in base 2^32.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline.codes import NEAREST, largest_step, number_code
from flask_boxkite.baseline.validation import BinaryValidation, ClassValidation, RegressionValidation, Validation
from flask_boxkite.naming import REJECTIONS

__all__ = ["CAP", "FORMAT", "LAG_BOUNDS", "LargeErrors", "OutcomeCells"]

_HOUR, _DAY = 3600.0, 86400.0
LAG_BOUNDS = (
    *(60.0, 120.0, 300.0, 600.0, 1200.0, _HOUR, 2 * _HOUR, 4 * _HOUR, 8 * _HOUR, 12 * _HOUR),
    *(_DAY, 2 * _DAY, 4 * _DAY, 7 * _DAY, 10 * _DAY, 14 * _DAY, 21 * _DAY, 30 * _DAY),
    *(45 * _DAY, 60 * _DAY, 90 * _DAY, 180 * _DAY),
)
"""Upper bounds of the time from a prediction to its outcome, in seconds."""

FORMAT = zlib.crc32(repr((3, REJECTIONS, LAG_BOUNDS)).encode())
"""Hash of all names that a layout depends on besides the validation."""

_UNITS_PER_ROW = 2.0**32
"""Units of a usual loss or error of one row: a sum of a billion rows fits into 63 bits, and rounding of a row is below
2e-10 of its usual size."""

_DIGIT = 32
"""Bits of a digit, of which a cell adds up a billion."""

_LAST_DIGIT = 2**52 - 1
"""Most that one row adds to the last cell of a sum. A loss fits into one cell."""

_ERROR_CELLS, _SQUARE_CELLS = 3, 6
"""Cells of a sum of errors and of squared errors: errors are cut at 2^84 usual ones, and their squares only from 2^90
on, so that the root of the mean square stays above the mean."""


CAP = 5.0
"""Absolute error, in root mean squared errors of validation, from which all are taken for equal in `LargeErrors`."""


class LargeErrors(NamedTuple):
    """Errors that decide on the mean, though they may be too few for a change of the ranks.

    Attributes:
        capped: Sum of the absolute errors in parts of the cap, at most 1 each. The cap is `CAP` root mean squared
            errors of validation; if that had none, an error is 1 if it is `beyond`, and 0 otherwise.
        beyond: Number of errors that are larger than a validation row can have had, given their mean square, and than
            rounding of an output to 32 bits can explain.
    """

    capped: float
    beyond: int


class OutcomeCells:
    """The cells of one model's outcomes.

    Attributes:
        validation: Validation that outcomes are compared with.
        shape: Shape of the counts by bin, predicted and actual value: (bins, 2) for a score, negative and positive;
            (classes, bins, classes + 1) for classes, predicted and actual, the last actual one being any that
            validation never had; (bins of the absolute error,) for a number.
        lags_start: First cell of the outcomes by lag; the counts themselves begin at 0.
        rejections_start: First cell of the rejected outcomes, by `naming.REJECTIONS`.
        first_cell: Cell of the time of the first prediction with an outcome, in whole Unix seconds.
        sums_start: First cell of the sums.
        units: Size of a unit of each sum, by name: ``brier`` and ``log_loss`` of a probability; ``over`` and ``under``,
            the errors of outputs that are above the actual value, and of others, and ``squares`` of a number.
        size: Number of cells.
    """

    def __init__(self, validation: Validation) -> None:
        self.validation = validation
        self.shape = _shape(validation)
        self.lags_start = int(np.prod(self.shape))
        self.rejections_start = self.lags_start + len(LAG_BOUNDS) + 1
        self.first_cell = self.rejections_start + len(REJECTIONS)
        self.sums_start = self.first_cell + 1
        self.units = _units(validation)
        self._sums = tuple(_digits(validation, self.units, self.sums_start))
        self._large_start = self._sums[-1].stop if self._sums else self.sums_start
        self._limits = _limits(validation)
        self.size = self._large_start + len(self._limits)

    def counts(self, cells: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the counts by bin, predicted and actual value, in their `shape`."""
        return cells[: self.lags_start].reshape(self.shape)

    def unseen(self, cells: NDArray[np.int64]) -> int:
        """Return the number of outcomes of a class that validation never had; 0 of scores and numbers."""
        return int(self.counts(cells)[..., -1].sum()) if isinstance(self.validation, ClassValidation) else 0

    def lags(self, cells: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the outcomes by lag, one more than there are bounds."""
        return cells[self.lags_start : self.rejections_start]

    def rejections(self, cells: NDArray[np.int64]) -> dict[str, int]:
        """Return the rejected outcomes by reason."""
        return dict(zip(REJECTIONS, cells[self.rejections_start : self.first_cell].tolist(), strict=True))

    def first_prediction(self, cells: NDArray[np.int64]) -> float | None:
        """Return the Unix time of the first prediction with an outcome; None without outcomes."""
        return float(cells[self.first_cell]) or None

    def amounts(self, values: Iterable[float]) -> tuple[tuple[int, int], ...]:
        """Return the cells of the sums and of large errors, with the amounts that a row adds.

        Args:
            values: Losses or errors of the row, 0 or more, in the order of the units.
        """
        given = tuple(values)
        sums = zip(given, self.units.values(), self._sums, strict=True)
        pairs = [pair for value, unit, cells in sums for pair in _amounts(value / unit, cells)]
        if self._limits:
            (cap, most), error = self._limits, given[0] + given[1]
            capped = min(error / cap, 1.0) if cap > 0 else float(error > most)
            pairs += (self._large_start, round(capped * _UNITS_PER_ROW)), (self._large_start + 1, int(error > most))
        return tuple(pairs)

    def sums(self, cells: NDArray[np.int64]) -> dict[str, float]:
        """Return the sums by name."""
        return {
            name: sum(digit << _DIGIT * place for place, digit in enumerate(cells[own.start : own.stop].tolist()))
            * unit
            for (name, unit), own in zip(self.units.items(), self._sums, strict=True)
        }

    def large_errors(self, cells: NDArray[np.int64]) -> LargeErrors:
        """Return the large errors of a number; none of scores and classes."""
        if not self._limits:
            return LargeErrors(0.0, 0)
        capped, beyond = cells[self._large_start :].tolist()
        return LargeErrors(capped / _UNITS_PER_ROW, beyond)


def _amounts(units: float, cells: range) -> Iterator[tuple[int, int]]:
    """Yield the digits of a whole number by cell, from the lowest one; the last takes the rest."""
    most = (_LAST_DIGIT << _DIGIT * (len(cells) - 1)) - 1
    rest = most if units > most else round(units)
    for cell in cells[:-1]:
        yield cell, rest & 2**_DIGIT - 1
        rest >>= _DIGIT
    yield cells[-1], rest


def _digits(validation: Validation, names: Iterable[str], start: int) -> Iterator[range]:
    """Yield the cells of each sum."""
    for name in names:
        number = (_SQUARE_CELLS if name == "squares" else _ERROR_CELLS) if validation.kind == "regression" else 1
        yield range(start, start + number)
        start += number


def _shape(validation: Validation) -> tuple[int, ...]:
    if isinstance(validation, BinaryValidation):
        return len(validation.upper_bounds) + 1, 2
    if isinstance(validation, ClassValidation):
        return len(validation.classes), len(validation.upper_bounds) + 1, len(validation.classes) + 1
    return (len(validation.error_counts),)


def _units(validation: Validation) -> dict[str, float]:
    if isinstance(validation, BinaryValidation):
        return dict.fromkeys(("brier", "log_loss"), 1 / _UNITS_PER_ROW) if validation.is_probability else {}
    if isinstance(validation, ClassValidation):
        return {}
    size, square = _unit_of(validation.mean_error), _unit_of(validation.mean_square)
    return {"over": size, "under": size, "squares": square}


def _unit_of(usual: float) -> float:
    """Return a unit for errors as large as in validation: a power of two, so that dividing by it rounds nothing."""
    return 2.0 ** math.ceil(math.log2(usual)) / _UNITS_PER_ROW if usual > 1e-290 else 1 / _UNITS_PER_ROW


def _limits(validation: Validation) -> tuple[()] | tuple[float, float]:
    """Return the cap of absolute errors, and the limit from which they are beyond all of validation."""
    if not isinstance(validation, RegressionValidation):
        return ()
    root = math.sqrt(validation.mean_square)
    # Without any error, outputs may yet be of float32 somewhere on their way.
    rounding = largest_step(number_code(validation) if root > 0 else NEAREST, validation.upper_bounds)
    return CAP * root, max(math.sqrt(validation.rows) * root * (1 + 1e-9), rounding)
