#!/usr/bin/env bash
# Polars 2.1.0: a series divided by a number is multiplied by the number's reciprocal, so its last bit can differ from
# IEEE division, as in NumPy, Python and a lazy frame of floats: 3.0 / 10.0 is 0.30000000000000004. Divided by a series of
# the same number it is 0.3. Integers differ lazily, too. So equal values, read by Polars and by NumPy, can fall on
# different sides of a bound.
#
# Seen: "by a number: 0.30000000000000004 lazily: 0.3 by a series: 0.3 others: 69 integers, lazily: True"
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check polars==2.1.0
"$folder/venv/bin/python" - <<'PYTHON'
import polars as pl

print("polars", pl.__version__)
by_number = (pl.Series([3.0]) / 10.0)[0]
by_series = (pl.Series([3.0]) / pl.Series([10.0]))[0]
lazily = pl.LazyFrame({"x": [3.0, 6.0]}).select(pl.col("x") / 10.0).collect()["x"][0]
others = sum((pl.Series([float(i)]) / 10.0)[0] != i / 10.0 for i in range(1, 200))
microseconds = list(range(1706702400000001, 1706702400001001))
seconds = pl.LazyFrame({"x": microseconds}).select(pl.col("x") / 1e6).collect()["x"]
differs = seconds.to_list() != [x / 1e6 for x in microseconds]
print("by a number:", by_number, "lazily:", lazily, "by a series:", by_series, "others:", others, "integers, lazily:", differs)
assert by_number == 0.30000000000000004
assert lazily == by_series == 3.0 / 10.0 == 0.3
assert differs
assert others == 69
PYTHON
