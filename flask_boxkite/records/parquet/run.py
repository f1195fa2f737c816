"""The counts of one compaction."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from flask_boxkite.quoting import printable
from flask_boxkite.suggestion import counted

__all__ = ["Compaction"]


@dataclass
class Compaction:
    """The counts of one run.

    Attributes:
        sources: Number of files of lines whose records were compacted.
        parts: Number of Parquet files that were written.
        records: Number of records in them.
        rows: Number of predicted rows.
        duplicates: Number of copies of records that were left out.
        damaged: Number of lines that are no records, and of files that end too early, by reason.
        removed: Number of files of lines that were deleted, also ones of earlier runs.
        untyped: Number of records without columns, because no baseline of their model was given, by model.
        waiting: Number of files that are left to their writers, because their minute was over too short a time ago.
        bytes_read: Bytes of the files of lines.
        bytes_written: Bytes of the Parquet files.
    """

    sources: int = 0
    parts: int = 0
    records: int = 0
    rows: int = 0
    duplicates: int = 0
    damaged: Counter[str] = field(default_factory=Counter)
    untyped: Counter[str] = field(default_factory=Counter)
    removed: int = 0
    waiting: int = 0
    bytes_read: int = 0
    bytes_written: int = 0

    def __str__(self) -> str:
        """Return the counts as one line."""
        if not self.sources:
            facts = ["Nothing to compact"]
        else:
            facts = [
                f"{counted(self.records, 'record')} of {counted(self.sources, 'file')} became "
                f"{counted(self.parts, 'Parquet file')}"
            ]
        if self.records:
            facts.append(f"{self.bytes_read / 1e6:,.1f} MB became {self.bytes_written / 1e6:,.1f} MB")
        if self.duplicates:
            facts.append(f"{counted(self.duplicates, 'duplicate')} left out")
        if self.untyped:
            models = ", ".join(
                f"{printable(repr(model))} ({number:,})" for model, number in sorted(self.untyped.items())
            )
            facts.append(f"without columns, as no baseline of their model was given: {models}")
        if self.damaged:
            facts.append(f"damaged: {', '.join(f'{number} {name}' for name, number in sorted(self.damaged.items()))}")
        if self.removed:
            facts.append(f"{counted(self.removed, 'file')} deleted")
        if self.waiting:
            facts.append(f"{counted(self.waiting, 'file')} too new")
        return f"{'; '.join(facts)}."
