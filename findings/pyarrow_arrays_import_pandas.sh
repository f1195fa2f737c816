#!/usr/bin/env bash
# pyarrow 26.0.1: the first `pyarrow.array` of a process, of a plain list of numbers too, imports pandas where it is
# installed, though nothing of pandas was asked for; importing pyarrow and pyarrow.parquet, and a schema, does not. So a
# program that makes one array starts as slowly as with pandas, or not, by what else its environment has.
#
# Seen: "after imports: False after a schema: False after pyarrow.array([1.0]): True"
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1 pandas
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import pyarrow as pa
import pyarrow.parquet


def has_pandas():
    """Say whether pandas was imported."""
    return "pandas" in sys.modules


seen = [has_pandas()]
pa.schema([("x", pa.float64())])
seen.append(has_pandas())
pa.array([1.0])
seen.append(has_pandas())
print("pyarrow", pa.__version__)
print("after imports:", seen[0], "after a schema:", seen[1], "after pyarrow.array([1.0]):", seen[2])
assert seen == [False, False, True]
PYTHON
