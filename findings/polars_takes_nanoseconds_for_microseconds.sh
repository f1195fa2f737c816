#!/usr/bin/env bash
# Polars 2.1.0: a list of NumPy's datetime64 of nanoseconds becomes a column of microseconds with the same integers, so
# 2024 is the year 55969; in rows, each a dict, the same value becomes a float. Lists of microseconds raise a TypeError. An
# array keeps its moments. What a loop over a NumPy column collects is such a list.
#
# Seen: "list: 55969 Datetime(us) rows: 1.7040672e+18 Float64 microseconds: TypeError array: 2024 Datetime(ns)"
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check polars==2.1.0 numpy==2.3.5
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import polars as pl

print("polars", pl.__version__, "numpy", np.__version__)
array = np.array(["2024-01-01T00:00:00"], dtype="datetime64[ns]")
listed = pl.DataFrame({"x": list(array)})["x"]
rows = pl.DataFrame([{"x": array[0]}])["x"]
kept = pl.DataFrame({"x": array})["x"]
try:
    pl.DataFrame({"x": list(array.astype("datetime64[us]"))})
    microseconds = "a column"
except TypeError:
    microseconds = "TypeError"
year, right = listed.dt.year()[0], kept.dt.year()[0]
print("list:", year, listed.dtype, "rows:", rows[0], rows.dtype, "microseconds:", microseconds, "array:", right, kept.dtype)
assert (year, right) == (55969, 2024)
assert rows.dtype == pl.Float64
assert microseconds == "TypeError"
PYTHON
