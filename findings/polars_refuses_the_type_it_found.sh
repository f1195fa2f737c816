#!/usr/bin/env bash
# Polars 2.1.0: read_ndjson takes a key that is true in one line and 1 in another for a column of integers, and then refuses
# the true as no integer, though nothing but the file told it so. read_json of the same objects reads true as 1, and a text
# in place of the 1 makes both texts. Logs of a service that once wrote flags as numbers cannot be read line by line.
#
# Seen: "read_ndjson: ComputeError cannot parse 'true' (bool) as Int64", "read_json: [1, 1]", "with a text: ['true', 'a']"
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check polars==2.1.0
"$folder/venv/bin/python" - <<'PYTHON'
import polars as pl


def read(text):
    """Return the values of a column in JSON lines, or the error."""
    try:
        return pl.read_ndjson(text)["x"].to_list()
    except pl.exceptions.ComputeError as error:
        return f"ComputeError {error}"


print("polars", pl.__version__)
mixed, with_text = read(b'{"x":true}\n{"x":1}\n'), read(b'{"x":true}\n{"x":"a"}\n')
array = pl.read_json(b'[{"x":true},{"x":1}]')["x"].to_list()
print("read_ndjson:", mixed)
print("read_json:", array)
print("with a text:", with_text)
assert mixed == "ComputeError cannot parse 'true' (bool) as Int64"
assert array == [1, 1]
assert with_text == ["true", "a"]
PYTHON
