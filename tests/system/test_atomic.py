"""Results written whole, or not at all."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from flask_boxkite.system.atomic import write_whole


def test_a_link_stays_and_leads_to_what_is_new(tmp_path: Path) -> None:
    (tmp_path / "v1").write_text("before")
    (tmp_path / "current").symlink_to("v1")
    write_whole(tmp_path / "current", b"after")

    assert (tmp_path / "current").is_symlink()
    assert (tmp_path / "v1").read_text() == "after"
    assert sorted(os.listdir(tmp_path)) == ["current", "v1"]


def test_who_may_read_the_file_stays_the_same(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("before")
    path.chmod(0o640)
    write_whole(path, b"after")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    path, found = tmp_path / "pipe", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: found.append(path.read_bytes()))
    reader.start()
    write_whole(path, b"text")
    reader.join()

    assert found == [b"text"]
    assert path.is_fifo()


def test_a_fault_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("before")
    with pytest.raises(TypeError):
        write_whole(path, "no bytes")  # type: ignore[arg-type]
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["file"]
