"""The state directory, in which the processes of one server, and no others, find each other's counts.

A user names it (``BOXKITE_STATE_DIR``, or ``PROMETHEUS_MULTIPROC_DIR``), or it is made in the machine's shared memory.
Its name there is one that only processes of the same master can have: user, boot, container, the master's process id
and its time of start. Each name of an app has its own directory.

Apps of one name count in one directory, and the models that they monitor distinguish their counts (`apart`). Apps of
one name that monitor the same model with the same baseline are ambiguous. A process numbers its ambiguous apps in the
order in which it makes them, without those that are gone when the first request comes. So the processes of a server
must make them in the same order, or give them names.

The directory is made at first use by the process that counts, because a master may run as another user. No process can
tell whether a server has ended or only recycles its workers, so the next start sweeps old directories (`sweeping`). A
script of one process removes its own.
"""

from __future__ import annotations

import contextlib
import gc
import glob
import hashlib
import itertools
import json
import os
import stat
import sys
import tempfile
import weakref
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from flask_boxkite.errors import ConfigError
from flask_boxkite.live.clock import Moment
from flask_boxkite.live.directory_name import PREFIX, automatic_name
from flask_boxkite.live.folding import IDLE, WaitingRecords, fold, read_directory, take_over
from flask_boxkite.live.reading import Reading
from flask_boxkite.live.section import SectionKey
from flask_boxkite.live.sweeping import Sweep, remove_unused
from flask_boxkite.naming import path_segment
from flask_boxkite.system.locks import can_lock
from flask_boxkite.system.permissions import make_private, unwritable
from flask_boxkite.system.process import ServerName
from flask_boxkite.system.server import is_gunicorn, server_process

__all__ = ["StateDirectory"]

_SHARED_MEMORY = "/dev/shm"


class StateDirectory:
    """The directory of the counts of one app.

    It is made with the app: in a master that preloads the app, or in each worker. Forked processes use their parent's.

    Args:
        app: Name of the app.
        replica: Name of this server among servers that may use the same explicit directory: the pod or host.
        explicit: Path of the directory that a user named, or None.
        environ: Environment variables.
        waiting_records: Returns the number of records of a dead process that wait on disk, for folding.
        monitored: Keys of the sections of the app's models, which distinguish it from other apps of its name.
        is_named: Whether a user gave the name, so that another server that comes to the directory is the same app.
        bases: Directories for an automatic directory, the best first; None for the machine's.
        can_share: Whether the system has the file locks that sharing counts needs.
        clock: Returns the present moment, by which old counts are forgotten and old directories removed.

    Attributes:
        server: Server whose processes use the directory.
        keys: Keys of all sections in which the app counts; sinks add the sections of its records.
        owner: Hash of *monitored*; empty if there are none.
        is_open: Whether this process has opened the directory.

    Raises:
        ConfigError: The explicit directory cannot be used.
    """

    def __init__(
        self,
        app: str,
        *,
        replica: str,
        explicit: str | None,
        environ: Mapping[str, str],
        waiting_records: WaitingRecords,
        monitored: Collection[SectionKey] = (),
        is_named: bool = False,
        bases: Sequence[Path] | None = None,
        can_share: bool = can_lock,
        clock: Callable[[], Moment] = Moment.now,
    ) -> None:
        self._made_by = os.getpid()
        self.server = ServerName.of(server_process(environ))
        self._is_known_server = "uwsgi" in sys.modules or is_gunicorn(environ)
        self._is_named = is_named
        self._monitored = frozenset(monitored)
        self.keys = set(monitored)
        self.owner = _hash(json.dumps(sorted(map(str, monitored)))) if monitored else ""

        self._waiting_records = waiting_records
        self._clock = clock
        self._can_share = can_share
        self._bases = bases
        self._app = _named_segment(app) if is_named else path_segment(app)[:40]
        self._replica = path_segment(replica)
        self._explicit = _checked(explicit) if explicit else _multiproc_directory(environ)
        self.is_open = False

        self._order = next(_orders)
        self._number = self._number_alone() if self.is_alone else None  # the others get theirs when they are opened
        weakref.finalize(self, _directories.pop, id(self), None).atexit = False
        _directories[id(self)] = weakref.ref(self)

    def _number_alone(self) -> int:
        """Return a number that no app of this process has had: no other process has to find the directory."""
        _made_alone[self._app] += 1
        return _made_alone[self._app] - 1

    def _free_number(self) -> int:
        """Return the lowest free number, after one for each twin that was made earlier and has none yet."""
        if self.is_ambiguous:
            gc.collect()  # processes must agree on the number, and others may have collected dropped apps already
        # In one look at each: another thread may be opening a twin.
        twins = [(twin._number, twin._order) for twin in self._twins()]
        taken = {number for number, _ in twins}
        waiting = sum(number is None and order < self._order for number, order in twins)
        free = (number for number in itertools.count() if number not in taken)
        return next(itertools.islice(free, waiting, None))

    def _neighbours(self) -> list[StateDirectory]:
        """Return the directories of this process's other apps with this name."""
        name = (self._explicit, self._replica, self._app)
        others = (known() for known in list(_directories.values()))
        return [
            other
            for other in others
            if other is not None and other is not self and (other._explicit, other._replica, other._app) == name
        ]

    def _twins(self) -> list[StateDirectory]:
        """Return the neighbours that monitor one of the same models with the same baseline."""
        return [
            other
            for other in self._neighbours()
            if not self._monitored.isdisjoint(other._monitored) or not (self._monitored or other._monitored)
        ]

    @property
    def is_ambiguous(self) -> bool:
        """Whether only the order in which a process makes its apps distinguishes this app's counts from another's."""
        return bool(self._twins())

    @property
    def depends_on_order(self) -> bool:
        """Whether the app is ambiguous, and the other app counts too, or has had the first number kept for it."""
        return bool(self._number) or any(twin.is_open for twin in self._twins())

    @property
    def company_version(self) -> tuple[int, int]:
        """A value that changes whenever `company` may have changed."""
        return _openings[0], len(self.keys)

    def company(self) -> list[StateDirectory]:
        """Return the directories of this process's other apps that count in the same one."""
        others = self._neighbours()
        return [other for other in others if other.is_open and other._number == self._number]

    def is_stranger(self, server: ServerName | None) -> bool:
        """Say whether a server that counts here serves another app, judged by its name."""
        if server is None or server == self.server or self._is_named:
            return False
        return not (server.is_child_of(self.server) or self.server.is_child_of(server))

    def release(self) -> None:
        """Free the number, because the app is gone; its last records may still be on their way."""
        _directories.pop(id(self), None)

    @property
    def finds_others(self) -> bool:
        """Whether other processes of the same server will find the same directory, as far as this one can tell."""
        own = os.getpid()
        if self._explicit is None and not self._has_name:
            return False
        return self._explicit is not None or self._is_known_server or self.server.pid != own or self._made_by != own

    @property
    def _has_name(self) -> bool:
        """Whether the server has a unique name; a system without ``/proc`` gives none."""
        return bool(self.server.started or self.server.boot)

    def open(self) -> Path | None:
        """Return the directory, made if it is missing; None if this system cannot share, or needs an explicit one.

        Raises:
            OSError: No directory can be used.
        """
        if not self._can_share:
            return None
        if self._number is None:
            self._number = self._free_number()
        if self._explicit is not None:
            make_private(self._explicit)
            directory = _made(self._explicit / f"{PREFIX}{self._replica}-{self._segment}")
        elif self._has_name:
            directory = self._made_automatic()
        else:
            return None

        with contextlib.suppress(OSError):  # on a read-only disk, where no process removes the directory either
            (directory / IDLE).unlink()
        if self._explicit is not None:
            self._take_over_numbered(directory)
        Sweep(directory, self._explicit is None, self._fold_of_app, self._clock()).run()
        if not self.is_open:
            self.is_open = True
            _openings[0] += 1
        return directory

    def _made_automatic(self) -> Path:
        name = automatic_name(self.server, self._segment)
        *others, last = _automatic_bases() if self._bases is None else self._bases
        for base in others:
            with contextlib.suppress(OSError):
                return _made(base / name)
        return _made(last / name)

    def fold(self, directory: Path) -> None:
        """Fold the files of dead processes in the directory that `open` returned (`folding.fold`)."""
        self._fold_of_app(directory, None)

    def _fold_of_app(self, directory: Path, app: str | None) -> None:
        fold(directory, self._waiting_records, app=app, clock=self._clock)

    def read(self, directory: Path, own: str = "", keys: Collection[SectionKey] | None = None) -> Reading:
        """Add up the counts of all processes in the directory that `open` returned (`folding.read_directory`)."""
        return read_directory(directory, own, keys, clock=self._clock)

    @property
    def _segment(self) -> str:
        return f"{self._app}.0-{self._number + 1}" if self._number else f"{self._app}.0"

    def _take_over_numbered(self, directory: Path) -> None:
        """Move the counts of an earlier release here; it gave each app of a name a directory by its order."""
        number = str(self._number) if self.is_ambiguous else "[1-9]*"
        for old in directory.parent.glob(f"{PREFIX}{glob.escape(f'{self._replica}-{self._app}')}.{number}"):
            with contextlib.suppress(OSError):
                if old != directory and old.name.rpartition(".")[2].isdecimal():
                    self.fold(old)
                    take_over(old, directory)
                    remove_unused(old)

    @property
    def is_alone(self) -> bool:
        """Whether this process is a server by itself, so that no process needs its directory after its end."""
        return self._explicit is None and self.server.pid == self._made_by == os.getpid()

    def leave(self, directory: Path) -> None:
        """Remove the directory, if this process is a server by itself and the last process in it."""
        if self.is_alone:
            remove_unused(directory)


_directories: dict[int, weakref.ref[StateDirectory]] = {}
"""Directories of this process's apps, by their ids. (A set of weak references cannot be read while it grows.)"""

_openings = [0]
"""Number of directories that were opened."""

_orders = itertools.count()
"""Numbers of this process's directories in the order in which they are made."""

_made_alone: Counter[str] = Counter()
"""Number of apps, by name, that this process has made as a server by itself."""


def _named_segment(name: str) -> str:
    """Return a name as part of a directory's name, different for different names."""
    segment = path_segment(name)[:40]
    return segment if segment == name else f"{segment}-{_hash(name)}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _checked(explicit: str) -> Path:
    """Return the explicit directory; the process that counts makes it later.

    Raises:
        ConfigError: The directory cannot be made or written.
    """
    path = Path(explicit).absolute()
    if (obstacle := unwritable(path)) is not None:
        msg = f"'BOXKITE_STATE_DIR': cannot write to '{obstacle}'. Name a directory of this user on a local disk."
        raise ConfigError(msg, key="BOXKITE_STATE_DIR")
    return path


def _multiproc_directory(environ: Mapping[str, str]) -> Path | None:
    """Return the directory of `prometheus_client`'s multi-process mode; None if the mode is off or cannot be used."""
    name = environ.get("PROMETHEUS_MULTIPROC_DIR") or environ.get("prometheus_multiproc_dir") or ""
    path = Path(name).absolute()
    return path if name and path.is_dir() and unwritable(path) is None else None


def _automatic_bases() -> list[Path]:
    bases = [Path(tempfile.gettempdir())]
    return [Path(_SHARED_MEMORY), *bases] if os.path.isdir(_SHARED_MEMORY) else bases


def _made(directory: Path) -> Path:
    """Make a directory for this user alone.

    Raises:
        OSError: The directory cannot be made, or exists and other users may use it.
    """
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    about = directory.lstat()
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & 0o077:
        msg = f"'{directory}' is not a directory of this user alone"
        raise PermissionError(msg)
    return directory
