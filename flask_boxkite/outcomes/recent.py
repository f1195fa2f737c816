"""Recent predictions: outputs that no id can carry, in a table of fixed size that the processes of a server share.

Each prediction is known by a fingerprint of 64 bits, which stands for its id, the row of a batch or a caller's own key,
and for the model. The table is in the machine's byte order, and *n* is the number of its buckets:

    offset    | bytes | meaning
    0         | 8     | ``boxlast`` and a line feed
    8         | 8     | format, unsigned
    16        | 8     | *n*, unsigned
    4096      | 256   | bucket 0
    4096+256i | 256   | bucket *i*

    bucket: offset | bytes | meaning
            0      | 15    | hint of each entry: the upper 8 bits of the fingerprint's lower half, 1 for 0; 0 if empty
            15     | 1     | number of entries that were put there, modulo 255
            16     | 16    | entry 0
            16+16i | 16    | entry *i*

    entry: offset | bytes | meaning
           0      | 8     | fingerprint, exclusive or with the bytes from 8 to 16
           8      | 4     | output in 32 bits, as the model's code makes them (`baseline.codes`), unsigned
           12     | 4     | time of the prediction in whole Unix seconds, unsigned

A fingerprint has two buckets, one for each half. A new entry goes to the bucket that has had fewer, over the oldest one
there. So all buckets fill at the same pace, and entries live equally long.

Processes write without a lock. If two of them write to the same place at once, or one dies while it writes, the words
of an entry may come from different predictions. Then their exclusive or is the fingerprint of neither (of another with
a probability of 2^-64), so the entry is lost, and no prediction gets the value of another. Likewise for a reader that
reads one word before a change and one after it, and for words that are written in halves: a half of a wrong first word
that fits a wrong second one has a probability of 2^-32.

The file is reserved in full before it is mapped, so writing needs no room on the disk. It is repaired in place and
never shortened, which would end each process that has it mapped (SIGBUS).

References:
    Hyatt and Mann, A lock-less transposition table implementation for parallel search, ICGA Journal 25, 2002.
    Azar, Broder, Karlin and Upfal, Balanced allocations, SIAM Journal on Computing 29, 1999.
    Steele, Lea and Flood, Fast splittable pseudorandom number generators, OOPSLA 2014 (`row_fingerprint`).
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.system.files import mapped, open_private, reserve, write_all
from flask_boxkite.system.locks import locked

__all__ = ["RecentPredictions", "row_fingerprint", "row_fingerprints"]

Words: TypeAlias = NDArray[np.uint64]

_FORMAT = 1
_MAGIC = b"boxlast\n"
_HEADER = struct.Struct("=8sQQ")  # magic, format, buckets
_BUCKETS_AT = 4096
_BUCKET = 256
_ENTRIES = 15
_ENTRY = 16
_COUNTS = 255
"""Number of values of a bucket's count; a multiple of the entries, so that the count tells the next one."""

_LIVE_PER_BUCKET = 8
"""Entries for which a bucket has room; the others let them live equally long."""

_PAYLOAD = struct.Struct("=II")
_WORD = struct.Struct("=Q")
_BUCKET_WORDS = struct.Struct("=32Q")
_LATEST = 2**32 - 1
_AT_ONCE = 4096
"""Most rows that are put by the same counts of the buckets."""

_FEW = 32
"""Rows below which a loop is faster."""

_MASK = 2**64 - 1
_GAMMA = 0x9E37_79B9_7F4A_7C15
_MIX_1, _MIX_2 = 0xBF58_476D_1CE4_E5B9, 0x94D0_49BB_1331_11EB


class RecentPredictions:
    """Outputs of the last predictions. Any thread may use it, also after a fork: a child shares its parent's table.

    Args:
        path: Path of the file, made if it is missing; None for memory that only forked processes share.
        capacity: Number of latest predictions to keep: of them, fewer than 1 in 100,000 are lost. A file that is there
            keeps its own.
        patience_seconds: Longest time to wait for another process that makes the file.

    Raises:
        OSError: The file cannot be made, as on a full disk, or not be mapped.
    """

    def __init__(self, path: Path | None, capacity: int = 1_000_000, *, patience_seconds: float = 5.0) -> None:
        buckets = max(1, -(-capacity // _LIVE_PER_BUCKET))
        self._data = mmap.mmap(-1, _size(buckets)) if path is None else _opened(path, buckets, patience_seconds)
        self._buckets = (len(self._data) - _BUCKETS_AT) // _BUCKET
        # Items of this view are written by one instruction each.
        self._words = memoryview(self._data).cast("Q")

        self._entries: Words = np.frombuffer(self._data, np.uint64, offset=_BUCKETS_AT).reshape(self._buckets, -1)
        self._heads = self._entries.view(np.uint8)[:, : _ENTRIES + 1]

    def put(self, fingerprint: int, bits: int, time: float) -> None:
        """Remember a prediction.

        Args:
            fingerprint: Fingerprint, 64 bits; a prediction of the same one is replaced.
            bits: Output in 32 bits.
            time: Time of the prediction in Unix seconds, cut to whole ones.
        """
        (payload,) = _WORD.unpack(_PAYLOAD.pack(bits, _seconds(time)))
        self._put(fingerprint, payload)

    def put_many(self, fingerprints: Words, codes: NDArray[np.uint32], time: float) -> None:
        """Remember the predictions of a batch.

        Args:
            fingerprints: Fingerprint of each row, shape (n,).
            codes: Output of each row in 32 bits, shape (n,).
            time: Time of all predictions in Unix seconds, cut to whole ones.
        """
        payloads = np.empty((len(codes), 2), np.uint32)
        payloads[:, 0] = codes
        payloads[:, 1] = _seconds(time)
        words = payloads.view(np.uint64)[:, 0]

        for start in range(0, len(words), _AT_ONCE):
            self._put_some(fingerprints[start : start + _AT_ONCE], words[start : start + _AT_ONCE])

    def find(self, fingerprint: int) -> tuple[int, float] | None:
        """Return the output of a prediction in 32 bits, and its time in Unix seconds.

        None if the prediction is unknown, or was too long ago.
        """
        found = self._find(fingerprint, self._starts(fingerprint))
        if found is None:
            return None
        bits, seconds = _PAYLOAD.unpack(_WORD.pack(found[1]))
        return bits, float(seconds)

    def oldest(self, fingerprint: int) -> float | None:
        """Return the Unix time of the earliest prediction in the two buckets of a fingerprint.

        If the fingerprint's own prediction was put at an earlier time and is not found, it has been overwritten.

        Returns:
            The time; None while one of the buckets has room, since nothing was overwritten there.
        """
        earliest = _LATEST
        for start in self._starts(fingerprint):
            if 0 in self._data[start : start + _ENTRIES]:
                return None
            words = _BUCKET_WORDS.unpack_from(self._data, start)
            for word, payload in zip(words[2::2], words[3::2], strict=True):
                if start in self._starts(word ^ payload):  # not of two writers
                    earliest = min(earliest, _PAYLOAD.unpack(_WORD.pack(payload))[1])
        return float(earliest)

    def _find(self, fingerprint: int, starts: tuple[int, int]) -> tuple[int, int] | None:
        """Return the place of an entry among the words, and the payload that was found to belong to it."""
        data, words, hint = self._data, self._words, fingerprint >> 24 & 255 or 1
        for start in starts:
            hints = data[start : start + _ENTRIES]
            entry = hints.find(hint)
            while entry >= 0:
                place = (start >> 3) + 2 * entry + 2
                payload = words[place + 1]
                if words[place] ^ payload == fingerprint:
                    return place, payload
                entry = hints.find(hint, entry + 1)
        return None

    def _put(self, fingerprint: int, payload: int) -> None:
        starts = self._starts(fingerprint)
        found = self._find(fingerprint, starts)
        place = self._new_place(fingerprint, starts) if found is None else found[0]
        self._words[place + 1] = payload
        self._words[place] = fingerprint ^ payload

    def _new_place(self, fingerprint: int, starts: tuple[int, int]) -> int:
        """Return the place of the oldest entry in the bucket that has had fewer, where a new one is counted."""
        data = self._data
        first, second = starts
        count, other_count = data[first + _ENTRIES], data[second + _ENTRIES]
        start = first
        if not _has_had_fewer(count, other_count):
            start, count = second, other_count

        entry = count % _ENTRIES
        data[start + entry] = fingerprint >> 24 & 255 or 1
        data[start + _ENTRIES] = (count + 1) % _COUNTS
        return (start >> 3) + 2 * entry + 2

    def _starts(self, fingerprint: int) -> tuple[int, int]:
        """Return the offsets of the two buckets of a fingerprint."""
        return (
            _BUCKETS_AT + _BUCKET * ((fingerprint & 0xFFFF_FFFF) % self._buckets),
            _BUCKETS_AT + _BUCKET * ((fingerprint >> 32) % self._buckets),
        )

    def _put_some(self, fingerprints: Words, payloads: Words) -> None:
        """Put rows with buckets of their own all at once, and others one by one."""
        rest = range(len(payloads)) if len(payloads) < _FEW else self._put_apart(fingerprints, payloads)
        for row in rest:
            self._put(int(fingerprints[row]), int(payloads[row]))

    def _put_apart(self, fingerprints: Words, payloads: Words) -> list[int]:
        """Put the rows that have a bucket of their own and seem new; return the others."""
        first = ((fingerprints & 0xFFFF_FFFF) % self._buckets).astype(np.intp)
        second = ((fingerprints >> 32) % self._buckets).astype(np.intp)
        hints = np.maximum(fingerprints >> 24 & 255, 1).astype(np.uint8)
        head, other = self._heads[first], self._heads[second]
        may_be_known = ((head == hints[:, None]) | (other == hints[:, None]))[:, :_ENTRIES].any(axis=1)

        count, other_count = head[:, _ENTRIES].astype(np.int16), other[:, _ENTRIES].astype(np.int16)
        is_first = _has_had_fewer(count, other_count)
        buckets, counts = np.where(is_first, first, second), np.where(is_first, count, other_count)
        is_apart = np.zeros(len(payloads), bool)
        is_apart[np.unique(buckets, return_index=True)[1]] = True
        is_apart &= ~may_be_known

        bucket, count = buckets[is_apart], counts[is_apart]
        entry, payload = count % _ENTRIES, payloads[is_apart]
        self._heads[bucket, entry] = hints[is_apart]
        self._heads[bucket, _ENTRIES] = (count + 1) % _COUNTS
        self._entries[bucket, 2 * entry + 3] = payload
        self._entries[bucket, 2 * entry + 2] = fingerprints[is_apart] ^ payload
        rows: list[int] = np.flatnonzero(~is_apart).tolist()
        return rows


def _has_had_fewer(count: Any, other: Any) -> Any:
    """Say whether a bucket has had at most as many entries as another, or each of several; all numbers are close."""
    return (other - count) % _COUNTS <= _COUNTS // 2


def _seconds(time: float) -> int:
    seconds = int(time)
    return seconds if 0 <= seconds <= _LATEST else 0 if seconds < 0 else _LATEST


# --- the file --------------------------------------------------------------------------------------------------------


def _size(buckets: int) -> int:
    return _BUCKETS_AT + _BUCKET * buckets


def _opened(path: Path, buckets: int, patience_seconds: float) -> mmap.mmap:
    """Map a table; make it first if it is missing, or damaged."""
    descriptor = open_private(path, os.O_RDWR | os.O_CREAT)
    try:
        with locked(descriptor, patience_seconds) as is_mine:
            if not is_mine:
                raise OSError(errno.EAGAIN, "another process does not finish it", str(path))
            size = _size_of_sound(descriptor)
            if size is None:
                size = _size(buckets)
                _make(descriptor, buckets)
        return mapped(descriptor, size)
    finally:
        os.close(descriptor)


def _size_of_sound(descriptor: int) -> int | None:
    """Return the size of a table; None if it is not one, or was shortened."""
    header = os.pread(descriptor, _HEADER.size, 0)
    if len(header) < _HEADER.size:
        return None
    magic, version, buckets = _HEADER.unpack(header)
    is_ours = (magic, version) == (_MAGIC, _FORMAT) and buckets > 0
    is_sound = is_ours and _size(buckets) <= os.fstat(descriptor).st_size
    return _size(buckets) if is_sound else None


def _make(descriptor: int, buckets: int) -> None:
    """Write an empty table, the header last."""
    size, old_size = _size(buckets), os.fstat(descriptor).st_size
    reserve(descriptor, 0, size)
    if old_size:
        write_all(descriptor, bytes(size), 0)
    write_all(descriptor, _HEADER.pack(_MAGIC, _FORMAT, buckets), 0)


# --- rows of a batch -------------------------------------------------------------------------------------------------


def row_fingerprint(fingerprint: int, row: int) -> int:
    """Return the fingerprint of a row of a batch, as splitmix64 makes numbers of a seed.

    Args:
        fingerprint: Fingerprint of the batch.
        row: Index of the row, from 0 on.
    """
    mixed = fingerprint + (row + 1) * _GAMMA & _MASK
    mixed = (mixed ^ mixed >> 30) * _MIX_1 & _MASK
    mixed = (mixed ^ mixed >> 27) * _MIX_2 & _MASK
    return mixed ^ mixed >> 31


def row_fingerprints(fingerprint: int, rows: int) -> Words:
    """Return the fingerprints of all rows of a batch, shape (rows,)."""
    mixed = np.arange(1, rows + 1, dtype=np.uint64) * np.uint64(_GAMMA) + np.uint64(fingerprint)
    mixed = (mixed ^ mixed >> np.uint64(30)) * np.uint64(_MIX_1)
    mixed = (mixed ^ mixed >> np.uint64(27)) * np.uint64(_MIX_2)
    return mixed ^ mixed >> np.uint64(31)
