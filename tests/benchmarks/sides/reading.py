"""Write many logged predictions, compact them, or read them back, with a directory.

Prints the seconds and the peak of resident memory in MiB, as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from datetime import date, timedelta
from importlib import import_module
from itertools import count as counting
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from workload import feature_names, rows, score

VALUES_WAITING = 200_000
"""Values of the predictions that may wait to be written."""

LINES_OF_A_FILE = 25_000
"""Lines that a process writes in a minute at 400 predictions a second."""

BASELINE = "histogram.prom"

FIRST_DAY = date(2025, 1, 1)


def write(case: Any) -> None:
    """Train, predict some rows and have them logged to files."""
    from flask_boxkite import ModelMonitoringService

    names = feature_names(case.features)
    data = rows(case.features, max(case.count // 10, 1000))
    columns = list(zip(names, data.T, strict=True))
    outputs = [score(first) for first in data[:, 0].tolist()]
    path = case.directory / BASELINE
    ModelMonitoringService.export_text(features=columns, inference=outputs, path=path, model="churn")
    service = ModelMonitoringService(baseline=path, sink="file", log_dir=case.directory / "records")
    listed = data.tolist()
    for number in range(case.count):
        row = listed[number % len(listed)]
        service.log_prediction(features=row, output=score(row[0]))
        if number % (VALUES_WAITING // case.features) == 0:
            assert service.flush(60) == 0
    assert service.flush(60) == 0
    service.close()
    split(case, LINES_OF_A_FILE)


def split(case: Any, lines_of_a_file: int) -> None:
    """Replace each file of records by several of so many lines."""
    for path in list((case.directory / "records").rglob("*.txt")):
        with path.open("rb") as file:
            for number in counting():
                lines = list(islice(file, lines_of_a_file))
                if not lines:
                    break
                path.with_name(f"{path.stem}-{number}.txt").write_bytes(b"".join(lines))
        path.unlink()


def scatter(case: Any) -> None:
    """Replace the files of records by many."""
    split(case, case.count // case.files)


def compact_all(case: Any) -> dict[str, float]:
    """Write the records as Parquet; return the megabytes of both."""
    from flask_boxkite import Baseline
    from flask_boxkite.records import Compaction
    from flask_boxkite.records.parquet.compaction import run_compaction

    run, baselines = Compaction(), [Baseline.load(case.directory / BASELINE)]
    folders = str(case.directory / "records"), str(case.directory / "parquet")
    run_compaction(*folders, baselines, run, remove=False, closed_seconds=-120.0)  # also the present minute
    assert run.records == case.count
    return {"megabytes": run.bytes_written / 1e6, "lines": run.bytes_read / 1e6}


def parquet_of(case: Any) -> Path:
    """Return the folder of the Parquet: as compacted, or as spread over days."""
    name = "parquet" if case.days is None else f"parquet-{case.days}"
    folder: Path = case.directory / name
    return folder


def spread(case: Any) -> None:
    """Have the same Parquet under the dates of several days; for no days, twice under its own date."""
    for part in (case.directory / "parquet").rglob("*.parquet"):
        minutes, _, rest = part.name.partition("_")
        for number in range(case.days or 2):
            date_folder = f"boxkite_date={FIRST_DAY + timedelta(days=number)}" if case.days else part.parent.name
            folder = parquet_of(case) / part.parent.parent.name / date_folder
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{minutes}_{number:016x}{rest[16:]}").hardlink_to(part)


def read_with_ours(case: Any, executor: ProcessPoolExecutor | None = None) -> None:
    """Report the drift of all records in lines, counted here or in the processes of an executor."""
    report_drift(case, case.directory / "records", executor)


def report_drift(case: Any, folder: Path, executor: ProcessPoolExecutor | None) -> None:
    """Report the drift of all records in a folder."""
    from flask_boxkite.records import Records

    records = Records(folder, executor=executor)
    report = records.drift(case.directory / BASELINE)
    assert records.counts.rows == case.count
    assert len(report.variables) == case.features + 1


def read_with_polars(case: Any) -> None:
    """Read the same fields with an engine, and ask it for no more than the mean of each."""
    import polars as pl

    fields = {"entity_id": pl.String, "features": pl.List(pl.Float64), "output": pl.Float64}
    frame = pl.scan_ndjson(list((case.directory / "records").rglob("*.txt")), schema=fields)
    means = [pl.col("features").list.get(number).mean().alias(str(number)) for number in range(case.features)]
    found = frame.select(*means, pl.col("output").mean(), pl.col("entity_id").n_unique()).collect(engine="streaming")
    assert found["entity_id"][0] == case.count


def read_parquet(case: Any, executor: ProcessPoolExecutor | None = None) -> None:
    """Report the drift of all records in Parquet."""
    report_drift(case, parquet_of(case), executor)


def read_parquet_with_polars(case: Any) -> None:
    """Read the same columns of Parquet with an engine, and ask it for no more than the mean of each."""
    import polars as pl

    columns = [*feature_names(case.features), "output"]
    frame = pl.scan_parquet(parquet_of(case) / "**" / "*.parquet", hive_partitioning=False)
    found = frame.select(*(pl.col(name).mean() for name in columns), rows=pl.len()).collect(engine="streaming")
    assert found["rows"][0] >= case.count


def count_parquet_with_duckdb(case: Any) -> None:
    """Count the same columns of Parquet in the same bins with an engine; nothing more."""
    import duckdb

    from flask_boxkite import Baseline

    baseline = Baseline.load(case.directory / BASELINE)
    counts = ", ".join(
        f'histogram("{item.name}", {[bound for bound in item.upper_bounds if abs(bound) < 1e300]})'
        for item in (*baseline.features, *baseline.outputs)
    )
    found = duckdb.sql(f"SELECT {counts} FROM read_parquet('{parquet_of(case)}/**/*.parquet')").fetchall()
    assert all(sum(one.values()) >= case.count for one in found[0])


SIDES = {
    "write": write,
    "scatter": scatter,
    "compact": compact_all,
    "spread": spread,
    "ours": read_with_ours,
    "polars": read_with_polars,
    "parquet": read_parquet,
    "polars-parquet": read_parquet_with_polars,
    "counts-parquet": count_parquet_with_duckdb,
}

SHARED = {"shared": read_with_ours, "shared-parquet": read_parquet}
"""Readings by all processors."""

IMPORTS = {"polars": ["polars"], "polars-parquet": ["polars"], "counts-parquet": ["duckdb", "flask_boxkite"]}
"""Modules that the comparison "import" measures."""


@contextmanager
def processes() -> Iterator[ProcessPoolExecutor]:
    """Yield a process for each processor, each of which has begun."""
    number = os.cpu_count() or 1
    with ProcessPoolExecutor(
        number, get_context("spawn"), initializer=import_module, initargs=["flask_boxkite.records.parquet.counting"]
    ) as executor:
        list(executor.map(time.sleep, [1.0] * number))
        yield executor


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=[*SIDES, *SHARED])
    parser.add_argument("directory", type=Path)
    parser.add_argument("count", type=int)
    for name in ("features", "files", "days"):
        parser.add_argument(f"--{name}", type=int)
    case = parser.parse_args(namespace=SimpleNamespace())
    for module in IMPORTS.get(case.what, ["flask_boxkite.records", "pyarrow.parquet"]):
        import_module(module)
    with processes() if case.what in SHARED else nullcontext() as executor:
        begin = time.perf_counter()
        more = SHARED[case.what](case, executor) if case.what in SHARED else SIDES[case.what](case)
        seconds = time.perf_counter() - begin
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "mib": mib, **(more or {})}))
