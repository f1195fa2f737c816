"""History filled from records: hours and days that the state directory does not know, as after it was lost.

Records are counted with the same code as live rows, in the bins of the baseline that served them. An hour or day is
filled if the history has no rows of it; the hour that is under way is never filled. Records know no capture errors, nor
which features were odd in failed requests. If only a sample of predictions was recorded, so are the filled rows.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from flask_boxkite.baseline import Baseline
from flask_boxkite.errors import BoxkiteError
from flask_boxkite.history.days import day_of
from flask_boxkite.history.model import baseline_of
from flask_boxkite.live.history_entries import DAY, HOUR, Entry, composed
from flask_boxkite.live.history_file import (
    HOURS_A_DAY,
    MOST_DAYS,
    MOST_HOURS,
    DamagedHistoryError,
    HistoryFile,
    Numbers,
    Stored,
)
from flask_boxkite.live.history_keeper import HOUR_SECONDS, hour_of, paths_in
from flask_boxkite.live.model_cells import DURATION_BOUNDS, ModelCells
from flask_boxkite.naming import STATUSES
from flask_boxkite.records.archive import Records
from flask_boxkite.records.counting import RecordCounter
from flask_boxkite.records.decoding import Record
from flask_boxkite.records.segment_counts import Slot
from flask_boxkite.values.rowhash import ROW_BUCKETS
from flask_boxkite.values.times import DAY as DAY_SECONDS

__all__ = ["Filled", "fill_history"]


@dataclass(frozen=True)
class Filled:
    """The additions to the history of one model and baseline.

    Attributes:
        model: Name of the model.
        baseline: Fingerprint of the baseline.
        hours: Number of hours that were added.
        days: Number of days that were added.
        rows: Number of predicted rows in these.
    """

    model: str
    baseline: str
    hours: int
    days: int
    rows: int


def fill_history(
    directory: Path,
    location: str,
    *,
    model: str | None = None,
    options: Mapping[str, Any] | None = None,
    now: Callable[[], float] = time.time,
) -> list[Filled]:
    """Add hours and days that a state directory does not know, for each baseline of which it has history.

    The server may go on running. A second call adds nothing, unless there are more records.

    Args:
        directory: State directory of one server.
        location: Folder or URL of the records.
        model: Name of the model; None for all.
        options: Options of the storage, such as credentials.
        now: Returns the Unix time.

    Returns:
        The additions, by model and baseline.

    Raises:
        BoxkiteError: There is no history, or the records cannot be read, or the file cannot be written.
    """
    found = []
    for path in _paths(directory):
        try:
            stored = HistoryFile(path).read()
        except (OSError, DamagedHistoryError):
            continue
        key = stored.extract.key
        baseline = baseline_of(stored.extract.description)
        if key.is_model and model in (None, key.name) and baseline is not None:
            records = Records(location, model=key.name, fingerprint=key.digest, options=options)
            found.append(_filled(HistoryFile(path), stored, baseline, records, now()))
    if not found:
        of = "" if model is None else f" of a model {model!r}"
        msg = f"'{directory}' has no history{of} with a baseline. It begins with the first prediction of a server."
        raise BoxkiteError(msg)
    return found


def _paths(directory: Path) -> list[Path]:
    try:
        return paths_in(directory)
    except OSError as error:
        msg = f"The history in '{directory}' cannot be read: {error.strerror}."
        raise BoxkiteError(msg) from error


def _filled(file: HistoryFile, stored: Stored, baseline: Baseline, records: Records, now: float) -> Filled:
    counter = _HourCounter(baseline, now)
    records.count_into(counter)
    hours, days = set(stored.of_hours()), set(stored.of_days())
    days_of_hours = {hour // HOURS_A_DAY for hour in hours}
    entries, rows = [], 0

    for entry, statuses in counter.entries():
        if entry.kind == HOUR:
            is_new = entry.number < stored.mark.hour and entry.number not in hours
            is_new = is_new and entry.number // HOURS_A_DAY not in days
        else:
            is_new = entry.number not in days | days_of_hours
        if is_new:
            entries.append(entry)
            rows += statuses
    if entries:
        try:
            file.fill(entries)
        except (OSError, DamagedHistoryError) as error:
            msg = f"'{file.path}' cannot be filled: {error}. Try again."
            raise BoxkiteError(msg) from error
    key = stored.extract.key
    hours_added = sum(entry.kind == HOUR for entry in entries)
    return Filled(key.name, key.digest, hours_added, len(entries) - hours_added, rows)


class _HourCounter(RecordCounter):
    """Counts records by hour, and by day where no hours are kept.

    Args:
        baseline: Baseline that served the records.
        now: Present Unix time.
    """

    def __init__(self, baseline: Baseline, now: float) -> None:
        self._today = day_of(now)
        self._this_hour = hour_of(now)
        super().__init__(replace(baseline, pairs=()), now, slot_of=self._begin)
        self._layout = ModelCells.of(baseline)
        self._others: dict[float, Numbers] = {}

    def _begin(self, seconds: float) -> float:
        """Return the beginning of the hour of a time, or of its day if that is long ago."""
        is_recent = day_of(seconds) > self._today - MOST_HOURS // HOURS_A_DAY
        return hour_of(seconds) * HOUR_SECONDS if is_recent else day_of(seconds) * DAY_SECONDS

    def add(self, records: Sequence[Record]) -> None:
        """Count some records."""
        first = (self._today - MOST_DAYS + 1) * DAY_SECONDS
        last = (self._this_hour + 1) * HOUR_SECONDS
        own = [record for record in records if first <= record.created_at < last]
        super().add(own)
        for record in own:
            numbers = self._others.setdefault(self._begin(record.created_at), self._none())
            status = record.status or STATUSES[0]
            if status in STATUSES:
                numbers[STATUSES.index(status)] += record.rows
            if record.duration_ms is not None:
                numbers[len(STATUSES) + bisect_left(DURATION_BOUNDS, record.duration_ms / 1000)] += 1

    def _none(self) -> Numbers:
        layout = self._layout
        return np.zeros(layout.classes_start - layout.statuses_start, dtype=np.int64)

    def entries(self) -> list[tuple[Entry, int]]:
        """Return an entry for each hour or day with records, and its number of rows."""
        whole = self.segments.get("")
        slots: Mapping[float, Slot] = {} if whole is None else whole.slots
        found = []
        for begins, others in sorted(self._others.items()):
            slot = slots.get(begins)
            groups = np.zeros(len(self._groups), np.int64) if slot is None else slot.groups
            rows = np.zeros(ROW_BUCKETS + 1, np.int64) if slot is None else np.append(slot.buckets, slot.squares)
            is_hour = day_of(begins) > self._today - MOST_HOURS // HOURS_A_DAY
            number = hour_of(begins) if is_hour else day_of(begins)
            entry = composed(HOUR if is_hour else DAY, number, np.concatenate([groups, rows, others]))
            found.append((entry, int(others[: len(STATUSES)].sum())))
        return found
