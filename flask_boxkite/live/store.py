"""The store of one app's counts, shared by all processes of its server if there is a state directory.

A section's block begins in this process's memory. With the first prediction it moves into a file that other processes
read. If that fails, on a full disk, say, the block stays in memory, where this process counts and reads it, and the
move is tried again with every slot of the time windows. The same happens if a user deletes the files of a running
server.
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
from pathlib import Path
from typing import Any

from flask_boxkite.live.apart import mark, marked
from flask_boxkite.live.clock import uptime
from flask_boxkite.live.folding import folded_spools, latest_fold, windows_path
from flask_boxkite.live.process_counts import ProcessCounts
from flask_boxkite.live.reading import FILES, Reading
from flask_boxkite.live.section import Section, SectionKey
from flask_boxkite.live.sink_cells import ACCEPTED, TAKEN_OVER
from flask_boxkite.live.snapshot_ring import MemoryRing, RingFile, RingStorage
from flask_boxkite.live.state_directory import StateDirectory
from flask_boxkite.live.state_file import LiveFile, Stored
from flask_boxkite.live.totals import Totals
from flask_boxkite.live.windows import Windows
from flask_boxkite.naming import DAMAGED, STATE_FILES, UNWRITABLE
from flask_boxkite.system.faults import warn_of
from flask_boxkite.system.files import is_passing
from flask_boxkite.system.fork_mark import fork_mark
from flask_boxkite.system.process import ServerName, boot_id, name_of
from flask_boxkite.system.server import runs_several
from flask_boxkite.system.throttle import Throttle

__all__ = ["Store"]

logger = logging.getLogger("flask_boxkite")

_twins_throttle = Throttle()


class _Process:
    """The blocks, files and windows of one process; guarded by its lock."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.mark = fork_mark()
        self.lock = threading.Lock()
        self.blocks: dict[SectionKey, ProcessCounts] = {}
        self.directory: Path | None = None
        self.file: LiveFile | None = None
        self.windows: dict[tuple[Path | None, SectionKey], Windows] = {}
        self.latest: tuple[float, Reading] | None = None  # with the time of reading
        self.company_version = (0, 0)
        self.latest_fold = 0  # whose origin is known
        self.origin = 0  # of the retired counts that include, as accepted, the records that this process adopted

    def count_failure(self, state: str = UNWRITABLE) -> None:
        """Count that the file could not be written, or another state; other processes see it once it can be."""
        block = self.blocks.setdefault(FILES.key, ProcessCounts(FILES, self.mark))
        with block.lock:
            block.cells[STATE_FILES.index(state)] += 1

    def close(self) -> None:
        """Close the file, so that others may fold it; in a forked child, the parent still holds it."""
        file, self.file = self.file, None
        if file is not None:
            file.close()


class Store:
    """The counts of one app. Any thread may use it, also after a fork.

    Args:
        state_directory: State directory that processes share; None to keep all counts in this process.
        clock: Returns the monotonic time, which measures the slots of the time windows.
        wall: Returns the Unix time, at whose round numbers slots begin.
        boot: Returns the id of the machine's boot, which voids the time windows.
        twins_throttle: Throttle of the warning of apps that only their order distinguishes; all stores share one.

    Attributes:
        on_slot: Function that is called when this process begins to count, and about every ten seconds while it does.
    """

    def __init__(
        self,
        state_directory: StateDirectory | None,
        clock: Callable[[], float] = uptime,
        wall: Callable[[], float] = time.time,
        *,
        boot: Callable[[], str] = boot_id,
        twins_throttle: Throttle = _twins_throttle,
    ) -> None:
        self.clock = clock
        self.wall = wall
        self._boot = boot
        self._twins_throttle = twins_throttle
        self._state_directory = state_directory
        self._is_serving = False
        self.on_slot: Callable[[], None] | None = None
        self._throttle = Throttle()

        first = _Process()
        self._process = first
        # setdefault is atomic, so threads of a forked process agree on one object without a lock. A thread that
        # does not exist in the child might hold a lock for ever.
        self._processes = {first.pid: first}
        weakref.finalize(self, _leave, self._processes, state_directory).atexit = False
        _stores.add(self)

    def check_server(self, environ: Mapping[str, Any]) -> None:
        """Log which setting helps where a server's processes cannot find each other's counts.

        Args:
            environ: Environment of a WSGI request.
        """
        self._is_serving = True
        if runs_several(environ) and self._state_directory is not None and not self._state_directory.finds_others:
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

    def block(self, section: Section) -> ProcessCounts:
        """Return this process's numbers of a section."""
        if self._state_directory is not None:
            self._state_directory.keys.add(section.key)
        process = self._own()
        with process.lock:
            block = process.blocks.get(section.key)
            if block is None:
                block = process.blocks[section.key] = ProcessCounts(section, process.mark)
                if process.file is not None:
                    self._move(process, [block])
            return block

    def share(self) -> None:
        """Move blocks from this process's memory into the file that others read; never raises OSError."""
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
                    self._rely_on_latest(process, process.directory)

    def _mark_company(self, process: _Process) -> None:
        """Mark the sections of this app and of others of its name, where this process has several."""
        own, directory = self._state_directory, process.directory
        if own is None or directory is None or process.company_version == own.company_version:
            return
        version = own.company_version
        apps = [other.keys for other in own.company()]
        keys = own.keys.union(*apps) if apps else set()
        keys |= {SectionKey("sink", key.name) for key in keys if key.is_sink}  # of an earlier release
        with contextlib.suppress(OSError):  # tried again with the next slot
            mark(directory, keys)
            process.company_version = version

    def _leave_lost_file(self, process: _Process, file: LiveFile) -> None:
        """Move the numbers out of a file that others cannot find any more, or whose lock was lost."""
        with contextlib.suppress(OSError):  # a user deleted the file, or another process folded it
            file.path.unlink()  # if only the lock was lost, others must not fold the numbers that stay here
        was_folded = file.was_folded
        if self._throttle.allows():
            logger.warning("The state file '%s' of this process is gone; it makes another one.", file.path)
        process.close()
        process.directory = None
        for block in process.blocks.values():
            if block.is_shared:
                block.leave(keeps_numbers=not was_folded)

    def _rely_on_latest(self, process: _Process, directory: Path) -> None:
        """Read the origin of the retired counts again if they have changed."""
        latest = latest_fold(directory)
        if latest == 0 or latest != process.latest_fold:
            self._rely_on(process, folded_spools(directory)[1])
            process.latest_fold = latest

    @staticmethod
    def _rely_on(process: _Process, origin: int) -> None:
        """Note the retired counts that have adopted records as accepted; if their origin changes, count them here."""
        if process.origin not in (0, origin):
            for block in process.blocks.values():
                _accept_taken_over(block)
        process.origin = origin

    def _move(self, process: _Process, blocks: Sequence[ProcessCounts]) -> None:
        try:
            directory = self._directory(process)
            if directory is None:
                return

            if process.file is None:
                assert self._state_directory is not None
                process.file = LiveFile(directory, self._state_directory.server)
            _take_all(process.file, blocks)
        except OSError as error:
            process.count_failure()
            process.directory = None if process.file is None else process.directory
            if self._throttle.allows():
                text = "Counts cannot be shared with other processes; they stay in this one, and are tried again."
                warn_of(error, text)

    def _directory(self, process: _Process) -> Path | None:
        """Return the directory, opened at first use.

        Raises:
            OSError: The directory cannot be made or used.
        """
        if process.directory is None and self._state_directory is not None:
            process.directory = self._state_directory.open()
            if process.directory is not None:
                process.company_version = (0, 0)
                self._warn_of_twins()
                with contextlib.suppress(OSError):  # on a full disk, say; the files can still be read
                    self._state_directory.fold(process.directory)
        return process.directory

    def _warn_of_twins(self) -> None:
        """Log which argument helps where the processes of a server cannot distinguish its apps."""
        assert self._state_directory is not None
        if (
            self._state_directory.finds_others
            and self._state_directory.depends_on_order
            and self._twins_throttle.allows()
        ):
            logger.warning(
                "Several apps of this process have the same name and monitor the same model with the same baseline, so "
                "only the order in which a process makes them tells their counts apart. Give each a name: "
                "Boxkite(app, name=...)."
            )

    def tidy(self) -> None:
        """Let others see that this process lives, and fold the counts of dead ones; never raises OSError."""
        self.share()
        process = self._own()
        with process.lock, contextlib.suppress(OSError):
            directory = self._directory(process)
            if directory is not None and self._state_directory is not None:
                self._state_directory.fold(directory)

    def read(self, keys: Collection[SectionKey] | None = None) -> Reading:
        """Return the present counts of all processes.

        Args:
            keys: Keys of the sections to read; None for all.

        Raises:
            OSError: The counts of others cannot be read just now: too many files are open, say.
        """
        process = self._own()
        with process.lock:
            reading, has_left = Reading(), False
            try:
                directory = self._directory(process)
                if directory is not None:
                    reading = self._read_others(process, directory, keys)
                    has_left = process.file is None
            except OSError as error:  # the directory is gone, say, or was never made
                if is_passing(error):
                    raise  # the counts of others still exist: without them, counters would fall

            wanted = process.blocks.keys() if keys is None else [key for key in keys if key in process.blocks]
            for block in map(process.blocks.__getitem__, wanted):  # under their locks: every prediction is whole
                if has_left and block.is_shared:  # at exit, its file was closed and has been read
                    continue
                reading.add(Stored(block.section.key, block.totals(), block.section.description))
                reading.current.add(block.section.key)
            return reading

    def _read_others(self, process: _Process, directory: Path, keys: Collection[SectionKey] | None) -> Reading:
        assert self._state_directory is not None
        reading = self._state_directory.read(directory, process.file.path.name if process.file else "", keys)
        self._leave_out_others(reading, directory)
        return reading

    def _leave_out_others(self, reading: Reading, directory: Path) -> None:
        """Leave out the sections of other apps; keep this app's, from this release and earlier ones."""
        assert self._state_directory is not None
        others = reading.sections.keys() - self._state_directory.keys - {FILES.key}
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

    def _is_of_strangers(self, reading: Reading, key: SectionKey) -> bool:
        assert self._state_directory is not None
        servers = reading.servers.get(key, ())
        return bool(servers) and all(map(self._state_directory.is_stranger, servers))

    def is_apart(self, section: str) -> bool:
        """Say whether another app, which counts in the same directory, owns a section.

        Args:
            section: Key of the section as text, as a spool names it.
        """
        directory = self.directory()
        with contextlib.suppress(OSError):
            return directory is not None and section in marked(directory) and section not in map(str, self._keys)
        return False

    def has_counted(self, spool: Path) -> bool:
        """Say whether the counts of this server include the dead process that left records on disk.

        Raises:
            OSError: The counts cannot be read just now.
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
    def _keys(self) -> set[SectionKey]:
        return self._state_directory.keys if self._state_directory is not None else set()

    @property
    def owner(self) -> str:
        """Hash of the models that the app monitors; empty if unknown."""
        return self._state_directory.owner if self._state_directory is not None else ""

    @property
    def is_ambiguous(self) -> bool:
        """Whether only the order in which a process makes its apps distinguishes this app's counts from another's."""
        return self._state_directory is not None and self._state_directory.is_ambiguous

    def release(self) -> None:
        """Let another app use the directory of this one, which is gone."""
        if self._state_directory is not None:
            self._state_directory.release()

    @property
    def server(self) -> ServerName:
        """The server whose processes count together."""
        return (
            self._state_directory.server if self._state_directory is not None else ServerName.of(name_of(os.getpid()))
        )

    def file(self) -> str:
        """Return the path of the file in which this process counts; empty if it counts in memory."""
        # Not under the lock: the caller may hold the lock of a block, for which a holder of this lock may wait.
        file = self._own().file
        return str(file.path) if file is not None else ""

    def directory(self) -> Path | None:
        """Return the directory in which this server counts, made if it is missing; None if there is none."""
        process = self._own()
        with process.lock, contextlib.suppress(OSError):
            return self._directory(process)
        return None

    def opened_directory(self) -> Path | None:
        """Return the same; None only if there is none by design.

        Raises:
            OSError: It cannot be made or used just now.
        """
        process = self._own()
        with process.lock:
            return self._directory(process)

    def count_damaged(self) -> None:
        """Count a damaged file that was set aside."""
        process = self._own()
        with process.lock:
            process.count_failure(DAMAGED)

    def is_alone(self) -> bool:
        """Say whether no other process can read this one's counts, as far as it can tell."""
        self.share()
        process = self._own()
        with process.lock:
            is_shared = all(block.is_shared for block in process.blocks.values())
        return not is_shared or self._state_directory is None or not self._state_directory.finds_others

    def totals(self, section: Section) -> Totals:
        """Return the counts of all processes in a section; raises as `read` does."""
        return self.read([section.key]).totals(section)

    def totals_since(self, section: Section, began: float) -> Totals:
        """Return the counts of all processes in a section, read at some time since *began*; raises as `read` does.

        One reading serves all sections: otherwise each of hundreds of models would read the counts of all.

        Args:
            section: Section to return.
            began: Earliest time of the reading, by the monotonic clock.
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
                storage: RingStorage = MemoryRing(section.cells)
                if directory is not None:
                    storage = RingFile(windows_path(directory, section.key))
                process.windows[key] = Windows(storage, section, self.clock, self.wall, boot=self._boot)
            return process.windows[key]


def _take_all(file: LiveFile, blocks: Sequence[ProcessCounts]) -> None:
    """Move blocks into a file: all together, or as many as there is room for.

    Raises:
        OSError: There was no room for some of them.
    """
    try:
        file.take(blocks)
    except OSError:
        if len(blocks) == 1:
            raise
        for block in blocks:
            if not block.is_shared:
                file.take([block])


def _accept_taken_over(block: ProcessCounts) -> None:
    """Count adopted records as accepted here, because a user deleted the counts of the dead processes."""
    if not block.section.key.is_sink:
        return
    with block.lock:
        block.cells[ACCEPTED] += block.cells[TAKEN_OVER]
        block.cells[TAKEN_OVER] = 0


_stores: weakref.WeakSet[Store] = weakref.WeakSet()


def _leave(processes: dict[int, _Process], state_directory: StateDirectory | None) -> None:
    process = processes.get(os.getpid())
    if process is not None and state_directory is not None and process.directory is not None:
        process.close()
        state_directory.leave(process.directory)


def _leave_all() -> None:
    """Remove the files of a script. A worker keeps its file until its end, because a thread may still count."""
    for store in list(_stores):
        if store._state_directory is not None and store._state_directory.is_alone:
            _leave(store._processes, store._state_directory)


# Registered as early as possible, so that it runs late: recorders count until the end.
atexit.register(_leave_all)
