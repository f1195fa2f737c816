"""Records as a stream: each once, those of the period and model that are asked for, damage counted and passed over.

A stream holds a few megabytes of lines, and of each record the 16 bytes of its ``entity_id``, since the same record may
stand in any file again: with Python's own share 120 MB for a million records.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from typing import IO, Any, TypeAlias
from uuid import UUID

from flask_boxkite.errors import BoxkiteError
from flask_boxkite.records.decoding import UNREADABLE, Decode
from flask_boxkite.records.folders import GZIP_DAMAGE, Folder, RecordFile
from flask_boxkite.records.period import Period

__all__ = ["Filter", "ReadCounts", "Record", "new_ones", "read_records"]

Record: TypeAlias = Any
"""What `decoding.decoder` makes of a line."""

CHUNK_BYTES = 4 << 20
"""Lines that are read at once."""

LONGEST_LINE_BYTES = 64 << 20
"""A line beyond it is no record: a file of something else, say, that never ends one."""

# With it every record begins. A disk that was full leaves the beginning of a line, and behind it the whole of another.
_BEGINNING = b'{"entity_id":'

# Over a million records, a function of Python's for each of them would take a second.
_created_at, _entity_id, _rows, _baseline, _model = map(
    attrgetter, ("created_at", "entity_id", "rows", "baseline", "model")
)


@dataclass
class ReadCounts:
    """What one reading has found so far.

    Attributes:
        files: Files that were read.
        vanished: Files that were deleted before they could be read, as those past their lifetime are.
        damaged: Lines that are no record, and compressed files that end too early.
        doubles: Records that were there already.
        records: Records that are left, in the period and of the model that are asked for.
        rows: Predicted rows in these.
        rows_by_baseline: The same by the fingerprint of the baseline that they were served with; None for none.
        models: The names of their models.
    """

    files: int = 0
    vanished: int = 0
    damaged: int = 0
    doubles: int = 0
    records: int = 0
    rows: int = 0
    rows_by_baseline: Counter[str | None] = field(default_factory=Counter)
    models: set[str | None] = field(default_factory=set)

    def add(self, records: list[Record]) -> None:
        """Count some records that are left."""
        self.records += len(records)
        rows = list(map(_rows, records))
        self.rows += sum(rows)
        for (baseline, count), number in Counter(zip(map(_baseline, records), rows, strict=True)).items():
            self.rows_by_baseline[baseline] += count * number
        self.models.update(map(_model, records))


@dataclass(frozen=True)
class Filter:
    """Which records are wanted; None: whatever it is.

    Attributes:
        period: When they were made.
        model: Name of the model.
        version: Of its baseline.
        fingerprint: Of its baseline.
    """

    period: Period
    model: str | None = None
    version: str | None = None
    fingerprint: str | None = None

    def of(self, records: list[Record]) -> list[Record]:
        """Return those that are wanted."""
        start, end = self.period.start, self.period.end
        times = list(map(_created_at, records))
        if times and not (start <= min(times) and max(times) < end):
            records = [record for record in records if start <= record.created_at < end]
        for name, value in (("model", self.model), ("version", self.version), ("baseline", self.fingerprint)):
            if value is not None:
                records = [record for record in records if getattr(record, name) == value]
        return records


def read_records(
    folder: Folder, files: Iterable[RecordFile], decode: Decode, wanted: Filter, counts: ReadCounts
) -> Iterator[list[Record]]:
    """Yield the records of some files, a chunk at a time.

    Args:
        folder: That they are in.
        files: In the order of time.
        decode: Reads a line.
        wanted: Which of the records.
        counts: What is found is added to them.

    Raises:
        BoxkiteError: A file cannot be read.
    """
    seen: set[bytes] = set()
    for lines in _chunks(folder, files, counts):
        try:
            chunk = list(map(decode, lines))
        except UNREADABLE:
            chunk = [record for line in lines if (record := _decoded(line, decode, counts)) is not None]
        chunk = new_ones(wanted.of(chunk), seen, counts)
        counts.add(chunk)
        yield chunk


def new_ones(records: list[Record], seen: set[bytes], counts: ReadCounts) -> list[Record]:
    """Return the records whose ids were not *seen*; they are now."""
    keys = _keys(list(map(_entity_id, records)))
    found = set(keys)
    if len(found) == len(keys) and seen.isdisjoint(found):
        seen |= found
        return records
    kept = []
    for key, record in zip(keys, records, strict=True):
        if key not in seen:
            seen.add(key)
            kept.append(record)
    counts.doubles += len(records) - len(kept)
    return kept


def _keys(entity_ids: list[str]) -> list[bytes]:
    """Return the 16 bytes of each uuid; of a text that is none, all."""
    if set(map(len, entity_ids)) == {36}:
        with contextlib.suppress(ValueError):  # not all are hexadecimal
            data = bytes.fromhex("".join(entity_ids).replace("-", ""))
            if len(data) == 16 * len(entity_ids):
                return [data[start : start + 16] for start in range(0, len(data), 16)]
    return [_key(entity_id) for entity_id in entity_ids]


def _key(entity_id: str) -> bytes:
    with contextlib.suppress(ValueError):
        return UUID(entity_id).bytes
    return entity_id.encode()


def _chunks(folder: Folder, files: Iterable[RecordFile], counts: ReadCounts) -> Iterator[list[bytes]]:
    """Yield lines, some megabytes of them at a time, across files: as a rule a file is small."""
    lines: list[bytes] = []
    size = 0
    for file in files:
        try:
            with folder.open(file) as stream:
                for block in _blocks(stream, counts):
                    lines += block
                    size += sum(map(len, block))
                    if size >= CHUNK_BYTES:
                        yield lines
                        lines, size = [], 0
        except FileNotFoundError:
            counts.vanished += 1
        except OSError as error:
            msg = f"Records in '{file.path}' cannot be read: {error}. Give this user the right to, or move the file."
            raise BoxkiteError(msg) from error
        else:
            counts.files += 1
    yield lines


def _blocks(stream: IO[bytes], counts: ReadCounts) -> Iterator[list[bytes]]:
    rest = b""
    is_passing_over = False
    try:
        while data := stream.read(CHUNK_BYTES):
            first, *lines = data.split(b"\n")
            if not is_passing_over:
                first = rest + first
            if lines:
                rest = lines.pop()
                yield lines if is_passing_over else [first, *lines]
                is_passing_over = False
            elif not is_passing_over:
                rest = first
                if len(rest) > LONGEST_LINE_BYTES:
                    counts.damaged += 1
                    rest, is_passing_over = b"", True
    except GZIP_DAMAGE:
        counts.damaged += 1
    else:
        yield [rest] if rest else []


def _decoded(line: bytes, decode: Decode, counts: ReadCounts) -> Record | None:
    try:
        return decode(line)
    except UNREADABLE:
        if not line.strip():
            return None
        counts.damaged += 1
    start = line.rfind(_BEGINNING)
    try:
        return decode(line[start:]) if start > 0 else None
    except UNREADABLE:
        return None
