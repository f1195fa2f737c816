"""Records as a stream: each once, those of the period and model that are asked for, damage counted and passed over.

A stream holds a few megabytes of lines, and of each record the 16 bytes of its ``entity_id``, since the same record may
stand in any file again: with Python's own share 120 MB for a million records. Others can write into the files too: a
line may have 32 MiB and 2,000,000 values, for which 300 MB are needed; anything beyond is damage.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from typing import IO, Any, TypeAlias
from uuid import UUID

from msgspec import Struct
from msgspec.structs import astuple

from flask_boxkite.errors import BoxkiteError
from flask_boxkite.naming import RARE, short_text
from flask_boxkite.records.decoding import UNREADABLE, Decode
from flask_boxkite.records.folders import GZIP_DAMAGE, Folder, RecordFile
from flask_boxkite.records.period import Period
from flask_boxkite.values.conversion import DEEPEST, is_too_deep

__all__ = ["Filter", "ReadCounts", "Record", "new_ones", "read_records"]

Record: TypeAlias = Any
"""What `decoding.decoder` makes of a line."""

CHUNK_BYTES = 1 << 20
"""Lines that are read at once."""

LONGEST_LINE_BYTES = 32 << 20
"""A line beyond it is no record: a file of something else, say, that never ends one."""

MOST_VALUES = 2_000_000
"""Values in one record; also values in the rows that are made of some records at once."""

MOST_NAMES = 1000
"""Models and baselines that are told apart in counts."""

EMPTY, NO_RECORD, TOO_LONG, TOO_LARGE, TOO_DEEP, ROWS, CUT = (
    "empty",
    "no_record",
    "too_long",
    "too_large",
    "too_deep",
    "rows",
    "cut",
)

_FEW_ROWS = 30
"""Rows that any record can hold: its ids alone have twice as many bytes."""

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
        damaged: What was left out, by reason. Lines: ``empty``; ``no_record``, no JSON or no record; ``too_long``, more
            than 32 MiB; ``too_large``, more than 2,000,000 values; ``too_deep``, more than 100 levels; ``rows``, more
            rows than the line can hold. Compressed files: ``cut``, which end too early or are none.
        doubles: Records that were there already.
        records: Records that are left, in the period and of the model that are asked for.
        rows: Predicted rows in these.
        rows_by_baseline: The same by the fingerprint of the baseline that they were served with; None for none. Of more
            than 1,000 fingerprints, the last to come are ``__rare__``.
        models: The names of their models, likewise.
    """

    files: int = 0
    vanished: int = 0
    damaged: Counter[str] = field(default_factory=Counter)
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
            self.rows_by_baseline[_bounded(baseline, self.rows_by_baseline)] += count * number
        for model in set(map(_model, records)):
            self.models.add(_bounded(model, self.models))

    @property
    def damage(self) -> str:
        """What was left out, as text: ``2 empty, 1 no_record``; an empty text for nothing."""
        return ", ".join(f"{number} {reason}" for reason, number in sorted(self.damaged.items()))


def _bounded(name: str | None, known: Container[str | None]) -> str | None:
    """Return a name that others may have made, as one of few short ones."""
    text = None if name is None else short_text(name)
    return text if text in known or len(known) < MOST_NAMES else RARE  # type: ignore[arg-type]


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
    folder: Folder,
    files: Iterable[RecordFile],
    decode: Decode,
    wanted: Filter,
    counts: ReadCounts,
    width: int = 1,
) -> Iterator[list[Record]]:
    """Yield the records of some files, some at a time.

    Args:
        folder: That they are in.
        files: In the order of time.
        decode: Reads a line.
        wanted: Which of the records.
        counts: What is found is added to them.
        width: Values that are made of each row: no more than `MOST_VALUES` are of the records that come at once.

    Raises:
        BoxkiteError: A file cannot be read.
    """
    seen: set[bytes] = set()
    most_rows = max(MOST_VALUES // max(width, 1), 1)
    for lines in _chunks(folder, files, counts):
        chunk = new_ones(wanted.of(_records_of(lines, decode, most_rows, counts)), seen, counts)
        counts.add(chunk)
        yield from _parts(chunk, most_rows)


def _records_of(lines: list[bytes], decode: Decode, most_rows: int, counts: ReadCounts) -> list[Record]:
    """Return the records in some lines; count the lines that are none."""
    try:
        records = list(map(decode, lines))
    except UNREADABLE:
        found = [(line, record) for line in lines if (record := _decoded(line, decode, counts)) is not None]
        lines, records = [line for line, _ in found], [record for _, record in found]
    has_few_rows = max(map(_rows, records), default=1) <= min(_FEW_ROWS, most_rows)
    if has_few_rows and not any(line.count(b"[") + line.count(b"{") > DEEPEST for line in lines):
        return records
    kept = []
    for line, record in zip(lines, records, strict=True):
        if (fault := _fault(line, record, most_rows)) is None:
            kept.append(record)
        else:
            counts.damaged[fault] += 1
    return kept


def _fault(line: bytes, record: Record, most_rows: int) -> str | None:
    """Return why a record is none that a server has written."""
    if record.rows > max(len(line) // 2, _FEW_ROWS):  # a value and a comma for each
        return ROWS
    if record.rows > most_rows:
        return TOO_LARGE
    features = record.features
    values = list(astuple(features)) if isinstance(features, Struct) else features
    return TOO_DEEP if is_too_deep(values) or is_too_deep(record.output) else None


def _parts(records: list[Record], most_rows: int) -> Iterator[list[Record]]:
    """Yield records in their order, with no more rows at once than that."""
    if sum(map(_rows, records)) <= most_rows:
        yield records
        return
    part: list[Record] = []
    rows = 0
    for record in records:
        if part and rows + record.rows > most_rows:
            yield part
            part, rows = [], 0
        part.append(record)
        rows += record.rows
    yield part


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
    """Return the 16 bytes of each uuid; of a text that is none, a hash."""
    if set(map(len, entity_ids)) == {36}:
        with contextlib.suppress(ValueError):  # not all are hexadecimal
            data = bytes.fromhex("".join(entity_ids).replace("-", ""))
            if len(data) == 16 * len(entity_ids):
                return [data[start : start + 16] for start in range(0, len(data), 16)]
    return [_key(entity_id) for entity_id in entity_ids]


def _key(entity_id: str) -> bytes:
    with contextlib.suppress(ValueError):
        return UUID(entity_id).bytes
    return hashlib.blake2b(entity_id.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _chunks(folder: Folder, files: Iterable[RecordFile], counts: ReadCounts) -> Iterator[list[bytes]]:
    """Yield lines, some megabytes of them at a time, across files: as a rule a file is small."""
    lines: list[bytes] = []
    size = 0
    for file in files:
        try:
            with folder.open(file) as stream:
                for block in _blocks(stream, counts):
                    found = list(filter(None, block))
                    if len(found) < len(block):
                        counts.damaged[EMPTY] += len(block) - len(found)
                    lines += found
                    size += sum(map(len, found))
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
    """Yield lines, those that end in each piece of a file."""
    rest: list[bytes] = []  # of a line that has not ended
    size = 0
    try:
        while data := stream.read(CHUNK_BYTES):
            first, *lines = data.split(b"\n")
            rest.append(first)
            size += len(first)
            if size > LONGEST_LINE_BYTES:
                rest = []
            if lines:
                yield [*_joined(rest, size, counts), *lines[:-1]]
                rest, size = [lines[-1]], len(lines[-1])
    except GZIP_DAMAGE:
        counts.damaged[CUT] += 1
    else:
        yield _joined(rest, size, counts) if size else []


def _joined(parts: list[bytes], size: int, counts: ReadCounts) -> list[bytes]:
    """Return the line that consists of some parts; nothing if it is too large to be read."""
    if size > LONGEST_LINE_BYTES:
        counts.damaged[TOO_LONG] += 1
        return []
    line = b"".join(parts)
    if size > CHUNK_BYTES and line.count(b",") + line.count(b"[") + line.count(b"{") > MOST_VALUES:
        counts.damaged[TOO_LARGE] += 1
        return []
    return [line]


def _decoded(line: bytes, decode: Decode, counts: ReadCounts) -> Record | None:
    try:
        return decode(line)
    except UNREADABLE:
        counts.damaged[NO_RECORD if line.strip() else EMPTY] += 1
    start = line.rfind(_BEGINNING)
    try:
        return decode(line[start:]) if start > 0 else None
    except UNREADABLE:
        return None
