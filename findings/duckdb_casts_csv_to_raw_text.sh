#!/usr/bin/env bash
# DuckDB 2.0.1: a column of read_csv that is cast to VARCHAR, and not used otherwise, is the text of the file instead of
# the text of its value: 007 of a DOUBLE column is '007', not '7.0', and '1.50' is not '1.5'. With the column beside it in
# the same query the value is cast, so one expression has two results. DuckDB 1.5.6 casts the value in both.
#
# Seen: 1.5.6 "alone: 7.0 1.5 beside: 7.0 1.5", 2.0.1 "alone: 007 1.50 beside: 7.0 1.5"
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
printf 'x\n007\n1.50\n' > "$folder/numbers.csv"
for version in 1.5.6 2.0.1; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install --quiet --disable-pip-version-check "duckdb==$version"
    "$folder/$version/bin/python" - "$folder/numbers.csv" <<'PYTHON'
import sys

import duckdb

table = f"read_csv('{sys.argv[1]}', columns={{'x': 'DOUBLE'}})"
alone = [text for (text,) in duckdb.sql(f"SELECT x::VARCHAR FROM {table}").fetchall()]
beside = [text for text, _ in duckdb.sql(f"SELECT x::VARCHAR, x FROM {table}").fetchall()]
print(duckdb.__version__, "alone:", *alone, "beside:", *beside)
is_new = duckdb.__version__ == "2.0.1"
assert alone == (["007", "1.50"] if is_new else ["7.0", "1.5"])
assert beside == ["7.0", "1.5"]
PYTHON
done
