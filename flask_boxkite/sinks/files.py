"""Records in files: one JSON object a line, one file per process and minute, in dated folders.

``{log_dir}/{prefix}/{endpoint_id}/{YYYY-MM-DD}/{HHMM}_{logger_id}-{replica_id}.txt`` in UTC is the layout that fluentd
writes to object storage too, so readers need to know only one. A file holds whole lines at any time, even on a full
disk; records that cannot be written wait in the recorder's queue.
"""

from __future__ import annotations

import contextlib
import fnmatch
import logging
import os
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from time import gmtime, strftime, time
from typing import Any

from flask_boxkite.config import Settings
from flask_boxkite.errors import ConfigError
from flask_boxkite.naming import path_segment
from flask_boxkite.sinks.base import Batch
from flask_boxkite.sinks.packing import json_line
from flask_boxkite.sinks.retention import WITNESSES, day_of, due
from flask_boxkite.system.faults import is_disk_fault, warn_of
from flask_boxkite.system.folder import Folder, LinkError
from flask_boxkite.system.permissions import unwritable
from flask_boxkite.values.times import DAY, start_of_day

__all__ = ["FileSink"]

logger = logging.getLogger("flask_boxkite")

LONGEST_NAME = 255
"""Most bytes of a file name, on every usual file system."""

_TIME = struct.Struct(">q")


class FileSink:
    """Appends records to partitioned files and deletes files past their lifetime.

    Args:
        settings: Settings of the app; used are ``log_dir``, ``log_group``, ``log_ttl_days`` and the parts of the path.
        clock: Returns the Unix time, by which old files are deleted. A record goes by its own time.
        is_first_to_say: Says whether no other process of the server has logged this topic.

    Raises:
        ConfigError: The directory cannot be made or written, the names are too long, or this user is not in the group.
    """

    name = "file"
    is_of_lines = True

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], float] = time,
        *,
        is_first_to_say: Callable[[str], bool] = lambda topic: True,
    ) -> None:
        assert settings.log_dir is not None
        self._clock = clock
        self._is_first_to_say = is_first_to_say
        prefix = [path_segment(part) for part in settings.fluentd_prefix.split(".")]
        self.tag = "/".join((*prefix, path_segment(settings.endpoint_id)))
        self._base = Path(settings.log_dir)
        self._root = self._base / self.tag
        self._group = None if settings.log_group is None else _group_of(settings.log_group)

        self._lifetime_seconds = settings.log_ttl_days * DAY
        self._logger = path_segment(settings.logger_id)
        self._pod = path_segment(settings.pod_name)
        self._swept_day = ""
        self._day_folder: Folder | None = None

        # A batch may span minutes. If one file fails, the files before it must not get their lines twice.
        self._unfinished_batch = ""
        self._written: set[int] = set()
        self._check()

    def _check(self) -> None:
        try:
            with self._folder(self.tag):
                is_usable = unwritable(self._root) is None
        except LinkError as error:
            msg = f"'BOXKITE_LOG_DIR': {error}. Remove the link, or name another directory."
            raise ConfigError(msg, key="BOXKITE_LOG_DIR") from None
        except OSError as error:
            is_usable = is_disk_fault(error) and self._base.is_dir()

        if not is_usable:
            msg = f"'BOXKITE_LOG_DIR': cannot write to '{self._root}'. Create it, or give this user the right to."
            raise ConfigError(msg, key="BOXKITE_LOG_DIR")

        if len(os.fsencode(self._name("0000"))) > LONGEST_NAME:
            msg = (
                f"'BOXKITE_LOGGER_ID' {self._logger!r} and 'BOXKITE_POD_NAME' {self._pod!r} are too long for the name "
                "of a file. Shorten one of them."
            )
            raise ConfigError(msg, key="BOXKITE_LOGGER_ID")

    def pack(self, time_ns: int, record: dict[str, Any]) -> bytes:
        """Return the line behind its time, which names the file."""
        return json_line(record, self.entry_head(time_ns))

    @staticmethod
    def entry_head(time_ns: int) -> bytes:
        """Return the time, in seconds."""
        return _TIME.pack(time_ns // 1_000_000_000)

    def ship(self, batch: Batch, timeout: float) -> None:
        """Append the lines to the files of their minutes, each file's lines together or not at all."""
        minutes: dict[int, list[bytes]] = {}
        for packed in batch.records:
            (seconds,) = _TIME.unpack_from(packed)
            minutes.setdefault(seconds // 60, []).append(packed[_TIME.size :])
        if self._unfinished_batch != batch.id:
            self._unfinished_batch, self._written = batch.id, set()

        for minute, lines in minutes.items():
            if minute not in self._written:
                day, hour_minute = strftime("%Y-%m-%d %H%M", gmtime(minute * 60)).split()
                try:
                    self._folder_of(f"{batch.tag}/{day}").append(self._name(hour_minute), b"".join(lines))
                except OSError:
                    self.close()  # it may be a folder of a disk that has been mounted again since
                    raise
                self._written.add(minute)

        self._sweep()

    def _folder_of(self, path: str) -> Folder:
        """Return the folder of a day, which stays open for the next batch.

        Opening it takes twenty system calls; with each, a busy request waits until this thread has the interpreter.
        """
        folder = self._day_folder
        if folder is None or folder.path != self._base / path or not folder.is_in_place():
            self.close()
            folder = self._day_folder = self._folder(path)
        return folder

    def _folder(self, path: str) -> Folder:
        """Open a folder below the directory that the user named, made if need be."""
        folder = Folder.made(self._base, self._group)
        for name in path.split("/"):
            with folder:
                folder = folder.inner(name)
        return folder

    def _name(self, hour_minute: str) -> str:
        return f"{hour_minute}_{self._logger}-{self._pod}-{os.getpid()}.txt"

    def _sweep(self) -> None:
        """Delete files past their lifetime, once a day; only files that this logger writes."""
        now = self._clock()
        if self._swept_day == day_of(now):
            return
        self._swept_day = day_of(now)

        try:
            with self._folder(self.tag) as root:
                old = due(self._days(root), now, self._lifetime_seconds)
                for day in old.days:
                    with contextlib.suppress(FileNotFoundError):  # another process sweeps too, and was first
                        self._delete_files(root, day)
                held_back = [day for day in old.held_back if self._has_files(root, day)]
            if held_back and self._is_first_to_say(f"clock-{self._swept_day}"):
                self._tell_held_back(held_back)
        except OSError as error:
            # The batch is written: an exception here would make it come again.
            warn_of(error, "Old files in '%s' could not be deleted.", self._root)

    def _tell_held_back(self, days: Sequence[str]) -> None:
        logger.warning(
            "The clock says %s, by which records of %d day%s in '%s', from %s on, are too old. They are kept until "
            "records of %d days after their lifetime confirm it.",
            self._swept_day,
            len(days),
            "s" * (len(days) != 1),
            self._root,
            days[0],
            WITNESSES,
        )

    @staticmethod
    def _days(root: Folder) -> list[str]:
        days = []
        for name in root.names():
            if start_of_day(name) is not None:
                with contextlib.suppress(OSError), root.inner(name, is_made=False):  # raises for a link or a file
                    days.append(name)
        return days

    def _delete_files(self, root: Folder, day: str) -> None:
        with root.inner(day, is_made=False) as folder:
            for name in self._files_in(folder):
                folder.remove(name)
        root.remove_inner(day)  # stays if others have files in it

    def _has_files(self, root: Folder, day: str) -> bool:
        with contextlib.suppress(FileNotFoundError), root.inner(day, is_made=False) as folder:
            return bool(self._files_in(folder))
        return False

    def _files_in(self, folder: Folder) -> list[str]:
        return fnmatch.filter(folder.names(), f"[0-9][0-9][0-9][0-9]_{self._logger}-*.txt")

    def close(self) -> None:
        """Close the folder of the day."""
        if self._day_folder is not None:
            self._day_folder.close()
        self._day_folder = None

    def forked(self) -> FileSink:
        """Return the same sink: it reads the process id for a file's name at each write."""
        return self


def _group_of(name: str) -> int:
    """Return the number of a group that this user belongs to.

    Raises:
        ConfigError: There is no such group, or this user may not give files to it.
    """
    number: int | None = None
    try:
        import grp

        number = int(name) if name.isdecimal() else grp.getgrnam(name).gr_gid
    except (ImportError, KeyError):  # Windows has no such groups
        pass
    if number is None:
        msg = f"'BOXKITE_LOG_GROUP': this system has no group {name!r}. Name a group, or its number."
        raise ConfigError(msg, key="BOXKITE_LOG_GROUP")
    if os.geteuid() != 0 and number not in (os.getegid(), *os.getgroups()):
        msg = f"'BOXKITE_LOG_GROUP': this user is not in the group {name!r}. Add the user to it, or name another group."
        raise ConfigError(msg, key="BOXKITE_LOG_GROUP")
    return number
