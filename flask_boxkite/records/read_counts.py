"""The counts of one reading: files, records, rows, duplicates and damage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter

from flask_boxkite.naming import RARE, short_text
from flask_boxkite.quoting import printable
from flask_boxkite.records.decoding import Record

__all__ = ["ReadCounts"]

EMPTY, NO_RECORD, TOO_LONG, TOO_LARGE, TOO_DEEP, ROWS, CUT = (
    "empty",
    "no_record",
    "too_long",
    "too_large",
    "too_deep",
    "rows",
    "cut",
)
"""Reasons for which lines and files are skipped (`ReadCounts.damaged`)."""

MOST_BROKEN = 5
"""Most names of files that cannot be read."""

MOST_NAMES = 1000
"""Most names of models, and of baselines, that are counted separately."""

# Over a million records, a function of Python's for each of them would take a second.
_rows, _baseline, _model = map(attrgetter, ("rows", "baseline", "model"))


@dataclass
class ReadCounts:
    """The counts of one reading so far.

    Attributes:
        files: Number of files that were read.
        vanished: Number of files that were deleted before they could be read, after their lifetime, say.
        damaged: Number of skipped lines and files by reason. Lines: ``empty``; ``no_record``, not JSON or not a record;
            ``too_long``, more than 32 MiB; ``too_large``, more than 2,000,000 values; ``too_deep``, more than 100
            levels; ``rows``, more rows than the line can hold. Compressed files and Parquet: ``cut``, which end too
            early or are damaged. Damage in files that `compact` has read is counted with its Parquet.
        duplicates: Number of duplicates, records that came before.
        records: Number of remaining records of the period and model.
        rows: Number of predicted rows in these records.
        rows_by_baseline: Predicted rows by the fingerprint of the baseline that served them; None for no baseline.
            After 1,000 fingerprints, further ones are ``__rare__``.
        models: Names of the models; after 1,000 names, further ones are ``__rare__``.
        broken: Paths of Parquet files of which records cannot be read; at most five. Each is ``cut`` or ``no_record``.
    """

    files: int = 0
    vanished: int = 0
    damaged: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    records: int = 0
    rows: int = 0
    rows_by_baseline: Counter[str | None] = field(default_factory=Counter)
    models: set[str | None] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)

    def add(self, records: list[Record]) -> None:
        """Count some of the remaining records."""
        baselines = set(map(_baseline, records))
        rows_by_baseline: Counter[str | None] = Counter()
        if len(baselines) == 1:
            rows_by_baseline[baselines.pop()] = sum(map(_rows, records))
        else:
            for record in records:
                rows_by_baseline[record.baseline] += record.rows
        self.add_rows(len(records), rows_by_baseline, set(map(_model, records)))

    def add_rows(self, records: int, rows_by_baseline: Mapping[str | None, int], models: Iterable[str | None]) -> None:
        """Count remaining records, of which the rows are known by baseline."""
        self.records += records
        for baseline, rows in rows_by_baseline.items():
            self.rows += rows
            self.rows_by_baseline[_bounded(baseline, self.rows_by_baseline)] += rows
        for model in models:
            self.models.add(_bounded(model, self.models))

    def join(self, other: ReadCounts) -> None:
        """Add the counts of the reading of other files."""
        self.files += other.files
        self.vanished += other.vanished
        self.damaged.update(other.damaged)
        self.duplicates += other.duplicates
        for path in other.broken:
            self.add_broken(path)
        self.add_rows(other.records, other.rows_by_baseline, other.models)

    def add_broken(self, path: str) -> None:
        """Note a Parquet file that cannot be read, or not wholly."""
        if path not in self.broken and len(self.broken) < MOST_BROKEN:
            self.broken.append(path)

    @property
    def loss(self) -> str:
        """Sentences on records that cannot be read, and the remedy; empty if there are none."""
        if not self.broken:
            return ""
        names = ", ".join(f"'{printable(path)}'" for path in self.broken)
        return f"Parquet of records is damaged, so these are missing: {names}. Restore it, or delete it to do without."

    @property
    def damage(self) -> str:
        """The skipped lines and files as text: ``2 empty, 1 no_record``; empty if there are none."""
        return ", ".join(f"{number} {reason}" for reason, number in sorted(self.damaged.items()))


def _bounded(name: str | None, known: Container[str | None]) -> str | None:
    """Return a name from a file in short form, or `RARE` if there are too many names."""
    text = None if name is None else short_text(name)
    return text if text in known or len(known) < MOST_NAMES else RARE  # type: ignore[arg-type]
