"""The layout of an outcome book.

A book is in the machine's byte order; *c* and *b* are the sizes that its header states. It consists of blocks of
128 bytes.

    offset    | bytes | meaning
    0         | 8     | ``boxbook`` and a line feed
    8         | 8     | format (`FORMAT`), unsigned
    16        | 8     | *c*, number of cells
    24        | 8     | *b*, number of buckets, a power of two
    32        | 4     | checksum of the bytes before it
    36        | 92    | zeros
    128       | 8     | number of blocks in the journal; 0 once they are in their places
    136       | 8     | checksum of that number and the entries
    144       | 136 m | entries of the journal, one a block: its number, unsigned, and its new content; *m* is `AT_ONCE`
                        and the number of blocks of cells
    144+136m  | rest  | zeros to the end of the block
    n         | 8 c   | cells, int64
    n+8c      | rest  | zeros to the end of the block
    t         | 128 b | buckets of the table of fingerprints (`fingerprints`)

Its size follows from *c* and *b*, and a file with other bytes in the header, or of another size, is no book.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np

from flask_boxkite.live.totals import Totals
from flask_boxkite.outcomes.fingerprints import PLACES, split
from flask_boxkite.outcomes.journal import BLOCK, WORDS, Journal
from flask_boxkite.outcomes.storage import OpenStorage

__all__ = ["AT_ONCE", "FORMAT", "USUAL", "BookFile", "BookLimits"]

AT_ONCE = 256
"""Most outcomes in one transaction; it bounds the journal, and the time for which others wait."""

FORMAT = zlib.crc32(repr((1, AT_ONCE, PLACES, WORDS)).encode())
"""Hash of all that the layout depends on besides *c* and *b*."""

_MAGIC = b"boxbook\n"
_HEADER = struct.Struct("=8sQQQ")  # magic, format, c, b
_CHECKSUM = struct.Struct("=I")


@dataclass(frozen=True)
class BookLimits:
    """Limits of a book.

    Attributes:
        at_once: Most outcomes in one transaction, up to `AT_ONCE`.
        first_buckets: Buckets of a new table, a power of two.
        split_at_once: Most buckets that are in memory while the table doubles: 1 MiB.
        patience_seconds: Longest time to wait for other processes.
    """

    at_once: int = AT_ONCE
    first_buckets: int = 256
    split_at_once: int = 8192
    patience_seconds: float = 2.0


USUAL = BookLimits()


class BookFile:
    """Reads and makes the books with so many cells.

    Args:
        cells: Number of cells.
        limits: Limits of the book.

    Attributes:
        cells: Number of cells.
        journal: Journal of the book.
        cells_start: Number of the first block of cells.
        buckets_start: Number of the first block of the table; each bucket is one block.
    """

    def __init__(self, cells: int, limits: BookLimits) -> None:
        self.cells = cells
        self._limits = limits
        blocks = -(-cells // WORDS)
        self.journal = Journal(BLOCK, AT_ONCE + blocks)
        self.cells_start = 1 - (-self.journal.size // BLOCK)
        self.buckets_start = self.cells_start + blocks

    def buckets(self, storage: OpenStorage) -> int:
        """Return the number of buckets of a book; 0 if it is no book with these cells.

        Raises:
            OSError: The bytes cannot be read.
        """
        buckets = storage.size() // BLOCK - self.buckets_start
        if buckets < 1 or storage.size() % BLOCK:
            return 0
        return buckets if storage.read(0, BLOCK) == self._header(buckets) else 0

    def _header(self, buckets: int) -> bytes:
        header = _HEADER.pack(_MAGIC, FORMAT, self.cells, buckets)
        return (header + _CHECKSUM.pack(zlib.crc32(header))).ljust(BLOCK, b"\0")

    def totals(self, storage: OpenStorage) -> Totals:
        """Return the cells of a book, also of a transaction that is to be finished; write nothing.

        Raises:
            OSError: The book cannot be read.
        """
        start, size = self.cells_start * BLOCK, (self.buckets_start - self.cells_start) * BLOCK
        cells = bytearray(storage.read(start, size))
        for number, content in self.journal.pending(storage).items():
            if number < self.buckets_start:
                offset = number * BLOCK - start
                cells[offset : offset + BLOCK] = content
        return Totals(np.frombuffer(cells, np.int64, self.cells), np.zeros(0))

    def begin(self, storage: OpenStorage) -> None:
        """Replace all bytes by an empty book; raises as `OpenStorage.replacement` does."""
        buckets = self._limits.first_buckets
        with storage.replacement(self._size(buckets)) as book:
            book.write(0, self._header(buckets))

    def double(self, storage: OpenStorage, buckets: int) -> None:
        """Replace a book, without a pending transaction, by one with twice the buckets, which are half as full.

        Args:
            storage: Book to replace.
            buckets: Number of its buckets.

        Raises:
            OSError: The disk is full, say; the book is as before.
        """
        with storage.replacement(self._size(2 * buckets)) as book:
            book.write(0, self._header(2 * buckets))
            cells = self.cells_start * BLOCK
            book.write(cells, storage.read(cells, (self.buckets_start - self.cells_start) * BLOCK))

            at_once = self._limits.split_at_once
            for first in range(0, buckets, at_once):
                size = BLOCK * min(at_once, buckets - first)
                data = storage.read(self._bucket(first), size)
                lower, upper = split(np.frombuffer(data, np.uint64).reshape(-1, PLACES), first, buckets)
                book.write(self._bucket(first), lower.tobytes())
                book.write(self._bucket(buckets + first), upper.tobytes())

    def _bucket(self, bucket: int) -> int:
        return BLOCK * (self.buckets_start + bucket)

    def _size(self, buckets: int) -> int:
        return self._bucket(buckets)
