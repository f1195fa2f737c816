"""Removal of the state directories of servers that have ended.

No process can tell whether its server has ended or only recycles its workers, so the next start sweeps old directories.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from flask_boxkite.live.clock import Moment
from flask_boxkite.live.directory_name import PREFIX, app_in, server_in
from flask_boxkite.live.folding import IDLE, is_ours
from flask_boxkite.live.state_file import is_unused
from flask_boxkite.system.files import open_private, read_file, write_all
from flask_boxkite.system.locks import locked

__all__ = ["Sweep", "remove_unused"]

_ABANDONED_SECONDS = 3600.0
"""After this time without a process, a directory of another container is swept."""

_EXPLICIT_ABANDONED_SECONDS = 7 * 86400.0
"""Counts in an explicit directory outlive a restart, so they are kept for a week."""


class Sweep(NamedTuple):
    """A removal of old directories; never raises.

    Attributes:
        own: Directory of this process, which stays.
        is_automatic: Whether the directories' names tell their servers.
        fold: Folds a directory, for the log under the name of its app, or under None for this process's app.
        now: The present moment.
    """

    own: Path
    is_automatic: bool
    fold: Callable[[Path, str | None], None]
    now: Moment

    def run(self) -> None:
        """Remove the directories beside this process's own that no process needs any more."""
        with contextlib.suppress(OSError), os.scandir(self.own.parent) as entries:
            for entry in entries:
                if entry.name.startswith(PREFIX) and entry.name != self.own.name and _is_own_directory(entry):
                    with contextlib.suppress(OSError):  # another process may be faster
                        self._remove_if_over(Path(entry.path))

    def _remove_if_over(self, directory: Path) -> None:
        if self._is_over(directory):
            with contextlib.suppress(OSError):  # folding logs the lost records, which no later process would
                app = app_in(directory.name)
                self.fold(directory, None if app == app_in(self.own.name) else app)
            remove_unused(directory)

    def _is_over(self, directory: Path) -> bool:
        if not self.is_automatic:
            return self._idle_seconds(directory) > _EXPLICIT_ABANDONED_SECONDS
        server = server_in(directory.name)
        if server is None:
            return False
        has_ended = server.is_of_another_boot() or server.has_ended()
        return self._idle_seconds(directory) > _ABANDONED_SECONDS if has_ended is None else has_ended

    def _idle_seconds(self, directory: Path) -> float:
        """Return the seconds since a process first saw that no process counts in a directory, and noted it there.

        The time of the directory's last change would depend on a clock, and one jump of it would delete the directory.
        """
        if not is_unused(directory) or not all(map(is_ours, os.listdir(directory))):
            return 0.0
        note = directory / IDLE
        with contextlib.suppress(OSError, TypeError, ValueError, RecursionError):
            boot, up, wall = json.loads(read_file(note))
            return Moment(str(boot), float(up), float(wall)).age(self.now)

        with contextlib.suppress(OSError):
            descriptor = open_private(note, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            try:
                write_all(descriptor, json.dumps(self.now).encode(), 0)
            finally:
                os.close(descriptor)
        return 0.0


def _is_own_directory(entry: os.DirEntry[str]) -> bool:
    with contextlib.suppress(OSError):
        about = entry.stat(follow_symlinks=False)
        return stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid()
    return False


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
