"""`compact` from a command line: it may run again and again, and other commands read its files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from flask_boxkite import ModelMonitoringService
from flask_boxkite.cli import boxkite
from tests.records.archives import record, write


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> Path:
    """Go where there are records of a model, and its baseline."""
    monkeypatch.chdir(tmp_path)
    ModelMonitoringService.export_text({"age": rng.normal(size=500)}, rng.random(500), "own.prom", model="credit")
    write(tmp_path / "records", *(record({"age": value}, output=0.5) for value in rng.normal(size=40)))
    return tmp_path


def command(*words: str) -> Result:
    return CliRunner().invoke(boxkite, [*words])


def test_each_file_is_compacted_once(directory: Path) -> None:
    words = ("compact", "records", "records/parquet", "--baseline", "own.prom")
    first, second, third = command(*words), command(*words), command(*words, "--remove")
    assert first.output.startswith("40 records of 1 file became 1 Parquet file; 0.0 MB became 0.0 MB.\n")
    assert second.output == "Nothing to compact.\n"
    assert third.output == "Nothing to compact; 1 file deleted.\n"
    drift = command("drift", "--records", "records", "--baseline", "own.prom", "--format", "json")
    assert '"live_rows": 40' in drift.output


def test_a_folder_that_is_missing_is_one_line(directory: Path) -> None:
    found = command("compact", "nowhere", "parquet")
    assert found.exit_code == 1
    assert found.output == (
        "Error: Records at 'nowhere' cannot be listed: No such file or directory. Name a directory that holds some.\n"
    )
    assert not (directory / "parquet").exists()


def test_new_files_are_left_to_their_writers(directory: Path) -> None:
    found = command("compact", "records", "parquet", "--closed-after", "100000000")
    assert found.output == "Nothing to compact; 1 file too new.\n"
