"""The sum of the numbers of many processes, computed exactly, so that no order of adding makes a counter fall."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.live.layout import BACKOFF_MS, FILES, LAST_DELIVERY_MS, SINK_CELLS, is_sink, sink_name
from flask_boxkite.live.statefile import Stored
from flask_boxkite.live.store import Section, Totals
from flask_boxkite.naming import STATE_FILES
from flask_boxkite.system.process import ServerName

__all__ = ["Reading", "SectionSum"]


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


@dataclass
class Reading:
    """The counts of all processes together.

    Attributes:
        sections: Sections by key.
        current: Keys of the sections in which a live process counts, or did a few minutes ago.
        servers: Servers of the live processes that count in a section, by its key; None for an unknown server.
    """

    sections: dict[str, SectionSum] = field(default_factory=dict)
    current: set[str] = field(default_factory=set)
    servers: dict[str, set[ServerName | None]] = field(default_factory=dict)

    def add_live(self, section: Stored, server: ServerName | None) -> None:
        """Add the numbers of a live process."""
        self.add(section)
        self.current.add(section.key)
        self.servers.setdefault(section.key, set()).add(server)

    def leave_out(self, key: str) -> None:
        """Forget a section."""
        self.sections.pop(key, None)
        self.current.discard(key)

    def add(self, section: Stored) -> None:
        """Add the numbers of one process; ignored if sections of the same key have another shape."""
        before = self.sections.get(section.key)
        if before is None:
            self.sections[section.key] = SectionSum(section.totals.cells, [section.totals.sums], section.description)
        elif len(before.cells) == len(section.totals.cells) and len(before.parts[0]) == len(section.totals.sums):
            add = _sink_sum if is_sink(section.key) else np.add
            before.cells = add(before.cells, section.totals.cells)
            before.parts.append(section.totals.sums)

    @property
    def files(self) -> dict[str, int]:
        """Number of state files by what happened to them."""
        return dict(zip(STATE_FILES, self.totals(FILES).cells.tolist(), strict=True))

    def count_file(self, state: str) -> None:
        """Count a state file."""
        cells = np.array([state == known for known in STATE_FILES], np.int64)
        self.add(Stored(FILES.key, Totals(cells, np.zeros(0)), b""))

    def totals(self, section: Section) -> Totals:
        """Return the numbers of a section."""
        item = self.sections.get(section.key)
        if item is None or (len(item.cells), len(item.parts[0])) != (section.cells, section.sums):
            return Totals.zero(section)
        return item.totals()

    def sink_cells(self, name: str) -> NDArray[np.int64]:
        """Return the counts of a sink's records, including processes that had another baseline."""
        cells = np.zeros(SINK_CELLS, np.int64)
        for key, item in self.sections.items():
            if is_sink(key) and sink_name(key) == name and len(item.cells) == SINK_CELLS:
                cells = _sink_sum(cells, item.cells)
        return cells

    def description(self, key: str) -> bytes:
        """Return the description of a section; empty if there is no such section."""
        return self.sections[key].description if key in self.sections else b""


def _sink_sum(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    cells = one + other
    cells[BACKOFF_MS] = max(one[BACKOFF_MS], other[BACKOFF_MS])
    # The latest time that is not in the future: a time from a clock that was ahead would hide all later ones.
    now = time.time() * 1000
    cells[LAST_DELIVERY_MS] = max(one[LAST_DELIVERY_MS], other[LAST_DELIVERY_MS], key=lambda at: (at <= now, at))
    return cells


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
