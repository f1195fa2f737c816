"""Folders opened without following a link, even if one is replaced by a link between two steps."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from flask_boxkite.system.locks import share
from flask_boxkite.system.permissions import make_private

__all__ = ["Folder", "LinkError"]

# Windows has neither these flags nor descriptors of folders.
_HAS_DESCRIPTORS = os.open in os.supports_dir_fd and hasattr(os, "O_DIRECTORY")
_NO_LINK: int = getattr(os, "O_NOFOLLOW", 0)
_CLOSES: int = getattr(os, "O_CLOEXEC", 0)
_APPENDS = os.O_RDWR | os.O_APPEND | _NO_LINK | _CLOSES


class LinkError(OSError):
    """A folder below one that a user named is a symbolic link."""


class Folder:
    """An open folder; a context manager, which closes it.

    Files and folders that it makes are for this user alone, or for a group to read.

    Args:
        path: Path of the folder.
        group: Number of the group that may read the files and folders; None for no group.
        above: Open folder that it is in; None for a path that a user named, which may lead through links.
        has_descriptors: Whether folders can be opened; otherwise each path is checked before it is used.

    Raises:
        OSError: The folder cannot be opened, or is a link or a file.
    """

    def __init__(
        self,
        path: Path,
        group: int | None = None,
        above: Folder | None = None,
        *,
        has_descriptors: bool = _HAS_DESCRIPTORS,
    ) -> None:
        self.path = path
        self._group = group
        self._has_descriptors = has_descriptors
        self._descriptor = -1
        self._left = ("", 0)  # a file and its size after its last append
        if not has_descriptors:
            if above is not None and path.is_symlink():
                raise _refused(path)
            return

        flags = os.O_RDONLY | os.O_DIRECTORY | _CLOSES
        if above is None:
            self._descriptor = os.open(path, flags)
            return

        try:
            self._descriptor = os.open(path.name, flags | _NO_LINK, dir_fd=above._descriptor)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR) and path.is_symlink():
                raise _refused(path) from None
            raise

    @classmethod
    def made(cls, path: Path, group: int | None = None, *, has_descriptors: bool = _HAS_DESCRIPTORS) -> Folder:
        """Open a folder that a user named; make it, and the folders above it, if they are missing.

        Raises:
            OSError: The folder cannot be made or opened.
        """
        make_private(path, group)
        return cls(path, group, has_descriptors=has_descriptors)

    def inner(self, name: str, *, is_made: bool = True) -> Folder:
        """Open a folder in this one.

        Args:
            name: Its name.
            is_made: Whether to make it, if it is missing.

        Raises:
            OSError: It cannot be made or opened, or is a link or a file.
        """
        if name in ("", ".", ".."):
            msg = f"'{name}' is not a name of a folder in '{self.path}'"
            raise OSError(msg)

        is_new = False
        if is_made:
            with contextlib.suppress(FileExistsError):
                os.mkdir(**self._at(name), mode=0o700)
                is_new = True

        folder = Folder(self.path / name, self._group, self, has_descriptors=self._has_descriptors)
        if is_new and self._group is not None:
            _give(folder._descriptor, self._group, 0o750)
        return folder

    def names(self) -> list[str]:
        """Return the names of the files and folders in it.

        Raises:
            OSError: It cannot be read.
        """
        return os.listdir(self._descriptor if self._descriptor >= 0 else self.path)

    def is_in_place(self) -> bool:
        """Say whether its path still leads to it: it may have been moved or deleted since it was opened."""
        if self._descriptor < 0:
            return False
        try:
            return os.path.samestat(os.fstat(self._descriptor), os.lstat(self.path))
        except OSError:
            return False

    def append(self, name: str, data: bytes) -> None:
        """Append lines to a file, made if it is missing: all of them, or, on a full disk, none.

        They begin on a new line, even if a process that was killed on a full disk left half a line.

        Raises:
            OSError: The file cannot be written, is a link, or belongs to another user, who could read it.
        """
        descriptor = self._opened(name)

        try:
            before = os.fstat(descriptor).st_size
            is_whole = self._left == (name, before) or _ends_a_line(descriptor, before)
            try:
                rest = memoryview(data if is_whole else b"\n" + data)
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
            except OSError:
                os.ftruncate(descriptor, before)
                raise
            self._left = (name, before + len(data) + (not is_whole))
        finally:
            os.close(descriptor)

    def _opened(self, name: str) -> int:
        """Return the descriptor of a file, locked against its deletion by a reader that has all of it."""
        while True:
            try:
                descriptor = os.open(**self._at(name), flags=_APPENDS)
            except FileNotFoundError:
                descriptor = self._opened_new(name)
            try:
                share(descriptor)
                about = os.fstat(descriptor)
                if hasattr(os, "geteuid") and about.st_uid != os.geteuid():
                    msg = f"'{self.path / name}' belongs to another user; no records are written to it"
                    raise PermissionError(msg)
            except OSError:
                os.close(descriptor)
                raise
            if about.st_nlink:
                return descriptor
            os.close(descriptor)  # deleted since it was opened

    def _opened_new(self, name: str) -> int:
        descriptor = os.open(**self._at(name), flags=_APPENDS | os.O_CREAT | os.O_EXCL, mode=0o600)
        if self._group is not None:
            try:
                _give(descriptor, self._group, 0o640)
            except OSError:
                os.close(descriptor)
                self.remove(name)
                raise
        return descriptor

    def remove(self, name: str) -> None:
        """Delete a file; it may be gone already.

        Raises:
            OSError: It cannot be deleted.
        """
        with contextlib.suppress(FileNotFoundError):
            os.unlink(**self._at(name))

    def remove_inner(self, name: str) -> None:
        """Delete a folder in this one, if it is empty; never raises."""
        with contextlib.suppress(OSError):
            os.rmdir(**self._at(name))

    def _at(self, name: str) -> dict[str, Any]:
        """Return the arguments that name an entry of this folder for functions of `os`."""
        if self._descriptor >= 0:
            return {"path": name, "dir_fd": self._descriptor}
        return {"path": self.path / name}

    def close(self) -> None:
        """Close the folder; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()


def _ends_a_line(descriptor: int, size: int) -> bool:
    if size == 0:
        return True
    os.lseek(descriptor, size - 1, os.SEEK_SET)
    return os.read(descriptor, 1) == b"\n"


def _give(descriptor: int, group: int, mode: int) -> None:
    """Let a group read a new file or folder. The group is set first, so that no other group ever may read it."""
    os.fchown(descriptor, -1, group)
    os.fchmod(descriptor, mode)


def _refused(path: Path) -> LinkError:
    msg = f"'{path}' is a symbolic link; records are not written through one"
    return LinkError(msg)
