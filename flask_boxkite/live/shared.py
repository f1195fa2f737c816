"""The counts of one app, in this process and, where there is a place for it, in all processes of its server.

A section's block begins in this process's memory. With the first prediction it moves into a file that the others read;
should that fail, on a full disk, say, it stays where it is, is counted and read here all the same, and is tried again
with every slot of the time windows. The same happens when somebody deletes the files of a running server.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from flask_boxkite.live.apart import mark, marked
from flask_boxkite.live.clock import uptime
from flask_boxkite.live.folding import fold, folded_spools, read_directory, windows_path
from flask_boxkite.live.layout import ACCEPTED, FILES, TAKEN_OVER, is_sink, sink_name
from flask_boxkite.live.place import Place
from flask_boxkite.live.reading import Reading
from flask_boxkite.live.statefile import LiveFile, Stored
from flask_boxkite.live.store import Block, Increments, Section, Totals, section_key
from flask_boxkite.live.windows import History, MemoryRing, RingFile, Slots, Windows
from flask_boxkite.naming import STATE_FILES, UNWRITABLE
from flask_boxkite.system.files import is_passing
from flask_boxkite.system.process import ServerName, fork_mark, name_of, runs_several
from flask_boxkite.system.throttle import Throttle

__all__ = ["Counts", "Store"]

logger = logging.getLogger("flask_boxkite")

_RETRY_SECONDS = 10.0

_ambiguity_throttle = Throttle()


class _Process:
    """What belongs to one process; guarded by its lock."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.mark = fork_mark()
        self.lock = threading.Lock()
        self.blocks: dict[str, Block] = {}
        self.directory: Path | None = None
        self.file: LiveFile | None = None
        self.windows: dict[tuple[Path | None, str], Windows] = {}
        self.latest: tuple[float, Reading] | None = None  # and when it was read
        self.company_version = (0, 0)
        self.origin = 0  # of the numbers that have, as accepted, what this process delivers for dead ones

    def count_failure(self) -> None:
        """Count that the file could not be written; shown by others once it can."""
        block = self.blocks.setdefault(FILES.key, Block(FILES, self.mark))
        with block.lock:
            block.cells[STATE_FILES.index(UNWRITABLE)] += 1

    def close(self) -> None:
        """Let go of the file: others may fold it, or, in a forked child, the parent goes on holding it."""
        file, self.file = self.file, None
        if file is not None:
            file.close()


class Store:
    """Home of the counts of one app. Safe to use from any thread and after a fork.

    Args:
        place: Where the other processes are found; None to keep everything in this one.
        clock: Returns the monotonic time, by which slots of the time windows go by.
        wall: Returns the Unix time, by which they are cut.
    """

    def __init__(
        self,
        place: Place | None,
        clock: Callable[[], float] = uptime,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.clock = clock
        self._wall = wall
        self._place = place
        self._is_serving = False
        self._throttle = Throttle()
        first = _Process()
        self._process = first
        # setdefault is atomic, so threads that meet in a forked process agree on one object without a lock,
        # which the fork may have left held by a thread that does not exist any more.
        self._processes = {first.pid: first}
        weakref.finalize(self, _leave, self._processes, place).atexit = False
        _stores.add(self)

    def check_server(self, environ: Mapping[str, Any]) -> None:
        """Say what to set where a server's processes cannot find each other's counts.

        Args:
            environ: Of a WSGI request.
        """
        self._is_serving = True
        if runs_several(environ) and self._place is not None and not self._place.finds_others:
            logger.warning(
                "This server runs several processes, and how they belong together cannot be seen, so '/metrics' shows "
                "the counts of one of them. Set 'BOXKITE_STATE_DIR' to a directory that all of them can write."
            )

    def _own(self) -> _Process:
        process = self._process
        if process.mark[0]:
            return process
        fresh = self._process = self._processes.setdefault(os.getpid(), _Process())
        if self._processes.pop(process.pid, None) is process:  # one thread gets it; its file is the parent's
            process.close()
        return fresh

    def block(self, section: Section) -> Block:
        """Return this process's numbers of a section."""
        if self._place is not None:
            self._place.keys.add(section.key)
        process = self._own()
        with process.lock:
            block = process.blocks.get(section.key)
            if block is None:
                block = process.blocks[section.key] = Block(section, process.mark)
                if process.file is not None:
                    self._move(process, [block])
            return block

    def share(self) -> None:
        """Move blocks that are still in this process's memory to where others can read them; never raises OSError."""
        process = self._own()
        with process.lock:
            if process.file is not None and not process.file.is_linked():
                self._leave_lost_file(process, process.file)
            waiting = [block for block in process.blocks.values() if not block.is_shared]
            if waiting:
                self._move(process, waiting)
            self._mark_company(process)
            if process.origin and process.directory is not None:
                with contextlib.suppress(OSError):
                    self._rely_on(process, folded_spools(process.directory)[1])

    def _mark_company(self, process: _Process) -> None:
        """Mark what this app and others of its name count, where this process has several."""
        place, directory = self._place, process.directory
        if place is None or directory is None or process.company_version == place.company_version:
            return
        version = place.company_version
        apps = [other.keys for other in place.company()]
        keys = place.keys.union(*apps) if apps else set()
        keys |= {section_key("sink", sink_name(key)) for key in keys if is_sink(key)}  # of an earlier release
        with contextlib.suppress(OSError):  # tried again with the next slot
            mark(directory, keys)
            process.company_version = version

    def _leave_lost_file(self, process: _Process, file: LiveFile) -> None:
        """Take the numbers out of a file that others do not find any more, or whose lock was lost."""
        with contextlib.suppress(OSError):  # a user deleted it; or it was taken for that of a dead process
            file.path.unlink()  # only the lock was lost: nobody may fold what moves on with us
        was_folded = file.was_folded
        if self._throttle.allows():
            logger.warning("The state file '%s' of this process is gone; it makes another one.", file.path)
        process.close()
        process.directory = None
        for block in process.blocks.values():
            if block.is_shared:
                block.leave(keeps_numbers=not was_folded)

    @staticmethod
    def _rely_on(process: _Process, origin: int) -> None:
        """Rely on numbers of dead processes for what is delivered for them; if they are others, the old are deleted."""
        if process.origin not in (0, origin):
            for block in process.blocks.values():
                _accept_taken_over(block)
        process.origin = origin

    def _move(self, process: _Process, blocks: Sequence[Block]) -> None:
        try:
            directory = self._directory(process)
            if directory is None:
                return
            if process.file is None:
                assert self._place is not None
                process.file = LiveFile(directory, self._place.server)
            _take_all(process.file, blocks)
        except OSError:
            process.count_failure()
            process.directory = None if process.file is None else process.directory
            if self._throttle.allows():
                text = "Counts cannot be shared with other processes; they stay in this one, and are tried again."
                logger.warning(text, exc_info=True)

    def _directory(self, process: _Process) -> Path | None:
        """Return the directory, opened at first use.

        Raises:
            OSError: There is none.
        """
        if process.directory is None and self._place is not None:
            process.directory = self._place.open()
            if process.directory is not None:
                process.company_version = (0, 0)
                self._warn_of_twins()
                with contextlib.suppress(OSError):  # a full disk, say: what is there is read all the same
                    fold(process.directory)
        return process.directory

    def _warn_of_twins(self) -> None:
        """Say what to set where the processes of a server cannot tell its apps apart."""
        assert self._place is not None
        if self._place.finds_others and self._place.has_used_twin and _ambiguity_throttle.allows():
            logger.warning(
                "Several apps of this process have the same name and monitor the same model with the same baseline, so "
                "only the order in which a process makes them tells their counts apart. Give each a name: "
                "Boxkite(app, name=...)."
            )

    def tidy(self) -> None:
        """Let others see that this process is there, and fold what dead processes counted; never raises OSError."""
        self.share()
        process = self._own()
        with process.lock, contextlib.suppress(OSError):
            directory = self._directory(process)
            if directory is not None:
                fold(directory)

    def read(self, keys: Collection[str] | None = None) -> Reading:
        """Return what all processes have counted, as of now.

        Args:
            keys: Keys of the sections that are wanted; None for all.

        Raises:
            OSError: What others have counted cannot be read just now, for want of descriptors, say.
        """
        process = self._own()
        with process.lock:
            reading = Reading()
            has_left = False
            try:
                directory = self._directory(process)
                if directory is not None:
                    reading = read_directory(directory, process.file.path.name if process.file else "", keys)
                    self._leave_out_others(reading, directory)
                    has_left = process.file is None
            except OSError as error:  # the directory is gone, say, or was never made
                if is_passing(error):
                    raise  # what others have counted is there: without it, counters would fall
            wanted = process.blocks.keys() if keys is None else [key for key in keys if key in process.blocks]
            for block in map(process.blocks.__getitem__, wanted):  # under their locks: every prediction is whole
                if has_left and block.is_shared:  # at exit: its file, which nobody holds any more, was read
                    continue
                reading.add(Stored(block.section.key, block.totals(), block.section.description))
                reading.current.add(block.section.key)
            return reading

    def _leave_out_others(self, reading: Reading, directory: Path) -> None:
        """Keep what this app counts, in this release or an earlier one, and leave out what other apps do."""
        assert self._place is not None
        others = reading.sections.keys() - self._place.keys - {FILES.key}
        if not others:
            return
        marks = marked(directory)
        for key in others:
            if self._is_of_strangers(reading, key):
                if self._is_serving and reading.sections[key].cells.any():
                    with contextlib.suppress(OSError):  # tried again with the next reading
                        mark(directory, [key])
            elif key not in marks:
                continue
            reading.leave_out(key)

    def _is_of_strangers(self, reading: Reading, key: str) -> bool:
        assert self._place is not None
        servers = reading.servers.get(key, ())
        return bool(servers) and all(map(self._place.is_stranger, servers))

    def is_apart(self, key: str) -> bool:
        """Say whether another app, which counts in the same directory, owns a section."""
        directory = self.directory()
        with contextlib.suppress(OSError):
            return directory is not None and key in marked(directory) and key not in self._keys
        return False

    def has_counted(self, spool: Path) -> bool:
        """Say whether the dead process that left records on disk is in the numbers of this server.

        Raises:
            OSError: They cannot be read just now.
        """
        directory = self.directory()
        if directory is None:
            return False
        spools, origin = folded_spools(directory)
        process = self._own()
        with process.lock:
            self._rely_on(process, origin)
        return str(spool) in spools

    @property
    def _keys(self) -> set[str]:
        return self._place.keys if self._place is not None else set()

    @property
    def owner(self) -> str:
        """Hash of what the app monitors; empty if that is not known."""
        return self._place.owner if self._place is not None else ""

    @property
    def is_ambiguous(self) -> bool:
        """Whether only the order in which a process makes its apps tells the counts of this one from another's."""
        return self._place is not None and self._place.is_ambiguous

    def release(self) -> None:
        """Let another app take the place of this one, which is gone."""
        if self._place is not None:
            self._place.release()

    @property
    def server(self) -> ServerName:
        """The server whose processes count together."""
        return self._place.server if self._place is not None else ServerName.of(name_of(os.getpid()))

    def file(self) -> str:
        """Return the path of the file in which this process counts; empty if it does so in memory."""
        # Without the lock, under which others wait for that of a block, while whoever asks may have that of a block.
        file = self._own().file
        return str(file.path) if file is not None else ""

    def directory(self) -> Path | None:
        """Return the directory in which this server counts, made if need be; None if there is none."""
        process = self._own()
        with process.lock, contextlib.suppress(OSError):
            return self._directory(process)
        return None

    def is_alone(self) -> bool:
        """Say whether nobody else can read what this process counts, as far as it can tell."""
        self.share()
        process = self._own()
        with process.lock:
            is_shared = all(block.is_shared for block in process.blocks.values())
        return not is_shared or self._place is None or not self._place.finds_others

    def totals(self, section: Section) -> Totals:
        """Return what all processes have counted of a section; raises as `read` does."""
        return self.read([section.key]).totals(section)

    def totals_since(self, section: Section, began: float) -> Totals:
        """Return what all processes have counted of a section, as of some time since *began*; raises as `read` does.

        One reading serves all sections: of hundreds of models, each would else read what all of them have counted.

        Args:
            section: What to return.
            began: By the monotonic clock.
        """
        process = self._own()
        latest = process.latest
        if latest is None or latest[0] < began:
            latest = process.latest = self.clock(), self.read()
        return latest[1].totals(section)

    def windows(self, section: Section) -> Windows:
        """Return the time windows of a section."""
        process = self._own()
        with process.lock:
            directory = None
            with contextlib.suppress(OSError):
                directory = self._directory(process)
            key = (directory, section.key)
            if key not in process.windows:
                place = MemoryRing(section) if directory is None else RingFile(windows_path(directory, section.key))
                process.windows[key] = Windows(place, section, self.clock, self._wall)
            return process.windows[key]


def _take_all(file: LiveFile, blocks: Sequence[Block]) -> None:
    """Move blocks into a file, together if there is room for all of them, else as many as fit.

    Raises:
        OSError: Some did not fit.
    """
    try:
        file.take(blocks)
    except OSError:
        if len(blocks) == 1:
            raise
        for block in blocks:
            if not block.is_shared:
                file.take([block])


def _accept_taken_over(block: Block) -> None:
    """Count as accepted here what was delivered for dead processes, whose own numbers someone has deleted."""
    if not is_sink(block.section.key):
        return
    with block.lock:
        block.cells[ACCEPTED] += block.cells[TAKEN_OVER]
        block.cells[TAKEN_OVER] = 0


_stores: weakref.WeakSet[Store] = weakref.WeakSet()


def _leave(processes: dict[int, _Process], place: Place | None) -> None:
    process = processes.get(os.getpid())
    if process is not None and place is not None and process.directory is not None:
        process.close()
        place.leave(process.directory)


def _leave_all() -> None:
    """Remove what a script leaves. A worker keeps its file until it is gone: some thread may still count."""
    for store in list(_stores):
        if store._place is not None and store._place.is_alone:
            _leave(store._processes, store._place)


# As early as can be, so that it runs late: recorders count to the last.
atexit.register(_leave_all)


class Counts:
    """One section, for those who count in it and ask for it.

    Args:
        store: Where its numbers live.
        section: What it is.
    """

    def __init__(self, store: Store, section: Section) -> None:
        self.section = section
        self._store = store
        self._clock = store.clock
        self._throttle = Throttle()
        self._block = store.block(section)

    def add(self, increments: Increments) -> None:
        """Add, all at once as any reader in this process sees it; never raises on account of other processes."""
        block = self._block
        if not block.mark[0]:
            block = self._block = self._store.block(self.section)
        if self._clock() >= block.slot_ends:
            self._begin_slot(block)
        block.add(increments)

    def _begin_slot(self, block: Block) -> None:
        """See that others can read the block, and take the snapshots that are due."""
        if block.slot_ends:  # let other threads go on; but nothing is counted before it is shared for the first time
            block.slot_ends = self._clock() + _RETRY_SECONDS
        try:
            self._store.share()
            totals = partial(self._store.totals_since, self.section)
            block.slot_ends = self._store.windows(self.section).begin_slot(totals)
        except Exception:  # whatever it is, it must not cost a prediction
            block.slot_ends = self._clock() + _RETRY_SECONDS
            if self._throttle.allows():
                logger.warning("The counts of the last minutes and hours cannot be kept.", exc_info=True)

    def totals(self) -> Totals:
        """Return what all processes have counted.

        Raises:
            OSError: It cannot be read just now.
        """
        return self._store.totals(self.section)

    def history(self) -> tuple[History, Totals]:
        """Return the snapshots of the last day, and the totals of just after; see `Windows.history`.

        Raises:
            OSError: They cannot be read.
        """
        history = self._store.windows(self.section).history()
        return history, self.totals()

    def slots(self, name: str) -> Slots:
        """Return what all processes have counted in the last ``5m``, ``1h`` or ``24h``, slot by slot.

        Raises:
            OSError: It cannot be read.
        """
        history, totals = self.history()
        return history.slots(name, totals)
