"""Duplicates among records, found by their ``entity_id``: any file may hold the same record again."""

from __future__ import annotations

import contextlib
import hashlib
from operator import attrgetter
from uuid import UUID

import numpy as np

from flask_boxkite.records.decoding import Record
from flask_boxkite.records.read_counts import ReadCounts

__all__ = ["keys_of_ids", "new_ones"]

_entity_id = attrgetter("entity_id")


def new_ones(records: list[Record], seen: set[bytes], counts: ReadCounts) -> list[Record]:
    """Return the records whose ids are not in *seen*, and add their ids."""
    keys = keys_of_ids(list(map(_entity_id, records)))
    earlier = seen
    if seen.isdisjoint(keys):
        known = len(seen)
        seen.update(keys)
        if len(seen) == known + len(keys):
            return records
        earlier = set()  # some are the same among themselves
    new = []

    for key, record in zip(keys, records, strict=True):
        if key not in earlier:
            earlier.add(key)
            new.append(record)

    counts.duplicates += len(records) - len(new)
    return new


def keys_of_ids(entity_ids: list[str]) -> list[bytes]:
    """Return the 16 bytes of each uuid; a hash for other texts."""
    if set(map(len, entity_ids)) == {36}:
        with contextlib.suppress(ValueError):  # not all are hexadecimal
            data = bytes.fromhex("".join(entity_ids).replace("-", ""))
            if len(data) == 16 * len(entity_ids):
                keys: list[bytes] = np.frombuffer(data, dtype="V16").tolist()
                return keys
    return [_key(entity_id) for entity_id in entity_ids]


def _key(entity_id: str) -> bytes:
    with contextlib.suppress(ValueError):
        return UUID(entity_id).bytes
    return hashlib.blake2b(entity_id.encode("utf-8", "surrogatepass"), digest_size=16).digest()
