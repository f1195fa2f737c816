"""The journal of an outcome book: a process that dies at any moment leaves a transaction done or not begun.

A transaction changes blocks of 128 bytes. Their new content is written to the journal first, then to its places, then
the journal is cleared. The next process that takes the lock finishes a journal that is whole, which it may do again and
again; a torn one counts for nothing. The system keeps all writes of a process that was killed, so none has to wait for
the disk. After a failure of power, blocks may be of different ages.
"""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Mapping
from typing import TypeAlias

from flask_boxkite.outcomes.storage import OpenStorage

__all__ = ["BLOCK", "WORDS", "Blocks", "Journal"]

WORDS = 16
"""Words in a block: unsigned numbers of 64 bits."""

_WORDS = struct.Struct(f"={WORDS}Q")

BLOCK = _WORDS.size
"""Bytes in a block. Block *n* begins at offset ``n * BLOCK``."""

_HEAD = struct.Struct("=QQ")  # number of blocks, checksum
_ENTRY = struct.Struct(f"=Q{BLOCK}s")  # number of the block, new content

_Content: TypeAlias = Mapping[int, bytes]
"""Bytes of blocks, by their numbers."""


class Journal:
    """The journal of a book.

    Args:
        start: Offset of its first byte.
        room: Most blocks that a transaction changes.

    Attributes:
        size: Bytes that it takes.
    """

    def __init__(self, start: int, room: int) -> None:
        self._start = start
        self._room = room
        self.size = _HEAD.size + room * _ENTRY.size

    def pending(self, storage: OpenStorage) -> _Content:
        """Return the blocks of a transaction that another process began and may not have finished; mostly none.

        Raises:
            OSError: The book cannot be read.
        """
        number, checksum = _HEAD.unpack(storage.read(self._start, _HEAD.size))
        if not 0 < number <= self._room:
            return {}
        entries = storage.read(self._start + _HEAD.size, number * _ENTRY.size)
        return dict(_ENTRY.iter_unpack(entries)) if checksum == _checksum(number, entries) else {}

    def finish(self, storage: OpenStorage) -> None:
        """Finish the transaction of another process that died.

        Raises:
            OSError: The book cannot be read or written; the next process tries again.
        """
        if pending := self.pending(storage):
            self._apply(storage, pending)

    def commit(self, storage: OpenStorage, old: _Content, new: _Content) -> None:
        """Write changed blocks, all or none.

        Args:
            storage: Book, without a pending transaction.
            old: Content of the same blocks before.
            new: Content to write.

        Raises:
            OSError: A write failed; nothing has changed. If even taking back fails, the next process finishes.
        """
        entries = b"".join(_ENTRY.pack(number, content) for number, content in new.items())
        try:
            storage.write(self._start, _HEAD.pack(len(new), _checksum(len(new), entries)) + entries)
            self._apply(storage, new)
        except OSError:
            with contextlib.suppress(OSError):
                self._apply(storage, old)
            raise

    def _apply(self, storage: OpenStorage, content: _Content) -> None:
        for number, data in content.items():
            storage.write(number * BLOCK, data)
        storage.write(self._start, bytes(_HEAD.size))


def _checksum(number: int, entries: bytes) -> int:
    return zlib.crc32(entries, number)


class Blocks:
    """The blocks of an open book, each read once, and changed in memory until all are written.

    Args:
        storage: Book, without a pending transaction.
    """

    def __init__(self, storage: OpenStorage) -> None:
        self._storage = storage
        self._read: dict[int, bytes] = {}
        self._words: dict[int, list[int]] = {}

    def __getitem__(self, number: int) -> list[int]:
        """Return the words of a block, to be changed in place.

        Raises:
            OSError: The block cannot be read.
        """
        words = self._words.get(number)
        if words is None:
            data = self._read[number] = self._storage.read(number * BLOCK, BLOCK)
            words = self._words[number] = list(_WORDS.unpack(data))
        return words

    def write(self, journal: Journal) -> None:
        """Write the blocks that have changed; raises as `Journal.commit` does."""
        content = {number: _WORDS.pack(*words) for number, words in self._words.items()}
        new = {number: data for number, data in content.items() if data != self._read[number]}
        if new:
            journal.commit(self._storage, {number: self._read[number] for number in new}, new)
