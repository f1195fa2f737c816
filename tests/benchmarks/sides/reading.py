"""Write many logged predictions, compact them, or read them back, with a directory.

Prints the seconds and the peak of resident memory in MiB, as JSON.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import partial
from importlib import import_module
from itertools import count as counting
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

from workload import feature_names, rows, score

FEATURES = 10
FLUSHED_AT_ONCE = 20_000
LINES_OF_A_FILE = 25_000
"""Lines that a process writes in a minute at 400 predictions a second."""

BASELINE = "histogram.prom"


def write(directory: Path, count: int) -> None:
    """Train, predict *count* rows and have them logged to files."""
    from flask_boxkite import ModelMonitoringService

    names = feature_names(FEATURES)
    data = rows(FEATURES, max(count // 10, 1000))
    columns = list(zip(names, data.T, strict=True))
    outputs = [score(first) for first in data[:, 0].tolist()]
    path = directory / BASELINE
    ModelMonitoringService.export_text(features=columns, inference=outputs, path=path, model="churn")
    service = ModelMonitoringService(baseline=path, sink="file", log_dir=directory / "records")
    listed = data.tolist()
    for number in range(count):
        row = listed[number % len(listed)]
        service.log_prediction(features=row, output=score(row[0]))
        if number % FLUSHED_AT_ONCE == 0:
            assert service.flush(60) == 0
    assert service.flush(60) == 0
    service.close()
    for path in (directory / "records").rglob("*.txt"):
        split(path)


def split(path: Path) -> None:
    """Replace the file of a minute by those that several processes would have written."""
    with path.open("rb") as file:
        for number in counting():
            lines = list(islice(file, LINES_OF_A_FILE))
            if not lines:
                break
            path.with_name(f"{path.stem}-{number}.txt").write_bytes(b"".join(lines))
    path.unlink()


def compact_all(directory: Path, count: int) -> dict[str, float]:
    """Write the records as Parquet; return the megabytes of both."""
    from flask_boxkite import Baseline
    from flask_boxkite.records import Compaction
    from flask_boxkite.records.parquet.compaction import run_compaction

    run, baselines = Compaction(), [Baseline.load(directory / BASELINE)]
    folders = str(directory / "records"), str(directory / "parquet")
    run_compaction(*folders, baselines, run, remove=False, closed_seconds=-120.0)  # also the present minute
    assert run.records == count
    return {"megabytes": run.bytes_written / 1e6, "lines": run.bytes_read / 1e6}


def read_with_ours(
    directory: Path, count: int, folder: str = "records", executor: ProcessPoolExecutor | None = None
) -> None:
    """Report the drift of all records, counted here or in the processes of an executor."""
    from flask_boxkite.records import Records

    records = Records(directory / folder, executor=executor)
    report = records.drift(directory / BASELINE)
    assert records.counts.rows == count
    assert len(report.variables) == FEATURES + 1


def read_with_polars(directory: Path, count: int) -> None:
    """Read the same fields with an engine, and ask it for no more than the mean of each."""
    import polars as pl

    fields = {"entity_id": pl.String, "features": pl.List(pl.Float64), "output": pl.Float64}
    frame = pl.scan_ndjson(list((directory / "records").rglob("*.txt")), schema=fields)
    means = [pl.col("features").list.get(number).mean().alias(str(number)) for number in range(FEATURES)]
    found = frame.select(*means, pl.col("output").mean(), pl.col("entity_id").n_unique()).collect(engine="streaming")
    assert found["entity_id"][0] == count


def read_parquet(directory: Path, count: int) -> None:
    """Report the drift of all records in Parquet."""
    read_with_ours(directory, count, "parquet")


def read_parquet_with_polars(directory: Path, count: int) -> None:
    """Read the same columns of Parquet with an engine, and ask it for no more than the mean of each."""
    import polars as pl

    columns = [*feature_names(FEATURES), "output"]
    frame = pl.scan_parquet(directory / "parquet" / "**" / "*.parquet", hive_partitioning=False)
    found = frame.select(*(pl.col(name).mean() for name in columns), rows=pl.len()).collect(engine="streaming")
    assert found["rows"][0] == count


SIDES = {
    "write": write,
    "compact": compact_all,
    "ours": read_with_ours,
    "polars": read_with_polars,
    "parquet": read_parquet,
    "polars-parquet": read_parquet_with_polars,
}

SHARED = {"shared": "records", "shared-parquet": "parquet"}
"""Folders that all processors read."""


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
    what, directory, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    import_module("polars" if "polars" in what else "flask_boxkite.records")  # measured by the comparison "import"
    if "parquet" in what:
        import_module("pyarrow.parquet")
    with processes() if what in SHARED else nullcontext() as executor:
        side = partial(read_with_ours, folder=SHARED[what], executor=executor) if what in SHARED else SIDES[what]
        begin = time.perf_counter()
        more = side(directory, count) or {}
        seconds = time.perf_counter() - begin
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "mib": mib, **more}))
