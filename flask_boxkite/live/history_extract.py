"""The part of a section's counts that history keeps: rows by group instead of by cell, and other numbers of the model.

Of a model these are the rows by group of each variable, then all counts from the buckets of whole rows to the features
of failed requests (`model_cells`): 277 numbers, and five for each feature, besides the groups. Of outcomes all counts
are kept.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.live.model_cells import ModelCells
from flask_boxkite.live.section import Section, SectionKey

__all__ = ["Extract", "extract_of_model", "extract_of_outcomes"]

_MOST_CELLS = 1 << 27
"""Most counts of a section: a file that states more is damaged."""


@dataclass(frozen=True)
class Extract:
    """The meaning of the numbers in a file of history.

    Attributes:
        key: Key of the section.
        cells: Number of the section's counts.
        starts: First cell of each group, ascending from 0.
        first: First of the cells that are kept one by one; the groups end here.
        last: Cell behind these.
        description: Description of the section, by which other processes know the model's baseline.
    """

    key: SectionKey
    cells: int
    starts: tuple[int, ...]
    first: int
    last: int
    description: bytes = b""

    @property
    def width(self) -> int:
        """The number of numbers that are kept."""
        return len(self.starts) + self.last - self.first

    @cached_property
    def _starts(self) -> NDArray[np.intp]:
        return np.array(self.starts, dtype=np.intp)

    def of(self, cells: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the numbers to keep, shape (width,), of the counts of the section, shape (cells,)."""
        single = cells[self.first : self.last]
        if not self.starts:
            return single.copy()
        return np.concatenate([np.add.reduceat(cells[: self.first], self._starts), single])

    def dump(self) -> bytes:
        """Write all but the description."""
        return json.dumps([str(self.key), self.cells, list(self.starts), self.first, self.last]).encode()

    @classmethod
    def load(cls, data: bytes, description: bytes) -> Extract:
        """Read the bytes that `dump` returns.

        Raises:
            ValueError: The data is another.
        """
        content = json.loads(data)
        try:
            key, cells, starts, first, last = content
            numbers = [cells, first, last, *starts]
        except TypeError as error:
            raise ValueError(str(error)) from error
        is_sound = all(type(number) is int for number in numbers) and 0 <= first <= last <= cells <= _MOST_CELLS
        are_sound = all(a < b for a, b in pairwise([*starts, first])) and starts[:1] == [0] * bool(first)
        if not (is_sound and are_sound):
            msg = "The sizes do not fit."
            raise ValueError(msg)
        return cls(SectionKey.parse(key), cells, tuple(starts), first, last, description)


def extract_of_model(section: Section, layout: ModelCells) -> Extract:
    """Return the extract of a model's section."""
    starts = [item.cells.start + group.start for item in layout.variables for group in item.distribution.groups]
    return Extract(
        section.key, section.cells, tuple(starts), layout.buckets_start, layout.classes_start, section.description
    )


def extract_of_outcomes(section: Section, description: bytes) -> Extract:
    """Return the extract of the section of a model's outcomes.

    Args:
        section: The section.
        description: Description of the model's own section.
    """
    return Extract(section.key, section.cells, (), 0, section.cells, description)
