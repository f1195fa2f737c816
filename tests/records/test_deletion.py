"""Files that a server deletes by age while they are read: what is read is counted, and so is what is gone."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.config import Settings
from flask_boxkite.records import Records
from flask_boxkite.records.folders import Folder
from flask_boxkite.sinks.base import Batch
from flask_boxkite.sinks.files import FileSink
from flask_boxkite.values.times import DAY
from tests.records.archives import record, seconds, write

OLD, NEW = ("2026-01-01", "2026-01-02"), ("2026-03-01", "2026-03-02", "2026-03-03")
FILES_A_DAY = 3
ROWS_A_FILE = 20


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Baseline:
    """Return a baseline of a feature and an output."""
    rng = np.random.default_rng(3)
    path = tmp_path_factory.mktemp("trained") / "baseline.prom"
    return ModelMonitoringService.export_text({"age": rng.normal(size=500)}, rng.random(500), path, model="credit")


def fill_archive(root: Path, fingerprint: str) -> None:
    """Write records of old days and new ones."""
    rng = np.random.default_rng(4)
    for day, minute in itertools.product((*OLD, *NEW), range(FILES_A_DAY)):
        at = f"{day}T08:{minute:02}:30"
        rows = rng.normal(size=ROWS_A_FILE).tolist()
        write(root, *(record({"age": value}, at, output=0.5, baseline=fingerprint) for value in rows))


def sweep(root: Path) -> None:
    """Have a server of the same endpoint deliver a batch a day later, which deletes what is past its lifetime."""
    settings = Settings.from_mapping({"BOXKITE_LOG_DIR": root, "BOXKITE_ENDPOINT_ID": "credit"}, {})
    sink = FileSink(settings, clock=lambda: seconds(NEW[-1]) + DAY)
    sink.ship(Batch([], "models/predictions/credit"), 10)


def all_of(records: Records, trained: Baseline) -> int:
    return len(list(records))


def in_pandas(records: Records, trained: Baseline) -> int:
    return len(records.to_frame("pandas"))


def in_polars(records: Records, trained: Baseline) -> int:
    return len(records.to_frame("polars", trained).collect())


def in_duckdb(records: Records, trained: Baseline) -> int:
    return len(records.to_frame("duckdb", trained).fetchall())


def in_drift(records: Records, trained: Baseline) -> int:
    return int(records.observed(trained)[1][: len(trained.features[0].cells)].sum())


def in_drift_by(records: Records, trained: Baseline) -> int:
    return sum(segment.rows for segment in records.drift(trained, by="server_id").segments)


def in_a_baseline(records: Records, trained: Baseline) -> int:
    return records.to_baseline().rows


WAYS = [all_of, in_pandas, in_polars, in_duckdb, in_drift, in_drift_by, in_a_baseline]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_what_is_deleted_while_it_is_read_is_counted_and_the_rest_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: Baseline, way: Callable[[Records, Baseline], int]
) -> None:
    """At whichever file it happens, of the first reading or a second one: the others are there, and nothing fails."""
    real, vanished = Folder.open, set()
    for at in itertools.count(1):
        root = tmp_path / str(at)
        fill_archive(root, trained.fingerprint)
        opened = 0

        def open_file(folder: Folder, file: Any, root: Path = root, at: int = at) -> Any:
            nonlocal opened
            opened += 1
            if opened == at:
                sweep(root)
            return real(folder, file)

        monkeypatch.setattr(Folder, "open", open_file)
        records = Records(root)
        rows = way(records, trained)
        counts = records.counts
        assert rows == counts.rows == counts.records == ROWS_A_FILE * counts.files
        assert counts.damaged == {}
        assert FILES_A_DAY * len(NEW) <= counts.files
        assert counts.files + counts.vanished in (FILES_A_DAY * len((*OLD, *NEW)), FILES_A_DAY * len(NEW))
        vanished.add(counts.vanished)
        if opened < at:
            break
        assert sorted(path.name for path in (root / "models/predictions/credit").iterdir()) == list(NEW)
    assert vanished == set(range(FILES_A_DAY * len(OLD) + 1))
