"""The counts of many processes together, section by section."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.live.section import Section, SectionKey
from flask_boxkite.live.sink_cells import SINK_CELLS, sum_of_sinks
from flask_boxkite.live.state_file import Stored
from flask_boxkite.live.totals import SectionSum, Totals
from flask_boxkite.naming import STATE_FILES
from flask_boxkite.system.process import ServerName

__all__ = ["FILES", "Reading"]


FILES = Section(SectionKey("files"), len(STATE_FILES), 0)
"""Section of the number of state files by outcome (`naming.STATE_FILES`)."""


@dataclass
class Reading:
    """The counts of all processes together.

    Attributes:
        sections: Sections by key.
        current: Keys of the sections in which a live process counts, or did a few minutes ago.
        servers: Servers of the live processes that count in a section, by its key; None for an unknown server.
    """

    sections: dict[SectionKey, SectionSum] = field(default_factory=dict)
    current: set[SectionKey] = field(default_factory=set)
    servers: dict[SectionKey, set[ServerName | None]] = field(default_factory=dict)

    def add_live(self, section: Stored, server: ServerName | None) -> None:
        """Add the numbers of a live process, which also describes the section: ended ones may have judged otherwise."""
        self.add(section)
        if section.description:
            self.sections[section.key].description = section.description
        self.current.add(section.key)
        self.servers.setdefault(section.key, set()).add(server)

    def leave_out(self, key: SectionKey) -> None:
        """Forget a section."""
        self.sections.pop(key, None)
        self.current.discard(key)

    def add(self, section: Stored) -> None:
        """Add the numbers of one process; ignored if sections of the same key have another shape."""
        before = self.sections.get(section.key)
        if before is None:
            self.sections[section.key] = SectionSum(section.totals.cells, [section.totals.sums], section.description)
        elif len(before.cells) == len(section.totals.cells) and len(before.parts[0]) == len(section.totals.sums):
            add = sum_of_sinks if section.key.is_sink else np.add
            before.cells = add(before.cells, section.totals.cells)
            before.parts.append(section.totals.sums)

    @property
    def files(self) -> dict[str, int]:
        """Number of state files by outcome."""
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
            if key.is_sink and key.name == name and len(item.cells) == SINK_CELLS:
                cells = sum_of_sinks(cells, item.cells)
        return cells

    def description(self, key: SectionKey) -> bytes:
        """Return the description of a section; empty if there is no such section."""
        return self.sections[key].description if key in self.sections else b""
