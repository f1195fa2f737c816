#!/usr/bin/env bash
# DuckDB 2.0.1: a text with the hour 24, which ISO 8601 has for the end of a day, is the next day as a TIMESTAMP and the same
# day as a DATE. So CAST(text AS DATE) and CAST(CAST(text AS TIMESTAMP) AS DATE) differ by one day, for this hour only.
# A day's last event is counted on two days, by two columns of one query.
#
# Seen: "as DATE: 2024-01-01 as TIMESTAMP: 2024-01-02 00:00:00 as both: 2024-01-02 at 23:59:59: 2024-01-01 2024-01-01"
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.1
"$folder/venv/bin/python" - <<'PYTHON'
import duckdb


def casts(text):
    """Return a text as a date, as a moment, and as the date of that moment."""
    query = f"SELECT t::DATE::VARCHAR, t::TIMESTAMP::VARCHAR, t::TIMESTAMP::DATE::VARCHAR FROM (VALUES ('{text}')) v(t)"
    return duckdb.sql(query).fetchall()[0]


print("duckdb", duckdb.__version__)
date, moment, both = casts("2024-01-01 24:00:00")
before, _, both_before = casts("2024-01-01 23:59:59")
print("as DATE:", date, "as TIMESTAMP:", moment, "as both:", both, "at 23:59:59:", before, both_before)
assert (date, moment, both) == ("2024-01-01", "2024-01-02 00:00:00", "2024-01-02")
assert before == both_before == "2024-01-01"
PYTHON
