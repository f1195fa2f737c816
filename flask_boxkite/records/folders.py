"""The files of records, found by the dates and times in their paths, so that no other file is opened.

The file sink and the receivers of ``examples/fluentd`` write
``…/{YYYY-MM-DD}/{HHMM}_{logger_id}-{replica_id}.txt``; compressed files end in ``.gz`` or ``.txt.gz``. Other files and
symbolic links are ignored.
"""

from __future__ import annotations

import errno
import gzip
import os
import re
import sys
import zlib
from collections.abc import Iterator, Mapping
from typing import IO, Any, NamedTuple

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from flask_boxkite.errors import BoxkiteError
from flask_boxkite.quoting import masked
from flask_boxkite.records.period import Period
from flask_boxkite.values.times import DAY, start_of_day

__all__ = ["GZIP_DAMAGE", "Folder", "RecordFile"]

GZIP_DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile)
"""Errors of reading a compressed file that was cut or is damaged, or a file that is not compressed."""

MINUTE_SECONDS = 60.0

DEEPEST_FOLDER = 32
"""Most levels of folders below the location."""

_PART_BYTES = 1 << 18
"""Bytes of a compressed file that are read at once, few, because a call that meets damage loses them."""

_FILE = re.compile(r"([01]\d|2[0-3])([0-5]\d)_.+\.(txt|gz|txt\.gz)")


class RecordFile(NamedTuple):
    """A file of one minute.

    Attributes:
        minute: Beginning of the minute, in Unix seconds.
        path: Path in its file system.
    """

    minute: float
    path: str


class Folder:
    """A location of records: a directory of this machine, or a URL.

    Args:
        location: Path, or URL of any kind that fsspec knows: ``s3://bucket/models``, ``memory://``. Dated folders are
            found on all levels below it.
        options: Options of the file system, such as credentials.

    Raises:
        BoxkiteError: The URL is of an unknown kind, its target does not exist, or fsspec needs a package for it that is
            not installed.
    """

    def __init__(self, location: str | os.PathLike[str], options: Mapping[str, Any]) -> None:
        try:
            self._system, self._root = url_to_fs(os.fspath(location), **options)
        except (ImportError, ValueError, OSError) as error:  # a missing package, an unknown URL, not an archive
            msg = f"Records at '{masked(os.fspath(location))}' cannot be reached: {masked(str(error))}"
            raise BoxkiteError(msg) from error
        self.location = masked(os.fspath(location))

    def files(self, period: Period, slack_seconds: float) -> list[RecordFile]:
        """Return the files that may hold records of a period, in the order of time.

        Args:
            period: Period of the records.
            slack_seconds: Greatest distance of a record's time from its file's minute.

        Raises:
            BoxkiteError: The directory does not exist or cannot be read.
        """
        wide = Period(period.start - slack_seconds - MINUTE_SECONDS, period.end + slack_seconds)
        self._system.invalidate_cache()  # s3fs, for example, caches lists for ever
        try:
            files = list(self._walk(self._root, _date_of(self._root), wide))
        except OSError as error:
            why = error.strerror or masked(str(error))
            msg = f"Records at '{self.location}' cannot be listed: {why}. Name a directory that holds some."
            raise BoxkiteError(msg) from error
        return sorted(files)

    def open(self, file: RecordFile) -> IO[bytes]:
        """Open a file; a compressed file is unzipped.

        Raises:
            OSError: The file cannot be opened.
        """
        stream: IO[bytes] = self._system.open(file.path, "rb")
        return _Unzipped(stream) if file.path.endswith(".gz") else stream  # type: ignore[return-value]

    def _walk(self, root: str, day: float | None, wide: Period) -> Iterator[RecordFile]:
        """Yield the files below a folder, by a stack instead of recursion, because others may nest folders deeply."""
        waiting = [(root, day, 0)]
        while waiting:
            path, day, depth = waiting.pop()
            try:
                for name, own_path, kind in self._entries(path):
                    if kind == "directory":
                        own_day = _date_of(name)
                        is_wanted = own_day is None or (own_day < wide.end and own_day + DAY > wide.start)
                        if is_wanted and depth < DEEPEST_FOLDER:
                            waiting.append((own_path, own_day, depth + 1))
                    elif day is not None and kind == "file" and (parts := _FILE.fullmatch(name)):
                        minute = day + 3600.0 * int(parts[1]) + 60.0 * int(parts[2])
                        if wide.start < minute < wide.end:
                            yield RecordFile(minute, own_path)
            except FileNotFoundError:
                if path == root:
                    raise
                # The folder was past its lifetime, and was deleted just now.

    def _entries(self, path: str) -> Iterator[tuple[str, str, str]]:
        """Yield name, path and type of each entry of a folder, without links and hidden entries."""
        if isinstance(self._system, LocalFileSystem):  # its own list takes a kilobyte for each file
            with os.scandir(path) as entries:
                for entry in entries:
                    if not entry.is_symlink() and not entry.name.startswith("."):
                        yield entry.name, f"{path.rstrip('/')}/{entry.name}", _type_of(entry)
            return

        for entry in self._system.ls(path, detail=True):
            if entry["name"] == path and entry["type"] == "file":
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            own_path = entry["name"].rstrip("/")
            name = own_path.rpartition("/")[2]
            # An object store may list a folder's marker within the folder.
            if not entry.get("islink") and not name.startswith(".") and own_path != path.rstrip("/"):
                yield name, entry["name"], entry["type"]


def _type_of(entry: os.DirEntry[str]) -> str:
    """Return the type of a directory's entry, as fsspec names it."""
    if entry.is_dir(follow_symlinks=False):
        return "directory"
    return "file" if entry.is_file(follow_symlinks=False) else "other"


class _Unzipped(gzip.GzipFile):
    """A gzip stream that returns all data before damage, and also closes the file below it."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(fileobj=stream, mode="rb")
        self._below = stream
        self._damage: Exception | None = None

    def read(self, size: int | None = -1) -> bytes:
        """Return *size* bytes; fewer before the end, or before damage, which the next call raises.

        Raises:
            EOFError: The stream ends too early.
            zlib.error: The stream is damaged.
            BadGzipFile: The stream is not gzip, or is damaged.
        """
        if self._damage:
            raise self._damage
        parts: list[bytes] = []
        rest = sys.maxsize if size is None or size < 0 else size

        try:
            while rest and (part := self.read1(min(rest, _PART_BYTES))):
                parts.append(part)
                rest -= len(part)
        except GZIP_DAMAGE as error:
            if not parts:
                raise
            self._damage = error

        return b"".join(parts)

    def close(self) -> None:
        super().close()
        self._below.close()


def _date_of(path: str) -> float | None:
    """Return the first second of a dated folder's day, in Unix seconds; None for another folder."""
    return start_of_day(path.rstrip("/").rpartition("/")[2])
