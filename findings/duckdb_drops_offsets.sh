#!/usr/bin/env bash
# DuckDB 1.4.4 to 2.0.1: a text with an offset loses it where it is cast to TIMESTAMP, so 02:17:39+05:30 stays 02:17:39.
# DuckDB 1.2.2 gives the moment in UTC, 20:47:39. No warning says so. A CSV column of such texts changed its type with
# it, from TIMESTAMP to TIMESTAMP WITH TIME ZONE; with the type given as TIMESTAMP it loses the offset as well. strptime
# with %z and a cast to TIMESTAMPTZ give the same moment in all versions.
#
# Seen: 1.2.2 "2021-02-20 20:47:39", 1.4.4 and 2.0.1 "2021-02-21 02:17:39"; read_csv TIMESTAMP, then TIMESTAMP WITH TIME ZONE
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
printf 'moment\n2021-02-21 02:17:39+05:30\n' > "$folder/moments.csv"
for version in 1.2.2 1.4.4 2.0.1; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install --quiet --disable-pip-version-check "duckdb==$version"
    "$folder/$version/bin/python" - "$folder/moments.csv" <<'PYTHON'
import sys

import duckdb

TEXT, LOCAL, UTC = "2021-02-21 02:17:39+05:30", "2021-02-21 02:17:39", "2021-02-20 20:47:39"
is_old = duckdb.__version__ == "1.2.2"
duckdb.execute("SET TimeZone = 'UTC'")
((cast, parsed),) = duckdb.sql(
    f"SELECT CAST('{TEXT}' AS TIMESTAMP)::VARCHAR, strptime('{TEXT}', '%Y-%m-%d %H:%M:%S%z')::VARCHAR"
).fetchall()
found = str(duckdb.sql(f"FROM read_csv('{sys.argv[1]}')").types[0])
((given,),) = duckdb.sql(f"FROM read_csv('{sys.argv[1]}', columns={{'moment': 'TIMESTAMP'}})").fetchall()
print(duckdb.__version__, "cast:", cast, "strptime:", parsed, "read_csv:", found, "as TIMESTAMP:", given)
assert cast == str(given) == (UTC if is_old else LOCAL)
assert parsed == f"{UTC}+00"
assert found == ("TIMESTAMP" if is_old else "TIMESTAMP WITH TIME ZONE")
PYTHON
done
