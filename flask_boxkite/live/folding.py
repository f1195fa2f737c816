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
import json
import logging
import os
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from flask_boxkite.live.apart import NOTE, marked, unmark
from flask_boxkite.live.clock import Moment
from flask_boxkite.live.layout import FORMAT, count_lost_records, is_sink, sink_name
from flask_boxkite.live.reading import Reading
from flask_boxkite.live.statefile import (
    LIVE,
    NEW,
    StateFileError,
    Stored,
    composed,
    mark_folded,
    new_name,
    parsed,
    server_of,
)
from flask_boxkite.live.store import Totals, section_key
from flask_boxkite.naming import DAMAGED, FOLDED, FOREIGN, OTHER_FORMAT
from flask_boxkite.spool import waiting_records
from flask_boxkite.system.files import (
    has_no_owner,
    is_passing,
    locked,
    open_private,
    read_file,
    release,
    take_if_dead,
    write_all,
)

__all__ = ["IDLE", "fold", "folded_spools", "is_ours", "read_directory", "take_over", "windows_path"]

logger = logging.getLogger("flask_boxkite")

# A release with another format leaves this file alone, because both releases run during an upgrade.
RETIRED = f"retired-{FORMAT:08x}"
_WINDOWS = "windows-"
IDLE = "idle"
"""Name of the file that tells since when no process has counted in a directory."""

_ABOUT = section_key("retired")

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


class _LeftOut(NamedTuple):
    """A file that cannot be read.

    Attributes:
        state: Reason, one of `naming.STATE_FILES`.
        found: Time when the file was first seen.
    """

    state: str
    found: Moment


@dataclass
class _Retired:
    """The file with the counts of dead processes.

    Attributes:
        generation: Number of the fold, higher after every fold.
        origin: Generation of the first fold: if a user deletes the file, the next one has another.
        names: Names of folded files, which may not be deleted yet.
        left_out: Files that could not be read, by name.
        folded: Time of the last fold into a section, by key.
        spools: Directories of records that wait on disk and whose processes are in the numbers.
        reading: Numbers of the dead processes.
    """

    generation: int = 0
    origin: int = 0
    names: frozenset[str] = frozenset()
    left_out: dict[str, _LeftOut] = field(default_factory=dict)
    folded: dict[str, Moment] = field(default_factory=dict)
    spools: frozenset[str] = frozenset()
    reading: Reading = field(default_factory=Reading)


# --- reading ---------------------------------------------------------------------------------------------------------


def read_directory(directory: Path, own: str = "", keys: Collection[str] | None = None) -> Reading:
    """Add up the counts of all processes, alive or dead, in a directory.

    Args:
        directory: Directory of the files.
        own: Name of a file to leave out, whose numbers the caller has.
        keys: Keys of the sections to read; None for all.

    Raises:
        OSError: The directory cannot be read.
    """
    for _ in range(_ATTEMPTS):
        retired = _read_retired(directory, keys)
        reading = _with_live_files(retired, directory, own, keys)
        if _generation(directory) == retired.generation:
            return reading
    with _directory_locked(directory, _PATIENCE_SECONDS) as is_mine:  # processes die faster than this one can read
        if not is_mine:
            raise OSError(errno.EIO, "the state directory is locked all the time")
        return _with_live_files(_read_retired(directory, keys), directory, own, keys)


def _with_live_files(retired: _Retired, directory: Path, own: str, keys: Collection[str] | None) -> Reading:
    reading = retired.reading
    reading.current |= {key for key, folded in retired.folded.items() if folded.age() < _EXPORT_SECONDS}
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
    return [section for section in sections if section.key != _ABOUT]


@contextlib.contextmanager
def _unless_passing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if is_passing(error):
            raise


def _live_names(directory: Path) -> list[str]:
    return [name for name in os.listdir(directory) if name.startswith(LIVE)]


def _generation(directory: Path) -> int:
    """Return the generation of the latest fold; 0 if there was none."""
    with _unless_passing(), contextlib.suppress(StateFileError):
        return parsed(read_file(directory / RETIRED), ())[0]
    return 0


def folded_spools(directory: Path) -> tuple[Collection[str], int]:
    """Return the directories of records whose dead processes are in the retired counts, and the origin of these counts.

    The origin changes if a user deletes the directory with its counts; it is 0 if there are no retired counts.

    Raises:
        OSError: The counts cannot be read just now.
    """
    retired = _read_retired(directory, ())
    return retired.spools, retired.origin


def _read_retired(directory: Path, keys: Collection[str] | None = None) -> _Retired:
    """Return the retired counts, or empty ones. An unusable file is counted, and the next fold replaces it."""
    try:
        data = read_file(directory / RETIRED)
        number, sections = parsed(data, None if keys is None else {*keys, _ABOUT})
    except OSError as error:
        if is_passing(error):
            raise  # otherwise the next fold would replace counts that are still there
        return _Retired()
    except StateFileError as error:
        broken = _Retired()
        broken.reading.count_file(error.state)
        return broken
    try:
        return _retired_of(number, sections)
    except (KeyError, TypeError, ValueError):  # no release of this format writes such a file
        broken = _Retired()
        broken.reading.count_file(DAMAGED)
        return broken


def _retired_of(number: int, sections: Iterable[Stored]) -> _Retired:
    retired = _Retired(number)
    rest: dict[str, list[list[float]]] = {}
    for section in sections:
        if section.key == _ABOUT:
            about: dict[str, Any] = json.loads(section.description)
            retired.names = frozenset(about["names"])
            retired.left_out = {name: _LeftOut(state, Moment(*at)) for name, (state, at) in about["left_out"].items()}
            retired.folded = {key: Moment(*folded) for key, folded in about["folded"].items()}
            retired.spools, retired.origin, rest = frozenset(about["spools"]), about["origin"], about["rest"]
        else:
            retired.reading.add(section)
    for key in rest.keys() & retired.reading.sections.keys():
        retired.reading.sections[key].parts += map(np.array, rest[key])
    return retired


# --- folding ---------------------------------------------------------------------------------------------------------


def fold(directory: Path, *, app: str | None = None) -> None:
    """Fold the files of dead processes, unless another process is just doing so.

    Args:
        directory: Directory of the files.
        app: Name of the app that counted there, for the log; None if it is the app that folds.

    Raises:
        OSError: Reading or writing failed; no count is lost, and the next fold tries again.
    """
    with _directory_locked(directory, 0.0) as is_mine:
        if is_mine:
            names = _live_names(directory)
            for first in range(0, len(names), _AT_ONCE):
                _fold_some(directory, names[first : first + _AT_ONCE], names, app)


def _fold_some(directory: Path, some: Iterable[str], names: Collection[str], app: str | None) -> None:
    dead: dict[str, int] = {}
    try:
        for name in some:
            if (descriptor := take_if_dead(directory / name)) is not None:
                dead[name] = descriptor
        if dead:
            _fold(directory, dead, names, app)
    finally:
        for descriptor in dead.values():
            release(descriptor)


@contextlib.contextmanager
def _directory_locked(directory: Path, patience_seconds: float) -> Iterator[bool]:
    descriptor = open_private(directory, os.O_RDONLY)
    try:
        with locked(descriptor, patience_seconds) as is_mine:
            yield is_mine
    finally:
        os.close(descriptor)


def _fold(directory: Path, dead: dict[str, int], names: Collection[str], app: str | None) -> None:
    retired = _read_retired(directory)
    usable, left_out = _sorted_out(directory, dead, retired.names)
    if usable or left_out.keys() - retired.left_out.keys():
        lost = _add(retired, usable, left_out)
        _forget(directory, retired)
        # All folded files that still exist, also one whose lock cannot be taken just now.
        retired.names = retired.names.intersection(names).union(usable)
        retired.left_out = {name: item for name, item in retired.left_out.items() if name in names}
        retired.spools = frozenset(filter(os.path.isdir, retired.spools))
        _write(directory, retired)
        _tell_lost(lost, app)
    for name in dead:
        if name in retired.names:
            mark_folded(directory / name)
            os.unlink(directory / name)

    _remove_left_behind(directory, {name: retired.left_out[name] for name in left_out})


def _sorted_out(
    directory: Path, dead: dict[str, int], done: Iterable[str]
) -> tuple[dict[str, list[Stored]], dict[str, str]]:
    """Return the sections of the files to fold, and the state of each file that cannot be read, by name."""
    usable: dict[str, list[Stored]] = {}
    left_out: dict[str, str] = {}
    for name in dead.keys() - set(done):
        try:
            usable[name] = _counted(parsed(read_file(directory / name, dead[name]))[1])
        except StateFileError as error:
            left_out[name] = error.state
        except OSError as error:
            if not is_passing(error):  # a directory, say
                left_out[name] = FOREIGN
    return usable, left_out


def _add(retired: _Retired, usable: dict[str, list[Stored]], left_out: dict[str, str]) -> Counter[str]:
    """Add the numbers of dead processes; return the number of records that they lost, by the key of the sink."""
    now = Moment.now()
    lost: Counter[str] = Counter()
    for sections in usable.values():
        for section in sections:
            retired.reading.add(_settled(section, lost))
            retired.folded[section.key] = now
            if is_sink(section.key) and section.description:
                retired.spools |= {os.fsdecode(section.description)}
        retired.reading.count_file(FOLDED)
    for name in left_out.keys() - retired.left_out.keys():
        retired.reading.count_file(left_out[name])
        retired.left_out[name] = _LeftOut(left_out[name], now)

    retired.left_out = {name: item for name, item in retired.left_out.items() if name not in usable}
    return lost


def _settled(section: Stored, lost: Counter[str]) -> Stored:
    """Return the numbers of a dead process, with the records in its memory counted as lost."""
    if not is_sink(section.key):
        return section
    cells = section.totals.cells.tolist()
    # The description is the spool's directory, whose records another process will deliver.
    spooled = waiting_records(Path(os.fsdecode(section.description))) if section.description else 0
    records = count_lost_records(cells, spooled)
    if not section.description:  # another server may have delivered the missing records of a spool
        lost[section.key] += records
    return section._replace(totals=Totals(np.array(cells, dtype=np.int64), section.totals.sums))


def _tell_lost(lost: Counter[str], app: str | None) -> None:
    """Log the records that dead processes lost, once: when they are counted for good."""
    whose = f" of the app {app!r}" if app else ""
    for key, records in (+lost).items():
        logger.warning(
            "Dropped %d records%s for the sink %r ('process_died'): their process ended before it could deliver them. "
            "Set 'BOXKITE_SPOOL_DIR' to keep records on disk until they are delivered.",
            records,
            whose,
            json.loads(key)[1],
        )


def _forget(directory: Path, retired: _Retired) -> None:
    """Drop counts of baselines that no process has served for a day; counts of their records are kept in one sum."""
    old = {key for key, folded in retired.folded.items() if folded.age() > _KEEP_SECONDS}
    if not old:
        return
    marks = marked(directory)

    for key in old - read_directory(directory).current:
        if json.loads(key)[0] == "model":
            retired.reading.sections.pop(key, None)
            retired.folded.pop(key, None)
            windows_path(directory, key).unlink(missing_ok=True)
            unmark(directory, key)
        elif is_sink(key) and key != (common := section_key("sink", sink_name(key))) and key not in marks:
            retired.folded[common] = retired.folded.pop(key)
            if (section := retired.reading.sections.pop(key, None)) is not None:
                retired.reading.add(Stored(common, section.totals(), b""))


def _write(directory: Path, retired: _Retired) -> None:
    retired.generation = max(retired.generation + 1, time.time_ns())
    retired.origin = retired.origin or retired.generation
    reading = retired.reading

    for item in reading.sections.values():
        item.compact()
    about = {
        "names": sorted(retired.names),
        "left_out": retired.left_out,
        "folded": retired.folded,
        "spools": sorted(retired.spools),
        "origin": retired.origin,
        "rest": {key: [part.tolist() for part in item.parts[1:]] for key, item in reading.sections.items()},
    }
    sections = [
        Stored(_ABOUT, Totals(np.zeros(0, np.int64), np.zeros(0)), json.dumps(about).encode()),
        *(Stored(key, Totals(item.cells, item.parts[0]), item.description) for key, item in reading.sections.items()),
    ]
    temporary = directory / new_name()
    try:
        descriptor = open_private(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            write_all(descriptor, composed(retired.generation, sections), 0)
        finally:
            os.close(descriptor)
        os.rename(temporary, directory / RETIRED)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _remove_left_behind(directory: Path, left_out: dict[str, _LeftOut]) -> None:
    """Remove unfinished files and, after a day, unreadable state files of dead processes; foreign files stay."""
    for name, item in left_out.items():
        if item.state in (DAMAGED, OTHER_FORMAT) and item.found.age() > _KEEP_SECONDS:
            (directory / name).unlink(missing_ok=True)
    for path in [directory / name for name in os.listdir(directory) if name.startswith(NEW)]:
        with contextlib.suppress(FileNotFoundError):  # finished, and renamed, just now
            # A process that is still writing the file has its lock, even if a clock is wrong.
            if abs(time.time() - path.lstat().st_mtime) > _UNFINISHED_SECONDS and has_no_owner(path):
                path.unlink()


def take_over(old: Path, directory: Path) -> None:
    """Move the counts of another directory to this one, unless a live process counts there.

    Raises:
        OSError: The file cannot be moved.
    """
    fold(old)
    if not _live_names(old):
        with contextlib.suppress(FileNotFoundError):  # no process counted there, or another one was faster
            os.rename(old / RETIRED, directory / f"{LIVE}{hashlib.sha256(old.name.encode()).hexdigest()[:32]}")


def is_ours(name: str) -> bool:
    """Say whether the name of a file is one that this package gives."""
    return name == IDLE or name.startswith((LIVE, NEW, NOTE, _WINDOWS, "retired-"))


def windows_path(directory: Path, key: str) -> Path:
    """Return the path of the time windows of a section."""
    return directory / f"{_WINDOWS}{hashlib.sha256(f'{FORMAT} {key}'.encode()).hexdigest()[:16]}"
