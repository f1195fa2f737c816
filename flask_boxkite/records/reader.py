"""The reader of a period's records, of lines and of Parquet, in this process or another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask_boxkite.records.columns import FIELDS
from flask_boxkite.records.compaction import check_arrow
from flask_boxkite.records.decoding import Record, decoder
from flask_boxkite.records.folders import Folders, RecordFile
from flask_boxkite.records.read_counts import ReadCounts
from flask_boxkite.records.reading import read_records
from flask_boxkite.records.selection import Filter

if TYPE_CHECKING:  # pyarrow is not there where only lines are read
    from flask_boxkite.records.parquet.layout import Layout
    from flask_boxkite.records.parquet.part import Group

__all__ = ["Reader"]


@dataclass(frozen=True)
class Reader:
    """Reads files.

    Attributes:
        folders: Folders of the files.
        wanted: Selection of records.
        slack_seconds: Greatest distance of a record's time from the minute in its file's name.
    """

    folders: Folders
    wanted: Filter
    slack_seconds: float

    def files(self) -> list[RecordFile]:
        """Return the files that may hold wanted records, in the order of time."""
        return self.folders.files(self.wanted.period, self.slack_seconds)

    def read(
        self,
        names: Sequence[str] | None,
        files: Sequence[RecordFile],
        counts: ReadCounts,
        takes: Callable[[Layout], bool] | None = None,
        *,
        is_whole: bool = False,
        seen: set[bytes] | None = None,
        others: Sequence[RecordFile] = (),
    ) -> Iterator[list[Record] | Group]:
        """Yield the wanted records of some files, each once.

        Args:
            names: Names of the features that come by name; None for all.
            files: Files, in the order of time.
            counts: Counts, to which this reading is added.
            takes: Says which groups of Parquet files come as columns; None for none.
            is_whole: Whether records have all their fields.
            seen: Ids of lines that were read before, to which the ones of these lines are added; None for none.
            others: Parquet files that another process reads: a record in one of them does not come.

        Raises:
            BoxkiteError: A file cannot be read.
        """
        decode = decoder(names, is_whole=is_whole)
        width = 1 if names is None else len(names) + len(FIELDS)
        if not others and not any(file.unit for file in files):  # lines need no pyarrow
            return read_records(self.folders, files, decode, self.wanted, counts, width, seen=seen)
        check_arrow()
        from flask_boxkite.records.parquet.stream import read_mixed

        slack = self.wanted.period.widened(self.slack_seconds)
        return read_mixed(self.folders, files, decode, self.wanted, counts, slack, width, takes, seen, others)
