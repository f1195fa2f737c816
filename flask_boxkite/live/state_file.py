"""State files: the numbers of a process in a file that others can read at any time.

A file is a header of one page, then sections, each a whole number of pages. A page is `mmap.ALLOCATIONGRANULARITY`
bytes. Numbers are in the machine's byte order; *c*, *s*, *k* and *d* are the sizes that a section states.

    header: offset | bytes      | meaning
            0      | 8          | ``boxkite`` and a line feed
            8      | 8          | format (`model_cells.FORMAT`), unsigned
            16     | 8          | generation of the fold, unsigned; 0 in a live file
            24     | 4          | checksum of the generation and all sections; 0 in a live file, which changes
            28     | 36         | zeros
            64     | rest       | server of the process as JSON, then zeros; only zeros in retired counts

    section: offset | bytes     | meaning
            0      | 8          | bytes of the section with its padding; 0 while it is not complete
            8      | 8          | *c*, number of counts
            16     | 8          | *s*, number of sums
            24     | 4          | *k*, bytes of the key
            28     | 4          | *d*, bytes of the description
            32     | 4          | checksum of the four sizes, the key and the description
            36     | 20         | zeros
            56     | 1          | in the first section: 1 once another process has folded the file; else 0
            57     | 7          | zeros
            64     | 8 c        | counts, int64
            64+8c  | 8 s        | sums, float64
            +8s    | k          | key, as text
            +k     | d          | description
            +d     | rest       | zeros to the end of the page

A section of length 0 ends the file for its readers. The owner maps its own file and counts in place. All others read
copies, because a mapped file that a user shortens raises SIGBUS. For the same reason, a file is reserved in full before
it is mapped. The owner locks its file for life, so a file whose lock can be taken has no owner any more.
"""

from __future__ import annotations

import contextlib
import errno
import json
import mmap
import os
import struct
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import numpy as np

from flask_boxkite.baseline.limits import MAX_COUNT
from flask_boxkite.live.model_cells import FORMAT
from flask_boxkite.live.process_counts import ProcessCounts
from flask_boxkite.live.section import Section, SectionKey
from flask_boxkite.live.totals import Totals
from flask_boxkite.naming import DAMAGED, FOREIGN, OTHER_FORMAT
from flask_boxkite.system.files import mapped, open_private, reserve, write_all
from flask_boxkite.system.locks import OwnerLock, has_no_owner
from flask_boxkite.system.process import ServerName

__all__ = [
    "LIVE",
    "LiveFile",
    "StateFileError",
    "Stored",
    "composed",
    "generation_of",
    "is_unused",
    "mark_folded",
    "new_name",
    "parsed",
    "server_of",
]

LIVE = "live-"
NEW = "new-"
"""Prefixes of the names of finished files, and of files that are being written."""

PAGE = mmap.ALLOCATIONGRANULARITY
MAGIC = b"boxkite\n"
_FILE = struct.Struct("=8sQQI")  # magic, format, generation, checksum
_SERVER = 64
_LENGTH = struct.Struct("=Q")
_SECTION = struct.Struct("=QQIII")  # after the length: c, s, k, d, checksum
_NUMBERS = 64
_FOLDED = 56


class StateFileError(Exception):
    """A file cannot be used. *state* is one of `naming.STATE_FILES`."""

    def __init__(self, state: str) -> None:
        super().__init__(state)
        self.state = state


class Stored(NamedTuple):
    """A section as it stands in a file."""

    key: SectionKey
    totals: Totals
    description: bytes


# --- reading ---------------------------------------------------------------------------------------------------------


def parsed(data: bytes, keys: Collection[SectionKey] | None = None) -> tuple[int, list[Stored]]:
    """Return the generation and the sections of a file.

    Args:
        data: Content of the file.
        keys: Keys of the sections that are wanted; None for all.

    Raises:
        StateFileError: The file has another format, is damaged, or is not a state file.
    """
    if data and not MAGIC.startswith(data[: len(MAGIC)]):
        raise StateFileError(FOREIGN)
    if len(data) < PAGE:
        raise StateFileError(DAMAGED)
    _, version, generation, checksum = _FILE.unpack_from(data)
    if version != FORMAT:
        raise StateFileError(OTHER_FORMAT)
    if checksum and checksum != _checksum(generation, memoryview(data)[PAGE:]):
        raise StateFileError(DAMAGED)
    return generation, list(_sections(data, None if keys is None else {str(key).encode() for key in keys}))


def generation_of(path: Path) -> int:
    """Return the generation in a file's header; 0 if the file is shorter.

    Raises:
        OSError: The file is missing or cannot be read.
    """
    descriptor = open_private(path, os.O_RDONLY)
    try:
        header = os.pread(descriptor, _FILE.size, 0)
    finally:
        os.close(descriptor)
    return int(_FILE.unpack(header)[2]) if len(header) == _FILE.size else 0


def server_of(data: bytes) -> ServerName | None:
    """Return the server whose process wrote a file; None if the file does not say."""
    text = data[_SERVER:PAGE].rstrip(b"\0")
    try:
        return ServerName.parse(json.loads(text))
    except (TypeError, ValueError):
        return None


def _checksum(generation: int, body: bytes | memoryview) -> int:
    return zlib.crc32(body, zlib.crc32(struct.pack("=Q", generation))) or 1


def _sections(data: bytes, keys: Collection[bytes] | None) -> Iterator[Stored]:
    start = PAGE
    while start + _NUMBERS <= len(data):
        (length,) = _LENGTH.unpack_from(data, start)
        if length == 0:
            return
        if length % PAGE or length > len(data) - start:
            raise StateFileError(DAMAGED)
        if keys is None or _key_at(data, start) in keys:
            yield _section(data[start : start + length])
        start += length


def _key_at(data: bytes, start: int) -> bytes:
    cells, sums, key_size, _, _ = _SECTION.unpack_from(data, start + _LENGTH.size)
    texts = start + _NUMBERS + 8 * (cells + sums)
    return data[texts : texts + key_size]


def _section(data: bytes) -> Stored:
    """Read a section from its bytes, padding included.

    Raises:
        StateFileError: The section is damaged.
    """
    cells, sums, key_size, description_size, checksum = _SECTION.unpack_from(data, _LENGTH.size)
    texts = _NUMBERS + 8 * (cells + sums)
    end = texts + key_size + description_size
    if _pages(end) != len(data) or checksum != _heading(cells, sums, key_size, data[texts:end])[1]:
        raise StateFileError(DAMAGED)

    totals = Totals(
        np.frombuffer(data, np.int64, cells, _NUMBERS), np.frombuffer(data, np.float64, sums, _NUMBERS + 8 * cells)
    )
    is_sound = ((totals.cells >= 0) & (totals.cells <= MAX_COUNT)).all() and (totals.sums >= 0).all()
    if not is_sound:
        raise StateFileError(DAMAGED)
    try:
        key = SectionKey.parse(data[texts : texts + key_size].decode())
    except ValueError as error:
        raise StateFileError(DAMAGED) from error
    return Stored(key, totals, data[texts + key_size : end])


# --- writing ---------------------------------------------------------------------------------------------------------


def _heading(cells: int, sums: int, key_size: int, texts: bytes) -> tuple[bytes, int]:
    """Return the bytes between a section's length and its numbers, and the checksum in them."""
    sizes = (cells, sums, key_size, len(texts) - key_size)
    checksum = zlib.crc32(texts, zlib.crc32(repr(sizes).encode()))
    return _SECTION.pack(*sizes, checksum), checksum


def _section_size(section: Section) -> int:
    """Return the bytes that a section takes in a file."""
    return _pages(
        _NUMBERS + 8 * (section.cells + section.sums) + len(str(section.key).encode()) + len(section.description)
    )


def _composed_section(section: Stored) -> bytes:
    """Return a section's bytes, a whole number of pages."""
    key = str(section.key).encode()
    cells, sums = section.totals
    texts = key + section.description
    numbers = cells.astype(np.int64).tobytes() + sums.astype(np.float64).tobytes()
    length = _pages(_NUMBERS + len(numbers) + len(texts))
    heading = _LENGTH.pack(length) + _heading(len(cells), len(sums), len(key), texts)[0]
    return (heading.ljust(_NUMBERS, b"\0") + numbers + texts).ljust(length, b"\0")


def _pages(size: int) -> int:
    return -(-size // PAGE) * PAGE


def composed(generation: int, sections: Iterable[Stored]) -> bytes:
    """Return a whole file, with a checksum."""
    body = b"".join(map(_composed_section, sections))
    return _header(generation, _checksum(generation, body)) + body


def _header(generation: int, checksum: int, server: ServerName | None = None) -> bytes:
    about = b"" if server is None else json.dumps(server).encode()
    return (_FILE.pack(MAGIC, FORMAT, generation, checksum).ljust(_SERVER, b"\0") + about).ljust(PAGE, b"\0")


def new_name() -> str:
    """Return a name for a file that is being written and that others do not read."""
    return NEW + uuid4().hex


def is_unused(directory: Path) -> bool:
    """Say whether no live process counts there."""
    return all(map(has_no_owner, directory.glob(f"{LIVE}*")))


def mark_folded(path: Path) -> None:
    """Tell a process that may still have a file mapped that its numbers were folded.

    Raises:
        OSError: The file cannot be written.
    """
    try:
        descriptor = open_private(path, os.O_WRONLY)
    except FileNotFoundError:  # a user deletes the directory just now
        return
    try:
        if os.fstat(descriptor).st_size > PAGE + _FOLDED:  # a shorter file has no numbers, and the disk may be full
            os.pwrite(descriptor, b"\1", PAGE + _FOLDED)
    finally:
        os.close(descriptor)


class LiveFile:
    """The file of this process: made with the first block that moves into it, locked until the process ends.

    Args:
        directory: Directory to make the file in.
        server: Server to which this process belongs.

    Attributes:
        path: Path of the file.

    Raises:
        OSError: The disk is full, or this user may not write there.
    """

    def __init__(self, directory: Path, server: ServerName | None = None) -> None:
        temporary = directory / new_name()
        self._lock = OwnerLock(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        self._data = -1
        self._folded = memoryview(b"\0")

        try:
            self._data = open_private(temporary, os.O_RDWR)
            reserve(self._data, 0, PAGE)
            write_all(self._data, _header(0, 0, server), 0)
            self._end = PAGE
            self.path = directory / (LIVE + temporary.name.removeprefix(NEW))
            os.rename(temporary, self.path)
        except BaseException:
            self.close()
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise

    def is_linked(self) -> bool:
        """Say whether others can still find the file."""
        return self._lock.is_linked() and self._lock.owns(self._data)

    @property
    def was_folded(self) -> bool:
        """Whether another process took this one for dead, and has added the file's numbers to the folded ones."""
        return self._folded[0] != 0

    def take(self, blocks: Sequence[ProcessCounts]) -> None:
        """Move the numbers of blocks into new sections; readers see a whole section or none.

        Blocks that move together share a memory map, because each map holds a descriptor.

        Raises:
            OSError: The disk is full, or the file was lost; blocks that have not moved stay in memory.
        """
        if not self.is_linked():
            raise OSError(errno.EBADF, "the state file of this process is gone")
        start, sizes = self._end, [_section_size(block.section) for block in blocks]
        try:
            reserve(self._data, start, sum(sizes))
            memory = memoryview(mapped(self._data, sum(sizes), start))

            for block, size in zip(blocks, sizes, strict=True):
                self._fill(block, memory[self._end - start :][:size])
        except BaseException:
            with contextlib.suppress(OSError):
                os.ftruncate(self._data, self._end)
            raise

    def _fill(self, block: ProcessCounts, memory: memoryview) -> None:
        """Move a block into memory that was mapped for it, at the end of the file."""
        with block.lock:
            section = block.section
            data = _composed_section(Stored(section.key, block.numbers(), section.description))
            write_all(self._data, data[_LENGTH.size :], self._end + _LENGTH.size)
            write_all(self._data, data[: _LENGTH.size], self._end)
            if self._end == PAGE:
                self._folded = memory[_FOLDED:]
            self._end += len(data)
            block.move(memory[_NUMBERS:])

    def close(self) -> None:
        """Close the descriptor of the lock; maps stay. In a forked child, the parent keeps its lock."""
        if self._lock.owns(self._data):
            os.close(self._data)
        self._data = -1
        self._lock.close()
