"""The past of one section: its totals by day and hour, with the rows of the hour that is under way.

A reader keeps the daily totals in memory, 8 bytes a number and day (2 MB for 30 features and 400 days), and the entries
of hours compressed. A second look reads only the marks of the file, and once an hour the entries that were appended.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.live.history_entries import DAY, Entry
from flask_boxkite.live.history_extract import Extract
from flask_boxkite.live.history_file import (
    HOURS_A_DAY,
    DamagedHistoryError,
    HistoryFile,
    Mark,
    Numbers,
    Stored,
    mark_in,
)
from flask_boxkite.live.history_keeper import paths_in
from flask_boxkite.live.section import SectionKey
from flask_boxkite.system.files import open_private

__all__ = ["Past", "PastReader", "TotalsOf"]

TotalsOf = Callable[[Extract], NDArray[np.int64] | None]
"""Returns the present counts of a section, shape (cells,); None if they are unknown."""


@dataclass(frozen=True)
class Past:
    """The totals of one section at one moment.

    Attributes:
        extract: Meaning of the numbers.
        days: Totals by day since 1970, in UTC, ascending, each of shape (width,).
        open_hour: Hour whose rows since its beginning are `open_rows`.
        open_rows: These rows, which are in *days* too; None if they are unknown.
    """

    extract: Extract
    days: Mapping[int, Numbers]
    open_hour: int
    open_rows: Numbers | None
    _stored: Stored
    _entries: Mapping[int, list[Entry]]

    @property
    def groups(self) -> int:
        """The number of groups of all variables, the first numbers."""
        return len(self.extract.starts)

    def hours(self, first: int, last: int) -> Iterator[tuple[int, Numbers]]:
        """Yield the hours from *first* to *last* that have rows and are still known one by one."""
        for hour in range(first, last + 1):
            rows = self._stored.sum_of(self._entries.get(hour, ()))
            if hour == self.open_hour and self.open_rows is not None:
                rows = rows + self.open_rows
            if rows.any():
                yield hour, rows

    def has_all_hours_of(self, day: int) -> bool:
        """Say whether all rows of a day are known by hour."""
        return not any(entry.kind == DAY and entry.number == day for entry in self._stored.entries)


class PastReader:
    """Reads the files of a directory again and again. Any thread may use it.

    Args:
        directory: State directory.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._known: dict[Path, _Known] = {}
        self._keys: dict[Path, SectionKey] = {}

    def keys(self) -> dict[SectionKey, Path]:
        """Return the paths of all readable files, by section.

        Raises:
            OSError: The directory cannot be read.
        """
        found: dict[SectionKey, Path] = {}
        for path in paths_in(self.directory):
            try:
                key = self._keys.get(path) or HistoryFile(path).extract().key
            except (FileNotFoundError, DamagedHistoryError):
                continue
            # The name of a file is a hash of its key, so that the key never changes.
            found[key] = path
            self._keys[path] = key
        return found

    def read(self, path: Path, totals: TotalsOf) -> Past | None:
        """Return the past of a section; None if there is none, or its file is damaged.

        Args:
            path: Path of its file.
            totals: Function that returns present counts; it is called after the file was read.

        Raises:
            OSError: The file cannot be read.
        """
        return next((known.past(totals) for _, known in self._readings([path])), None)

    def _readings(self, paths: Iterable[Path]) -> Iterator[tuple[Path, _Known]]:
        for path in paths:
            try:
                known = _Known.read(path, self._known.get(path))
            except (FileNotFoundError, DamagedHistoryError):
                continue
            self._known[path] = known
            yield path, known


@dataclass(frozen=True)
class _Known:
    """A file as it was read.

    Attributes:
        stored: Its content.
        days: Totals by day, without the hour under way.
        hours: Entries of each hour.
    """

    stored: Stored
    days: Mapping[int, Numbers]
    hours: Mapping[int, list[Entry]]

    @classmethod
    def read(cls, path: Path, before: _Known | None) -> _Known:
        """Read a file, or only its changes since *before*."""
        descriptor = open_private(path, os.O_RDONLY)
        try:
            if before is not None and _is_same(mark_in(descriptor, before.stored), before.stored.mark):
                return before
            stored = HistoryFile.read_open(descriptor)
        finally:
            os.close(descriptor)

        days: dict[int, Numbers] = {}
        fresh = stored.entries
        known = [] if before is None else before.stored.entries
        if before is not None and fresh[: len(known)] == known:
            days, fresh = dict(before.days), fresh[len(known) :]
        for entry in fresh:
            day = entry.number if entry.kind == DAY else entry.number // HOURS_A_DAY
            rows = stored.sum_of([entry])
            days[day] = days[day] + rows if day in days else rows
        return cls(stored, days, stored.of_hours())

    def past(self, totals: TotalsOf) -> Past:
        """Return the past with the hour that is under way."""
        extract, mark = self.stored.extract, self.stored.mark
        present = totals(extract)
        rows = None
        days = dict(self.days)
        if present is not None and len(present) == extract.cells:
            rows = extract.of(present) - mark.totals
            if (rows < 0).any():  # another process has recorded since, or counts were lost
                rows = np.zeros_like(rows)
            if rows.any():
                day = mark.hour // HOURS_A_DAY
                days[day] = days[day] + rows if day in days else rows
        return Past(extract, dict(sorted(days.items())), mark.hour, rows, self.stored, self.hours)


def _is_same(one: Mark, other: Mark) -> bool:
    return one[:4] == other[:4] and np.array_equal(one.totals, other.totals)
