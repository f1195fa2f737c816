"""Long work tells how far it is: on a terminal, to a callable, or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.baseline.training.stream import count_chunks

ROOT = Path(__file__).parents[2]

PROGRAM = """
from flask_boxkite import Baseline
Baseline.from_chunks(({"x": [1.0, 2.0]} for _ in range(3)))
"""


def test_columns_in_memory_are_told_one_by_one() -> None:
    told: list[tuple[int, int | None, str]] = []
    build_baseline({"a": [1], "b": [2]}, [1], progress=lambda *step: told.append(step))

    assert told == [(1, None, "columns"), (2, None, "columns"), (1, None, "outputs")]


def test_passes_of_an_engine_are_told_with_their_number() -> None:
    told: list[tuple[int, int | None, str]] = []
    build_baseline(pl.LazyFrame({"a": [1.0, 2.0, 3.0], "b": ["x", "y", "x"]}), progress=lambda *step: told.append(step))

    assert told == [(0, 5, "extremes"), (1, 5, "categories"), (2, 5, "ranges"), (3, 5, "bins")]


def test_rows_of_a_stream_are_told() -> None:
    told: list[tuple[int, int | None, str]] = []
    count_chunks([{"x": [1, 2]}, {"x": [3]}], progress=lambda *step: told.append(step))

    assert told == [(2, None, "rows"), (3, None, "rows")]


@pytest.mark.parametrize("progress", [None, False])
def test_nothing_is_shown_where_there_is_no_terminal(progress: bool | None, capfd: pytest.CaptureFixture[str]) -> None:
    count_chunks([{"x": [1, 2]}], progress=progress)  # type: ignore[arg-type]

    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals.")
def test_a_terminal_shows_a_bar() -> None:
    import pty

    main, side = pty.openpty()
    env = {**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH") or str(ROOT), "TERM": "xterm"}
    with subprocess.Popen([sys.executable, "-c", PROGRAM], cwd=ROOT, env=env, stderr=side) as process:
        os.close(side)
        seen = b""
        try:
            while data := os.read(main, 4096):
                seen += data
        except OSError:  # how Linux says that the other side is closed
            pass
        os.close(main)
    assert process.returncode == 0
    assert b"rows" in seen
