"""The stream of the records of a period and a model: each record comes once, and damage is counted and skipped.

A stream holds a few megabytes of lines. It also remembers the 16 bytes of each ``entity_id``, because any file may hold
the same record again: 120 MB for a million records. Others may write into the files too, so a line may have at most 32
MiB and 2,000,000 values, which take 300 MB; a larger line is damage.
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
from flask_boxkite.quoting import printable
from flask_boxkite.records.decoding import UNREADABLE, Decode
from flask_boxkite.records.folders import GZIP_DAMAGE, Folder, RecordFile
from flask_boxkite.records.period import Period
from flask_boxkite.values.conversion import DEEPEST, is_too_deep

__all__ = ["Filter", "ReadCounts", "Record", "new_ones", "read_records"]

Record: TypeAlias = Any
"""A line, as `decoding.decoder` reads it."""

CHUNK_BYTES = 1 << 20
"""Bytes of lines that are read at once."""

LONGEST_LINE_BYTES = 32 << 20
"""Most bytes of a line; a foreign file may have lines without end."""

MOST_VALUES = 2_000_000
"""Most values in one record, and in the rows of the records that are yielded at once."""

MOST_NAMES = 1000
"""Most names of models, and of baselines, that are counted separately."""

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
"""Number of rows that every record can hold, because its ids alone have twice as many bytes."""

# Every record begins so. A full disk leaves the beginning of a line, and a whole line behind it.
_BEGINNING = b'{"entity_id":'

# Over a million records, a function of Python's for each of them would take a second.
_created_at, _entity_id, _rows, _baseline, _model = map(
    attrgetter, ("created_at", "entity_id", "rows", "baseline", "model")
)


@dataclass
class ReadCounts:
    """The counts of one reading so far.

    Attributes:
        files: Number of files that were read.
        vanished: Number of files that were deleted before they could be read, after their lifetime, say.
        damaged: Number of skipped lines and files by reason. Lines: ``empty``; ``no_record``, not JSON or not a record;
            ``too_long``, more than 32 MiB; ``too_large``, more than 2,000,000 values; ``too_deep``, more than 100
            levels; ``rows``, more rows than the line can hold. Compressed files: ``cut``, which end too early or are
            damaged.
        duplicates: Number of duplicates, records that came before.
        records: Number of remaining records of the period and model.
        rows: Number of predicted rows in these records.
        rows_by_baseline: Predicted rows by the fingerprint of the baseline that served them; None for no baseline.
            After 1,000 fingerprints, further ones are ``__rare__``.
        models: Names of the models; after 1,000 names, further ones are ``__rare__``.
    """

    files: int = 0
    vanished: int = 0
    damaged: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    records: int = 0
    rows: int = 0
    rows_by_baseline: Counter[str | None] = field(default_factory=Counter)
    models: set[str | None] = field(default_factory=set)

    def add(self, records: list[Record]) -> None:
        """Count some of the remaining records."""
        self.records += len(records)
        rows = list(map(_rows, records))
        self.rows += sum(rows)
        for (baseline, count), number in Counter(zip(map(_baseline, records), rows, strict=True)).items():
            self.rows_by_baseline[_bounded(baseline, self.rows_by_baseline)] += count * number
        for model in set(map(_model, records)):
            self.models.add(_bounded(model, self.models))

    @property
    def damage(self) -> str:
        """The skipped lines and files as text: ``2 empty, 1 no_record``; empty if there are none."""
        return ", ".join(f"{number} {reason}" for reason, number in sorted(self.damaged.items()))


def _bounded(name: str | None, known: Container[str | None]) -> str | None:
    """Return a name from a file in short form, or `RARE` if there are too many names."""
    text = None if name is None else short_text(name)
    return text if text in known or len(known) < MOST_NAMES else RARE  # type: ignore[arg-type]


@dataclass(frozen=True)
class Filter:
    """The records that a reading selects; None selects all.

    Attributes:
        period: Period in which they were made.
        model: Name of the model.
        version: Version of its baseline.
        fingerprint: Fingerprint of its baseline.
    """

    period: Period
    model: str | None = None
    version: str | None = None
    fingerprint: str | None = None

    def of(self, records: list[Record]) -> list[Record]:
        """Return the selected records."""
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
        folder: Folder of the files.
        files: Files, in the order of time.
        decode: Function that reads a line.
        wanted: Selection of records.
        counts: Counts, to which this reading is added.
        width: Number of values that the caller makes of each row; it bounds the records that come at once.

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
    """Return the records in some lines; count the lines that are not records."""
    try:
        records = list(map(decode, lines))
    except UNREADABLE:
        pairs = [(line, record) for line in lines if (record := _decoded(line, decode, counts)) is not None]
        lines, records = [line for line, _ in pairs], [record for _, record in pairs]
    has_few_rows = max(map(_rows, records), default=1) <= min(_FEW_ROWS, most_rows)
    if has_few_rows and not any(line.count(b"[") + line.count(b"{") > DEEPEST for line in lines):
        return records
    sound = []
    for line, record in zip(lines, records, strict=True):
        if (fault := _fault(line, record, most_rows)) is None:
            sound.append(record)
        else:
            counts.damaged[fault] += 1

    return sound


def _fault(line: bytes, record: Record, most_rows: int) -> str | None:
    """Return the reason for which no server can have written a record; None if one can."""
    if record.rows > max(len(line) // 2, _FEW_ROWS):  # each row needs a value and a comma
        return ROWS
    if record.rows > most_rows:
        return TOO_LARGE
    features = record.features
    values = list(astuple(features)) if isinstance(features, Struct) else features
    return TOO_DEEP if is_too_deep(values) or is_too_deep(record.output) else None


def _parts(records: list[Record], most_rows: int) -> Iterator[list[Record]]:
    """Yield records in their order, at most *most_rows* rows at once."""
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
    """Return the records whose ids are not in *seen*, and add their ids."""
    keys = _keys(list(map(_entity_id, records)))
    distinct = set(keys)
    if len(distinct) == len(keys) and seen.isdisjoint(distinct):
        seen |= distinct
        return records
    new = []

    for key, record in zip(keys, records, strict=True):
        if key not in seen:
            seen.add(key)
            new.append(record)

    counts.duplicates += len(records) - len(new)
    return new


def _keys(entity_ids: list[str]) -> list[bytes]:
    """Return the 16 bytes of each uuid; a hash for other texts."""
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
    """Yield lines, some megabytes at a time, across files, because most files are small."""
    lines: list[bytes] = []
    size = 0
    for file in files:
        try:
            with folder.open(file) as stream:
                for block in _blocks(stream, counts):
                    filled = list(filter(None, block))
                    if len(filled) < len(block):
                        counts.damaged[EMPTY] += len(block) - len(filled)
                    lines += filled
                    size += sum(map(len, filled))
                    if size >= CHUNK_BYTES:
                        yield lines
                        lines, size = [], 0
        except FileNotFoundError:
            counts.vanished += 1
        except OSError as error:
            why = printable(f"'{file.path}' cannot be read: {error}")
            msg = f"Records in {why}. Give this user the right to, or move the file."
            raise BoxkiteError(msg) from error
        else:
            counts.files += 1

    yield lines


def _blocks(stream: IO[bytes], counts: ReadCounts) -> Iterator[list[bytes]]:
    """Yield the lines that end in each piece of a file."""
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
    """Return a list of the line that consists of some parts; empty if the line is too large."""
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
