"""The parts of one unit of a compaction, written side by side: one for each table and day, more if there are many."""

from __future__ import annotations

import contextlib
import os
import re
import zlib
from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from flask_boxkite.baseline import Baseline
from flask_boxkite.records.columns import Columns
from flask_boxkite.records.decoding import Decoder, decoder
from flask_boxkite.records.folders import DATE, part_name
from flask_boxkite.records.parquet.encoding import Encoder, Line
from flask_boxkite.records.parquet.layout import LINE, ODD, UNNAMED, Layout
from flask_boxkite.records.parquet.ledger import STAGED, StagedPart
from flask_boxkite.records.parquet.part import Copies, Damage, footer
from flask_boxkite.values.times import DAY

__all__ = ["SIZES", "Sizes", "Table", "UnitWriter"]


@dataclass(frozen=True)
class Sizes:
    """Bounds of the memory of a compaction.

    Attributes:
        group_rows: Number of rows from which a group is written.
        group_bytes: Bytes of lines from which a group is written.
        batch_rows: Number of rows that become columns together.
        waiting_bytes: Bytes of the lines of all parts that wait for their groups.
        open_parts: Most parts that are open.
        unit_bytes: Bytes of sources from which a unit ends, with the minute.
        tables: Most tables of a run; records of further models come together in one.
    """

    group_rows: int = 1 << 17
    group_bytes: int = 64 << 20
    batch_rows: int = 1 << 12
    waiting_bytes: int = 256 << 20
    open_parts: int = 100
    unit_bytes: int = 512 << 20
    tables: int = 1000


SIZES = Sizes()


class Table:
    """A table that records are written to.

    Args:
        model: Name of the model; None for none.
        baseline: Baseline whose variables are columns; None for none.

    Attributes:
        layout: Its layout.
        decode: Function that reads a line as `encoder` needs it.
        encoder: Maker of its rows.
        folder: Name of its folder.
    """

    def __init__(self, model: str | None, baseline: Baseline | None) -> None:
        columns = None if baseline is None else Columns.of(baseline)
        self.layout = Layout() if baseline is None else Layout.of(baseline)
        self.decode: Decoder = decoder(() if columns is None else columns.by_name)
        self.width = len(self.layout.variables) + 1
        self.encoder = Encoder(columns, self.layout)
        self.folder = f"{_folder_name(model)}.{'untyped' if baseline is None else baseline.fingerprint}"


def _folder_name(model: str | None) -> str:
    """Return a name for a folder, the same on every system; readers pass over names that begin with a dot or dash."""
    if model is None:
        return UNNAMED
    safe = re.sub(r"[^a-z0-9-]", "_", model)[:80]
    if safe == model and safe[:1].isalpha() and safe != UNNAMED:
        return safe
    return f"model-{safe}-{zlib.crc32(model.encode('utf-8', 'surrogatepass')):08x}"


class _Key(NamedTuple):
    table: Table
    day: int


class _Writing:
    """A part that is being written."""

    def __init__(self, table: Table, path: Path, number: int, sizes: Sizes) -> None:
        self.table, self.number, self._sizes = table, number, sizes
        self.path = path
        self._stream = open(path, "xb")  # noqa: SIM115 - closed when the part is finished
        self._writer: Any = None
        self.lines: list[Line] = []
        self._batches: list[Any] = []
        self._rows = self._bytes = self._own_rows = 0
        self.waiting_bytes = 0
        self.first = self.last = -1

    def add(self, lines: Sequence[Line]) -> None:
        times = [line.record.created_at for line in lines]
        self.see(min(times), max(times))
        self.lines += lines
        size = sum(len(line.data) for line in lines)
        self.waiting_bytes += size
        self._own_rows += sum(line.record.rows for line in lines)
        if self._own_rows >= self._sizes.batch_rows or self.waiting_bytes - self._bytes > self._sizes.group_bytes // 8:
            self._encode()
        if self._rows >= self._sizes.group_rows or self.waiting_bytes >= self._sizes.group_bytes:
            self.flush()

    def see(self, first: int, last: int) -> None:
        """Extend the time of the part."""
        self.first = first if self.first < 0 else min(self.first, first)
        self.last = max(self.last, last)

    def _encode(self) -> None:
        if self.lines:
            batch = self.table.encoder.batch(self.lines)
            self._batches.append(batch)
            self._rows += batch.num_rows
            self._bytes = self.waiting_bytes
            self.lines, self._own_rows = [], 0

    def flush(self) -> None:
        """Write the waiting rows as a group."""
        self._encode()
        if self._batches:
            table = pa.Table.from_batches(self._batches, self.table.layout.schema)
            self._open(table).write_table(table, row_group_size=max(table.num_rows, 1))
        self._batches, self._rows, self._bytes, self.waiting_bytes = [], 0, 0, 0

    def _open(self, first: Any) -> Any:
        """Return the writer, which is made for the first rows."""
        if self._writer is None:
            schema = self.table.layout.schema
            self._writer = pq.ParquetWriter(
                self._stream,
                schema,
                compression={field.name: _codec(first.column(field.name)) for field in schema},
                write_statistics=[name for name in schema.names if name != LINE],
                use_dictionary=[
                    field.name for field in schema if field.name not in _UNIQUE and not pa.types.is_floating(field.type)
                ],
            )
        return self._writer

    def close(self, damage: Sequence[Damage], copies: Sequence[Copies]) -> None:
        """Write the end of the file, and wait until the disk has it."""
        self.flush()
        writer = self._open(self.table.layout.schema.empty_table())
        writer.add_key_value_metadata(footer(self.table.layout, damage, copies))
        writer.close()
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()

    def abandon(self) -> None:
        """Close the file, which is deleted later."""
        with contextlib.suppress(OSError, ValueError, pa.ArrowException):  # the disk may be full
            if self._writer is not None:
                self._writer.close()
        with contextlib.suppress(OSError):
            self._stream.close()


_UNIQUE = ("prediction_id", "entity_id", "key", LINE, ODD)
"""Columns whose values hardly recur, like numbers: a dictionary of them takes a quarter more room, and time."""


_SAMPLE_BYTES = 1 << 16
_MOST_LEFT = 0.8
"""Share of its bytes that a column of numbers may keep if it is to be compressed."""


def _codec(column: Any) -> str:
    """Return the compression of a column by its first values: none for numbers that would hardly get smaller.

    Numbers with all their digits keep nineteen twentieths, and take four times as long to read.
    """
    if not pa.types.is_floating(column.type) or not len(column):
        return "zstd"
    values = column.chunk(0).buffers()[1][:_SAMPLE_BYTES]
    return "none" if len(pa.compress(values, codec="zstd")) > _MOST_LEFT * len(values) else "zstd"


class UnitWriter:
    """Writes the records of one unit.

    Args:
        folder: Hidden folder of unfinished parts.
        unit: Name of the unit.
        nameless: Table for damage alone.
        sizes: Bounds of memory.

    Attributes:
        rows: Number of rows.
        records: Number of records.
    """

    def __init__(self, folder: Path, unit: str, nameless: Table, sizes: Sizes) -> None:
        self._folder, self._unit, self._nameless, self._sizes = folder, unit, nameless, sizes
        self._open: OrderedDict[_Key, _Writing] = OrderedDict()
        self._damage: dict[int, list[Damage]] = {}
        self._copies: Counter[Copies] = Counter()
        self._number = 0
        self._done: list[StagedPart] = []
        self.rows = self.records = 0

    def add(self, table: Table, lines: Iterable[Line]) -> None:
        """Write records of a table."""
        for day, own in groupby(lines, lambda line: int(line.record.created_at // DAY)):
            some = list(own)
            self.records += len(some)
            self.rows += sum(line.record.rows for line in some)
            self._writing(_Key(table, day)).add(some)
        if sum(writing.waiting_bytes for writing in self._open.values()) > self._sizes.waiting_bytes:
            for writing in self._open.values():
                writing.flush()

    def add_damage(self, damage: Damage) -> None:
        """Note damaged lines."""
        self._damage.setdefault(int(damage.minute // DAY), []).append(damage)

    def add_copy(self, line: Line) -> None:
        """Note a further copy of a record."""
        record = line.record
        self._copies[Copies(record.created_at, record.model, record.baseline, record.version, 0)] += 1

    def finish(self) -> list[StagedPart]:
        """Finish all parts, and return them."""
        for day in self._damage.keys() - {key.day for key in self._open}:
            self._writing(_Key(self._nameless, day))
        for day in {int(item.seconds // DAY) for item in self._copies} - {key.day for key in self._open}:
            self._writing(_Key(self._nameless, day))
        for key in list(self._open):
            self._finish(key)
        return self._done

    def abandon(self) -> None:
        """Close all files; the next run deletes them."""
        for writing in self._open.values():
            writing.abandon()

    def _writing(self, key: _Key) -> _Writing:
        writing = self._open.pop(key, None)
        if writing is None:
            if len(self._open) >= self._sizes.open_parts:
                self._finish(next(iter(self._open)))
            self._number += 1
            writing = _Writing(
                key.table, self._folder / f"{self._unit}-{self._number}{STAGED}", self._number, self._sizes
            )
        self._open[key] = writing
        return writing

    def _finish(self, key: _Key) -> None:
        """Finish a part; the first one of a day has the damage and the copies of the day."""
        writing = self._open.pop(key)
        damage = self._damage.pop(key.day, [])
        copies = [item for item in self._copies if int(item.seconds // DAY) == key.day]
        for minute in (*(item.minute for item in damage), *(item.seconds for item in copies)):
            writing.see(minute, minute)
        writing.close(damage, [item._replace(number=self._copies.pop(item)) for item in copies])
        name = part_name(writing.first, writing.last, self._unit, writing.number)
        day = (datetime(1970, 1, 1) + timedelta(days=key.day)).date().isoformat()
        self._done.append(StagedPart(writing.path.name, f"{key.table.folder}/{DATE}={day}/{name}"))
