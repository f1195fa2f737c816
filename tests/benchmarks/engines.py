"""Training data of 20,000,000 x 10 in a Parquet file: time and memory beside the engine's own queries, and growth.

What the engine itself is asked for is what a baseline holds: smallest and largest value, deciles and quartiles of every
column, and its counts by value or by 50 bins of equal width, written as its manual would have it.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .bench import Bench
from .report import Row
from .side import SIDES, run_side

__all__ = ["measure"]

ENGINES = {"polars": "Polars", "duckdb": "DuckDB"}
MAX_RATIO = 2.0
MAX_MIB = 1536.0
ROWS, COLUMNS = 20_000_000, 10
SIZES = ((1_250_000, 10), (5_000_000, 10), (20_000_000, 10))
WIDTHS = ((5_000_000, 2), (5_000_000, 5), (5_000_000, 10))
LINEAR = 1.5
"""How much more than its share of rows or columns a larger table may cost."""


def measure(bench: Bench) -> Iterator[Row]:
    """Compare in fresh processes, since what a process held at most is known for the whole of its life."""
    scale = 10 if bench.quick else 1
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        tables = {rows: Path(folder) / f"{rows}.parquet" for rows, _ in SIZES}
        for rows, path in tables.items():
            _ask(bench, path, f"write {rows // scale}")
        for engine, name in ENGINES.items():
            yield from _beside(bench, tables[ROWS], engine, name, ROWS // scale)
        for what, sizes in (("rows", SIZES), ("columns", WIDTHS)):
            yield from _growth(bench, what, [(tables[rows], rows // scale, columns) for rows, columns in sizes])


def _ask(bench: Bench, path: Path, case: str) -> dict[str, Any]:
    environment = bench.environment("ours") | {"BENCHMARK_TABLE": str(path)}
    with run_side(SIDES / "engine_case.py", python=sys.executable, environment=environment) as side:
        return side.ask(case)


def _beside(bench: Bench, path: Path, engine: str, name: str, rows: int) -> Iterator[Row]:
    ours = _ask(bench, path, f"ours {engine} {COLUMNS}")
    own = _ask(bench, path, f"engine {engine} {COLUMNS}")
    what = f"export_text of {rows:,} x {COLUMNS}, Parquet, {name}"
    yield Row(what, ours["seconds"], "s", peer=own["seconds"], peer_name=f"{name} itself", max_ratio=MAX_RATIO)
    yield Row(
        f"{what}, peak resident memory",
        ours["mib"],
        "MiB",
        peer=own["mib"],
        peer_name=f"{name} itself",
        max_figure=MAX_MIB,
    )


def _growth(bench: Bench, what: str, sizes: list[tuple[Path, int, int]]) -> Iterator[Row]:
    first: float | None = None
    for path, rows, columns in sizes:
        seconds = _ask(bench, path, f"ours polars {columns}")["seconds"] / (rows * columns) * 1e9
        yield Row(
            f"{what}: {rows:,} x {columns}, Polars, a value",
            seconds,
            "ns",
            peer=first,
            peer_name="the smallest",
            max_ratio=LINEAR if first else None,
        )
        first = first or seconds
