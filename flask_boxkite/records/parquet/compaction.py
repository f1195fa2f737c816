"""Compaction: files of lines whose minute is over become parts of tables, each record once.

Sources are read in the order of time, some hundred megabytes to a unit (`ledger`), which is done as a whole: killed at
any point, a run leaves no record lost or doubled, and the next one goes on behind the last unit. A live writer is not
disturbed. A record that it adds later to a file that was compacted is compacted alone, by the next run.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from secrets import token_hex
from time import time
from typing import Any

from flask_boxkite.baseline import Baseline
from flask_boxkite.errors import BoxkiteError
from flask_boxkite.naming import short_text
from flask_boxkite.records.decoding import Record, decoder
from flask_boxkite.records.duplicates import keys_of_ids
from flask_boxkite.records.folders import MINUTE_SECONDS, Folder, RecordFile
from flask_boxkite.records.lines import LINE_LIMITS, blocks_of, lines_in
from flask_boxkite.records.parquet.encoding import Line
from flask_boxkite.records.parquet.ledger import Ledger, ledger_of
from flask_boxkite.records.parquet.part import Damage
from flask_boxkite.records.parquet.run import Compaction
from flask_boxkite.records.parquet.sources import Progress, Source, Stretch, remove_if_done, source_of
from flask_boxkite.records.parquet.writer import SIZES, Sizes, Table, UnitWriter
from flask_boxkite.records.period import Period
from flask_boxkite.records.read_counts import ReadCounts
from flask_boxkite.records.reading import decoded, most_rows_of

__all__ = ["run_compaction"]

_UNZIPPED = 6
"""Bytes of lines for which a compressed byte stands."""


def run_compaction(
    logs: str,
    out: str,
    baselines: Sequence[Baseline],
    run: Compaction,
    *,
    remove: bool,
    closed_seconds: float,
    sizes: Sizes = SIZES,
) -> None:
    """Compact all files that can be; see `compact`. Counts are added to *run* unit by unit."""
    folder = Folder(logs, {})
    if folder.local_root is None:
        msg = f"'{folder.location}' is not on this machine. Mount it, or compact where the files are written."
        raise BoxkiteError(msg)
    tables = _Tables(baselines, sizes.tables)
    files = [file for file in folder.files(Period(), 0.0) if not file.unit]
    with ledger_of(Path(out)) as ledger:
        try:
            closed = _closed(files, closed_seconds, run)
            for sources in _units(folder, closed, ledger, sizes.unit_bytes):
                _compact_unit(folder, sources, tables, ledger, run, sizes)
            run.untyped = tables.untyped_records
            if remove:
                _remove(folder, closed, ledger, run)
        except OSError as error:
            msg = f"'{error.filename or out}' cannot be read or written: {error.strerror}. The next run goes on here."
            raise BoxkiteError(msg) from error


class _Tables:
    """The tables that records go to."""

    def __init__(self, baselines: Sequence[Baseline], most: int) -> None:
        self._most = most
        self._by_fingerprint = {item.fingerprint: item for item in baselines}
        self._by_model = {item.model: item for item in baselines}
        self._known: dict[tuple[str | None, str | None], Table] = {}
        self.nameless = self._table(None, None)
        self.untyped_records: Counter[str] = Counter()

    def of(self, record: Record) -> Table:
        """Return the table of a record."""
        baseline = self._by_fingerprint.get(record.baseline) or self._by_model.get(record.model)
        if baseline is None and self._by_fingerprint:
            self.untyped_records[short_text(record.model or "")] += 1
        return self._table(record.model, baseline)

    def untyped(self, model: str | None) -> Table:
        """Return the table of a model's records that its baseline does not describe."""
        return self._table(model, None)

    def _table(self, model: str | None, baseline: Baseline | None) -> Table:
        key = (model, None if baseline is None else baseline.fingerprint)
        if key not in self._known:
            if len(self._known) >= self._most:
                return self.nameless
            self._known[key] = Table(model, baseline)
        return self._known[key]


def _closed(files: Iterable[RecordFile], closed_seconds: float, run: Compaction) -> list[RecordFile]:
    latest = time() - closed_seconds
    closed = [file for file in files if file.minute + MINUTE_SECONDS <= latest]
    run.waiting = sum(file.minute + MINUTE_SECONDS > latest for file in files)
    return closed


def _units(folder: Folder, files: Iterable[RecordFile], ledger: Ledger, unit_bytes: int) -> Iterator[list[Source]]:
    """Yield the sources of each unit; all files of a minute are in one, because copies of records are."""
    unit: list[Source] = []
    size = 0
    for _, minute in groupby(files, lambda file: file.minute):
        for file in minute:
            try:
                source = source_of(folder, file, ledger.done)
            except FileNotFoundError:  # it was past its lifetime
                continue
            if isinstance(source, Source):
                unit.append(source)
                factor = _UNZIPPED if file.path.endswith(".gz") else 1
                size += factor * source.state.size - source.start
        if size >= unit_bytes:
            yield unit
            unit, size = [], 0
    if unit:
        yield unit


def _compact_unit(
    folder: Folder, sources: Sequence[Source], tables: _Tables, ledger: Ledger, run: Compaction, sizes: Sizes
) -> None:
    unit = token_hex(8)
    writer = UnitWriter(ledger.hidden, unit, tables.nameless, sizes)
    seen: set[bytes] = set()
    progress: list[Progress] = []
    damaged: Counter[str] = Counter()
    try:
        for source in sources:
            counts = ReadCounts()
            stretch = Stretch(folder, source)
            for block in blocks_of(stretch, [source.file], counts, LINE_LIMITS):
                _write(lines_in(block, counts), writer, tables, seen, counts)
            if counts.vanished:
                continue
            progress.append(stretch.progress())
            damaged.update(counts.damaged)
            run.duplicates += counts.duplicates
            run.bytes_read += source.state.size
            for reason, number in counts.damaged.items():
                writer.add_damage(Damage(int(source.file.minute), reason, number))
        parts = writer.finish()
    finally:
        writer.abandon()
    written = sum(os.stat(ledger.hidden / part.name).st_size for part in parts)
    ledger.commit(unit, parts, progress)
    run.sources += len(progress)
    run.parts += len(parts)
    run.records += writer.records
    run.rows += writer.rows
    run.damaged.update(damaged)
    run.bytes_written += written


_first_look = decoder(())


def _write(lines: list[bytes], writer: UnitWriter, tables: _Tables, seen: set[bytes], counts: ReadCounts) -> None:
    """Write the records of some lines, each to its table."""
    lines, records = decoded(lines, _first_look, counts)
    by_table: dict[Table, list[bytes]] = {}
    for key, line, record in zip(keys_of_ids([each.entity_id for each in records]), lines, records, strict=True):
        if key in seen:
            counts.duplicates += 1
            writer.add_copy(Line(line, record))
        else:
            seen.add(key)
            by_table.setdefault(tables.of(record), []).append(line)
    for table, own in by_table.items():
        _write_table(own, table, writer, tables)


def _write_table(lines: list[bytes], table: Table, writer: UnitWriter, tables: _Tables) -> None:
    """Write the lines of a table; lines that its baseline's reader refuses go to the one without columns."""
    if table.layout.variables:
        sound, records = decoded(lines, table.decode, ReadCounts(), most_rows_of(table.width))
        writer.add(table, map(Line, sound, records))
        if len(sound) == len(lines):
            return
        kept = set(map(id, sound))
        lines = [line for line in lines if id(line) not in kept]
    for line in lines:
        record = _first_look.one(line)
        writer.add(tables.untyped(record.model), [Line(line, record)])


def _remove(folder: Folder, files: Iterable[RecordFile], ledger: Ledger, run: Compaction) -> None:
    """Delete the files of which all is compacted."""
    removed: list[str] = []
    for file in files:
        try:
            done: Any = source_of(folder, file, ledger.done)
            if isinstance(done, Progress) and remove_if_done(file, done):
                removed.append(done.key)
        except FileNotFoundError:
            continue
    run.removed += len(removed)
    ledger.forget(removed)
