"""The stream of the records of a period and a model: each record comes once, and damage is counted and skipped.

A stream holds a few megabytes of lines. It also remembers the 16 bytes of each ``entity_id``, because any file may hold
the same record again: 120 MB for a million records. Others may write into the files too, so a line may have at most 32
MiB and 2,000,000 values, which take 300 MB; a larger line is damage.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from operator import attrgetter

from msgspec import Struct
from msgspec.structs import astuple

from flask_boxkite.records.decoding import UNREADABLE, Decode, Record
from flask_boxkite.records.duplicates import new_ones
from flask_boxkite.records.folders import RecordFile
from flask_boxkite.records.lines import LINE_LIMITS, MOST_VALUES, LineLimits, Opens, lines_of
from flask_boxkite.records.read_counts import EMPTY, NO_RECORD, ROWS, TOO_DEEP, TOO_LARGE, ReadCounts
from flask_boxkite.records.selection import Filter
from flask_boxkite.values.conversion import DEEPEST, is_too_deep

__all__ = ["decoded", "most_rows_of", "no_collection", "parts_of", "read_records"]

NewOnes = Callable[[list[Record], ReadCounts], list[Record]]

_FEW_ROWS = 30
"""Number of rows that every record can hold, because its ids alone have twice as many bytes."""

_AT_ONCE = 20
"""Lines that are looked at together; the fewer, the more brackets each may have."""

# Every record begins so. A full disk leaves the beginning of a line, and a whole line behind it.
_BEGINNING = b'{"entity_id":'

# Over a million records, a function of Python's for each of them would take a second.
_rows = attrgetter("rows")


def read_records(
    folder: Opens,
    files: Iterable[RecordFile],
    decode: Decode,
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
        decode: Function that reads a line.
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
    for lines in lines_of(folder, files, counts, limits):
        chunk = only_new(wanted.of(decoded(lines, decode, counts, most_rows)[1]), counts)
        counts.add(chunk)
        yield from parts_of(chunk, most_rows)


def most_rows_of(width: int) -> int:
    """Return the most rows of the records that come at once, if each row has *width* values."""
    return max(MOST_VALUES // max(width, 1), 1)


def decoded(
    lines: list[bytes], decode: Decode, counts: ReadCounts, most_rows: int = MOST_VALUES
) -> tuple[list[bytes], list[Record]]:
    """Return the lines that are records, and the records; count the lines that are not.

    Args:
        lines: Lines of files.
        decode: Function that reads a line.
        counts: Counts, to which damage is added.
        most_rows: Most rows of a record.
    """
    try:
        with no_collection():
            records = list(map(decode, lines))
    except UNREADABLE:
        pairs = [pair for line in lines if (pair := _decoded(line, decode, counts)) is not None]
        lines, records = [line for line, _ in pairs], [record for _, record in pairs]
    has_few_rows = max(map(_rows, records), default=1) <= min(_FEW_ROWS, most_rows)
    if has_few_rows and not _may_be_deep(lines):
        return lines, records
    sound: tuple[list[bytes], list[Record]] = [], []
    for line, record in zip(lines, records, strict=True):
        if (fault := _fault(line, record, most_rows)) is None:
            sound[0].append(line)
            sound[1].append(record)
        else:
            counts.damaged[fault] += 1

    return sound


def _may_be_deep(lines: list[bytes]) -> bool:
    """Say whether a line may be nested too deeply; False if there are too few brackets.

    A few lines are looked at together, which is four times as fast as one by one: as each of them opens at least one
    object, none has more brackets than all beyond the number of the others.
    """
    for start in range(0, len(lines), _AT_ONCE):
        some = lines[start : start + _AT_ONCE]
        joined = b"".join(some)
        if joined.count(b"[") + joined.count(b"{") - (len(some) - 1) > DEEPEST:
            return True
    return False


@contextmanager
def no_collection() -> Iterator[None]:
    """Have Python look for no garbage, which in the thousands of lists of a chunk takes a third of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _fault(line: bytes, record: Record, most_rows: int) -> str | None:
    """Return the reason for which no server can have written a record; None if one can."""
    if record.rows > max(len(line) // 2, _FEW_ROWS):  # each row needs a value and a comma
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


def _decoded(line: bytes, decode: Decode, counts: ReadCounts) -> tuple[bytes, Record] | None:
    try:
        return line, decode(line)
    except UNREADABLE:
        counts.damaged[NO_RECORD if line.strip() else EMPTY] += 1
    start = line.rfind(_BEGINNING)
    try:
        return (line[start:], decode(line[start:])) if start > 0 else None
    except UNREADABLE:
        return None
