"""`compact`, which writes the records in files of lines as Parquet; the package `parquet` does the work."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from flask_boxkite.baseline import Baseline
from flask_boxkite.errors import BoxkiteError
from flask_boxkite.extras import install_command

__all__ = ["CLOSED_SECONDS", "Compaction", "check_arrow", "compact"]

CLOSED_SECONDS = 3600.0
"""Time after a minute's end from which on its files are compacted."""


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


def compact(
    logs: str | os.PathLike[str],
    out: str | os.PathLike[str],
    baselines: Baseline | str | os.PathLike[str] | Sequence[Baseline | str | os.PathLike[str]] = (),
    *,
    remove: bool = False,
    closed_seconds: float = CLOSED_SECONDS,
) -> Compaction:
    """Write the records in files of lines as Parquet, from which they are read in a fraction of the time.

    Each file is compacted once. A run that was killed is finished by the next one; nothing is lost or doubled. Memory
    stays below about a gigabyte.

    Args:
        logs: Folder of the files of lines, with all levels below, on this machine.
        out: Folder of the tables, on this machine; made if it is missing. Files have its permissions.
        baselines: Baseline, or several, whose features and outputs become columns. Records go by the fingerprint of the
            baseline that served them, else by the last one given for their model. Other records are compacted too, but
            read no faster than lines.
        remove: Whether to delete files of lines, once the disk has their records as Parquet.
        closed_seconds: Seconds after the end of a minute from which on its files are compacted. Records that come later
            still are compacted by a later run; with *remove*, make it longer than other writers than this package may
            hold lines back.

    Raises:
        BoxkiteError: A folder cannot be read or written, or another run writes to *out*.
        BaselineError: A baseline cannot be used.
    """
    if not closed_seconds >= 0:
        msg = f"'closed_seconds' must be a number >= 0, got {closed_seconds!r}."
        raise BoxkiteError(msg)
    check_arrow()
    from flask_boxkite.records.parquet.compaction import run_compaction

    given = [baselines] if isinstance(baselines, (Baseline, str, os.PathLike)) else baselines
    known = [item if isinstance(item, Baseline) else Baseline.load(item) for item in given]
    run = Compaction()
    run_compaction(os.fspath(logs), os.fspath(out), known, run, remove=remove, closed_seconds=closed_seconds)
    return run


def check_arrow() -> None:
    """Raise an error with a remedy if pyarrow is not installed."""
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        msg = f"Records in Parquet need 'pyarrow'. Run: {install_command('records')}"
        raise BoxkiteError(msg) from error
