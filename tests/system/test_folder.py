"""Folders that are reached through no link, with descriptors and, as on Windows, without."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest import mock

import pytest

from flask_boxkite.system.folder import Folder
from flask_boxkite.system.locks import can_lock


@pytest.fixture(params=[True, False], ids=["descriptors", "paths"])
def open_folder(request: pytest.FixtureRequest) -> Callable[..., Folder]:
    """Return a function that opens a folder, on a system where folders can be opened, or not."""
    return partial(Folder, has_descriptors=request.param)


@pytest.fixture
def make_folder(open_folder: partial[Folder]) -> Callable[..., Folder]:
    """Return a function that opens a folder likewise, and makes it."""
    return partial(Folder.made, **open_folder.keywords)


def test_what_is_written_is_there_until_it_is_removed(tmp_path: Path, make_folder: Callable[..., Folder]) -> None:
    with make_folder(tmp_path / "a/b") as above, above.inner("c") as found:
        assert found.path == tmp_path / "a/b/c"
        for data in (b"one\n", b"two\n"):
            found.append("file", data)
        assert (found.path / "file").read_bytes() == b"one\ntwo\n"
        assert (above.names(), found.names()) == (["c"], ["file"])
        above.remove_inner("c")
        assert found.path.exists()
        for _ in range(2):
            found.remove("file")
        above.remove_inner("c")

        assert not found.path.exists()


def test_a_folder_is_made_only_where_it_is_wanted(tmp_path: Path, open_folder: Callable[..., Folder]) -> None:
    with open_folder(tmp_path) as above:
        with pytest.raises(FileNotFoundError):
            above.inner("none", is_made=False).names()
        for _ in range(2):
            above.inner("some").close()
    assert [path.name for path in tmp_path.iterdir()] == ["some"]


@pytest.mark.parametrize("target", ["elsewhere", "nowhere"])
def test_a_link_is_refused(tmp_path: Path, target: str, open_folder: Callable[..., Folder]) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(target)
    with (
        open_folder(tmp_path) as above,
        pytest.raises(OSError, match=f"^'{tmp_path}/link' is a symbolic link; records are not written through one$"),
    ):
        above.inner("link")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_the_folder_that_was_named_may_be_a_link(tmp_path: Path, make_folder: Callable[..., Folder]) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to("elsewhere")
    with make_folder(tmp_path / "link") as found:
        found.append("file", b"x")
    assert (tmp_path / "elsewhere/file").read_bytes() == b"x"


def test_a_file_in_the_place_of_a_folder_is_an_error(tmp_path: Path, open_folder: Callable[..., Folder]) -> None:
    (tmp_path / "file").touch()
    with open_folder(tmp_path) as above, pytest.raises(NotADirectoryError):
        above.inner("file").names()


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="only Linux lists them so")
def test_nothing_is_left_open(tmp_path: Path, make_folder: Callable[..., Folder]) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with make_folder(tmp_path / "a") as above, above.inner("b") as found:
            found.append("file", b"x")
            found.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_no_line_goes_to_a_file_that_is_deleted_before_it_is_locked(tmp_path: Path) -> None:
    """A compaction deletes a file of which it has all lines."""
    left = iter([tmp_path / "a.txt"])

    def delete(descriptor: int) -> None:
        for path in left:
            path.unlink()

    with Folder(tmp_path) as folder:
        folder.append("a.txt", b"old\n")
        with mock.patch("flask_boxkite.system.folder.share", delete):
            folder.append("a.txt", b"new\n")
    assert (tmp_path / "a.txt").read_bytes() == b"new\n"


@pytest.mark.skipif(not can_lock, reason="needs locks of files")
def test_a_file_that_another_has_for_itself_is_left_alone(tmp_path: Path) -> None:
    import fcntl

    with Folder(tmp_path) as folder, open(tmp_path / "a.txt", "ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(OSError, match="another process has locked the file"):
            folder.append("a.txt", b"new\n")
        fcntl.flock(other, fcntl.LOCK_UN)
        folder.append("a.txt", b"new\n")
    assert (tmp_path / "a.txt").read_bytes() == b"new\n"
