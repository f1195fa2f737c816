"""Records that several processes count, each a share of the files; with the same counts as one process.

A record may be in several files, and counts once. In one unit of Parquet none is twice, and the names of files say when
records were made: a process looks for the ids of its records in the Parquet of the same minutes that others read; for
records of Parquet, in the files before. Of lines, any file may hold any record, so each share comes back with the ids
in it. If shares before it have some of them, which is rare, the share is counted again without these.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from flask_boxkite.errors import BoxkiteError
from flask_boxkite.records.folders import RecordFile
from flask_boxkite.records.garbage import rarely_collected
from flask_boxkite.records.job import Counting, Job
from flask_boxkite.records.read_counts import ReadCounts
from flask_boxkite.records.reader import Reader

__all__ = ["Executor", "count_shares"]

MOST_SHARES = 64
"""Most shares: more than processes, so that none waits long for the last one, and few beside their files."""

_ID_BYTES = 16


class Executor(Protocol):
    """An executor of `concurrent.futures`, or another object that maps as these do."""

    def map(self, function: Any, /, *iterables: Any) -> Iterable[Any]:
        """Return the results of calls with one item of each iterable, in their order."""


@dataclass(frozen=True)
class Share:
    """Files that are counted together.

    Attributes:
        files: Files, in the order of time.
        others: Parquet files of other shares that may hold the same records, which count there.
        left_out: Ids of records that count in other shares.
    """

    files: Sequence[RecordFile]
    others: Sequence[RecordFile] = ()
    left_out: frozenset[bytes] = frozenset()


@dataclass(frozen=True)
class Result:
    """The counts of one share.

    Attributes:
        counted: Counts of its records (`Counting.counted`).
        counts: Counts of its reading.
        ids: Ids of its records in lines, one after the other.
    """

    counted: Any
    counts: ReadCounts
    ids: bytes


def count_shares(
    executor: Executor, reader: Reader, job: Job[Counting[Any]], files: Sequence[RecordFile]
) -> Iterator[tuple[Any, ReadCounts]]:
    """Yield the counts of each share of the files, and of its reading, in the order of time.

    Args:
        executor: Executor whose processes can open the files, and have this package.
        reader: Reader of the files.
        job: Description of the counting.
        files: Files, in the order of time.

    Raises:
        BoxkiteError: A file cannot be read, or a process was killed.
    """
    packed = pickle.dumps((reader, job))
    shares = dict(enumerate(_shares(files)))
    results: dict[int, Result] = {}
    waiting = list(shares)
    while waiting:
        try:
            done = executor.map(_count, [packed] * len(waiting), [shares[number] for number in waiting])
            results |= zip(waiting, done, strict=True)
        except BrokenExecutor as error:
            msg = (
                "A process that counted records was killed, or did not start. Is there memory for all? Take fewer "
                "processes ('--workers'). A script makes them below: if __name__ == \"__main__\":"
            )
            raise BoxkiteError(msg) from error
        copies = _copies([results[number].ids for number in shares])
        for number, ids in copies.items():
            share = shares[number]
            shares[number] = replace(share, left_out=share.left_out | ids)
        waiting = list(copies)
    for number in shares:
        result = results.pop(number)
        yield result.counted, result.counts


def _shares(files: Sequence[RecordFile]) -> Iterator[Share]:
    """Yield shares in the order of files, which decides where two predictions of one second have the same key."""
    parts = [file for file in files if file.unit]
    for own in _split(files):
        others = [file for file in parts if not own[0] <= file <= own[-1]]
        if all(file.unit for file in own):  # only lines may have records of any time
            others = [file for file in others if file < own[0] and file.end > own[0].minute]
        yield Share(own, others)


def _split(files: Sequence[RecordFile]) -> Iterator[Sequence[RecordFile]]:
    """Yield runs of files, about as many in each.

    Lines and Parquet of one minute stay together: of copies in both, the one that is read first counts.
    """
    lines, parts = ({file.minute for file in files if bool(file.unit) == is_part} for is_part in (False, True))
    mixed = lines & parts
    shares = min(MOST_SHARES, len(files))
    start = 0
    for number in range(1, shares + 1):
        stop = number * len(files) // shares
        while 0 < stop < len(files) and files[stop - 1].minute == files[stop].minute in mixed:
            stop += 1
        if stop > start:
            yield files[start:stop]
            start = stop


def _copies(ids: Sequence[bytes]) -> dict[int, set[bytes]]:
    """Return the ids of each share that shares before it have, by the number of the share."""
    joined = b"".join(ids)
    halves = np.frombuffer(joined, dtype="<u8").reshape(-1, 2)
    keys = halves[:, 0] ^ halves[:, 1]
    order = np.argsort(keys, kind="stable")
    is_same = np.diff(keys[order]) == 0
    suspects = np.unique(np.concatenate([order[1:][is_same], order[:-1][is_same]]))

    ends = np.cumsum([len(own) // _ID_BYTES for own in ids])
    known: set[bytes] = set()
    copies: dict[int, set[bytes]] = {}
    for place, number in zip(suspects.tolist(), np.searchsorted(ends, suspects, side="right").tolist(), strict=True):
        id_ = joined[place * _ID_BYTES : (place + 1) * _ID_BYTES]
        if id_ in known:
            copies.setdefault(number, set()).add(id_)
        known.add(id_)
    return copies


def _count(packed: bytes, share: Share) -> Result:
    """Count a share; called in another process."""
    reader, job = _unpacked(packed)
    counting, counts, seen = job.begin(), ReadCounts(), set(share.left_out)
    pieces = reader.read(counting.names, share.files, counts, counting.takes, seen=seen, others=share.others)
    for piece in rarely_collected(pieces):
        counting.add(piece)
    return Result(counting.counted, counts, b"".join(seen - share.left_out))


@lru_cache(maxsize=1)
def _unpacked(packed: bytes) -> tuple[Reader, Job[Counting[Any]]]:
    """Return the common part of many shares; outcomes may be long."""
    found: tuple[Reader, Job[Counting[Any]]] = pickle.loads(packed)  # of the process that called
    return found
