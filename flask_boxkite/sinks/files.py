"""Records in files: one JSON object a line, one file per process and minute, in dated folders.

``{log_dir}/{prefix}/{endpoint_id}/{YYYY-MM-DD}/{HHMM}_{logger_id}-{replica_id}.txt`` in UTC is the layout that fluentd
writes to object storage too, so readers need to know only one. A file holds whole lines at any time, on a full disk
too; what could not be written waits in the recorder's queue.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import struct
from collections.abc import Callable
from pathlib import Path
from time import gmtime, strftime, time
from typing import Any

from flask_boxkite.config import Settings
from flask_boxkite.errors import ConfigError
from flask_boxkite.naming import path_segment
from flask_boxkite.sinks.base import Batch
from flask_boxkite.sinks.retention import WITNESSES, day_of, due
from flask_boxkite.times import DAY, start_of_day

__all__ = ["FileSink"]

logger = logging.getLogger("flask_boxkite")

LONGEST_NAME = 255
"""Bytes of a file name, on every usual file system."""

_TIME = struct.Struct(">Q")
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode

# Windows has no such flag, nor links that anyone may make.
_NO_LINK: int = getattr(os, "O_NOFOLLOW", 0)


class FileSink:
    """Appends records to partitioned files and deletes those past their lifetime.

    Args:
        settings: Of which it uses ``log_dir``, ``log_ttl_days`` and all that is part of the path.
        clock: Returns the Unix time, by which files are deleted. A record goes by its own time.

    Raises:
        ConfigError: The directory cannot be made or written, or the names are too long.
    """

    name = "file"

    def __init__(self, settings: Settings, clock: Callable[[], float] = time) -> None:
        assert settings.log_dir is not None
        self._clock = clock
        prefix = [path_segment(part) for part in settings.fluentd_prefix.split(".")]
        self.tag = "/".join((*prefix, path_segment(settings.endpoint_id)))
        self._base = Path(settings.log_dir)
        self._root = self._base / self.tag
        self._lifetime_seconds = settings.log_ttl_days * DAY
        self._logger = path_segment(settings.logger_id)
        self._pod = path_segment(settings.pod_name)
        self._swept_day = ""
        # A batch may span minutes. If one file fails, those before it must not get their lines again.
        self._unfinished_batch = ""
        self._written: set[int] = set()
        self._check()

    def _check(self) -> None:
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            is_writable = os.access(self._root, os.W_OK | os.X_OK)
        except OSError:
            is_writable = False
        if not is_writable:
            msg = f"'BOXKITE_LOG_DIR': cannot write to '{self._root}'. Create it, or give this user the right to."
            raise ConfigError(msg, key="BOXKITE_LOG_DIR")
        if len(os.fsencode(self._path(0, self.tag).name)) > LONGEST_NAME:
            msg = (
                f"'BOXKITE_LOGGER_ID' {self._logger!r} and 'BOXKITE_POD_NAME' {self._pod!r} are too long for the name "
                "of a file. Shorten one of them."
            )
            raise ConfigError(msg, key="BOXKITE_LOGGER_ID")

    def pack(self, time_ns: int, record: dict[str, Any]) -> bytes:
        """Return the time, which tells the file, and the line."""
        # Lone surrogates cannot be written as UTF-8; they become question marks.
        return _TIME.pack(time_ns // 1_000_000_000) + _encode(record).encode("utf-8", "replace") + b"\n"

    def ship(self, batch: Batch, timeout: float) -> None:
        """Append every line to the file of its minute, wholly or not at all."""
        minutes: dict[int, list[bytes]] = {}
        for packed in batch.records:
            (seconds,) = _TIME.unpack_from(packed)
            minutes.setdefault(seconds // 60, []).append(packed[_TIME.size :])
        if self._unfinished_batch != batch.id:
            self._unfinished_batch, self._written = batch.id, set()
        for minute, lines in minutes.items():
            if minute not in self._written:
                _append(self._path(minute, batch.tag), b"".join(lines))
                self._written.add(minute)
        self._sweep()

    def _path(self, minute: int, tag: str) -> Path:
        day, hour_minute = strftime("%Y-%m-%d %H%M", gmtime(minute * 60)).split()
        return self._base / tag / day / f"{hour_minute}_{self._logger}-{self._pod}-{os.getpid()}.txt"

    def _sweep(self) -> None:
        """Delete files past their lifetime, once a day; only such as this logger writes."""
        now = self._clock()
        if self._swept_day == day_of(now):
            return
        self._swept_day = day_of(now)
        try:
            folders = {
                path.name: path
                for path in self._root.iterdir()
                if start_of_day(path.name) is not None and not path.is_symlink()
            }
            found = due(folders, now, self._lifetime_seconds)
            for day in found.days:
                self._delete_files(folders[day])
            if held_back := [day for day in found.held_back if self._files(folders[day])]:
                logger.warning(
                    "The clock says %s, by which %d days of records in '%s', from %s on, are too old. They are kept "
                    "until records of %d days after their lifetime confirm it.",
                    self._swept_day,
                    len(held_back),
                    self._root,
                    held_back[0],
                    WITNESSES,
                )
        except OSError:
            # The batch is written: it must not come again because of this.
            logger.warning("Old files in '%s' could not be deleted.", self._root, exc_info=True)

    def _delete_files(self, folder: Path) -> None:
        for path in self._files(folder):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # there are files of others, or another process was first
            folder.rmdir()

    def _files(self, folder: Path) -> list[Path]:
        return list(folder.glob(f"[0-9][0-9][0-9][0-9]_{self._logger}-*.txt"))

    def close(self) -> None:
        """Nothing is held open."""

    def forked(self) -> FileSink:
        """Return itself: the process id in a file's name is read when it is written."""
        return self


def _append(path: Path, data: bytes) -> None:
    """Append *data*; on a full disk leave the file as it was and raise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.parent.is_symlink():
        msg = f"'{path.parent}' is a symbolic link; records are not written through one"
        raise OSError(msg)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | _NO_LINK, 0o644)
    try:
        before = os.fstat(descriptor).st_size
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        except OSError:
            os.ftruncate(descriptor, before)
            raise
    finally:
        os.close(descriptor)
