"""The files of records, found by the dates and times in their paths, so that no other file is opened.

The file sink and the receivers of ``examples/fluentd`` write
``…/{YYYY-MM-DD}/{HHMM}_{logger_id}-{replica_id}.txt``; compressed files end in ``.gz`` or ``.txt.gz``. `compact` writes
parts of tables, ``…/boxkite_date={YYYY-MM-DD}/{HHMM}-{HHMM}_{unit}-{number}.parquet``, named by the first and the last
minute in which their records were made. Other files and symbolic links are ignored.
"""

from __future__ import annotations

import errno
import gzip
import os
import re
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any, NamedTuple, TypeAlias

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from flask_boxkite.errors import BoxkiteError
from flask_boxkite.quoting import masked
from flask_boxkite.records.period import Period
from flask_boxkite.values.times import DAY, start_of_day

__all__ = ["DATE", "GZIP_DAMAGE", "Folder", "Folders", "RecordFile", "part_name"]

GZIP_DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile)
"""Errors of reading a compressed file that was cut or is damaged, or a file that is not compressed."""

Location: TypeAlias = "str | os.PathLike[str] | Sequence[str | os.PathLike[str]]"
"""A path or URL of records, or several."""

MINUTE_SECONDS = 60.0

DEEPEST_FOLDER = 32
"""Most levels of folders below the location."""

_PART_BYTES = 1 << 18
"""Bytes of a compressed file that are read at once, few, because a call that meets damage loses them."""

_FILE = re.compile(r"([01]\d|2[0-3])([0-5]\d)_.+\.(txt|gz|txt\.gz)")

DATE = "boxkite_date"
"""Name before the date in the name of a folder of parts, which is a column for readers of partitioned folders."""

_PART = re.compile(r"([01]\d|2[0-3])([0-5]\d)-([01]\d|2[0-3])([0-5]\d)_([0-9a-f]{16})-\d+\.parquet")


class RecordFile(NamedTuple):
    """A file of one minute, or a part of a table.

    Attributes:
        minute: Beginning of the minute, in Unix seconds; of a part, of its first.
        path: Path in its file system.
        last: Beginning of the last minute; None for the same.
        unit: Name of the run's unit that a part belongs to, in which no record is twice; empty for a file of lines.
        place: Index of its folder in `Folders`.
    """

    minute: float
    path: str
    last: float | None = None
    unit: str = ""
    place: int = 0

    @property
    def end(self) -> float:
        """The end of its last minute, in Unix seconds."""
        return (self.minute if self.last is None else self.last) + MINUTE_SECONDS


def part_name(first: float, last: float, unit: str, number: int) -> str:
    """Return the name of a part of a table.

    Args:
        first: Time of its first record, in Unix seconds.
        last: Time of its last record, on the same day.
        unit: Name of its unit, of 16 hexadecimal digits.
        number: Number of the part in its unit.
    """
    minutes = (f"{int(time % DAY) // 3600:02}{int(time % 3600) // 60:02}" for time in (first, last))
    return f"{'-'.join(minutes)}_{unit}-{number}.parquet"


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
        wide = period.widened(slack_seconds)
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

    @property
    def local_root(self) -> str | None:
        """The path of the location on this machine; None for another place."""
        return str(self._root) if isinstance(self._system, LocalFileSystem) else None

    def local_path(self, file: RecordFile) -> str | None:
        """Return the path of a file on this machine, which is read faster than a stream; None for another place."""
        return file.path if isinstance(self._system, LocalFileSystem) else None

    def url(self, file: RecordFile) -> str:
        """Return the URL of a file, or its path on this machine."""
        return file.path if isinstance(self._system, LocalFileSystem) else str(self._system.unstrip_protocol(file.path))

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
                    elif day is not None and kind == "file":
                        file = _file(day, name, own_path)
                        if file is not None and wide.start < file.end - MINUTE_SECONDS and file.minute < wide.end:
                            yield file
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


class Folders:
    """Several locations of records, read as one.

    Args:
        locations: Location, or several.
        options: Options of the file systems.

    Raises:
        BoxkiteError: There is none, or one cannot be reached.
    """

    def __init__(self, locations: Location, options: Mapping[str, Any]) -> None:
        named = [locations] if isinstance(locations, (str, os.PathLike)) else locations
        self._folders = [Folder(each, options) for each in named]
        if not self._folders:
            msg = "There is no location of records. Name a folder, or several."
            raise BoxkiteError(msg)
        self.location = ", ".join(folder.location for folder in self._folders)

    def files(self, period: Period, slack_seconds: float) -> list[RecordFile]:
        """Return the files that may hold records of a period; see `Folder.files`."""
        return sorted(
            file._replace(place=place)
            for place, folder in enumerate(self._folders)
            for file in folder.files(period, slack_seconds)
        )

    def of(self, file: RecordFile) -> Folder:
        """Return the folder of a file."""
        return self._folders[file.place]

    def open(self, file: RecordFile) -> IO[bytes]:
        """Open a file; see `Folder.open`."""
        return self.of(file).open(file)


def _file(day: float, name: str, path: str) -> RecordFile | None:
    """Return the file of a name in a dated folder; None for another file."""
    if found := _FILE.fullmatch(name):
        return RecordFile(day + 3600.0 * int(found[1]) + 60.0 * int(found[2]), path)
    if found := _PART.fullmatch(name):
        first, last = (day + 3600.0 * int(found[index]) + 60.0 * int(found[index + 1]) for index in (1, 3))
        return RecordFile(first, path, last, found[5]) if first <= last else None
    return None


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
    return start_of_day(path.rstrip("/").rpartition("/")[2].removeprefix(f"{DATE}="))
