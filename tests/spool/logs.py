"""Spools for tests: logs of processes, alive and dead, as far as files go in this one."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from zlib import crc32

from flask_boxkite.spool import Log, OrphanLog, Owner, ServerCounts, find_orphan, new_directory
from flask_boxkite.system.process import ServerName, name_of

__all__ = ["OWN", "adopted", "dies", "fill_up", "made", "stored", "take_all"]

OWN = Owner("memory", "tag", ServerName.of(name_of(os.getpid())))
"""Describes processes of this server, which count nothing that others could see."""


def made(root: Path, max_bytes: int = 2**20, owner: Owner = OWN, number: int | None = None) -> Log:
    """Return the log of a process that has just started; its directory has this number for a name, or a random one."""
    directory = new_directory(root, owner.sink)
    if number is not None:
        directory = directory.with_name(f"{directory.name[:-32]}{number:032x}")
    return Log(directory, lambda: owner, max_bytes)


def dies(log: Log | OrphanLog) -> None:
    """Let go of a log as a process does that is killed."""
    lock = log._owner_lock if isinstance(log, Log) else log._lock
    assert lock is not None
    lock.release()


def adopted(root: Path, owner: Owner = OWN) -> OrphanLog | None:
    """Take over what a dead process left."""
    return find_orphan(root, owner._replace(counts=""), ServerCounts(None, lambda: None))


def take_all(log: Log | OrphanLog, most_bytes: int = 2**30) -> list[bytes]:
    """Take and settle everything; return the records."""
    records: list[bytes] = []
    while (taken := log.take(most_bytes)) is not None:
        log.settle(taken)
        records += taken.records
    return records


def fill_up(log: Log, sizes: int, count: int, start: int = 0) -> list[bytes]:
    """Append records that are all different; return them."""
    records = [b"%06d" % number + b"." * (sizes - 6) for number in range(start, start + count)]
    for record in records:
        log.append(record)
    return records


def stored(path: Path) -> tuple[list[tuple[bytes, int]], bool]:
    """Read a segment by another way than the code under test.

    Returns:
        The entries that are not settled, each with the offset behind its payload, and whether the file is sealed.
    """
    data = path.read_bytes()
    count, check, offset, settled = struct.unpack_from("=LLLL", data, 8)
    found = []
    while offset + 8 <= len(data):
        length, checksum = struct.unpack_from("=LL", data, offset)
        if length == 0:
            break
        payload = data[offset + 8 : offset + 8 + length]
        assert crc32(payload) == checksum
        found.append((payload, offset + 8 + length))
        offset += 8 + length + -length % 8

    is_sealed = check == crc32(struct.pack("=Q", count))
    assert not is_sealed or count - settled == len(found)
    return found, is_sealed
