"""The width of a variable's floats: one number is one value, however it is written."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Width"]


class Width:
    """Rounds numbers to the floats of training, so that one number is one value, however it is written.

    Args:
        bits: Bits of a float: 64, 32 or 16.
    """

    def __init__(self, bits: int) -> None:
        self.is_narrow = bits < 64
        self.dtype = np.dtype(f"f{bits // 8}")
        self.letter = {64: "d", 32: "f", 16: "e"}[bits]
        self._float = struct.Struct(f"<{self.letter}")

    def rounded(self, number: float) -> float:
        """Return a number as such a float."""
        try:
            (narrow,) = self._float.unpack(self._float.pack(number))
        except OverflowError:
            return math.copysign(math.inf, number)
        return float(narrow)

    def rounded_column(self, column: NDArray[Any]) -> NDArray[Any]:
        """Return an array of numbers as such floats; an array of narrower floats is returned as it is."""
        is_wider = column.dtype.kind != "f" or column.dtype.itemsize > self.dtype.itemsize
        return column.astype(self.dtype) if self.is_narrow and is_wider else column
