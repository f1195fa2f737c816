"""The ledger of a folder of tables: units of a compaction, which are done as a whole or not at all.

The parts of a unit are written in a hidden folder, as files that no reader takes for Parquet by their names, and
synced. Then a file that lists them, and the sources that are in them, gets its name: from then on the unit is done, and
the parts move into their tables, now or, after a crash, with the next run. An unfinished file that is listed nowhere is
deleted.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from flask_boxkite.errors import BoxkiteError
from flask_boxkite.records.parquet.sources import Progress
from flask_boxkite.system.locks import OwnerLock, can_lock

__all__ = ["Ledger", "StagedPart", "ledger_of"]

_HIDDEN = ".boxkite"
_LISTED = ".json"
STAGED = ".parquet.tmp"
"""Ending of unfinished parts."""


class StagedPart(NamedTuple):
    """A part that is written, but not in its place: its name in the hidden folder, and its place among the tables."""

    name: str
    place: str


@contextmanager
def ledger_of(out: Path) -> Iterator[Ledger]:
    """Open the ledger of a folder, made if it is missing; finish a unit of a run that was killed.

    Raises:
        BoxkiteError: It cannot be written, or another run has it.
    """
    hidden = out / _HIDDEN
    try:
        is_new = not out.exists()
        out.mkdir(parents=True, exist_ok=True)
        if is_new:
            out.chmod(0o700)
        hidden.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        msg = f"'{out}' cannot be written: {error.strerror}. Name another folder for the tables."
        raise BoxkiteError(msg) from error
    lock = None
    if can_lock:
        try:
            lock = OwnerLock(hidden / "lock", os.O_RDWR | os.O_CREAT)
        except OSError as error:
            msg = f"Another compaction writes to '{out}'. Wait for its end; two would read the same files."
            raise BoxkiteError(msg) from error
    try:
        ledger = Ledger(out, hidden)
        ledger.recover()
        yield ledger
    finally:
        if lock is not None:
            lock.release()


class Ledger:
    """The units of a folder of tables.

    Attributes:
        done: Progress of each source, by its key.
        hidden: Folder of unfinished parts.
    """

    def __init__(self, out: Path, hidden: Path) -> None:
        self._out, self.hidden = out, hidden
        self.done: dict[str, Progress] = {}
        self._units: dict[Path, set[str]] = {}
        self._next = 0
        # Records are for the user alone and, if it may read the folder, its group.
        mode = stat.S_IMODE(out.stat().st_mode)
        self._folder_mode, self._file_mode = mode & 0o770, mode & 0o660

    def recover(self) -> None:
        """Move the parts of all units into their places, delete unfinished ones, and read the progress of sources."""
        units = []
        for path in self.hidden.glob(f"*{_LISTED}"):
            found = json.loads(path.read_bytes())
            units.append((found["number"], path, found))
        for _, path, found in sorted(units, key=lambda unit: unit[0]):
            self._publish([StagedPart(*part) for part in found["parts"]])
            self._note(path, [Progress(*source) for source in found["sources"]])
            self._next = found["number"] + 1
        for path in self.hidden.iterdir():
            if path.name.endswith(".tmp"):
                path.unlink()

    def commit(self, unit: str, parts: Iterable[StagedPart], sources: Iterable[Progress]) -> None:
        """Finish a unit, whose parts are written and synced.

        Raises:
            OSError: It cannot be written; then nothing of it is done.
        """
        staged, progress = list(parts), list(sources)
        about = {"number": self._next, "parts": staged, "sources": progress}
        path = self.hidden / f"{unit}{_LISTED}"
        temporary = self.hidden / f"{unit}{_LISTED}.tmp"
        with open(temporary, "xb") as file:
            file.write(json.dumps(about).encode())
            file.flush()
            os.fsync(file.fileno())
        _sync(self.hidden)  # the parts have their names on the disk before they are listed
        os.replace(temporary, path)
        _sync(self.hidden)
        self._next += 1
        self._publish(staged)
        self._note(path, progress)

    def forget(self, keys: Collection[str]) -> None:
        """Forget sources that are deleted, so that the ledger does not grow for ever."""
        for path, own in list(self._units.items()):
            own.difference_update(keys)
            if not own:
                path.unlink()
                del self._units[path]
        for key in keys:
            self.done.pop(key, None)

    def _publish(self, parts: Iterable[StagedPart]) -> None:
        folders = set()
        for part in parts:
            staged, place = self.hidden / part.name, self._out / part.place
            if staged.exists():
                for folder in (place.parent.parent, place.parent):
                    with contextlib.suppress(FileExistsError):
                        folder.mkdir()
                        folder.chmod(self._folder_mode)
                staged.chmod(self._file_mode)
                os.replace(staged, place)
                folders |= {place.parent, place.parent.parent}
        for folder in (*folders, self._out) if folders else ():
            _sync(folder)

    def _note(self, path: Path, sources: Iterable[Progress]) -> None:
        own = self._units.setdefault(path, set())
        for source in sources:
            self.done[source.key] = source
            own.add(source.key)


def _sync(folder: Path) -> None:
    """Make the names in a folder durable; Windows does so by itself."""
    with contextlib.suppress(PermissionError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
