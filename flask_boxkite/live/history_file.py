"""Files of history: the totals of past hours and days of one section, one file in the state directory.

    offset        | bytes   | meaning, in little-endian order
    0             | 8       | ``boxhist`` and a line feed
    8             | 4       | format, 1
    12            | 4       | *e*, bytes of the extract
    16            | 4       | *d*, bytes of the description
    20            | 4       | checksum of extract and description
    24            | 8       | zeros
    32            | *e*     | extract, which gives the number *n* of numbers (`extract`)
    +e            | *d*     | description of the section
    +d            | 32 + 8n | first mark: checksum (4), number of entries of hours (4), its own number (8), end of the
                              entries (8), hour that is under way (8), totals when that hour began (8n)
    +32 + 8n      | 32 + 8n | second mark
    +32 + 8n      | rest    | entries (`entries`), in the order of writing

The valid mark with the higher number holds. When an hour is over, its rows are the present totals less the mark's: they
are appended as an entry, and the other mark is written, with the end of that entry. Bytes behind the end are void.
So a process that is killed at any moment leaves an hour recorded exactly once or not yet, and the next process records
it. One process writes at a time, under the lock of the file; readers take no lock.

Entries of one hour add up, as after a clock was set back. From time to time the file is written again without the
oldest ones, under another name, and renamed: the rows of hours beyond the last `MOST_HOURS` go into entries of days, of
which `MOST_DAYS` stay. The oldest are the ones written first: if time decided, one jump of a clock would delete all.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.live.history_entries import DAY, HOUR, Entry, composed, entries_of, numbers_of
from flask_boxkite.live.history_extract import Extract
from flask_boxkite.live.section import SectionKey
from flask_boxkite.live.state_file import new_name
from flask_boxkite.system.files import identity, open_private, read_file, write_all
from flask_boxkite.system.locks import locked

__all__ = [
    "HISTORY",
    "HOURS_A_DAY",
    "MOST_DAYS",
    "MOST_HOURS",
    "DamagedHistoryError",
    "HistoryFile",
    "HistoryLimits",
    "Mark",
    "Stored",
    "history_path",
    "mark_in",
    "most_bytes",
]

HISTORY = "history-"
"""Prefix of the names of these files."""

MOST_HOURS = 35 * 24
MOST_DAYS = 400
"""Number of hours and days that stay."""

HOURS_A_DAY = 24

_FORMAT = 1
_MAGIC = b"boxhist\n"
_HEADER = struct.Struct("<8sIIII8x")
_MARK = struct.Struct("<IIQQq")
_CHECKSUM = struct.Struct("<I")
_PATIENCE_SECONDS = 0.05
_PATIENCE_OF_COMMANDS = 5.0

Numbers = NDArray[np.int64]


class HistoryLimits(NamedTuple):
    """The limits of a file.

    Attributes:
        hours: Number of hours that stay.
        days: Number of days that stay.
        slack: Number of entries of hours beyond these before the file is written again.
    """

    hours: int = MOST_HOURS
    days: int = MOST_DAYS
    slack: int = 48


_USUAL = HistoryLimits()


class DamagedHistoryError(Exception):
    """A file is not one of history, or is damaged."""


class Mark(NamedTuple):
    """The state of a file.

    Attributes:
        entries: Number of entries of hours.
        number: Number of the mark, higher than the one of the mark before.
        end: Offset behind the last entry.
        hour: Number of the hour that is under way, since 1970 in UTC.
        totals: Totals when it began, shape (width,).
    """

    entries: int
    number: int
    end: int
    hour: int
    totals: Numbers


class Stored(NamedTuple):
    """The content of a file.

    Attributes:
        extract: Meaning of its numbers.
        mark: Its state.
        entries: Its entries in the order of writing.
        begins: Offset of the first entry.
    """

    extract: Extract
    mark: Mark
    entries: list[Entry]
    begins: int

    def of_hours(self) -> dict[int, list[Entry]]:
        """Return the entries of each hour; hours that were written last come last."""
        return _by_number(self.entries, HOUR)

    def of_days(self) -> dict[int, list[Entry]]:
        """Return the entries of each day that hold the rows of hours which are gone; last written last."""
        return _by_number(self.entries, DAY)

    def sum_of(self, entries: Iterable[Entry]) -> Numbers:
        """Return the sum of some entries, shape (width,); a damaged one adds nothing."""
        total = np.zeros(self.extract.width, dtype=np.int64)
        for entry in entries:
            with contextlib.suppress(ValueError):
                total += numbers_of(entry, self.extract.width)
        return total


def history_path(directory: Path, key: SectionKey) -> Path:
    """Return the path of the history of a section."""
    digest = hashlib.sha256(f"{_FORMAT} {key}".encode()).hexdigest()[:16]
    return directory / f"{HISTORY}{digest}"


def most_bytes(extract: Extract, limits: HistoryLimits = _USUAL) -> int:
    """Return the size that a file never exceeds while each hour has fewer than 2^32 rows.

    1,289·(4·n + 64) for the entries of n numbers, 16·n for the marks, and the description.
    """
    entries = (limits.hours + limits.days + limits.slack + 1) * (4 * extract.width + 64)
    return entries + 2 * _mark_size(extract) + _HEADER.size + len(extract.dump()) + len(extract.description)


class HistoryFile:
    """One file; any process may use it.

    Args:
        path: Path of the file.
        limits: Limits of the file.
    """

    def __init__(self, path: Path, limits: HistoryLimits = _USUAL) -> None:
        self.path = path
        self._limits = limits

    # --- reading -----------------------------------------------------------------------------------------------------

    def read(self) -> Stored:
        """Return the content.

        Raises:
            FileNotFoundError: There is no such file.
            OSError: It cannot be read.
            DamagedHistoryError: It is damaged.
        """
        return _parsed(read_file(self.path))

    @staticmethod
    def read_open(descriptor: int) -> Stored:
        """Return the content of an open file; raises as `read` does."""
        return _parsed(read_file("", descriptor))

    def extract(self) -> Extract:
        """Return the meaning of its numbers; raises as `read` does."""
        descriptor = open_private(self.path, os.O_RDONLY)
        try:
            return _extract(_reader(descriptor))[0]
        finally:
            os.close(descriptor)

    # --- writing -----------------------------------------------------------------------------------------------------

    def step(self, extract: Extract, hour: Callable[[], int], totals: Callable[[], Numbers | None]) -> int | None:
        """Record the hour that was under way, unless it still is; return the hour that is under way now.

        None if another process is just writing, or the totals are unknown. A missing file is made.

        Args:
            extract: Meaning of the numbers.
            hour: Returns the number of the present hour.
            totals: Returns the present totals, shape (width,); None if they are not known.

        Raises:
            OSError: The file cannot be read or written.
            DamagedHistoryError: It is damaged.
        """
        with self._opened() as descriptor:
            if descriptor is None:
                return None
            if descriptor < 0:
                now, counted = hour(), totals()
                if counted is not None:
                    self._replace(extract, Mark(0, 0, 0, now, counted), [])
                return None if counted is None else now

            read = _reader(descriptor)
            known, marks = _extract(read)
            mark = _mark(read, known, marks)
            now = hour()
            if mark.hour != now:
                if (counted := totals()) is None or len(counted) != known.width:
                    return None
                self._record(descriptor, known, marks, mark, now, counted)
            if known != extract:  # of another release, whose cells are in another order
                self._rewrite(extract)
            return now

    def close_hour(self, totals: Numbers) -> None:
        """Record the rows of the hour under way so far, because its section begins at zero again.

        Nothing happens if there is no file, or another process is writing for longer than a moment.

        Args:
            totals: Present totals, shape (width,).

        Raises:
            OSError: The file cannot be read or written.
            DamagedHistoryError: It is damaged.
        """
        with self._opened(_PATIENCE_SECONDS) as descriptor:
            if descriptor is not None and descriptor >= 0:
                read = _reader(descriptor)
                extract, marks = _extract(read)
                mark = _mark(read, extract, marks)
                if len(totals) == extract.width:
                    self._record(descriptor, extract, marks, mark, mark.hour, totals, np.zeros_like(totals))

    def fill(self, entries: Sequence[Entry]) -> None:
        """Add entries, and put all into the order of time.

        Raises:
            OSError: The file cannot be read or written, or another process is writing all the time.
            DamagedHistoryError: It is damaged.
        """
        with self._opened(_PATIENCE_OF_COMMANDS) as descriptor:
            if descriptor is None or descriptor < 0:
                msg = f"'{self.path}' is missing, or another process is writing it"
                raise OSError(msg)
            stored = self.read()
            both = sorted([*stored.entries, *entries], key=_start_of)
            self._replace(stored.extract, stored.mark, _kept(stored._replace(entries=both), self._limits))

    def set_aside(self) -> None:
        """Rename a damaged file; it replaces one that was renamed before.

        Raises:
            OSError: It cannot be renamed.
        """
        os.replace(self.path, self.path.with_name(f"{self.path.name}.damaged"))

    @contextlib.contextmanager
    def _opened(self, patience_seconds: float = 0.0) -> Iterator[int | None]:
        """Yield a descriptor of the locked file, -1 if it is missing, and None if another process has the lock.

        Requests have no patience: the process that has the lock is just recording.
        """
        for _ in range(100):
            try:
                descriptor = open_private(self.path, os.O_RDWR)
            except FileNotFoundError:
                yield -1
                return
            try:
                with locked(descriptor, patience_seconds) as is_mine:
                    if is_mine and not self._is_in_place(descriptor):  # another process has just replaced it
                        continue
                    yield descriptor if is_mine else None
                    return
            finally:
                os.close(descriptor)
        yield None

    def _is_in_place(self, descriptor: int) -> bool:
        with contextlib.suppress(OSError):
            about = os.lstat(self.path)
            return identity(descriptor) == (about.st_dev, about.st_ino)
        return False

    def _record(
        self,
        descriptor: int,
        extract: Extract,
        marks: int,
        mark: Mark,
        hour: int,
        totals: Numbers,
        after: Numbers | None = None,
    ) -> None:
        """Append the rows since the mark, and write the next mark.

        Args:
            descriptor: Descriptor of the locked file.
            extract: Meaning of its numbers.
            marks: Offset of its marks.
            mark: The one that holds.
            hour: Hour that begins.
            totals: Present totals.
            after: Totals from which the next hour counts; None for the present ones.
        """
        rows = totals - mark.totals
        entries, end = mark.entries, mark.end
        if (rows < 0).any():  # counts were lost, or an older copy was put in their place: the rows since are unknown
            rows = np.zeros_like(rows)
        if rows.any():
            entry = composed(HOUR, mark.hour, rows)
            write_all(descriptor, entry.data, end)
            entries, end = entries + 1, end + len(entry.data)
        fresh = Mark(entries, mark.number + 1, end, hour, totals if after is None else after)
        write_all(descriptor, _packed(fresh), marks + fresh.number % 2 * _mark_size(extract))

        if entries > self._limits.hours + self._limits.slack:
            self._rewrite(extract)

    def _rewrite(self, extract: Extract) -> None:
        """Write the file again, without the oldest entries."""
        stored = self.read()
        if stored.extract.width != extract.width:
            raise DamagedHistoryError
        self._replace(extract, stored.mark, _kept(stored, self._limits))

    def _replace(self, extract: Extract, mark: Mark, entries: Sequence[Entry]) -> None:
        """Write the file under another name and rename it."""
        about = extract.dump()
        texts = about + extract.description
        header = _HEADER.pack(_MAGIC, _FORMAT, len(about), len(extract.description), zlib.crc32(texts))
        begins = len(header) + len(texts) + 2 * _mark_size(extract)
        body = b"".join(entry.data for entry in entries)
        hours = sum(entry.kind == HOUR for entry in entries)
        fresh = mark._replace(entries=hours, number=mark.number + 1, end=begins + len(body))
        packed, none = _packed(fresh), bytes(_mark_size(extract))
        marks = none + packed if fresh.number % 2 else packed + none

        temporary = self.path.with_name(new_name())
        descriptor = open_private(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            write_all(descriptor, header + texts + marks + body, 0)
            os.rename(temporary, self.path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        finally:
            os.close(descriptor)


def _reader(descriptor: int) -> Callable[[int, int], bytes]:
    return lambda offset, size: os.pread(descriptor, size, offset)


# --- parts of a file -------------------------------------------------------------------------------------------------


def _mark_size(extract: Extract) -> int:
    return _MARK.size + 8 * extract.width


def _packed(mark: Mark) -> bytes:
    data = _MARK.pack(0, mark.entries, mark.number, mark.end, mark.hour) + mark.totals.astype("<i8").tobytes()
    return _CHECKSUM.pack(zlib.crc32(data[_CHECKSUM.size :])) + data[_CHECKSUM.size :]


def _unpacked(data: bytes, width: int) -> Mark | None:
    """Return a mark; None if it is damaged, or was never written."""
    if len(data) != _MARK.size + 8 * width or _CHECKSUM.unpack_from(data)[0] != zlib.crc32(data[_CHECKSUM.size :]):
        return None
    _, entries, number, end, hour = _MARK.unpack_from(data)
    totals = np.frombuffer(data, "<i8", width, _MARK.size).astype(np.int64)
    return Mark(entries, number, end, hour, totals) if number else None


def _extract(read: Callable[[int, int], bytes]) -> tuple[Extract, int]:
    """Return the extract of a file, and the offset of its marks.

    Args:
        read: Function that returns the bytes at an offset, as many as there are.

    Raises:
        DamagedHistoryError: The file is damaged.
    """
    header = read(0, _HEADER.size)
    if len(header) < _HEADER.size:
        raise DamagedHistoryError
    magic, version, about, description, checksum = _HEADER.unpack(header)
    if (magic, version) != (_MAGIC, _FORMAT):
        raise DamagedHistoryError
    texts = read(_HEADER.size, about + description)
    if len(texts) != about + description or checksum != zlib.crc32(texts):
        raise DamagedHistoryError
    try:
        return Extract.load(texts[:about], texts[about:]), _HEADER.size + len(texts)
    except ValueError as error:
        raise DamagedHistoryError from error


def _mark(read: Callable[[int, int], bytes], extract: Extract, marks: int) -> Mark:
    """Return the mark of a file that holds."""
    size = _mark_size(extract)
    both = (_unpacked(read(marks + place * size, size), extract.width) for place in range(2))
    valid = [mark for mark in both if mark is not None and mark.end >= marks + 2 * size]
    if not valid:
        raise DamagedHistoryError
    return max(valid, key=lambda mark: mark.number)


def mark_in(descriptor: int, stored: Stored) -> Mark:
    """Return the mark that an open file has now, whose content was *stored* before; raises as `HistoryFile.read`."""
    return _mark(_reader(descriptor), stored.extract, stored.begins - 2 * _mark_size(stored.extract))


def _parsed(data: bytes) -> Stored:
    def read(offset: int, size: int) -> bytes:
        return data[offset : offset + size]

    extract, marks = _extract(read)
    mark = _mark(read, extract, marks)
    begins = marks + 2 * _mark_size(extract)
    return Stored(extract, mark, list(entries_of(data[begins : mark.end])), begins)


def _by_number(entries: Iterable[Entry], kind: int) -> dict[int, list[Entry]]:
    found: dict[int, list[Entry]] = {}
    for entry in entries:
        if entry.kind == kind:
            found[entry.number] = [*found.pop(entry.number, ()), entry]
    return found


def _start_of(entry: Entry) -> int:
    """Return the hour with which an entry begins."""
    return entry.number * HOURS_A_DAY if entry.kind == DAY else entry.number


def _kept(stored: Stored, limits: HistoryLimits) -> list[Entry]:
    """Return the entries that stay: the last days, into which the rows of older hours go, and the last hours."""
    hours, days = stored.of_hours(), stored.of_days()
    for number in list(hours)[: -limits.hours]:
        day = number // HOURS_A_DAY
        days[day] = [*days.pop(day, ()), *hours.pop(number)]

    kept = [(DAY, number, own) for number, own in list(days.items())[-limits.days :]]
    kept += [(HOUR, number, own) for number, own in hours.items()]
    return [_joined(kind, number, own, stored.sum_of) for kind, number, own in kept]


def _joined(kind: int, number: int, entries: Sequence[Entry], sum_of: Callable[[Iterable[Entry]], Numbers]) -> Entry:
    if len(entries) == 1 and entries[0].kind == kind:
        return entries[0]
    return composed(kind, number, sum_of(entries))
