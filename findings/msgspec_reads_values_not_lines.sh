#!/usr/bin/env bash
# msgspec 0.23.0: `Decoder.decode_lines`, for "newline-delimited JSON", reads values one after the other, wherever lines
# end: two values in one line, with or without a blank between them, and a value over several lines pass without an
# error. So as many values as lines do not show that each line was one value. The standard library's loads refuses each
# of these lines.
#
# Seen: "two in a line: [{'a': 1}, {'a': 2}] in two lines: [{'a': 1}] both: 5 values of 5 lines"
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check msgspec==0.23.0
"$folder/venv/bin/python" - <<'PYTHON'
import json

import msgspec

decode = msgspec.json.Decoder().decode_lines
print("msgspec", msgspec.__version__)


def is_refused(line):
    """Say whether the standard library reads a line."""
    try:
        json.loads(line)
    except ValueError:
        return True
    return False


one_line, two_lines = b'{"a": 1}{"a": 2}\n', b'{"a":\n1}\n'
both = b'{"a": 1} {"a": 2}\n{"a": 3\n}\n{"a": 4} {"a": 5}\n\n'
print("two in a line:", decode(one_line), "in two lines:", decode(two_lines), end=" ")
print("both:", len(decode(both)), "values of", both.count(b"\n"), "lines")
assert decode(one_line) == [{"a": 1}, {"a": 2}]
assert decode(two_lines) == [{"a": 1}]
assert len(decode(both)) == both.count(b"\n")
assert all(map(is_refused, both.splitlines()))
PYTHON
