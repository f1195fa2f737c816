"""`compact`, which writes the records in files of lines as Parquet; the package `parquet` does the work."""

from __future__ import annotations

import os
from collections.abc import Sequence

from flask_boxkite.baseline import Baseline
from flask_boxkite.errors import BoxkiteError
from flask_boxkite.extras import install_command
from flask_boxkite.records.parquet.run import Compaction

__all__ = ["CLOSED_SECONDS", "Compaction", "check_arrow", "compact"]

CLOSED_SECONDS = 3600.0
"""Time after a minute's end from which on its files are compacted."""


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
        out: Folder of the tables, on this machine; made if it is missing. This user may read the files, and
            the group of the folder if it may read the folder.
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
