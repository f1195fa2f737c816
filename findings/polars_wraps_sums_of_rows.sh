#!/usr/bin/env bash
# Polars 2.1.0: sum_horizontal adds columns of 8 and 16 bits in their own type and wraps: 100 + 100 is -56. sum, cum_sum,
# rolling_sum, list.sum and sum over groups widen to 64 bits first, so the total of the rows is not the total of the columns.
# A baseline or a log with small integers, as models take them, gets negative row sums without a warning.
#
# Seen: "sum: 200 cum_sum: 200 rolling_sum: 200 list.sum: 200 by group: 200 sum_horizontal: -56"
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check polars==2.1.0
"$folder/venv/bin/python" - <<'PYTHON'
import polars as pl

print("polars", pl.__version__)
column = pl.Series("a", [100, 100], dtype=pl.Int8)
widened = {
    "sum": column.sum(),
    "cum_sum": column.cum_sum()[1],
    "rolling_sum": column.rolling_sum(2)[1],
    "list.sum": pl.Series([[100, 100]], dtype=pl.List(pl.Int8)).list.sum()[0],
    "by group": pl.DataFrame([column]).group_by(pl.lit(1)).agg(pl.col("a").sum())["a"][0],
}
row = pl.DataFrame({"a": column, "b": column}).select(pl.sum_horizontal("a", "b")).to_series()[0]
print(*(f"{name}: {value}" for name, value in widened.items()), "sum_horizontal:", row)
assert set(widened.values()) == {200}
assert row == -56
PYTHON
