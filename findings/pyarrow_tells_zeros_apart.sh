#!/usr/bin/env bash
# pyarrow 26.0.1: 0.0 and -0.0 are equal by ==, and different by everything that hashes: isin, unique, count_distinct,
# group_by and joins. So field == 0.0 keeps a row that field.isin([0.0]) drops. pandas 3.1.1 counts one distinct value in a
# column of NumPy, two in one of Arrow. -0.0 comes from rounding and from 0 * -1, and shows as -0.0 only.
#
# Seen: "equal: True isin: [True, False] rows by ==: 2 by isin: 1 groups: 2 joined: None pandas: 1, with Arrow 2"
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1 pandas==3.1.1
"$folder/venv/bin/python" - <<'PYTHON'
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

print("pyarrow", pa.__version__, "pandas", pd.__version__)
zeros = pa.array([0.0, -0.0])
table = pa.table({"x": zeros})
equal = pc.equal(0.0, -0.0).as_py()
isin = pc.is_in(zeros, value_set=pa.array([0.0])).to_pylist()
by_equal, by_isin = (table.filter(kept).num_rows for kept in (pc.field("x") == 0.0, pc.field("x").isin([0.0])))
groups = table.group_by("x").aggregate([]).num_rows
joined = pa.table({"x": [-0.0]}).join(pa.table({"x": [0.0], "y": [1]}), "x")["y"][0].as_py()
plain, arrow = (pd.Series([0.0, -0.0], dtype=dtype).nunique() for dtype in ("float64", "double[pyarrow]"))
print("equal:", equal, "isin:", isin, "rows by ==:", by_equal, "by isin:", by_isin, "groups:", groups, end=" ")
print("joined:", joined, f"pandas: {plain}, with Arrow {arrow}")
assert equal
assert isin == [True, False]
assert (by_equal, by_isin, groups, joined, plain, arrow) == (2, 1, 2, None, 1, 2)
PYTHON
