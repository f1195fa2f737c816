"""The selection of records by period, model, version and baseline."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import Protocol

from flask_boxkite.records.decoding import Record
from flask_boxkite.records.period import Period

__all__ = ["Filter"]

_created_at = attrgetter("created_at")


class About(Protocol):
    """Properties that records share: their time in Unix seconds, and names."""

    @property
    def seconds(self) -> int: ...
    @property
    def model(self) -> str | None: ...
    @property
    def version(self) -> str | None: ...
    @property
    def baseline(self) -> str | None: ...


@dataclass(frozen=True)
class Filter:
    """The records that a reading selects; None selects all.

    Attributes:
        period: Period in which they were made.
        model: Name of the model.
        version: Version of its baseline.
        fingerprint: Fingerprint of its baseline.
    """

    period: Period
    model: str | None = None
    version: str | None = None
    fingerprint: str | None = None

    def of(self, records: list[Record]) -> list[Record]:
        """Return the selected records."""
        start, end = self.period.start, self.period.end
        times = list(map(_created_at, records))
        if times and not (start <= min(times) and max(times) < end):
            records = [record for record in records if start <= record.created_at < end]
        for name, value in (("model", self.model), ("version", self.version), ("baseline", self.fingerprint)):
            if value is not None:
                records = [record for record in records if getattr(record, name) == value]
        return records

    def takes(self, about: About) -> bool:
        """Say whether records with these properties are selected."""
        is_in_period = self.period.start <= about.seconds < self.period.end
        return is_in_period and all(
            wanted in (None, own)
            for wanted, own in (
                (self.model, about.model),
                (self.version, about.version),
                (self.fingerprint, about.baseline),
            )
        )
