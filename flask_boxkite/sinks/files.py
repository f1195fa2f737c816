"""Records in files: one JSON object a line, one file per process and minute, in dated folders.

``{log_dir}/{prefix}/{endpoint_id}/{YYYY-MM-DD}/{HHMM}_{logger_id}-{replica_id}.txt`` in UTC is the layout that fluentd
writes to object storage too, so readers need to know only one.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from time import time
from typing import Any

from flask_boxkite.config import Settings
from flask_boxkite.errors import ConfigError
from flask_boxkite.naming import path_segment
from flask_boxkite.sinks.base import Batch

__all__ = ["FileSink"]

_TIME = struct.Struct(">Q")
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


class FileSink:
    """Appends records to partitioned files and deletes those past their lifetime.

    Raises:
        ConfigError: The directory cannot be made or written.
    """

    name = "file"

    def __init__(self, settings: Settings, clock: Callable[[], float] = time) -> None:
        assert settings.log_dir is not None
        self._clock = clock
        prefix = [path_segment(part) for part in settings.fluentd_prefix.split(".")]
        self._root = Path(settings.log_dir, *prefix, path_segment(settings.endpoint_id))
        self._lifetime = timedelta(days=settings.log_ttl_days)
        self._suffix = f"_{path_segment(settings.logger_id)}-{path_segment(settings.pod_name)}-{os.getpid()}.txt"
        self._owned = f"_{path_segment(settings.logger_id)}-"
        self._swept: str | None = None
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            writable = os.access(self._root, os.W_OK | os.X_OK)
        except OSError:
            writable = False
        if not writable:
            msg = f"'BOXKITE_LOG_DIR': cannot write to '{self._root}'. Create it, or give this user the right to."
            raise ConfigError(msg, key="BOXKITE_LOG_DIR")

    def pack(self, time_ns: int, record: dict[str, Any]) -> bytes:
        """Return the time, for the choice of the file, and the line."""
        # Lone surrogates cannot be written as UTF-8; they become question marks.
        return _TIME.pack(time_ns // 1_000_000_000) + _encode(record).encode("utf-8", "replace") + b"\n"

    def ship(self, batch: Batch, timeout: float) -> None:
        """Append every line to the file of its minute, wholly or not at all."""
        files: dict[Path, list[bytes]] = {}
        for packed in batch.records:
            (seconds,) = _TIME.unpack_from(packed)
            files.setdefault(self._path(seconds), []).append(packed[_TIME.size :])
        written: list[tuple[Path, int]] = []
        try:
            for path, lines in files.items():
                written.append((path, _append(path, b"".join(lines))))
        except OSError:
            # The batch will come again whole: take back what is there of it.
            for path, size in written:
                os.truncate(path, size)
            raise
        self._sweep()

    def _path(self, seconds: int) -> Path:
        moment = datetime.fromtimestamp(seconds, timezone.utc)
        return self._root / moment.strftime("%Y-%m-%d") / (moment.strftime("%H%M") + self._suffix)

    def _sweep(self) -> None:
        """Delete files of days past their lifetime, once a day; only such as a file sink writes."""
        now = datetime.fromtimestamp(self._clock(), timezone.utc)
        today = now.strftime("%Y-%m-%d")
        if self._swept == today:
            return
        self._swept = today
        oldest = (now - self._lifetime).strftime("%Y-%m-%d")
        for folder in self._root.iterdir():
            if _is_day(folder.name) and folder.name < oldest and not folder.is_symlink():
                for path in folder.glob(f"*{self._owned}*.txt"):
                    path.unlink(missing_ok=True)
                if not any(folder.iterdir()):
                    shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Nothing is held open."""


def _is_day(name: str) -> bool:
    try:
        return datetime.strptime(name, "%Y-%m-%d").strftime("%Y-%m-%d") == name
    except ValueError:
        return False


def _append(path: Path, data: bytes) -> int:
    """Append *data* and return the size before; on a full disk leave the file as it was and raise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        before = os.fstat(descriptor).st_size
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
        except OSError:
            os.ftruncate(descriptor, before)
            raise
        return before
    finally:
        os.close(descriptor)
