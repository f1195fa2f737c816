"""The stream of records of lines and of parts, mixed, in the order of time.

A group of a part comes as columns where its reader can use them, and else as the records in its lines, which are read
as lines of files are. So each use of records has parts at once, and takes columns where that is worth the code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from flask_boxkite.errors import BoxkiteError
from flask_boxkite.quoting import printable
from flask_boxkite.records.decoding import Decoder, Record
from flask_boxkite.records.folders import Folders, RecordFile
from flask_boxkite.records.lines import LINE_LIMITS
from flask_boxkite.records.parquet.identities import Identities
from flask_boxkite.records.parquet.layout import LINE, Layout
from flask_boxkite.records.parquet.part import DAMAGED, Group, NotAPartError, Part, open_part
from flask_boxkite.records.period import Period
from flask_boxkite.records.read_counts import CUT, NO_RECORD, ReadCounts
from flask_boxkite.records.reading import most_rows_of, parts_of, read_records, records_of
from flask_boxkite.records.selection import Filter

__all__ = ["Takes", "read_mixed", "records_in", "select"]

Takes = Callable[[Layout], bool]
"""Says whether a reader takes the groups of a table as columns."""


def read_mixed(
    folders: Folders,
    files: Sequence[RecordFile],
    decode: Decoder,
    wanted: Filter,
    counts: ReadCounts,
    damage_period: Period,
    width: int = 1,
    takes: Takes | None = None,
    seen: set[bytes] | None = None,
    others: Sequence[RecordFile] = (),
) -> Iterator[list[Record] | Group]:
    """Yield the records of lines, and of parts, some at a time.

    Args:
        folders: Folders of the files.
        files: Files, in the order of time.
        decode: Reader of lines.
        wanted: Selection of records.
        counts: Counts, to which this reading is added.
        damage_period: Period of the files whose damage counts.
        width: Number of values that the caller makes of each row of a line.
        takes: Function that says which groups come as columns; None for none.
        seen: Ids of lines that were read before, to which the ones of these lines are added; None for none.
        others: Parts that another process reads: a record in one of them does not come.

    Raises:
        BoxkiteError: A file cannot be read.
    """

    def is_taken(part: Part) -> bool:
        return takes is not None and takes(part.layout)

    def opened(file: RecordFile) -> Part | None:
        part = _opened(folders, file, ReadCounts())
        if part is not None:
            part.load = partial(_load, is_taken=is_taken(part))
        return part

    identities = Identities(set() if seen is None else seen, others, opened)
    lines_left = sum(not file.unit for file in files)
    try:
        for is_part, some in groupby(files, lambda file: bool(file.unit)):
            own = list(some)
            if not is_part:
                lines_left -= len(own)
                yield from read_records(folders, own, decode, wanted, counts, width, new_lines=identities.new_lines)
                continue
            for file in own:
                identities.forget_before(file.minute, has_lines=lines_left > 0)
                part = _opened(folders, file, counts)
                if part is not None:
                    for damage in part.damage:
                        if damage_period.start < damage.minute < damage_period.end:
                            counts.damaged[damage.reason] += damage.number
                    counts.duplicates += sum(item.number for item in part.copies if wanted.takes(item))
                    yield from _pieces(part, decode, wanted, counts, identities, most_rows_of(width), is_taken(part))
                    identities.add_part(part)
    finally:
        identities.close()


def _opened(folders: Folders, file: RecordFile, counts: ReadCounts) -> Part | None:
    """Return a part; count it, also if it cannot be read."""
    try:
        part = open_part(folders, file)
    except FileNotFoundError:
        counts.vanished += 1
        return None
    except PermissionError as error:
        why = printable(f"'{file.path}' cannot be read: {error}")
        msg = f"Records in {why}. Give this user the right to, or move the file."
        raise BoxkiteError(msg) from error
    except NotAPartError:
        counts.damaged[NO_RECORD] += 1
        counts.add_broken(file.path)
        return None
    except DAMAGED:
        counts.damaged[CUT] += 1
        counts.add_broken(file.path)
        return None
    counts.files += 1
    return part


def _load(group: Group, is_taken: bool) -> None:
    group.load([item.column for item in group.part.layout.variables] if is_taken else [LINE])


def _pieces(
    part: Part,
    decode: Decoder,
    wanted: Filter,
    counts: ReadCounts,
    identities: Identities,
    most_rows: int,
    is_taken: bool,
) -> Iterator[list[Record] | Group]:
    for group in part.groups():
        try:
            if not select(group, wanted):
                continue
            _load(group, is_taken)
            identities.mark_new(group, counts)
        except DAMAGED:
            part.damaged.add(group.number)
            counts.damaged[CUT] += 1
            counts.add_broken(part.file.path)
            continue
        if is_taken:
            _count(group, counts)
            yield group
            continue
        for chunk in _decoded(group, group.is_kept, decode, counts, most_rows):
            counts.add(chunk)
            yield from parts_of(chunk, most_rows)


def records_in(group: Group, is_chosen: NDArray[np.bool_], decode: Decoder) -> Iterator[list[Record]]:
    """Yield the records of chosen rows of a group, some at a time; each record comes if its first row is chosen."""
    yield from _decoded(group, is_chosen, decode, ReadCounts(), most_rows_of(1))


def _decoded(
    group: Group, is_kept: NDArray[np.bool_] | None, decode: Decoder, counts: ReadCounts, most_rows: int
) -> Iterator[list[Record]]:
    is_first = group.is_first()
    lines = group.column(LINE).filter(pa.array(is_first if is_kept is None else is_first & is_kept))
    ends = np.cumsum(pc.binary_length(lines).to_numpy(zero_copy_only=False).astype(np.int64))
    start = 0
    while start < len(lines):
        before = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, before + LINE_LIMITS.chunk_bytes, side="right")), start + 1)
        block = "\n".join([*lines.slice(start, stop - start).to_pylist(), ""]).encode()
        yield records_of(block, decode, counts, most_rows)
        start = stop


def select(group: Group, wanted: Filter) -> bool:
    """Select the wanted rows of a group; return False if there are none."""
    period = wanted.period
    if group.last < period.start or group.first >= period.end:
        return False
    masks: list[Any] = []
    if not (period.start <= group.first and group.last < period.end):
        seconds = group.seconds()
        masks.append((seconds >= period.start) & (seconds < period.end))
    for name, value in (("model", wanted.model), ("version", wanted.version), ("baseline", wanted.fingerprint)):
        if value is not None and not group.only(name, value):
            is_same = pc.fill_null(pc.equal(group.column(name), value), False)
            masks.append(is_same.to_numpy(zero_copy_only=False))
    if masks:
        group.is_kept = np.logical_and.reduce(masks)
        return bool(group.is_kept.any())
    return True


def _count(group: Group, counts: ReadCounts) -> None:
    """Count the records and rows of a group."""
    kept = group.is_kept
    first = group.is_first()
    found: dict[str, Any] = {}
    total = group.rows if kept is None else int(kept.sum())
    for name in ("baseline", "model"):
        if (one := group.constant(name)) is not None:
            found[name] = {one[0]: total}
        else:
            values = group.column(name)
            values = values if kept is None else values.filter(pa.array(kept))
            found[name] = {item["values"]: item["counts"] for item in values.value_counts().to_pylist()}
    counts.add_rows(int(first.sum() if kept is None else (first & kept).sum()), found["baseline"], found["model"])
