"""Marks on counts that belong to one of several apps; each mark is an empty file.

Apps of one name count in one directory, in sections named after their models. A section that an app does not have
itself comes from an earlier release, whose last counts the app shows, or from another app, whose counts it must not
show. The numbers do not tell which. Two apps are known to differ when they exist at once: in one process, or in two
servers that both serve. Then the sections of both are marked, for good.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Collection, Container, Iterable
from pathlib import Path

from flask_boxkite.live.section import SectionKey
from flask_boxkite.system.files import open_private

__all__ = ["NOTE", "mark", "marked", "unmark"]

NOTE = "note-"
"""Prefix of small files beside the counts."""

_MARK = f"{NOTE}apart-"


class _Marks(Container[object]):
    """Keys of sections, as keys or as texts, known by their hash."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names

    def __contains__(self, key: object) -> bool:
        return bool(self._names) and _name(str(key)) in self._names


def mark(directory: Path, keys: Iterable[SectionKey]) -> None:
    """Mark sections as counted by one of several apps.

    Raises:
        OSError: The disk is full, or this user may not write there.
    """
    for key in keys:
        os.close(open_private(directory / _name(str(key)), os.O_WRONLY | os.O_CREAT))


def marked(directory: Path) -> Container[object]:
    """Return a container of the marked keys.

    Raises:
        OSError: The directory cannot be read.
    """
    return _Marks(frozenset(name for name in os.listdir(directory) if name.startswith(_MARK)))


def unmark(directory: Path, key: SectionKey) -> None:
    """Remove the mark of a section, if there is one; never raises."""
    with contextlib.suppress(OSError):
        (directory / _name(str(key))).unlink()


def _name(key: str) -> str:
    return f"{_MARK}{hashlib.sha256(key.encode()).hexdigest()[:16]}"
