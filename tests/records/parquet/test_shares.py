"""Records that several processes count, with the same numbers as one process."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.errors import BoxkiteError
from flask_boxkite.records import Records, compact
from tests import peers
from tests.records.archives import record, write
from tests.records.parquet.kinds import KINDS, Kind

COLUMNS = {"numbers": "more", "mixed": "city", "classes": "far", "derived": "age"}
"""Column by which rows are segmented; the baseline lacks "more"."""


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


def everything(records: Records, kind: Kind, by: str) -> Iterator[Any]:
    """Yield all that is counted of records, in forms that compare."""
    known = kind.baseline
    report, cells, failures = records.observed(known)
    yield [{**row, "note": None} for row in report.to_rows()]  # notes name the values that were read first
    yield cells.tolist(), str(failures), report.window
    counts = records.counts
    yield counts.records, counts.rows, counts.duplicates, counts.damaged, counts.rows_by_baseline, counts.models
    yield records.drift(known, by=by).to_rows()
    if known.validation is not None:
        names = [f"{item['entity_id']}{end}" for number, item in enumerate(kind.records) for end in ENDS[number % 3]]
        actual = ["low", "mid", "high", "low"] if by == COLUMNS["classes"] else [0, 1, 1, 0]
        outcomes = {"entity_id": names, "actual": [actual[place % 4] for place in range(len(names))]}
        yield records.performance(known, outcomes=outcomes, key="entity_id").to_dict()
        yield records.performance(known, outcomes=outcomes, key="entity_id", by=by).to_dict()


ENDS = (("",), ("/0", "/1"), ())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["lines", "mixed", "both", "hourly"])
def test_the_numbers_are_those_of_one_process(
    kinds: Any, stored: Any, threads: ThreadPoolExecutor, kind: str, name: str
) -> None:
    place, chosen = stored(kind, name), kinds(kind)
    alone = everything(Records(place), chosen, COLUMNS[kind])
    shared = everything(Records(place, executor=threads), chosen, COLUMNS[kind])
    for found, expected in zip(shared, alone, strict=True):
        assert repr(found) == repr(expected)


@contextmanager
def processes() -> Iterator[Any]:
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as executor:
        yield executor


@contextmanager
def dask() -> Iterator[Any]:
    with peers.dask_client() as client:
        yield client.get_executor()


@pytest.mark.parametrize("executor", [processes, dask])
def test_other_processes_count_the_same(kinds: Any, stored: Any, executor: Any) -> None:
    place, known = stored("numbers", "parquet"), kinds("numbers").baseline
    with executor() as own:
        report, cells, _ = Records(place, executor=own).observed(known)
    expected_report, expected, _ = Records(place).observed(known)
    assert cells.tolist() == expected.tolist()
    assert report.to_rows() == expected_report.to_rows()


def test_copies_in_any_files_count_once(tmp_path: Path, kinds: Any, threads: ThreadPoolExecutor) -> None:
    made = [record({"age": 50.0 + number}, f"2026-03-01T10:{number:02}:30") for number in range(8)]
    for number, item in enumerate(made):
        write(tmp_path, item, name="first")
        later = {**made[-1 - number], "created_at": item["created_at"]}  # of the same id, in the file of another minute
        write(tmp_path, later, name="again")
    alone, shared = Records(tmp_path), Records(tmp_path, executor=threads)
    known = kinds("numbers").baseline
    assert shared.observed(known)[1].tolist() == alone.observed(known)[1].tolist()
    assert (
        (shared.counts.records, shared.counts.duplicates) == (8, 8) == (alone.counts.records, alone.counts.duplicates)
    )


def spoil(path: Path, column: str) -> None:
    """Overwrite the values of a column."""
    file = pq.ParquetFile(path)
    names = [file.schema_arrow.field(place).name for place in range(len(file.schema_arrow))]
    chunk = file.metadata.row_group(0).column(names.index(column))
    data = bytearray(path.read_bytes())
    start = chunk.data_page_offset
    data[start : start + chunk.total_compressed_size] = b"\xff" * chunk.total_compressed_size
    path.write_bytes(data)


@pytest.mark.parametrize("names", [("a", "parquet"), ("z", "parquet")], ids=["lines first", "parquet first"])
def test_copies_of_damaged_parquet_count(
    tmp_path: Path, kinds: Any, threads: ThreadPoolExecutor, names: tuple[str, str]
) -> None:
    known: Baseline = kinds("numbers").baseline
    lines, tables = (tmp_path / name for name in names)
    for number in range(8):
        write(lines, record({"age": 50.0 + number / 8}, f"2026-03-01T10:{number:02}:30"))
    compact(lines, tables, known)
    (part,) = tables.rglob("*.parquet")
    spoil(part, "age")
    for executor in (None, threads):
        records = Records([lines, tables] if names[0] == "a" else [tables, lines], executor=executor)
        assert records.drift(known)["age"].live_rows == 8
        assert (records.counts.records, records.counts.damaged) == (8, {"cut": 1})


def test_ids_of_damaged_parquet_take_no_other_file_with_them(
    tmp_path: Path, kinds: Any, threads: ThreadPoolExecutor
) -> None:
    known: Baseline = kinds("numbers").baseline
    for number in range(2):
        for minute in range(8):
            write(tmp_path / str(number), record({"age": 50.0}, f"2026-03-01T10:{minute:02}:{number:02}"))
        compact(tmp_path / str(number), tmp_path / f"parquet-{number}", known)
    spoil(next((tmp_path / "parquet-0").rglob("*.parquet")), "entity_id")
    for executor in (None, threads):
        records = Records([tmp_path / "parquet-0", tmp_path / "parquet-1"], executor=executor)
        assert records.drift(known)["age"].live_rows == 16


def test_of_two_predictions_in_one_second_the_same_one_is_the_last(
    tmp_path: Path, kinds: Any, threads: ThreadPoolExecutor
) -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(300)
    known = ModelMonitoringService.export_text(
        {"age": rng.normal(50, 10, 300)}, scores, tmp_path / "b.prom", model="credit", actual=rng.random(300) < scores
    )
    for folder, output in (("parts", 0.9), ("lines", 0.1)):
        for number in range(20):
            at = f"2026-03-01T10:{number:02}:30"
            write(tmp_path / folder, record({"age": 50.0}, at, output=output, key=f"k{number}"), name=folder)
        if folder == "parts":
            compact(tmp_path / "parts", tmp_path / "parquet", known, remove=True)
    outcomes = {"key": [f"k{number}" for number in range(20)], "actual": [1] * 20}
    alone, shared = (
        Records([tmp_path / "lines", tmp_path / "parquet"], executor=executor).performance(
            known, outcomes=outcomes, key="key"
        )
        for executor in (None, threads)
    )
    assert shared.to_dict() == alone.to_dict()
    assert alone.outcomes == 20


def test_a_process_that_was_killed_is_told(tmp_path: Path, kinds: Any) -> None:
    class Broken:
        def map(self, *arguments: Any) -> Any:
            raise BrokenExecutor

    write(tmp_path, record({"age": 50.0}))
    with pytest.raises(BoxkiteError, match=r"A process that counted records was killed\."):
        Records(tmp_path, executor=Broken()).drift(kinds("numbers").baseline)


def test_errors_come_back(tmp_path: Path, kinds: Any, threads: ThreadPoolExecutor) -> None:
    known: Baseline = kinds("numbers").baseline
    write(tmp_path, record({"age": 50.0}, "2026-03-01T10:00:30", model="a"), name="one")
    write(tmp_path, record({"age": 50.0}, "2026-03-01T10:01:30", model="b"), name="two")
    with pytest.raises(BoxkiteError, match="of several models: 'a', 'b'"):
        Records(tmp_path, executor=threads).drift(known)


def test_a_folder_without_records_is_counted_too(tmp_path: Path, kinds: Any, threads: ThreadPoolExecutor) -> None:
    report = Records(tmp_path, executor=threads).drift(kinds("numbers").baseline)
    assert {item.verdict for item in report} == {"not enough data"}
