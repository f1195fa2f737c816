"""The keeper of history: it records an hour when the first prediction of another hour comes, before that is counted.

Each process asks it whenever it begins a slot of the windows, at most every ten seconds; one of them records. So an
hour may begin up to ten seconds late if the wall clock was set, and requests of other processes that are under way may
be in the hour before. No row is lost or counted twice. Hours without predictions cost nothing.

Recording takes 0.3 ms for thirty features, once an hour, and 12 ms every other day, when the file is written again.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
from collections.abc import Callable
from pathlib import Path

from flask_boxkite.live.history_extract import Extract
from flask_boxkite.live.history_file import HISTORY, DamagedHistoryError, HistoryFile, Numbers, history_path
from flask_boxkite.live.reading import Reading
from flask_boxkite.live.section import SectionKey
from flask_boxkite.live.store import Store
from flask_boxkite.system.faults import warn_of
from flask_boxkite.system.throttle import Throttle

__all__ = ["MOST_BASELINES", "Keeper", "hour_of", "paths_in", "remove_oldest"]

logger = logging.getLogger("flask_boxkite")

HOUR_SECONDS = 3600.0

MOST_BASELINES = 100
"""Most baselines of a model that have files; the ones that were written longest ago are removed."""


def hour_of(seconds: float) -> int:
    """Return the number of the hour of a Unix time."""
    return math.floor(seconds / HOUR_SECONDS)


def paths_in(directory: Path) -> list[Path]:
    """Return the files of history in a directory, without the ones that were set aside.

    Raises:
        OSError: The directory cannot be read.
    """
    names = sorted(name for name in os.listdir(directory) if name.startswith(HISTORY) and "." not in name)
    return [directory / name for name in names]


class Keeper:
    """Records the hours of one section. Any thread may use it, also after a fork.

    Args:
        store: Store of the counts.
        extract: Returns the numbers that are kept.
        totals: Returns the present totals of the section of all processes, shape (width,); None for the store's own.
    """

    def __init__(
        self, store: Store, extract: Callable[[], Extract], totals: Callable[[], Numbers] | None = None
    ) -> None:
        self._store = store
        self._extract = extract
        self._totals = totals
        self._hour: tuple[Path, int] | None = None  # one attribute, so that threads see both parts or neither
        self._throttle = Throttle()

    def tick(self) -> None:
        """Record the hour that is over, if one is and no other process is just recording it; never raises."""
        try:
            directory = self._store.directory()
            # A process whose counts others cannot see must not record them.
            if directory is None or (self._totals is None and not self._store.file()):
                return
            if self._hour != (directory, self._now()):
                self._record(directory)
        except Exception as error:  # no failure here may cost a prediction
            if self._throttle.allows():
                warn_of(error, "The last hour cannot be kept in the history; this is tried again.")

    def _now(self) -> int:
        return hour_of(self._store.wall())

    def _record(self, directory: Path) -> None:
        extract, readings = self._extract(), list[Reading]()

        def totals() -> Numbers | None:
            if self._totals is not None:
                return self._totals()
            readings.append(self._store.read())
            found = readings[0].sections.get(extract.key)
            return None if found is None or len(found.cells) != extract.cells else extract.of(found.cells)

        file = HistoryFile(history_path(directory, extract.key))
        try:
            is_new = not file.path.exists()
            hour = file.step(extract, self._now, totals)
        except DamagedHistoryError:
            file.set_aside()
            self._store.count_damaged()
            if self._throttle.allows():
                text = "The history in '%s' is damaged. It is set aside as '*.damaged', and begins again."
                logger.warning(text, file.path)
            return
        if hour is not None:
            self._hour = (directory, hour)
        if readings:
            self._record_others(directory, file.path, readings[0])
            if is_new:
                remove_oldest(directory, extract.key)

    def _record_others(self, directory: Path, own: Path, reading: Reading) -> None:
        """Record the last hours of models and baselines that no process serves any more."""
        for path in paths_in(directory):
            if path != own:
                with contextlib.suppress(OSError, DamagedHistoryError):  # their own process, or a reader, will say
                    _step_other(HistoryFile(path), reading, self._now)


def _step_other(file: HistoryFile, reading: Reading, hour: Callable[[], int]) -> None:
    extract = file.extract()
    found = reading.sections.get(extract.key)
    is_gone = extract.key.is_model and extract.key not in reading.current
    if is_gone and found is not None and len(found.cells) == extract.cells:
        file.step(extract, hour, lambda: extract.of(found.cells))


def remove_oldest(directory: Path, key: SectionKey) -> None:
    """Remove the files of a model beyond `MOST_BASELINES`, the ones that were written longest ago; never raises."""
    own = []
    with contextlib.suppress(OSError):  # another process may be faster
        for path in paths_in(directory):
            with contextlib.suppress(OSError, DamagedHistoryError):
                other = HistoryFile(path).extract().key
                if (other.kind, other.name) == (key.kind, key.name):
                    own.append((path.stat().st_mtime, path))
        for _, path in sorted(own)[:-MOST_BASELINES]:
            path.unlink()
