#!/usr/bin/env bash
# DuckDB 2.0.1: a duration that pyarrow or Polars wrote to Parquet is a BIGINT without its unit, though the file holds the type:
# 90 minutes are 5400000, 5400000000 or 5400000000000, by the writer's unit. The same table in memory has an INTERVAL.
# Filters and means over files of several writers mix units, and nothing says so.
#
# Seen: "ms: 5400000 BIGINT us: 5400000000 BIGINT ns: 5400000000000 BIGINT in memory: 1:30:00 INTERVAL"
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.1 pyarrow==26.0.1
"$folder/venv/bin/python" - "$folder/took.parquet" <<'PYTHON'
import sys
from datetime import timedelta

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

print("duckdb", duckdb.__version__, "pyarrow", pa.__version__)
found = {}
for unit in ("ms", "us", "ns"):
    table = pa.table({"took": pa.array([timedelta(minutes=90)], pa.duration(unit))})
    pq.write_table(table, sys.argv[1])
    assert pq.read_table(sys.argv[1])["took"].type == pa.duration(unit)
    found[unit] = duckdb.sql(f"SELECT took, typeof(took) FROM '{sys.argv[1]}'").fetchall()[0]
memory = duckdb.from_arrow(table).project("took, typeof(took)").fetchall()[0]
print(*(f"{unit}: {value} {kind}" for unit, (value, kind) in found.items()), "in memory:", *memory)
assert found == {"ms": (5400000, "BIGINT"), "us": (5400000000, "BIGINT"), "ns": (5400000000000, "BIGINT")}
assert memory == (timedelta(minutes=90), "INTERVAL")
PYTHON
