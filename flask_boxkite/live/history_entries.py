"""Entries of a file of history: the numbers of an hour or a day, compressed, with a checksum.

    offset | bytes | meaning, in little-endian order
    0      | 4     | checksum of all that follows
    4      | 4     | *s*, bytes of the numbers
    8      | 8     | number of the hour or day since 1970, in UTC
    16     | 1     | kind: 1 for an hour, 2 for a day
    17     | 7     | zeros
    24     | *s*   | the numbers as int64, compressed: first the lowest byte of each, then the next byte of each, …

Rows of an hour rarely need more than two bytes, so the other six columns of bytes take no room.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["DAY", "HOUR", "Entry", "composed", "entries_of", "numbers_of"]

HOUR, DAY = 1, 2
"""Kinds of entries."""

_CHECKSUM = struct.Struct("<I")
_HEAD = struct.Struct("<IqB7x")
_SIZE = _CHECKSUM.size + _HEAD.size


class Entry(NamedTuple):
    """One entry, whose numbers are still compressed.

    Attributes:
        kind: Kind, `HOUR` or `DAY`.
        number: Number of the hour or day.
        data: Bytes of the whole entry.
    """

    kind: int
    number: int
    data: bytes


def composed(kind: int, number: int, numbers: NDArray[np.int64]) -> Entry:
    """Return an entry with these numbers, shape (width,)."""
    columns = np.ascontiguousarray(numbers, dtype="<i8").view(np.uint8).reshape(-1, 8).T
    payload = zlib.compress(columns.tobytes(), 1)
    rest = _HEAD.pack(len(payload), number, kind) + payload
    return Entry(kind, number, _CHECKSUM.pack(zlib.crc32(rest)) + rest)


def entries_of(data: bytes) -> Iterator[Entry]:
    """Yield the entries in some bytes, up to the first damaged one."""
    start = 0
    while start + _SIZE <= len(data):
        size, number, kind = _HEAD.unpack_from(data, start + _CHECKSUM.size)
        stop = start + _SIZE + size
        whole = data[start:stop]
        if stop > len(data) or _CHECKSUM.unpack_from(whole)[0] != zlib.crc32(whole[_CHECKSUM.size :]):
            return
        if kind in (HOUR, DAY):
            yield Entry(kind, number, whole)
        start = stop


def numbers_of(entry: Entry, width: int) -> NDArray[np.int64]:
    """Return the numbers of an entry, shape (width,).

    Raises:
        ValueError: It has another number of numbers, or they are no counts.
    """
    try:
        expanded = zlib.decompressobj().decompress(entry.data[_SIZE:], 8 * width + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if len(expanded) != 8 * width:
        msg = f"An entry has {len(expanded)} bytes where {8 * width} were expected."
        raise ValueError(msg)
    columns = np.frombuffer(expanded, np.uint8).reshape(8, width)
    numbers = np.ascontiguousarray(columns.T).view("<i8").reshape(width).astype(np.int64)
    if (numbers < 0).any():
        msg = "An entry has negative counts."
        raise ValueError(msg)
    return numbers
