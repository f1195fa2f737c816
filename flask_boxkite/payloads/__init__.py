"""Request bodies and model answers, read as rows of values. Pure functions: they take no request object."""

from flask_boxkite.payloads.encodings import decompressed
from flask_boxkite.payloads.fitting import can_be as can_be_output
from flask_boxkite.payloads.requests import csv_table, form_table, json_lines_table, json_table, other_delimiter
from flask_boxkite.payloads.responses import (
    csv_output,
    found_output,
    json_lines_output,
    output_key,
    output_table,
    readable,
)
from flask_boxkite.payloads.table import SCALARS, ObjectRow, Table, as_table
from flask_boxkite.payloads.tensors import INFERENCE_HEADER, binary_document

__all__ = [
    "INFERENCE_HEADER",
    "JSON_LINES",
    "SCALARS",
    "ObjectRow",
    "Table",
    "as_table",
    "binary_document",
    "can_be_output",
    "csv_output",
    "csv_table",
    "decompressed",
    "form_table",
    "found_output",
    "json_lines_output",
    "json_lines_table",
    "json_table",
    "other_delimiter",
    "output_key",
    "output_table",
    "readable",
]

JSON_LINES = frozenset(
    f"application/{name}"
    for name in ("jsonlines", "x-jsonlines", "json-lines", "x-json-lines", "jsonl", "x-jsonl", "ndjson", "x-ndjson")
)
"""Content types of JSON lines."""
