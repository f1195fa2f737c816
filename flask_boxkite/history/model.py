"""The history of one model, read from a state directory: reports on the last days, and windows of them."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flask_boxkite.baseline import Baseline
from flask_boxkite.baseline.file.reader import loads
from flask_boxkite.errors import BoxkiteError
from flask_boxkite.history.coarse import coarse
from flask_boxkite.history.days import date_of, day_of
from flask_boxkite.history.past import Past, PastReader, TotalsOf
from flask_boxkite.history.report import HistoryReport
from flask_boxkite.history.reporting import Served, history_report
from flask_boxkite.live.history_extract import Extract
from flask_boxkite.live.history_file import history_path
from flask_boxkite.live.reading import Reading
from flask_boxkite.live.section import Section, SectionKey
from flask_boxkite.outcomes.place import outcome_book

__all__ = ["HistorySource", "baseline_of", "read_served"]

_FRESH_SECONDS = 300.0
"""Age up to which the page shows the days as they were."""


@lru_cache(maxsize=128)
def baseline_of(description: bytes) -> Baseline | None:
    """Return the baseline that describes a section; None if it has none, or one that this release cannot read."""
    if not description:
        return None
    try:
        return Baseline.of(loads(zlib.decompress(description).decode()))
    except (BoxkiteError, ValueError, zlib.error):
        return None


def read_served(
    reader: PastReader, model: str, totals: TotalsOf, own: Baseline | None, first_day: int = 0
) -> list[Served]:
    """Return the pasts of a model, one for each baseline that it had.

    Args:
        reader: Reader of the state directory.
        model: Name of the model.
        totals: Present counts.
        own: Baseline that is served now; None if there is none.
        first_day: First day that is of interest: baselines without later rows are left out.

    Raises:
        OSError: They cannot be read.
    """
    paths = reader.keys()
    found = []
    for key, path in paths.items():
        if not key.is_model or key.name != model or (past := reader.read(path, totals)) is None:
            continue
        is_own = own is not None and own.fingerprint == key.digest
        if not is_own and not any(day >= first_day for day in past.days):
            continue
        baseline = own if is_own else baseline_of(past.extract.description)
        if baseline is not None and sum(len(item.groups) for item in baseline.distributions) != past.groups:
            continue  # of a release that made other groups
        outcomes = paths.get(SectionKey("outcomes", model, key.digest))
        found.append(Served(baseline, past, None if outcomes is None else reader.read(outcomes, totals)))
    return found


class HistorySource:
    """The history of one model, in a state directory. Any thread may use it, also after a fork.

    Args:
        model: Name of the model.
        baseline: Baseline that is served now; None if there is none.
        key: Key of its section.
        alpha: False-alarm probability of one check of the whole model.
        directory: Returns the state directory; None if there is none.
        read: Returns the present counts of all processes.
    """

    def __init__(
        self,
        model: str,
        baseline: Baseline | None,
        key: SectionKey,
        alpha: float,
        directory: Callable[[], Path | None],
        read: Callable[[], Reading],
    ) -> None:
        self._model = model
        self._baseline = baseline
        self._key = key
        self._alpha = alpha
        self._directory = directory
        self._read = read
        self._reader: PastReader | None = None
        self._latest: tuple[int, float, HistoryReport] | None = None  # one attribute, so that threads see all parts

    @cached_property
    def coarse(self) -> Baseline | None:
        """The baseline with one cell for each group, which windows of days are compared with; None if there is none."""
        return None if self._baseline is None else coarse(self._baseline)

    def report(self, days: int, now: float) -> HistoryReport:
        """Return the report on the last days.

        Args:
            days: Number of days, with today, from 1 to `MOST_DAYS`.
            now: Present Unix time.

        Raises:
            BoxkiteError: There is no state directory.
            OSError: It cannot be read.
        """
        reader = self._known_reader()
        totals = _totals_in(reader.directory, self._read)
        served = read_served(reader, self._model, totals, self._baseline, day_of(now) - days + 1)
        own = None if self._baseline is None else self._baseline.fingerprint
        return history_report(self._model, served, own, days=days, now=now, alpha=self._alpha)

    def latest(self, days: int, now: float) -> HistoryReport:
        """Return the same report, up to `_FRESH_SECONDS` old: the page asks for it every few seconds."""
        latest = self._latest
        if latest is None or latest[0] != days or not 0 <= now - latest[1] < _FRESH_SECONDS:
            latest = self._latest = (days, now, self.report(days, now))
        return latest[2]

    def past(self) -> Past | None:
        """Return the past with the baseline that is served now; None if there is none; raises as `report` does."""
        reader = self._known_reader()
        path = history_path(reader.directory, self._key)
        return reader.read(path, _totals_in(reader.directory, self._read))

    def note(self, days: int, now: float) -> str:
        """Say since when rows are known, if that is later than the window begins; raises as `report` does."""
        reader = self._known_reader()
        past = reader.read(history_path(reader.directory, self._key), lambda extract: None)
        first = None if past is None else next(iter(past.days), None)
        today = day_of(now)
        if first is None:
            return "No hour is over yet since this baseline is served."
        return f"This baseline has rows since {date_of(first)}." if today - days < first <= today else ""

    def _known_reader(self) -> PastReader:
        directory = self._directory()
        if directory is None:
            raise BoxkiteError(_NO_DIRECTORY)
        if self._reader is None or self._reader.directory != directory:
            self._reader = PastReader(directory)
        return self._reader


_NO_DIRECTORY = (
    "There is no history: it needs a directory that processes share. Set 'BOXKITE_STATE_DIR' to one on a local disk, "
    "on a system with file locks."
)


def _totals_in(directory: Path, read: Callable[[], Reading]) -> TotalsOf:
    """Return a function that returns present counts; all predictions are read once, at the first question."""
    readings: list[Reading] = []

    def totals(extract: Extract) -> NDArray[np.int64] | None:
        if not extract.key.is_model:
            section = Section(extract.key, extract.cells, 0)
            return outcome_book(directory, section).totals().cells
        if not readings:
            readings.append(read())
        found = readings[0].sections.get(extract.key)
        return None if found is None else found.cells

    return totals
