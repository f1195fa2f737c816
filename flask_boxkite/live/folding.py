"""Sums of the state files of a server's processes; files of dead processes are folded into one.

    fold: lock the directory; add the numbers of every file without an owner to those in ``retired``; write the sum, the
          names of these files and a new generation to another file; rename that to ``retired``; unlink these files.
    read: read ``retired``; read every live file that it does not name; repeat if its generation has changed.

A reader takes no lock and waits for no process. Even so, every count is in a reading exactly once, at any moment of a
fold and if the folding process dies. (Unlinking first, or reading without the second look at the generation, makes
counters fall.) Sections of different keys are never added up, so each baseline keeps its own counts.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flask_boxkite.live.apart import NOTE, marked, unmark
from flask_boxkite.live.clock import Moment
from flask_boxkite.live.history_file import HISTORY, DamagedHistoryError, HistoryFile, history_path
from flask_boxkite.live.model_cells import FORMAT
from flask_boxkite.live.outcome_cells import FORMAT as OUTCOMES_FORMAT
from flask_boxkite.live.reading import Reading
from flask_boxkite.live.retired import ABOUT, RETIRED, LeftOut, Retired
from flask_boxkite.live.section import SectionKey
from flask_boxkite.live.sink_cells import count_lost_records
from flask_boxkite.live.state_file import (
    LIVE,
    NEW,
    StateFileError,
    Stored,
    generation_of,
    mark_folded,
    parsed,
    server_of,
)
from flask_boxkite.live.totals import SectionSum, Totals
from flask_boxkite.naming import DAMAGED, FOLDED, FOREIGN, OTHER_FORMAT
from flask_boxkite.system.files import is_passing, open_private, read_file
from flask_boxkite.system.locks import has_no_owner, locked, release, take_if_dead

__all__ = [
    "IDLE",
    "KEY_FILE",
    "RECENT_FILE",
    "WaitingRecords",
    "fold",
    "folded_spools",
    "is_ours",
    "latest_fold",
    "outcomes_path",
    "read_directory",
    "take_over",
    "windows_path",
]

logger = logging.getLogger("flask_boxkite")

WaitingRecords = Callable[[Path], int]
"""Returns the number of records of a dead process that wait on disk, in the directory that its section names."""

KEY_FILE = "id-key"
"""Name of the file that holds the key of prediction ids."""

RECENT_FILE = "recent"
"""Name of the file that remembers the outputs of the last predictions."""

_OUTCOMES = "outcomes-"
_WINDOWS = "windows-"
IDLE = "idle"
"""Name of the file that tells since when no process has counted in a directory."""

_AT_ONCE = 16
"""Most files that a fold holds open: a thousand processes may have died together."""

_ATTEMPTS = 50
_PATIENCE_SECONDS = 1.0

_UNFINISHED_SECONDS = 600.0
"""Age at which an unfinished file counts as left behind."""

_EXPORT_SECONDS = 600.0
"""Time for which a baseline stays in /metrics after its last process ended, so that a scrape sees its final counts."""

_KEEP_SECONDS = 86400.0
"""Time for which its counts are kept in case it comes back; no window reaches further."""


# --- reading ---------------------------------------------------------------------------------------------------------


def read_directory(
    directory: Path,
    own: str = "",
    keys: Collection[SectionKey] | None = None,
    *,
    clock: Callable[[], Moment] = Moment.now,
) -> Reading:
    """Add up the counts of all processes, alive or dead, in a directory.

    Args:
        directory: Directory of the files.
        own: Name of a file to leave out, whose numbers the caller has.
        keys: Keys of the sections to read; None for all.
        clock: Returns the present moment.

    Raises:
        OSError: The directory cannot be read.
    """
    now = clock()
    for _ in range(_ATTEMPTS):
        before = latest_fold(directory)
        reading = _with_live_files(Retired.read(directory, keys), directory, own, keys, now)
        if latest_fold(directory) == before:
            return reading

    with _directory_locked(directory, _PATIENCE_SECONDS) as is_mine:  # processes die faster than this one can read
        if not is_mine:
            raise OSError(errno.EIO, "the state directory is locked all the time")
        return _with_live_files(Retired.read(directory, keys), directory, own, keys, now)


def _with_live_files(
    retired: Retired, directory: Path, own: str, keys: Collection[SectionKey] | None, now: Moment
) -> Reading:
    reading = retired.reading
    reading.current |= {key for key, folded in retired.folded.items() if folded.age(now) < _EXPORT_SECONDS}
    for name in _live_names(directory):
        if name != own and name not in retired.names:
            # A missing file was just folded, and the generation shows it. The fold counts an unusable one.
            with _unless_passing(), contextlib.suppress(StateFileError):
                data = read_file(directory / name)
                server = server_of(data)
                for section in _counted(parsed(data, keys)[1]):
                    reading.add_live(section, server)
    return reading


def _counted(sections: Iterable[Stored]) -> list[Stored]:
    """Return the sections that hold counts: all, except in a file of retired counts from another directory."""
    return [section for section in sections if section.key != ABOUT]


@contextlib.contextmanager
def _unless_passing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if is_passing(error):
            raise


def _live_names(directory: Path) -> list[str]:
    return [name for name in os.listdir(directory) if name.startswith(LIVE)]


def latest_fold(directory: Path) -> int:
    """Return the generation of the latest fold, by the header of its file; 0 if there was none.

    Raises:
        OSError: The file cannot be read just now.
    """
    with _unless_passing():
        return generation_of(directory / RETIRED)
    return 0


def folded_spools(directory: Path) -> tuple[Collection[str], int]:
    """Return the directories of records whose dead processes are in the retired counts, and the origin of these counts.

    The origin changes if a user deletes the directory with its counts; it is 0 if there are no retired counts.

    Raises:
        OSError: The counts cannot be read just now.
    """
    retired = Retired.read(directory, ())
    return retired.spools, retired.origin


# --- folding ---------------------------------------------------------------------------------------------------------


def fold(
    directory: Path,
    waiting_records: WaitingRecords,
    *,
    app: str | None = None,
    clock: Callable[[], Moment] = Moment.now,
) -> None:
    """Fold the files of dead processes, unless another process is just doing so.

    Args:
        directory: Directory of the files.
        waiting_records: Returns the number of a dead process's records that wait on disk, in a directory.
        app: Name of the app that counted there, for the log; None if it is the app that folds.
        clock: Returns the present moment.

    Raises:
        OSError: Reading or writing failed; no count is lost, and the next fold tries again.
    """
    with _directory_locked(directory, 0.0) as is_mine:
        if is_mine:
            names = _live_names(directory)
            folding = _Fold(directory, waiting_records, app, clock(), names)
            for first in range(0, len(names), _AT_ONCE):
                folding.fold(names[first : first + _AT_ONCE])


@contextlib.contextmanager
def _directory_locked(directory: Path, patience_seconds: float) -> Iterator[bool]:
    descriptor = open_private(directory, os.O_RDONLY)
    try:
        with locked(descriptor, patience_seconds) as is_mine:
            yield is_mine
    finally:
        os.close(descriptor)


@dataclass
class _Fold:
    """A fold of a directory whose lock this process holds.

    Attributes:
        directory: Directory of the files.
        waiting_records: Returns the number of records that wait in a directory.
        app: Name of the app, for the log; None if it is the app that folds.
        now: Time of the fold.
        names: Names of the files of all processes, alive or dead.
    """

    directory: Path
    waiting_records: WaitingRecords
    app: str | None
    now: Moment
    names: Collection[str]

    def fold(self, some: Iterable[str]) -> None:
        """Fold the files, of the given ones, whose processes are dead."""
        dead: dict[str, int] = {}
        try:
            for name in some:
                if (descriptor := take_if_dead(self.directory / name)) is not None:
                    dead[name] = descriptor
            if dead:
                self._fold(dead)
        finally:
            for descriptor in dead.values():
                release(descriptor)

    def _fold(self, dead: dict[str, int]) -> None:
        retired = Retired.read(self.directory)
        usable, left_out = self._sorted_out(dead, retired.names)
        if usable or left_out.keys() - retired.left_out.keys():
            lost = self._add(retired, usable, left_out)
            self._forget(retired)
            # All folded files that still exist, also one whose lock cannot be taken just now.
            retired.names = retired.names.intersection(self.names).union(usable)
            retired.left_out = {name: item for name, item in retired.left_out.items() if name in self.names}
            retired.spools = frozenset(filter(os.path.isdir, retired.spools))
            retired.write(self.directory)
            self._log_lost(lost)

        for name in dead:
            if name in retired.names:
                mark_folded(self.directory / name)
                os.unlink(self.directory / name)
        self._remove_left_behind({name: retired.left_out[name] for name in left_out})

    def _sorted_out(self, dead: dict[str, int], done: Iterable[str]) -> tuple[dict[str, list[Stored]], dict[str, str]]:
        """Return the sections of the files to fold, and the state of each file that cannot be read, by name."""
        usable: dict[str, list[Stored]] = {}
        left_out: dict[str, str] = {}
        for name in dead.keys() - set(done):
            try:
                usable[name] = _counted(parsed(read_file(self.directory / name, dead[name]))[1])
            except StateFileError as error:
                left_out[name] = error.state
            except OSError as error:
                if not is_passing(error):  # a directory, say
                    left_out[name] = FOREIGN
        return usable, left_out

    def _add(self, retired: Retired, usable: dict[str, list[Stored]], left_out: dict[str, str]) -> Counter[SectionKey]:
        """Add the numbers of dead processes; return the number of records that they lost, by the key of the sink."""
        lost: Counter[SectionKey] = Counter()
        for sections in usable.values():
            for section in sections:
                retired.reading.add(self._settled(section, lost))
                retired.folded[section.key] = self.now
                if section.key.is_sink and section.description:
                    retired.spools |= {os.fsdecode(section.description)}
            retired.reading.count_file(FOLDED)
        for name in left_out.keys() - retired.left_out.keys():
            retired.reading.count_file(left_out[name])
            retired.left_out[name] = LeftOut(left_out[name], self.now)

        retired.left_out = {name: item for name, item in retired.left_out.items() if name not in usable}
        return lost

    def _settled(self, section: Stored, lost: Counter[SectionKey]) -> Stored:
        """Return the numbers of a dead process, with the records in its memory counted as lost."""
        if not section.key.is_sink:
            return section
        cells = section.totals.cells.tolist()
        # The description is the spool's directory, whose records another process will deliver.
        spooled = self.waiting_records(Path(os.fsdecode(section.description))) if section.description else 0
        records = count_lost_records(cells, spooled)
        if not section.description:  # another server may have delivered the missing records of a spool
            lost[section.key] += records
        return section._replace(totals=Totals(np.array(cells, dtype=np.int64), section.totals.sums))

    def _log_lost(self, lost: Counter[SectionKey]) -> None:
        """Log the records that dead processes lost, once: when they are counted for good."""
        whose = f" of the app {self.app!r}" if self.app else ""
        for key, records in (+lost).items():
            logger.warning(
                "Dropped %d records%s for the sink %r ('process_died'): their process ended before it could deliver "
                "them. Set 'BOXKITE_SPOOL_DIR' to keep records on disk until they are delivered.",
                records,
                whose,
                key.name,
            )

    def _forget(self, retired: Retired) -> None:
        """Drop counts of baselines that no process has served for a day; keep counts of their records in one sum."""
        old = {key for key, folded in retired.folded.items() if folded.age(self.now) > _KEEP_SECONDS}
        if not old:
            return
        marks = marked(self.directory)

        for key in old - read_directory(self.directory, clock=lambda: self.now).current:
            if key.is_model:
                _close_history(self.directory, key, retired.reading.sections.pop(key, None))
                retired.folded.pop(key, None)
                windows_path(self.directory, key).unlink(missing_ok=True)
                unmark(self.directory, key)
            elif key.is_sink and key != (common := SectionKey("sink", key.name)) and key not in marks:
                retired.folded[common] = retired.folded.pop(key)
                if (section := retired.reading.sections.pop(key, None)) is not None:
                    retired.reading.add(Stored(common, section.totals(), b""))

    def _remove_left_behind(self, left_out: dict[str, LeftOut]) -> None:
        """Remove unfinished files and, after a day, unreadable state files of dead processes; foreign files stay."""
        for name, item in left_out.items():
            if item.state in (DAMAGED, OTHER_FORMAT) and item.first_seen.age(self.now) > _KEEP_SECONDS:
                (self.directory / name).unlink(missing_ok=True)
        for path in [self.directory / name for name in os.listdir(self.directory) if name.startswith(NEW)]:
            with contextlib.suppress(FileNotFoundError):  # finished, and renamed, just now
                # A process that is still writing the file has its lock, even if a clock is wrong.
                if abs(self.now.wall - path.lstat().st_mtime) > _UNFINISHED_SECONDS and has_no_owner(path):
                    path.unlink()


def _close_history(directory: Path, key: SectionKey, gone: SectionSum | None) -> None:
    """Keep the last hour of a section whose counts are about to go; never raises."""
    with contextlib.suppress(OSError, DamagedHistoryError):
        file = HistoryFile(history_path(directory, key))
        if gone is not None and file.path.exists() and len(gone.cells) == (extract := file.extract()).cells:
            file.close_hour(extract.of(gone.cells))


def take_over(old: Path, directory: Path) -> None:
    """Move the retired counts of another directory to this one, unless a process has files there.

    Raises:
        OSError: The file cannot be moved.
    """
    if not _live_names(old):
        with contextlib.suppress(FileNotFoundError):  # no process counted there, or another one was faster
            os.rename(old / RETIRED, directory / f"{LIVE}{hashlib.sha256(old.name.encode()).hexdigest()[:32]}")


def is_ours(name: str) -> bool:
    """Say whether the name of a file is one that this package gives."""
    prefixes = LIVE, NEW, NOTE, _WINDOWS, _OUTCOMES, HISTORY, "retired-"
    return name in (IDLE, KEY_FILE, RECENT_FILE) or name.startswith(prefixes)


def windows_path(directory: Path, key: SectionKey) -> Path:
    """Return the path of the time windows of a section; outcomes in another format begin at 0, so theirs do too."""
    version = f"{FORMAT} {OUTCOMES_FORMAT}" if key.kind == "outcomes" else f"{FORMAT}"
    return directory / f"{_WINDOWS}{_digest(f'{version} {key}')}"


def outcomes_path(directory: Path, key: SectionKey, version: int) -> Path:
    """Return the path of the outcomes of a model.

    Args:
        directory: Directory of the files.
        key: Key of the model's outcomes.
        version: Format of the file.
    """
    return directory / f"{_OUTCOMES}{_digest(f'{version} {OUTCOMES_FORMAT} {key}')}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
