"""Duplicates among lines and parts: the first of all copies of a record is read, wherever the others are.

The ids of lines are remembered, 120 bytes each. The ids in parts are not: in one unit of a compaction, no record is
twice, and the name of a part says when its records were made. So the ids of a part are read only where something else
has records of the same minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import compress
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.records.decoding import Record
from flask_boxkite.records.duplicates import keys_of_ids, new_ones
from flask_boxkite.records.folders import RecordFile
from flask_boxkite.records.parquet.part import Group, Part
from flask_boxkite.records.read_counts import ReadCounts

__all__ = ["Identities"]

Opened = Callable[[RecordFile], "Part | None"]

_MINUTE = 60
_entity_id, _created_at = map(attrgetter, ("entity_id", "created_at"))


class Identities:
    """The records that were read so far, here or in another process.

    Args:
        seen: Ids of lines that were read, to which new ones are added.
        others: Parts that another process reads.
        opened: Function that opens such a part, or returns None if it cannot be read.
    """

    def __init__(self, seen: set[bytes], others: Sequence[RecordFile] = (), opened: Opened | None = None) -> None:
        self._seen = seen
        self._minutes: set[int] = set()
        self._parts: list[Part] = []
        self._others, self._opened = list(others), opened

    def new_lines(self, records: list[Record], counts: ReadCounts) -> list[Record]:
        """Return the records of lines that are new; count the others."""
        if records and (self._parts or self._others):
            times = list(map(_created_at, records))
            if others := list(self._overlapping(min(times), max(times))):
                is_new = ~_are_in(keys_of_ids(list(map(_entity_id, records))), others)
                kept = list(compress(records, is_new))
                counts.duplicates += len(records) - len(kept)
                records = kept
        records = new_ones(records, self._seen, counts)
        self._minutes.update(time // _MINUTE for time in map(_created_at, records))
        return records

    def mark_new(self, group: Group, counts: ReadCounts) -> None:
        """Select the rows of a group whose records are new; count the others."""
        others: list[AbstractSet[bytes]] = list(self._overlapping(group.first, group.last, group.part.file))
        if self._has_lines(group):
            others.append(self._seen)
        if not others:
            return
        is_new = ~_are_in(group.ids(), others)
        if is_new.all():
            return
        first = group.is_first()
        dropped = ~is_new
        if group.is_kept is not None:
            dropped &= group.is_kept[first]
        counts.duplicates += int(dropped.sum())
        group.keep(is_new[np.cumsum(first) - 1])

    def add_part(self, part: Part) -> None:
        """Note a part of which all groups were read; it stays open while later ones may hold the same records."""
        self._parts.append(part)

    def forget_before(self, time: float, *, has_lines: bool) -> None:
        """Close the parts that end before a time.

        Args:
            time: Beginning of the minute from which on parts are still to be read, in Unix seconds.
            has_lines: Whether lines are still to be read, whose records may be of any time.
        """
        if has_lines:
            return
        for part in self._parts:
            if part.file.end <= time:
                part.close()
        self._parts = [part for part in self._parts if part.file.end > time]

    def close(self) -> None:
        """Close all parts."""
        for part in self._parts:
            part.close()
        self._parts = []

    def _overlapping(self, first: float, last: float, before: RecordFile | None = None) -> Iterator[frozenset[bytes]]:
        """Yield the ids that parts have in a time: all, or the ones of other units that stand before a part."""
        self._open_others(first, last)
        for part in self._parts:
            file = part.file
            is_other = before is None or (file.unit != before.unit and file < before)
            if is_other and file.minute <= last and file.end > first:
                yield from part.ids_between(first // _MINUTE * _MINUTE, last // _MINUTE * _MINUTE + _MINUTE)

    def _open_others(self, first: float, last: float) -> None:
        """Open the other parts of a time, each once."""
        if self._opened is None:
            return
        is_needed = [file.minute <= last and file.end > first for file in self._others]
        found = [self._opened(file) for file in compress(self._others, is_needed)]
        self._parts += [part for part in found if part is not None]
        self._others = [file for file, is_own in zip(self._others, is_needed, strict=True) if not is_own]

    def _has_lines(self, group: Group) -> bool:
        """Say whether lines had records of the minutes of a group."""
        first, last = int(group.first) // _MINUTE, int(group.last) // _MINUTE
        if last - first < len(self._minutes):
            return not self._minutes.isdisjoint(range(first, last + 1))
        return any(first <= minute <= last for minute in self._minutes)


def _are_in(keys: Sequence[bytes], others: Iterable[AbstractSet[bytes]]) -> NDArray[np.bool_]:
    """Say of each key whether any of some sets has it."""
    found = np.zeros(len(keys), dtype=np.bool_)
    for ids in others:
        if not ids.isdisjoint(keys):
            found |= np.fromiter(map(ids.__contains__, keys), dtype=np.bool_, count=len(keys))
    return found
