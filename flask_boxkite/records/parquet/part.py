"""A part of a table: the description in its footer, and its rows, one group at a time.

A group is read column by column, and a column whose statistics say that it has one value is not read at all. So of most
groups, only the variables are read.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from flask_boxkite.errors import BoxkiteError
from flask_boxkite.records.duplicates import keys_of_ids
from flask_boxkite.records.failed import FAILED
from flask_boxkite.records.folders import Folders, RecordFile
from flask_boxkite.records.parquet.layout import FORMAT, ODD, ROW, Layout
from flask_boxkite.records.parquet.places import is_whole

__all__ = ["DAMAGED", "Copies", "Damage", "Group", "NotAPartError", "Part", "footer", "open_part"]

FOOTER = b"flask-boxkite"
"""Key of the footer under which a part describes itself."""

DAMAGED = (pa.ArrowException, OSError, ValueError)
"""Errors of reading a file that was cut or is damaged."""

_GROUPS_KEPT = 8
"""Row groups whose ids a part keeps, to find copies of them elsewhere."""


class Damage(NamedTuple):
    """Lines of one minute's files that were no records: the minute in Unix seconds, the reason, and their number."""

    minute: int
    reason: str
    number: int


class Copies(NamedTuple):
    """Further copies of records, which were left out: time, model, baseline and version of the records, and number."""

    seconds: int
    model: str | None
    baseline: str | None
    version: str | None
    number: int


def footer(layout: Layout, damage: Sequence[Damage] = (), copies: Sequence[Copies] = ()) -> dict[str, str]:
    """Return the description of a part for its footer."""
    about = {"format": FORMAT, "layout": layout.to_json(), "damage": damage, "copies": copies}
    return {FOOTER.decode(): json.dumps(about)}


class NotAPartError(ValueError):
    """The file is Parquet, but no part of a table."""


def open_part(folders: Folders, file: RecordFile) -> Part:
    """Open a part.

    Raises:
        FileNotFoundError: It has vanished.
        NotAPartError: It was not written by `compact`.
        BoxkiteError: It was written by a later release.
        OSError, ArrowException, ValueError: It cannot be read.
    """
    path = folders.of(file).local_path(file)
    return Part(pq.ParquetFile(folders.open(file) if path is None else path), file)


class Part:
    """An open part.

    Attributes:
        file: Its place.
        layout: Layout of its table.
        damage: Damage of the files that were compacted into it.
        copies: Copies of its records that were left out.
        damaged: Numbers of the groups that cannot be read, so that copies of their records count.
        load: Function that reads a group as another process does, to see whether it can; None for a part that is read
            here.
    """

    def __init__(self, opened: Any, file: RecordFile) -> None:
        self.file = file
        self._file = opened
        about = (opened.metadata.metadata or {}).get(FOOTER)
        if about is None:
            msg = f"'{file.path}' is no part of a table."
            raise NotAPartError(msg)
        found = json.loads(about)
        if found["format"] > FORMAT:
            msg = f"'{file.path}' was written by a later release of flask-boxkite. Read it with that one."
            raise BoxkiteError(msg)
        self.layout = Layout.from_json(found["layout"])
        self.damage = [Damage(*item) for item in found["damage"]]
        self.copies = [Copies(*item) for item in found["copies"]]
        self._places = {opened.schema_arrow.field(place).name: place for place in range(len(opened.schema_arrow))}
        self._ids: OrderedDict[int, frozenset[bytes]] = OrderedDict()
        self.damaged: set[int] = set()
        self.load: Callable[[Group], object] | None = None

    def groups(self) -> Iterator[Group]:
        """Yield the groups of rows, none of which is split from the other rows of its record."""
        for number in range(self._file.metadata.num_row_groups):
            yield Group(self, number)

    def ids_between(self, first: float, last: float) -> Iterator[frozenset[bytes]]:
        """Yield the ids of the groups with records of a time, in Unix seconds."""
        for group in self.groups():
            if group.number in self.damaged or group.first > last or group.last < first:
                continue
            try:
                ids = self._ids_of(group)
            except DAMAGED:
                self.damaged.add(group.number)
            else:
                yield ids

    def _ids_of(self, group: Group) -> frozenset[bytes]:
        known = self._ids.pop(group.number, None)
        if known is None and self.load is not None:
            self.load(group)
        self._ids[group.number] = found = frozenset(group.ids()) if known is None else known
        if len(self._ids) > _GROUPS_KEPT:
            self._ids.popitem(last=False)
        return found

    def read(self, group: int, names: Sequence[str]) -> Any:
        """Return columns of a group as an Arrow table."""
        return self._file.read_row_group(group, columns=list(names))

    def statistics(self, group: int, name: str) -> Any:
        """Return the statistics of a column in a group; None without."""
        return self._file.metadata.row_group(group).column(self._places[name]).statistics

    def rows_in(self, group: int) -> int:
        """Return the number of rows of a group."""
        return int(self._file.metadata.row_group(group).num_rows)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Group:
    """The rows of a group, of which columns are read when they are asked for.

    Attributes:
        part: Part that it is in.
        number: Its number there.
        rows: Number of its rows.
        is_kept: Rows that were selected, shape (rows,); None for all.
    """

    def __init__(self, part: Part, number: int) -> None:
        self.part = part
        self.number = number
        self.rows = part.rows_in(number)
        self.is_kept: NDArray[np.bool_] | None = None
        self._columns: dict[str, Any] = {}

    @cached_property
    def _span(self) -> tuple[float, float]:
        statistics = self.part.statistics(self.number, "created_at")
        if statistics is not None and statistics.has_min_max:
            return statistics.min_raw / 1e6, statistics.max_raw / 1e6  # as moments, they would load pandas
        seconds = self.seconds()
        return (float(seconds.min()), float(seconds.max())) if len(seconds) else (0.0, 0.0)

    @property
    def first(self) -> float:
        """The time of the first record, in Unix seconds."""
        return self._span[0]

    @property
    def last(self) -> float:
        """The time of the last record, in Unix seconds."""
        return self._span[1]

    def only(self, name: str, value: Any) -> bool:
        """Say whether statistics tell that all rows have this value; None stands for null."""
        return self.constant(name) == (value,)

    def constant(self, name: str) -> tuple[Any] | None:
        """Return a tuple of the one value that all rows have, by statistics; None if they do not tell one."""
        statistics = self.part.statistics(self.number, name)
        if statistics is None or not statistics.has_null_count:
            return None
        if statistics.null_count == self.rows:
            return (None,)
        if statistics.null_count or not statistics.has_min_max or statistics.min != statistics.max:
            return None
        return (statistics.min,)

    def column(self, name: str) -> Any:
        """Return a column, of all rows, as one Arrow array."""
        if name not in self._columns:
            self.load([name])
        return self._columns[name]

    def load(self, names: Sequence[str]) -> None:
        """Read columns at once, which several threads then do."""
        missing = [name for name in dict.fromkeys(names) if name not in self._columns]
        if missing:
            table = self.part.read(self.number, missing)
            for name in missing:
                column = table.column(name)
                self._columns[name] = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()

    def taken(self, name: str, places: NDArray[np.intp]) -> Any:
        """Return the values of a column in some rows, as an Arrow array."""
        column = self.column(name)
        return column if is_whole(places, self.rows) else column.take(pa.array(places))

    def odd(self) -> Iterator[dict[str, Any]]:
        """Yield the values of each selected row that do not fit their columns, by column; of few rows, as a rule."""
        if self.only(ODD, None):
            return
        texts = self.column(ODD)
        for text in (texts if self.is_kept is None else texts.filter(pa.array(self.is_kept))).drop_null():
            yield json.loads(text.as_py())

    def numbers(self, name: str) -> NDArray[Any]:
        """Return a column of 32-bit integers of all rows as an array."""
        return _values(self.column(name), np.int32)

    def floats(self, name: str) -> NDArray[np.float64]:
        """Return a column of float64 of all rows as an array, with NaN for null."""
        column = self.column(name)
        return _values(column.fill_null(np.nan) if column.null_count else column, np.float64)

    def seconds(self) -> NDArray[np.int64]:
        """Return the time of each row, in whole Unix seconds."""
        return _values(self.column("created_at"), np.int64) // 1_000_000

    def is_first(self) -> NDArray[np.bool_]:
        """Say of each row whether it is the first of its record."""
        if self.only(ROW, 0):
            return np.ones(self.rows, dtype=np.bool_)
        first: NDArray[np.bool_] = self.numbers(ROW) == 0
        return first

    def ids(self) -> list[bytes]:
        """Return the id of each record, as `duplicates` compares it."""
        texts = self.column("entity_id")
        if not self.only(ROW, 0):
            texts = texts.filter(pa.array(self.is_first()))
        return keys_of_ids(texts.to_pylist())

    def is_answered(self) -> NDArray[np.bool_] | None:
        """Say of each row whether its values count; None if all do."""
        return self._has_status("ok", None)

    def is_failed(self) -> NDArray[np.bool_] | None:
        """Say of each row whether its request failed; None if all did."""
        return self._has_status(FAILED)

    def _has_status(self, *wanted: str | None) -> NDArray[np.bool_] | None:
        if (one := self.constant("status")) is not None:
            return None if one[0] in wanted else np.zeros(self.rows, dtype=np.bool_)
        encoded = self.column("status").dictionary_encode()
        texts = [*encoded.dictionary.to_pylist(), None]
        codes = encoded.indices.fill_null(len(texts) - 1).to_numpy(zero_copy_only=False)
        has: NDArray[np.bool_] = np.array([text in wanted for text in texts])[codes]
        return has

    def keep(self, mask: NDArray[np.bool_] | None) -> None:
        """Select only rows of a mask among those that are selected; None stands for all."""
        if mask is not None:
            self.is_kept = mask if self.is_kept is None else self.is_kept & mask

    def selected(self) -> NDArray[np.bool_]:
        """Return the selected rows as a mask."""
        return np.ones(self.rows, dtype=np.bool_) if self.is_kept is None else self.is_kept


def _values(array: Any, kind: type[np.generic]) -> NDArray[Any]:
    """Return the values of an Arrow array without nulls; its own method would load pandas, which takes 0.3 s."""
    size = np.dtype(kind).itemsize
    return np.frombuffer(array.buffers()[1], kind, len(array), array.offset * size) if len(array) else np.empty(0, kind)
