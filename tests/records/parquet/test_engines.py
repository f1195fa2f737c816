"""Other readers of the Parquet files, each with its own code, and lazy frames that engines read themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask.dataframe as dd
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from flask_boxkite import Baseline, ModelMonitoringService
from flask_boxkite.errors import BoxkiteError
from flask_boxkite.records import Records, SparkExecutor, compact
from tests import peers
from tests.records.archives import record, write

pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")  # of Dask, with pandas of the same year

AGES = [None, 41.5, "old", float("inf"), "nan", 50, True, "61.25"]
"""Ages as clients send them, the first of which are no numbers."""

EXPECTED = [None, 41.5, None, float("inf"), None, 50.0, 1.0, 61.25]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Baseline:
    rng = np.random.default_rng(0)
    data = {
        "age": rng.normal(50, 10, 300),
        "City": ["Oslo", "Rome"] * 150,
        "city": ["x", "y"] * 150,
        "date": range(300),
    }
    path = tmp_path_factory.mktemp("trained") / "baseline.prom"
    return ModelMonitoringService.export_text(data, rng.random(300), path, model="007")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, trained: Baseline) -> Path:
    """Return a folder with records of two days, of two models, in files of lines and in three units of Parquet."""
    place = tmp_path_factory.mktemp("records")
    for day, minute in ((1, 58), (1, 59), (2, 0)):
        hour = 0 if day == 2 else 23
        made = [
            record(
                {"age": "Infinity" if age == float("inf") else age, "City": "Oslo", "city": "007", "date": number},
                f"2026-01-0{day}T{hour:02}:{minute:02}:{number:02}",
                output=number / 8,
                model="007",
                baseline=trained.fingerprint,
            )
            for number, age in enumerate(AGES)
        ]
        write(place / "logs", *made, name=f"boxkite-{day}-{minute}")
        write(place / "logs", record({"x": 1}, f"2026-01-0{day}T{hour:02}:{minute:02}:30", model="other"))
        compact(place / "logs", place / "out", trained)
        if (day, minute) == (1, 59):  # sent again after the first was compacted
            write(place / "logs", *made[:3], name="boxkite-again")
    compact(place / "logs", place / "out", trained)
    return place


@pytest.fixture(autouse=True)
def no_threads() -> Iterator[None]:
    with peers.library("dask").config.set(scheduler="synchronous"):
        yield


def of_table(frame: Any) -> list[dict[str, Any]]:
    """Return the rows of a frame of any engine."""
    if isinstance(frame, pl.LazyFrame):
        return frame.collect().to_dicts()
    if isinstance(frame, duckdb.DuckDBPyRelation):
        return frame.to_arrow_table().to_pylist()
    if isinstance(frame, ds.Dataset):
        return frame.to_table().to_pylist()
    if isinstance(frame, pa.RecordBatchReader):
        return frame.read_all().to_pylist()
    if hasattr(frame, "toPandas"):
        return [row.asDict() for row in frame.collect()]
    frame = frame.compute() if isinstance(frame, dd.DataFrame) else frame
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


READERS: dict[str, Callable[[str], Any]] = {
    "pyarrow": lambda path: ds.dataset(path, partitioning="hive"),
    "polars": lambda path: pl.scan_parquet(path),
    "duckdb": lambda path: duckdb.read_parquet(f"{path}/**/*.parquet", hive_partitioning=True),
    "pandas": pd.read_parquet,
    "dask": lambda path: dd.read_parquet(path),
    "pyspark": lambda path: peers.library("pyspark.sql").SparkSession.builder.getOrCreate().read.parquet(path),
}
ENGINES = ("polars", "duckdb", "dask", "pyspark", "pandas", "pyarrow")


def value(item: Any) -> Any:
    return None if item is None or item is pd.NA or item != item else item


def plain(row: dict[str, Any]) -> str:
    """Return a row as text; Spark has moments without a zone, in its own, which is UTC here."""
    moment = pd.Timestamp(row["created_at"])
    seconds = (moment if moment.tzinfo else moment.tz_localize("UTC")).timestamp()
    return repr([seconds if name == "created_at" else value(item) for name, item in row.items()])


@pytest.mark.parametrize("reader", READERS)
def test_other_readers_find_each_table_in_a_folder(
    place: Path, trained: Baseline, reader: str, request: pytest.FixtureRequest
) -> None:
    if reader == "pyspark":
        request.getfixturevalue("spark")
    (table,) = (place / "out").glob("model-007-*")
    rows = of_table(READERS[reader](str(table)))
    assert len(rows) == 3 * len(AGES) + 3  # engines see copies that came after their unit
    # Spark takes a name in any capitals, so the file must have another one for each.
    assert {"age", "City", "feature.city"} <= set(rows[0]) or {"age", "feature.City", "feature.city"} <= set(rows[0])
    by_place = {row["date"]: value(row["age"]) for row in rows}
    assert [by_place[number] for number in range(len(AGES))] == EXPECTED
    assert {row["model"] for row in rows} == {"007"}
    assert {str(row["boxkite_date"])[:10] for row in rows} == {"2026-01-01", "2026-01-02"}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "period", [{}, {"start": "2026-01-01T23:58:02", "end": "2026-01-02T00:00:05"}], ids=["all", "some"]
)
def test_frames_of_engines_are_the_same(
    place: Path, trained: Baseline, engine: str, period: dict[str, str], request: pytest.FixtureRequest
) -> None:
    if engine == "pyspark":
        request.getfixturevalue("spark")
    expected = Records(place / "logs", model="007", **period).to_frame("pyarrow", trained).read_all().to_pylist()
    rows = of_table(Records(place / "out", model="007", **period).to_frame(engine, trained))
    assert list(rows[0]) == list(expected[0])
    assert sorted(map(plain, rows)) == sorted(map(plain, expected))
    assert len(rows) == (24 if not period else 19)


@pytest.mark.parametrize(("engine", "ours"), [("polars", "PYTHON SCAN"), ("duckdb", "PYTHON_ARROW_SCAN")])
def test_the_engine_reads_the_files_itself(place: Path, trained: Baseline, engine: str, ours: str) -> None:
    """But not where files of lines may hold the same records."""
    frame = Records(place / "out", model="007").to_frame(engine, trained)
    assert ours not in frame.explain()
    lines = Records([place / "logs", place / "out"], model="007").to_frame(engine, trained)
    assert ours in lines.explain()
    assert len(of_table(lines)) == 24


@pytest.mark.parametrize("engine", ["dask", "pyspark"])
def test_engines_that_read_only_parquet_say_so(place: Path, trained: Baseline, engine: str) -> None:
    for location, model in (("logs", "007"), ("out", None), ("out", "other")):
        with pytest.raises(
            BoxkiteError, match=rf"'{engine}' reads Parquet of one baseline. Compact the records with it"
        ):
            Records(place / location, model=model).to_frame(engine, trained)


@pytest.mark.parametrize("engine", ["polars", "pyarrow", "duckdb", "dask"])
def test_values_that_are_null_in_the_frame_are_told(
    tmp_path: Path, trained: Baseline, engine: str, caplog: pytest.LogCaptureFixture
) -> None:
    fields = {"City": "Oslo", "city": "x", "date": 1}
    for minute, ages in enumerate([("12,5", 50), ("n/a", "13,5")]):
        items = [record({"age": age, **fields}, f"2026-01-01T23:0{minute}:00", model="007") for age in ages]
        write(tmp_path / "logs", *items)
    compact(tmp_path / "logs", tmp_path / "out", trained)
    for period, told in (
        ({}, "(2: texts such as '12,5')"),
        ({"start": "2026-01-01T23:01"}, "(1: texts such as '13,5')"),
    ):
        caplog.clear()
        of_table(Records(tmp_path / "out", model="007", **period).to_frame(engine, trained))
        (line,) = caplog.messages
        assert line.startswith(f"Values that do not fit their columns are null in the frame: 'age' {told}. ")


def test_spark_counts_the_same(place: Path, trained: Baseline, spark: Any) -> None:
    alone, shared = Records(place, model="007"), Records(place, model="007", executor=SparkExecutor(spark))
    assert shared.observed(trained)[1].tolist() == alone.observed(trained)[1].tolist()
    assert shared.counts == alone.counts
    assert alone.counts.duplicates > 0


def test_a_filter_finds_all_numbers(place: Path, trained: Baseline) -> None:
    """NaN in a column would vanish by its statistics, which engines use to pass over groups of rows."""
    (table,) = (place / "out").glob("model-007-*")
    found = pl.scan_parquet(str(table)).filter(pl.col("age") > 41).select(pl.len()).collect().item()
    assert found == len([age for age in EXPECTED if age is not None and age > 41]) * 3 + 1
