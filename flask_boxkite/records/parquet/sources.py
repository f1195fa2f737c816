"""Files of lines as a compaction reads them: from the byte where the last one ended to the present end.

A source is known by its day, its name, and the hash of its first line, which holds the id of its first record. So a
file that was moved or compressed is the same source, and a new one under an old name is another.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import PurePath
from time import time
from typing import IO, Any, NamedTuple

from flask_boxkite.records.folders import GZIP_DAMAGE, Folder, RecordFile
from flask_boxkite.system.locks import can_lock, locked

__all__ = ["Progress", "Source", "Stretch", "remove_if_done", "source_of"]

_HEAD_BYTES = 512
_AT_ONCE = 1 << 20
_QUIET_SECONDS = 60.0
"""A line without an end is left alone as long after its file's last change: it may be half written."""


class Progress(NamedTuple):
    """The part of a source that was compacted.

    Attributes:
        key: Text that the source is known by.
        end: Number of its bytes, unzipped.
        size: Size of the file then.
        changed: Time of its last change then, in nanoseconds.
    """

    key: str
    end: int
    size: int
    changed: int


class Source(NamedTuple):
    """A file of lines with bytes that are still to be compacted.

    Attributes:
        file: The file.
        start: First byte to compact.
        state: Key, size and time of the last change; its end is the last byte to compact, or -1 for a compressed file,
            whose length only reading tells.
    """

    file: RecordFile
    start: int
    state: Progress


def source_of(folder: Folder, file: RecordFile, done: dict[str, Progress]) -> Source | Progress | None:
    """Return the source that a file is; its progress if all of it was compacted; None if it is to be left alone.

    Args:
        folder: Folder of the file.
        file: File on this machine.
        done: Progress by the keys of sources.

    Raises:
        OSError: It cannot be read.
    """
    is_zipped = file.path.endswith(".gz")
    with open(file.path, "rb") as raw:
        # A writer of ours holds the lock while it appends: then there are whole lines.
        with _alone(raw):
            about = os.fstat(raw.fileno())
            ends_a_line = is_zipped or _ends_a_line(raw, about.st_size)
        head = _head(folder, file)
    state = Progress(_key(file, head), -1 if is_zipped else about.st_size, about.st_size, about.st_mtime_ns)
    before = done.get(state.key)
    if before is not None and before[2:] == state[2:]:
        return before
    if not head or (not ends_a_line and time() - about.st_mtime < _QUIET_SECONDS):
        return None
    start = 0 if before is None else before.end
    return Source(file, start if is_zipped or start <= about.st_size else 0, state)


@contextlib.contextmanager
def _alone(raw: IO[bytes]) -> Iterator[bool]:
    """Keep writers of ours out of a file, and yield True; yield False if one is at work all the time."""
    with contextlib.ExitStack() as stack:
        is_mine = True
        if can_lock:
            with contextlib.suppress(OSError):  # of a network disk without locks
                is_mine = stack.enter_context(locked(raw.fileno(), patience_seconds=1.0))
        yield is_mine


def _head(folder: Folder, file: RecordFile) -> bytes:
    with contextlib.suppress(*GZIP_DAMAGE), folder.open(file) as stream:
        return stream.read(_HEAD_BYTES).partition(b"\n")[0]
    return b""


def _key(file: RecordFile, head: bytes) -> str:
    day, name = PurePath(file.path).parts[-2:]
    return f"{day}/{name.removesuffix('.gz')}/{hashlib.blake2b(head, digest_size=8).hexdigest()}"


def _ends_a_line(raw: IO[bytes], size: int) -> bool:
    if not size:
        return True
    raw.seek(size - 1)
    return raw.read(1) == b"\n"


class Stretch:
    """The bytes of a source that are to be compacted, as a stream; in place of a folder, it opens this one file.

    Attributes:
        position: Number of the source's bytes that were read or passed over.
    """

    def __init__(self, folder: Folder, source: Source) -> None:
        self._folder, self._source = folder, source
        self.position = 0

    def open(self, file: RecordFile) -> Any:
        """Open the file, at the first byte to compact."""
        self._stream = self._folder.open(file)
        start, last = self._source.start, b"\n"
        while self.position < start and (data := self._stream.read(min(_AT_ONCE, start - self.position))):
            self.position += len(data)
            last = data[-1:]
        # A writer begins a new line behind a torn one, which counted as damage when its beginning was compacted.
        self._skips = last != b"\n"
        return self

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most *size*."""
        end = self._source.state.end
        data = self._stream.read(size if end < 0 else min(size, max(end - self.position, 0)))
        self.position += len(data)
        if self._skips and data:
            self._skips = False
            if data.startswith(b"\n"):
                return data[1:] or self.read(size)
        return data

    def progress(self) -> Progress:
        """Return how far the source is compacted, once all of it was read."""
        return self._source.state._replace(end=self.position)

    def __enter__(self) -> Stretch:
        return self

    def __exit__(self, *error: object) -> None:
        self._stream.close()


def remove_if_done(file: RecordFile, progress: Progress) -> bool:
    """Delete a file if all of it was compacted; say whether it was deleted.

    Raises:
        OSError: It cannot be deleted.
    """
    with open(file.path, "rb") as raw, _alone(raw) as is_mine:
        about = os.fstat(raw.fileno())
        if not is_mine or (about.st_size, about.st_mtime_ns) != progress[2:]:
            return False
        os.unlink(file.path)
    return True
