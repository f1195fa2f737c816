"""The counts of one compaction."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

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
    removed: int = 0
    waiting: int = 0
    bytes_read: int = 0
    bytes_written: int = 0

    def __str__(self) -> str:
        """Return the counts as one line."""
        damage = ", ".join(f"{number} {reason}" for reason, number in sorted(self.damaged.items()))
        facts = [
            f"{self.records:,} records of {self.sources:,} files are in {self.parts:,} Parquet files",
            f"{self.bytes_read / 1e6:,.1f} MB became {self.bytes_written / 1e6:,.1f} MB" if self.records else "",
            f"{self.duplicates:,} copies left out" if self.duplicates else "",
            f"damaged: {damage}" if damage else "",
            f"{self.removed:,} files deleted" if self.removed else "",
            f"{self.waiting:,} files are too new" if self.waiting else "",
        ]
        return "; ".join(filter(None, facts)) + "."
