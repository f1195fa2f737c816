"""The retired counts: one file with the sum of dead processes' numbers, and notes on the files folded into it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from flask_boxkite.live.clock import Moment
from flask_boxkite.live.model_cells import FORMAT
from flask_boxkite.live.reading import Reading
from flask_boxkite.live.section import SectionKey
from flask_boxkite.live.state_file import StateFileError, Stored, composed, new_name, parsed
from flask_boxkite.live.totals import Totals
from flask_boxkite.naming import DAMAGED
from flask_boxkite.system.files import is_passing, open_private, read_file, write_all

__all__ = ["ABOUT", "RETIRED", "LeftOut", "Retired"]

RETIRED = f"retired-{FORMAT:08x}"
"""Name of the file. A release with another format leaves it alone, because both releases run during an upgrade."""

ABOUT = SectionKey("retired")
"""Key of the section whose description holds the notes."""


class LeftOut(NamedTuple):
    """A file that cannot be read.

    Attributes:
        state: Reason, one of `naming.STATE_FILES`.
        first_seen: Time when the file was first seen.
    """

    state: str
    first_seen: Moment


@dataclass
class Retired:
    """The content of the file.

    Attributes:
        generation: Number of the fold, higher after every fold.
        origin: Generation of the first fold: if a user deletes the file, the next one has another.
        names: Names of folded files, which may not be deleted yet.
        left_out: Files that could not be read, by name.
        folded: Time of the last fold into a section, by key.
        spools: Directories of records that wait on disk and whose processes are in the numbers.
        reading: Numbers of the dead processes.
    """

    generation: int = 0
    origin: int = 0
    names: frozenset[str] = frozenset()
    left_out: dict[str, LeftOut] = field(default_factory=dict)
    folded: dict[SectionKey, Moment] = field(default_factory=dict)
    spools: frozenset[str] = frozenset()
    reading: Reading = field(default_factory=Reading)

    @classmethod
    def read(cls, directory: Path, keys: Collection[SectionKey] | None = None) -> Retired:
        """Return the retired counts, or empty ones. An unusable file is counted, and the next fold replaces it.

        Args:
            directory: Directory of the files.
            keys: Keys of the sections to read; None for all.

        Raises:
            OSError: The file cannot be read just now.
        """
        try:
            data = read_file(directory / RETIRED)
        except OSError as error:
            if is_passing(error):
                raise  # otherwise the next fold would replace counts that are still there
            return cls()

        try:
            return cls._parsed(*parsed(data, None if keys is None else {*keys, ABOUT}))
        except StateFileError as error:
            return cls._unusable(error.state)
        except (KeyError, TypeError, ValueError):  # no release of this format writes such a file
            return cls._unusable(DAMAGED)

    @classmethod
    def _unusable(cls, state: str) -> Retired:
        retired = cls()
        retired.reading.count_file(state)
        return retired

    @classmethod
    def _parsed(cls, generation: int, sections: Iterable[Stored]) -> Retired:
        retired = cls(generation)
        rest: dict[str, list[list[float]]] = {}
        for section in sections:
            if section.key == ABOUT:
                rest = retired._note(json.loads(section.description))
            else:
                retired.reading.add(section)

        for key, item in retired.reading.sections.items():
            item.parts += map(np.array, rest.get(str(key), ()))
        return retired

    def _note(self, about: dict[str, Any]) -> dict[str, list[list[float]]]:
        """Take over the notes of the file; return the parts of the sections' sums that its numbers lack, by key."""
        self.names = frozenset(about["names"])
        self.left_out = {name: LeftOut(state, Moment(*at)) for name, (state, at) in about["left_out"].items()}
        self.folded = {SectionKey.parse(key): Moment(*folded) for key, folded in about["folded"].items()}
        self.spools, self.origin = frozenset(about["spools"]), about["origin"]
        rest: dict[str, list[list[float]]] = about["rest"]
        return rest

    def write(self, directory: Path) -> None:
        """Replace the file, in one step for its readers.

        Raises:
            OSError: The disk is full, say; the old file stays.
        """
        self.generation = max(self.generation + 1, time.time_ns())
        self.origin = self.origin or self.generation

        temporary = directory / new_name()
        try:
            descriptor = open_private(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            try:
                write_all(descriptor, composed(self.generation, self._sections()), 0)
            finally:
                os.close(descriptor)
            os.rename(temporary, directory / RETIRED)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def _sections(self) -> list[Stored]:
        sums = self.reading.sections
        for item in sums.values():
            item.compact()

        about = {
            "names": sorted(self.names),
            "left_out": self.left_out,
            "folded": {str(key): folded for key, folded in self.folded.items()},
            "spools": sorted(self.spools),
            "origin": self.origin,
            "rest": {str(key): [part.tolist() for part in item.parts[1:]] for key, item in sums.items()},
        }
        return [
            Stored(ABOUT, Totals(np.zeros(0, np.int64), np.zeros(0)), json.dumps(about).encode()),
            *(Stored(key, Totals(item.cells, item.parts[0]), item.description) for key, item in sums.items()),
        ]
