"""Codes of 32 bits that stand for an output in a prediction's id, or in the table of recent predictions.

A score is carried as float32, whose steps are small beside a small number. A probability above one half is carried as
its distance from 1, which its logarithmic loss depends on if it is wrong. A predicted number is judged by its error,
which may be far smaller than itself: beside 1.7e9 seconds since 1970, float32 has steps of 128. So it is carried as its
distance from the middle of training, unless numbers of so many magnitudes were seen that float32 has the smaller steps
beside their errors; a few numbers far from all others do not count for that.
"""

from __future__ import annotations

import math
import struct
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from flask_boxkite.baseline.validation import RegressionValidation

__all__ = ["FINE", "NEAREST", "Code", "PointCode", "SingleCode", "largest_step", "number_code", "typical_coarseness"]

_SINGLE = struct.Struct("<f")
_DOUBLE = struct.Struct("<d")
_BITS = struct.Struct("<I")
_LONG = struct.Struct("<Q")

_IS_OUTSIDE, _IS_FAR, _IS_BELOW = 1 << 31, 1 << 30, 1 << 29
_HALF = 2.0**30
"""Steps from the origin to either end of the numbers that training saw."""
_TOP = 1 - 2.0**-31
"""Distance, in units, from which the next step is outside."""
_ONE = 1023 << 52
"""Bits of 1.0 as float64."""
_CUT = 26
"""Bits of a float64's fraction that a distance outside loses; 26 are left."""
_INFINITE = 0x1FE0_0000
"""Bits of infinity as float32, without sign and without the last two bits."""
_SMALLEST_UNIT, _LARGEST_UNIT = 2.0**-900, 2.0**127

FINE = 1 / 4
"""Largest step, in parts of a mean absolute error, with which rounding adds less than 1 % to it."""

_CLEARLY = 4
"""Factor by which smaller steps for most rows are worth larger ones for the others."""

_TAILS = ((0.0, 0.0), (0.15, 0.0), (0.0, 0.15), (0.15, 0.15))
"""Most rows below and above the numbers with small steps, as parts of all; the first is preferred. Bins hold tenths."""


class Code(Protocol):
    """Numbers as 32 bits.

    Attributes:
        name: Name that no other kind of code has; empty for float32. Bits of one code must not be read by another.
    """

    @property
    def name(self) -> str: ...

    def bits(self, value: float) -> int | None:
        """Return the bits of a number; None if no bits stand for it."""

    def value(self, bits: int) -> float:
        """Return the number of some bits that `bits` returned."""

    def step(self, value: float) -> float:
        """Return the distance of the numbers that bits stand for, near a number."""


@dataclass(frozen=True)
class SingleCode:
    """The float32 nearest to a number in the number's own bin, which rounding alone may leave.

    A bin's bound, or the threshold of a decision, may lie between a number and the float32 nearest to it. Then the
    next float32 on the number's own side stands for it. No bits stand for a number in a bin without a float32.

    Of a probability *p* in (0.5, 1], and below 0, where none should be, the float32 is the one of *p* - 1, with the
    sign of a negative number also if it is 0. So none below 1 is taken for 1.

    Attributes:
        bounds: Upper bounds of the bins, ascending; outside of bounds is infinity.
        is_probability: Whether the number is a probability.
    """

    bounds: tuple[float, ...] = ()
    is_probability: bool = False

    @property
    def name(self) -> str:
        """See `Code`."""
        return "probability" if self.is_probability else ""

    def bits(self, value: float) -> int | None:
        """See `Code`."""
        if self.is_probability:
            value += 0.0  # makes 0.0 of -0.0
        shift = 1.0 if self.is_probability and (0.5 < value <= 1 or value < 0) else 0.0
        try:
            bits: int = _BITS.unpack(_SINGLE.pack(-(shift - value) if shift else value))[0]
        except OverflowError:
            return None
        if not math.isfinite(single := self.value(bits)):
            return None

        place = bisect_left(self.bounds, value)
        lower = self.bounds[place - 1] if place else -math.inf
        upper = self.bounds[place] if place < len(self.bounds) else math.inf
        if not lower < single <= upper:
            (near,) = _SINGLE.unpack(_BITS.pack(bits))
            with np.errstate(all="ignore"):
                near = np.nextafter(np.float32(near), np.float32(math.inf if single <= lower else -math.inf))
            (bits,) = _BITS.unpack(_SINGLE.pack(near))
            single = self.value(bits)
        return bits if lower < single <= upper and math.isfinite(single) else None

    def value(self, bits: int) -> float:
        """See `Code`."""
        number: float = _SINGLE.unpack(_BITS.pack(bits))[0]
        return number + 1.0 if self.is_probability and bits >> 31 else number

    def step(self, value: float) -> float:
        """See `Code`."""
        with np.errstate(over="ignore"):
            return float(np.spacing(np.float32(abs(value))))


NEAREST = SingleCode()
"""Rounding to the nearest float32."""


@dataclass(frozen=True)
class PointCode:
    """The distance of a number from an origin, with the same small step for all numbers that training saw.

        bits | inside
        1    | 0
        31   | (distance / unit + 1) * 2^30

        bits | outside                                                             | far
        2    | 1, 0                                                                | 1, 1
        1    | sign of the distance                                                | sign of the number
        29   | of distance / unit as float64, 3 bits of exponent, 26 of fraction   | of the number as float32, the upper

    So the step is 2^-30 units within one unit from the origin, and 2^-26 of the distance as far as 256 units. A number
    beyond, which training gave no reason to expect, is as exact as a float32 of 21 bits.

    A number with so few decimals that only one such number lies within the step is read as it was, without rounding.

    Attributes:
        origin: Number without distance, a multiple of unit / 16.
        unit: Largest distance in training, as a power of two, so that whole numbers stay whole.
    """

    origin: float
    unit: float

    @property
    def name(self) -> str:
        """See `Code`."""
        return f"point {self.origin!r} {self.unit!r}"

    def bits(self, value: float) -> int | None:
        """See `Code`."""
        distance = (value - self.origin) / self.unit
        if -1.0 <= distance < _TOP:
            return int((distance + 1.0) * _HALF + 0.5)
        (whole,) = _LONG.unpack(_DOUBLE.pack(1.0 if abs(distance) < 1.0 else abs(distance)))
        outside: int = (whole - _ONE + (1 << _CUT - 1)) >> _CUT
        if outside < _IS_BELOW:
            return _IS_OUTSIDE | outside | (_IS_BELOW if distance < 0 else 0)
        return _far_bits(value)

    def value(self, bits: int) -> float:
        """See `Code`."""
        if not bits & _IS_OUTSIDE:
            number = self.origin + (bits / _HALF - 1.0) * self.unit
        elif bits & _IS_FAR:
            (number,) = _SINGLE.unpack(_BITS.pack((bits & _IS_FAR - 1) << 2))
        else:
            (distance,) = _DOUBLE.unpack(_LONG.pack(((bits & _IS_BELOW - 1) << _CUT) + _ONE))
            number = self.origin + (-distance if bits & _IS_BELOW else distance) * self.unit
        return _with_few_decimals(number, self.step(number))

    def step(self, value: float) -> float:
        """See `Code`."""
        distance = abs(value - self.origin) / self.unit
        if distance <= 1:
            return self.unit / _HALF
        return math.ulp(distance) * 2**_CUT * self.unit if distance < 256 else 4 * NEAREST.step(value)


def _far_bits(value: float) -> int | None:
    try:
        (bits,) = _BITS.unpack(_SINGLE.pack(value))
    except OverflowError:
        return None
    upper: int = (bits + 2) >> 2
    return None if upper & _IS_BELOW - 1 >= _INFINITE else upper | _IS_OUTSIDE | _IS_FAR


def _with_few_decimals(value: float, step: float) -> float:
    """Return the number with the fewest decimals within half a step, if there are few such numbers."""
    short = round(value, -math.ceil(math.log10(step)))
    return short if abs(short - value) * 2 <= step else value


def number_code(validation: RegressionValidation) -> SingleCode | PointCode:
    """Return the code of a predicted number that has the smaller steps beside the errors of validation.

    One number far from all others makes the steps of all numbers in between as large as its distance. Where they then
    change the errors of most rows, the code has its small steps for the nine or eight tenths of rows in the middle.

    Args:
        validation: Validation of the model.
    """
    points = [point for tails in _TAILS if (point := _point_code(validation, *tails)) is not None]
    if not points:
        return NEAREST
    code: SingleCode | PointCode = points[0]
    if _coarseness(NEAREST, validation) < _coarseness(code, validation):
        code = NEAREST
    coarseness = typical_coarseness(code, validation)
    if coarseness <= FINE:
        return code
    codes: list[SingleCode | PointCode] = [NEAREST, *points]
    best = min(codes, key=lambda each: typical_coarseness(each, validation))
    return best if typical_coarseness(best, validation) <= coarseness / _CLEARLY else code


def _point_code(validation: RegressionValidation, below: float, above: float) -> PointCode | None:
    """Return the code with small steps between bounds, without some part of all rows below and above them.

    None if the bounds are too far apart for it, or too few.
    """
    bounds = validation.upper_bounds
    if len(bounds) < 2:
        return None
    up_to_bound = np.cumsum(validation.counts)[:-1] / max(validation.rows, 1)
    first = bounds[max(int(np.searchsorted(up_to_bound, below, side="right")) - 1, 0)]
    last = bounds[min(int(np.searchsorted(up_to_bound, 1 - above, side="left")), len(bounds) - 1)]
    middle, half = first / 2 + last / 2, last / 2 - first / 2
    unit = 2.0 ** math.ceil(math.log2(half)) if half > _SMALLEST_UNIT else _SMALLEST_UNIT
    return PointCode(round(middle / unit * 16) * (unit / 16), unit) if unit <= _LARGEST_UNIT else None


def typical_coarseness(code: Code, validation: RegressionValidation) -> float:
    """Return the mean step in parts of the mean absolute error of a row's bin; 0 if there are no errors.

    Of the steps at both ends of a bin, the smaller one counts, because an outer bin may reach as far as one number.
    """
    parts, rows = 0.0, 0
    for error, step, count in zip(
        validation.absolute_errors, _steps(code, validation, min), validation.counts, strict=True
    ):
        if count and error > 0:
            parts, rows = parts + step / error * count, rows + count
    return parts / max(rows, 1)


def _steps(code: Code, validation: RegressionValidation, choose: Callable[..., float]) -> list[float]:
    """Return one of the steps at both ends of each bin."""
    bounds = validation.upper_bounds
    return [choose(map(code.step, bounds[max(bin_ - 1, 0) : bin_ + 1])) for bin_ in range(len(bounds) + 1)]


def _coarseness(code: Code, validation: RegressionValidation) -> float:
    """Return the largest step of a bin in parts of its mean absolute error; 0 if there are no errors."""
    errors = zip(_steps(code, validation, max), validation.absolute_errors, validation.counts, strict=True)
    return max((step / error for step, error, rows in errors if rows and error > 0), default=0.0)


def largest_step(code: Code, bounds: Sequence[float]) -> float:
    """Return the largest step of a code among the numbers that training saw; 0 if there are none.

    Args:
        code: Code of the numbers.
        bounds: Upper bounds of the bins of these numbers.
    """
    return max(map(code.step, bounds), default=0.0)
