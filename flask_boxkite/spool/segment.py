"""One file of a spool: entries one after the other, and how many of them the sink has.

Words of 8 bytes are unsigned, in the machine's byte order. Checksums are CRC-32.

    offset | bytes   | meaning
    0      | 8       | ``boxkite1``
    8      | 8       | 0; once no more entries will come: their number, and its checksum as a word times 2**32
    16     | 8       | offset behind the last settled entry, and the number of settled entries times 2**32
    24     | 40      | zeros
    64     | rest    | entries one after the other, each at a multiple of 8; then zeros

    entry: offset | bytes  | meaning
           0      | 8      | *n*, and the checksum of the payload times 2**32
           8      | n      | payload
           8+n    | 0 to 7 | zeros up to a multiple of 8

A segment is reserved in full when it is made, all zero. The first word of an entry is written after the payload by a
single store, so a killed process leaves whole entries; an *n* of zero ends them. Only a loss of power or a bad disk can
damage entries: their checksum shows it, and the entries behind are read as usual.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from flask_boxkite.system.files import is_passing, mapped, open_private, read_file, reserve

__all__ = ["HEADER", "Segment", "SegmentError", "Taken", "room_for"]

MAGIC = b"boxkite1"
HEADER = 64
_WORD = struct.Struct("=Q")
_HEADER = struct.Struct("=8sQQ")  # magic, sealed, settled
_SEALED_AT, _SETTLED_AT = 8, 16
_PAGE = 4096
_CHECKED_AT_ONCE = 4096
"""`crc32` gives up the interpreter for more than 5 KiB, and a request would wait to get it back."""


class SegmentError(Exception):
    """A file is not a segment, or not one any more."""


class Taken(NamedTuple):
    """Entries that were handed out, to be settled once the sink has them.

    Attributes:
        segment: Segment of the entries.
        records: Payloads of the entries.
        entries: Number of entries, damaged ones included.
        end: Offset behind the last entry.
    """

    segment: Segment
    records: list[bytes]
    entries: int
    end: int


class _Entries(NamedTuple):
    records: list[bytes]
    entries: int
    end: int


def room_for(size: int) -> int:
    """Return the bytes that an entry of *size* bytes takes, aligned so that one store writes its head."""
    return (8 + size + 7) & ~7


class Segment:
    """A segment: being written by this process, or written earlier by this or another process.

    Attributes:
        path: Path of the file.
        size: Bytes on the disk.
        end: Offset behind the last entry.
        count: Number of entries.
        taken: Number of entries that were handed out for delivery.
        settled: Number of entries that the sink has, or that are given up.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.size = size
        self.end = self._taken_end = HEADER
        self.count = self.taken = self.settled = 0
        self._is_sealed = False
        self._bytes: memoryview | None = None
        self._words: memoryview | None = None

    # --- writing -----------------------------------------------------------------------------------------------------

    @classmethod
    def create(cls, path: Path, size: int) -> Segment:
        """Make a segment to write to.

        Raises:
            OSError: The disk has no room, or the file exists.
        """
        descriptor = open_private(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            reserve(descriptor, 0, size)
            memory = mapped(descriptor, size)
            memory[:HEADER] = _HEADER.pack(MAGIC, 0, _packed(HEADER, 0)).ljust(HEADER, b"\0")
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)

        segment = cls(path, size)
        segment._bytes = memoryview(memory)
        segment._words = segment._bytes[: size & ~7].cast("Q")
        return segment

    def warm(self) -> None:
        """Touch each page of memory, so that no request has to wait for the system to map it (2 µs a record)."""
        assert self._bytes is not None
        for start in range(_PAGE, self.size, _PAGE):  # one by one, because requests want the interpreter in between
            self._bytes[start] = 0

    @property
    def is_open(self) -> bool:
        """Whether entries can be added."""
        return self._words is not None

    def append(self, record: bytes) -> bool:
        """Add an entry; return False if there is no room for it. This takes about 2 µs and never waits."""
        assert self._bytes is not None
        assert self._words is not None
        start = self.end
        end = start + room_for(len(record))
        if end > self.size:
            return False
        self._bytes[start + 8 : start + 8 + len(record)] = record
        self._words[start >> 3] = len(record) | _checksum(record) << 32
        self.end = end
        self.count += 1
        return True

    def seal(self) -> None:
        """Add no more entries."""
        if self._words is not None:
            self._words[_SEALED_AT >> 3] = _sealed(self.count)
            self._is_sealed = True
            self._bytes = self._words = None

    # --- reading -----------------------------------------------------------------------------------------------------

    @classmethod
    def load(cls, path: Path) -> Segment:
        """Return a segment as its process left it.

        Raises:
            SegmentError: The file is not a segment, or is gone.
            OSError: It cannot be read just now.
        """
        data = _read(path)
        if len(data) < HEADER or not data.startswith(MAGIC):
            msg = f"'{path}' is not a segment of a spool"
            raise SegmentError(msg)

        _, sealed, settled = _HEADER.unpack_from(data)
        segment = cls(path, len(data))
        segment._taken_end, segment.settled = min(max(settled & 0xFFFFFFFF, HEADER), len(data)), settled >> 32
        segment.taken = segment.settled

        rest = _entries(data, segment._taken_end, len(data))
        segment.end = rest.end
        count = _unsealed(sealed)
        segment._is_sealed = count is not None
        segment.count = segment.settled + rest.entries if count is None else max(count, segment.settled)
        return segment

    @staticmethod
    def unsettled(path: Path) -> int:
        """Return the number of entries that are not settled, from the header alone if the file is sealed.

        Raises:
            SegmentError: The file is not a segment, or is gone.
            OSError: It cannot be read just now.
        """
        with _none_if_unusable(path):
            descriptor = open_private(path, os.O_RDONLY)
            try:
                head = os.pread(descriptor, HEADER, 0)
            finally:
                os.close(descriptor)
        if len(head) == HEADER and head.startswith(MAGIC):
            sealed, settled = map(int, _HEADER.unpack_from(head)[1:])
            count = _unsealed(sealed)
            if count is not None:
                return max(count - (settled >> 32), 0)

        segment = Segment.load(path)
        return segment.count - segment.settled

    def take(self, most_bytes: int) -> Taken:
        """Hand out the next entries, of up to *most_bytes* together, but at least one if there is any.

        Entries of a sealed segment that cannot be read are handed out too, without a record.

        Raises:
            OSError: The file cannot be read just now.
        """
        memory, end = self._bytes, self.end
        if memory is not None:
            batch = _entries(memory, self._taken_end, end, most_bytes)
        else:
            try:
                data = _read(self.path)
            except SegmentError:
                return self._lose()
            batch = _entries(data, self._taken_end, min(end, len(data)), most_bytes)
            if not batch.records:
                return self._lose()

        # A damaged length may look like any number of damaged entries. A sealed segment knows its number of entries:
        # the missing ones are counted at its end.
        entries = len(batch.records) if self._is_sealed else batch.entries
        self.taken, self._taken_end = self.taken + entries, batch.end
        return Taken(self, batch.records, entries, batch.end)

    def _lose(self) -> Taken:
        """Hand out the remaining entries as unreadable."""
        taken = Taken(self, [], self.count - self.taken, self.end)
        self.taken, self._taken_end = self.count, self.end
        return taken

    def settle(self, taken: Taken) -> None:
        """Note that entries, the next ones in the order of `take`, are delivered or given up.

        Raises:
            OSError: The file cannot be written; the entries may come again after a restart.
        """
        self.settled += taken.entries
        word = _packed(taken.end, self.settled)
        if self._words is not None:
            self._words[_SETTLED_AT >> 3] = word
            return
        descriptor = open_private(self.path, os.O_WRONLY)
        try:
            os.pwrite(descriptor, _WORD.pack(word), _SETTLED_AT)
        finally:
            os.close(descriptor)

    def move(self, path: Path) -> None:
        """Give the file another name.

        Raises:
            OSError: The file is gone.
        """
        os.rename(self.path, path)
        self.path = path

    def remove(self) -> None:
        """Delete the file.

        Raises:
            OSError: The file cannot be deleted.
        """
        self._bytes = self._words = None
        self.path.unlink(missing_ok=True)


def _read(path: Path) -> bytes:
    with _none_if_unusable(path):
        return read_file(path)


@contextlib.contextmanager
def _none_if_unusable(path: Path) -> Iterator[None]:
    """Turn lasting errors, of a link or a directory, say, into `SegmentError`: other files must still be read."""
    try:
        yield
    except OSError as error:
        if is_passing(error) and error.errno != errno.EIO:  # a bad sector stays bad
            raise
        msg = f"'{path}' cannot be used: {error.strerror}"
        raise SegmentError(msg) from error


def _sealed(count: int) -> int:
    """Return a number of entries with its checksum, so that zeros and damage do not look like one."""
    return count | crc32(_WORD.pack(count)) << 32


def _unsealed(word: int) -> int | None:
    """Return the number of entries in a word of `_sealed`; None for any other word."""
    count = word & 0xFFFFFFFF
    return count if word == _sealed(count) else None


def _packed(offset: int, count: int) -> int:
    return offset | count << 32


def _checksum(record: bytes | memoryview) -> int:
    if len(record) <= _CHECKED_AT_ONCE:
        return crc32(record)
    value = 0
    view = memoryview(record)
    for start in range(0, len(view), _CHECKED_AT_ONCE):
        value = crc32(view[start : start + _CHECKED_AT_ONCE], value)
    return value


def _entries(data: bytes | memoryview, start: int, end: int, most_bytes: int = sys.maxsize) -> _Entries:
    """Read entries; damaged ones at the very end are left out, because their process did not finish them."""
    records: list[bytes] = []
    entries, position = 0, start
    for number, (record, after) in enumerate(_walk(data, start, end), 1):
        if records and after - start > most_bytes:
            break
        if record is not None:
            records.append(record)
            entries, position = number, after
    return _Entries(records, entries, position)


def _walk(data: bytes | memoryview, position: int, end: int) -> Iterator[tuple[bytes | None, int]]:
    """Yield each payload, None for a damaged one, and the offset behind it."""
    while position + 8 <= end:
        word: int = _WORD.unpack_from(data, position)[0]
        length = word & 0xFFFFFFFF
        after = position + room_for(length)
        if length == 0 or position + 8 + length > end:
            return
        record = bytes(data[position + 8 : position + 8 + length])
        yield (record if _checksum(record) == word >> 32 else None), after
        position = after
