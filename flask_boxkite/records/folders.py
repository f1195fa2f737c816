"""The files that hold records: found by the dates and times in their paths, so that no other one is opened.

``…/{YYYY-MM-DD}/{HHMM}_{logger_id}-{replica_id}.txt`` is written by the file sink, and by the receivers of
``examples/fluentd``; ``.gz`` and ``.txt.gz`` are compressed ones. Anything else, and symbolic links, are ignored.
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
"""What reading a compressed file raises that was cut, or is none."""

MINUTE_SECONDS = 60.0

DEEPEST_FOLDER = 32
"""Levels below the location in which files are found."""

_PART_BYTES = 1 << 18
"""Of a compressed file that are read at once: what a call has found when it meets damage is lost."""

_FILE = re.compile(r"([01]\d|2[0-3])([0-5]\d)_.+\.(txt|gz|txt\.gz)")


class RecordFile(NamedTuple):
    """A file of one minute.

    Attributes:
        minute: When the minute begins, in Unix seconds.
        path: In its file system.
    """

    minute: float
    path: str


class Folder:
    """Where records are: a directory of this machine, or the URL of one anywhere else.

    Args:
        location: A path, or any URL that fsspec knows: ``s3://bucket/models``, ``memory://``. Whatever lies above or
            below the dated folders: all in it is found.
        options: For the file system, such as credentials.

    Raises:
        BoxkiteError: The URL is of no known kind, what it names is not there, or fsspec needs a package for it that is
            not installed.
    """

    def __init__(self, location: str | os.PathLike[str], options: Mapping[str, Any]) -> None:
        try:
            self._system, self._root = url_to_fs(os.fspath(location), **options)
        except (ImportError, ValueError, OSError) as error:  # a package is missing, nobody knows the URL, no archive
            msg = f"Records at '{masked(os.fspath(location))}' cannot be reached: {masked(str(error))}"
            raise BoxkiteError(msg) from error
        self.location = masked(os.fspath(location))

    def files(self, period: Period, slack_seconds: float) -> list[RecordFile]:
        """Return the files that may hold records of a period, in the order of time.

        Args:
            period: Of the records.
            slack_seconds: How far from its file's minute the time of a record may lie.

        Raises:
            BoxkiteError: There is no such directory, or it cannot be read.
        """
        wide = Period(period.start - slack_seconds - MINUTE_SECONDS, period.end + slack_seconds)
        self._system.invalidate_cache()  # such as s3fs has, for ever
        try:
            found = list(self._walk(self._root, _date_of(self._root), wide))
        except OSError as error:
            why = error.strerror or masked(str(error))
            msg = f"Records at '{self.location}' cannot be listed: {why}. Name a directory that holds some."
            raise BoxkiteError(msg) from error
        return sorted(found)

    def open(self, file: RecordFile) -> IO[bytes]:
        """Open a file; a compressed one gives its content.

        Raises:
            OSError: It cannot be opened.
        """
        stream: IO[bytes] = self._system.open(file.path, "rb")
        return _Unzipped(stream) if file.path.endswith(".gz") else stream  # type: ignore[return-value]

    def _walk(self, root: str, day: float | None, wide: Period) -> Iterator[RecordFile]:
        """Yield the files below a folder; a stack, not a recursion, since others can nest folders."""
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
                # Past its lifetime, it was deleted just now.

    def _entries(self, path: str) -> Iterator[tuple[str, str, str]]:
        """Yield name, path and type of what is in a folder; no links, nothing hidden."""
        if isinstance(self._system, LocalFileSystem):  # whose list takes a kilobyte for each file
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
    """A gzip stream that gives all that stands before damage, and closes the file below it, too."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(fileobj=stream, mode="rb")
        self._below = stream
        self._damage: Exception | None = None

    def read(self, size: int | None = -1) -> bytes:
        """Return *size* bytes; fewer before the end, or before damage, which the next call raises.

        Raises:
            EOFError: The stream ends too early.
            zlib.error: It is damaged.
            BadGzipFile: It is none, or damaged.
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
    """Return when the day begins that a folder is named by, in Unix seconds; None if it is another folder."""
    return start_of_day(path.rstrip("/").rpartition("/")[2])
