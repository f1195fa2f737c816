"""A table in a Parquet file counted by an engine: for a baseline, or by the engine's own queries for the same figures.

Orders are ``write ROWS``, ``ours ENGINE COLUMNS`` and ``engine ENGINE COLUMNS``; the table is the file that the
environment variable ``BENCHMARK_TABLE`` names.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SHARES = [0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9]
BINS = 50
CHUNK = 1_000_000
TEXT = "category"


def write(path: str, rows: int) -> None:
    """Write 9 numeric columns of different shapes, and one of 200 texts."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    generator = np.random.default_rng(3)
    names = pa.array([f"category {number}" for number in range(200)])
    writer = None
    for start in range(0, rows, CHUNK):
        size = min(CHUNK, rows - start)
        columns: dict[str, Any] = {
            TEXT: names.take(pa.array(generator.integers(0, 200, size) * generator.integers(0, 2, size))),
            "lognormal": generator.lognormal(8, 2, size),
            "integers": generator.integers(0, 100_000, size),
            "float32": generator.random(size).astype(np.float32),
            "zeros": np.where(generator.random(size) < 0.6, 0, generator.standard_normal(size)),
            "exponential": generator.exponential(3, size),
        }
        columns |= {f"normal_{number}": generator.normal(number, 1 + number, size) for number in range(4)}
        table = pa.table(columns)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def ours(frame: Any) -> None:
    """Make the baseline."""
    from flask_boxkite import ModelMonitoringService

    with tempfile.TemporaryDirectory() as folder:
        ModelMonitoringService.export_text(features=frame, path=Path(folder) / "baseline.prom")


def polars_frame(path: str, columns: int) -> Any:
    """Return the table as Polars has it."""
    import polars as pl

    frame = pl.scan_parquet(path)
    return frame.select(frame.collect_schema().names()[:columns])


def polars_itself(frame: Any) -> None:
    """Ask Polars."""
    import polars as pl

    names = frame.collect_schema().names()
    numeric = [name for name in names if name != TEXT]
    asked = [pl.col(name).min().alias(f"{name} min") for name in numeric]
    asked += [pl.col(name).max().alias(f"{name} max") for name in numeric]
    asked += [pl.col(name).quantile(SHARES).alias(name) for name in numeric]
    found = frame.select(asked).collect(engine="streaming").row(0, named=True)
    for name in numeric:
        low, high = found[f"{name} min"], found[f"{name} max"]
        part = ((pl.col(name) - low) / (high - low) * BINS).floor()
        frame.group_by(part).len().collect(engine="streaming")
    frame.group_by(TEXT).len().sort("len", descending=True).head(BINS).collect(engine="streaming")


def duckdb_frame(path: str, columns: int) -> Any:
    """Return the table as DuckDB has it."""
    import duckdb

    relation = duckdb.read_parquet(path)
    return relation.select(*relation.columns[:columns])


def duckdb_itself(relation: Any) -> None:
    """Ask DuckDB."""
    numeric = [name for name in relation.columns if name != TEXT]
    asked = (f"min({name}), max({name}), quantile_disc({name}, {SHARES})" for name in numeric)
    found = relation.aggregate(", ".join(asked)).fetchall()[0]
    for number, name in enumerate(numeric):
        low, high = found[3 * number], found[3 * number + 1]
        part = f"floor(({name} - {low}::DOUBLE) / {high - low}::DOUBLE * {BINS})"
        relation.aggregate(f"{part} AS part, count(*) AS rows", "part").fetchall()
    relation.aggregate(f"{TEXT}, count(*) AS rows", TEXT).order("rows DESC").limit(BINS).fetchall()


FRAMES: dict[str, Callable[[str, int], Any]] = {"polars": polars_frame, "duckdb": duckdb_frame}
ITSELF: dict[str, Callable[[Any], None]] = {"polars": polars_itself, "duckdb": duckdb_itself}


def peak_mib() -> float:
    """Return the most memory that this process has had resident."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def answer(order: str) -> dict[str, float]:
    """Do what an order says and tell how long it took and how much memory."""
    path = os.environ["BENCHMARK_TABLE"]
    what, *words = order.split()
    if what == "write":
        write(path, int(words[0]))
        return {}
    engine, columns = words
    frame = FRAMES[engine](path, int(columns))
    start = time.perf_counter()
    (ours if what == "ours" else ITSELF[engine])(frame)
    return {"seconds": time.perf_counter() - start, "mib": peak_mib()}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line)["case"])), flush=True)
