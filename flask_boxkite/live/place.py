"""The state directory, in which the processes of one server, and no others, find each other's counts.

A user names it (``BOXKITE_STATE_DIR``, or ``PROMETHEUS_MULTIPROC_DIR``), or it is made in the machine's shared memory.
Its name there is one that only processes of the same master can have: user, boot, container, the master's process id
and its time of start. Each name of an app has its own directory.

Apps of one name count in one directory, and the models that they monitor distinguish their counts (`apart`). Apps of
one name that monitor the same model with the same baseline are ambiguous. A process numbers its ambiguous apps in the
order in which it makes them. So the processes of a server must make them in the same order, or give them names.

The directory is made at first use by the process that counts, because a master may run as another user. No process can
tell whether a server has ended or only recycles its workers, so the next start sweeps old directories. A script of one
process removes its own.
"""

from __future__ import annotations

import contextlib
import gc
import glob
import hashlib
import itertools
import json
import os
import re
import stat
import sys
import tempfile
import weakref
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

from flask_boxkite.errors import ConfigError
from flask_boxkite.live.clock import Moment
from flask_boxkite.live.folding import IDLE, fold, is_ours, take_over
from flask_boxkite.live.statefile import is_unused
from flask_boxkite.naming import path_segment
from flask_boxkite.system.files import can_lock, locked, make_private, open_private, read_file, unwritable, write_all
from flask_boxkite.system.process import ServerName, is_gunicorn, server_process

__all__ = ["Place"]

_SHARED_MEMORY = "/dev/shm"
_PREFIX = "boxkite-"
_ABANDONED_SECONDS = 3600.0
"""After this time without a process, a directory of another container is swept."""

_EXPLICIT_ABANDONED_SECONDS = 7 * 86400.0
"""Counts in an explicit directory outlive a restart, so they are kept for a week."""

_AUTOMATIC = re.compile(
    r"boxkite-(?P<uid>\d+)-(?P<boot>[^-]*)-(?P<namespace>\d*)-(?P<pid>\d+)-(?P<started>\d*)"
    r"-(?P<app>.+?)(?:\.[\d-]+)?"
)


class Place:
    """The directory of the counts of one app.

    It is made with the app: in a master that preloads the app, or in each worker. Forked processes use their parent's.

    Args:
        app: Name of the app.
        replica: Name of this server among servers that may use the same explicit directory: the pod or host.
        explicit: Path of the directory that a user named, or None.
        environ: Environment variables.
        monitored: Keys of the sections of the app's models, which distinguish it from other apps of its name.
        is_named: Whether a user gave the name, so that another server that comes to the directory is the same app.

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
        monitored: Collection[str] = (),
        is_named: bool = False,
    ) -> None:
        self._made_by = os.getpid()
        self.server = ServerName.of(server_process(environ))
        self._is_known_server = "uwsgi" in sys.modules or is_gunicorn(environ)
        self._is_named = is_named
        self._monitored = frozenset(monitored)
        self.keys = set(monitored)
        self.owner = _hash(json.dumps(sorted(monitored))) if monitored else ""
        self._app = _named_segment(app) if is_named else path_segment(app)[:40]
        self._replica = path_segment(replica)
        self._explicit = _checked(explicit) if explicit else _multiproc_directory(environ)
        self.is_open = False
        self._number = self._free_number()
        weakref.finalize(self, _places.pop, id(self), None).atexit = False
        _places[id(self)] = weakref.ref(self)

    def _free_number(self) -> int:
        if self.is_alone:  # no other process has to find the directory
            _made_alone[self._app] += 1
            return _made_alone[self._app] - 1
        if self.is_ambiguous:
            gc.collect()  # processes must agree on the number, and others may have collected dropped apps already
        taken = {place._number for place in self._twins()}
        return next(number for number in itertools.count() if number not in taken)

    def _neighbours(self) -> list[Place]:
        """Return the places of this process's other apps with this name."""
        name = (self._explicit, self._replica, self._app)
        others = (known() for known in list(_places.values()))
        return [
            place
            for place in others
            if place is not None and place is not self and (place._explicit, place._replica, place._app) == name
        ]

    def _twins(self) -> list[Place]:
        """Return the neighbours that monitor one of the same models with the same baseline."""
        return [
            place
            for place in self._neighbours()
            if not self._monitored.isdisjoint(place._monitored) or not (self._monitored or place._monitored)
        ]

    @property
    def is_ambiguous(self) -> bool:
        """Whether only the order in which a process makes its apps distinguishes this app's counts from another's."""
        return bool(self._twins())

    @property
    def has_used_twin(self) -> bool:
        """Whether the app is ambiguous, and the other app counts too."""
        return any(place.is_open for place in self._twins())

    @property
    def company_version(self) -> tuple[int, int]:
        """A value that changes whenever `company` may have changed."""
        return _openings[0], len(self.keys)

    def company(self) -> list[Place]:
        """Return the places of this process's other apps that count in the same directory."""
        others = self._neighbours()
        return [place for place in others if place.is_open and place._number == self._number]

    def is_stranger(self, server: ServerName | None) -> bool:
        """Say whether a server that counts here serves another app, judged by its name."""
        if server is None or server == self.server or self._is_named:
            return False
        return not (server.is_child_of(self.server) or self.server.is_child_of(server))

    def release(self) -> None:
        """Free the number, because the app is gone; its last records may still be on their way."""
        _places.pop(id(self), None)

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
        if not can_lock:
            return None
        if self._explicit is not None:
            make_private(self._explicit)
            bases, name = [self._explicit], f"{_PREFIX}{self._replica}-{self._segment}"
        elif not self._has_name:
            return None
        else:
            bases, name = _automatic_bases(), f"{_automatic_start(self.server)}-{self._segment}"
        for base in bases:
            try:
                directory = _made(base / name)
            except OSError:
                if base is bases[-1]:
                    raise
            else:
                (directory / IDLE).unlink(missing_ok=True)
                if self._explicit is not None:
                    self._take_over_numbered(directory)
                _sweep(base, directory, is_automatic=self._explicit is None)
                if not self.is_open:
                    self.is_open = True
                    _openings[0] += 1
                return directory

        return None

    @property
    def _segment(self) -> str:
        return f"{self._app}.0" if self._number == 0 else f"{self._app}.0-{self._number + 1}"

    def _take_over_numbered(self, directory: Path) -> None:
        """Move the counts of an earlier release here; it gave each app of a name a directory by its order."""
        number = str(self._number) if self.is_ambiguous else "[1-9]*"
        for old in directory.parent.glob(f"{_PREFIX}{glob.escape(f'{self._replica}-{self._app}')}.{number}"):
            with contextlib.suppress(OSError):
                if old != directory and old.name.rpartition(".")[2].isdecimal():
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


_places: dict[int, weakref.ref[Place]] = {}
"""Places of this process's apps, by their ids. (A set of weak references cannot be read while it grows.)"""

_openings = [0]
"""Number of places that were opened."""

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
    return Path(name).absolute() if name and os.path.isdir(name) and os.access(name, os.W_OK | os.X_OK) else None


def _automatic_bases() -> list[Path]:
    bases = [Path(tempfile.gettempdir())]
    return [Path(_SHARED_MEMORY), *bases] if os.path.isdir(_SHARED_MEMORY) else bases


def _automatic_start(server: ServerName) -> str:
    return f"{_PREFIX}{os.geteuid()}-{server.boot}-{server.namespace}-{server.pid}-{server.started}"


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


# --- old directories -------------------------------------------------------------------------------------------------


def _sweep(base: Path, own: Path, *, is_automatic: bool) -> None:
    """Remove directories of servers that have ended; never raises."""
    with contextlib.suppress(OSError), os.scandir(base) as entries:
        for entry in entries:
            if entry.name.startswith(_PREFIX) and entry.name != own.name and _is_own_directory(entry):
                with contextlib.suppress(OSError):  # another process may be faster
                    _remove_if_over(Path(entry.path), own, is_automatic=is_automatic)


def _remove_if_over(directory: Path, own: Path, *, is_automatic: bool) -> None:
    if _is_over(directory, is_automatic=is_automatic):
        with contextlib.suppress(OSError):  # folding logs the lost records, which no later process would
            app = _app_in(directory.name)
            fold(directory, app=None if app == _app_in(own.name) else app)
        remove_unused(directory)


def _app_in(name: str) -> str | None:
    """Return the name of the app that counts in a directory, judged by the directory's name."""
    parts = _AUTOMATIC.fullmatch(name)
    return parts["app"] if parts else None


def _is_own_directory(entry: os.DirEntry[str]) -> bool:
    with contextlib.suppress(OSError):
        about = entry.stat(follow_symlinks=False)
        return stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid()
    return False


def _is_over(directory: Path, *, is_automatic: bool) -> bool:
    if not is_automatic:
        return _idle_seconds(directory) > _EXPLICIT_ABANDONED_SECONDS
    parts = _AUTOMATIC.fullmatch(directory.name)
    if parts is None:
        return False
    server = ServerName(parts["boot"], parts["namespace"], int(parts["pid"]), parts["started"])
    has_ended = server.is_of_another_boot() or server.has_ended()
    return _idle_seconds(directory) > _ABANDONED_SECONDS if has_ended is None else has_ended


def _idle_seconds(directory: Path) -> float:
    """Return the seconds since a process first saw that no process counts in a directory, and noted it there.

    The time of the directory's last change would depend on a clock, and one jump of it would delete the directory.
    """
    if not is_unused(directory) or not all(map(is_ours, os.listdir(directory))):
        return 0.0
    note = directory / IDLE
    with contextlib.suppress(OSError, TypeError, ValueError, RecursionError):
        boot, up, wall = json.loads(read_file(note))
        return Moment(str(boot), float(up), float(wall)).age()
    with contextlib.suppress(OSError):
        descriptor = open_private(note, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            write_all(descriptor, json.dumps(Moment.now()).encode(), 0)
        finally:
            os.close(descriptor)

    return 0.0


def remove_unused(directory: Path) -> None:
    """Remove a directory and its files, unless a live process counts there; never raises."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            with locked(descriptor) as is_mine:
                if is_mine and all(map(is_ours, os.listdir(directory))) and is_unused(directory):
                    for path in directory.iterdir():
                        path.unlink()
                    directory.rmdir()
        finally:
            os.close(descriptor)
