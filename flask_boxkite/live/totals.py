"""The numbers of a section at one moment, and their sum over processes.

The sum is exact: no order of adding makes a counter fall.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.live.section import Section

__all__ = ["SectionSum", "Totals"]


class Totals(NamedTuple):
    """Counts and sums of a section, at one moment.

    Attributes:
        cells: Counts, shape (cells,).
        sums: Sums, shape (sums,).
    """

    cells: NDArray[np.int64]
    sums: NDArray[np.float64]

    @classmethod
    def zero(cls, section: Section) -> Totals:
        """Return zeros for a section."""
        return cls(np.zeros(section.cells, np.int64), np.zeros(section.sums))


@dataclass
class SectionSum:
    """A section that is being added up.

    Attributes:
        cells: Counts, added up so far.
        parts: Sums of each process, each of shape (sums,). They are added up at the end, exactly: one by one, in an
            order that changes from scrape to scrape, rounding would make a counter fall now and then.
        description: Description of the section (`Section.description`).
    """

    cells: NDArray[np.int64]
    parts: list[NDArray[np.float64]]
    description: bytes

    def totals(self) -> Totals:
        """Return the numbers, with sums correctly rounded."""
        sums = [_rounded_sum(column) for column in zip(*self.parts, strict=True)]
        return Totals(self.cells, np.array(sums, dtype=np.float64))

    def compact(self) -> None:
        """Replace the parts by the fewest parts with exactly the same total."""
        columns = [_exact_parts(column) for column in zip(*self.parts, strict=True)]
        rows = itertools.zip_longest(*columns, fillvalue=0.0)
        self.parts = [np.array(row) for row in rows] or self.parts[:1]


def _rounded_sum(numbers: Sequence[float]) -> float:
    try:
        return math.fsum(numbers)
    except OverflowError:
        return math.inf


def _exact_parts(numbers: Sequence[float]) -> list[float]:
    """Return the fewest numbers with exactly the same sum: the rounded sum, its rounding error, and so on."""
    parts = [_rounded_sum(numbers)]
    while math.isfinite(parts[-1]) and (rest := _rounded_sum([*numbers, *(-part for part in parts)])):
        parts.append(rest)
    return parts
