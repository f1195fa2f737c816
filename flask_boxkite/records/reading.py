"""The stream of the records of a period and a model: each record comes once, and damage is counted and skipped.

A stream holds a few megabytes of lines. It also remembers the 16 bytes of each ``entity_id``, because any file may hold
the same record again: 120 MB for a million records. Others may write into the files too, so a line may have at most 32
MiB and 2,000,000 values, which take 300 MB; a larger line is damage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter

from msgspec import Struct
from msgspec.structs import astuple

from flask_boxkite.records.decoding import FEW_ROWS, UNREADABLE, Decoder, Record
from flask_boxkite.records.duplicates import new_ones
from flask_boxkite.records.folders import RecordFile
from flask_boxkite.records.lines import LINE_LIMITS, MOST_VALUES, LineLimits, Opens, blocks_of, lines_in
from flask_boxkite.records.read_counts import EMPTY, NO_RECORD, ROWS, TOO_DEEP, TOO_LARGE, ReadCounts
from flask_boxkite.records.selection import Filter
from flask_boxkite.values.conversion import is_too_deep

__all__ = ["decoded", "most_rows_of", "parts_of", "read_records", "records_of"]

NewOnes = Callable[[list[Record], ReadCounts], list[Record]]

# Every record begins so. A full disk leaves the beginning of a line, and a whole line behind it.
_BEGINNING = b'{"entity_id":'

# Over a million records, a function of Python's for each of them would take a second.
_rows = attrgetter("rows")


def read_records(
    folder: Opens,
    files: Iterable[RecordFile],
    decode: Decoder,
    wanted: Filter,
    counts: ReadCounts,
    width: int = 1,
    limits: LineLimits = LINE_LIMITS,
    new_lines: NewOnes | None = None,
    seen: set[bytes] | None = None,
) -> Iterator[list[Record]]:
    """Yield the records of some files, some at a time.

    Args:
        folder: Folder of the files, or several.
        files: Files, in the order of time.
        decode: Reader of lines.
        wanted: Selection of records.
        counts: Counts, to which this reading is added.
        width: Number of values that the caller makes of each row; it bounds the records that come at once.
        limits: Limits of the bytes in memory.
        new_lines: Function that returns the records which did not come before, and counts the others; None to compare
            these files and *seen* alone.
        seen: Ids that were read before, to which the ones of these files are added; None for none.

    Raises:
        BoxkiteError: A file cannot be read.
    """
    known: set[bytes] = set() if seen is None else seen
    only_new = new_lines or (lambda records, counts: new_ones(records, known, counts))
    most_rows = most_rows_of(width)
    for block in blocks_of(folder, files, counts, limits):
        chunk = only_new(wanted.of(records_of(block, decode, counts, most_rows)), counts)
        counts.add(chunk)
        yield from parts_of(chunk, most_rows)
        del chunk  # before there are others


def most_rows_of(width: int) -> int:
    """Return the most rows of the records that come at once, if each row has *width* values."""
    return max(MOST_VALUES // max(width, 1), 1)


def records_of(block: bytes, decode: Decoder, counts: ReadCounts, most_rows: int = MOST_VALUES) -> list[Record]:
    """Return the records of a block of lines; count the lines that are none.

    Args:
        block: Lines, each of which ends.
        decode: Reader of lines.
        counts: Counts, to which damage is added.
        most_rows: Most rows of a record.
    """
    records = decode.block(block, most_rows)
    if records is not None:
        return records
    return _one_by_one(lines_in(block, counts), decode, counts, most_rows)[1]


def decoded(
    lines: list[bytes], decode: Decoder, counts: ReadCounts, most_rows: int = MOST_VALUES
) -> tuple[list[bytes], list[Record]]:
    """Return the lines that are records, and the records; count the lines that are none.

    Args:
        lines: Lines of files.
        decode: Reader of lines.
        counts: Counts, to which damage is added.
        most_rows: Most rows of a record.
    """
    records = decode.block(b"\n".join([*lines, b""]), most_rows)
    if records is not None:
        return lines, records
    return _one_by_one(lines, decode, counts, most_rows)


def _one_by_one(
    lines: list[bytes], decode: Decoder, counts: ReadCounts, most_rows: int
) -> tuple[list[bytes], list[Record]]:
    sound: tuple[list[bytes], list[Record]] = [], []
    for line in lines:
        pair = _decoded(line, decode, counts)
        if pair is None:
            continue
        if (fault := _fault(*pair, most_rows)) is None:
            sound[0].append(pair[0])
            sound[1].append(pair[1])
        else:
            counts.damaged[fault] += 1

    return sound


def _fault(line: bytes, record: Record, most_rows: int) -> str | None:
    """Return the reason for which no server can have written a record; None if one can."""
    if record.rows > max(len(line) // 2, FEW_ROWS):  # each row needs a value and a comma
        return ROWS
    if record.rows > most_rows:
        return TOO_LARGE
    features = record.features
    values = list(astuple(features)) if isinstance(features, Struct) else features
    return TOO_DEEP if is_too_deep(values) or is_too_deep(record.output) else None


def parts_of(records: list[Record], most_rows: int) -> Iterator[list[Record]]:
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


def _decoded(line: bytes, decode: Decoder, counts: ReadCounts) -> tuple[bytes, Record] | None:
    try:
        return line, decode.one(line)
    except UNREADABLE:
        counts.damaged[NO_RECORD if line.strip() else EMPTY] += 1
    start = line.rfind(_BEGINNING)
    try:
        return (line[start:], decode.one(line[start:])) if start > 0 else None
    except UNREADABLE:
        return None
