"""The memory of a notifier, in the state directory of its server, and the lock by which one process is the notifier.

The lock ends with its process, however that ends; then another process takes both over. The file is written whole under
another name and renamed, so a kill at any moment leaves the one before or the one after.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

from flask_boxkite.live.apart import NOTE
from flask_boxkite.system.files import open_private, read_file, write_all
from flask_boxkite.system.locks import OwnerLock, has_no_owner

__all__ = ["FORMAT", "Memory"]

FORMAT = 1
"""Format number of the file; a file of another one is not read."""

_Items = TypeVar("_Items", list[Any], dict[str, Any])

_LOCK = f"{NOTE}notifier-lock-"
_TOLD = f"{NOTE}notifier-told-"
_OLD_SECONDS = 7 * 86400.0
"""Age at which the memory of models that are served no more is removed."""


class Memory:
    """The memory of the notifier of one app. One thread of one process uses it.

    Args:
        directory: Returns the directory in which the processes of the server count together, or raises OSError; None if
            there is none. Then every process is its own notifier, and forgets everything at its end.
        owner: Hash of the models of the app, with their baselines, which distinguishes apps of one name.
        models: Names of its models.
        clock: Returns the Unix time.

    Attributes:
        tenures: Number of times that this process became the notifier. Between two, another may have been it.
    """

    def __init__(
        self,
        directory: Callable[[], Path | None],
        owner: str,
        models: Collection[str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory = directory
        self._owner = owner
        self._models = frozenset(models)
        self._clock = clock
        self.tenures = 0
        self._lock: OwnerLock | None = None
        self._place: Path | None = None
        self._needless: list[Path] = []

    def is_mine(self) -> bool:
        """Say whether this process is the notifier, after an attempt to become it.

        Raises:
            OSError: The lock cannot be used.
        """
        if self._lock is not None and self._lock.is_linked():
            return True
        self.release()
        self._place = self._directory()
        if self._place is None:
            self.tenures = 1
            return True
        try:
            self._lock = OwnerLock(self._place / f"{_LOCK}{self._owner}", os.O_RDWR | os.O_CREAT)
        except BlockingIOError:
            return False
        self.tenures += 1
        return self._lock.is_linked()  # the file may have been removed just now

    def release(self) -> None:
        """Let another process be the notifier."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()

    def load(self) -> dict[str, Any]:
        """Return the values that were stored last; empty if none were.

        If a baseline was replaced, they stand under the name of other models. A memory without a notifier that shares a
        model with this app is taken over; one of another app is removed after a week.
        """
        if self._place is None:
            return {}
        own = self._path(self._place)
        values = _read(own) or {}
        self._needless = []
        with contextlib.suppress(OSError):
            for path in sorted(self._place.glob(f"{_TOLD}*"), key=lambda path: path.lstat().st_mtime, reverse=True):
                if path.name.startswith(f"{own.name}."):  # a process was killed while it wrote
                    path.unlink()
                elif path != own:
                    self._take_over(path, values)
        return values

    def _take_over(self, path: Path, values: dict[str, Any]) -> None:
        owner = path.name.removeprefix(_TOLD).partition(".")[0]
        lock = path.with_name(f"{_LOCK}{owner}")
        if lock.exists() and not has_no_owner(lock):
            return
        other = _read(path) or {}
        is_ours = not self._models.isdisjoint(map(str, other.get("models", ())))
        if is_ours:
            # The newest comes first, and its own part is newer still.
            values["episodes"] = [*_items(other, "episodes", list), *_items(values, "episodes", list)]
            values["gaps"] = {**_items(other, "gaps", dict), **_items(values, "gaps", dict)}
        if is_ours or abs(self._clock() - path.lstat().st_mtime) > _OLD_SECONDS:
            self._needless += [path, lock]

    def store(self, values: dict[str, Any]) -> None:
        """Write values, if there is a directory.

        Raises:
            OSError: They cannot be written; the ones before are unchanged.
        """
        if self._place is None:
            return
        path = self._path(self._place)
        text = json.dumps({"format": FORMAT, "models": sorted(self._models), **values})
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        try:
            descriptor = open_private(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            try:
                write_all(descriptor, text.encode(), 0)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.replace(temporary, path)
            self._remove_needless()
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise

    def _remove_needless(self) -> None:
        """Remove memories that were taken over, once they are in this one."""
        while self._needless:
            self._needless.pop(0).unlink(missing_ok=True)

    def _path(self, directory: Path) -> Path:
        return directory / f"{_TOLD}{self._owner}"


def _read(path: Path) -> dict[str, Any] | None:
    """Return the values in a file; None if there are none of this format."""
    try:
        values = json.loads(read_file(path))
    except (OSError, ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) and values.get("format") == FORMAT else None


def _items(values: dict[str, Any], name: str, kind: type[_Items]) -> _Items:
    """Return a part of stored values; empty if it is of another type."""
    part = values.get(name)
    return part if isinstance(part, kind) else kind()
